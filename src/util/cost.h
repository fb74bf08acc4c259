/* SPDX-License-Identifier: MIT */
/*
 * What an operation costs other vCPUs. For each kind (cost_ops.def) these are counted:
 *
 *     ops     how often it was done
 *     lines   writes to cache lines that belong to another vCPU or to several: one for each line that a step writes, whether or not it
 *             really was in another CPU's cache
 *     kicks   system calls that wake or signal a thread
 *     waits   vCPUs waited for
 *     looks   vCPUs whose state was read to find out who is concerned
 *
 * A count stands beside the store, call or loop it is for, and goes to the operation under way on this thread; an operation within
 * another (a kill within an eviction) counts for itself. What happens outside of them all is not reported.
 *
 * Threads: any; see stats.h.
 */
#ifndef COHORT_UTIL_COST_H
#define COHORT_UTIL_COST_H

#include "util/stats.h"

extern _Thread_local enum cost_op cost_now; /* the operation under way on this thread */

static inline void cost_add(enum cost_metric metric, uint64_t n)
{
	struct vcpu_stats *s = stats_self;

	if (likely(s))
		__atomic_store_n(&s->cost[cost_now][metric], s->cost[cost_now][metric] + n, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&stats_other.cost[cost_now][metric], n, __ATOMIC_RELAXED);
}

static inline void cost_lines(unsigned n)
{
	cost_add(COST_LINES, n);
}

static inline void cost_kick(void)
{
	cost_add(COST_KICKS, 1);
}

static inline void cost_wait(void)
{
	cost_add(COST_WAITS, 1);
}

static inline void cost_looks(unsigned n)
{
	cost_add(COST_LOOKS, n);
}

/* Counts belong to `op` from here on; returns what was under way, for cost_end(). */
static inline enum cost_op cost_enter(enum cost_op op)
{
	enum cost_op was = cost_now;

	cost_now = op;
	return was;
}

/* The same, for the one that does the operation: it is counted. */
static inline enum cost_op cost_begin(enum cost_op op)
{
	enum cost_op was = cost_enter(op);

	cost_add(COST_OPS, 1);
	return was;
}

static inline void cost_end(enum cost_op was)
{
	cost_now = was;
}

#endif
