/* SPDX-License-Identifier: MIT */
/*
 * Which guest instructions' accesses do badly with the level-0 slot they have: PCs, learnt while they run, read when they are translated.
 *
 * Only a hint: hashed PCs without their address space, so that an answer may be wrong either way; forgotten when there are many.
 * Threads: any.
 */
#ifndef COHORT_TCG_WANDER_H
#define COHORT_TCG_WANDER_H

#include "util/types.h"

enum wander {
	WANDER_NOT,
	WANDER_OFF,  /* from where others with the same base register go: it wants a slot of its own */
	WANDER_FAR,  /* from page to page: no slot will do */
};

enum wander wander_test(gva_t pc);
unsigned wander_age(void); /* changes with each mark */
bool wander_mark(gva_t pc); /* one step further; false: it is at the last already */

#endif
