/* SPDX-License-Identifier: MIT */
/*
 * Debug registers. Threads: the vCPU's own. The single-step trap is declared in x86_isa.h.
 */
#ifndef COHORT_VCPU_X86_DEBUG_H
#define COHORT_VCPU_X86_DEBUG_H

#include "vcpu/x86/x86_cpu.h"

#define X86_DR6_BD 0x2000u /* debug register access while DR7.GD was set */
#define X86_DR6_BS 0x4000u /* single step */
#define X86_DR6_FIXED1 0xffff0ff0u
#define X86_DR7_ENABLES 0x00ffu
#define X86_DR7_GD 0x2000u
#define X86_DR7_FIXED1 0x400u

/* What the registers hold after a write. */
static inline uint64_t x86_dr6_of(uint64_t v)
{
	return (v & 0xe00f) | X86_DR6_FIXED1;
}

static inline uint64_t x86_dr7_of(uint64_t v)
{
	return (v & 0xffff2bff) | X86_DR7_FIXED1;
}

#endif
