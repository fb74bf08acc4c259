/* SPDX-License-Identifier: MIT */
/*
 * ENTER with a nesting level. SDM volume 2, ENTER.
 */
#include "mem/tlb.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_segment.h"

static uint64_t width_mask(uint64_t bytes)
{
	return bytes == 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

static void set_low(uint64_t *reg, uint64_t v, uint64_t bytes)
{
	uint64_t mask = width_mask(bytes);

	*reg = bytes == 2 ? (*reg & ~mask) | (v & mask) : v & mask;
}

uint64_t x86_rt_enter(struct tcg_env *env, uint64_t what, uint64_t size, uint64_t stack_bytes)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t mask = width_mask(stack_bytes), base = x86_code64(c) ? 0 : c->seg[X86_SS].base;
	uint64_t bytes = what & 0xffff, sp = env->greg[X86_RSP], bp = env->greg[X86_RBP], frame;
	unsigned level = what >> 16 & 31, mode = x86_mmu_mode(c);

	sp -= size;
	tlb_store(env, base + (sp & mask), bp, (unsigned)size, mode);
	frame = sp;
	for (unsigned i = 1; i < level; i++) {
		bp -= size;
		sp -= size;
		tlb_store(env, base + (sp & mask), tlb_load(env, base + (bp & mask), (unsigned)size, mode), (unsigned)size, mode);
	}
	sp -= size;
	tlb_store(env, base + (sp & mask), frame, (unsigned)size, mode);
	sp -= bytes;
	/* The final stack pointer must be writable: the fault comes here and not at the next push. */
	tlb_page_ptr(env, base + (sp & mask), TLB_WRITE, mode);
	set_low(&env->greg[X86_RBP], frame, size);
	set_low(&env->greg[X86_RSP], sp, stack_bytes);
	return 0;
}
