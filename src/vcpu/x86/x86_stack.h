/* SPDX-License-Identifier: MIT */
/*
 * A stack being pushed to or popped from by an instruction or an interrupt, not yet the CPU's: RSP is written back by the caller when nothing
 * can fault any more. SDM volume 3A, 5.3 and 6.15 (#SS): outside 64-bit mode the segment's limit counts.
 */
#ifndef COHORT_VCPU_X86_STACK_H
#define COHORT_VCPU_X86_STACK_H

#include "mem/tlb.h"
#include "mem/word.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_segment.h"

struct x86_stack {
	struct x86_cpu *c;
	uint64_t base, sp, mask;
	const struct x86_seg *limits; /* NULL: none */
	uint32_t error;               /* of the #SS: 0, or the selector of a stack that is being switched to */
	unsigned mode;                /* enum x86_mmu_mode */
};

static inline uint64_t x86_stack_mask(const struct x86_seg *ss)
{
	return ss->attr & X86_SA_DB ? 0xffffffffull : 0xffffull;
}

/* As code outside 64-bit mode uses segment `ss`. */
static inline struct x86_stack x86_stack_of(struct x86_cpu *c, const struct x86_seg *ss, uint64_t sp, unsigned mode)
{
	return (struct x86_stack){ c, ss->base, sp, x86_stack_mask(ss), ss, 0, mode };
}

/* The current one. */
static inline struct x86_stack x86_stack_now(struct x86_cpu *c)
{
	uint64_t sp = c->vcpu.env.greg[X86_RSP];

	if (x86_code64(c))
		return (struct x86_stack){ c, 0, sp, ~0ull, NULL, 0, x86_mmu_mode(c) };
	return x86_stack_of(c, &c->seg[X86_SS], sp, x86_mmu_mode(c));
}

/* Linear address of the word at offset `off`; limit and, for instructions of level 3, alignment are checked. */
static inline gva_t x86_stack_word(const struct x86_stack *s, uint64_t off, unsigned size)
{
	gva_t va = s->base + off;

	if (s->limits) {
		va = (uint32_t)va;
		if (!x86_seg_offset_ok(s->limits, (uint32_t)off, size))
			x86_fault_raise_err(s->c, X86_SSF, s->error);
	}
	if (s->mode == X86_MMU_USER)
		x86_data_fault_check_alignment(s->c, va, size);
	return va;
}

static inline void x86_stack_push(struct x86_stack *s, uint64_t value, unsigned size)
{
	uint64_t sp = (s->sp - size) & s->mask;

	tlb_store(&s->c->vcpu.env, x86_stack_word(s, sp, size), value, size, s->mode);
	s->sp = (s->sp & ~s->mask) | sp;
}

static inline uint64_t x86_stack_peek(const struct x86_stack *s, unsigned off, unsigned size)
{
	uint64_t sp = (s->sp + off) & s->mask;

	return tlb_load(&s->c->vcpu.env, x86_stack_word(s, sp, size), size, s->mode);
}

static inline void x86_stack_release(struct x86_stack *s, uint64_t bytes)
{
	s->sp = (s->sp & ~s->mask) | ((s->sp + bytes) & s->mask);
}

static inline uint64_t x86_stack_pop(struct x86_stack *s, unsigned size)
{
	uint64_t v = x86_stack_peek(s, 0, size);

	x86_stack_release(s, size);
	return v;
}

/* ---- Frames of 64-bit mode: words in the order of their addresses. One look into the TLB where word by word takes one each. */

static inline void x86_stack_push_frame(struct x86_stack *s, const uint64_t *words, unsigned n)
{
	uint64_t sp = s->sp - 8 * n;
	char *p = tlb_known(&s->c->vcpu.env, sp, 8 * n, TLB_WRITE, s->mode);

	if (unlikely(!p)) {
		while (n)
			x86_stack_push(s, words[--n], 8);
		return;
	}
	for (unsigned i = n; i-- > 0;) /* as pushes would */
		word_store(p + 8 * i, words[i], 8);
	s->sp = sp;
}

/* False: not that simple, nothing was done. Not for instructions of level 3, which check alignment. */
static inline bool x86_stack_pop_frame(struct x86_stack *s, uint64_t *words, unsigned n)
{
	const char *p = tlb_known(&s->c->vcpu.env, s->sp, 8 * n, TLB_READ, s->mode);

	if (unlikely(!p))
		return false;
	for (unsigned i = 0; i < n; i++)
		words[i] = word_load(p + 8 * i, 8);
	s->sp += 8 * n;
	return true;
}

#endif
