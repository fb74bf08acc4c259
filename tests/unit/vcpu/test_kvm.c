/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#include <stdlib.h>
#include <time.h>

#include "mem/code_watch.h"
#include "mem/ram.h"
#include "util/rcu.h"
#include "vcpu/x86/x86_kvmclock.h"

#define RAM_SIZE (2u << 20)
#define TIME 0x1044u
#define WALL 0x2f04u
#define SEND_IPI 10
#define ICR 0x63u

static struct {
	uint32_t dest, icr;
} sent[300];
static unsigned nr_sent;

/* IDs 0, 3, 4, 40 and 64 are there. */
static bool ipi(struct vcpu *v, uint32_t dest, uint32_t icr)
{
	assert_ptr_equal(v, &cpu->vcpu);
	assert_true(nr_sent < 300);
	sent[nr_sent].dest = dest;
	sent[nr_sent++].icr = icr;
	return dest == 0 || dest == 3 || dest == 4 || dest == 40 || dest == 64;
}

static const struct intc_ops ipi_intc = { .ipi = ipi };

static uint32_t word(gpa_t area, unsigned n)
{
	uint32_t v;

	memcpy(&v, (uint8_t *)ram_ptr(area) + 4 * n, 4);
	return v;
}

static uint64_t two_words(gpa_t area, unsigned n)
{
	return word(area, n) | (uint64_t)word(area, n + 1) << 32;
}

static bool untouched(void)
{
	for (unsigned i = 0; i < RAM_SIZE; i++)
		if (((uint8_t *)ram_ptr(0))[i] != 0xcc)
			return false;
	return true;
}

static int setup(void **state)
{
	if (rt_setup(state) < 0 || cpu_model("max,+kvmclock,+kvm-pv-ipi") < 0)
		return -1;
	memset(ram_ptr(0), 0xcc, RAM_SIZE);
	nr_sent = 0;
	cpu->vcpu.intc = &ipi_intc;
	cpu->seg[X86_CS].attr = X86_SA_L;
	return 0;
}

/* By the page, a TSC in nanoseconds. */
static uint64_t ns_of(uint64_t guest_tsc)
{
	uint64_t ticks = guest_tsc - two_words(TIME, 2);
	int8_t shift = (int8_t)word(TIME, 7);

	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return two_words(TIME, 4) + (uint64_t)((unsigned __int128)ticks * word(TIME, 6) >> 32);
}

static void page_turns_ticks_into_time(void **state)
{
	uint64_t second = clock_tsc_hz();
	vclock_ns_t before, after;
	uint64_t ns;

	(void)state;
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME | 1), 0);
	assert_int_equal(word(TIME, 0), 0xccccccce);
	assert_int_equal(word(TIME, 1), 0);
	assert_int_equal(word(TIME, 7) >> 8, 1);
	assert_true(word(TIME, 6) >> 31);
	assert_int_equal(word(TIME, 8), 0xcccccccc);
	ns = ns_of(clock_tsc_origin() + 1000000 * second);
	assert_true(ns > 999999990000000 && ns < 1000000010000000); /* a million seconds to 10 ms */
	before = clock_now();
	ns = ns_of(clock_tsc());
	after = clock_now();
	assert_true((int64_t)ns > before - 5000000 && (int64_t)ns < after + 5000000);
}

static void wall_clock_is_the_time_at_the_start(void **state)
{
	vclock_ns_t from, to;
	struct timespec now;
	int64_t ns;

	(void)state;
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_WALL_CLOCK, WALL), 0);
	from = clock_now();
	clock_gettime(CLOCK_REALTIME, &now);
	to = clock_now();
	ns = now.tv_sec * 1000000000 + now.tv_nsec - word(WALL, 1) * 1000000000ll - word(WALL, 2); /* since the start */
	assert_true(ns > from - 1000000000 && ns < to + 1000000000);
	assert_int_equal(word(WALL, 0), 0xccccccce);
	assert_true(word(WALL, 2) < 1000000000);
	assert_int_equal(word(WALL, 3), 0xcccccccc);
}

static void registers_are_there_only_with_the_feature(void **state)
{
	static const uint32_t numbers[] = { X86_MSR_KVM_WALL_CLOCK_OLD, X86_MSR_KVM_SYSTEM_TIME_OLD, X86_MSR_KVM_WALL_CLOCK,
					    X86_MSR_KVM_SYSTEM_TIME };
	uint64_t v;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(x86_msr_write(cpu, numbers[i], 0x1000 + 0x100 * (i & 1) + (i & 1)), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(x86_msr_read(cpu, numbers[i], &v), 0);
		assert_int_equal(v, 0x1000 + 0x100 * (i & 1) + (i & 1));
	}
	assert_int_equal(cpu_model("max,+kvm-pv-ipi"), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(x86_msr_write(cpu, numbers[i], 0), -1);
		assert_int_equal(x86_msr_read(cpu, numbers[i], &v), -1);
	}
}

static void nothing_is_written_where_it_does_not_fit(void **state)
{
	static const uint64_t where[] = { RAM_SIZE - 28, RAM_SIZE, TIME + 2, 1ull << 40, ~0ull << 5, ~0ull << 2, 1ull << 63 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(where); i++)
		assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, where[i] | 1), 0);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME), 0);
	for (unsigned off = 1; off < 4; off++)
		assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_WALL_CLOCK, WALL + off), 0);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_WALL_CLOCK, RAM_SIZE - 8), 0);
	assert_true(untouched());
}

static void moved_tsc_is_told_and_not_stable(void **state)
{
	uint64_t at, tsc_page;

	(void)state;
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME | 1), 0);
	tsc_page = two_words(TIME, 2);
	at = ns_of(tsc_page + 5000);
	assert_int_equal(x86_msr_write(cpu, 0x3b, 1ull << 40), 0);
	assert_int_equal(word(TIME, 0), 0xccccccd0);
	assert_int_equal(word(TIME, 7) >> 8, 0);
	assert_int_equal(ns_of(tsc_page + 5000 + (1ull << 40)), at);
	assert_int_equal(x86_msr_write(cpu, 0x3b, 0), 0);
	assert_int_equal(word(TIME, 7) >> 8, 1);
	assert_int_equal(ns_of(tsc_page + 5000), at);
	x86_kvmclock_report(cpu);
	assert_int_equal(word(TIME, 0), 0xccccccd2);
}

/* What counts is every CPU's TSC. */
static void another_cpu_is_told_at_its_safepoint(void **state)
{
	static struct x86_cpu other;
	struct vcpu *all[] = { &cpu->vcpu, &other.vcpu };

	(void)state;
	vcpus = all;
	nr_vcpus = 2;
	requests = 0;
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME | 1), 0);
	memset(&other, 0, sizeof(other));
	other.tsc_adjust = 1;
	x86_kvmclock_tsc_moved(&other);
	assert_int_equal(requests, VCPU_REQ_INTR);
	assert_int_equal(word(TIME, 7) >> 8, 1);
	x86_kvmclock_report(cpu);
	assert_int_equal(word(TIME, 7) >> 8, 0);
	requests = 0;
	x86_kvmclock_tsc_moved(&other); /* counted once */
	assert_int_equal(requests, 0);
	other.tsc_adjust = 0;
	x86_kvmclock_reset(&other);
	assert_int_equal(requests, VCPU_REQ_INTR);
	x86_kvmclock_report(cpu);
	assert_int_equal(word(TIME, 7) >> 8, 1);
	nr_vcpus = 0;
}

static void stable_bit_can_be_left_out(void **state)
{
	(void)state;
	assert_int_equal(cpu_model("max,+kvmclock,-kvmclock-stable-bit"), 0);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME | 1), 0);
	assert_int_equal(word(TIME, 7) >> 8, 0);
}

static void reset_switches_off(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_SYSTEM_TIME, TIME | 1), 0);
	assert_int_equal(x86_msr_write(cpu, X86_MSR_KVM_WALL_CLOCK, WALL), 0);
	x86_msr_reset(cpu);
	assert_int_equal(x86_msr_read(cpu, X86_MSR_KVM_SYSTEM_TIME, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(x86_msr_read(cpu, X86_MSR_KVM_WALL_CLOCK, &v), 0);
	assert_int_equal(v, 0);
	memset(ram_ptr(0), 0xcc, RAM_SIZE);
	x86_kvmclock_tsc_moved(cpu);
	x86_kvmclock_report(cpu);
	assert_true(untouched());
}

/* ---- Hypercalls */

static int64_t call(uint64_t nr, uint64_t low, uint64_t high, uint64_t first, uint64_t icr)
{
	env->greg[X86_RAX] = nr;
	env->greg[X86_RBX] = low;
	env->greg[X86_RCX] = high;
	env->greg[X86_RDX] = first;
	env->greg[X86_RSI] = icr;
	nr_sent = 0;
	assert_runs(x86_rt_hypercall(env, 0, 0, 0));
	return (int64_t)env->greg[X86_RAX];
}

static void bitmap_names_the_cpus(void **state)
{
	(void)state;
	assert_int_equal(call(SEND_IPI, 1 | 1 << 3 | 1 << 5, 1, 0, ICR), 3);
	assert_int_equal(nr_sent, 4);
	assert_int_equal(sent[0].dest, 0);
	assert_int_equal(sent[1].dest, 3);
	assert_int_equal(sent[2].dest, 5);
	assert_int_equal(sent[3].dest, 64);
	assert_int_equal(sent[3].icr, ICR);
	assert_int_equal(call(SEND_IPI, 3, 1, 3, 0x400), 2);
	assert_int_equal(sent[2].dest, 67);
	assert_int_equal(sent[2].icr, 0x400);
	assert_int_equal(call(SEND_IPI, 0, 0, 0, ICR), 0);
	assert_int_equal(nr_sent, 0);
}

static void ids_do_not_wrap(void **state)
{
	(void)state;
	assert_int_equal(call(SEND_IPI, ~0ull, ~0ull, 0xffffffff, ICR), 0);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(sent[0].dest, 0xffffffff);
	assert_int_equal(call(SEND_IPI, ~0ull, ~0ull, 0xffffffc0, ICR), 0);
	assert_int_equal(nr_sent, 64);
	assert_int_equal(call(SEND_IPI, ~0ull, ~0ull, 1ull << 32, ICR), 0);
	assert_int_equal(call(SEND_IPI, ~0ull, ~0ull, ~0ull, ICR), 0);
	assert_int_equal(nr_sent, 0);
}

/* Words of 32 bits: so far goes a half of the bitmap, and the result has no more. */
static void in_32_bit_code_words_are_short(void **state)
{
	(void)state;
	cpu->seg[X86_CS].attr = 0; /* compatibility mode */
	assert_int_equal(call(7ull << 32 | SEND_IPI, 7ull << 32 | 1, 1 << 8, 9ull << 32, 1ull << 42 | ICR), 2);
	assert_int_equal(nr_sent, 2);
	assert_int_equal(sent[1].dest, 40);
	assert_int_equal(sent[1].icr, ICR);
	assert_int_equal(call(SEND_IPI, 1, 0, 0, 0x800), 0xffffffea);
	assert_int_equal(call(99, 0, 0, 0, 0), 0xfffffc18);
}

static void refusals(void **state)
{
	(void)state;
	assert_int_equal(call(SEND_IPI, 1, 0, 0, ICR | 0x800), -22);
	assert_int_equal(call(SEND_IPI, 1, 0, 0, ICR | 0x40000), -22);
	assert_int_equal(call(SEND_IPI, 1, 0, 0, ICR | 0x80000), -22);
	assert_int_equal(call(1ull << 32 | SEND_IPI, 1, 0, 0, ICR), -1000);
	assert_int_equal(call(5, 1, 0, 0, ICR), -1000);
	cpu->cpl = 3;
	assert_int_equal(call(SEND_IPI, 1, 0, 0, ICR), -1);
	assert_int_equal(call(5, 1, 0, 0, ICR), -1);
	cpu->cpl = 0;
	assert_int_equal(cpu_model("max,+kvmclock"), 0);
	assert_int_equal(call(SEND_IPI, 1, 0, 0, ICR), -1000);
	assert_int_equal(nr_sent, 0);
}

static int begin(void **state)
{
	struct err err;

	(void)state;
	rcu_register();
	if (ram_init(RAM_SIZE, &err) < 0 || aspace_add_ram(&aspace_mem, 0, RAM_SIZE, 0, false) < 0)
		return -1;
	return code_watch_init(ram_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(page_turns_ticks_into_time, setup),
		cmocka_unit_test_setup(wall_clock_is_the_time_at_the_start, setup),
		cmocka_unit_test_setup(registers_are_there_only_with_the_feature, setup),
		cmocka_unit_test_setup(nothing_is_written_where_it_does_not_fit, setup),
		cmocka_unit_test_setup(moved_tsc_is_told_and_not_stable, setup),
		cmocka_unit_test_setup(another_cpu_is_told_at_its_safepoint, setup),
		cmocka_unit_test_setup(stable_bit_can_be_left_out, setup),
		cmocka_unit_test_setup(reset_switches_off, setup),
		cmocka_unit_test_setup(bitmap_names_the_cpus, setup),
		cmocka_unit_test_setup(ids_do_not_wrap, setup),
		cmocka_unit_test_setup(in_32_bit_code_words_are_short, setup),
		cmocka_unit_test_setup(refusals, setup),
	};

	return cmocka_run_group_tests(tests, begin, rt_end);
}
