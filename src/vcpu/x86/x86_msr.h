/* SPDX-License-Identifier: MIT */
#ifndef COHORT_VCPU_X86_MSR_H
#define COHORT_VCPU_X86_MSR_H

#include "vcpu/x86/x86_cpu.h"

void x86_msr_reset(struct x86_cpu *c); /* power-on values */
/* 0, or -1: #GP(0). Thread: the vCPU's own. */
int x86_msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *value);
int x86_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value);

#endif
