/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "util/rcu.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "util/futex.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/stats.h"

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

/*
 * A reader may not be quiescent again by itself for as long as it likes: a guest that spins with interrupts off runs in chained code. The watcher
 * looks once a period whether the worker still waits for the grace period it waited for a period ago, and then asks the readers to pass a quiescent
 * state. While no grace periods come it sleeps; so a grace period costs two additions, and a wake-up if it is the first one for long.
 */
#define WATCH_NS 1000000
#define IDLE_PERIODS 4

static uint32_t waits;       /* [atomic] futex word: odd while the worker waits for a grace period */
static uint32_t watcher_off; /* [atomic] 1: the watcher sleeps until `waits` moves */
static struct ranked_lock nudge_lock = RANKED_LOCK_INIT(QUEUE);
static void (*nudge)(void);  /* [lock nudge_lock] */

void rcu_set_nudge(void (*fn)(void))
{
	lock_acquire(&nudge_lock);
	nudge = fn;
	lock_release(&nudge_lock);
}

/* Still in the grace period of that `seen`: who sets the nudge when there is none is not called for one of before. */
static void nudge_readers(uint32_t seen)
{
	lock_acquire(&nudge_lock);
	if (nudge && __atomic_load_n(&waits, __ATOMIC_SEQ_CST) == seen) {
		stat_inc(STAT_rcu_nudges);
		nudge();
	}
	lock_release(&nudge_lock);
}

static void watcher_rest(uint32_t seen)
{
	__atomic_store_n(&watcher_off, 1, __ATOMIC_SEQ_CST); /* before the look at `waits`; pairs with grace_period() */
	while (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) == seen)
		futex_wait(&waits, seen, NULL);
	__atomic_store_n(&watcher_off, 0, __ATOMIC_SEQ_CST);
}

static void *watcher(void *arg)
{
	const struct timespec period = { 0, WATCH_NS };
	unsigned idle = 0;

	for (;;) {
		uint32_t seen = __atomic_load_n(&waits, __ATOMIC_SEQ_CST);

		if (idle >= IDLE_PERIODS) {
			watcher_rest(seen);
			idle = 0;
			continue;
		}
		nanosleep(&period, NULL);
		if (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) != seen)
			idle = 0;
		else if (seen & 1)
			nudge_readers(seen);
		else
			idle++;
	}
	return arg;
}

static void grace_period(void)
{
	__atomic_add_fetch(&waits, 1, __ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&watcher_off, __ATOMIC_SEQ_CST)))
		futex_wake(&waits, 1);
	urcu_qsbr_synchronize_rcu(); /* this thread is no reader */
	__atomic_add_fetch(&waits, 1, __ATOMIC_SEQ_CST);
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
		grace_period();
		tsan_acquire(&rcu_tsan_readers);
		run_callbacks(reversed(list));
	}
	return arg;
}

/* Signals are for threads that know what to do with them: these may start before main has blocked those it wants to read. */
static void start_thread(void *(*run)(void *), const char *name)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, run, NULL))
		emu_bug("cannot start the thread \"%s\"", name);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_setname_np(thread, name);
	pthread_detach(thread);
}

static void start_worker(void)
{
	start_thread(worker, "rcu");
	start_thread(watcher, "rcu watcher");
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

void rcu_drain(void)
{
	uint32_t target = __atomic_load_n(&nr_submitted, __ATOMIC_SEQ_CST), done;
	bool online = registered && rcu_is_online();

	assert_no_locks("waiting for RCU callbacks");
	if (online)
		rcu_offline();
	while ((int32_t)(target - (done = __atomic_load_n(&nr_done, __ATOMIC_ACQUIRE))) > 0)
		futex_wait(&nr_done, done, NULL);
	if (online)
		rcu_online();
}

void rcu_check_reader(const char *where)
{
	if (!registered || !rcu_is_online())
		emu_bug("%s: the caller is not an RCU reader", where);
}
