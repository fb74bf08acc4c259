/* SPDX-License-Identifier: MIT */
#ifndef COHORT_VCPU_X86_ISA_H
#define COHORT_VCPU_X86_ISA_H

#include <stdio.h>

#include "vcpu/x86/x86_cpu.h"

void x86_dump(const struct vcpu *v, FILE *out); /* x86_dump.c */

/* Puts the CPU's state on huge pages of the host. Owner thread. */
void x86_huge_state(struct tcg_env *env);

/* x86_gdb.c, for vcpu_arch. */
void x86_gdb_describe(const struct vcpu *v, FILE *out);
unsigned x86_gdb_read(struct vcpu *v, unsigned n, uint8_t *out);
unsigned x86_gdb_write(struct vcpu *v, unsigned n, const uint8_t *in, size_t len);

#endif
