/* SPDX-License-Identifier: MIT */
/*
 * The set of wandering instructions, see wander.h: one bit for each hash of a PC.
 */
#include "tcg/wander.h"

#include <stdatomic.h>

#define BITS 14
#define FULL (1u << (BITS - 2))

static _Atomic uint64_t word[(1u << BITS) / 64]; /* [atomic] relaxed: nothing hangs on a bit */
static _Atomic uint32_t marks;                   /* [atomic] bits set since the set was cleared, roughly */

static unsigned hash(gva_t pc)
{
	return (unsigned)(pc * 0x9e3779b97f4a7c15ull >> (64 - BITS));
}

bool wander_test(gva_t pc)
{
	unsigned h = hash(pc);

	return atomic_load_explicit(&word[h / 64], memory_order_relaxed) >> (h % 64) & 1;
}

static void forget_all(void)
{
	atomic_store_explicit(&marks, 0, memory_order_relaxed);
	for (unsigned n = 0; n < ARRAY_LEN(word); n++)
		atomic_store_explicit(&word[n], 0, memory_order_relaxed);
}

bool wander_mark(gva_t pc)
{
	unsigned h = hash(pc);
	uint64_t bit = 1ull << (h % 64);

	if (wander_test(pc))
		return false;
	if (atomic_fetch_add_explicit(&marks, 1, memory_order_relaxed) >= FULL)
		forget_all();
	return !(atomic_fetch_or_explicit(&word[h / 64], bit, memory_order_relaxed) & bit);
}
