/* SPDX-License-Identifier: MIT */
/*
 * Address and time units. A bare uint64_t is never an address of some kind: the typedef says which.
 */
#ifndef COHORT_UTIL_TYPES_H
#define COHORT_UTIL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gva_t;      /* guest linear (virtual) address */
typedef uint64_t gpa_t;      /* guest-physical address */
typedef uint64_t ram_off_t;  /* offset into guest RAM */
typedef int64_t vclock_ns_t; /* nanoseconds of the machine's monotonic clock, 0 = power-on */

#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_SIZE (1u << GUEST_PAGE_BITS)
#define GUEST_PAGE_MASK (~(uint64_t)(GUEST_PAGE_SIZE - 1))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define must_check __attribute__((warn_unused_result))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* A hint: the cache line at p will be written soon. Compilers without -mprfchw would fetch it to be read only. */
static inline void prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" ::"m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

#endif
