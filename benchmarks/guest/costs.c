/* SPDX-License-Identifier: MIT */
/*
 * Operations that make an emulator touch what it knows of guest code and memory, for benchmarks/costs: done by one CPU, a fixed number of
 * times, while the other CPUs are idle, and while they run user code of their own. For each: some times "BEGIN name" and "END name", then
 * "BENCH name operations nanoseconds".
 *
 * Environment: COSTS_OPS, how many operations (default 4000; of the slow kinds fewer); COSTS_EVICT, run only what fills the emulator's code
 * cache; BENCH_ONLY, a substring of the names to run; BENCH_SYNC, see bench.h.
 */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, MAX_CPUS = 512, PAGES = 128, STORES = 256, FUNCTION = 256, FUNCTIONS = 32768 };

static int cpus;
static unsigned char *code; /* PAGES pages */

static unsigned char *map(size_t bytes, int rights)
{
	void *p = mmap(NULL, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("mmap");
	return p;
}

/*
 * lea rax, [rdi + number]; then add or sub rax, rdi; ret. Never twice the same, and another instruction each time, whether one page is written
 * or all of them in turns: what is there already, or differs in constants only, need not be translated again.
 */
static void write_function(unsigned char *at)
{
	static uint64_t written;
	uint64_t number = ++written;
	uint32_t disp = (uint32_t)number & 0x7fffffff;

	memcpy(at, "\x48\x8d\x87", 3);
	memcpy(at + 3, &disp, 4);
	memcpy(at + 7, (number ^ number / PAGES) & 1 ? "\x48\x29\xf8" : "\x48\x01\xf8", 3);
	at[10] = 0xc3;
	__asm__ volatile("" ::: "memory");
}

static void call(unsigned char *at)
{
	bench_sink = ((uint64_t (*)(uint64_t))(uintptr_t)at)(1);
}

/* A block dies and is built again. */
static uint64_t kill_block(uint64_t ops)
{
	for (uint64_t i = 0; i < ops; i++) {
		write_function(code);
		call(code);
	}
	return ops;
}

/* Data until now: the page was stored to many times since its function was replaced. */
static void make_data(unsigned char *page)
{
	volatile uint64_t *word = (volatile uint64_t *)(page + PAGE / 2);

	write_function(page);
	for (unsigned k = 0; k < STORES; k++)
		word[k % 64] = k;
}

/* A page that this CPU has written becomes code. */
static uint64_t make_code(uint64_t ops)
{
	for (uint64_t i = 0; i < ops; i++) {
		unsigned char *page = code + i % PAGES * PAGE;

		make_data(page);
		call(page);
	}
	return ops;
}

static void *make_all_data(void *unused)
{
	(void)unused;
	bench_pin(1);
	for (uint64_t i = 0; i < PAGES; i++)
		make_data(code + i * PAGE);
	return NULL;
}

/* The same with pages that one other CPU has written. */
static uint64_t make_code_written_elsewhere(uint64_t ops)
{
	uint64_t done = 0;

	while (done < ops) {
		pthread_t writer;

		if (pthread_create(&writer, NULL, make_all_data, NULL))
			bench_fail("pthread_create");
		pthread_join(writer, NULL);
		for (int i = 0; i < PAGES; i++)
			call(code + i * PAGE);
		done += PAGES;
	}
	return done;
}

/* The kernel clears this CPU's TLB as a whole: so many pages change that it does not name them. */
static uint64_t clear(uint64_t ops)
{
	for (uint64_t i = 0; i < ops; i++)
		if (mprotect(code, PAGES * PAGE, i & 1 ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_READ))
			bench_fail("mprotect");
	mprotect(code, PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	return ops;
}

/* More code than the cache holds, and none twice before all of it ran: what ran in the phase before this one may just fit. */
static uint64_t evict(uint64_t ops)
{
	static unsigned char *many;
	static uint64_t next;

	if (!many) {
		many = map((size_t)FUNCTIONS * FUNCTION, PROT_READ | PROT_WRITE | PROT_EXEC);
		for (uint64_t i = 0; i < FUNCTIONS; i++) {
			unsigned char *p = many + i * FUNCTION;

			for (int k = 0; k < 20; k++)
				write_function(p + k * 10);
		}
	}
	for (uint64_t i = 0; i < ops; i++)
		call(many + next++ % FUNCTIONS * FUNCTION);
	return ops;
}

static int stop;

static void *run_beside(void *arg)
{
	uint64_t x = 1;

	bench_pin((int)(long)arg);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		x = x * 6364136223846793005u + 1442695040888963407u;
	bench_sink = x;
	return NULL;
}

/* Rights of one page of an address space that all CPUs run in, or, idle, have run in. */
static uint64_t shoot_down(uint64_t ops)
{
	volatile unsigned char *page = map(PAGE, PROT_READ | PROT_WRITE);

	for (uint64_t i = 0; i < ops; i++) {
		*page = (unsigned char)i;
		if (mprotect((void *)(uintptr_t)page, PAGE, PROT_READ) || mprotect((void *)(uintptr_t)page, PAGE, PROT_READ | PROT_WRITE))
			bench_fail("mprotect");
	}
	munmap((void *)(uintptr_t)page, PAGE);
	return ops;
}

/*
 * Memory behind the VGA hole is shown and hidden again, by a register of the board's host bridge (Intel 82441FX, 3.2.24: SMRAM), two changes of the
 * physical memory map each. Whoever would draw there draws nowhere for a moment.
 */
static uint64_t remap(uint64_t ops)
{
	enum { SMRAM = 0x72 };
	static const uint8_t shown = 0x4a, hidden = 0x02;
	int fd = open("/sys/bus/pci/devices/0000:00:00.0/config", O_RDWR);

	if (fd < 0)
		bench_fail("host bridge");
	for (uint64_t i = 0; i < ops; i += 2)
		if (pwrite(fd, &shown, 1, SMRAM) != 1 || pwrite(fd, &hidden, 1, SMRAM) != 1)
			bench_fail("SMRAM");
	close(fd);
	return ops + ops % 2;
}

static const struct work {
	const char *name;
	uint64_t (*body)(uint64_t ops);
	unsigned divide;  /* operations: COSTS_OPS by this */
	unsigned slices;  /* each with marks of its own, so that what happens once beside the operations is told from what each of them costs */
	int threads;      /* the other CPUs run in our address space */
} works[] = {
	{ "kill", kill_block, 1, 5, 0 },
	{ "make-code", make_code, 4, 5, 0 },
	{ "make-code-written-elsewhere", make_code_written_elsewhere, 16, 3, 0 },
	{ "clear", clear, 4, 5, 0 },
	{ "shoot-down", shoot_down, 256, 1, 1 },
	{ "remap", remap, 16, 3, 0 },
};

static const struct work eviction = { "evict", evict, 1, 1, 0 };

static void measure(const struct work *work, const char *mode, uint64_t ops)
{
	const char *only = getenv("BENCH_ONLY");
	char name[64];
	uint64_t start, took = 0, done = 0;

	snprintf(name, sizeof(name), "%s-%s", work->name, mode);
	if (only && !strstr(name, only))
		return;
	work->body(1); /* what the first time costs is not of interest */
	for (unsigned i = 0; i < work->slices; i++) {
		bench_mark("BEGIN", name);
		start = bench_now();
		done += work->body(ops / work->divide / work->slices + 1);
		took += bench_now() - start;
		bench_mark("END", name);
	}
	printf("BENCH %s %llu %llu\n", name, (unsigned long long)done, (unsigned long long)took);
}

/* The other CPUs run in processes: in our address space they would be told of each change of it. */
static void beside_processes(const struct work *work, uint64_t ops)
{
	static pid_t child[MAX_CPUS];

	for (long i = 1; i < cpus; i++) {
		child[i] = fork();
		if (child[i] < 0)
			bench_fail("fork");
		if (child[i] == 0) {
			run_beside((void *)i);
			_exit(0);
		}
	}
	measure(work, "running", ops);
	for (int i = 1; i < cpus; i++)
		kill(child[i], SIGKILL);
	for (int i = 1; i < cpus; i++)
		waitpid(child[i], NULL, 0);
}

static void beside_threads(const struct work *work, uint64_t ops)
{
	static pthread_t thread[MAX_CPUS];

	__atomic_store_n(&stop, 0, __ATOMIC_SEQ_CST);
	for (long i = 1; i < cpus; i++)
		if (pthread_create(&thread[i], NULL, run_beside, (void *)i))
			bench_fail("pthread_create");
	measure(work, "running", ops);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 1; i < cpus; i++)
		pthread_join(thread[i], NULL);
}

static void measure_both(const struct work *work, uint64_t ops)
{
	measure(work, "idle", ops);
	if (work->threads)
		beside_threads(work, ops);
	else
		beside_processes(work, ops);
}

int main(void)
{
	const char *count = getenv("COSTS_OPS");
	uint64_t ops = count ? strtoull(count, NULL, 0) : 4000;

	cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus < 2 || cpus > MAX_CPUS) {
		fprintf(stderr, "costs: 2 to %d CPUs\n", MAX_CPUS);
		return 1;
	}
	bench_pin(0);
	code = map(PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	if (getenv("COSTS_EVICT")) {
		measure_both(&eviction, ops);
		return 0;
	}
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		measure_both(&works[i], ops);
	return 0;
}
