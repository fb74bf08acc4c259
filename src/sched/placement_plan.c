/* SPDX-License-Identifier: MIT */
/*
 * Guest CPUs are placed core by core: the threads of a guest core get threads of one host core, as far as it has them.
 *
 * With NUMA nodes in the guest, each guest node has an area, the CPUs of the host nodes its memory comes from; without, the
 * area is all. The CPUs of one area are a group, and the policy is applied group by group.
 */
#include "sched/placement_plan.h"

#include <limits.h>
#include <stdlib.h>

#include "sched/host_topology.h"
#include "util/err.h"

struct group {
	hwloc_const_cpuset_t area;
	unsigned nr, nr_cores;
	unsigned *cpus;    /* its CPUs, ascending */
	unsigned *core_of; /* for each of them: the how many-th guest core of the group it belongs to */
	unsigned threads;  /* of a guest core */
	bool has_nodes;    /* the area comes from a guest node */
};

static unsigned nr_inside(hwloc_const_cpuset_t area, hwloc_obj_type_t type)
{
	return (unsigned)hwloc_get_nbobjs_inside_cpuset_by_type(host_topology, area, type);
}

/* The i-th of the host CPUs in `set`, from the start again when there are not so many. */
static hwloc_cpuset_t pu_of(hwloc_const_cpuset_t set, unsigned i)
{
	unsigned nr = nr_inside(set, HWLOC_OBJ_PU);
	hwloc_obj_t pu = hwloc_get_obj_inside_cpuset_by_type(host_topology, set, HWLOC_OBJ_PU, i % (nr ? nr : 1));

	return pu ? hwloc_bitmap_dup(pu->cpuset) : NULL;
}

/* Threads `t` of the first core inside `set`, or of `set` itself when it is not as large as a core. */
static hwloc_cpuset_t thread_of(hwloc_const_cpuset_t set, unsigned t)
{
	hwloc_obj_t core = hwloc_get_obj_inside_cpuset_by_type(host_topology, set, HWLOC_OBJ_CORE, 0);

	return pu_of(core ? core->cpuset : set, t);
}

static int plan_spread(const struct group *g, hwloc_cpuset_t *places)
{
	hwloc_cpuset_t *sets = calloc(g->nr_cores, sizeof(*sets));
	unsigned max = nr_inside(g->area, HWLOC_OBJ_PU);
	hwloc_obj_t *roots = calloc(max, sizeof(*roots));
	int nr_roots = roots ? hwloc_get_largest_objs_inside_cpuset(host_topology, g->area, roots, (int)max) : -1;
	int ret = -1;

	if (sets && nr_roots > 0 && !hwloc_distrib(host_topology, roots, (unsigned)nr_roots, sets, g->nr_cores, INT_MAX, 0)) {
		for (unsigned i = 0; i < g->nr; i++)
			places[g->cpus[i]] = thread_of(sets[g->core_of[i]], g->cpus[i] % g->threads);
		ret = 0;
	}
	for (unsigned i = 0; sets && i < g->nr_cores; i++)
		hwloc_bitmap_free(sets[i]);
	free(roots);
	free(sets);
	return ret;
}

static int plan_compact(const struct group *g, hwloc_cpuset_t *places)
{
	bool own_cores = nr_inside(g->area, HWLOC_OBJ_CORE) >= g->nr_cores;

	for (unsigned i = 0; i < g->nr; i++) {
		hwloc_obj_t core;

		if (!own_cores) {
			places[g->cpus[i]] = pu_of(g->area, i);
			continue;
		}
		core = hwloc_get_obj_inside_cpuset_by_type(host_topology, g->area, HWLOC_OBJ_CORE, g->core_of[i]);
		places[g->cpus[i]] = pu_of(core->cpuset, g->cpus[i] % g->threads);
	}
	return 0;
}

/* Host CPU number `n`, counted through the nodes, is in this node. */
static hwloc_obj_t node_with(unsigned n)
{
	hwloc_obj_t node = NULL;

	for (unsigned i = 0; i < host_nodes(); i++) {
		unsigned weight;

		node = host_node(i);
		weight = (unsigned)hwloc_bitmap_weight(node->cpuset);
		if (n < weight)
			break;
		n -= weight;
	}
	return node;
}

/* Neighbours on one node, each node with CPUs in proportion to its own. */
static int plan_node(const struct group *g, hwloc_cpuset_t *places)
{
	unsigned pus = nr_inside(g->area, HWLOC_OBJ_PU);

	for (unsigned i = 0; i < g->nr; i++) {
		hwloc_obj_t node = g->has_nodes ? NULL : node_with((unsigned)((uint64_t)g->core_of[i] * pus / g->nr_cores));

		places[g->cpus[i]] = hwloc_bitmap_dup(node ? node->cpuset : g->area);
	}
	return 0;
}

static int plan_group(enum placement_policy policy, const struct group *g, hwloc_cpuset_t *places)
{
	switch (policy) {
	case PLACEMENT_SPREAD:
		return plan_spread(g, places);
	case PLACEMENT_COMPACT:
		return plan_compact(g, places);
	default:
		return plan_node(g, places);
	}
}

hwloc_nodeset_t placement_node_memory(const struct numa *n, unsigned node)
{
	const struct numa_host *h = &n->node[node].host;
	hwloc_nodeset_t set = hwloc_bitmap_alloc();
	hwloc_obj_t own = h->nodes || !host_nodes() ? NULL : host_node(node % host_nodes());

	for (unsigned i = 0; set && i < 64; i++)
		if (h->nodes >> i & 1)
			hwloc_bitmap_set(set, i);
	if (set && own)
		hwloc_bitmap_set(set, own->os_index);
	return set;
}

/* The CPUs near a guest node's memory; all when that has none near. */
static hwloc_cpuset_t node_area(const struct numa *n, unsigned node)
{
	hwloc_nodeset_t nodes = placement_node_memory(n, node);
	hwloc_cpuset_t area = hwloc_bitmap_alloc();

	if (nodes && area) {
		hwloc_cpuset_from_nodeset(host_topology, area, nodes);
		hwloc_bitmap_and(area, area, hwloc_topology_get_topology_cpuset(host_topology));
		if (hwloc_bitmap_iszero(area))
			hwloc_bitmap_copy(area, hwloc_topology_get_topology_cpuset(host_topology));
	}
	hwloc_bitmap_free(nodes);
	return area;
}

/* The CPUs with the area of CPU `first`, as a group. */
static void gather(struct group *g, const struct placement_guest *guest, const hwloc_cpuset_t *areas, unsigned first)
{
	unsigned last_core = UINT_MAX;

	g->area = areas[first];
	g->nr = g->nr_cores = 0;
	for (unsigned i = first; i < guest->cpus.nr; i++) {
		if (!hwloc_bitmap_isequal(areas[i], g->area))
			continue;
		if (i / g->threads != last_core) {
			last_core = i / g->threads;
			g->nr_cores++;
		}
		g->cpus[g->nr] = i;
		g->core_of[g->nr++] = g->nr_cores - 1;
	}
}

static int plan_groups(enum placement_policy policy, const struct placement_guest *guest, const hwloc_cpuset_t *areas,
		       hwloc_cpuset_t *places)
{
	struct group g = {
		.cpus = calloc(guest->cpus.nr, sizeof(*g.cpus)),
		.core_of = calloc(guest->cpus.nr, sizeof(*g.core_of)),
		.threads = guest->cpus.threads,
		.has_nodes = guest->numa && guest->numa->nr,
	};
	int ret = g.cpus && g.core_of ? 0 : -1;

	for (unsigned i = 0; !ret && i < guest->cpus.nr; i++) {
		if (places[i])
			continue;
		gather(&g, guest, areas, i);
		ret = plan_group(policy, &g, places);
		if (!places[i])
			ret = -1;
	}
	free(g.cpus);
	free(g.core_of);
	return ret;
}

static int plan_by_area(enum placement_policy policy, const struct placement_guest *guest, hwloc_cpuset_t *places)
{
	const struct numa *n = guest->numa;
	unsigned nr = guest->cpus.nr;
	hwloc_cpuset_t *areas = calloc(nr, sizeof(*areas));
	int ret = areas ? 0 : -1;

	for (unsigned i = 0; !ret && i < nr; i++) {
		areas[i] = n && n->nr ? node_area(n, n->node_of_cpu[i])
				      : hwloc_bitmap_dup(hwloc_topology_get_topology_cpuset(host_topology));
		ret = areas[i] ? 0 : -1;
	}
	if (!ret)
		ret = plan_groups(policy, guest, areas, places);
	for (unsigned i = 0; areas && i < nr; i++)
		hwloc_bitmap_free(areas[i]);
	free(areas);
	return ret;
}

static int plan_listed(const char *list, unsigned nr, hwloc_cpuset_t *places, struct err *err)
{
	unsigned next = 0;

	for (const char *p = list;; p++) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (end == p)
			goto bad;
		if (*end == '-') {
			p = end + 1;
			last = strtoul(p, &end, 10);
			if (end == p || last < first)
				goto bad;
		}
		if (last > INT_MAX || (*end && *end != ','))
			goto bad;
		for (unsigned long cpu = first; cpu <= last; cpu++) {
			hwloc_obj_t obj = hwloc_get_pu_obj_by_os_index(host_topology, (unsigned)cpu);

			if (!obj)
				return err_set(err, "there is no host CPU %lu that may be used ('--topology' lists them)", cpu);
			if (next < nr)
				places[next++] = hwloc_bitmap_dup(obj->cpuset);
		}
		p = end;
		if (!*p)
			break;
	}
	for (unsigned i = next; i < nr; i++)
		places[i] = hwloc_bitmap_dup(places[i % next]);
	return 0;

bad:
	return err_set(err, "'%s' is not a list of host CPUs such as 0-3,8", list);
}

int placement_plan(const struct placement *p, const struct placement_guest *g, hwloc_cpuset_t *places, struct err *err)
{
	if (p->policy == PLACEMENT_CPUS)
		return plan_listed(p->cpus, g->cpus.nr, places, err);
	return plan_by_area(p->policy, g, places) ? err_set(err, "cannot place the CPUs on the host's topology") : 0;
}

hwloc_cpuset_t placement_rest(const hwloc_cpuset_t *places, unsigned nr)
{
	hwloc_const_cpuset_t all = hwloc_topology_get_topology_cpuset(host_topology);
	hwloc_cpuset_t cpus = hwloc_bitmap_alloc(), rest = hwloc_bitmap_dup(all);
	hwloc_obj_t core = NULL;

	if (!cpus || !rest) {
		hwloc_bitmap_free(cpus);
		hwloc_bitmap_free(rest);
		return NULL;
	}
	for (unsigned i = 0; i < nr; i++)
		hwloc_bitmap_or(cpus, cpus, places[i]);
	while ((core = hwloc_get_next_obj_by_type(host_topology, HWLOC_OBJ_CORE, core)))
		if (hwloc_bitmap_intersects(core->cpuset, cpus))
			hwloc_bitmap_andnot(rest, rest, core->cpuset);
	if (hwloc_bitmap_iszero(rest) || hwloc_bitmap_isequal(rest, all))
		hwloc_bitmap_andnot(rest, all, cpus);
	if (hwloc_bitmap_iszero(rest))
		hwloc_bitmap_copy(rest, all);
	hwloc_bitmap_free(cpus);
	return rest;
}
