/* SPDX-License-Identifier: MIT */
/*
 * A set of vCPUs, by index: as a value, and as one that many threads change. All sequentially consistent, word by word.
 */
#ifndef COHORT_UTIL_VCPU_SET_H
#define COHORT_UTIL_VCPU_SET_H

#include <stdatomic.h>

#include "util/types.h"

#define VCPU_SET_WORDS 4
#define VCPU_SET_MAX (VCPU_SET_WORDS * 64u) /* as many vCPUs as there may be */

struct vcpu_set {
	uint64_t word[VCPU_SET_WORDS];
};

struct vcpu_set_atomic {
	_Atomic uint64_t word[VCPU_SET_WORDS];
};

static inline bool vcpu_set_has(const struct vcpu_set_atomic *s, unsigned vcpu)
{
	return atomic_load(&s->word[vcpu / 64]) >> (vcpu % 64) & 1;
}

static inline void vcpu_set_add(struct vcpu_set_atomic *s, unsigned vcpu)
{
	atomic_fetch_or(&s->word[vcpu / 64], 1ull << (vcpu % 64));
}

static inline struct vcpu_set vcpu_set_load(const struct vcpu_set_atomic *s)
{
	struct vcpu_set out;

	for (unsigned w = 0; w < VCPU_SET_WORDS; w++)
		out.word[w] = atomic_load(&s->word[w]);
	return out;
}

/* Takes the members of `gone` out; true if there were any to take. */
static inline bool vcpu_set_remove(struct vcpu_set_atomic *s, const struct vcpu_set *gone)
{
	bool any = false;

	for (unsigned w = 0; w < VCPU_SET_WORDS; w++) {
		if (!gone->word[w])
			continue;
		atomic_fetch_and(&s->word[w], ~gone->word[w]);
		any = true;
	}
	return any;
}

static inline struct vcpu_set vcpu_set_union(const struct vcpu_set *a, const struct vcpu_set *b)
{
	struct vcpu_set out;

	for (unsigned w = 0; w < VCPU_SET_WORDS; w++)
		out.word[w] = a->word[w] | b->word[w];
	return out;
}

static inline bool vcpu_set_is_empty(const struct vcpu_set *s)
{
	uint64_t any = 0;

	for (unsigned w = 0; w < VCPU_SET_WORDS; w++)
		any |= s->word[w];
	return !any;
}

/* The least member that is not less than `from`, or VCPU_SET_MAX. */
static inline unsigned vcpu_set_next(const struct vcpu_set *s, unsigned from)
{
	for (unsigned w = from / 64; w < VCPU_SET_WORDS; w++) {
		uint64_t bits = s->word[w];

		if (w == from / 64)
			bits &= ~0ull << (from % 64);
		if (bits)
			return w * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return VCPU_SET_MAX;
}

#define vcpu_set_for_each(i, s) \
	for (unsigned i = vcpu_set_next(s, 0); i < VCPU_SET_MAX; i = vcpu_set_next(s, i + 1))

#endif
