/* SPDX-License-Identifier: MIT */
/*
 * Several testers at once, each a process with native and engine processes of its own.
 */
#ifndef COHORT_TESTS_DIFF_JOBS_H
#define COHORT_TESTS_DIFF_JOBS_H

#include "diff/runner.h"

#define MAX_JOBS 64u

/*
 * Calls job(context, totals, 0 .. nr - 1), in processes of their own unless nr is 1. What they print comes out job by job when they are done.
 * The sums, or NULL if one of them died.
 */
const struct totals *jobs_run(unsigned nr, void (*job)(void *context, struct totals *t, unsigned n), void *context);

#endif
