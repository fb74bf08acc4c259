/* SPDX-License-Identifier: MIT */
#include "sched/placement.h"

#include <hwloc.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sched/host_topology.h"
#include "sched/placement_plan.h"
#include "util/err.h"
#include "util/log.h"

static hwloc_cpuset_t *places; /* [const] after placement_init(): one per vCPU; NULL: nothing is placed */
static hwloc_cpuset_t others;  /* [const] where other threads go; NULL: anywhere */
static struct placement_guest guest; /* [const] */

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
		{ "node", PLACEMENT_NODE },
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
	return err_set(err, "unknown placement '%s': use spread, compact, node, none, auto or cpus=LIST", text);
}

unsigned placement_host_cpus(void)
{
	return host_cpus();
}

static bool binds_memory(void)
{
	for (unsigned i = 0; guest.numa && i < guest.numa->nr; i++)
		if (guest.numa->node[i].host.policy != NUMA_DEFAULT)
			return true;
	return false;
}

/* "auto" becomes "node" or "none". */
static int decide(struct placement *p, struct err *err)
{
	bool may_have_nodes = host_may_have_nodes();

	if (p->policy == PLACEMENT_AUTO && !may_have_nodes)
		p->policy = PLACEMENT_NONE;
	if ((p->policy != PLACEMENT_NONE || binds_memory()) && host_topology_load(err))
		return -1;
	if (p->policy == PLACEMENT_AUTO)
		p->policy = host_nodes() > 1 && guest.cpus.nr <= host_cpus() ? PLACEMENT_NODE : PLACEMENT_NONE;
	return 0;
}

int placement_init(const struct placement *p, const struct placement_guest *g, struct err *err)
{
	struct placement policy = *p;

	guest = *g;
	host_cpus();
	if (decide(&policy, err))
		return -1;
	if (policy.policy == PLACEMENT_NONE)
		return 0;
	places = calloc(guest.cpus.nr, sizeof(*places));
	if (!places)
		return err_set(err, "out of memory");
	if (placement_plan(&policy, &guest, places, err))
		return -1;
	others = placement_rest(places, guest.cpus.nr);
	return 0;
}

void placement_fini(void)
{
	for (unsigned i = 0; places && i < guest.cpus.nr; i++)
		hwloc_bitmap_free(places[i]);
	free(places);
	places = NULL;
	hwloc_bitmap_free(others);
	others = NULL;
	host_topology_free();
}

void placement_apply(unsigned index)
{
	if (!places || index >= guest.cpus.nr)
		return;
	if (hwloc_set_cpubind(host_topology, places[index], HWLOC_CPUBIND_THREAD))
		warn("cannot bind CPU %u to its host CPU", index);
}

void placement_apply_others(void)
{
	if (others && hwloc_set_cpubind(host_topology, others, HWLOC_CPUBIND_THREAD))
		warn("cannot bind the threads of devices to host CPUs");
}

static int bind_node(unsigned node, void *start, struct err *err)
{
	static const struct {
		hwloc_membind_policy_t policy;
		int flags;
	} how[] = {
		[NUMA_DEFAULT] = { HWLOC_MEMBIND_BIND, 0 },
		[NUMA_PREFERRED] = { HWLOC_MEMBIND_BIND, 0 },
		[NUMA_BIND] = { HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_STRICT },
		[NUMA_INTERLEAVE] = { HWLOC_MEMBIND_INTERLEAVE, 0 },
	};
	const struct numa_node *n = &guest.numa->node[node];
	hwloc_nodeset_t set;
	int ret;

	if (!n->size || (n->host.policy == NUMA_DEFAULT && (!places || host_nodes() < 2)))
		return 0;
	set = placement_node_memory(guest.numa, node);
	if (!set)
		return err_set(err, "out of memory");
	if (!hwloc_bitmap_isincluded(set, hwloc_topology_get_topology_nodeset(host_topology))) {
		hwloc_bitmap_free(set);
		return err_set(err, "node %u: the host does not have all of its host-nodes ('--topology' lists them)", node);
	}
	ret = hwloc_set_area_membind(host_topology, start, n->size, set, how[n->host.policy].policy,
				     how[n->host.policy].flags | HWLOC_MEMBIND_BYNODESET);
	hwloc_bitmap_free(set);
	if (ret && n->host.policy == NUMA_BIND)
		return err_set(err, "node %u: the host cannot bind memory to nodes", node);
	if (ret)
		warn("-numa: the memory of node %u cannot be placed on the host's nodes", node);
	return 0;
}

int placement_bind_memory(void *ram, struct err *err)
{
	for (unsigned i = 0; host_topology && guest.numa && i < guest.numa->nr; i++)
		if (bind_node(i, (uint8_t *)ram + numa_ram_start(guest.numa, i), err))
			return -1;
	return 0;
}

void placement_describe(char *text, size_t size)
{
	size_t len = 0;

	text[0] = 0;
	for (unsigned i = 0; places && i <= guest.cpus.nr && len < size; i++) {
		bool last = i == guest.cpus.nr;
		char *set = NULL;

		hwloc_bitmap_list_asprintf(&set, last ? others : places[i]);
		len += (size_t)snprintf(text + len, size - len, "%s%s", !i ? "" : last ? "|" : "/", set ? set : "?");
		free(set);
	}
}

static void print_set(FILE *out, const char *on, hwloc_const_bitmap_t set)
{
	char *text = NULL;

	if (set)
		hwloc_bitmap_list_asprintf(&text, set);
	if (text)
		fprintf(out, "%s %s\n", on, text);
	else
		fprintf(out, "anywhere\n");
	free(text);
}

static void print_memory(FILE *out)
{
	static const char *const names[] = {
		[NUMA_DEFAULT] = "on host node",
		[NUMA_PREFERRED] = "preferably on host node",
		[NUMA_BIND] = "bound to host node",
		[NUMA_INTERLEAVE] = "interleaved over host node",
	};

	for (unsigned i = 0; guest.numa && i < guest.numa->nr; i++) {
		const struct numa_node *n = &guest.numa->node[i];
		hwloc_nodeset_t set = NULL;

		if (n->host.policy != NUMA_DEFAULT || (places && host_nodes() > 1))
			set = placement_node_memory(guest.numa, i);
		fprintf(out, "  node %-3u %" PRIu64 " MiB ", i, n->size >> 20);
		print_set(out, names[n->host.policy], set);
		hwloc_bitmap_free(set);
	}
}

int placement_print(FILE *out, struct err *err)
{
	if (host_topology_load(err))
		return -1;
	host_topology_print(out);
	fprintf(out, "Guest CPUs:\n");
	for (unsigned i = 0; i < guest.cpus.nr; i++) {
		fprintf(out, "  CPU %-4u ", i);
		if (guest.numa && guest.numa->nr)
			fprintf(out, "node %-3u ", guest.numa->node_of_cpu[i]);
		print_set(out, "on host CPU", places ? places[i] : NULL);
	}
	if (guest.numa && guest.numa->nr)
		fprintf(out, "Guest memory:\n");
	print_memory(out);
	fprintf(out, "Other threads:\n  ");
	print_set(out, "on host CPU", others);
	return 0;
}
