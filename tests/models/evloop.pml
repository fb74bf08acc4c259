/* SPDX-License-Identifier: MIT */
/*
 * Calls for the I/O loop, and its end: none is lost (docs/CONCURRENCY.md, "Threads").
 *
 * C file: src/sched/evloop.c (evloop_call, evloop_stop, run_calls, evloop_run). The list is under a lock; who adds to an empty one writes to the
 * eventfd. epoll reports as long as the eventfd is not zero.
 *
 * Two callers with CALLS calls each, and one who stops the loop.
 *
 * Checked: while the loop waits for events and nothing wakes it, the list is empty, and it has not been told to stop.
 *
 * Mutations (each must be caught): READ_LATE NO_WAKE FIRST_BLINDLY STOP_LATE STOP_QUIETLY
 */
#ifndef CALLS
#define CALLS 2
#endif

bool locked;
byte list, event;
bool stopping, waits;

inline lock()
{
	d_step { !locked -> locked = true; }
}

/* evloop_call() */
proctype caller()
{
	byte n;
	bool first;

	do
	:: n < CALLS ->
		n++;
#ifdef FIRST_BLINDLY
		first = !list;
		lock();
#else
		lock();
		first = !list;
#endif
		list++;
		locked = false;
#ifndef NO_WAKE
		if
		:: first -> event = 1
		:: else
		fi
#endif
	:: else -> break
	od
}

/* evloop_stop() */
proctype stopper()
{
#ifdef STOP_LATE
	event = 1;
	stopping = true
#else
	stopping = true;
#ifndef STOP_QUIETLY
	event = 1
#endif
#endif
}

/* evloop_run(), run_calls() */
active proctype loop()
{
	do
	:: stopping -> break
	:: else ->
		waits = true;
end_wait:
		atomic { event -> waits = false; }
#ifdef READ_LATE
		lock();
		list = 0;
		locked = false;
		event = 0
#else
		event = 0;
		lock();
		list = 0;
		locked = false
#endif
	od
}

/* Enabled exactly in the states that must not exist. */
active proctype lost()
{
end:
	atomic { waits && !event && _nr_pr == 2 && (list || stopping) -> assert(false); }
}

init {
	atomic {
		run caller();
		run caller();
		if
		:: run stopper()
		:: skip
		fi
	}
}
