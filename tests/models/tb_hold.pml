/* SPDX-License-Identifier: MIT */
/*
 * Who has a block in private caches: a block that its only holder kills is purged by nobody else (docs/CONCURRENCY.md, "Life of a
 * translation block", step 6). tb_evict.pml has what is around it, with one vCPU that has caches; here are three, and one block.
 *
 * C file: src/tcg/cache/tb_hold.c (tb_hold, tb_let_go; both sides sequentially consistent).
 *
 * vCPU 0 may keep the block, and then kills it. The others find it in the table, before or while it dies, and keep it if they may.
 * After the kill every vCPU passes one quiescent state; if the block is to be purged, each drops it from its cache there. Then the block is
 * reclaimed, and whoever still has it in its cache would run it: that is the error.
 *
 * Mutations (each must be caught): HOLD_BLINDLY MANY_BLINDLY LET_GO_EARLY NOT_FORGOTTEN
 */
#define FINDERS 2
#define CPUS (FINDERS + 1)
#define NOBODY 0 /* others: the vCPU's number and 1 */
#define MANY 255

bool dead, in_table = true;
byte holder = NOBODY;
bool cached[CPUS]; /* the private caches */
bool retired, purge_due, quiescent[CPUS];

inline hold(me)
{
	was = holder;
	if
	:: was == NOBODY ->
		atomic {
			if
			:: holder == NOBODY -> holder = me + 1; was = me + 1
			:: else -> was = holder
			fi
		}
	:: else
	fi;
	if
	:: was != me + 1 && was != MANY -> holder = MANY
	:: else
	fi;
#ifdef HOLD_BLINDLY
	cached[me] = true;
#else
	if
#ifdef MANY_BLINDLY
	:: was == MANY -> cached[me] = true
	:: was != MANY && !dead -> cached[me] = true
	:: was != MANY && dead
#else
	:: !dead -> cached[me] = true
	:: dead
#endif
	fi;
#endif
	was = 0
}

inline let_go(me)
{
	was = holder;
	if
	:: was == me + 1 ->
#ifndef NOT_FORGOTTEN
		cached[me] = false;
#endif
		holder = NOBODY
	:: else
	fi;
	was = 0
}

/* The block is not reclaimed before this; what was found before it is not kept after it, but in the caches. */
inline quiesce(me)
{
	retired;
	if
	:: purge_due -> cached[me] = false
	:: else
	fi;
	quiescent[me] = true
}

active proctype killer()
{
	byte was;

	if
	:: true -> hold(0)
	:: true
	fi;
#ifdef LET_GO_EARLY
	let_go(0);
#endif
	dead = true;
	in_table = false;
#ifndef LET_GO_EARLY
	let_go(0);
#endif
	purge_due = holder != NOBODY; /* batch_make() */
	retired = true;
	quiesce(0);
	quiescent[1] && quiescent[2];
	assert(!cached[0] && !cached[1] && !cached[2])
}

active [FINDERS] proctype finder()
{
	byte was, me = _pid;

	if
	:: in_table -> hold(me)
	:: true
	fi;
	quiesce(me)
}
