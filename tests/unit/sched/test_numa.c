/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "sched/numa.h"
#include "util/err.h"

#define MIB (1ull << 20)

static struct numa n;
static struct err err;

static void nodes(unsigned nr)
{
	numa_init(&n);
	for (unsigned i = 0; i < nr; i++)
		n.node[i].exists = true;
}

static int finish(unsigned sockets, unsigned cores, unsigned threads, uint64_t mib)
{
	const struct guest_cpus cpus = { sockets * cores * threads, sockets, cores, threads };

	err.text[0] = 0;
	return numa_finish(&n, &cpus, mib * MIB, &err);
}

static void refused(int result, const char *says)
{
	assert_int_equal(result, -1);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static void none_is_none(void **state)
{
	(void)state;
	nodes(0);
	assert_int_equal(finish(1, 4, 1, 512), 0);
	assert_int_equal(n.nr, 0);
	n.node_of_cpu[1] = 0;
	refused(finish(1, 4, 1, 512), "no node 0");
}

static void memory_is_split_evenly(void **state)
{
	uint64_t sum = 0;

	(void)state;
	nodes(3);
	assert_int_equal(finish(1, 4, 1, 512), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_in_range(n.node[i].size, 170 * MIB, 172 * MIB);
		assert_int_equal(n.node[i].size % NUMA_SIZE_UNIT, 0);
		assert_int_equal(numa_ram_start(&n, i), sum);
		sum += n.node[i].size;
	}
	assert_int_equal(sum, 512 * MIB);
}

static void memory_must_add_up(void **state)
{
	(void)state;
	nodes(2);
	n.node[0].has_size = true;
	n.node[0].size = 512 * MIB;
	assert_int_equal(finish(1, 2, 1, 512), 0); /* a node without memory is one */
	assert_int_equal(n.node[1].size, 0);
	n.node[0].size = 256 * MIB;
	refused(finish(1, 2, 1, 512), "256 MiB");
	n.node[0].size = 1;
	refused(finish(1, 2, 1, 512), "multiple of 2 MiB");
	n.node[0].size = 1024 * MIB;
	refused(finish(1, 2, 1, 512), "more memory");
}

static void cpus_go_by_socket_or_core(void **state)
{
	static const struct {
		unsigned nodes, sockets, cores, threads;
		uint8_t node_of[8];
	} rows[] = {
		{ 2, 2, 2, 1, { 0, 0, 1, 1 } },
		{ 2, 4, 1, 1, { 0, 1, 0, 1 } }, /* as QEMU */
		{ 2, 1, 4, 1, { 0, 0, 1, 1 } },
		{ 2, 1, 3, 2, { 0, 0, 0, 0, 1, 1 } },
		{ 3, 2, 2, 2, { 0, 0, 0, 0, 1, 1, 2, 2 } },
		{ 4, 1, 2, 1, { 0, 2 } }, /* nodes without CPUs */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		nodes(rows[i].nodes);
		assert_int_equal(finish(rows[i].sockets, rows[i].cores, rows[i].threads, 512), 0);
		assert_memory_equal(n.node_of_cpu, rows[i].node_of, rows[i].sockets * rows[i].cores * rows[i].threads);
	}
}

static void wrong_cpus_and_nodes_are_refused(void **state)
{
	(void)state;
	nodes(2);
	n.node_of_cpu[4] = 1;
	refused(finish(1, 4, 1, 512), "no CPU 4");
	nodes(2);
	n.node_of_cpu[0] = 2;
	refused(finish(1, 4, 1, 512), "no node 2");
	nodes(3);
	n.node[1].exists = false;
	refused(finish(1, 4, 1, 512), "no node 1");
	nodes(2);
	n.node_of_cpu[0] = 1;
	assert_int_equal(finish(1, 2, 1, 512), 0); /* with a warning */
	assert_int_equal(n.node_of_cpu[1], 0);
}

static void distances_are_completed(void **state)
{
	(void)state;
	nodes(2);
	assert_int_equal(finish(1, 2, 1, 512), 0);
	assert_int_equal(n.distance[0][0], 10);
	assert_int_equal(n.distance[0][1], 20);
	nodes(2);
	n.distance[1][0] = 31;
	assert_int_equal(finish(1, 2, 1, 512), 0);
	assert_int_equal(n.distance[0][1], 31);
	nodes(2);
	n.distance[1][0] = 31;
	n.distance[0][1] = 21;
	assert_int_equal(finish(1, 2, 1, 512), 0);
	assert_int_equal(n.distance[0][1], 21);
	assert_int_equal(n.distance[1][0], 31);
	nodes(3);
	n.distance[1][0] = 31;
	refused(finish(1, 2, 1, 512), "between nodes 0 and 2");
	nodes(2);
	n.distance[0][3] = 31;
	refused(finish(1, 2, 1, 512), "no node 3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_none),
		cmocka_unit_test(memory_is_split_evenly),
		cmocka_unit_test(memory_must_add_up),
		cmocka_unit_test(cpus_go_by_socket_or_core),
		cmocka_unit_test(wrong_cpus_and_nodes_are_refused),
		cmocka_unit_test(distances_are_completed),
	};

	return RUN_TESTS(tests);
}
