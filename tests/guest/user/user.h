/* SPDX-License-Identifier: MIT */
/*
 * What the guest's test programs share. Each program computes results that do not depend on scheduling or on the
 * machine, and prints one line per topic: the program's name, the topic, and a checksum. The test runs the same static
 * binary natively and in the guest and compares the lines; what may differ goes to standard error.
 */
#ifndef USER_H
#define USER_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FNV_BASIS 0xcbf29ce484222325ull

/* FNV-1a, 64 bits. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size--) {
		h ^= *p++;
		h *= 0x100000001b3ull;
	}
	return h;
}

static inline uint64_t hash_u64(uint64_t h, uint64_t v)
{
	return hash_bytes(h, &v, sizeof(v));
}

/* splitmix64: every state is a good one. */
static inline uint64_t rng_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void report(const char *program, const char *topic, uint64_t sum)
{
	printf("%s %s %016" PRIx64 "\n", program, topic, sum);
	fflush(stdout);
}

_Noreturn static inline void fail(const char *program, const char *what)
{
	printf("%s FAILED %s\n", program, what);
	fflush(stdout);
	exit(1);
}

static inline long arg_long(int argc, char **argv, int index, long standard)
{
	return argc > index ? strtol(argv[index], NULL, 0) : standard;
}

#endif
