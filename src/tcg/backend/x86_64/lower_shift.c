/* SPDX-License-Identifier: MIT */
/*
 * Operations whose host instructions take fixed registers: shifts by cl, wide multiply and divide on rdx:rax, compare-exchange on rax.
 * With the usual operands (guest registers pinned to the same names) they are one instruction; otherwise the fixed register is
 * parked in env.be_save around it.
 */
#include "tcg/backend/x86_64/gen.h"

#define SAVE_CX RM_ENV(be_save[2])
#define SAVE_AX RM_ENV(be_save[1])
#define SAVE_DX RM_ENV(be_save[2])

static bool is_host(const struct gen *g, ir_ref r, unsigned reg)
{
	return (IR_REF_KIND(r) == IR_KIND_G || IR_REF_KIND(r) == IR_KIND_T) && rm_is_reg(loc(g, r), reg);
}

/* ---- Shifts and rotates */

static unsigned shift_digit(unsigned op)
{
	static const uint8_t digit[] = { [IR_SHL] = 4, [IR_SHR] = 5, [IR_SAR] = 7, [IR_ROL] = 0, [IR_ROR] = 1, [IR_RCL] = 2, [IR_RCR] = 3 };

	return digit[op];
}

static void shift_op(struct gen *g, struct rm x, ir_ref count)
{
	enum ir_type t = g->i->type;
	unsigned digit = shift_digit(g->i->op), n = (unsigned)g->i->imm & (t == IR_I64 ? 63 : 31);

	if (!is_k(count))
		as_op(&g->s, int_op(t, 0xd3), digit, x);
	else if (n == 1)
		as_op(&g->s, int_op(t, 0xd1), digit, x);
	else
		as_op_imm8(&g->s, int_op(t, 0xc1), digit, x, n);
}

/* The count in cl, if it is not there; rcx is parked. */
static void count_in(struct gen *g, ir_ref count)
{
	if (is_k(count) || is_host(g, count, R_CX))
		return;
	as_store(&g->s, SAVE_CX, R_CX);
	to_this_reg(g, count, IR_I8, R_CX);
}

static void count_out(struct gen *g, ir_ref count)
{
	if (!is_k(count) && !is_host(g, count, R_CX))
		as_load(&g->s, R_CX, SAVE_CX);
}

static void shift_mem(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool rmw = is_m(i->d);
	bool plain = is_k(i->b) || is_host(g, i->b, R_CX);
	struct rm m = access_begin(g, i->a, rmw ? TLB_RMW : TLB_READ, plain ? 0 : MEM_SIMPLE);
	unsigned r = g->scratch;

	if (rmw) {
		count_in(g, i->b);
		shift_op(g, m, i->b);
		count_out(g, i->b);
	} else {
		as_op(&g->s, int_op(i->type, OP_MOV_RM), r, m);
		count_in(g, i->b);
		shift_op(g, rm_reg(r), i->b);
		count_out(g, i->b);
		put_result(g, i->d, i->type, r);
	}
	mem_end(g);
}

static void shift_reg(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool plain = is_k(i->b) || is_host(g, i->b, R_CX);

	if (plain && in_reg(g, i->d) && same_loc(g, i->d, i->a)) {
		shift_op(g, loc(g, i->d), i->b);
		return;
	}
	if (plain && in_reg(g, i->d) && i->type >= IR_I32 && !is_host(g, i->d, R_CX)) {
		to_this_reg(g, i->a, i->type, loc(g, i->d).base);
		shift_op(g, loc(g, i->d), i->b);
		return;
	}
	to_this_reg(g, i->a, i->type, R_13);
	count_in(g, i->b);
	shift_op(g, rm_reg(R_13), i->b);
	count_out(g, i->b);
	put_result(g, i->d, i->type, R_13);
}

void lower_shift(struct gen *g)
{
	bool mem = is_m(g->i->a);

	fl_begin(g, mem);
	if (mem) {
		shift_mem(g);
	} else {
		fl_ready(g);
		shift_reg(g);
	}
	fl_done(g);
}

static void shift_double_op(struct gen *g, struct rm x, unsigned b)
{
	const struct ir_insn *i = g->i;
	uint32_t op = OP_0F | (i->op == IR_SHLD ? 0xa4u : 0xacu) | (int_op(i->type, 1) & (OP_66 | OP_W));

	if (is_k(i->c))
		as_op_imm8(&g->s, op, b, x, (unsigned)i->imm & (i->type == IR_I64 ? 63 : 31));
	else
		as_op(&g->s, op | 1, b, x);
}

void lower_shift_double(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool plain = is_k(i->c) || is_host(g, i->c, R_CX);
	struct rm x = rm_reg(R_13);
	unsigned b;

	if (i->type == IR_I8) {
		g->failed = true;
		return;
	}
	fl_begin(g, is_m(i->a));
	if (is_m(i->a)) {
		x = access_begin(g, i->a, TLB_RMW, plain ? 0 : MEM_SIMPLE);
		b = g->scratch;
	} else {
		fl_ready(g);
		if (in_reg(g, i->d) && (plain || !is_host(g, i->d, R_CX)))
			x = loc(g, i->d);
		else
			to_this_reg(g, i->a, i->type, R_13);
		b = R_14;
	}
	if (plain && !is_k(i->b) && in_reg(g, i->b))
		b = loc(g, i->b).base;
	else
		to_this_reg(g, i->b, i->type, b);
	count_in(g, i->c);
	shift_double_op(g, x, b);
	count_out(g, i->c);
	if (is_m(i->a))
		mem_end(g);
	else
		put_result(g, i->d, i->type, x.base);
	fl_done(g);
}

/* ---- Multiply */

/* Low byte of a byte product, flags of the byte form: through ax. */
static void imul8(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;

	as_store(s, SAVE_AX, R_AX);
	to_this_reg(g, i->b, IR_I8, R_14);
	to_this_reg(g, i->a, IR_I8, R_AX);
	as_op(s, 0xf6 | OP_M8, 5, rm_reg(R_14));
	as_mov(s, R_13, R_AX);
	as_load(s, R_AX, SAVE_AX);
	from_reg(g, i->d, IR_I8, R_13);
}

static void imul_imm(struct gen *g, unsigned d, struct rm a)
{
	const struct ir_insn *i = g->i;
	uint32_t w = int_op(i->type, 1) & (OP_66 | OP_W);
	int32_t v = (int32_t)konst(i->type, i->imm);

	if (fits8(v)) {
		as_op_imm8(&g->s, w | 0x6b, d, a, (unsigned)v);
	} else {
		as_op(&g->s, w | 0x69, d, a);
		as_bytes(&g->s, &v, i->type == IR_I16 ? 2 : 4);
	}
}

/* d = x * y with x register, constant or memory, y register or memory. */
static void imul_any(struct gen *g, ir_ref x, struct rm y)
{
	const struct ir_insn *i = g->i;
	uint32_t op = OP_0F | 0xaf | (int_op(i->type, 1) & (OP_66 | OP_W));
	unsigned r = result_reg(g, i->d, g->scratch);

	if (is_k(x) && fits32(konst(i->type, i->imm))) {
		imul_imm(g, r, y);
	} else if (in_reg(g, i->d) && same_loc(g, i->d, x)) {
		as_op(&g->s, op, r, y);
	} else {
		r = g->scratch;
		to_this_reg(g, x, i->type, r);
		as_op(&g->s, op, r, y);
	}
	put_result(g, i->d, i->type, r);
}

void lower_imul(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->a) || is_m(i->b);

	if (i->type == IR_I8 && mem) {
		g->failed = true;
		return;
	}
	fl_begin(g, mem);
	if (mem) {
		imul_any(g, is_m(i->b) ? i->a : i->b, access_begin(g, is_m(i->b) ? i->b : i->a, TLB_READ, 0));
		mem_end(g);
	} else {
		fl_ready(g);
		if (i->type == IR_I8)
			imul8(g);
		else if (is_k(i->a) || (!is_k(i->b) && same_loc(g, i->d, i->b)))
			imul_any(g, is_k(i->a) ? i->a : i->b, loc(g, is_k(i->a) ? i->b : i->a));
		else
			imul_any(g, is_k(i->b) ? i->b : i->a, loc(g, is_k(i->b) ? i->a : i->b));
	}
	fl_done(g);
}

/* The operand b of a one-operand multiply or divide. */
static struct rm wide_source(struct gen *g, bool plain)
{
	const struct ir_insn *i = g->i;

	if (is_m(i->b))
		return access_begin(g, i->b, TLB_READ, plain ? 0 : MEM_SIMPLE);
	fl_ready(g);
	if (plain && !is_k(i->b))
		return loc(g, i->b);
	to_this_reg(g, i->b, i->type, R_14);
	return rm_reg(R_14);
}

static void wide_op(struct gen *g, struct rm b, unsigned digit)
{
	as_op(&g->s, int_op(g->i->type, 0xf7), digit, b);
}

/* rdx:rax to the two destinations, either of which may be missing; rax and rdx come back from where they are parked. */
static void wide_result(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;

	as_mov(s, R_14, R_AX);
	as_mov(s, R_13, R_DX);
	as_load(s, R_AX, SAVE_AX);
	as_load(s, R_DX, SAVE_DX);
	if (i->d != IR_NONE)
		from_reg(g, i->d, i->type, R_14);
	if (i->c != IR_NONE)
		from_reg(g, i->c, i->type, R_13);
}

void lower_mul_wide(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned digit = i->op == IR_MULU ? 4 : 5;
	bool plain = is_host(g, i->d, R_AX) && is_host(g, i->c, R_DX) && is_host(g, i->a, R_AX);
	struct rm b;

	if (is_m(i->a)) {
		g->failed = true;
		return;
	}
	fl_begin(g, is_m(i->b));
	b = wide_source(g, plain);
	if (plain) {
		wide_op(g, b, digit);
	} else {
		as_store(&g->s, SAVE_AX, R_AX);
		as_store(&g->s, SAVE_DX, R_DX);
		to_this_reg(g, i->a, i->type, R_AX);
		wide_op(g, b, digit);
		wide_result(g);
	}
	if (is_m(i->b))
		mem_end(g);
	fl_done(g);
}

/*
 * The host's divide fault is the guest's. In the general form rax and rdx are parked when it comes; translators use the plain one for
 * guest instructions that can fault.
 */
void lower_div(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned digit = i->op == IR_DIVU ? 6 : 7;
	bool plain = is_host(g, i->d, R_AX) && is_host(g, i->c, R_DX);
	struct rm b;

	fl_begin(g, is_m(i->b));
	/* A fault must find the live flags: those the division overwrites may still be wanted by its handler. */
	b = wide_source(g, plain);
	if (!plain) {
		as_store(&g->s, SAVE_AX, R_AX);
		as_store(&g->s, SAVE_DX, R_DX);
		if (!(is_m(i->b) && g->scratch == R_14)) { /* b stays out of the way */
			to_this_reg(g, i->c, i->type, R_13);
			to_this_reg(g, i->d, i->type, R_AX);
			as_mov(&g->s, R_DX, R_13);
		} else {
			to_this_reg(g, i->c, i->type, R_14);
			to_this_reg(g, i->d, i->type, R_AX);
			as_mov(&g->s, R_DX, R_14);
		}
	}
	trap_here(g);
	wide_op(g, b, digit);
	if (!plain)
		wide_result(g);
	if (is_m(i->b))
		mem_end(g);
	fl_done(g);
}

/* ---- Exchanges */

void lower_xchg(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint32_t op = int_op(i->type, 0x87);
	struct rm m;
	unsigned r;

	if (is_m(i->a)) {
		fl_check(g);
		m = mem_begin(g, i->a, mem_bytes(i), TLB_RMW, 0);
		r = to_reg(g, i->b, i->type, g->scratch);
		as_op(&g->s, op, r, m); /* always locked */
		put_result(g, i->b, i->type, r);
		mem_end(g);
	} else if (in_reg(g, i->a) && in_reg(g, i->b)) {
		as_op(&g->s, op, loc(g, i->b).base, loc(g, i->a));
	} else {
		to_this_reg(g, i->a, i->type, R_13);
		to_this_reg(g, i->b, i->type, R_14);
		from_reg(g, i->a, i->type, R_14);
		from_reg(g, i->b, i->type, R_13);
	}
}

void lower_xadd(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint32_t op = int_op(i->type, OP_0F | 0xc1) | lock_bit(g);
	struct rm m;
	unsigned r;

	fl_begin(g, is_m(i->a));
	if (is_m(i->a)) {
		m = access_begin(g, i->a, TLB_RMW, 0);
		r = to_reg(g, i->b, i->type, g->scratch);
		as_op(&g->s, op, r, m);
		put_result(g, i->b, i->type, r);
		mem_end(g);
	} else {
		fl_ready(g);
		if (in_reg(g, i->a) && in_reg(g, i->b)) {
			as_op(&g->s, op, loc(g, i->b).base, loc(g, i->a));
		} else {
			to_this_reg(g, i->a, i->type, R_13);
			to_this_reg(g, i->b, i->type, R_14);
			as_op(&g->s, op, R_14, rm_reg(R_13));
			from_reg(g, i->b, i->type, R_14);
			from_reg(g, i->a, i->type, R_13);
		}
	}
	fl_done(g);
}

/* Whole containers go through: of two 32-bit registers only the one that the comparison chose loses its upper half. */
static void cas_mem(struct gen *g, uint32_t op)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;
	bool plain = is_host(g, i->d, R_AX);
	struct rm m = access_begin(g, i->a, TLB_RMW, plain ? 0 : MEM_SIMPLE);

	if (plain) {
		as_op(s, op, to_reg(g, i->b, i->type, g->scratch), m);
	} else {
		as_store(s, SAVE_AX, R_AX);
		to_this_reg(g, i->b, i->type, R_14);
		to_this_reg(g, i->d, IR_I64, R_AX);
		as_op(s, op, R_14, m);
		as_mov(s, R_14, R_AX);
		as_load(s, R_AX, SAVE_AX);
		from_reg(g, i->d, IR_I64, R_14);
	}
	mem_end(g);
}

static void cas_reg(struct gen *g, uint32_t op)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;

	if (is_host(g, i->d, R_AX) && in_reg(g, i->a) && !is_k(i->b) && in_reg(g, i->b)) {
		as_op(s, op, loc(g, i->b).base, loc(g, i->a));
		return;
	}
	to_this_reg(g, i->b, i->type, R_14);
	to_this_reg(g, i->a, IR_I64, R_13);
	as_store(s, SAVE_AX, R_AX);
	to_this_reg(g, i->d, IR_I64, R_AX);
	as_op(s, op, R_14, rm_reg(R_13));
	as_mov(s, R_14, R_AX);
	as_load(s, R_AX, SAVE_AX);
	from_reg(g, i->d, IR_I64, R_14);
	from_reg(g, i->a, IR_I64, R_13);
}

void lower_cas(struct gen *g)
{
	uint32_t op = int_op(g->i->type, OP_0F | 0xb1) | lock_bit(g);

	fl_begin(g, is_m(g->i->a));
	if (is_m(g->i->a)) {
		cas_mem(g, op);
	} else {
		fl_ready(g);
		cas_reg(g, op);
	}
	fl_done(g);
}
