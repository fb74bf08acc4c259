/* SPDX-License-Identifier: MIT */
/*
 * Tests of model-specific registers that 32-bit and 64-bit programs share (Intel SDM vol. 4; vol. 3, 12.11 MTRRs, 12.12 PAT, 16.3 machine checks,
 * 20.2 performance counters).
 */
#ifndef GUEST_MSRS_H
#define GUEST_MSRS_H

#include "rt.h"

#ifdef __x86_64__
#include "rt64.h"
#define MSR_IP r.rip
#else
#include "rt32.h"
#define MSR_IP r.eip
#endif

#define MSR_MTRRCAP    0xfeu
#define MSR_MCG_CAP    0x179u
#define MSR_MCG_STATUS 0x17au
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_DEBUGCTL   0x1d9u
#define MSR_MTRR_BASE0 0x200u
#define MSR_PAT	       0x277u
#define MSR_MTRR_DEF   0x2ffu
#define MSR_MC0_CTL    0x400u

static struct trap msr_t;
uint32_t msr_number; /* of the snippets */
uint64_t msr_value;

asm(".text\n"
    "msr_read_it: movl msr_number, %ecx\n"
    "msr_read_at: rdmsr; ret\n"
    "msr_write_it: movl msr_number, %ecx; movl msr_value, %eax; movl msr_value + 4, %edx\n"
    "msr_write_at: wrmsr; ret\n"
    "msr_pmc_it: movl msr_number, %ecx\n"
    "msr_pmc_at: rdpmc; ret\n");
void msr_read_it(void), msr_write_it(void), msr_read_at(void), msr_write_at(void), msr_pmc_it(void), msr_pmc_at(void);

/* Refused: #GP(0) at the instruction. */
static void msr_refuses(void (*fn)(void), void (*at)(void), uint32_t n, uint64_t v)
{
	int vector;

	msr_number = n;
	msr_value = v;
	vector = trap_of(fn, &msr_t);
	if (vector != VEC_GP || msr_t.r.error || (unsigned long)msr_t.MSR_IP != (unsigned long)at)
		test_fail("MSR %x, value %x%08x: vector %d error %lx, should be #GP(0)", n, (uint32_t)(v >> 32), (uint32_t)v, vector,
			  (unsigned long)msr_t.r.error);
}

static void refuses_read(uint32_t n)
{
	msr_refuses(msr_read_it, msr_read_at, n, 0);
}

static void refuses_write(uint32_t n, uint64_t v)
{
	msr_refuses(msr_write_it, msr_write_at, n, v);
}

static void keeps(uint32_t n, uint64_t v)
{
	uint64_t old = rdmsr(n);

	wrmsr(n, v);
	if (rdmsr(n) != v)
		test_fail("MSR %x: reads %x%08x, was written %x%08x", n, (uint32_t)(rdmsr(n) >> 32), (uint32_t)rdmsr(n), (uint32_t)(v >> 32),
			  (uint32_t)v);
	wrmsr(n, old);
}

static void attribute_table(void)
{
	CHECK_EQ(cpuid(1, 0).edx >> 16 & 1, 1);
	CHECK(rdmsr(MSR_PAT) == 0x0007040600070406ull);
	keeps(MSR_PAT, 0x0706050401000706ull);
	for (unsigned i = 0; i < 8; i++) {
		refuses_write(MSR_PAT, 2ull << 8 * i); /* types 2, 3 and from 8 on are reserved */
		refuses_write(MSR_PAT, 3ull << 8 * i);
		refuses_write(MSR_PAT, 8ull << 8 * i);
	}
	CHECK(rdmsr(MSR_PAT) == 0x0007040600070406ull);
}

static void memory_type_ranges(void)
{
	static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
	uint64_t cap = rdmsr(MSR_MTRRCAP);
	unsigned pairs = cap & 0xff;

	CHECK(pairs >= 8);
	CHECK_EQ(cap & 0x500, 0x500); /* fixed ranges, write combining */
	refuses_write(MSR_MTRRCAP, cap);
	for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
		keeps(fixed[i], 0x0605040100060504ull);
		refuses_write(fixed[i], 0x0700000000000000ull);
		refuses_write(fixed[i], 2);
	}
	for (unsigned i = 0; i < pairs; i++) {
		keeps(MSR_MTRR_BASE0 + 2 * i, 0x12345000ull | 6);
		keeps(MSR_MTRR_BASE0 + 2 * i + 1, 0xfff000800ull);
		refuses_write(MSR_MTRR_BASE0 + 2 * i, 0x12345000ull | 2);
		refuses_write(MSR_MTRR_BASE0 + 2 * i, 0x12345000ull | 0x100);
		refuses_write(MSR_MTRR_BASE0 + 2 * i + 1, 0x7ff);
		refuses_write(MSR_MTRR_BASE0 + 2 * i + 1, 1ull << 62);
	}
	refuses_read(MSR_MTRR_BASE0 + 2 * pairs);
	keeps(MSR_MTRR_DEF, 0xc06);
	keeps(MSR_MTRR_DEF, 0);
	refuses_write(MSR_MTRR_DEF, 0xc07);
	refuses_write(MSR_MTRR_DEF, 0x100);
	refuses_write(MSR_MTRR_DEF, 1ull << 32);
}

static void machine_checks(void)
{
	unsigned banks = rdmsr(MSR_MCG_CAP) & 0xff;

	CHECK_EQ(cpuid(1, 0).edx & 0x4080, 0x4080);
	CHECK(banks > 0);
	keeps(MSR_MCG_STATUS, 7);
	refuses_write(MSR_MCG_STATUS, 8);
	refuses_write(MSR_MCG_CAP, 0);
	for (unsigned b = 0; b < banks; b++) {
		uint32_t ctl = MSR_MC0_CTL + 4 * b;

		keeps(ctl, ~0ull);
		keeps(ctl, 0);
		refuses_write(ctl, 1ull << 47);
		CHECK(rdmsr(ctl + 1) == 0); /* status: nothing was reported; may be cleared */
		wrmsr(ctl + 1, 0);
		refuses_write(ctl + 1, 1);
		for (unsigned i = 2; i < 4; i++) { /* address, more */
			CHECK(rdmsr(ctl + i) == 0);
			keeps(ctl + i, ~0ull);
			keeps(ctl + i, 1ull << 47);
		}
	}
	refuses_read(MSR_MC0_CTL + 4 * banks);
	write_cr4(read_cr4() | 0x40); /* MCE */
	CHECK_EQ(read_cr4() & 0x40, 0x40);
	write_cr4(read_cr4() & ~0x40ul);
}

/* CPUID tells of no counters: leaf 0AH is empty, and their registers do not exist. */
static void performance_counters(void)
{
	static const uint32_t numbers[] = {0xc1, 0xc8, 0x186, 0x18d, 0x309, 0x30b, 0x345, 0x38d, 0x38e, 0x38f, 0x390, 0x3f1, 0x4c1,
					   0xc0010000, 0xc0010004, 0xc0010200};

	if (cpuid(0, 0).eax >= 10)
		CHECK_EQ(cpuid(10, 0).eax & 0xff, 0);
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] < 0xc0000000) {
			refuses_read(numbers[i]);
			refuses_write(numbers[i], 0);
		}
	for (uint32_t n = 0; n < 8; n++) {
		msr_refuses(msr_pmc_it, msr_pmc_at, n, 0);
		msr_refuses(msr_pmc_it, msr_pmc_at, 0x40000000 + n, 0);
	}
}

static void debug_control(void)
{
	keeps(MSR_DEBUGCTL, 1);
	keeps(MSR_DEBUGCTL, 2);
	refuses_write(MSR_DEBUGCTL, 1ull << 32);
	refuses_write(MSR_DEBUGCTL, 1ull << 20);
}

static void others(void)
{
	uint64_t before, adjust;

	refuses_read(0x12345);
	refuses_write(0x12345, 0);
	refuses_read(0xc0001234);
	keeps(MSR_SYSENTER_CS, 0x5678);
	keeps(MSR_SYSENTER_ESP, 0x12345678);
	keeps(MSR_SYSENTER_EIP, 0x12345678);
	refuses_write(MSR_EFER, 1ull << 63);
	refuses_write(MSR_EFER, 2);
	if (cpuid(7, 0).ebx & 2) { /* moving the TSC moves its adjustment */
		adjust = rdmsr(0x3b);
		before = rdmsr(MSR_TSC);
		wrmsr(MSR_TSC, before + 0x100000000ull);
		CHECK(rdmsr(0x3b) - adjust <= 0x100000000ull && rdmsr(0x3b) - adjust > 0xf0000000ull);
		wrmsr(0x3b, adjust);
		CHECK(rdmsr(MSR_TSC) - before < 0x80000000ull);
	}
}

#define MSR_TESTS                                                                                                                                \
	RT_TEST(attribute_table), RT_TEST(memory_type_ranges), RT_TEST(machine_checks), RT_TEST(performance_counters), RT_TEST(debug_control), \
		RT_TEST(others)

#endif
