/* SPDX-License-Identifier: MIT */
/*
 * The x87: instructions pass through as IR_FPU with their encoding (see word()), so that a host with an x87 runs the
 * very same instruction. Memory is an operand of the op; the environment and state images are runtime routines.
 */
#include "vcpu/x86/tr/tr.h"

#define FPU_HAS_IMM (1ull << 40)
#define FPU_REG_FORM (1ull << 41)

/*
 * IR_FPU's imm2: bits 7:0 mandatory prefix, 15:8 opcode map, 23:16 opcode, 31:24 ModRM, 39:32 immediate byte, 40 there
 * is one, 41 register form (ModRM.mod = 3, or no ModRM).
 */
static uint64_t word(const struct x86_tr *c)
{
	const struct x86_insn *in = &c->in;
	uint64_t w = in->mandatory | (uint64_t)in->map << 8 | (uint64_t)in->opcode << 16 | (uint64_t)in->modrm << 24;

	for (unsigned n = 0; n < in->nr_ops; n++)
		if (in->op[n].kind == X86_OPK_IMM)
			w |= (uint64_t)(in->imm & 0xff) << 32 | FPU_HAS_IMM;
	if (!in->has_modrm || in->modrm >= 0xc0)
		w |= FPU_REG_FORM;
	w |= (uint64_t)(in->rex >> 3 & 1) << 42 | (uint64_t)(in->rex >> 2 & 1) << 43 | (uint64_t)(in->rex & 1) << 44;
	return w;
}

/* Instructions that leave FIP, FDP and FOP alone: SDM volume 1, 8.1.8 and 8.1.9; the void ones of old are such, too. */
static bool is_control(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_FNINIT: case X86_I_FNCLEX: case X86_I_FLDCW: case X86_I_FNSTCW: case X86_I_FNSTSW: case X86_I_FWAIT:
	case X86_I_FENI8087_NOP: case X86_I_FDISI8087_NOP: case X86_I_FSETPM287_NOP:
		return true;
	default:
		return !(in->attr & X86_A_FPU);
	}
}

struct ir_insn *x86_tr_fpu_op(struct x86_tr *c, enum ir_type type, ir_ref d, ir_ref a)
{
	struct ir_insn *i = ir_emit(c->ir, IR_FPU, type, d, a, IR_NONE);

	i->imm2 = (int64_t)(word(c) | (is_control(&c->in) ? 0 : IR_FPU_NOTES) | (c->in.id == X86_I_FNINIT ? IR_FPU_FORGETS : 0));
	return i;
}

enum ir_type x86_tr_fpu_type(unsigned bytes)
{
	if (bytes == 10)
		return IR_F80;
	return bytes == 16 ? IR_V128 : x86_tr_type(bytes);
}

/* Arithmetic and moves: memory, if any, is the source (row's argument 0) or the destination (1). */
void x86_tr_x87(struct x86_tr *c)
{
	unsigned size = c->in.op[0].size;
	ir_ref m;

	if (!c->in.nr_ops || !x86_tr_is_mem(c, 0)) {
		x86_tr_fpu_op(c, IR_I64, IR_NONE, IR_NONE);
		return;
	}
	m = x86_tr_mem(c, size, c->arg);
	x86_tr_fpu_op(c, x86_tr_fpu_type(size), c->arg ? m : IR_NONE, c->arg ? IR_NONE : m);
}

void x86_tr_fnstsw(struct x86_tr *c)
{
	ir_ref d = x86_tr_is_mem(c, 0) ? x86_tr_mem(c, 2, true) : IR_G(X86_RAX);

	x86_tr_fpu_op(c, IR_I16, d, IR_NONE);
}

/* FCOMI and its kin */
void x86_tr_fcomi(struct x86_tr *c)
{
	x86_tr_fpu_op(c, IR_I64, IR_NONE, IR_NONE)->attr |= IR_SETF;
}

/* FCMOVcc: the row's argument is the condition. */
void x86_tr_fcmov(struct x86_tr *c)
{
	x86_tr_fpu_op(c, IR_I64, IR_NONE, IR_NONE)->cc = (uint8_t)c->arg;
}

/* FNSTENV, FLDENV, FNSAVE, FRSTOR: the row's argument is the routine. */
void x86_tr_fpu_env(struct x86_tr *c)
{
	bool store = c->arg == X86_RT_fnstenv || c->arg == X86_RT_fnsave;
	ir_ref addr = x86_tr_linear(c, c->in.op[0].size, store);

	x86_tr_rt(c, c->arg, X86_TR_NO_RESULT, addr, x86_tr_const(c, c->in.opsize), IR_NONE);
}
