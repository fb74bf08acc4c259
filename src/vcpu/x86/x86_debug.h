/* SPDX-License-Identifier: MIT */
/*
 * Debug registers: breakpoints on instructions, data and ports, single step, task switches. Threads: the vCPU's own.
 *
 * Nothing of this costs anything while DR7 enables no breakpoint: instruction breakpoints are looked for by blocks of their own mode
 * (X86_TB_BP), data breakpoints by the TLB's slow path, to which pages with a breakpoint are confined, ports in the runtime routines.
 */
#ifndef COHORT_VCPU_X86_DEBUG_H
#define COHORT_VCPU_X86_DEBUG_H

#include "mem/tlb.h"
#include "vcpu/x86/x86_cpu.h"

#define X86_DR6_HITS 0x000fu
#define X86_DR6_BD 0x2000u /* debug register access while DR7.GD was set */
#define X86_DR6_BS 0x4000u /* single step */
#define X86_DR6_BT 0x8000u /* task switch to a TSS with its T bit set */
#define X86_DR6_FIXED1 0xffff0ff0u
#define X86_DR7_ENABLES 0x00ffu
#define X86_DR7_LOCALS 0x0155u /* L0-L3, LE: a task switch clears them */
#define X86_DR7_GD 0x2000u
#define X86_DR7_FIXED1 0x400u
#define X86_DEBUGCTL_LBR 0x1u
#define X86_DEBUGCTL_BTF 0x2u /* single step on branches */

/* What the registers hold after a write. */
static inline uint64_t x86_dr6_of(uint64_t v)
{
	return (v & 0xe00f) | X86_DR6_FIXED1;
}

static inline uint64_t x86_dr7_of(uint64_t v)
{
	return (v & 0xffff2bff) | X86_DR7_FIXED1;
}

/* What a debug exception leaves in DR6: its hits in place of older ones; the other bits only come (SDM volume 3B, 19.2.3). */
static inline void x86_debug_report(struct x86_cpu *c, uint32_t bits)
{
	c->dr[6] = (c->dr[6] & ~(uint64_t)X86_DR6_HITS) | bits;
}

/* DR0-DR3, DR7 or CR4.DE changed: recomputes what is watched. To be followed by x86_mode_update() and the end of the block. */
void x86_debug_update(struct x86_cpu *c);
/* Raises #DB if the instruction at env.pc has a breakpoint. */
void x86_debug_fetch(struct x86_cpu *c);
/* A port is about to be accessed; a hit is a trap behind the instruction, which may be made to start again in a block of its own. */
void x86_debug_port(struct x86_cpu *c, uint16_t port, unsigned size);
/* tlb_ops: data is about to be accessed, likewise; and whether a page has a data breakpoint. */
void x86_debug_data(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access);
bool x86_debug_watches(struct tcg_env *env, gva_t page);
/* A task with its T bit set was switched to. */
void x86_debug_task_trap(struct x86_cpu *c);

/* At a safepoint: with DEBUGCTL.BTF a single step is forgotten that was no branch taken. */
static inline void x86_debug_steps(struct x86_cpu *c)
{
	if (c->single_step_due && unlikely(c->debugctl & X86_DEBUGCTL_BTF) &&
	    (c->single_step_due == X86_STEP_PLAIN || (c->single_step_due == X86_STEP_MAYBE && c->vcpu.env.pc == c->step_next)))
		c->single_step_due = X86_STEP_NONE;
}

/* At a safepoint: are traps due, and may they be taken? Delivers them. */
static inline bool x86_debug_due(const struct x86_cpu *c)
{
	return (c->single_step_due || c->debug_due) && c->shadow != X86_SHADOW_SS;
}
void x86_debug_trap(struct x86_cpu *c);

#endif
