/* SPDX-License-Identifier: MIT */
/*
 * Executes one operation word of IR_EVEX (ir/evex.h) on an image of the registers, by the host's own instruction: the portable engine's AVX-512
 * on hosts that have it, and exact by construction.
 *
 * Threads: any, also several at once; each has its own code memory. Only where host_lacks() says that the host has it.
 */
#ifndef COHORT_TCG_EVEX_WORD_H
#define COHORT_TCG_EVEX_WORD_H

#include "tcg/env.h"

struct evex_word_regs {
	union tcg_vreg vreg[TCG_NR_ZREG];
	uint64_t kreg[TCG_NR_KREG];
	uint64_t gpr;         /* the integer operand */
	uint64_t flags;       /* behind it, EFLAGS */
	uint32_t mxcsr;       /* exceptions must be masked */
	uint32_t host_mxcsr;
};

/* Returns -1 if the host gives no executable memory. */
int must_check evex_word_run(int64_t word, uint8_t imm, struct evex_word_regs *regs, void *mem);

#endif
