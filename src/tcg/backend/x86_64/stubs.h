/* SPDX-License-Identifier: MIT */
/*
 * Shared host code, emitted once into code memory by init (entry.c). Constant afterwards; any thread.
 */
#ifndef COHORT_TCG_X86_64_STUBS_H
#define COHORT_TCG_X86_64_STUBS_H

#include "tcg/backend/x86_64/vec.h"
#include "tcg/env.h"
#include "tcg/ir/ir.h"

struct guest_isa;
struct err;

/* Which level-0 table an access uses and what it needs; see slow.c. */
enum slow_kind { SLOW_READ, SLOW_WRITE, SLOW_STACK_READ, SLOW_KINDS };

#define STUB_MAX_RT 256

/*
 * Parameters of an access for the slow stubs, in r14d.
 */
#define SLOW_SLOT_SHIFT 8
#define SLOW_ALIGN 0x10000u
#define SLOW_RMW 0x20000u

struct stubs {
	const uint8_t *leave;         /* exit_code is set, guest state in host registers */
	const uint8_t *exit_lookup;   /* pc in r13: TCG_EXIT_LOOKUP */
	const uint8_t *exit_alone;    /* pc in r13: TCG_EXIT_ALONE */
	const uint8_t *branch_miss;   /* an indirect branch that the jump cache does not know, or with a request: its own pc in r14 */
	const uint8_t *exit_lookup_pc_set;
	const uint8_t *exit_chain;    /* pc in r13, exit index in r14d, tb in r15 */
	const uint8_t *returned;      /* a RET that was not predicted: jump-cache probe with a poll, pc in r15, the RET's own in r13 */
	const uint8_t *jump_miss;     /* behind a failed inline probe, r15 = tag: the second jump cache */
	const uint8_t *far_miss;      /* a direct jump that neither jump cache knows, r14 = tag */
	const uint8_t *jump_env;      /* JMPENV */
	const uint8_t *ret_miss;      /* bottom of the return-prediction stack */
	const uint8_t *unwind;        /* entered from C, rdi = env */
	const uint8_t *trap;          /* entered from a signal handler on the C stack: rsi = enum guest_trap */
	const uint8_t *commit[VEC_LEVELS]; /* index of this and the following: the level at which vectors are live behind it */
	const uint8_t *probe[TLB_NR_MODES][SLOW_KINDS];
	const uint8_t *wide;          /* as probe, for reads in user mode that looked into the wide table */
	const uint8_t *slow[TLB_NR_MODES][SLOW_KINDS][VEC_LEVELS];
	const uint8_t *partial[TLB_NR_MODES][2][VEC_LEVELS]; /* as slow, with ir_evex_access() in r14d; by read, write */
	const uint8_t *rt[VEC_LEVELS][STUB_MAX_RT];
	const uint8_t *shortcut[TLB_NR_MODES][IR_SHORTCUTS]; /* NULL: left to the runtime (shortcut.c) */
	const uint8_t *vec_spill;     /* vectors to env; only on the C stack */
	const uint8_t *vec_fill[VEC_LEVELS]; /* vectors to host registers; EFLAGS are lost */
	void (*enter)(struct tcg_env *env, const void *code);
};

extern struct stubs stubs; /* [const] after init */
extern const struct guest_isa *stubs_isa; /* [const] */

/* evex: the host has AVX-512 */
long stubs_init(const struct guest_isa *isa, bool evex, uint8_t *rw, const uint8_t *rx, size_t size, struct err *err);

/* signals.c */
int signals_init(struct err *err);
int signals_thread_init(struct err *err);
void signals_thread_fini(void);

#endif
