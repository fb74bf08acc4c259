/* SPDX-License-Identifier: MIT */
#include "support/test.h"
#include "util/list.h"

struct item {
	int value;
	struct list link;
};

static int sum(struct list *head)
{
	struct item *i;
	int digits = 0;

	list_for_each_entry(i, head, link)
		digits = digits * 10 + i->value;
	return digits;
}

static void order_of_pushes(void **state)
{
	struct item a = { 1, { 0 } }, b = { 2, { 0 } }, c = { 3, { 0 } };
	struct list head = LIST_INIT(head);

	(void)state;
	assert_true(list_empty(&head));
	list_push_back(&head, &b.link);
	list_push_back(&head, &c.link);
	list_push_front(&head, &a.link);
	assert_int_equal(sum(&head), 123);
	list_remove(&b.link);
	list_remove(&b.link);
	assert_int_equal(sum(&head), 13);
}

static void removal_while_walking(void **state)
{
	struct item items[4] = { { 1, { 0 } }, { 2, { 0 } }, { 3, { 0 } }, { 4, { 0 } } }, *i, *next;
	struct list head = LIST_INIT(head);

	(void)state;
	for (int n = 0; n < 4; n++)
		list_push_back(&head, &items[n].link);
	list_for_each_entry_safe(i, next, &head, link) {
		if (i->value % 2)
			list_remove(&i->link);
	}
	assert_int_equal(sum(&head), 24);
}

static void splice_moves_everything(void **state)
{
	struct item items[4] = { { 1, { 0 } }, { 2, { 0 } }, { 3, { 0 } }, { 4, { 0 } } };
	struct list a = LIST_INIT(a), b = LIST_INIT(b);

	(void)state;
	list_splice(&a, &b);
	assert_true(list_empty(&a));
	for (int n = 0; n < 4; n++)
		list_push_back(n < 2 ? &a : &b, &items[n].link);
	list_splice(&a, &b);
	assert_int_equal(sum(&a), 1234);
	assert_true(list_empty(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_pushes),
		cmocka_unit_test(removal_while_walking),
		cmocka_unit_test(splice_moves_everything),
	};

	return RUN_TESTS(tests);
}
