/* SPDX-License-Identifier: MIT */
/*
 * From IR to a program.
 *
 * Temporaries get places in env (spill[0..14], then vsave behind the four vector temporaries) for as long as they live,
 * by the liveness pass's kill bits.
 */
#include <string.h>

#include "tcg/backend/interp/interp.h"
#include "util/bitops.h"

#define SPILL_PLACES 15 /* spill[15] carries results of runtime routines */
#define VSAVE_PLACES ((TCG_NR_VSAVE - 4) * TCG_VREG_BYTES / 8)
#define NO_PLACE     0xff

struct compile {
	const struct ir_block *ir;
	struct iprog *prog;
	struct imem *mem; /* next free */
	struct backend_code *out;
	uint64_t free; /* bit per place for temporaries */
	uint8_t place[IR_MAX_TEMPS];
	uint32_t label[IR_MAX_LABELS]; /* index of the operation */
	bool full;
};

#define NR_PLACES (SPILL_PLACES + VSAVE_PLACES)
_Static_assert(NR_PLACES <= 64, "places are bits of a word");

static int32_t place_offset(unsigned n)
{
	if (n < SPILL_PLACES)
		return (int32_t)(offsetof(struct tcg_env, spill) + 8 * n);
	return (int32_t)(offsetof(struct tcg_env, vsave[4]) + 8 * (n - SPILL_PLACES));
}

static int32_t temp_offset(struct compile *c, unsigned t)
{
	if (c->place[t] == NO_PLACE) {
		if (!c->free) {
			c->full = true;
			return 0;
		}
		c->place[t] = (uint8_t)__builtin_ctzll(c->free);
		c->free &= c->free - 1;
	}
	return place_offset(c->place[t]);
}

static void temp_free(struct compile *c, ir_ref r)
{
	unsigned t = IR_REF_NUM(r);

	if (IR_REF_KIND(r) != IR_KIND_T || c->place[t] == NO_PLACE)
		return;
	c->free |= 1ull << c->place[t];
	c->place[t] = NO_PLACE;
}

static void all_temps_free(struct compile *c)
{
	memset(c->place, NO_PLACE, c->ir->nr_temps);
	c->free = mask_low(NR_PLACES);
}

static int32_t operand(struct compile *c, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	switch (IR_REF_KIND(r)) {
	case IR_KIND_G:
		return (int32_t)(offsetof(struct tcg_env, greg) + 8 * n);
	case IR_KIND_T:
		return temp_offset(c, n);
	case IR_KIND_V:
		return (int32_t)(offsetof(struct tcg_env, vreg) + TCG_VREG_BYTES * n);
	case IR_KIND_VT:
		return (int32_t)(offsetof(struct tcg_env, vsave) + TCG_VREG_BYTES * n);
	default:
		return 0;
	}
}

/* ---- Memory operands */

static enum tlb_access access_kind(const struct ir_insn *i)
{
	bool d = IR_REF_KIND(i->d) == IR_KIND_M, a = IR_REF_KIND(i->a) == IR_KIND_M;

	if ((d && a) || (a && (i->op == IR_XCHG || i->op == IR_XADD || i->op == IR_CAS)))
		return TLB_RMW;
	if (d && i->op == IR_FPU)
		return TLB_RMW; /* a store that ends in an unmasked exception writes nothing: a bounce buffer holds the old bytes */
	return d ? TLB_WRITE : TLB_READ;
}

static unsigned limit_index(unsigned size)
{
	unsigned n = log2_ceil(size);

	return n < TLB_L0_SIZES ? n : TLB_L0_SIZES - 1;
}

static uint32_t slot_offset(unsigned mode, unsigned kind, unsigned slot)
{
	return (uint32_t)(offsetof(struct tcg_env, l0) +
			  ((mode * 2 + kind) * TLB_L0_SLOTS + slot) * sizeof(struct tlb_slot));
}

static int32_t make_mem(struct compile *c, const struct iop *op, const struct ir_insn *i, ir_ref r)
{
	const struct ir_mem *m = &c->ir->mem[IR_REF_NUM(r)];
	unsigned size = ir_access_size(i), mode = c->ir->mmu_mode;
	enum tlb_access access = access_kind(i);
	struct imem *im = c->mem++;

	*im = (struct imem){
		.base = m->base == IR_NONE ? -1 : operand(c, m->base),
		.index = m->index == IR_NONE ? -1 : operand(c, m->index),
		.seg_base = m->seg_base,
		.shift = (uint8_t)log2_floor(m->scale),
		.addr_bits = m->addr_bits,
		.lim = (uint8_t)limit_index(size),
		.lin32 = m->lin32,
		.disp = m->disp,
		.size = (uint8_t)size,
		.mode = (uint8_t)mode,
		.slot = m->slot,
		.access = (uint8_t)access,
		.align = m->align ? (uint8_t)(size - 1) : 0,
	};
	im->beyond = size > 1u << (TLB_L0_SIZES - 1) ? (uint8_t)(size - (1u << (TLB_L0_SIZES - 1))) : 0;
	im->slot_off[1] = slot_offset(mode, access != TLB_READ, m->slot);
	im->slot_off[0] = m->slot == TLB_SLOT_STACK ? slot_offset(mode, 1, m->slot) : im->slot_off[1];
	return (int32_t)((char *)im - (const char *)op);
}

static ir_ref mem_ref(const struct ir_insn *i)
{
	return IR_REF_KIND(i->a) == IR_KIND_M ? i->a : IR_REF_KIND(i->b) == IR_KIND_M ? i->b : i->d;
}

/* ---- Operations */

static void free_killed(struct compile *c, const struct ir_insn *i)
{
	ir_ref m = mem_ref(i);

	if (i->kills & IR_KILL_A)
		temp_free(c, i->a);
	if (i->kills & IR_KILL_B)
		temp_free(c, i->b);
	if (i->kills & IR_KILL_C)
		temp_free(c, i->c);
	if (i->kills & IR_KILL_D)
		temp_free(c, i->d);
	if (IR_REF_KIND(m) != IR_KIND_M)
		return;
	if (i->kills & IR_KILL_BASE)
		temp_free(c, c->ir->mem[IR_REF_NUM(m)].base);
	if (i->kills & IR_KILL_INDEX)
		temp_free(c, c->ir->mem[IR_REF_NUM(m)].index);
}

static void make_exit(struct compile *c, struct iop *op, const struct ir_insn *i)
{
	struct backend_code *out = c->out;

	op->to = (int32_t)((char *)c->prog - (char *)op);
	op->link = 0;
	if (out->nr_exits >= BACKEND_MAX_EXITS) {
		c->full = true;
		return;
	}
	op->exit = (uint16_t)out->nr_exits;
	out->exit[out->nr_exits++] = (struct backend_exit){
		.patch_off = (uint32_t)((char *)&op->link - (char *)c->prog),
		.pc = (gva_t)i->imm,
		.kind = i->op == IR_CALL ? BACKEND_EXIT_CALL : BACKEND_EXIT_JUMP,
	};
}

static void make_op(struct compile *c, struct iop *op, const struct ir_insn *i)
{
	*op = (struct iop){
		.d = operand(c, i->d),
		.a = operand(c, i->a),
		.b = operand(c, i->b),
		.c = operand(c, i->c),
		.imm = i->imm,
		.imm2 = i->imm2,
		.op = i->op,
		.type = i->type,
		.cc = i->cc,
		.attr = i->attr,
		.kd = (uint8_t)IR_REF_KIND(i->d),
		.ka = (uint8_t)IR_REF_KIND(i->a),
		.kb = (uint8_t)IR_REF_KIND(i->b),
		.kc = (uint8_t)IR_REF_KIND(i->c),
	};
	if (IR_REF_KIND(mem_ref(i)) == IR_KIND_M)
		op->mem = make_mem(c, op, i, mem_ref(i));
	switch (i->op) {
	case IR_INSN:
		op->to = (int32_t)((char *)c->prog - (char *)op);
		break;
	case IR_JMP:
	case IR_JMPMODE:
	case IR_JCC:
	case IR_CALL:
		make_exit(c, op, i);
		break;
	case IR_RT:
		op->rt = c->ir->rt[i->imm].fn;
		break;
	case IR_LDCODE:
		op->imm = (int64_t)(uintptr_t)(c->ir->code + i->imm);
		break;
	case IR_LABEL:
		c->label[i->imm] = (uint32_t)(op - c->prog->op);
		break;
	default:
		break;
	}
	op->fn = interp_select(op);
}

static bool is_branch(enum ir_op op)
{
	return op == IR_BR || op == IR_BRCC || op == IR_BRZ || op == IR_BRNZ;
}

static void resolve_branches(struct compile *c)
{
	for (unsigned n = 0; n < c->ir->nr_insns; n++) {
		struct iop *op = &c->prog->op[n];

		if (is_branch(op->op))
			op->to = (int32_t)((char *)&c->prog->op[c->label[op->imm]] - (char *)op);
	}
}

static unsigned count_mems(const struct ir_block *ir)
{
	unsigned n = 0;

	for (unsigned k = 0; k < ir->nr_insns; k++)
		n += IR_REF_KIND(mem_ref(&ir->insn[k])) == IR_KIND_M;
	return n;
}

enum backend_status interp_compile(const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx,
				   size_t room, struct backend_code *out)
{
	size_t ops = sizeof(struct iprog) + ir->nr_insns * sizeof(struct iop);
	size_t size = ops + count_mems(ir) * sizeof(struct imem);
	struct compile c = {.ir = ir, .prog = (struct iprog *)(void *)rw, .out = out};

	(void)rx;
	out->size = (uint32_t)size;
	out->nr_exits = out->nr_traps = 0;
	if (size > room)
		return BACKEND_NO_ROOM;
	*c.prog = (struct iprog){.entry = IPROG_LIVE, .tb = tb, .pc = ir->pc};
	c.mem = (struct imem *)(void *)(rw + ops);
	all_temps_free(&c);
	for (unsigned n = 0; n < ir->nr_insns && !c.full; n++) {
		const struct ir_insn *i = &ir->insn[n];

		make_op(&c, &c.prog->op[n], i);
		free_killed(&c, i);
		if (i->op == IR_LABEL || is_branch(i->op))
			all_temps_free(&c);
	}
	if (c.full)
		return BACKEND_TOO_LONG;
	resolve_branches(&c);
	return BACKEND_OK;
}
