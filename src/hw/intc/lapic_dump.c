/* SPDX-License-Identifier: MIT */
/*
 * The local APIC for a human who asks why an interrupt does not come: what is requested (IRR), what is in service (ISR) and keeps lower ones back
 * (PPR), and what the vCPU still owes a look.
 */
#include "hw/intc/lapic.h"
#include "sched/clock.h"
#include "vcpu/vcpu.h"

static uint32_t get(const _Atomic uint32_t *reg)
{
	return atomic_load_explicit(reg, memory_order_relaxed);
}

static void print_vectors(FILE *out, const char *name, const uint64_t map[4])
{
	fprintf(out, " %s", name);
	for (unsigned i = 0; i < 256; i++)
		if (map[i / 64] >> (i % 64) & 1)
			fprintf(out, " %02x", i);
}

static void print_timer(FILE *out, const struct lapic *l)
{
	vclock_ns_t due = lapic_timer_due(l);

	if (due == VCLOCK_NEVER)
		fprintf(out, " timer off\n");
	else
		fprintf(out, " timer due in %lld ns\n", (long long)(due - clock_now()));
}

void lapic_dump(const struct lapic *l, FILE *out)
{
	static const char *const modes[] = { "disabled", "xAPIC", "x2APIC" };
	static const char *const lvts[] = { "TIMER", "THERM", "PERF", "LINT0", "LINT1", "ERROR" };
	uint64_t irr[4];

	for (unsigned i = 0; i < 4; i++)
		irr[i] = atomic_load_explicit(&l->in->vectors[i], memory_order_relaxed);
	fprintf(out, "APIC %s SVR=%03x TPR=%02x PPR=%02x LDR=%08x ESR=%02x ICR=%08x%08x events=%x outstanding=%d\n", modes[lapic_mode(l)],
		get(&l->svr), get(&l->tpr), lapic_ppr(l), get(&l->ldr), l->esr, l->icr_hi, l->icr_lo,
		atomic_load_explicit(&l->in->events, memory_order_relaxed), (int)atomic_load_explicit(&l->in->outstanding, memory_order_relaxed));
	fprintf(out, "APIC");
	print_vectors(out, "IRR", irr);
	print_vectors(out, "ISR", l->isr);
	print_timer(out, l);
	fprintf(out, "APIC");
	for (unsigned i = 0; i < LAPIC_NR_LVT; i++)
		fprintf(out, " %s=%05x", lvts[i], lapic_lvt_read(l, (enum lapic_lvt)i));
	fprintf(out, "\n");
}
