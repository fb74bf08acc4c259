/* SPDX-License-Identifier: MIT */
/*
 * Half precision (SDM volume 1, 14.4; volume 2, VCVTPH2PS and VCVTPS2PH): 1 sign, 5 exponent and 10 fraction bits. Denormal halves are
 * numbers like any other whatever DAZ and FTZ say; denormal singles obey DAZ.
 */
#include "tcg/ir/vec_private.h"

#define HALF_INF 0x7c00u
#define HALF_QUIET 0x0200u
#define SINGLE_INF 0x7f800000u
#define SINGLE_QUIET 0x00400000u

uint32_t fp_half_widen(struct fp *fp, uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, frac = h & 0x3ff;

	if (exp == 31) {
		if (frac && !(frac & HALF_QUIET))
			fp->flags |= FP_IE;
		return sign | SINGLE_INF | frac << 13 | (frac ? SINGLE_QUIET : 0);
	}
	if (!exp) {
		if (!frac)
			return sign;
		for (exp = 1; !(frac >> 10); exp--)
			frac <<= 1;
		frac &= 0x3ff;
	}
	return sign | (exp + 127 - 15) << 23 | frac << 13;
}

static bool away_from_zero(enum fp_rc rc, bool negative, bool odd, uint32_t rest, uint32_t half)
{
	switch (rc) {
	case FP_NEAREST:
		return rest > half || (rest == half && odd);
	case FP_DOWN:
		return negative && rest;
	case FP_UP:
		return !negative && rest;
	default:
		return false;
	}
}

static uint16_t overflow(struct fp *fp, uint16_t sign, enum fp_rc rc)
{
	bool to_inf = rc == FP_NEAREST || (rc == FP_UP && !sign) || (rc == FP_DOWN && sign);

	fp->flags |= FP_OE | FP_PE;
	return sign | (to_inf ? HALF_INF : HALF_INF - 1);
}

/* m * 2^(exp - 23 - 127), m with its leading bit 23. */
static uint16_t round_to_half(struct fp *fp, uint16_t sign, uint32_t m, int exp, enum fp_rc rc)
{
	int e = exp - 127 + 15;
	unsigned cut = e > 0 ? 13 : (unsigned)(14 - e);
	uint32_t r, rest;
	bool tiny;

	if (cut > 26)
		cut = 26;
	r = m >> cut;
	rest = m & ((1u << cut) - 1);
	/* Tiny after rounding as if the exponent were unbounded. */
	tiny = e < 0 || (e == 0 && !((m & 0xffffff) >= 0xffe000 &&
				     away_from_zero(rc, sign, m >> 13 & 1, m & 0x1fff, 0x1000) && (m >> 13) == 0x7ff));
	r += away_from_zero(rc, sign, r & 1, rest, 1u << (cut - 1));
	if (e > 0)
		r += (uint32_t)(e - 1) << 10;
	if (r >= HALF_INF)
		return overflow(fp, sign, rc);
	if (rest)
		fp->flags |= FP_PE;
	if (tiny && (rest || !(fp->mxcsr & FP_UE << FP_MASK_SHIFT)))
		fp->flags |= FP_UE;
	return (uint16_t)(sign | r);
}

uint16_t fp_half_narrow(struct fp *fp, uint32_t s, unsigned imm)
{
	enum fp_rc rc = imm & 4 ? fp_rc(fp) : (enum fp_rc)(imm & 3);
	uint16_t sign = (uint16_t)(s >> 16 & 0x8000);
	uint32_t frac = s & 0x7fffff;
	int exp = (int)(s >> 23 & 0xff);

	if (exp == 0xff) {
		if (frac && !(frac & SINGLE_QUIET))
			fp->flags |= FP_IE;
		return (uint16_t)(sign | HALF_INF | frac >> 13 | (frac ? HALF_QUIET : 0));
	}
	if (!exp) {
		if (!frac || (fp->mxcsr & FP_DAZ))
			return sign;
		fp->flags |= FP_DE;
		return round_to_half(fp, sign, frac, 1, rc);
	}
	return round_to_half(fp, sign, frac | 0x800000, exp, rc);
}
