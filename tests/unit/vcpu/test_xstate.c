/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#define AREA 0x200u
#define SPLIT (GUEST_PAGE_SIZE - 128) /* crosses into the page that goes piece by piece */

static uint32_t get32(unsigned offset)
{
	uint32_t v;

	memcpy(&v, mem + offset, 4);
	return v;
}

static uint64_t get64(unsigned offset)
{
	uint64_t v;

	memcpy(&v, mem + offset, 8);
	return v;
}

static void put64(unsigned offset, uint64_t v)
{
	memcpy(mem + offset, &v, 8);
}

static void put32(unsigned offset, uint32_t v)
{
	memcpy(mem + offset, &v, 4);
}

static void fill_state(void)
{
	for (unsigned i = 0; i < TCG_NR_VREG; i++)
		for (unsigned k = 0; k < 4; k++)
			env->vreg[i].q[k] = 0x0101010101010101ull * i + k + 1;
	for (unsigned i = 0; i < 8; i++)
		memset(env->fpu_image + X86_FX_ST + 16 * i, (int)(0x10 + i), 10);
	x86_fx_set(env->fpu_image, X86_FX_FCW, 0x27f);
	x86_fx_set(env->fpu_image, X86_FX_FSW, 0x3800);
	env->fpu_image[X86_FX_FTW] = 0x80;
	env->mxcsr = 0x9fc0;
}

static void ask(uint64_t components)
{
	env->greg[X86_RAX] = components;
	env->greg[X86_RDX] = components >> 32;
}

static void xsave_on(uint64_t xcr0)
{
	cpu->cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = xcr0;
}

/* ---- FXSAVE */

static void fx_round(gva_t va)
{
	uint8_t image[X86_FX_XMM];
	union tcg_vreg vreg[TCG_NR_VREG];

	fill_state();
	memcpy(image, env->fpu_image, sizeof(image));
	memcpy(vreg, env->vreg, sizeof(vreg));
	assert_runs(x86_rt_fxsave(env, va, 8, 0));
	assert_int_equal(get32((unsigned)va + 24), 0x9fc0);
	assert_int_equal(get32((unsigned)va + 28), 0xffff);
	assert_int_equal(mem[va + 416], 0xcc); /* the rest is software's */
	x86_fpu_reset(cpu);
	for (unsigned i = 0; i < TCG_NR_VREG; i++)
		memset(env->vreg[i].b, 0, 16);
	assert_runs(x86_rt_fxrstor(env, va, 8, 0));
	assert_memory_equal(env->fpu_image, image, sizeof(image));
	assert_memory_equal(env->vreg, vreg, sizeof(vreg)); /* upper halves: untouched */
	assert_int_equal(env->mxcsr, 0x9fc0);
}

static void test_fxsave(void **state)
{
	(void)state;
	fx_round(AREA);
	fx_round(SPLIT);
	fx_round(GUEST_PAGE_SIZE + 16);
}

static void test_fxsave_32bit_mode(void **state)
{
	(void)state;
	fill_state();
	cpu->tb_flags = X86_MODE_32;
	env->fpu_pc = env->fpu_data = 0x7777777777777777;
	assert_runs(x86_rt_fxsave(env, AREA, 4, 0));
	assert_true(get64(AREA + 8) == 0x77777777 && get64(AREA + 16) == 0x77777777);
	assert_int_equal(mem[AREA + 160 + 127], env->vreg[7].b[15]);
	assert_int_equal(mem[AREA + 160 + 128], 0xcc); /* no XMM8 */
	env->vreg[8].q[0] = 42;
	put64(AREA + 160 + 128, 1);
	assert_runs(x86_rt_fxrstor(env, AREA, 4, 0));
	assert_true(env->vreg[8].q[0] == 42);
}

/* The instruction's pointer is what it was in the code segment of its time. */
static void pointers_survive_a_new_code_segment(void **state)
{
	(void)state;
	fill_state();
	cpu->fpu_cs_base = 0x10000;
	env->fpu_pc = 0x10123;
	env->fpu_op = 0x5c3 | TCG_FPU_LINEAR;
	env->fpu_data = 0x4567;
	for (gva_t base = 0x10000; base <= 0x20000; base += 0x10000) {
		if (base != 0x10000)
			x86_fpu_cs_moved(cpu, base);
		assert_runs(x86_rt_fxsave(env, AREA, 8, 0));
		assert_int_equal(x86_fx_get(mem + AREA, X86_FX_FOP), 0x5c3);
		assert_true(get64(AREA + X86_FX_FIP) == 0x123 && get64(AREA + X86_FX_FDP) == 0x4567);
	}
	cpu->fpu_cs_base = 0;
}

static void pointers_of_amd_are_saved_with_a_pending_exception(void **state)
{
	const struct x86_cpuid_model *intel = cpu->cpuid;
	struct x86_cpuid_model amd = *intel;

	(void)state;
	memcpy(amd.vendor, "AuthenticAMD", 12);
	cpu->cpuid = &amd;
	fill_state();
	x86_fx_set(env->fpu_image, X86_FX_FCW, 0x37b); /* ZE unmasked */
	for (unsigned pending = 0; pending < 2; pending++) {
		x86_fx_set(env->fpu_image, X86_FX_FSW, pending ? 0x8084 : 0);
		env->fpu_pc = env->fpu_data = 0x123456789abc;
		env->fpu_op = 0x7ff;
		assert_runs(x86_rt_fxsave(env, AREA, 8, 0));
		assert_int_equal(x86_fx_get(mem + AREA, X86_FX_FOP), pending ? 0x7ff : 0);
		assert_true(get64(AREA + X86_FX_FIP) == (pending ? 0x123456789abc : 0));
		assert_true(get64(AREA + X86_FX_FDP) == (pending ? 0x123456789abc : 0));
		assert_runs(x86_rt_fxrstor(env, AREA, 8, 0));
		assert_true(env->fpu_pc == (pending ? 0x123456789abc : 0));
	}
	cpu->cpuid = intel;
}

static void test_fx_faults(void **state)
{
	(void)state;
	assert_fault(X86_GP, x86_rt_fxsave(env, AREA + 8, 8, 0));
	assert_fault(X86_GP, x86_rt_fxrstor(env, AREA + 8, 8, 0));
	assert_fault(X86_PF, x86_rt_fxsave(env, MEM_SIZE - 256, 8, 0));
	fill_state();
	assert_runs(x86_rt_fxsave(env, AREA, 8, 0));
	put32(AREA + 24, 0x10000);
	x86_fpu_reset(cpu);
	assert_fault(X86_GP, x86_rt_fxrstor(env, AREA, 8, 0));
	assert_int_equal(env->mxcsr, X86_MXCSR_INIT);
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FCW), 0x37f);
}

/* A pending exception arrives with its summary bits, reserved control bits do not arrive. */
static void test_fxrstor_normalizes(void **state)
{
	(void)state;
	assert_runs(x86_rt_fxsave(env, AREA, 8, 0));
	put32(AREA, 0x0004e33b); /* FCW E33B: ZE unmasked; FSW 0004: ZE */
	assert_runs(x86_rt_fxrstor(env, AREA, 8, 0));
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FCW), 0x37b & 0x1f7f);
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FSW), 0x8084);
	assert_true(x86_fx_pending(env->fpu_image));
}

/* ---- XSAVE */

static void test_xsave_standard(void **state)
{
	(void)state;
	xsave_on(3);
	fill_state();
	memset(mem + AREA + 512, 0, 64);
	put64(AREA + 512, 4); /* what is not asked for stays */
	ask(~0ull);
	assert_runs(x86_rt_xsave(env, AREA, 8, 0));
	assert_true(get64(AREA + 512) == 7);
	assert_int_equal(mem[AREA + 160 + 16 * 15], env->vreg[15].b[0]);
	ask(2);
	env->vreg[15].b[0] = 0x99;
	put32(AREA, 0x1234);
	assert_runs(x86_rt_xsave(env, AREA, 8, 0));
	assert_int_equal(mem[AREA + 160 + 16 * 15], 0x99);
	assert_int_equal(get32(AREA), 0x1234); /* x87 was not asked for */
	assert_fault(X86_GP, x86_rt_xsave(env, AREA + 16, 8, 0));
}

static void test_xsave_marks_init(void **state)
{
	(void)state;
	xsave_on(3);
	ask(3);
	memset(mem + AREA, 0xcc, 576);
	put64(AREA + 512, 3);
	assert_runs(x86_rt_xsave(env, AREA, 8, 1)); /* XSAVEOPT */
	assert_true(get64(AREA + 512) == 0);
	assert_int_equal(mem[AREA + 160], 0xcc);
	assert_int_equal(mem[AREA], 0xcc);
	assert_int_equal(get32(AREA + 24), X86_MXCSR_INIT);
	assert_runs(x86_rt_xsave(env, AREA, 8, 0)); /* XSAVE writes the initial values out */
	assert_int_equal(mem[AREA + 160], 0);
	assert_int_equal(get32(AREA) & 0xffff, 0x37f);
}

static void test_xsavec(void **state)
{
	(void)state;
	xsave_on(3);
	ask(~0ull);
	memset(mem + AREA, 0xcc, 576);
	assert_runs(x86_rt_xsave(env, AREA, 8, 2));
	assert_true(get64(AREA + 512) == 0);
	assert_true(get64(AREA + 520) == (3 | 1ull << 63));
	assert_int_equal(get32(AREA + 24), 0xcccccccc);
	env->mxcsr = 0x1fa0; /* counts as SSE in use */
	assert_runs(x86_rt_xsave(env, AREA, 8, 2));
	assert_true(get64(AREA + 512) == 2);
	assert_int_equal(get32(AREA + 24), 0x1fa0);
	memset(mem + AREA + 528, 0, 48);
	env->mxcsr = X86_MXCSR_INIT;
	fill_state();
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_int_equal(env->mxcsr, 0x1fa0);
	assert_true(env->vreg[3].q[0] == 0);
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FCW), 0x37f);
	assert_runs(x86_rt_xsave(env, AREA, 8, 3));
	assert_runs(x86_rt_xrstor(env, AREA, 8, 1));
	put64(AREA + 520, 0);
	put64(AREA + 512, 0);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 1)); /* not compacted */
}

static void test_xrstor(void **state)
{
	uint64_t vreg;

	(void)state;
	xsave_on(3);
	fill_state();
	ask(3);
	memset(mem + AREA, 0, 576);
	assert_runs(x86_rt_xsave(env, AREA, 8, 0));
	vreg = env->vreg[9].q[1];
	put64(AREA + 512, 2); /* x87: initial */
	env->vreg[9].q[1] = 0;
	env->mxcsr = X86_MXCSR_INIT;
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_true(env->vreg[9].q[1] == vreg);
	assert_int_equal(env->mxcsr, 0x9fc0);
	assert_int_equal(x86_fx_get(env->fpu_image, X86_FX_FCW), 0x37f);
	put64(AREA + 512, 1); /* SSE: initial, but MXCSR is loaded in the standard form */
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_true(env->vreg[9].q[1] == 0);
	assert_int_equal(env->mxcsr, 0x9fc0);
	ask(1);
	env->mxcsr = X86_MXCSR_INIT;
	env->vreg[9].q[1] = 5;
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_true(env->vreg[9].q[1] == 5);
	assert_int_equal(env->mxcsr, X86_MXCSR_INIT);
}

/* ---- AVX-512 */

static void fill_wide(void)
{
	for (unsigned i = 0; i < TCG_NR_ZREG; i++)
		for (unsigned k = 0; k < 8; k++)
			env->vreg[i].q[k] = 0x0101010101010101ull * i + k + 1;
	for (unsigned i = 0; i < TCG_NR_KREG; i++)
		env->kreg[i] = 0x8000000000000001ull + i;
	env->vec_used = TCG_VEC_ALL;
}

static void clear_wide(void)
{
	memset(env->vreg, 0, sizeof(env->vreg));
	memset(env->kreg, 0, sizeof(env->kreg));
	env->vec_used = 0;
}

static void wide_round(unsigned save, unsigned mask_at)
{
	union tcg_vreg vreg[TCG_NR_ZREG];
	uint64_t kreg[TCG_NR_KREG];

	fill_wide();
	memcpy(vreg, env->vreg, sizeof(vreg));
	memcpy(kreg, env->kreg, sizeof(kreg));
	memset(mem + AREA, 0, 2696);
	assert_runs(x86_rt_xsave(env, AREA, 8, save));
	assert_int_equal(get64(AREA + 512), 0xe6);
	assert_int_equal(get64(AREA + mask_at + 8), kreg[1]);
	clear_wide();
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_memory_equal(env->vreg, vreg, sizeof(vreg));
	assert_memory_equal(env->kreg, kreg, sizeof(kreg));
	assert_int_equal(env->vec_used, TCG_VEC_ALL);
}

static void test_wide_components_go_and_come_back(void **state)
{
	(void)state;
	xsave_on(0xe7);
	ask(0xe6);
	wide_round(0, 1088);
	wide_round(2, 832);
}

static void test_wide_components_not_in_use_are_not_stored(void **state)
{
	(void)state;
	xsave_on(0xe7);
	ask(0xe7);
	clear_wide();
	env->vreg[20].q[3] = 7; /* a vector of the upper half, without its own upper half; nothing else, whatever vec_used allows */
	env->vec_used = TCG_VEC_ALL;
	memset(mem + AREA, 0, 2696);
	assert_runs(x86_rt_xsave(env, AREA, 8, 3));
	assert_int_equal(get64(AREA + 512), 0x80);
	assert_int_equal(env->vec_used, TCG_VEC_MORE);
	assert_int_equal(get64(AREA + 832 + 64 + 512 + 4 * 64 + 24), 7);
	clear_wide();
	assert_runs(x86_rt_xsave(env, AREA, 8, 3));
	assert_int_equal(get64(AREA + 512), 0);
	assert_int_equal(env->vec_used, 0);
}

static void test_wide_components_are_initialized(void **state)
{
	(void)state;
	xsave_on(0xe7);
	ask(0x40);
	fill_wide();
	memset(mem + AREA, 0, 576);
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	for (unsigned i = 0; i < TCG_NR_ZREG; i++)
		assert_true(env->vreg[i].q[4] == (i < 16 ? 0 : 0x0101010101010101ull * i + 5));
	assert_true(env->vreg[2].q[3] == 0x0202020202020206ull);
	ask(0xe0);
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_int_equal(env->vec_used, 0);
	assert_true(env->vreg[31].q[0] == 0 && env->kreg[7] == 0);
}

static void test_areas_have_room_for_what_they_hold(void **state)
{
	(void)state;
	assert_int_equal(x86_xsave_size(0x7, false), 832);
	assert_int_equal(x86_xsave_size(0xe7, false), 2688);
	assert_int_equal(x86_xsave_size(0x2e7, false), 2696);
	assert_int_equal(x86_xsave_size(0x207, true), 840);
	assert_int_equal(x86_xsave_size(0x2e7, true), 2440);
	assert_int_equal(x86_xsave_offset(9, true, 0xe7), 2432);
}

static void test_xrstor_faults(void **state)
{
	(void)state;
	xsave_on(3);
	ask(3);
	memset(mem + AREA, 0, 576);
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	put64(AREA + 512, 4);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0));
	put64(AREA + 512, 3);
	put64(AREA + 520, 3);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0)); /* standard form: must be zero */
	put64(AREA + 520, 1ull << 63 | 1);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0)); /* compacted: SSE is not in XCOMP_BV */
	put64(AREA + 520, 1ull << 63 | 3);
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	mem[AREA + 575] = 1;
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0));
	mem[AREA + 575] = 0;
	put32(AREA + 24, 0x20000);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0));
	put64(AREA + 520, 0);
	put32(AREA + 24, 0);
	assert_runs(x86_rt_xrstor(env, AREA, 8, 0));
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA + 32, 8, 0));
	assert_int_equal(cpu_model("max,-xsavec,-xsaves"), 0);
	put64(AREA + 520, 1ull << 63 | 3);
	assert_fault(X86_GP, x86_rt_xrstor(env, AREA, 8, 0));
}

/* ---- XCR0, MXCSR */

static void test_xcr0(void **state)
{
	(void)state;
	env->greg[X86_RCX] = 0;
	ask(3);
	assert_runs(x86_rt_xsetbv(env, 0, 0, 0));
	assert_true(cpu->xcr0 == 3);
	ask(2);
	assert_fault(X86_GP, x86_rt_xsetbv(env, 0, 0, 0));
	ask(7);
	assert_runs(x86_rt_xsetbv(env, 0, 0, 0));
	assert_true(cpu->xcr0 == 7);
	ask(5);
	assert_fault(X86_GP, x86_rt_xsetbv(env, 0, 0, 0)); /* AVX without SSE */
	ask(3);
	assert_runs(x86_rt_xsetbv(env, 0, 0, 0));
	assert_int_equal(cpu_model("max,-avx"), 0);
	ask(7);
	assert_fault(X86_GP, x86_rt_xsetbv(env, 0, 0, 0));
	cpu->cpl = 3;
	ask(1);
	assert_fault(X86_GP, x86_rt_xsetbv(env, 0, 0, 0));
	assert_runs(x86_rt_xgetbv(env, 0, 0, 0));
	assert_true(env->greg[X86_RAX] == 3 && env->greg[X86_RDX] == 0);
	env->greg[X86_RCX] = 1;
	assert_runs(x86_rt_xgetbv(env, 0, 0, 0));
	env->greg[X86_RCX] = 2;
	assert_fault(X86_GP, x86_rt_xgetbv(env, 0, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fxsave, rt_setup),
		cmocka_unit_test_setup(test_fxsave_32bit_mode, rt_setup),
		cmocka_unit_test_setup(pointers_survive_a_new_code_segment, rt_setup),
		cmocka_unit_test_setup(pointers_of_amd_are_saved_with_a_pending_exception, rt_setup),
		cmocka_unit_test_setup(test_fx_faults, rt_setup),
		cmocka_unit_test_setup(test_fxrstor_normalizes, rt_setup),
		cmocka_unit_test_setup(test_xsave_standard, rt_setup),
		cmocka_unit_test_setup(test_xsave_marks_init, rt_setup),
		cmocka_unit_test_setup(test_xsavec, rt_setup),
		cmocka_unit_test_setup(test_xrstor, rt_setup),
		cmocka_unit_test_setup(test_xrstor_faults, rt_setup),
		cmocka_unit_test_setup(test_xcr0, rt_setup),
		cmocka_unit_test_setup(test_wide_components_go_and_come_back, rt_setup),
		cmocka_unit_test_setup(test_wide_components_not_in_use_are_not_stored, rt_setup),
		cmocka_unit_test_setup(test_wide_components_are_initialized, rt_setup),
		cmocka_unit_test_setup(test_areas_have_room_for_what_they_hold, rt_setup),
	};

	return cmocka_run_group_tests(tests, NULL, rt_end);
}
