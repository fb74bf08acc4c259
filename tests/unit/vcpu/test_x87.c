/* SPDX-License-Identifier: MIT */
/*
 * FPU words, one at a time, and the environment formats. On an x86-64 host the latter are held against the host's own instructions.
 */
#include "unit/vcpu/rt_fixture.h"

#if defined(__x86_64__)

/* ---- Words, as tr/x87.c makes them */

#define W_REG (1ull << 41)
#define W_IMM(v) ((uint64_t)(v) << 32 | 1ull << 40)
#define W_WIDE (1ull << 42)
#define W_REX_R (1ull << 43)
#define W_REX_B (1ull << 44)

static uint64_t word(unsigned prefix, unsigned map, unsigned opcode, unsigned modrm)
{
	return prefix | map << 8 | opcode << 16 | (uint64_t)modrm << 24 | (modrm >= 0xc0 ? W_REG : 0);
}

static void x87(unsigned opcode, unsigned modrm)
{
	assert_runs(x86_fpu_exec(env, word(0, 0, opcode, modrm), NULL, NULL));
}

static void x87_mem(unsigned opcode, unsigned reg, void *m)
{
	assert_runs(x86_fpu_exec(env, word(0, 0, opcode, reg << 3), m, NULL));
}

static void push(double v)
{
	x87_mem(0xdd, 0, &v);
}

static double pop(void)
{
	double v;

	x87_mem(0xdd, 3, &v);
	return v;
}

static uint16_t fsw(void)
{
	return x86_fx_get(env->fpu_image, X86_FX_FSW);
}

static void control(uint16_t fcw)
{
	x87_mem(0xd9, 5, &fcw);
}

/* ---- x87 */

static void test_arithmetic(void **state)
{
	float f = 0.5f;
	int32_t i = -7;
	int64_t out = 0;

	(void)state;
	push(1.25);
	push(2.0);
	x87(0xde, 0xc1); /* FADDP */
	x87_mem(0xd8, 1, &f); /* FMUL m32 */
	x87_mem(0xda, 0, &i); /* FIADD m32 */
	assert_true(pop() == 1.625 - 7);
	assert_int_equal(env->fpu_image[X86_FX_FTW], 0);
	push(2.5);
	control(0xf7f); /* truncate */
	x87_mem(0xdf, 7, &out); /* FISTP m64 */
	assert_true(out == 2);
	push(2.0);
	x87(0xd9, 0xfa); /* FSQRT */
	assert_true(fsw() & 0x20); /* inexact, masked */
	assert_true(pop() > 1.414);
}

static void test_precision_and_rounding(void **state)
{
	long double third;

	(void)state;
	control(0x07f); /* 24 bits */
	push(1.0);
	push(3.0);
	x87(0xde, 0xf9); /* FDIVP */
	x87_mem(0xdb, 7, &third);
	assert_true(third == (long double)(1.0f / 3.0f));
	control(0x37f);
	push(1.0);
	push(3.0);
	x87(0xde, 0xf9);
	x87_mem(0xdb, 7, &third);
	assert_true(third == 1.0L / 3.0L);
}

static void test_bcd(void **state)
{
	uint8_t bcd[10] = { 0x21, 0x43, 0x65, [9] = 0x80 }, out[10];

	(void)state;
	x87_mem(0xdf, 4, bcd); /* FBLD */
	x87_mem(0xdf, 6, out); /* FBSTP */
	assert_memory_equal(bcd, out, 10);
}

static void test_compare_and_move(void **state)
{
	uint64_t ax = 0x1122334455667788ull;

	(void)state;
	push(1.0);
	push(2.0);
	env->flags = X86_FL_OF;
	x87(0xdb, 0xf1); /* FCOMI: 2 > 1 */
	assert_true(env->flags == 0);
	x87(0xd9, 0xc9); /* FXCH */
	x87(0xdb, 0xe9); /* FUCOMI: 1 < 2 */
	assert_true(env->flags == X86_FL_CF);
	x87(0xda, 0xc1); /* FCMOVB: taken */
	env->flags = 0xffffffff00000000ull;
	x87(0xdf, 0xf1); /* FCOMIP: equal */
	assert_true(env->flags == X86_FL_ZF);
	assert_true(pop() == 2.0);
	push(3.0);
	push(4.0);
	env->flags = X86_FL_ZF;
	x87(0xdb, 0xc9); /* FCMOVNE: not taken */
	assert_true(pop() == 4.0);
	x87(0xd8, 0xd0); /* FCOM ST(0), ST(0) */
	assert_runs(x86_fpu_exec(env, word(0, 0, 0xdf, 0xe0), NULL, &ax)); /* FNSTSW AX */
	assert_true(ax == (0x1122334455660000ull | fsw()) && fsw() & 0x4000);
}

/* An unmasked exception is recorded, and raised by the next instruction that waits. */
static void test_pending_exception(void **state)
{
	uint16_t sw = 0;

	(void)state;
	control(0x37b); /* divide by zero unmasked */
	push(1.0);
	push(0.0);
	x87(0xd8, 0xf9); /* FDIVR ST(0), ST(1): 1 / 0 */
	assert_int_equal(fsw() & 0x8084, 0x8084);
	cpu->cr0 = 0; /* NE: FERR, and the CPU stops where it is */
	ferrs = 0;
	assert_fault(0, x86_fpu_exec(env, word(0, 0, 0xd9, 0xe8), NULL, NULL));
	assert_int_equal(ferrs, 1);
	assert_int_equal(cpu->vcpu.run_state, VCPU_HALTED);
	cpu->cr0 = X86_CR0_NE;
	assert_fault(X86_MF, x86_fpu_exec(env, word(0, 0, 0xd9, 0xe8), NULL, NULL)); /* FLD1 */
	assert_fault(X86_MF, x86_fpu_exec(env, word(0, 0, 0x9b, 0) | W_REG, NULL, NULL)); /* FWAIT */
	assert_fault(X86_MF, x86_fpu_exec(env, word(0, 1, 0x77, 0) | W_REG, NULL, NULL)); /* EMMS */
	assert_fault(X86_MF, x86_rt_fldenv(env, 0, 4, 0));
	x87_mem(0xdd, 7, &sw); /* FNSTSW */
	assert_true(sw & 0x80);
	x87_mem(0xd9, 7, &sw); /* FNSTCW */
	assert_int_equal(sw, 0x37b);
	assert_runs(x86_rt_fnstenv(env, 0, 4, 0)); /* masks everything */
	assert_int_equal(fsw() & 0x8084, 4);
	x87(0xd9, 0xe8);
	control(0x37b);
	x87(0xdb, 0xe2); /* FNCLEX */
	assert_int_equal(fsw() & 0x80ff, 0);
	x87(0xdb, 0xe3); /* FNINIT */
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FCW), 0x37f);
	assert_runs(x86_fpu_exec(env, word(0, 0, 0x9b, 0) | W_REG, NULL, NULL));
}

static void test_transcendental_is_the_hosts(void **state)
{
	long double x = 0.7L, mine, host;

	(void)state;
	x87_mem(0xdb, 5, &x);
	x87(0xd9, 0xfe); /* FSIN */
	x87_mem(0xdb, 7, &mine);
	__asm__("fsin" : "=t"(host) : "0"(x));
	assert_memory_equal(&mine, &host, 10);
	assert_true(env->fpu_image[X86_FX_FIP] == 0 && env->fpu_image[X86_FX_FDP] == 0); /* no host addresses */
}

/* ---- MMX */

static void mmx_set(unsigned n, uint64_t v)
{
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x6f, n << 3), &v, NULL));
}

static uint64_t mmx_get(unsigned n)
{
	uint64_t v = 0;

	assert_runs(x86_fpu_exec(env, word(0, 1, 0x7f, n << 3), &v, NULL));
	return v;
}

static void test_mmx(void **state)
{
	uint64_t g = 0xffffffff80000001ull;

	(void)state;
	push(1.0);
	mmx_set(3, 0x0004000300020001ull);
	assert_int_equal(env->fpu_image[X86_FX_FTW], 0xff);
	assert_int_equal(fsw() & 0x3800, 0);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x70, 0xc0 | 5 << 3 | 3) | W_IMM(0x1b), NULL, NULL)); /* PSHUFW mm5, mm3 */
	assert_true(mmx_get(5) == 0x0001000200030004ull);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x6e, 0xc0 | 2 << 3 | 1), NULL, &g)); /* MOVD mm2, ecx */
	assert_true(mmx_get(2) == 0x80000001 && g == 0xffffffff80000001ull);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x6e, 0xc0 | 2 << 3 | 1) | W_WIDE, NULL, &g)); /* MOVQ mm2, rcx */
	assert_true(mmx_get(2) == g);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x7e, 0xc0 | 5 << 3 | 7), NULL, &g)); /* MOVD edi, mm5 */
	assert_true(g == 0x00030004);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0xd7, 0xc0 | 1 << 3 | 2), NULL, &g)); /* PMOVMSKB ecx, mm2 */
	assert_true(g == 0xf8);
	g = 0xaaaa;
	assert_runs(x86_fpu_exec(env, word(0, 1, 0xc4, 0xc0 | 5 << 3 | 6) | W_IMM(0xfd), NULL, &g)); /* PINSRW mm5, esi, 1 */
	assert_true(mmx_get(5) == 0x00010002aaaa0004ull);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0xc5, 0xc0 | 6 << 3 | 5) | W_IMM(1), NULL, &g)); /* PEXTRW esi, mm5, 1 */
	assert_true(g == 0xaaaa);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x73, 0xc0 | 2 << 3 | 5) | W_IMM(200), NULL, NULL)); /* PSRLQ mm5, 200 */
	assert_true(mmx_get(5) == 0);
	mmx_set(1, 0x1100000000000000ull);
	mmx_set(0, 0x22);
	assert_runs(x86_fpu_exec(env, word(0, 3, 0x0f, 0xc0 | 0 << 3 | 1) | W_IMM(7), NULL, NULL)); /* PALIGNR mm0, mm1, 7 */
	assert_true(mmx_get(0) == 0x2211);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x77, 0) | W_REG, NULL, NULL)); /* EMMS */
	assert_int_equal(env->fpu_image[X86_FX_FTW], 0);
}

static void test_mmx_meets_sse(void **state)
{
	const float f[4] = { 1.5f, -2.5f, 8, 9 };

	(void)state;
	memcpy(env->vreg[9].b, f, 16);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x2c, 0xc0 | 4 << 3 | 1) | W_REX_B, NULL, NULL)); /* CVTTPS2PI mm4, xmm9 */
	assert_true(mmx_get(4) == 0xfffffffe00000001ull);
	assert_int_equal(env->mxcsr, 0x1fa0);
	memset(env->vreg[12].b, 0x55, 32);
	assert_runs(x86_fpu_exec(env, word(0, 1, 0x2a, 0xc0 | 4 << 3 | 4) | W_REX_R, NULL, NULL)); /* CVTPI2PS xmm12, mm4 */
	assert_true(env->vreg[12].f[0] == 1 && env->vreg[12].f[1] == -2 && env->vreg[12].q[1] == 0x5555555555555555ull);
	assert_true(env->vreg[12].q[2] == 0x5555555555555555ull);
	assert_runs(x86_fpu_exec(env, word(0xf3, 1, 0xd6, 0xc0 | 0 << 3 | 4), NULL, NULL)); /* MOVQ2DQ xmm0, mm4 */
	assert_true(env->vreg[0].q[0] == 0xfffffffe00000001ull && env->vreg[0].q[1] == 0);
	env->mxcsr = 0x1f80 & ~0x1000u; /* inexact unmasked */
	cpu->cr4 |= X86_CR4_OSXMMEXCPT;
	mmx_set(4, 7);
	assert_fault(X86_XM, x86_fpu_exec(env, word(0, 1, 0x2c, 0xc0 | 4 << 3 | 1) | W_REX_B, NULL, NULL));
	assert_true(mmx_get(4) == 7 && env->mxcsr & 0x20);
}

static void test_maskmov(void **state)
{
	(void)state;
	mmx_set(1, 0x8070605040302010ull);
	mmx_set(2, 0x80000000ff000080ull);
	env->vreg[3].q[0] = env->vreg[3].q[1] = 0x1122334455667788ull;
	env->vreg[10].q[0] = 0;
	env->vreg[10].q[1] = 0xff00000000000000ull;
	assert_runs(x86_rt_maskmov(env, 64, 1 | 2 << 8 | 1 << 16, 0));
	assert_memory_equal(mem + 64, "\x10\xcc\xcc\x40\xcc\xcc\xcc\x80\xcc", 9);
	assert_runs(x86_rt_maskmov(env, 128, 3 | 10 << 8, 0));
	assert_int_equal(mem[143], 0x11);
	assert_int_equal(mem[142], 0xcc);
	assert_fault(X86_PF, x86_rt_maskmov(env, MEM_SIZE - 8, 3 | 10 << 8, 0));
	assert_runs(x86_rt_maskmov(env, MEM_SIZE, 3 | 11 << 8, 0)); /* empty mask */
}

/* ---- Environment formats against the host's */

static uint64_t seed = 0x2545f4914f6cdd1dull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

struct native {
	uint8_t fx[512] __attribute__((aligned(64)));
	uint8_t area[128];
};

enum native_op { FNSTENV4, FNSTENV2, FLDENV4, FLDENV2, FNSAVE4, FNSAVE2, FRSTOR4, FRSTOR2, NATIVE_OPS };

static void native_run(struct native *n, unsigned op)
{
	uint8_t host[512] __attribute__((aligned(64)));

#define RUN(insn) __asm__ volatile("fxrstor64 %0; " insn " %1; fxsave64 %0" : "+m"(n->fx), "+m"(n->area))
	__asm__ volatile("fxsave64 %0" : "=m"(host));
	memcpy(n->fx + 24, host + 24, 8);
	memcpy(n->fx + 160, host + 160, 352);
	switch (op) {
	case FNSTENV4: RUN("fnstenv"); break;
	case FNSTENV2: RUN("data16 fnstenv"); break;
	case FLDENV4: RUN("fldenv"); break;
	case FLDENV2: RUN("data16 fldenv"); break;
	case FNSAVE4: RUN("fnsave"); break;
	case FNSAVE2: RUN("data16 fnsave"); break;
	case FRSTOR4: RUN("frstor"); break;
	case FRSTOR2: RUN("data16 frstor"); break;
	}
	__asm__ volatile("fxrstor64 %0" : : "m"(host));
#undef RUN
}

static void random_registers(uint8_t *to, unsigned stride)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t m = rnd();
		uint16_t e = (uint16_t)rnd();

		switch (rnd() % 5) {
		case 0: m = e = 0; break;
		case 1: e |= 0x7fff; break;
		case 2: m |= 1ull << 63; break;
		case 3: e = 0; break;
		}
		memcpy(to + stride * i, &m, 8);
		memcpy(to + stride * i + 8, &e, 2);
	}
}

/* Instruction and data pointers are not compared: ours are zero. */
static void compare(const struct native *n, unsigned op)
{
	bool wide = op == FNSTENV4 || op == FNSAVE4;
	unsigned env_bytes = wide ? 28 : 14;

	assert_memory_equal(env->fpu_image, n->fx, 6);
	for (unsigned i = 0; i < 8; i++)
		assert_memory_equal(env->fpu_image + 32 + 16 * i, n->fx + 32 + 16 * i, 10);
	if (op == FNSTENV4 || op == FNSTENV2 || op == FNSAVE4 || op == FNSAVE2)
		assert_memory_equal(mem, n->area, wide ? 12 : 6);
	if (op == FNSAVE4 || op == FNSAVE2)
		assert_memory_equal(mem + env_bytes, n->area + env_bytes, 80);
}

static void test_environment_against_host(void **state)
{
	static uint64_t (*const routine[])(struct tcg_env *, uint64_t, uint64_t, uint64_t) = {
		x86_rt_fnstenv, x86_rt_fnstenv, x86_rt_fldenv, x86_rt_fldenv, x86_rt_fnsave, x86_rt_fnsave, x86_rt_frstor, x86_rt_frstor,
	};

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned op = (unsigned)(rnd() % NATIVE_OPS);
		struct native n;

		memset(n.fx, 0, sizeof(n.fx));
		random_registers(n.fx + 32, 16);
		x86_fx_set(n.fx, X86_FX_FCW, 0x37f);
		x86_fx_set(n.fx, X86_FX_FSW, (uint16_t)rnd() & 0x7f7f);
		n.fx[4] = (uint8_t)rnd();
		for (unsigned k = 0; k < sizeof(n.area); k++)
			n.area[k] = (uint8_t)rnd();
		random_registers(n.area + (op & 1 ? 14 : 28), 10);
		memcpy(env->fpu_image, n.fx, 160);
		memcpy(mem, n.area, sizeof(n.area));
		native_run(&n, op);
		assert_runs(routine[op](env, 0, op & 1 ? 2 : 4, 0));
		compare(&n, op);
	}
}

/* FXRSTOR of control and status words the CPU would not make itself. */
static void test_fxrstor_against_host(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t fx[512] __attribute__((aligned(64))), host[512] __attribute__((aligned(64)));

		__asm__ volatile("fxsave64 %0" : "=m"(host));
		memcpy(fx, host, 512);
		x86_fx_set(fx, X86_FX_FCW, (uint16_t)rnd());
		x86_fx_set(fx, X86_FX_FSW, (uint16_t)rnd());
		random_registers(fx + 32, 16);
		memset(fx + 8, 0, 16);
		memcpy(mem, fx, 512);
		__asm__ volatile("fxrstor64 %0; fxsave64 %0; fxrstor64 %1" : "+m"(fx) : "m"(host));
		assert_runs(x86_rt_fxrstor(env, 0, 8, 0));
		assert_memory_equal(env->fpu_image, fx, 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_arithmetic, rt_setup),
		cmocka_unit_test_setup(test_precision_and_rounding, rt_setup),
		cmocka_unit_test_setup(test_bcd, rt_setup),
		cmocka_unit_test_setup(test_compare_and_move, rt_setup),
		cmocka_unit_test_setup(test_pending_exception, rt_setup),
		cmocka_unit_test_setup(test_transcendental_is_the_hosts, rt_setup),
		cmocka_unit_test_setup(test_mmx, rt_setup),
		cmocka_unit_test_setup(test_mmx_meets_sse, rt_setup),
		cmocka_unit_test_setup(test_maskmov, rt_setup),
		cmocka_unit_test_setup(test_environment_against_host, rt_setup),
		cmocka_unit_test_setup(test_fxrstor_against_host, rt_setup),
	};

	return cmocka_run_group_tests(tests, NULL, rt_end);
}

#else

int main(void)
{
	return 77; /* there is no FPU for guests on this host */
}

#endif
