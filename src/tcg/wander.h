/* SPDX-License-Identifier: MIT */
/*
 * Which guest instructions access memory all over the place: a set of PCs, learnt while they run, read when they are translated.
 *
 * Only a hint: hashed PCs without their address space, so that an answer may be wrong either way; forgotten when there are many.
 * Threads: any.
 */
#ifndef COHORT_TCG_WANDER_H
#define COHORT_TCG_WANDER_H

#include "util/types.h"

bool wander_test(gva_t pc);
bool wander_mark(gva_t pc); /* false: it was marked already */

#endif
