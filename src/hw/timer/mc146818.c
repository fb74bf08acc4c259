/* SPDX-License-Identifier: MIT */
/*
 * MC146818A (Motorola datasheet): clock, alarm, periodic and update-ended interrupts.
 *
 * Flags in register C are computed from the time since the last look, so nothing has to run while no interrupt is
 * enabled. Seconds change at whole seconds of the offset clock; the update-in-progress bit is up for the last 244 us
 * before. Alarm and update flags come with the change of the second.
 */
#include "hw/timer/mc146818.h"

#include <string.h>
#include <time.h>

#include "hw/core/ticks.h"
#include "sched/clock.h"

#define SECOND ((int64_t)NS_PER_SEC)
#define UIP_NS 244000
#define SECONDS_MAX 8000000000 /* in the year 2223 */
#define PERIODIC_BASE_HZ 32768u

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, MONTHDAY, MONTH, YEAR, REG_A,
       REG_B, REG_C, REG_D, CENTURY = 0x32 };
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_ON = 0x20 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VALID = 0x80, ALARM_ANY = 0xc0, HOUR_PM = 0x80 };

/* Does the clock run? Not while it is being set, nor with the divider held in reset. */
static bool is_running(const struct mc146818 *rtc)
{
	return !(rtc->cmos[REG_B] & B_SET) && (rtc->cmos[REG_A] & A_DIVIDER) == A_DIVIDER_ON;
}

static int64_t utc_ns(const struct mc146818 *rtc, vclock_ns_t now)
{
	return rtc->offset_ns + now;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static uint8_t encode(const struct mc146818 *rtc, int v)
{
	return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? v : (v / 10 % 10) << 4 | v % 10);
}

static int decode(const struct mc146818 *rtc, uint8_t v)
{
	return rtc->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct mc146818 *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct mc146818 *rtc, uint8_t v)
{
	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, v);
	return decode(rtc, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Time registers from the running clock. */
static void fill_time_locked(struct mc146818 *rtc, vclock_ns_t now)
{
	time_t t = (time_t)floor_div(utc_ns(rtc, now), SECOND);
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	rtc->cmos[SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[MONTHDAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[YEAR] = encode(rtc, tm.tm_year % 100);
	rtc->cmos[CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100);
}

/* The running clock from the time registers; `phase` is the part of the second already gone. */
static void take_time_locked(struct mc146818 *rtc, vclock_ns_t now, int64_t phase)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[MONTHDAY]),
		.tm_mon = decode(rtc, rtc->cmos[MONTH]) - 1,
		.tm_year = decode(rtc, rtc->cmos[YEAR]) + decode(rtc, rtc->cmos[CENTURY]) * 100 - 1900,
	};

	int64_t seconds = timegm(&tm);

	/* Nonsense in the registers must not overflow. */
	seconds = seconds < 0 ? 0 : seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
	rtc->offset_ns = seconds * SECOND + phase - now;
}

static bool alarm_field(const struct mc146818 *rtc, unsigned reg, uint8_t now)
{
	uint8_t a = rtc->cmos[reg];

	return (a & ALARM_ANY) == ALARM_ANY || a == now;
}

static bool alarm_at(const struct mc146818 *rtc, int64_t second)
{
	int64_t day = second - floor_div(second, 86400) * 86400;

	return alarm_field(rtc, SECONDS_ALARM, encode(rtc, (int)(day % 60))) &&
	       alarm_field(rtc, MINUTES_ALARM, encode(rtc, (int)(day / 60 % 60))) &&
	       alarm_field(rtc, HOURS_ALARM, encode_hour(rtc, (int)(day / 3600)));
}

/* First second in (from, to] at which the alarm matches; `to` + 1 if none. At most one day is looked at. */
static int64_t next_alarm(const struct mc146818 *rtc, int64_t from, int64_t to)
{
	int64_t limit = to - from > 86400 ? from + 86400 : to;

	for (int64_t s = from + 1; s <= limit; s++)
		if (alarm_at(rtc, s))
			return s;
	return to + 1;
}

/* Length of the periodic interrupt in ticks of 32768 Hz; 0: off. Rates 1 and 2 stand for 8 and 9. */
static unsigned periodic_ticks(const struct mc146818 *rtc)
{
	unsigned rate = rtc->cmos[REG_A] & 15;

	if (!rate)
		return 0;
	return 1u << ((rate < 3 ? rate + 7 : rate) - 1);
}

static int64_t periodic_index(const struct mc146818 *rtc, vclock_ns_t t)
{
	int64_t ns = utc_ns(rtc, t);

	return (int64_t)(ticks_from_ns((uint64_t)(ns > 0 ? ns : 0), PERIODIC_BASE_HZ) / periodic_ticks(rtc));
}

/* Brings the flags of register C up to now. */
static void catch_up_locked(struct mc146818 *rtc, vclock_ns_t now)
{
	int64_t from, to;

	if (is_running(rtc) && now > rtc->seen) {
		from = floor_div(utc_ns(rtc, rtc->seen), SECOND);
		to = floor_div(utc_ns(rtc, now), SECOND);
		if (to > from) {
			rtc->cmos[REG_C] |= C_UF;
			if (next_alarm(rtc, from, to) <= to)
				rtc->cmos[REG_C] |= C_AF;
		}
		if (periodic_ticks(rtc) && periodic_index(rtc, now) > periodic_index(rtc, rtc->seen))
			rtc->cmos[REG_C] |= C_PF;
	}
	rtc->seen = now;
}

static void update_irq_locked(struct mc146818 *rtc)
{
	bool level = rtc->cmos[REG_C] & rtc->cmos[REG_B] & (C_PF | C_AF | C_UF);

	rtc->cmos[REG_C] = (uint8_t)((rtc->cmos[REG_C] & ~C_IRQF) | (level ? C_IRQF : 0));
	irq_set(&rtc->irq, level);
}

/* The next time at which an enabled event sets its flag. */
static void schedule_locked(struct mc146818 *rtc, vclock_ns_t now)
{
	uint8_t b = rtc->cmos[REG_B];
	int64_t second = floor_div(utc_ns(rtc, now), SECOND), at;

	rtc->due = VCLOCK_NEVER;
	if (is_running(rtc) && (b & B_PIE) && periodic_ticks(rtc)) {
		uint64_t tick = (uint64_t)(periodic_index(rtc, now) + 1) * periodic_ticks(rtc);

		rtc->due = ticks_to_ns(tick, PERIODIC_BASE_HZ) - rtc->offset_ns;
	}
	if (is_running(rtc) && (b & (B_UIE | B_AIE))) {
		at = b & B_UIE ? second + 1 : next_alarm(rtc, second, second + 86400);
		at = at * SECOND - rtc->offset_ns;
		if (at < rtc->due)
			rtc->due = at;
	}
	if (rtc->due == VCLOCK_NEVER)
		timer_disarm(&rtc->timer);
	else
		timer_arm(&rtc->timer, rtc->due);
}

static void event_due(void *opaque)
{
	struct mc146818 *rtc = opaque;
	vclock_ns_t now = clock_now();

	lock_acquire(&rtc->lock);
	if (rtc->due != VCLOCK_NEVER && now >= rtc->due) {
		catch_up_locked(rtc, now);
		update_irq_locked(rtc);
		schedule_locked(rtc, now);
	}
	lock_release(&rtc->lock);
}

static bool is_time_reg(unsigned reg)
{
	return reg == SECONDS || reg == MINUTES || reg == HOURS || (reg >= WEEKDAY && reg <= YEAR) || reg == CENTURY;
}

static uint8_t read_a(const struct mc146818 *rtc, vclock_ns_t now)
{
	int64_t ns = utc_ns(rtc, now), phase = ns - floor_div(ns, SECOND) * SECOND;

	return rtc->cmos[REG_A] | (is_running(rtc) && phase >= SECOND - UIP_NS ? A_UIP : 0);
}

static uint8_t read_locked(struct mc146818 *rtc)
{
	unsigned reg = rtc->index;
	vclock_ns_t now = clock_now();
	uint8_t v;

	if (is_time_reg(reg)) {
		if (is_running(rtc))
			fill_time_locked(rtc, now);
		return rtc->cmos[reg];
	}
	if (reg == REG_A)
		return read_a(rtc, now);
	if (reg != REG_C)
		return rtc->cmos[reg];
	catch_up_locked(rtc, now);
	update_irq_locked(rtc);
	v = rtc->cmos[REG_C];
	rtc->cmos[REG_C] = 0;
	update_irq_locked(rtc);
	return v;
}

/* Starting, stopping and setting the clock, by the SET bit and the divider. */
static void write_ab_locked(struct mc146818 *rtc, uint8_t value, vclock_ns_t now)
{
	bool was_running = is_running(rtc), was_held = (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_ON;

	if (was_running)
		fill_time_locked(rtc, now);
	if (rtc->index == REG_A) {
		rtc->cmos[REG_A] = value & ~A_UIP;
	} else {
		if (value & B_SET)
			value &= ~B_UIE;
		rtc->cmos[REG_B] = value;
	}
	if (!was_running && is_running(rtc)) {
		int64_t ns = utc_ns(rtc, now);

		/* The divider chain leaves reset half a second before the first update; SET does not touch it. */
		take_time_locked(rtc, now, was_held ? SECOND / 2 : ns - floor_div(ns, SECOND) * SECOND);
	}
}

static void write_locked(struct mc146818 *rtc, uint8_t value)
{
	unsigned reg = rtc->index;
	vclock_ns_t now = clock_now();

	catch_up_locked(rtc, now);
	if (reg == REG_A || reg == REG_B) {
		write_ab_locked(rtc, value, now);
	} else if (reg == REG_C || reg == REG_D) {
		return;
	} else if (is_time_reg(reg) && is_running(rtc)) {
		int64_t ns = utc_ns(rtc, now);

		fill_time_locked(rtc, now);
		rtc->cmos[reg] = value;
		take_time_locked(rtc, now, ns - floor_div(ns, SECOND) * SECOND);
	} else {
		rtc->cmos[reg] = value;
	}
	update_irq_locked(rtc);
	schedule_locked(rtc, now);
}

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
	struct mc146818 *rtc = opaque;
	uint8_t v;

	(void)size;
	if (!(off & 1))
		return 0xff; /* the index cannot be read */
	lock_acquire(&rtc->lock);
	v = read_locked(rtc);
	lock_release(&rtc->lock);
	return v;
}

static void rtc_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct mc146818 *rtc = opaque;

	(void)size;
	lock_acquire(&rtc->lock);
	if (off & 1)
		write_locked(rtc, (uint8_t)value);
	else
		rtc->index = value & 0x7f; /* bit 7 masks NMI on a PC */
	lock_release(&rtc->lock);
}

void mc146818_set_cmos(struct mc146818 *rtc, unsigned reg, uint8_t value)
{
	lock_acquire(&rtc->lock);
	rtc->cmos[reg % RTC_CMOS_SIZE] = value;
	lock_release(&rtc->lock);
}

/* The chip is battery-backed: a reset clears the interrupt enables and flags only. */
static void rtc_reset(void *dev)
{
	struct mc146818 *rtc = dev;

	lock_acquire(&rtc->lock);
	rtc->cmos[REG_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE);
	rtc->cmos[REG_C] = 0;
	update_irq_locked(rtc);
	schedule_locked(rtc, clock_now());
	lock_release(&rtc->lock);
}

void mc146818_init(struct mc146818 *rtc, int64_t utc_ns_at_0)
{
	lock_init(&rtc->lock, LOCK_RANK_DEVICE);
	timer_init(&rtc->timer, event_due, rtc);
	rtc->offset_ns = utc_ns_at_0;
	rtc->seen = clock_now();
	rtc->cmos[REG_A] = 0x26;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
	fill_time_locked(rtc, rtc->seen);
	rtc_reset(rtc);
}

const struct mmio_ops mc146818_ops = {.read = rtc_read, .write = rtc_write, .min_size = 1, .max_size = 1};

const struct device_type mc146818_device = {
	.name = "mc146818",
	.reset = rtc_reset,
};
