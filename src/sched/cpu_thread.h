/* SPDX-License-Identifier: MIT */
/*
 * Host threads for guest CPUs: one each, named, placed by sched/placement.h; parking, waking, and a host timer that
 * interrupts a running one.
 *
 * Owner:   the vCPU. cpu_thread_new() before the machine starts, cpu_thread_free() after cpu_thread_join().
 * Threads: park and timer_set on the thread itself; wake from anywhere, signal handlers included, with any lock held.
 * Rule:    while run() executes, the thread is a registered RCU reader, has an alternate signal stack and counts into
 *          its own statistics. It is RCU-offline while parked.
 */
#ifndef COHORT_SCHED_CPU_THREAD_H
#define COHORT_SCHED_CPU_THREAD_H

#include "util/types.h"

struct err;
struct cpu_thread;

struct cpu_thread_ops {
	/* The thread's body, on the new thread and after it was placed: memory first touched here is near. */
	void (*run)(void *cpu);
	/*
	 * The host timer has expired. On the CPU's own thread, inside a signal handler: may set a request bit and call
	 * cpu_thread_wake(). The owner must call cpu_thread_timer_set() again afterwards, even for the same deadline.
	 */
	void (*timer_signal)(void *cpu);
};

struct cpu_thread *cpu_thread_new(unsigned index, const struct cpu_thread_ops *ops, void *cpu);
int must_check cpu_thread_start(struct cpu_thread *t, struct err *err);
void cpu_thread_join(struct cpu_thread *t); /* waits until run() has returned; the caller goes RCU-offline meanwhile */
void cpu_thread_free(struct cpu_thread *t);

struct cpu_thread *cpu_thread_self(void); /* NULL on threads of other kinds */
unsigned cpu_threads_awake(void);         /* that run or wait for a host CPU; a hint. Any thread */

/*
 * Sleeps until cpu_thread_wake(), or the deadline (VCLOCK_NEVER: none). A wake-up that came before counts: it leaves a
 * token that ends this park, or the next, at once. Returns true if woken, which may also be for no reason: the caller
 * looks at its requests either way. False: the deadline has passed.
 * Thread: its own. Locks: none. RCU: offline meanwhile, so no RCU pointer survives.
 */
bool cpu_thread_park(struct cpu_thread *t, vclock_ns_t deadline);

/* The same to give the host CPU away: sleeps at once, and says nothing about how long parks last. */
bool cpu_thread_nap(struct cpu_thread *t, vclock_ns_t deadline);

/*
 * Ends the current or the next park. The reason must have been published before, by a sequentially consistent
 * atomic write. Cheap when the thread is awake (no system call).
 */
void cpu_thread_wake(struct cpu_thread *t);

/*
 * Arms the thread's host timer: timer_signal() runs at the deadline, or earlier for no reason (a later deadline is not
 * told to the host at once). VCLOCK_NEVER: none wanted. Thread: its own.
 */
void cpu_thread_timer_set(struct cpu_thread *t, vclock_ns_t deadline);

#endif
