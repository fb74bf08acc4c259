/* SPDX-License-Identifier: MIT */
/*
 * The vector unit: finds what computes an operation, and deals with MXCSR around floating point.
 *
 * Exceptions (SDM volume 1, 11.5.2): the flags of all elements are gathered. If an unmasked one was found before
 * computing (IE, DE, ZE) only those before computing are reported; if any is unmasked the destination stays.
 */
#include <string.h>

#include "tcg/ir/vec_private.h"

struct vec {
	struct fp fp;
	enum ir_vop op;
	union xmm a, b, r;
	unsigned imm;
};

#define PRE (FP_IE | FP_DE | FP_ZE)

/* Reports the exceptions raised; false: one is unmasked. */
bool vec_fp_report(struct tcg_env *env, const struct fp *fp)
{
	uint32_t unmasked = ~(fp->mxcsr >> FP_MASK_SHIFT) & FP_FLAGS, flags = fp->flags;

	if (flags & unmasked & PRE)
		flags &= PRE;
	env->mxcsr |= flags;
	return !(flags & unmasked);
}

static uint64_t get(const union xmm *v, enum fp_fmt f, unsigned k)
{
	return f == FP_D ? v->uq[k] : v->ul[k];
}

static void set(union xmm *v, enum fp_fmt f, unsigned k, uint64_t x)
{
	if (f == FP_D)
		v->uq[k] = x;
	else
		v->ul[k] = (uint32_t)x;
}

/* ---- Families. The operations of a family come in the order PS PD SS SD. */

static enum fp_fmt form_fmt(unsigned form)
{
	return form & 1 ? FP_D : FP_S;
}

static unsigned form_lanes(unsigned form)
{
	return form >= 2 ? 1 : form == 1 ? 2 : 4;
}

static uint64_t family_lane(struct vec *v, enum ir_vop base, enum fp_fmt f, uint64_t a, uint64_t b)
{
	switch (base) {
	case IR_VOP_ADDPS:
		return fp_arith(&v->fp, FP_ADD, f, a, b);
	case IR_VOP_SUBPS:
		return fp_arith(&v->fp, FP_SUB, f, a, b);
	case IR_VOP_MULPS:
		return fp_arith(&v->fp, FP_MUL, f, a, b);
	case IR_VOP_DIVPS:
		return fp_arith(&v->fp, FP_DIV, f, a, b);
	case IR_VOP_SQRTPS:
		return fp_arith(&v->fp, FP_SQRT, f, a, b);
	case IR_VOP_MINPS:
		return fp_minmax(&v->fp, f, a, b, false);
	case IR_VOP_MAXPS:
		return fp_minmax(&v->fp, f, a, b, true);
	case IR_VOP_ROUNDPS:
		return fp_round(&v->fp, f, b, v->imm);
	default:
		return fp_compare(&v->fp, f, a, b, v->imm & 7) ? ~0ull : 0;
	}
}

static bool family(struct vec *v)
{
	static const enum ir_vop bases[] = {IR_VOP_ADDPS, IR_VOP_SUBPS,	 IR_VOP_MULPS,	 IR_VOP_DIVPS, IR_VOP_MINPS,
					    IR_VOP_MAXPS, IR_VOP_SQRTPS, IR_VOP_ROUNDPS, IR_VOP_CMPPS};

	for (unsigned n = 0; n < ARRAY_LEN(bases); n++) {
		unsigned form = (unsigned)v->op - (unsigned)bases[n];

		if (form > 3)
			continue;
		for (unsigned k = 0; k < form_lanes(form); k++) {
			enum fp_fmt f = form_fmt(form);

			set(&v->r, f, k, family_lane(v, bases[n], f, get(&v->a, f, k), get(&v->b, f, k)));
		}
		return true;
	}
	return false;
}
_Static_assert(IR_VOP_ADDSD == IR_VOP_ADDPS + 3 && IR_VOP_SUBSD == IR_VOP_SUBPS + 3 &&
		       IR_VOP_MULSD == IR_VOP_MULPS + 3 && IR_VOP_DIVSD == IR_VOP_DIVPS + 3 &&
		       IR_VOP_MINSD == IR_VOP_MINPS + 3 && IR_VOP_MAXSD == IR_VOP_MAXPS + 3 &&
		       IR_VOP_SQRTSD == IR_VOP_SQRTPS + 3 && IR_VOP_ROUNDSD == IR_VOP_ROUNDPS + 3 &&
		       IR_VOP_CMPSD == IR_VOP_CMPPS + 3,
	       "families are in the order PS PD SS SD");

/* ---- Horizontal operations */

/* HADD, HSUB: pairs of a, then pairs of b. ADDSUB: minus in even places. */
static bool pairs(struct vec *v)
{
	enum fp_fmt f;
	enum fp_op op;
	unsigned n;

	switch (v->op) {
	case IR_VOP_HADDPS:
	case IR_VOP_HADDPD:
	case IR_VOP_HSUBPS:
	case IR_VOP_HSUBPD:
		f = v->op == IR_VOP_HADDPD || v->op == IR_VOP_HSUBPD ? FP_D : FP_S;
		op = v->op == IR_VOP_HADDPS || v->op == IR_VOP_HADDPD ? FP_ADD : FP_SUB;
		n = f == FP_D ? 1 : 2;
		for (unsigned k = 0; k < 2 * n; k++) {
			const union xmm *s = k < n ? &v->a : &v->b;
			unsigned first = 2 * (k % n);

			set(&v->r, f, k, fp_arith(&v->fp, op, f, get(s, f, first), get(s, f, first + 1)));
		}
		return true;
	case IR_VOP_ADDSUBPS:
	case IR_VOP_ADDSUBPD:
		f = v->op == IR_VOP_ADDSUBPD ? FP_D : FP_S;
		for (unsigned k = 0; k < (f == FP_D ? 2 : 4); k++)
			set(&v->r, f, k,
			    fp_arith(&v->fp, k & 1 ? FP_ADD : FP_SUB, f, get(&v->a, f, k), get(&v->b, f, k)));
		return true;
	default:
		return false;
	}
}

/*
 * Dot products: imm[7:4] selects the products, imm[3:0] the destinations. The sum is ((p0 + p1) + (p2 + p3)). Each
 * step's exceptions count; an unmasked one ends the instruction there.
 */
static bool dot(struct vec *v)
{
	enum fp_fmt f = v->op == IR_VOP_DPPD ? FP_D : FP_S;
	unsigned n = f == FP_D ? 2 : 4;
	uint64_t p[4] = {0}, sum;

	if (v->op != IR_VOP_DPPS && v->op != IR_VOP_DPPD)
		return false;
	for (unsigned k = 0; k < n; k++)
		if (v->imm >> (4 + k) & 1)
			p[k] = fp_arith(&v->fp, FP_MUL, f, get(&v->a, f, k), get(&v->b, f, k));
	sum = fp_arith(&v->fp, FP_ADD, f, p[0], p[1]);
	if (n == 4)
		sum = fp_arith(&v->fp, FP_ADD, f, sum, fp_arith(&v->fp, FP_ADD, f, p[2], p[3]));
	for (unsigned k = 0; k < n; k++)
		set(&v->r, f, k, v->imm >> k & 1 ? sum : 0);
	return true;
}

/* ---- Conversions */

static uint64_t to_i32(struct vec *v, enum fp_fmt f, uint64_t x, bool truncate)
{
	return fp_to_int(&v->fp, f, x, 32, truncate ? FP_TRUNC : fp_rc(&v->fp));
}

static bool convert(struct vec *v)
{
	const union xmm *b = &v->b;
	union xmm r = {.uq = {0}};
	bool truncate = v->op == IR_VOP_CVTTPS2DQ || v->op == IR_VOP_CVTTPD2DQ;

	switch (v->op) {
	case IR_VOP_CVTDQ2PS:
		for (unsigned k = 0; k < 4; k++)
			r.ul[k] = (uint32_t)fp_host_from_int(&v->fp, FP_S, b->sl[k]);
		break;
	case IR_VOP_CVTDQ2PD:
		for (unsigned k = 0; k < 2; k++)
			r.uq[k] = fp_host_from_int(&v->fp, FP_D, b->sl[k]);
		break;
	case IR_VOP_CVTPS2DQ:
	case IR_VOP_CVTTPS2DQ:
		for (unsigned k = 0; k < 4; k++)
			r.ul[k] = (uint32_t)to_i32(v, FP_S, b->ul[k], truncate);
		break;
	case IR_VOP_CVTPD2DQ:
	case IR_VOP_CVTTPD2DQ:
		for (unsigned k = 0; k < 2; k++)
			r.ul[k] = (uint32_t)to_i32(v, FP_D, b->uq[k], truncate);
		break;
	case IR_VOP_CVTPD2PS:
		for (unsigned k = 0; k < 2; k++)
			r.ul[k] = (uint32_t)fp_narrow(&v->fp, b->uq[k]);
		break;
	case IR_VOP_CVTPS2PD:
		for (unsigned k = 0; k < 2; k++)
			r.uq[k] = fp_widen(&v->fp, b->ul[k]);
		break;
	case IR_VOP_CVTSS2SD:
		r = v->a;
		r.uq[0] = fp_widen(&v->fp, b->ul[0]);
		break;
	case IR_VOP_CVTSD2SS:
		r = v->a;
		r.ul[0] = (uint32_t)fp_narrow(&v->fp, b->uq[0]);
		break;
	default:
		return false;
	}
	v->r = r;
	return true;
}

static bool approximate(struct vec *v)
{
	bool sqrt = v->op == IR_VOP_RSQRTPS || v->op == IR_VOP_RSQRTSS;
	unsigned n = v->op == IR_VOP_RSQRTPS || v->op == IR_VOP_RCPPS ? 4 : 1;

	if (!sqrt && v->op != IR_VOP_RCPPS && v->op != IR_VOP_RCPSS)
		return false;
	for (unsigned k = 0; k < n; k++)
		v->r.ul[k] = sqrt ? fp_host_rsqrt(v->b.ul[k]) : fp_host_rcp(v->b.ul[k]);
	return true;
}

/* ---- Entry points */

static void fetch(union xmm *to, const union tcg_vreg *from)
{
	if (from)
		memcpy(to, from, sizeof(*to));
	else
		*to = (union xmm){.uq = {0}};
}

static void begin(struct vec *v, struct tcg_env *env, enum ir_vop op, const union tcg_vreg *a, const union tcg_vreg *b,
		  uint64_t imm)
{
	v->fp = (struct fp){.mxcsr = env->mxcsr};
	v->op = op;
	v->imm = (unsigned)imm & 0xff;
	fetch(&v->a, a);
	fetch(&v->b, b);
	v->r = v->a;
}

void vec_half(struct fp *fp, enum ir_vop op, union xmm *r, const union xmm *a, const union xmm *b, const union xmm *x, unsigned imm)
{
	vec_fn fn = vec_int_function(op);
	struct vec v;

	if (fn) {
		*r = *a;
		fn(r, a, b, x, imm);
		return;
	}
	v = (struct vec){.fp = *fp, .op = op, .a = *a, .b = *b, .r = *a, .imm = imm};
	(void)(family(&v) || convert(&v) || pairs(&v) || dot(&v) || approximate(&v));
	*fp = v.fp;
	*r = v.r;
}

bool ir_vec_eval(struct tcg_env *env, enum ir_vop op, union tcg_vreg *d, const union tcg_vreg *a,
		 const union tcg_vreg *b, uint64_t imm)
{
	struct vec v;
	union xmm x;

	begin(&v, env, op, a, b, imm);
	fetch(&x, &env->vreg[0]);
	vec_half(&v.fp, op, &v.r, &v.a, &v.b, &x, v.imm);
	if (!vec_fp_report(env, &v.fp))
		return false;
	memcpy(d, &v.r, sizeof(v.r));
	return true;
}

static uint64_t sign_mask(const union xmm *b, enum ir_vop op)
{
	unsigned bytes = op == IR_VOP_MOVMSKPD ? 8 : op == IR_VOP_MOVMSKPS ? 4 : 1;
	uint64_t r = 0;

	for (unsigned k = 0; k < 16 / bytes; k++)
		r |= (uint64_t)(b->ub[k * bytes + bytes - 1] >> 7) << k;
	return r;
}

bool ir_vec_to_g(struct tcg_env *env, enum ir_vop op, enum ir_type type, uint64_t *d, const union tcg_vreg *b,
		 uint64_t imm)
{
	unsigned bits = type == IR_I64 ? 64 : 32;
	struct vec v;
	uint64_t r = 0;

	begin(&v, env, op, NULL, b, imm);
	switch (op) {
	case IR_VOP_MOVD_G:
		r = bits == 64 ? v.b.uq[0] : v.b.ul[0];
		break;
	case IR_VOP_MOVMSKPS:
	case IR_VOP_MOVMSKPD:
	case IR_VOP_PMOVMSKB:
		r = sign_mask(&v.b, op);
		break;
	case IR_VOP_VMOVMSKPS:
	case IR_VOP_VMOVMSKPD:
	case IR_VOP_VPMOVMSKB:
		r = ir_vex_signs(op, b);
		break;
	case IR_VOP_CVTSS2SI:
	case IR_VOP_CVTTSS2SI:
		r = fp_to_int(&v.fp, FP_S, v.b.ul[0], bits, op == IR_VOP_CVTTSS2SI ? FP_TRUNC : fp_rc(&v.fp));
		break;
	case IR_VOP_CVTSD2SI:
	case IR_VOP_CVTTSD2SI:
		r = fp_to_int(&v.fp, FP_D, v.b.uq[0], bits, op == IR_VOP_CVTTSD2SI ? FP_TRUNC : fp_rc(&v.fp));
		break;
	case IR_VOP_PEXTRB:
		r = v.b.ub[v.imm & 15];
		break;
	case IR_VOP_PEXTRW:
		r = v.b.uw[v.imm & 7];
		break;
	case IR_VOP_PEXTRD:
	case IR_VOP_EXTRACTPS:
		r = v.b.ul[v.imm & 3];
		break;
	case IR_VOP_PEXTRQ:
		r = v.b.uq[v.imm & 1];
		break;
	default:
		break;
	}
	if (!vec_fp_report(env, &v.fp))
		return false;
	*d = r;
	return true;
}

bool ir_g_to_vec(struct tcg_env *env, enum ir_vop op, enum ir_type type, union tcg_vreg *d, const union tcg_vreg *a,
		 uint64_t b, uint64_t imm)
{
	int64_t i = type == IR_I64 ? (int64_t)b : (int32_t)b;
	struct vec v;

	begin(&v, env, op, a, NULL, imm);
	switch (op) {
	case IR_VOP_MOVD_V:
		v.r.uq[0] = type == IR_I64 ? b : (uint32_t)b;
		v.r.uq[1] = 0;
		break;
	case IR_VOP_CVTSI2SS:
		v.r.ul[0] = (uint32_t)fp_host_from_int(&v.fp, FP_S, i);
		break;
	case IR_VOP_CVTSI2SD:
		v.r.uq[0] = fp_host_from_int(&v.fp, FP_D, i);
		break;
	case IR_VOP_PINSRB:
		v.r.ub[v.imm & 15] = (uint8_t)b;
		break;
	case IR_VOP_PINSRW:
		v.r.uw[v.imm & 7] = (uint16_t)b;
		break;
	case IR_VOP_PINSRD:
		v.r.ul[v.imm & 3] = (uint32_t)b;
		break;
	case IR_VOP_PINSRQ:
		v.r.uq[v.imm & 1] = b;
		break;
	default:
		break;
	}
	if (!vec_fp_report(env, &v.fp))
		return false;
	memcpy(d, &v.r, sizeof(v.r));
	return true;
}

/* ---- Flags */

/* Explicit length: the magnitude of a register, at most the number of elements. */
static int explicit_length(uint64_t reg, enum ir_type type, int max)
{
	int64_t n = type == IR_I64 ? (int64_t)reg : (int32_t)reg;
	uint64_t m = n < 0 ? -(uint64_t)n : (uint64_t)n;

	return m < (uint64_t)max ? (int)m : max;
}

static int implicit_length(const union xmm *v, unsigned imm)
{
	int max = imm & 1 ? 8 : 16, n = 0;

	while (n < max && (imm & 1 ? v->uw[n] : v->ub[n]))
		n++;
	return n;
}

/* imm[6]: the last set bit instead of the first; a mask of elements instead of bits. */
static void string_result(struct tcg_env *env, const struct vec *v, uint32_t res)
{
	int max = v->imm & 1 ? 8 : 16;
	union xmm mask = {.uq = {0}};

	if (v->op == IR_VOP_PCMPESTRI || v->op == IR_VOP_PCMPISTRI) {
		env->greg[1] = !res	       ? (uint64_t)max
			       : v->imm & 0x40 ? 31u - (unsigned)__builtin_clz(res)
					       : (unsigned)__builtin_ctz(res);
		return;
	}
	if (!(v->imm & 0x40))
		mask.ul[0] = res;
	for (int k = 0; k < max && (v->imm & 0x40); k++) {
		if (v->imm & 1)
			mask.sw[k] = (int16_t) - (int)(res >> k & 1);
		else
			mask.sb[k] = (int8_t) - (int)(res >> k & 1);
	}
	memcpy(&env->vreg[0], &mask, sizeof(mask));
}

static void string_compare(struct tcg_env *env, struct vec *v, enum ir_type type, uint32_t *flags)
{
	bool is_explicit = v->op == IR_VOP_PCMPESTRI || v->op == IR_VOP_PCMPESTRM;
	int max = v->imm & 1 ? 8 : 16;
	int la = is_explicit ? explicit_length(env->greg[0], type, max) : implicit_length(&v->a, v->imm);
	int lb = is_explicit ? explicit_length(env->greg[2], type, max) : implicit_length(&v->b, v->imm);

	string_result(env, v, vec_string_compare(&v->a, &v->b, la, lb, v->imm, flags));
}

bool ir_vec_flags(struct tcg_env *env, enum ir_vop op, enum ir_type type, uint32_t *flags, const union tcg_vreg *a,
		  const union tcg_vreg *b, uint64_t imm)
{
	struct vec v;
	uint32_t fl = 0;

	begin(&v, env, op, a, b, imm);
	switch (op) {
	case IR_VOP_COMISS:
	case IR_VOP_UCOMISS:
		fl = fp_order(&v.fp, FP_S, v.a.ul[0], v.b.ul[0], op == IR_VOP_UCOMISS);
		break;
	case IR_VOP_COMISD:
	case IR_VOP_UCOMISD:
		fl = fp_order(&v.fp, FP_D, v.a.uq[0], v.b.uq[0], op == IR_VOP_UCOMISD);
		break;
	case IR_VOP_PTEST:
		fl = ((v.a.uq[0] & v.b.uq[0]) | (v.a.uq[1] & v.b.uq[1]) ? 0 : F_Z) |
		     ((~v.a.uq[0] & v.b.uq[0]) | (~v.a.uq[1] & v.b.uq[1]) ? 0 : F_C);
		break;
	case IR_VOP_VPTEST:
	case IR_VOP_VTESTPS:
	case IR_VOP_VTESTPD:
		fl = ir_vex_test(op, type == IR_V256, a, b);
		break;
	case IR_VOP_PCMPESTRI:
	case IR_VOP_PCMPESTRM:
	case IR_VOP_PCMPISTRI:
	case IR_VOP_PCMPISTRM:
		string_compare(env, &v, type, &fl);
		break;
	default:
		break;
	}
	if (!vec_fp_report(env, &v.fp))
		return false;
	*flags = fl;
	return true;
}
