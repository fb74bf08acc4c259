/* SPDX-License-Identifier: MIT */
/*
 * The backward liveness walk, one step at a time, for passes that go backward themselves.
 *
 * Invariant: between steps `flags` and the temporaries' marks describe the point behind the next instruction to be
 * visited. Temporaries do not live across labels and branches, so a mark is the number of the stretch it was made in:
 * no clearing. Every reference has a mark to read and write, those that are no temporaries share one that means
 * nothing: no branches, which would be badly predicted.
 */
#ifndef COHORT_TCG_OPT_LIVENESS_H
#define COHORT_TCG_OPT_LIVENESS_H

#include <string.h>

#include "tcg/ir/ir.h"

#define LIVENESS_VT    IR_MAX_TEMPS	  /* marks of the vector temporaries */
#define LIVENESS_NO    (IR_MAX_TEMPS + 4) /* of everything else */
#define LIVENESS_MARKS (LIVENESS_NO + 1)

struct liveness {
	struct ir_block *b;
	uint32_t flags; /* live here */
	uint16_t stretch;
	uint16_t mark[LIVENESS_MARKS];	     /* == stretch: live */
	uint16_t label_flags[IR_MAX_LABELS]; /* live at the label; F_ALL until it has been passed: it lies before its
						branch */
};

void liveness_init(struct liveness *l, struct ir_block *b);
/* Visits i: fills in fl_live, exit_live, kills and moves the state in front of it. */
void liveness_step(struct liveness *l, struct ir_insn *i);
/* Flags live behind i, which is the next to be visited. */
uint32_t liveness_flags_behind(struct liveness *l, const struct ir_insn *i);

static inline unsigned liveness_slot(ir_ref r)
{
	static const uint16_t base[16] = {LIVENESS_NO, LIVENESS_NO, 0,		LIVENESS_NO,
					  LIVENESS_NO, LIVENESS_NO, LIVENESS_VT};
	static const uint16_t mask[16] = {0, 0, 0xfff, 0, 0, 0, 0xfff};

	return base[r >> 12] + (r & mask[r >> 12]);
}

static inline bool liveness_is_temp(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_T || IR_REF_KIND(r) == IR_KIND_VT;
}

/*
 * The four operand references at once, kinds in bits 15:12 of each: non-zero if one is a temporary (T, VT), or with
 * `mem` a temporary or memory. Most instructions have neither.
 */
static inline uint64_t liveness_has_temps(const struct ir_insn *i, bool mem)
{
	uint64_t r;

	_Static_assert(offsetof(struct ir_insn, c) == offsetof(struct ir_insn, d) + 6, "references in a row");
	_Static_assert(IR_KIND_T == 2 && IR_KIND_M == 4 && IR_KIND_VT == 6 && IR_KIND_VT < 8,
		       "the even kinds but 0; T and VT with bit 1");
	memcpy(&r, &i->d, sizeof(r));
	return (r >> 13 | (mem ? r >> 14 : 0)) & ~(r >> 12) & 0x0001000100010001ull;
}

static inline bool liveness_temp(const struct liveness *l, ir_ref r)
{
	return l->mark[liveness_slot(r)] == l->stretch;
}

#endif
