/* SPDX-License-Identifier: MIT */
/*
 * Schedule jitter: random delays at protocol steps, to widen races (-accel tcg,jitter=SEED). Off: one predictable branch.
 */
#ifndef COHORT_UTIL_JITTER_H
#define COHORT_UTIL_JITTER_H

#include "util/types.h"

extern uint64_t jitter_seed; /* [const] 0: off */

void jitter_delay(void); /* sometimes spins, sometimes yields, mostly returns at once; per-thread generator */

static inline void jitter(void)
{
	if (unlikely(jitter_seed))
		jitter_delay();
}

#endif
