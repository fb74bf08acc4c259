/* SPDX-License-Identifier: MIT */
/*
 * Instructions that move flags about. The six arithmetic flags are values of the IR; DF, IF and the rest are bits of
 * cpu->eflags. Setting IF goes through the run loop, which may have an interrupt to deliver; clearing it does not have
 * to.
 */
#include "vcpu/x86/tr/tr.h"

static void put_flags(struct x86_tr *c, ir_ref image, uint32_t mask)
{
	struct ir_insn *i = ir_emit(c->ir, IR_PUTFL, IR_I64, IR_NONE, image, IR_NONE);

	i->imm = mask;
	i->attr |= IR_SETF;
}

/* AH = S Z 0 A 0 P 1 C */
void x86_tr_lahf(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, IR_GETFL, IR_I64, t, IR_NONE, IR_NONE);
	ir_emit_k(c->ir, IR_OR, IR_I32, t, t, X86_FL_FIXED1);
	ir_emit(c->ir, IR_PUTHI8, IR_I64, IR_G(X86_RAX), t, IR_NONE);
}

void x86_tr_sahf(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, IR_GETHI8, IR_I64, t, IR_G(X86_RAX), IR_NONE);
	put_flags(c, t, F_ALL & ~F_O);
}

/* CLC, STC: the row's argument is the new C. */
void x86_tr_setc(struct x86_tr *c)
{
	put_flags(c, x86_tr_const(c, c->arg), F_C);
}

void x86_tr_cmc(struct x86_tr *c)
{
	ir_emit(c->ir, IR_CMC, IR_I64, IR_NONE, IR_NONE, IR_NONE)->attr |= IR_SETF;
}

static void clear_eflags(struct x86_tr *c, uint32_t bits)
{
	ir_ref t = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));

	ir_emit_k(c->ir, IR_AND, IR_I32, t, t, ~(int64_t)bits);
	x86_tr_stenv(c, IR_I32, t, X86_TR_OFF(eflags));
}

void x86_tr_cld(struct x86_tr *c)
{
	clear_eflags(c, X86_FL_DF);
}

void x86_tr_std(struct x86_tr *c)
{
	ir_ref t = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));

	ir_emit_k(c->ir, IR_OR, IR_I32, t, t, X86_FL_DF);
	x86_tr_stenv(c, IR_I32, t, X86_TR_OFF(eflags));
}

void x86_tr_cli(struct x86_tr *c)
{
	if (c->flags & X86_TB_IOPL)
		clear_eflags(c, X86_FL_IF);
	else
		x86_tr_rt(c, X86_RT_cli, X86_TR_NO_RESULT, IR_NONE, IR_NONE, IR_NONE);
}

/*
 * The next instruction is in the interrupt shadow. If it is a plain one it simply follows in the same block, where nothing can interrupt,
 * and events are looked at behind it; else it becomes a block of its own. Should it start again by itself (instruction_restarts()), the
 * shadow is there.
 */
void x86_tr_sti(struct x86_tr *c)
{
	if (!c->single && (c->flags & X86_TB_IOPL) && x86_tr_next_is_plain(c)) {
		ir_ref t = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));

		ir_emit_k(c->ir, IR_OR, IR_I32, t, t, X86_FL_IF);
		x86_tr_stenv(c, IR_I32, t, X86_TR_OFF(eflags));
		x86_tr_stenv(c, IR_I8, x86_tr_const(c, X86_SHADOW_STI), X86_TR_OFF(shadow));
		c->check_behind_next = true;
		return;
	}
	x86_tr_rt(c, X86_RT_sti, X86_TR_NO_RESULT, IR_NONE, IR_NONE, IR_NONE);
	x86_tr_next_event(c);
}
