/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <pthread.h>

#include "util/rcu.h"
#include "util/types.h"

struct node {
	struct rcu_head rcu;
	int value; /* 1 while alive; the reader must never see another value */
};

static struct node *shared; /* [rcu] */
static int stop, freed;     /* [atomic] */

static void node_free(struct rcu_head *head)
{
	struct node *n = container_of(head, struct node, rcu);

	n->value = -1;
	free(n);
	__atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
}

static struct node *node_new(void)
{
	struct node *n = calloc(1, sizeof(*n));

	n->value = 1;
	return n;
}

static void *reader(void *arg)
{
	long bad = 0;

	(void)arg;
	rcu_register();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		bad += rcu_dereference(shared)->value != 1;
		rcu_quiescent();
	}
	rcu_unregister();
	return (void *)bad;
}

static void replaced_nodes_outlive_their_readers(void **state)
{
	pthread_t threads[2];
	void *bad;

	(void)state;
	shared = node_new();
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		struct node *old = shared;

		rcu_assign_pointer(shared, node_new());
		rcu_call(&old->rcu, node_free);
	}
	rcu_synchronize();
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	rcu_offline();
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	rcu_online();
	rcu_drain();
	assert_int_equal(freed, 2000);
	free(shared);
}

static void *blocked_reader(void *arg)
{
	int *fds = arg;
	char c;

	rcu_register();
	rcu_offline();
	if (read(fds[0], &c, 1) != 1)
		abort();
	rcu_online();
	rcu_unregister();
	return NULL;
}

static void offline_thread_does_not_hold_up_a_grace_period(void **state)
{
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, blocked_reader, fds), 0);
	usleep(10000);
	rcu_synchronize();
	assert_int_equal(write(fds[1], "x", 1), 1);
	pthread_join(thread, NULL);
}

static int asked, nudges, ready; /* [atomic] */

static void ask(void)
{
	__atomic_fetch_add(&nudges, 1, __ATOMIC_RELAXED); /* first: what follows lets the test go on */
	__atomic_store_n(&asked, 1, __ATOMIC_SEQ_CST);
}

/* Quiescent once each time it is asked, as a vCPU is that spins in chained code. */
static void *reader_that_waits_to_be_asked(void *arg)
{
	rcu_register();
	__atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (__atomic_exchange_n(&asked, 0, __ATOMIC_SEQ_CST))
			rcu_quiescent();
	rcu_unregister();
	return arg;
}

static bool freed_soon(int target)
{
	for (int ms = 0; ms < 60000; ms++) {
		if (__atomic_load_n(&freed, __ATOMIC_RELAXED) == target)
			return true;
		usleep(1000);
	}
	return false;
}

static void late_grace_period_asks_its_readers(void **state)
{
	bool ok = true;
	pthread_t thread;

	(void)state;
	__atomic_store_n(&stop, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&freed, 0, __ATOMIC_SEQ_CST);
	rcu_set_nudge(ask);
	rcu_offline();
	assert_int_equal(pthread_create(&thread, NULL, reader_that_waits_to_be_asked, NULL), 0);
	while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
		usleep(100);
	for (int i = 1; i <= 20 && ok; i++) {
		rcu_call(&node_new()->rcu, node_free);
		ok = freed_soon(i);
		usleep(i == 10 ? 300000 : 0); /* the watcher rests, and has to be woken */
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	rcu_online();
	rcu_set_nudge(NULL);
	assert_true(ok);
	assert_true(nudges >= 20);
}

static void nobody_is_asked_without_a_grace_period(void **state)
{
	int before = __atomic_load_n(&nudges, __ATOMIC_RELAXED);

	(void)state;
	rcu_drain();
	rcu_set_nudge(ask);
	usleep(20000);
	rcu_set_nudge(NULL);
	assert_int_equal(__atomic_load_n(&nudges, __ATOMIC_RELAXED), before);
}

static void check_while_offline(void *arg)
{
	(void)arg;
	rcu_offline();
	rcu_check_reader("test");
}

static void reader_state_is_known(void **state)
{
	(void)state;
	assert_true(rcu_is_registered() && rcu_is_online());
	rcu_check_reader("test");
	rcu_offline();
	assert_false(rcu_is_online());
	rcu_online();
	assert_true(test_aborts(check_while_offline, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_state_is_known),
		cmocka_unit_test(replaced_nodes_outlive_their_readers),
		cmocka_unit_test(late_grace_period_asks_its_readers),
		cmocka_unit_test(nobody_is_asked_without_a_grace_period),
		cmocka_unit_test(offline_thread_does_not_hold_up_a_grace_period),
	};

	rcu_register();
	return RUN_TESTS(tests);
}
