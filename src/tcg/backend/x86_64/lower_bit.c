/* SPDX-License-Identifier: MIT */
/* Single bits, bit fields, bit scans and byte order; the small extensions of the instruction set. Order as in lower_int.c. */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"

/* BSF BSR TZCNT LZCNT POPCNT. */
void lower_bit_scan(struct gen *g)
{
	const struct ir_insn *i = g->i;
	static const uint32_t ops[] = { [IR_BSF] = OP_0F | 0xbc, [IR_BSR] = OP_0F | 0xbd, [IR_TZCNT] = OP_F3 | OP_0F | 0xbc,
					[IR_LZCNT] = OP_F3 | OP_0F | 0xbd, [IR_POPCNT] = OP_F3 | OP_0F | 0xb8 };
	bool keeps = i->op == IR_BSF || i->op == IR_BSR;
	uint32_t op = ops[i->op] | (int_op(i->type, 1) & (OP_66 | OP_W));
	struct rm m;
	unsigned r;

	if (i->type == IR_I8) {
		g->failed = true;
		return;
	}
	fl_begin(g, is_m(i->a));
	if (is_m(i->a)) {
		m = access_begin(g, i->a, TLB_READ, 0);
	} else {
		fl_ready(g);
		m = source_rm(g, i->a);
	}
	r = result_reg(g, i->d, g->scratch);
	if (keeps && !in_reg(g, i->d))
		to_this_reg(g, i->d, i->type, r);
	as_op(&g->s, op, r, m);
	put_result(g, i->d, i->type, r);
	if (is_m(i->a))
		mem_end(g);
	fl_done(g);
}

void lower_bswap(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned r = result_reg(g, i->d, R_13);

	to_this_reg(g, i->a, i->type, r);
	as_u8(&g->s, 0x40 | (i->type == IR_I64 ? 8 : 0) | r >> 3);
	as_u8(&g->s, 0x0f);
	as_u8(&g->s, 0xc8 | (r & 7));
	put_result(g, i->d, i->type, r);
}

static void bit_op(struct gen *g, struct rm x, ir_ref b, unsigned breg)
{
	unsigned n = g->i->op - IR_BT; /* BT BTS BTR BTC */
	uint32_t w = (int_op(g->i->type, 1) & (OP_66 | OP_W)) | lock_bit(g);

	if (is_k(b))
		as_op_imm8(&g->s, w | OP_0F | 0xba, 4 + n, x, (unsigned)g->i->imm & (8 * ir_type_bytes(g->i->type) - 1));
	else
		as_op(&g->s, w | OP_0F | (0xa3u + 8 * n), breg, x);
}

static void bit_mem(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct rm m = mem_begin(g, i->a, mem_bytes(i), is_m(i->d) ? TLB_RMW : TLB_READ, 0);
	unsigned b = g->scratch, value = b == R_13 ? R_14 : R_13;

	if (is_k(i->b) && (is_m(i->d) || i->op == IR_BT)) {
		fl_ready(g);
		bit_op(g, m, i->b, 0);
	} else if (is_m(i->d)) { /* a register's bit number would reach beyond the operand */
		fl_spill(g);
		to_this_reg(g, i->b, i->type, b);
		as_alu_imm(&g->s, ALU_AND, 0, rm_reg(b), (int32_t)(8 * ir_type_bytes(i->type) - 1));
		g->scratch = R_NONE;
		fl_ready(g);
		bit_op(g, m, i->b, b);
	} else {
		fl_ready(g);
		as_op(&g->s, int_op(i->type, OP_MOV_RM), value, m);
		bit_op(g, rm_reg(value), i->b, is_k(i->b) ? 0 : to_reg(g, i->b, i->type, b));
		if (i->op != IR_BT)
			put_result(g, i->d, i->type, value);
	}
	mem_end(g);
}

void lower_bit_test(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned r, b = 0;

	if (i->type == IR_I8) {
		g->failed = true;
		return;
	}
	fl_begin(g, is_m(i->a));
	if (is_m(i->a)) {
		bit_mem(g);
		fl_done(g);
		return;
	}
	fl_ready(g);
	if (i->op == IR_BT)
		r = to_reg(g, i->a, i->type, R_13);
	else
		to_this_reg(g, i->a, i->type, r = same_loc(g, i->d, i->a) && in_reg(g, i->d) ? loc(g, i->d).base : R_13);
	if (!is_k(i->b))
		b = to_reg(g, i->b, i->type, R_14);
	bit_op(g, rm_reg(r), i->b, b);
	if (i->op != IR_BT)
		put_result(g, i->d, i->type, r);
	fl_done(g);
}

/* ---- Small extensions of the instruction set */

void lower_crc32(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint32_t op = (int_op(i->type, OP_F2 | OP_0F38 | 0xf1) & ~OP_R8);
	struct rm m;

	if (is_m(i->b)) {
		fl_check(g);
		m = mem_begin(g, i->b, mem_bytes(i), TLB_READ, 0);
	} else {
		m = source_rm(g, i->b);
	}
	to_this_reg(g, i->a, IR_I32, g->scratch);
	as_op(&g->s, op, g->scratch, m);
	put_result(g, i->d, IR_I32, g->scratch);
	if (is_m(i->b))
		mem_end(g);
}

/* The source b and then: scratch = a; scratch op= b; d = scratch. */
static void through_scratch(struct gen *g, void (*op)(struct gen *g, unsigned reg, struct rm b))
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->b);
	struct rm b;

	fl_begin(g, mem);
	if (mem) {
		b = access_begin(g, i->b, TLB_READ, 0);
	} else {
		fl_ready(g);
		b = source_rm(g, i->b);
	}
	if (is_m(i->a)) { /* not made by translators: load by a check of its own */
		g->failed = true;
		return;
	}
	to_this_reg(g, i->a, i->type, g->scratch);
	op(g, g->scratch, b);
	put_result(g, i->d, i->type, g->scratch);
	if (mem)
		mem_end(g);
	fl_done(g);
}

static void adx_op(struct gen *g, unsigned reg, struct rm b)
{
	as_op(&g->s, (g->i->op == IR_ADCX ? OP_66 : OP_F3) | OP_0F38 | 0xf6 | (g->i->type == IR_I64 ? OP_W : 0), reg, b);
}

void lower_adx(struct gen *g)
{
	through_scratch(g, adx_op);
}

static void andn_op(struct gen *g, unsigned reg, struct rm b)
{
	as_op(&g->s, int_op(g->i->type, 0xf7), 2, rm_reg(reg));
	as_op(&g->s, int_op(g->i->type, 0x23), reg, b);
}

void lower_andn(struct gen *g)
{
	through_scratch(g, andn_op);
}

/* BLSR, BLSMSK, BLSI: a digit in ModRM.reg, the destination in VEX.vvvv. */
void lower_lowest_bit(struct gen *g)
{
	static const uint8_t digit[] = { 1, 2, 3 };
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->a);
	struct rm m;
	unsigned r;

	fl_begin(g, mem);
	m = source_begin(g, i->a);
	r = result_reg(g, i->d, g->scratch);
	as_vex(&g->s, OP_0F38 | 0xf3 | (i->type == IR_I64 ? OP_W : 0), digit[i->op - IR_BLSR], r, m);
	put_result(g, i->d, i->type, r);
	if (mem)
		mem_end(g);
	fl_done(g);
}

/* BZHI, BEXTR: positions in VEX.vvvv. */
void lower_bit_field(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->a);
	struct rm m;
	unsigned b;

	fl_begin(g, mem);
	m = source_begin(g, i->a);
	b = to_reg(g, i->b, i->type, g->scratch);
	as_vex(&g->s, OP_0F38 | (i->op == IR_BZHI ? 0xf5 : 0xf7) | (i->type == IR_I64 ? OP_W : 0), g->scratch, b, m);
	put_result(g, i->d, i->type, g->scratch);
	if (mem)
		mem_end(g);
	fl_done(g);
}

/* No flags: nothing is read, passed on or lost but by the check. */
void lower_pdep(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->b);
	struct rm b;

	if (is_m(i->a)) {
		g->failed = true;
		return;
	}
	if (mem) {
		fl_check(g);
		b = mem_begin(g, i->b, mem_bytes(i), TLB_READ, 0);
	} else {
		b = source_rm(g, i->b);
	}
	to_this_reg(g, i->a, i->type, g->scratch);
	as_vex(&g->s, (i->op == IR_PDEP ? OP_F2 : OP_F3) | OP_0F38 | 0xf5 | (i->type == IR_I64 ? OP_W : 0), g->scratch, g->scratch, b);
	put_result(g, i->d, i->type, g->scratch);
	if (mem)
		mem_end(g);
}
