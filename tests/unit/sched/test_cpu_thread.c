/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "sched/clock.h"
#include "sched/cpu_thread.h"
#include "sched/placement.h"
#include "util/err.h"
#include "util/rcu.h"
#include "util/stats.h"

struct cpu {
	struct cpu_thread *thread;
	void (*body)(struct cpu *);
	struct cpu *peer;
	uint32_t request; /* [atomic] */
	int signals;      /* [atomic] */
	long result;
};

static void run(void *opaque)
{
	struct cpu *c = opaque;

	c->body(c);
}

static void request(struct cpu *c)
{
	__atomic_fetch_or(&c->request, 1, __ATOMIC_SEQ_CST);
	cpu_thread_wake(c->thread);
}

static void timer_signal(void *opaque)
{
	struct cpu *c = opaque;

	__atomic_fetch_add(&c->signals, 1, __ATOMIC_SEQ_CST);
	request(c);
}

static const struct cpu_thread_ops ops = { run, timer_signal };

static void start(struct cpu *c, unsigned index, void (*body)(struct cpu *))
{
	struct err err;

	c->body = body;
	c->thread = cpu_thread_new(index, &ops, c);
	assert_non_null(c->thread);
	assert_int_equal(cpu_thread_start(c->thread, &err), 0);
}

static void finish(struct cpu *c)
{
	cpu_thread_join(c->thread);
	cpu_thread_free(c->thread);
}

static void wait_request(struct cpu *c)
{
	while (!__atomic_exchange_n(&c->request, 0, __ATOMIC_SEQ_CST))
		cpu_thread_park(c->thread, VCLOCK_NEVER);
}

/* Each request must be answered; a lost wake-up hangs here (the harness has a time limit). */
#define PING_ROUNDS 10000

static void pong(struct cpu *c)
{
	for (int i = 0; i < PING_ROUNDS; i++) {
		wait_request(c);
		request(c->peer);
	}
}

static void ping(struct cpu *c)
{
	while (!c->peer->thread)
		usleep(100);
	for (int i = 0; i < PING_ROUNDS; i++) {
		request(c->peer);
		wait_request(c);
		c->result++;
	}
}

static unsigned standing; /* [atomic] CPUs in stand_by() */

/* Awake, but at rest as far as the host is concerned. */
static void stand_by(struct cpu *c)
{
	__atomic_fetch_add(&standing, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&c->request, __ATOMIC_SEQ_CST))
		usleep(1000);
}

/* With `others` more CPUs awake meanwhile. */
static void ping_pong(unsigned others)
{
	struct cpu a = { 0 }, b = { 0 }, *other = calloc(others + 1, sizeof(*other));

	assert_non_null(other);
	a.peer = &b;
	b.peer = &a;
	for (unsigned i = 0; i < others; i++)
		start(&other[i], 2 + i, stand_by);
	while (__atomic_load_n(&standing, __ATOMIC_SEQ_CST) != others) /* before: two that are fast may be done before these have begun */
		usleep(100);
	start(&b, 1, pong);
	start(&a, 0, ping);
	finish(&a);
	finish(&b);
	assert_int_equal(a.result, PING_ROUNDS);
	for (unsigned i = 0; i < others; i++) {
		__atomic_store_n(&other[i].request, 1, __ATOMIC_SEQ_CST);
		finish(&other[i]);
	}
	standing = 0;
	free(other);
}

/* Who wakes a sleeper makes one futex call; who finds it awake, or woken already, none. */
static void no_wake_up_is_lost_while_sleeping(void **state)
{
	uint64_t kicks = stat_total(STAT_kicks_sent), parks = stat_total(STAT_parks), spins = stat_total(STAT_park_spins);

	(void)state;
	ping_pong(placement_host_cpus()); /* more than the host has: no spinning */
	kicks = stat_total(STAT_kicks_sent) - kicks;
	parks = stat_total(STAT_parks) - parks;
	spins = stat_total(STAT_park_spins) - spins;
	assert_true(kicks > 0);
	assert_true(kicks <= parks - spins);
}

static void wake(void *thread)
{
	cpu_thread_wake(thread);
	cpu_thread_wake(thread);
}

static void waking_who_is_awake_makes_no_system_call(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	c.thread = cpu_thread_new(0, &ops, &c); /* not started: as good as awake */
	assert_non_null(c.thread);
	assert_true(test_makes_no_system_call(wake, c.thread));
	cpu_thread_free(c.thread);
}

static void no_wake_up_is_lost_while_spinning(void **state)
{
	(void)state;
	ping_pong(0);
}

static void only_park(struct cpu *c)
{
	vclock_ns_t t0 = clock_now();

	c->result = cpu_thread_park(c->thread, t0 + 5000000);
	while (!c->result && clock_now() < t0 + 5000000)
		c->result = 2; /* too early */
}

static void park_ends_at_its_deadline(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, only_park);
	finish(&c);
	assert_int_equal(c.result, 0);
}

static void park_in_the_past(struct cpu *c)
{
	c->result = cpu_thread_park(c->thread, clock_now() - 1000) + cpu_thread_park(c->thread, INT64_MIN / 2);
}

static void park_with_a_past_deadline_returns(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, park_in_the_past);
	finish(&c);
	assert_int_equal(c.result, 0);
}

static void park_after_token(struct cpu *c)
{
	cpu_thread_wake(c->thread);
	cpu_thread_wake(c->thread);
	c->result = cpu_thread_park(c->thread, VCLOCK_NEVER);
	c->result += 2 * cpu_thread_park(c->thread, clock_now() + 1000000);
}

static void early_wake_ups_count_once(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, park_after_token);
	finish(&c);
	assert_int_equal(c.result, 1);
}

static void timer_while_running(struct cpu *c)
{
	vclock_ns_t due = clock_now() + 3000000, limit = due + 60000000000;

	cpu_thread_timer_set(c->thread, due);
	while (!__atomic_load_n(&c->signals, __ATOMIC_SEQ_CST) && clock_now() < limit)
		;
	c->result = clock_now() >= due;
	cpu_thread_timer_set(c->thread, clock_now() - 5); /* already due */
	while (__atomic_load_n(&c->signals, __ATOMIC_SEQ_CST) < 2 && clock_now() < limit)
		;
	/* A later deadline is kept lazily; an earlier one replaces it. */
	due = clock_now();
	cpu_thread_timer_set(c->thread, due + 10000000000);
	cpu_thread_timer_set(c->thread, VCLOCK_NEVER);
	cpu_thread_timer_set(c->thread, due + 2000000);
	while (__atomic_load_n(&c->signals, __ATOMIC_SEQ_CST) < 3 && clock_now() < limit)
		;
	c->result += 2 * (clock_now() >= due + 2000000);
}

static void timer_signal_interrupts_a_running_thread(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, timer_while_running);
	finish(&c);
	assert_int_equal(c.signals, 3);
	assert_int_equal(c.result, 3);
}

static void timer_while_parked(struct cpu *c)
{
	cpu_thread_timer_set(c->thread, clock_now() + 2000000);
	wait_request(c);
	c->result = c->signals;
}

static void timer_signal_ends_a_park(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, timer_while_parked);
	finish(&c);
	assert_int_equal(c.result, 1);
}

static void parked_thread_is_rcu_offline(void **state)
{
	struct cpu c = { 0 };

	(void)state;
	start(&c, 0, wait_request);
	usleep(5000);
	rcu_synchronize(); /* would hang if the parked thread were a reader */
	request(&c);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(park_ends_at_its_deadline),
		cmocka_unit_test(park_with_a_past_deadline_returns),
		cmocka_unit_test(early_wake_ups_count_once),
		cmocka_unit_test(timer_signal_interrupts_a_running_thread),
		cmocka_unit_test(timer_signal_ends_a_park),
		cmocka_unit_test(parked_thread_is_rcu_offline),
		cmocka_unit_test(no_wake_up_is_lost_while_sleeping),
		cmocka_unit_test(no_wake_up_is_lost_while_spinning),
		cmocka_unit_test(waking_who_is_awake_makes_no_system_call),
	};

	clock_init();
	rcu_register();
	if (stats_init(placement_host_cpus() + 2))
		return 1;
	return RUN_TESTS(tests);
}
