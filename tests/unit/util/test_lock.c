/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <pthread.h>

#include "util/lock.h"
#include "util/stats.h"

static struct ranked_lock device = RANKED_LOCK_INIT(DEVICE), intc = RANKED_LOCK_INIT(INTC);
static struct ranked_lock device2 = RANKED_LOCK_INIT(DEVICE);
static struct small_lock pages[3];

static void descending_ranks_are_fine(void **state)
{
	(void)state;
	lock_acquire(&device);
	lock_acquire(&intc);
	small_lock_acquire(&pages[0], LOCK_RANK_PAGE);
	small_lock_acquire(&pages[2], LOCK_RANK_PAGE);
	assert_held(&device);
	assert_small_held(&pages[2]);
	lock_release(&device); /* releases need no order */
	small_lock_release(&pages[0]);
	small_lock_release(&pages[2]);
	lock_release(&intc);
	assert_no_locks("testing");
}

static void inner_before_outer(void *arg)
{
	(void)arg;
	lock_acquire(&intc);
	lock_acquire(&device);
}

static void two_of_a_single_rank(void *arg)
{
	(void)arg;
	lock_acquire(&device);
	lock_acquire(&device2);
}

static void pages_descending(void *arg)
{
	(void)arg;
	small_lock_acquire(&pages[1], LOCK_RANK_PAGE);
	small_lock_acquire(&pages[0], LOCK_RANK_PAGE);
}

static void same_lock_twice(void *arg)
{
	(void)arg;
	lock_acquire(&device);
	lock_acquire(&device);
}

static void release_without_holding(void *arg)
{
	(void)arg;
	lock_release(&device);
}

static void wait_with_a_lock(void *arg)
{
	(void)arg;
	lock_acquire(&device);
	assert_no_locks("parking");
}

static void claim_to_hold(void *arg)
{
	(void)arg;
	assert_held(&device);
}

static void violations_stop_the_program(void **state)
{
	(void)state;
	assert_true(test_aborts(inner_before_outer, NULL));
	assert_true(test_aborts(two_of_a_single_rank, NULL));
	assert_true(test_aborts(pages_descending, NULL));
	assert_true(test_aborts(same_lock_twice, NULL));
	assert_true(test_aborts(release_without_holding, NULL));
	assert_true(test_aborts(wait_with_a_lock, NULL));
	assert_true(test_aborts(claim_to_hold, NULL));
}

static void try_may_break_the_order(void **state)
{
	(void)state;
	small_lock_acquire(&pages[1], LOCK_RANK_PAGE);
	assert_true(small_lock_try(&pages[0], LOCK_RANK_PAGE));
	assert_false(small_lock_try(&pages[1], LOCK_RANK_PAGE));
	small_lock_release(&pages[0]);
	small_lock_release(&pages[1]);
}

#define THREADS 4
#define ROUNDS 50000

static struct small_lock counter_lock;
static long counter; /* [lock counter_lock] */

static void *count_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		small_lock_acquire(&counter_lock, LOCK_RANK_LINK);
		counter++;
		small_lock_release(&counter_lock);
	}
	return NULL;
}

static void contended_lock_excludes(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, (long)THREADS * ROUNDS);
	assert_int_equal(counter_lock.word, 0);
}

/* Shared by waits_are_counted_by_rank and its thread. */
struct hold {
	uint64_t before; /* waits counted before the thread started */
	int held;        /* [atomic] */
};

/* Holds the lock until somebody is seen to wait for it; a minute at most, so that a counter that stands still fails the test. */
static void *hold_until_waited(void *arg)
{
	struct hold *h = arg;

	lock_acquire(&device);
	__atomic_store_n(&h->held, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 600000 && stat_total(STAT_lock_wait_device) == h->before; i++)
		usleep(100);
	lock_release(&device);
	return NULL;
}

static void waits_are_counted_by_rank(void **state)
{
	struct hold h = { .before = stat_total(STAT_lock_wait_device) };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, hold_until_waited, &h), 0);
	while (!__atomic_load_n(&h.held, __ATOMIC_ACQUIRE))
		usleep(100);
	lock_acquire(&device);
	lock_release(&device);
	pthread_join(thread, NULL);
	assert_int_equal(stat_total(STAT_lock_wait_device), h.before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descending_ranks_are_fine),
		cmocka_unit_test(violations_stop_the_program),
		cmocka_unit_test(try_may_break_the_order),
		cmocka_unit_test(contended_lock_excludes),
		cmocka_unit_test(waits_are_counted_by_rank),
	};

	return RUN_TESTS(tests);
}
