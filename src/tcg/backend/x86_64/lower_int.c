/* SPDX-License-Identifier: MIT */
/*
 * Integer moves, arithmetic and logic. The IR's flags are the host's, so an op with live flags is the host instruction of the same
 * name; one without uses mov, lea or not where they are shorter or keep live flags alive.
 *
 * Order in every lowering: fl_begin, the memory check (mem_begin), fl_ready; from there to the native instruction only moves, which
 * leave flags alone; then fl_done and the result.
 */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"

/* The check, then the flags the instruction reads or passes on. */
static struct rm access_begin(struct gen *g, ir_ref m, enum tlb_access access, unsigned how)
{
	struct rm rm = mem_begin(g, m, mem_bytes(g->i), access, how);

	fl_ready(g);
	return rm;
}

static uint32_t lock_bit(const struct gen *g)
{
	return (g->i->attr & IR_LOCK) ? OP_LOCK : 0;
}

/* ---- Moves */

static bool flags_are_free(const struct gen *g)
{
	return !(g->i->fl_live & g->fl_host & ~g->fl_mem);
}

static void mov_const(struct gen *g, ir_ref d, enum ir_type t, int64_t v)
{
	struct as *s = &g->s;
	struct rm m = loc(g, d);

	if (m.is_mem && (t == IR_I64 || t == IR_I32)) {
		if (t == IR_I32)
			v = (int64_t)(uint32_t)v;
		if (fits32(v)) {
			as_store_imm(s, m, (int32_t)v);
		} else {
			as_mov_imm(s, g->scratch, v);
			as_store(s, m, g->scratch);
		}
	} else if (t == IR_I64 || t == IR_I32) {
		if (v == 0 && flags_are_free(g)) {
			as_op(s, 0x33, m.base, m);
			g->fl_host = 0;
		} else {
			as_mov_imm(s, m.base, t == IR_I32 ? (int64_t)(uint32_t)v : v);
		}
	} else {
		as_op(s, int_op(t, 0xc7), 0, m);
		as_bytes(s, &v, t == IR_I8 ? 1 : 2);
	}
}

static void mov_store(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct rm m = mem_begin(g, i->d, mem_bytes(i), TLB_WRITE, 0);
	int64_t v = konst(i->type, i->imm);

	if (is_k(i->a) && fits32(v)) {
		as_op(&g->s, int_op(i->type, 0xc7), 0, m);
		as_bytes(&g->s, &v, i->type == IR_I64 ? 4 : mem_bytes(i));
	} else {
		as_op(&g->s, int_op(i->type, OP_MOV_MR), to_reg(g, i->a, i->type, g->scratch), m);
	}
	mem_end(g);
}

/* Loads a value of `from` bytes (sign- or zero-extended) into d. Narrow temporaries nobody has written need no merge. */
static void load_ext(struct gen *g, uint32_t op, struct rm m)
{
	const struct ir_insn *i = g->i;
	unsigned r = result_reg(g, i->d, g->scratch);

	as_op(&g->s, op, r, m);
	put_result(g, i->d, i->type, r);
}

static uint32_t load_op(const struct gen *g)
{
	enum ir_type t = g->i->type;

	if (is_temp_def(g, g->i->d) || !in_reg(g, g->i->d)) {
		if (t == IR_I8)
			return OP_MOVZX8;
		if (t == IR_I16)
			return OP_MOVZX16;
	}
	return int_op(t, OP_MOV_RM);
}

void lower_mov(struct gen *g)
{
	const struct ir_insn *i = g->i;

	if (is_m(i->d) || is_m(i->a)) {
		fl_check(g);
		if (is_m(i->d)) {
			mov_store(g);
			return;
		}
		load_ext(g, load_op(g), mem_begin(g, i->a, mem_bytes(i), TLB_READ, 0));
		mem_end(g);
		return;
	}
	if (is_k(i->a)) {
		mov_const(g, i->d, i->type, konst(i->type, i->imm));
	} else if (in_reg(g, i->d)) {
		if (!same_loc(g, i->d, i->a) || i->type == IR_I32)
			as_op(&g->s, in_reg(g, i->a) ? int_op(i->type, OP_MOV_RM) : load_op(g), loc(g, i->d).base, loc(g, i->a));
	} else if (in_reg(g, i->a) && i->type != IR_I32) {
		from_reg(g, i->d, i->type, loc(g, i->a).base);
	} else {
		to_this_reg(g, i->a, i->type, R_13);
		from_reg(g, i->d, i->type, R_13);
	}
}

/* ZX8 ZX16 SX8 SX16 SX32. */
void lower_extend(struct gen *g)
{
	const struct ir_insn *i = g->i;
	static const uint32_t ops[] = { [IR_ZX8] = OP_MOVZX8, [IR_ZX16] = OP_MOVZX16, [IR_SX8] = OP_0F | 0xbe, [IR_SX16] = OP_0F | 0xbf,
					[IR_SX32] = 0x63 };
	uint32_t op = ops[i->op];
	unsigned r;

	if (i->op == IR_ZX8 || i->op == IR_SX8)
		op |= OP_M8;
	if (i->type == IR_I16)
		op |= OP_66;
	else if (i->type == IR_I64 && i->op != IR_ZX8 && i->op != IR_ZX16)
		op |= OP_W;
	if (is_m(i->a)) {
		fl_check(g);
		load_ext(g, op, mem_begin(g, i->a, mem_bytes(i), TLB_READ, 0));
		mem_end(g);
		return;
	}
	if (is_k(i->a)) {
		as_mov_imm(&g->s, R_13, i->imm);
		r = result_reg(g, i->d, R_13);
		as_op(&g->s, op, r, rm_reg(R_13));
	} else {
		r = result_reg(g, i->d, R_13);
		as_op(&g->s, op, r, loc(g, i->a));
	}
	put_result(g, i->d, i->type, r);
}

/* Registers whose bits 15:8 have a name, for instructions without REX. */
static bool has_hi8(struct rm m)
{
	return !m.is_mem && m.base < 4;
}

static void xchg_hi_lo(struct gen *g, unsigned reg)
{
	as_op(&g->s, 0x86, reg, rm_reg(reg | 4)); /* xchg reg8lo, reg8hi */
}

void lower_gethi8(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;
	struct rm a = is_k(i->a) ? rm_reg(R_13) : loc(g, i->a);
	unsigned r = result_reg(g, i->d, R_13);

	if (is_k(i->a)) {
		mov_const(g, i->d, IR_I64, i->imm >> 8 & 0xff);
		return;
	}
	if (a.is_mem) {
		a.disp++;
		as_op(s, OP_MOVZX8, r, a);
	} else if (!has_hi8(a)) {
		as_store(s, RM_ENV(be_save[3]), a.base);
		as_op(s, OP_MOVZX8, r, rm_gs(offsetof(struct tcg_env, be_save[3]) + 1));
	} else if (r < 8) {
		as_op(s, OP_MOVZX8, r, rm_reg(a.base | 4));
	} else {
		xchg_hi_lo(g, a.base);
		as_op(s, OP_MOVZX8, r, a);
		xchg_hi_lo(g, a.base);
	}
	put_result(g, i->d, IR_I64, r);
}

void lower_puthi8(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct as *s = &g->s;
	struct rm d = loc(g, i->d);
	bool swap = has_hi8(d) && !is_k(i->a) && !(in_reg(g, i->a) && loc(g, i->a).base < 4);

	if (d.is_mem) {
		d.disp++;
		as_op(s, 0x88 | OP_R8, to_reg(g, i->a, IR_I8, R_13), d);
	} else if (!has_hi8(d)) {
		as_store(s, RM_ENV(be_save[3]), d.base);
		as_op(s, 0x88 | OP_R8, to_reg(g, i->a, IR_I8, R_13), rm_gs(offsetof(struct tcg_env, be_save[3]) + 1));
		as_load(s, d.base, RM_ENV(be_save[3]));
	} else if (is_k(i->a)) {
		as_u8(s, 0xb0 | d.base | 4);
		as_u8(s, (unsigned)i->imm);
	} else if (swap) {
		xchg_hi_lo(g, d.base);
		as_op(s, 0x8a | OP_B8, d.base, loc(g, i->a));
		xchg_hi_lo(g, d.base);
	} else {
		as_op(s, 0x8a, d.base | 4, loc(g, i->a)); /* no REX: reg | 4 names the high byte */
	}
}

void lower_lea(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool narrow = i->type == IR_I8 || i->type == IR_I16;
	unsigned r = narrow ? R_13 : result_reg(g, i->d, R_13);
	const struct ir_mem *m = &g->ir->mem[IR_REF_NUM(i->a)];
	struct ir_mem cut;

	/* A 32-bit result is the address modulo 2^32, which a 32-bit lea computes. */
	if (i->type == IR_I32 && m->addr_bits == 64) {
		cut = *m;
		cut.addr_bits = 32;
		m = &cut;
	}
	mem_effective(g, m, r);
	put_result(g, i->d, i->type, r);
}

void lower_ldenv(struct gen *g)
{
	static const uint32_t ops[] = { OP_MOVZX8, OP_MOVZX16, OP_MOV_RM, OP_W | OP_MOV_RM };
	unsigned r = result_reg(g, g->i->d, R_13);

	as_op(&g->s, ops[g->i->type & 3], r, rm_gs((size_t)g->i->imm));
	put_result(g, g->i->d, IR_I64, r);
}

void lower_stenv(struct gen *g)
{
	as_op(&g->s, int_op(g->i->type, OP_MOV_MR), to_reg(g, g->i->a, g->i->type, R_13), rm_gs((size_t)g->i->imm));
}

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

/* ---- Bits and bytes */

/* A source as an rm operand; constants go through the environment. */
static struct rm source_rm(struct gen *g, ir_ref a)
{
	if (!is_k(a))
		return loc(g, a);
	as_mov_imm(&g->s, g->scratch, konst(g->i->type, g->i->imm));
	as_store(&g->s, RM_ENV(be_save[3]), g->scratch);
	return RM_ENV(be_save[3]);
}

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
	if (mem) {
		m = access_begin(g, i->a, TLB_READ, 0);
	} else {
		fl_ready(g);
		m = source_rm(g, i->a);
	}
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
	if (mem) {
		m = access_begin(g, i->a, TLB_READ, 0);
	} else {
		fl_ready(g);
		m = source_rm(g, i->a);
	}
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

/* ---- Conditions and flags as data */

void lower_setcc(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint32_t op = OP_0F | OP_M8 | 0x90 | i->cc;

	if (is_m(i->d)) {
		fl_check(g);
		as_op(&g->s, op, 0, access_begin(g, i->d, TLB_WRITE, 0));
		mem_end(g);
		return;
	}
	fl_to_host(g, ir_cc_uses(i->cc));
	as_op(&g->s, op, 0, loc(g, i->d));
}

void lower_cmov(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool mem = is_m(i->a), narrow = i->type == IR_I8;
	uint32_t op = OP_0F | 0x40 | i->cc | (narrow ? 0 : int_op(i->type, 1) & (OP_66 | OP_W));
	struct rm m;
	unsigned r;

	if (mem) {
		fl_check(g);
		m = access_begin(g, i->a, TLB_READ, 0);
	} else {
		fl_to_host(g, ir_cc_uses(i->cc));
		m = source_rm(g, i->a);
	}
	if (narrow && m.is_mem) { /* only a byte may be read */
		as_op(&g->s, OP_MOVZX8, m.gs ? R_13 : g->scratch, m);
		as_store(&g->s, RM_ENV(be_save[3]), m.gs ? R_13 : g->scratch);
		m = RM_ENV(be_save[3]);
	}
	r = in_reg(g, i->d) && !narrow ? loc(g, i->d).base : g->scratch;
	to_this_reg(g, i->d, i->type, r);
	as_op(&g->s, op, r, m);
	put_result(g, i->d, i->type, r);
	if (mem)
		mem_end(g);
}

void lower_getfl(struct gen *g)
{
	unsigned r = result_reg(g, g->i->d, R_13);

	fl_clobber(g, F_ALL);
	as_op(&g->s, OP_MOVZX8, r, rm_gs(BE_FLAGS_O));
	as_op_imm8(&g->s, 0xc1, 4, rm_reg(r), BE_FLAGS_O_SHIFT); /* shl */
	as_op(&g->s, OP_R8 | 0x0a, r, rm_gs(BE_FLAGS_LOW));      /* or */
	as_alu_imm(&g->s, ALU_AND, 0, rm_reg(r), F_ALL);
	put_result(g, g->i->d, IR_I64, r);
}

/* CLC and STC: the carry from a constant that the instruction before has made. */
static bool putfl_carry(struct gen *g)
{
	const struct ir_insn *i = g->i, *before = i - 1;
	uint32_t rest = i->fl_live & ~F_C;

	if (g->n == 0 || before->op != IR_MOV || before->d != i->a || !is_k(before->a) || i->imm != F_C || (rest & ~g->fl_host))
		return false;
	as_u8(&g->s, (before->imm & F_C) ? 0xf9 : 0xf8);
	return true;
}

void lower_putfl(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint32_t mask = (uint32_t)i->imm & F_ALL, rest = i->fl_live & ~mask;
	struct as *s = &g->s;

	fl_begin(g, false);
	if (!g->setf)
		return;
	if (putfl_carry(g)) {
		fl_done(g);
		return;
	}
	fl_clobber(g, rest);
	to_this_reg(g, i->a, IR_I64, R_13);
	if (rest & 0xff) {
		as_alu_imm(s, ALU_AND, 0, rm_reg(R_13), (int32_t)mask);
		as_op(s, 0x80, 4, rm_gs(BE_FLAGS_LOW)); /* and */
		as_u8(s, ~mask & 0xff);
		as_op(s, OP_R8 | 0x08, R_13, rm_gs(BE_FLAGS_LOW)); /* or */
	} else {
		as_op(s, OP_R8 | 0x88, R_13, rm_gs(BE_FLAGS_LOW));
	}
	if (mask & F_O) {
		as_op_imm8(s, 0xc1, 5, rm_reg(R_13), BE_FLAGS_O_SHIFT); /* shr */
		as_alu_imm(s, ALU_AND, 0, rm_reg(R_13), 1);
		as_op(s, OP_R8 | 0x88, R_13, rm_gs(BE_FLAGS_O));
	}
	g->fl_mem = rest ? g->fl_mem | mask : mask;
	g->fl_host = 0;
}

void lower_cmc(struct gen *g)
{
	fl_begin(g, false);
	if (!g->setf)
		return;
	fl_ready(g);
	as_u8(&g->s, 0xf5);
	fl_done(g);
}

void lower_fence(struct gen *g)
{
	static const char *const fences[] = { "\x0f\xae\xf0", "\x0f\xae\xe8", "\x0f\xae\xf8" };

	as_bytes(&g->s, fences[g->i->imm >= 0 && g->i->imm < 3 ? g->i->imm : 0], 3);
}
