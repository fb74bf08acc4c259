/* SPDX-License-Identifier: MIT */
/*
 * What IR_VEX and IR_VEXG compute (SDM volume 2): operations of vec_ops.def in each half, those of vex_ops.def here. Everything above the
 * type becomes 0. Floating-point exceptions of all elements count together.
 */
#include <string.h>

#include "tcg/ir/vec_private.h"

struct vex {
	struct fp fp;
	enum ir_vop op;
	bool wide;
	unsigned imm;
	union ymm a, b, c, r;
};

static unsigned halves(const struct vex *v)
{
	return v->wide ? 2 : 1;
}

/* ---- Operations of vec_ops.def */

/* The part of the immediate that belongs to the upper half. */
static unsigned imm_of_half(const struct vex *v, unsigned half)
{
	if (!half)
		return v->imm;
	switch (v->op) {
	case IR_VOP_SHUFPD:
	case IR_VOP_BLENDPD:
		return v->imm >> 2;
	case IR_VOP_MPSADBW:
		return v->imm >> 3;
	case IR_VOP_BLENDPS:
		return v->imm >> 4;
	default:
		return v->imm;
	}
}

/* What of b a half works on: its own half, a common shift count, or for widening operations its share of the low part. */
static union xmm b_of_half(const struct vex *v, unsigned half)
{
	struct ir_vex_info i = ir_vex_info(v->op);
	union xmm b = v->b.x[half];

	if (i.bytes[1] == 16 && i.bytes[0] == 16)
		return v->b.x[0];
	if (i.bytes[0] < 16 && i.bytes[1] == 2 * i.bytes[0])
		memcpy(&b, &v->b.ub[half * i.bytes[0]], i.bytes[0]);
	return b;
}

static bool narrows(enum ir_vop op)
{
	return op == IR_VOP_CVTPD2PS || op == IR_VOP_CVTPD2DQ || op == IR_VOP_CVTTPD2DQ;
}

static void in_halves(struct vex *v)
{
	for (unsigned k = 0; k < halves(v); k++) {
		union xmm b = b_of_half(v, k);

		vec_half(&v->fp, v->op, &v->r.x[k], &v->a.x[k], &b, &v->c.x[k], imm_of_half(v, k));
	}
	if (v->wide && narrows(v->op)) {
		v->r.uq[1] = v->r.uq[2];
		v->r.uq[2] = v->r.uq[3] = 0;
	}
}

/* ---- Fused multiplication and addition */

#define FMA_FIRST IR_VOP_VFMADD132PS
#define FMA_ADDSUB IR_VOP_VFMADDSUB132PS
#define FMA_SUBADD IR_VOP_VFMSUBADD132PS
_Static_assert(IR_VOP_VFMSUB132PS == FMA_FIRST + 12 && IR_VOP_VFNMADD132PS == FMA_FIRST + 24 && IR_VOP_VFNMSUB132PS == FMA_FIRST + 36 &&
		       FMA_ADDSUB == FMA_FIRST + 48 && FMA_SUBADD == FMA_FIRST + 54 && IR_VOP_VFMSUBADD231PD == FMA_FIRST + 59 &&
		       IR_VOP_VFMADD213PS == FMA_FIRST + 4 && IR_VOP_VFMADD132SD == FMA_FIRST + 3 && IR_VOP_VFMADDSUB213PS == FMA_ADDSUB + 2,
	       "operation, order of operands, PS PD SS SD");

static uint64_t element(const union ymm *v, enum fp_fmt f, unsigned k)
{
	return f == FP_D ? v->uq[k] : v->ul[k];
}

static void set_element(union ymm *v, enum fp_fmt f, unsigned k, uint64_t x)
{
	if (f == FP_D)
		v->uq[k] = x;
	else
		v->ul[k] = (uint32_t)x;
}

static void fma_element(struct vex *v, unsigned order, enum fp_fmt f, unsigned k, bool negate_product, bool negate_addend)
{
	uint64_t first = element(&v->c, f, k), second = element(&v->a, f, k), third = element(&v->b, f, k);
	uint64_t factors[3][2] = {{first, third}, {second, first}, {second, third}}, addend[3] = {second, third, first};

	set_element(&v->r, f, k,
		    fp_fma(&v->fp, f, factors[order][0], factors[order][1], addend[order], negate_product, negate_addend));
}

static bool multiply_add(struct vex *v)
{
	unsigned n = (unsigned)v->op - FMA_FIRST, op, order, n_elements;
	bool alternates = v->op >= FMA_ADDSUB, scalar;
	enum fp_fmt f = n & 1 ? FP_D : FP_S;

	if (v->op < FMA_FIRST || v->op > IR_VOP_VFMSUBADD231PD)
		return false;
	op = alternates ? 0 : n / 12;
	order = alternates ? (n - 48) % 6 / 2 : n % 12 / 4;
	scalar = !alternates && (n & 2);
	v->r = v->c;
	n_elements = scalar ? 1 : (f == FP_D ? 2 : 4) * halves(v);
	for (unsigned k = 0; k < n_elements; k++) {
		bool subtract = op & 1;

		if (alternates)
			subtract = v->op >= FMA_SUBADD ? k & 1 : !(k & 1);
		fma_element(v, order, f, k, op >= 2, subtract);
	}
	return true;
}

/* ---- Comparison */

static bool compare(struct vex *v)
{
	unsigned n = (unsigned)v->op - IR_VOP_VCMPPS, elements;
	enum fp_fmt f = n & 1 ? FP_D : FP_S;

	_Static_assert(IR_VOP_VCMPSD == IR_VOP_VCMPPS + 3 && IR_VOP_VCMPPD == IR_VOP_VCMPPS + 1, "PS PD SS SD");
	if (v->op < IR_VOP_VCMPPS || n > 3)
		return false;
	v->r = v->a;
	elements = n >= 2 ? 1 : (f == FP_D ? 2 : 4) * halves(v);
	for (unsigned k = 0; k < elements; k++)
		set_element(&v->r, f, k, fp_compare(&v->fp, f, element(&v->a, f, k), element(&v->b, f, k), v->imm & 31) ? ~0ull : 0);
	return true;
}

/* ---- Moves and broadcasts */

static void fill(union ymm *r, const union ymm *b, unsigned bytes)
{
	for (unsigned k = 0; k < 32; k += bytes)
		memcpy(&r->ub[k], b, bytes);
}

static bool move(struct vex *v)
{
	switch (v->op) {
	case IR_VOP_VMOVU:
		v->r = v->b;
		return true;
	case IR_VOP_VMOV4:
		v->r.ul[0] = v->b.ul[0];
		return true;
	case IR_VOP_VMOV8:
		v->r.uq[0] = v->b.uq[0];
		return true;
	case IR_VOP_VBROADCASTB:
		fill(&v->r, &v->b, 1);
		return true;
	case IR_VOP_VBROADCASTW:
		fill(&v->r, &v->b, 2);
		return true;
	case IR_VOP_VBROADCASTD:
		fill(&v->r, &v->b, 4);
		return true;
	case IR_VOP_VBROADCASTQ:
	case IR_VOP_VBROADCASTSD:
		fill(&v->r, &v->b, 8);
		return true;
	case IR_VOP_VBROADCASTF128:
		fill(&v->r, &v->b, 16);
		return true;
	default:
		return false;
	}
}

/* ---- Blends, permutations, shifts, conversions */

static union xmm chosen_half(const struct vex *v, unsigned sel)
{
	static const union xmm zero;

	if (sel & 8)
		return zero;
	return (sel & 2 ? &v->b : &v->a)->x[sel & 1];
}

static bool whole_permutation(struct vex *v)
{
	switch (v->op) {
	case IR_VOP_VPERMD:
		for (unsigned k = 0; k < 8; k++)
			v->r.ul[k] = v->b.ul[v->a.ul[k] & 7];
		return true;
	case IR_VOP_VPERMQ:
		for (unsigned k = 0; k < 4; k++)
			v->r.uq[k] = v->b.uq[v->imm >> (2 * k) & 3];
		return true;
	case IR_VOP_VPERM2F128:
		v->r.x[0] = chosen_half(v, v->imm & 15);
		v->r.x[1] = chosen_half(v, v->imm >> 4 & 15);
		return true;
	case IR_VOP_VINSERTF128:
		v->r = v->a;
		v->r.x[v->imm & 1] = v->b.x[0];
		return true;
	case IR_VOP_VEXTRACTF128:
		v->r.x[0] = v->b.x[v->imm & 1];
		return true;
	default:
		return false;
	}
}

static bool permutation(struct vex *v)
{
	for (unsigned k = 0; k < 8; k++) {
		switch (v->op) {
		case IR_VOP_VPERMILPS:
			v->r.ul[k] = v->a.ul[(k & 4) + (v->b.ul[k] & 3)];
			break;
		case IR_VOP_VPERMILPS_I:
			v->r.ul[k] = v->b.ul[(k & 4) + (v->imm >> (2 * (k & 3)) & 3)];
			break;
		case IR_VOP_VPBLENDD:
			v->r.ul[k] = (v->imm >> k & 1 ? &v->b : &v->a)->ul[k];
			break;
		case IR_VOP_VPERMILPD:
			v->r.uq[k / 2] = v->a.uq[(k / 2 & 2) + (v->b.uq[k / 2] >> 1 & 1)];
			break;
		case IR_VOP_VPERMILPD_I:
			v->r.uq[k / 2] = v->b.uq[(k / 2 & 2) + (v->imm >> (k / 2) & 1)];
			break;
		default:
			return whole_permutation(v);
		}
	}
	return true;
}

static bool shift(struct vex *v)
{
	for (unsigned k = 0; k < 8; k++) {
		uint32_t n = v->b.ul[k];
		uint64_t n64 = v->b.uq[k / 2];

		switch (v->op) {
		case IR_VOP_VPSLLVD:
			v->r.ul[k] = n < 32 ? v->a.ul[k] << n : 0;
			break;
		case IR_VOP_VPSRLVD:
			v->r.ul[k] = n < 32 ? v->a.ul[k] >> n : 0;
			break;
		case IR_VOP_VPSRAVD:
			v->r.sl[k] = v->a.sl[k] >> (n < 32 ? n : 31);
			break;
		case IR_VOP_VPSLLVQ:
			v->r.uq[k / 2] = n64 < 64 ? v->a.uq[k / 2] << n64 : 0;
			break;
		case IR_VOP_VPSRLVQ:
			v->r.uq[k / 2] = n64 < 64 ? v->a.uq[k / 2] >> n64 : 0;
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool blend(struct vex *v)
{
	static const uint16_t as[3] = {IR_VOP_BLENDVPS, IR_VOP_BLENDVPD, IR_VOP_PBLENDVB};
	unsigned n = (unsigned)v->op - IR_VOP_VBLENDVPS;

	_Static_assert(IR_VOP_VBLENDVPD == IR_VOP_VBLENDVPS + 1 && IR_VOP_VPBLENDVB == IR_VOP_VBLENDVPS + 2, "in a row");
	if (v->op < IR_VOP_VBLENDVPS || n > 2)
		return false;
	for (unsigned k = 0; k < 2; k++)
		vec_half(&v->fp, (enum ir_vop)as[n], &v->r.x[k], &v->a.x[k], &v->b.x[k], &v->c.x[k], 0);
	return true;
}

static void half_precision(struct vex *v)
{
	for (unsigned k = 0; k < 4 * halves(v); k++) {
		if (v->op == IR_VOP_VCVTPH2PS)
			v->r.ul[k] = fp_half_widen(&v->fp, v->b.x[0].uw[k]);
		else
			v->r.x[0].uw[k] = fp_half_narrow(&v->fp, v->b.ul[k], v->imm);
	}
}

/* ---- Entry points */

static void take(union ymm *to, const union tcg_vreg *from)
{
	if (from)
		memcpy(to, from, sizeof(*to));
	else
		memset(to, 0, sizeof(*to));
}

bool ir_vex_eval(struct tcg_env *env, enum ir_vop op, bool wide, union tcg_vreg *d, const union tcg_vreg *a, const union tcg_vreg *b,
		 const union tcg_vreg *c, uint64_t imm)
{
	struct vex v = {.fp = {.mxcsr = env->mxcsr}, .op = op, .wide = wide, .imm = (unsigned)imm & 0xff};

	take(&v.a, a);
	take(&v.b, b);
	take(&v.c, c);
	if (op < IR_VOP_FIRST_VEX)
		in_halves(&v);
	else if (!multiply_add(&v) && !compare(&v) && !move(&v) && !permutation(&v) && !shift(&v) && !blend(&v))
		half_precision(&v);
	if (!vec_fp_report(env, &v.fp))
		return false;
	if (!wide)
		memset(&v.r.x[1], 0, sizeof(v.r.x[1]));
	memset(d, 0, sizeof(*d));
	memcpy(d, &v.r, sizeof(v.r));
	return true;
}

bool ir_vexg_eval(struct tcg_env *env, enum ir_vop op, enum ir_type type, union tcg_vreg *d, const union tcg_vreg *a, uint64_t b, uint64_t imm)
{
	union tcg_vreg r = {.q = {0}};

	if (a)
		memcpy(&r, a, 16);
	if (!ir_g_to_vec(env, op, type, &r, a ? &r : NULL, b, imm))
		return false;
	*d = r;
	return true;
}
