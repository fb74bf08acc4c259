/* SPDX-License-Identifier: MIT */
/*
 * Local APIC timer: one-shot, periodic and TSC-deadline (SDM vol. 3, 11.5.4).
 *
 * No thread of its own: its vCPU arms a host timer from lapic_timer_due() and calls lapic_timer_expire() when the time
 * has come. The count is a pure function of the clock; only its end is stored.
 */
#include "hw/core/ticks.h"
#include "hw/intc/lapic.h"
#include "sched/clock.h"
#include "vcpu/vcpu.h"

enum timer_mode { ONE_SHOT, PERIODIC, TSC_DEADLINE, RESERVED };

static enum timer_mode mode_of(uint32_t lvt)
{
	return lvt >> 17 & 3;
}

static enum timer_mode timer_mode(const struct lapic *l)
{
	return mode_of(l->lvt[LAPIC_LVT_TIMER]);
}

/* Nanoseconds per count: bits 3, 1, 0 hold log2 of the divisor minus one; all ones divides by 1. */
static unsigned divisor(const struct lapic *l)
{
	unsigned code = (l->timer_divide & 3) | (l->timer_divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static vclock_ns_t count_to_ns(const struct lapic *l, uint32_t count)
{
	return (vclock_ns_t)count * divisor(l);
}

static void start(struct lapic *l, uint32_t count, vclock_ns_t now)
{
	l->timer_due = count ? now + count_to_ns(l, count) : VCLOCK_NEVER;
}

void lapic_timer_reset(struct lapic *l)
{
	bool armed = l->timer_due != VCLOCK_NEVER || l->tsc_deadline;

	l->timer_divide = 0;
	l->timer_initial = 0;
	l->tsc_deadline = 0;
	start(l, 0, 0);
	if (armed)
		vcpu_timer_changed(l->vcpu);
}

/* Moves a periodic timer over the periods that have passed: several missed ones are one interrupt, as in the IRR. */
static void reload(struct lapic *l, vclock_ns_t now)
{
	vclock_ns_t period = count_to_ns(l, l->timer_initial);

	if (!period) {
		start(l, 0, now);
		return;
	}
	start(l, l->timer_initial, l->timer_due + (now - l->timer_due) / period * period);
}

uint32_t lapic_timer_current(const struct lapic *l)
{
	vclock_ns_t now = clock_now();
	vclock_ns_t left = l->timer_due - now;
	vclock_ns_t period = count_to_ns(l, l->timer_initial);

	if (l->timer_due == VCLOCK_NEVER || timer_mode(l) >= TSC_DEADLINE)
		return 0;
	if (left <= 0) {
		/* Due, but its vCPU has not noticed yet. */
		if (timer_mode(l) != PERIODIC || !period)
			return 0;
		left = period - -left % period;
	}
	return (uint32_t)((left + divisor(l) - 1) / divisor(l));
}

void lapic_timer_set_initial(struct lapic *l, uint32_t value)
{
	if (timer_mode(l) >= TSC_DEADLINE)
		return;
	l->timer_initial = value;
	start(l, value, clock_now());
	vcpu_timer_changed(l->vcpu);
}

void lapic_timer_set_divide(struct lapic *l, uint32_t value)
{
	uint32_t left = lapic_timer_current(l);

	l->timer_divide = value & 0xb;
	if (l->timer_due == VCLOCK_NEVER)
		return;
	start(l, left, clock_now());
	vcpu_timer_changed(l->vcpu);
}

/* Going to or from TSC-deadline mode stops the timer; between the others it goes on counting. */
void lapic_timer_lvt_changed(struct lapic *l, uint32_t old)
{
	bool was_tsc = mode_of(old) == TSC_DEADLINE;

	if (mode_of(old) == timer_mode(l) || (!was_tsc && timer_mode(l) < TSC_DEADLINE))
		return;
	l->timer_initial = 0;
	l->tsc_deadline = 0;
	start(l, 0, 0);
	vcpu_timer_changed(l->vcpu);
}

uint64_t lapic_timer_tsc_deadline(const struct lapic *l)
{
	return timer_mode(l) == TSC_DEADLINE ? l->tsc_deadline : 0;
}

void lapic_timer_set_tsc_deadline(struct lapic *l, uint64_t value)
{
	if (timer_mode(l) != TSC_DEADLINE)
		return;
	l->tsc_deadline = value;
	if (value && vcpu_tsc_read(l->vcpu) >= value)
		lapic_timer_expire(l);
	vcpu_timer_changed(l->vcpu);
}

vclock_ns_t lapic_timer_due(const struct lapic *l)
{
	uint64_t tsc;

	if (timer_mode(l) != TSC_DEADLINE)
		return l->timer_due;
	if (!l->tsc_deadline)
		return VCLOCK_NEVER;
	tsc = vcpu_tsc_read(l->vcpu);
	if (tsc >= l->tsc_deadline)
		return clock_now();
	return vclock_add(clock_now(), ticks_to_ns(l->tsc_deadline - tsc, clock_tsc_hz()));
}

void lapic_timer_expire(struct lapic *l)
{
	vclock_ns_t now;

	if (timer_mode(l) == TSC_DEADLINE) {
		if (!l->tsc_deadline)
			return;
		/* Not yet: the two clocks differ in the last digit. The vCPU arms its timer again. */
		if (vcpu_tsc_read(l->vcpu) < l->tsc_deadline) {
			vcpu_timer_changed(l->vcpu);
			return;
		}
		l->tsc_deadline = 0;
		lapic_lvt_fire(l, LAPIC_LVT_TIMER);
		return;
	}
	now = clock_now();
	if (l->timer_due == VCLOCK_NEVER)
		return;
	if (now >= l->timer_due) {
		if (timer_mode(l) == PERIODIC)
			reload(l, now);
		else
			start(l, 0, now);
		lapic_lvt_fire(l, LAPIC_LVT_TIMER);
	}
	if (l->timer_due != VCLOCK_NEVER)
		vcpu_timer_changed(l->vcpu);
}
