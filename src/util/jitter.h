/* SPDX-License-Identifier: MIT */
/*
 * Schedule jitter: random delays at protocol steps, to widen races, and refusals of what may be refused (-accel tcg,jitter=SEED). Off: one predictable
 * branch.
 */
#ifndef COHORT_UTIL_JITTER_H
#define COHORT_UTIL_JITTER_H

#include "util/types.h"

extern uint64_t jitter_seed; /* [const] 0: off */

void jitter_delay(void); /* sometimes spins, sometimes yields, mostly returns at once; per-thread generator */

bool jitter_fault(void);

/* Sometimes, with a seed: what may fail for want of room does so now. */
static inline bool jitter_fails(void)
{
	return unlikely(jitter_seed) && jitter_fault();
}

static inline void jitter(void)
{
	if (unlikely(jitter_seed))
		jitter_delay();
}

#endif
