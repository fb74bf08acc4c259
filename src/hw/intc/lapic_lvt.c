/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: the local vector table, the LINT pins and the error interrupt (SDM vol. 3, 11.5).
 */
#include "hw/intc/lapic.h"
#include "vcpu/vcpu.h"

#define LVT_LEVEL 0x8000u
#define LVT_REMOTE_IRR 0x4000u

static const uint32_t lvt_valid[LAPIC_NR_LVT] = {
	[LAPIC_LVT_TIMER] = 0x700ff,   /* vector, mask, timer mode */
	[LAPIC_LVT_THERMAL] = 0x107ff, /* vector, delivery mode, mask */
	[LAPIC_LVT_PERF] = 0x107ff,
	[LAPIC_LVT_LINT0] = 0x1a7ff,   /* and polarity, trigger mode */
	[LAPIC_LVT_LINT1] = 0x1a7ff,
	[LAPIC_LVT_ERROR] = 0x100ff,   /* vector, mask */
};

uint32_t lapic_lvt_valid_bits(enum lapic_lvt n)
{
	return lvt_valid[n];
}

void lapic_lvt_mask_all(struct lapic *l)
{
	for (unsigned i = 0; i < LAPIC_NR_LVT; i++)
		l->lvt[i] |= LAPIC_LVT_MASKED;
}

void lapic_lvt_reset(struct lapic *l)
{
	for (unsigned i = 0; i < LAPIC_NR_LVT; i++)
		l->lvt[i] = LAPIC_LVT_MASKED;
	l->lint_remote_irr[0] = l->lint_remote_irr[1] = false;
}

static uint8_t delivery_mode(const struct lapic *l, enum lapic_lvt n)
{
	/* The timer and error entries have no mode field: fixed. */
	return n == LAPIC_LVT_TIMER || n == LAPIC_LVT_ERROR ? APIC_DM_FIXED : l->lvt[n] >> 8 & 7;
}

static bool is_level_lint(const struct lapic *l, enum lapic_lvt n)
{
	return (n == LAPIC_LVT_LINT0 || n == LAPIC_LVT_LINT1) && (l->lvt[n] & LVT_LEVEL) &&
	       delivery_mode(l, n) == APIC_DM_FIXED;
}

void lapic_lvt_fire(struct lapic *l, enum lapic_lvt n)
{
	if (l->lvt[n] & LAPIC_LVT_MASKED)
		return;
	switch (delivery_mode(l, n)) {
	case APIC_DM_FIXED:
		lapic_set_irr(l, l->lvt[n] & 0xff, is_level_lint(l, n));
		break;
	case APIC_DM_NMI:
		vcpu_request(l->vcpu, VCPU_REQ_NMI);
		break;
	case APIC_DM_SMI:
		vcpu_request(l->vcpu, VCPU_REQ_SMI);
		break;
	case APIC_DM_INIT:
		vcpu_request(l->vcpu, VCPU_REQ_INIT);
		break;
	default: /* ExtINT follows the pin's level: lapic_extint_pending() */
		break;
	}
}

/* A level-triggered LINT pin interrupts while it is high and its last interrupt has been ended. */
static void lint_level_check(struct lapic *l, unsigned pin)
{
	enum lapic_lvt n = LAPIC_LVT_LINT0 + pin;

	if (!is_level_lint(l, n) || l->lint_remote_irr[pin] || (l->lvt[n] & LAPIC_LVT_MASKED))
		return;
	if (!(atomic_load(&l->lint_level) & 1u << pin))
		return;
	l->lint_remote_irr[pin] = true;
	lapic_lvt_fire(l, n);
}

static void lint_edge(struct lapic *l, unsigned pin)
{
	if (is_level_lint(l, LAPIC_LVT_LINT0 + pin))
		lint_level_check(l, pin);
	else
		lapic_lvt_fire(l, LAPIC_LVT_LINT0 + pin);
}

void lapic_handle_events(struct lapic *l)
{
	uint32_t ev = atomic_fetch_and(&l->in->events, LAPIC_EV_EXTINT);

	if (ev & LAPIC_EV_LINT0)
		lint_edge(l, 0);
	if (ev & LAPIC_EV_LINT1)
		lint_edge(l, 1);
	if (ev & LAPIC_EV_ERROR)
		lapic_lvt_fire(l, LAPIC_LVT_ERROR);
}

void lapic_lvt_eoi(struct lapic *l, uint8_t vector)
{
	for (unsigned pin = 0; pin < 2; pin++) {
		if (!l->lint_remote_irr[pin] || (l->lvt[LAPIC_LVT_LINT0 + pin] & 0xff) != vector)
			continue;
		l->lint_remote_irr[pin] = false;
		lint_level_check(l, pin);
	}
}

/*
 * Does the 8259 pair interrupt this CPU? Through LINT0 in ExtINT mode; directly when the APIC is globally disabled
 * (LINT0 is then the INTR pin, SDM vol. 3, 11.4.3); or by an ExtINT message from the IOAPIC.
 */
bool lapic_extint_pending(const struct lapic *l)
{
	if (atomic_load(&l->in->events) & LAPIC_EV_EXTINT)
		return true;
	if (!(atomic_load(&l->lint_level) & 1))
		return false;
	if (lapic_mode(l) == LAPIC_DISABLED)
		return l->bsp;
	return !(l->lvt[LAPIC_LVT_LINT0] & LAPIC_LVT_MASKED) && delivery_mode(l, LAPIC_LVT_LINT0) == APIC_DM_EXTINT;
}

uint32_t lapic_lvt_read(const struct lapic *l, enum lapic_lvt n)
{
	uint32_t v = l->lvt[n];

	if ((n == LAPIC_LVT_LINT0 || n == LAPIC_LVT_LINT1) && l->lint_remote_irr[n - LAPIC_LVT_LINT0])
		v |= LVT_REMOTE_IRR;
	return v;
}

void lapic_lvt_write(struct lapic *l, enum lapic_lvt n, uint32_t value)
{
	uint32_t old = l->lvt[n];

	value &= lvt_valid[n];
	if (!(atomic_load_explicit(&l->svr, memory_order_relaxed) & LAPIC_SVR_ENABLE))
		value |= LAPIC_LVT_MASKED;
	l->lvt[n] = value;
	if (n == LAPIC_LVT_TIMER) {
		lapic_timer_lvt_changed(l, old);
	} else if (n == LAPIC_LVT_LINT0 || n == LAPIC_LVT_LINT1) {
		unsigned pin = n - LAPIC_LVT_LINT0;

		if (!is_level_lint(l, n))
			l->lint_remote_irr[pin] = false;
		lint_level_check(l, pin);
	}
	lapic_recheck(l);
}
