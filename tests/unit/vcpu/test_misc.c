/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#include "vcpu/x86/x86_debug.h"

#define RAX env->greg[X86_RAX]

/* ---- Faults */

static void test_raise(void **state)
{
	(void)state;
	assert_fault(X86_GP, x86_rt_raise(env, X86_GP, 0x18, 0));
	assert_int_equal(cpu->fault.raised.error, 0x18);
	assert_fault(X86_UD, x86_rt_raise(env, X86_UD, ~0ull, 0));
	assert_int_equal(cpu->fault.raised.error, 0);
	assert_fault(0x80, x86_rt_int_soft(env, 0x80, 0x1234, 0));
	assert_true(cpu->fault.raised.soft && cpu->fault.raised.next_pc == 0x1234 && cpu->fault.pending);
}

/* ---- Integers */

static void test_div8(void **state)
{
	(void)state;
	RAX = 0x1111111111110105ull;
	assert_runs(x86_rt_div8(env, 2, 0, 0));
	assert_true(RAX == 0x1111111111110182ull);
	RAX = 0xffff;
	assert_fault(X86_DE, x86_rt_div8(env, 2, 0, 0));
	assert_fault(X86_DE, x86_rt_div8(env, 0, 0, 0));
	assert_fault(X86_DE, x86_rt_div8(env, 0, 1, 0));
	RAX = (uint16_t)-7;
	assert_runs(x86_rt_div8(env, 2, 1, 0));
	assert_true(RAX == 0xfffd); /* -3, remainder -1 */
	RAX = 0x8000;
	assert_fault(X86_DE, x86_rt_div8(env, 0xff, 1, 0));
	RAX = 0xff80; /* -128 / 1 */
	assert_runs(x86_rt_div8(env, 1, 1, 0));
	assert_true(RAX == 0x80);
	RAX = 128;
	assert_fault(X86_DE, x86_rt_div8(env, 1, 1, 0));
}

static void bcd_case(unsigned what, uint16_t ax, uint64_t flags, unsigned imm, uint16_t out, uint64_t out_flags)
{
	RAX = 0x7777000000000000ull | ax;
	env->flags = flags;
	assert_runs(x86_rt_bcd(env, what, imm, 0));
	assert_true(RAX == (0x7777000000000000ull | out));
	assert_true(env->flags == out_flags);
}

static void test_bcd(void **state)
{
	(void)state;
	bcd_case(0, 0x00ae, 0, 0, 0x0014, X86_FL_AF | X86_FL_CF | X86_FL_PF);     /* DAA: the manual's 79 + 35 */
	bcd_case(0, 0x002e, 0, 0, 0x0034, X86_FL_AF);
	bcd_case(0, 0x009a, 0, 0, 0x0000, X86_FL_AF | X86_FL_CF | X86_FL_ZF | X86_FL_PF);
	bcd_case(1, 0x00ee, X86_FL_CF | X86_FL_AF, 0, 0x0088, X86_FL_AF | X86_FL_CF | X86_FL_SF | X86_FL_PF); /* DAS: 35 - 47 */
	bcd_case(1, 0x0002, X86_FL_AF, 0, 0x00fc, X86_FL_AF | X86_FL_CF | X86_FL_SF | X86_FL_PF); /* the borrow of the low digit */
	bcd_case(2, 0x020f, 0, 0, 0x0305, X86_FL_AF | X86_FL_CF | X86_FL_PF);
	bcd_case(2, 0x0205, 0, 0, 0x0205, X86_FL_PF);
	bcd_case(3, 0x020f, 0, 0, 0x0109, X86_FL_AF | X86_FL_CF | X86_FL_PF);
	bcd_case(4, 0x1239, 0, 10, 0x0507, 0);
	bcd_case(5, 0x0507, 0, 10, 0x0039, X86_FL_PF);
	assert_fault(X86_DE, x86_rt_bcd(env, 4, 0, 0));
}

static void test_bound(void **state)
{
	(void)state;
	assert_runs(x86_rt_bound(env, 5, 0, 5));
	assert_fault(X86_BR, x86_rt_bound(env, 6, 0, 5));
	assert_runs(x86_rt_bound(env, (uint64_t)-3, (uint64_t)-3, 5));
	assert_fault(X86_BR, x86_rt_bound(env, (uint64_t)-4, (uint64_t)-3, 5));
}

static void test_cmpxchg8b(void **state)
{
	uint64_t v = 0x1122334455667788ull;

	(void)state;
	memcpy(mem + 101, &v, 8);
	RAX = 0xffffffff55667788ull;
	env->greg[X86_RDX] = 0x11223344;
	env->greg[X86_RBX] = 1;
	env->greg[X86_RCX] = 2;
	env->flags = X86_FL_CF;
	assert_runs(x86_rt_cmpxchg8b(env, 101, 0, 0));
	assert_true(env->flags == (X86_FL_CF | X86_FL_ZF));
	memcpy(&v, mem + 101, 8);
	assert_true(v == 0x200000001ull);
	assert_true(RAX == 0xffffffff55667788ull); /* untouched when equal */
	assert_runs(x86_rt_cmpxchg8b(env, 101, 0, 0));
	assert_true(env->flags == X86_FL_CF);
	assert_true(RAX == 1 && env->greg[X86_RDX] == 2);
}

static void test_cmpxchg16b(void **state)
{
	uint64_t v[2] = { 5, 6 };

	(void)state;
	memcpy(mem + 64, v, 16);
	RAX = 5;
	env->greg[X86_RDX] = 6;
	env->greg[X86_RBX] = ~0ull;
	env->greg[X86_RCX] = 8;
	assert_runs(x86_rt_cmpxchg16b(env, 64, 0, 0));
	assert_true(env->flags & X86_FL_ZF);
	memcpy(v, mem + 64, 16);
	assert_true(v[0] == ~0ull && v[1] == 8);
	assert_runs(x86_rt_cmpxchg16b(env, 64, 0, 0));
	assert_false(env->flags & X86_FL_ZF);
	assert_true(RAX == ~0ull && env->greg[X86_RDX] == 8);
	assert_fault(X86_GP, x86_rt_cmpxchg16b(env, 72, 0, 0));
}

static void test_random(void **state)
{
	uint64_t any = 0, a, b;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		env->flags = X86_FL_ZF;
		assert_true(x86_rt_rdrand(env, 2, 0, 0) <= 0xffff);
		assert_true(x86_rt_rdseed(env, 4, 0, 0) <= 0xffffffff);
		assert_true(env->flags == X86_FL_CF);
		any |= x86_rt_rdrand(env, 8, 0, 0);
	}
	assert_true(any == ~0ull);
	a = x86_rt_rdrand(env, 8, 0, 0);
	b = x86_rt_rdrand(env, 8, 0, 0);
	assert_true(a != b);
}

static void test_far_pointer(void **state)
{
	const uint8_t bytes[] = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66 };

	(void)state;
	memcpy(mem, bytes, 6);
	assert_true(x86_rt_ld_far(env, 0, 4, 0) == 0x44332211 && env->spill[15] == 0x6655);
	assert_true(x86_rt_ld_far(env, 0, 2, 0) == 0x2211 && env->spill[15] == 0x4433);
}

static unsigned spin_hints;

void vcpu_spin_wait(struct vcpu *v)
{
	assert_ptr_equal(v, &x86_cpu(env)->vcpu);
	spin_hints++;
}

static void test_pause(void **state)
{
	(void)state;
	assert_runs(x86_rt_pause(env, 0, 0, 0));
	assert_int_equal(spin_hints, 1);
}

/* ---- System */

static void test_time(void **state)
{
	(void)state;
	cpu->tsc_aux = 9;
	assert_true(x86_rt_rdpid(env, 0, 0, 0) == 9);
	cpu->cpl = 3;
	assert_fault(X86_GP, x86_rt_rdpmc(env, 0, 0, 0));
}

static void test_cpuid_registers(void **state)
{
	(void)state;
	memset(env->greg, 0xff, sizeof(env->greg));
	RAX = 0xffffffff00000000ull;
	assert_runs(x86_rt_cpuid(env, 0, 0, 0));
	assert_true(RAX == 0x1f && env->greg[X86_RBX] >> 32 == 0 && env->greg[X86_RDX] >> 32 == 0);
}

static void test_ports(void **state)
{
	(void)state;
	port_value = 0xabcdef0123456700ull;
	assert_true(x86_rt_in(env, 0x60, 1, 0) == 0x60);
	assert_true(x86_rt_in(env, 0x60, 4, 0) == 0x23456760);
	assert_runs(x86_rt_out(env, 0x3f8, 1, 0x1241));
	assert_true(port_value == (0x41 | 0x3f8ull << 32 | 1ull << 48));
	io_allowed = false;
	assert_fault(X86_GP, x86_rt_in(env, 0x60, 1, 0));
	assert_fault(X86_GP, x86_rt_out(env, 0x60, 1, 0));
}

static void test_waiting(void **state)
{
	(void)state;
	cpu->vcpu.run_state = VCPU_RUNNING;
	cpu->cpl = 3;
	assert_fault(X86_GP, x86_rt_hlt(env, 0x1001, 0, 0));
	assert_fault(X86_GP, x86_rt_wbinvd(env, 0, 0, 0));
	cpu->cpl = 0;
	assert_runs(x86_rt_hlt(env, 0x1001, 0, 0));
	assert_true(env->pc == 0x1001 && cpu->vcpu.run_state == VCPU_HALTED);
	/* A store behind MONITOR, or none before: MWAIT does nothing. Else it asks for a rest. */
	env->greg[X86_RCX] = 0;
	atomic_store(&env->request, 0);
	assert_runs(x86_rt_mwait(env, 0x2002, 0, 0));
	assert_int_equal(env->pc, 0x2002);
	assert_runs(x86_rt_monitor(env, 0x123, 0, 0));
	mem[0x13f]++;
	assert_runs(x86_rt_mwait(env, 0x2002, 0, 0));
	assert_int_equal(atomic_load(&env->request), 0);
	assert_runs(x86_rt_monitor(env, 0x123, 0, 0));
	assert_runs(x86_rt_mwait(env, 0x2002, 0, 0));
	assert_int_equal(atomic_exchange(&env->request, 0), VCPU_REQ_REST);
	env->greg[X86_RCX] = 1;
	assert_fault(X86_GP, x86_rt_monitor(env, 0x123, 0, 0));
	assert_runs(x86_rt_mwait(env, 0x2002, 0, 0));
	env->greg[X86_RCX] = 2;
	assert_fault(X86_GP, x86_rt_mwait(env, 0x2002, 0, 0));
	cpu->cpl = 3;
	assert_fault(X86_UD, x86_rt_mwait(env, 0, 0, 0));
	assert_fault(X86_UD, x86_rt_monitor(env, 0, 0, 0));
	cpu->cpl = 0;
	assert_fault(X86_UD, x86_rt_rsm(env, 0, 0, 0));
}

static void test_fpu_available(void **state)
{
	(void)state;
	assert_runs(x86_rt_fpu_nm(env, 0, 0, 0));
	assert_runs(x86_rt_fpu_nm(env, 1, 0, 0));
	cpu->cr0 |= X86_CR0_TS;
	assert_fault(X86_NM, x86_rt_fpu_nm(env, 0, 0, 0));
	assert_fault(X86_NM, x86_rt_fpu_nm(env, 1, 0, 0));
	cpu->cr0 |= X86_CR0_EM;
	assert_fault(X86_UD, x86_rt_fpu_nm(env, 1, 0, 0));
	assert_fault(X86_NM, x86_rt_fpu_nm(env, 0, 0, 0));
}

static void test_debug_registers(void **state)
{
	(void)state;
	assert_runs(x86_rt_dr_write(env, 0, 0xffff800000001000ull, 0));
	assert_true(x86_rt_dr_read(env, 0, 0, 0) == 0xffff800000001000ull);
	assert_runs(x86_rt_dr_write(env, 6, 0, 0));
	assert_true(x86_rt_dr_read(env, 4, 0, 0) == 0xffff0ff0);
	assert_runs(x86_rt_dr_write(env, 5, 0xffffdfff, 0));
	assert_true(x86_rt_dr_read(env, 7, 0, 0) == 0xffff0fff);
	assert_fault(X86_GP, x86_rt_dr_write(env, 7, 1ull << 32, 0));
	cpu->cr4 |= X86_CR4_DE;
	assert_fault(X86_UD, x86_rt_dr_read(env, 5, 0, 0));
	cpu->dr[7] |= X86_DR7_GD;
	assert_fault(X86_DB, x86_rt_dr_read(env, 0, 0, 0));
	assert_true(cpu->dr[6] & X86_DR6_BD && !(cpu->dr[7] & X86_DR7_GD));
	assert_runs(x86_rt_dr_read(env, 0, 0, 0));
	cpu->cpl = 3;
	assert_fault(X86_GP, x86_rt_dr_read(env, 0, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_raise, rt_setup),
		cmocka_unit_test_setup(test_div8, rt_setup),
		cmocka_unit_test_setup(test_bcd, rt_setup),
		cmocka_unit_test_setup(test_bound, rt_setup),
		cmocka_unit_test_setup(test_cmpxchg8b, rt_setup),
		cmocka_unit_test_setup(test_cmpxchg16b, rt_setup),
		cmocka_unit_test_setup(test_random, rt_setup),
		cmocka_unit_test_setup(test_far_pointer, rt_setup),
		cmocka_unit_test_setup(test_pause, rt_setup),
		cmocka_unit_test_setup(test_time, rt_setup),
		cmocka_unit_test_setup(test_cpuid_registers, rt_setup),
		cmocka_unit_test_setup(test_ports, rt_setup),
		cmocka_unit_test_setup(test_waiting, rt_setup),
		cmocka_unit_test_setup(test_fpu_available, rt_setup),
		cmocka_unit_test_setup(test_debug_registers, rt_setup),
	};

	return cmocka_run_group_tests(tests, NULL, rt_end);
}
