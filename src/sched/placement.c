/* SPDX-License-Identifier: MIT */
/*
 * hwloc's view of the host, cut down to the CPUs this process may use (cgroup, taskset). Loading it takes milliseconds,
 * so it is left alone when nothing is to be placed: "auto" looks at the number of NUMA nodes in sysfs first.
 */
#define _GNU_SOURCE
#include "sched/placement.h"

#include <hwloc.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/log.h"

static hwloc_topology_t topology; /* [const] after placement_init(); NULL: nothing is placed */
static hwloc_cpuset_t *places;    /* [const] one per vCPU */
static unsigned nr_places;        /* [const] */
static unsigned nr_vcpus;         /* [const] */
static unsigned host_cpus;        /* [const] */

int placement_parse(const char *text, struct placement *p, struct err *err)
{
	static const struct {
		const char *name;
		enum placement_policy policy;
	} names[] = {
		{ "auto", PLACEMENT_AUTO },
		{ "none", PLACEMENT_NONE },
		{ "spread", PLACEMENT_SPREAD },
		{ "compact", PLACEMENT_COMPACT },
	};

	if (!strncmp(text, "cpus=", 5)) {
		*p = (struct placement){ PLACEMENT_CPUS, text + 5 };
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(text, names[i].name)) {
			*p = (struct placement){ names[i].policy, NULL };
			return 0;
		}
	}
	return err_set(err, "unknown placement '%s': use spread, compact, none, auto or cpus=LIST", text);
}

unsigned placement_host_cpus(void)
{
	cpu_set_t set;

	if (!host_cpus)
		host_cpus = sched_getaffinity(0, sizeof(set), &set) ? (unsigned)sysconf(_SC_NPROCESSORS_ONLN)
								     : (unsigned)CPU_COUNT(&set);
	return host_cpus;
}

static int load(struct err *err)
{
	hwloc_bitmap_t allowed;

	if (topology)
		return 0;
	if (hwloc_topology_init(&topology))
		goto fail;
	if (hwloc_topology_load(topology))
		goto fail_destroy;
	allowed = hwloc_bitmap_alloc();
	if (!allowed)
		goto fail_destroy;
	if (!hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS))
		hwloc_topology_restrict(topology, allowed, 0);
	hwloc_bitmap_free(allowed);
	return 0;

fail_destroy:
	hwloc_topology_destroy(topology);
	topology = NULL;
fail:
	return err_set(err, "cannot read the topology of the host");
}

static hwloc_obj_t pu(unsigned i)
{
	return hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, i);
}

static unsigned nr_pus(void)
{
	return (unsigned)hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
}

static void place_spread(void)
{
	hwloc_obj_t root = hwloc_get_root_obj(topology);

	if (hwloc_distrib(topology, &root, 1, places, nr_vcpus, INT_MAX, 0))
		return;
	for (unsigned i = 0; i < nr_vcpus; i++)
		hwloc_bitmap_singlify(places[i]);
}

static void place_compact(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		places[i] = hwloc_bitmap_dup(pu(i % nr_pus())->cpuset);
}

static void place_on_nodes(void)
{
	unsigned nodes = (unsigned)hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);

	for (unsigned i = 0; i < nr_vcpus; i++)
		places[i] = hwloc_bitmap_dup(hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, i % nodes)->cpuset);
}

static int place_listed(const char *list, struct err *err)
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
			hwloc_obj_t obj = hwloc_get_pu_obj_by_os_index(topology, (unsigned)cpu);

			if (!obj)
				return err_set(err, "there is no host CPU %lu that may be used ('--topology' lists them)", cpu);
			if (next < nr_vcpus)
				places[next++] = hwloc_bitmap_dup(obj->cpuset);
		}
		p = end;
		if (!*p)
			break;
	}
	for (unsigned i = next; i < nr_vcpus; i++)
		places[i] = hwloc_bitmap_dup(places[i % next]);
	return 0;

bad:
	return err_set(err, "'%s' is not a list of host CPUs such as 0-3,8", list);
}

static enum placement_policy decide(const struct placement *p)
{
	if (p->policy != PLACEMENT_AUTO)
		return p->policy;
	if (nr_vcpus > host_cpus || access("/sys/devices/system/node/node1", F_OK))
		return PLACEMENT_NONE;
	return PLACEMENT_AUTO;
}

int placement_init(const struct placement *p, unsigned nr, struct err *err)
{
	enum placement_policy policy;

	nr_vcpus = nr;
	placement_host_cpus();
	policy = decide(p);
	if (policy == PLACEMENT_NONE)
		return 0;
	if (load(err))
		return -1;
	places = calloc(nr, sizeof(*places));
	if (!places)
		return err_set(err, "out of memory");
	nr_places = nr;
	switch (policy) {
	case PLACEMENT_SPREAD:
		place_spread();
		break;
	case PLACEMENT_COMPACT:
		place_compact();
		break;
	case PLACEMENT_CPUS:
		return place_listed(p->cpus, err);
	default:
		place_on_nodes();
		break;
	}
	return 0;
}

void placement_fini(void)
{
	for (unsigned i = 0; i < nr_places; i++)
		hwloc_bitmap_free(places[i]);
	free(places);
	places = NULL;
	nr_places = 0;
	if (topology)
		hwloc_topology_destroy(topology);
	topology = NULL;
}

void placement_apply(unsigned index)
{
	if (index >= nr_places || !places[index])
		return;
	if (hwloc_set_cpubind(topology, places[index], HWLOC_CPUBIND_THREAD))
		warn("cannot bind CPU %u to its host CPU", index);
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

int placement_print(FILE *out, struct err *err)
{
	if (load(err))
		return -1;
	fprintf(out, "Host:\n");
	print_obj(out, hwloc_get_root_obj(topology), 1);
	fprintf(out, "Guest CPUs:\n");
	for (unsigned i = 0; i < nr_vcpus; i++) {
		char *cpus = NULL;

		if (i < nr_places && places[i])
			hwloc_bitmap_list_asprintf(&cpus, places[i]);
		fprintf(out, "  CPU %-4u %s %s\n", i, cpus ? "on host CPU" : "anywhere", cpus ? cpus : "");
		free(cpus);
	}
	return 0;
}
