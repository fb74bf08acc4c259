/* SPDX-License-Identifier: MIT */
/*
 * Floating point of 32-bit programs: x87 with every precision and rounding, transcendental functions, integer and BCD
 * stores, FNSAVE and FXSAVE images in their 32-bit and 16-bit layouts, MMX and SSE2, unmasked exceptions as signals.
 */
#include "user32.h"

static const char *const me = "float32";

static uint64_t hash_fp(uint64_t h, long double v)
{
	return hash_bytes(h, &v, 10);
}

static void test_x87(void)
{
	uint64_t h = FNV_BASIS;
	uint32_t seed = 99;

	for (uint32_t mode = 0; mode < 16; mode++) {
		uint16_t cw = (uint16_t)(0x7f | mode << 8);

		__asm__ volatile("fninit\n\tfldcw %0" : : "m"(cw));
		for (unsigned i = 0; i < 100; i++) {
			int32_t a = (int32_t)rng_next(&seed), b = (int32_t)(rng_next(&seed) | 1);
			long double x, y, z;
			int64_t q;
			int32_t l;
			int16_t w;
			uint8_t bcd[10];

			__asm__ volatile("fildl %1\n\tfildl %2\n\tfdivrp\n\t" : "=t"(x) : "m"(a), "m"(b));
			__asm__ volatile("fabs\n\tfsqrt" : "=t"(y) : "0"(x));
			__asm__ volatile("fyl2x" : "=t"(z) : "0"(y < 0 ? -y : y), "u"(x) : "st(1)");
			h = hash_fp(hash_fp(hash_fp(h, x), y), z);
			__asm__ volatile("fsincos\n\tfaddp" : "=t"(z) : "0"(x));
			h = hash_fp(h, z);
			__asm__ volatile("fpatan" : "=t"(z) : "0"(x), "u"(y) : "st(1)");
			h = hash_fp(h, z);
			__asm__ volatile("1:\tfprem1\n\tfnstsw %%ax\n\ttestw $0x400, %%ax\n\tjnz 1b" : "=t"(z) : "0"(x * 1000), "u"(y) : "ax", "cc");
			h = hash_fp(h, z);
			__asm__ volatile("fistpll %0" : "=m"(q) : "t"(x * 65536) : "st");
			__asm__ volatile("fistpl %0" : "=m"(l) : "t"(y) : "st");
			__asm__ volatile("fistps %0" : "=m"(w) : "t"(x) : "st");
			__asm__ volatile("fbstp %0" : "=m"(bcd) : "t"(x * 1000) : "st");
			h = hash_bytes(hash_u32(hash_u32(hash_bytes(h, &q, 8), (uint32_t)l), (uint16_t)w), bcd, 10);
		}
	}
	__asm__ volatile("fninit");
	report(me, "x87", h);
}

/* What depends on the CPU's make in the images: the last instruction's address, opcode and operand. */
static void test_images(void)
{
	static uint8_t fx[512] __attribute__((aligned(16))), env32[108], env16[94];
	uint64_t h = FNV_BASIS;
	uint32_t one = 0x3f800000, seed = 3;

	for (unsigned i = 0; i < 100; i++) {
		int32_t v = (int32_t)rng_next(&seed);

		memset(fx, 0, sizeof(fx));
		__asm__ volatile("fninit\n\tfldpi\n\tfildl %0\n\tfldz\n\tfldl2t\n\tfstp %%st(0)\n\tmovd %1, %%xmm5\n\tfxsave %2"
				 : : "m"(v), "r"(v), "m"(fx) : "xmm5", "memory");
		h = hash_bytes(h, fx, 5);
		for (unsigned r = 0; r < 8; r++)
			h = hash_bytes(h, fx + 32 + 16 * r, 10);
		h = hash_bytes(h, fx + 160 + 5 * 16, 16);
		__asm__ volatile("fnsave %0" : "=m"(env32));
		h = hash_bytes(hash_bytes(hash_bytes(h, env32, 2), env32 + 4, 2), env32 + 8, 2);
		h = hash_bytes(h, env32 + 28, 80);
		__asm__ volatile("frstor %0\n\tfadds %1\n\tdata16 fnsave %2" : : "m"(env32), "m"(one), "m"(env16) : "memory");
		h = hash_bytes(hash_bytes(h, env16, 6), env16 + 14, 80);
		__asm__ volatile("data16 frstor %0\n\tfxsave %1" : : "m"(env16), "m"(fx) : "memory");
		h = hash_bytes(h, fx, 5);
		for (unsigned r = 0; r < 8; r++)
			h = hash_bytes(h, fx + 32 + 16 * r, 10);
	}
	__asm__ volatile("fninit");
	report(me, "images", h);
}

static void test_vectors(void)
{
	uint32_t a[4], b[4], m[2], seed = 5;
	uint64_t h = FNV_BASIS;

	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < 4; k++) {
			a[k] = rng_next(&seed) & 0x7effffff;
			b[k] = rng_next(&seed) & 0x7effffff;
		}
		__asm__ volatile("movups %0, %%xmm0\n\tmovups %1, %%xmm1\n\tmovaps %%xmm0, %%xmm2\n\tmulps %%xmm1, %%xmm2\n\t"
				 "paddd %%xmm2, %%xmm0\n\tcvtps2pd %%xmm2, %%xmm3\n\tsqrtpd %%xmm3, %%xmm3\n\tpsadbw %%xmm3, %%xmm1\n\t"
				 "pshufd $0x1b, %%xmm0, %%xmm0\n\tmovups %%xmm0, %0\n\tmovups %%xmm1, %1"
				 : "+m"(a), "+m"(b) : : "xmm0", "xmm1", "xmm2", "xmm3");
		__asm__ volatile("movq %1, %%mm0\n\tmovq %2, %%mm1\n\tpaddsw %%mm1, %%mm0\n\tpmaddwd %%mm1, %%mm0\n\tpackssdw %%mm0, %%mm1\n\t"
				 "punpckhbw %%mm1, %%mm0\n\tmovq %%mm0, %0\n\temms" : "=m"(m) : "m"(a), "m"(b) : "mm0", "mm1");
		h = hash_bytes(hash_bytes(hash_bytes(h, a, 16), b, 16), m, 8);
	}
	report(me, "vectors", h);
}

static uint64_t sum;

static void fpe(int sig, uint32_t *info, struct ucontext32 *uc)
{
	static uint16_t masked = 0x37f;
	static uint32_t mxcsr = 0x1f80;

	sum = hash_u32(hash_u32(sum, (uint32_t)sig), info[2]);
	sum = hash_u32(sum, uc->mc.trapno);
	__asm__ volatile("fnclex\n\tfldcw %0\n\tldmxcsr %1" : : "m"(masked), "m"(mxcsr));
	/* The frame's state would raise it again. */
	*(uint16_t *)(uc->mc.fpstate) |= 0x3f;
	*(uint16_t *)(uc->mc.fpstate + 4) &= 0x7f00;
	*(uint32_t *)(uc->mc.fpstate + 112 + 24) = mxcsr;
	*(uint16_t *)(uc->mc.fpstate + 112) |= 0x3f;
	*(uint16_t *)(uc->mc.fpstate + 112 + 2) &= 0x7f00;
	if (uc->mc.trapno == 19)
		uc->mc.eip = uc->mc.edi;
}

static void test_exceptions(void)
{
	static const uint16_t cws[] = {0x37b, 0x37e, 0x377, 0x35f};
	static const float zero = 0, big = 3e38f, minus = -4;
	uint32_t mxcsr = 0x1d80;

	sum = FNV_BASIS;
	set_handler(SIGFPE, (void *)fpe, SA_SIGINFO);
	for (unsigned i = 0; i < 40; i++) {
		uint16_t cw = cws[i % 4];
		double r;

		__asm__ volatile("fninit\n\tfldcw %1\n\tfld1\n\tfdivs %2\n\tfwait\n\tfstpl %0" : "=m"(r) : "m"(cw), "m"(zero));
		sum = hash_bytes(sum, &r, 8);
		__asm__ volatile("fninit\n\tfldcw %1\n\tflds %2\n\tfsqrt\n\tfwait\n\tfstpl %0" : "=m"(r) : "m"(cw), "m"(minus));
		sum = hash_bytes(sum, &r, 8);
		__asm__ volatile("fninit\n\tfldcw %0\n\tfldpi\n\tflds %1\n\tfdivrp\n\tfwait\n\tfstp %%st(0)" : : "m"(cw), "m"(big));
		__asm__ volatile("fninit\n\tldmxcsr %0\n\tmovl $1f, %%edi\n\tmovss %1, %%xmm0\n\tdivss %2, %%xmm0\n1:"
				 : : "m"(mxcsr), "m"(big), "m"(zero) : "edi", "xmm0");
	}
	report(me, "exceptions", sum);
}

int program(int argc, char **argv, char **env)
{
	(void)argc;
	(void)argv;
	(void)env;
	test_x87();
	test_images();
	test_vectors();
	test_exceptions();
	return 0;
}
