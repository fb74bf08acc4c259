/* SPDX-License-Identifier: MIT */
/*
 * The TSC's frequency is measured against CLOCK_MONOTONIC over CALIBRATE_NS: each end is the tightest of several
 * (time, TSC, time) readings, which leaves an error of a few parts per million. Hosts without a TSC count nanoseconds.
 */
#include "sched/clock.h"

#include <limits.h>

#define NS_PER_S 1000000000LL
#define CALIBRATE_NS 10000000
#define CALIBRATE_TRIES 16

static int64_t origin_ns;   /* [const] after clock_init() */
static uint64_t origin_tsc; /* [const] after clock_init() */
static uint64_t tsc_hz;     /* [const] after clock_init() */

static int64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t clock_tsc(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* Not before earlier loads: what a guest orders by its own fences must stay ordered through our C in between. */
	__builtin_ia32_lfence();
	return __builtin_ia32_rdtsc();
#else
	return (uint64_t)host_ns();
#endif
}

static void read_both(int64_t *ns, uint64_t *tsc)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < CALIBRATE_TRIES; i++) {
		int64_t before = host_ns();
		uint64_t t = clock_tsc();
		int64_t after = host_ns();

		if (after - before < best) {
			best = after - before;
			*ns = before + best / 2;
			*tsc = t;
		}
	}
}

static uint64_t measure_tsc(void)
{
#if defined(__x86_64__) || defined(__i386__)
	const struct timespec pause = { .tv_nsec = CALIBRATE_NS };
	int64_t ns[2];
	uint64_t tsc[2];

	read_both(&ns[0], &tsc[0]);
	nanosleep(&pause, NULL);
	read_both(&ns[1], &tsc[1]);
	return (uint64_t)((unsigned __int128)(tsc[1] - tsc[0]) * NS_PER_S / (uint64_t)(ns[1] - ns[0]));
#else
	return NS_PER_S;
#endif
}

void clock_init(void)
{
	if (tsc_hz)
		return;
	tsc_hz = measure_tsc();
	read_both(&origin_ns, &origin_tsc);
}

vclock_ns_t clock_now(void)
{
	return host_ns() - origin_ns;
}

uint64_t clock_tsc_hz(void)
{
	return tsc_hz;
}

uint64_t clock_tsc_origin(void)
{
	return origin_tsc;
}

struct timespec clock_to_host(vclock_ns_t t)
{
	int64_t ns = t > INT64_MAX - origin_ns ? INT64_MAX : t + origin_ns;

	if (ns < 0)
		ns = 0;
	return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}
