/* SPDX-License-Identifier: MIT */
#ifndef COHORT_VCPU_X86_ISA_H
#define COHORT_VCPU_X86_ISA_H

#include <stdio.h>

#include "vcpu/x86/x86_cpu.h"

void x86_dump(const struct vcpu *v, FILE *out); /* x86_dump.c */

/* Puts the CPU's state on huge pages of the host. Owner thread. */
void x86_huge_state(struct tcg_env *env);

#endif
