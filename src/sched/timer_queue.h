/* SPDX-License-Identifier: MIT */
/*
 * The timer queue's side towards the I/O loop. Threads: the loop thread only.
 */
#ifndef COHORT_SCHED_TIMER_QUEUE_H
#define COHORT_SCHED_TIMER_QUEUE_H

/* The timerfd that becomes readable when a timer is due; made at the first call. Negative errno on failure. */
int timer_queue_fd(void);
/* Runs the callbacks of all timers that are due. */
void timer_queue_run(void);

#endif
