/* SPDX-License-Identifier: MIT */
/*
 * The run loop: find a block, run it, handle how it came back.
 */
#ifndef COHORT_VCPU_EXEC_H
#define COHORT_VCPU_EXEC_H

#include <setjmp.h>

#include "tcg/tcg.h"
#include "vcpu/vcpu.h"

/* [owner] all of it. */
struct vcpu_exec {
	struct tcg_thread tcg;
	sigjmp_buf unwind;     /* where a guest fault outside of generated code continues */
	bool in_run;           /* inside backend->run(): faults unwind through the back end */
	bool one_shot;         /* run the next instruction in a block of its own: it stores to its own block's code, or has a breakpoint */
	bool in_one_shot;
	bool stop;
	uint64_t last_spin;    /* host ticks of the last hint that the guest spins, and how many of one wait so far */
	unsigned spins;
	uint64_t last_move;    /* host ticks when it last left its host CPU */
	unsigned late;         /* the vCPU that was late with a request at the last look while spinning, ... */
	uint64_t late_safepoints, late_since; /* ... its safepoints and the host ticks then */
};

/* Body of a vCPU thread between start and stop. */
void vcpu_exec_thread(struct vcpu *v);

/* Gives up the current instruction: back to the run loop, from any C below it. env.pc and guest state must be current. */
void vcpu_unwind(struct tcg_env *env) __attribute__((noreturn));

/*
 * The instruction wants a safepoint behind it: runs it again in a block of its own (does not return), if it is not in one already. Called
 * before it has changed anything.
 */
void vcpu_run_alone(struct tcg_env *env);

/* tlb_ops.before_code_store. */
bool vcpu_before_code_store(struct tcg_env *env, ram_off_t off, unsigned size);

/* tlb_ops.access_wanders. */
void vcpu_access_wanders(struct tcg_env *env);

#endif
