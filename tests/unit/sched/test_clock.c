/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "sched/clock.h"

static double tsc_ns(uint64_t ticks)
{
	return (double)ticks / (double)clock_tsc_hz() * 1e9;
}

/* The time between two readings of the clock, against the TSC read before and after each: the host may stop us anywhere. */
static void time_and_tsc_advance_together(void **state)
{
	uint64_t from[2], to[2];
	vclock_ns_t start;
	double ns;

	(void)state;
	from[0] = clock_tsc();
	start = clock_now();
	from[1] = clock_tsc();
	usleep(50000);
	to[0] = clock_tsc();
	ns = (double)(clock_now() - start);
	to[1] = clock_tsc();
	assert_true(ns >= 50e6);
	assert_true(tsc_ns(to[1] - from[0]) > ns * 0.98);
	assert_true(tsc_ns(to[0] - from[1]) < ns * 1.02);
}

/* Both clocks count from one instant, to what the frequency is off in the time since. */
static void origins_are_one(void **state)
{
	vclock_ns_t before = clock_now();
	double ns = tsc_ns(clock_tsc() - clock_tsc_origin());
	vclock_ns_t after = clock_now();

	(void)state;
	assert_true(ns > (double)before * 0.98 - 100000 && ns < (double)after * 1.02 + 100000);
}

static int64_t ns_of(struct timespec ts)
{
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void host_time_of_deadlines(void **state)
{
	struct timespec before, after, ts;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	ts = clock_to_host(clock_now());
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range(ns_of(ts), ns_of(before), ns_of(after));
	ts = clock_to_host(VCLOCK_NEVER);
	assert_true(ts.tv_sec > 9000000000ll && ts.tv_nsec < 1000000000);
	ts = clock_to_host(INT64_MIN / 2);
	assert_true(ts.tv_sec == 0 && ts.tv_nsec == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_and_tsc_advance_together),
		cmocka_unit_test(origins_are_one),
		cmocka_unit_test(host_time_of_deadlines),
	};

	clock_init();
	return RUN_TESTS(tests);
}
