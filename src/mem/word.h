/* SPDX-License-Identifier: MIT */
/*
 * Words of guest memory, of 1, 2, 4 or 8 bytes. Aligned accesses of the guest are single ones: other CPUs see all of it or nothing. Others are
 * one instruction of the host too, but not atomic to the compiler.
 */
#ifndef COHORT_MEM_WORD_H
#define COHORT_MEM_WORD_H

#include <string.h>

#include "util/tsan.h"
#include "util/types.h"

static inline bool word_has_size(size_t size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static inline bool word_is_aligned(const void *p, unsigned size)
{
	return !((uintptr_t)p & (size - 1));
}

TSAN_UNSEEN static inline uint64_t word_load_unaligned(const void *p, unsigned size)
{
	uint16_t v2;
	uint32_t v4;
	uint64_t v8;

	switch (size) {
	case 2:
		memcpy(&v2, p, 2);
		return v2;
	case 4:
		memcpy(&v4, p, 4);
		return v4;
	default:
		memcpy(&v8, p, 8);
		return v8;
	}
}

static inline uint64_t word_load(const void *p, unsigned size)
{
	if (unlikely(!word_is_aligned(p, size)))
		return word_load_unaligned(p, size);
	switch (size) {
	case 1:
		return __atomic_load_n((const uint8_t *)p, __ATOMIC_RELAXED);
	case 2:
		return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
	}
}

TSAN_UNSEEN static inline void word_store_unaligned(void *p, uint64_t v, unsigned size)
{
	switch (size) {
	case 2:
		memcpy(p, &v, 2);
		return;
	case 4:
		memcpy(p, &v, 4);
		return;
	default:
		memcpy(p, &v, 8);
	}
}

static inline void word_store(void *p, uint64_t v, unsigned size)
{
	if (unlikely(!word_is_aligned(p, size))) {
		word_store_unaligned(p, v, size);
		return;
	}
	switch (size) {
	case 1:
		__atomic_store_n((uint8_t *)p, (uint8_t)v, __ATOMIC_RELAXED);
		return;
	case 2:
		__atomic_store_n((uint16_t *)p, (uint16_t)v, __ATOMIC_RELAXED);
		return;
	case 4:
		__atomic_store_n((uint32_t *)p, (uint32_t)v, __ATOMIC_RELAXED);
		return;
	default:
		__atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
	}
}

/*
 * A copy of bytes that other CPUs may write meanwhile: of code that is to be decoded. Any mixture of old and new may come out; who asks finds the
 * page's write generation moved (mem/code_watch.h) and starts again.
 */
static inline void word_read_bytes(void *to, const void *from, size_t size)
{
#ifdef COHORT_TSAN
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = __atomic_load_n((const uint8_t *)from + i, __ATOMIC_RELAXED);
#else
	memcpy(to, from, size);
#endif
}

/*
 * Bytes that the guest stores, from anywhere; not upwards into themselves. Other CPUs may load and store them meanwhile, as of the guest's own races, or
 * look whether a store to them would change anything (mem/code_watch.c).
 */
static inline void word_write_bytes(void *to, const void *from, size_t size)
{
#ifdef COHORT_TSAN
	for (size_t i = 0; i < size; i++)
		__atomic_store_n((uint8_t *)to + i, __atomic_load_n((const uint8_t *)from + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
#else
	memmove(to, from, size);
#endif
}

static inline void word_fill_bytes(void *to, uint8_t value, size_t size)
{
#ifdef COHORT_TSAN
	for (size_t i = 0; i < size; i++)
		__atomic_store_n((uint8_t *)to + i, value, __ATOMIC_RELAXED);
#else
	memset(to, value, size);
#endif
}

#endif
