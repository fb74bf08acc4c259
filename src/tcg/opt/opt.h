/* SPDX-License-Identifier: MIT */
/*
 * Passes over one block of IR. Each is linear in the block's length; pipeline.c runs them in order.
 * Threads: the translating one; passes keep no state between blocks.
 */
#ifndef COHORT_TCG_OPT_OPT_H
#define COHORT_TCG_OPT_OPT_H

#include "tcg/ir/ir.h"

/*
 * [const] after tcg_init(). Flags are live wherever a fault or an interrupt may look at them, not only where code reads them: the frames that the
 * guest's handlers see are exact then, and more flags are computed.
 */
extern bool opt_exact_flags;

/* The whole pipeline. Afterwards fl_live, exit_live and kills of each instruction are filled in. */
void opt_run(struct ir_block *b);

void opt_fold(struct ir_block *b);     /* constants, copies, addresses; forward */
void opt_dce(struct ir_block *b);      /* dead temporaries and flags; backward; fills in liveness as it goes */
/* Slots of memory operands, by what the globals (greg[]) hold before the block; for MMU modes but 0. Changes nothing that a guest can see. */
void opt_places(struct ir_block *b, const uint64_t *greg);
void opt_liveness(struct ir_block *b); /* fills in liveness only */

#endif
