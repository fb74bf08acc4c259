/* SPDX-License-Identifier: MIT */
#ifndef COHORT_VCPU_X86_ISA_H
#define COHORT_VCPU_X86_ISA_H

#include <stdio.h>

#include "vcpu/x86/x86_cpu.h"

void x86_dump(const struct vcpu *v, FILE *out); /* x86_dump.c */

/* x86_debug.c: a single-stepped instruction has completed: raises the trap (delivered at this safepoint). */
void x86_debug_step(struct x86_cpu *c);

#endif
