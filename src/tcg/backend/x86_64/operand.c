/* SPDX-License-Identifier: MIT */
/*
 * Integer operands: a global or temporary is in a host register or in the environment; x86 instructions take either.
 */
#include "tcg/backend/x86_64/gen.h"

static bool is_g_or_t(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_G || IR_REF_KIND(r) == IR_KIND_T;
}

bool same_loc(const struct gen *g, ir_ref x, ir_ref y)
{
	struct rm a, b;

	if (x == y)
		return true;
	if (!is_g_or_t(x) || !is_g_or_t(y))
		return false;
	a = loc(g, x);
	b = loc(g, y);
	return a.is_mem == b.is_mem && a.base == b.base && a.disp == b.disp;
}

uint32_t int_op(enum ir_type t, uint32_t op)
{
	switch (t) {
	case IR_I8:
		return (op & ~1u) | OP_B8;
	case IR_I16:
		return op | OP_66;
	case IR_I64:
		return op | OP_W;
	default:
		return op;
	}
}

int64_t konst(enum ir_type t, int64_t imm)
{
	switch (t) {
	case IR_I8:
		return (int8_t)imm;
	case IR_I16:
		return (int16_t)imm;
	case IR_I32:
		return (int32_t)imm;
	default:
		return imm;
	}
}

void to_this_reg(struct gen *g, ir_ref r, enum ir_type t, unsigned reg)
{
	struct as *s = &g->s;
	struct rm m;

	if (is_k(r)) {
		int64_t v = konst(t, g->i->imm);

		as_mov_imm(s, reg, t == IR_I32 ? (int64_t)(uint32_t)v : v);
		return;
	}
	m = loc(g, r);
	if (!m.is_mem) {
		if (m.base != reg)
			as_op(s, t == IR_I64 ? OP_W | OP_MOV_MR : OP_MOV_MR, m.base, rm_reg(reg));
		else if (t == IR_I32)
			return;
	} else if (t == IR_I8 || t == IR_I16) {
		as_op(s, t == IR_I8 ? OP_MOVZX8 : OP_MOVZX16, reg, m);
	} else {
		as_op(s, int_op(t, OP_MOV_RM), reg, m);
	}
}

unsigned to_reg(struct gen *g, ir_ref r, enum ir_type t, unsigned scratch)
{
	if (!is_k(r) && in_reg(g, r))
		return loc(g, r).base;
	to_this_reg(g, r, t, scratch);
	return scratch;
}

void from_reg(struct gen *g, ir_ref d, enum ir_type t, unsigned reg)
{
	struct rm m = loc(g, d);

	if (!m.is_mem && m.base == reg)
		return;
	if (m.is_mem && t == IR_I32)
		t = IR_I64;
	as_op(&g->s, int_op(t, OP_MOV_MR), reg, m);
}

unsigned result_reg(struct gen *g, ir_ref d, unsigned scratch)
{
	return in_reg(g, d) ? loc(g, d).base : scratch;
}

void put_result(struct gen *g, ir_ref d, enum ir_type t, unsigned reg)
{
	from_reg(g, d, t, reg);
}

bool is_temp_def(const struct gen *g, ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_T && g->temp[IR_REF_NUM(r)].first == g->n;
}

/* The check, then the flags the instruction reads or passes on. */
struct rm access_begin(struct gen *g, ir_ref m, unsigned access, unsigned how)
{
	struct rm rm = mem_begin(g, m, mem_bytes(g->i), access, how);

	fl_ready(g);
	return rm;
}

struct rm source_rm(struct gen *g, ir_ref a)
{
	if (!is_k(a))
		return loc(g, a);
	as_mov_imm(&g->s, g->scratch, konst(g->i->type, g->i->imm));
	as_store(&g->s, RM_ENV(be_save[3]), g->scratch);
	return RM_ENV(be_save[3]);
}

struct rm source_begin(struct gen *g, ir_ref a)
{
	if (is_m(a))
		return access_begin(g, a, TLB_READ, 0);
	fl_ready(g);
	return source_rm(g, a);
}
