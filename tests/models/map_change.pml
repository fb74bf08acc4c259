/* SPDX-License-Identifier: MIT */
/*
 * The physical memory map changes while vCPUs hold what they looked up in it (docs/CONCURRENCY.md, "The TLB", "Requests").
 *
 * C files: src/mem/aspace.c (change), src/vcpu/vcpus.c (map_changed), src/vcpu/exec.c (take_requests, park), src/mem/tlb.c (walk, fill).
 *
 * One who changes the map, and a vCPU that fills its TLB from the map, or from what it kept of an earlier walk, passes safepoints, and is halted.
 *
 * Checked: once all is done, a vCPU that uses its TLB with an empty request word has nothing of the old map.
 *
 * Mutations (each must be caught): ASK_FIRST WALK_KEPT RUNNING_ONLY
 */
#define OLD 1
#define NEW 2

#define N_CPUS 2 /* 0: the vCPU; 1: who changes the map */
#define SB_DEPTH 1
#define VIEW 0
#define REQUEST 1
#define INSIDE 2
#define N_CELLS 3

#include "tso.pml"

bool changed;
bool uses; /* the vCPU uses its TLB, and has looked at its request word */
byte entry, kept;

proctype changer(byte me)
{
#ifdef ASK_FIRST
	d_step { DRAINED -> mem[REQUEST] = 1; }
	STORE(VIEW, NEW);
#else
	STORE(VIEW, NEW); /* rcu_assign_pointer() */
#ifdef RUNNING_ONLY
	/* As hints are sent: who is outside would have to look at the map's generation when it comes back. */
	FENCE;
	if
	:: LOAD(INSIDE) -> d_step { DRAINED -> mem[REQUEST] = 1; }
	:: !LOAD(INSIDE)
	fi;
#else
	d_step { DRAINED -> mem[REQUEST] = 1; } /* a locked OR */
#endif
#endif
	FENCE;
	changed = true
}

inline flush()
{
	entry = 0;
#ifndef WALK_KEPT
	kept = 0;
#endif
}

proctype vcpu(byte me)
{
	byte seen, turns;

	d_step { DRAINED -> mem[INSIDE] = 1; }
end_run:
	do
	:: turns < 4 ->
		turns++;
		uses = false;
		if
		:: LOAD(REQUEST) -> /* take_requests() */
			d_step { DRAINED -> mem[REQUEST] = 0; }
			flush()
		:: !LOAD(REQUEST)
		fi;
		if
		:: entry == 0 && kept -> entry = kept /* another page of the same large page */
		:: entry == 0 && !kept ->
			seen = LOAD(VIEW);
			entry = seen;
			kept = seen;
			seen = 0
		:: skip
		:: d_step { DRAINED -> mem[INSIDE] = 0; } /* halted */
			d_step { DRAINED -> mem[INSIDE] = 1; }
		fi;
		uses = true
	od
}

/* Enabled exactly in the states that must not exist. */
active proctype kept_the_old()
{
end:
	atomic { changed && uses && entry == OLD && !mem[REQUEST] -> assert(false); }
}

init {
	atomic {
		mem[VIEW] = OLD;
		run vcpu(0);
		run changer(1)
	}
}
