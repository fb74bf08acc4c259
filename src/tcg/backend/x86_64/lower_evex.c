/* SPDX-License-Identifier: MIT */
/*
 * IR_EVEX: the guest's instruction again, on the same vectors and masks, with host operands in place of its memory and integer operands.
 * Rounding, exceptions, masking and what becomes of upper bits are the host's own doing. An access by a mask whose whole range passes the check
 * is as it stands; else the cold path hands over a bounce buffer (tcg/evex_access.c).
 */
#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/lower_evex.h"

enum vec_level evex_level(const struct ir_insn *i)
{
	struct ir_evex e = ir_evex_unpack(i->imm2);
	bool rounds = e.b && !is_m(i->a) && !is_m(i->d); /* then the length is that of a vector, or a scalar's */

	return !e.vex && (e.length == 2 || rounds) ? VEC_512 : VEC_EVEX;
}

uint32_t evex_globals(const struct ir_insn *i)
{
	struct ir_evex e = ir_evex_unpack(i->imm2);

	return ((1u << e.reg) | (1u << e.vvvv) | (1u << e.rm)) & 0xffff;
}

static uint32_t opcode_of(const struct ir_evex *e)
{
	static const uint32_t prefix[4] = { 0, OP_66, OP_F3, OP_F2 };

	return e->opcode | (uint32_t)e->map << 8 | prefix[e->pp] | (e->w ? OP_W : 0) | (e->length & 1 ? OP_L : 0) | (e->length & 2 ? OP_L2 : 0);
}

void evex_emit(struct as *s, const struct ir_evex *e, unsigned reg, struct rm rm, unsigned imm)
{
	unsigned more = (e->z ? EVEX_Z : 0) | (e->b ? EVEX_B : 0) | e->mask;

	if (e->vex)
		as_vex(s, opcode_of(e), reg, e->vvvv, rm);
	else
		as_evex(s, opcode_of(e), more, reg, e->vvvv, rm);
	if (e->has_imm)
		as_u8(s, imm);
}

/* The register for the integer operand, which is the destination or a source. */
static unsigned integer(struct gen *g)
{
	const struct ir_insn *i = g->i;

	return i->d != IR_NONE && !is_m(i->d) ? result_reg(g, i->d, g->scratch) : to_reg(g, i->a, IR_I64, g->scratch);
}

static void operate(struct gen *g, const struct ir_evex *e)
{
	const struct ir_insn *i = g->i;
	ir_ref m = is_m(i->d) ? i->d : is_m(i->a) ? i->a : IR_NONE;
	struct rm rm = rm_reg(e->rm);
	unsigned reg = e->reg, r = R_NONE;

	if (m != IR_NONE)
		rm = mem_begin(g, m, ir_evex_bytes(i->imm2), is_m(i->d) ? TLB_WRITE : TLB_READ, 0);
	if (e->reg_int || e->rm_int)
		r = integer(g);
	if (e->reg_int)
		reg = r;
	else if (e->rm_int)
		rm = rm_reg(r);
	if (e->sets_flags)
		fl_ready(g);
	trap_here(g);
	evex_emit(&g->s, e, reg, rm, (unsigned)i->imm);
	if (m != IR_NONE)
		mem_end(g);
	if (r != R_NONE && i->d != IR_NONE && !is_m(i->d))
		put_result(g, i->d, IR_I64, r);
}

void lower_evex(struct gen *g)
{
	struct ir_evex e = ir_evex_unpack(g->i->imm2);
	bool mem = is_m(g->i->d) || is_m(g->i->a);

	if (e.sets_flags)
		fl_begin(g, mem);
	else if (mem)
		fl_check(g);
	operate(g, &e);
	if (e.sets_flags)
		fl_done(g);
}
