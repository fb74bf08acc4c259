/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "main/keyval.h"
#include "util/err.h"

struct dest {
	unsigned count;
	uint64_t big;
	bool flag;
	char text[KEYVAL_TEXT_SIZE];
};

static const struct keyval table[] = {
	{ "count", keyval_unsigned, offsetof(struct dest, count) },
	{ "big", keyval_uint64, offsetof(struct dest, big) },
	{ "flag", keyval_bool, offsetof(struct dest, flag) },
	{ "text", keyval_text, offsetof(struct dest, text) },
	{ "ignored", NULL, 0 },
	{ NULL, NULL, 0 },
};

static void members_are_filled_in(void **state)
{
	struct dest d = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(keyval_parse("7,big=0xffffffffffffffff,flag,text=a,,b,ignored=x", "count", table, &d, &err), 0);
	assert_true(d.count == 7 && d.big == UINT64_MAX && d.flag);
	assert_string_equal(d.text, "a,b");
	assert_int_equal(keyval_parse("noflag", NULL, table, &d, &err), 0);
	assert_false(d.flag);
	assert_int_equal(keyval_parse("flag=yes", NULL, table, &d, &err), 0);
	assert_true(d.flag);
}

static void mistakes_are_explained(void **state)
{
	static const struct {
		const char *arg, *says;
	} cases[] = {
		{ "x", "count: 'x' is not a number" }, { "", "count has no value" },
		{ "count=-1", "'-1' is not a number" }, { "count=4294967296", "too large" },
		{ "big=0x10000000000000000", "too large" }, { "big= 5", "' 5' is not a number" },
		{ "flag=maybe", "on or off" }, { "1,bogus=2", "'bogus' is unknown here; known: count, big" },
		{ "1,,", "is not a number" }, { "1,", "is unknown" }, { "text=", "text has no value" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dest d = { 0 };
		struct err err = { "" };

		assert_int_equal(keyval_parse(cases[i].arg, "count", table, &d, &err), -1);
		if (!strstr(err.text, cases[i].says))
			fail_msg("'%s' gives '%s', not '%s'", cases[i].arg, err.text, cases[i].says);
	}
}

static void sizes_with_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{ "0", 0 }, { "512", 512ull << 20 }, { "512M", 512ull << 20 }, { "4G", 4ull << 30 }, { "4g", 4ull << 30 },
		{ "1.5G", 3ull << 29 }, { "64k", 64 << 10 }, { "10B", 10 }, { "2GiB", 2ull << 30 }, { "2GB", 2ull << 30 },
		{ "1T", 1ull << 40 },
	};
	static const char *const bad[] = { "", "x", "-5", "12Q", "4GG", "4 G", "G", "1.G5", "99999999999999999999", "99999999999T" };
	struct err err;
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(parse_size(good[i].text, 1 << 20, &size, &err), 0);
		if (size != good[i].size)
			fail_msg("%s is %llu", good[i].text, (unsigned long long)size);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (!parse_size(bad[i], 1 << 20, &size, &err))
			fail_msg("'%s' was accepted", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_filled_in),
		cmocka_unit_test(mistakes_are_explained),
		cmocka_unit_test(sizes_with_suffixes),
	};

	return RUN_TESTS(tests);
}
