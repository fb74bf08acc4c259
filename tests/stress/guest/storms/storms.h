/* SPDX-License-Identifier: MIT */
/*
 * Storms: disorder on all CPUs, in small turns that check themselves. Every CPU takes turns of the storms in its mix at
 * random, with interrupts on, and holds nothing between two turns; so any mix works, and any CPU can be reset between
 * its turns.
 *
 * Rules: a lock is only tried, never waited for. Who waits does so by storm_wait(), with interrupts on, and says what
 * for. Who sends an interrupt to a CPU, or expects an answer of it, holds it (cpu_hold()) until that is over: a CPU that is
 * held is not reset.
 */
#ifndef STRESS_STORMS_H
#define STRESS_STORMS_H

#include "rt64.h"

enum storm_id { STORM_BLOCK, STORM_CHAIN, STORM_EVICT, STORM_TLB, STORM_IPI, STORM_HOTPLUG, NR_STORMS };

struct worker {
	unsigned index;
	uint32_t seed;
	bool started;              /* has passed the start; stays when the CPU is reset */
	const char *volatile doing;
	volatile uint64_t beat;    /* TSC of its latest sign of life */
	volatile uint32_t park;    /* PARK_*; see hotplug.c */
	volatile uint32_t online;  /* takes interrupts and answers them */
	volatile uint32_t holders; /* of cpu_hold() */
	volatile uint64_t ops[NR_STORMS];
} __attribute__((aligned(64)));

enum { PARK_NONE, PARK_ASKED, PARK_DONE };

struct storm {
	const char *name;
	void (*prepare)(void);           /* boot CPU, before the others begin; again for each test */
	void (*enter)(struct worker *w); /* each CPU as it begins, also after a reset; interrupts off; may be NULL */
	void (*leave)(struct worker *w); /* each CPU at its end; interrupts off; may be NULL */
	void (*turn)(struct worker *w);
	void (*finish)(void);            /* boot CPU, when all are at rest: are the counts exact? may be NULL */
};

extern const struct storm block_storm, chain_storm, evict_storm, tlb_storm, ipi_storm, hotplug_storm;
extern struct worker workers[MAX_CPUS];
extern unsigned storm_cpus;

bool storm_over(void);
uint64_t storm_patience(void); /* cycles after which what has not happened counts as lost */

/* Until *p is value; a hang ends the program with a report of all CPUs. Interrupts must be on. */
void storm_wait(struct worker *w, volatile uint32_t *p, uint32_t value, const char *what, unsigned whom);
void storm_hang(const char *what, unsigned from, unsigned whom) __attribute__((noreturn));

/* The program has seen what must not be: counted and told. */
#define STALE(...)                                                                    \
	do {                                                                          \
		__atomic_add_fetch(&storm_stale, 1, __ATOMIC_RELAXED);                \
		test_fail(__VA_ARGS__);                                               \
	} while (0)
extern volatile uint64_t storm_stale;

/* False: the CPU is about to be reset; leave it alone. Every true needs a cpu_release(), from any CPU. */
bool cpu_hold(unsigned cpu);
void cpu_release(unsigned cpu);

/* All CPUs at once, for broadcasts. */
bool all_hold(void);
void all_release(void);
extern volatile uint32_t plug_active, all_holders;

static inline uint32_t pick(struct worker *w, uint32_t n)
{
	return (random_next(&w->seed) >> 4) % n;
}

static inline unsigned count_bits(uint64_t set)
{
	unsigned n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

/* A lock that is tried: -1 one writer, else readers. */
static inline bool try_read(volatile int32_t *lock)
{
	int32_t v = *lock;

	return v >= 0 && __atomic_compare_exchange_n(lock, &v, v + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline bool try_write(volatile int32_t *lock)
{
	int32_t v = 0;

	return __atomic_compare_exchange_n(lock, &v, -1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void end_read(volatile int32_t *lock)
{
	__atomic_sub_fetch(lock, 1, __ATOMIC_RELEASE);
}

static inline void end_write(volatile int32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* "mov $value, %eax; ret" anywhere, and a call of what returns in EAX. */
static inline void put_function(uint8_t *p, uint32_t value)
{
	p[0] = 0xb8;
	*(volatile uint32_t *)(p + 1) = value;
	p[5] = 0xc3;
}

static inline uint32_t call_function(const void *p)
{
	uint32_t v;

	asm volatile("xorl %%eax, %%eax\n\tcall *%1" : "=&a"(v) : "r"(p) : "memory", "cc");
	return v;
}

uint8_t *storm_area(unsigned pages);                    /* fresh memory at fresh addresses */
uint8_t *storm_alias(const uint8_t *area, unsigned pages); /* the same memory at others */

#endif
