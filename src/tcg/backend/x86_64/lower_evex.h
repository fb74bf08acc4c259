/* SPDX-License-Identifier: MIT */
/*
 * The host instruction of an IR_EVEX, for the back end and for the interpreter's way to run one.
 */
#ifndef COHORT_TCG_X86_64_LOWER_EVEX_H
#define COHORT_TCG_X86_64_LOWER_EVEX_H

#include "tcg/backend/x86_64/asm.h"
#include "tcg/ir/evex.h"

/* With these in ModRM.reg and ModRM.rm. */
void evex_emit(struct as *s, const struct ir_evex *e, unsigned reg, struct rm rm, unsigned imm);

#endif
