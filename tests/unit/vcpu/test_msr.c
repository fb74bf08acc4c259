/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#define assert_reads(msr, expected) \
	do { \
		uint64_t value_ = 0xdead; \
		assert_int_equal(x86_msr_read(cpu, msr, &value_), 0); \
		assert_true(value_ == (uint64_t)(expected)); \
	} while (0)
#define assert_keeps(msr, value) \
	do { \
		assert_int_equal(x86_msr_write(cpu, msr, value), 0); \
		assert_reads(msr, value); \
	} while (0)
#define assert_refuses(msr, value) assert_int_equal(x86_msr_write(cpu, msr, value), -1)

static int unreadable(uint32_t msr)
{
	uint64_t v;

	return x86_msr_read(cpu, msr, &v) < 0;
}

/* The lookup is a binary search. */
static void test_table_ascends(void **state)
{
	static const uint32_t ranges[][2] = {
#define X86_MSR(first, last, r, w) { first, last },
#include "vcpu/x86/x86_msr.def"
#undef X86_MSR
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		assert_true(ranges[i][0] <= ranges[i][1]);
		assert_true(i == 0 || ranges[i - 1][1] < ranges[i][0]);
	}
}

static void test_plain_and_unknown(void **state)
{
	(void)state;
	assert_keeps(0xc0000081, 0x23001000000000ull);
	assert_keeps(0x174, 0x10);
	assert_true(unreadable(0x12345));
	assert_refuses(0x12345, 0);
	assert_true(unreadable(0x49)); /* PRED_CMD is write-only */
	assert_int_equal(x86_msr_write(cpu, 0x49, 1), 0);
	assert_refuses(0x49, 2);
	assert_refuses(0x179, 0); /* MCG_CAP is read-only */
	assert_reads(0x8b, 1ull << 32);
	assert_int_equal(x86_msr_write(cpu, 0x8b, 0), 0);
	assert_reads(0x8b, 1ull << 32);
}

static void test_canonical(void **state)
{
	static const uint32_t msrs[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
		assert_keeps(msrs[i], 0xffffffff81000000ull);
		assert_refuses(msrs[i], 0x800000000000ull);
		assert_reads(msrs[i], 0xffffffff81000000ull);
	}
	assert_true(cpu->seg[X86_GS].base == 0xffffffff81000000ull);
}

static void test_efer(void **state)
{
	(void)state;
	flushes = 0;
	assert_int_equal(x86_msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_NXE | X86_EFER_SCE), 0);
	assert_true(cpu->efer == (X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE));
	assert_int_equal(flushes, 1);
	assert_refuses(0xc0000080, 0); /* LME with paging on */
	assert_refuses(0xc0000080, X86_EFER_LME | 1u << 14);
	cpu->cr0 &= ~(uint64_t)X86_CR0_PG;
	cpu->efer = 0;
	assert_int_equal(x86_msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_LMA), 0);
	assert_true(cpu->efer == X86_EFER_LME);
	assert_int_equal(cpu_model("max,-nx"), 0);
	assert_refuses(0xc0000080, X86_EFER_LME | X86_EFER_NXE);
}

static void test_time(void **state)
{
	(void)state;
	timer_changes = 0;
	assert_reads(0x10, 1000000);
	assert_keeps(0x10, 5);
	assert_reads(0x3b, (uint64_t)5 - 1000000);
	assert_keeps(0x3b, 7);
	assert_reads(0x10, 1000007);
	assert_int_equal(timer_changes, 2);
	assert_keeps(0xc0000103, 0x1003);
	assert_refuses(0xc0000103, 1ull << 32);
	assert_int_equal(cpu_model("max,-tsc-adjust"), 0);
	assert_true(unreadable(0x3b));
}

static void test_interrupt_controller(void **state)
{
	(void)state;
	assert_reads(0x1b, 0xfee00900);
	assert_reads(0x80b, 0x80b);
	assert_int_equal(x86_msr_write(cpu, 0x6e0, 99), 0);
	assert_refuses(0x830, 0xbad);
	assert_int_equal(cpu_model("max,-x2apic,-tsc-deadline"), 0);
	assert_true(unreadable(0x80b) && unreadable(0x6e0));
	cpu->vcpu.intc = NULL;
	assert_true(unreadable(0x1b));
}

static void test_speculation(void **state)
{
	uint64_t caps;

	(void)state;
	assert_keeps(0x48, 0x407);
	assert_refuses(0x48, 8);
	assert_int_equal(x86_msr_read(cpu, 0x10a, &caps), 0);
	assert_true(caps & 1 && caps & 2 && caps >> 62 & 1);
	assert_false(caps & 4 || caps & 0x80); /* RSBA, TSX_CTRL */
	assert_int_equal(cpu_model("Nehalem"), 0);
	assert_true(unreadable(0x48) && unreadable(0x10a));
	assert_refuses(0x49, 1);
}

static void test_memory_types(void **state)
{
	(void)state;
	assert_reads(0x277, 0x0007040600070406ull);
	assert_keeps(0x277, 0x0407050600070106ull);
	assert_refuses(0x277, 2);
	assert_reads(0xfe, 0x508);
	assert_keeps(0x2ff, 0xc06);
	assert_refuses(0x2ff, 0xc07);
	assert_refuses(0x2ff, 0x1006);
	assert_keeps(0x200, 0xc0000000ull);
	assert_keeps(0x201, 0xffc0000800ull);
	assert_refuses(0x201, 1ull << 40);
	assert_refuses(0x200, 2);
	assert_keeps(0x20f, 0x800);
	assert_keeps(0x250, 0x0606060606060606ull);
	assert_keeps(0x259, 0x0505050505050505ull);
	assert_keeps(0x26f, 0x0101010101010101ull);
	assert_refuses(0x268, 0x0700000000000000ull); /* UC- is PAT's alone */
	assert_true(cpu->mtrr_fixed[2] == 0x0505050505050505ull && cpu->mtrr_fixed[10] == 0x0101010101010101ull);
}

static void test_machine_check(void **state)
{
	(void)state;
	assert_reads(0x179, 10);
	assert_reads(0x400, ~0ull);
	assert_reads(0x425, 0);
	assert_int_equal(x86_msr_write(cpu, 0x401, 0), 0);
	assert_refuses(0x401, 1);
	assert_true(unreadable(0x428));
	assert_keeps(0x17a, 4);
	assert_refuses(0x17a, 8);
}

static void test_instructions(void **state)
{
	(void)state;
	env->greg[X86_RCX] = 0xffffffff00000277ull;
	env->greg[X86_RAX] = 0xabcd000000000006ull;
	env->greg[X86_RDX] = 0x0000000500000007ull;
	assert_runs(x86_rt_wrmsr(env, 0, 0, 0));
	assert_true(cpu->pat == 0x0000000700000006ull);
	assert_runs(x86_rt_rdmsr(env, 0, 0, 0));
	assert_true(env->greg[X86_RAX] == 6 && env->greg[X86_RDX] == 7);
	cpu->cpl = 3;
	assert_fault(X86_GP, x86_rt_rdmsr(env, 0, 0, 0));
	assert_fault(X86_GP, x86_rt_wrmsr(env, 0, 0, 0));
	cpu->cpl = 0;
	env->greg[X86_RCX] = 0x9999;
	assert_fault(X86_GP, x86_rt_rdmsr(env, 0, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table_ascends, rt_setup),
		cmocka_unit_test_setup(test_plain_and_unknown, rt_setup),
		cmocka_unit_test_setup(test_canonical, rt_setup),
		cmocka_unit_test_setup(test_efer, rt_setup),
		cmocka_unit_test_setup(test_time, rt_setup),
		cmocka_unit_test_setup(test_interrupt_controller, rt_setup),
		cmocka_unit_test_setup(test_speculation, rt_setup),
		cmocka_unit_test_setup(test_memory_types, rt_setup),
		cmocka_unit_test_setup(test_machine_check, rt_setup),
		cmocka_unit_test_setup(test_instructions, rt_setup),
	};

	return cmocka_run_group_tests(tests, NULL, rt_end);
}
