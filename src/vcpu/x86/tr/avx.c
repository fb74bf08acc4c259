/* SPDX-License-Identifier: MIT */
/*
 * AVX, AVX2, FMA, F16C and the VEX forms of what came before: one IR_VEX each, which clears what is above the vector length (SDM volume 1,
 * 14.1.3). What only reads vectors is translated like its legacy form, or by IR_VFL and IR_VTOG. Masked moves and gathers, whose elements
 * fault one by one, are runtime routines.
 */
#include "vcpu/x86/tr/tr.h"

static ir_ref vreg(const struct x86_tr *c, unsigned n)
{
	return IR_V(c->in.op[n].reg);
}

static bool is_wide(const struct x86_tr *c)
{
	for (unsigned n = 0; n < c->in.nr_ops; n++)
		if ((c->in.op[n].kind == X86_OPK_XMM || c->in.op[n].kind == X86_OPK_MEM) && c->in.op[n].size == 32)
			return true;
	return false;
}

static ir_ref vsrc(struct x86_tr *c, unsigned n, enum ir_vop vop, bool wide)
{
	return x86_tr_is_mem(c, n) ? x86_tr_vec_mem(c, ir_vex_info(vop).bytes[wide], false) : vreg(c, n);
}

static struct ir_insn *emit(struct x86_tr *c, enum ir_vop vop, bool wide, ir_ref d, ir_ref a, ir_ref b)
{
	struct ir_insn *i = ir_emit(c->ir, IR_VEX, wide ? IR_V256 : IR_V128, d, a, b);

	i->imm2 = vop;
	if (ir_vex_info(vop).src & IR_VEX_IMM)
		i->imm = c->in.imm & 0xff;
	return i;
}

/* op0 = OP(op1, op2, op3, imm), with as many as the operation has. */
static void compute(struct x86_tr *c, enum ir_vop vop)
{
	unsigned src = ir_vex_info(vop).src, n = 1;
	bool wide = is_wide(c);
	ir_ref a = IR_NONE, b = IR_NONE;
	struct ir_insn *i;

	if (src & IR_VEX_A)
		a = vreg(c, n++);
	if (src & IR_VEX_B)
		b = vsrc(c, n++, vop, wide);
	i = emit(c, vop, wide, vreg(c, 0), a, b);
	if (src & IR_VEX_C)
		i->c = vreg(c, n < c->in.nr_ops ? n : 0);
}

/* The row's argument is the operation. */
void x86_tr_vex(struct x86_tr *c)
{
	compute(c, c->arg);
}

/* Shifts: by the low quadword of op2, or by an immediate. */
void x86_tr_vex_vshift(struct x86_tr *c)
{
	compute(c, c->in.op[2].kind == X86_OPK_IMM ? c->arg + (IR_VOP_PSLLW_I - IR_VOP_PSLLW) : c->arg);
}

/* By element: variable, or an immediate where op2 is one. The row's argument is the form without. */
void x86_tr_vex_permil(struct x86_tr *c)
{
	_Static_assert(IR_VOP_VPERMILPD_I - IR_VOP_VPERMILPD == IR_VOP_VPERMILPS_I - IR_VOP_VPERMILPS, "the same distance");
	compute(c, c->in.op[2].kind == X86_OPK_IMM ? c->arg + (IR_VOP_VPERMILPS_I - IR_VOP_VPERMILPS) : c->arg);
}

/* ---- Moves */

static void store(struct x86_tr *c, enum ir_type type, ir_ref v)
{
	ir_emit(c->ir, IR_VMOV, type, x86_tr_vec_mem(c, ir_type_bytes(type), true), v, IR_NONE);
}

/* Whole vectors. */
void x86_tr_vex_mov(struct x86_tr *c)
{
	bool wide = is_wide(c);

	if (x86_tr_is_mem(c, 0))
		store(c, wide ? IR_V256 : IR_V128, vreg(c, 1));
	else
		emit(c, IR_VOP_VMOVU, wide, vreg(c, 0), IR_NONE, vsrc(c, 1, IR_VOP_VMOVU, wide));
}

/* VMOVSS, VMOVSD. The row's argument is the merge of registers. */
void x86_tr_vex_mov_scalar(struct x86_tr *c)
{
	bool is_double = c->arg == IR_VOP_MOVSD;

	if (x86_tr_is_mem(c, 0))
		store(c, is_double ? IR_I64 : IR_I32, vreg(c, 1));
	else if (x86_tr_is_mem(c, 1))
		emit(c, is_double ? IR_VOP_VMOV8 : IR_VOP_VMOV4, false, vreg(c, 0), IR_NONE, x86_tr_vec_mem(c, is_double ? 8 : 4, false));
	else
		compute(c, c->arg);
}

/* VMOVLPS, VMOVLPD, VMOVHPS, VMOVHPD. The row's argument is the merge from memory. */
void x86_tr_vex_mov_half(struct x86_tr *c)
{
	ir_ref from;

	if (!x86_tr_is_mem(c, 0)) {
		compute(c, c->arg);
		return;
	}
	from = vreg(c, 1);
	if (c->arg == IR_VOP_MOVHPS) {
		from = IR_VT(0);
		emit(c, IR_VOP_PSHUFD, false, from, IR_NONE, vreg(c, 1))->imm = 0xee;
	}
	store(c, IR_I64, from);
}

static void from_integer(struct x86_tr *c, enum ir_vop vop, enum ir_type type, ir_ref a, ir_ref b)
{
	struct ir_insn *i = ir_emit(c->ir, IR_VEXG, type, vreg(c, 0), a, b);

	i->imm2 = vop;
	if (ir_vex_info(vop).src & IR_VEX_IMM)
		i->imm = c->in.imm & 0xff;
}

/* VMOVD, VMOVQ between XMM, general registers and memory. */
void x86_tr_vex_movd(struct x86_tr *c)
{
	const struct x86_operand *d = &c->in.op[0], *s = &c->in.op[1];

	if (d->kind == X86_OPK_MEM)
		store(c, d->size == 8 ? IR_I64 : IR_I32, vreg(c, 1));
	else if (d->kind == X86_OPK_GPR)
		x86_tr_sse_movd(c);
	else if (s->kind == X86_OPK_MEM)
		emit(c, s->size == 8 ? IR_VOP_VMOV8 : IR_VOP_VMOV4, false, vreg(c, 0), IR_NONE, x86_tr_vec_mem(c, s->size, false));
	else if (s->kind == X86_OPK_XMM)
		emit(c, IR_VOP_MOVQ, false, vreg(c, 0), IR_NONE, vreg(c, 1));
	else
		from_integer(c, IR_VOP_MOVD_V, x86_tr_type(s->size), IR_NONE, IR_G(s->reg));
}

/* Vector op0 = OP(vector op1, integer op2): VPINSRx, VCVTSI2SS, VCVTSI2SD. */
void x86_tr_vex_from_g(struct x86_tr *c)
{
	ir_ref b = x86_tr_reg_src(c, 2);

	from_integer(c, c->arg, c->in.op[2].size == 8 ? IR_I64 : IR_I32, vreg(c, 1), b);
}

/* VEXTRACTF128, VCVTPS2PH: the result may go to memory. */
void x86_tr_vex_extract(struct x86_tr *c)
{
	bool wide = is_wide(c), mem = x86_tr_is_mem(c, 0);
	enum ir_type type = c->arg == IR_VOP_VCVTPS2PH && !wide ? IR_I64 : IR_V128;

	if (mem && c->arg == IR_VOP_VCVTPS2PH) {
		ir_ref addr = x86_tr_linear(c, ir_type_bytes(type), true);

		x86_tr_rt(c, X86_RT_probe_store, X86_TR_NO_RESULT, addr, x86_tr_const(c, ir_type_bytes(type)), IR_NONE);
	}
	emit(c, c->arg, wide, mem ? IR_VT(0) : vreg(c, 0), IR_NONE, vreg(c, 1));
	if (mem)
		store(c, type, IR_VT(0));
}

/* VZEROUPPER, VZEROALL (1): the registers that the CPU mode has. */
void x86_tr_vex_zero(struct x86_tr *c)
{
	struct ir_insn *i = ir_emit(c->ir, IR_VZERO, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	i->imm = c->arg;
	i->imm2 = c->mode == X86_MODE_64 ? 16 : 8;
}

/* ---- Flags and integers */

/* VPTEST, VTESTPS, VTESTPD */
void x86_tr_vex_test(struct x86_tr *c)
{
	bool wide = is_wide(c);
	ir_ref b = vsrc(c, 1, c->arg, wide);
	struct ir_insn *i = ir_emit(c->ir, IR_VFL, wide ? IR_V256 : IR_V128, IR_NONE, vreg(c, 0), b);

	i->imm2 = c->arg;
	i->attr |= IR_SETF;
}

/* VPCMPESTRM, VPCMPISTRM: the mask is in XMM0, the upper half clear. */
void x86_tr_vex_string_mask(struct x86_tr *c)
{
	x86_tr_sse_flags(c);
	emit(c, IR_VOP_VMOVU, false, IR_V(0), IR_NONE, IR_V(0));
}

/* VMOVMSKPS and its kin. The row's argument is the operation with 128 bits. */
void x86_tr_vex_signs(struct x86_tr *c)
{
	struct ir_insn *i;

	if (!is_wide(c)) {
		x86_tr_sse_to_g(c);
		return;
	}
	i = ir_emit(c->ir, IR_VTOG, IR_I32, IR_G(c->in.op[0].reg), IR_NONE, vreg(c, 1));
	i->imm2 = c->arg - IR_VOP_MOVMSKPS + IR_VOP_VMOVMSKPS;
	_Static_assert(IR_VOP_VPMOVMSKB - IR_VOP_VMOVMSKPS == IR_VOP_PMOVMSKB - IR_VOP_MOVMSKPS, "in the same order");
}

/* ---- Element by element */

/* What the routine needs besides addresses: registers, width of elements and vector. */
static ir_ref descriptor(struct x86_tr *c, unsigned data, unsigned mask, unsigned bytes, bool wide, uint64_t more)
{
	return x86_tr_const(c, (int64_t)(data | mask << 4 | bytes << 8 | (unsigned)wide << 12 | more));
}

/* VMASKMOVx, VPMASKMOVx. The row's argument is the width of an element. */
void x86_tr_vex_maskmov(struct x86_tr *c)
{
	bool is_store = x86_tr_is_mem(c, 0), wide = is_wide(c);
	ir_ref addr = x86_tr_linear(c, 0, false);

	x86_tr_rt(c, X86_RT_vmaskmov, X86_TR_NO_RESULT, addr,
		  descriptor(c, c->in.op[is_store ? 2 : 0].reg, c->in.op[1].reg, c->arg, wide, (uint64_t)is_store << 13 | (uint64_t)c->in.mem.seg << 16),
		  IR_NONE);
}

/*
 * Gathers. The row's argument: bytes of an element, and 0x10 if indices have 64 bits. The routine adds index and segment to the base:
 * without the index, the operand's address is base and displacement, not cut.
 */
void x86_tr_gather(struct x86_tr *c)
{
	struct ir_mem m = { .base = c->in.mem.base == X86_REG_NONE ? IR_NONE : IR_G(c->in.mem.base), .index = IR_NONE, .scale = 1,
			    .addr_bits = 64, .slot = TLB_SLOT_MISC, .disp = c->in.mem.disp };
	unsigned bytes = c->arg & 15, scale = (unsigned)__builtin_ctz(c->in.mem.scale), addrsize = c->in.addrsize;
	bool index64 = c->arg & 16, wide = c->in.vex_l;
	ir_ref base = ir_temp(c->ir);
	uint64_t more = (uint64_t)c->in.mem.index << 16 | (uint64_t)scale << 20 | (uint64_t)index64 << 22 | (uint64_t)addrsize << 24 |
			(uint64_t)c->in.mem.seg << 28;

	ir_emit(c->ir, IR_LEA, IR_I64, base, ir_mem(c->ir, &m), IR_NONE);
	x86_tr_rt(c, X86_RT_gather, X86_TR_NO_RESULT, base, descriptor(c, c->in.op[0].reg, c->in.op[2].reg, bytes, wide, more), IR_NONE);
}
