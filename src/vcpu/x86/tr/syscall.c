/* SPDX-License-Identifier: MIT */
/*
 * SYSCALL and SYSRET, and their older kin. SDM volume 2, each instruction's "operation" section.
 *
 * Between user mode and supervisor mode of 64-bit code SYSCALL and SYSRET stay in generated code: most of the mode they lead to is known when they
 * are translated, and env.tlb.cpu_mode tells the rest with the jump caches' salt, if the other side has been left not long ago. Whatever
 * is not plain (flags that change the mode, an address that may not be canonical, the first time) is the runtime routine's.
 */
#include "vcpu/x86/tr/tr.h"

#define NONE IR_NONE
#define SEG(r, field) X86_TR_OFF(seg[r].field)
#define CPU_MODE(user, field) ((int64_t)offsetof(struct tcg_env, tlb.cpu_mode[user].field))

/* What CR4 decides of a user mode's flags only; to be found in env.tlb.cpu_mode. */
#define BY_CR4 (X86_TB_TSD | X86_TB_UMIP)
/* EFLAGS that are part of the mode, or may be. */
#define IN_MODE (X86_FL_TF | X86_FL_IOPL | X86_FL_AC)

#define DATA_ATTR (X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED | X86_SA_DB | X86_SA_G)
#define CODE_ATTR (X86_SA_P | X86_SA_S | X86_SA_CODE | X86_SA_RW | X86_SA_ACCESSED | X86_SA_G | X86_SA_L)

/* 64-bit code at that privilege level, of which all is known that x86_mode_update() looks at. */
static bool is_plain(const struct x86_tr *c, unsigned cpl)
{
	return !c->single && c->mode == X86_MODE_64 && (c->flags & X86_TB_CPL) == cpl << X86_TB_CPL_SHIFT && !(c->flags & (X86_TB_AC | X86_TB_BP));
}

static void k(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref t, int64_t value)
{
	x86_tr_emit_k(c, op, type, t, t, value);
}

/* A temporary that is 0 if env.tlb.cpu_mode has that mode and SYSCALL and SYSRET are switched on. */
static ir_ref test_mode(struct x86_tr *c, unsigned user, uint32_t flags)
{
	ir_ref t = x86_tr_ldenv(c, IR_I32, CPU_MODE(user, flags)), efer = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(efer));

	if (user)
		k(c, IR_AND, IR_I32, t, ~(int64_t)BY_CR4);
	k(c, IR_XOR, IR_I32, t, (int32_t)flags);
	k(c, IR_XOR, IR_I32, efer, X86_EFER_SCE);
	k(c, IR_AND, IR_I32, efer, X86_EFER_SCE);
	x86_tr_emit(c, IR_OR, IR_I32, t, t, efer);
	return t;
}

static void branch_if(struct x86_tr *c, ir_ref t, unsigned label)
{
	ir_emit(c->ir, IR_BRNZ, IR_I64, NONE, t, NONE)->imm = label;
}

/* The flat segments of the code that is entered, selectors in the low 16 bits, and what x86_mode_update() would do. */
static void enter(struct x86_tr *c, unsigned user, ir_ref cs, ir_ref ss)
{
	const uint32_t dpl = (user ? 3u : 0u) << X86_SA_DPL_SHIFT;
	ir_ref t = x86_tr_const(c, 0);

	x86_tr_stenv(c, IR_I16, cs, SEG(X86_CS, sel));
	x86_tr_stenv(c, IR_I16, ss, SEG(X86_SS, sel));
	x86_tr_stenv(c, IR_I64, t, SEG(X86_CS, base));
	x86_tr_stenv(c, IR_I64, t, SEG(X86_SS, base));
	t = x86_tr_const(c, 0xffffffff);
	x86_tr_stenv(c, IR_I32, t, SEG(X86_CS, limit));
	x86_tr_stenv(c, IR_I32, t, SEG(X86_SS, limit));
	x86_tr_stenv(c, IR_I32, x86_tr_const(c, CODE_ATTR | dpl), SEG(X86_CS, attr));
	x86_tr_stenv(c, IR_I32, x86_tr_const(c, DATA_ATTR | dpl), SEG(X86_SS, attr));
	x86_tr_stenv(c, IR_I8, x86_tr_const(c, user ? 3 : 0), X86_TR_OFF(cpl));
	x86_tr_stenv(c, IR_I8, x86_tr_const(c, user), (int64_t)offsetof(struct tcg_env, tlb.user));
	x86_tr_stenv(c, IR_I32, x86_tr_ldenv(c, IR_I32, CPU_MODE(user, flags)), X86_TR_OFF(tb_flags));
	x86_tr_stenv(c, IR_I64, x86_tr_ldenv(c, IR_I64, CPU_MODE(user, salt)), (int64_t)offsetof(struct tcg_env, jc_salt));
}

/* EFLAGS = image, of which nothing is wanted any more. */
static void put_eflags(struct x86_tr *c, ir_ref image)
{
	struct ir_insn *i = ir_emit(c->ir, IR_PUTFL, IR_I64, NONE, image, NONE);

	i->imm = F_ALL;
	i->attr |= IR_SETF;
	k(c, IR_AND, IR_I32, image, ~(int64_t)X86_FL_ARITH);
	k(c, IR_OR, IR_I32, image, X86_FL_FIXED1);
	x86_tr_stenv(c, IR_I32, image, X86_TR_OFF(eflags));
}

static void set_pc(struct x86_tr *c, ir_ref pc)
{
	ir_emit(c->ir, IR_SETPC, IR_I64, NONE, pc, NONE);
}

/* ~SFMASK. */
static ir_ref kept_flags(struct x86_tr *c)
{
	ir_ref t = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(sfmask));

	k(c, IR_XOR, IR_I32, t, -1);
	return t;
}

static void syscall_inline(struct x86_tr *c)
{
	const uint32_t to = (c->flags & ~(X86_TB_CPL | BY_CR4)) | X86_TB_IOPL | X86_TB_SS32;
	unsigned slow = ir_label(c->ir);
	ir_ref t = test_mode(c, 0, to), fl = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags)), sel;

	x86_tr_emit(c, IR_AND, IR_I32, fl, fl, kept_flags(c));
	k(c, IR_AND, IR_I32, fl, X86_FL_TF | X86_FL_AC);
	x86_tr_emit(c, IR_OR, IR_I32, t, t, fl);
	branch_if(c, t, slow);

	t = ir_temp(c->ir);
	ir_emit(c->ir, IR_GETFL, IR_I64, t, NONE, NONE);
	fl = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));
	k(c, IR_AND, IR_I32, fl, ~(int64_t)X86_FL_RF);
	x86_tr_emit(c, IR_OR, IR_I32, t, t, fl);
	x86_tr_emit(c, IR_MOV, IR_I64, IR_G(X86_R11), t, NONE);
	x86_tr_emit_k(c, IR_MOV, IR_I64, IR_G(X86_RCX), NONE, (int64_t)c->next);
	x86_tr_emit(c, IR_AND, IR_I32, t, t, kept_flags(c));
	put_eflags(c, t);
	t = x86_tr_ldenv(c, IR_I64, X86_TR_OFF(star));
	k(c, IR_SHR, IR_I64, t, 32);
	k(c, IR_AND, IR_I32, t, 0xfffc);
	sel = ir_temp(c->ir);
	x86_tr_emit_k(c, IR_ADD, IR_I32, sel, t, 8);
	enter(c, 0, t, sel);
	set_pc(c, x86_tr_ldenv(c, IR_I64, X86_TR_OFF(lstar)));
	x86_tr_leave_env(c);
	ir_emit(c->ir, IR_LABEL, IR_I64, NONE, NONE, NONE)->imm = slow;
}

/* SYSCALL, SYSENTER: the row's argument is the runtime routine. It gets the next PC. */
void x86_tr_syscall(struct x86_tr *c)
{
	if (c->arg == X86_RT_syscall && is_plain(c, 3))
		syscall_inline(c);
	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, x86_tr_const(c, (int64_t)c->next), NONE, NONE);
	x86_tr_leave_env(c);
}

#define USER_FLAGS 0x3c7fd7 /* what SYSRET takes from R11, but for RF and VM */

static void sysret_inline(struct x86_tr *c)
{
	const uint32_t to = (c->flags & ~(X86_TB_CPL | X86_TB_IOPL)) | 3u << X86_TB_CPL_SHIFT | X86_TB_SS32;
	unsigned slow = ir_label(c->ir);
	ir_ref t = test_mode(c, 1, to), u = ir_temp(c->ir), sel;

	x86_tr_emit_k(c, IR_AND, IR_I32, u, IR_G(X86_R11), IN_MODE);
	x86_tr_emit(c, IR_OR, IR_I32, t, t, u);
	x86_tr_emit_k(c, IR_SHR, IR_I64, u, IR_G(X86_RCX), 47);
	x86_tr_emit(c, IR_OR, IR_I64, t, t, u);
	branch_if(c, t, slow);

	t = ir_temp(c->ir);
	x86_tr_emit_k(c, IR_AND, IR_I32, t, IR_G(X86_R11), USER_FLAGS & ~(X86_FL_RF | X86_FL_VM));
	put_eflags(c, t);
	t = x86_tr_ldenv(c, IR_I64, X86_TR_OFF(star));
	k(c, IR_SHR, IR_I64, t, 48);
	sel = ir_temp(c->ir);
	x86_tr_emit_k(c, IR_ADD, IR_I32, sel, t, 8);
	k(c, IR_OR, IR_I32, sel, 3);
	k(c, IR_ADD, IR_I32, t, 16);
	k(c, IR_OR, IR_I32, t, 3);
	enter(c, 1, t, sel);
	set_pc(c, IR_G(X86_RCX));
	x86_tr_leave_env_or_event(c);
	ir_emit(c->ir, IR_LABEL, IR_I64, NONE, NONE, NONE)->imm = slow;
}

/* SYSRET, SYSEXIT: it gets the operand size. Interrupts may be on again. */
void x86_tr_sysret(struct x86_tr *c)
{
	if (c->arg == X86_RT_sysret && c->in.opsize == 8 && is_plain(c, 0))
		sysret_inline(c);
	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, x86_tr_const(c, c->in.opsize), NONE, NONE);
	x86_tr_leave_env_or_event(c);
}
