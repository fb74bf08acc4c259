/* SPDX-License-Identifier: MIT */
/*
 * The host's floating point under a guest's MXCSR: the one host-specific spot of the vector unit. On x86-64 the host's
 * control register takes rounding, DAZ and FTZ directly and gives the flags back; elsewhere C's <fenv.h> does, with
 * denormals handled by hand.
 *
 * Volatile operands and results keep each operation between the change of mode and the look at the flags, and in its
 * branch: compilers think that arithmetic has no side effects.
 */
#include <math.h>
#include <string.h>

#include "tcg/ir/vec_private.h"

static double to_d(uint64_t v)
{
	double d;

	memcpy(&d, &v, 8);
	return d;
}

static float to_s(uint64_t v)
{
	uint32_t w = (uint32_t)v;
	float f;

	memcpy(&f, &w, 4);
	return f;
}

static uint64_t of_d(double d)
{
	uint64_t v;

	memcpy(&v, &d, 8);
	return v;
}

static uint64_t of_s(float f)
{
	uint32_t v;

	memcpy(&v, &f, 4);
	return v;
}

#if defined(__x86_64__) && !defined(COHORT_PORTABLE_FP)
#include <immintrin.h>

typedef uint32_t host_mode;

static host_mode host_enter(const struct fp *fp)
{
	host_mode saved = _mm_getcsr();

	_mm_setcsr((fp->mxcsr & (FP_RC | FP_DAZ | FP_FTZ)) | FP_FLAGS << FP_MASK_SHIFT);
	return saved;
}

static void host_leave(struct fp *fp, host_mode saved)
{
	fp->flags |= _mm_getcsr() & FP_FLAGS;
	_mm_setcsr(saved);
}

static double host_sqrt(double v)
{
	return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(v)));
}

static float host_sqrtf(float v)
{
	return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v)));
}

static uint64_t host_in(struct fp *fp, enum fp_fmt fmt, uint64_t v)
{
	(void)fp;
	(void)fmt;
	return v;
}

static uint64_t host_out(struct fp *fp, enum fp_fmt fmt, uint64_t v)
{
	(void)fp;
	(void)fmt;
	return v;
}

uint32_t fp_host_rcp(uint32_t s)
{
	return (uint32_t)of_s(_mm_cvtss_f32(_mm_rcp_ss(_mm_set_ss(to_s(s)))));
}

uint32_t fp_host_rsqrt(uint32_t s)
{
	return (uint32_t)of_s(_mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(to_s(s)))));
}
#else
#include <fenv.h>

typedef fenv_t host_mode;

static host_mode host_enter(const struct fp *fp)
{
	static const int modes[4] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
	host_mode saved;

	feholdexcept(&saved);
	fesetround(modes[fp_rc(fp)]);
	return saved;
}

static void host_leave(struct fp *fp, host_mode saved)
{
	int raised = fetestexcept(FE_ALL_EXCEPT);

	fp->flags |= (raised & FE_INVALID ? FP_IE : 0) | (raised & FE_DIVBYZERO ? FP_ZE : 0) |
		     (raised & FE_OVERFLOW ? FP_OE : 0) | (raised & FE_UNDERFLOW ? FP_UE : 0) |
		     (raised & FE_INEXACT ? FP_PE : 0);
	fesetenv(&saved);
}

static double host_sqrt(double v)
{
	return sqrt(v);
}

static float host_sqrtf(float v)
{
	return sqrtf(v);
}

static bool is_denormal(enum fp_fmt fmt, uint64_t v)
{
	return fmt == FP_D ? !(v & 0x7ff0000000000000ull) && v << 1 : !(v & 0x7f800000) && (uint32_t)v << 1;
}

static uint64_t host_in(struct fp *fp, enum fp_fmt fmt, uint64_t v)
{
	if (!is_denormal(fmt, v))
		return v;
	if (fp->mxcsr & FP_DAZ)
		return v & (fmt == FP_D ? 1ull << 63 : 1ull << 31);
	fp->flags |= FP_DE;
	return v;
}

/* An operation that is invalid or divides by zero says nothing of denormals. */
static uint64_t host_out(struct fp *fp, enum fp_fmt fmt, uint64_t v)
{
	if (fp->flags & (FP_IE | FP_ZE))
		fp->flags &= ~FP_DE;
	if (!(fp->mxcsr & FP_FTZ) || !(is_denormal(fmt, v) || (fp->flags & FP_UE)))
		return v;
	fp->flags |= FP_UE | FP_PE;
	return v & (fmt == FP_D ? 1ull << 63 : 1ull << 31);
}

/* Denormals count as zeros; twelve bits of the fraction are right. */
static uint32_t approximation(uint32_t s, bool root)
{
	uint32_t sign = s & 0x80000000, mag = s & 0x7fffffff;

	if (mag > 0x7f800000)
		return s | 0x400000;
	if (mag < 0x800000)
		return sign | 0x7f800000;
	if (root && sign)
		return 0xffc00000;
	return (uint32_t)of_s(1.0f / (root ? sqrtf(to_s(s)) : to_s(s))) & ~0xfffu;
}

uint32_t fp_host_rcp(uint32_t s)
{
	return approximation(s, false);
}

uint32_t fp_host_rsqrt(uint32_t s)
{
	return approximation(s, true);
}
#endif

static void op_d(enum fp_op op, volatile double *r, volatile double *a, volatile double *b)
{
	switch (op) {
	case FP_ADD:
		*r = *a + *b;
		break;
	case FP_SUB:
		*r = *a - *b;
		break;
	case FP_MUL:
		*r = *a * *b;
		break;
	case FP_DIV:
		*r = *a / *b;
		break;
	default:
		*r = host_sqrt(*b);
		break;
	}
}

static void op_s(enum fp_op op, volatile float *r, volatile float *a, volatile float *b)
{
	switch (op) {
	case FP_ADD:
		*r = *a + *b;
		break;
	case FP_SUB:
		*r = *a - *b;
		break;
	case FP_MUL:
		*r = *a * *b;
		break;
	case FP_DIV:
		*r = *a / *b;
		break;
	default:
		*r = host_sqrtf(*b);
		break;
	}
}

uint64_t fp_host_op(struct fp *fp, enum fp_op op, enum fp_fmt fmt, uint64_t a, uint64_t b)
{
	struct fp one = {.mxcsr = fp->mxcsr};
	host_mode saved;
	uint64_t r;

	a = op == FP_SQRT ? 0 : host_in(&one, fmt, a);
	b = host_in(&one, fmt, b);
	saved = host_enter(fp);
	if (fmt == FP_D) {
		volatile double vr, va = to_d(a), vb = to_d(b);

		op_d(op, &vr, &va, &vb);
		r = of_d(vr);
	} else {
		volatile float vr, va = to_s(a), vb = to_s(b);

		op_s(op, &vr, &va, &vb);
		r = of_s(vr);
	}
	host_leave(&one, saved);
	r = host_out(&one, fmt, r);
	fp->flags |= one.flags;
	return r;
}

/* One rounding, and under the mode set above: the library uses the host's instruction where there is one. */
uint64_t fp_host_fma(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, uint64_t c)
{
	struct fp one = {.mxcsr = fp->mxcsr};
	host_mode saved;
	uint64_t r;

	a = host_in(&one, fmt, a);
	b = host_in(&one, fmt, b);
	c = host_in(&one, fmt, c);
	saved = host_enter(fp);
	if (fmt == FP_D) {
		volatile double va = to_d(a), vb = to_d(b), vc = to_d(c), vr = fma(va, vb, vc);

		r = of_d(vr);
	} else {
		volatile float va = to_s(a), vb = to_s(b), vc = to_s(c), vr = fmaf(va, vb, vc);

		r = of_s(vr);
	}
	host_leave(&one, saved);
	r = host_out(&one, fmt, r);
	fp->flags |= one.flags;
	return r;
}

uint64_t fp_host_narrow(struct fp *fp, uint64_t d)
{
	struct fp one = {.mxcsr = fp->mxcsr};
	volatile double v = to_d(host_in(&one, FP_D, d));
	host_mode saved = host_enter(fp);
	volatile float s = (float)v;
	uint64_t r;

	host_leave(&one, saved);
	r = host_out(&one, FP_S, of_s(s));
	fp->flags |= one.flags;
	return r;
}

uint64_t fp_host_from_int(struct fp *fp, enum fp_fmt fmt, int64_t i)
{
	volatile int64_t v = i;
	host_mode saved = host_enter(fp);
	uint64_t r;

	if (fmt == FP_D) {
		volatile double d = (double)v;

		r = of_d(d);
	} else {
		volatile float s = (float)v;

		r = of_s(s);
	}
	host_leave(fp, saved);
	return r;
}
