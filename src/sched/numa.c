/* SPDX-License-Identifier: MIT */
#include "sched/numa.h"

#include <inttypes.h>
#include <string.h>

#include "util/err.h"
#include "util/log.h"

void numa_init(struct numa *n)
{
	memset(n, 0, sizeof(*n));
	memset(n->node_of_cpu, NUMA_UNASSIGNED, sizeof(n->node_of_cpu));
}

static int check_ids(struct numa *n, struct err *err)
{
	unsigned last = 0;

	for (unsigned i = 0; i < NUMA_MAX_NODES; i++)
		if (n->node[i].exists)
			last = i;
	for (unsigned i = 0; i <= last; i++)
		if (!n->node[i].exists)
			return err_set(err, "there is a node %u, but no node %u", last, i);
	n->nr = last + 1;
	return 0;
}

static void split_memory(struct numa *n, uint64_t ram_size)
{
	uint64_t units = ram_size / NUMA_SIZE_UNIT;

	for (unsigned i = 0; i < n->nr; i++)
		n->node[i].size = (units * (i + 1) / n->nr - units * i / n->nr) * NUMA_SIZE_UNIT;
}

static int finish_memory(struct numa *n, uint64_t ram_size, struct err *err)
{
	uint64_t sum = 0;
	bool said = false;

	for (unsigned i = 0; i < n->nr; i++) {
		if (n->node[i].size % NUMA_SIZE_UNIT)
			return err_set(err, "the memory of node %u is not a multiple of 2 MiB", i);
		if (n->node[i].size > ram_size)
			return err_set(err, "node %u has more memory than -m gives", i);
		said |= n->node[i].has_size;
		sum += n->node[i].size;
	}
	if (!said)
		split_memory(n, ram_size);
	else if (sum != ram_size)
		return err_set(err, "the nodes have %" PRIu64 " MiB of memory together, but -m says %" PRIu64 " MiB", sum >> 20,
			       ram_size >> 20);
	return 0;
}

static unsigned default_node(const struct numa *n, const struct guest_cpus *c, unsigned cpu)
{
	unsigned core = cpu / c->threads, cores = (c->nr + c->threads - 1) / c->threads;

	if (c->sockets >= n->nr)
		return core / c->cores % n->nr;
	return (unsigned)((uint64_t)core * n->nr / cores);
}

static int finish_cpus(struct numa *n, const struct guest_cpus *c, struct err *err)
{
	unsigned assigned = 0, first_missing = c->nr;

	for (unsigned i = 0; i < NUMA_MAX_CPUS; i++) {
		if (n->node_of_cpu[i] == NUMA_UNASSIGNED) {
			first_missing = i < first_missing ? i : first_missing;
			continue;
		}
		if (i >= c->nr)
			return err_set(err, "there is no CPU %u: -smp makes %u", i, c->nr);
		if (n->node_of_cpu[i] >= n->nr)
			return err_set(err, "CPU %u: there is no node %u", i, n->node_of_cpu[i]);
		assigned++;
	}
	if (assigned && assigned < c->nr)
		warn("-numa: CPU %u has no node (%u of %u have one): node 0 takes what is left", first_missing, assigned, c->nr);
	for (unsigned i = 0; i < c->nr; i++)
		if (n->node_of_cpu[i] == NUMA_UNASSIGNED)
			n->node_of_cpu[i] = (uint8_t)(assigned ? 0 : default_node(n, c, i));
	return 0;
}

static int check_distances(const struct numa *n, bool *said, struct err *err)
{
	*said = false;
	for (unsigned i = 0; i < NUMA_MAX_NODES; i++) {
		for (unsigned j = 0; j < NUMA_MAX_NODES; j++) {
			if (n->distance[i][j] && (i >= n->nr || j >= n->nr))
				return err_set(err, "there is no node %u to be at a distance", i >= n->nr ? i : j);
			*said |= n->distance[i][j] && i != j;
		}
	}
	return 0;
}

static int finish_distances(struct numa *n, struct err *err)
{
	bool said;

	if (check_distances(n, &said, err))
		return -1;
	for (unsigned i = 0; i < n->nr; i++) {
		for (unsigned j = 0; j <= i; j++) {
			uint8_t *a = &n->distance[i][j], *b = &n->distance[j][i];
			uint8_t other = *a ? *a : *b;

			if (!other && i != j && said)
				return err_set(err, "the distance between nodes %u and %u is missing", j, i);
			if (!other)
				other = i == j ? NUMA_LOCAL : NUMA_REMOTE;
			*a = *a ? *a : other;
			*b = *b ? *b : other;
		}
	}
	return 0;
}

int numa_finish(struct numa *n, const struct guest_cpus *cpus, uint64_t ram_size, struct err *err)
{
	bool any = false;

	for (unsigned i = 0; i < NUMA_MAX_NODES; i++)
		any |= n->node[i].exists;
	for (unsigned i = 0; i < NUMA_MAX_CPUS && !any; i++)
		if (n->node_of_cpu[i] != NUMA_UNASSIGNED)
			return err_set(err, "CPU %u: there is no node %u", i, n->node_of_cpu[i]);
	if (!any)
		return 0;
	if (check_ids(n, err) || finish_memory(n, ram_size, err) || finish_cpus(n, cpus, err))
		return -1;
	return finish_distances(n, err);
}
