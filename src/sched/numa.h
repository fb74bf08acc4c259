/* SPDX-License-Identifier: MIT */
/*
 * The guest's NUMA nodes: which CPUs and how much memory each has, how far they are from each other, and where the host
 * keeps their memory. The firmware's tables (hw/fw/acpi_numa.c) and the placement of CPUs (sched/placement.h) are made of it.
 *
 * Owner: main fills it in before start; it is constant afterwards. Threads: any, once numa_finish() has returned.
 */
#ifndef COHORT_SCHED_NUMA_H
#define COHORT_SCHED_NUMA_H

#include "util/types.h"

struct err;

#define NUMA_MAX_NODES 64
#define NUMA_MAX_CPUS 255
#define NUMA_UNASSIGNED 0xff
#define NUMA_LOCAL 10  /* ACPI 6.4, 5.2.17: the distance of a node from itself */
#define NUMA_REMOTE 20

/* Where the host takes a node's memory from; the names are QEMU's. */
enum numa_policy {
	NUMA_DEFAULT,    /* near the node's CPUs, if these are placed */
	NUMA_PREFERRED,  /* host_nodes, others when they are full */
	NUMA_BIND,       /* host_nodes only */
	NUMA_INTERLEAVE, /* host_nodes in turns */
};

struct numa_host {
	enum numa_policy policy;
	uint64_t nodes; /* host nodes, a bit each */
};

struct numa_node {
	bool exists, has_size; /* has_size: the size was said */
	uint64_t size;         /* bytes, a multiple of NUMA_SIZE_UNIT */
	struct numa_host host;
};

#define NUMA_SIZE_UNIT ((uint64_t)2 << 20)

struct numa {
	unsigned nr; /* 0: the guest is not told of nodes */
	struct numa_node node[NUMA_MAX_NODES];
	uint8_t node_of_cpu[NUMA_MAX_CPUS];
	uint8_t distance[NUMA_MAX_NODES][NUMA_MAX_NODES]; /* from, to; 0: not said */
};

/* The guest's CPUs: CPU i is thread i % threads of core i / threads, as firmware numbers them. */
struct guest_cpus {
	unsigned nr, sockets, cores, threads;
};

/* No nodes, no CPU assigned. */
void numa_init(struct numa *n);

/*
 * Fills in what was not said, as QEMU does (sizes: even parts; CPUs: by socket, or even parts of the cores when there are
 * fewer sockets than nodes; distances: both ways alike, else 10 and 20), and checks that it all fits together.
 */
int must_check numa_finish(struct numa *n, const struct guest_cpus *cpus, uint64_t ram_size, struct err *err);

/* Where in RAM a node's memory starts: the nodes lie one after the other. */
static inline uint64_t numa_ram_start(const struct numa *n, unsigned node)
{
	uint64_t start = 0;

	for (unsigned i = 0; i < node; i++)
		start += n->node[i].size;
	return start;
}

#endif
