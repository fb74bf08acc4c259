/* SPDX-License-Identifier: MIT */
/*
 * String instructions. With REP they are a runtime routine that works in chunks and says whether it was interrupted.
 * One step is done inline: accesses first, then the index registers move by the element size in the direction of DF.
 */
#include "vcpu/x86/tr/tr.h"

#define RSI IR_G(X86_RSI)
#define RDI IR_G(X86_RDI)

/* The row's argument is enum x86_str_op. */
static int64_t descriptor(const struct x86_tr *c)
{
	const struct x86_insn *in = &c->in;
	unsigned seg = in->mem.seg;

	return c->arg | in->opsize << X86_STR_SIZE_SHIFT | in->addrsize << X86_STR_ADDR_SHIFT |
	       seg << X86_STR_SEG_SHIFT | ((in->pfx & X86_PFX_REP) ? X86_STR_REP : 0) |
	       ((in->pfx & X86_PFX_REPNE) ? X86_STR_REPNE : 0);
}

/* Of REP MOVS and STOS where linear addresses are the registers' and nothing is to be checked but the pages. */
static int64_t shortcut(const struct x86_tr *c)
{
	const struct x86_insn *in = &c->in;
	uint32_t flags = c->ir->flags;

	if (!(in->pfx & (X86_PFX_REP | X86_PFX_REPNE)) || (c->arg != X86_STR_MOVS && c->arg != X86_STR_STOS) || in->addrsize != 8)
		return IR_SHORTCUT_NONE;
	if ((c->arg == X86_STR_MOVS && in->mem.seg >= X86_FS) || (flags & X86_TB_SINGLE))
		return IR_SHORTCUT_NONE;
	if ((flags & X86_TB_AC) && (flags & X86_TB_CPL) == X86_TB_CPL)
		return IR_SHORTCUT_NONE;
	return (c->arg == X86_STR_MOVS ? IR_SHORTCUT_COPY : IR_SHORTCUT_FILL) + __builtin_ctz(in->opsize);
}

static void by_runtime(struct x86_tr *c)
{
	unsigned done = ir_label(c->ir);
	ir_ref stopped = ir_temp(c->ir);

	x86_tr_rt(c, X86_RT_string, stopped, x86_tr_const(c, descriptor(c)), IR_NONE, IR_NONE)->imm2 = shortcut(c);
	ir_emit(c->ir, IR_BRZ, IR_I64, IR_NONE, stopped, IR_NONE)->imm = done;
	x86_tr_emit_k(c, IR_SETPC, IR_I64, IR_NONE, IR_NONE, (int64_t)c->pc);
	ir_emit(c->ir, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_EVENT;
	ir_emit(c->ir, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = done;
}

/* A temporary with +size or -size: size - (DF ? 2 * size : 0). */
static ir_ref step(struct x86_tr *c)
{
	unsigned size = c->in.opsize;
	ir_ref down = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags)), t = x86_tr_const(c, size);

	ir_emit_k(c->ir, IR_AND, IR_I32, down, down, X86_FL_DF);
	ir_emit_k(c->ir, IR_SHR, IR_I32, down, down, 9 - __builtin_ctz(size));
	ir_emit(c->ir, IR_SUB, IR_I64, t, t, down);
	return t;
}

static void advance(struct x86_tr *c, ir_ref reg, ir_ref by)
{
	ir_emit(c->ir, IR_ADD, x86_tr_type(c->in.addrsize), reg, reg, by);
}

static ir_ref mem_si(struct x86_tr *c)
{
	return x86_tr_mem_at(c, RSI, 0, c->in.addrsize, c->in.mem.seg, c->in.opsize, false);
}

static ir_ref mem_di(struct x86_tr *c, bool write)
{
	return x86_tr_mem_at(c, RDI, 0, c->in.addrsize, X86_ES, c->in.opsize, write);
}

static void movs(struct x86_tr *c)
{
	ir_ref v = x86_tr_load(c, mem_si(c), c->in.opsize), by;

	x86_tr_emit(c, IR_MOV, x86_tr_type(c->in.opsize), mem_di(c, true), v, IR_NONE);
	by = step(c);
	advance(c, RSI, by);
	advance(c, RDI, by);
}

static void cmps(struct x86_tr *c)
{
	ir_ref v = x86_tr_load(c, mem_si(c), c->in.opsize), by;

	x86_tr_emit(c, IR_CMP, x86_tr_type(c->in.opsize), IR_NONE, v, mem_di(c, false))->attr |= IR_SETF;
	by = step(c);
	advance(c, RSI, by);
	advance(c, RDI, by);
}

void x86_tr_string(struct x86_tr *c)
{
	enum ir_type type = x86_tr_type(c->in.opsize);

	if (c->in.pfx & (X86_PFX_REP | X86_PFX_REPNE)) {
		by_runtime(c);
		return;
	}
	switch (c->arg) {
	case X86_STR_MOVS:
		movs(c);
		break;
	case X86_STR_CMPS:
		cmps(c);
		break;
	case X86_STR_STOS:
		x86_tr_emit(c, IR_MOV, type, mem_di(c, true), IR_G(X86_RAX), IR_NONE);
		advance(c, RDI, step(c));
		break;
	case X86_STR_LODS:
		x86_tr_emit(c, IR_MOV, type, IR_G(X86_RAX), mem_si(c), IR_NONE);
		advance(c, RSI, step(c));
		break;
	case X86_STR_SCAS:
		x86_tr_emit(c, IR_CMP, type, IR_NONE, IR_G(X86_RAX), mem_di(c, false))->attr |= IR_SETF;
		advance(c, RDI, step(c));
		break;
	default: /* ports */
		by_runtime(c);
		break;
	}
}
