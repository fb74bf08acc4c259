/* SPDX-License-Identifier: MIT */
/*
 * The local APIC in x2APIC mode (Intel SDM vol. 3, 11.12): registers as MSRs, 64-bit interrupt commands, logical
 * destinations, mode changes. A program of its own, because the CPUs stay in that mode.
 */
#include "rt64.h"

#define X2(reg)	  (0x800u + (reg) / 16)
#define X2_LDR	  0x80du
#define X2_ICR	  0x830u
#define X2_SELF	  0x83fu
#define VEC_HIT	  0x62
#define VEC_TIMER 0x64

static volatile uint32_t hits[MAX_CPUS], nmis[MAX_CPUS];
static uint32_t ids[MAX_CPUS], logical[MAX_CPUS];
static volatile bool stop;
static struct spin_barrier gate;

static bool on_hit(struct regs *r)
{
	(void)r;
	__atomic_add_fetch(&hits[this_cpu()->index], 1, __ATOMIC_SEQ_CST);
	wrmsr(X2(APIC_EOI), 0);
	return true;
}

static bool on_nmi(struct regs *r)
{
	(void)r;
	__atomic_add_fetch(&nmis[this_cpu()->index], 1, __ATOMIC_SEQ_CST);
	return true;
}

static bool wait_count(volatile uint32_t *p, uint32_t value)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (*p < value && rdtsc() < end)
		cpu_pause();
	return *p == value;
}

static void enable_x2(void *arg)
{
	unsigned me = this_cpu()->index;

	(void)arg;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0xc00);
	ids[me] = (uint32_t)rdmsr(X2(APIC_ID));
	logical[me] = (uint32_t)rdmsr(X2_LDR);
	if (ids[me] != this_cpu()->apic_id || ids[me] != cpuid(0xb, 0).edx)
		test_fail("CPU %u: ID %x in this mode, %x in the other, %x by CPUID", me, ids[me], this_cpu()->apic_id,
			  cpuid(0xb, 0).edx);
	if (logical[me] != (ids[me] >> 4 << 16 | 1u << (ids[me] & 15)))
		test_fail("CPU %u: logical ID %x of ID %x", me, logical[me], ids[me]);
}

static bool missing(void)
{
	if (cpuid(1, 0).ecx & 1u << 21)
		return false;
	test_skip("no x2APIC");
	return true;
}

static void send(uint32_t id, uint32_t low)
{
	wrmsr(X2_ICR, (uint64_t)id << 32 | low | ICR_ASSERT);
}

static void commands(void)
{
	unsigned n = 20;

	for (unsigned k = 1; k <= n; k++) {
		for (unsigned i = 1; i < nr_cpus; i++) {
			send(ids[i], VEC_HIT);
			if (!wait_count(&hits[i], 2 * k - 1))
				return test_fail("CPU %u: %u physical", i, hits[i]);
			send(logical[i], VEC_HIT | 0x800);
			if (!wait_count(&hits[i], 2 * k))
				return test_fail("CPU %u: %u logical", i, hits[i]);
		}
	}
	send(0xffffffff, VEC_HIT); /* everybody, oneself too */
	for (unsigned i = 1; i < nr_cpus; i++)
		CHECK(wait_count(&hits[i], 2 * n + 1));
	send(0, ICR_OTHERS | ICR_NMI);
	for (unsigned i = 1; i < nr_cpus; i++)
		CHECK(wait_count(&nmis[i], 1));
	CHECK_EQ(nmis[0], 0);
	irq_on();
	CHECK(wait_count(&hits[0], 1));
	wrmsr(X2_SELF, VEC_HIT);
	CHECK(wait_count(&hits[0], 2));
	irq_off();
}

static void worker(void *arg)
{
	enable_x2(arg);
	spin_barrier_wait(&gate, nr_cpus);
	if (this_cpu()->index == 0) {
		commands();
		stop = true;
		return;
	}
	irq_on();
	while (!stop)
		;
	irq_off();
	/* Back to the mode of the runtime: off first. */
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~0xc00ul);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x800);
	apic_enable();
}

static void interrupts(void)
{
	if (missing())
		return;
	trap_set_handler(VEC_HIT, on_hit);
	trap_set_handler(VEC_NMI, on_nmi);
	smp_start();
	smp_run(1, enable_x2, NULL);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~0xc00ul);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x800);
	apic_enable();
	smp_run(nr_cpus, worker, NULL);
}

static void bad_read(void)
{
	rdmsr(X2_SELF);
}

static void bad_register(void)
{
	rdmsr(0x80e);
}

static void bad_value(void)
{
	wrmsr(X2(APIC_SVR), 1ull << 40);
}

static void bad_transition(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~0x400ul); /* to xAPIC mode at once */
}

static void bad_id(void)
{
	wrmsr(X2(APIC_ID), 0);
}

static void rules(void)
{
	struct trap t;

	if (missing())
		return;
	CHECK_EQ(rdmsr(MSR_APIC_BASE) & 0xc00, 0xc00);
	CHECK_EQ(trap_of(bad_read, &t), VEC_GP);
	CHECK_EQ(trap_of(bad_register, &t), VEC_GP);
	CHECK_EQ(trap_of(bad_value, &t), VEC_GP);
	CHECK_EQ(trap_of(bad_id, &t), VEC_GP);
	CHECK_EQ(trap_of(bad_transition, &t), VEC_GP);
}

static void timer(void)
{
	if (missing())
		return;
	trap_set_handler(VEC_TIMER, on_hit);
	hits[0] = 0;
	wrmsr(X2(APIC_TIMER_DIVIDE), 0xb);
	wrmsr(X2(APIC_LVT_TIMER), VEC_TIMER);
	wrmsr(X2(APIC_TIMER_COUNT), 100000);
	irq_on();
	CHECK(wait_count(&hits[0], 1));
	wrmsr(X2(APIC_LVT_TIMER), VEC_TIMER | LVT_PERIODIC);
	wrmsr(X2(APIC_TIMER_COUNT), 1000000);
	CHECK(wait_count(&hits[0], 5) || hits[0] > 5);
	irq_off();
	wrmsr(X2(APIC_LVT_TIMER), LVT_MASKED | VEC_TIMER);
}

/* A disabled APIC, and one in x2APIC mode, has no window; the task priority is CR8's own while there is none. */
static bool window_is_gone(void)
{
	unsigned long cr8, seen;
	bool good = true;

	memset((void *)0xfee00000ul, 0xff, PAGE);
	for (unsigned reg = 0; reg < 0x400; reg += 0x10)
		good &= apic_read(reg) == ~0u;
	asm volatile("mov %%cr8, %0" : "=r"(cr8));
	asm volatile("mov %0, %%cr8" : : "r"(cr8 ^ 0xf));
	asm volatile("mov %%cr8, %0" : "=r"(seen));
	asm volatile("mov %0, %%cr8" : : "r"(cr8));
	return good && seen == (cr8 ^ 0xf);
}

static uint64_t base_value;

static void write_base(void)
{
	wrmsr(MSR_APIC_BASE, base_value);
}

static int base_trap(uint64_t v)
{
	struct trap t;

	base_value = v;
	return trap_of(write_base, &t);
}

#define BASE_EN	  0x800ul
#define BASE_EXTD 0x400ul

static void disabled(void)
{
	uint64_t old = rdmsr(MSR_APIC_BASE), base = old & ~(BASE_EN | BASE_EXTD);
	uint32_t version;

	if (missing())
		return;
	CHECK(window_is_gone());
	CHECK_EQ(base_trap(base | BASE_EXTD), VEC_GP);
	CHECK_EQ(base_trap(base | BASE_EN), VEC_GP);
	CHECK_EQ(base_trap(old | 1), VEC_GP);
	CHECK_EQ(base_trap(old | 1ul << 52), VEC_GP);
	CHECK_EQ(base_trap(base), -1);
	CHECK(!(cpuid(1, 0).edx & 0x200));
	CHECK(window_is_gone());
	CHECK_EQ(base_trap(base | BASE_EXTD), VEC_GP);
	CHECK_EQ(base_trap(base | BASE_EN | BASE_EXTD), VEC_GP);
	CHECK_EQ(base_trap(base | BASE_EN), -1);
	CHECK(cpuid(1, 0).edx & 0x200);
	version = apic_read(0x30);
	CHECK((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15);
	asm volatile("mov %0, %%cr8" : : "r"(5ul));
	CHECK_EQ(apic_read(APIC_TPR), 0x50);
	asm volatile("mov %0, %%cr8" : : "r"(0ul));
	CHECK_EQ(base_trap(base | BASE_EXTD), VEC_GP);
	CHECK_EQ(base_trap(base | BASE_EN | BASE_EXTD), -1);
	wrmsr(X2(APIC_SVR), 0x1ff);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(interrupts),
	RT_TEST(rules),
	RT_TEST(timer),
	RT_TEST(disabled),
	{0},
};
