/* SPDX-License-Identifier: MIT */
/*
 * Random blocks of IR, and a plain evaluator of them: the reference that an engine (with the optimizer in front of it)
 * is compared with. Guest memory is one buffer at linear address FUZZ_BASE.
 */
#ifndef COHORT_TESTS_IR_FUZZ_H
#define COHORT_TESTS_IR_FUZZ_H

#include "tcg/ir/ir.h"

#define FUZZ_BASE 0x100000u
#define FUZZ_SIZE 0x2000u

struct fuzz_state {
	uint64_t greg[TCG_NR_GREG];
	union tcg_vreg vreg[TCG_NR_VREG];
	uint32_t flags;
	uint8_t mem[FUZZ_SIZE];
	gva_t pc;	     /* where the block was left to */
	uint32_t flags_live; /* flags that count there */
};

/* A well-formed block of about `n` instructions that depends on nothing but the seed. */
void ir_fuzz_block(struct ir_block *b, uint64_t seed, unsigned n);
/* Random registers and memory; base registers point into the buffer. */
void ir_fuzz_state(struct fuzz_state *s, uint64_t seed);
/* Executes the block as it stands. env: scratch for runtime routines and vector control. */
void ir_fuzz_reference(const struct ir_block *b, struct fuzz_state *s, struct tcg_env *env);
/* First difference as text, or NULL; memory, registers, and the flags that count. */
const char *ir_fuzz_compare(const struct fuzz_state *want, const struct fuzz_state *got);

extern const struct ir_rt ir_fuzz_rt[];
extern const unsigned ir_fuzz_nr_rt;

#endif
