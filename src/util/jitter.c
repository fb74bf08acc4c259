/* SPDX-License-Identifier: MIT */
#include "util/jitter.h"

#include <sched.h>

#include "util/futex.h"

uint64_t jitter_seed;

static _Thread_local uint64_t state;
static uint64_t threads; /* [atomic] gives each thread its own sequence */

/* xorshift64* of Vigna. */
static uint64_t next_random(void)
{
	if (!state)
		state = jitter_seed + 0x9e3779b97f4a7c15ull * (__atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED));
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

bool jitter_fault(void)
{
	return next_random() >> 55 == 0;
}

void jitter_delay(void)
{
	uint64_t r = next_random() >> 32;

	if ((r & 15) == 0) {
		sched_yield();
	} else if ((r & 3) == 0) {
		for (uint64_t n = (r >> 8) % 2000; n; n--)
			cpu_relax();
	}
}
