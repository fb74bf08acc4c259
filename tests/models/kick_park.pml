/* SPDX-License-Identifier: MIT */
/*
 * Halt/park against interrupt and kick: no wake-up is lost (design: section 5, "Halted vCPUs park on a futex" and
 * "Senders only set bits"; section 4, "a per-vCPU lock-free mailbox and a kick").
 *
 * C files: src/sched/cpu_thread.c (cpu_thread_park, cpu_thread_wake), src/mem/tlb.c (a user of the mailbox); the
 * request word is env.request of src/tcg/env.h, the IRR and its outstanding bit belong to the local APIC.
 *
 * One receiver vCPU that runs, polls and halts for ever; two interrupt senders, each with a vector of its own; one
 * sender of mailbox work (a TLB flush, a shoot-down). Only the interrupt senders share the "outstanding" bit.
 *
 * Checked: when all senders are done and all stores have reached memory, a receiver that sleeps or polls an empty
 * request word has neither a pending vector nor pending work.
 *
 * Mutations (each must be caught): RELAXED_REQUEST TOKEN_FIRST NO_WAKE HALT_BLINDLY PARK_OVERWRITES BLIND_WAIT
 * TAKE_RELAXED CLEAR_OUT_LATE CLEAR_OUT_RELAXED CLEAR_REQ_LATE
 */
#define N_CPUS 4 /* process 0: receiver, 1 and 2: interrupt senders, 3: work sender */
#define SB_DEPTH 2
#define N_SENDERS 3
#ifndef SENDS
#define SENDS 2 /* interrupts of each sender */
#endif
#ifndef WORKS
#define WORKS 1 /* pieces of work */
#endif

#define REQ_INT 0  /* two bits of one request word: set one by one, taken together by one exchange */
#define REQ_WORK 1
#define OUT 2      /* the "outstanding" bit beside the IRR */
#define IRR(i) (2 + (i)) /* vector of sender i: cells 3 and 4 */
#define MAILBOX 5
#define WORD 6     /* the park word */
#define N_CELLS 7

#define AWAKE 0
#define PARKED 1
#define TOKEN 2

#include "tso.pml"

#define RUN 0   /* at the poll */
#define BUSY 1  /* between two polls: handling, or on the way to sleep */
#define SLEEP 2 /* in the kernel's futex queue */

byte at = RUN;
byte senders_done;

/* S3: set the request bit: a locked OR, a full barrier. Pairs with the exchanges of the parker (T1, T4). */
inline set_request(bit_cell)
{
	STORE(bit_cell, 1);
#ifndef RELAXED_REQUEST
	FENCE;
#endif
}

/* S4-S6: cpu_thread_wake(). */
inline wake()
{
	if
	:: LOAD(WORD) == TOKEN /* S4: there is one already; whoever takes it looks at the requests afterwards */
	:: LOAD(WORD) != TOKEN ->
		d_step { DRAINED -> was = mem[WORD]; mem[WORD] = TOKEN; } /* S5: a locked exchange */
		if
#ifndef NO_WAKE
		:: was == PARKED -> /* S6: FUTEX_WAKE, after the word has changed */
			d_step {
				if
				:: at == SLEEP -> at = BUSY
				:: else
				fi
			}
#endif
		:: else
		fi
	fi;
	was = 0
}

/* vcpu_request() */
inline request(bit_cell)
{
#ifdef TOKEN_FIRST
	wake();
	set_request(bit_cell)
#else
	set_request(bit_cell);
	wake()
#endif
}

proctype int_sender(byte me)
{
	byte n, was;
	bool outstanding;

	do
	:: n < SENDS ->
		n++;
		/* S1: the vector. A locked OR. */
		d_step { DRAINED -> mem[IRR(me)] = 1; }
		/* S2: the outstanding bit decides who kicks. A locked exchange. Pairs with R3. */
		d_step { DRAINED -> outstanding = mem[OUT]; mem[OUT] = 1; }
		if
		:: !outstanding -> request(REQ_INT)
		:: else
		fi;
		outstanding = false
	:: n == SENDS -> break
	od;
	senders_done++
}

proctype work_sender(byte me)
{
	byte n, was;

	do
	:: n < WORKS ->
		n++;
		d_step { DRAINED -> mem[MAILBOX] = 1; } /* enqueue: a locked exchange on the tail */
		request(REQ_WORK)
	:: n == WORKS -> break
	od;
	senders_done++
}

/* R4: take the vectors, one locked AND each. */
inline scan_irr()
{
	if
	:: LOAD(IRR(1)) -> d_step { DRAINED -> mem[IRR(1)] = 0; }
	:: !LOAD(IRR(1))
	fi;
	if
	:: LOAD(IRR(2)) -> d_step { DRAINED -> mem[IRR(2)] = 0; }
	:: !LOAD(IRR(2))
	fi
}

/* R3 and R4: allow the next sender to kick, then collect what has been sent. */
inline accept_interrupts()
{
#ifdef CLEAR_OUT_LATE
	scan_irr();
	d_step { DRAINED -> mem[OUT] = 0; }
#else
#ifdef CLEAR_OUT_RELAXED
	STORE(OUT, 0); /* a plain store may be overtaken by the scan */
#else
	d_step { DRAINED -> mem[OUT] = 0; } /* R3: locked exchange. Pairs with S2. */
#endif
	scan_irr()
#endif
}

inline take_requests()
{
#ifdef CLEAR_REQ_LATE
	d_step { DRAINED -> r_int = mem[REQ_INT]; r_work = mem[REQ_WORK]; }
#else
	/* R2: exchange the request word with zero, before serving what it asked for. */
	d_step { DRAINED -> r_int = mem[REQ_INT]; r_work = mem[REQ_WORK]; mem[REQ_INT] = 0; mem[REQ_WORK] = 0; }
#endif
	if
	:: r_work -> d_step { DRAINED -> mem[MAILBOX] = 0; } /* dequeue all */
	:: else
	fi;
	if
	:: r_int -> accept_interrupts()
	:: else
	fi;
#ifdef CLEAR_REQ_LATE
	d_step { DRAINED -> mem[REQ_INT] = 0; mem[REQ_WORK] = 0; }
#endif
	atomic { r_int = 0; r_work = 0; at = RUN; }
}

/* T1, T5: TOKEN -> AWAKE by compare-and-exchange. */
inline take_token()
{
#ifdef TAKE_RELAXED
	if
	:: LOAD(WORD) == TOKEN -> STORE(WORD, AWAKE); took = true
	:: LOAD(WORD) != TOKEN
	fi
#else
	d_step {
		DRAINED ->
		if
		:: mem[WORD] == TOKEN -> mem[WORD] = AWAKE; took = true
		:: else
		fi
	}
#endif
}

/* cpu_thread_park(). The adaptive spin is a repeated T1 and adds nothing. */
inline park()
{
	took = false;
	take_token(); /* T1 */
	if
	:: took
	:: else ->
		/* T2: AWAKE -> PARKED by compare-and-exchange; only a token can stand in the way */
		d_step {
			DRAINED ->
			if
#ifndef PARK_OVERWRITES
			:: mem[WORD] == TOKEN
#endif
			:: else -> mem[WORD] = PARKED
			fi
		}
		do
		:: LOAD(WORD) == PARKED ->
			/* T3: FUTEX_WAIT: the kernel compares and queues in one step. */
			d_step {
				DRAINED ->
				if
#ifndef BLIND_WAIT
				:: mem[WORD] != PARKED
#endif
				:: else -> at = SLEEP
				fi
			}
end_sleep:
			if
			:: at != SLEEP /* woken, or never slept */
			:: atomic { at == SLEEP -> at = BUSY; } /* spurious, or a signal */
			:: atomic { at == SLEEP -> at = BUSY; } /* T4: the deadline: leave by an exchange */
				d_step { DRAINED -> mem[WORD] = AWAKE; }
				break
			fi
		:: LOAD(WORD) != PARKED -> break
		od;
		take_token() /* T5 */
	fi;
	took = false
}

proctype receiver(byte me)
{
	bool r_int, r_work, took;

end_run:
	do
	:: atomic { LOAD(REQ_INT) || LOAD(REQ_WORK) -> at = BUSY; } /* R1: the poll */
		take_requests()
#ifdef HALT_BLINDLY
	:: at = BUSY;
#else
	:: atomic { !LOAD(REQ_INT) && !LOAD(REQ_WORK) -> at = BUSY; } /* R5: halted, and looked at the requests */
#endif
		park();
		at = RUN
	od
}

#define STORES_DONE (sb_n[0] == 0 && sb_n[1] == 0 && sb_n[2] == 0 && sb_n[3] == 0)
#define IDLE (at == SLEEP || (at == RUN && !mem[REQ_INT] && !mem[REQ_WORK]))
#define PENDING (mem[IRR(1)] || mem[IRR(2)] || mem[MAILBOX])

/* Enabled exactly in the states that must not exist. */
active proctype lost_wakeup()
{
end:
	atomic { senders_done == N_SENDERS && STORES_DONE && IDLE && PENDING -> assert(false); }
}

init {
	atomic {
		run receiver(0);
		run int_sender(1);
		run int_sender(2);
		run work_sender(3);
	}
}
