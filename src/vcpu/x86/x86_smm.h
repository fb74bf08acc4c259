/* SPDX-License-Identifier: MIT */
/*
 * System-management mode. Threads: the vCPU's own.
 */
#ifndef COHORT_VCPU_X86_SMM_H
#define COHORT_VCPU_X86_SMM_H

#include "vcpu/x86/x86_cpu.h"

/* An SMI has been accepted, at an instruction's end: saves the state and goes to the handler. */
void x86_smm_enter(struct x86_cpu *c);
/* RSM: back to what the save area says. False: the state there is not legal, and the CPU shuts down. */
bool x86_smm_leave(struct x86_cpu *c);

#endif
