/* SPDX-License-Identifier: MIT */
/*
 * Locks. Every lock has a rank (lock_ranks.def) and is taken in rank order, so no two threads can wait for each other.
 *
 * Two kinds, one algorithm (spin a little, then sleep on a futex): struct ranked_lock carries its rank; struct
 * small_lock is a bare 4-byte word, for page descriptors and blocks, and its rank is named at each acquisition.
 *
 * Threads: any. Debug builds (--enable-debug) keep a list of the locks each thread holds and stop at once on an
 * acquisition out of order, a release of a lock not held, and a wait (park, grace period) with a lock held.
 * Contended acquisitions are counted per rank in the thread's statistics.
 */
#ifndef COHORT_UTIL_LOCK_H
#define COHORT_UTIL_LOCK_H

#include "util/stats.h"
#include "util/types.h"

enum lock_rank {
#define LOCK_RANK(NAME, name, several) LOCK_RANK_##NAME,
#include "util/lock_ranks.def"
#undef LOCK_RANK
	LOCK_RANK_COUNT
};

/* What Clang's -Wthread-safety wants to know. */
#if defined(__clang__)
#define THREAD_SAFETY(x) __attribute__((x, no_thread_safety_analysis))
#define LOCK_CAPABILITY __attribute__((capability("lock")))
#else
#define THREAD_SAFETY(x)
#define LOCK_CAPABILITY
#endif
#define ACQUIRES(l) THREAD_SAFETY(acquire_capability(l))
#define TRIES(l) THREAD_SAFETY(try_acquire_capability(true, l)) must_check
#define RELEASES(l) THREAD_SAFETY(release_capability(l))

struct LOCK_CAPABILITY small_lock {
	uint32_t word; /* [atomic] 0 free, 1 held, 2 held and somebody may sleep */
};

struct LOCK_CAPABILITY ranked_lock {
	struct small_lock lock;
	uint32_t rank; /* [const] enum lock_rank */
};

#define SMALL_LOCK_INIT { 0 }
#define RANKED_LOCK_INIT(NAME) { SMALL_LOCK_INIT, LOCK_RANK_##NAME }

static inline void lock_init(struct ranked_lock *l, enum lock_rank rank);
static inline void lock_acquire(struct ranked_lock *l) ACQUIRES(l);
static inline bool lock_try(struct ranked_lock *l) TRIES(l);
static inline void lock_release(struct ranked_lock *l) RELEASES(l);

static inline void small_lock_acquire(struct small_lock *l, enum lock_rank rank) ACQUIRES(l);
static inline bool small_lock_try(struct small_lock *l, enum lock_rank rank) TRIES(l);
static inline void small_lock_release(struct small_lock *l) RELEASES(l);

const char *lock_rank_name(enum lock_rank rank);

/* The rule checks; l is the address of the small lock. `ordered` is false for a successful try. */
void lock_check_acquire(const struct small_lock *l, enum lock_rank rank, bool ordered);
void lock_check_release(const struct small_lock *l);
bool lock_check_held(const struct small_lock *l);
void lock_check_none_held(const char *doing);

void small_lock_wait(struct small_lock *l, enum lock_rank rank); /* the contended path of acquire */
void small_lock_wake(struct small_lock *l);

#ifdef COHORT_DEBUG
#define LOCK_CHECKS 1
#else
#define LOCK_CHECKS 0
#endif

static inline void small_lock_acquire(struct small_lock *l, enum lock_rank rank)
{
	uint32_t expected = 0;

	if (LOCK_CHECKS)
		lock_check_acquire(l, rank, true);
	stat_inc(STAT_locks_taken);
	if (!__atomic_compare_exchange_n(&l->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		small_lock_wait(l, rank);
}

static inline bool small_lock_try(struct small_lock *l, enum lock_rank rank)
{
	uint32_t expected = 0;

	if (!__atomic_compare_exchange_n(&l->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	stat_inc(STAT_locks_taken);
	if (LOCK_CHECKS)
		lock_check_acquire(l, rank, false);
	return true;
}

static inline void small_lock_release(struct small_lock *l)
{
	if (LOCK_CHECKS)
		lock_check_release(l);
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		small_lock_wake(l);
}

static inline void lock_init(struct ranked_lock *l, enum lock_rank rank)
{
	l->lock.word = 0;
	l->rank = rank;
}

static inline void lock_acquire(struct ranked_lock *l)
{
	small_lock_acquire(&l->lock, (enum lock_rank)l->rank);
}

static inline bool lock_try(struct ranked_lock *l)
{
	return small_lock_try(&l->lock, (enum lock_rank)l->rank);
}

static inline void lock_release(struct ranked_lock *l)
{
	small_lock_release(&l->lock);
}

/* The calling thread holds the lock (checked in debug builds). */
#define assert_small_held(l) ((void)(LOCK_CHECKS && (lock_assert_held(l), 0)))
#define assert_held(l) assert_small_held(&(l)->lock)
/* The calling thread holds no lock at all: it is about to wait. */
#define assert_no_locks(doing) ((void)(LOCK_CHECKS && (lock_check_none_held(doing), 0)))

void lock_assert_held(const struct small_lock *l);

#endif
