/* SPDX-License-Identifier: MIT */
/*
 * Executes one stack-FPU operation word on a register image, on the host's own unit: the portable engine's FPU on this host, and
 * exact by construction. Other hosts have nothing of the kind yet.
 *
 * Threads: any, also several at once. Not while the host's FPU holds a guest's state (env.fpu_in_host).
 */
#ifndef COHORT_TCG_BACKEND_X86_64_FPU_WORD_H
#define COHORT_TCG_BACKEND_X86_64_FPU_WORD_H

#include "util/types.h"

/* Registers before and after. FXSAVE64 format: stack FPU, vector control word, and vector register 0 as the operand outside the unit. */
struct fpu_word_regs {
	uint8_t image[512] __attribute__((aligned(64)));
	uint64_t gpr;   /* the operand in a general register */
	uint64_t flags; /* read by FCMOV, written by FCOMI */
};

/*
 * word: as IR_FPU's imm2. Registers that are not the stack FPU's are replaced by gpr and vector 0; mem is the memory operand. No exception
 * may be pending in the image unless the word is one that does not wait; the vector exceptions must be masked.
 * Returns -1 if the host gives no executable memory.
 */
int must_check fpu_word_run(uint64_t word, struct fpu_word_regs *regs, void *mem);

#endif
