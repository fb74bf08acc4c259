/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "sched/host_topology.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/err.h"

hwloc_topology_t host_topology;

static unsigned nr_cpus; /* [const] 0 until known, before any thread is bound */

static bool is_another_machine(void)
{
	return getenv("HWLOC_SYNTHETIC") || getenv("HWLOC_XMLFILE");
}

int host_topology_load(struct err *err)
{
	hwloc_bitmap_t allowed;

	if (host_topology)
		return 0;
	if (hwloc_topology_init(&host_topology))
		goto fail;
	if (hwloc_topology_load(host_topology))
		goto fail_destroy;
	allowed = hwloc_bitmap_alloc();
	if (!allowed)
		goto fail_destroy;
	if (!hwloc_get_cpubind(host_topology, allowed, HWLOC_CPUBIND_PROCESS))
		hwloc_topology_restrict(host_topology, allowed, 0);
	hwloc_bitmap_free(allowed);
	if (!hwloc_topology_is_thissystem(host_topology))
		nr_cpus = (unsigned)hwloc_get_nbobjs_by_type(host_topology, HWLOC_OBJ_PU);
	return 0;

fail_destroy:
	hwloc_topology_destroy(host_topology);
	host_topology = NULL;
fail:
	return err_set(err, "cannot read the topology of the host");
}

void host_topology_free(void)
{
	if (host_topology)
		hwloc_topology_destroy(host_topology);
	host_topology = NULL;
	nr_cpus = 0;
}

unsigned host_cpus(void)
{
	cpu_set_t set;

	if (!nr_cpus)
		nr_cpus = sched_getaffinity(0, sizeof(set), &set) ? (unsigned)sysconf(_SC_NPROCESSORS_ONLN)
								  : (unsigned)CPU_COUNT(&set);
	return nr_cpus;
}

bool host_may_have_nodes(void)
{
	return is_another_machine() || !access("/sys/devices/system/node/node1", F_OK);
}

/* The n-th node with CPUs; NULL: there are not so many. A restricted topology may keep nodes whose CPUs are all gone. */
static hwloc_obj_t nth_node(unsigned n, unsigned *count)
{
	hwloc_obj_t node = NULL;

	*count = 0;
	while ((node = hwloc_get_next_obj_by_type(host_topology, HWLOC_OBJ_NUMANODE, node)))
		if (!hwloc_bitmap_iszero(node->cpuset) && (*count)++ == n)
			return node;
	return NULL;
}

unsigned host_nodes(void)
{
	unsigned count;

	nth_node(~0u, &count);
	return count;
}

hwloc_obj_t host_node(unsigned i)
{
	unsigned count;

	return nth_node(i, &count);
}

static void print_obj(FILE *out, hwloc_obj_t obj, int depth)
{
	char type[64], attr[128], *cpus;

	hwloc_obj_type_snprintf(type, sizeof(type), obj, 1);
	hwloc_obj_attr_snprintf(attr, sizeof(attr), obj, " ", 0);
	hwloc_bitmap_list_asprintf(&cpus, obj->cpuset);
	fprintf(out, "%*s%s%s%s%s  cpus %s\n", 2 * depth, "", type, *attr ? " (" : "", attr, *attr ? ")" : "", cpus);
	free(cpus);
	for (hwloc_obj_t m = obj->memory_first_child; m; m = m->next_sibling)
		print_obj(out, m, depth + 1);
	for (unsigned i = 0; i < obj->arity; i++)
		print_obj(out, obj->children[i], depth + 1);
}

void host_topology_print(FILE *out)
{
	fprintf(out, "Host:\n");
	print_obj(out, hwloc_get_root_obj(host_topology), 1);
}
