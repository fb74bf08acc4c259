/* SPDX-License-Identifier: MIT */
/*
 * The host timer of a vCPU's thread against its signal handler: no deadline of the guest is missed (docs/CONCURRENCY.md, "Requests").
 *
 * C files: src/sched/cpu_thread.c (cpu_thread_timer_set, on_timer_signal), src/vcpu/exec.c (timer_check, park), src/vcpu/vcpus.c
 * (vcpu_timer_changed, thread_timer).
 *
 * One vCPU, whose guest sets SETS deadlines of its choice, executes, or is halted; time goes on to LAST as it likes. The handler runs on the
 * vCPU's thread: for it, each of its runs is one step between two of its own. The kernel keeps a signal that it has sent when the timer is set anew.
 *
 * Checked: when time has come to its end, a vCPU that polls an empty request word, or sleeps, has no deadline behind it.
 *
 * Mutations (each must be caught): SET_FIRST HANDLER_KEEPS HANDLER_QUIET NOT_SET_AGAIN TAKE_LATE
 */
#ifndef SETS
#define SETS 3
#endif
#define LAST 3
#define NEVER 9

byte now;
byte timer = NEVER;    /* the kernel's */
bool signalled;        /* on its way to the thread */
byte armed = NEVER;    /* cpu_thread.timer_armed */
byte due = NEVER;      /* what the guest waits for */
bool request;          /* VCPU_REQ_TIMER */
bool idle;             /* at the poll, or asleep */

active proctype time()
{
end:
	do
	:: atomic { now < LAST -> now++; }
	:: atomic { timer <= now -> timer = NEVER; signalled = true; }
	od
}

/* on_timer_signal() */
active proctype handler()
{
end:
	do
	:: atomic {
			signalled -> signalled = false;
#ifndef HANDLER_KEEPS
			armed = NEVER;
#endif
#ifndef HANDLER_QUIET
			request = true;
#endif
		}
	od
}

/* cpu_thread_timer_set() */
inline timer_set()
{
	if
	:: due >= armed
	:: else ->
#ifdef SET_FIRST
		timer = due;
		armed = due
#else
		armed = due;
		timer = due
#endif
	fi
}

/* take_requests(), timer_check() */
inline take()
{
#ifndef TAKE_LATE
	request = false;
#endif
	if
	:: due <= now -> due = NEVER /* the interrupt */
	:: else
	fi;
#ifndef NOT_SET_AGAIN
	timer_set();
#endif
#ifdef TAKE_LATE
	request = false
#endif
}

active proctype vcpu()
{
	byte sets;

end_run:
	do
	:: atomic { request -> idle = false; }
		take();
		idle = true
	:: atomic { !request && sets < SETS -> sets++; idle = false; }
		if
		:: due = 1
		:: due = 2
		:: due = 3
		fi;
		timer_set();
		idle = true
	:: atomic { !request && due <= now -> request = true; } /* park(): the futex's limit was first */
	od
}

/* Enabled exactly in the states that must not exist. */
active proctype missed()
{
end:
	atomic { now == LAST && due <= now && idle && !request && !signalled && timer == NEVER -> assert(false); }
}
