/* SPDX-License-Identifier: MIT */
/*
 * Counters, one set per vCPU (stats.def).
 *
 * Owner:   stats.c; vCPU i uses set i once its thread has called stats_attach(i).
 * Threads: a set is written by its own thread only, without atomic read-modify-write; anybody reads with relaxed loads
 *          and may see a value that is a moment old. Threads that are no vCPU share one more set, updated atomically.
 */
#ifndef COHORT_UTIL_STATS_H
#define COHORT_UTIL_STATS_H

#include <stdio.h>

#include "util/types.h"

enum stat_id {
#define STAT(name, help) STAT_##name,
#include "util/stats.def"
#undef STAT
#define LOCK_RANK(NAME, name, several) STAT_lock_wait_##name,
#include "util/lock_ranks.def"
#undef LOCK_RANK
	STAT_COUNT
};

/* Costs of operations: see cost.h. */
enum cost_op {
	COST_none,
#define COST_OP(name, help) COST_##name,
#include "util/cost_ops.def"
#undef COST_OP
	NR_COST_OPS
};

enum cost_metric { COST_OPS, COST_LINES, COST_KICKS, COST_WAITS, COST_LOOKS, NR_COST_METRICS };

/* Histograms of times (stat_times.def): bucket i counts those of 2^i up to 2^(i+1) ns; the first also what is less, the last what is more. */
enum stat_time {
#define STAT_TIME(name, help) STAT_TIME_##name,
#include "util/stat_times.def"
#undef STAT_TIME
	NR_STAT_TIMES
};

#define STATS_BUCKETS 36

struct vcpu_stats {
	uint64_t v[STAT_COUNT];                          /* [owner] writes; others load relaxed */
	uint64_t times[NR_STAT_TIMES][STATS_BUCKETS];    /* [owner] writes; others load relaxed */
	uint64_t cost[NR_COST_OPS][NR_COST_METRICS];     /* [owner] writes; others load relaxed */
} __attribute__((aligned(64)));

extern _Thread_local struct vcpu_stats *stats_self; /* NULL in a thread that is no vCPU */
extern struct vcpu_stats stats_other;               /* [atomic] */

/* What takes a clock reading to count is counted only if the user asked for statistics at the start. */
extern bool stats_timed; /* [const] while vCPUs run */

static inline void stat_add(enum stat_id id, uint64_t n)
{
	struct vcpu_stats *s = stats_self;

	if (likely(s))
		__atomic_store_n(&s->v[id], s->v[id] + n, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&stats_other.v[id], n, __ATOMIC_RELAXED);
}

static inline void stat_inc(enum stat_id id)
{
	stat_add(id, 1);
}

/* Something took so long. */
void stat_time(enum stat_time what, uint64_t ns);

/* Makes the sets of nr vCPUs, all zero. Once, before their threads start. 0 or -1 (no memory). */
int must_check stats_init(unsigned nr);
void stats_fini(void);
struct vcpu_stats *stats_of(unsigned vcpu);
void stats_attach(unsigned vcpu); /* the calling thread counts into this set from now on */

const char *stat_name(enum stat_id id);
const char *stat_help(enum stat_id id);
uint64_t stat_total(enum stat_id id); /* over all sets */
uint64_t stat_cost_total(enum cost_op op, enum cost_metric metric);

void stats_print_text(FILE *out);
void stats_print_json(FILE *out);

#endif
