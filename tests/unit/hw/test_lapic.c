/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/intc/lapic.h"
#include "sched/clock.h"
#include "util/stats.h"

#define NR 4
#define ENABLE 0x1ff
#define MSR_BASE 0x1b
#define MSR_DEADLINE 0x6e0
#define MSR_X2 0x800

enum { R_ID = 0x20, R_VERSION = 0x30, R_TPR = 0x80, R_PPR = 0xa0, R_EOI = 0xb0, R_LDR = 0xd0, R_DFR = 0xe0, R_SVR = 0xf0,
       R_ISR = 0x100, R_TMR = 0x180, R_IRR = 0x200, R_ESR = 0x280, R_ICR = 0x300, R_ICR2 = 0x310, R_TIMER = 0x320,
       R_LINT0 = 0x350, R_LINT1 = 0x360, R_ERROR = 0x370, R_INIT = 0x380, R_CUR = 0x390, R_DIV = 0x3e0 };

static struct lapic *apic[NR], *by_id[NR];
static struct apic_bus bus;
static unsigned eois, inta_vector = 0x27;
static uint8_t eoi_vector;

static void on_eoi(void *opaque, uint8_t vector)
{
	(void)opaque;
	eois++;
	eoi_vector = vector;
}

static int on_inta(void *opaque)
{
	(void)opaque;
	return (int)inta_vector;
}

static uint32_t rd(unsigned n, unsigned off)
{
	fake_self = vcpus[n];
	return (uint32_t)dev_read(&lapic_mmio_ops, NULL, off, 4);
}

static void wr(unsigned n, unsigned off, uint32_t v)
{
	fake_self = vcpus[n];
	dev_write(&lapic_mmio_ops, NULL, off, v, 4);
}

static int pending(unsigned n)
{
	return lapic_intc_ops.pending(vcpus[n]);
}

static int accept_(unsigned n)
{
	return lapic_intc_ops.accept(vcpus[n]);
}

static int wrmsr(unsigned n, uint32_t msr, uint64_t v)
{
	return lapic_intc_ops.msr_write(vcpus[n], msr, v);
}

static uint64_t rdmsr(unsigned n, uint32_t msr)
{
	uint64_t v = 0xdead;

	assert_int_equal(lapic_intc_ops.msr_read(vcpus[n], msr, &v), 0);
	return v;
}

static void ipi(unsigned n, uint32_t dest, uint32_t icr)
{
	wr(n, R_ICR2, dest << 24);
	wr(n, R_ICR, icr);
}

/* Which APICs got `vector`; takes it from them. */
static unsigned receivers(int vector)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < NR; i++) {
		if (pending(i) != vector)
			continue;
		assert_int_equal(accept_(i), vector);
		wr(i, R_EOI, 0);
		mask |= 1u << i;
	}
	return mask;
}

static int setup(void **state)
{
	static struct lapic storage[NR];

	(void)state;
	fake_reset();
	fake_vcpus(NR);
	eois = 0;
	bus = (struct apic_bus){.lapic = apic, .nr = NR, .by_id = by_id, .nr_ids = NR, .eoi = on_eoi, .inta = on_inta};
	for (unsigned i = 0; i < NR; i++) {
		memset(&storage[i], 0, sizeof(storage[i]));
		apic[i] = by_id[i] = &storage[i];
		vcpus[i]->intc = &lapic_intc_ops;
		vcpus[i]->intc_opaque = apic[i];
		lapic_init(apic[i], &bus, vcpus[i], i, i == 0);
		wr(i, R_SVR, ENABLE);
		fake_take_requests(vcpus[i]);
	}
	return 0;
}

static void registers_have_their_reset_values(void **state)
{
	(void)state;
	lapic_reset(apic[1], true);
	assert_int_equal(rd(1, R_ID), 1u << 24);
	assert_int_equal(rd(1, R_VERSION), 0x50014);
	assert_int_equal(rd(1, R_SVR), 0xff);
	assert_int_equal(rd(1, R_DFR), 0xffffffff);
	assert_int_equal(rd(1, R_LINT0), 0x10000);
	assert_int_equal(rdmsr(0, MSR_BASE), 0xfee00900);
	assert_int_equal(rdmsr(1, MSR_BASE), 0xfee00800);
}

static void virtual_wire_is_set_at_power_on_only(void **state)
{
	(void)state;
	apic[0]->virtual_wire = true;
	lapic_reset(apic[0], true);
	assert_int_equal(rd(0, R_LINT0), 0x700);
	assert_int_equal(rd(0, R_LINT1), 0x400);
	lapic_reset(apic[0], false);
	assert_int_equal(rd(0, R_LINT0), 0x10000);
}

static void sender_kicks_once_until_the_owner_looks(void **state)
{
	(void)state;
	ipi(0, 1, 0x50);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INTR);
	ipi(0, 1, 0x51);
	assert_int_equal(fake_take_requests(vcpus[1]), 0);
	assert_int_equal(pending(1), 0x51);
	ipi(0, 1, 0x52);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INTR);
}

static void higher_class_preempts_lower_waits(void **state)
{
	(void)state;
	ipi(0, 1, 0x45);
	assert_int_equal(accept_(1), 0x45);
	assert_int_equal(rd(1, R_PPR), 0x40);
	ipi(0, 1, 0x4f); /* same class */
	assert_int_equal(pending(1), -1);
	ipi(0, 1, 0x80);
	assert_int_equal(accept_(1), 0x80);
	assert_int_equal(rd(1, R_PPR), 0x80);
	fake_take_requests(vcpus[1]);
	wr(1, R_EOI, 0);
	assert_int_equal(rd(1, R_PPR), 0x40);
	assert_int_equal(fake_take_requests(vcpus[1]), 0);
	wr(1, R_EOI, 0);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INTR);
	assert_int_equal(accept_(1), 0x4f);
	assert_int_equal(rd(1, R_ISR + 0x20), 1u << 0xf);
	wr(1, R_EOI, 0);
	assert_int_equal(rd(1, R_PPR), 0);
	assert_int_equal(eois, 0);
}

static void task_priority_masks_and_cr8_shows_it(void **state)
{
	(void)state;
	lapic_intc_ops.cr8_write(vcpus[1], 6);
	assert_int_equal(rd(1, R_TPR), 0x60);
	ipi(0, 1, 0x6f);
	assert_int_equal(pending(1), -1);
	assert_int_equal(rd(1, R_IRR + 0x30), 1u << 15);
	fake_take_requests(vcpus[1]);
	lapic_intc_ops.cr8_write(vcpus[1], 5);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INTR);
	assert_int_equal(pending(1), 0x6f);
	assert_int_equal(lapic_intc_ops.cr8_read(vcpus[1]), 5);
}

static void level_interrupt_broadcasts_its_end(void **state)
{
	struct apic_msg msg = {.dest = 2, .vector = 0x61, .level = true};

	(void)state;
	assert_int_equal(apic_bus_send(&bus, &msg, 0), 1);
	assert_int_equal(rd(2, R_TMR + 0x30), 2);
	assert_int_equal(accept_(2), 0x61);
	wr(2, R_EOI, 0);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_vector, 0x61);
	msg.level = false;
	apic_bus_send(&bus, &msg, 0);
	assert_int_equal(rd(2, R_TMR + 0x30), 0);
	accept_(2);
	wr(2, R_EOI, 0);
	assert_int_equal(eois, 1);
}

static void physical_destinations_and_shorthands(void **state)
{
	(void)state;
	ipi(0, 2, 0x40);
	assert_int_equal(receivers(0x40), 1u << 2);
	ipi(0, 0xff, 0x41);
	assert_int_equal(receivers(0x41), 0xf);
	ipi(1, 0, 0x40042); /* self */
	assert_int_equal(receivers(0x42), 1u << 1);
	ipi(1, 0, 0x80043); /* all */
	assert_int_equal(receivers(0x43), 0xf);
	ipi(1, 0, 0xc0044); /* all but self */
	assert_int_equal(receivers(0x44), 0xd);
	ipi(0, 77, 0x45); /* nobody */
	assert_int_equal(receivers(0x45), 0);
}

/* As hypercalls send them: to a physical ID, of any size. */
static void ipi_to_one_id(void **state)
{
	(void)state;
	assert_true(lapic_intc_ops.ipi(vcpus[0], 2, 0x40));
	assert_int_equal(receivers(0x40), 1u << 2);
	assert_true(lapic_intc_ops.ipi(vcpus[1], 1, 0x841)); /* no logical ones */
	assert_int_equal(receivers(0x41), 1u << 1);
	assert_true(lapic_intc_ops.ipi(vcpus[0], 3, 0x400));
	assert_int_equal(fake_take_requests(vcpus[3]), VCPU_REQ_NMI);
	assert_false(lapic_intc_ops.ipi(vcpus[0], NR, 0x42)); /* nobody */
	assert_false(lapic_intc_ops.ipi(vcpus[0], 0xff, 0x42)); /* no broadcast */
	assert_false(lapic_intc_ops.ipi(vcpus[0], 0xffffffff, 0x42));
	assert_false(lapic_intc_ops.ipi(vcpus[0], 2, 0x0f)); /* an illegal vector, a reserved mode, a de-assert */
	assert_false(lapic_intc_ops.ipi(vcpus[0], 2, 0x342));
	assert_false(lapic_intc_ops.ipi(vcpus[0], 2, 0x8500));
	assert_int_equal(fake_take_requests(vcpus[2]) & ~VCPU_REQ_INTR, 0);
	by_id[2] = NULL;
	assert_false(lapic_intc_ops.ipi(vcpus[0], 2, 0x42));
	by_id[2] = apic[2];
	wr(3, R_SVR, 0xff);
	assert_false(lapic_intc_ops.ipi(vcpus[0], 3, 0x42)); /* switched off */
	assert_int_equal(receivers(0x42), 0);
}

static void logical_flat_and_cluster_destinations(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++)
		wr(i, R_LDR, 1u << (24 + i));
	ipi(0, 0x6, 0x840);
	assert_int_equal(receivers(0x40), 0x6);
	ipi(0, 0xff, 0x841);
	assert_int_equal(receivers(0x41), 0xf);
	for (unsigned i = 0; i < NR; i++) {
		wr(i, R_DFR, 0x0fffffff);
		wr(i, R_LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	ipi(0, 0x13, 0x842); /* cluster 1, both */
	assert_int_equal(receivers(0x42), 0xc);
	ipi(0, 0x01, 0x843);
	assert_int_equal(receivers(0x43), 0x1);
	ipi(0, 0xf2, 0x844); /* all clusters, second member */
	assert_int_equal(receivers(0x44), 0xa);
}

static void lowest_priority_takes_the_least_busy_and_rotates(void **state)
{
	struct apic_msg msg = {.dest = 0xf, .vector = 0x50, .mode = APIC_DM_LOWEST, .logical = true};
	unsigned hit = 0;

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		wr(i, R_LDR, 1u << (24 + i));
		wr(i, R_TPR, i == 2 ? 0x10 : 0x20);
	}
	assert_int_equal(apic_bus_send(&bus, &msg, 0), 1);
	assert_int_equal(receivers(0x50), 1u << 2);
	wr(2, R_TPR, 0x20);
	for (unsigned i = 0; i < NR; i++) {
		apic_bus_send(&bus, &msg, i);
		hit |= receivers(0x50);
	}
	assert_int_equal(hit, 0xf);
	wr(3, R_SVR, 0xff); /* software-disabled: never chosen */
	for (unsigned i = 0; i < NR; i++) {
		apic_bus_send(&bus, &msg, i);
		assert_int_equal(receivers(0x50) & 8, 0);
	}
}

/* Who takes both requests at once resets first and starts then: right in one order, and wrong in the other. */
static void init_drops_a_start_up_that_came_before(void **state)
{
	(void)state;
	ipi(0, 1, 0x46 << 8 | 0x9a);
	ipi(0, 1, 0x4500);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INIT);
	ipi(0, 1, 0x4500);
	ipi(0, 1, 0x46 << 8 | 0x9b);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INIT | VCPU_REQ_SIPI);
	assert_int_equal(vcpus[1]->sipi_vector, 0x9b);
}

static void nmi_init_and_start_up_become_requests(void **state)
{
	(void)state;
	ipi(0, 1, 0x4500);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_INIT);
	ipi(0, 1, 0x8500); /* level de-assert */
	assert_int_equal(fake_take_requests(vcpus[1]), 0);
	ipi(0, 1, 0x46 << 8 | 0x9a);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_SIPI);
	assert_int_equal(vcpus[1]->sipi_vector, 0x9a);
	wr(1, R_SVR, 0xff); /* not for a disabled one to refuse */
	ipi(0, 1, 0x400);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_NMI);
	ipi(0, 1, 0x200);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_SMI);
}

static void illegal_vectors_set_the_error_register(void **state)
{
	(void)state;
	wr(0, R_ERROR, 0xfe);
	ipi(0, 1, 0x0f);
	assert_int_equal(rd(0, R_ESR), 0);
	wr(0, R_ESR, 0);
	assert_int_equal(rd(0, R_ESR), 0x20);
	assert_int_equal(accept_(0), 0xfe);
	wr(0, R_EOI, 0);
	wr(0, R_ESR, 0);
	assert_int_equal(rd(0, R_ESR), 0);
	rd(0, 0x3a0); /* a register that does not exist */
	wr(0, R_ESR, 0);
	assert_int_equal(rd(0, R_ESR), 0x80);
}

static void error_entry_with_illegal_vector_does_not_feed_itself(void **state)
{
	(void)state;
	wr(0, R_ERROR, 3);
	ipi(0, 1, 0x02);
	for (unsigned i = 0; i < 5; i++)
		pending(0);
	fake_take_requests(vcpus[0]);
	pending(0);
	assert_int_equal(fake_take_requests(vcpus[0]), 0);
}

static void software_disable_masks_and_refuses(void **state)
{
	(void)state;
	wr(1, R_LINT0, 0x700);
	ipi(0, 1, 0x55);
	wr(1, R_SVR, 0xff);
	assert_int_equal(rd(1, R_LINT0), 0x10700);
	wr(1, R_LINT0, 0x700);
	assert_int_equal(rd(1, R_LINT0), 0x10700);
	ipi(0, 1, 0x66);
	assert_int_equal(pending(1), 0x55); /* what was there stays */
}

static void extint_goes_through_lint0(void **state)
{
	(void)state;
	lapic_lint(apic[0], 0, true);
	assert_int_equal(pending(0), -1);
	fake_take_requests(vcpus[0]);
	wr(0, R_LINT0, 0x700);
	assert_int_equal(fake_take_requests(vcpus[0]), VCPU_REQ_INTR);
	assert_int_equal(pending(0), LAPIC_VECTOR_EXTINT);
	assert_int_equal(accept_(0), 0x27);
	lapic_lint(apic[0], 0, false);
	assert_int_equal(pending(0), -1);
}

static void lint_fixed_edge_and_nmi(void **state)
{
	(void)state;
	wr(0, R_LINT0, 0x31);
	lapic_lint(apic[0], 0, true);
	assert_int_equal(accept_(0), 0x31);
	wr(0, R_EOI, 0);
	lapic_lint(apic[0], 0, true);
	assert_int_equal(pending(0), -1);
	wr(0, R_LINT1, 0x400);
	lapic_lint(apic[0], 1, true);
	pending(0);
	assert_true(fake_take_requests(vcpus[0]) & VCPU_REQ_NMI);
}

static void lint_level_repeats_after_eoi(void **state)
{
	(void)state;
	wr(0, R_LINT0, 0x8041);
	lapic_lint(apic[0], 0, true);
	assert_int_equal(accept_(0), 0x41);
	assert_int_equal(rd(0, R_LINT0), 0xc041);
	assert_int_equal(pending(0), -1);
	wr(0, R_EOI, 0);
	assert_int_equal(accept_(0), 0x41);
	lapic_lint(apic[0], 0, false);
	wr(0, R_EOI, 0);
	assert_int_equal(pending(0), -1);
	assert_int_equal(rd(0, R_LINT0), 0x8041);
}

static void extint_message_is_delivered_once(void **state)
{
	struct apic_msg msg = {.dest = 0, .mode = APIC_DM_EXTINT};

	(void)state;
	apic_bus_send(&bus, &msg, 0);
	assert_int_equal(pending(0), LAPIC_VECTOR_EXTINT);
	assert_int_equal(accept_(0), 0x27);
	assert_int_equal(pending(0), -1);
}

static void timer_one_shot(void **state)
{
	(void)state;
	wr(0, R_TIMER, 0x30);
	wr(0, R_DIV, 3); /* by 16 */
	wr(0, R_INIT, 1000);
	assert_int_equal(lapic_intc_ops.timer_deadline(vcpus[0]), fake_now + 16000);
	fake_now += 8000;
	assert_int_equal(rd(0, R_CUR), 500);
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(pending(0), -1);
	fake_now += 8000;
	assert_int_equal(rd(0, R_CUR), 0);
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(accept_(0), 0x30);
	assert_true(lapic_intc_ops.timer_deadline(vcpus[0]) == INT64_MAX);
	wr(0, R_EOI, 0);
	fake_now += 100000;
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(pending(0), -1);
}

static void timer_periodic_keeps_its_phase(void **state)
{
	vclock_ns_t start = fake_now;

	(void)state;
	wr(0, R_TIMER, 0x20030);
	wr(0, R_DIV, 0xb); /* by 1 */
	wr(0, R_INIT, 10000);
	fake_now = start + 35000;
	assert_int_equal(rd(0, R_CUR), 5000);
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(accept_(0), 0x30);
	assert_int_equal(lapic_intc_ops.timer_deadline(vcpus[0]), start + 40000);
	wr(0, R_INIT, 0);
	assert_true(lapic_intc_ops.timer_deadline(vcpus[0]) == INT64_MAX);
}

static void timer_divider_change_keeps_the_count(void **state)
{
	(void)state;
	wr(0, R_TIMER, 0x30);
	wr(0, R_DIV, 0xb);
	wr(0, R_INIT, 1000);
	fake_now += 400;
	wr(0, R_DIV, 0); /* by 2 */
	assert_int_equal(rd(0, R_CUR), 600);
	assert_int_equal(lapic_intc_ops.timer_deadline(vcpus[0]), fake_now + 1200);
}

static void timer_tsc_deadline(void **state)
{
	uint64_t tsc = vcpu_tsc_read(vcpus[0]);

	(void)state;
	assert_int_equal(wrmsr(0, MSR_DEADLINE, tsc + 100), 0);
	assert_int_equal(rdmsr(0, MSR_DEADLINE), 0); /* not in that mode */
	wr(0, R_TIMER, 0x40031);
	assert_int_equal(wrmsr(0, MSR_DEADLINE, tsc + 2001), 0);
	assert_int_equal(rdmsr(0, MSR_DEADLINE), tsc + 2001);
	assert_int_equal(lapic_intc_ops.timer_deadline(vcpus[0]), fake_now + 1001);
	wr(0, R_INIT, 1000);
	assert_int_equal(rd(0, R_CUR), 0);
	fake_now += 1000;
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(pending(0), -1);
	fake_now += 1;
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(accept_(0), 0x31);
	assert_int_equal(rdmsr(0, MSR_DEADLINE), 0);
	wr(0, R_EOI, 0);
	wrmsr(0, MSR_DEADLINE, 1); /* long gone */
	assert_int_equal(accept_(0), 0x31);
	wr(0, R_EOI, 0);
	wrmsr(0, MSR_DEADLINE, ~0ull);
	wr(0, R_TIMER, 0x31); /* another mode disarms */
	assert_true(lapic_intc_ops.timer_deadline(vcpus[0]) == INT64_MAX);
}

static void masked_timer_does_not_interrupt(void **state)
{
	(void)state;
	wr(0, R_TIMER, 0x10030);
	wr(0, R_INIT, 10);
	fake_now += 1000;
	lapic_intc_ops.timer_expire(vcpus[0]);
	assert_int_equal(pending(0), -1);
}

static void apic_base_transitions(void **state)
{
	(void)state;
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00400), -1);         /* x2APIC without enable */
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00801), -1);         /* reserved bit */
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00c00), 0);          /* xAPIC -> x2APIC */
	assert_int_equal(rd(1, R_ID), 0xffffffff);                    /* the window is gone */
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00800), -1);         /* x2APIC -> xAPIC */
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00000), 0);
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00c00), -1);         /* disabled -> x2APIC */
	ipi(0, 1, 0x4500);
	assert_int_equal(fake_take_requests(vcpus[1]), 0);
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00800), 0);
	assert_int_equal(rd(1, R_SVR), 0xff);
}

static void x2apic_registers_and_faults(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(lapic_intc_ops.msr_read(vcpus[1], MSR_X2 + 2, &v), -1);
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00c00), 0);
	assert_int_equal(rdmsr(1, MSR_X2 + 2), 1);
	assert_int_equal(rdmsr(1, MSR_X2 + 0xd), 2);
	assert_int_equal(wrmsr(1, MSR_X2 + 0xd, 2), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0xe, 0), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0xb, 1), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0xb, 0), 0);
	assert_int_equal(wrmsr(1, MSR_X2 + 0x8, 0x100), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0x28, 1), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0x31, 0), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0x32, 1ull << 32), -1);
	assert_int_equal(wrmsr(1, MSR_X2 + 0x3f, 0x77), 0);
	assert_int_equal(pending(1), 0x77);
	assert_int_equal(lapic_intc_ops.msr_read(vcpus[1], MSR_X2 + 0x3f, &v), -1);
	lapic_reset(apic[1], false); /* INIT keeps the mode and the logical id */
	assert_int_equal(rdmsr(1, MSR_X2 + 0xd), 2);
}

static void x2apic_destinations(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(wrmsr(i, MSR_BASE, 0xfee00c00), 0);
		assert_int_equal(wrmsr(i, MSR_X2 + 0xf, ENABLE), 0);
	}
	assert_int_equal(wrmsr(0, MSR_X2 + 0x30, 3ull << 32 | 0x40), 0);
	assert_int_equal(pending(3), 0x40);
	assert_int_equal(pending(2), -1);
	assert_int_equal(wrmsr(0, MSR_X2 + 0x30, 0x5ull << 32 | 0x841), 0);
	assert_int_equal(pending(0), 0x41);
	assert_int_equal(pending(2), 0x41);
	assert_int_equal(pending(1), -1);
	assert_int_equal(wrmsr(0, MSR_X2 + 0x30, 0x10005ull << 32 | 0x8a0), 0); /* another cluster */
	assert_int_equal(pending(2), 0x41);
	assert_int_equal(wrmsr(0, MSR_X2 + 0x30, 0xffffffffull << 32 | 0x90), 0);
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(pending(i), 0x90);
	assert_int_equal(rdmsr(0, MSR_X2 + 0x30), 0xffffffffull << 32 | 0x90);
	assert_int_equal(wrmsr(0, MSR_X2 + 0x30, 0x1000), -1);
}

static char *dump(unsigned n)
{
	static char text[2048];
	FILE *out = fmemopen(text, sizeof(text), "w");

	lapic_intc_ops.dump(vcpus[n], out);
	fclose(out);
	return text;
}

/* An interrupt that is answered in the wrong mode's way stays in service, and keeps lower ones back. */
static void text_tells_why_an_interrupt_does_not_come(void **state)
{
	(void)state;
	ipi(0, 1, 0x40f0);
	assert_non_null(strstr(dump(1), "IRR f0 ISR timer off"));
	assert_non_null(strstr(dump(1), "outstanding=1"));
	assert_int_equal(accept_(1), 0xf0);
	assert_int_equal(wrmsr(1, MSR_BASE, 0xfee00c00), 0);
	wr(1, R_EOI, 0);
	ipi(0, 1, 0x4062);
	assert_int_equal(pending(1), -1);
	assert_non_null(strstr(dump(1), "APIC x2APIC SVR=1ff TPR=00 PPR=f0"));
	assert_non_null(strstr(dump(1), "IRR 62 ISR f0 timer off"));
	assert_int_equal(wrmsr(1, MSR_X2 + 0xb, 0), 0);
	assert_int_equal(pending(1), 0x62);
	wr(0, R_INIT, 1000000);
	assert_non_null(strstr(dump(0), "timer due in 2000000 ns"));
}

static void msi_reaches_its_destination(void **state)
{
	(void)state;
	assert_int_equal(apic_bus_msi(&bus, 0xfee02000, 0x71), 1);
	assert_int_equal(pending(2), 0x71);
	assert_int_equal(apic_bus_msi(&bus, 0xdee02000, 0x72), 0);
}

/* Two at once are one; what no IPI brought has no time; nothing is noted unless asked for. */
static void time_of_an_ipi_is_noted_for_statistics(void **state)
{
	uint64_t first;

	(void)state;
	ipi(0, 1, 0x4050);
	assert_int_equal(accept_(1), 0x50);
	assert_int_equal(vcpus[1]->intr_sent, 0);
	wr(1, R_EOI, 0);
	stats_timed = true;
	first = clock_tsc();
	ipi(0, 1, 0x4050);
	fake_advance(10 * US);
	ipi(2, 1, 0x4050);
	assert_int_equal(accept_(1), 0x50);
	assert_int_equal(vcpus[1]->intr_sent, first);
	wr(1, R_EOI, 0);
	assert_int_equal(apic_bus_msi(&bus, 0xfee01000, 0x50), 1);
	assert_int_equal(accept_(1), 0x50);
	assert_int_equal(vcpus[1]->intr_sent, 0);
	stats_timed = false;
}

static void send_some(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < NR; i++)
		ipi(0, i, 0x4000 | (0x50 + i));
	ipi(0, 0, 0xc4070);
	wrmsr(0, MSR_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
	for (unsigned i = 0; i < NR; i++)
		if (wrmsr(0, MSR_X2 + 0x30, (uint64_t)i << 32 | (0x60 + i)))
			abort();
}

static void sending_makes_no_system_call(void **state)
{
	(void)state;
	assert_true(test_makes_no_system_call(send_some, NULL));
	stats_timed = true;
	assert_true(test_makes_no_system_call(send_some, NULL));
	stats_timed = false;
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers_have_their_reset_values),
		T(virtual_wire_is_set_at_power_on_only),
		T(sender_kicks_once_until_the_owner_looks),
		T(text_tells_why_an_interrupt_does_not_come),
		T(time_of_an_ipi_is_noted_for_statistics),
		T(sending_makes_no_system_call),
		T(higher_class_preempts_lower_waits),
		T(task_priority_masks_and_cr8_shows_it),
		T(level_interrupt_broadcasts_its_end),
		T(physical_destinations_and_shorthands),
		T(ipi_to_one_id),
		T(logical_flat_and_cluster_destinations),
		T(lowest_priority_takes_the_least_busy_and_rotates),
		T(nmi_init_and_start_up_become_requests),
		T(init_drops_a_start_up_that_came_before),
		T(illegal_vectors_set_the_error_register),
		T(error_entry_with_illegal_vector_does_not_feed_itself),
		T(software_disable_masks_and_refuses),
		T(extint_goes_through_lint0),
		T(lint_fixed_edge_and_nmi),
		T(lint_level_repeats_after_eoi),
		T(extint_message_is_delivered_once),
		T(timer_one_shot),
		T(timer_periodic_keeps_its_phase),
		T(timer_divider_change_keeps_the_count),
		T(timer_tsc_deadline),
		T(masked_timer_does_not_interrupt),
		T(apic_base_transitions),
		T(x2apic_registers_and_faults),
		T(x2apic_destinations),
		T(msi_reaches_its_destination),
	};

	return RUN_TESTS(tests);
}
