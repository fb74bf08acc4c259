/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches. Threads: the vCPU's own, from runtime routines or while an event is delivered; env.pc at the instruction.
 */
#ifndef COHORT_VCPU_X86_TASK_H
#define COHORT_VCPU_X86_TASK_H

#include "vcpu/x86/x86_segment.h"

enum x86_task_source { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_INT, X86_TASK_IRET };

/*
 * Far JMP or CALL of `length` bytes to the descriptor `d` of `sel`: if it is a TSS or a task gate, switches tasks and returns true. Raises
 * the architectural fault, in the old task or, once that has been left, in the new one.
 */
bool x86_task_transfer(struct x86_cpu *c, uint16_t sel, struct x86_desc *d, enum x86_task_source source, unsigned length);
/* IRET with EFLAGS.NT: back to the task whose selector is in the TSS's link field. */
void x86_task_return(struct x86_cpu *c, unsigned length);
/* An event through a task gate that names TSS `sel`: ip and flags are what is saved; the error code goes to the new task's stack. */
void x86_task_interrupt(struct x86_cpu *c, uint16_t sel, uint64_t ip, uint32_t flags, bool has_error, uint32_t error);

#endif
