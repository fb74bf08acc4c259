/* SPDX-License-Identifier: MIT */
/*
 * Host registers and what they hold in generated code. The pin map is regs.def.
 *
 * r13 is the scratch of every lowering and carries the guest PC across returns and indirect jumps; r14 is the second scratch of memory
 * accesses (the displacement guest -> host) and holds temporaries elsewhere; r15 holds temporaries.
 */
#ifndef COHORT_TCG_X86_64_REGS_H
#define COHORT_TCG_X86_64_REGS_H

#include "tcg/env.h"

enum hreg { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI, R_8, R_9, R_10, R_11, R_12, R_13, R_14, R_15, R_NONE = 0xff };

/* Host register of an integer global, or R_NONE if it lives in env.greg. */
extern const uint8_t greg_pin[TCG_NR_GREG];

/* Bit n: host register n is pinned; and those of them that C calls do not preserve. */
#define PIN_MASK ((1u << R_AX) | (1u << R_CX) | (1u << R_DX) | (1u << R_BX) | (1u << R_BP) | (1u << R_SI) | (1u << R_DI) | \
		  (1u << R_8) | (1u << R_9) | (1u << R_10) | (1u << R_11) | (1u << R_12))
#define PIN_CALLER_SAVED (PIN_MASK & ~((1u << R_BX) | (1u << R_BP) | (1u << R_12)))

#define GREG_SP 4 /* the stack pointer's level-0 slot always is the write table's */

#endif
