/* SPDX-License-Identifier: MIT */
/*
 * Bits, alignment and sign extension. Pure functions.
 */
#ifndef COHORT_UTIL_BITOPS_H
#define COHORT_UTIL_BITOPS_H

#include "util/types.h"

static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* `align` is a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* Index of the highest set bit; v must not be 0. */
static inline unsigned log2_floor(uint64_t v)
{
	return 63 - (unsigned)__builtin_clzll(v);
}

/* Least n with 1 << n >= v; v must not be 0. */
static inline unsigned log2_ceil(uint64_t v)
{
	return v <= 1 ? 0 : log2_floor(v - 1) + 1;
}

/* The low `bits` bits set; 0..64. */
static inline uint64_t mask_low(unsigned bits)
{
	return bits >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
}

static inline uint64_t bits_get(uint64_t v, unsigned pos, unsigned len)
{
	return (v >> pos) & mask_low(len);
}

static inline uint64_t bits_put(uint64_t v, unsigned pos, unsigned len, uint64_t field)
{
	uint64_t mask = mask_low(len) << pos;

	return (v & ~mask) | ((field << pos) & mask);
}

/* Sign-extends the low `bits` (1..64) bits of v. */
static inline int64_t sign_extend(uint64_t v, unsigned bits)
{
	unsigned shift = 64 - bits;

	return (int64_t)(v << shift) >> shift;
}

/* True when [a, a+alen) and [b, b+blen) share a byte; neither range may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return alen && blen && a - b < blen ? true : alen && blen && b - a < alen;
}

#endif
