/* SPDX-License-Identifier: MIT */
/*
 * The I/O loop: one thread that waits for file descriptors, device timers and deferred calls.
 * Threads: evloop_run() on the main thread; the others from any thread.
 */
#ifndef COHORT_SCHED_EVLOOP_H
#define COHORT_SCHED_EVLOOP_H

#include "util/types.h"

typedef void (*evloop_fd_fn)(void *opaque, int fd, unsigned events); /* events: EPOLLIN, EPOLLOUT, ... */
typedef void (*evloop_call_fn)(void *opaque);

int must_check evloop_init(void); /* 0 or negative errno; as all of these */
/*
 * Watches a file descriptor. -EPERM: it is a plain file or /dev/null, always ready; read it directly. After
 * evloop_fd_del(), on any thread but the loop, one last call may still be about to run: fn must stand an event that is not there.
 */
int must_check evloop_fd_add(int fd, unsigned events, evloop_fd_fn fn, void *opaque);
int must_check evloop_fd_mod(int fd, unsigned events);
void evloop_fd_del(int fd); /* before the descriptor is closed */
/* Runs fn on the loop thread, soon. Never blocks; usable from vCPU threads with device locks held. */
void evloop_call(evloop_call_fn fn, void *opaque);
/* Async-signal-safe wake-up is part of evloop_stop(). Runs until evloop_stop(); returns its status argument. */
int evloop_run(void);
void evloop_stop(int status);

#endif
