/* SPDX-License-Identifier: MIT */
/*
 * The futex mutex is the third one of Drepper, "Futexes Are Tricky": state 2 means that a release must wake. A sleeper
 * that gets the lock leaves it in state 2, because others may still sleep; the cost is one needless wake-up.
 *
 * The rule checks are in every build (so that the unit tests can call them) but reached from the inline functions in
 * debug builds only.
 */
#include "util/lock.h"

#include <time.h>

#include "util/futex.h"
#include "util/log.h"
#include "util/stats.h"

#define SPIN_ROUNDS 64 /* x pause, about 2 us: as long as our critical sections last */
#define HELD_MAX 32

static const struct {
	const char *name;
	bool several;
} ranks[LOCK_RANK_COUNT] = {
#define LOCK_RANK(NAME, name, several) { #name, several },
#include "util/lock_ranks.def"
#undef LOCK_RANK
};

struct held {
	const struct small_lock *lock;
	enum lock_rank rank;
};

static _Thread_local struct held held[HELD_MAX];
static _Thread_local unsigned nr_held;

const char *lock_rank_name(enum lock_rank rank)
{
	return rank < LOCK_RANK_COUNT ? ranks[rank].name : "?";
}

static bool spin(struct small_lock *l)
{
	for (int i = 0; i < SPIN_ROUNDS; i++) {
		uint32_t word = __atomic_load_n(&l->word, __ATOMIC_RELAXED);

		if (word == 2)
			return false; /* others sleep already: get in line */
		if (word == 0 &&
		    __atomic_compare_exchange_n(&l->word, &word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		cpu_relax();
	}
	return false;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void small_lock_wait(struct small_lock *l, enum lock_rank rank)
{
	uint64_t start = now_ns();

	stat_inc((enum stat_id)(STAT_lock_wait_machine + (unsigned)rank));
	if (!spin(l))
		while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
			futex_wait(&l->word, 2, NULL);
	stat_add(STAT_lock_wait_ns, now_ns() - start);
}

void small_lock_wake(struct small_lock *l)
{
	futex_wake(&l->word, 1);
}

static bool out_of_order(const struct held *h, const struct small_lock *l, enum lock_rank rank)
{
	if (h->rank == rank)
		return !ranks[rank].several || h->lock >= l;
	return h->rank > rank;
}

void lock_check_acquire(const struct small_lock *l, enum lock_rank rank, bool ordered)
{
	if (rank >= LOCK_RANK_COUNT)
		emu_bug("lock %p has no rank", (const void *)l);
	if (nr_held == HELD_MAX)
		emu_bug("more than %d locks held", HELD_MAX);
	for (unsigned i = 0; i < nr_held; i++) {
		if (held[i].lock == l)
			emu_bug("lock %p of rank %s taken twice", (const void *)l, ranks[rank].name);
		if (ordered && out_of_order(&held[i], l, rank))
			emu_bug("lock %p of rank %s taken while %p of rank %s is held", (const void *)l,
				ranks[rank].name, (const void *)held[i].lock, ranks[held[i].rank].name);
	}
	held[nr_held++] = (struct held){ l, rank };
}

void lock_check_release(const struct small_lock *l)
{
	for (unsigned i = nr_held; i-- > 0;) {
		if (held[i].lock == l) {
			held[i] = held[--nr_held];
			return;
		}
	}
	emu_bug("lock %p released by a thread that does not hold it", (const void *)l);
}

bool lock_check_held(const struct small_lock *l)
{
	for (unsigned i = 0; i < nr_held; i++) {
		if (held[i].lock == l)
			return true;
	}
	return false;
}

void lock_assert_held(const struct small_lock *l)
{
	if (!lock_check_held(l))
		emu_bug("lock %p should be held here", (const void *)l);
}

void lock_check_none_held(const char *doing)
{
	if (nr_held)
		emu_bug("%s while a lock of rank %s is held", doing, ranks[held[nr_held - 1].rank].name);
}
