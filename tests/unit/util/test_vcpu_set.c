/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "util/vcpu_set.h"

static void every_member_is_itself_and_no_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VCPU_SET_MAX; i++) {
		struct vcpu_set_atomic set = { 0 };
		struct vcpu_set found;
		unsigned n = 0;

		vcpu_set_add(&set, i);
		found = vcpu_set_load(&set);
		for (unsigned k = 0; k < VCPU_SET_MAX; k++)
			assert_int_equal(vcpu_set_has(&set, k), k == i);
		vcpu_set_for_each(k, &found) {
			assert_int_equal(k, i);
			n++;
		}
		assert_int_equal(n, 1);
	}
}

static void members_come_in_order_and_across_words(void **state)
{
	static const unsigned in[] = { 0, 1, 63, 64, 65, 127, 128, 200, 255 };
	struct vcpu_set_atomic set = { 0 };
	struct vcpu_set found;
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		vcpu_set_add(&set, in[i]);
	found = vcpu_set_load(&set);
	vcpu_set_for_each(k, &found)
		assert_int_equal(k, in[n++]);
	assert_int_equal(n, ARRAY_LEN(in));
}

static void removing_leaves_those_that_joined_later(void **state)
{
	struct vcpu_set_atomic set = { 0 };
	struct vcpu_set seen, none = { 0 };

	(void)state;
	assert_false(vcpu_set_remove(&set, &none));
	vcpu_set_add(&set, 2);
	vcpu_set_add(&set, 130);
	seen = vcpu_set_load(&set);
	vcpu_set_add(&set, 66); /* 2 modulo 64 */
	assert_true(vcpu_set_remove(&set, &seen));
	assert_false(vcpu_set_has(&set, 2));
	assert_false(vcpu_set_has(&set, 130));
	assert_true(vcpu_set_has(&set, 66));
	seen = vcpu_set_load(&set);
	assert_false(vcpu_set_is_empty(&seen));
	vcpu_set_remove(&set, &seen);
	seen = vcpu_set_load(&set);
	assert_true(vcpu_set_is_empty(&seen));
}

static void a_union_has_the_members_of_both(void **state)
{
	struct vcpu_set a = { .word = { 1, 0, 4, 0 } }, b = { .word = { 2, 8, 4, 0 } };
	struct vcpu_set both = vcpu_set_union(&a, &b);

	(void)state;
	assert_int_equal(both.word[0], 3);
	assert_int_equal(both.word[1], 8);
	assert_int_equal(both.word[2], 4);
	assert_int_equal(both.word[3], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_is_itself_and_no_other),
		cmocka_unit_test(members_come_in_order_and_across_words),
		cmocka_unit_test(removing_leaves_those_that_joined_later),
		cmocka_unit_test(a_union_has_the_members_of_both),
	};

	return RUN_TESTS(tests);
}
