/* SPDX-License-Identifier: MIT */
/*
 * Floating point: SSE and x87 mixed, long double, every rounding mode, exception flags, conversions with their edge
 * cases, denormals, the C library's functions, and the x87's own transcendental instructions. Checksums cover the bits
 * of every result.
 *
 *   fp [ROUNDS]
 *
 * The C library picks variants by CPUID (FMA, AVX2), whose last bits differ; the test turns those off on both sides
 * through GLIBC_TUNABLES.
 */
#define _GNU_SOURCE
#include "user.h"

#include <fenv.h>
#include <math.h>

static const char *const me = "fp";
static long rounds;

static double any_double(uint64_t *rng)
{
	uint64_t v = rng_next(rng);
	double d;

	/* Mostly usual magnitudes; sometimes any bits at all, or a special value. */
	switch (v & 15) {
	case 0: d = 0.0; break;
	case 1: d = -0.0; break;
	case 2: d = 1.0; break;
	case 3: d = HUGE_VAL; break;
	case 4: v = rng_next(rng) & 0x800fffffffffffffull; memcpy(&d, &v, 8); break;
	case 5: v = rng_next(rng); memcpy(&d, &v, 8); break;
	default: d = (double)(int64_t)rng_next(rng) * 0x1p-40; break;
	}
	return d;
}

static uint64_t hash_d(uint64_t h, double d)
{
	return hash_bytes(h, &d, sizeof(d));
}

static uint64_t hash_ld(uint64_t h, long double d)
{
	return hash_bytes(h, &d, 10);
}

static uint64_t hash_flags(uint64_t h)
{
	h = hash_u64(h, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	return h;
}

static uint64_t double_ops(uint64_t h, volatile double *a, volatile double *b)
{
	volatile float f = (float)*a, g = (float)*b;

	h = hash_d(h, *a + *b);
	h = hash_d(h, *a - *b);
	h = hash_d(h, *a * *b);
	h = hash_d(h, *a / *b);
	h = hash_d(h, __builtin_sqrt(fabs(*a)));
	h = hash_d(h, (double)(f * g + f));
	h = hash_d(h, (double)(f / g));
	h = hash_u64(h, (uint64_t)(*a < *b) | (uint64_t)(*a == *b) << 1 | (uint64_t)(*a >= *b) << 2);
	return hash_flags(h);
}

static uint64_t extended_ops(uint64_t h, volatile long double *a, volatile long double *b)
{
	h = hash_ld(h, *a + *b);
	h = hash_ld(h, *a - *b);
	h = hash_ld(h, *a * *b);
	h = hash_ld(h, *a / *b);
	h = hash_ld(h, sqrtl(fabsl(*a)));
	h = hash_d(h, (double)(*a * 3.0L));
	h = hash_d(h, (float)(*b * 3.0L));
	h = hash_u64(h, (uint64_t)(*a < *b) | (uint64_t)(*a == *b) << 1);
	return hash_flags(h);
}

static uint64_t conversions(uint64_t h, double d)
{
	int64_t q;
	int32_t l;
	double back;

	__asm__ volatile("cvtsd2si %1, %0" : "=r"(q) : "x"(d));
	h = hash_u64(h, (uint64_t)q);
	__asm__ volatile("cvttsd2si %1, %0" : "=r"(l) : "x"(d));
	h = hash_u64(h, (uint64_t)(uint32_t)l);
	__asm__ volatile("cvtsi2sdq %1, %0" : "=x"(back) : "r"(q ^ (q >> 3)));
	h = hash_d(h, back);
	__asm__ volatile("fldl %1\n\tfistpll %0" : "=m"(q) : "m"(d));
	h = hash_u64(h, (uint64_t)q);
	__asm__ volatile("fldl %1\n\tfrndint\n\tfstpl %0" : "=m"(back) : "m"(d));
	h = hash_d(h, back);
	h = hash_u64(h, (uint64_t)llrint(fmod(d, 1e15)));
	return hash_flags(h);
}

static void test_arith(void)
{
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };

	for (int m = 0; m < 4; m++) {
		uint64_t rng = 42, h = FNV_BASIS, c = FNV_BASIS;
		char topic[16];

		fesetround(modes[m]);
		for (long i = 0; i < rounds; i++) {
			volatile double a = any_double(&rng), b = any_double(&rng);
			volatile long double la = (long double)a * 1.0000000001L, lb = b;

			h = double_ops(h, &a, &b);
			h = extended_ops(h, &la, &lb);
			c = conversions(c, a);
		}
		fesetround(FE_TONEAREST);
		snprintf(topic, sizeof(topic), "arith-%d", m);
		report(me, topic, h);
		snprintf(topic, sizeof(topic), "convert-%d", m);
		report(me, topic, c);
	}
}

static void test_libm(void)
{
	uint64_t rng = 3, h = FNV_BASIS, hl = FNV_BASIS;

	for (long i = 0; i < rounds / 4; i++) {
		double x = (double)(int64_t)rng_next(&rng) * 0x1p-58, y = (double)(int64_t)rng_next(&rng) * 0x1p-60;
		long double lx = x, ly = y;

		h = hash_d(hash_d(hash_d(h, sin(x)), cos(x)), tan(x));
		h = hash_d(hash_d(hash_d(h, exp(x)), log(fabs(x))), pow(fabs(x), y));
		h = hash_d(hash_d(hash_d(h, atan2(x, y)), cbrt(x)), hypot(x, y));
		h = hash_d(hash_d(hash_d(h, tgamma(y)), erf(y)), sinh(y));
		hl = hash_ld(hash_ld(hash_ld(hl, sinl(lx)), expl(lx)), logl(fabsl(lx)));
		hl = hash_ld(hash_ld(hash_ld(hl, powl(fabsl(lx), ly)), atan2l(lx, ly)), fmodl(lx, 0.7L));
	}
	report(me, "libm", h);
	report(me, "libml", hl);
}

/* The x87's own functions: with the guest's FPU instructions on the host's FPU these agree to the last bit. */
static void test_x87(void)
{
	uint64_t rng = 5, h = FNV_BASIS;

	for (long i = 0; i < rounds / 4; i++) {
		long double x = (long double)(int64_t)rng_next(&rng) * 0x1p-62L, r, s;
		unsigned short status, before;

		__asm__ volatile("fsincos" : "=t"(r), "=u"(s) : "0"(x));
		h = hash_ld(hash_ld(h, r), s);
		__asm__ volatile("fptan" : "=t"(r), "=u"(s) : "0"(x));
		h = hash_ld(hash_ld(h, r), s);
		__asm__ volatile("fpatan" : "=t"(r) : "0"(x), "u"(0.75L) : "st(1)");
		h = hash_ld(h, r);
		__asm__ volatile("f2xm1" : "=t"(r) : "0"(x / 4));
		h = hash_ld(h, r);
		__asm__ volatile("fyl2x" : "=t"(r) : "0"(fabsl(x) + 0x1p-70L), "u"(3.0L) : "st(1)");
		h = hash_ld(h, r);
		__asm__ volatile("fprem1\n\tfnstsw %1" : "=t"(r), "=a"(status) : "0"(x * 1e6L), "u"(0.37L));
		h = hash_u64(hash_ld(h, r), status & 0x4700);
		__asm__ volatile("fxtract" : "=t"(r), "=u"(s) : "0"(x));
		h = hash_ld(hash_ld(h, r), s);
		__asm__ volatile("fscale\n\tfxam\n\tfnstsw %1" : "=t"(r), "=a"(before) : "0"(x), "u"(5.0L));
		h = hash_u64(hash_ld(h, r), before & 0x4700);
	}
	report(me, "x87", h);
}

/* Both units in one expression, values bouncing between them. */
static void test_mix(void)
{
	double a = 0.3, b = 0.7;
	long double c = 0.1L;
	uint64_t h = FNV_BASIS;

	for (long i = 0; i < rounds * 4; i++) {
		c = c * 3.7L * (1.0L - c);
		a = a * 3.8 * (1.0 - a) + (double)c * 0x1p-20;
		b = __builtin_sqrt(a * b) * 0.9 + 0.05;
		if (i % 64 == 0)
			h = hash_ld(hash_d(hash_d(h, a), b), c + (long double)a);
	}
	report(me, "mix", h);
}

/* Packed SSE2 on many lanes, with flush-to-zero and denormals-are-zero on and off. */
static void test_packed(void)
{
	typedef double v2d __attribute__((vector_size(16)));
	typedef float v4f __attribute__((vector_size(16)));
	uint64_t h = FNV_BASIS;
	v2d d = { 1.1, 2.2 };
	v4f f = { 1.5f, 2.5f, 3.5f, 4.5f };

	for (int mode = 0; mode < 2; mode++) {
		unsigned csr = 0x1f80 | (mode ? 0x8040 : 0);

		__asm__ volatile("ldmxcsr %0" : : "m"(csr));
		for (long i = 0; i < rounds; i++) {
			d = d * (v2d){ 0.99, 1e-3 } + (v2d){ 1e-310, 1e-300 };
			f = f * f - (v4f){ 0.5f, 1e-38f, 2.0f, 0.25f };
			f = (v4f)((__typeof__((v4f){} == (v4f){}))f & 0x7fbfffff);
			__asm__ volatile("maxps %1, %0\n\tminps %2, %0\n\tshufps $0x39, %0, %0"
					 : "+x"(f) : "x"((v4f){ 0.1f, 1e-40f, 0.3f, 0.4f }),
					   "x"((v4f){ 9.f, 9.f, 9.f, 9.f }));
			h = hash_bytes(hash_bytes(h, &d, 16), &f, 16);
		}
		__asm__ volatile("stmxcsr %0" : "=m"(csr));
		h = hash_u64(h, csr);
	}
	report(me, "packed", h);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 4000);
	test_arith();
	test_libm();
	test_x87();
	test_mix();
	test_packed();
	return 0;
}
