/* SPDX-License-Identifier: MIT */
/*
 * Runs small blocks of IR on the native back end and on the interpreter, with a guest memory of a few pages behind a fake slow path:
 * plain pages, pages behind bounce buffers, pages that need a commit.
 */
#ifndef COHORT_TEST_X86_64_FIXTURE_H
#define COHORT_TEST_X86_64_FIXTURE_H

#include "tcg/backend.h"
#include "tcg/guest.h"

#define FX_BASE 0x10000000ull /* guest linear address of the memory */
#define FX_PAGES 16u
#define FX_SIZE (FX_PAGES * 4096u)
#define FX_PC 0x400000ull
#define FX_CTX 7
#define FX_WIDE_TURN 5 /* misses of the wide table until one goes to C */

/* Kinds of pages, by page number. */
#define FX_PAGE_MMIO 5u /* through a bounce buffer */
#define FX_PAGE_CODE 6u /* direct, committed */
#define FX_PAGE_FAULT 9u /* unwinds */
#define FX_PAGE_GLOBAL 3u

struct fx {
	struct tcg_env *env;
	uint8_t *mem;             /* guest memory */
	uint8_t *window;          /* the same, as generated code reaches it */
	uint8_t *code_rw, *code_rx;
	size_t stub_bytes;
	unsigned slow, commits;   /* calls */
	unsigned trap, rt_calls;
	uint32_t c_mxcsr;         /* all that C has seen of the host's control word, ORed */
	bool keep_tlb;            /* fx_reset_state() leaves the TLB as it is: level 0 then hits */
	const struct backend *backend;
	struct backend_code *out;
};
extern struct fx fx;
extern const struct guest_isa fx_isa;

enum { FX_RT_ADD3, FX_RT_FLAGS, FX_RT_GREG, FX_RT_FAULT, FX_RT_VECTORS, FX_RT_FPU, FX_RT_COUNT };

int fx_setup(void **state);
int fx_teardown(void **state);
void fx_reset_state(uint64_t seed); /* registers, memory, TLB */
void fx_begin(struct ir_block *b);
void fx_catch_signals(void); /* the back end's handlers, in place of cmocka's */
/* Compiles at code offset `at`; returns the executable address. */
const void *fx_compile(struct ir_block *b, size_t at, struct tb *tb);
void fx_run(const struct backend *backend, struct ir_block *b);

#endif
