/* SPDX-License-Identifier: MIT */
/*
 * IR from text, for tests. Threads: one per block.
 */
#ifndef COHORT_TCG_IR_PARSE_H
#define COHORT_TCG_IR_PARSE_H

#include "tcg/ir/ir.h"

/* Appends the instruction of one line in the printer's form. NULL, or what is wrong (static text). */
const char *ir_parse_line(struct ir_block *b, const char *line);

#endif
