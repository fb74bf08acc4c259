/* SPDX-License-Identifier: MIT */
/*
 * Fused multiplication and addition (SDM volume 1, 14.5.2 and table 14-13): the rules for NaNs; numbers are the host's business.
 */
#include "tcg/ir/vec_private.h"

struct format {
	uint64_t sign, inf, quiet;
};

static const struct format formats[2] = {
	{0x80000000u, 0x7f800000u, 0x00400000u},
	{0x8000000000000000ull, 0x7ff0000000000000ull, 0x0008000000000000ull},
};

static bool is_nan(const struct format *f, uint64_t v)
{
	return (v & ~f->sign) > f->inf;
}

static bool is_snan(const struct format *f, uint64_t v)
{
	return is_nan(f, v) && !(v & f->quiet);
}

static bool is_denormal(const struct format *f, uint64_t v)
{
	return !(v & f->inf) && (v & ~f->sign);
}

/* The first factor that is a NaN, then the other, then the addend; negation does not touch NaNs. */
static uint64_t of_nans(struct fp *fp, const struct format *f, uint64_t a, uint64_t b, uint64_t c)
{
	if (is_snan(f, a) || is_snan(f, b) || is_snan(f, c))
		fp->flags |= FP_IE;
	return (is_nan(f, a) ? a : is_nan(f, b) ? b : c) | f->quiet;
}

uint64_t fp_fma(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, uint64_t c, bool negate_product, bool negate_addend)
{
	const struct format *f = &formats[fmt];
	uint64_t r;

	if (is_nan(f, a) || is_nan(f, b) || is_nan(f, c))
		return of_nans(fp, f, a, b, c);
	r = fp_host_fma(fp, fmt, negate_product ? a ^ f->sign : a, b, negate_addend ? c ^ f->sign : c);
	if (is_nan(f, r))
		return f->sign | f->inf | f->quiet;
	/* An unmasked underflow is raised for exact results too. */
	if (is_denormal(f, r) && !(fp->mxcsr & FP_UE << FP_MASK_SHIFT))
		fp->flags |= FP_UE;
	return r;
}
