/* SPDX-License-Identifier: MIT */
/*
 * Integer arithmetic and logic. The IR's flags are the host's, so an op with live flags is the host instruction of the same
 * name; one without uses mov, lea or not where they are shorter or keep live flags alive.
 *
 * Order in every lowering: fl_begin, the memory check (mem_begin), fl_ready; from there to the native instruction only moves, which
 * leave flags alone; then fl_done and the result.
 */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"

/* ---- Two-operand arithmetic */

static bool is_commutative(unsigned op)
{
	return op == IR_ADD || op == IR_ADC || op == IR_AND || op == IR_OR || op == IR_XOR;
}

static enum alu alu_of(unsigned op)
{
	static const uint8_t of[] = { [IR_ADD] = ALU_ADD, [IR_ADC] = ALU_ADC, [IR_SUB] = ALU_SUB, [IR_SBB] = ALU_SBB, [IR_AND] = ALU_AND,
				      [IR_OR] = ALU_OR, [IR_XOR] = ALU_XOR, [IR_CMP] = ALU_CMP };

	return of[op];
}

/* x op= b: x register or memory, b register, constant or (x being a register) in the environment. */
static void alu_op(struct gen *g, enum alu alu, struct rm x, ir_ref b)
{
	struct as *s = &g->s;
	enum ir_type t = g->i->type;
	uint32_t op = (unsigned)alu << 3;

	if (is_k(b)) {
		int64_t v = konst(t, g->i->imm);

		if (fits32(v)) {
			as_alu_imm(s, alu, (int_op(t, 1) & ~0xffu) | lock_bit(g), x, (int32_t)v);
			return;
		}
		as_mov_imm(s, g->scratch, v);
		as_op(s, int_op(t, op | 1) | lock_bit(g), g->scratch, x);
	} else if (x.is_mem) {
		as_op(s, int_op(t, op | 1) | lock_bit(g), to_reg(g, b, t, g->scratch), x);
	} else {
		as_op(s, int_op(t, op | 3), x.base, loc(g, b));
	}
}

static void alu_rmw(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct rm m = access_begin(g, i->d, TLB_RMW, 0);

	alu_op(g, alu_of(i->op), m, i->b);
	mem_end(g);
}

/* A source is memory, the destination is not. */
static void alu_load(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem_b = is_m(i->b);
	struct rm m = access_begin(g, mem_b ? i->b : i->a, TLB_READ, 0);
	unsigned r = g->scratch;

	if (mem_b && in_reg(g, i->d) && same_loc(g, i->d, i->a)) {
		as_op(&g->s, int_op(i->type, (unsigned)alu_of(i->op) << 3 | 3), loc(g, i->d).base, m);
		mem_end(g);
		return;
	}
	if (mem_b) {
		to_this_reg(g, i->a, i->type, r);
		as_op(&g->s, int_op(i->type, (unsigned)alu_of(i->op) << 3 | 3), r, m);
	} else if (is_k(i->b) && !fits32(konst(i->type, i->imm))) {
		as_mov_imm(&g->s, r, i->imm); /* both scratches may be taken: go through memory-free forms */
		as_store(&g->s, RM_ENV(be_save[3]), r);
		as_op(&g->s, int_op(i->type, OP_MOV_RM), r, m);
		as_op(&g->s, int_op(i->type, (unsigned)alu_of(i->op) << 3 | 3), r, RM_ENV(be_save[3]));
	} else {
		as_op(&g->s, int_op(i->type, OP_MOV_RM), r, m);
		alu_op(g, alu_of(i->op), rm_reg(r), i->b);
	}
	put_result(g, i->d, i->type, r);
	mem_end(g);
}

/* d = a + b or a - constant without flags: one lea. */
static bool alu_as_lea(struct gen *g)
{
	const struct ir_insn *i = g->i;
	int64_t v = konst(i->type, i->imm);
	struct rm m;

	if (g->setf || i->type < IR_I32 || (i->op != IR_ADD && i->op != IR_SUB) || !in_reg(g, i->d) || is_k(i->a) || !in_reg(g, i->a))
		return false;
	if (is_k(i->b)) {
		v = i->op == IR_SUB ? (int64_t)-(uint64_t)v : v;
		if (!fits32(v) || (same_loc(g, i->d, i->a) && flags_are_free(g)))
			return false;
		m = rm_mem(loc(g, i->a).base, R_NONE, 0, (int32_t)v);
	} else {
		if (i->op == IR_SUB || !in_reg(g, i->b))
			return false;
		if ((same_loc(g, i->d, i->a) || same_loc(g, i->d, i->b)) && flags_are_free(g))
			return false;
		m = rm_mem(loc(g, i->a).base, loc(g, i->b).base, 0, 0);
	}
	as_op(&g->s, int_op(i->type, OP_LEA), loc(g, i->d).base, m);
	return true;
}

/* The value of a in d's register, whose bits above a narrow type stay. */
static void merge_into(struct gen *g, ir_ref a, enum ir_type t, unsigned d)
{
	int64_t v = konst(t, g->i->imm);

	if (t == IR_I32 || t == IR_I64) {
		to_this_reg(g, a, t, d);
	} else if (is_k(a)) {
		as_op(&g->s, int_op(t, 0xc7), 0, rm_reg(d));
		as_bytes(&g->s, &v, t == IR_I8 ? 1 : 2);
	} else {
		as_op(&g->s, int_op(t, OP_MOV_RM), d, loc(g, a));
	}
}

static void alu_reg(struct gen *g)
{
	const struct ir_insn *i = g->i;
	enum alu alu = alu_of(i->op);
	enum ir_type t = i->type;
	struct rm d = loc(g, i->d);
	bool in_place = !(d.is_mem && t == IR_I32); /* i32 results must be zero-extended */

	if (in_place && same_loc(g, i->d, i->a)) {
		alu_op(g, alu, d, i->b);
	} else if (in_place && same_loc(g, i->d, i->b) && is_commutative(i->op) && !is_k(i->a)) {
		alu_op(g, alu, d, i->a);
	} else if (!d.is_mem && !same_loc(g, i->d, i->b)) {
		merge_into(g, i->a, t, d.base);
		alu_op(g, alu, d, i->b);
	} else if (is_k(i->b) && !fits32(konst(t, i->imm))) { /* d is in the environment, and the constant needs the scratch */
		to_this_reg(g, i->a, t, R_13);
		from_reg(g, i->d, t, R_13);
		alu_op(g, alu, d, i->b);
	} else {
		to_this_reg(g, i->a, t, R_13);
		alu_op(g, alu, rm_reg(R_13), i->b);
		from_reg(g, i->d, t, R_13);
	}
}

void lower_alu(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->d) || is_m(i->a) || is_m(i->b);

	g->setf = (i->attr & IR_SETF) && (i->fl_live & ir_flags_clob(i));
	if (!mem && alu_as_lea(g))
		return;
	fl_begin(g, mem);
	if (is_m(i->d)) {
		alu_rmw(g);
	} else if (mem) {
		alu_load(g);
	} else {
		fl_ready(g);
		alu_reg(g);
	}
	fl_done(g);
}

/* ---- CMP, TEST */

static void test_op(struct gen *g, struct rm x, ir_ref b)
{
	struct as *s = &g->s;
	enum ir_type t = g->i->type;
	int64_t v = konst(t, g->i->imm);

	if (is_k(b) && fits32(v)) {
		as_op(s, int_op(t, 0xf7), 0, x);
		as_bytes(s, &v, t == IR_I8 ? 1 : t == IR_I16 ? 2 : 4);
	} else if (is_k(b)) {
		as_mov_imm(s, g->scratch, v);
		as_op(s, int_op(t, 0x85), g->scratch, x);
	} else if (x.is_mem) {
		as_op(s, int_op(t, 0x85), to_reg(g, b, t, g->scratch), x);
	} else {
		as_op(s, int_op(t, 0x85), x.base, loc(g, b));
	}
}

static void compare_op(struct gen *g, struct rm x, ir_ref b)
{
	const struct ir_insn *i = g->i;

	if (i->op == IR_TEST)
		test_op(g, x, b);
	else if (is_k(b) && konst(i->type, i->imm) == 0 && !x.is_mem && !(i->fl_live & F_A))
		as_op(&g->s, int_op(i->type, 0x85), x.base, x); /* test x, x: as cmp x, 0 but for the adjust flag */
	else
		alu_op(g, ALU_CMP, x, b);
}

void lower_compare(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->a) || is_m(i->b);
	struct rm m;
	unsigned r;

	fl_begin(g, mem);
	if (is_m(i->a)) {
		compare_op(g, access_begin(g, i->a, TLB_READ, 0), i->b);
		mem_end(g);
	} else if (is_m(i->b)) {
		m = access_begin(g, i->b, TLB_READ, 0);
		r = to_reg(g, i->a, i->type, g->scratch);
		as_op(&g->s, int_op(i->type, i->op == IR_TEST ? 0x85 : OP_CMP_RM), r, m);
		mem_end(g);
	} else if (g->setf) {
		fl_ready(g);
		if (is_k(i->a) || (!in_reg(g, i->a) && !is_k(i->b) && !in_reg(g, i->b))) {
			to_this_reg(g, i->a, i->type, R_13);
			compare_op(g, rm_reg(R_13), i->b);
		} else {
			compare_op(g, loc(g, i->a), i->b);
		}
	} else {
		return;
	}
	fl_done(g);
}

/* ---- INC DEC NEG NOT */

static void unary_op(struct gen *g, struct rm x)
{
	static const uint8_t opcode[] = { [IR_INC] = 0xff, [IR_DEC] = 0xff, [IR_NEG] = 0xf7, [IR_NOT] = 0xf7 };
	static const uint8_t digit[] = { [IR_INC] = 0, [IR_DEC] = 1, [IR_NEG] = 3, [IR_NOT] = 2 };

	as_op(&g->s, int_op(g->i->type, opcode[g->i->op]) | lock_bit(g), digit[g->i->op], x);
}

static void unary_reg(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct rm d = loc(g, i->d);
	bool in_place = !(d.is_mem && i->type == IR_I32);

	if (in_place && same_loc(g, i->d, i->a)) {
		unary_op(g, d);
	} else if (!d.is_mem) {
		merge_into(g, i->a, i->type, d.base);
		unary_op(g, d);
	} else {
		to_this_reg(g, i->a, i->type, R_13);
		unary_op(g, rm_reg(R_13));
		from_reg(g, i->d, i->type, R_13);
	}
}

void lower_unary(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->d) || is_m(i->a);
	bool step = i->op == IR_INC || i->op == IR_DEC;

	g->setf = (i->attr & IR_SETF) && (i->fl_live & ir_flags_clob(i));
	if (step && !mem && !g->setf && i->type >= IR_I32 && !is_k(i->a) && in_reg(g, i->d) && in_reg(g, i->a) &&
	    (!flags_are_free(g) || !same_loc(g, i->d, i->a))) {
		as_op(&g->s, int_op(i->type, OP_LEA), loc(g, i->d).base,
		      rm_mem(loc(g, i->a).base, R_NONE, 0, i->op == IR_INC ? 1 : -1));
		return;
	}
	if (i->op != IR_NOT)
		fl_begin(g, mem);
	else if (mem)
		fl_check(g);
	if (is_m(i->d)) {
		unary_op(g, access_begin(g, i->d, TLB_RMW, 0));
		mem_end(g);
	} else if (mem) {
		struct rm m = access_begin(g, i->a, TLB_READ, 0);
		unsigned r = g->scratch;

		as_op(&g->s, int_op(i->type, OP_MOV_RM), r, m);
		unary_op(g, rm_reg(r));
		put_result(g, i->d, i->type, r);
		mem_end(g);
	} else {
		if (i->op != IR_NOT)
			fl_ready(g);
		unary_reg(g);
	}
	if (i->op != IR_NOT)
		fl_done(g);
}
