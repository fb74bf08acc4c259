/* SPDX-License-Identifier: MIT */
/*
 * Handlers of the commonest integer operations, one per op, type and form, made by macros; the rest goes through the
 * generic ones. Forms: rr (register, register), rk (register, constant), rm (register, memory), mr, mk.
 */
#include "tcg/backend/interp/interp_mem.h"
#include "tcg/ir/ir_eval_inline.h"

#define FN(name) static const struct iop *name(struct tcg_env *env, const struct iop *op)

#define B_rr(bytes) (*interp_g(env, op->b))
#define B_rk(bytes) ((uint64_t)op->imm)
#define B_rm(bytes) interp_load(env, op, bytes)
#define B_mr(bytes) B_rr(bytes)
#define B_mk(bytes) B_rk(bytes)
#define L_rr(bytes) (*interp_g(env, op->a))
#define L_rk(bytes) L_rr(bytes)
#define L_rm(bytes) L_rr(bytes)
#define L_mr(bytes) B_rm(bytes)
#define L_mk(bytes) B_rm(bytes)

/* d = a OP b, with and without flags. The last argument is the value, given a, b (cut to the type) and fl. */
#define BINARY1(name, T, form, set, value)                          \
	FN(name##_##T##_##form)                                     \
	{                                                           \
		enum ir_type t = IR_##T;                            \
		uint32_t fl = 0;                                    \
		uint64_t b = ir_cut(B_##form(ir_type_bytes(t)), t); \
		uint64_t a = ir_cut(L_##form(ir_type_bytes(t)), t); \
		uint64_t r = value;                                 \
		set;                                                \
		if (op->attr & IR_SETF)                             \
			env->flags = fl;                            \
		return op + 1;                                      \
	}
#define SET   interp_set(env, op->d, t, r)
#define NOSET (void)r
#define BINARY4(name, form, set, value)      \
	BINARY1(name, I8, form, set, value)  \
	BINARY1(name, I16, form, set, value) \
	BINARY1(name, I32, form, set, value) \
	BINARY1(name, I64, form, set, value)
#define ROW(name, form)                                                                   \
	{                                                                                 \
		name##_I8_##form, name##_I16_##form, name##_I32_##form, name##_I64_##form \
	}
/* The last two rows: a in memory, for operations without destination. */
#define FORMS 5
#define BINARY(name, set, value)      \
	BINARY4(name, rr, set, value) \
	BINARY4(name, rk, set, value) \
	BINARY4(name, rm, set, value) \
	static const iop_fn name##_table[FORMS][4] = {ROW(name, rr), ROW(name, rk), ROW(name, rm)};
#define COMPARISON(name, value)                                                                                   \
	BINARY4(name, rr, NOSET, value)                                                                           \
	BINARY4(name, rk, NOSET, value)                                                                           \
	BINARY4(name, rm, NOSET, value)                                                                           \
	BINARY4(name, mr, NOSET, value)                                                                           \
	BINARY4(name, mk, NOSET, value)                                                                           \
	static const iop_fn name##_table[FORMS][4] = {ROW(name, rr), ROW(name, rk), ROW(name, rm), ROW(name, mr), \
						      ROW(name, mk)};

BINARY(add, SET, ir_add(&fl, t, a, b, 0))
BINARY(sub, SET, ir_sub(&fl, t, a, b, 0))
BINARY(and, SET, ir_logic(&fl, t, a &b))
BINARY(or, SET, ir_logic(&fl, t, a | b))
BINARY(xor, SET, ir_logic(&fl, t, a ^ b))
COMPARISON(cmp, ir_sub(&fl, t, a, b, 0))
COMPARISON(test, ir_logic(&fl, t, a &b))

/* d = a widened; A is the source as a value of its own width. */
#define UNARY1(name, T, form, bytes, value)            \
	FN(name##_##T##_##form)                        \
	{                                              \
		uint64_t a = A_##form(bytes);          \
		interp_set(env, op->d, IR_##T, value); \
		return op + 1;                         \
	}
#define A_rr(bytes) (*interp_g(env, op->a))
#define A_rk(bytes) ((uint64_t)op->imm)
#define A_rm(bytes) interp_load(env, op, bytes)
#define UNARY4(name, form, b8, b16, b32, b64, value) \
	UNARY1(name, I8, form, b8, value)            \
	UNARY1(name, I16, form, b16, value)          \
	UNARY1(name, I32, form, b32, value)          \
	UNARY1(name, I64, form, b64, value)
#define UNARY(name, b8, b16, b32, b64, value)      \
	UNARY4(name, rr, b8, b16, b32, b64, value) \
	UNARY4(name, rk, b8, b16, b32, b64, value) \
	UNARY4(name, rm, b8, b16, b32, b64, value) \
	static const iop_fn name##_table[FORMS][4] = {ROW(name, rr), ROW(name, rk), ROW(name, rm)};

UNARY(mov, 1, 2, 4, 8, a)
UNARY(zx8, 1, 1, 1, 1, (uint8_t)a)
UNARY(zx16, 2, 2, 2, 2, (uint16_t)a)
UNARY(sx8, 1, 1, 1, 1, (uint64_t)(int8_t)a)
UNARY(sx16, 2, 2, 2, 2, (uint64_t)(int16_t)a)
UNARY(sx32, 4, 4, 4, 4, (uint64_t)(int32_t)a)

/* Stores of a register or constant. */
#define STORE(T, bytes)                                              \
	FN(store_##T##_r)                                            \
	{                                                            \
		interp_store(env, op, bytes, *interp_g(env, op->a)); \
		return op + 1;                                       \
	}                                                            \
	FN(store_##T##_k)                                            \
	{                                                            \
		interp_store(env, op, bytes, (uint64_t)op->imm);     \
		return op + 1;                                       \
	}
STORE(I8, 1)
STORE(I16, 2)
STORE(I32, 4)
STORE(I64, 8)
static const iop_fn store_table[2][4] = {
	{store_I8_r, store_I16_r, store_I32_r, store_I64_r},
	{store_I8_k, store_I16_k, store_I32_k, store_I64_k},
};

static const iop_fn (*const tables[IR_OP_COUNT])[4] = {
	[IR_ADD] = add_table,	[IR_SUB] = sub_table,	[IR_AND] = and_table,	[IR_OR] = or_table,
	[IR_XOR] = xor_table,	[IR_CMP] = cmp_table,	[IR_TEST] = test_table, [IR_MOV] = mov_table,
	[IR_ZX8] = zx8_table,	[IR_ZX16] = zx16_table, [IR_SX8] = sx8_table,	[IR_SX16] = sx16_table,
	[IR_SX32] = sx32_table,
};

static bool is_reg(unsigned kind)
{
	return kind == IR_KIND_G || kind == IR_KIND_T;
}

static int form_of(unsigned kind)
{
	return is_reg(kind) ? 0 : kind == IR_KIND_K ? 1 : kind == IR_KIND_M ? 2 : -1;
}

/* The row of a table that fits the operands; it may be empty. */
static int row_of(const struct iop *op)
{
	if (!(ir_op_info[op->op].shape & IR_SH_B))
		return form_of(op->ka);
	if (is_reg(op->ka))
		return form_of(op->kb);
	if (op->ka == IR_KIND_M && op->kb != IR_KIND_M)
		return 3 + form_of(op->kb);
	return -1;
}

iop_fn interp_hot(const struct iop *op)
{
	int row;

	if (op->op == IR_MOV && op->kd == IR_KIND_M)
		return store_table[op->ka == IR_KIND_K][op->type & 3];
	if (!tables[op->op] || op->type > IR_I64 || ((ir_op_info[op->op].shape & IR_SH_D) && !is_reg(op->kd)))
		return NULL;
	row = row_of(op);
	return row < 0 ? NULL : tables[op->op][row][op->type];
}
