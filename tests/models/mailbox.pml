/* SPDX-License-Identifier: MIT */
/*
 * Mail from one vCPU to another, whose sender may sleep until it is answered, against going outside and coming back (docs/CONCURRENCY.md, "Making a
 * page code"; what is revoked, and when it must be, is in code_page.pml).
 *
 * C file: src/vcpu/mailbox.c.
 *
 * Two vCPUs, each doing OPS operations of its free choice: use a writable entry if it has one, revoke the other's, pass a safepoint, go
 * outside and stay there or come back.
 *
 * Checked: no vCPU uses an entry that another has revoked. Mail is not touched when it has been freed. No sender sleeps for ever.
 *
 * Mutations (each must be caught): RELAXED_POST RELAXED_ENTRY ENTER_BLINDLY RELAXED_LEAVE LEAVE_BLINDLY NO_WAKE ANSWER_PLAIN SLEEP_BLINDLY
 * ONE_REF WAIT_INSIDE
 */
#define N_CPUS 2
#define SB_DEPTH 1
#ifndef OPS
#define OPS 2
#endif
#define MAILS (2 * OPS) /* each with a place of its own, for two of them may be in one box */

#define INSIDE(i) (i)
#define BOX(i) (2 + (i))   /* bit n: mail n */
#define WORD(n) (4 + (n))  /* mail.state */
#define N_CELLS (4 + MAILS)

#define SENT 0
#define DONE 1
#define AWAITED 2

#include "tso.pml"

#define SWAP(x, v) d_step { DRAINED -> mem[x] = (v); } /* a sequentially consistent store */

byte refs[MAILS]; /* the last to put one frees the mail */
bool revoked[2];  /* ghost: the other knows that this vCPU has no entry */
bool asleep[2];   /* in the kernel's futex queue */

inline put(n)
{
	d_step {
		DRAINED -> /* a locked decrement */
		assert(refs[n] > 0);
		refs[n]--;
	}
}

/* answer() */
inline answer(n)
{
	assert(refs[n] > 0);
#ifdef ANSWER_PLAIN
	was = LOAD(WORD(n));
	SWAP(WORD(n), DONE);
#else
	d_step { DRAINED -> was = mem[WORD(n)]; mem[WORD(n)] = DONE; }
#endif
#ifndef NO_WAKE
	if
	:: was == AWAITED -> asleep[n / OPS] = false
	:: else
	fi;
#endif
	was = 0;
	put(n)
}

/* mailbox_run() */
inline run_box()
{
	d_step { DRAINED -> box = mem[BOX(me)]; mem[BOX(me)] = 0; }
	do
	:: box ->
		has_entry = false; /* tlb_revoke_write() */
		d_step {
			at = 0;
			do
			:: box & (1 << at) -> break
			:: else -> at++
			od;
			box = box & ~(1 << at);
		}
		skip;
		answer(at)
	:: else -> break
	od;
	at = 0
}

inline enter()
{
#ifdef RELAXED_ENTRY
	STORE(INSIDE(me), 1);
#else
	SWAP(INSIDE(me), 1); /* pairs with post(), then the look at INSIDE, in await() */
#endif
#ifndef ENTER_BLINDLY
	if
	:: LOAD(BOX(me)) -> run_box()
	:: !LOAD(BOX(me))
	fi
#endif
}

inline leave()
{
#ifdef RELAXED_LEAVE
	STORE(INSIDE(me), 0);
#else
	SWAP(INSIDE(me), 0);
#endif
#ifndef LEAVE_BLINDLY
	if
	:: LOAD(BOX(me)) -> run_box() /* a sender that saw us inside may sleep on it */
	:: !LOAD(BOX(me))
	fi
#endif
}

/* mailbox_revoke(): post(), and await(). */
inline revoke()
{
	mine = me * OPS + ops;
#ifdef ONE_REF
	refs[mine] = 1;
#else
	refs[mine] = 2;
#endif
#ifdef RELAXED_POST
	STORE(BOX(1 - me), mem[BOX(1 - me)] | (1 << mine));
#else
	d_step { DRAINED -> mem[BOX(1 - me)] = mem[BOX(1 - me)] | (1 << mine); }
#endif
#ifndef WAIT_INSIDE
	leave();
#endif
	do
	:: LOAD(WORD(mine)) == DONE -> break
	:: LOAD(WORD(mine)) != DONE ->
		if
		:: !LOAD(INSIDE(1 - me)) -> break
		:: LOAD(INSIDE(1 - me)) ->
#ifdef SLEEP_BLINDLY
			SWAP(WORD(mine), AWAITED);
#else
			/* may_sleep(): SENT -> AWAITED */
			d_step {
				DRAINED ->
				if
				:: mem[WORD(mine)] == SENT -> mem[WORD(mine)] = AWAITED
				:: else
				fi
			}
#endif
			/* FUTEX_WAIT: the kernel compares and queues in one step. */
			atomic {
				DRAINED ->
				if
				:: mem[WORD(mine)] == AWAITED -> asleep[me] = true
				:: else
				fi
			}
			!asleep[me]
		fi
	od;
	revoked[1 - me] = true;
	put(mine);
	mine = 0;
#ifndef WAIT_INSIDE
	enter()
#endif
}

proctype vcpu(byte me)
{
	bool has_entry = true;
	byte ops, was, box, at, mine;

	enter();
	do
	:: ops < OPS ->
		if
		:: has_entry -> assert(!revoked[me])
		:: revoke()
		:: run_box()
		:: leave();
			enter()
		fi;
		ops++
	:: else -> break
	od;
	leave() /* and sleeps for good */
}

init {
	atomic {
		run vcpu(0);
		run vcpu(1)
	}
}
