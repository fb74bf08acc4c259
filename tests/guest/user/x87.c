/* SPDX-License-Identifier: MIT */
/*
 * Programs that live on the x87: iterations in extended precision, all of its own functions under every precision and rounding control,
 * packed decimals, environments and images, and what happens when its stack overflows. Checksums cover all 80 bits of results, the status
 * word and the tags.
 *
 *   x87 [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <math.h>

static const char *const me = "x87";
static long rounds;
static uint64_t rng = 87;

static uint64_t hash_ld(uint64_t h, long double d)
{
	return hash_bytes(h, &d, 10);
}

static long double any_value(void)
{
	uint64_t m = rng_next(&rng), kind = rng_next(&rng);
	uint16_t e = (uint16_t)(kind >> 16 & 0x8000);
	long double d = 0;

	switch (kind & 7) {
	case 0: e |= 0; m &= ~(1ull << 63); break; /* denormal */
	case 1: e |= 0x7fff; m |= 1ull << 63; break; /* infinity, NaN */
	case 2: e |= (uint16_t)(0x3fff + (kind >> 32) % 70); m = 1ull << 63 | (m & 0xfffull << 51); break; /* few bits */
	default: e |= (uint16_t)(0x3fff - 20 + (kind >> 32) % 40); m |= 1ull << 63;
	}
	memcpy(&d, &m, 8);
	memcpy((char *)&d + 8, &e, 2);
	return d;
}

static void set_control(unsigned cw)
{
	uint16_t w = (uint16_t)cw;

	__asm__ volatile("fnclex\n\tfldcw %0" : : "m"(w));
}

static unsigned status(void)
{
	uint16_t w;

	__asm__ volatile("fnstsw %0" : "=am"(w));
	return w;
}

/* Logistic map, a series for pi, Newton's square roots: rounding errors of 64 bits add up. */
static void test_iterations(void)
{
	long double x = 0.3L, pi = 0, k = 1, root = 2, sum = 0;
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds * 10; r++) {
		x = 3.99L * x * (1 - x);
		pi += 4 / k;
		k = -(k < 0 ? k - 2 : k + 2);
		root = (root + (2 + x) / root) / 2;
		sum += sqrtl(x) / (1 + fabsl(pi)) - (long double)(float)root + (long double)(double)x;
		if (r % 64 == 0)
			h = hash_ld(hash_ld(hash_ld(h, x), pi), sum);
	}
	report(me, "iterations", hash_ld(hash_ld(h, root), k));
}

#define UNARY(insn) \
	do { \
		long double d = a; \
		__asm__ volatile(insn : "+t"(d)); \
		h = hash_u64(hash_ld(h, d), status() & 0x7fff); \
	} while (0)
#define BINARY(insn) \
	do { \
		long double d = a; \
		__asm__ volatile(insn : "+t"(d) : "u"(b)); \
		h = hash_u64(hash_ld(h, d), status() & 0x7fff); \
	} while (0)
/* Pops its second operand. */
#define BINARY_POP(insn) \
	do { \
		long double d = a; \
		__asm__ volatile(insn : "+t"(d) : "u"(b) : "st(1)"); \
		h = hash_u64(hash_ld(h, d), status() & 0x7fff); \
	} while (0)
#define PUSHES(insn) \
	do { \
		long double d, e = a; \
		__asm__ volatile(insn : "=t"(d), "=u"(e) : "0"(e)); \
		h = hash_u64(hash_ld(hash_ld(h, d), e), status() & 0x7fff); \
	} while (0)

static void test_functions(void)
{
	static const unsigned controls[] = { 0x37f, 0x27f, 0x7f, 0x77f, 0xb7f, 0xf7f, 0x67f, 0xc7f };
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds * 2; r++) {
		long double a = any_value(), b = any_value();

		set_control(controls[r & 7]);
		UNARY("fsqrt");
		UNARY("frndint");
		UNARY("fsin");
		UNARY("fcos");
		UNARY("fxam");
		UNARY("ftst");
		if (fabsl(a) <= 1)
			UNARY("f2xm1");
		BINARY("fscale");
		BINARY("fprem");
		BINARY("fprem1");
		BINARY("fadd %%st(1), %0");
		BINARY("fsubr %%st(1), %0");
		BINARY("fmul %%st(1), %0");
		BINARY("fdiv %%st(1), %0");
		BINARY("fdivr %%st(1), %0");
		BINARY("fucom %%st(1)");
		BINARY("fcom %%st(1)");
		BINARY_POP("fpatan");
		BINARY_POP("fyl2x");
		if (fabsl(a) < 0.29L)
			BINARY_POP("fyl2xp1");
		PUSHES("fsincos");
		PUSHES("fxtract");
		PUSHES("fptan");
		set_control(0x37f);
	}
	report(me, "functions", h);
}

static void test_integers(void)
{
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds * 2; r++) {
		long double a = any_value(), back;
		uint8_t bcd[10];
		int64_t q, t;
		int32_t l;
		int16_t w;
		double d;
		float f;

		set_control(0x37f | (unsigned)(r & 3) << 10);
		__asm__ volatile("fld %%st(0)\n\tfbstp %0" : "=m"(bcd) : "t"(a));
		__asm__ volatile("fbld %1" : "=t"(back) : "m"(bcd));
		__asm__ volatile("fld %%st(0)\n\tfistpll %0" : "=m"(q) : "t"(a));
		__asm__ volatile("fld %%st(0)\n\tfisttpll %0" : "=m"(t) : "t"(a));
		__asm__ volatile("fistl %0" : "=m"(l) : "t"(a));
		__asm__ volatile("fists %0" : "=m"(w) : "t"(a));
		__asm__ volatile("fstl %0" : "=m"(d) : "t"(a));
		__asm__ volatile("fsts %0" : "=m"(f) : "t"(a));
		h = hash_ld(hash_bytes(h, bcd, 10), back);
		h = hash_u64(hash_u64(hash_u64(hash_u64(h, (uint64_t)q), (uint64_t)t), (uint32_t)l), (uint16_t)w);
		h = hash_u64(hash_bytes(hash_bytes(h, &d, 8), &f, 4), status());
		set_control(0x37f);
	}
	report(me, "integers", h);
}

/* The stack over its end, tags, environments: what an image says of pointers to code and data is left out. */
static void test_stack(void)
{
	struct {
		uint32_t fcw, fsw, ftw, pointers[4];
		uint8_t st[8][10];
	} __attribute__((packed)) image;
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds; r++) {
		long double a = any_value(), top;

		__asm__ volatile("fninit\n\tfldpi\n\tfldl2e\n\tfldlg2\n\tfldln2\n\tfldl2t\n\tfldz\n\tfld1\n\tfldt %0\n\tfld %%st(3)\n\tfxch %%st(5)\n\t"
				 "ffree %%st(2)\n\tfincstp\n\tfaddp\n\tfdecstp\n\tfcomi %%st(1)\n\tfcmovnu %%st(4), %%st\n\tfmul %%st, %%st(6)"
				 : : "m"(a) : "cc");
		__asm__ volatile("fnsave %0" : "=m"(image));
		h = hash_u64(hash_u64(hash_u64(h, image.fcw & 0xffff), image.fsw & 0xffff), image.ftw & 0xffff);
		h = hash_bytes(h, image.st, sizeof(image.st));
		image.fcw ^= 0x0c00 & (uint32_t)r;
		image.fsw &= ~0x80ffu;
		__asm__ volatile("frstor %1\n\tfstp %%st(0)\n\tfstp %%st(0)\n\tfldt %2\n\tfstpt %0\n\tfninit" : "=m"(top) : "m"(image), "m"(a));
		h = hash_ld(h, top);
	}
	report(me, "stack", h);
}

static void test_text(void)
{
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds; r++) {
		long double a = any_value();
		char text[64];

		snprintf(text, sizeof(text), "%.20Lg %La", a, a);
		h = hash_bytes(h, text, strlen(text));
		h = hash_ld(h, strtold(text, NULL));
	}
	report(me, "text", h);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 4000);
	test_iterations();
	test_functions();
	test_integers();
	test_stack();
	test_text();
	return 0;
}
