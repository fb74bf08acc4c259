/* SPDX-License-Identifier: MIT */
/* Moves between registers, memory, constants and env: sign and zero extension, high bytes, addresses. Order as in lower_int.c. */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"

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

void lower_ldcode(struct gen *g)
{
	static const uint32_t ops[] = { OP_W | OP_0F | 0xbe, OP_W | OP_0F | 0xbf, OP_W | 0x63, OP_W | OP_MOV_RM }; /* movsx */
	unsigned r = result_reg(g, g->i->d, R_13);

	as_mov_imm(&g->s, r, (int64_t)(uintptr_t)(g->ir->code + g->i->imm));
	as_op(&g->s, ops[g->i->type & 3], r, rm_mem(r, R_NONE, 0, 0));
	put_result(g, g->i->d, IR_I64, r);
}

void lower_stenv(struct gen *g)
{
	as_op(&g->s, int_op(g->i->type, OP_MOV_MR), to_reg(g, g->i->a, g->i->type, R_13), rm_gs((size_t)g->i->imm));
}
