/* SPDX-License-Identifier: MIT */
/* src/tcg/wander.c: the set of wandering instructions. */
#include "support/test.h"

#include "tcg/wander.h"

static void a_mark_is_new_once(void **state)
{
	(void)state;
	assert_false(wander_test(0x401000));
	assert_true(wander_mark(0x401000));
	assert_true(wander_test(0x401000));
	assert_false(wander_mark(0x401000));
}

static void many_marks_are_forgotten(void **state)
{
	unsigned known = 0;

	(void)state;
	for (gva_t pc = 0; pc < 100000; pc++)
		wander_mark(0x7f0000000000 + 5 * pc);
	for (gva_t pc = 0; pc < 100000; pc++)
		known += wander_test(0x7f0000000000 + 5 * pc);
	assert_in_range(known, 1, 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_new_once),
		cmocka_unit_test(many_marks_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
