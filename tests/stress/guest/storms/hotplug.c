/* SPDX-License-Identifier: MIT */
/*
 * Hotplug storm: CPUs are taken out of their work by INIT and started again by SIPI (Intel SDM vol. 3, 9.4), one at a
 * time, while the others go on. The victim parks itself, in a loop or halted, between two of its turns; then nobody
 * begins to hold it, and who holds it is waited for. Some starts are broken off by another INIT: after the CPU has
 * begun to run, or at once, when the start must leave no trace.
 */
#include "storms.h"

#define SPIN_PAGE (TRAMPOLINE + 0x1000)
#define COUNTER	  (*(volatile uint16_t *)(SPIN_PAGE + 0x200))

extern volatile uint32_t ap_count;
volatile uint32_t plug_active, all_holders;
static volatile int32_t busy;

/* Pairs with plug(): it takes `online` away and then looks at `holders`. */
bool cpu_hold(unsigned cpu)
{
	struct worker *w = &workers[cpu];

	__atomic_add_fetch(&w->holders, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w->online, __ATOMIC_SEQ_CST))
		return true;
	cpu_release(cpu);
	return false;
}

void cpu_release(unsigned cpu)
{
	__atomic_sub_fetch(&workers[cpu].holders, 1, __ATOMIC_SEQ_CST);
}

bool all_hold(void)
{
	__atomic_add_fetch(&all_holders, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&plug_active, __ATOMIC_SEQ_CST))
		return true;
	all_release();
	return false;
}

void all_release(void)
{
	__atomic_sub_fetch(&all_holders, 1, __ATOMIC_SEQ_CST);
}

/* False: the storm ended before the victim saw it. */
static bool park(struct worker *me, struct worker *victim)
{
	uint64_t end = rdtsc() + storm_patience();
	uint32_t asked = PARK_ASKED;

	victim->park = PARK_ASKED;
	while (victim->park != PARK_DONE) {
		me->beat = rdtsc();
		if (storm_over() && __atomic_compare_exchange_n(&victim->park, &asked, PARK_NONE, false, __ATOMIC_SEQ_CST,
								__ATOMIC_SEQ_CST))
			return false;
		asked = PARK_ASKED;
		if ((int64_t)(rdtsc() - end) > 0)
			storm_hang("a CPU to park", me->index, victim->index);
		cpu_pause();
	}
	return true;
}

static void start(const struct worker *victim, uint32_t page)
{
	apic_send(cpus[victim->index].apic_id, ICR_SIPI | page >> 12);
}

/* A start at another place, and an end to it. */
static void broken_start(struct worker *me, struct worker *victim)
{
	uint64_t end = rdtsc() + storm_patience();
	uint16_t before = COUNTER;

	start(victim, SPIN_PAGE);
	if (pick(me, 2)) {
		while (COUNTER == before) {
			if ((int64_t)(rdtsc() - end) > 0)
				storm_hang("a CPU to start in real mode", me->index, victim->index);
			cpu_pause();
		}
	}
	apic_send(cpus[victim->index].apic_id, ICR_INIT);
}

static void restart(struct worker *me, struct worker *victim)
{
	victim->park = PARK_NONE;
	apic_send(cpus[victim->index].apic_id, ICR_INIT);
	for (unsigned n = pick(me, 3); n; n--)
		broken_start(me, victim);
	if (pick(me, 2))
		delay_us(pick(me, 300));
	ap_count = victim->index;
	start(victim, TRAMPOLINE);
	if (pick(me, 2))
		start(victim, TRAMPOLINE);
	storm_wait(me, &victim->online, 1, "a CPU that was reset to start", victim->index);
}

static void plug(struct worker *me, struct worker *victim)
{
	__atomic_store_n(&plug_active, 1, __ATOMIC_SEQ_CST);
	storm_wait(me, &all_holders, 0, "the end of broadcasts", MAX_CPUS);
	if (park(me, victim)) {
		storm_wait(me, &victim->holders, 0, "the end of what goes on with a CPU", victim->index);
		restart(me, victim);
		me->ops[STORM_HOTPLUG]++;
	}
	__atomic_store_n(&plug_active, 0, __ATOMIC_SEQ_CST);
}

static void turn(struct worker *w)
{
	unsigned victim = pick(w, storm_cpus);

	if (!victim || victim == w->index || !try_write(&busy))
		return;
	plug(w, &workers[victim]);
	end_write(&busy);
}

static void prepare(void)
{
	/* 1: cli; lock incw %cs:0x200; 2: pause; jmp 2b */
	static const uint8_t spin[] = {0xfa, 0xf0, 0x2e, 0xff, 0x06, 0x00, 0x02, 0xf3, 0x90, 0xeb, 0xfc};

	memcpy((void *)SPIN_PAGE, spin, sizeof(spin));
	busy = 0;
	plug_active = all_holders = 0;
}

const struct storm hotplug_storm = {.name = "hotplug", .prepare = prepare, .turn = turn};
