/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the emulator it loses memory as a small leak would: where a block's structure is made, 1 KiB more is taken and forgotten, every
 * 15 ms at most, which is 4 MiB in a minute. tests/stress/run "leak" shows by it that the account of the heap tells: a run of ten seconds
 * loses several times what is allowed, so that one on a host that stops it most of the time loses enough.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define EVERY_NS 15000000
#define LOST 1024

void *aligned_alloc(size_t align, size_t size)
{
	static uint64_t last;
	static void *volatile forgotten;
	void *(*real)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
	struct timespec now;
	uint64_t ns, seen = __atomic_load_n(&last, __ATOMIC_RELAXED);

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (ns - seen > EVERY_NS && __atomic_compare_exchange_n(&last, &seen, ns, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		forgotten = malloc(LOST);
	return real(align, size);
}
