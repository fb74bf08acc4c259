/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "util/stats.h"

static char *print(void (*fn)(FILE *))
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fn(f);
	fclose(f);
	return text;
}

static void counts_go_to_the_attached_set(void **state)
{
	(void)state;
	assert_int_equal(stats_init(2), 0);
	stats_attach(1);
	stat_add(STAT_parks, 3);
	stat_inc(STAT_parks);
	stats_self = NULL;
	stat_inc(STAT_parks);
	assert_int_equal(stats_of(0)->v[STAT_parks], 0);
	assert_int_equal(stats_of(1)->v[STAT_parks], 4);
	assert_int_equal(stats_other.v[STAT_parks], 1);
	assert_int_equal(stat_total(STAT_parks), 5);
	assert_null(stats_of(2));
	stats_fini();
}

static void text_leaves_zeros_out(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(stats_init(3), 0);
	stats_attach(2);
	stat_inc(STAT_chains);
	stats_self = NULL;
	text = print(stats_print_text);
	assert_non_null(strstr(text, "\nchains "));
	assert_non_null(strstr(text, "vcpu2"));
	assert_null(strstr(text, "blocks_built"));
	free(text);
	stats_fini();
	assert_int_equal(stats_init(40), 0);
	text = print(stats_print_text);
	assert_non_null(strstr(text, "least"));
	free(text);
	stats_fini();
}

static void json_has_every_counter(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(stats_init(2), 0);
	text = print(stats_print_json);
	for (unsigned id = 0; id < STAT_COUNT; id++) {
		char key[80];

		snprintf(key, sizeof(key), "\"%s\": ", stat_name((enum stat_id)id));
		assert_non_null(strstr(text, key));
		assert_true(strlen(stat_help((enum stat_id)id)) > 5);
	}
	assert_non_null(strstr(text, "\"lock_wait_page\""));
	free(text);
	stats_fini();
}

static void latencies_are_counted_by_powers_of_two(void **state)
{
	static const uint64_t times[] = { 0, 1, 2, 1023, 1024, 2047, 2048, UINT64_MAX };
	char *text;

	(void)state;
	assert_int_equal(stats_init(2), 0);
	stats_attach(1);
	for (unsigned i = 0; i < 8; i++)
		stat_ipi_latency(times[i]);
	stats_self = NULL;
	stat_ipi_latency(5); /* no vCPU: nowhere */
	assert_int_equal(stats_of(1)->ipi_latency[0], 2);
	assert_int_equal(stats_of(1)->ipi_latency[1], 1);
	assert_int_equal(stats_of(1)->ipi_latency[9], 1);
	assert_int_equal(stats_of(1)->ipi_latency[10], 2);
	assert_int_equal(stats_of(1)->ipi_latency[11], 1);
	assert_int_equal(stats_of(1)->ipi_latency[STATS_BUCKETS - 1], 1);
	assert_int_equal(stats_of(0)->ipi_latency[10], 0);
	text = print(stats_print_text);
	assert_non_null(strstr(text, "\nipi_ns_1024                         2             0             2  "));
	assert_null(strstr(text, "ipi_ns_4096"));
	free(text);
	text = print(stats_print_json);
	assert_non_null(strstr(text, "\"ipi_latency_log2_ns\": {\"total\": [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0"));
	assert_non_null(strstr(text, "\n  [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0"));
	free(text);
	stats_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_go_to_the_attached_set),
		cmocka_unit_test(text_leaves_zeros_out),
		cmocka_unit_test(json_has_every_counter),
		cmocka_unit_test(latencies_are_counted_by_powers_of_two),
	};

	return RUN_TESTS(tests);
}
