/* SPDX-License-Identifier: MIT */
/*
 * A binary heap of deadlines behind one timerfd. Whoever arms the earliest timer sets the timerfd itself, so arming
 * never has to wake the loop thread. The timerfd is moved earlier but not later: when the earliest timer is taken away the
 * loop wakes once in vain, which is cheaper than a system call for each disarmed timer.
 */
#include "sched/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "sched/clock.h"
#include "sched/timer_queue.h"
#include "util/futex.h"
#include "util/lock.h"
#include "util/log.h"

static struct ranked_lock queue_lock = RANKED_LOCK_INIT(QUEUE);
static struct timer **heap;                   /* [lock queue] */
static unsigned heap_len, heap_room;          /* [lock queue] */
static int fd = -1;                           /* [lock queue] */
static vclock_ns_t fd_deadline = VCLOCK_NEVER; /* [lock queue] what the timerfd is set to */
static struct timer *running;                 /* [lock queue] whose callback the loop thread is in */
static uint32_t run_count;                    /* [atomic] callbacks returned; futex of timer_fini() */

static void heap_put(unsigned pos, struct timer *t)
{
	heap[pos] = t;
	t->heap_pos = (int)pos;
}

static void sift_up(unsigned pos, struct timer *t)
{
	while (pos && heap[(pos - 1) / 2]->deadline > t->deadline) {
		heap_put(pos, heap[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	heap_put(pos, t);
}

static void sift_down(unsigned pos, struct timer *t)
{
	for (unsigned child; (child = 2 * pos + 1) < heap_len; pos = child) {
		if (child + 1 < heap_len && heap[child + 1]->deadline < heap[child]->deadline)
			child++;
		if (t->deadline <= heap[child]->deadline)
			break;
		heap_put(pos, heap[child]);
	}
	heap_put(pos, t);
}

static void heap_remove(struct timer *t)
{
	unsigned pos = (unsigned)t->heap_pos;
	struct timer *last = heap[--heap_len];

	t->heap_pos = -1;
	if (last == t)
		return;
	if (pos && heap[(pos - 1) / 2]->deadline > last->deadline)
		sift_up(pos, last);
	else
		sift_down(pos, last);
}

static void heap_add(struct timer *t)
{
	if (heap_len == heap_room) {
		unsigned room = heap_room ? 2 * heap_room : 32;
		struct timer **bigger = realloc(heap, room * sizeof(*heap));

		if (!bigger)
			emu_bug("no memory for %u timers", room);
		heap = bigger;
		heap_room = room;
	}
	sift_up(heap_len++, t);
}

static void set_fd(vclock_ns_t deadline)
{
	struct itimerspec its = { .it_value = clock_to_host(deadline) };

	if (!its.it_value.tv_sec && !its.it_value.tv_nsec)
		its.it_value.tv_nsec = 1; /* 0 would disarm */
	fd_deadline = deadline;
	if (fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL))
		emu_bug("timerfd_settime: errno %d", errno);
}

void timer_init(struct timer *t, timer_fn fn, void *opaque)
{
	*t = (struct timer){ .fn = fn, .opaque = opaque, .heap_pos = -1 };
}

void timer_arm(struct timer *t, vclock_ns_t deadline)
{
	lock_acquire(&queue_lock);
	if (t->heap_pos >= 0)
		heap_remove(t);
	t->deadline = deadline;
	heap_add(t);
	if (deadline < fd_deadline)
		set_fd(deadline);
	lock_release(&queue_lock);
}

void timer_disarm(struct timer *t)
{
	lock_acquire(&queue_lock);
	if (t->heap_pos >= 0)
		heap_remove(t);
	lock_release(&queue_lock);
}

void timer_fini(struct timer *t)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&run_count, __ATOMIC_ACQUIRE);
		bool busy;

		lock_acquire(&queue_lock);
		if (t->heap_pos >= 0)
			heap_remove(t);
		busy = running == t;
		lock_release(&queue_lock);
		if (!busy)
			return;
		futex_wait(&run_count, seen, NULL);
	}
}

int timer_queue_fd(void)
{
	int result;

	lock_acquire(&queue_lock);
	if (fd < 0) {
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (fd >= 0 && fd_deadline != VCLOCK_NEVER)
			set_fd(fd_deadline);
	}
	result = fd >= 0 ? fd : -errno;
	lock_release(&queue_lock);
	return result;
}

/* The next due timer, taken out of the heap and marked running; or NULL, with the timerfd set for the next one. */
static struct timer *take_due_locked(void)
{
	if (heap_len && heap[0]->deadline <= clock_now()) {
		running = heap[0];
		heap_remove(running);
		return running;
	}
	if (heap_len)
		set_fd(heap[0]->deadline);
	else
		fd_deadline = VCLOCK_NEVER;
	return NULL;
}

void timer_queue_run(void)
{
	uint64_t expirations;
	struct timer *t;

	/* Emptied before the heap is looked at: what is armed from here on makes the timerfd readable again. */
	if (read(fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		emu_bug("read of the timerfd: errno %d", errno);
	lock_acquire(&queue_lock);
	while ((t = take_due_locked())) {
		timer_fn fn = t->fn;
		void *opaque = t->opaque;

		lock_release(&queue_lock);
		fn(opaque);
		lock_acquire(&queue_lock);
		running = NULL;
		__atomic_fetch_add(&run_count, 1, __ATOMIC_RELEASE);
		futex_wake(&run_count, INT32_MAX);
	}
	lock_release(&queue_lock);
}
