/* SPDX-License-Identifier: MIT */
/*
 * Runtime routines of the machine around the CPU's core: time, identification, MSRs, ports, halting, debug registers.
 */
#include <string.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "util/bitops.h"
#include "util/futex.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_int.h"
#include "vcpu/x86/x86_msr.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_smm.h"

#define UNUSED(...) ((void)(uint64_t[]){ __VA_ARGS__ })

static void gp_unless(struct tcg_env *env, bool ok)
{
	if (!ok)
		x86_fault_raise_err(x86_cpu(env), X86_GP, 0);
}

static void set_edx_eax(struct tcg_env *env, uint64_t v)
{
	env->greg[X86_RAX] = (uint32_t)v;
	env->greg[X86_RDX] = v >> 32;
}

/* ---- Time and identification */

uint64_t x86_rt_rdpid(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	UNUSED(a, b, unused);
	return x86_cpu(env)->tsc_aux;
}

/* There are no counters. */
uint64_t x86_rt_rdpmc(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	UNUSED(a, b, unused);
	gp_unless(env, false);
	return 0;
}

uint64_t x86_rt_cpuid(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpuid_regs r = x86_cpuid(x86_cpu(env), (uint32_t)env->greg[X86_RAX], (uint32_t)env->greg[X86_RCX]);

	UNUSED(a, b, unused);
	env->greg[X86_RAX] = r.eax;
	env->greg[X86_RBX] = r.ebx;
	env->greg[X86_RCX] = r.ecx;
	env->greg[X86_RDX] = r.edx;
	return 0;
}

/* ---- MSRs */

uint64_t x86_rt_rdmsr(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t v = 0;

	UNUSED(a, b, unused);
	gp_unless(env, c->cpl == 0 && x86_msr_read(c, (uint32_t)env->greg[X86_RCX], &v) == 0);
	set_edx_eax(env, v);
	return 0;
}

uint64_t x86_rt_wrmsr(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t v = (uint32_t)env->greg[X86_RAX] | env->greg[X86_RDX] << 32;

	UNUSED(a, b, unused);
	gp_unless(env, c->cpl == 0 && x86_msr_write(c, (uint32_t)env->greg[X86_RCX], v) == 0);
	return 0;
}

/* ---- Ports */

uint64_t x86_rt_in(struct tcg_env *env, uint64_t port, uint64_t size, uint64_t unused)
{
	UNUSED(unused);
	gp_unless(env, x86_io_allowed(x86_cpu(env), (uint16_t)port, (unsigned)size));
	x86_debug_port(x86_cpu(env), (uint16_t)port, (unsigned)size);
	return pio_read((uint16_t)port, (unsigned)size) & mask_low((unsigned)size * 8);
}

uint64_t x86_rt_out(struct tcg_env *env, uint64_t port, uint64_t size, uint64_t value)
{
	gp_unless(env, x86_io_allowed(x86_cpu(env), (uint16_t)port, (unsigned)size));
	x86_debug_port(x86_cpu(env), (uint16_t)port, (unsigned)size);
	pio_write((uint16_t)port, value & mask_low((unsigned)size * 8), (unsigned)size);
	return 0;
}

/* ---- Waiting */

uint64_t x86_rt_hlt(struct tcg_env *env, uint64_t next, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	UNUSED(b, unused);
	gp_unless(env, c->cpl == 0);
	env->pc = next;
	vcpu_set_run_state(&c->vcpu, VCPU_HALTED);
	return 0;
}

/*
 * MONITOR remembers the line's contents. MWAIT looks at it for a moment and then sleeps for another (VCPU_REQ_REST), or until a request; that it
 * may end without a store is part of its definition, and who waits for one looks again.
 */
#define MWAIT_LOOKS 256
#define MWAIT_BREAK_IF_MASKED 1u /* ECX: interrupts end it even if IF is 0, which they do anyway */

static void check_monitor(struct x86_cpu *c, uint32_t extensions)
{
	if (c->cpl || !(c->misc_enable & X86_MISC_MONITOR))
		x86_fault_raise(c, X86_UD);
	gp_unless(&c->vcpu.env, !((uint32_t)c->vcpu.env.greg[X86_RCX] & ~extensions));
}

uint64_t x86_rt_monitor(struct tcg_env *env, uint64_t va, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	UNUSED(b, unused);
	check_monitor(c, 0);
	c->monitor_va = va & ~(sizeof(c->monitor_line) - 1);
	tlb_load_bytes(env, c->monitor_va, c->monitor_line, sizeof(c->monitor_line), x86_mmu_mode(c));
	c->monitor_on = true;
	return 0;
}

static bool monitored_line_changed(struct x86_cpu *c)
{
	uint8_t now[sizeof(c->monitor_line)];

	tlb_load_bytes(&c->vcpu.env, c->monitor_va, now, sizeof(now), x86_mmu_mode(c));
	return memcmp(now, c->monitor_line, sizeof(now));
}

uint64_t x86_rt_mwait(struct tcg_env *env, uint64_t next, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	UNUSED(b, unused);
	check_monitor(c, MWAIT_BREAK_IF_MASKED);
	for (unsigned i = 0; c->monitor_on && i < MWAIT_LOOKS; i++) {
		if (monitored_line_changed(c))
			c->monitor_on = false;
		cpu_relax();
	}
	if (c->monitor_on)
		atomic_fetch_or(&env->request, VCPU_REQ_REST);
	c->monitor_on = false;
	env->pc = next;
	return 0;
}

/* ---- Caches, SMM, FPU availability */

/* Guest caches are the host's, and coherent. */
uint64_t x86_rt_wbinvd(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	UNUSED(a, b, unused);
	gp_unless(env, x86_cpu(env)->cpl == 0);
	return 0;
}

uint64_t x86_rt_rsm(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	UNUSED(a, b, unused);
	if (!c->smm)
		x86_fault_raise(c, X86_UD);
	if (!x86_smm_leave(c))
		x86_shutdown(c, "RSM with an illegal state");
	return 0;
}

uint64_t x86_rt_fpu_nm(struct tcg_env *env, uint64_t sse, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	UNUSED(b, unused);
	if (sse && (c->cr0 & X86_CR0_EM || !(c->cr4 & X86_CR4_OSFXSR)))
		x86_fault_raise(c, X86_UD);
	if (c->cr0 & (X86_CR0_TS | X86_CR0_EM))
		x86_fault_raise(c, X86_NM);
	return 0;
}

/* ---- Debug registers: SDM volume 3B, 17.2 */

/* DR4 and DR5 are other names of DR6 and DR7, or undefined. */
static unsigned dr_number(struct x86_cpu *c, uint64_t n)
{
	if (n != 4 && n != 5)
		return n & 7;
	if (c->cr4 & X86_CR4_DE)
		x86_fault_raise(c, X86_UD);
	return n + 2;
}

static void dr_check(struct x86_cpu *c)
{
	gp_unless(&c->vcpu.env, c->cpl == 0);
	if (!(c->dr[7] & X86_DR7_GD))
		return;
	x86_debug_report(c, X86_DR6_BD);
	c->dr[7] &= ~(uint64_t)X86_DR7_GD;
	x86_fault_raise(c, X86_DB);
}

uint64_t x86_rt_dr_read(struct tcg_env *env, uint64_t n, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned r = dr_number(c, n);

	UNUSED(b, unused);
	dr_check(c);
	return c->dr[r];
}

uint64_t x86_rt_debug_fetch(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	UNUSED(a, b, unused);
	x86_debug_fetch(x86_cpu(env));
	return 0;
}

uint64_t x86_rt_dr_write(struct tcg_env *env, uint64_t n, uint64_t value, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned r = dr_number(c, n);

	UNUSED(unused);
	dr_check(c);
	if (r >= 6) {
		gp_unless(env, !(value >> 32));
		value = r == 6 ? x86_dr6_of(value) : x86_dr7_of(value);
	}
	if (r != 6 && value != c->dr[r]) {
		c->dr[r] = value;
		x86_debug_update(c);
		x86_mode_update(c);
	}
	c->dr[r] = value;
	return 0;
}
