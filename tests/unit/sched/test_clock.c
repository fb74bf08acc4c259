/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "sched/clock.h"

static void time_and_tsc_advance_together(void **state)
{
	vclock_ns_t t0 = clock_now();
	uint64_t c0 = clock_tsc(), ticks;
	double ns;

	(void)state;
	usleep(50000);
	ns = (double)(clock_now() - t0);
	ticks = clock_tsc() - c0;
	assert_true(ns >= 50e6);
	/* Generous: a busy host may stop us between the two readings. */
	assert_true((double)ticks / (double)clock_tsc_hz() * 1e9 / ns > 0.98);
	assert_true((double)ticks / (double)clock_tsc_hz() * 1e9 / ns < 1.02);
}

/* Both clocks count from one instant, to what the frequency is off in the time since. */
static void origins_are_one(void **state)
{
	vclock_ns_t before = clock_now();
	double ns = (double)(clock_tsc() - clock_tsc_origin()) / (double)clock_tsc_hz() * 1e9;
	vclock_ns_t after = clock_now();

	(void)state;
	assert_true(ns > (double)before * 0.98 - 100000 && ns < (double)after * 1.02 + 100000);
}

static void host_time_of_deadlines(void **state)
{
	struct timespec now, ts = clock_to_host(clock_now());

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_true(now.tv_sec - ts.tv_sec <= 1 && now.tv_sec >= ts.tv_sec);
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
