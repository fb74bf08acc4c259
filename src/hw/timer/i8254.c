/* SPDX-License-Identifier: MIT */
/*
 * 8254 (Intel 82C54 datasheet, order number 231244).
 *
 * The line of channel 0 is driven at its rising edges only: low and high again at once in modes 2 to 5, where OUT is low
 * for a clock or for half a period. One simplification: a new count in modes 2 and 3 starts a new period at once instead
 * of at the end of the present one.
 */
#include "hw/timer/i8254.h"

#include <string.h>

#include "hw/core/ticks.h"
#include "sched/clock.h"

enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };

static uint32_t modulus(const struct i8254_channel *c)
{
	return c->bcd ? 10000 : 0x10000;
}

static uint64_t elapsed(const struct i8254_channel *c, vclock_ns_t now)
{
	return c->running && now > c->start ? ticks_from_ns((uint64_t)(now - c->start), I8254_HZ) :
	       c->running ? 0 : c->held;
}

static bool is_periodic(const struct i8254_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool is_gate_triggered(const struct i8254_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* The counting element. */
static uint32_t count_at(const struct i8254_channel *c, vclock_ns_t now)
{
	uint64_t d = elapsed(c, now);

	if (!c->loaded)
		return 0;
	if (c->mode == 2)
		return c->initial - (uint32_t)(d % c->initial);
	if (c->mode == 3)
		return c->initial - (uint32_t)(2 * d % c->initial);
	return (uint32_t)((c->initial + modulus(c) - d % modulus(c)) % modulus(c));
}

static bool out_at(const struct i8254_channel *c, vclock_ns_t now)
{
	uint64_t d = elapsed(c, now);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return d >= c->initial;
	case 1:
		return !c->triggered || d >= c->initial;
	case 2:
		return !c->running || d % c->initial != c->initial - 1;
	case 3:
		return !c->running || d % c->initial < (c->initial + 1) / 2;
	default: /* a strobe of one clock */
		return d != c->initial || (c->mode == 5 && !c->triggered);
	}
}

static uint16_t to_bcd(uint32_t v)
{
	return (uint16_t)(v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t from_bcd(uint16_t v)
{
	return (v >> 12 & 15) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15);
}

static uint16_t visible_count(const struct i8254_channel *c, vclock_ns_t now)
{
	uint32_t v = count_at(c, now);

	return c->bcd ? to_bcd(v) : (uint16_t)v;
}

/* The next rising edge of channel 0 after `now`. */
static vclock_ns_t next_edge(const struct i8254_channel *c, vclock_ns_t now)
{
	uint64_t d = elapsed(c, now), at = c->initial;

	if (!c->loaded || !c->running || (is_gate_triggered(c) && !c->triggered))
		return VCLOCK_NEVER;
	if (is_periodic(c))
		at = (d / c->initial + 1) * c->initial;
	else if (d >= at)
		return VCLOCK_NEVER;
	return vclock_add(c->start, ticks_to_ns(at, I8254_HZ));
}

static void schedule_locked(struct i8254 *pit, vclock_ns_t now)
{
	pit->due = next_edge(&pit->ch[0], now);
	if (pit->due == VCLOCK_NEVER)
		timer_disarm(&pit->timer);
	else
		timer_arm(&pit->timer, pit->due);
}

static void edge_due(void *opaque)
{
	struct i8254 *pit = opaque;
	vclock_ns_t now = clock_now();

	lock_acquire(&pit->lock);
	if (pit->due != VCLOCK_NEVER && now >= pit->due) {
		irq_set(&pit->irq, false);
		irq_set(&pit->irq, true);
		schedule_locked(pit, now);
	}
	lock_release(&pit->lock);
}

static void stop(struct i8254_channel *c, vclock_ns_t now)
{
	c->held = elapsed(c, now);
	c->running = false;
}

static void resume(struct i8254_channel *c, vclock_ns_t now)
{
	c->start = now - ticks_to_ns(c->held, I8254_HZ);
	c->running = true;
}

static void restart(struct i8254_channel *c, vclock_ns_t now)
{
	c->held = 0;
	resume(c, now);
}

static void load_locked(struct i8254 *pit, unsigned n, uint16_t value)
{
	struct i8254_channel *c = &pit->ch[n];
	vclock_ns_t now = clock_now();
	uint32_t count = c->bcd ? from_bcd(value) : value;

	c->initial = count ? count : modulus(c);
	c->loaded = true;
	if (!is_gate_triggered(c)) {
		restart(c, now);
		if (!c->gate)
			stop(c, now);
	}
	if (n == 0) {
		irq_set(&pit->irq, out_at(c, now));
		schedule_locked(pit, now);
	}
}

static void set_mode_locked(struct i8254 *pit, unsigned n, uint8_t value)
{
	struct i8254_channel *c = &pit->ch[n];

	c->mode = value >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3; /* 6 and 7 are 2 and 3 */
	c->access = value >> 4 & 3;
	c->bcd = value & 1;
	c->loaded = c->running = c->triggered = false;
	c->held = 0;
	c->write_second = c->read_second = false;
	c->count_latched = c->status_latched = false;
	if (n == 0) {
		irq_set(&pit->irq, out_at(c, 0));
		schedule_locked(pit, 0);
	}
}

static void latch_count(struct i8254_channel *c, vclock_ns_t now)
{
	if (c->count_latched)
		return;
	c->latched_count = visible_count(c, now);
	c->count_latched = true;
}

static void latch_status(struct i8254_channel *c, vclock_ns_t now)
{
	if (c->status_latched)
		return;
	c->latched_status = (uint8_t)((out_at(c, now) ? STATUS_OUT : 0) | (c->loaded ? 0 : STATUS_NULL) |
				      c->access << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void write_control_locked(struct i8254 *pit, uint8_t value)
{
	vclock_ns_t now = clock_now();
	unsigned n = value >> 6;

	if (n < 3) {
		if (value & 0x30)
			set_mode_locked(pit, n, value);
		else
			latch_count(&pit->ch[n], now);
		return;
	}
	for (unsigned i = 0; i < 3; i++) { /* read-back command: both bits are active low */
		if (!(value & 2u << i))
			continue;
		if (!(value & 0x20))
			latch_count(&pit->ch[i], now);
		if (!(value & 0x10))
			latch_status(&pit->ch[i], now);
	}
}

static void write_count_locked(struct i8254 *pit, unsigned n, uint8_t value)
{
	struct i8254_channel *c = &pit->ch[n];

	switch (c->access) {
	case 1:
		load_locked(pit, n, value);
		break;
	case 2:
		load_locked(pit, n, (uint16_t)(value << 8));
		break;
	case 3:
		if (c->write_second)
			load_locked(pit, n, (uint16_t)(value << 8 | c->write_low));
		c->write_low = value;
		c->write_second = !c->write_second;
		break;
	default: /* never programmed */
		break;
	}
}

static uint8_t read_count_locked(struct i8254_channel *c)
{
	uint16_t v;

	if (c->status_latched) {
		c->status_latched = false;
		return c->latched_status;
	}
	v = c->count_latched ? c->latched_count : visible_count(c, clock_now());
	if (c->access == 3) {
		c->read_second = !c->read_second;
		if (c->read_second)
			return (uint8_t)v;
		c->count_latched = false;
		return v >> 8;
	}
	c->count_latched = false;
	return c->access == 2 ? v >> 8 : (uint8_t)v;
}

void i8254_set_gate(struct i8254 *pit, unsigned channel, bool level)
{
	struct i8254_channel *c = &pit->ch[channel];
	vclock_ns_t now = clock_now();
	bool rising, falling;

	lock_acquire(&pit->lock);
	rising = level && !c->gate;
	falling = !level && c->gate;
	c->gate = level;
	if (rising && is_gate_triggered(c)) {
		c->triggered = true;
		restart(c, now);
	} else if (rising && c->loaded) {
		if (is_periodic(c))
			c->held = 0;
		resume(c, now);
	} else if (falling && !is_gate_triggered(c) && c->running) {
		stop(c, now);
	}
	if (channel == 0)
		schedule_locked(pit, now);
	lock_release(&pit->lock);
}

bool i8254_get_out(struct i8254 *pit, unsigned channel)
{
	bool out;

	lock_acquire(&pit->lock);
	out = out_at(&pit->ch[channel], clock_now());
	lock_release(&pit->lock);
	return out;
}

static uint64_t pit_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8254 *pit = opaque;
	uint8_t v;

	(void)size;
	if ((off & 3) == 3)
		return 0xff; /* the control word cannot be read */
	lock_acquire(&pit->lock);
	v = read_count_locked(&pit->ch[off & 3]);
	lock_release(&pit->lock);
	return v;
}

static void pit_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8254 *pit = opaque;

	(void)size;
	lock_acquire(&pit->lock);
	if ((off & 3) == 3)
		write_control_locked(pit, (uint8_t)value);
	else
		write_count_locked(pit, off & 3, (uint8_t)value);
	lock_release(&pit->lock);
}

/* As firmware leaves it: channel 0 as the 18.2 Hz tick, the others ready to be programmed. */
static void pit_reset(void *dev)
{
	struct i8254 *pit = dev;

	lock_acquire(&pit->lock);
	for (unsigned i = 0; i < 3; i++) {
		memset(&pit->ch[i], 0, sizeof(pit->ch[i]));
		pit->ch[i].gate = i != 2;
		pit->ch[i].access = 3;
		pit->ch[i].mode = 3;
	}
	irq_set(&pit->irq, false);
	load_locked(pit, 0, 0);
	lock_release(&pit->lock);
}

void i8254_init(struct i8254 *pit)
{
	lock_init(&pit->lock, LOCK_RANK_DEVICE);
	timer_init(&pit->timer, edge_due, pit);
	pit_reset(pit);
}

const struct mmio_ops i8254_ops = {.read = pit_read, .write = pit_write, .min_size = 1, .max_size = 1};

const struct device_type i8254_device = {
	.name = "i8254",
	.reset = pit_reset,
};
