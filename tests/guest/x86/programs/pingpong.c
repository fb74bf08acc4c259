/* SPDX-License-Identifier: MIT */
/*
 * Two CPUs interrupt each other in turn, and each handler starts the next leg: first while both run, then while each
 * halts until its turn comes. "rounds=N" says how often; the time of a round trip is printed: of interrupts, so that the players
 * share no other cache line while they play. Beside it the host counts what a send costs: no lock, no system call but one for a
 * CPU that sleeps (tests/guest/x86/run).
 */
#include "rt64.h"

#define X2_ICR	 0x830u
#define X2_EOI	 0x80bu
#define VEC_BALL 0x62

enum { PLAYERS = 2 };

static struct {
	_Alignas(64) volatile uint32_t received; /* tests/gdb/run knows where */
} player[PLAYERS];
static _Alignas(64) volatile bool over; /* written once */
static uint32_t rounds;
static bool x2apic;
static struct spin_barrier gate;

static void serve(unsigned to)
{
	if (x2apic)
		wrmsr(X2_ICR, (uint64_t)cpus[to].apic_id << 32 | ICR_ASSERT | VEC_BALL);
	else
		apic_send(cpus[to].apic_id, VEC_BALL);
}

static bool on_ball(struct regs *r)
{
	unsigned me = this_cpu()->index;

	(void)r;
	player[me].received++;
	if (x2apic)
		wrmsr(X2_EOI, 0);
	else
		apic_eoi();
	if (over)
		return true;
	if (me == 0 && player[0].received >= rounds)
		over = true;
	else
		serve(!me);
	return true;
}

static void play(void *halts)
{
	unsigned me = this_cpu()->index;
	uint64_t base = rdmsr(MSR_APIC_BASE), start;

	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | 0xc00);
	spin_barrier_wait(&gate, PLAYERS);
	start = rdtsc();
	if (me == 0)
		serve(1);
	if (halts) {
		while (!over) {
			irq_on_halt();
			irq_off();
		}
		serve(!me); /* who halts still looks again; a ball too many is not played on */
	} else {
		irq_on();
		while (!over)
			;
	}
	if (me == 0)
		print("# %s: %u round trips, %lu ns each\n", halts ? "halted" : "running", rounds,
		      (rdtsc() - start) * 1000000 / tsc_per_ms() / rounds);
	irq_on(); /* what is on its way */
	spin_barrier_wait(&gate, PLAYERS);
	delay_us(1000);
	irq_off();
	if (x2apic) { /* back to the mode of the runtime: off first */
		wrmsr(MSR_APIC_BASE, base & ~0xc00ul);
		wrmsr(MSR_APIC_BASE, base);
		apic_enable();
	}
}

static void match(void *halts)
{
	if (smp_start() < PLAYERS)
		return test_skip("takes two CPUs");
	x2apic = cpuid(1, 0).ecx & 1u << 21;
	rounds = (uint32_t)opt_number("rounds", 20000);
	tsc_per_ms();
	trap_set_handler(VEC_BALL, on_ball);
	player[0].received = player[1].received = 0;
	over = false;
	smp_run(PLAYERS, play, halts);
	trap_set_handler(VEC_BALL, NULL);
	CHECK(player[0].received >= rounds && player[0].received <= rounds + 1);
	CHECK(player[1].received >= rounds && player[1].received <= rounds + 1);
}

static void running(void)
{
	match(NULL);
}

static void halted(void)
{
	match((void *)1);
}

const struct rt_test rt_tests[] = {RT_TEST(running), RT_TEST(halted), {0}};
