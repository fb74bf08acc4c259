/* SPDX-License-Identifier: MIT */
/*
 * Runtime routines without system state: faults, odd integer instructions, wide compare-and-exchange, random numbers, PAUSE.
 */
#include <errno.h>
#include <sys/random.h>

#include "mem/tlb.h"
#include "sched/clock.h"
#include "util/bitops.h"
#include "util/futex.h"
#include "util/stats.h"
#include "vcpu/exec.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_vme.h"

#define UNUSED2(x, y) ((void)(x), (void)(y))
#define UNUSED3(x, y, z) ((void)(x), (void)(y), (void)(z))

/* ---- Faults */

uint64_t x86_rt_raise(struct tcg_env *env, uint64_t vector, uint64_t error, uint64_t unused)
{
	(void)unused;
	x86_fault_raise_err(x86_cpu(env), (enum x86_vector)vector, (int64_t)error < 0 ? 0 : (uint32_t)error);
}

uint64_t x86_rt_int_soft(struct tcg_env *env, uint64_t vector, uint64_t next, uint64_t is_int_n)
{
	struct x86_cpu *c = x86_cpu(env);

	if (is_int_n && (c->eflags & X86_FL_VM) && x86_vme_int(c, (uint8_t)vector, next)) {
		c->single_step_due = X86_STEP_NONE;
		vcpu_unwind(env);
	}
	/* INT1 is no software interrupt to the gate's DPL, but a trap all the same. */
	c->fault.raised = (struct x86_event){ .vector = (uint8_t)vector, .soft = vector != X86_INT1_VECTOR, .next_pc = next };
	if (!c->fault.raised.soft) {
		env->pc = next;
		if (c->debug_due) /* held back by MOV SS: the same exception tells of it */
			x86_debug_report(c, c->debug_due);
		c->debug_due = 0;
	}
	c->single_step_due = X86_STEP_NONE; /* TF is cleared before the step would be seen */
	c->fault.pending = true;
	stat_inc(STAT_exceptions);
	vcpu_unwind(env);
}

/* ---- Integers */

static void div8_unsigned(struct x86_cpu *c, uint16_t ax, uint8_t by, uint64_t *rax)
{
	if (!by || ax / by > 0xff)
		x86_fault_raise(c, X86_DE);
	*rax = bits_put(*rax, 0, 16, (uint64_t)(ax % by) << 8 | (uint64_t)(ax / by));
}

static void div8_signed(struct x86_cpu *c, int16_t ax, int8_t by, uint64_t *rax)
{
	int quotient;

	if (!by)
		x86_fault_raise(c, X86_DE);
	quotient = ax / by;
	if (quotient != (int8_t)quotient)
		x86_fault_raise(c, X86_DE);
	*rax = bits_put(*rax, 0, 16, (uint64_t)(uint8_t)(ax % by) << 8 | (uint8_t)quotient);
}

uint64_t x86_rt_div8(struct tcg_env *env, uint64_t by, uint64_t is_signed, uint64_t unused)
{
	uint64_t *rax = &env->greg[X86_RAX];

	(void)unused;
	if (is_signed)
		div8_signed(x86_cpu(env), (int16_t)*rax, (int8_t)by, rax);
	else
		div8_unsigned(x86_cpu(env), (uint16_t)*rax, (uint8_t)by, rax);
	return 0;
}

/* S, Z and P of a byte. */
static uint64_t flags_of(uint8_t v)
{
	return (v & 0x80 ? X86_FL_SF : 0) | (v ? 0 : X86_FL_ZF) | (__builtin_parity(v) ? 0 : X86_FL_PF);
}

/* DAA, DAS: O is undefined, here 0. */
static uint64_t decimal_adjust(uint64_t flags, uint8_t *al, bool subtract)
{
	uint8_t old = *al;
	uint64_t out = 0;

	if ((old & 15) > 9 || flags & X86_FL_AF) {
		*al = (uint8_t)(subtract ? *al - 6 : *al + 6);
		out |= X86_FL_AF;
		if (subtract && old < 6)
			out |= X86_FL_CF;
	}
	if (old > 0x99 || flags & X86_FL_CF) {
		*al = (uint8_t)(subtract ? *al - 0x60 : *al + 0x60);
		out |= X86_FL_CF;
	}
	return out | flags_of(*al);
}

/* AAA, AAS: only A and C are defined. */
static uint64_t ascii_adjust(uint64_t flags, uint16_t *ax, bool subtract)
{
	uint64_t out = 0;

	if ((*ax & 15) > 9 || flags & X86_FL_AF) {
		*ax = (uint16_t)(subtract ? *ax - 6 : *ax + 6);
		*ax = (uint16_t)(subtract ? *ax - 0x100 : *ax + 0x100);
		out = X86_FL_AF | X86_FL_CF;
	}
	*ax &= 0xff0f;
	return out | flags_of((uint8_t)*ax);
}

enum bcd { DAA, DAS, AAA, AAS, AAM, AAD };

uint64_t x86_rt_bcd(struct tcg_env *env, uint64_t what, uint64_t imm, uint64_t unused)
{
	uint16_t ax = (uint16_t)env->greg[X86_RAX];
	uint8_t al = (uint8_t)ax, ah = (uint8_t)(ax >> 8), base = (uint8_t)imm;

	(void)unused;
	switch ((enum bcd)what) {
	case DAA:
	case DAS:
		env->flags = decimal_adjust(env->flags, &al, what == DAS);
		ax = (uint16_t)(ah << 8 | al);
		break;
	case AAA:
	case AAS:
		env->flags = ascii_adjust(env->flags, &ax, what == AAS);
		break;
	case AAM:
		if (!base)
			x86_fault_raise(x86_cpu(env), X86_DE);
		ax = (uint16_t)((al / base) << 8 | al % base);
		env->flags = flags_of((uint8_t)ax);
		break;
	case AAD:
		ax = (uint8_t)(al + ah * base);
		env->flags = flags_of((uint8_t)ax);
		break;
	}
	env->greg[X86_RAX] = bits_put(env->greg[X86_RAX], 0, 16, ax);
	return 0;
}

uint64_t x86_rt_bound(struct tcg_env *env, uint64_t index, uint64_t lower, uint64_t upper)
{
	if ((int64_t)index < (int64_t)lower || (int64_t)index > (int64_t)upper)
		x86_fault_raise(x86_cpu(env), X86_BR);
	return 0;
}

/* ---- CMPXCHG8B, CMPXCHG16B: always atomic, with or without LOCK */

static uint64_t pair(const struct tcg_env *env, unsigned high, unsigned low)
{
	return (uint64_t)(uint32_t)env->greg[high] << 32 | (uint32_t)env->greg[low];
}

static void set_zf(struct tcg_env *env, bool on)
{
	env->flags = on ? env->flags | X86_FL_ZF : env->flags & ~(uint64_t)X86_FL_ZF;
}

/* A misaligned operand is the guest's business; hosts without misaligned atomics would need a lock here. */
__attribute__((no_sanitize("alignment"))) static uint64_t cas64(void *p, uint64_t old, uint64_t new)
{
	return __sync_val_compare_and_swap((uint64_t *)p, old, new);
}

uint64_t x86_rt_cmpxchg8b(struct tcg_env *env, uint64_t va, uint64_t b, uint64_t c)
{
	uint64_t expected = pair(env, X86_RDX, X86_RAX), found;
	void *p;

	UNUSED2(b, c);
	x86_data_fault_check_alignment(x86_cpu(env), va, 8);
	p = tlb_access_slow(env, va, 8, TLB_RMW, x86_mmu_mode(x86_cpu(env)), TLB_SLOT_MISC, false);
	found = cas64(p, expected, pair(env, X86_RCX, X86_RBX));
	tlb_commit(env);
	if (found != expected) {
		env->greg[X86_RAX] = (uint32_t)found;
		env->greg[X86_RDX] = found >> 32;
	}
	set_zf(env, found == expected);
	return 0;
}

typedef unsigned __int128 u128;

static u128 cas128(void *p, u128 old, u128 new)
{
	return __sync_val_compare_and_swap((u128 *)p, old, new);
}

uint64_t x86_rt_cmpxchg16b(struct tcg_env *env, uint64_t va, uint64_t b, uint64_t c)
{
	uint64_t *g = env->greg;
	u128 expected = (u128)g[X86_RDX] << 64 | g[X86_RAX], found;
	void *p = tlb_access_slow(env, va, 16, TLB_RMW, x86_mmu_mode(x86_cpu(env)), TLB_SLOT_MISC, true);

	UNUSED2(b, c);
	found = cas128(p, expected, (u128)g[X86_RCX] << 64 | g[X86_RBX]);
	tlb_commit(env);
	if (found != expected) {
		g[X86_RAX] = (uint64_t)found;
		g[X86_RDX] = (uint64_t)(found >> 64);
	}
	set_zf(env, found == expected);
	return 0;
}

/* ---- RDRAND, RDSEED: the host kernel's generator, in bulk */

static bool random_bytes(void *to, unsigned size)
{
	static _Thread_local struct {
		uint8_t bytes[256];
		unsigned left;
	} pool;

	if (pool.left < size) {
		ssize_t n;

		do
			n = getrandom(pool.bytes, sizeof(pool.bytes), 0);
		while (n < 0 && errno == EINTR);
		if (n != sizeof(pool.bytes))
			return false;
		pool.left = sizeof(pool.bytes);
	}
	pool.left -= size;
	__builtin_memcpy(to, pool.bytes + pool.left, size);
	__builtin_memset(pool.bytes + pool.left, 0, size); /* handed out once */
	return true;
}

uint64_t x86_rt_rdrand(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t c)
{
	uint64_t v = 0;

	UNUSED2(b, c);
	env->flags = random_bytes(&v, (unsigned)size) ? X86_FL_CF : 0;
	return v;
}

uint64_t x86_rt_rdseed(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t c)
{
	return x86_rt_rdrand(env, size, b, c);
}

uint64_t x86_rt_pause(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	UNUSED3(a, b, c);
	vcpu_spin_wait(&x86_cpu(env)->vcpu);
	return 0;
}

/* ---- Far pointers in memory */

uint64_t x86_rt_ld_far(struct tcg_env *env, uint64_t va, uint64_t size, uint64_t c)
{
	unsigned mode = x86_mmu_mode(x86_cpu(env));
	uint64_t offset = tlb_load(env, va, (unsigned)size, mode);

	(void)c;
	env->spill[15] = tlb_load(env, va + size, 2, mode);
	return offset;
}
