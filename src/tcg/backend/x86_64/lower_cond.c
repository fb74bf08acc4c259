/* SPDX-License-Identifier: MIT */
/* Conditions and flags as data: SETcc, CMOVcc, flags to and from registers, fences. Order as in lower_int.c. */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"

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

/* rdtsc writes the pinned eax and edx. */
void lower_clock(struct gen *g)
{
	struct as *s = &g->s;

	fl_clobber(g, g->i->fl_live);
	as_mov(s, R_13, R_AX);
	as_mov(s, R_14, R_DX);
	as_bytes(s, "\x0f\x31", 2);
	as_op_imm8(s, OP_W | 0xc1, 4, rm_reg(R_DX), 32); /* shl */
	as_alu(s, ALU_OR, R_AX, rm_reg(R_DX));
	as_mov(s, R_DX, R_14);
	as_mov(s, R_14, R_AX);
	as_mov(s, R_AX, R_13);
	put_result(g, g->i->d, IR_I64, R_14);
}
