/* SPDX-License-Identifier: MIT */
/*
 * Time on several CPUs: the local APIC's timer in its three modes, time-stamp counters.
 *
 * Command line: cpus=N.
 */
#include "rt64.h"

#define VEC_TIMER 0x64

static volatile uint32_t ticks[MAX_CPUS];

static bool on_tick(struct regs *r)
{
	(void)r;
	ticks[this_cpu()->index]++;
	apic_eoi();
	return true;
}

/* Halts until the timer has come `n` times; the time since `start`, a time before it was set, in microseconds. */
static unsigned long wait_ticks(uint32_t n, uint64_t start)
{
	unsigned me = this_cpu()->index;
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (ticks[me] < n && rdtsc() < end) {
		irq_on_halt();
		irq_off();
	}
	return (rdtsc() - start) * 1000 / tsc_per_ms();
}

static unsigned long apic_ticks_per_ms(void)
{
	uint32_t before;

	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, 0xffffffff);
	before = apic_read(APIC_TIMER_NOW);
	delay_us(10000);
	before -= apic_read(APIC_TIMER_NOW);
	apic_write(APIC_TIMER_COUNT, 0);
	return before / 10;
}

static void timer_worker(void *arg)
{
	unsigned me = this_cpu()->index;
	unsigned long rate = *(unsigned long *)arg, us;
	uint64_t start = rdtsc();

	ticks[me] = 0;
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate * 5);
	us = wait_ticks(1, start);
	if (ticks[me] != 1 || us < 4900)
		test_fail("CPU %u: one-shot of 5 ms: %u after %lu us", me, ticks[me], us);
	if (apic_read(APIC_TIMER_NOW))
		test_fail("one-shot timer counts on");
	ticks[me] = 0;
	start = rdtsc();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_PERIODIC);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate * 2);
	us = wait_ticks(10, start);
	if (ticks[me] < 10 || us < 18000)
		test_fail("CPU %u: periodic of 2 ms: %u after %lu us", me, ticks[me], us);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, 0);
	asm volatile("sti; nop; nop; cli");
}

static void apic_timer(void)
{
	unsigned long rate = apic_ticks_per_ms();

	CHECK(rate > 0);
	trap_set_handler(VEC_TIMER, on_tick);
	smp_run(smp_start(), timer_worker, &rate);
}

/* Sets a deadline and takes it back before it has come; a host that is slow at that gets twice the time. */
static void take_back_deadline(void)
{
	uint64_t deadline, back;

	for (unsigned long ms = 1;; ms *= 2) {
		deadline = tsc_after_ms(ms);
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wrmsr(MSR_TSC_DEADLINE, 0);
		back = rdtsc();
		if (back < deadline)
			break;
		asm volatile("sti; nop; nop; cli");
		ticks[this_cpu()->index] = 0;
	}
	while (rdtsc() < deadline + 2 * tsc_per_ms())
		cpu_pause();
	asm volatile("sti; nop; nop; cli");
}

static void deadline_worker(void *arg)
{
	unsigned me = this_cpu()->index;
	unsigned long us;

	(void)arg;
	ticks[me] = 0;
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_DEADLINE);
	mfence();
	for (uint32_t i = 1; i <= 10; i++) {
		uint64_t start = rdtsc(), deadline = tsc_after_ms(2);

		wrmsr(MSR_TSC_DEADLINE, deadline);
		us = wait_ticks(i, start);
		if (rdtsc() < deadline || ticks[me] != i)
			test_fail("CPU %u: deadline %u: %u after %lu us", me, i, ticks[me], us);
		if (rdmsr(MSR_TSC_DEADLINE))
			test_fail("the deadline is still there when it has passed");
	}
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000); /* in the past: at once */
	wait_ticks(11, 0);
	if (ticks[me] != 11)
		test_fail("a deadline in the past: no interrupt");
	ticks[me] = 0;
	take_back_deadline();
	if (ticks[me])
		test_fail("a deadline that was taken back has fired");
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
}

static void deadline_timer(void)
{
	if (!(cpuid(1, 0).ecx & 1u << 24))
		return test_skip("no TSC deadline");
	trap_set_handler(VEC_TIMER, on_tick);
	smp_run(smp_start(), deadline_worker, NULL);
}

/* A timer interrupts a loop that never leaves on its own. */
static void timer_against_loop(void)
{
	unsigned long rate = apic_ticks_per_ms();
	volatile uint32_t *p = &ticks[0];

	trap_set_handler(VEC_TIMER, on_tick);
	*p = 0;
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_PERIODIC);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate);
	asm volatile("sti\n1: cmpl $20, %0\n\tjb 1b\n\tcli" : : "m"(*p) : "memory", "cc");
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	CHECK(*p >= 20);
}

/* The time-stamp counters of all CPUs are one: it never goes back from one CPU to the next. */
static volatile uint64_t last_tsc;
static struct spinlock tsc_lock;
static struct spin_barrier gate;
static unsigned running;

static void tsc_worker(void *arg)
{
	(void)arg;
	spin_barrier_wait(&gate, running);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now;

		spin_lock(&tsc_lock);
		asm volatile("lfence");
		now = rdtsc();
		if (now < last_tsc)
			test_fail("the time-stamp counter went back by %lu", last_tsc - now);
		last_tsc = now;
		spin_unlock(&tsc_lock);
	}
}

static void tsc_is_one(void)
{
	running = smp_start();
	last_tsc = 0;
	smp_run(running, tsc_worker, NULL);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(apic_timer),
	RT_TEST(deadline_timer),
	RT_TEST(timer_against_loop),
	RT_TEST(tsc_is_one),
	{0},
};
