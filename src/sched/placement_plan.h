/* SPDX-License-Identifier: MIT */
/*
 * Where each guest CPU goes, by policy: sets of host CPUs out of the loaded topology. Nothing is bound here.
 * Threads: main, before start.
 */
#ifndef COHORT_SCHED_PLACEMENT_PLAN_H
#define COHORT_SCHED_PLACEMENT_PLAN_H

#include "sched/placement.h"

#include <hwloc.h>

/* Fills places[0 .. g->cpus.nr - 1] with sets that the caller frees, also those that are not NULL after an error. */
int must_check placement_plan(const struct placement *p, const struct placement_guest *g, hwloc_cpuset_t *places,
			      struct err *err);

/*
 * For threads that are no guest CPUs: the host's cores without a guest CPU; if there are none, its CPUs without one; if all
 * have one, all. The caller frees it; NULL: out of memory.
 */
hwloc_cpuset_t placement_rest(const hwloc_cpuset_t *places, unsigned nr);

/* The host nodes (OS numbers) of a guest node's memory: what -object says, else a node each in turns. Caller frees. */
hwloc_nodeset_t placement_node_memory(const struct numa *n, unsigned node);

#endif
