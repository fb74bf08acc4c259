/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/timer/mc146818.h"

#define NS 1000000000ll
/* 2024-02-28 23:59:58 UTC, at machine time 1 s */
#define START 1709164798ll

static struct mc146818 rtc;
static struct fake_line irq;

static uint8_t rd(unsigned reg)
{
	dev_write(&mc146818_ops, &rtc, 0, reg, 1);
	return (uint8_t)dev_read(&mc146818_ops, &rtc, 1, 1);
}

static void wr(unsigned reg, uint8_t v)
{
	dev_write(&mc146818_ops, &rtc, 0, reg | 0x80, 1);
	dev_write(&mc146818_ops, &rtc, 1, v, 1);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&rtc, 0, sizeof(rtc));
	rtc.irq = fake_line(&irq);
	mc146818_init(&rtc, START * NS - fake_now);
	rd(0xc);
	return 0;
}

static void time_is_bcd_utc_and_leap_years_count(void **state)
{
	(void)state;
	assert_int_equal(rd(0), 0x58);
	assert_int_equal(rd(2), 0x59);
	assert_int_equal(rd(4), 0x23);
	assert_int_equal(rd(6), 4); /* Wednesday */
	assert_int_equal(rd(7), 0x28);
	assert_int_equal(rd(8), 0x02);
	assert_int_equal(rd(9), 0x24);
	assert_int_equal(rd(0x32), 0x20);
	assert_int_equal(rd(0xd), 0x80);
	fake_advance(2 * NS);
	assert_int_equal(rd(0), 0);
	assert_int_equal(rd(4), 0);
	assert_int_equal(rd(7), 0x29);
}

static void binary_and_12_hour_modes(void **state)
{
	(void)state;
	wr(0xb, 0x06);
	assert_int_equal(rd(0), 58);
	assert_int_equal(rd(4), 23);
	wr(0xb, 0x00);
	assert_int_equal(rd(4), 0x91); /* 11 pm */
	fake_advance(2 * NS);
	assert_int_equal(rd(4), 0x12);
}

static void update_in_progress_before_the_second(void **state)
{
	(void)state;
	fake_advance(NS - 300 * US);
	assert_int_equal(rd(0xa) & 0x80, 0);
	fake_advance(100 * US);
	assert_int_equal(rd(0xa) & 0x80, 0x80);
	fake_advance(200 * US);
	assert_int_equal(rd(0xa) & 0x80, 0);
}

static void setting_the_time(void **state)
{
	(void)state;
	wr(0xb, 0x82);
	wr(0, 0x10);
	wr(2, 0x20);
	wr(4, 0x12);
	wr(7, 0x31);
	wr(8, 0x12);
	wr(9, 0x99);
	wr(0x32, 0x19);
	fake_advance(5 * NS);
	assert_int_equal(rd(0), 0x10); /* stands still */
	wr(0xb, 0x02);
	fake_advance(3 * NS);
	assert_int_equal(rd(0), 0x13);
	assert_int_equal(rd(6), 6); /* Friday */
	assert_int_equal(rd(0x32), 0x19);
	fake_advance(12 * 3600 * NS);
	assert_int_equal(rd(0x32), 0x20);
	assert_int_equal(rd(9), 0x00);
}

static void nonsense_in_the_registers_is_survived(void **state)
{
	(void)state;
	wr(0xb, 0x82);
	for (unsigned reg = 0; reg < 10; reg++)
		wr(reg, 0xff);
	wr(0x32, 0xff);
	wr(0xb, 0x72);
	fake_advance(3 * NS);
	rd(0);
	rd(0xc);
}

static void update_interrupt_each_second(void **state)
{
	(void)state;
	wr(0xb, 0x12);
	fake_advance(NS);
	assert_true(irq.level);
	assert_int_equal(rd(0xc) & 0xb0, 0x90);
	assert_false(irq.level);
	assert_int_equal(rd(0xc), 0);
	fake_advance(NS);
	assert_true(irq.level);
}

static void flags_are_set_without_enables(void **state)
{
	(void)state;
	fake_advance(2 * NS);
	assert_int_equal(rd(0xc) & 0x90, 0x10);
	assert_int_equal(irq.rises, 0);
	assert_int_equal(rd(0xc), 0);
}

static void alarm_matches_with_wildcards(void **state)
{
	(void)state;
	wr(1, 0x05);
	wr(3, 0xff);
	wr(5, 0xff);
	wr(0xb, 0x22);
	fake_advance(6 * NS);
	assert_false(irq.level);
	fake_advance(NS); /* 00:00:05 */
	assert_true(irq.level);
	assert_int_equal(rd(0xc) & 0xa0, 0xa0);
	fake_advance(59 * NS);
	assert_false(irq.level);
	fake_advance(NS);
	assert_true(irq.level);
}

static void periodic_interrupt_at_its_rate(void **state)
{
	unsigned n = 0;

	(void)state;
	wr(0xa, 0x26); /* 1024 Hz */
	wr(0xb, 0x42);
	for (unsigned i = 0; i < 1000; i++) {
		fake_advance(MS);
		if (rd(0xc) & 0x40)
			n++;
	}
	assert_in_range(n, 990, 1000);
	wr(0xa, 0x20);
	fake_advance(NS);
	rd(0xc);
	assert_int_equal(rd(0xc) & 0x40, 0);
}

static void cmos_keeps_its_bytes_over_reset(void **state)
{
	(void)state;
	mc146818_set_cmos(&rtc, 0x34, 0x5a);
	wr(0x0f, 0x0a);
	wr(0xb, 0x72);
	mc146818_device.reset(&rtc);
	assert_int_equal(rd(0x34), 0x5a);
	assert_int_equal(rd(0x0f), 0x0a);
	assert_int_equal(rd(0xb), 0x02);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(time_is_bcd_utc_and_leap_years_count),
		T(binary_and_12_hour_modes),
		T(update_in_progress_before_the_second),
		T(setting_the_time),
		T(nonsense_in_the_registers_is_survived),
		T(update_interrupt_each_second),
		T(flags_are_set_without_enables),
		T(alarm_matches_with_wildcards),
		T(periodic_interrupt_at_its_rate),
		T(cmos_keeps_its_bytes_over_reset),
	};

	return RUN_TESTS(tests);
}
