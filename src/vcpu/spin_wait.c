/* SPDX-License-Identifier: MIT */
/*
 * A guest that spins waits for another vCPU. With a host CPU for every vCPU that does not sleep that is as on hardware. With fewer, spinning may keep
 * the other one from getting a host CPU, so after a while host CPUs are given away, in two ways:
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
 * Enough host CPUs may be too few: the host has other work, and its scheduler may put two of us on one CPU and leave them there. Both yield and
 * rest are dear then, as others than vCPUs get the host CPU, for milliseconds, and a wait in which one rests makes it late for the next. So nothing is given
 * away but to a vCPU that ran on this very host CPU when last heard of, is late, and hence waits for it; and rather than that, the caller leaves for a
 * host CPU that no vCPU uses. One that computes where the late one is makes way. Who is late for other work of the host gets its share of that CPU
 * from the scheduler, and no sooner by anything that vCPUs on others do.
 */
#include <sched.h>

#include "sched/clock.h"
#include "sched/cpu_thread.h"
#include "sched/host_cpu.h"
#include "sched/placement.h"
#include "util/futex.h"
#include "util/stats.h"
#include "vcpu/exec.h"

#define SAME_WAIT_TICKS 100000u   /* hints closer than this belong to one wait */
#define PATIENCE 256u             /* hints before anything is done */
#define GIVE_AWAY_EVERY 64u       /* hints between two times */
#define REST_AFTER 16384u         /* hints after which yielding has not helped */
#define LONG_YIELD_TICKS 1500000u /* others computed meanwhile: yielding is not the way */
#define IS_LATE_TICKS 10000u      /* a request takes less on its way to a CPU that runs */
#define MOVE_EVERY_TICKS 2500000u /* no more often, as the host's scheduler moves threads too */
#define STAYS_LATE_TICKS 100000u  /* on the way to a safepoint no longer than this, or without a host CPU */

static bool is_inside(const struct vcpu *v)
{
	return atomic_load_explicit(&v->inside, memory_order_relaxed);
}

/* Has not taken a request yet, though it is not parked. */
static bool is_late(const struct vcpu *v)
{
	return is_inside(v) && atomic_load_explicit(&v->env.request, memory_order_relaxed) & ~(VCPU_REQ_REST | VCPU_REQ_LOAN);
}

static uint64_t safepoints(const struct vcpu *v)
{
	return __atomic_load_n(&v->stats->v[STAT_safepoints], __ATOMIC_RELAXED);
}

/* One that is late, and for how long of this wait without any progress; or NULL. The one found first is watched until it makes some. */
static struct vcpu *find_late(struct vcpu *self, uint64_t now, uint64_t *ticks)
{
	struct vcpu_exec *x = self->exec;

	for (unsigned i = 0; i < nr_vcpus; i++) {
		unsigned n = (x->late + i) % nr_vcpus;
		struct vcpu *v = vcpus[n];

		if (v == self || !is_late(v))
			continue;
		if (n != x->late || safepoints(v) != x->late_safepoints || x->spins == PATIENCE) {
			x->late = n;
			x->late_safepoints = safepoints(v);
			x->late_since = now;
		}
		*ticks = now - x->late_since;
		return v;
	}
	return NULL;
}

static uint32_t host_cpu(const struct vcpu *v)
{
	return atomic_load_explicit(&v->host_cpu, memory_order_relaxed);
}

/* A hint that is there already is not written again. */
static bool has_hint(struct vcpu *v, uint32_t bit)
{
	return atomic_load_explicit(&v->env.request, memory_order_relaxed) & bit;
}

/* Who is late is to give `cpu` back when it has done what was asked of it, if that is the one it gets. */
static void lend(struct vcpu *late, uint32_t cpu)
{
	if (has_hint(late, VCPU_REQ_LOAN) && atomic_load_explicit(&late->lender_cpu, memory_order_relaxed) == cpu)
		return;
	atomic_store_explicit(&late->lender_cpu, cpu, memory_order_relaxed);
	atomic_fetch_or(&late->env.request, VCPU_REQ_LOAN);
}

/* The caller gives `cpu` away: to whom is not known. */
static void lend_all(struct vcpu *self, uint32_t cpu)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (vcpus[i] != self && is_late(vcpus[i]))
			lend(vcpus[i], cpu);
}

/* Lets `late` have the host CPU of those that compute: with enough host CPUs only theirs that are where it ran. */
static void make_way(struct vcpu *self, struct vcpu *late, bool crowded)
{
	for (unsigned i = 0; i < nr_vcpus; i++) {
		struct vcpu *v = vcpus[i];

		if (v == self || !is_inside(v) || is_late(v) || !(crowded || host_cpu(v) == host_cpu(late)))
			continue;
		if (!has_hint(v, VCPU_REQ_REST))
			atomic_fetch_or(&v->env.request, VCPU_REQ_REST);
		if (!crowded)
			lend(late, host_cpu(v));
	}
}

/* By one of ours that does not sleep. */
static bool host_cpu_is_taken(uint32_t cpu)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (host_cpu(vcpus[i]) == cpu && is_inside(vcpus[i]))
			return true;
	return false;
}

/* Two that wait for each other share a host CPU, though there are enough: the caller leaves. */
static bool leave_host_cpu(struct vcpu *self, uint64_t now)
{
	struct vcpu_exec *x = self->exec;

	if (now - x->last_move < MOVE_EVERY_TICKS)
		return false;
	x->last_move = now;
	atomic_store_explicit(&self->host_cpu, host_cpu_now(), memory_order_relaxed); /* what it was before may be free */
	if (!host_cpu_move(host_cpu_is_taken))
		return false;
	stat_inc(STAT_moves);
	atomic_store_explicit(&self->host_cpu, host_cpu_now(), memory_order_relaxed);
	x->last_spin = clock_tsc();
	return true;
}

/* One wait has lasted for so many hints that something may have to be done: not if all that have to run have a host CPU. */
static void give_away(struct vcpu *self, uint64_t now)
{
	struct vcpu_exec *x = self->exec;
	uint32_t here = host_cpu_now();
	uint64_t ticks = 0;
	struct vcpu *late = find_late(self, now, &ticks);
	bool stays_late = ticks > STAYS_LATE_TICKS;
	bool late_here = ticks > IS_LATE_TICKS && host_cpu(late) == here;
	bool crowded = cpu_threads_awake() > placement_host_cpus();

	if (!crowded && late_here && leave_host_cpu(self, now))
		return;
	if (stays_late)
		make_way(self, late, crowded);
	if (!crowded && !late_here)
		return;
	lend_all(self, crowded ? ANY_HOST_CPU : here);
	if (x->spins >= REST_AFTER || (stays_late && crowded)) {
		atomic_fetch_or(&self->env.request, VCPU_REQ_REST);
		return;
	}
	stat_inc(STAT_host_calls);
	sched_yield();
	x->last_spin = clock_tsc();
	if (x->last_spin - now > LONG_YIELD_TICKS)
		x->spins = REST_AFTER - GIVE_AWAY_EVERY;
}

void vcpu_spin_wait(struct vcpu *v)
{
	struct vcpu_exec *x = v->exec;
	uint64_t now = clock_tsc();

	x->spins = now - x->last_spin < SAME_WAIT_TICKS ? x->spins + 1 : 0;
	x->last_spin = now;
	if (x->spins < PATIENCE || x->spins % GIVE_AWAY_EVERY)
		cpu_relax();
	else
		give_away(v, now);
}
