/* SPDX-License-Identifier: MIT */
/*
 * The machine's clock: CLOCK_MONOTONIC minus the power-on instant, in nanoseconds; and the host TSC's frequency.
 * Threads: any. Rule: the origin is set once by clock_init() before any other thread starts.
 */
#ifndef COHORT_SCHED_CLOCK_H
#define COHORT_SCHED_CLOCK_H

#include <time.h>

#include "util/types.h"

#define VCLOCK_NEVER INT64_MAX /* a deadline that does not come */

void clock_init(void);
vclock_ns_t clock_now(void);
/* Frequency of clock_tsc() in Hz, measured (or read from the host) once by clock_init(). */
uint64_t clock_tsc_hz(void);
/* The counter guests see as their TSC before any offset; same on all host CPUs. */
uint64_t clock_tsc(void);
/* clock_tsc() at the instant 0 of clock_now(). */
uint64_t clock_tsc_origin(void);

/* The instant as the host's CLOCK_MONOTONIC, for system calls that take an absolute time; never before the host's 0. */
struct timespec clock_to_host(vclock_ns_t t);

#endif
