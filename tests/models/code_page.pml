/* SPDX-License-Identifier: MIT */
/*
 * Making a page code against stores to it: no store slips in unseen by a published translation (design: section 4,
 * "Making a page code", "Stores to code pages", "Page descriptor"; section 3, steps 1 to 3 of "Publish").
 *
 * C files: src/mem/code_watch.c (arm, writer set, store, disarm), src/mem/tlb.c (fill, slow store, commit),
 * src/mem/tlb_flush.c (giving up entries), src/vcpu/mailbox.c (revoke, wait; leave and enter are "outside" here),
 * src/sched/cpu_thread.c (park: outside), src/tcg/cache/tb_cache.c (publish), src/tcg/cache/tb_inval.c (kill).
 *
 * The page may be opened: the vCPU of a slow store that leaves no block of the bytes may store to them inline (code_watch_replace_and_open()). The
 * vCPU of one that leaves blocks alive, because it changed bytes that they read when they run, may store without the page's lock from then on, what
 * changes no byte that a block watches, for which it looks at the page's blocks each time (code_watch_replace_unlocked()).
 *
 * One guest page. VCPUS equal vCPUs, each doing OPS operations of its free choice: guest store, translate, evict the
 * block, leave generated code and come back, with or without a safepoint before. Each store writes a value of its own,
 * so a block is up to date exactly if the bytes it was made from are the bytes in memory.
 *
 * Checked: whenever the page lock is free and no slow store is between its bytes and its commit, a published block was
 * made from the bytes in memory. No deadlock.
 *
 * Mutations (each must be caught): RELAXED_JOIN STATE_BEFORE_JOIN NO_REJOIN RELAXED_ARM NO_REVOKE NO_WAIT KEEP_OWN
 * NO_ARMING FORGET_LATE GEN_LATE NO_GEN_CHECK NO_GEN_BUMP DISARM_NO_BUMP NO_STORE_FENCE RELAXED_POST RELAXED_ENTRY
 * NO_ENTRY_POLL WAIT_INSIDE WAIT_LOCKED OPEN_NO_JOIN OPEN_NO_BUMP OPEN_WHEN_ARMING OPEN_UNLOCKED
 * OPEN_NOT_CLOSED CLOSE_OWN_ONLY CLOSE_KEEP_OWN LATE_NO_BUMP KEEP_OPEN CLOSE_KEEP_OPEN OPEN_BY_SET UNLOCKED_BLINDLY SAME_UNOPENED
 */
#ifndef VCPUS
#define VCPUS 2
#endif
#ifndef OPS
#define OPS 3
#endif
#define N_CPUS VCPUS
#ifndef SB_DEPTH
#define SB_DEPTH 2
#endif

#define PAGE_LOCK 0
#define STATE 1    /* page_desc.state */
#define GEN 2      /* page_desc.gen */
#define BYTES 3    /* the guest bytes */
#define TB_LIVE 4  /* page_desc.blocks: a block of this page is published ... */
#define TB_BYTES 5 /* ... and was made from these bytes */
#define VCELL(i, k) (6 + 3 * (i) + (k))
#define WRITER(i) VCELL(i, 0)  /* bit i of page_desc.writers */
#define MAILBOX(i) VCELL(i, 1) /* a revocation for this page waits in the mailbox of vCPU i */
#define OUTSIDE(i) VCELL(i, 2) /* vCPU i is outside: no access in flight, and reads its mailbox before it goes back */
#define N_CELLS (6 + 3 * VCPUS)

#define DATA 0
#define ARMING 1
#define CODE 2
#define OPEN 3

#include "tso.pml"

/*
 * GEN and TB_BYTES are read and written under the page lock only. Its release leaves the store buffer after
 * what was stored before, so for them the buffer cannot be noticed and they are written directly.
 */

byte last_value; /* ghost: gives each guest store its own value */
byte in_flight;  /* ghost: slow stores between the bytes and the end of their commit */

/* Serve the mailbox: drop the writable entry (tlb_revoke_write), then tell the sender by emptying the mailbox. */
inline safepoint()
{
	if
	:: LOAD(MAILBOX(me)) ->
		writable = false;
#ifndef KEEP_OPEN
		opened = false;
#endif
		d_step { DRAINED -> mem[MAILBOX(me)] = 0; }
	:: !LOAD(MAILBOX(me))
	fi
}

inline go_outside()
{
	STORE(OUTSIDE(me), 1);
}

inline go_inside()
{
	STORE(OUTSIDE(me), 0);
#ifndef RELAXED_ENTRY
	FENCE; /* pairs with the barrier between posting and looking at OUTSIDE */
#endif
#ifndef NO_ENTRY_POLL
	safepoint()
#endif
}

/*
 * F1-F3: code_watch_writer_add(): join the writer set, look at the state, look at the set again. F1-F2 pair with M1-M2.
 * F3 is for a join that an armer's M4 takes back while the page goes on to CODE and back to DATA before F2.
 */
inline tlb_fill()
{
	do
	:: true ->
#ifdef STATE_BEFORE_JOIN
		seen = LOAD(STATE);
#endif
		if
		:: LOAD(WRITER(me))
		:: !LOAD(WRITER(me)) ->
			STORE(WRITER(me), 1) /* F1: a locked OR into the mask ... */
#ifndef RELAXED_JOIN
			FENCE /* ... which is a full barrier */
#endif
		fi;
#ifndef STATE_BEFORE_JOIN
		seen = LOAD(STATE); /* F2 */
#endif
		if
#ifndef NO_REJOIN
		:: seen == DATA && !LOAD(WRITER(me)) /* F3: again */
		:: seen == DATA && LOAD(WRITER(me)) -> writable = true; break
#else
		:: seen == DATA -> writable = true; break
#endif
		:: seen != DATA -> break
		fi
	od;
	seen = 0
}

/* S1-S4: a store whose TLB entry is not writable: the bytes, then code_watch_store(). */
inline store_slow()
{
	in_flight++;
	STORE(BYTES, value); /* S1 */
#ifndef NO_STORE_FENCE
	FENCE; /* S2: pairs with M1: a translator whose ARMING this look misses reads the new bytes */
#endif
	if
	:: LOAD(STATE) == DATA
	:: LOAD(STATE) != DATA ->
		LOCK(PAGE_LOCK);
		if
		:: LOAD(STATE) != DATA ->
#ifndef NO_GEN_BUMP
			mem[GEN]++; /* S3 */
#endif
			STORE(TB_LIVE, 0); /* S4: kill; the steps of a kill are in tb_life.pml */
			/* The page may have other blocks, and those that do not overlap the store stay. */
			if
			:: disarm()
#ifndef OPEN_UNLOCKED
			:: open()
#endif
			:: skip
			fi
		:: LOAD(STATE) == DATA
		fi;
		UNLOCK(PAGE_LOCK)
#ifdef OPEN_UNLOCKED
		;
		open()
#endif
	fi;
	in_flight--
}

/* code_watch_disarm_locked() */
inline disarm()
{
	if
	:: LOAD(STATE) == CODE || LOAD(STATE) == OPEN ->
#ifndef DISARM_NO_BUMP
		mem[GEN]++;
#endif
		STORE(STATE, DATA)
	:: LOAD(STATE) != CODE && LOAD(STATE) != OPEN
	fi
}

#ifdef OPEN_WHEN_ARMING
#define MAY_OPEN (LOAD(STATE) != DATA)
#else
#define MAY_OPEN (LOAD(STATE) == CODE || LOAD(STATE) == OPEN)
#endif

/* open_locked(): the store has killed what was made of these bytes, and moved the generation. The entry is filled before the next safepoint. */
inline open()
{
	if
	:: MAY_OPEN ->
#ifdef OPEN_NO_BUMP
		mem[GEN]--;
#endif
#ifndef OPEN_NO_JOIN
		STORE(WRITER(me), 1);
#endif
		STORE(STATE, OPEN);
		opened = true;
		writable = true
	:: !MAY_OPEN
	fi
}

/* A slow store that changes only bytes which blocks read when they run: it kills none, and opens the page for such stores alone. */
inline store_late()
{
	LOCK(PAGE_LOCK);
	if
	:: LOAD(STATE) == CODE || LOAD(STATE) == OPEN ->
#ifndef LATE_NO_BUMP
		mem[GEN]++;
#endif
#ifndef OPEN_NO_JOIN
		STORE(WRITER(me), 1);
#endif
		STORE(STATE, OPEN);
		opened = true
	:: LOAD(STATE) != CODE && LOAD(STATE) != OPEN
	fi;
	UNLOCK(PAGE_LOCK)
}

#ifdef OPEN_BY_SET
#define HAS_OPENED (LOAD(STATE) == OPEN && LOAD(WRITER(me)))
#else
#define HAS_OPENED opened
#endif

/*
 * U1-U2: code_watch_replace_unlocked(). U1: is there a block, which watches the bytes? If not, they are stored; between look and store nobody can publish
 * one. If there is, they may be stored if they are in memory already: then it was made from them, or dies by the hand of who changed them.
 */
inline store_unlocked()
{
	if
#ifdef UNLOCKED_BLINDLY
	:: true -> STORE(BYTES, value)
#else
	:: LOAD(TB_LIVE) -> store_slow()
	:: !LOAD(TB_LIVE) -> STORE(BYTES, value) /* U2 */
#endif
	:: true -> seen = LOAD(BYTES); /* the value stored is that which is there */
		STORE(BYTES, seen);
		seen = 0
	fi
}

inline guest_store()
{
	atomic { last_value++; value = last_value; }
	if
	:: writable
	:: else -> tlb_fill()
	fi;
	/* Between here and the store lies the window: the entry has been checked, the store is still to come. */
	if
	:: writable -> STORE(BYTES, value)
	:: !writable && HAS_OPENED -> store_unlocked()
	:: !writable && !HAS_OPENED -> store_slow()
	:: !writable && !HAS_OPENED -> store_late()
#ifdef SAME_UNOPENED
	:: !writable && !HAS_OPENED -> store_unlocked()
#endif
	fi;
	value = 0
}

/* M3: code_watch_ops.revoke() for one other vCPU of the mask. */
inline revoke(j)
{
	if
	:: mask & (1 << j) ->
		STORE(MAILBOX(j), 1); /* post and kick */
#ifndef RELAXED_POST
		FENCE; /* pairs with the barrier of go_inside() */
#endif
#ifndef NO_WAIT
		/* Wait, being outside oneself: two who wait for each other must both get on. */
		go_outside();
		(LOAD(MAILBOX(j)) == 0 || LOAD(OUTSIDE(j)));
		go_inside();
#endif
	:: else
	fi
}

inline revoke_others()
{
	if
	:: me != 0 -> revoke(0)
	:: else
	fi;
	if
	:: me != 1 -> revoke(1)
	:: else
	fi;
#if VCPUS > 2
	if
	:: me != 2 -> revoke(2)
	:: else
	fi;
#endif
}

inline forget(j)
{
	if
	:: mask & (1 << j) -> d_step { DRAINED -> mem[WRITER(j)] = 0; } /* a locked AND */
	:: else
	fi
}

inline forget_mask()
{
	forget(0);
	forget(1)
#if VCPUS > 2
	;
	forget(2)
#endif
}

/* The writer set, one word. */
inline read_writers()
{
	d_step {
		mask = LOAD(WRITER(0)) | (LOAD(WRITER(1)) << 1);
#if VCPUS > 2
		mask = mask | (LOAD(WRITER(2)) << 2);
#endif
	}
}

/* close_locked(): an open page without other writers; done: the page is CODE, and locked. */
inline close_own()
{
	read_writers();
	if
#ifdef CLOSE_OWN_ONLY
	:: true ->
#else
	:: !(mask & ~(1 << me)) ->
#endif
#ifndef CLOSE_KEEP_OWN
		writable = false;
#endif
#ifndef CLOSE_KEEP_OPEN
		opened = false;
#endif
		d_step { DRAINED -> mem[WRITER(me)] = 0; }
		STORE(STATE, CODE);
		seen = CODE
#ifndef CLOSE_OWN_ONLY
	:: mask & ~(1 << me)
#endif
	fi;
	mask = 0
}

/* M1-M4: code_watch_arm() from the point where the page is DATA, or OPEN, and locked. */
inline arm_locked()
{
	STORE(STATE, ARMING); /* M1 */
#ifndef RELAXED_ARM
	FENCE; /* a sequentially consistent store; pairs with F1 */
#endif
#ifndef WAIT_LOCKED
	UNLOCK(PAGE_LOCK);
#endif
	read_writers(); /* M2 */
#ifndef KEEP_OWN
	if
	:: mask & (1 << me) -> writable = false; opened = false
	:: else
	fi;
#endif
#ifndef NO_REVOKE
	revoke_others();
#endif
	/* M4: those who joined meanwhile saw ARMING and have no writable entry, so the whole mask may be forgotten. */
#ifndef FORGET_LATE
	forget_mask();
#endif
#ifndef WAIT_LOCKED
	LOCK(PAGE_LOCK);
#endif
	gen = mem[GEN];
	STORE(STATE, CODE);
	UNLOCK(PAGE_LOCK);
#ifdef FORGET_LATE
	forget_mask();
#endif
	mask = 0
}

/* code_watch_arm() */
inline arm()
{
	do
	:: true ->
		LOCK(PAGE_LOCK);
		d_step { gen = mem[GEN]; seen = LOAD(STATE); }
#ifndef OPEN_NOT_CLOSED
		if
		:: seen == OPEN -> close_own()
		:: else
		fi;
#endif
		if
		:: seen == DATA -> arm_locked(); break
#ifdef OPEN_NOT_CLOSED
		:: seen == OPEN -> STORE(STATE, CODE); UNLOCK(PAGE_LOCK); break
#else
		:: seen == OPEN -> arm_locked(); break
#endif
		:: seen == CODE -> UNLOCK(PAGE_LOCK); break
		:: seen == ARMING -> UNLOCK(PAGE_LOCK);
#ifdef NO_ARMING
			/* Somebody has begun, but has not yet waited for the writers. */
			break
#else
			/* wait_state, outside: the armer may be waiting for this vCPU. */
#ifndef WAIT_INSIDE
			go_outside();
#endif
			LOAD(STATE) != ARMING;
#ifndef WAIT_INSIDE
			go_inside()
#endif
#endif
		fi
	od;
	seen = 0
}

#ifdef NO_GEN_CHECK
#define STILL_ARMED (LOAD(STATE) == CODE)
#elif defined(NO_ARMING)
#define STILL_ARMED (LOAD(STATE) != DATA && mem[GEN] == gen)
#else
#define STILL_ARMED (LOAD(STATE) == CODE && mem[GEN] == gen)
#endif

/* tb_publish() */
inline publish()
{
	LOCK(PAGE_LOCK);
	if
	:: !STILL_ARMED -> again = true
	:: STILL_ARMED ->
		again = false;
		if
		:: LOAD(TB_LIVE) /* lost the race: use the winner's */
		:: !LOAD(TB_LIVE) -> mem[TB_BYTES] = value; STORE(TB_LIVE, 1)
		fi
	fi;
	UNLOCK(PAGE_LOCK)
}

inline translate()
{
	do
	:: true ->
		arm();
#ifdef GEN_LATE
		gen = mem[GEN];
#endif
		value = LOAD(BYTES); /* read and translate without locks */
		publish();
		atomic { value = 0; gen = 0; }
		if
		:: again -> again = false
		:: else -> break
		fi
	od
}

/* Capacity: tb_kill() of the page's last block. */
inline evict()
{
	LOCK(PAGE_LOCK);
	STORE(TB_LIVE, 0);
	disarm();
	UNLOCK(PAGE_LOCK)
}

/* writable: the own TLB entry; opened: the own note that the page was opened by this vCPU. No one else reads them. */
proctype vcpu(byte me; bool writable)
{
	bool again, opened;
	byte value, gen, ops, mask, seen;

	do
	:: ops < OPS ->
		ops++;
		if
		:: safepoint()
		:: skip
		fi;
		if
		:: guest_store()
		:: translate()
		:: evict()
		:: go_outside();
			go_inside()
		fi
	:: else -> break
	od;
	go_outside()
}

/* Enabled exactly in the states that must not exist. */
active proctype unseen_store()
{
end:
	atomic {
		mem[PAGE_LOCK] == 0 && in_flight == 0 && mem[TB_LIVE] && mem[TB_BYTES] != mem[BYTES] -> assert(false);
	}
}

/* Each vCPU may have stored to the page before. */
inline start(i)
{
	if
	:: mem[WRITER(i)] = 1
	:: skip
	fi;
	run vcpu(i, mem[WRITER(i)])
}

init {
	atomic {
		start(0);
		start(1);
#if VCPUS > 2
		start(2);
#endif
	}
}
