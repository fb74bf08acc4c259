/* SPDX-License-Identifier: MIT */
/*
 * HPET (IA-PC HPET specification 1.0a, chapter 2).
 *
 * A comparator matches when the counter reaches its value; `next` holds that as a full counter value, so 32-bit
 * comparators and values that have just gone by (a whole wrap away) need no special case. An edge interrupt is a pulse;
 * a level interrupt holds its line until software clears the status bit. Periods missed while the host was busy are one
 * interrupt.
 */
#include "hw/timer/hpet.h"

#include "hw/core/ticks.h"
#include "sched/clock.h"

#define NS_PER_TICK (NS_PER_SEC / HPET_HZ)
#define MIN_SLEEP_NS 10000 /* a guest's absurd period does not keep the loop thread busy */

/* Capabilities: period in fs, vendor 8086, legacy routes, 64-bit counter, number of timers - 1, revision 1. */
#define CAPABILITIES ((NS_PER_TICK * 1000000ull) << 32 | 0x80860000u | 0x8000u | 0x2000u | (HPET_TIMERS - 1) << 8 | 1)

enum { REG_CAP = 0x000, REG_CONFIG = 0x010, REG_STATUS = 0x020, REG_COUNTER = 0x0f0, REG_TIMERS = 0x100,
       TIMER_STRIDE = 0x20, TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08 };
enum { CONFIG_ENABLE = 1, CONFIG_LEGACY = 2 };
enum { T_LEVEL = 0x002, T_ENABLE = 0x004, T_PERIODIC = 0x008, T_CAN_PERIODIC = 0x010, T_CAN_64 = 0x020, T_SET = 0x040,
       T_32 = 0x100, T_ROUTE = 0x3e00, T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_SET | T_32 | T_ROUTE };

static uint64_t clock_ticks(vclock_ns_t now)
{
	return (uint64_t)now / NS_PER_TICK;
}

static uint64_t counter_at(struct hpet *h, vclock_ns_t now)
{
	uint64_t base = atomic_load_explicit(&h->base, memory_order_relaxed);

	return atomic_load_explicit(&h->enabled, memory_order_relaxed) ? base + clock_ticks(now) : base;
}

static uint64_t timer_mask(const struct hpet_timer *t)
{
	return t->config & T_32 ? 0xffffffffu : ~0ull;
}

static const struct irq_line *line_of(const struct hpet_timer *t)
{
	if (t->hpet->legacy && t->n < 2)
		return &t->hpet->legacy_irq[t->n];
	return &t->hpet->irq[(t->config & T_ROUTE) >> 9];
}

/* The line of a level-triggered comparator follows its status bit. */
static void update_level_locked(const struct hpet_timer *t)
{
	if (t->config & T_LEVEL)
		irq_set(line_of(t), (t->hpet->status & 1u << t->n) && (t->config & T_ENABLE));
}

static void fire_locked(struct hpet_timer *t)
{
	if (t->config & T_LEVEL) {
		t->hpet->status |= 1u << t->n;
		update_level_locked(t);
	} else if (t->config & T_ENABLE) {
		irq_pulse(line_of(t));
	}
}

static void disarm_locked(struct hpet_timer *t)
{
	t->armed = false;
	timer_disarm(&t->timer);
}

/* Sets the host timer for `next`; nothing to do when neither an interrupt nor a status bit can come of it. */
static void arm_locked(struct hpet_timer *t, vclock_ns_t now)
{
	uint64_t left = t->next - counter_at(t->hpet, now);
	vclock_ns_t due;

	if (!atomic_load(&t->hpet->enabled) || !(t->config & (T_ENABLE | T_LEVEL))) {
		disarm_locked(t);
		return;
	}
	t->armed = true;
	if (left > INT64_MAX / (2 * NS_PER_TICK)) {
		timer_disarm(&t->timer); /* centuries away */
		return;
	}
	/* From the start of the present tick, so that the counter has got there when the timer runs. */
	due = (vclock_ns_t)((clock_ticks(now) + left) * NS_PER_TICK);
	timer_arm(&t->timer, due < now + MIN_SLEEP_NS && (t->config & T_PERIODIC) ? now + MIN_SLEEP_NS : due);
}

/* The next match after now; called whenever counter, comparator or mode change. */
static void restart_locked(struct hpet_timer *t, vclock_ns_t now)
{
	uint64_t counter = counter_at(t->hpet, now);

	t->next = counter + ((t->comparator - counter) & timer_mask(t));
	if (t->next == counter) /* equal now: it has matched already when its last write is over */
		t->next = counter + ((t->comparator - counter - 1) & timer_mask(t)) + 1;
	arm_locked(t, now);
}

static void advance_locked(struct hpet_timer *t, vclock_ns_t now)
{
	uint64_t counter = counter_at(t->hpet, now), steps;

	if (!(t->config & T_PERIODIC) || !t->period) {
		t->next += timer_mask(t); /* a whole wrap away; for 64 bits: never */
		t->next += 1;
		if (timer_mask(t) == ~0ull)
			disarm_locked(t);
		else
			arm_locked(t, now);
		return;
	}
	steps = (counter - t->next) / t->period + 1;
	t->next += steps * t->period;
	t->comparator = (t->comparator + steps * t->period) & timer_mask(t);
	arm_locked(t, now);
}

static void match(void *opaque)
{
	struct hpet_timer *t = opaque;
	struct hpet *h = t->hpet;
	vclock_ns_t now = clock_now();

	lock_acquire(&h->lock);
	if (t->armed && atomic_load(&h->enabled)) {
		if ((int64_t)(counter_at(h, now) - t->next) >= 0) {
			fire_locked(t);
			advance_locked(t, now);
		} else {
			arm_locked(t, now);
		}
	}
	lock_release(&h->lock);
}

static void write_config_locked(struct hpet *h, uint64_t value)
{
	vclock_ns_t now = clock_now();
	bool enable = value & CONFIG_ENABLE, legacy = value & CONFIG_LEGACY;

	if (enable != atomic_load(&h->enabled)) {
		uint64_t counter = counter_at(h, now);

		atomic_store(&h->base, enable ? counter - clock_ticks(now) : counter);
		atomic_store(&h->enabled, enable);
		for (unsigned i = 0; i < HPET_TIMERS; i++)
			restart_locked(&h->timer[i], now);
	}
	if (legacy != h->legacy) {
		h->legacy = legacy;
		if (h->legacy_changed)
			h->legacy_changed(h->legacy_opaque, legacy);
	}
}

static void write_counter_locked(struct hpet *h, uint64_t value)
{
	vclock_ns_t now = clock_now();

	atomic_store(&h->base, atomic_load(&h->enabled) ? value - clock_ticks(now) : value);
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		restart_locked(&h->timer[i], now);
}

static void write_status_locked(struct hpet *h, uint32_t value)
{
	h->status &= ~value;
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		update_level_locked(&h->timer[i]);
}

static void write_timer_config_locked(struct hpet_timer *t, uint64_t value)
{
	/* The old line goes down before the route changes. */
	if (t->config & T_LEVEL)
		irq_set(line_of(t), false);
	t->config = value & T_WRITABLE;
	if (!(HPET_ROUTE_MASK >> ((t->config & T_ROUTE) >> 9) & 1))
		t->config &= ~(uint64_t)T_ROUTE; /* not a legal route: reads back as 0 */
	if (t->config & T_32) {
		t->comparator = (uint32_t)t->comparator;
		t->period = (uint32_t)t->period;
	}
	if (!(t->config & T_LEVEL))
		t->hpet->status &= ~(1u << t->n);
	update_level_locked(t);
	restart_locked(t, clock_now());
}

/* In periodic mode a write sets the period; after "value set" the next match, too. */
static void write_comparator_locked(struct hpet_timer *t, uint64_t value)
{
	value &= timer_mask(t);
	if (t->config & T_PERIODIC)
		t->period = value;
	if (!(t->config & T_PERIODIC) || (t->config & T_SET)) {
		t->comparator = value;
		restart_locked(t, clock_now());
	}
	t->config &= ~(uint64_t)T_SET;
}

static uint64_t read_timer_locked(const struct hpet_timer *t, unsigned reg)
{
	if (reg == TIMER_CONFIG)
		return t->config | T_CAN_PERIODIC | T_CAN_64 | (uint64_t)HPET_ROUTE_MASK << 32;
	return reg == TIMER_COMPARATOR ? t->comparator : 0;
}

/* One whole register. */
static uint64_t read_reg_locked(struct hpet *h, unsigned reg)
{
	switch (reg) {
	case REG_CAP:
		return CAPABILITIES;
	case REG_CONFIG:
		return (atomic_load(&h->enabled) ? CONFIG_ENABLE : 0u) | (h->legacy ? CONFIG_LEGACY : 0u);
	case REG_STATUS:
		return h->status;
	case REG_COUNTER:
		return counter_at(h, clock_now());
	}
	if (reg >= REG_TIMERS && reg < REG_TIMERS + HPET_TIMERS * TIMER_STRIDE)
		return read_timer_locked(&h->timer[(reg - REG_TIMERS) / TIMER_STRIDE], reg % TIMER_STRIDE);
	return 0;
}

static void write_reg_locked(struct hpet *h, unsigned reg, uint64_t value)
{
	struct hpet_timer *t;

	switch (reg) {
	case REG_CONFIG:
		write_config_locked(h, value);
		return;
	case REG_STATUS:
		write_status_locked(h, (uint32_t)value);
		return;
	case REG_COUNTER:
		write_counter_locked(h, value);
		return;
	}
	if (reg < REG_TIMERS || reg >= REG_TIMERS + HPET_TIMERS * TIMER_STRIDE)
		return;
	t = &h->timer[(reg - REG_TIMERS) / TIMER_STRIDE];
	if (reg % TIMER_STRIDE == TIMER_CONFIG)
		write_timer_config_locked(t, value);
	else if (reg % TIMER_STRIDE == TIMER_COMPARATOR)
		write_comparator_locked(t, value);
}

static uint64_t hpet_read(void *opaque, uint64_t off, unsigned size)
{
	struct hpet *h = opaque;
	unsigned reg = (unsigned)off & ~7u;
	uint64_t v;

	if (reg == REG_COUNTER) {
		v = counter_at(h, clock_now());
	} else {
		lock_acquire(&h->lock);
		v = read_reg_locked(h, reg);
		lock_release(&h->lock);
	}
	return size == 8 ? v : (uint32_t)(v >> (off & 4) * 8);
}

/* A write to one half leaves the other as it is; a 32-bit comparator has no upper half, nor does its period. */
static uint64_t merge(struct hpet *h, unsigned reg, uint64_t off, uint64_t value)
{
	uint64_t old = read_reg_locked(h, reg);

	if (reg >= REG_TIMERS && reg % TIMER_STRIDE == TIMER_COMPARATOR) {
		const struct hpet_timer *t = &h->timer[(reg - REG_TIMERS) / TIMER_STRIDE];

		if ((t->config & (T_PERIODIC | T_SET)) == T_PERIODIC)
			old = t->period;
	}
	if (reg == REG_STATUS)
		old = 0; /* write 1 to clear */
	return off & 4 ? (uint32_t)old | value << 32 : (old & ~0xffffffffull) | (uint32_t)value;
}

static void hpet_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct hpet *h = opaque;
	unsigned reg = (unsigned)off & ~7u;

	lock_acquire(&h->lock);
	if (reg < REG_TIMERS + HPET_TIMERS * TIMER_STRIDE)
		write_reg_locked(h, reg, size == 8 ? value : merge(h, reg, off, value));
	lock_release(&h->lock);
}

static void hpet_reset(void *dev)
{
	struct hpet *h = dev;

	lock_acquire(&h->lock);
	h->status = 0;
	write_config_locked(h, 0);
	atomic_store(&h->base, 0);
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		struct hpet_timer *t = &h->timer[i];

		update_level_locked(t);
		t->config = 0;
		t->comparator = ~0ull;
		t->period = 0;
		disarm_locked(t);
	}
	lock_release(&h->lock);
}

void hpet_init(struct hpet *h)
{
	lock_init(&h->lock, LOCK_RANK_DEVICE);
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		h->timer[i].hpet = h;
		h->timer[i].n = i;
		timer_init(&h->timer[i].timer, match, &h->timer[i]);
	}
	hpet_reset(h);
}

const struct mmio_ops hpet_ops = {.read = hpet_read, .write = hpet_write, .min_size = 4, .max_size = 8};

const struct device_type hpet_device = {
	.name = "hpet",
	.reset = hpet_reset,
};
