/* SPDX-License-Identifier: MIT */
/*
 * SSE floating point, element by element (SDM volume 1, chapters 4.8, 4.9, 11.5; volume 2 for each instruction). The
 * host does the arithmetic on numbers (vec_fp_host.c); here is what x86 says about NaNs, denormals, comparisons and
 * conversions.
 *
 * NaNs: the first operand that is a NaN is the result, made quiet; a signalling one raises IE. Operations that are
 * invalid without a NaN give the "real indefinite", a negative quiet NaN.
 */
#include "tcg/ir/vec_private.h"

struct layout {
	unsigned bits, frac; /* width; bits of the fraction */
	int bias;
};

static const struct layout layouts[2] = {{32, 23, 127}, {64, 52, 1023}};

static uint64_t sign_bit(enum fp_fmt f)
{
	return 1ull << (layouts[f].bits - 1);
}

static uint64_t frac_mask(enum fp_fmt f)
{
	return (1ull << layouts[f].frac) - 1;
}

static uint64_t exp_mask(enum fp_fmt f)
{
	return (sign_bit(f) - 1) & ~frac_mask(f);
}

static uint64_t quiet_bit(enum fp_fmt f)
{
	return 1ull << (layouts[f].frac - 1);
}

static bool is_nan(enum fp_fmt f, uint64_t v)
{
	return (v & (sign_bit(f) - 1)) > exp_mask(f);
}

static bool is_snan(enum fp_fmt f, uint64_t v)
{
	return is_nan(f, v) && !(v & quiet_bit(f));
}

static bool is_denormal(enum fp_fmt f, uint64_t v)
{
	return !(v & exp_mask(f)) && (v & frac_mask(f));
}

static bool is_zero(enum fp_fmt f, uint64_t v)
{
	return !(v & (sign_bit(f) - 1));
}

static uint64_t indefinite(enum fp_fmt f)
{
	return sign_bit(f) | exp_mask(f) | quiet_bit(f);
}

/* A denormal operand: zero under DAZ, otherwise noted. */
static uint64_t take(struct fp *fp, enum fp_fmt f, uint64_t v)
{
	if (!is_denormal(f, v))
		return v;
	if (fp->mxcsr & FP_DAZ)
		return v & sign_bit(f);
	fp->flags |= FP_DE;
	return v;
}

uint64_t fp_arith(struct fp *fp, enum fp_op op, enum fp_fmt f, uint64_t a, uint64_t b)
{
	uint64_t r;

	if (op == FP_SQRT)
		a = 0;
	if (is_nan(f, a) || is_nan(f, b)) {
		if (is_snan(f, a) || is_snan(f, b))
			fp->flags |= FP_IE;
		return (is_nan(f, a) ? a : b) | quiet_bit(f);
	}
	r = fp_host_op(fp, op, f, a, b);
	if (is_nan(f, r))
		return indefinite(f);
	/* An unmasked underflow is raised for exact results too. */
	if (is_denormal(f, r) && !(fp->mxcsr & FP_UE << FP_MASK_SHIFT))
		fp->flags |= FP_UE;
	return r;
}

/* -1, 0, 1 of two numbers. */
static int order(enum fp_fmt f, uint64_t a, uint64_t b)
{
	bool na = a & sign_bit(f), nb = b & sign_bit(f);

	if (is_zero(f, a) && is_zero(f, b))
		return 0;
	if (na != nb)
		return na ? -1 : 1;
	if (a == b)
		return 0;
	return (a < b) != na ? -1 : 1;
}

/* The second operand if either is a NaN or both are zero; a quiet NaN is invalid as well. */
uint64_t fp_minmax(struct fp *fp, enum fp_fmt f, uint64_t a, uint64_t b, bool max)
{
	int o;

	if (is_nan(f, a) || is_nan(f, b)) {
		fp->flags |= FP_IE;
		return is_denormal(f, b) && (fp->mxcsr & FP_DAZ) ? b & sign_bit(f) : b;
	}
	a = take(fp, f, a);
	b = take(fp, f, b);
	o = order(f, a, b);
	return (max ? o > 0 : o < 0) ? a : b;
}

/* Which of less, equal, greater, unordered make predicate n true; bit 4 of the predicate only changes whether quiet NaNs are invalid. */
#define LT 1u
#define EQ 2u
#define GT 4u
#define UN 8u
static const uint8_t predicates[16] = {
	EQ, LT, LT | EQ, UN, LT | GT | UN, EQ | GT | UN, GT | UN, LT | EQ | GT,
	EQ | UN, LT | UN, LT | EQ | UN, 0, LT | GT, EQ | GT, GT, LT | EQ | GT | UN,
};

bool fp_compare(struct fp *fp, enum fp_fmt f, uint64_t a, uint64_t b, unsigned predicate)
{
	bool signals = (predicate & 3) == 1 || (predicate & 3) == 2;
	int o;

	if (is_nan(f, a) || is_nan(f, b)) {
		if (signals != (predicate >> 4 & 1) || is_snan(f, a) || is_snan(f, b))
			fp->flags |= FP_IE;
		return predicates[predicate & 15] & UN;
	}
	a = take(fp, f, a);
	b = take(fp, f, b);
	o = order(f, a, b);
	return predicates[predicate & 15] & (o < 0 ? LT : o ? GT : EQ);
}

uint32_t fp_order(struct fp *fp, enum fp_fmt f, uint64_t a, uint64_t b, bool quiet)
{
	int o;

	if (is_nan(f, a) || is_nan(f, b)) {
		if (!quiet || is_snan(f, a) || is_snan(f, b))
			fp->flags |= FP_IE;
		return F_Z | F_P | F_C;
	}
	a = take(fp, f, a);
	b = take(fp, f, b);
	o = order(f, a, b);
	return o < 0 ? F_C : o ? 0 : F_Z;
}

/* ---- Conversions */

uint64_t fp_widen(struct fp *fp, uint64_t s)
{
	uint64_t sign = (s & sign_bit(FP_S)) << 32, frac;
	int exp;

	if (is_nan(FP_S, s)) {
		if (is_snan(FP_S, s))
			fp->flags |= FP_IE;
		return sign | exp_mask(FP_D) | quiet_bit(FP_D) | (s & frac_mask(FP_S)) << 29;
	}
	s = take(fp, FP_S, s);
	frac = (s & frac_mask(FP_S)) << 29;
	exp = (int)((s & exp_mask(FP_S)) >> 23);
	if (exp == 0xff)
		return sign | exp_mask(FP_D);
	if (!exp) {
		if (!frac)
			return sign;
		for (exp = 1; !(frac >> 52); exp--)
			frac <<= 1;
		frac &= frac_mask(FP_D);
	}
	return sign | (uint64_t)(exp + 1023 - 127) << 52 | frac;
}

uint64_t fp_narrow(struct fp *fp, uint64_t d)
{
	uint64_t r;

	if (is_nan(FP_D, d)) {
		if (is_snan(FP_D, d))
			fp->flags |= FP_IE;
		return (d & sign_bit(FP_D)) >> 32 | exp_mask(FP_S) | quiet_bit(FP_S) | (d & frac_mask(FP_D)) >> 29;
	}
	r = fp_host_narrow(fp, d);
	if (is_denormal(FP_S, r) && !(fp->mxcsr & FP_UE << FP_MASK_SHIFT))
		fp->flags |= FP_UE;
	return r;
}

/* Must a magnitude be rounded away from zero? `rest` are the bits cut off, aligned to the top of 64. */
static bool round_up(enum fp_rc rc, bool negative, bool odd, uint64_t rest)
{
	switch (rc) {
	case FP_NEAREST:
		return rest > 1ull << 63 || (rest == 1ull << 63 && odd);
	case FP_DOWN:
		return negative && rest;
	case FP_UP:
		return !negative && rest;
	default:
		return false;
	}
}

/* |v| as an integer, rounded; v is finite and below 2^64. */
static uint64_t magnitude(enum fp_fmt f, uint64_t v, enum fp_rc rc, bool *inexact)
{
	int exp = (int)((v & exp_mask(f)) >> layouts[f].frac);
	uint64_t m = (v & frac_mask(f)) | (exp ? 1ull << layouts[f].frac : 0), rest;
	int shift = (exp ? exp : 1) - layouts[f].bias - (int)layouts[f].frac;

	*inexact = false;
	if (shift >= 0)
		return m << shift;
	shift = -shift;
	if (shift > 64) {
		rest = m != 0;
		m = 0;
	} else if (shift == 64) {
		rest = m;
		m = 0;
	} else {
		rest = m << (64 - shift);
		m >>= shift;
	}
	*inexact = rest != 0;
	return m + round_up(rc, v & sign_bit(f), m & 1, rest);
}

/* To a signed integer of `bits`; what does not fit is invalid and gives the "integer indefinite", 1 followed by zeros.
 */
uint64_t fp_to_int(struct fp *fp, enum fp_fmt f, uint64_t v, unsigned bits, enum fp_rc rc)
{
	uint64_t limit = 1ull << (bits - 1), m = 0;
	int exp = (int)((v & exp_mask(f)) >> layouts[f].frac) - layouts[f].bias;
	bool negative = v & sign_bit(f), inexact = false;

	if (is_denormal(f, v) && (fp->mxcsr & FP_DAZ))
		return 0;
	if (exp < 64)
		m = magnitude(f, v, rc, &inexact);
	if (exp >= 64 || m > limit || (m == limit && !negative)) {
		fp->flags |= FP_IE;
		return limit;
	}
	if (inexact)
		fp->flags |= FP_PE;
	return (negative ? -m : m) & (limit << 1 ? (limit << 1) - 1 : ~0ull);
}

/* A whole number below 2^(frac + 1) as a floating-point value; exact. */
static uint64_t from_magnitude(enum fp_fmt f, uint64_t m)
{
	unsigned top;

	if (!m)
		return 0;
	top = 63 - (unsigned)__builtin_clzll(m);
	if (top > layouts[f].frac) /* rounded up to the next power of two */
		m >>= top - layouts[f].frac;
	else
		m <<= layouts[f].frac - top;
	return (m & frac_mask(f)) | (uint64_t)(top + (unsigned)layouts[f].bias) << layouts[f].frac;
}

/* ROUNDxx: imm[1:0] mode, imm[2] mode of MXCSR instead, imm[3] inexact is not reported. */
uint64_t fp_round(struct fp *fp, enum fp_fmt f, uint64_t v, unsigned imm)
{
	int exp = (int)((v & exp_mask(f)) >> layouts[f].frac) - layouts[f].bias;
	uint64_t sign = v & sign_bit(f), m;
	bool inexact;

	if (is_nan(f, v)) {
		if (is_snan(f, v))
			fp->flags |= FP_IE;
		return v | quiet_bit(f);
	}
	if (is_denormal(f, v) && (fp->mxcsr & FP_DAZ))
		return sign;
	if (exp >= (int)layouts[f].frac)
		return v;
	m = magnitude(f, v, imm & 4 ? fp_rc(fp) : (enum fp_rc)(imm & 3), &inexact);
	if (inexact && !(imm & 8))
		fp->flags |= FP_PE;
	return sign | from_magnitude(f, m);
}
