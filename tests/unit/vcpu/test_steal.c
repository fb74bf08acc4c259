/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#include <stdlib.h>
#include <time.h>

#include "mem/code_watch.h"
#include "mem/ram.h"
#include "util/rcu.h"
#include "vcpu/x86/x86_steal.h"

#define AREA 0x1040u
#define PREEMPTED 1
#define FLUSH_TLB 2

static uint8_t *byte(unsigned at)
{
	return (uint8_t *)ram_ptr(AREA) + at;
}

static uint64_t stolen(void)
{
	uint64_t v;

	memcpy(&v, byte(0), 8);
	return v;
}

static uint32_t version(void)
{
	uint32_t v;

	memcpy(&v, byte(8), 4);
	return v;
}

static int setup(void **state)
{
	if (rt_setup(state) < 0 || cpu_model("max,+kvm-steal-time,+kvm-pv-tlb-flush") < 0)
		return -1;
	memset(byte(0), 0, 64);
	flushes = 0;
	return x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, AREA | 1);
}

static void register_is_there_only_with_the_feature(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 1 << 5 | 1 << 9);
	assert_int_equal(x86_msr_read(cpu, X86_MSR_KVM_STEAL_TIME, &v), 0);
	assert_int_equal(v, AREA | 1);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, AREA | 3), -1);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, AREA | 0x21), -1);
	assert_int_equal(cpu_model("max,-kvm,+kvm-pv-tlb-flush"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(cpu_model("max"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(x86_msr_read(cpu, X86_MSR_KVM_STEAL_TIME, &v), -1);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, 0), -1);
}

static void standing_cpu_says_so(void **state)
{
	(void)state;
	assert_int_equal(*byte(16), 0);
	x86_steal_stand(cpu);
	assert_int_equal(*byte(16), PREEMPTED);
	x86_steal_go_on(cpu);
	assert_int_equal(*byte(16), 0);
	assert_int_equal(flushes, 0);
}

static void note_flushes_once(void **state)
{
	(void)state;
	x86_steal_stand(cpu);
	*byte(16) |= FLUSH_TLB;
	assert_int_equal(flushes, 0);
	x86_steal_go_on(cpu);
	assert_int_equal(*byte(16), 0);
	assert_int_equal(flushes, 1);
	x86_steal_stand(cpu);
	x86_steal_go_on(cpu);
	assert_int_equal(flushes, 1);
}

/* After a reset, or without RAM there, nothing is written. */
static void off_is_off(void **state)
{
	(void)state;
	x86_steal_stand(cpu);
	x86_msr_reset(cpu);
	x86_steal_go_on(cpu);
	assert_int_equal(*byte(16), PREEMPTED);
	*byte(16) = 0;
	x86_steal_stand(cpu);
	assert_int_equal(*byte(16), 0);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, 0x7000001), 0);
	x86_steal_stand(cpu);
	x86_steal_report(cpu);
	x86_steal_go_on(cpu);
	assert_int_equal(flushes, 0);
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000l };

	nanosleep(&t, NULL);
}

/* A thread that sleeps without saying so is one that the host does not let run. */
static void time_neither_run_nor_stood_is_stolen(void **state)
{
	vclock_ns_t start;
	uint64_t once;

	(void)state;
	sleep_ms(20);
	x86_steal_report(cpu);
	once = stolen();
	assert_true(once >= 15000000);
	assert_int_equal(version(), 2);
	start = clock_now();
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_STEAL_TIME, AREA | 1), 0);
	x86_steal_stand(cpu);
	sleep_ms(20);
	x86_steal_go_on(cpu);
	x86_steal_report(cpu);
	assert_true(stolen() >= once && stolen() - once <= (uint64_t)(clock_now() - start) - 20000000);
	assert_int_equal(version(), 4);
}

static int begin(void **state)
{
	struct err err;

	(void)state;
	rcu_register();
	if (ram_init(2u << 20, &err) < 0 || aspace_add_ram(&aspace_mem, 0, 2u << 20, 0, false) < 0)
		return -1;
	return code_watch_init(ram_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(register_is_there_only_with_the_feature, setup),
		cmocka_unit_test_setup(standing_cpu_says_so, setup),
		cmocka_unit_test_setup(note_flushes_once, setup),
		cmocka_unit_test_setup(off_is_off, setup),
		cmocka_unit_test_setup(time_neither_run_nor_stood_is_stolen, setup),
	};

	return cmocka_run_group_tests(tests, begin, rt_end);
}
