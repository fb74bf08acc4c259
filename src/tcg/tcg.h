/* SPDX-License-Identifier: MIT */
/*
 * The translator as the vCPU layer sees it: one block, start to end.
 *
 * Threads: tcg_init() once on the main thread; the rest on vCPU threads, which are RCU readers, with no lock held.
 */
#ifndef COHORT_TCG_H
#define COHORT_TCG_H

#include "tcg/backend.h"
#include "tcg/guest.h"

struct code_segment;
struct err;
struct tb;
struct versions;

struct tcg_config {
	bool interp;
	size_t code_bytes;
	unsigned nr_vcpus;
	const char *perfmap; /* path of the map file, or NULL */
	uint64_t jitter;     /* seed of schedule jitter in the protocols, 0: none */
	bool exact_flags;    /* see opt.h */
};

#define TCG_RECENT_BITS 13

/* Per vCPU, [owner]. */
struct tcg_thread {
	struct code_segment *segment;
	struct ir_block *ir;
	struct backend_code *code;
	struct versions *versions;
	uint64_t purged;       /* newest batch of dead blocks whose entries were dropped */
	uint64_t jitter;       /* state of the jitter generator */
	struct tb *recent[1u << TCG_RECENT_BITS]; /* blocks found lately, by PC; purged like the jump cache */
};

extern const struct guest_isa *tcg_guest; /* [const] */

int must_check tcg_init(const struct guest_isa *isa, const struct tcg_config *config, struct err *err);
void tcg_fini(void);
/* All vCPU threads have ended: ends what is under way with dead blocks. Returns the bytes of heap that blocks in code memory have. Main thread. */
size_t tcg_settle(void);
int must_check tcg_thread_init(struct tcg_thread *t, struct tcg_env *env, struct err *err);
void tcg_thread_fini(struct tcg_thread *t, struct tcg_env *env);

/*
 * The block to run at env.pc in the current mode, translated if need be. May raise a guest fault (instruction fetch).
 * NULL: the code cache is full until a grace period has passed (see tcg_safepoint()).
 */
struct tb *tcg_find_block(struct tcg_thread *t, struct tcg_env *env);
/* The same, for exactly one instruction, in a block that is not in the cache and runs once. */
struct tb *tcg_one_shot_block(struct tcg_thread *t, struct tcg_env *env);

/* A quiescent state: no block pointer survives. Drops dead entries of the jump cache and starts reclaim when it is due. */
void tcg_safepoint(struct tcg_thread *t);
/* The cache is full: makes room and waits for it. The caller must count as being outside of guest code. */
void tcg_make_room(struct tcg_thread *t);

#endif
