/* SPDX-License-Identifier: MIT */
/*
 * Write access to a whole region of 2 MiB against making one of its pages code: what level 0 and level 1 hold of the region must go with each page.
 * (docs/CONCURRENCY.md, "Making a page code"; code_page.pml has the same for one page, and what publishing does.)
 *
 * C files: src/mem/code_watch.c (region writer set, code_pages, arm, disarm), src/mem/tlb.c (fill_write_range, fill_large, fill_slot),
 * src/mem/tlb_flush.c (tlb_revoke_write).
 *
 * One region of two pages. VCPUS equal vCPUs, each doing OPS operations of its free choice: store to a page, translate from it, let it be data again,
 * leave generated code and come back, with or without a safepoint before. A vCPU keeps write access in three places: level-1
 * entries of pages, the region's level-1 entry, and a level-0 slot, a range of either kind.
 *
 * Checked: the bytes of a page that has a block do not change (stores that take the slow path are left out, but for what they do to the state).
 * No deadlock.
 *
 * Mutations (each must be caught): RELAXED_JOIN COUNT_BEFORE_JOIN COUNT_LATE NO_COUNT COUNT_AS_FLAG BY_PAGE_ONLY FORGET_LATE
 * L0_KEPT LARGE_KEPT PAGE_AS_LARGE; NO_FIRST_LOOK with NO_REJOIN, of which either does what the other does.
 * ONE_PAGE: only one page is used; OPS1: operations of the second vCPU.
 */
#ifndef VCPUS
#define VCPUS 2
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef OPS1
#define OPS1 OPS /* of the second */
#endif
#define N_CPUS VCPUS
#define SB_DEPTH 1
#define PAGES 2

#define CODE_PAGES 0 /* region_desc.code_pages */
#define PCELL(p, k) (1 + 3 * (p) + (k))
#define PAGE_LOCK(p) PCELL(p, 0)
#define STATE(p) PCELL(p, 1)
#define BYTES(p) PCELL(p, 2)
#define VCELL(i, k) (1 + 3 * PAGES + 6 * (i) + (k))
#define REGION_WRITER(i) VCELL(i, 0)      /* bit i of region_desc.writers */
#define WRITER(i, p) VCELL(i, 1 + (p))    /* bit i of page_desc.writers */
#define MAIL(i, p) VCELL(i, 3 + (p))      /* a revocation for page p waits in the mailbox of vCPU i */
#define OUTSIDE(i) VCELL(i, 5)
#define N_CELLS (1 + 3 * PAGES + 6 * VCPUS)

#define DATA 0
#define ARMING 1
#define CODE 2

#include "tso.pml"

#define SWAP(x, v) d_step { DRAINED -> mem[x] = (v); } /* a sequentially consistent store, or another locked operation */

/* What an entry or a slot allows: nothing, page p (as 1 + p), or the region. */
#define NOTHING 0
#define REGION 3
#define COVERS(e, p) ((e) == REGION || (e) == 1 + (p))

#define other (1 - me)

byte last_value;      /* ghost: gives each guest store its own value */
byte tb_bytes[PAGES]; /* ghost: 0 no block, or one more than the bytes that the page's block was made from */

/* tlb_revoke_write() */
inline drop(p)
{
	d_step {
#ifndef L0_KEPT
		if
		:: COVERS(l0, p) -> l0 = NOTHING
		:: else
		fi;
#endif
#ifndef LARGE_KEPT
		l1_large = NOTHING; /* region entries cover each page */
#endif
		if
		:: COVERS(l1[0], p) -> l1[0] = NOTHING
		:: else
		fi;
		if
		:: COVERS(l1[1], p) -> l1[1] = NOTHING
		:: else
		fi
	}
}

inline serve(p)
{
	if
	:: LOAD(MAIL(me, p)) ->
		drop(p);
		SWAP(MAIL(me, p), 0)
	:: !LOAD(MAIL(me, p))
	fi
}

inline safepoint()
{
	serve(0);
	serve(1)
}

inline go_outside()
{
	SWAP(OUTSIDE(me), 1)
}

inline go_inside()
{
	SWAP(OUTSIDE(me), 0);
	safepoint()
}

/* code_watch_region_writer_add() */
inline join_region()
{
	granted = false;
	if
#ifndef NO_FIRST_LOOK
	:: LOAD(CODE_PAGES) /* F0: a join that an armer may take back does not come by here ... */
	:: !LOAD(CODE_PAGES) ->
#else
	:: true ->
#endif
		do
		:: true ->
#ifdef COUNT_BEFORE_JOIN
			seen = LOAD(CODE_PAGES);
#endif
			if
			:: LOAD(REGION_WRITER(me))
#ifdef RELAXED_JOIN
			:: !LOAD(REGION_WRITER(me)) -> STORE(REGION_WRITER(me), 1)
#else
			:: !LOAD(REGION_WRITER(me)) -> SWAP(REGION_WRITER(me), 1) /* F1: a locked OR */
#endif
			fi;
#ifndef COUNT_BEFORE_JOIN
			seen = LOAD(CODE_PAGES); /* F2: pairs with M1 */
#endif
			if
			:: seen -> break
#ifdef NO_REJOIN
			:: !seen -> granted = true; break
#else
			:: !seen && !LOAD(REGION_WRITER(me)) /* F3: ... or is noticed here: either would be enough */
			:: !seen && LOAD(REGION_WRITER(me)) -> granted = true; break
#endif
			fi
		od
	fi;
	seen = 0
}

/* code_watch_writer_add() */
inline join_page(p)
{
	granted = false;
	do
	:: true ->
		SWAP(WRITER(me, p), 1)
		if
		:: LOAD(STATE(p)) != DATA -> break
		:: LOAD(STATE(p)) == DATA && !LOAD(WRITER(me, p))
		:: LOAD(STATE(p)) == DATA && LOAD(WRITER(me, p)) -> granted = true; break
		fi
	od
}

/* fill_write_range(), fill_large() */
inline fill(p)
{
	join_region();
	if
	:: granted -> d_step { l1[p] = REGION; l1_large = REGION; }
	:: else ->
		join_page(p);
		if
#ifdef PAGE_AS_LARGE
		:: granted -> d_step { l1[p] = 1 + p; l1_large = REGION; }
#else
		:: granted -> l1[p] = 1 + p
#endif
		:: else
		fi
	fi;
	granted = false
}

/* An inline store, or the slow path's way to one: level 0 by level 1, and that by a fill. */
inline guest_store(p)
{
	if
	:: COVERS(l0, p)
	:: else ->
		if
		:: l1_large == NOTHING && l1[p] == NOTHING -> fill(p)
		:: else
		fi;
		d_step {
			if
			:: l1[p] != NOTHING -> l0 = l1[p]
			:: l1[p] == NOTHING && l1_large != NOTHING -> l0 = REGION
			:: else
			fi
		}
	fi;
	/* The window: the slot has been checked, the store is still to come. */
	if
	:: COVERS(l0, p) ->
		atomic { last_value++; value = last_value; }
		STORE(BYTES(p), value);
		value = 0
	:: else -> disarm(p)
	fi
}

/* code_watch_disarm_locked(); the page's blocks are dead. */
inline disarm(p)
{
	LOCK(PAGE_LOCK(p));
	if
	:: LOAD(STATE(p)) == CODE ->
		tb_bytes[p] = 0;
		SWAP(STATE(p), DATA);
		d_step {
			DRAINED ->
#ifdef COUNT_AS_FLAG
			mem[CODE_PAGES] = 0;
#else
			mem[CODE_PAGES]--;
#endif
		}
	:: LOAD(STATE(p)) != CODE
	fi;
	UNLOCK(PAGE_LOCK(p))
}

inline count(p)
{
	d_step { DRAINED -> mem[CODE_PAGES]++; }
}

/* revoke_writers(): both sets are read, one after the other. */
inline read_writers(p)
{
	d_step { by_page = LOAD(WRITER(0, p)) | LOAD(WRITER(1, p)) << 1; }
	d_step { by_region = LOAD(REGION_WRITER(0)) | LOAD(REGION_WRITER(1)) << 1; }
#ifdef BY_PAGE_ONLY
	by_region = 0;
#endif
}

inline revoke_other(p)
{
	if
	:: (by_page | by_region) & (1 << other) ->
		SWAP(MAIL(other, p), 1)
		go_outside();
		(LOAD(MAIL(other, p)) == 0 || LOAD(OUTSIDE(other)));
		go_inside()
	:: else
	fi
}

inline forget(p)
{
	d_step {
		DRAINED ->
		mem[WRITER(0, p)] = mem[WRITER(0, p)] & ~by_page & 1;
		mem[WRITER(1, p)] = mem[WRITER(1, p)] & ~(by_page >> 1) & 1;
	}
	d_step {
		DRAINED ->
		mem[REGION_WRITER(0)] = mem[REGION_WRITER(0)] & ~by_region & 1;
		mem[REGION_WRITER(1)] = mem[REGION_WRITER(1)] & ~(by_region >> 1) & 1;
	}
}

/* arm_locked() */
inline arm_locked(p)
{
	SWAP(STATE(p), ARMING);
#if !defined(COUNT_LATE) && !defined(NO_COUNT)
	count(p); /* M1 */
#endif
	UNLOCK(PAGE_LOCK(p));
	read_writers(p); /* M2 */
#ifdef COUNT_LATE
	count(p);
#endif
	if
	:: (by_page | by_region) & (1 << me) -> drop(p)
	:: else
	fi;
	revoke_other(p); /* M3 */
#ifndef FORGET_LATE
	forget(p); /* M4 */
#endif
	LOCK(PAGE_LOCK(p));
	SWAP(STATE(p), CODE);
	UNLOCK(PAGE_LOCK(p));
#ifdef FORGET_LATE
	FENCE;
	forget(p);
#endif
	by_page = 0;
	by_region = 0
}

/* code_watch_arm(), and a publication that finds all as it was. */
inline translate(p)
{
	do
	:: true ->
		LOCK(PAGE_LOCK(p));
		if
		:: LOAD(STATE(p)) == DATA -> arm_locked(p); break
		:: LOAD(STATE(p)) == CODE -> UNLOCK(PAGE_LOCK(p)); break
		:: LOAD(STATE(p)) == ARMING ->
			UNLOCK(PAGE_LOCK(p));
			go_outside();
			LOAD(STATE(p)) != ARMING;
			go_inside()
		fi
	od;
	skip;
	LOCK(PAGE_LOCK(p));
	if
	:: LOAD(STATE(p)) == CODE && !tb_bytes[p] -> tb_bytes[p] = 1 + LOAD(BYTES(p))
	:: else
	fi;
	UNLOCK(PAGE_LOCK(p))
}

/* l1, l1_large, l0: the own TLB; no one else reads it. */
proctype vcpu(byte me; byte had; byte ops)
{
	bool granted;
	byte l0, l1_large, l1[PAGES], value, seen, by_page, by_region;

	d_step { l1_large = had; l0 = had; }
	do
	:: ops ->
		ops--;
		if
		:: safepoint()
		:: skip
		fi;
		if
		:: true -> guest_store(0)
#ifndef ONE_PAGE
		:: true -> guest_store(1)
		:: translate(1)
#endif
		:: translate(0)
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
		(tb_bytes[0] && tb_bytes[0] != 1 + mem[BYTES(0)]) || (tb_bytes[1] && tb_bytes[1] != 1 + mem[BYTES(1)]) -> assert(false);
	}
}

init {
	atomic {
		if
		:: mem[REGION_WRITER(0)] = 1; run vcpu(0, REGION, OPS)
		:: run vcpu(0, NOTHING, OPS)
		fi;
		run vcpu(1, NOTHING, OPS1)
	}
}
