/* SPDX-License-Identifier: MIT */
/*
 * Life of a translation block: publish, kill, chain, reclaim (design: section 3).
 *
 * C files: src/tcg/cache/tb_cache.c (find, publish), src/tcg/cache/tb_inval.c (kill), src/tcg/cache/tb_link.c (chain),
 * src/tcg/cache/tb_reclaim.c (retire, batches, purge), src/mem/code_watch.c (the slow store), src/util/rcu.h and
 * src/sched/cpu_thread.c (quiescent states, offline). That each store to a code page comes here, and arming, are the
 * subject of code_page.pml.
 *
 * Guest code: block 0 stands on page 0, block 1 starts on page 0 and reaches into page 1. Each ends either in a direct
 * jump to block 0, which may be chained (block 0 then jumps to itself), or in an indirect jump to any of the two. Both
 * are translated, in slots 0 and 1, when the model starts (with COLD: only block 0); a new translation takes the next
 * slot. Slots are not used
 * again: touching a reclaimed one is the error, whatever might stand there.
 *
 * Processes: RUNNERS vCPUs that find, run, translate and chain blocks, pass safepoints and halt; WRITERS vCPUs that
 * store to a code page (the first to page FIRST_PAGE, the second to the other), STORES times each; TRANSLATORS vCPUs
 * that enter block 1 once, translating it if need be; liburcu's callback thread.
 *
 * Checked: nothing of a reclaimed block is touched; a runner that has seen new bytes never enters a block made from
 * older ones; no jump leads into and no edge
 * names a reclaimed block, and no live block refers to one whose kill is complete; no deadlock.
 *
 * Mutations (each must be caught): NO_GEN_CHECK NO_ENTRY_PATCH KEEP_IN_TABLE NO_LIVE_CHECK NO_UNCHAIN_IN
 * NO_UNCHAIN_OUT ONE_LOCK LOCK_UNORDERED NO_RECHECK NO_GRACE NO_PURGE PURGE_FIRST UNLINK_UNNOTICED
 * NO_ONLINE_PURGE RELAXED_ONLINE KILLER_OFFLINE STORE_FIRST GEN_EARLY
 */
#ifndef RUNNERS
#define RUNNERS 1
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef STORES
#define STORES 1
#endif
#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef FIRST_PAGE
#define FIRST_PAGE 0
#endif
#ifndef TRANSLATORS
#define TRANSLATORS 0
#endif
#define N_CPUS (RUNNERS + WRITERS + TRANSLATORS)
#ifndef SB_DEPTH
#define SB_DEPTH 1
#endif
#define NONE 255

/* Cells of a page. */
#define PCELL(p, k) (4 * (p) + (k))
#define PAGE_LOCK(p) PCELL(p, 0)
#define GEN(p) PCELL(p, 1)     /* page_desc.gen */
#define BYTES(p) PCELL(p, 2)   /* the guest bytes */
#define BLOCKS(p) PCELL(p, 3)  /* page_desc.blocks, as a bit mask [lock page] */
/* The shared table: slot + 1 of the block that starts at pc, 0 if none. */
#define TABLE(pc) (8 + (pc))
/* Grace periods as in liburcu's quiescent-state flavour: a counter, and what each reader saw last, 0 = offline. */
#define GP 10
#define READER(i) (11 + (i))
/* Cells of a slot. */
#define SCELL(s, k) (11 + N_CPUS + 4 * (s) + (k))
#define DEAD(s) SCELL(s, 0)     /* the state is DEAD [written under the home page's lock] */
#define ENTRY(s) SCELL(s, 1)    /* the entry slot: 0 falls into the body, 1 jumps to the dead exit */
#define JUMP(s) SCELL(s, 2)     /* the direct jump: slot + 1 of the destination, 0 leaves generated code */
#define INCOMING(s) SCELL(s, 3) /* who jumps here, a bit mask [lock home page] */
#define N_CELLS SCELL(SLOTS, 0)

#include "tso.pml"

/*
 * GEN, BLOCKS, DEAD and INCOMING are read and written under page locks only. The release of a lock leaves the store
 * buffer after what was stored before it, so for these cells the buffer cannot be noticed and they are written
 * directly, several in one step. What others read without a lock (BYTES, TABLE, ENTRY, JUMP, READER) goes through it.
 */

#define BIT(s) (1 << (s))
#define WITHOUT(m, s) ((m) & ~BIT(s))
/* Number of the lowest bit of a mask that is not zero. */
#define LOWEST(m) (((m) & 1) -> 0 : (((m) & 2) -> 1 : (((m) & 4) -> 2 : 3)))

#define BUILDING 0
#define LIVE 1
#define KILLED 2
#define RECLAIMED 3
byte state[SLOTS]; /* ghost */
#ifdef COLD
byte next_slot = 1;
#else
byte next_slot = 2;
#endif
byte pc_of[SLOTS]; /* constant once published; and what the bytes of the pages were when it was translated: */
byte made0[SLOTS];
byte made1[SLOTS];

/* Reclaim. Locked exchanges and a list under a lock: single steps, outside the store buffers. A batch is one block. */
byte published;        /* sequence number of the newest batch */
byte batch[SLOTS + 1]; /* the block of each sequence number */
byte listed;           /* blocks of the batches on the list, a bit mask */
byte unlinked;         /* sequence number of the newest batch that was, or is about to be, taken off the list */

#define TOUCH(s) assert(state[s] != RECLAIMED)

/* tb_chain(): p -> q, both found since the last safepoint. q is a block 0: nothing chains into a two-page block. */
inline chain(p, q)
{
	LOCK(PAGE_LOCK(0));
	d_step {
		TOUCH(p);
		TOUCH(q);
#ifdef NO_LIVE_CHECK
		ok = !LOAD(JUMP(p));
#else
		ok = !LOAD(JUMP(p)) && !mem[DEAD(p)] && !mem[DEAD(q)]; /* C1 */
#endif
		if
		:: ok -> mem[INCOMING(q)] = mem[INCOMING(q)] | BIT(p) /* C2 */
		:: else
		fi
	}
	if
	:: ok -> STORE(JUMP(p), q + 1); ok = false /* C3: one aligned rel32 */
	:: else
	fi;
	UNLOCK(PAGE_LOCK(0))
}

/* tb_unchain_all_locked(): home page locked, which is all that edges need. */
inline unchain_all(s)
{
#ifndef NO_UNCHAIN_IN
	do
	:: mem[INCOMING(s)] ->
		d_step {
			peer = LOWEST(mem[INCOMING(s)]);
			TOUCH(peer);
			mem[INCOMING(s)] = WITHOUT(mem[INCOMING(s)], peer);
		}
		STORE(JUMP(peer), 0)
	:: !mem[INCOMING(s)] -> break
	od;
#endif
	if
#ifndef NO_UNCHAIN_OUT
	:: LOAD(JUMP(s)) ->
		d_step {
			peer = LOAD(JUMP(s)) - 1;
			TOUCH(peer);
			mem[INCOMING(peer)] = WITHOUT(mem[INCOMING(peer)], s);
		}
		STORE(JUMP(s), 0)
#endif
	:: else
	fi;
	peer = 0
}

/* kill_one(): all pages of the block locked. */
inline kill_one(s)
{
	TOUCH(s);
	if
#ifndef NO_RECHECK
	:: mem[DEAD(s)]
#endif
	:: else ->
		d_step {
			mem[DEAD(s)] = 1; /* K1; and K4: off the lists */
			mem[BLOCKS(0)] = WITHOUT(mem[BLOCKS(0)], s);
			mem[BLOCKS(1)] = WITHOUT(mem[BLOCKS(1)], s);
		}
#ifndef NO_ENTRY_PATCH
		STORE(ENTRY(s), 1); /* K2: one aligned 8-byte store */
#endif
#ifndef KEEP_IN_TABLE
		STORE(TABLE(pc_of[s]), 0); /* K3 */
#endif
		unchain_all(s); /* K5 */
		d_step { /* K6: tb_retire(), a locked exchange; and a batch at once, which is the earliest moment it may be */
			DRAINED ->
			assert(state[s] == LIVE);
			state[s] = KILLED;
			published++;
			batch[published] = s;
			listed = listed | BIT(s);
		}
	fi
}

/* kill_spanning(): page p is locked, the lower page comes first, so p may have to be let go meanwhile. */
inline kill_spanning(s, p)
{
#ifdef ONE_LOCK
	kill_one(s)
#else
	if
	:: p == 0 -> LOCK(PAGE_LOCK(1))
	:: else ->
#ifndef LOCK_UNORDERED
		UNLOCK(PAGE_LOCK(1));
#endif
		LOCK(PAGE_LOCK(0));
#ifndef LOCK_UNORDERED
		LOCK(PAGE_LOCK(1))
#endif
	fi;
	kill_one(s);
	UNLOCK(PAGE_LOCK(1 - p))
#endif
}

/* code_watch_store_begin(), the store, code_watch_store_end() for page p, all of whose blocks overlap the store. */
inline store_slow(p)
{
#ifdef STORE_FIRST
	STORE(BYTES(p), LOAD(BYTES(p)) + 1);
#endif
	LOCK(PAGE_LOCK(p));
#ifdef GEN_EARLY
	mem[GEN(p)] = mem[GEN(p)] + 1;
#endif
	do
	:: mem[BLOCKS(p)] ->
		d_step { victim = LOWEST(mem[BLOCKS(p)]); TOUCH(victim); }
		if
		:: pc_of[victim] == 0 -> kill_one(victim)
		:: else -> kill_spanning(victim, p)
		fi
	:: !mem[BLOCKS(p)] -> break
	od;
	victim = 0;
#ifndef GEN_EARLY
	mem[GEN(p)] = mem[GEN(p)] + 1; /* S1, behind the kills: they may have dropped the lock, and somebody armed the page */
#endif
#ifndef STORE_FIRST
	STORE(BYTES(p), LOAD(BYTES(p)) + 1); /* S2, under the lock and with no block left */
#endif
	UNLOCK(PAGE_LOCK(p));
}

/* rcu_online(). Pairs with G1: either the grace period sees this reader, or the reader sees what was done before it. */
inline online()
{
	STORE(READER(me), LOAD(GP));
#ifndef RELAXED_ONLINE
	FENCE
#endif
}

inline offline()
{
	STORE(READER(me), 0);
}

proctype writer(byte me; byte page)
{
	byte n, victim, peer;

	do
	:: n < STORES ->
		n++;
#ifndef KILLER_OFFLINE
		/* Whoever kills is a reader: the block of kill_spanning() must outlast the moment without the lock. */
		online();
#endif
		store_slow(page);
		offline()
	:: else -> break
	od
}

/*
 * Q2: tb_purge(). Walk the list for batches newer than `seen`; then look whether any of those had been taken off it
 * before the walk came along, in which case nothing is known of it and the whole cache goes.
 */
inline purge()
{
#ifdef NO_PURGE
	skip
#else
	if
	:: published != seen ->
		upto = published;
		if
		:: cached != NONE && (listed & BIT(cached)) -> cached = NONE
		:: else
		fi;
		if
#ifndef UNLINK_UNNOTICED
		:: unlinked > seen -> cached = NONE
#endif
		:: else
		fi;
		atomic { seen = upto; upto = 0; }
	:: else
	fi
#endif
}

/* Q1: rcu_quiescent(): reports the newest grace period, between two full barriers; nothing if it is the same still. */
inline quiescent()
{
	if
	:: LOAD(GP) != LOAD(READER(me)) ->
		FENCE;
		STORE(READER(me), LOAD(GP));
		FENCE
	:: else
	fi
}

inline safepoint()
{
#ifdef PURGE_FIRST
	purge();
	quiescent()
#else
	quiescent();
	purge()
#endif
}

inline halt()
{
	offline();
	online();
#ifndef NO_ONLINE_PURGE
	purge()
#endif
}

/* P1-P4: translate the block at pc into slot `mine`, and leave in `found` what is to be run. */
inline translate(pc)
{
	do
	:: true -> /* P1: arm the page(s), which gives their generations: lock, read, unlock */
		d_step { DRAINED && !mem[PAGE_LOCK(0)] -> gen0 = mem[GEN(0)]; }
		if
		:: pc == 1 -> d_step { DRAINED && !mem[PAGE_LOCK(1)] -> gen1 = mem[GEN(1)]; }
		:: else
		fi;
		/* P2: read and translate, without locks */
		made0[mine] = LOAD(BYTES(0));
		if
		:: pc == 1 -> made1[mine] = LOAD(BYTES(1))
		:: else
		fi;
		/* P3: tb_publish(): the locks in page order, and the check */
		LOCK(PAGE_LOCK(0));
		if
		:: pc == 1 -> LOCK(PAGE_LOCK(1))
		:: else
		fi;
		if
#ifndef NO_GEN_CHECK
		:: mem[GEN(0)] != gen0 || (pc == 1 && mem[GEN(1)] != gen1) -> found = NONE
#endif
		:: else ->
			if
			:: LOAD(TABLE(pc)) -> /* lost the race: the winner's */
				found = LOAD(TABLE(pc)) - 1;
				TOUCH(found)
			:: else ->
				/* P4: into the table and the lists */
				d_step {
					state[mine] = LIVE;
					found = mine;
					mem[BLOCKS(0)] = mem[BLOCKS(0)] | BIT(mine);
					if
					:: pc == 1 -> mem[BLOCKS(1)] = mem[BLOCKS(1)] | BIT(mine)
					:: else
					fi
				}
				STORE(TABLE(pc), mine + 1)
			fi
		fi;
		if
		:: pc == 1 -> UNLOCK(PAGE_LOCK(1))
		:: else
		fi;
		UNLOCK(PAGE_LOCK(0));
		if
		:: found != NONE -> break
		:: else
		fi
	od;
	atomic { gen0 = 0; gen1 = 0; mine = 0; }
}

/* The run loop's search for the block at pc: table, translator; found = NONE if the slots are used up. */
inline find(pc)
{
	d_step {
		if
		:: LOAD(TABLE(pc)) -> found = LOAD(TABLE(pc)) - 1
		:: else -> found = NONE
		fi
	}
	if
	:: atomic {
			found == NONE && next_slot < SLOTS ->
			mine = next_slot;
			next_slot++;
			pc_of[mine] = pc;
		}
		translate(pc)
	:: else
	fi
}

/* Something in the block reads the bytes themselves, and is followed by a serialising instruction. */
inline synchronise()
{
	d_step {
		saw0 = LOAD(BYTES(0));
		saw1 = LOAD(BYTES(1));
	}
}

/*
 * E1-E3: run the block `at`; afterwards `at` is the block to run next, or NONE to return to the run loop. The entry
 * slot is where a stale pointer lands; a chained jump goes to the body behind it.
 */
inline run_block()
{
	enter();
	if
	:: at == NONE
	:: at != NONE -> synchronise(); block_end()
	:: at != NONE -> block_end()
	fi
}

inline enter()
{
	d_step {
		TOUCH(at);
		if
		:: !behind && LOAD(ENTRY(at)) -> at = NONE /* E1: the dead exit */
		:: else -> /* E2: the body */
			behind = false;
			assert(made0[at] >= saw0);
			assert(pc_of[at] == 0 || made1[at] >= saw1)
		fi
	}
}

/* E3 */
inline block_end()
{
	if
	:: d_step { /* a direct jump: chained, or out to find the next block */
			TOUCH(at);
			to = LOAD(JUMP(at));
		}
		if
		:: to -> atomic { at = to - 1; to = 0; behind = true; }
		:: else ->
			find(0);
			if
			:: found != NONE -> chain(at, found)
			:: else
			fi;
			atomic { at = found; found = NONE; }
		fi
	:: at = cached /* an indirect jump that hits */
	:: at = NONE /* an indirect jump that misses, or the poll */
	fi
}

/* The cache has many entries; the one modelled is written by this search or by another. */
inline enter_found()
{
	if
	:: cached = found
	:: skip
	fi;
	atomic { at = found; found = NONE; }
}

proctype runner(byte me)
{
	byte cached = NONE; /* the jump cache */
	byte seen, upto;    /* purged up to this batch */
	byte at = NONE;     /* the block being run */
	byte found = NONE, to;
	bool behind;        /* `at` is entered by a chained jump */
	bool ok;
	byte saw0, saw1;    /* what this vCPU knows of the bytes */
	byte gen0, gen1, mine;

end:
	do
	:: at == NONE ->
		if
		:: true -> safepoint()
		:: true -> halt()
		:: true -> find(0); enter_found()
		:: true -> find(1); enter_found()
		fi
	:: at != NONE -> run_block()
	od
}

proctype translator(byte me)
{
	byte found = NONE, at;
	bool behind;
	byte saw0, saw1;
	byte gen0, gen1, mine;

	online();
	synchronise();
	find(1);
	atomic { at = found; found = NONE; }
	if
	:: at != NONE -> enter()
	:: else
	fi;
	offline()
}

#define PASSED(i) (mem[READER(i)] == 0 || mem[READER(i)] == mem[GP])

/* The callback thread: one grace period for each batch, then batch_done(). */
active proctype callbacks()
{
	byte seq = 1;

end:
	do
	:: published >= seq ->
#ifndef NO_GRACE
		mem[GP] = mem[GP] + 1; /* G1: a full barrier on either side */
		PASSED(0); /* G2 */
		PASSED(1);
#if N_CPUS > 2
		PASSED(2);
#endif
#if N_CPUS > 3
		PASSED(3);
#endif
#endif
		/* G3: first say that the batch is leaving, then give up the code, then take it off */
		unlinked = seq;
		state[batch[seq]] = RECLAIMED;
		atomic { listed = WITHOUT(listed, batch[seq]); seq++; }
	od
}

#define REFERS(p, q) (mem[JUMP(p)] == (q) + 1 || (mem[INCOMING(p)] & BIT(q)) != 0)
/* Once a kill is complete no live block refers to its victim, and nothing but what is reclaimed itself once that is. */
#define BAD_REF(p, q) \
	(REFERS(p, q) && ((state[p] == LIVE && state[q] >= KILLED) || (state[p] != RECLAIMED && state[q] == RECLAIMED)))
#define BAD_PAIR(p, q) (BAD_REF(p, q) || BAD_REF(q, p))
#if SLOTS == 2
#define BAD_ANY BAD_PAIR(0, 1)
#elif SLOTS == 3
#define BAD_ANY (BAD_PAIR(0, 1) || BAD_PAIR(0, 2) || BAD_PAIR(1, 2))
#else
#define BAD_ANY \
	(BAD_PAIR(0, 1) || BAD_PAIR(0, 2) || BAD_PAIR(1, 2) || BAD_PAIR(0, 3) || BAD_PAIR(1, 3) || BAD_PAIR(2, 3))
#endif

/* Enabled exactly in the states that must not exist. */
active proctype dangling_edge()
{
end:
	atomic { BAD_ANY -> assert(false); }
}

init {
	d_step {
		state[0] = LIVE;
		mem[TABLE(0)] = 1;
		mem[BLOCKS(0)] = BIT(0);
#ifndef COLD
		state[1] = LIVE;
		pc_of[1] = 1;
		mem[TABLE(1)] = 2;
		mem[BLOCKS(0)] = BIT(0) | BIT(1);
		mem[BLOCKS(1)] = BIT(1);
#endif
		mem[GP] = 1;
#if RUNNERS > 0
		mem[READER(0)] = 1;
#endif
#if RUNNERS > 1
		mem[READER(1)] = 1;
#endif
	}
	atomic {
#if RUNNERS > 0
		run runner(0);
#endif
#if RUNNERS > 1
		run runner(1);
#endif
		run writer(RUNNERS, FIRST_PAGE);
#if WRITERS > 1
		run writer(RUNNERS + 1, 1 - FIRST_PAGE);
#endif
#if TRANSLATORS > 0
		run translator(RUNNERS + WRITERS);
#endif
#if TRANSLATORS > 1
		run translator(RUNNERS + WRITERS + 1);
#endif
	}
}
