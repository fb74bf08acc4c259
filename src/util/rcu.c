/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "util/rcu.h"

#include <limits.h>
#include <pthread.h>

#include "util/futex.h"
#include "util/lock.h"
#include "util/log.h"

static _Thread_local bool registered;
#ifdef COHORT_TSAN
char rcu_tsan_readers;
#endif

void rcu_register(void)
{
	if (registered)
		return;
	urcu_qsbr_register_thread();
	registered = true;
}

void rcu_unregister(void)
{
	if (!registered)
		return;
	tsan_release(&rcu_tsan_readers);
	urcu_qsbr_unregister_thread();
	registered = false;
}

bool rcu_is_registered(void)
{
	return registered;
}

/*
 * Callbacks. liburcu's own worker rests 10 ms between batches, which is long for who waits for code memory: ours starts a grace period as soon
 * as there is something to wait for. One worker, so callbacks run in the order they came.
 */
static struct rcu_head *pending; /* [atomic] stack, newest first, linked through head->next.next */
static uint32_t wake_word;       /* [atomic] futex word: 1 = something may be pending */
static uint32_t nr_done;         /* [atomic] futex word: callbacks that have run */
static uint32_t nr_submitted;    /* [atomic] */
static pthread_once_t worker_once = PTHREAD_ONCE_INIT;

static struct rcu_head *next_of(struct rcu_head *head)
{
	return (struct rcu_head *)(void *)head->next.next;
}

static void set_next(struct rcu_head *head, struct rcu_head *next)
{
	head->next.next = (struct cds_wfcq_node *)(void *)next;
}

static struct rcu_head *reversed(struct rcu_head *list)
{
	struct rcu_head *out = NULL;

	while (list) {
		struct rcu_head *next = next_of(list);

		set_next(list, out);
		out = list;
		list = next;
	}
	return out;
}

static void run_callbacks(struct rcu_head *list)
{
	while (list) {
		struct rcu_head *next = next_of(list);

		list->func(list);
		__atomic_add_fetch(&nr_done, 1, __ATOMIC_RELEASE);
		list = next;
	}
	futex_wake(&nr_done, INT_MAX);
}

static void *worker(void *arg)
{
	for (;;) {
		struct rcu_head *list;

		while (!__atomic_exchange_n(&wake_word, 0, __ATOMIC_SEQ_CST))
			futex_wait(&wake_word, 0, NULL);
		list = __atomic_exchange_n(&pending, NULL, __ATOMIC_ACQUIRE);
		if (!list)
			continue;
		urcu_qsbr_synchronize_rcu(); /* this thread is no reader */
		tsan_acquire(&rcu_tsan_readers);
		run_callbacks(reversed(list));
	}
	return arg;
}

static void start_worker(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, worker, NULL))
		emu_bug("cannot start the RCU worker thread");
	pthread_setname_np(thread, "rcu");
	pthread_detach(thread);
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	struct rcu_head *old = __atomic_load_n(&pending, __ATOMIC_RELAXED);

	pthread_once(&worker_once, start_worker);
	head->func = fn;
	__atomic_add_fetch(&nr_submitted, 1, __ATOMIC_SEQ_CST);
	do
		set_next(head, old);
	while (!__atomic_compare_exchange_n(&pending, &old, head, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	if (!__atomic_exchange_n(&wake_word, 1, __ATOMIC_SEQ_CST))
		futex_wake(&wake_word, 1);
}

void rcu_synchronize(void)
{
	assert_no_locks("waiting for a grace period");
	urcu_qsbr_synchronize_rcu();
	tsan_acquire(&rcu_tsan_readers);
}

#define NUDGE_NS 1000000

static struct timespec after_ns(long ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ns;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

void rcu_drain_nudging(void (*nudge)(void))
{
	uint32_t target = __atomic_load_n(&nr_submitted, __ATOMIC_SEQ_CST), done;
	bool online = registered && rcu_is_online();

	assert_no_locks("waiting for RCU callbacks");
	if (online)
		rcu_offline();
	while ((int32_t)(target - (done = __atomic_load_n(&nr_done, __ATOMIC_ACQUIRE))) > 0) {
		struct timespec deadline = after_ns(NUDGE_NS);

		if (futex_wait(&nr_done, done, nudge ? &deadline : NULL) && errno == ETIMEDOUT && nudge)
			nudge();
	}
	if (online)
		rcu_online();
}

void rcu_drain(void)
{
	rcu_drain_nudging(NULL);
}

void rcu_check_reader(const char *where)
{
	if (!registered || !rcu_is_online())
		emu_bug("%s: the caller is not an RCU reader", where);
}
