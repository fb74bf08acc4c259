/* SPDX-License-Identifier: MIT */
/*
 * x87 and MMX for engines that do not use the host's unit, and the FPU's whole state. Threads: the vCPU's own.
 */
#ifndef COHORT_VCPU_X86_X87_H
#define COHORT_VCPU_X86_X87_H

#include "vcpu/x86/x86_cpu.h"

/*
 * An instruction waits for a pending exception: #MF, or (CR0.NE = 0) FERR, and the CPU stops until an interrupt. Does not return; env.pc is at
 * the instruction.
 */
void x86_x87_error(struct x86_cpu *c) __attribute__((noreturn));
/*
 * IGNNE falls with FERR, which falls when the exception is cleared. Generated code clears it without telling: so this is looked at when the
 * handler returns.
 */
void x86_x87_ignne_check(struct x86_cpu *c);
/* Behind an instruction that IGNNE has let run: c->x87_ignored is pending again. */
void x86_x87_ignored_return(struct x86_cpu *c);
void x86_fpu_reset(struct x86_cpu *c); /* FNINIT state, empty registers, MXCSR 1F80 */
/* guest_isa.fpu_exec: executes one FPU/MMX operation word on env.fpu_image (and vregs/gregs where the form has them). */
void x86_fpu_exec(struct tcg_env *env, uint64_t word, void *mem, uint64_t *greg);

#endif
