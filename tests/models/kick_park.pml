/* SPDX-License-Identifier: MIT */
/*
 * Halt/park against interrupt and kick: no wake-up is lost (design: section 5, "Halted vCPUs park on a futex" and
 * "Senders only set bits"; section 4, "a per-vCPU lock-free mailbox and a kick").
 *
 * C files: src/sched/cpu_thread.c (cpu_thread_park, cpu_thread_wake), src/vcpu/vcpus.c (vcpu_request), src/vcpu/exec.c (safepoint, park),
 * src/hw/intc/lapic.c (lapic_set_irr, notify; lapic_pending, op_accept, lapic_recheck), src/vcpu/x86/x86_isa.c (events, wakeable). The
 * request word is env.request of src/tcg/env.h, the IRR and its outstanding bit are beside it.
 *
 * One receiver vCPU that runs, polls and halts for ever; two senders of two vectors, each of any; one sender of mailbox work (a TLB flush, a
 * shoot-down). Only the interrupt senders share the "outstanding" bit. Priorities and the guest's interrupt flag are in it so far that a vector
 * may be left at a safepoint: then the vCPU notes that one waits (env.irq_waiting), and looks anew when the guest enables interrupts.
 *
 * Checked: when all senders are done and all stores have reached memory, a receiver that sleeps, or runs with an empty request word and no note,
 * has neither a pending vector nor pending work; and none sleeps that has a request.
 *
 * As the code is, it uses locked operations only: the store buffers are for mutations. A look that may save a
 * locked operation is one step with it: where it finds nothing to do, the operation would have changed nothing at that moment.
 *
 * Mutations (each must be caught): RELAXED_REQUEST TOKEN_FIRST NO_WAKE HALT_BLINDLY PARK_OVERWRITES BLIND_WAIT
 * TAKE_RELAXED CLEAR_OUT_LATE CLEAR_OUT_RELAXED NOT_NOTED CLEAR_REQ_LATE
 */
#define N_CPUS 4 /* process 0: receiver, 1 and 2: interrupt senders, 3: work sender */
#define SB_DEPTH 1
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
#define IRR(i) (2 + (i)) /* two vectors: cells 3 and 4 */
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
bool waiting; /* the receiver's own: env.irq_waiting */

/* S3: set the request bit: a locked OR, a full barrier; had it been set, its setter wakes. Pairs with the exchanges of the parker (T1, T4). */
inline set_request(bit_cell)
{
#ifdef RELAXED_REQUEST
	d_step { old = LOAD(bit_cell); }
	STORE(bit_cell, 1)
#else
	d_step { DRAINED -> old = mem[bit_cell]; mem[bit_cell] = 1; }
#endif
}

/* S4-S6: cpu_thread_wake(). */
inline wake()
{
	if
	:: LOAD(WORD) == TOKEN /* S4: there is one already; whoever takes it looks at the requests afterwards */
	:: d_step { LOAD(WORD) != TOKEN && DRAINED -> was = mem[WORD]; mem[WORD] = TOKEN; } /* S5: a locked exchange */
		if
#ifndef NO_WAKE
		:: was == PARKED -> /* S6: FUTEX_WAKE, after the word has changed */
			d_step {
				was = 0;
				if
				:: at == SLEEP -> at = BUSY
				:: else
				fi
			}
#endif
		:: else -> was = 0
		fi
	fi
}

/* vcpu_request() */
inline request(bit_cell)
{
#ifdef TOKEN_FIRST
	wake();
	set_request(bit_cell);
#else
	set_request(bit_cell);
	if
	:: !old -> wake()
	:: else
	fi;
#endif
	old = 0
}

proctype int_sender(byte me)
{
	byte n, was, old, vector;

	do
	:: n < SENDS ->
		/* S1: the vector. A locked OR. One that is there already has a sender who notifies, or has done so. */
		atomic {
			n++;
			if
			:: vector = IRR(1)
			:: vector = IRR(2)
			fi;
			DRAINED ->
			was = mem[vector];
			mem[vector] = 1;
			vector = 0
		}
		/* S2: the outstanding bit decides who kicks: a locked exchange. Pairs with R3. */
		if
		:: !was ->
			d_step { DRAINED -> was = mem[OUT]; mem[OUT] = 1; }
			if
			:: !was -> request(REQ_INT)
			:: else
			fi
		:: else
		fi;
		was = 0
	:: n == SENDS -> break
	od;
	senders_done++
}

proctype work_sender(byte me)
{
	byte n, was, old;

	do
	:: n < WORKS ->
		n++;
		d_step { DRAINED -> mem[MAILBOX] = 1; } /* enqueue: a locked exchange on the tail */
		request(REQ_WORK)
	:: n == WORKS -> break
	od;
	senders_done++
}

/* R3: allow the next sender to kick, before what has been sent is looked at. */
inline clear_outstanding()
{
#ifdef CLEAR_OUT_RELAXED
	if
	:: LOAD(OUT) -> STORE(OUT, 0) /* a plain store may be overtaken by the look */
	:: else
	fi
#else
	/* A locked exchange, if it is set; pairs with S2. */
	d_step {
		!LOAD(OUT) || DRAINED ->
		if
		:: mem[OUT] -> mem[OUT] = 0
		:: else
		fi
	}
#endif
}

/* R4: the highest vector that is there, by a load each. */
inline highest_irr()
{
	d_step { vector = (LOAD(IRR(2)) -> IRR(2) : 0); }
	if
	:: !vector -> d_step { vector = (LOAD(IRR(1)) -> IRR(1) : 0); }
	:: else
	fi
}

/* lapic_pending() */
inline pending()
{
#ifdef CLEAR_OUT_LATE
	highest_irr();
	clear_outstanding()
#else
	clear_outstanding();
	highest_irr()
#endif
}

/* lapic_recheck() */
inline recheck()
{
	pending();
	if
	:: vector -> vector = 0; request(REQ_INT)
	:: else
	fi
}

/* op_accept() */
inline accept_one()
{
	pending();
	if
	:: vector ->
		d_step { DRAINED -> mem[vector] = 0; vector = 0; accepted = true; }
		recheck()
	:: else
	fi
}

/* take_requests() */
inline take_requests()
{
	/* R2: exchange the request word with zero, before serving what it asked for. */
	d_step {
		LOAD(REQ_INT) + LOAD(REQ_WORK) == 0 || DRAINED ->
		r_int = LOAD(REQ_INT);
		r_work = LOAD(REQ_WORK);
#ifndef CLEAR_REQ_LATE
		if
		:: r_int || r_work -> mem[REQ_INT] = 0; mem[REQ_WORK] = 0
		:: else
		fi
#endif
	}
	if
	:: r_work -> d_step { DRAINED -> mem[MAILBOX] = 0; } /* dequeue all */
	:: else
	fi;
	if
	:: r_int -> d_step { DRAINED -> mem[REQ_INT] = 1; } /* a pause came with it, and puts it back */
	:: true
	fi;
	d_step { r_int = 0; r_work = 0; }
}

/* safepoint(): requests, then events() */
inline safepoint(interruptible)
{
	take_requests();
	if
	:: interruptible -> accept_one()
	:: else
	fi;
	/* note_waiting() */
	pending();
	d_step {
#ifndef NOT_NOTED
		waiting = vector != 0;
#endif
		vector = 0
	}
#ifdef CLEAR_REQ_LATE
	d_step { DRAINED -> mem[REQ_INT] = 0; mem[REQ_WORK] = 0; }
#endif
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
		:: LOAD(WORD) != PARKED ->
			take_token(); /* T5 */
			break
		od
	fi;
	took = false
}

#ifdef HALT_BLINDLY
#define REQUESTED false
#else
#define REQUESTED (LOAD(REQ_INT) || LOAD(REQ_WORK))
#endif

/* HLT with interrupts enabled, until one has been accepted; a deadline without one ends it too (the guest's timer). */
inline halt()
{
	do
	:: true ->
		safepoint(true);
		if
		:: accepted -> break
		:: else
		fi;
		/* R5: wakeable() */
		if
		:: REQUESTED
		:: else ->
			pending();
			if
			:: vector -> vector = 0
			:: else ->
				if
				:: REQUESTED /* exec.c, park() */
				:: else -> park()
				fi
			fi
		fi
	od;
	accepted = false
}

proctype receiver(byte me)
{
	bool r_int, r_work, took, accepted;
	byte was, old, vector;

end_run:
	do
	:: atomic { LOAD(REQ_INT) || LOAD(REQ_WORK) || waiting -> at = BUSY; } /* R1: the poll; a note, where the guest enables interrupts */
		if
		:: true -> safepoint(true); accepted = false
		:: true -> safepoint(false)
		fi;
		at = RUN
	:: at = BUSY; /* EOI and what else may let a vector through */
		recheck();
		at = RUN
	:: at = BUSY;
		halt();
		at = RUN
	od
}

#define STORES_DONE (sb_n[0] == 0 && sb_n[1] == 0 && sb_n[2] == 0 && sb_n[3] == 0)
#define REQUEST (mem[REQ_INT] || mem[REQ_WORK])
#define IDLE (at == SLEEP || (at == RUN && !REQUEST && !waiting))
#define PENDING (mem[IRR(1)] || mem[IRR(2)] || mem[MAILBOX] || (at == SLEEP && REQUEST))

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
