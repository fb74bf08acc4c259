/* SPDX-License-Identifier: MIT */
/*
 * Timers of devices, run on the I/O loop thread (sched/evloop.h).
 *
 * Owner:   the device that embeds the struct.
 * Threads: timer_arm() and timer_disarm() from any thread; the callback on the loop thread, with no lock held.
 * Rule:    all fields belong to the timer queue and are guarded by its lock (rank QUEUE, innermost: it may be taken
 *          while the device lock is held). A callback may still be about to run when timer_disarm() returns: it takes
 *          its device lock and looks whether the event is still due.
 */
#ifndef COHORT_SCHED_TIMER_H
#define COHORT_SCHED_TIMER_H

#include "util/types.h"

typedef void (*timer_fn)(void *opaque);

struct timer {
	timer_fn fn;          /* [const] */
	void *opaque;         /* [const] */
	vclock_ns_t deadline; /* [lock queue] */
	int heap_pos;         /* [lock queue] index in the heap, -1 when not armed */
};

void timer_init(struct timer *t, timer_fn fn, void *opaque);
void timer_arm(struct timer *t, vclock_ns_t deadline); /* absolute; re-arms */
void timer_disarm(struct timer *t);
/* As timer_disarm(), and waits until a running callback has returned. Not from the callback, nor holding its lock. */
void timer_fini(struct timer *t);

#endif
