/* SPDX-License-Identifier: MIT */
/*
 * ENTER with a nesting level. SDM volume 2, ENTER.
 */
#include "mem/tlb.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_data_fault.h"
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

/* Linear address of a stack offset. */
static gva_t on_stack(struct x86_cpu *c, uint64_t offset)
{
	return x86_code64(c) ? offset : (uint32_t)(c->seg[X86_SS].base + offset);
}

/* One word of the stack, at offset `sp`. */
static void put(struct x86_cpu *c, uint64_t sp, uint64_t v, uint64_t size)
{
	gva_t va = on_stack(c, sp);

	x86_data_fault_check_alignment(c, va, (unsigned)size);
	tlb_store(&c->vcpu.env, va, v, (unsigned)size, x86_mmu_mode(c));
}

static uint64_t get(struct x86_cpu *c, uint64_t sp, uint64_t size)
{
	gva_t va = on_stack(c, sp);

	x86_data_fault_check_alignment(c, va, (unsigned)size);
	return tlb_load(&c->vcpu.env, va, (unsigned)size, x86_mmu_mode(c));
}

uint64_t x86_rt_enter(struct tcg_env *env, uint64_t what, uint64_t size, uint64_t stack_bytes)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t mask = width_mask(stack_bytes);
	uint64_t bytes = what & 0xffff, sp = env->greg[X86_RSP], bp = env->greg[X86_RBP], frame;
	unsigned level = what >> 16 & 31;

	sp -= size;
	put(c, sp & mask, bp, size);
	frame = sp;
	for (unsigned i = 1; i < level; i++) {
		bp -= size;
		sp -= size;
		put(c, sp & mask, get(c, bp & mask, size), size);
	}
	sp -= size;
	put(c, sp & mask, frame, size);
	sp -= bytes;
	/* The final stack pointer must be writable: the fault comes here and not at the next push. */
	tlb_page_ptr(env, on_stack(c, sp & mask), TLB_WRITE, x86_mmu_mode(c));
	set_low(&env->greg[X86_RBP], frame, size);
	set_low(&env->greg[X86_RSP], sp, stack_bytes);
	return 0;
}
