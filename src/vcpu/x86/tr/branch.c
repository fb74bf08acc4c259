/* SPDX-License-Identifier: MIT */
/*
 * Control transfers.
 *
 * env.pc and the targets in the IR are linear addresses. Instruction pointers are what the guest sees: the linear
 * address minus the base of CS. Where that base is certainly 0 (64-bit mode, flat segments) both are the same
 * constants. Elsewhere (real mode) the block may serve several bases, so that pushed pointers, and targets that wrap at
 * 16 bits, are computed when they are needed.
 *
 * Everything that jumps back polls for requests; forward jumps, calls forward and returns do not.
 */
#include "vcpu/x86/tr/tr.h"

static bool cs_may_have_base(const struct x86_tr *c)
{
	return c->mode != X86_MODE_64 && (c->flags & X86_TB_SEGBASE);
}

static ir_ref cs_base(struct x86_tr *c)
{
	return x86_tr_ldenv(c, IR_I64, X86_TR_OFF(seg[X86_CS].base));
}

/* ---- Leaving to a linear address */

static void leave_for_event(struct x86_tr *c)
{
	ir_emit(c->ir, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_EVENT;
}

static void set_pc_and_leave(struct x86_tr *c, gva_t pc)
{
	x86_tr_emit_k(c, IR_SETPC, IR_I64, IR_NONE, IR_NONE, (int64_t)pc);
	leave_for_event(c);
}

static void emit_exit(struct x86_tr *c, enum ir_op op, gva_t target, uint32_t live)
{
	struct ir_insn *i = ir_emit(c->ir, op, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	i->imm = (int64_t)target;
	i->fl_live = (uint16_t)live;
}

void x86_tr_split(struct x86_tr *c, gva_t target)
{
	emit_exit(c, IR_JMP, target, x86_tr_live_at(c, target));
	c->done = true;
}

void x86_tr_jump_mode(struct x86_tr *c, uint32_t bits)
{
	emit_exit(c, IR_JMPMODE, c->next, x86_tr_live_at(c, c->next));
	c->ir->insn[c->ir->nr_insns - 1].imm2 = bits;
	c->done = true;
}

/*
 * In the mode that STAC leads to, calls and returns leave the return stack alone: it belongs to the mode around, in which the return sites
 * on it go on, and to which CLAC returns.
 */
static bool off_return_stack(const struct x86_tr *c)
{
	return (c->flags & X86_TB_AC) && (c->flags & X86_TB_CPL) != X86_TB_CPL;
}

static bool is_backward(const struct x86_tr *c, gva_t target)
{
	return target <= c->pc;
}

void x86_tr_goto(struct x86_tr *c, gva_t target)
{
	uint32_t live;

	if (c->single) {
		set_pc_and_leave(c, target);
		return;
	}
	live = x86_tr_live_at(c, target);
	if (is_backward(c, target))
		emit_exit(c, IR_POLL, target, live);
	emit_exit(c, IR_JMP, target, live);
}

/* IR_JMPIND, IR_CALLIND, IR_RET to the linear address in t. */
static void goto_indirect(struct x86_tr *c, enum ir_op op, ir_ref t)
{
	if (off_return_stack(c))
		op = IR_JMPIND;
	if (c->single) {
		x86_tr_stenv(c, IR_I64, x86_tr_const(c, (int64_t)c->pc), X86_TR_OFF(vcpu.env.branch_pc));
		x86_tr_stenv(c, IR_I64, t, X86_TR_OFF(vcpu.env.branch_to));
		ir_emit(c->ir, IR_SETPC, IR_I64, IR_NONE, t, IR_NONE);
		leave_for_event(c);
		return;
	}
	ir_emit(c->ir, op, IR_I64, IR_NONE, t, IR_NONE)->imm2 = op == IR_CALLIND ? (int64_t)c->next : 0;
}

/* ---- Relative targets */

static gva_t relative_target(const struct x86_tr *c)
{
	gva_t t = c->next + (uint64_t)c->in.imm;

	if (c->mode == X86_MODE_64)
		return t;
	return t & (c->in.opsize == 2 ? 0xffffu : 0xffffffffu);
}

/* 16-bit targets wrap in their segment: where that is depends on the base. */
static bool target_depends_on_base(const struct x86_tr *c)
{
	return c->in.opsize == 2 && cs_may_have_base(c);
}

static ir_ref wrapped_target(struct x86_tr *c)
{
	ir_ref base = cs_base(c), t = x86_tr_const(c, (int64_t)((c->next + (uint64_t)c->in.imm) & 0xffffffffu));

	ir_emit(c->ir, IR_SUB, IR_I32, t, t, base);
	ir_emit(c->ir, IR_ZX16, IR_I32, t, t, IR_NONE);
	ir_emit(c->ir, IR_ADD, IR_I32, t, t, base);
	return t;
}

static void goto_relative(struct x86_tr *c)
{
	x86_tr_check_relative(c);
	if (target_depends_on_base(c))
		goto_indirect(c, IR_JMPIND, wrapped_target(c));
	else
		x86_tr_goto(c, relative_target(c));
}

/* ---- Instruction pointers in registers and memory */

/* A pointer that the guest gave, `size` bytes in temporary t, becomes linear. */
static ir_ref to_linear(struct x86_tr *c, ir_ref t)
{
	if (cs_may_have_base(c))
		ir_emit(c->ir, IR_ADD, IR_I32, t, t, cs_base(c));
	return t;
}

static void push_next(struct x86_tr *c)
{
	ir_ref t = IR_KONST;

	c->k = (int64_t)c->next;
	if (cs_may_have_base(c)) {
		t = x86_tr_const(c, (int64_t)c->next);
		ir_emit(c->ir, IR_SUB, IR_I32, t, t, cs_base(c));
	} else if (c->in.opsize == 8 && c->k != (int32_t)c->k) {
		t = x86_tr_const(c, c->k);
	}
	x86_tr_push(c, t, c->in.opsize);
}

/* The target in operand 0 as a linear address that a push does not change. */
static ir_ref indirect_target(struct x86_tr *c)
{
	const struct x86_operand *o = &c->in.op[0];
	ir_ref t;

	if (o->kind == X86_OPK_GPR && o->size == 8 && o->reg != X86_RSP)
		return IR_G(o->reg);
	t = x86_tr_zx(c, 0);
	x86_tr_check_ip(c, t);
	return to_linear(c, t);
}

/* ---- Near transfers */

void x86_tr_jmp(struct x86_tr *c)
{
	if (c->in.op[0].kind == X86_OPK_REL)
		goto_relative(c);
	else
		goto_indirect(c, IR_JMPIND, indirect_target(c));
	c->done = true;
}

void x86_tr_jcc(struct x86_tr *c)
{
	gva_t target = relative_target(c);
	unsigned skip;

	if (!c->single && !target_depends_on_base(c) && !is_backward(c, target) && !x86_tr_relative_is_limited(c)) {
		emit_exit(c, IR_JCC, target, x86_tr_live_at(c, target));
		c->ir->insn[c->ir->nr_insns - 1].cc = c->in.cond;
		return;
	}
	skip = ir_label(c->ir);
	ir_emit(c->ir, IR_BRCC, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = skip;
	c->ir->insn[c->ir->nr_insns - 1].cc = c->in.cond ^ 1;
	goto_relative(c);
	ir_emit(c->ir, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = skip;
}

static void call_relative(struct x86_tr *c)
{
	gva_t target = relative_target(c);
	uint32_t live;

	x86_tr_check_relative(c);
	push_next(c);
	if (target_depends_on_base(c)) {
		goto_indirect(c, IR_CALLIND, wrapped_target(c));
		return;
	}
	if (c->single) {
		set_pc_and_leave(c, target);
		return;
	}
	if (off_return_stack(c)) {
		x86_tr_goto(c, target);
		return;
	}
	live = x86_tr_live_at(c, target);
	if (is_backward(c, target))
		emit_exit(c, IR_POLL, target, live);
	emit_exit(c, IR_CALL, target, live);
	c->ir->insn[c->ir->nr_insns - 1].imm2 = (int64_t)c->next;
}

void x86_tr_call(struct x86_tr *c)
{
	if (c->in.op[0].kind == X86_OPK_REL) {
		call_relative(c);
	} else {
		ir_ref t = indirect_target(c);

		x86_tr_check_call(c, t);
		push_next(c);
		goto_indirect(c, IR_CALLIND, t);
	}
	c->done = true;
}

void x86_tr_ret(struct x86_tr *c)
{
	ir_ref t = x86_tr_pop_peek(c, c->in.opsize);

	x86_tr_check_ip(c, t);
	x86_tr_sp_add(c, c->in.opsize + (c->in.nr_ops ? c->in.imm & 0xffff : 0));
	goto_indirect(c, IR_RET, to_linear(c, t));
	c->done = true;
}

/* ---- Counting loops */

/* rCX of address size, as a reference whose 64 bits can be tested. */
static ir_ref count_register(struct x86_tr *c)
{
	return c->in.addrsize == 8 ? IR_G(X86_RCX) : x86_tr_zx_ref(c, IR_G(X86_RCX), c->in.addrsize);
}

static void branch(struct x86_tr *c, enum ir_op op, ir_ref a, unsigned label)
{
	ir_emit(c->ir, op, IR_I64, IR_NONE, a, IR_NONE)->imm = label;
}

void x86_tr_jcxz(struct x86_tr *c)
{
	unsigned skip = ir_label(c->ir);

	branch(c, IR_BRNZ, count_register(c), skip);
	goto_relative(c);
	branch(c, IR_LABEL, IR_NONE, skip);
}

/* LOOP, LOOPE, LOOPNE: the row's argument is 0, or 1 + the condition on which the loop ends. */
void x86_tr_loop(struct x86_tr *c)
{
	unsigned skip = ir_label(c->ir);

	if (x86_tr_relative_is_limited(c))
		x86_tr_stenv(c, IR_I64, IR_G(X86_RCX), X86_TR_OFF(loop_count));
	x86_tr_add_k(c, x86_tr_type(c->in.addrsize), IR_G(X86_RCX), -1);
	branch(c, IR_BRZ, count_register(c), skip);
	if (c->arg) {
		branch(c, IR_BRCC, IR_NONE, skip);
		c->ir->insn[c->ir->nr_insns - 1].cc = (uint8_t)(c->arg - 1);
	}
	goto_relative(c);
	branch(c, IR_LABEL, IR_NONE, skip);
}

/* ---- Far transfers, interrupts, system calls: runtime routines do all, and have set env.pc */

ir_ref x86_tr_far_ptr(struct x86_tr *c, unsigned off_bytes, ir_ref *sel)
{
	ir_ref off = x86_tr_load(c, x86_tr_mem(c, off_bytes, false), off_bytes);

	*sel = x86_tr_load(c, x86_tr_mem_off(c, off_bytes, 2, false), 2);
	return off;
}

static ir_ref far_target(struct x86_tr *c, ir_ref *sel)
{
	if (x86_tr_is_mem(c, 0))
		return x86_tr_far_ptr(c, c->in.opsize, sel);
	*sel = x86_tr_const(c, c->in.imm2);
	return x86_tr_const(c, c->in.imm);
}

static ir_ref far_description(struct x86_tr *c)
{
	return x86_tr_const(c, (int64_t)((uint64_t)c->in.opsize << 56 | c->in.len));
}

void x86_tr_jmpf(struct x86_tr *c)
{
	ir_ref sel, off = far_target(c, &sel);

	x86_tr_rt(c, X86_RT_far_jmp, X86_TR_NO_RESULT, sel, off, far_description(c));
	x86_tr_leave_env(c);
}

void x86_tr_callf(struct x86_tr *c)
{
	ir_ref sel, off = far_target(c, &sel);

	x86_tr_rt(c, X86_RT_far_call, X86_TR_NO_RESULT, sel, off, far_description(c));
	x86_tr_leave_env(c);
}

void x86_tr_retf(struct x86_tr *c)
{
	ir_ref size = x86_tr_const(c, c->in.opsize), bytes = x86_tr_const(c, c->in.nr_ops ? c->in.imm & 0xffff : 0);

	x86_tr_rt(c, X86_RT_far_ret, X86_TR_NO_RESULT, size, bytes, IR_NONE);
	x86_tr_leave_env(c);
}

void x86_tr_iret(struct x86_tr *c)
{
	x86_tr_rt(c, X86_RT_iret, X86_TR_NO_RESULT, x86_tr_const(c, c->in.opsize), x86_tr_const(c, c->in.len), IR_NONE);
	x86_tr_leave_env_or_event(c);
}

static void soft_interrupt(struct x86_tr *c, unsigned vector)
{
	ir_ref v = x86_tr_const(c, vector), next = x86_tr_const(c, (int64_t)c->next);

	x86_tr_rt(c, X86_RT_int_soft, X86_TR_NO_RESULT, v, next, x86_tr_const(c, c->in.id == X86_I_INT));
	leave_for_event(c);
}

/* The row's argument is the vector, or 0: INT n. */
void x86_tr_int(struct x86_tr *c)
{
	soft_interrupt(c, c->in.id == X86_I_INT1 ? X86_INT1_VECTOR : c->arg ? c->arg : c->in.imm & 0xff);
	c->done = true;
}

void x86_tr_into(struct x86_tr *c)
{
	unsigned skip = ir_label(c->ir);

	branch(c, IR_BRCC, IR_NONE, skip);
	c->ir->insn[c->ir->nr_insns - 1].cc = IR_CC_NO;
	soft_interrupt(c, X86_OF);
	branch(c, IR_LABEL, IR_NONE, skip);
}
