/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers in 64-bit mode: lib/msrs.h, and what only this mode has; segment registers with descriptors of every kind:
 * lib/segments.h.
 */
#include "msrs.h"
#include "segments.h"

static void addresses(void)
{
	static const uint32_t canonical[] = {MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_LSTAR, MSR_CSTAR, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE};

	for (unsigned i = 0; i < ARRAY_LEN(canonical); i++) {
		keeps(canonical[i], 0xffff800000000000);
		keeps(canonical[i], 0x7fffffffffff);
		refuses_write(canonical[i], 0x800000000000);
		refuses_write(canonical[i], 0xffff7fffffffffff);
	}
	keeps(MSR_STAR, 0x0023001012345678);
	keeps(MSR_SFMASK, 0x47700);
	refuses_write(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME); /* paging is on */
}

asm(".text\n"
    "seg_ds: movl %eax, %ds; int $0x80\n"
    "seg_ss: movl %eax, %ss; int $0x80\n"
    "seg_jump: rex64 ljmp *(%rbx)\n"
    "seg_target: int $0x80\n");

#define LABEL(name)                     \
	({                              \
		extern void name(void); \
		(uint64_t)(name);       \
	})

static struct {
	uint64_t offset;
	uint16_t sel;
} __attribute__((packed)) far_pointer;

/* 64-bit code segments: L and not D. */
static struct seg_outcome run(enum seg_what what, unsigned access, unsigned sel, unsigned cpl)
{
	const uint64_t code[] = {LABEL(seg_ds), LABEL(seg_ss), LABEL(seg_jump)};
	struct regs r;
	struct trap t;

	gdt_set((uint16_t)(sel & ~7u), gdt_segment(0, 0xfffff, access, (access & 0x18) == 0x18 ? 0xa : 0xc), 0);
	gdt_set((uint16_t)((sel & ~7u) + 8), 0, 0);
	user_regs(&r, (const void *)code[what], false);
	far_pointer.offset = LABEL(seg_target) + (cpl ? USER_BASE : 0);
	far_pointer.sel = (uint16_t)sel;
	r.rax = sel;
	r.rbx = (uint64_t)&far_pointer + (cpl ? USER_BASE : 0);
	if (!cpl) {
		r.rip -= USER_BASE;
		r.rsp -= USER_BASE;
		r.cs = SEL_KCODE;
		r.ss = SEL_KDATA;
	}
	run_regs(&r, &t);
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(SEL_KDATA));
	return (struct seg_outcome){(unsigned)t.r.vector, (uint32_t)t.r.error};
}

static void segment_rules(void)
{
	seg_all_cases(run, SEL_TEST, true);
}

/* A null SS: in 64-bit code below CPL 3 it loads, with RPL = CPL. */
static void null_stack_segment(void)
{
	static const unsigned refused[] = {1, 2, 3};

	CHECK_EQ(run(SEG_SS, 0, 0, 0).vector, SEG_NONE);
	for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
		CHECK_EQ(run(SEG_SS, 0, refused[i], 0).vector, VEC_GP);
		CHECK_EQ(run(SEG_SS, 0, refused[i], 3).vector, VEC_GP);
	}
	for (unsigned rpl = 0; rpl < 4; rpl++) {
		CHECK_EQ(run(SEG_DS, 0, rpl, 0).vector, SEG_NONE);
		CHECK_EQ(run(SEG_DS, 0, rpl, 3).vector, SEG_NONE);
		CHECK_EQ(run(SEG_JUMP, 0, rpl, 3).vector, VEC_GP);
	}
}

asm(".pushsection .text\n"
    "msr_vmcall: vmcall; ret\n"
    "msr_vmmcall: vmmcall; ret\n"
    ".popsection");
void msr_vmcall(void), msr_vmmcall(void);

/* Where no feature of KVM's is announced, there is nothing of it. */
static void no_hypercalls(void)
{
	struct trap t;

	if (cpuid(0x40000000, 0).ebx == 0x4b4d564b && cpuid(0x40000001, 0).eax)
		return test_skip("there are");
	CHECK_EQ(trap_of(msr_vmcall, &t), VEC_UD);
	CHECK_EQ(t.r.rip, (uint64_t)msr_vmcall);
	CHECK_EQ(trap_of(msr_vmmcall, &t), VEC_UD);
	for (uint32_t n = 0; n < 4; n++) {
		refuses_read(0x4b564d00 + n);
		refuses_write(0x4b564d00 + n, 0);
	}
	refuses_write(0x11, 0x1000);
	refuses_write(0x12, 0x1001);
}

static uint64_t tsc_and_aux(uint64_t *aux)
{
	uint64_t lo, hi;

	asm volatile("mov $-1, %%rax; mov %%rax, %%rdx; mov %%rax, %%rcx; rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux) : : "memory");
	*aux |= hi >> 32 << 32;
	return hi << 32 | lo;
}

/* All ways to read the time-stamp counter agree, wherever software has set it; IA32_TSC_AUX comes with it. */
static void time_stamp_counter(void)
{
	static const uint64_t steps[] = {0, 1ull << 40, -(1ull << 33)};

	if (!(cpuid(0x80000001, 0).edx >> 27 & 1))
		return test_skip("no RDTSCP");
	wrmsr(0xc0000103, 0xfedcba98);
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		uint64_t t[4], aux;

		wrmsr(MSR_TSC, rdmsr(MSR_TSC) + steps[i]);
		t[0] = rdmsr(MSR_TSC);
		t[1] = tsc_and_aux(&aux);
		t[2] = rdtsc();
		t[3] = rdmsr(MSR_TSC);
		CHECK(t[0] < t[1] && t[1] < t[3]);
		CHECK(t[0] < t[2] && t[2] < t[3]);
		CHECK_EQ(aux, 0xfedcba98);
		wrmsr(MSR_TSC, rdmsr(MSR_TSC) - steps[i]);
	}
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	MSR_TESTS,
	RT_TEST(addresses),
	RT_TEST(segment_rules),
	RT_TEST(null_stack_segment),
	RT_TEST(no_hypercalls),
	RT_TEST(time_stamp_counter),
	{0},
};
