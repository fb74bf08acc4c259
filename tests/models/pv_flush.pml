/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual TLB flush: who changed a page table may leave a note for a vCPU that stands still instead of interrupting it, and no stale
 * translation is used.
 *
 * C file: src/vcpu/x86/x86_steal.c (x86_steal_stand, x86_steal_go_on), called around parks by src/vcpu/exec.c. The remote side is the guest's own
 * code, as Linux has it (kvm_flush_tlb_multi); the word is the byte `preempted` of the steal-time area in guest memory.
 *
 * One vCPU that fills its TLB, uses it, takes flush IPIs, and parks and goes on for ever; two remote vCPUs, each with a page of its own, whose
 * entry they change OPS times; after each change they flush the vCPU, by a note or an IPI. Other CPUs' IPIs and timers: the park ends at any moment.
 *
 * Checked: when a flush has returned, the vCPU does not use what it knew of that page before the change. (That an IPI ends a park: kick_park.pml.)
 *
 * Mutations (each must be caught): CLEAR_PLAIN FLUSH_FIRST NO_FLUSH CLEAR_LATE MARK_EARLY NOTE_BLINDLY NOTE_FIRST RELAXED_IPI
 */
#define N_CPUS 3 /* process 0: the vCPU, 1 and 2: remote ones */
#define SB_DEPTH 2
#ifndef OPS
#define OPS 2 /* changes by each remote */
#endif

#define PTE(i) ((i) - 1) /* of remote i: a version */
#define WORD 2           /* `preempted` */
#define IPI(i) (2 + (i)) /* 1: sent and not acknowledged */
#define N_CELLS 5

#define STANDS 1 /* KVM_VCPU_PREEMPTED */
#define FLUSH 2  /* KVM_VCPU_FLUSH_TLB */

#include "tso.pml"

#define NONE 255
byte tlb[2] = NONE; /* what the vCPU holds: a version */
byte flushed[2];    /* versions older than this must not be used any more */

inline drop_all()
{
	d_step { tlb[0] = NONE; tlb[1] = NONE; }
}

/* An access: a walk if the TLB does not know the page. */
inline access(p)
{
	if
	:: tlb[p] == NONE -> tlb[p] = LOAD(p)
	:: else
	fi;
	assert(tlb[p] >= flushed[p])
}

inline take_ipi(i)
{
	drop_all();
	d_step { DRAINED -> mem[IPI(i)] = 0; } /* the acknowledgement */
}

/* x86_steal_go_on() */
inline go_on()
{
#ifdef CLEAR_PLAIN
	note = LOAD(WORD); /* G1 not locked: a note between the two is lost */
	STORE(WORD, 0);
#else
#ifdef FLUSH_FIRST
	note = LOAD(WORD);
	if
	:: note & FLUSH -> drop_all()
	:: else
	fi;
	d_step { DRAINED -> mem[WORD] = 0; }
	note = 0;
#else
	d_step { DRAINED -> note = mem[WORD]; mem[WORD] = 0; } /* G1: an exchange. Pairs with N2. */
#endif
#endif
	if
#ifndef NO_FLUSH
	:: note & FLUSH -> drop_all() /* G2: before the first access */
#endif
	:: else
	fi;
	note = 0
}

proctype vcpu(byte me)
{
	byte note;

end_run:
	do
	:: true -> access(0)
	:: true -> access(1)
	:: LOAD(IPI(1)) -> take_ipi(1)
	:: LOAD(IPI(2)) -> take_ipi(2)
	:: true ->
		/* P1: no more accesses; a plain store is enough, loads and stores before it are done when it is seen. */
		STORE(WORD, STANDS);
#ifdef MARK_EARLY
		access(0);
#endif
end_sleep:
		true; /* any time may pass here */
#ifdef CLEAR_LATE
		access(0); /* the interrupt that ended the park is delivered first */
#endif
		go_on()
	od
}

proctype remote(byte me)
{
	byte n, seen;
	bool noted;

	do
	:: n < OPS ->
		n++;
		noted = false;
#ifdef NOTE_FIRST
		seen = LOAD(WORD)
#else
		STORE(PTE(me), n); /* N0 */
		seen = LOAD(WORD)  /* N1: only a hint */
#endif
		;
		if
		:: seen & STANDS ->
#ifdef NOTE_BLINDLY
			STORE(WORD, seen | FLUSH); FENCE; noted = true
#else
			/* N2: compare-and-exchange, which also makes N0 visible first. Pairs with G1. */
			d_step {
				DRAINED ->
				if
				:: mem[WORD] == seen -> mem[WORD] = seen | FLUSH; noted = true
				:: else
				fi
			}
#endif
		:: else
		fi;
#ifdef NOTE_FIRST
		STORE(PTE(me), n);
		FENCE;
#endif
		if
		:: !noted ->
			/* N3: the ICR write behind a fence; wait for the answer. */
#ifndef RELAXED_IPI
			FENCE;
#endif
			mem[IPI(me)] = 1;
			mem[IPI(me)] == 0
		:: else
		fi;
		flushed[me - 1] = n
	:: n == OPS -> break
	od
}

init {
	atomic {
		run vcpu(0);
		run remote(1);
		run remote(2);
	}
}
