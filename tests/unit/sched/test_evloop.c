/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "sched/clock.h"
#include "sched/evloop.h"
#include "sched/timer.h"
#include "util/rcu.h"

#define THREADS 3
#define CALLS 2000

static void stop_with_7(void *opaque)
{
	(void)opaque;
	evloop_stop(7);
}

static void timer_ends_the_loop(void **state)
{
	struct timer t;

	(void)state;
	timer_init(&t, stop_with_7, NULL);
	timer_arm(&t, clock_now() + 3000000);
	assert_int_equal(evloop_run(), 7);
}

static int nr_calls;

static void one_call(void *opaque)
{
	(void)opaque;
	if (++nr_calls == THREADS * CALLS)
		evloop_stop(1);
}

static void *caller(void *opaque)
{
	(void)opaque;
	for (int i = 0; i < CALLS; i++)
		evloop_call(one_call, NULL);
	return NULL;
}

static void calls_from_other_threads_all_arrive(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, caller, NULL), 0);
	assert_int_equal(evloop_run(), 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(nr_calls, THREADS * CALLS);
}

static char sequence[8];
static unsigned sequence_len;

static void append(void *opaque)
{
	sequence[sequence_len++] = *(char *)opaque;
	if (sequence_len == 3)
		evloop_stop(0);
}

static void calls_keep_their_order(void **state)
{
	(void)state;
	evloop_call(append, "a");
	evloop_call(append, "b");
	evloop_call(append, "c");
	assert_int_equal(evloop_run(), 0);
	assert_string_equal(sequence, "abc");
}

static void readable(void *opaque, int fd, unsigned events)
{
	int *count = opaque;
	char c;

	assert_true(events & EPOLLIN);
	assert_true(rcu_is_online());
	assert_int_equal(read(fd, &c, 1), 1);
	if (++*count == 2) {
		evloop_fd_del(fd);
		evloop_stop(2);
	}
}

static void watched_descriptor_is_reported_until_deleted(void **state)
{
	int fds[2], count = 0;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(evloop_fd_add(fds[0], EPOLLIN, readable, &count), 0);
	assert_int_equal(evloop_fd_add(fds[0], EPOLLIN, readable, &count), -EEXIST);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	assert_int_equal(evloop_run(), 2);
	evloop_call(stop_with_7, NULL);
	assert_int_equal(evloop_run(), 7);
	assert_int_equal(count, 2);
	close(fds[0]);
	close(fds[1]);
}

static void plain_file_is_refused(void **state)
{
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_int_equal(evloop_fd_add(fd, EPOLLIN, readable, NULL), -EPERM);
	evloop_fd_del(fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_ends_the_loop),
		cmocka_unit_test(calls_from_other_threads_all_arrive),
		cmocka_unit_test(calls_keep_their_order),
		cmocka_unit_test(watched_descriptor_is_reported_until_deleted),
		cmocka_unit_test(plain_file_is_refused),
	};

	clock_init();
	if (evloop_init())
		return 1;
	return RUN_TESTS(tests);
}
