/* SPDX-License-Identifier: MIT */
/*
 * Which handler executes an operation.
 */
#include "tcg/backend/interp/interp.h"

static const iop_fn special[IR_OP_COUNT] = {
	[IR_XCHG] = interp_exchange,  [IR_XADD] = interp_exchange, [IR_CAS] = interp_exchange,
	[IR_LEA] = interp_lea,	      [IR_LDENV] = interp_ldenv,   [IR_STENV] = interp_stenv,
	[IR_LDCODE] = interp_ldcode,
	[IR_CLOCK] = interp_clock,
	[IR_FENCE] = interp_fence,    [IR_LABEL] = interp_label,   [IR_BR] = interp_br,
	[IR_BRCC] = interp_brcc,      [IR_BRZ] = interp_brz,	   [IR_BRNZ] = interp_brnz,
	[IR_INSN] = interp_insn,      [IR_POLL] = interp_poll,	   [IR_JCC] = interp_jcc,
	[IR_FITS] = interp_fits,
	[IR_JMP] = interp_jmp,	      [IR_JMPMODE] = interp_jmp,   [IR_CALL] = interp_jmp,	   [IR_JMPIND] = interp_jmpind,
	[IR_CALLIND] = interp_jmpind, [IR_RET] = interp_jmpind,	   [IR_JMPENV] = interp_jmpenv,
	[IR_EXIT] = interp_exit,      [IR_SETPC] = interp_setpc,   [IR_RT] = interp_rt,
	[IR_VMOV] = interp_vmov,      [IR_VOP] = interp_vop,	   [IR_VTOG] = interp_vtog,
	[IR_GTOV] = interp_gtov,      [IR_VFL] = interp_vfl,	   [IR_FPU] = interp_fpu,
	[IR_EVEX] = interp_evex,
	[IR_GETVC] = interp_getvc,    [IR_PUTVC] = interp_putvc,
	[IR_VEX] = interp_vex,	      [IR_VEXG] = interp_vexg,	   [IR_VZERO] = interp_vzero,
};

iop_fn interp_select(const struct iop *op)
{
	iop_fn fn = special[op->op] ? special[op->op] : interp_hot(op);

	if (fn)
		return fn;
	if (op->kd == IR_KIND_M && op->ka == IR_KIND_M)
		return (op->attr & IR_LOCK) ? interp_generic_locked : interp_generic_rmw;
	return interp_generic;
}
