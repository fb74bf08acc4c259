/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "util/cost.h"
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
		stat_time(STAT_TIME_ipi, times[i]);
	stats_self = NULL;
	stat_time(STAT_TIME_reclaim, 5); /* no vCPU: in the common set */
	assert_int_equal(stats_other.times[STAT_TIME_reclaim][2], 1);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][0], 2);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][1], 1);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][9], 1);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][10], 2);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][11], 1);
	assert_int_equal(stats_of(1)->times[STAT_TIME_ipi][STATS_BUCKETS - 1], 1);
	assert_int_equal(stats_of(0)->times[STAT_TIME_ipi][10], 0);
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

static void costs_go_to_the_operation_under_way(void **state)
{
	enum cost_op outer, inner;
	char *text;

	(void)state;
	assert_int_equal(stats_init(2), 0);
	stats_attach(1);
	cost_lines(7); /* outside of all */
	outer = cost_begin(COST_evict);
	cost_lines(3);
	inner = cost_begin(COST_kill);
	cost_lines(2);
	cost_kick();
	cost_end(inner);
	cost_looks(5);
	cost_wait();
	cost_end(outer);
	stats_self = NULL;
	outer = cost_enter(COST_kill); /* a part of another thread's: no operation of its own */
	cost_lines(1);
	cost_end(outer);
	assert_int_equal(stat_cost_total(COST_evict, COST_OPS), 1);
	assert_int_equal(stat_cost_total(COST_evict, COST_LINES), 3);
	assert_int_equal(stat_cost_total(COST_evict, COST_LOOKS), 5);
	assert_int_equal(stat_cost_total(COST_evict, COST_WAITS), 1);
	assert_int_equal(stat_cost_total(COST_kill, COST_OPS), 1);
	assert_int_equal(stat_cost_total(COST_kill, COST_LINES), 3);
	assert_int_equal(stat_cost_total(COST_kill, COST_KICKS), 1);
	text = print(stats_print_text);
	assert_non_null(strstr(text, "\nkill "));
	assert_non_null(strstr(text, "\nevict "));
	assert_null(strstr(text, "\narm "));
	assert_null(strstr(text, "\nnone "));
	free(text);
	text = print(stats_print_json);
	assert_non_null(strstr(text, "\"evict\": {\"ops\": 1, \"lines\": 3, \"kicks\": 0, \"waits\": 1, \"looks\": 5}"));
	free(text);
	stats_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_go_to_the_attached_set),
		cmocka_unit_test(text_leaves_zeros_out),
		cmocka_unit_test(json_has_every_counter),
		cmocka_unit_test(costs_go_to_the_operation_under_way),
		cmocka_unit_test(latencies_are_counted_by_powers_of_two),
	};

	return RUN_TESTS(tests);
}
