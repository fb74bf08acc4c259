/* SPDX-License-Identifier: MIT */
/*
 * What the micro benchmarks share. A benchmark is a function that does its work n times; bench_run() finds the n that
 * takes long enough, and prints "BENCH name iterations nanoseconds" for the last, longest run. The same static binary
 * runs in both emulators and natively.
 *
 * Environment: BENCH_MS, how long one measurement should take (default 250 ms); BENCH_ONLY, a substring of the names to
 * run; BENCH_SYNC, see bench_mark().
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Results go here so that no compiler drops the work. */
static volatile uint64_t bench_sink;

static inline uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t bench_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The CPUs that the program was given; all of them, but on a host that keeps some for others. */
static cpu_set_t bench_cpus;

__attribute__((constructor)) static void bench_find_cpus(void)
{
	sched_getaffinity(0, sizeof(bench_cpus), &bench_cpus);
}

/* Keeps the caller on one of them, counted from 0; a machine with fewer takes the last it has. */
static inline void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE && cpu >= 0; i++) {
		if (CPU_ISSET(i, &bench_cpus)) {
			CPU_ZERO(&set);
			CPU_SET(i, &set);
			cpu--;
		}
	}
	sched_setaffinity(0, sizeof(set), &set);
}

static inline _Noreturn void bench_fail(const char *what)
{
	perror(what);
	exit(1);
}

/*
 * Tells who reads the console that a phase begins or ends. With BENCH_SYNC set it waits for a line from there, so that the emulator's
 * counters can be read just then.
 */
static inline void bench_mark(const char *what, const char *name)
{
	int c;

	printf("%s %s\n", what, name);
	fflush(stdout);
	if (!getenv("BENCH_SYNC"))
		return;
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static inline int bench_wanted(const char *name)
{
	const char *only = getenv("BENCH_ONLY");

	return !only || strstr(name, only);
}

static inline void bench_run(const char *name, void (*body)(uint64_t n))
{
	const char *ms = getenv("BENCH_MS");
	uint64_t target = (uint64_t)(ms ? atoi(ms) : 250) * 1000000u, n = 1, start, took;

	if (!bench_wanted(name))
		return;
	for (;;) {
		start = bench_now();
		body(n);
		took = bench_now() - start;
		if (took >= target / 2)
			break;
		/* Aim a little beyond the target, but trust a short run only so far. */
		n = took < target / 100 ? n * 10 : n * target / took * 11 / 10 + 1;
	}
	printf("BENCH %s %llu %llu\n", name, (unsigned long long)n, (unsigned long long)took);
	fflush(stdout);
}

#endif
