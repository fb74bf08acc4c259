/* SPDX-License-Identifier: MIT */
/*
 * Runs cases on the host CPU. For a process of its own: case code runs with all registers, FS and GS of its own choice.
 */
#ifndef COHORT_TESTS_DIFF_NATIVE_H
#define COHORT_TESTS_DIFF_NATIVE_H

#include "diff/diff.h"

/* False, with a reason, if this host cannot do it. */
extern bool native_has_avx;    /* [const] after native_possible() */
extern bool native_has_avx512; /* the same; with its state in the operating system's care */
bool native_possible(const char **why);
void native_init(void);
/* after: DIFF_DATA_SIZE bytes, the arena as it was left (holes emptied), or NULL. */
void native_run(const struct diff_case *c, struct diff_outcome *out, uint8_t *after);

#endif
