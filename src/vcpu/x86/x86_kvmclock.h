/* SPDX-License-Identifier: MIT */
/*
 * KVM's clock; see x86_kvmclock.c. Threads: the vCPU's own; at reset, the main one.
 */
#ifndef COHORT_VCPU_X86_KVMCLOCK_H
#define COHORT_VCPU_X86_KVMCLOCK_H

#include "vcpu/x86/x86_cpu.h"

/* The older numbers first. */
#define X86_MSR_KVM_WALL_CLOCK_OLD 0x11u
#define X86_MSR_KVM_SYSTEM_TIME_OLD 0x12u
#define X86_MSR_KVM_WALL_CLOCK 0x4b564d00u
#define X86_MSR_KVM_SYSTEM_TIME 0x4b564d01u

void x86_kvmclock_wall_write(struct x86_cpu *c, uint64_t v);
void x86_kvmclock_system_write(struct x86_cpu *c, uint64_t v);
/* The guest has moved this CPU's TSC. */
void x86_kvmclock_tsc_moved(struct x86_cpu *c);
/* At a safepoint: tells the guest if another CPU has moved its TSC. */
void x86_kvmclock_report(struct x86_cpu *c);
void x86_kvmclock_reset(struct x86_cpu *c);

#endif
