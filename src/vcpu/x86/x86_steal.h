/* SPDX-License-Identifier: MIT */
/*
 * KVM's steal time, and the paravirtual TLB flush that is built on it; see x86_steal.c. Threads: the vCPU's own; at reset, the main one.
 */
#ifndef COHORT_VCPU_X86_STEAL_H
#define COHORT_VCPU_X86_STEAL_H

#include "vcpu/x86/x86_cpu.h"

#define X86_MSR_KVM_STEAL_TIME 0x4b564d03u

/* WRMSR: -1 if the value is not allowed. */
int x86_steal_msr_write(struct x86_cpu *c, uint64_t v);
/* The CPU stands still from here on: it does not use its TLB before x86_steal_go_on(), which may flush it. */
void x86_steal_stand(struct x86_cpu *c);
void x86_steal_go_on(struct x86_cpu *c);
/* At a safepoint: tells the guest what was stolen, if it is some time that it was told. */
void x86_steal_report(struct x86_cpu *c);

#endif
