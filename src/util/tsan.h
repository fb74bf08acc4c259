/* SPDX-License-Identifier: MIT */
/*
 * What ThreadSanitizer cannot see because it happens in code that is not instrumented (liburcu): who waited for whom. And what it is not
 * to see: functions whose accesses are the guest's own, races included. Nothing in other builds.
 */
#ifndef COHORT_UTIL_TSAN_H
#define COHORT_UTIL_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COHORT_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define COHORT_TSAN 1
#endif

#ifdef COHORT_TSAN
#include <sanitizer/tsan_interface.h>
/* What this thread did so far happened before what follows a later tsan_acquire() of the same address. */
#define tsan_release(p) __tsan_release((void *)(uintptr_t)(p))
#define tsan_acquire(p) __tsan_acquire((void *)(uintptr_t)(p))
#define TSAN_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define TSAN_UNSEEN
#define tsan_release(p) ((void)0)
#define tsan_acquire(p) ((void)0)
#endif

#endif
