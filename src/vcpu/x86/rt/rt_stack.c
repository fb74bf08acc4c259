/* SPDX-License-Identifier: MIT */
/*
 * ENTER. SDM volume 2, ENTER.
 */
#include "mem/tlb.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_stack.h"

static void set_low(uint64_t *reg, uint64_t v, uint64_t bytes)
{
	uint64_t mask = bytes == 8 ? ~0ull : (1ull << (8 * bytes)) - 1;

	*reg = bytes == 2 ? (*reg & ~mask) | (v & mask) : v & mask;
}

uint64_t x86_rt_enter(struct tcg_env *env, uint64_t what, uint64_t size64, uint64_t stack_bytes)
{
	struct x86_cpu *c = x86_cpu(env);
	struct x86_stack s = x86_stack_now(c);
	uint64_t bytes = what & 0xffff, bp = env->greg[X86_RBP], frame;
	unsigned level = what >> 16 & 31, size = (unsigned)size64;

	x86_stack_push(&s, bp, size);
	frame = s.sp;
	for (unsigned i = 1; i < level; i++) {
		bp -= size;
		x86_stack_push(&s, tlb_load(env, x86_stack_word(&s, bp & s.mask, size), size, s.mode), size);
	}
	if (level)
		x86_stack_push(&s, frame, size);
	x86_stack_release(&s, -bytes);
	/* The final stack pointer must be writable: the fault comes here and not at the next push. */
	tlb_page_ptr(env, x86_stack_word(&s, s.sp & s.mask, 1), TLB_WRITE, s.mode);
	set_low(&env->greg[X86_RBP], frame, size);
	set_low(&env->greg[X86_RSP], s.sp, stack_bytes);
	return 0;
}
