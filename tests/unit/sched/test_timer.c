/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>

#include "sched/clock.h"
#include "sched/timer.h"
#include "sched/timer_queue.h"
#include "util/types.h"

#define NR 200
#define MS 1000000

struct probe {
	struct timer timer;
	int fired;
	vclock_ns_t at;
};

static struct probe *order[NR * 2];
static int nr_fired;

static void fire(void *opaque)
{
	struct probe *p = opaque;

	p->fired++;
	p->at = clock_now();
	order[nr_fired++ % (NR * 2)] = p;
}

/* Runs the queue until all is done that is due by `until`, also when the host lets us look but once. */
static void run_until(vclock_ns_t until)
{
	struct pollfd pfd = { .fd = timer_queue_fd(), .events = POLLIN };

	while (clock_now() < until) {
		if (poll(&pfd, 1, 1) > 0)
			timer_queue_run();
	}
	timer_queue_run();
}

static void timers_fire_in_order_and_not_early(void **state)
{
	static struct probe probes[NR];
	vclock_ns_t t0 = clock_now();

	(void)state;
	nr_fired = 0;
	for (int i = 0; i < NR; i++) {
		timer_init(&probes[i].timer, fire, &probes[i]);
		timer_arm(&probes[i].timer, t0 + 20 * MS + (i * 7919) % NR * MS / 10);
	}
	for (int i = 0; i < NR; i += 5)
		timer_disarm(&probes[i].timer);
	for (int i = 1; i < NR; i += 5)
		timer_arm(&probes[i].timer, t0 + 45 * MS + i); /* re-armed later */
	run_until(t0 + 60 * MS);
	assert_int_equal(nr_fired, NR - NR / 5);
	for (int i = 0; i < NR; i++)
		assert_int_equal(probes[i].fired, i % 5 != 0);
	for (int i = 1; i < nr_fired; i++) {
		assert_true(order[i]->timer.deadline >= order[i - 1]->timer.deadline);
		assert_true(order[i]->at >= order[i]->timer.deadline);
	}
}

static void disarming_twice_is_harmless(void **state)
{
	struct probe p = { 0 };

	(void)state;
	timer_init(&p.timer, fire, &p);
	timer_disarm(&p.timer);
	timer_arm(&p.timer, clock_now() + MS);
	timer_disarm(&p.timer);
	timer_disarm(&p.timer);
	run_until(clock_now() + 5 * MS);
	assert_int_equal(p.fired, 0);
}

static void rearm_self(void *opaque)
{
	struct probe *p = opaque;

	if (++p->fired < 5)
		timer_arm(&p->timer, p->timer.deadline + MS);
}

static void callback_may_rearm(void **state)
{
	struct probe p = { 0 };
	vclock_ns_t t0 = clock_now();

	(void)state;
	timer_init(&p.timer, rearm_self, &p);
	timer_arm(&p.timer, t0 - 5); /* in the past: at once */
	run_until(t0 + 20 * MS);
	assert_int_equal(p.fired, 5);
}

static int in_callback, callback_done; /* [atomic] */

static void slow(void *opaque)
{
	(void)opaque;
	__atomic_store_n(&in_callback, 1, __ATOMIC_SEQ_CST);
	usleep(20000);
	__atomic_store_n(&callback_done, 1, __ATOMIC_SEQ_CST);
}

static void *loop(void *opaque)
{
	(void)opaque;
	run_until(clock_now() + 40 * MS);
	return NULL;
}

static void fini_waits_for_a_running_callback(void **state)
{
	struct timer t;
	pthread_t thread;

	(void)state;
	timer_init(&t, slow, NULL);
	timer_arm(&t, clock_now());
	assert_int_equal(pthread_create(&thread, NULL, loop, NULL), 0);
	while (!__atomic_load_n(&in_callback, __ATOMIC_SEQ_CST))
		usleep(100);
	timer_fini(&t);
	assert_true(__atomic_load_n(&callback_done, __ATOMIC_SEQ_CST));
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_not_early),
		cmocka_unit_test(disarming_twice_is_harmless),
		cmocka_unit_test(callback_may_rearm),
		cmocka_unit_test(fini_waits_for_a_running_callback),
	};

	clock_init();
	return RUN_TESTS(tests);
}
