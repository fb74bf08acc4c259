/* SPDX-License-Identifier: MIT */
/*
 * MMX, as IR_FPU like the x87. Operands that are not MMX registers are operands of the op: memory and general
 * registers, and XMM registers where both units meet (CVTPI2PS, MOVQ2DQ, ...); d is read too by CVTPI2PS, which keeps
 * the high half. The same mnemonics with XMM registers are in sse.c.
 */
#include "vcpu/x86/tr/tr.h"

static bool is_mmx(const struct x86_operand *o)
{
	return o->kind == X86_OPK_MMX;
}

static ir_ref reference(struct x86_tr *c, unsigned n, bool write)
{
	const struct x86_operand *o = &c->in.op[n];

	switch (o->kind) {
	case X86_OPK_GPR:
		return IR_G(o->reg);
	case X86_OPK_XMM:
		return IR_V(o->reg);
	case X86_OPK_MEM:
		return x86_tr_vec_mem(c, o->size, write);
	default:
		return IR_NONE;
	}
}

/* The type is that of the one operand outside the unit, general or memory; V128 for XMM registers. */
static enum ir_type type_of(const struct x86_tr *c)
{
	for (unsigned n = 0; n < 2 && n < c->in.nr_ops; n++)
		if (c->in.op[n].kind == X86_OPK_MEM || c->in.op[n].kind == X86_OPK_GPR)
			return x86_tr_fpu_type(c->in.op[n].size);
	for (unsigned n = 0; n < 2 && n < c->in.nr_ops; n++)
		if (c->in.op[n].kind == X86_OPK_XMM)
			return IR_V128;
	return IR_I64;
}

bool x86_tr_mmx_form(const struct x86_tr *c)
{
	return (c->in.nr_ops > 0 && is_mmx(&c->in.op[0])) || (c->in.nr_ops > 1 && is_mmx(&c->in.op[1]));
}

void x86_tr_mmx(struct x86_tr *c)
{
	ir_ref d = c->in.nr_ops > 0 ? reference(c, 0, true) : IR_NONE;
	ir_ref a = c->in.nr_ops > 1 ? reference(c, 1, false) : IR_NONE;

	x86_tr_fpu_op(c, type_of(c), d, a);
}

/* MASKMOVQ, MASKMOVDQU mem, data, mask */
void x86_tr_maskmov(struct x86_tr *c)
{
	unsigned data = c->in.op[1].reg, mask = c->in.op[2].reg, mmx = is_mmx(&c->in.op[1]);
	ir_ref addr = x86_tr_linear(c, c->in.op[0].size, true);

	x86_tr_rt(c, X86_RT_maskmov, X86_TR_NO_RESULT, addr, x86_tr_const(c, data | mask << 8 | mmx << 16), IR_NONE);
}
