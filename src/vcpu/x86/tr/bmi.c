/* SPDX-License-Identifier: MIT */
/*
 * General-purpose instructions in VEX encoding: BMI1 and BMI2. Sources and destination are separate; shifts and MULX leave the flags alone.
 */
#include "vcpu/x86/tr/tr.h"

/* op0 = op1 OP op2; op2 may be memory. */
void x86_tr_vex_alu(struct x86_tr *c)
{
	ir_ref d = IR_G(c->in.op[0].reg), a = IR_G(c->in.op[1].reg), b = x86_tr_src(c, 2);

	x86_tr_emit(c, c->arg, x86_tr_type(c->in.op[0].size), d, a, b)->attr |= c->arg == IR_ANDN ? IR_SETF : 0;
}

/* op0 = OP(op1 [, op2]); op1 may be memory. */
void x86_tr_vex_bits(struct x86_tr *c)
{
	ir_ref a = x86_tr_src(c, 1), b = c->in.nr_ops > 2 ? IR_G(c->in.op[2].reg) : IR_NONE;

	x86_tr_emit(c, c->arg, x86_tr_type(c->in.op[0].size), IR_G(c->in.op[0].reg), a, b)->attr |= IR_SETF;
}

/* op0 = op1 shifted by op2 */
void x86_tr_vex_shift(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	ir_ref d = IR_G(c->in.op[0].reg), a = x86_tr_reg_src(c, 1);
	unsigned mask = c->in.op[0].size == 8 ? 63 : 31;

	if (c->in.op[2].kind == X86_OPK_GPR)
		x86_tr_emit(c, c->arg, type, d, a, IR_G(c->in.op[2].reg));
	else if (c->in.imm & mask)
		x86_tr_emit_k(c, c->arg, type, d, a, c->in.imm & mask);
	else
		x86_tr_emit(c, IR_MOV, type, d, a, IR_NONE);
}

/* op0 : op1 = RDX * op2; if both are the same register it gets the high half. */
void x86_tr_mulx(struct x86_tr *c)
{
	ir_ref high = IR_G(c->in.op[0].reg), low = IR_G(c->in.op[1].reg), b = x86_tr_src(c, 2);
	struct ir_insn *i;

	i = x86_tr_emit(c, IR_MULU, x86_tr_type(c->in.op[0].size), low == high ? IR_NONE : low, IR_G(X86_RDX), b);
	i->c = high;
}
