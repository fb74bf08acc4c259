/* SPDX-License-Identifier: MIT */
/*
 * Comparison of an engine's outcome with the host's, with what the manual leaves open masked.
 */
#ifndef COHORT_TESTS_DIFF_COMPARE_H
#define COHORT_TESTS_DIFF_COMPARE_H

#include <stdio.h>

#include "diff/program.h"

/* NULL if they agree; else the name of the first field that differs (static text). */
/* portable: the engine computes vector floating point without the host's unmasked exceptions. */
const char *outcome_compare(const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours, bool portable);
/* All of it as text: where the two differ, both. */
void outcome_print(FILE *f, const struct program *p, const struct diff_outcome *host, const struct diff_outcome *ours);
void state_print(FILE *f, const struct diff_state *s);

#endif
