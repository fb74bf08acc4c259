/* SPDX-License-Identifier: MIT */
/* Memory: dependent loads over growing working sets, streams, copies, atomics, pages of both sizes. */
#include "bench.h"

#include <stdbool.h>
#include <sys/mman.h>

static void **ring;

/* One random cycle through all cache lines of an area (Sattolo's shuffle). */
static void make_ring(size_t size)
{
	size_t lines = size / 64;
	uint32_t *order = malloc(lines * sizeof(*order));
	uint64_t rng = 17;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!order || area == MAP_FAILED)
		bench_fail("mmap");
	for (size_t i = 0; i < lines; i++)
		order[i] = (uint32_t)i;
	for (size_t i = lines - 1; i > 0; i--) {
		size_t k = bench_random(&rng) % i;
		uint32_t t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (size_t i = 0; i < lines; i++)
		*(void **)(area + 64ul * order[i]) = area + 64ul * order[(i + 1) % lines];
	ring = (void **)area;
	free(order);
}

/* One cache line in each 4 KiB of an area, in random order; pages of 2 MiB if the kernel has any. */
static void make_page_ring(size_t size, bool large)
{
	const size_t align = 2u << 20, pages = size / 4096;
	static char *area;
	static size_t mapped;
	uint32_t *order = malloc(pages * sizeof(*order));
	uint64_t rng = 17;
	char *first;

	if (area)
		munmap(area, mapped);
	mapped = size + align;
	area = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!order || area == MAP_FAILED)
		bench_fail("mmap");
	madvise(area, mapped, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	first = (char *)(((uintptr_t)area + align - 1) & ~(align - 1));
	for (size_t i = 0; i < pages; i++)
		order[i] = (uint32_t)i;
	for (size_t i = pages - 1; i > 0; i--) {
		size_t k = bench_random(&rng) % i;
		uint32_t t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	ring = NULL;
	for (size_t i = 0; i <= pages; i++) {
		uint32_t page = order[i % pages];
		void **line = (void **)(first + 4096ul * page + 64 * (page * 2654435761u >> 26));

		if (ring)
			*ring = line;
		ring = line;
	}
	free(order);
}

static void chase(uint64_t n)
{
	void **p = ring;

	for (uint64_t i = 0; i < n * 1000; i++)
		p = *p;
	ring = p;
}

static void stream(uint64_t n)
{
	static uint64_t v[65536];
	uint64_t sum = 0;

	while (n--) {
		for (size_t i = 0; i < 65536; i++) {
			v[i] += i;
			__asm__ volatile("" : "+r"(sum));
			sum += v[i];
		}
	}
	bench_sink = sum;
}

static char from[65536], to[65536];

static void copy(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		memcpy(to, from + (i & 63), 32768);
		__asm__ volatile("" ::: "memory");
	}
}

static void copy_small(uint64_t n)
{
	for (uint64_t i = 0; i < n * 100; i++) {
		memcpy(to + (i & 255), from + (i & 127), 24 + (i & 15));
		__asm__ volatile("" ::: "memory");
	}
}

static void rep_movs(uint64_t n)
{
	while (n--) {
		void *d = to, *s = from;
		size_t c = 32768;

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(c) : : "memory");
	}
}

/* The stack: spills, pushes and pops, as compiled code has them everywhere. */
static void stack(uint64_t n)
{
	volatile uint64_t local[8] = { 0 };

	for (uint64_t i = 0; i < n * 1000; i++) {
		local[i & 7] += i;
		local[1] ^= local[2];
	}
	bench_sink = local[3];
}

static void locked(uint64_t n)
{
	static uint64_t word;

	for (uint64_t i = 0; i < n * 1000; i++)
		__atomic_fetch_add(&word, i, __ATOMIC_SEQ_CST);
	bench_sink = word;
}

static void pages(const char *name, size_t mib, bool large)
{
	if (!bench_wanted(name))
		return;
	make_page_ring(mib << 20, large);
	bench_run(name, chase);
}

int main(void)
{
	bench_pin(0);
	make_ring(16 << 10);
	bench_run("mem-chase-16k", chase);
	make_ring(1 << 20);
	bench_run("mem-chase-1m", chase);
	make_ring(64 << 20);
	bench_run("mem-chase-64m", chase);
	bench_run("mem-stream", stream);
	bench_run("mem-stack", stack);
	bench_run("mem-memcpy-32k", copy);
	bench_run("mem-memcpy-small", copy_small);
	bench_run("mem-rep-movsb", rep_movs);
	bench_run("mem-locked-add", locked);
	pages("mem-pages-64m-4k", 64, false);
	pages("mem-pages-64m-2m", 64, true);
	pages("mem-pages-256m-4k", 256, false);
	pages("mem-pages-256m-2m", 256, true);
	return 0;
}
