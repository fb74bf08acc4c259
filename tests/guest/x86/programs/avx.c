/* SPDX-License-Identifier: MIT */
/*
 * AVX as a kernel sees it: when its instructions exist (CR4.OSXSAVE, XCR0, CR0.TS), XSETBV's rules, all XSAVE instructions with the YMM
 * component, encodings that are undefined, and precise faults of instructions with several elements (Intel SDM vol. 1, chapters 13 and 14;
 * vol. 2, section 2.3 and XSETBV).
 */
#include "rt64.h"

#define YMM_AT 576
#define AREA_BYTES 4096

static uint8_t area[2][AREA_BYTES] __attribute__((aligned(64)));
static uint64_t regs_in[16][4] __attribute__((aligned(32))), regs_out[16][4] __attribute__((aligned(32)));

asm(".text\n"
    ".macro each insn, to\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    ".if \\to\n \\insn %ymm\\n, regs_out + \\n * 32\n .else\n \\insn regs_in + \\n * 32, %ymm\\n\n .endif\n"
    ".endr\n ret\n"
    ".endm\n"
    "load_all: each vmovaps, 0\n"
    "store_all: each vmovaps, 1\n"
    "avx_add: vaddps %ymm1, %ymm1, %ymm2; ret\n"
    "avx_zero: vzeroupper; ret\n"
    "bmi_andn: andn %eax, %eax, %eax; ret\n"
    "sse_add: addps %xmm1, %xmm2; ret\n"
    "avx_divide: vdivpd %ymm1, %ymm0, %ymm2; ret\n"
    "fma_multiply: vfmadd213pd %ymm1, %ymm1, %ymm0; ret\n"
    "avx_aligned: vmovaps area + 16, %ymm0; ret\n"
    "avx_aligned16: vmovaps area + 16, %xmm0; ret\n"
    "avx_unaligned: vaddps area + 1, %ymm0, %ymm0; ret\n"
    "xsetbv_now: xsetbv; ret\n");
void load_all(void), store_all(void), avx_add(void), avx_zero(void), bmi_andn(void), sse_add(void), avx_divide(void),
	fma_multiply(void), avx_aligned(void), avx_aligned16(void), avx_unaligned(void), xsetbv_now(void);

static bool has_avx(void)
{
	return cpuid(1, 0).ecx & 1u << 28;
}

static void xsetbv(uint64_t v)
{
	asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void enable(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(7);
}

static void disable(void)
{
	xsetbv(1);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

static void fill(uint32_t seed)
{
	for (unsigned i = 0; i < 64; i++)
		regs_in[i / 4][i % 4] = (uint64_t)random_next(&seed) << 32 | random_next(&seed) | 1;
	load_all();
}

static void existence(void)
{
	struct trap t;

	if (!has_avx())
		return test_skip("no AVX");
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD);
	CHECK_EQ(t.r.rip, (uint64_t)avx_add);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(1);
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD);
	xsetbv(3);
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD);
	CHECK_EQ(trap_of(avx_zero, &t), VEC_UD);
	xsetbv(7);
	CHECK_EQ(trap_of(avx_add, &t), -1);
	CHECK_EQ(cpuid(0xd, 0).ebx, 832);
	xsetbv(3);
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD);
	CHECK_EQ(trap_of(sse_add, &t), -1);
	CHECK_EQ(cpuid(0xd, 0).ebx, 576);
	xsetbv(7);
	write_cr0(read_cr0() | CR0_TS);
	CHECK_EQ(trap_of(avx_add, &t), VEC_NM);
	CHECK_EQ(trap_of(avx_zero, &t), VEC_NM);
	if (cpuid(7, 0).ebx & 8)
		CHECK_EQ(trap_of(bmi_andn, &t), -1);
	xsetbv(3);
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD); /* goes before #NM */
	asm volatile("clts");
	disable();
	CHECK_EQ(trap_of(avx_add, &t), VEC_UD);
	if (cpuid(7, 0).ebx & 8)
		CHECK_EQ(trap_of(bmi_andn, &t), -1); /* general registers know no XCR0 */
}

/* Not at CPL 3, whatever the value. */
static void xsetbv_in_user_mode(void)
{
	struct regs r;
	struct trap t;

	memset(&r, 0, sizeof(r));
	user_regs(&r, (const void *)xsetbv_now, false);
	r.rax = 7;
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, VEC_GP);
}

asm(".text\n xsetbv_cases:\n mov case_ecx, %ecx; mov case_eax, %eax; mov case_edx, %edx; xsetbv; ret\n");
void xsetbv_cases(void);
uint32_t case_ecx, case_eax, case_edx;

static int xsetbv_vector(uint32_t reg, uint64_t v)
{
	struct trap t;

	case_ecx = reg;
	case_eax = (uint32_t)v;
	case_edx = (uint32_t)(v >> 32);
	return trap_of(xsetbv_cases, &t);
}

static void xcr0_rules(void)
{
	static const struct {
		uint32_t reg;
		uint64_t v;
		int vector;
	} cases[] = {
		{ 0, 0, VEC_GP }, { 0, 1, -1 }, { 0, 2, VEC_GP }, { 0, 3, -1 }, { 0, 4, VEC_GP }, { 0, 5, VEC_GP }, { 0, 6, VEC_GP },
		{ 0, 7, -1 }, { 1, 7, VEC_GP }, { 0, 0x8000000000000007, VEC_GP }, { 0, 0x107, VEC_GP },
	};

	if (!has_avx())
		return test_skip("no AVX");
	CHECK_EQ(xsetbv_vector(0, 7), VEC_UD);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		if (xsetbv_vector(cases[i].reg, cases[i].v) != cases[i].vector)
			test_fail("XSETBV(%u, %lx): not vector %d", cases[i].reg, cases[i].v, cases[i].vector);
	xsetbv_in_user_mode();
	disable();
}

/* ---- XSAVE and its kin */

enum { XSAVE, XSAVEOPT, XSAVEC, XSAVES };

static void save(unsigned how, void *p, uint32_t mask)
{
	switch (how) {
	case XSAVE:
		asm volatile("xsave64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
		break;
	case XSAVEOPT:
		asm volatile("xsaveopt64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
		break;
	case XSAVEC:
		asm volatile("xsavec64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
		break;
	default:
		asm volatile("xsaves64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
	}
}

static void restore(unsigned how, const void *p, uint32_t mask)
{
	if (how == XSAVES)
		asm volatile("xrstors64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
	else
		asm volatile("xrstor64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}

static uint64_t xstate_bv(const uint8_t *p)
{
	return *(const uint64_t *)(p + 512);
}

static bool offered(unsigned how)
{
	uint32_t bits = cpuid(0xd, 1).eax;

	return how == XSAVE || (how == XSAVEOPT && bits & 1) || (how == XSAVEC && bits & 2) || (how == XSAVES && bits & 8);
}

static void round_trip(unsigned how, uint32_t seed)
{
	memset(area, 0, sizeof(area));
	fill(seed);
	save(how, area[0], 7);
	CHECK_EQ(xstate_bv(area[0]) & 6, 6);
	for (unsigned i = 0; i < 16; i++)
		CHECK(!memcmp(area[0] + 160 + 16 * i, regs_in[i], 16) && !memcmp(area[0] + YMM_AT + 16 * i, regs_in[i] + 2, 16));
	if (how >= XSAVEC)
		CHECK_EQ(*(uint64_t *)(area[0] + 520), 1ull << 63 | 7);
	fill(seed + 1);
	restore(how, area[0], 7);
	store_all();
	fill(seed);
	CHECK(!memcmp(regs_in, regs_out, sizeof(regs_in)));
	/* One component alone. */
	fill(seed + 2);
	restore(how, area[0], 4);
	store_all();
	for (unsigned i = 0; i < 16; i++)
		CHECK(!memcmp(regs_out[i], regs_in[i], 16) && !memcmp(regs_out[i] + 2, area[0] + YMM_AT + 16 * i, 16));
	/* In its initial state. */
	avx_zero();
	memset(area[1], 0, AREA_BYTES);
	memset(area[1] + YMM_AT, 0xee, 256);
	save(how, area[1], 7);
	CHECK_EQ(xstate_bv(area[1]) & 4, 0);
	CHECK_EQ(area[1][YMM_AT], how == XSAVE ? 0 : 0xee);
	fill(seed + 3);
	restore(how, area[1], 7);
	store_all();
	for (unsigned i = 0; i < 16; i++)
		CHECK(regs_out[i][2] == 0 && regs_out[i][3] == 0);
}

asm(".text\n xrstors_standard: mov $7, %eax; xor %edx, %edx; lea area, %rbx; xrstors64 (%rbx); ret\n"
    "xrstor_area: mov $7, %eax; xor %edx, %edx; lea area, %rbx; xrstor64 (%rbx); ret\n");
void xrstors_standard(void), xrstor_area(void);

static void images(void)
{
	struct trap t;

	if (!has_avx())
		return test_skip("no AVX");
	enable();
	for (unsigned how = XSAVE; how <= XSAVES; how++)
		for (uint32_t i = 1; offered(how) && i < 40; i++)
			round_trip(how, 100 * how + i);
	if (offered(XSAVES)) {
		memset(area, 0, sizeof(area));
		CHECK_EQ(trap_of(xrstors_standard, &t), VEC_GP);
		*(uint64_t *)(area[0] + 520) = 1ull << 63 | 7;
		CHECK_EQ(trap_of(xrstors_standard, &t), -1);
	}
	memset(area, 0, sizeof(area));
	*(uint64_t *)(area[0] + 512) = 8; /* not in XCR0 */
	CHECK_EQ(trap_of(xrstor_area, &t), VEC_GP);
	xsetbv(3);
	*(uint64_t *)(area[0] + 512) = 4;
	CHECK_EQ(trap_of(xrstor_area, &t), VEC_GP);
	disable();
}

/* ---- Encodings and faults */

asm(".text\n"
    "ud_66: .byte 0x66, 0xc5, 0xf4, 0x58, 0xd1; ret\n"           /* 66 in front of VADDPS ymm2, ymm1, ymm1 */
    "ud_f3: .byte 0xf3, 0xc5, 0xf4, 0x58, 0xd1; ret\n"
    "ud_f2: .byte 0xf2, 0xc5, 0xf4, 0x58, 0xd1; ret\n"
    "ud_lock: .byte 0xf0, 0xc5, 0xf4, 0x58, 0xd1; ret\n"
    "ud_rex: .byte 0x48, 0xc5, 0xf4, 0x58, 0xd1; ret\n"
    "ud_vvvv: .byte 0xc5, 0xf4, 0x28, 0xd1; ret\n"               /* VMOVAPS with a second source */
    "ud_long: .byte 0xc4, 0xe2, 0x7d, 0x41, 0xd1; ret\n"         /* VPHMINPOSUW of 256 bits */
    "ud_short: .byte 0xc4, 0xe3, 0x71, 0x06, 0xd1, 0x00; ret\n"  /* VPERM2F128 of 128 bits */
    "ud_w: .byte 0xc4, 0xe3, 0xf5, 0x06, 0xd1, 0x00; ret\n"      /* VPERM2F128 with W */
    "ud_map: .byte 0xc4, 0xe0, 0x74, 0x58, 0xd1; ret\n"          /* map 0 */
    "ok_segment: .byte 0x64, 0xc5, 0xf4, 0x58, 0xd1; ret\n"      /* other prefixes are allowed */
    "ok_scalar: .byte 0xc5, 0xf6, 0x58, 0xd1; ret\n");           /* VADDSS with L */
void ud_66(void), ud_f3(void), ud_f2(void), ud_lock(void), ud_rex(void), ud_vvvv(void), ud_long(void), ud_short(void), ud_w(void),
	ud_map(void), ok_segment(void), ok_scalar(void);

static void encodings(void)
{
	void (*const undefined[])(void) = { ud_66, ud_f3, ud_f2, ud_lock, ud_rex, ud_vvvv, ud_long, ud_short, ud_w, ud_map };
	struct trap t;

	if (!has_avx())
		return test_skip("no AVX");
	enable();
	for (unsigned i = 0; i < ARRAY_LEN(undefined); i++)
		if (trap_of(undefined[i], &t) != VEC_UD || t.r.rip != (uint64_t)undefined[i])
			test_fail("case %u: no #UD", i);
	CHECK_EQ(trap_of(ok_segment, &t), -1);
	CHECK_EQ(trap_of(ok_scalar, &t), -1);
	CHECK_EQ(trap_of(avx_aligned, &t), VEC_GP);
	CHECK_EQ(trap_of(avx_aligned16, &t), -1);
	CHECK_EQ(trap_of(avx_unaligned, &t), -1);
	disable();
}

static void exceptions(void)
{
	uint32_t masked = 0x1f80, zero_divide = 0x1d80, invalid = 0x1f00;
	struct trap t;

	if (!has_avx())
		return test_skip("no AVX");
	enable();
	memset(regs_in, 0, sizeof(regs_in));
	regs_in[0][3] = 0x3ff0000000000000; /* only the highest element divides by zero: 1 / 0, others 0 / 0 */
	regs_in[1][0] = regs_in[1][1] = regs_in[1][2] = 0x4000000000000000;
	regs_in[2][0] = regs_in[2][3] = 77;
	load_all();
	asm volatile("ldmxcsr %0" : : "m"(zero_divide));
	CHECK_EQ(trap_of(avx_divide, &t), VEC_XM);
	CHECK_EQ(t.r.rip, (uint64_t)avx_divide);
	store_all();
	CHECK(!memcmp(regs_in, regs_out, sizeof(regs_in)));
	asm volatile("ldmxcsr %0" : : "m"(masked));
	CHECK_EQ(trap_of(avx_divide, &t), -1);
	store_all();
	CHECK_EQ(regs_out[2][3], 0x7ff0000000000000);
	if (cpuid(1, 0).ecx & 1u << 12) {
		regs_in[0][2] = 0x7ff0000000000001; /* signalling NaN */
		load_all();
		asm volatile("ldmxcsr %0" : : "m"(invalid));
		CHECK_EQ(trap_of(fma_multiply, &t), VEC_XM);
		store_all();
		CHECK(!memcmp(regs_in, regs_out, sizeof(regs_in)));
	}
	asm volatile("ldmxcsr %0" : : "m"(masked));
	disable();
}

asm(".text\n"
    "mask_load: vmaskmovps (%rdi), %ymm1, %ymm0; ret\n"
    "mask_store: vmaskmovps %ymm0, %ymm1, (%rdi); ret\n"
    "gather: vpgatherdd %ymm1, (%rdi,%ymm2,4), %ymm0; ret\n"
    "wide_store: vmovups %ymm0, (%rdi); ret\n");
void mask_load(void), mask_store(void), gather(void), wide_store(void);

static uint8_t *missing; /* its page is not there until the handler maps it */
static unsigned nr_faults;
static uint64_t fault_cr2;

static bool on_pf(struct regs *r)
{
	(void)r;
	asm volatile("mov %%cr2, %0" : "=r"(fault_cr2));
	nr_faults++;
	map_page(missing, page_alloc(), PTE_P | PTE_W);
	memset(missing, 0x55, 4096);
	return true;
}

static void call_at(void (*fn)(void), const void *rdi)
{
	asm volatile("call *%0" : : "r"(fn), "D"(rdi) : "memory", "cc");
}

static void elements(void)
{
	uint8_t *page = free_area(2 * PAGE);
	uint32_t *words = (uint32_t *)(page + PAGE) - 4;

	if (!(cpuid(7, 0).ebx & 1u << 5))
		return test_skip("no AVX2");
	enable();
	trap_set_handler(VEC_PF, on_pf);
	map_page(page, page_alloc(), PTE_P | PTE_W);
	missing = page + PAGE;
	for (unsigned i = 0; i < 1024; i++)
		((uint32_t *)page)[i] = i;
	/* Four words in front of the hole: the others masked off do not fault. */
	memset(regs_in, 0, sizeof(regs_in));
	regs_in[1][0] = regs_in[1][1] = 0x8000000080000000;
	regs_in[0][0] = regs_in[0][3] = 0x1111111122222222;
	load_all();
	call_at(mask_store, words);
	call_at(mask_load, words);
	store_all();
	CHECK_EQ(nr_faults, 0);
	CHECK_EQ(regs_out[0][0], 0x1111111122222222);
	CHECK_EQ(regs_out[0][3], 0);
	/* One element behind it: a fault at the page, nothing stored before. */
	regs_in[1][3] = 0x8000000000000000;
	regs_in[0][0] = 0x3333333344444444;
	load_all();
	call_at(mask_store, words);
	CHECK_EQ(nr_faults, 1);
	CHECK_EQ(fault_cr2, (uint64_t)(words + 7));
	CHECK_EQ(words[0], 0x44444444);
	CHECK_EQ(words[7], 0x11111111);
	CHECK_EQ(words[6], 0x55555555);
	/* A gather goes on where it stopped. */
	unmap_page(missing);
	tlb_flush_all();
	for (unsigned i = 0; i < 4; i++)
		regs_in[1][i] = 0x8000000080000000;
	regs_in[2][0] = 1ull << 32;
	regs_in[2][1] = 1024ull << 32 | 2;
	regs_in[2][2] = 4ull << 32 | 3;
	regs_in[2][3] = 2047ull << 32 | 5;
	load_all();
	call_at(gather, page);
	store_all();
	CHECK_EQ(nr_faults, 2);
	CHECK_EQ(regs_out[0][0], 1ull << 32 | ((uint32_t *)page)[0]);
	CHECK_EQ(regs_out[0][1], 0x5555555500000002);
	CHECK_EQ(regs_out[0][2], 0x400000003);
	CHECK_EQ(regs_out[0][3], 0x5555555500000005);
	CHECK(!regs_out[1][0] && !regs_out[1][1] && !regs_out[1][2] && !regs_out[1][3]);
	/* 32 bytes over the hole. */
	unmap_page(missing);
	tlb_flush_all();
	regs_in[0][0] = 0x6666666677777777;
	load_all();
	call_at(wide_store, words);
	CHECK_EQ(nr_faults, 3);
	CHECK_EQ(fault_cr2, (uint64_t)missing);
	CHECK_EQ(words[0], 0x77777777);
	CHECK_EQ(*(uint64_t *)(missing + 8), 0x1111111122222222);
	trap_set_handler(VEC_PF, NULL);
	disable();
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(existence),
	RT_TEST(xcr0_rules),
	RT_TEST(images),
	RT_TEST(encodings),
	RT_TEST(exceptions),
	RT_TEST(elements),
	{0},
};
