/* SPDX-License-Identifier: MIT */
/*
 * Multiplication, division, BCD. The divide error is the IR op's (native trap); byte division and BCD are runtime
 * routines.
 */
#include "vcpu/x86/tr/tr.h"

#define AX IR_G(X86_RAX)
#define DX IR_G(X86_RDX)

/*
 * AX = AL * op0. The product of two bytes always fits 32 bits; its flags (C = O = does not fit a byte) are those of the
 * same product with one factor shifted up so far that a byte's worth of product is left below the sign.
 */
static void mul8(struct x86_tr *c, bool is_signed)
{
	enum ir_op widen = is_signed ? IR_SX8 : IR_ZX8;
	ir_ref src = is_signed ? x86_tr_sx(c, 0) : x86_tr_zx(c, 0);
	ir_ref al = ir_temp(c->ir), high = ir_temp(c->ir);

	x86_tr_emit(c, widen, IR_I32, al, AX, IR_NONE);
	x86_tr_emit(c, IR_MOV, IR_I32, high, al, IR_NONE);
	x86_tr_emit_k(c, IR_SHL, IR_I32, high, high, is_signed ? 24 : 23);
	x86_tr_emit(c, IR_IMUL, IR_I32, al, al, src);
	x86_tr_emit(c, IR_IMUL, IR_I32, high, high, src)->attr |= IR_SETF;
	x86_tr_emit(c, IR_MOV, IR_I16, AX, al, IR_NONE);
}

/* DX:AX = AX * op0 */
static void mul_wide(struct x86_tr *c, enum ir_op op)
{
	struct ir_insn *i;
	ir_ref src;

	if (c->in.op[0].size == 1) {
		mul8(c, op == IR_MULS);
		return;
	}
	src = x86_tr_src(c, 0);
	i = x86_tr_emit(c, op, x86_tr_type(c->in.op[0].size), AX, AX, src);
	i->c = DX;
	i->attr |= IR_SETF;
}

void x86_tr_mul(struct x86_tr *c)
{
	mul_wide(c, IR_MULU);
}

/* One operand: as MUL. Two: op0 *= op1. Three: op0 = op1 * op2. */
void x86_tr_imul(struct x86_tr *c)
{
	ir_ref d = IR_G(c->in.op[0].reg), a, b;

	if (c->in.nr_ops == 1) {
		mul_wide(c, IR_MULS);
		return;
	}
	if (c->in.nr_ops == 2) {
		a = d;
		b = x86_tr_src(c, 1);
	} else {
		a = x86_tr_reg_src(c, 1);
		b = x86_tr_src(c, 2);
	}
	x86_tr_emit(c, IR_IMUL, x86_tr_type(c->in.op[0].size), d, a, b)->attr |= IR_SETF;
}

void x86_tr_div(struct x86_tr *c)
{
	bool is_signed = c->arg == IR_DIVS;
	struct ir_insn *i;
	ir_ref src;

	if (c->in.op[0].size == 1) {
		src = is_signed ? x86_tr_sx(c, 0) : x86_tr_zx(c, 0);
		x86_tr_rt(c, X86_RT_div8, X86_TR_NO_RESULT, src, x86_tr_const(c, is_signed), IR_NONE);
		return;
	}
	src = x86_tr_src(c, 0);
	i = x86_tr_emit(c, c->arg, x86_tr_type(c->in.op[0].size), AX, IR_NONE, src);
	i->c = DX;
	i->attr |= IR_SETF;
}

/* The row's argument is the routine's number of the instruction. */
void x86_tr_bcd(struct x86_tr *c)
{
	ir_ref which = x86_tr_const(c, c->arg), imm = x86_tr_const(c, c->in.imm & 0xff);

	x86_tr_rt(c, X86_RT_bcd, X86_TR_NO_RESULT, which, imm, IR_NONE);
}
