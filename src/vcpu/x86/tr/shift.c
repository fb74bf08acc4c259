/* SPDX-License-Identifier: MIT */
/*
 * Shifts and rotates. Counts are masked by the IR op as by the instruction. A constant count of 0 leaves the flags
 * alone, which the op then says by not having IR_SETF; a 32-bit register is zero-extended all the same, and memory is
 * accessed all the same.
 */
#include "vcpu/x86/tr/tr.h"

static bool count_is_zero(const struct x86_tr *c, unsigned n)
{
	const struct x86_operand *o = &c->in.op[n];

	return o->kind == X86_OPK_IMM && !(c->in.imm & (c->in.op[0].size == 8 ? 63 : 31));
}

/* op0 = op0 OP op1 */
void x86_tr_shift(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	uint8_t setf = count_is_zero(c, 1) ? 0 : IR_SETF;
	ir_ref count = x86_tr_src(c, 1), d;

	if (x86_tr_is_mem(c, 0)) {
		d = x86_tr_mem(c, c->in.op[0].size, true);
		x86_tr_emit(c, c->arg, type, d, d, count)->attr |= setf;
		return;
	}
	d = x86_tr_dest_begin(c, 0, true);
	x86_tr_emit(c, c->arg, type, d, d, count)->attr |= setf;
	x86_tr_dest_end(c, 0, d);
}

/* op0 = op0 : op1 shifted by op2 */
void x86_tr_dshift(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	ir_ref fill = IR_G(c->in.op[1].reg), d;
	struct ir_insn *i;

	d = x86_tr_is_mem(c, 0) ? x86_tr_mem(c, c->in.op[0].size, true) : IR_G(c->in.op[0].reg);
	i = x86_tr_emit(c, c->arg, type, d, d, fill);
	i->c = x86_tr_src(c, 2);
	i->imm = c->k;
	if (!count_is_zero(c, 2))
		i->attr |= IR_SETF;
}
