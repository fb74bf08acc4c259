/* SPDX-License-Identifier: MIT */
/*
 * hwloc's view of the host, cut down to the CPUs this process may use (cgroup, taskset). HWLOC_SYNTHETIC and HWLOC_XMLFILE
 * in the environment put another machine in its place, for looking at placements; then nothing is bound.
 *
 * Threads: host_topology_load() and host_topology_free() on the main thread; the rest from any in between. Loading takes
 * milliseconds, so it is left alone when nothing is to be placed.
 */
#ifndef COHORT_SCHED_HOST_TOPOLOGY_H
#define COHORT_SCHED_HOST_TOPOLOGY_H

#include <hwloc.h>
#include <stdio.h>

#include "util/types.h"

struct err;

extern hwloc_topology_t host_topology; /* [const] between load and free; NULL: not loaded */

int must_check host_topology_load(struct err *err);
void host_topology_free(void);

/* CPUs that this process may use: of the topology if one is loaded that is not this machine's. */
unsigned host_cpus(void);
/* Whether there may be several NUMA nodes. Cheap, without loading. */
bool host_may_have_nodes(void);
/* NUMA nodes with CPUs that may be used; the topology must be loaded. */
unsigned host_nodes(void);
hwloc_obj_t host_node(unsigned i);

void host_topology_print(FILE *out);

#endif
