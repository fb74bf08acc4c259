/* SPDX-License-Identifier: MIT */
/*
 * epoll over the watched descriptors, the timer queue's timerfd and an eventfd for deferred calls and stop. The loop
 * thread is an RCU reader while it runs callbacks and offline while it waits.
 */
#include "sched/evloop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sched/timer_queue.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/rcu.h"

#define BATCH 32

struct watch {
	evloop_fd_fn fn; /* NULL: not watched */
	void *opaque;
};

struct call {
	struct call *next;
	evloop_call_fn fn;
	void *opaque;
};

static struct ranked_lock lock = RANKED_LOCK_INIT(QUEUE);
static struct watch *watches;            /* [lock lock] indexed by descriptor */
static int nr_watches;                   /* [lock lock] */
static struct call *calls, **calls_tail; /* [lock lock] in order of arrival */
static int epoll_fd = -1, wake_fd = -1, timer_fd = -1; /* [const] after evloop_init() */
static int stop_status;                  /* [atomic] written before stopping */
static bool stopping;                    /* [atomic] release; read with acquire */

static int watch_internal(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int evloop_init(void)
{
	int ret;

	if (epoll_fd >= 0)
		return 0;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return -errno;
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wake_fd < 0)
		return -errno;
	timer_fd = timer_queue_fd();
	if (timer_fd < 0)
		return timer_fd;
	calls_tail = &calls;
	ret = watch_internal(wake_fd);
	return ret ? ret : watch_internal(timer_fd);
}

static int watches_grow_locked(int fd)
{
	int nr = fd + 16;
	struct watch *bigger = realloc(watches, (size_t)nr * sizeof(*watches));

	if (!bigger)
		return -ENOMEM;
	for (int i = nr_watches; i < nr; i++)
		bigger[i] = (struct watch){ 0 };
	watches = bigger;
	nr_watches = nr;
	return 0;
}

int evloop_fd_add(int fd, unsigned events, evloop_fd_fn fn, void *opaque)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };
	int ret = 0;

	lock_acquire(&lock);
	if (fd >= nr_watches)
		ret = watches_grow_locked(fd);
	if (!ret) {
		watches[fd] = (struct watch){ fn, opaque };
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
			ret = -errno;
			if (ret != -EEXIST)
				watches[fd].fn = NULL;
		}
	}
	lock_release(&lock);
	return ret;
}

int evloop_fd_mod(int fd, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &ev) ? -errno : 0;
}

void evloop_fd_del(int fd)
{
	lock_acquire(&lock);
	if (fd >= 0 && fd < nr_watches && watches[fd].fn) {
		watches[fd].fn = NULL;
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	}
	lock_release(&lock);
}

static void wake(void)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the loop wakes in any case. */
	while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void evloop_call(evloop_call_fn fn, void *opaque)
{
	struct call *c = malloc(sizeof(*c));
	bool first;

	if (!c)
		emu_bug("no memory for a deferred call");
	*c = (struct call){ NULL, fn, opaque };
	lock_acquire(&lock);
	first = !calls;
	*calls_tail = c;
	calls_tail = &c->next;
	lock_release(&lock);
	if (first)
		wake();
}

void evloop_stop(int status)
{
	__atomic_store_n(&stop_status, status, __ATOMIC_RELAXED);
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	wake();
}

static void run_calls(void)
{
	uint64_t count;
	struct call *c, *next;

	/* Emptied before the list is taken: a call that comes later finds the list empty and writes again. */
	while (read(wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	lock_acquire(&lock);
	c = calls;
	calls = NULL;
	calls_tail = &calls;
	lock_release(&lock);
	for (; c; c = next) {
		next = c->next;
		c->fn(c->opaque);
		free(c);
	}
}

static void dispatch(int fd, unsigned events)
{
	struct watch w = { 0 };

	if (fd == wake_fd) {
		run_calls();
		return;
	}
	if (fd == timer_fd) {
		timer_queue_run();
		return;
	}
	lock_acquire(&lock);
	if (fd < nr_watches)
		w = watches[fd];
	lock_release(&lock);
	if (w.fn)
		w.fn(w.opaque, fd, events);
}

int evloop_run(void)
{
	struct epoll_event events[BATCH];

	rcu_register();
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		int n;

		rcu_offline();
		n = epoll_wait(epoll_fd, events, BATCH, -1);
		rcu_online();
		if (n < 0 && errno != EINTR)
			emu_bug("epoll_wait: errno %d", errno);
		for (int i = 0; i < n; i++)
			dispatch(events[i].data.fd, events[i].events);
	}
	__atomic_store_n(&stopping, false, __ATOMIC_RELAXED);
	return __atomic_load_n(&stop_status, __ATOMIC_RELAXED);
}
