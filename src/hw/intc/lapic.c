/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: delivery, priorities and acceptance (SDM vol. 3, 11.8 "Handling Interrupts").
 */
#include "hw/intc/lapic.h"

#include <string.h>

#include "hw/core/ticks.h"
#include "util/cost.h"
#include "util/jitter.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/vcpu.h"

#define ESR_RECV_ILLEGAL_VECTOR 0x40u

static struct lapic *lapic_of(struct vcpu *v)
{
	return v->intc_opaque;
}

/* The partner of lapic_pending(): see the head of lapic.h. */
static void notify(struct lapic *l)
{
	jitter();
	if (!atomic_load(&l->in->outstanding) && !atomic_exchange(&l->in->outstanding, true))
		vcpu_request(l->vcpu, VCPU_REQ_INTR);
}

static void post_event(struct lapic *l, uint32_t ev)
{
	atomic_fetch_or(&l->in->events, ev);
	notify(l);
}

void lapic_error(struct lapic *l, uint32_t esr_bit)
{
	/* Once per kind until the guest latches it: an error entry with an illegal vector must not feed itself. */
	if (!(atomic_fetch_or(&l->errors, esr_bit) & esr_bit))
		post_event(l, LAPIC_EV_ERROR);
}

/*
 * The trigger mode is stored first: who sees the IRR bit sees its TMR bit. A bit that is already set is one whose owner
 * has not accepted it yet and whose setter has notified or is about to: the two interrupts become one.
 */
bool lapic_set_irr(struct lapic *l, uint8_t vector, bool level)
{
	uint64_t bit = 1ull << (vector & 63);
	unsigned word = vector >> 6;

	if (vector < 16) {
		lapic_error(l, ESR_RECV_ILLEGAL_VECTOR);
		return true;
	}
	if (!!(atomic_load(&l->tmr[word]) & bit) != level) {
		if (level)
			atomic_fetch_or(&l->tmr[word], bit);
		else
			atomic_fetch_and(&l->tmr[word], ~bit);
	}
	if (!(atomic_fetch_or(&l->in->vectors[word], bit) & bit))
		notify(l);
	return true;
}

/*
 * Only the sender that is about to set the bit leaves its time. Of several at once it may be the later one: what is counted is then too
 * short by the time between them.
 */
static void note_sent(struct lapic *l, const struct apic_msg *msg)
{
	cost_lines(1);
	if (!(atomic_load(&l->in->vectors[msg->vector >> 6]) >> (msg->vector & 63) & 1))
		atomic_store_explicit(&l->ipi_sent[msg->vector], msg->sent, memory_order_relaxed);
}

bool lapic_deliver(struct lapic *l, const struct apic_msg *msg)
{
	struct vcpu *v = l->vcpu;

	if (lapic_mode(l) == LAPIC_DISABLED)
		return false;
	switch (msg->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		cost_add(COST_OPS, 1);
		cost_lines(1); /* IRR and `outstanding`; the request word is on the same line and counts once more if it is written */
		if (unlikely(msg->sent))
			note_sent(l, msg);
		return lapic_accepts_fixed(l) && lapic_set_irr(l, msg->vector, msg->level);
	case APIC_DM_SMI:
		vcpu_request(v, VCPU_REQ_SMI);
		return true;
	case APIC_DM_NMI:
		vcpu_request(v, VCPU_REQ_NMI);
		return true;
	case APIC_DM_INIT:
		/* A SIPI that came first and has not been seen yet would start the CPU that now must wait for another. */
		atomic_fetch_and(&v->env.request, ~VCPU_REQ_SIPI);
		vcpu_request(v, VCPU_REQ_INIT);
		return true;
	case APIC_DM_SIPI:
		/* Pairs with the vCPU's taking of the request bit, which vcpu_request() releases. */
		__atomic_store_n(&v->sipi_vector, msg->vector, __ATOMIC_RELAXED);
		vcpu_request(v, VCPU_REQ_SIPI);
		return true;
	case APIC_DM_EXTINT:
		post_event(l, LAPIC_EV_EXTINT);
		return true;
	}
	guest_error("local APIC: reserved delivery mode %u", msg->mode);
	return false;
}

void lapic_lint(struct lapic *l, unsigned pin, bool level)
{
	uint32_t bit = 1u << pin;
	uint32_t old = level ? atomic_fetch_or(&l->lint_level, bit) : atomic_fetch_and(&l->lint_level, ~bit);

	if (level && !(old & bit))
		post_event(l, pin ? LAPIC_EV_LINT1 : LAPIC_EV_LINT0);
}

void lapic_lint_set(void *opaque, unsigned n, bool level)
{
	lapic_lint(opaque, n, level);
}

static int highest_bit(const uint64_t map[4])
{
	for (int i = 3; i >= 0; i--)
		if (map[i])
			return i * 64 + 63 - __builtin_clzll(map[i]);
	return -1;
}

static int highest_irr(struct lapic *l)
{
	for (int i = 3; i >= 0; i--) {
		uint64_t w = atomic_load(&l->in->vectors[i]);

		if (w)
			return i * 64 + 63 - __builtin_clzll(w);
	}
	return -1;
}

/* Processor priority: the higher of the task priority and the class in service. */
uint8_t lapic_ppr(const struct lapic *l)
{
	uint8_t tpr = (uint8_t)atomic_load_explicit(&l->tpr, memory_order_relaxed);
	int isr = highest_bit(l->isr);

	if (isr < 0 || tpr >> 4 >= isr >> 4)
		return tpr;
	return isr & 0xf0;
}

static int deliverable(struct lapic *l)
{
	int vector = highest_irr(l);

	return vector >= 0 && vector >> 4 > lapic_ppr(l) >> 4 ? vector : -1;
}

/* Without either lapic_extint_pending() says no. */
static bool extint_is_asked(const struct lapic *l)
{
	return (atomic_load(&l->in->events) & LAPIC_EV_EXTINT) || (atomic_load(&l->lint_level) & 1);
}

int lapic_pending(struct lapic *l)
{
	int vector;

	if (atomic_load(&l->in->outstanding))
		atomic_exchange(&l->in->outstanding, false);
	if (atomic_load(&l->in->events) & ~LAPIC_EV_EXTINT)
		lapic_handle_events(l);
	vector = lapic_mode(l) == LAPIC_DISABLED ? -1 : deliverable(l);
	if (vector < 0 && extint_is_asked(l) && lapic_extint_pending(l))
		vector = LAPIC_VECTOR_EXTINT;
	return vector;
}

void lapic_recheck(struct lapic *l)
{
	if (lapic_pending(l) >= 0)
		vcpu_request(l->vcpu, VCPU_REQ_INTR);
}

static int accept_extint(struct lapic *l)
{
	/* The message is used up by this cycle, whoever asked for it. */
	atomic_fetch_and(&l->in->events, ~LAPIC_EV_EXTINT);
	return l->bus->inta ? l->bus->inta(l->bus->inta_opaque) : -1;
}

static int op_accept(struct vcpu *v)
{
	struct lapic *l = lapic_of(v);
	int vector = lapic_pending(l);
	uint64_t bit;

	v->intr_sent = 0;
	if (vector < 0)
		return -1;
	if (vector == LAPIC_VECTOR_EXTINT) {
		vector = accept_extint(l);
	} else {
		bit = 1ull << (vector & 63);
		atomic_fetch_and(&l->in->vectors[vector >> 6], ~bit);
		l->isr[vector >> 6] |= bit;
		if (unlikely(stats_timed))
			v->intr_sent = atomic_exchange_explicit(&l->ipi_sent[vector], 0, memory_order_relaxed);
	}
	lapic_recheck(l);
	return vector;
}

void lapic_eoi(struct lapic *l)
{
	int vector = highest_bit(l->isr);
	uint64_t bit;

	if (vector < 0)
		return;
	bit = 1ull << (vector & 63);
	l->isr[vector >> 6] &= ~bit;
	if (atomic_load(&l->tmr[vector >> 6]) & bit) {
		lapic_lvt_eoi(l, (uint8_t)vector);
		if (l->bus->eoi)
			l->bus->eoi(l->bus->eoi_opaque, (uint8_t)vector);
	}
	lapic_recheck(l);
}

static uint32_t initial_ldr(const struct lapic *l)
{
	return lapic_mode(l) == LAPIC_X2APIC ? l->id >> 4 << 16 | 1u << (l->id & 15) : 0;
}

static void clear_vectors(struct lapic *l)
{
	for (unsigned i = 0; i < 4; i++) {
		atomic_store(&l->in->vectors[i], 0);
		atomic_store(&l->tmr[i], 0);
	}
	memset(l->isr, 0, sizeof(l->isr));
}

/* SDM vol. 3, 11.4.7.1-3: INIT keeps APIC_BASE, and with it x2APIC mode. */
void lapic_reset(struct lapic *l, bool power_on)
{
	if (power_on)
		atomic_store(&l->base, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN | (l->bsp ? LAPIC_BASE_BSP : 0));
	clear_vectors(l);
	atomic_store(&l->in->events, 0);
	atomic_store(&l->errors, 0);
	atomic_store(&l->in->outstanding, false);
	atomic_store(&l->ldr, initial_ldr(l));
	atomic_store(&l->dfr, 0xffffffffu);
	atomic_store(&l->svr, 0xff);
	atomic_store(&l->tpr, 0);
	l->icr_lo = l->icr_hi = 0;
	l->esr = 0;
	lapic_timer_reset(l);
	lapic_lvt_reset(l);
	if (power_on && l->virtual_wire) {
		atomic_store(&l->svr, LAPIC_SVR_ENABLE | 0xff);
		l->lvt[LAPIC_LVT_LINT0] = APIC_DM_EXTINT << 8;
		l->lvt[LAPIC_LVT_LINT1] = APIC_DM_NMI << 8;
	}
}

void lapic_init(struct lapic *l, struct apic_bus *bus, struct vcpu *v, uint32_t id, bool bsp)
{
	l->bus = bus;
	l->vcpu = v;
	l->in = &v->env.inbox;
	l->id = id;
	l->bsp = bsp;
	l->timer_due = VCLOCK_NEVER;
	lapic_reset(l, true);
}

static int op_pending(struct vcpu *v)
{
	return lapic_pending(lapic_of(v));
}

static int op_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	return lapic_msr_read(lapic_of(v), msr, value);
}

static int op_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return lapic_msr_write(lapic_of(v), msr, value);
}

static bool op_ipi(struct vcpu *v, uint32_t dest, uint32_t icr)
{
	return lapic_ipi(lapic_of(v), dest, icr);
}

static uint8_t op_cr8_read(struct vcpu *v)
{
	return (uint8_t)(atomic_load_explicit(&lapic_of(v)->tpr, memory_order_relaxed) >> 4);
}

static void op_cr8_write(struct vcpu *v, uint8_t value)
{
	struct lapic *l = lapic_of(v);

	atomic_store_explicit(&l->tpr, (value & 15u) << 4, memory_order_relaxed);
	lapic_recheck(l);
}

static void op_reset(struct vcpu *v, bool power_on)
{
	lapic_reset(lapic_of(v), power_on);
}

static vclock_ns_t op_timer_deadline(struct vcpu *v)
{
	return lapic_timer_due(lapic_of(v));
}

static void op_timer_expire(struct vcpu *v)
{
	lapic_timer_expire(lapic_of(v));
}

static void op_dump(const struct vcpu *v, FILE *out)
{
	lapic_dump(v->intc_opaque, out);
}

const struct intc_ops lapic_intc_ops = {
	.pending = op_pending,
	.accept = op_accept,
	.msr_read = op_msr_read,
	.msr_write = op_msr_write,
	.ipi = op_ipi,
	.cr8_read = op_cr8_read,
	.cr8_write = op_cr8_write,
	.reset = op_reset,
	.timer_deadline = op_timer_deadline,
	.timer_expire = op_timer_expire,
	.dump = op_dump,
};
