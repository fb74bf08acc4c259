/* SPDX-License-Identifier: MIT */
/*
 * Stack instructions. All accesses come before RSP changes, so that a fault finds it unchanged. A 16-bit stack pointer
 * wraps at 64 KiB and leaves the rest of RSP alone.
 */
#include "vcpu/x86/tr/tr.h"

#define RSP IR_G(X86_RSP)
#define RBP IR_G(X86_RBP)

unsigned x86_tr_stack_bytes(const struct x86_tr *c)
{
	if (c->mode == X86_MODE_64)
		return 8;
	return (c->flags & X86_TB_SS32) ? 4 : 2;
}

static enum ir_type stack_type(const struct x86_tr *c)
{
	return x86_tr_type(x86_tr_stack_bytes(c));
}

ir_ref x86_tr_stack_mem(struct x86_tr *c, int64_t disp, unsigned size, bool write)
{
	return x86_tr_mem_at(c, RSP, disp, x86_tr_stack_bytes(c), X86_SS, size, write);
}

void x86_tr_sp_add(struct x86_tr *c, int64_t n)
{
	x86_tr_add_k(c, stack_type(c), RSP, n);
}

void x86_tr_push(struct x86_tr *c, ir_ref v, unsigned size)
{
	ir_ref m = x86_tr_stack_mem(c, -(int64_t)size, size, true);

	x86_tr_emit(c, IR_MOV, x86_tr_type(size), m, v, IR_NONE);
	x86_tr_sp_add(c, -(int64_t)size);
}

ir_ref x86_tr_pop_peek(struct x86_tr *c, unsigned size)
{
	return x86_tr_load(c, x86_tr_stack_mem(c, 0, size, false), size);
}

void x86_tr_push_op(struct x86_tr *c)
{
	ir_ref v;

	if (c->in.op[0].kind == X86_OPK_SEG) {
		x86_tr_push_seg(c);
		return;
	}
	v = x86_tr_src(c, 0);
	if (IR_REF_KIND(v) == IR_KIND_M)
		v = x86_tr_load(c, v, c->in.opsize);
	x86_tr_push(c, v, c->in.opsize);
}

/* The destination's address is computed with RSP already behind the popped value. */
static ir_ref pop_mem_dest(struct x86_tr *c, unsigned size)
{
	ir_ref sp;

	if (c->in.mem.base != X86_RSP)
		return x86_tr_mem(c, size, true);
	if (x86_tr_stack_bytes(c) == c->in.addrsize)
		return x86_tr_mem_off(c, size, size, true);
	/* Widths differ: the carry must not leave the stack pointer. Its index cannot be RSP, so the sum can stand in
	 * as base. */
	sp = ir_temp(c->ir);
	x86_tr_emit(c, IR_MOV, IR_I64, sp, RSP, IR_NONE);
	x86_tr_add_k(c, stack_type(c), sp, size);
	if (c->in.mem.index != X86_REG_NONE) {
		ir_ref index = ir_temp(c->ir);

		x86_tr_emit(c, IR_MOV, IR_I64, index, IR_G(c->in.mem.index), IR_NONE);
		x86_tr_emit_k(c, IR_SHL, IR_I64, index, index, __builtin_ctz(c->in.mem.scale));
		x86_tr_emit(c, IR_ADD, IR_I64, sp, sp, index);
	}
	return x86_tr_mem_at(c, sp, c->in.mem.disp, c->in.addrsize, c->in.mem.seg, size, true);
}

void x86_tr_pop_op(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	enum ir_type type = x86_tr_type(size);
	ir_ref v, m;

	if (c->in.op[0].kind == X86_OPK_SEG) {
		x86_tr_pop_seg(c);
		return;
	}
	if (x86_tr_is_mem(c, 0)) {
		v = x86_tr_pop_peek(c, size);
		m = pop_mem_dest(c, size);
		x86_tr_emit(c, IR_MOV, type, m, v, IR_NONE);
		x86_tr_sp_add(c, size);
		return;
	}
	m = x86_tr_stack_mem(c, 0, size, false);
	if (c->in.op[0].reg == X86_RSP) { /* the popped value wins over the increment */
		v = x86_tr_load(c, m, size);
		x86_tr_sp_add(c, size);
		x86_tr_emit(c, IR_MOV, type, RSP, v, IR_NONE);
		return;
	}
	x86_tr_emit(c, IR_MOV, type, IR_G(c->in.op[0].reg), m, IR_NONE);
	x86_tr_sp_add(c, size);
}

void x86_tr_pusha(struct x86_tr *c)
{
	int size = c->in.opsize;

	for (int reg = X86_RAX; reg <= X86_RDI; reg++) {
		ir_ref m = x86_tr_stack_mem(c, -(reg + 1) * size, (unsigned)size, true);

		x86_tr_emit(c, IR_MOV, x86_tr_type((unsigned)size), m, IR_G(reg), IR_NONE);
	}
	x86_tr_sp_add(c, -8 * size);
}

/* The image of (E)SP is skipped. */
void x86_tr_popa(struct x86_tr *c)
{
	int size = c->in.opsize;
	ir_ref v[8];

	for (int reg = X86_RDI; reg >= X86_RAX; reg--)
		if (reg != X86_RSP)
			v[reg] = x86_tr_load(c, x86_tr_stack_mem(c, (7 - reg) * size, (unsigned)size, false),
					     (unsigned)size);
	for (int reg = X86_RDI; reg >= X86_RAX; reg--)
		if (reg != X86_RSP)
			x86_tr_emit(c, IR_MOV, x86_tr_type((unsigned)size), IR_G(reg), v[reg], IR_NONE);
	x86_tr_sp_add(c, 8 * size);
}

/* The image is the six flags and the rest of EFLAGS; RF and VM read as 0. v8086 mode has rules of its own. */
void x86_tr_pushf(struct x86_tr *c)
{
	ir_ref image = ir_temp(c->ir), rest;

	if (c->flags & X86_TB_VM) {
		x86_tr_rt(c, X86_RT_pushf, image, x86_tr_const(c, c->in.opsize), IR_NONE, IR_NONE);
	} else {
		rest = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));
		x86_tr_emit(c, IR_GETFL, IR_I64, image, IR_NONE, IR_NONE);
		x86_tr_emit_k(c, IR_AND, IR_I32, rest, rest, ~(int64_t)(X86_FL_RF | X86_FL_VM));
		x86_tr_emit(c, IR_OR, IR_I32, image, image, rest);
	}
	x86_tr_push(c, image, c->in.opsize);
}

void x86_tr_popf(struct x86_tr *c)
{
	ir_ref v = x86_tr_pop_peek(c, c->in.opsize);

	x86_tr_rt(c, X86_RT_popf, X86_TR_NO_RESULT, v, x86_tr_const(c, c->in.opsize), IR_NONE);
	x86_tr_sp_add(c, c->in.opsize);
	x86_tr_next_env_or_event(c);
}

/* ENTER bytes, level */
void x86_tr_enter(struct x86_tr *c)
{
	ir_ref frame = x86_tr_const(c, (c->in.imm & 0xffff) | (c->in.imm2 & 31) << 16), size = x86_tr_const(c, c->in.opsize);

	x86_tr_rt(c, X86_RT_enter, X86_TR_NO_RESULT, frame, size, x86_tr_const(c, x86_tr_stack_bytes(c)));
}

void x86_tr_leave(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	ir_ref v = x86_tr_load(c, x86_tr_mem_at(c, RBP, 0, x86_tr_stack_bytes(c), X86_SS, size, false), size);

	x86_tr_emit_k(c, IR_ADD, stack_type(c), RSP, RBP, size);
	x86_tr_emit(c, IR_MOV, x86_tr_type(size), RBP, v, IR_NONE);
}
