/* SPDX-License-Identifier: MIT */
/*
 * x87 and SSE state seen by a kernel: saving and restoring it, lazily and across interrupts, and the exceptions that
 * guest code unmasks (Intel SDM vol. 1, chapters 8, 11 and 13).
 */
#include "rt64.h"

static uint8_t image[2][4096] __attribute__((aligned(64)));

static void fxsave(void *p)
{
	asm volatile("fxsave64 (%0)" : : "r"(p) : "memory");
}

static void fxrstor(const void *p)
{
	asm volatile("fxrstor64 (%0)" : : "r"(p) : "memory");
}

/* Distinct contents for everything in an FXSAVE image. */
static void fill_image(uint8_t *p, uint32_t seed)
{
	memset(p, 0, 512);
	*(uint16_t *)p = 0x037f;
	*(uint16_t *)(p + 2) = (uint16_t)((seed & 7) << 11);
	p[4] = 0xff;
	*(uint32_t *)(p + 24) = 0x1f80 | (seed & 0x3f);
	*(uint32_t *)(p + 28) = 0xffff;
	for (unsigned i = 0; i < 8; i++) {
		for (unsigned k = 0; k < 8; k++)
			p[32 + i * 16 + k] = (uint8_t)random_next(&seed);
		p[32 + i * 16 + 7] |= 0x80;
		*(uint16_t *)(p + 32 + i * 16 + 8) = (uint16_t)(0x3ff0 + i);
	}
	for (unsigned i = 160; i < 416; i++)
		p[i] = (uint8_t)random_next(&seed);
}

static bool same_image(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, 5) == 0 && memcmp(a + 24, b + 24, 4) == 0 && memcmp(a + 32, b + 32, 384) == 0;
}

static void save_and_restore(void)
{
	for (uint32_t i = 1; i < 200; i++) {
		fill_image(image[0], i);
		fxrstor(image[0]);
		memset(image[1], 0xee, 512);
		fxsave(image[1]);
		CHECK(same_image(image[0], image[1]));
		CHECK_EQ(image[1][464], 0xee);
	}
	asm volatile("fninit");
	fxsave(image[0]);
	CHECK_EQ(*(uint16_t *)image[0], 0x37f);
	CHECK_EQ(*(uint16_t *)(image[0] + 2), 0);
	CHECK_EQ(image[0][4], 0);
}

/* State survives traps, interrupts and other CPUs' doings while it is in the registers. */
static bool on_irq(struct regs *r)
{
	(void)r;
	apic_eoi();
	return true;
}

static bool on_skip(struct regs *r)
{
	r->rip += 2; /* over UD2 */
	return true;
}

static void state_worker(void *arg)
{
	uint8_t mine[512] __attribute__((aligned(16))), seen[512] __attribute__((aligned(16)));
	unsigned me = this_cpu()->index;

	(void)arg;
	for (uint32_t i = 1; i < 300; i++) {
		fill_image(mine, i * 64 + me);
		fxrstor(mine);
		irq_on();
		apic_send(0, ICR_SELF | 0x71);
		asm volatile("ud2");
		if (nr_cpus > 1)
			apic_send(cpus[(me + 1) % nr_cpus].apic_id, 0x71);
		serialize();
		irq_off();
		fxsave(seen);
		if (!same_image(mine, seen))
			return test_fail("CPU %u: state changed across interrupts", me);
	}
}

static void across_interrupts(void)
{
	trap_set_handler(0x71, on_irq);
	trap_set_handler(VEC_UD, on_skip);
	smp_run(smp_start(), state_worker, NULL);
	trap_set_handler(VEC_UD, NULL);
}

/* As a kernel that switches lazily: #NM exchanges the state. */
static unsigned owner, wanted, nr_nm;

static bool on_nm(struct regs *r)
{
	(void)r;
	asm volatile("clts");
	fxsave(image[owner]);
	fxrstor(image[wanted]);
	owner = wanted;
	nr_nm++;
	return true;
}

static uint64_t bump_xmm(void)
{
	uint64_t v;

	asm volatile("pcmpeqd %%xmm8, %%xmm8; psubq %%xmm8, %%xmm7; movq %%xmm7, %0" : "=r"(v));
	return v;
}

static void lazy_switching(void)
{
	uint64_t expected[2] = {100, 5000};

	for (unsigned i = 0; i < 2; i++) {
		fill_image(image[i], i + 1);
		*(uint64_t *)(image[i] + 160 + 7 * 16) = expected[i];
	}
	owner = wanted = nr_nm = 0;
	fxrstor(image[0]);
	trap_set_handler(VEC_NM, on_nm);
	for (unsigned i = 0; i < 500; i++) {
		wanted = i & 1;
		if (owner != wanted)
			write_cr0(read_cr0() | CR0_TS);
		CHECK_EQ(bump_xmm(), ++expected[wanted]);
	}
	trap_set_handler(VEC_NM, NULL);
	CHECK_EQ(nr_nm, 499);
}

/* ---- SSE exceptions */

static uint32_t stmxcsr(void)
{
	uint32_t v;

	asm volatile("stmxcsr %0" : "=m"(v));
	return v;
}

static void ldmxcsr(uint32_t v)
{
	asm volatile("ldmxcsr %0" : : "m"(v));
}

static const uint64_t d_one = 0x3ff0000000000000, d_zero, d_three = 0x4008000000000000, d_snan = 0x7ff0000000000001;
static const uint64_t d_max = 0x7fefffffffffffff, d_tiny = 0x0010000000000000, d_half = 0x3fe0000000000000,
		      d_denormal = 1;

asm(".text\n"
    "sse_divide: divsd %xmm1, %xmm0; ret\n"
    "sse_multiply: mulsd %xmm1, %xmm0; ret\n"
    "sse_convert: cvtsd2si %xmm0, %eax; ret\n"
    "sse_compare: comisd %xmm1, %xmm0; ret\n"
    "sse_ldmxcsr_bad: ldmxcsr mxcsr_bad; ret\n"
    ".section .rodata; mxcsr_bad: .long 0x80001f80; .text\n");
void sse_divide(void), sse_multiply(void), sse_convert(void), sse_compare(void), sse_ldmxcsr_bad(void);

static void sse_load(const uint64_t *a, const uint64_t *b)
{
	asm volatile("movsd %0, %%xmm0; movsd %1, %%xmm1" : : "m"(*a), "m"(*b));
}

static void sse_case(const char *what, void (*fn)(void), const uint64_t *a, const uint64_t *b, uint32_t flag)
{
	struct trap t;
	uint64_t before, after;

	/* Masked: the flag is set, nothing traps. */
	ldmxcsr(0x1f80);
	sse_load(a, b);
	if (trap_of(fn, &t) != -1 || !(stmxcsr() & flag))
		test_fail("%s, masked: vector %lu, MXCSR %x", what, t.r.vector, stmxcsr());
	/* Unmasked: #XM at the instruction, the destination as it was. */
	ldmxcsr(0x1f80 & ~(flag << 7));
	sse_load(a, b);
	asm volatile("movq %%xmm0, %0" : "=r"(before));
	if (trap_of(fn, &t) != VEC_XM || t.r.rip != (uint64_t)fn || !(stmxcsr() & flag))
		test_fail("%s, unmasked: vector %lu at +%ld, MXCSR %x", what, t.r.vector, t.r.rip - (uint64_t)fn,
			  stmxcsr());
	asm volatile("movq %%xmm0, %0" : "=r"(after));
	if (before != after)
		test_fail("%s, unmasked: the destination changed", what);
	/* Without OSXMMEXCPT it is #UD. */
	write_cr4(read_cr4() & ~CR4_OSXMMEXCPT);
	sse_load(a, b);
	ldmxcsr(0x1f80 & ~(flag << 7));
	if (trap_of(fn, &t) != VEC_UD)
		test_fail("%s, unmasked, no OSXMMEXCPT: vector %lu", what, t.r.vector);
	write_cr4(read_cr4() | CR4_OSXMMEXCPT);
	ldmxcsr(0x1f80);
}

static void sse_exceptions(void)
{
	struct trap t;

	sse_case("invalid", sse_divide, &d_zero, &d_zero, 1);
	sse_case("signalling NaN", sse_multiply, &d_snan, &d_one, 1);
	sse_case("denormal", sse_multiply, &d_denormal, &d_one, 2);
	sse_case("zero divide", sse_divide, &d_one, &d_zero, 4);
	sse_case("overflow", sse_multiply, &d_max, &d_max, 8);
	sse_case("underflow", sse_multiply, &d_tiny, &d_tiny, 16);
	sse_case("inexact", sse_divide, &d_one, &d_three, 32);
	sse_case("conversion", sse_convert, &d_max, &d_one, 1);
	sse_case("inexact conversion", sse_convert, &d_half, &d_one, 32);
	sse_case("comparison", sse_compare, &d_snan, &d_one, 1);
	CHECK_EQ(trap_of(sse_ldmxcsr_bad, &t), VEC_GP);
	CHECK_EQ(t.r.error, 0);
}

/* Flags are sticky, and none appears that was not caused. */
static void sse_flags(void)
{
	ldmxcsr(0x1f80);
	sse_load(&d_one, &d_half);
	sse_divide();
	CHECK_EQ(stmxcsr(), 0x1f80);
	sse_load(&d_one, &d_three);
	sse_divide();
	CHECK_EQ(stmxcsr(), 0x1fa0);
	sse_load(&d_one, &d_half);
	sse_divide();
	CHECK_EQ(stmxcsr(), 0x1fa0);
	ldmxcsr(0x9fc0); /* FZ, DAZ */
	sse_load(&d_denormal, &d_one);
	sse_multiply();
	CHECK_EQ(stmxcsr(), 0x9fc0);
	ldmxcsr(0x1f80);
}

/* ---- x87 exceptions: reported by the next waiting x87 instruction */

asm(".text\n"
    "x87_wait: fwait; ret\n"
    "x87_load: fld1; ret\n");
void x87_wait(void), x87_load(void);

static uint16_t x87_divide_by_zero(uint16_t cw)
{
	static const double zero;
	uint16_t sw;

	asm volatile("fninit; fldcw %1; fld1; fdivl %2; fnstsw %0" : "=m"(sw) : "m"(cw), "m"(zero) : "memory");
	return sw;
}

static void x87_exceptions(void)
{
	const uint16_t all_masked = 0x037f, unmasked = all_masked & ~4;
	struct trap t;

	CHECK_EQ(x87_divide_by_zero(all_masked) & 0x80ff, 4);
	CHECK_EQ(trap_of(x87_wait, &t), -1);
	CHECK_EQ(x87_divide_by_zero(unmasked) & 0x80ff, 0x8084);
	CHECK_EQ(trap_of(x87_wait, &t), VEC_MF);
	CHECK_EQ(t.r.rip, (uint64_t)x87_wait);
	CHECK_EQ(trap_of(x87_load, &t), VEC_MF);
	CHECK_EQ(t.r.rip, (uint64_t)x87_load);
	asm volatile("fnclex");
	CHECK_EQ(trap_of(x87_wait, &t), -1);
	CHECK_EQ(trap_of(x87_load, &t), -1);
	/* FLDCW that unmasks what is pending. */
	x87_divide_by_zero(all_masked);
	asm volatile("fldcw %0" : : "m"(unmasked));
	CHECK_EQ(trap_of(x87_wait, &t), VEC_MF);
	asm volatile("fninit");
	CHECK_EQ(trap_of(x87_wait, &t), -1);
}

/*
 * What is pending comes before faults of the memory operand, and only for instructions that wait (SDM volume 3A, table 6-2). The operand is at
 * fault_at: nowhere, or not canonical.
 */
asm(".text\n"
    "x87_load_at: mov fault_at(%rip), %rax; fldl (%rax); ret\n"
    "x87_status_at: mov fault_at(%rip), %rax; fnstsw (%rax); ret\n"
    "plain_load_at: mov fault_at(%rip), %rax; mov (%rax), %rax; ret\n");
void x87_load_at(void), x87_status_at(void), plain_load_at(void);
uint64_t fault_at;

static void x87_before_operand(void)
{
	static const struct {
		uint64_t at;
		int vector;
	} places[] = {{1ull << 45, VEC_PF}, {1ull << 62, VEC_GP}};
	const uint16_t all_masked = 0x037f, unmasked = all_masked & ~4;
	struct trap t;

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		fault_at = places[i].at;
		x87_divide_by_zero(all_masked);
		CHECK_EQ(trap_of(x87_load_at, &t), places[i].vector);
		x87_divide_by_zero(unmasked);
		CHECK_EQ(trap_of(x87_load_at, &t), VEC_MF);
		CHECK_EQ(trap_of(x87_status_at, &t), places[i].vector);
		CHECK_EQ(trap_of(plain_load_at, &t), places[i].vector);
		CHECK_EQ(trap_of(x87_load_at, &t), VEC_MF);
		asm volatile("fnclex");
		CHECK_EQ(trap_of(x87_load_at, &t), places[i].vector);
	}
	asm volatile("fninit");
}

/* CR0.NE = 0: FERR, which is interrupt 13 of the 8259s; port F0 takes it back. The handler finds the instruction that waits. */
static volatile unsigned nr_errors, nr_wrong;
static uint64_t error_rip;

static bool on_fpu_error(struct regs *r)
{
	uint16_t sw[2];

	nr_errors++;
	error_rip = r->rip;
	outb(0xf0, 0);
	/* What waits runs now, and the error stays: with what these instructions raise themselves, and through a fault of one of them. */
	asm volatile("fwait; fld1; fnstsw %0; fld1; faddp; fnstsw %1; fstp %%st(0)" : "=m"(sw[0]), "=m"(sw[1]));
	for (unsigned i = 0; i < ARRAY_LEN(sw); i++)
		nr_wrong += (sw[i] & 0x80ff) != 0x8084;
	asm volatile("fnclex");
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	return true;
}

asm("x87_wait_at: fwait; ret\n");

static void x87_interrupt(void)
{
	extern void x87_wait_at(void);
	static const uint8_t init[2][4] = {{0x11, 0x30, 4, 1}, {0x11, 0x38, 2, 1}};
	const uint16_t unmasked = 0x0372, all_masked = 0x037f;

	for (unsigned i = 0; i < 4; i++) {
		outb(0x20 + (i > 0), init[0][i]);
		outb(0xa0 + (i > 0), init[1][i]);
	}
	outb(0x21, 0xfb);
	outb(0xa1, 0xdf);
	apic_write(APIC_LVT_LINT0, 0x700);
	trap_set_handler(0x3d, on_fpu_error);
	write_cr0(read_cr0() & ~CR0_NE);
	irq_on();
	for (unsigned n = 1; n <= 3; n++) {
		x87_divide_by_zero(unmasked);
		CHECK_EQ(nr_errors, n - 1); /* not before something waits for it */
		x87_wait_at();
		CHECK_EQ(nr_errors, n);
		CHECK_EQ(error_rip, (uint64_t)x87_wait_at);
		CHECK_EQ(nr_wrong, 0);
	}
	x87_divide_by_zero(all_masked);
	x87_wait_at();
	CHECK_EQ(nr_errors, 3);
	irq_off();
	write_cr0(read_cr0() | CR0_NE);
	trap_set_handler(0x3d, NULL);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	asm volatile("fninit");
}

static void x87_state_ops(void)
{
	uint8_t env[28], all[108];
	uint16_t sw, cw = 0x027f;

	asm volatile("fninit; fldcw %0; fldpi; fld1; fnstenv %1" : : "m"(cw), "m"(env) : "memory");
	CHECK_EQ(*(uint16_t *)env, 0x27f);
	CHECK_EQ(*(uint16_t *)(env + 4) >> 11 & 7, 6);
	CHECK_EQ(*(uint16_t *)(env + 8), 0x0fff);
	asm volatile("fninit; fldenv %1; fnstsw %0" : "=m"(sw) : "m"(env) : "memory");
	CHECK_EQ(sw >> 11 & 7, 6);
	asm volatile("fninit; fldpi; fld1; fnsave %0; frstor %0; fnstsw %1" : "+m"(all), "=m"(sw) : : "memory");
	CHECK_EQ(sw >> 11 & 7, 6);
	CHECK_EQ(*(uint16_t *)(all + 28 + 8), 0x3fff);
	CHECK_EQ(*(uint16_t *)(all + 38 + 8), 0x4000);
	asm volatile("fninit");
}

/* ---- XSAVE */

static void xsetbv(uint64_t v)
{
	asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static uint64_t xgetbv(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

static void xsave(void *p, uint32_t mask)
{
	asm volatile("xsave64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}

static void xrstor(const void *p, uint32_t mask)
{
	asm volatile("xrstor64 (%0)" : : "r"(p), "a"(mask), "d"(0) : "memory");
}

/*
 * FIP, FDP and FOP: SDM volume 1, 8.1.8 and 8.1.9. Each piece of code leaves the instruction at its label `_last`; some put block ends, other
 * instructions and faults in between.
 */
asm(".text\n"
    "ptr_same: fninit; ptr_same_last: fldl ptr_operand; fnstenv ptr_env; ret\n"
    "ptr_ends: fninit; ptr_ends_last: fldl ptr_operand; jmp 1f; 1: nop; call 2f; fnstcw ptr_word; fnstenv ptr_env; ret; 2: ret\n"
    "ptr_reg: fninit; fldl ptr_operand; ptr_reg_last: fchs; movl ptr_operand, %eax; fwait; fnstenv ptr_env; ret\n"
    "ptr_push: fninit; fldl ptr_operand; fldz; push %rbx; lea ptr_operand - 8, %rbx; ptr_push_last: fsubrs 8(%rbx); lea 64(%rbx), %rbx\n"
    "	fnstenv ptr_env; pop %rbx; ret\n"
    "ptr_fault: fninit; ptr_fault_last: fldl ptr_operand; ud2; nop; fnstenv ptr_env; ret\n"
    ".data; .balign 8; ptr_operand: .double 1.5; ptr_word: .quad 0; ptr_env: .skip 32; .text\n");
extern char ptr_same_last[], ptr_ends_last[], ptr_reg_last[], ptr_push_last[], ptr_fault_last[], ptr_operand[];
extern uint32_t ptr_env[7];
void ptr_same(void), ptr_ends(void), ptr_reg(void), ptr_push(void), ptr_fault(void);

static void expect_pointers(void (*code)(void), const char *last, unsigned fop)
{
	for (unsigned n = 0; n < 3; n++) {
		code();
		CHECK_EQ(ptr_env[3], (uint32_t)(uintptr_t)last);
		CHECK_EQ(ptr_env[4] >> 16 & 0x7ff, fop);
		CHECK_EQ(ptr_env[5], (uint32_t)(uintptr_t)ptr_operand);
	}
}

static void x87_pointers(void)
{
	static uint32_t env[7] = { 0xffff037f, 0xffff0000, 0xffffffff, 0x12345678, 0x02340000, 0x9abcdef0, 0xffff0000 };
	static uint8_t area[512] __attribute__((aligned(16)));

	trap_set_handler(VEC_UD, on_skip);
	expect_pointers(ptr_same, ptr_same_last, 0x504);
	expect_pointers(ptr_ends, ptr_ends_last, 0x504);
	expect_pointers(ptr_reg, ptr_reg_last, 0x1e0);
	expect_pointers(ptr_push, ptr_push_last, 0x06b);
	expect_pointers(ptr_fault, ptr_fault_last, 0x504);
	trap_set_handler(VEC_UD, NULL);
	/* What is loaded is what is read. */
	asm volatile("fldenv %0; fnstenv ptr_env" : : "m"(env) : "memory");
	CHECK_EQ(ptr_env[3], env[3]);
	CHECK_EQ(ptr_env[4] >> 16 & 0x7ff, 0x234);
	CHECK_EQ(ptr_env[5], env[5]);
	fxsave(area);
	*(uint64_t *)(area + 8) = 0x123456789abc;
	*(uint64_t *)(area + 16) = 0x23456789abcd;
	*(uint16_t *)(area + 6) = 0x765;
	fxrstor(area);
	asm volatile("fnstenv ptr_env" : : : "memory");
	CHECK_EQ(ptr_env[3], 0x56789abc);
	CHECK_EQ(ptr_env[4] >> 16 & 0x7ff, 0x765);
	CHECK_EQ(ptr_env[5], 0x6789abcd);
	asm volatile("fninit; fnstenv ptr_env" : : : "memory");
	CHECK_EQ(ptr_env[3] | (ptr_env[4] & 0x7ff0000) | ptr_env[5], 0);
}

asm(".text; xsave_plain: xorl %eax, %eax; xorl %edx, %edx; leaq xsave_area, %rbx; xsave (%rbx); ret\n"
    "xsetbv_zero: xorl %ecx, %ecx; xorl %eax, %eax; xorl %edx, %edx; xsetbv; ret\n"
    ".bss; .balign 64; xsave_area: .skip 4096; .text\n");
void xsave_plain(void), xsetbv_zero(void);

static void extended_state(void)
{
	struct trap t;
	uint64_t offered;

	if (!(cpuid(1, 0).ecx & 1u << 26))
		return test_skip("no XSAVE");
	CHECK_EQ(trap_of(xsave_plain, &t), VEC_UD);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).ecx & 1u << 27);
	offered = cpuid(0xd, 0).eax;
	CHECK_EQ(offered & 3, 3);
	CHECK_EQ(trap_of(xsetbv_zero, &t), VEC_GP);
	xsetbv(offered);
	CHECK_EQ(xgetbv(), offered);
	for (uint32_t i = 1; i < 100; i++) {
		memset(image[0], 0, 4096);
		fill_image(image[0], i);
		*(uint64_t *)(image[0] + 512) = 3;
		xrstor(image[0], 3);
		memset(image[1], 0, 4096);
		xsave(image[1], 3);
		CHECK(same_image(image[0], image[1]));
		CHECK_EQ(*(uint64_t *)(image[1] + 512) & 3, 3);
		/* Only what is asked for. */
		memset(image[1], 0xee, 512);
		*(uint64_t *)(image[1] + 512) = 0;
		xsave(image[1], 1);
		CHECK_EQ(image[1][160], 0xee);
		CHECK_EQ(image[1][32], image[0][32]);
	}
	/* Components whose bit is clear in the header are initialised. */
	*(uint64_t *)(image[0] + 512) = 0;
	xrstor(image[0], 3);
	xsave(image[1], 3);
	fxsave(image[1]);
	for (unsigned i = 160; i < 416; i++)
		CHECK_EQ(image[1][i], 0);
	CHECK_EQ(*(uint16_t *)image[1], 0x37f);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(save_and_restore),
	RT_TEST(across_interrupts),
	RT_TEST(lazy_switching),
	RT_TEST(sse_exceptions),
	RT_TEST(sse_flags),
	RT_TEST(x87_exceptions),
	RT_TEST(x87_before_operand),
	RT_TEST(x87_interrupt),
	RT_TEST(x87_state_ops),
	RT_TEST(x87_pointers),
	RT_TEST(extended_state),
	{0},
};
