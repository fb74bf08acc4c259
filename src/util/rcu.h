/* SPDX-License-Identifier: MIT */
/*
 * RCU: the only file that names a liburcu flavour. It is the quiescent-state one: a registered thread is a reader all
 * the time, except in the moment it calls rcu_quiescent() and while it is offline.
 *
 * Rules:   a thread goes offline before it blocks for long (parks, waits for input, joins) and takes no pointer across
 *          rcu_quiescent() or an offline stretch; nobody waits for a grace period while it holds a lock, because a
 *          reader that waits for that lock could never become quiescent.
 * Threads: any that called rcu_register(). vCPUs report a quiescent state at each return to the run loop.
 *
 * From liburcu's headers come rcu_dereference(), rcu_assign_pointer(), rcu_xchg_pointer(), struct rcu_head, and the
 * flavour that cds_lfht_new() (urcu/rculfhash.h, to be included after this file) takes by itself.
 */
#ifndef COHORT_UTIL_RCU_H
#define COHORT_UTIL_RCU_H

#include "util/tsan.h"

#ifndef COHORT_TSAN
#define _LGPL_SOURCE 1 /* inline read side */
#endif
#include <urcu/urcu-qsbr.h>

#include "util/types.h"

#ifdef COHORT_TSAN
/* liburcu's own are plain accesses between barriers that ThreadSanitizer does not know. */
#undef rcu_dereference
#undef rcu_assign_pointer
#undef rcu_set_pointer
#define rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define rcu_set_pointer(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
extern char rcu_tsan_readers; /* stands for: all read sections that ended */
#endif

#define RCU_FLAVOR (&urcu_qsbr_flavor) /* for cds_lfht_new_flavor() */

/* Each thread that reads RCU data, uses rcu_call(), or a cds_lfht. Afterwards the thread is online. */
void rcu_register(void);
void rcu_unregister(void);
bool rcu_is_registered(void);

/* The thread holds no RCU pointer at this point. Cheap (a load and a compare; a store when a grace period waits). */
static inline void rcu_quiescent(void)
{
	tsan_release(&rcu_tsan_readers);
	urcu_qsbr_quiescent_state();
}

/* Around anything that may block. While offline the thread must not touch RCU data. */
static inline void rcu_offline(void)
{
	tsan_release(&rcu_tsan_readers);
	urcu_qsbr_thread_offline();
}

static inline void rcu_online(void)
{
	urcu_qsbr_thread_online();
}

static inline bool rcu_is_online(void)
{
	return urcu_qsbr_read_ongoing() != 0;
}

/* Runs fn(head) on the worker thread (rcu.c) after a grace period, in order. Any thread, any lock. fn is no RCU reader. */
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* Waits for a grace period; the caller is quiescent meanwhile. No lock held. */
void rcu_synchronize(void);
/* Waits until all callbacks given to rcu_call() so far have run. No lock held. */
void rcu_drain(void);
/*
 * What asks readers that are not quiescent by themselves to be so soon. It is called, on a thread of rcu.c's own and with no more than a QUEUE
 * lock held, about every millisecond while the callbacks' grace period is older than that: asking once, before it, is not enough, because who
 * answered before it began is not asked again. After rcu_set_nudge(NULL) it is not running any more.
 */
void rcu_set_nudge(void (*fn)(void));

#ifdef COHORT_DEBUG
#define assert_rcu_reader() rcu_check_reader(__func__)
#else
#define assert_rcu_reader() ((void)0)
#endif
void rcu_check_reader(const char *where);

#endif
