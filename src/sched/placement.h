/* SPDX-License-Identifier: MIT */
/*
 * Which host CPUs the guest's CPUs and the other threads run on, and which host nodes the guest's memory comes from.
 *
 * Threads: placement_init() once on the main thread before any CPU thread starts; placement_apply() on a CPU's own thread;
 * the rest on the main thread.
 *
 *   none     the host's scheduler decides
 *   spread   one host CPU each, as far from each other as possible: own cores and caches, all memory controllers
 *   compact  one host CPU each, as close together as possible: shared caches; own cores as long as there are enough
 *   node     a NUMA node of the host each, neighbours on the same one
 *   cpus     one host CPU each from a list, in that order, from the start again when it runs out
 *   auto     node when the host has several nodes and enough CPUs; else none
 *
 * Threads of a guest core go to threads of a host core. CPUs of a guest node (sched/numa.h) go to the host nodes of its
 * memory, under every policy but none and cpus. All other threads keep off the cores of guest CPUs if the host has others.
 */
#ifndef COHORT_SCHED_PLACEMENT_H
#define COHORT_SCHED_PLACEMENT_H

#include <stdio.h>

#include "sched/numa.h"
#include "util/types.h"

struct err;

enum placement_policy {
	PLACEMENT_AUTO,
	PLACEMENT_NONE,
	PLACEMENT_SPREAD,
	PLACEMENT_COMPACT,
	PLACEMENT_NODE,
	PLACEMENT_CPUS,
};

struct placement {
	enum placement_policy policy;
	const char *cpus; /* of PLACEMENT_CPUS: "0-3,8", host CPU numbers */
};

/* What is to be placed. */
struct placement_guest {
	struct guest_cpus cpus;
	const struct numa *numa; /* after numa_finish(); NULL or without nodes: none. Must outlive the placement. */
};

/* "none", "spread", "compact", "node", "auto", "cpus=LIST". The text must outlive the result. */
int must_check placement_parse(const char *text, struct placement *p, struct err *err);

int must_check placement_init(const struct placement *p, const struct placement_guest *g, struct err *err);
void placement_fini(void);

/* Binds the calling thread as vCPU `index`. Failure is not fatal: the host's scheduler decides then. */
void placement_apply(unsigned index);
/* Binds the calling thread, and those it makes from now on, to where no guest CPU is in the way. */
void placement_apply_others(void);

/*
 * Binds RAM, the guest's nodes one after the other from `ram` on, to host nodes: as -object says, else near the CPUs if those
 * are placed. Before anything is in it.
 */
int must_check placement_bind_memory(void *ram, struct err *err);

/* Host CPUs this process may use. */
unsigned placement_host_cpus(void);

/*
 * The placement in short: each guest CPU's host CPUs with '/' between, and the other threads' behind a '|': "0/2|4-7". Nothing
 * when nothing is placed.
 */
void placement_describe(char *text, size_t size);

/* The host's topology and, after placement_init(), each vCPU's place, each guest node's memory, and the other threads'. */
int placement_print(FILE *out, struct err *err);

#endif
