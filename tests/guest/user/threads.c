/* SPDX-License-Identifier: MIT */
/*
 * Threads under contention: mutexes, condition variables, barriers, a raw futex lock, locked instructions of every
 * width, and two memory-order litmus tests whose forbidden outcome x86 never shows (Intel SDM volume 3, section 9.2.3:
 * message passing, and store buffering with a fence).
 *
 *   threads [THREADS [ROUNDS]]
 */
#define _GNU_SOURCE
#include "user.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 64

static const char *const me = "threads";
static int nthreads;
static long rounds;

static void run_all(void *(*body)(void *))
{
	pthread_t t[MAX_THREADS];

	for (long i = 0; i < nthreads; i++) {
		if (pthread_create(&t[i], NULL, body, (void *)i))
			fail(me, "pthread_create");
	}
	for (int i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
}

/* --- mutex: a plain counter and a plain hash, both guarded --- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t guarded_count, guarded_sum;

static void *mutex_body(void *arg)
{
	uint64_t rng = (uintptr_t)arg;

	for (long i = 0; i < rounds; i++) {
		uint64_t v = rng_next(&rng);

		pthread_mutex_lock(&mutex);
		guarded_count++;
		guarded_sum += v;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

/* --- raw futex: the three-state lock of Drepper's "Futexes Are Tricky" --- */

static atomic_int futex_word;
static uint64_t futex_count;

static void futex_lock(void)
{
	int c = 0;

	if (atomic_compare_exchange_strong(&futex_word, &c, 1))
		return;
	if (c != 2)
		c = atomic_exchange(&futex_word, 2);
	while (c) {
		syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
		c = atomic_exchange(&futex_word, 2);
	}
}

static void futex_unlock(void)
{
	if (atomic_fetch_sub(&futex_word, 1) != 1) {
		atomic_store(&futex_word, 0);
		syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void *futex_body(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds; i++) {
		futex_lock();
		futex_count++;
		futex_unlock();
	}
	return NULL;
}

/* --- condition variable: a token walks round the ring of threads --- */

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long token;
static uint64_t ring_sum = FNV_BASIS;

static void *ring_body(void *arg)
{
	long id = (long)arg, laps = rounds / 50 + 1;

	for (long i = 0; i < laps; i++) {
		pthread_mutex_lock(&mutex);
		while (token % nthreads != id)
			pthread_cond_wait(&cond, &mutex);
		ring_sum = hash_u64(ring_sum, (uint64_t)token++);
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

/* --- barrier: each phase reads what all threads wrote in the one before --- */

#define PHASES 64
static pthread_barrier_t barrier;
static uint64_t cell[2][MAX_THREADS];

static void *barrier_body(void *arg)
{
	long id = (long)arg;

	for (int phase = 0; phase < PHASES; phase++) {
		const uint64_t *from = cell[phase & 1];
		uint64_t h = FNV_BASIS;

		for (int i = 0; i < nthreads; i++)
			h = hash_u64(h, from[i]);
		cell[~phase & 1][id] = hash_u64(h, (uint64_t)id);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* --- locked instructions, all widths, on neighbouring and on line-crossing words --- */

static struct {
	_Alignas(64) uint8_t b;
	uint16_t w;
	uint32_t d;
	uint64_t q, cas, bits[4];
	_Alignas(16) unsigned __int128 pair;
} shared;
static _Alignas(64) unsigned char line_pair[128];

static void cmpxchg16b_add(unsigned __int128 *p)
{
	uint64_t *half = (uint64_t *)p;
	uint64_t lo = half[0], hi = half[1];
	unsigned char ok;

	do {
		uint64_t new_lo = lo + 1, new_hi = hi + 3;

		__asm__ volatile("lock cmpxchg16b %1\n\tsetz %0"
				 : "=q"(ok), "+m"(*p), "+a"(lo), "+d"(hi)
				 : "b"(new_lo), "c"(new_hi)
				 : "memory", "cc");
	} while (!ok);
}

static void *atomic_body(void *arg)
{
	uint64_t *split = (uint64_t *)(line_pair + 60); /* crosses a cache line: a split lock */
	uint64_t rng = (uintptr_t)arg;

	for (long i = 0; i < rounds; i++) {
		uint64_t old = __atomic_load_n(&shared.cas, __ATOMIC_RELAXED);

		__atomic_fetch_add(&shared.b, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&shared.w, 3, __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&shared.d, 5, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&shared.q, rng_next(&rng), __ATOMIC_SEQ_CST);
		while (!__atomic_compare_exchange_n(&shared.cas, &old, old + 7, 0, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED))
			;
		__atomic_fetch_xor(&shared.bits[i & 3], 1ull << (rng & 63), __ATOMIC_SEQ_CST);
		cmpxchg16b_add(&shared.pair);
		if (i % 64 == 0)
			__asm__ volatile("lock addq $1, %0" : "+m"(*split) : : "memory", "cc");
	}
	return NULL;
}

/* --- litmus tests: two threads, many rounds, count outcomes that x86 forbids --- */

static _Alignas(64) volatile int lx;
static _Alignas(64) volatile int ly;
static int seen[2];
static pthread_barrier_t pair_barrier;
static uint64_t forbidden_mp, forbidden_sb;

/* Message passing: who sees the flag of round n must see the data of round n. */
static void *mp_writer(void *arg)
{
	for (int i = 1; i <= rounds; i++) {
		lx = i;
		__asm__ volatile("" ::: "memory");
		ly = i;
	}
	return arg;
}

static void *mp_reader(void *arg)
{
	int flag, data;

	do {
		flag = ly;
		__asm__ volatile("" ::: "memory");
		data = lx;
		if (data < flag)
			forbidden_mp++;
	} while (flag < rounds);
	return arg;
}

/* Store buffering with mfence: at least one side sees the other's store. */
static void *sb_body(void *arg)
{
	volatile int *mine = arg ? &ly : &lx, *other = arg ? &lx : &ly;
	int id = arg != NULL;

	for (long i = 0; i < rounds / 20 + 1; i++) {
		*mine = 0;
		pthread_barrier_wait(&pair_barrier);
		*mine = 1;
		__asm__ volatile("mfence" ::: "memory");
		seen[id] = *other;
		pthread_barrier_wait(&pair_barrier);
		if (id == 0 && !seen[0] && !seen[1])
			forbidden_sb++;
		pthread_barrier_wait(&pair_barrier);
	}
	return NULL;
}

static void run_pair(void *(*a)(void *), void *(*b)(void *))
{
	pthread_t t[2];

	if (pthread_create(&t[0], NULL, a, NULL) || pthread_create(&t[1], NULL, b, (void *)1))
		fail(me, "pthread_create");
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
}

static uint64_t atomic_sum(void)
{
	uint64_t h = hash_u64(FNV_BASIS, shared.b);

	h = hash_u64(h, shared.w);
	h = hash_u64(h, shared.d);
	h = hash_u64(h, shared.q);
	h = hash_u64(h, shared.cas);
	h = hash_bytes(h, shared.bits, sizeof(shared.bits));
	h = hash_bytes(h, &shared.pair, sizeof(shared.pair));
	return hash_bytes(h, line_pair, sizeof(line_pair));
}

int main(int argc, char **argv)
{
	nthreads = (int)arg_long(argc, argv, 1, 8);
	rounds = arg_long(argc, argv, 2, 20000);
	if (nthreads < 1 || nthreads > MAX_THREADS)
		fail(me, "bad number of threads");

	run_all(mutex_body);
	report(me, "mutex", hash_u64(hash_u64(FNV_BASIS, guarded_count), guarded_sum));
	run_all(futex_body);
	report(me, "futex", futex_count);
	run_all(ring_body);
	report(me, "cond", ring_sum);
	pthread_barrier_init(&barrier, NULL, (unsigned)nthreads);
	run_all(barrier_body);
	report(me, "barrier", hash_bytes(FNV_BASIS, cell[PHASES & 1], sizeof(cell[0][0]) * (size_t)nthreads));
	run_all(atomic_body);
	report(me, "atomic", atomic_sum());
	run_pair(mp_writer, mp_reader);
	report(me, "litmus-mp", forbidden_mp);
	pthread_barrier_init(&pair_barrier, NULL, 2);
	run_pair(sb_body, sb_body);
	report(me, "litmus-sb", forbidden_sb);
	return 0;
}
