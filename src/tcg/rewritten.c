/* SPDX-License-Identifier: MIT */
/*
 * What is known of the addresses where blocks were killed last, see rewritten.h: a direct-mapped table by address, one word each.
 */
#include "tcg/rewritten.h"

#include <stdatomic.h>

#define BITS 12
#define MAX_IN_VAIN 4 /* doublings */

/* Address << 16 | times in vain << 8 | kills */
static _Atomic uint64_t known[1u << BITS]; /* [atomic] relaxed: nothing hangs on it, and what is lost comes again */

struct history {
	unsigned kills, in_vain;
};

static _Atomic uint64_t *word_of(ram_off_t code)
{
	return &known[code * 0x9e3779b97f4a7c15ull >> (64 - BITS)];
}

static struct history look_up(ram_off_t code)
{
	uint64_t w = atomic_load_explicit(word_of(code), memory_order_relaxed);

	if (w >> 16 != code)
		return (struct history){ 0, 0 };
	return (struct history){ .kills = w & 0xff, .in_vain = w >> 8 & 0xff };
}

/* Other vCPUs keep their copies of the line while nothing changes. */
static void note(ram_off_t code, struct history h)
{
	uint64_t w = code << 16 | h.in_vain << 8 | h.kills;

	if (atomic_load_explicit(word_of(code), memory_order_relaxed) != w)
		atomic_store_explicit(word_of(code), w, memory_order_relaxed);
}

bool rewritten_often(ram_off_t code)
{
	struct history h = look_up(code);

	return h.kills >= REWRITTEN_OFTEN << h.in_vain;
}

bool rewritten_anew(ram_off_t code)
{
	struct history h = look_up(code);

	return h.in_vain || h.kills > REWRITTEN_OFTEN;
}

void rewritten_mark(ram_off_t code, enum rewritten how)
{
	struct history h = look_up(code);

	switch (how) {
	case REWRITTEN_PLAIN:
		h.kills += h.kills < REWRITTEN_OFTEN << MAX_IN_VAIN;
		break;
	case REWRITTEN_IN_VAIN:
		h.kills = 0;
		h.in_vain += h.in_vain < MAX_IN_VAIN;
		break;
	case REWRITTEN_WELL:
		h = (struct history){ .kills = REWRITTEN_OFTEN };
	}
	note(code, h);
}
