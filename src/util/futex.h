/* SPDX-License-Identifier: MIT */
/*
 * Futex calls, process-private, on 32-bit words. Threads: any; futex_wake() is async-signal-safe.
 */
#ifndef COHORT_UTIL_FUTEX_H
#define COHORT_UTIL_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/stats.h"
#include "util/tsan.h"

/*
 * Sleeps while *word == value, until a wake-up, a signal or the absolute CLOCK_MONOTONIC deadline (NULL: none). May
 * return at any time: the caller looks at its condition again. Returns 0 or -1 with errno (EAGAIN, EINTR, ETIMEDOUT).
 */
static inline int futex_wait(const uint32_t *word, uint32_t value, const struct timespec *deadline)
{
#ifdef COHORT_TSAN
	/* ThreadSanitizer runs signal handlers when its own wrappers are called, and does not interrupt a raw system call for them. */
	struct timespec soon = { 0, 5000000 };
	int ret = (int)syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, &soon);
	int error = errno;

	usleep(0);
	if (ret && error == ETIMEDOUT && deadline) {
		clock_gettime(CLOCK_MONOTONIC, &soon);
		if (soon.tv_sec < deadline->tv_sec || (soon.tv_sec == deadline->tv_sec && soon.tv_nsec < deadline->tv_nsec))
			error = EINTR;
	} else if (error == ETIMEDOUT) {
		error = EINTR;
	}
	errno = error;
	return ret;
#else
	stat_inc(STAT_host_calls);
	return (int)syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, deadline, NULL,
			    FUTEX_BITSET_MATCH_ANY);
#endif
}

static inline void futex_wake(const uint32_t *word, int nr)
{
	stat_inc(STAT_host_calls);
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, nr, NULL, NULL, 0);
}

/* A breath inside a spin loop. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#endif
