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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_go_to_the_attached_set),
		cmocka_unit_test(text_leaves_zeros_out),
		cmocka_unit_test(json_has_every_counter),
	};

	return RUN_TESTS(tests);
}
