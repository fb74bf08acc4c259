/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/timer/hpet.h"

enum { CAP = 0x00, CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
#define T_CONFIG(n) (0x100 + 0x20 * (n))
#define T_CMP(n) (0x108 + 0x20 * (n))
enum { LEVEL = 2, ENABLE = 4, PERIODIC = 8, SET = 0x40, BITS32 = 0x100 };
#define ROUTE(pin) ((pin) << 9)
#define TICKS_MS 100000ull

static struct hpet h;
static struct fake_line pin20, legacy0, legacy1;
static int legacy_state;

static uint64_t rd(unsigned off)
{
	return dev_read(&hpet_ops, &h, off, 8);
}

static void wr(unsigned off, uint64_t v)
{
	dev_write(&hpet_ops, &h, off, v, 8);
}

static void wr32(unsigned off, uint32_t v)
{
	dev_write(&hpet_ops, &h, off, v, 4);
}

static void legacy_changed(void *opaque, bool on)
{
	(void)opaque;
	legacy_state = on;
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&h, 0, sizeof(h));
	h.irq[20] = fake_line(&pin20);
	h.legacy_irq[0] = fake_line(&legacy0);
	h.legacy_irq[1] = fake_line(&legacy1);
	h.legacy_changed = legacy_changed;
	legacy_state = 0;
	hpet_init(&h);
	return 0;
}

static void capabilities(void **state)
{
	(void)state;
	assert_int_equal(rd(CAP), 0x009896808086a201ull);
	assert_int_equal(rd(T_CONFIG(0)) & 0xffff, 0x30);
	assert_int_equal(dev_read(&hpet_ops, &h, T_CONFIG(0) + 4, 4), HPET_ROUTE_MASK);
}

static void counter_runs_only_when_enabled(void **state)
{
	(void)state;
	fake_advance(MS);
	assert_int_equal(rd(COUNTER), 0);
	wr(COUNTER, 1000);
	wr(CONFIG, 1);
	fake_advance(MS);
	assert_int_equal(rd(COUNTER), 1000 + TICKS_MS);
	wr(CONFIG, 0);
	fake_advance(MS);
	assert_int_equal(rd(COUNTER), 1000 + TICKS_MS);
	wr32(COUNTER + 4, 7);
	assert_int_equal(rd(COUNTER), 7ull << 32 | (1000 + TICKS_MS));
	assert_int_equal(dev_read(&hpet_ops, &h, COUNTER + 4, 4), 7);
}

static void one_shot_edge_fires_once(void **state)
{
	(void)state;
	wr(CONFIG, 1);
	wr(T_CONFIG(2), ENABLE | ROUTE(20));
	wr(T_CMP(2), rd(COUNTER) + TICKS_MS);
	fake_advance(MS - 20);
	assert_int_equal(pin20.rises, 0);
	fake_advance(20);
	assert_int_equal(pin20.rises, 1);
	assert_false(pin20.level);
	assert_int_equal(rd(STATUS), 0);
	fake_advance(1000 * MS);
	assert_int_equal(pin20.rises, 1);
}

static void periodic_as_linux_programs_it(void **state)
{
	(void)state;
	wr(CONFIG, 3);
	assert_int_equal(legacy_state, 1);
	wr32(T_CONFIG(0), ENABLE | PERIODIC | SET | BITS32);
	wr32(T_CMP(0), (uint32_t)rd(COUNTER) + TICKS_MS);
	wr32(T_CMP(0), TICKS_MS);
	assert_int_equal(rd(T_CONFIG(0)) & SET, 0);
	fake_advance(10 * MS);
	assert_int_equal(legacy0.rises, 10);
	fake_now += 5 * MS; /* the loop was late */
	fake_advance(0);
	assert_int_equal(legacy0.rises, 11);
	fake_advance(MS);
	assert_int_equal(legacy0.rises, 12);
	wr(CONFIG, 1);
	assert_int_equal(legacy_state, 0);
}

static void level_holds_until_cleared(void **state)
{
	(void)state;
	wr(CONFIG, 1);
	wr(T_CONFIG(2), ENABLE | LEVEL | ROUTE(20));
	wr(T_CMP(2), TICKS_MS);
	fake_advance(2 * MS);
	assert_true(pin20.level);
	assert_int_equal(rd(STATUS), 4);
	wr(STATUS, 3);
	assert_true(pin20.level);
	wr(STATUS, 4);
	assert_false(pin20.level);
	assert_int_equal(rd(STATUS), 0);
}

static void comparator_in_the_past_waits_for_the_wrap(void **state)
{
	(void)state;
	wr(CONFIG, 1);
	fake_advance(MS);
	wr(T_CONFIG(2), ENABLE | BITS32 | ROUTE(20));
	wr(T_CMP(2), 1000);
	fake_advance(1000 * MS);
	assert_int_equal(pin20.rises, 0);
	fake_advance(42000 * MS); /* 2^32 ticks are 42.9 s */
	assert_int_equal(pin20.rises, 1);
}

static void comparator_equal_to_counter_does_not_storm(void **state)
{
	(void)state;
	wr(T_CONFIG(2), ENABLE | BITS32 | ROUTE(20));
	wr(T_CMP(2), 0);
	wr(CONFIG, 1);
	fake_advance(MS);
	assert_int_equal(pin20.rises, 0);
}

static void tiny_period_is_limited(void **state)
{
	(void)state;
	wr(CONFIG, 1);
	wr(T_CONFIG(2), ENABLE | PERIODIC | SET | ROUTE(20));
	wr(T_CMP(2), rd(COUNTER) + 1);
	wr(T_CMP(2), 1);
	fake_advance(MS);
	assert_in_range(pin20.rises, 1, 101);
}

static void illegal_route_reads_back_zero(void **state)
{
	(void)state;
	wr(T_CONFIG(1), ENABLE | ROUTE(5));
	assert_int_equal(rd(T_CONFIG(1)) & 0x3e00, 0);
	wr(T_CONFIG(1), ENABLE | ROUTE(23));
	assert_int_equal(rd(T_CONFIG(1)) & 0x3e00, ROUTE(23));
}

static void comparators_off_the_end_are_ignored(void **state)
{
	(void)state;
	for (unsigned off = 0x160; off < 0x400; off += 8) {
		wr(off, ~0ull);
		wr32(off + 4, ~0u);
		assert_int_equal(rd(off), 0);
	}
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capabilities),
		T(counter_runs_only_when_enabled),
		T(one_shot_edge_fires_once),
		T(periodic_as_linux_programs_it),
		T(level_holds_until_cleared),
		T(comparator_in_the_past_waits_for_the_wrap),
		T(comparator_equal_to_counter_does_not_storm),
		T(tiny_period_is_limited),
		T(illegal_route_reads_back_zero),
		T(comparators_off_the_end_are_ignored),
	};

	return RUN_TESTS(tests);
}
