/* SPDX-License-Identifier: MIT */
/*
 * System instructions: mostly calls of runtime routines (rt_calls.def says what each needs and how to leave behind it).
 * Those that a kernel runs all the time and that cannot fault at CPL 0 are done inline.
 */
#include "vcpu/x86/tr/tr.h"
#include "vcpu/x86/x86_xstate.h"

#define NONE IR_NONE

/* ---- Plain calls: the row's argument is the routine */

/* No operand, no result; the block goes on. */
void x86_tr_rt_only(struct x86_tr *c)
{
	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, NONE, NONE, NONE);
}

/* The same; on in a changed mode. */
void x86_tr_rt_end(struct x86_tr *c)
{
	x86_tr_rt_only(c);
	x86_tr_next_env(c);
}

/* The same; then events, if there are any, or on in a changed mode. */
void x86_tr_rt_event(struct x86_tr *c)
{
	x86_tr_rt_only(c);
	x86_tr_next_env_or_event(c);
}

/* Argument: 16-bit operand 0. */
void x86_tr_rt_word(struct x86_tr *c)
{
	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, x86_tr_zx(c, 0), NONE, NONE);
}

void x86_tr_lmsw(struct x86_tr *c)
{
	x86_tr_rt_word(c);
	x86_tr_next_event(c);
}

/* Argument: next PC; then events (HLT, MWAIT). */
void x86_tr_rt_wait(struct x86_tr *c)
{
	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, x86_tr_const(c, (int64_t)c->next), NONE, NONE);
	x86_tr_next_event(c);
}

void x86_tr_rsm(struct x86_tr *c)
{
	x86_tr_rt(c, X86_RT_rsm, X86_TR_NO_RESULT, NONE, NONE, NONE);
	x86_tr_exit_event(c);
}

/* Undefined by definition: UD0, UD1, UD2. */
void x86_tr_undefined(struct x86_tr *c)
{
	x86_tr_ud(c);
}

void x86_tr_nop(struct x86_tr *c)
{
	(void)c;
}

/* The row's argument: 0 full, 1 load, 2 store. */
void x86_tr_fence(struct x86_tr *c)
{
	ir_emit(c->ir, IR_FENCE, IR_I64, NONE, NONE, NONE)->imm = c->arg;
}

/* What is fetched behind it is fetched anew: the block ends. */
void x86_tr_serialize(struct x86_tr *c)
{
	ir_emit(c->ir, IR_FENCE, IR_I64, NONE, NONE, NONE)->imm = 0;
	if (c->single)
		return;
	x86_tr_split(c, c->next);
	c->done = true;
}

/* CLFLUSH, CLWB: nothing to do, but the page must be there. */
void x86_tr_clflush(struct x86_tr *c)
{
	x86_tr_load(c, x86_tr_mem_flush(c), 1);
}

/* ---- Segments and tables */

static bool umip_forbids(struct x86_tr *c)
{
	if (!(c->flags & X86_TB_UMIP))
		return false;
	x86_tr_raise(c, X86_GP, 0);
	return true;
}

/* SGDT, SIDT, LGDT, LIDT: the row's argument is 0 GDT, 1 IDT, + 2 if it stores. */
void x86_tr_table(struct x86_tr *c)
{
	bool store = c->arg & 2;
	ir_ref addr, size;

	if (store && umip_forbids(c))
		return;
	addr = x86_tr_linear(c, c->in.op[0].size, store);
	size = x86_tr_const(c, c->in.opsize);
	x86_tr_rt(c, store ? X86_RT_sgdt : X86_RT_lgdt, X86_TR_NO_RESULT, addr, size, x86_tr_const(c, c->arg & 1));
}

/* SLDT, STR, SMSW: the row's argument is what to read. Memory destinations are words. */
void x86_tr_read_sel(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	if (umip_forbids(c))
		return;
	x86_tr_rt(c, X86_RT_str, t, x86_tr_const(c, c->arg), NONE, NONE);
	x86_tr_write(c, 0, t, 0);
}

/* LAR, LSL: the register is written only if Z says so; all 64 bits stay otherwise. */
void x86_tr_lar(struct x86_tr *c)
{
	unsigned size = c->in.op[0].size;
	ir_ref sel = x86_tr_zx_ref(c, x86_tr_src(c, 1), 2), t = ir_temp(c->ir);

	x86_tr_rt(c, c->arg, t, sel, NONE, NONE);
	if (size == 4)
		x86_tr_emit(c, IR_MOV, IR_I32, t, t, NONE);
	x86_tr_emit(c, IR_CMOV, size == 2 ? IR_I16 : IR_I64, IR_G(c->in.op[0].reg), t, NONE)->cc = IR_CC_Z;
}

void x86_tr_arpl(struct x86_tr *c)
{
	ir_ref src = x86_tr_zx(c, 1), dest, t;

	if (x86_tr_is_mem(c, 0)) {
		x86_tr_rt(c, X86_RT_arpl_mem, X86_TR_NO_RESULT, x86_tr_linear(c, 2, false), src, x86_tr_const(c, c->in.mem.seg));
		return;
	}
	dest = x86_tr_zx(c, 0);
	t = ir_temp(c->ir);
	x86_tr_rt(c, X86_RT_arpl, t, dest, src, NONE);
	x86_tr_write(c, 0, t, 2);
}

/* ---- Control and debug registers, MSRs */

static enum ir_type word(const struct x86_tr *c)
{
	return c->mode == X86_MODE_64 ? IR_I64 : IR_I32;
}

/* MOV to and from CR or DR: the row's argument is 0 CR, 1 DR. */
void x86_tr_mov_sys(struct x86_tr *c)
{
	bool to = c->in.op[0].kind != X86_OPK_GPR;
	unsigned sys = c->in.op[to ? 0 : 1].reg, gpr = c->in.op[to ? 1 : 0].reg;
	ir_ref t = ir_temp(c->ir), n = x86_tr_const(c, sys);

	if (to) {
		x86_tr_emit(c, IR_MOV, word(c), t, IR_G(gpr), NONE);
		x86_tr_rt(c, c->arg ? X86_RT_dr_write : X86_RT_cr_write, X86_TR_NO_RESULT, n, t, NONE);
		x86_tr_next_env_or_event(c);
		return;
	}
	x86_tr_rt(c, c->arg ? X86_RT_dr_read : X86_RT_cr_read, t, n, NONE, NONE);
	x86_tr_emit(c, IR_MOV, word(c), IR_G(gpr), t, NONE);
}

/* What vcpu_tsc_read() returns. RDTSCP (the row's argument is 1) waits for earlier instructions and reads IA32_TSC_AUX as well. */
void x86_tr_rdtsc(struct x86_tr *c)
{
	ir_ref t;

	if (c->flags & X86_TB_TSD) {
		x86_tr_raise(c, X86_GP, 0);
		return;
	}
	if (c->arg)
		ir_emit(c->ir, IR_FENCE, IR_I64, NONE, NONE, NONE)->imm = 1;
	t = ir_temp(c->ir);
	ir_emit(c->ir, IR_CLOCK, IR_I64, t, NONE, NONE);
	x86_tr_emit(c, IR_ADD, IR_I64, t, t, x86_tr_ldenv(c, IR_I64, X86_TR_OFF(tsc_offset)));
	x86_tr_emit(c, IR_ADD, IR_I64, t, t, x86_tr_ldenv(c, IR_I64, X86_TR_OFF(tsc_adjust)));
	x86_tr_emit(c, IR_MOV, IR_I32, IR_G(X86_RAX), t, NONE);
	x86_tr_emit_k(c, IR_SHR, IR_I64, t, t, 32);
	x86_tr_emit(c, IR_MOV, IR_I64, IR_G(X86_RDX), t, NONE);
	if (c->arg)
		x86_tr_emit(c, IR_MOV, IR_I64, IR_G(X86_RCX), x86_tr_ldenv(c, IR_I32, X86_TR_OFF(tsc_aux)), NONE);
}

/* XGETBV, and (through x86_tr_xsetbv) XSETBV need CR4.OSXSAVE. */
void x86_tr_xgetbv(struct x86_tr *c)
{
	if (!(c->flags & X86_TB_OSXSAVE))
		x86_tr_ud(c);
	else
		x86_tr_rt_only(c);
}

void x86_tr_xsetbv(struct x86_tr *c)
{
	x86_tr_xgetbv(c);
	if (!c->done)
		x86_tr_next_env(c);
}

void x86_tr_rdpid(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	x86_tr_rt(c, X86_RT_rdpid, t, NONE, NONE, NONE);
	x86_tr_write(c, 0, t, 0);
}

/* RDRAND, RDSEED: the row's argument is the routine. */
void x86_tr_random(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	x86_tr_rt(c, c->arg, t, x86_tr_const(c, c->in.opsize), NONE, NONE);
	x86_tr_write(c, 0, t, 0);
}

/* ---- Address space */

void x86_tr_invlpg(struct x86_tr *c)
{
	x86_tr_rt(c, X86_RT_invlpg, X86_TR_NO_RESULT, x86_tr_linear(c, 0, false), NONE, NONE);
	x86_tr_next_env(c);
}

void x86_tr_invpcid(struct x86_tr *c)
{
	ir_ref addr = x86_tr_linear(c, 16, false), t = ir_temp(c->ir);

	x86_tr_emit(c, IR_MOV, word(c), t, IR_G(c->in.op[0].reg), NONE);
	x86_tr_rt(c, X86_RT_invpcid, X86_TR_NO_RESULT, t, addr, NONE);
	x86_tr_next_env(c);
}

static void flip(struct x86_tr *c, int64_t field, uint32_t bit)
{
	ir_ref t = x86_tr_ldenv(c, IR_I32, field);

	x86_tr_emit_k(c, IR_XOR, IR_I32, t, t, bit);
	x86_tr_stenv(c, IR_I32, t, field);
}

/* What x86_mode_update() would do, for EFLAGS.AC at CPL 0: eflags, tb_flags and the jump cache's salt. */
static void flip_ac(struct x86_tr *c)
{
	ir_ref salt, other;

	flip(c, X86_TR_OFF(eflags), X86_FL_AC);
	flip(c, X86_TR_OFF(tb_flags), X86_TB_AC);
	salt = x86_tr_ldenv(c, IR_I64, (int64_t)offsetof(struct tcg_env, jc_salt));
	other = x86_tr_ldenv(c, IR_I64, (int64_t)offsetof(struct tcg_env, jc_other));
	x86_tr_emit(c, c->arg ? IR_ADD : IR_SUB, IR_I64, salt, salt, other);
	x86_tr_stenv(c, IR_I64, salt, (int64_t)offsetof(struct tcg_env, jc_salt));
}

/*
 * STAC, CLAC: the row's argument is the new EFLAGS.AC. Undefined outside CPL 0, unlike other privileged instructions. The block's mode says
 * what AC is. Kernels do this around each access to user memory, so it neither calls nor drops the return stack.
 */
void x86_tr_stac(struct x86_tr *c)
{
	if (!c->single) {
		if (!(c->flags & X86_TB_AC) == !c->arg)
			return;
		flip_ac(c);
		x86_tr_jump_mode(c, X86_TB_AC);
		return;
	}
	x86_tr_rt(c, X86_RT_stac, X86_TR_NO_RESULT, x86_tr_const(c, c->arg), NONE, NONE);
	x86_tr_next_env(c);
}

void x86_tr_monitor(struct x86_tr *c)
{
	x86_tr_rt(c, X86_RT_monitor, X86_TR_NO_RESULT, x86_tr_linear(c, 1, false), NONE, NONE);
}

#define GS_BASE X86_TR_OFF(seg[X86_GS].base)

void x86_tr_swapgs(struct x86_tr *c)
{
	ir_ref a = x86_tr_ldenv(c, IR_I64, GS_BASE), b = x86_tr_ldenv(c, IR_I64, X86_TR_OFF(kernel_gs_base));

	x86_tr_stenv(c, IR_I64, b, GS_BASE);
	x86_tr_stenv(c, IR_I64, a, X86_TR_OFF(kernel_gs_base));
}

static bool fsgsbase_is_off(struct x86_tr *c)
{
	if (c->flags & X86_TB_FSGSBASE)
		return false;
	x86_tr_ud(c);
	return true;
}

/* RDFSBASE, RDGSBASE: the row's argument is the segment register. */
void x86_tr_rdsegbase(struct x86_tr *c)
{
	int64_t off = c->arg == X86_FS ? X86_TR_OFF(seg[X86_FS].base) : GS_BASE;

	if (!fsgsbase_is_off(c))
		x86_tr_write(c, 0, x86_tr_ldenv(c, IR_I64, off), 0);
}

void x86_tr_wrsegbase(struct x86_tr *c)
{
	ir_ref v, seg;

	if (fsgsbase_is_off(c))
		return;
	v = x86_tr_zx(c, 0);
	seg = x86_tr_const(c, c->arg);
	x86_tr_rt(c, X86_RT_wrsegbase, X86_TR_NO_RESULT, seg, v, NONE);
}

/* ---- Ports */

void x86_tr_in(struct x86_tr *c)
{
	ir_ref port = x86_tr_zx(c, 1), t = ir_temp(c->ir);

	x86_tr_rt(c, X86_RT_in, t, port, x86_tr_const(c, c->in.opsize), NONE);
	x86_tr_write(c, 0, t, 0);
}

/* The device may have asked for something: events. */
void x86_tr_out(struct x86_tr *c)
{
	ir_ref port = x86_tr_zx(c, 0), v = x86_tr_zx(c, 1);

	x86_tr_rt(c, X86_RT_out, X86_TR_NO_RESULT, port, x86_tr_const(c, c->in.opsize), v);
	x86_tr_check_events(c);
}

/* ---- Extended state as a whole */

#define FXSAVE_BYTES 512u
#define XSAVE_MIN_BYTES 576u /* with the header: more depends on what is saved */

/* The area's address; CR0.TS and CR4.OSXSAVE were looked at. */
static void state_rt(struct x86_tr *c, enum x86_rt rt, unsigned variant, unsigned bytes, bool write)
{
	ir_ref addr = x86_tr_linear(c, bytes, write), size = x86_tr_const(c, c->in.opsize);

	x86_tr_rt(c, rt, X86_TR_NO_RESULT, addr, size, x86_tr_const(c, variant));
}

/* FXSAVE, FXRSTOR: the row's argument is the routine. */
void x86_tr_fxsave(struct x86_tr *c)
{
	state_rt(c, c->arg, 0, FXSAVE_BYTES, c->arg == X86_RT_fxsave);
}

static bool xsave_is_off(struct x86_tr *c)
{
	if (!(c->flags & X86_TB_OSXSAVE)) {
		x86_tr_ud(c);
		return true;
	}
	if (c->flags & X86_TB_TS)
		x86_tr_raise(c, X86_NM, -1);
	return c->done;
}

/* XSAVE and its kin: the row's argument is the variant. */
void x86_tr_xsave(struct x86_tr *c)
{
	if (!xsave_is_off(c))
		state_rt(c, X86_RT_xsave, c->arg, XSAVE_MIN_BYTES, true);
}

void x86_tr_xrstor(struct x86_tr *c)
{
	if (xsave_is_off(c))
		return;
	state_rt(c, X86_RT_xrstor, c->arg, XSAVE_MIN_BYTES, false);
	if (x86_has(c->cpu, X86_F_PKU)) /* PKRU changes what may be accessed */
		x86_tr_next_env(c);
}

void x86_tr_ldmxcsr(struct x86_tr *c)
{
	const int64_t keep = offsetof(struct tcg_env, spill[15]);
	ir_ref v = x86_tr_reg_src(c, 0), bad = ir_temp(c->ir);
	unsigned good = ir_label(c->ir);

	x86_tr_emit_k(c, IR_AND, IR_I32, bad, v, (int64_t)~X86_MXCSR_VALID);
	ir_emit(c->ir, IR_STENV, IR_I32, NONE, v, NONE)->imm = keep; /* temporaries do not live across labels */
	ir_emit(c->ir, IR_BRZ, IR_I32, NONE, bad, NONE)->imm = good;
	x86_tr_raise_inline(c, X86_GP, 0);
	ir_emit(c->ir, IR_LABEL, IR_I32, NONE, NONE, NONE)->imm = good;
	v = ir_temp(c->ir);
	ir_emit(c->ir, IR_LDENV, IR_I32, v, NONE, NONE)->imm = keep;
	ir_emit(c->ir, IR_PUTVC, IR_I32, NONE, v, NONE);
}

void x86_tr_stmxcsr(struct x86_tr *c)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, IR_GETVC, IR_I32, t, NONE, NONE);
	x86_tr_write(c, 0, t, 4);
}
