/* SPDX-License-Identifier: MIT */
/*
 * Conversion between nanoseconds and the ticks of a device's oscillator, without rounding drift: always from absolute
 * values, with a 128-bit product.
 */
#ifndef COHORT_HW_CORE_TICKS_H
#define COHORT_HW_CORE_TICKS_H

#include "util/types.h"

#define NS_PER_SEC 1000000000ull
#define VCLOCK_NEVER INT64_MAX

/* Whole ticks in ns. */
static inline uint64_t ticks_from_ns(uint64_t ns, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)ns * hz / NS_PER_SEC);
}

/* The first nanosecond at which ticks_from_ns() gives at least `ticks`; VCLOCK_NEVER when out of range. */
static inline vclock_ns_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	unsigned __int128 ns = ((unsigned __int128)ticks * NS_PER_SEC + hz - 1) / hz;

	return ns > INT64_MAX ? VCLOCK_NEVER : (vclock_ns_t)ns;
}

static inline vclock_ns_t vclock_add(vclock_ns_t t, vclock_ns_t delta)
{
	return delta > VCLOCK_NEVER - t ? VCLOCK_NEVER : t + delta;
}

#endif
