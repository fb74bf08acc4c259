/* SPDX-License-Identifier: MIT */
/*
 * Two-operand arithmetic and logic with flags, and the one-operand INC, DEC, NEG. The row's argument is the IR op: the
 * IR has the same operand forms, so an instruction is one op, whatever its operands are. Logic without flags: logic.c.
 */
#include "vcpu/x86/tr/tr.h"

static enum ir_type type_of(const struct x86_tr *c)
{
	return x86_tr_type(c->in.op[0].size);
}

/* op0 = op0 OP op1 */
void x86_tr_alu(struct x86_tr *c)
{
	ir_ref b = x86_tr_late_src(c, 1), d;

	if (x86_tr_is_mem(c, 0)) {
		d = x86_tr_mem(c, c->in.op[0].size, true);
		x86_tr_emit(c, c->arg, type_of(c), d, d, b)->attr |= IR_SETF | x86_tr_lock(c);
		return;
	}
	d = x86_tr_dest_begin(c, 0, true);
	x86_tr_emit(c, c->arg, type_of(c), d, d, b)->attr |= IR_SETF;
	x86_tr_dest_end(c, 0, d);
}

/* CMP, TEST: flags only */
void x86_tr_cmp(struct x86_tr *c)
{
	ir_ref a = x86_tr_src(c, 0), b = x86_tr_late_src(c, 1);

	x86_tr_emit(c, c->arg, type_of(c), IR_NONE, a, b)->attr |= IR_SETF;
}

/* op0 = OP op0 */
void x86_tr_unary(struct x86_tr *c)
{
	uint8_t setf = c->arg == IR_NOT ? 0 : IR_SETF;
	ir_ref d;

	if (x86_tr_is_mem(c, 0)) {
		d = x86_tr_mem(c, c->in.op[0].size, true);
		x86_tr_emit(c, c->arg, type_of(c), d, d, IR_NONE)->attr |= setf | x86_tr_lock(c);
		return;
	}
	d = x86_tr_dest_begin(c, 0, true);
	x86_tr_emit(c, c->arg, type_of(c), d, d, IR_NONE)->attr |= setf;
	x86_tr_dest_end(c, 0, d);
}
