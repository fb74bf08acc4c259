/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/test.h"

#include <sched.h>
#include <stdio.h>
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
	struct placement p;
	struct err err;

	assert_int_equal(placement_parse(text, &p, &err), 0);
	assert_int_equal(placement_init(&p, nr, &err), 0);
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
	struct placement p;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(placement_parse(bad[i], &p, &err), 0);
		assert_int_equal(placement_init(&p, 2, &err), -1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_parsed),      cmocka_unit_test(none_binds_nothing),
		cmocka_unit_test(policies_bind_to_one_cpu), cmocka_unit_test(list_wraps_around),
		cmocka_unit_test(bad_lists_are_refused), cmocka_unit_test(topology_is_printed),
	};

	sched_getaffinity(0, sizeof(all), &all);
	return RUN_TESTS(tests);
}
