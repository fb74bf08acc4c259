/* SPDX-License-Identifier: MIT */
/*
 * Conditions made into values: SETcc, CMOVcc, SALC; and byte swaps. AND, OR, XOR, TEST, NOT are rows of arith.c.
 */
#include "vcpu/x86/tr/tr.h"

void x86_tr_setcc(struct x86_tr *c)
{
	ir_ref d;

	if (x86_tr_is_mem(c, 0))
		d = x86_tr_mem(c, 1, true);
	else
		d = x86_tr_dest_begin(c, 0, false);
	x86_tr_emit(c, IR_SETCC, IR_I8, d, IR_NONE, IR_NONE)->cc = c->in.cond;
	if (!x86_tr_is_mem(c, 0))
		x86_tr_dest_end(c, 0, d);
}

void x86_tr_cmovcc(struct x86_tr *c)
{
	ir_ref a = x86_tr_src(c, 1);

	x86_tr_emit(c, IR_CMOV, x86_tr_type(c->in.op[0].size), IR_G(c->in.op[0].reg), a, IR_NONE)->cc = c->in.cond;
}

/* AL = C ? FF : 0 */
void x86_tr_salc(struct x86_tr *c)
{
	x86_tr_emit(c, IR_SETCC, IR_I8, IR_G(X86_RAX), IR_NONE, IR_NONE)->cc = IR_CC_C;
	x86_tr_emit(c, IR_NEG, IR_I8, IR_G(X86_RAX), IR_G(X86_RAX), IR_NONE);
}

/* The 16-bit form is undefined; CPUs clear the word. */
void x86_tr_bswap(struct x86_tr *c)
{
	ir_ref g = IR_G(c->in.op[0].reg);

	if (c->in.op[0].size == 2)
		x86_tr_emit_k(c, IR_MOV, IR_I16, g, IR_NONE, 0);
	else
		x86_tr_emit(c, IR_BSWAP, x86_tr_type(c->in.op[0].size), g, g, IR_NONE);
}

static void swap_bytes(struct x86_tr *c, ir_ref t, unsigned size)
{
	if (size == 2)
		x86_tr_emit_k(c, IR_ROL, IR_I16, t, t, 8);
	else
		x86_tr_emit(c, IR_BSWAP, x86_tr_type(size), t, t, IR_NONE);
}

void x86_tr_movbe(struct x86_tr *c)
{
	ir_ref t = x86_tr_zx(c, 1);

	swap_bytes(c, t, c->in.op[1].size);
	x86_tr_write(c, 0, t, 0);
}
