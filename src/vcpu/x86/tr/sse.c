/* SPDX-License-Identifier: MIT */
/*
 * SSE to SSE4.2, AES, PCLMULQDQ, SHA: one IR vector operation each. vec_ops.def gives the signature of every operation,
 * so that one function serves all that compute; moves are IR_VMOV. Mnemonics that MMX has too go to mmx.c if a register
 * is one of its own.
 */
#include "vcpu/x86/tr/tr.h"

/* What a signature of vec_ops.def says: bytes of a memory operand, and the form. */
#define SIG_BYTES 0x1f
#define SIG_A 0x20 /* first source, the destination's register */
#define SIG_B 0x40
#define SIG_IMM 0x80

enum {
	V1_16 = SIG_B | 16,
	V1_8 = SIG_B | 8,
	V1_4 = SIG_B | 4,
	V1_2 = SIG_B | 2,
	V1I_16 = SIG_B | SIG_IMM | 16,
	VV_16 = SIG_A | SIG_B | 16,
	VV_8 = SIG_A | SIG_B | 8,
	VV_4 = SIG_A | SIG_B | 4,
	VVI_16 = VV_16 | SIG_IMM,
	VVI_8 = VV_8 | SIG_IMM,
	VVI_4 = VV_4 | SIG_IMM,
	VVX_16 = VV_16,
	VI = SIG_A | SIG_IMM | 16,
	VG = SIG_B,
	VGI = SIG_B | SIG_IMM,
	GV = SIG_B,
	GVV = SIG_A | SIG_B,
	GVVI = GVV | SIG_IMM,
	FL_16 = VV_16,
	FL_8 = VV_8,
	FL_4 = VV_4,
	FLI_16 = VVI_16,
};

static const uint8_t signature[IR_VOP_COUNT] = {
#define IR_VOP(NAME, name, sig, meaning) [IR_VOP_##NAME] = sig,
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
};

static enum ir_type type_of_bytes(unsigned bytes)
{
	return bytes == 16 ? IR_V128 : x86_tr_type(bytes);
}

static ir_ref vreg(const struct x86_tr *c, unsigned n)
{
	return IR_V(c->in.op[n].reg);
}

static ir_ref vsrc(struct x86_tr *c, unsigned n, unsigned bytes)
{
	return x86_tr_is_mem(c, n) ? x86_tr_vec_mem(c, bytes, false) : vreg(c, n);
}

static struct ir_insn *vector_op(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, ir_ref b,
				 enum ir_vop vop)
{
	struct ir_insn *i = ir_emit(c->ir, op, type, d, a, b);

	i->imm2 = vop;
	if (signature[vop] & SIG_IMM)
		i->imm = c->in.imm & 0xff;
	return i;
}

/* Vector op0 = OP(op0, op1, imm), with as many of them as the signature says. */
static void compute(struct x86_tr *c, enum ir_vop vop)
{
	unsigned sig = signature[vop], bytes = sig & SIG_BYTES;
	ir_ref d = vreg(c, 0), b = (sig & SIG_B) ? vsrc(c, 1, bytes) : IR_NONE;

	vector_op(c, IR_VOP, type_of_bytes(bytes), d, (sig & SIG_A) ? d : IR_NONE, b, vop);
}

/* The row's argument is the operation. */
void x86_tr_sse(struct x86_tr *c)
{
	if (x86_tr_mmx_form(c))
		x86_tr_mmx(c);
	else
		compute(c, c->arg);
}

_Static_assert(IR_VOP_PSRAD_I - IR_VOP_PSRAD == IR_VOP_PSLLW_I - IR_VOP_PSLLW,
	       "shifts by immediate in the order of the others");

/* Shifts: by op1, or by an immediate. */
void x86_tr_sse_shift(struct x86_tr *c)
{
	if (x86_tr_mmx_form(c))
		x86_tr_mmx(c);
	else if (c->in.op[1].kind == X86_OPK_IMM)
		compute(c, c->arg + (IR_VOP_PSLLW_I - IR_VOP_PSLLW));
	else
		compute(c, c->arg);
}

/* Flags of op0 and op1. */
void x86_tr_sse_flags(struct x86_tr *c)
{
	unsigned bytes = signature[c->arg] & SIG_BYTES;
	enum ir_type type = type_of_bytes(bytes);
	ir_ref b = vsrc(c, 1, bytes);

	if (signature[c->arg] & SIG_IMM) /* string compares: the type is the width of the lengths */
		type = c->in.opsize == 8 ? IR_I64 : IR_I32;
	vector_op(c, IR_VFL, type, IR_NONE, vreg(c, 0), b, c->arg)->attr |= IR_SETF;
}

/* Integer op0 = OP(vector op1). */
void x86_tr_sse_to_g(struct x86_tr *c)
{
	unsigned size = c->in.op[0].size;
	enum ir_type type = size == 8 ? IR_I64 : IR_I32;
	ir_ref b, d;

	if (x86_tr_mmx_form(c)) {
		x86_tr_mmx(c);
		return;
	}
	b = vreg(c, 1);
	if (x86_tr_is_mem(c, 1)) {
		b = IR_VT(0);
		ir_emit(c->ir, IR_VMOV, x86_tr_type(c->in.op[1].size), b, x86_tr_vec_mem(c, c->in.op[1].size, false), IR_NONE);
	}
	d = x86_tr_is_mem(c, 0) ? ir_temp(c->ir) : IR_G(c->in.op[0].reg);
	vector_op(c, IR_VTOG, type, d, IR_NONE, b, c->arg);
	if (x86_tr_is_mem(c, 0))
		x86_tr_write(c, 0, d, 0);
}

/* Vector op0 = OP(op0, integer op1). */
void x86_tr_sse_from_g(struct x86_tr *c)
{
	enum ir_type type = c->in.op[1].size == 8 ? IR_I64 : IR_I32;
	ir_ref d = vreg(c, 0), b;

	if (x86_tr_mmx_form(c)) {
		x86_tr_mmx(c);
		return;
	}
	b = x86_tr_reg_src(c, 1);
	vector_op(c, IR_GTOV, type, d, (signature[c->arg] & SIG_A) ? d : IR_NONE, b, c->arg);
}

/* ---- Moves */

static void vmov(struct x86_tr *c, enum ir_type type, unsigned bytes)
{
	ir_ref d, a;

	if (x86_tr_is_mem(c, 0)) {
		a = vreg(c, 1);
		d = x86_tr_vec_mem(c, bytes, true);
	} else {
		d = vreg(c, 0);
		a = vsrc(c, 1, bytes);
	}
	ir_emit(c->ir, IR_VMOV, type, d, a, IR_NONE);
}

/* All 16 bytes; the row of the opcode map says whether memory must be aligned. */
void x86_tr_sse_mov(struct x86_tr *c)
{
	vmov(c, IR_V128, 16);
}

/* MOVSS, MOVSD: loads clear the rest, registers merge. The row's argument is the merge. */
void x86_tr_sse_mov_scalar(struct x86_tr *c)
{
	unsigned bytes = signature[c->arg] & SIG_BYTES;

	if (x86_tr_is_mem(c, 0) || x86_tr_is_mem(c, 1))
		vmov(c, type_of_bytes(bytes), bytes);
	else
		compute(c, c->arg);
}

/* MOVLPS, MOVLPD */
void x86_tr_sse_mov_low(struct x86_tr *c)
{
	if (x86_tr_is_mem(c, 0))
		vmov(c, IR_I64, 8);
	else
		compute(c, IR_VOP_MOVLPS);
}

/* MOVHPS, MOVHPD: the store brings the high half down first. */
void x86_tr_sse_mov_high(struct x86_tr *c)
{
	if (!x86_tr_is_mem(c, 0)) {
		compute(c, IR_VOP_MOVHPS);
		return;
	}
	vector_op(c, IR_VOP, IR_V128, IR_VT(0), IR_NONE, vreg(c, 1), IR_VOP_PSHUFD)->imm = 0xee;
	ir_emit(c->ir, IR_VMOV, IR_I64, x86_tr_vec_mem(c, 8, true), IR_VT(0), IR_NONE);
}

/* MOVD, MOVQ between XMM, general registers and memory. */
void x86_tr_sse_movd(struct x86_tr *c)
{
	unsigned reg_kind = c->in.op[0].kind == X86_OPK_XMM ? c->in.op[1].kind : c->in.op[0].kind;
	unsigned bytes = c->in.op[c->in.op[0].kind == X86_OPK_XMM ? 1 : 0].size;

	if (x86_tr_mmx_form(c))
		x86_tr_mmx(c);
	else if (reg_kind == X86_OPK_MEM)
		vmov(c, x86_tr_type(bytes), bytes);
	else if (reg_kind == X86_OPK_XMM)
		compute(c, IR_VOP_MOVQ);
	else if (c->in.op[0].kind == X86_OPK_XMM)
		vector_op(c, IR_GTOV, x86_tr_type(bytes), vreg(c, 0), IR_NONE, IR_G(c->in.op[1].reg), IR_VOP_MOVD_V);
	else
		vector_op(c, IR_VTOG, x86_tr_type(bytes), IR_G(c->in.op[0].reg), IR_NONE, vreg(c, 1), IR_VOP_MOVD_G);
}
