/* SPDX-License-Identifier: MIT */
/*
 * Work for many CPUs at once, for benchmarks/scale: as many workers as the machine has CPUs, each on a CPU of its own, all
 * running for the same time. One line for each kind of work: "BENCH name operations nanoseconds", the operations of all
 * workers together. "STALE name operations" follows if some ran instructions that were no longer there; these are not in the first.
 *
 * Workers are threads, or processes where a shared address space would be what is measured (the guest kernel's lock, not
 * the emulator). Environment: BENCH_MS, how long each kind runs; BENCH_ONLY, a substring of the names to run;
 * SCALE_WORKERS, how many workers (default: the CPUs online).
 */
#include "bench.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PAGE = 4096, MAX_WORKERS = 512, LINE = 64 };

/* Shared by workers of either kind: anonymous shared memory. */
struct shared {
	struct {
		uint64_t done; /* written by its worker only, read when that has ended */
		uint64_t stale; /* the same: of operations that ran old code */
		uint32_t turn; /* futex word of the ping-pong, between the two workers of a pair */
	} __attribute__((aligned(LINE))) worker[MAX_WORKERS];
	uint32_t arrived __attribute__((aligned(LINE)));
	uint32_t stop __attribute__((aligned(LINE)));
	uint64_t counter __attribute__((aligned(LINE)));
	pthread_mutex_t mutex __attribute__((aligned(LINE)));
	unsigned char code[MAX_WORKERS][PAGE] __attribute__((aligned(PAGE)));
};

static struct shared *shared;
static int workers;
static const char *self_path;

static int stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

/* One unit of private work: about a microsecond of arithmetic on a current CPU. */
static uint64_t private_work(uint64_t x, int units)
{
	for (int i = 0; i < units * 200; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

static uint64_t compute(int id)
{
	uint64_t n = 0, x = (uint64_t)id;

	for (; !stopped(); n++)
		x = private_work(x, 10);
	bench_sink = x;
	return n;
}

static uint64_t counter(int id)
{
	uint64_t n = 0;

	(void)id;
	for (; !stopped(); n++)
		__atomic_add_fetch(&shared->counter, 1, __ATOMIC_SEQ_CST);
	return n;
}

static uint64_t mutex(int id)
{
	uint64_t n = 0, x = (uint64_t)id;

	for (; !stopped(); n++) {
		pthread_mutex_lock(&shared->mutex);
		shared->counter++;
		pthread_mutex_unlock(&shared->mutex);
		x = private_work(x, 2);
	}
	bench_sink = x;
	return n;
}

static void futex(uint32_t *word, int op, uint32_t value)
{
	static const struct timespec limit = { .tv_nsec = 20000000 };

	syscall(SYS_futex, word, op, value, op == FUTEX_WAIT ? &limit : NULL, NULL, 0);
}

/* Pairs hand a word to and fro; an operation is one hand-over. A worker without a partner does nothing. */
static uint64_t pingpong(int id)
{
	uint32_t *word = &shared->worker[id & ~1].turn, mine = (uint32_t)id & 1;
	uint64_t n = 0;

	if ((id | 1) >= workers)
		return 0;
	while (!stopped()) {
		uint32_t turn = __atomic_load_n(word, __ATOMIC_ACQUIRE);

		if (turn != mine) {
			futex(word, FUTEX_WAIT, turn);
			continue;
		}
		__atomic_store_n(word, !mine, __ATOMIC_RELEASE);
		futex(word, FUTEX_WAKE, 1);
		n++;
	}
	return n;
}

/* Every other worker makes the kernel interrupt all CPUs that run this process, and waits for their answers. */
static uint64_t ipi(int id)
{
	uint64_t n = 0;

	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	if (id & 1) {
		while (!stopped())
			;
		return 0;
	}
	for (; !stopped(); n++) {
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
			bench_fail("membarrier");
	}
	return n;
}

/* An operation is one page that is touched for the first time. */
static uint64_t fault(int id)
{
	enum { PAGES = 64 };
	uint64_t n = 0;

	(void)id;
	while (!stopped()) {
		unsigned char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			bench_fail("mmap");
		for (int i = 0; i < PAGES; i++)
			p[i * PAGE] = 1;
		munmap(p, PAGES * PAGE);
		n += PAGES;
	}
	return n;
}

/* Threads of one process take rights from pages they all may have cached: each operation interrupts all CPUs. */
static uint64_t shootdown(int id)
{
	uint64_t n = 0;
	unsigned char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)id;
	if (p == MAP_FAILED)
		bench_fail("mmap");
	for (; !stopped(); n++) {
		*p = 1;
		if (mprotect(p, PAGE, PROT_READ) || mprotect(p, PAGE, PROT_READ | PROT_WRITE))
			bench_fail("mprotect");
	}
	munmap(p, PAGE);
	return n;
}

static uint64_t spawn(int id)
{
	static char *const argv[] = { "scale", "--exit", NULL }, *const envp[] = { NULL };
	uint64_t n = 0;

	(void)id;
	for (; !stopped(); n++) {
		pid_t child;

		if (posix_spawn(&child, self_path, NULL, NULL, argv, envp))
			bench_fail("posix_spawn");
		waitpid(child, NULL, 0);
	}
	return n;
}

static uint32_t rewrite_constant(uint64_t seed, uint32_t k)
{
	return ((uint32_t)seed * 31 + k) & 0x7fffffff;
}

/* What the function that is written for `seed` makes of x. That of another seed makes something else. */
static uint64_t rewrite_result(uint64_t seed, uint64_t x)
{
	for (uint32_t k = 0; k < 6; k++) {
		x += rewrite_constant(seed, k);
		x = x << 5 | x >> 59;
	}
	return x;
}

/*
 * Writes a function of 64 bytes, different each time, and calls it four times; returns whether the first call ran what was written. Callers keep
 * the sum to themselves: two workers that store it to bench_sink each time share that line, and are held up by it more than by all the rest.
 */
static int rewrite_at(unsigned char *at, uint64_t seed, uint64_t *sum)
{
	uint64_t (*written)(uint64_t) = (uint64_t (*)(uint64_t))(uintptr_t)at;
	unsigned char *p = at;
	uint64_t first, x;

	memcpy(p, "\x48\x89\xf8", 3); /* mov rax, rdi */
	p += 3;
	for (uint32_t k = 0; k < 6; k++) {
		uint32_t imm = rewrite_constant(seed, k);

		memcpy(p, "\x48\x05", 2); /* add rax, imm32 */
		memcpy(p + 2, &imm, 4);
		memcpy(p + 6, "\x48\xc1\xc0\x05", 4); /* rol rax, 5 */
		p += 10;
	}
	*p = 0xc3;
	__asm__ volatile("" ::: "memory");
	first = written(seed);
	x = seed + first;
	for (int k = 1; k < 4; k++)
		x += written(x);
	*sum += x;
	return first == rewrite_result(seed, seed);
}

/* What ran old instructions is not counted, but told. */
static uint64_t rewrite_until_stopped(int id, unsigned char *at)
{
	uint64_t n = 0, good = 0, sum = 0;

	for (; !stopped(); n++)
		good += (uint64_t)rewrite_at(at, n, &sum);
	bench_sink = sum;
	shared->worker[id].stale = n - good;
	return good;
}

static uint64_t rewrite_private(int id)
{
	return rewrite_until_stopped(id, shared->code[id]);
}

/* Up to 32 workers on each page. */
static uint64_t rewrite_shared(int id)
{
	return rewrite_until_stopped(id, shared->code[id / 32] + id % 32 * 128);
}

static const struct work {
	const char *name;
	uint64_t (*body)(int id);
	int processes;
	int least; /* workers it makes sense for */
} works[] = {
	{ "compute", compute, 0, 1 },
	{ "counter", counter, 0, 1 },
	{ "mutex", mutex, 0, 1 },
	{ "pingpong", pingpong, 0, 2 },
	{ "ipi", ipi, 0, 2 },
	{ "fault", fault, 1, 1 },
	{ "fault-one-mm", fault, 0, 1 },
	{ "shootdown", shootdown, 0, 1 },
	{ "spawn", spawn, 1, 1 },
	{ "rewrite", rewrite_private, 0, 1 },
	{ "rewrite-one-page", rewrite_shared, 0, 1 },
};

static const struct work *current;

static void *run_worker(void *arg)
{
	int id = (int)(long)arg;

	bench_pin(id);
	__atomic_add_fetch(&shared->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&shared->arrived, __ATOMIC_ACQUIRE) <= (uint32_t)workers)
		sched_yield();
	shared->worker[id].done = current->body(id);
	return NULL;
}

union handle {
	pthread_t thread;
	pid_t process;
};

static void start_worker(union handle *h, int id)
{
	if (!current->processes) {
		if (pthread_create(&h->thread, NULL, run_worker, (void *)(long)id))
			bench_fail("pthread_create");
		return;
	}
	h->process = fork();
	if (h->process < 0)
		bench_fail("fork");
	if (h->process == 0) {
		run_worker((void *)(long)id);
		_exit(0);
	}
}

static void join_worker(union handle *h)
{
	if (current->processes)
		waitpid(h->process, NULL, 0);
	else
		pthread_join(h->thread, NULL);
}

/* All workers start when the last has arrived; the time is that from there to the end of the last. */
static void run_work(const struct work *work, uint64_t ms)
{
	static union handle handle[MAX_WORKERS];
	struct timespec length = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	uint64_t start, took, total = 0, stale = 0;

	current = work;
	shared->arrived = shared->stop = 0;
	for (int i = 0; i < workers; i++) {
		shared->worker[i].done = shared->worker[i].stale = 0;
		shared->worker[i].turn = 0;
		start_worker(&handle[i], i);
	}
	while (__atomic_load_n(&shared->arrived, __ATOMIC_ACQUIRE) < (uint32_t)workers)
		sched_yield();
	bench_mark("BEGIN", work->name);
	start = bench_now();
	__atomic_add_fetch(&shared->arrived, 1, __ATOMIC_SEQ_CST);
	nanosleep(&length, NULL);
	__atomic_store_n(&shared->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < workers; i++)
		join_worker(&handle[i]);
	took = bench_now() - start;
	for (int i = 0; i < workers; i++) {
		total += shared->worker[i].done;
		stale += shared->worker[i].stale;
	}
	printf("BENCH %s %llu %llu\n", work->name, (unsigned long long)total, (unsigned long long)took);
	if (stale)
		printf("STALE %s %llu\n", work->name, (unsigned long long)stale);
	bench_mark("END", work->name);
}

int main(int argc, char **argv)
{
	const char *ms = getenv("BENCH_MS"), *only = getenv("BENCH_ONLY"), *count = getenv("SCALE_WORKERS");

	if (argc > 1 && !strcmp(argv[1], "--exit"))
		return 0;
	self_path = argv[0];
	workers = count ? atoi(count) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (workers < 1 || workers > MAX_WORKERS) {
		fprintf(stderr, "scale: 1 to %d workers\n", MAX_WORKERS);
		return 1;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		bench_fail("mmap");
	pthread_mutex_init(&shared->mutex, NULL);
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (workers >= works[i].least && (!only || strstr(works[i].name, only)))
			run_work(&works[i], ms ? (uint64_t)atoi(ms) : 500);
	}
	return 0;
}
