/* SPDX-License-Identifier: MIT */
/*
 * A guest that spins waits for another vCPU. With a host CPU for every vCPU that is as on hardware. With fewer, spinning may keep the
 * other one from getting a host CPU, so after a while host CPUs are given away, in two ways:
 *
 *   - yield: others that wait for this host CPU go first. Right when all of them are as short as an answer to an IPI; but who yields
 *     is behind those that only compute, for a whole slice of the host's scheduler.
 *   - rest: sleep for a moment. A thread that slept is let in before those that computed meanwhile, so the end of the wait is noticed
 *     soon; but the moment is lost if the wait was over at once.
 *
 * So a wait yields first, and rests when that did not help. The one waited for may be kept out by a third that computes on another
 * host CPU. User space cannot yield to a thread, but it can tell who is late: a running vCPU takes its requests within microseconds.
 * When one has not for a while, all that are not late rest with the one that waits. And who is late is told that it has the host CPU on loan:
 * it rests when the handler of its interrupt returns (vcpu_handler_returns()), in place of computing on for a slice of the host's scheduler while the
 * one that waited for the handler waits for a host CPU.
 *
 * As many host CPUs as vCPUs need not be enough: the host has other work, and its scheduler may put two of us on one CPU for as long as it
 * likes. That shows by a vCPU that stays late: it has a request and passes no safepoint for longer than any block or translation takes.
 * Then the same is done as with too few.
 */
#include <sched.h>

#include "sched/clock.h"
#include "sched/placement.h"
#include "util/futex.h"
#include "util/stats.h"
#include "vcpu/exec.h"

#define SAME_WAIT_TICKS 100000u   /* hints closer than this belong to one wait */
#define PATIENCE 256u             /* hints before anything is done */
#define GIVE_AWAY_EVERY 64u       /* hints between two times */
#define REST_AFTER 16384u         /* hints after which yielding has not helped */
#define LONG_YIELD_TICKS 1500000u /* others computed meanwhile: yielding is not the way */
#define STAYS_LATE_TICKS 100000u  /* on the way to a safepoint no longer than this, or without a host CPU */

/* Has not taken a request yet, though it is not parked. */
static bool is_late(struct vcpu *v)
{
	return atomic_load_explicit(&v->inside, memory_order_relaxed) &&
	       atomic_load_explicit(&v->env.request, memory_order_relaxed) & ~(VCPU_REQ_REST | VCPU_REQ_LOAN);
}

static uint64_t safepoints(const struct vcpu *v)
{
	return __atomic_load_n(&v->stats->v[STAT_safepoints], __ATOMIC_RELAXED);
}

/* Is one late, and has it been so, without any progress, for a while? The one found first is watched until it makes some. */
static bool one_stays_late(struct vcpu *self, uint64_t now)
{
	struct vcpu_exec *x = self->exec;

	for (unsigned i = 0; i < nr_vcpus; i++) {
		unsigned n = (x->late + i) % nr_vcpus;
		struct vcpu *v = vcpus[n];

		if (v == self || !is_late(v))
			continue;
		if (n == x->late && safepoints(v) == x->late_safepoints)
			return now - x->late_since > STAYS_LATE_TICKS;
		x->late = n;
		x->late_safepoints = safepoints(v);
		x->late_since = now;
		return false;
	}
	return false;
}

/* A hint that is there already is not written again. */
static void hint(struct vcpu *v, uint32_t bit)
{
	if (!(atomic_load_explicit(&v->env.request, memory_order_relaxed) & bit))
		atomic_fetch_or(&v->env.request, bit);
}

/* Who is late is to give the host CPU back when it has done what was asked of it. True: one is. */
static bool lend(struct vcpu *self)
{
	bool late = false;

	for (unsigned i = 0; i < nr_vcpus; i++) {
		if (vcpus[i] != self && is_late(vcpus[i])) {
			late = true;
			hint(vcpus[i], VCPU_REQ_LOAN);
		}
	}
	return late;
}

/* Lets late ones have the host CPUs of those that compute. At most one shared write for each of them. */
static void make_way(struct vcpu *self)
{
	if (!lend(self))
		return;
	for (unsigned i = 0; i < nr_vcpus; i++) {
		struct vcpu *v = vcpus[i];

		if (v != self && atomic_load_explicit(&v->inside, memory_order_relaxed) && !is_late(v))
			hint(v, VCPU_REQ_REST);
	}
}

void vcpu_spin_wait(struct vcpu *v)
{
	struct vcpu_exec *x = v->exec;
	uint64_t now = clock_tsc();
	bool stays_late;

	x->spins = now - x->last_spin < SAME_WAIT_TICKS ? x->spins + 1 : 0;
	x->last_spin = now;
	if (x->spins < PATIENCE || x->spins % GIVE_AWAY_EVERY) {
		cpu_relax();
		return;
	}
	stays_late = one_stays_late(v, now);
	if (!stays_late && nr_vcpus <= placement_host_cpus())
		return;
	if (stays_late || x->spins >= REST_AFTER) {
		make_way(v);
		atomic_fetch_or(&v->env.request, VCPU_REQ_REST);
		return;
	}
	lend(v);
	stat_inc(STAT_host_calls);
	sched_yield();
	x->last_spin = clock_tsc();
	if (x->last_spin - now > LONG_YIELD_TICKS)
		x->spins = REST_AFTER - GIVE_AWAY_EVERY;
}
