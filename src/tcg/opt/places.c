/* SPDX-License-Identifier: MIT */
/*
 * Level-0 slots by what registers point to. An access off a plain register uses the register's slot (mem/tlb_layout.h), one range. Kernels hand over in
 * the same registers now an object of the heap, now one on the stack or a static one, which are far apart; so each of these places gets slots of
 * its own.
 *
 * A block is translated when it is about to run: what the registers hold then tells the place, most times for good. What a block computes is
 * followed through copies and additions of constants; what it loads counts as heap. Nothing depends on it but how often a slot misses.
 */
#include "mem/tlb_layout.h"
#include "tcg/env.h"
#include "tcg/opt/opt.h"

#define STACK_REACH (16u << 10) /* bytes on both sides of the stack pointer */
#define IMAGE_BITS 31           /* code and static data lie within 2 GiB, as compilers' small models want it */

struct places {
	uint64_t value[TCG_NR_GREG];
	uint32_t known; /* bit per global */
	uint64_t sp;
	gva_t pc;
};

static bool knows(const struct places *p, ir_ref r)
{
	return r != IR_NONE && IR_REF_KIND(r) == IR_KIND_G && (p->known >> IR_REF_NUM(r) & 1);
}

static void learn(struct places *p, ir_ref d, uint64_t value)
{
	p->value[IR_REF_NUM(d)] = value;
	p->known |= 1u << IR_REF_NUM(d);
}

static void forget(struct places *p, ir_ref r)
{
	if (r != IR_NONE && IR_REF_KIND(r) == IR_KIND_G)
		p->known &= ~(1u << IR_REF_NUM(r));
}

/* d of an instruction from what is known; false: it is not. */
static bool follow(struct places *p, const struct ir_block *b, const struct ir_insn *i)
{
	const struct ir_mem *m;

	if (i->type != IR_I64 || i->d == IR_NONE || IR_REF_KIND(i->d) != IR_KIND_G)
		return false;
	if (i->op == IR_LEA) {
		m = &b->mem[IR_REF_NUM(i->a)];
		if (!knows(p, m->base) || m->index != IR_NONE || m->addr_bits != 64 || m->seg_base)
			return false;
		learn(p, i->d, p->value[IR_REF_NUM(m->base)] + (uint64_t)m->disp);
		return true;
	}
	if (i->op == IR_MOV && IR_REF_KIND(i->a) == IR_KIND_K) {
		learn(p, i->d, (uint64_t)i->imm);
		return true;
	}
	if (!knows(p, i->a))
		return false;
	if (i->op == IR_MOV)
		learn(p, i->d, p->value[IR_REF_NUM(i->a)]);
	else if ((i->op == IR_ADD || i->op == IR_SUB) && IR_REF_KIND(i->b) == IR_KIND_K)
		learn(p, i->d, p->value[IR_REF_NUM(i->a)] + (i->op == IR_ADD ? (uint64_t)i->imm : 0 - (uint64_t)i->imm));
	else
		return false;
	return true;
}

static void values_behind(struct places *p, const struct ir_block *b, const struct ir_insn *i)
{
	unsigned writes = ir_writes(i);

	if (i->op == IR_LABEL || i->op == IR_RT || i->op == IR_VFL) {
		p->known = 0;
		return;
	}
	if (follow(p, b, i))
		return;
	if (writes & IR_RW_D)
		forget(p, i->d);
	if (writes & IR_RW_A)
		forget(p, i->a);
	if (writes & IR_RW_B)
		forget(p, i->b);
	if (writes & IR_RW_C)
		forget(p, i->c);
}

static void choose(const struct places *p, struct ir_mem *m)
{
	uint64_t value;
	unsigned slot = m->slot;

	if (slot >= TCG_NR_GREG || slot == TLB_SLOT_STACK || !knows(p, m->base))
		return;
	value = p->value[IR_REF_NUM(m->base)];
	if (value - p->sp + STACK_REACH < 2 * STACK_REACH)
		m->slot = (uint8_t)(TLB_SLOT_POOL + slot);
	else if (value >> IMAGE_BITS == p->pc >> IMAGE_BITS)
		m->slot = (uint8_t)(TLB_SLOT_POOL + TCG_NR_GREG + slot);
}

_Static_assert(TLB_SLOT_POOL_SIZE >= 2 * TCG_NR_GREG, "slots of two places");

static void operand(const struct places *p, struct ir_block *b, ir_ref r)
{
	if (r != IR_NONE && IR_REF_KIND(r) == IR_KIND_M)
		choose(p, &b->mem[IR_REF_NUM(r)]);
}

void opt_places(struct ir_block *b, const uint64_t *greg)
{
	struct places p = { .known = (1u << TCG_NR_GREG) - 1, .sp = greg[TLB_SLOT_STACK], .pc = b->pc };

	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		p.value[n] = greg[n];
	for (unsigned n = 0; n < b->nr_insns; n++) {
		const struct ir_insn *i = &b->insn[n];

		operand(&p, b, i->d);
		operand(&p, b, i->a);
		operand(&p, b, i->b);
		values_behind(&p, b, i);
	}
}
