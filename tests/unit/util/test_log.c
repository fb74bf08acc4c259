/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "util/err.h"
#include "util/log.h"
#include "util/stats.h"

static char path[] = "/tmp/test_log.XXXXXX";

static size_t read_log(char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n = fread(buf, 1, size - 1, f);

	buf[n] = 0;
	fclose(f);
	return n;
}

static void items_are_parsed_and_added(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(log_parse_items("int,exec", &err), 0);
	assert_int_equal(log_mask, LOG_INT | LOG_EXEC);
	assert_int_equal(log_parse_items("op_opt", &err), 0);
	assert_true(log_on(LOG_OP_OPT) && log_on(LOG_INT) && !log_on(LOG_OP));
	assert_int_equal(log_parse_items("all", &err), 0);
	assert_true(log_on(LOG_GUEST_ERRORS) && !log_on(LOG_NOCHAIN));
}

static void unknown_item_is_named(void **state)
{
	struct err err;

	(void)state;
	log_mask = 0;
	assert_int_equal(log_parse_items("int,bogus,exec", &err), -1);
	assert_non_null(strstr(err.text, "'bogus'"));
	assert_int_equal(log_mask, 0);
	assert_int_equal(log_parse_items("", &err), -1);
	assert_int_equal(log_parse_items("int,", &err), -1);
}

static void log_goes_to_the_file(void **state)
{
	static char big[20000];
	char buf[32768];
	struct err err;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(log_open(path, &err), 0);
	log_write("one %d\n", 1);
	memset(big, 'x', sizeof(big) - 1);
	log_write("%s\n", big);
	assert_int_equal(read_log(buf, sizeof(buf)), 6 + sizeof(big));
	assert_memory_equal(buf, "one 1\nxxx", 9);
	unlink(path);
}

static void unwritable_log_says_why(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(log_open("/nonexistent/dir/log", &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/dir/log"));
	assert_non_null(strstr(err.text, "No such file"));
}

static void guest_errors_are_always_counted(void **state)
{
	uint64_t before = stat_total(STAT_guest_errors);

	(void)state;
	log_mask = 0;
	guest_error("port %x", 0x80);
	assert_int_equal(stat_total(STAT_guest_errors), before + 1);
}

static void long_error_text_is_cut(void **state)
{
	char big[1000];
	struct err err;

	(void)state;
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(err_set(&err, "%s", big), -1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_parsed_and_added),  cmocka_unit_test(unknown_item_is_named),
		cmocka_unit_test(log_goes_to_the_file),        cmocka_unit_test(unwritable_log_says_why),
		cmocka_unit_test(guest_errors_are_always_counted), cmocka_unit_test(long_error_text_is_cut),
	};

	return RUN_TESTS(tests);
}
