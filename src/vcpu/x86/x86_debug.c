/* SPDX-License-Identifier: MIT */
/*
 * Debug exceptions. SDM volume 3B, 19.2 and 19.3.
 *
 * Traps are collected in debug_due (DR6 bits) and single_step_due, and taken together at the safepoint behind the instruction. What hits in
 * the middle of a block makes the instruction run again in a block of its own, so that there is such a safepoint.
 */
#include "vcpu/x86/x86_debug.h"

#include <string.h>

#include "vcpu/debugger.h"
#include "vcpu/exec.h"
#include "vcpu/x86/x86_int.h"
#include "vcpu/x86/x86_isa.h"

#define NR_BREAKPOINTS 4

enum kind { ON_FETCH, ON_WRITE, ON_PORT, ON_ACCESS };

static bool enabled(const struct x86_cpu *c, unsigned n)
{
	return c->dr[7] >> 2 * n & 3;
}

/* Ports need CR4.DE; without it the encoding is undefined, and never hits. */
static enum kind kind(const struct x86_cpu *c, unsigned n)
{
	return (enum kind)(c->dr[7] >> (16 + 4 * n) & 3);
}

static unsigned length(const struct x86_cpu *c, unsigned n)
{
	static const uint8_t bytes[] = { 1, 2, 8, 4 };

	return bytes[c->dr[7] >> (18 + 4 * n) & 3];
}

/* Low address bits that the length covers are ignored. */
static uint64_t start(const struct x86_cpu *c, unsigned n)
{
	return c->dr[n] & ~(uint64_t)(length(c, n) - 1);
}

static bool overlaps(const struct x86_cpu *c, unsigned n, uint64_t from, uint64_t size)
{
	return from < start(c, n) + length(c, n) && start(c, n) < from + size;
}

static bool is_data(const struct x86_cpu *c, unsigned n)
{
	return enabled(c, n) && (kind(c, n) == ON_WRITE || kind(c, n) == ON_ACCESS);
}

void x86_debug_update(struct x86_cpu *c)
{
	bool data = false;

	c->bp_fetch = c->bp_port = false;
	memset(c->bp_filter, 0, sizeof(c->bp_filter));
	for (unsigned n = 0; n < NR_BREAKPOINTS; n++) {
		data |= is_data(c, n);
		if (!enabled(c, n))
			continue;
		c->bp_port |= kind(c, n) == ON_PORT && (c->cr4 & X86_CR4_DE);
		if (kind(c, n) == ON_FETCH) {
			c->bp_fetch = true;
			c->bp_filter[c->dr[n] % sizeof(c->bp_filter)] = 1;
		}
	}
	for (unsigned n = 0; n < nr_debug_points; n++) {
		const struct debug_point *p = &debug_points[n];

		data |= !debug_is_code(p->kind);
		if (debug_is_code(p->kind)) {
			c->bp_fetch = true;
			c->bp_filter[p->addr % sizeof(c->bp_filter)] = 1;
		}
	}
	tlb_set_watch(&c->vcpu.env, data);
	if (!c->bp_fetch)
		c->eflags &= ~X86_FL_RF;
}

/* ---- The debugger outside of the guest: it sees what is met before the guest does */

static void stop_at_code(struct x86_cpu *c, uint64_t pc)
{
	for (unsigned n = 0; n < nr_debug_points; n++) {
		if (!debug_is_code(debug_points[n].kind) || debug_points[n].addr != pc)
			continue;
		c->vcpu.debug.stop = DEBUG_STOP_CODE;
		c->vcpu.exec->one_shot = true; /* it starts again: see instruction_restarts() */
		vcpu_unwind(&c->vcpu.env);
	}
}

static bool point_overlaps(const struct debug_point *p, uint64_t from, uint64_t size)
{
	return !debug_is_code(p->kind) && from <= p->addr + (p->len - 1) && p->addr <= from + (size - 1);
}

static bool kind_hits(enum debug_kind kind, enum tlb_access access)
{
	return kind == DEBUG_ACCESS || (kind == DEBUG_WRITE ? access != TLB_READ : access == TLB_READ || access == TLB_RMW);
}

static void stop_behind(struct x86_cpu *c, const struct debug_point *p)
{
	static const uint8_t why[] = { [DEBUG_WRITE] = DEBUG_STOP_WRITE, [DEBUG_READ] = DEBUG_STOP_READ, [DEBUG_ACCESS] = DEBUG_STOP_ACCESS };

	if (!(c->tb_flags & X86_TB_SINGLE))
		vcpu_run_alone(&c->vcpu.env); /* does not return if the instruction is in company */
	c->vcpu.debug.stop = (enum debug_stop)why[p->kind];
	c->vcpu.debug.addr = p->addr;
	atomic_fetch_or_explicit(&c->vcpu.env.request, VCPU_REQ_INTR, memory_order_relaxed); /* to the run loop behind it */
}

/* ---- Instructions: a fault in front */

void x86_debug_fetch(struct x86_cpu *c)
{
	uint64_t pc = c->vcpu.env.pc;
	uint32_t hits = 0;

	if (nr_debug_points)
		stop_at_code(c, pc);
	if (c->shadow == X86_SHADOW_SS || (c->eflags & X86_FL_RF))
		return;
	for (unsigned n = 0; n < NR_BREAKPOINTS; n++)
		if (enabled(c, n) && kind(c, n) == ON_FETCH && c->dr[n] == pc)
			hits |= 1u << n;
	if (!hits)
		return;
	x86_debug_report(c, hits);
	c->debugctl &= ~(uint64_t)(X86_DEBUGCTL_LBR | X86_DEBUGCTL_BTF);
	c->dr[7] &= ~(uint64_t)X86_DR7_GD;
	c->single_step_due = X86_STEP_NONE;
	c->fault.raised = (struct x86_event){ .vector = X86_DB }; /* RF is pushed as it is */
	c->fault.pending = true;
	vcpu_unwind(&c->vcpu.env);
}

/* ---- Data and ports: traps behind */

static void hit(struct x86_cpu *c, uint32_t hits)
{
	struct tcg_env *env = &c->vcpu.env;

	if (!(c->tb_flags & X86_TB_SINGLE))
		vcpu_run_alone(env); /* does not return if the instruction is in company */
	c->debug_due |= hits;
	atomic_fetch_or_explicit(&env->request, VCPU_REQ_INTR, memory_order_relaxed); /* to the run loop behind it */
}

void x86_debug_port(struct x86_cpu *c, uint16_t port, unsigned size)
{
	uint32_t hits = 0;

	for (unsigned n = 0; c->bp_port && n < NR_BREAKPOINTS; n++)
		if (enabled(c, n) && kind(c, n) == ON_PORT && overlaps(c, n, port, size))
			hits |= 1u << n;
	if (hits)
		hit(c, hits);
}

void x86_debug_data(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access)
{
	struct x86_cpu *c = x86_cpu(env);
	uint32_t hits = 0;

	if (c->fault.delivering)
		return;
	for (unsigned n = 0; n < NR_BREAKPOINTS; n++)
		if (is_data(c, n) && (access != TLB_READ || kind(c, n) == ON_ACCESS) && overlaps(c, n, va, size))
			hits |= 1u << n;
	if (hits)
		hit(c, hits);
	for (unsigned n = 0; n < nr_debug_points; n++)
		if (point_overlaps(&debug_points[n], va, size) && kind_hits(debug_points[n].kind, access))
			stop_behind(c, &debug_points[n]);
}

bool x86_debug_watches(struct tcg_env *env, gva_t page)
{
	struct x86_cpu *c = x86_cpu(env);

	for (unsigned n = 0; n < NR_BREAKPOINTS; n++)
		if (is_data(c, n) && overlaps(c, n, page, GUEST_PAGE_SIZE))
			return true;
	for (unsigned n = 0; n < nr_debug_points; n++)
		if (point_overlaps(&debug_points[n], page, GUEST_PAGE_SIZE))
			return true;
	return false;
}

/* ---- Delivery */

void x86_debug_task_trap(struct x86_cpu *c)
{
	c->debug_due |= X86_DR6_BT;
	if (!c->fault.delivering)
		vcpu_unwind(&c->vcpu.env);
}

/* env.pc is already the next instruction's. Entering the handler clears DR7.GD, so that it may look at the registers. */
void x86_debug_trap(struct x86_cpu *c)
{
	c->debugctl &= ~(uint64_t)(X86_DEBUGCTL_LBR | X86_DEBUGCTL_BTF); /* 19.4.1, 19.4.3 */
	x86_debug_report(c, c->debug_due | (c->single_step_due ? X86_DR6_BS : 0));
	c->dr[7] &= ~(uint64_t)X86_DR7_GD;
	c->single_step_due = X86_STEP_NONE;
	c->debug_due = 0;
	vcpu_set_run_state(&c->vcpu, VCPU_RUNNING); /* the trap behind HLT ends it */
	c->fault.raised = (struct x86_event){ .vector = X86_DB };
	c->fault.pending = true;
	x86_int_deliver_fault(c);
}
