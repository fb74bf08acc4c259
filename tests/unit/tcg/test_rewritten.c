/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "tcg/rewritten.h"

/* Marks at `code` until blocks there read their immediates when they run. */
static unsigned kills_until_often(ram_off_t code)
{
	unsigned n = 0;

	while (!rewritten_often(code)) {
		rewritten_mark(code, REWRITTEN_PLAIN);
		n++;
		assert_true(n < 1000);
	}
	return n;
}

static void code_is_rewritten_often_after_some_kills(void **state)
{
	(void)state;
	assert_int_equal(kills_until_often(0x1000), REWRITTEN_OFTEN);
	assert_true(rewritten_often(0x1000));
	assert_false(rewritten_often(0x1001));
}

static void what_was_in_vain_waits_twice_as_long(void **state)
{
	unsigned last = kills_until_often(0x2000), n;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		rewritten_mark(0x2000, REWRITTEN_IN_VAIN);
		n = kills_until_often(0x2000);
		assert_int_equal(n, 2 * last);
		last = n;
	}
	rewritten_mark(0x2000, REWRITTEN_IN_VAIN);
	assert_int_equal(kills_until_often(0x2000), last); /* not forever */
}

static void what_went_well_is_done_again(void **state)
{
	(void)state;
	kills_until_often(0x3000);
	rewritten_mark(0x3000, REWRITTEN_IN_VAIN);
	kills_until_often(0x3000);
	rewritten_mark(0x3000, REWRITTEN_WELL);
	assert_true(rewritten_often(0x3000));
	rewritten_mark(0x3000, REWRITTEN_IN_VAIN);
	assert_int_equal(kills_until_often(0x3000), 2 * REWRITTEN_OFTEN);
}

/* Blocks that read their immediates died all the same, or they have none. */
static void other_instructions_are_told_from_other_immediates(void **state)
{
	(void)state;
	kills_until_often(0x4000);
	assert_false(rewritten_anew(0x4000));
	rewritten_mark(0x4000, REWRITTEN_IN_VAIN);
	assert_true(rewritten_anew(0x4000));
	rewritten_mark(0x4000, REWRITTEN_WELL);
	assert_false(rewritten_anew(0x4000));
	kills_until_often(0x5000);
	rewritten_mark(0x5000, REWRITTEN_PLAIN);
	assert_true(rewritten_anew(0x5000));
}

/* Many addresses killed once or twice, as when pages are used for something else, are no sign of anything. */
static void kills_of_many_addresses_do_not_add_up(void **state)
{
	unsigned often = 0;

	(void)state;
	for (ram_off_t code = 1u << 24; code < 1u << 25; code += 256) {
		rewritten_mark(code, REWRITTEN_PLAIN);
		often += rewritten_often(code);
	}
	assert_int_equal(often, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_is_rewritten_often_after_some_kills),
		cmocka_unit_test(what_was_in_vain_waits_twice_as_long),
		cmocka_unit_test(what_went_well_is_done_again),
		cmocka_unit_test(other_instructions_are_told_from_other_immediates),
		cmocka_unit_test(kills_of_many_addresses_do_not_add_up),
	};

	return RUN_TESTS(tests);
}
