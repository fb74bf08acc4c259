/* SPDX-License-Identifier: MIT */
/*
 * KVM's steal time (Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_STEAL_TIME) and PV TLB flush (cpuid.rst, KVM_FEATURE_PV_TLB_FLUSH).
 *
 * The guest gives each CPU 64 bytes of memory. In them stands how long the CPU did not run though it wanted to: here the time that passed,
 * less that in which the thread ran or stood still. What a park spins on the host CPU is taken for time in which the guest ran, so the figure is
 * at most so much too small.
 *
 * The byte `preempted` says that the CPU stands still. Who changed a page table then need not interrupt it: it adds the flag FLUSH by
 * compare-and-exchange, and the CPU flushes before it uses its TLB again. The exchange by which the CPU takes the byte back decides: a note that
 * came before it is seen, and who comes later finds the byte zero and sends an interrupt. Model: tests/models/pv_flush.pml.
 */
#include "vcpu/x86/x86_steal.h"

#include <time.h>

#include "mem/tlb.h"
#include "sched/clock.h"
#include "util/stats.h"
#include "vcpu/x86/x86_pv_area.h"

#define ENABLED 1ull
#define RESERVED 0x3eull

#define PREEMPTED 1u
#define FLUSH_TLB 2u

#define REPORT_NS 1000000 /* asking the host kernel for the thread's time is a system call */

/* The guest's memory: KVM's struct kvm_steal_time. */
struct steal_area {
	uint64_t steal;    /* nanoseconds */
	uint32_t version;  /* odd while steal changes */
	uint32_t flags;
	uint8_t preempted; /* PREEMPTED, FLUSH_TLB; [atomic] also by the guest's other CPUs */
	uint8_t pad[47];
};
_Static_assert(sizeof(struct steal_area) == 64, "part of the interface");

/* NULL: switched off, or not in RAM. */
static struct steal_area *area(const struct x86_cpu *c, ram_off_t *off)
{
	return c->steal.msr & ENABLED ? x86_pv_area(c->steal.msr & ~(RESERVED | ENABLED), sizeof(struct steal_area), off) : NULL;
}

static void written(ram_off_t off)
{
	x86_pv_area_written(off, sizeof(struct steal_area));
}

static int64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* From here on time counts; returns how much was stolen since the last time. */
static uint64_t count(struct x86_steal *s)
{
	vclock_ns_t now = clock_now();
	int64_t ran = thread_ns(), stolen = (now - s->since) - (ran - s->ran) - s->stood;

	s->since = now;
	s->ran = ran;
	s->stood = 0;
	return stolen > 0 ? (uint64_t)stolen : 0;
}

void x86_steal_report(struct x86_cpu *c)
{
	struct steal_area *a;
	ram_off_t off;

	if (likely(!(c->steal.msr & ENABLED)) || clock_now() - c->steal.since < REPORT_NS)
		return;
	a = area(c, &off);
	if (!a)
		return;
	/* Only the guest's own CPU writes these; others read them as of a seqlock, whose stores x86 keeps in order. */
	__atomic_store_n(&a->version, a->version | 1, __ATOMIC_RELEASE);
	__atomic_store_n(&a->steal, a->steal + count(&c->steal), __ATOMIC_RELEASE);
	__atomic_store_n(&a->version, a->version + 1, __ATOMIC_RELEASE);
	written(off);
}

int x86_steal_msr_write(struct x86_cpu *c, uint64_t v)
{
	if (v & RESERVED)
		return -1;
	c->steal.msr = v;
	if (v & ENABLED) {
		count(&c->steal);
		x86_steal_go_on(c);
	}
	return 0;
}

void x86_steal_stand(struct x86_cpu *c)
{
	struct steal_area *a;
	ram_off_t off;

	if (likely(!(c->steal.msr & ENABLED)))
		return;
	c->steal.stands_since = clock_now();
	a = area(c, &off);
	if (!a)
		return;
	/* All accesses of this CPU are done when this is seen. */
	__atomic_store_n(&a->preempted, PREEMPTED, __ATOMIC_RELEASE);
	written(off);
}

void x86_steal_go_on(struct x86_cpu *c)
{
	struct steal_area *a;
	ram_off_t off;

	if (likely(!(c->steal.msr & ENABLED)))
		return;
	if (c->steal.stands_since)
		c->steal.stood += clock_now() - c->steal.stands_since;
	c->steal.stands_since = 0;
	a = area(c, &off);
	if (!a)
		return;
	if (__atomic_exchange_n(&a->preempted, 0, __ATOMIC_SEQ_CST) & FLUSH_TLB) {
		stat_inc(STAT_tlb_flush_notes);
		tlb_flush_all(&c->vcpu.env);
	}
	written(off);
}
