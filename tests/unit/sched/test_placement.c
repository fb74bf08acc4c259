/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/placement.h"
#include "util/err.h"

static cpu_set_t all;

static int bound_cpus(unsigned index)
{
	cpu_set_t set;

	sched_setaffinity(0, sizeof(all), &all);
	placement_apply(index);
	sched_getaffinity(0, sizeof(set), &set);
	sched_setaffinity(0, sizeof(all), &all);
	return CPU_COUNT(&set);
}

static void init(const char *text, unsigned nr)
{
	const struct placement_guest guest = { { nr, 1, nr, 1 }, NULL };
	struct placement p;
	struct err err;

	assert_int_equal(placement_parse(text, &p, &err), 0);
	assert_int_equal(placement_init(&p, &guest, &err), 0);
}

static void words_are_parsed(void **state)
{
	struct placement p;
	struct err err;

	(void)state;
	assert_int_equal(placement_parse("cpus=0-1,4", &p, &err), 0);
	assert_int_equal(p.policy, PLACEMENT_CPUS);
	assert_string_equal(p.cpus, "0-1,4");
	assert_int_equal(placement_parse("wide", &p, &err), -1);
	assert_non_null(strstr(err.text, "spread"));
}

static void none_binds_nothing(void **state)
{
	(void)state;
	init("none", 2);
	assert_int_equal(bound_cpus(0), CPU_COUNT(&all));
	placement_fini();
}

static void policies_bind_to_one_cpu(void **state)
{
	static const char *const policies[] = { "spread", "compact" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		init(policies[i], 3);
		for (unsigned cpu = 0; cpu < 3; cpu++)
			assert_int_equal(bound_cpus(cpu), 1);
		assert_int_equal(bound_cpus(3), CPU_COUNT(&all));
		placement_fini();
	}
}

static void list_wraps_around(void **state)
{
	char text[32];
	int cpu = 0;

	(void)state;
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	snprintf(text, sizeof(text), "cpus=%d", cpu);
	init(text, 3);
	assert_int_equal(bound_cpus(2), 1);
	placement_fini();
}

static void bad_lists_are_refused(void **state)
{
	static const char *const bad[] = { "cpus=", "cpus=a", "cpus=1-0", "cpus=0,", "cpus=0-", "cpus=99999", "cpus=0x" };
	const struct placement_guest guest = { { 2, 1, 2, 1 }, NULL };
	struct placement p;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(placement_parse(bad[i], &p, &err), 0);
		assert_int_equal(placement_init(&p, &guest, &err), -1);
		placement_fini();
	}
}

static void topology_is_printed(void **state)
{
	char *text = NULL;
	size_t size;
	struct err err;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	init("spread", 2);
	assert_int_equal(placement_print(f, &err), 0);
	fclose(f);
	assert_non_null(strstr(text, "PU"));
	assert_non_null(strstr(text, "CPU 1    on host CPU"));
	free(text);
	placement_fini();
}

/*
 * Other machines. A row: the host, the guest, the policy, and where CPUs and other threads go. "a/b" is CPU 0 on the host
 * CPUs a, CPU 1 on b, and so on; what follows "|" is where the others are.
 */
static void plans_on_other_machines(void **state)
{
	static const struct {
		const char *host, *policy;
		struct guest_cpus cpus;
		unsigned guest_nodes;
		const char *plan;
	} rows[] = {
#define DESKTOP "pack:1 core:4 pu:2"
#define TWO_NODES "pack:2 [numa] core:4 pu:2"
#define FOUR_BY_64 "pack:4 [numa] core:64 pu:1"
		/* own cores first, neighbours; then all host CPUs in turn */
		{ DESKTOP, "compact", { 2, 1, 2, 1 }, 0, "0/2|4-7" },
		{ DESKTOP, "compact", { 4, 1, 4, 1 }, 0, "0/2/4/6|1,3,5,7" },
		{ DESKTOP, "compact", { 6, 1, 6, 1 }, 0, "0/1/2/3/4/5|6-7" },
		{ DESKTOP, "compact", { 8, 1, 8, 1 }, 0, "0/1/2/3/4/5/6/7|0-7" },
		{ DESKTOP, "compact", { 9, 1, 9, 1 }, 0, "0/1/2/3/4/5/6/7/0|0-7" },
		/* threads of a guest core on threads of a host core */
		{ DESKTOP, "compact", { 4, 1, 2, 2 }, 0, "0/1/2/3|4-7" },
		{ DESKTOP, "spread", { 4, 1, 2, 2 }, 0, "0/1/4/5|2-3,6-7" },
		{ "pack:1 core:4 pu:1", "compact", { 4, 1, 2, 2 }, 0, "0/0/1/1|2-3" },
		/* far from each other */
		{ TWO_NODES, "spread", { 2, 1, 2, 1 }, 0, "0/8|2-7,10-15" },
		{ TWO_NODES, "spread", { 4, 1, 4, 1 }, 0, "0/4/8/12|2-3,6-7,10-11,14-15" },
		/* a node each, neighbours on the same one; auto is that when there are nodes and enough CPUs */
		{ TWO_NODES, "node", { 4, 1, 4, 1 }, 0, "0-7/0-7/8-15/8-15|0-15" },
		{ TWO_NODES, "auto", { 4, 1, 4, 1 }, 0, "0-7/0-7/8-15/8-15|0-15" },
		{ TWO_NODES, "auto", { 17, 1, 17, 1 }, 0, "" },
		{ DESKTOP, "auto", { 4, 1, 4, 1 }, 0, "" },
		{ TWO_NODES, "none", { 4, 1, 4, 1 }, 2, "" },
		{ "pack:2 [numa] core:3 pu:1", "node", { 3, 1, 3, 1 }, 0, "0-2/0-2/3-5|0-5" },
		/* guest nodes: each on the host node of its memory */
		{ TWO_NODES, "auto", { 4, 2, 2, 1 }, 2, "0-7/0-7/8-15/8-15|0-15" },
		{ TWO_NODES, "compact", { 4, 2, 2, 1 }, 2, "0/2/8/10|4-7,12-15" },
		{ TWO_NODES, "spread", { 4, 2, 2, 1 }, 2, "0/4/8/12|2-3,6-7,10-11,14-15" },
		{ DESKTOP, "compact", { 4, 2, 2, 1 }, 2, "0/2/4/6|1,3,5,7" }, /* both nodes on the only one */
		{ TWO_NODES, "compact", { 3, 3, 1, 1 }, 3, "0/8/2|4-7,10-15" }, /* the third is on the first again */
		/* lists are taken as they are */
		{ TWO_NODES, "cpus=3,8-9", { 4, 1, 4, 1 }, 2, "3/8/9/3|0-1,4-7,10-15" },
		/* large */
		{ FOUR_BY_64, "spread", { 4, 1, 4, 1 }, 0, "0/64/128/192|1-63,65-127,129-191,193-255" },
		{ FOUR_BY_64, "node", { 4, 4, 1, 1 }, 4, "0-63/64-127/128-191/192-255|0-255" },
		{ FOUR_BY_64, "compact", { 4, 4, 1, 1 }, 4, "0/64/128/192|1-63,65-127,129-191,193-255" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct placement_guest guest = { rows[i].cpus, NULL };
		struct numa numa;
		struct placement p;
		struct err err;
		char plan[256];

		numa_init(&numa);
		for (unsigned n = 0; n < rows[i].guest_nodes; n++)
			numa.node[n].exists = true;
		assert_int_equal(numa_finish(&numa, &guest.cpus, (uint64_t)1 << 30, &err), 0);
		guest.numa = &numa;
		setenv("HWLOC_SYNTHETIC", rows[i].host, 1);
		assert_int_equal(placement_parse(rows[i].policy, &p, &err), 0);
		if (placement_init(&p, &guest, &err))
			fail_msg("row %zu: %s", i, err.text);
		placement_describe(plan, sizeof(plan));
		if (strcmp(plan, rows[i].plan) != 0)
			fail_msg("%s, %s, %u CPUs, %u nodes: %s, not %s", rows[i].host, rows[i].policy, guest.cpus.nr,
				 rows[i].guest_nodes, plan, rows[i].plan);
		placement_fini();
		unsetenv("HWLOC_SYNTHETIC");
	}
}

/* All of a large machine, by every policy: each host CPU is taken as often as any other. */
static void full_machines_are_shared_evenly(void **state)
{
	static const char *const policies[] = { "spread", "compact" };

	(void)state;
	setenv("HWLOC_SYNTHETIC", FOUR_BY_64, 1);
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		bool taken[256] = { false };
		char plan[4096], *word = plan;

		init(policies[i], 255);
		placement_describe(plan, sizeof(plan));
		for (unsigned cpu = 0; cpu < 255; cpu++) {
			unsigned long at = strtoul(word, &word, 10);

			assert_in_range(at, 0, 255);
			assert_false(taken[at]);
			taken[at] = true;
			word++;
		}
		placement_fini();
	}
	unsetenv("HWLOC_SYNTHETIC");
}

/* A guest node's memory comes from where its CPUs are; -object may name other nodes, and what the host lacks is refused. */
static void memory_follows_the_nodes(void **state)
{
	struct placement_guest guest = { { 4, 2, 2, 1 }, NULL };
	struct placement p = { PLACEMENT_COMPACT, NULL };
	struct numa numa;
	struct err err;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	numa_init(&numa);
	numa.node[0].exists = numa.node[1].exists = true;
	numa.node[0].host = (struct numa_host){ NUMA_BIND, 1u << 1 };
	assert_int_equal(numa_finish(&numa, &guest.cpus, (uint64_t)1 << 30, &err), 0);
	guest.numa = &numa;
	setenv("HWLOC_SYNTHETIC", TWO_NODES, 1);
	assert_int_equal(placement_init(&p, &guest, &err), 0);
	assert_int_equal(placement_print(f, &err), 0);
	fclose(f);
	assert_non_null(strstr(text, "CPU 0    node 0   on host CPU 8\n"));
	assert_non_null(strstr(text, "node 0   512 MiB bound to host node 1\n"));
	assert_non_null(strstr(text, "node 1   512 MiB on host node 1\n"));
	free(text);
	numa.node[0].host.nodes = 1u << 2;
	assert_int_equal(placement_bind_memory(NULL, &err), -1);
	assert_non_null(strstr(err.text, "host-nodes"));
	placement_fini();
	unsetenv("HWLOC_SYNTHETIC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_parsed),      cmocka_unit_test(none_binds_nothing),
		cmocka_unit_test(policies_bind_to_one_cpu), cmocka_unit_test(list_wraps_around),
		cmocka_unit_test(bad_lists_are_refused), cmocka_unit_test(topology_is_printed),
		cmocka_unit_test(plans_on_other_machines), cmocka_unit_test(full_machines_are_shared_evenly),
		cmocka_unit_test(memory_follows_the_nodes),
	};

	sched_getaffinity(0, sizeof(all), &all);
	return RUN_TESTS(tests);
}
