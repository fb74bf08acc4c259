/* SPDX-License-Identifier: MIT */
/*
 * What kind of exception a failed data access is, where that depends on the instruction. Threads: the vCPU's own, env.pc at it.
 */
#ifndef COHORT_VCPU_X86_DATA_FAULT_H
#define COHORT_VCPU_X86_DATA_FAULT_H

#include "vcpu/x86/x86_cpu.h"

/* Raises the exception of an access to a non-canonical address: #SS for the stack segment, else #GP. */
void x86_data_fault_non_canonical(struct x86_cpu *c, gva_t va) __attribute__((noreturn));
/* Called before a page or alignment fault is raised: an x87 exception that is pending comes first, when the instruction waits for it (#MF). */
void x86_data_fault_check_x87(struct x86_cpu *c);
/* A misaligned access is that of a vector instruction which never allows it (#GP), whether or not EFLAGS.AC asks for alignment. */
bool x86_data_fault_is_vector_alignment(struct x86_cpu *c);
/* For runtime routines: #AC if alignment is checked and `va` is no multiple of `size`, a power of two. */
void x86_data_fault_check_alignment(struct x86_cpu *c, gva_t va, unsigned size);

/*
 * In 64-bit mode, env.pc is not canonical: #GP of the near branch that led there, with RSP as it was before (SDM volume 2, JMP, CALL, RET), if
 * env.branch_pc knows it; else of the instruction that is not there: code ran over the end.
 */
void x86_branch_fault(struct x86_cpu *c) __attribute__((noreturn));

#endif
