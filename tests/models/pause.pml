/* SPDX-License-Identifier: MIT */
/*
 * Stopping all vCPUs and letting them go on, for the monitor, a reset or a debugger (docs/CONCURRENCY.md, "Standing still").
 *
 * C files: src/vcpu/vcpus.c (vcpus_pause_all, vcpu_resume, vcpus_stop, vcpu_pause_wait, vcpu_wait_for_pause), src/vcpu/exec.c
 * (take_requests, wait_while_paused, stop_for_debugger), src/vcpu/debugger.c, src/main/machine.c.
 *
 * Two vCPUs that execute, or are halted, and stop by themselves at a debugger's point, up to STOPS and STOPS1 times; one interrupt to the first;
 * the main thread, which pauses all PAUSES times by the user's wish, and whenever a vCPU has stopped by itself, lets some or all of them go on, and
 * ends them at last. Each look at a request word, or at vcpu.paused, is one atomic operation. What parks is woken by any request (kick_park.pml).
 *
 * Checked: while the main thread takes all for standing, none executes. The interrupt is not lost by a stop. No deadlock.
 *
 * Mutations (each must be caught): ASK_LATE ASK_QUIETLY STAND_QUIETLY STAND_BLINDLY WAIT_BLINDLY GO_QUIETLY END_AS_RUNS
 * REQUEST_DROPPED STOP_DROPPED
 */
#ifndef PAUSES
#define PAUSES 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef STOPS1
#define STOPS1 0 /* of the second vCPU */
#endif

#define RUNS 0
#define ASKED 1
#define STANDS 2
#ifdef END_AS_RUNS
#define ENDS RUNS
#else
#define ENDS 3
#endif

#define REQ_PAUSE 1
#define REQ_EXIT 2
#define REQ_INTR 4

byte paused[2];        /* vcpu.paused, a futex word */
byte request[2];
bool sleeps[2];        /* vCPU i sleeps on paused[i] */
bool main_sleeps[2];   /* the main thread sleeps on paused[i] */
bool executes[2];      /* or is halted; nothing has been taken from the request word */
bool all_stand;        /* ghost: the main thread takes it for that */
bool pending;          /* the interrupt, at vCPU 0 */
bool sent;
byte told;             /* deferred calls of the I/O loop */
byte ended;

/* futex_wait(word, value) of a vCPU: compares and queues in one step. */
inline sleep_on(value)
{
	atomic {
		if
		:: paused[me] == value -> sleeps[me] = true
		:: else
		fi
	}
	!sleeps[me]
}

/* vcpu_pause_wait() */
inline pause_wait()
{
	do
	:: true ->
#ifdef STAND_BLINDLY
		if
		:: paused[me] != ENDS -> seen = STANDS; paused[me] = STANDS
		:: else -> seen = ENDS
		fi;
#else
		d_step { /* compare and exchange */
			if
			:: paused[me] == ASKED -> paused[me] = STANDS; seen = STANDS; stood = true
			:: else -> seen = paused[me]; stood = false
			fi
		}
#endif
#ifndef STAND_QUIETLY
		if
		:: stood -> main_sleeps[me] = false
		:: else
		fi;
#endif
		if
		:: seen == RUNS || seen == ENDS -> break
		:: else -> sleep_on(STANDS)
		fi
	od;
	stood = false;
	seen = 0
}

/* stop_for_debugger(): what was taken goes back, and all is looked at anew. */
inline stop_for_debugger()
{
#ifndef STOP_DROPPED
	request[me] = request[me] | (req & REQ_INTR);
#endif
	told++; /* the listener: evloop_call() */
	/* vcpu_wait_for_pause() */
	do
	:: paused[me] == RUNS -> sleep_on(RUNS)
	:: paused[me] != RUNS -> break
	od;
	pause_wait()
}

proctype vcpu(byte me; byte stops)
{
	byte req, seen;
	bool stood, stop, want;

	do
	:: true ->
		/* take_requests() */
		d_step { req = request[me]; request[me] = 0; }
		if
		:: req & REQ_EXIT -> stop = true
		:: else
		fi;
		if
		:: req & REQ_PAUSE ->
#ifndef REQUEST_DROPPED
			request[me] = request[me] | (req & REQ_INTR);
#endif
			pause_wait();
			req = 0
		:: else
		fi;
		if
		:: stop -> break
		:: else
		fi;
		if
		:: want -> want = false; stop_for_debugger(); req = 0; goto next
		:: else
		fi;
		if
		:: req & REQ_INTR -> pending = false
		:: else
		fi;
		req = 0;
		/* The guest executes, and may meet a point; or is halted, and parks. */
		atomic { assert(!all_stand); executes[me] = true; }
		if
		:: atomic { stops -> stops--; want = true; executes[me] = false; }
		:: atomic { request[me] != 0 -> executes[me] = false; }
		fi;
next:
		skip
	od;
	ended++
}

/* pause_ask_all() */
inline ask(i)
{
#ifdef ASK_LATE
	request[i] = request[i] | REQ_PAUSE;
	paused[i] = ASKED;
#else
	paused[i] = ASKED;
	request[i] = request[i] | REQ_PAUSE;
#endif
#ifndef ASK_QUIETLY
	sleeps[i] = false /* one that stopped by itself waits for this */
#endif
}

inline await(i)
{
	do
	:: paused[i] == ASKED ->
#ifdef WAIT_BLINDLY
		main_sleeps[i] = true;
#else
		atomic {
			if
			:: paused[i] == ASKED -> main_sleeps[i] = true
			:: else
			fi
		}
#endif
		!main_sleeps[i]
	:: paused[i] != ASKED -> break
	od
}

inline pause_all()
{
	ask(0);
	ask(1);
	await(0);
	await(1);
	atomic { all_stand = true; assert(!executes[0] && !executes[1]); }
}

inline let_go(i, how)
{
	paused[i] = how;
#ifndef GO_QUIETLY
	sleeps[i] = false
#endif
}

/* Some stay: a debugger steps one vCPU. They go on with the next pause at the latest. */
inline let_some_go()
{
	all_stand = false;
	if
	:: let_go(0, RUNS);
		let_go(1, RUNS)
	:: pauses < PAUSES ->
		if
		:: let_go(0, RUNS)
		:: let_go(1, RUNS)
		fi
	fi
}

active proctype main_thread()
{
	byte pauses;

	do
	:: told -> told--; pause_all(); let_some_go()
	:: pauses < PAUSES -> pauses++; pause_all(); let_some_go()
	:: pauses == PAUSES && !told -> break
	od;
	/* vcpus_stop() */
	request[0] = request[0] | REQ_EXIT;
	let_go(0, ENDS);
	request[1] = request[1] | REQ_EXIT;
	let_go(1, ENDS);
	ended == 2;
}

active proctype sender()
{
	pending = true;
	request[0] = request[0] | REQ_INTR;
	sent = true
}

init {
	atomic {
		run vcpu(0, STOPS);
		run vcpu(1, STOPS1)
	}
}

/* Enabled exactly in the states that must not exist. */
active proctype lost_interrupt()
{
end:
	atomic { sent && pending && executes[0] && !request[0] -> assert(false); }
}
