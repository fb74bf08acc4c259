/* SPDX-License-Identifier: MIT */
/*
 * Exchanges. With a memory operand each is one IR op, so that nothing has changed if it faults.
 */
#include "vcpu/x86/tr/tr.h"

static void xchg_registers(struct x86_tr *c, enum ir_type type)
{
	ir_ref a = x86_tr_src(c, 0), b = x86_tr_src(c, 1);

	if (a == b) {
		x86_tr_emit(c, IR_MOV, type, a, a, IR_NONE);
		return;
	}
	x86_tr_emit(c, IR_XCHG, type, IR_NONE, a, b);
	x86_tr_dest_end(c, 0, a);
	x86_tr_dest_end(c, 1, b);
}

/* The memory operand may be either of the two. */
void x86_tr_xchg(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	unsigned reg = x86_tr_is_mem(c, 0) ? 1 : 0;
	ir_ref m, r;

	if (!x86_tr_is_mem(c, 0) && !x86_tr_is_mem(c, 1)) {
		xchg_registers(c, type);
		return;
	}
	r = x86_tr_src(c, reg);
	m = x86_tr_mem(c, c->in.op[0].size, true);
	x86_tr_emit(c, IR_XCHG, type, IR_NONE, m, r)->attr |= IR_LOCK;
	x86_tr_dest_end(c, reg, r);
}

void x86_tr_xadd(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	ir_ref b = x86_tr_src(c, 1), a;
	uint8_t lock = 0;

	if (x86_tr_is_mem(c, 0)) {
		a = x86_tr_mem(c, c->in.op[0].size, true);
		lock = x86_tr_lock(c);
	} else {
		a = x86_tr_src(c, 0);
	}
	x86_tr_emit(c, IR_XADD, type, IR_NONE, a, b)->attr |= IR_SETF | lock;
	/* the sum is written last: it stays if both are the same register */
	x86_tr_dest_end(c, 1, b);
	if (!x86_tr_is_mem(c, 0))
		x86_tr_dest_end(c, 0, a);
}

void x86_tr_cmpxchg(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.op[0].size);
	ir_ref b = x86_tr_src(c, 1), a;
	uint8_t lock = 0;

	if (x86_tr_is_mem(c, 0)) {
		a = x86_tr_mem(c, c->in.op[0].size, true);
		lock = x86_tr_lock(c);
	} else {
		a = x86_tr_src(c, 0);
	}
	x86_tr_emit(c, IR_CAS, type, IR_G(X86_RAX), a, b)->attr |= IR_SETF | lock;
	if (!x86_tr_is_mem(c, 0))
		x86_tr_dest_end(c, 0, a);
}

/* CMPXCHG8B, CMPXCHG16B: the row's argument is the runtime routine. */
void x86_tr_cmpxchg_wide(struct x86_tr *c)
{
	ir_ref addr = x86_tr_linear(c, c->in.op[0].size, true);
	struct ir_insn *i = x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, addr, IR_NONE, IR_NONE);

	if (c->arg == X86_RT_cmpxchg16b)
		i->imm2 = x86_tr_lock(c) ? IR_SHORTCUT_CAS16_LOCK : IR_SHORTCUT_CAS16;
}
