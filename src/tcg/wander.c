/* SPDX-License-Identifier: MIT */
/*
 * The marks of instructions, see wander.h: for each hash of a PC a bit in each of two sets, of which the second is within the first.
 */
#include "tcg/wander.h"

#include <stdatomic.h>

#define BITS 14
#define FULL (1u << (BITS - 2))

static _Atomic uint64_t word[2][(1u << BITS) / 64]; /* [atomic] relaxed: nothing hangs on a bit */
static _Atomic uint32_t marks;                      /* [atomic] since the sets were cleared, roughly */
static _Atomic uint32_t age;                        /* [atomic] marks ever */

static unsigned hash(gva_t pc)
{
	return (unsigned)(pc * 0x9e3779b97f4a7c15ull >> (64 - BITS));
}

static bool is_in(unsigned set, unsigned h)
{
	return atomic_load_explicit(&word[set][h / 64], memory_order_relaxed) >> (h % 64) & 1;
}

enum wander wander_test(gva_t pc)
{
	unsigned h = hash(pc);

	return !is_in(0, h) ? WANDER_NOT : !is_in(1, h) ? WANDER_OFF : WANDER_FAR;
}

unsigned wander_age(void)
{
	return atomic_load_explicit(&age, memory_order_relaxed);
}

static void forget_all(void)
{
	atomic_store_explicit(&marks, 0, memory_order_relaxed);
	for (unsigned set = 0; set < 2; set++)
		for (unsigned n = 0; n < ARRAY_LEN(word[0]); n++)
			atomic_store_explicit(&word[set][n], 0, memory_order_relaxed);
}

bool wander_mark(gva_t pc)
{
	unsigned h = hash(pc), set = is_in(0, h);

	if (is_in(1, h))
		return false;
	if (atomic_fetch_add_explicit(&marks, 1, memory_order_relaxed) >= FULL)
		forget_all();
	atomic_fetch_or_explicit(&word[set][h / 64], 1ull << (h % 64), memory_order_relaxed);
	atomic_fetch_add_explicit(&age, 1, memory_order_relaxed);
	return true;
}
