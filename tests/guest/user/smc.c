/* SPDX-License-Identifier: MIT */
/*
 * Concurrent code invalidation: N writers rewrite functions that M runners execute, and no runner may ever execute
 * code older than what it knows to be published.
 *
 * Cross-modifying code, as Intel SDM volume 3, section 9.1.3 allows it: the writer stores the new bytes, then
 * publishes their version; a runner reads the published version, executes a serialising instruction, then the
 * function, which returns the version its bytes carry. A smaller version than the one read is a stale execution.
 *
 * Three kinds of slots, chosen by slot number:
 *   word      "mov eax, VERSION; ret" with VERSION in one aligned word, rewritten while runners execute it
 *   alias     the same, but written through a second mapping of the page
 *   whole     a function of several instructions, of changing length and place, rewritten as a whole while a slot lock
 *             keeps runners out; runners then demand exactly the version under the lock
 *
 *   smc [-w WRITERS] [-r RUNNERS] [-t MILLISECONDS] [-n ROUNDS] [-s SEED] [-k SLOTS]
 *
 * With -n each writer stops after so many rewrites, else after the time. Prints the numbers of stale, future and wrong
 * executions, which must all be 0; how much was done goes to standard error.
 */
#define _GNU_SOURCE
#include "user.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, SLOT_CODE = 192, MAX_SLOTS = 256, MAX_THREADS = 128 };
enum { WORD, ALIAS, WHOLE, KINDS };

static const char *const me = "smc";

struct slot {
	_Alignas(64) atomic_uint published; /* version that every runner must see at least */
	unsigned char *code;	/* as runners see it */
	unsigned char *writable;	/* as the writer sees it: another mapping for ALIAS */
	unsigned char *entry;	/* [lock] WHOLE: where the function starts now */
	uint64_t expect;	/* [lock] WHOLE: what it returns for its version */
	pthread_rwlock_t lock;	/* WHOLE: writers exclude runners */
};

static struct slot slots[MAX_SLOTS];
static int nslots = 24, nwriters = 2, nrunners = 2;
static long duration_ms = 1000, max_rounds;
static uint64_t seed = 1;
static atomic_int stop;
static atomic_int writers_left;
static atomic_ulong stale, future, wrong, rewrites, executions;

static int kind_of(const struct slot *s)
{
	return (int)((s - slots) % KINDS);
}

static void serialize(void)
{
	unsigned a = 0, c = 0;

	__asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx", "memory");
}

static uint64_t call(const void *code)
{
	return ((uint64_t (*)(void))(uintptr_t)code)();
}

/* --- writers --- */

static void write_word(struct slot *s)
{
	unsigned next = atomic_load_explicit(&s->published, memory_order_relaxed) + 1;

	/* The immediate is at offset 1 of the function, whose start is chosen to align it. */
	atomic_store_explicit((_Atomic uint32_t *)(void *)(s->writable + 1), next, memory_order_release);
	atomic_store_explicit(&s->published, next, memory_order_release);
}

/* mov eax, a; (nop | xor eax, b | jmp +0)*; add rax, c; ret: the sum of it all is the version's hash. */
static void write_whole(struct slot *s, uint64_t *rng)
{
	unsigned next = atomic_load_explicit(&s->published, memory_order_relaxed) + 1;
	uint32_t a = (uint32_t)rng_next(rng), c = next & 0x7fffffff;
	unsigned char *p;
	uint32_t v = a;

	pthread_rwlock_wrlock(&s->lock);
	p = s->entry = s->code + rng_next(rng) % 64;
	*p++ = 0xb8;
	memcpy(p, &a, 4);
	p += 4;
	for (int n = (int)(rng_next(rng) % 10); n > 0; n--) {
		uint32_t b = (uint32_t)rng_next(rng);

		switch (b % 3) {
		case 0: *p++ = 0x90; break;
		case 1: *p++ = 0x35; memcpy(p, &b, 4); p += 4; v ^= b; break;
		case 2: memcpy(p, "\xeb\x00", 2); p += 2; break;
		}
	}
	memcpy(p, "\x48\x05", 2);
	memcpy(p + 2, &c, 4);
	p[6] = 0xc3;
	s->expect = (uint64_t)v + c;
	atomic_store_explicit(&s->published, next, memory_order_release);
	pthread_rwlock_unlock(&s->lock);
}

/* Writer i owns the slots whose number is i modulo the number of writers. */
static void *writer_body(void *arg)
{
	int id = (int)(long)arg;
	uint64_t rng = seed * 1000 + (uint64_t)id;
	long done = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed) && !(max_rounds && done >= max_rounds)) {
		int mine = (nslots - id + nwriters - 1) / nwriters;
		struct slot *s = &slots[id + nwriters * (int)(rng_next(&rng) % (uint64_t)mine)];

		if (kind_of(s) == WHOLE)
			write_whole(s, &rng);
		else
			write_word(s);
		done++;
		if (rng % 16 == 0)
			sched_yield();
	}
	atomic_fetch_add(&rewrites, (unsigned long)done);
	atomic_fetch_sub(&writers_left, 1);
	return NULL;
}

/* --- runners --- */

static void run_word(struct slot *s)
{
	unsigned before = atomic_load_explicit(&s->published, memory_order_acquire), after, got;

	serialize();
	got = (unsigned)call(s->code);
	/* The writer publishes after it stores: code may run one version ahead of what is published now. */
	atomic_thread_fence(memory_order_seq_cst);
	after = atomic_load_explicit(&s->published, memory_order_acquire);
	if ((int)(got - before) < 0)
		atomic_fetch_add(&stale, 1);
	else if ((int)(got - after) > 1)
		atomic_fetch_add(&future, 1);
}

static void run_whole(struct slot *s)
{
	pthread_rwlock_rdlock(&s->lock);
	serialize();
	if (s->entry && call(s->entry) != s->expect)
		atomic_fetch_add(&wrong, 1);
	pthread_rwlock_unlock(&s->lock);
}

static void *runner_body(void *arg)
{
	uint64_t rng = seed * 1000 + 500 + (uint64_t)(long)arg;
	unsigned long done = 0;

	while (atomic_load_explicit(&writers_left, memory_order_acquire)) {
		struct slot *s = &slots[rng_next(&rng) % (uint64_t)nslots];
		int burst = 1 + (int)(rng % 8);

		for (int i = 0; i < burst; i++) {
			if (kind_of(s) == WHOLE)
				run_whole(s);
			else
				run_word(s);
		}
		done += (unsigned long)burst;
		if (rng % 64 == 0)
			sched_yield();
	}
	atomic_fetch_add(&executions, done);
	return NULL;
}

/* --- setting up --- */

static void make_slots(void)
{
	size_t size = ((size_t)nslots * SLOT_CODE + PAGE) & ~(size_t)(PAGE - 1);
	int fd = memfd_create("smc", 0);
	pthread_rwlockattr_t attr;
	unsigned char *x, *w;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		fail(me, "memfd");
	x = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	w = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (x == MAP_FAILED || w == MAP_FAILED)
		fail(me, "mmap");
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (int i = 0; i < nslots; i++) {
		struct slot *s = &slots[i];
		size_t at = (size_t)i * SLOT_CODE + (kind_of(s) == WHOLE ? 0 : 7);

		s->code = x + at;
		s->writable = (kind_of(s) == ALIAS ? w : x) + at;
		pthread_rwlock_init(&s->lock, &attr);
		if (kind_of(s) != WHOLE)
			memcpy(s->code, "\xb8\x00\x00\x00\x00\xc3", 6);
	}
}

static void parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "w:r:t:n:s:k:")) != -1) {
		long v = optarg ? strtol(optarg, NULL, 0) : 0;

		switch (opt) {
		case 'w': nwriters = (int)v; break;
		case 'r': nrunners = (int)v; break;
		case 't': duration_ms = v; break;
		case 'n': max_rounds = v; break;
		case 's': seed = (uint64_t)v; break;
		case 'k': nslots = (int)v; break;
		default: fail(me, "bad option");
		}
	}
	if (nwriters < 1 || nrunners < 0 || nwriters + nrunners > MAX_THREADS || nslots < nwriters || nslots > MAX_SLOTS)
		fail(me, "numbers out of range");
}

int main(int argc, char **argv)
{
	pthread_t t[MAX_THREADS];
	struct timespec nap = { 0 };

	parse(argc, argv);
	make_slots();
	atomic_store(&writers_left, nwriters);
	for (long i = 0; i < nwriters + nrunners; i++) {
		if (pthread_create(&t[i], NULL, i < nwriters ? writer_body : runner_body, (void *)i))
			fail(me, "pthread_create");
	}
	if (!max_rounds) {
		nap.tv_sec = duration_ms / 1000;
		nap.tv_nsec = duration_ms % 1000 * 1000000;
		nanosleep(&nap, NULL);
		atomic_store(&stop, 1);
	}
	for (int i = 0; i < nwriters + nrunners; i++)
		pthread_join(t[i], NULL);
	printf("smc stale %lu future %lu wrong %lu\n", stale, future, wrong);
	fprintf(stderr, "smc: %d writers %d runners seed %" PRIu64 ": %lu rewrites %lu executions\n", nwriters, nrunners,
		seed, rewrites, executions);
	return stale || future || wrong;
}
