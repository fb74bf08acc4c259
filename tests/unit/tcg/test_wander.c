/* SPDX-License-Identifier: MIT */
/* src/tcg/wander.c: the set of wandering instructions. */
#include "support/test.h"

#include "tcg/wander.h"

static void marks_go_two_steps(void **state)
{
	(void)state;
	assert_int_equal(wander_test(0x401000), WANDER_NOT);
	assert_true(wander_mark(0x401000));
	assert_int_equal(wander_test(0x401000), WANDER_OFF);
	assert_true(wander_mark(0x401000));
	assert_int_equal(wander_test(0x401000), WANDER_FAR);
	assert_false(wander_mark(0x401000));
	assert_int_equal(wander_test(0x401004), WANDER_NOT);
}

static void many_marks_are_forgotten(void **state)
{
	unsigned known = 0;

	(void)state;
	for (gva_t pc = 0; pc < 100000; pc++)
		wander_mark(0x7f0000000000 + 5 * pc);
	for (gva_t pc = 0; pc < 100000; pc++)
		known += wander_test(0x7f0000000000 + 5 * pc) != WANDER_NOT;
	assert_in_range(known, 1, 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_go_two_steps),
		cmocka_unit_test(many_marks_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
