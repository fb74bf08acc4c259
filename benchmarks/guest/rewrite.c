/* SPDX-License-Identifier: MIT */
/*
 * Code rewriting: each thread writes a small function into writable, executable memory and calls it. One iteration is
 * one function written and called four times, per thread. In "rewrite" rows functions differ in their constants, in
 * "rewrite-new" rows in their instructions, thirty versions in turns, and in "rewrite-fresh" rows no version comes again.
 */
#include "bench.h"

#include <sys/mman.h>

enum { PAGE = 4096, MAX_THREADS = 8 };

static int threads;
static size_t stride;
static unsigned char *code;
static uint64_t rounds;
static enum { CONSTANTS, VERSIONS, FRESH } what;

/* Two numbers that choose the k-th pair of instructions of function i. */
static uint32_t choice(uint64_t i, uint32_t k)
{
	return (uint32_t)(what == FRESH ? (i * 6 + k + 1) * 0x9e3779b97f4a7c15ull >> 40 : i + k);
}

static void *body(void *arg)
{
	long id = (long)arg;
	unsigned char *at = code + (size_t)id * stride;
	uint64_t sum = 0;

	bench_pin((int)id);
	for (uint64_t i = 0; i < rounds; i++) {
		unsigned char *p = at;

		/* mov rax, rdi; 6 times: add rax, imm32; rol rax, 5; then ret. In other code sub or xor, and other counts */
		memcpy(p, "\x48\x89\xf8", 3);
		p += 3;
		for (uint32_t k = 0; k < 6; k++) {
			uint32_t imm = ((uint32_t)i * 31 + k) & 0x7fffffff;

			memcpy(p, "\x48\x05", 2);
			if (what != CONSTANTS)
				p[1] = "\x05\x2d\x35"[choice(i, k) % 3];
			memcpy(p + 2, &imm, 4);
			memcpy(p + 6, "\x48\xc1\xc0\x05", 4);
			if (what != CONSTANTS)
				p[9] = (unsigned char)(1 + choice(i, k) % 30);
			p += 10;
		}
		*p = 0xc3;
		__asm__ volatile("" ::: "memory");
		for (int k = 0; k < 4; k++)
			sum += ((uint64_t (*)(uint64_t))(uintptr_t)at)(sum);
	}
	bench_sink = sum;
	return NULL;
}

static void rewrite(uint64_t n)
{
	pthread_t t[MAX_THREADS];

	rounds = n;
	for (long i = 0; i < threads; i++) {
		if (pthread_create(&t[i], NULL, body, (void *)i))
			bench_fail("pthread_create");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
}

static void on_pages_of_their_own(const char *name)
{
	static const int counts[] = { 1, 2, 4 };
	char row[32];

	stride = PAGE;
	for (int i = 0; i < 3; i++) {
		threads = counts[i];
		snprintf(row, sizeof(row), "%s-%d", name, threads);
		bench_run(row, rewrite);
	}
}

int main(void)
{
	code = mmap(NULL, MAX_THREADS * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		bench_fail("mmap");
	on_pages_of_their_own("rewrite");
	/* Functions of different threads on one page. */
	stride = 128;
	threads = 2;
	bench_run("rewrite-2-one-page", rewrite);
	what = VERSIONS;
	on_pages_of_their_own("rewrite-new");
	what = FRESH;
	on_pages_of_their_own("rewrite-fresh");
	return 0;
}
