/* SPDX-License-Identifier: MIT */
/*
 * Runs cases in our own engines, through the real translator, optimizer, back end, TLB and block cache, but without a machine around
 * them: one vCPU in 64-bit user mode, page tables that map the tester's code and arena where the host has them.
 */
#ifndef COHORT_TESTS_DIFF_ENGINE_H
#define COHORT_TESTS_DIFF_ENGINE_H

#include "diff/diff.h"

struct err;

extern bool engine_exact_flags; /* set before: flags are exact at faults, too; compare.c */
/* Once per process. log: "in_asm,op_opt,out_asm", ... or NULL */
int engine_init(bool interp, const char *log, struct err *err);
/* The second outcome is that of the warm run, if the case wants one. after: two arenas, or NULL. */
void engine_run(const struct diff_case *c, struct diff_outcome out[2], uint8_t *after);
/* Does the engine's CPU have this feature (enum x86_feature)? */
bool engine_has(unsigned feature);

#endif
