/* SPDX-License-Identifier: MIT */
/*
 * A generated program: relocatable instructions and the state they start from. It becomes a case by layout, with all of its
 * instructions or, when a failure is being shrunk, with some left out.
 */
#ifndef COHORT_TESTS_DIFF_PROGRAM_H
#define COHORT_TESTS_DIFF_PROGRAM_H

#include <stdio.h>

#include "diff/diff.h"
#include "diff/forms.h"
#include "diff/rng.h"

#define NO_BRANCH 0xff

struct insn {
	uint8_t bytes[16];
	uint8_t len;
	uint8_t mode;        /* enum diff_mode */
	uint8_t disp_off;    /* of a 32-bit displacement relative to the instruction's end; 0: none */
	uint32_t rip_target; /* what it is to reach */
	uint8_t rel_size;    /* of a relative branch, last in the instruction; 0: none */
	uint8_t branch;      /* number of the instruction it goes to (nr: terminator 0, nr + 1: terminator 2), or NO_BRANCH */
	uint16_t form;
	struct x86_insn in;  /* decoded; displacements and branches not filled in */
};

struct program {
	uint64_t seed;
	bool sequence;
	bool raw;            /* one instruction of random bytes (raw.c) */
	bool text;           /* read from text: bytes are as they are */
	unsigned nr;
	struct insn insn[DIFF_MAX_INSNS];
	struct diff_case c;
	unsigned poke_used;
	/* Results of analysis, for the instructions that are kept */
	uint32_t at[DIFF_MAX_INSNS + 2];        /* address */
	uint16_t undef_in[DIFF_MAX_INSNS + 2];  /* flags that the manual leaves undefined there */
	uint16_t live_in[DIFF_MAX_INSNS + 2];   /* flags that may be read from there on */
	uint16_t undef_end;
};

#define KEEP_ALL (~0ull)

/* Fills p->c.code and the terminators, and analyses flags. False: an instruction would read undefined flags, or a branch is too far. */
bool program_layout(struct program *p, uint64_t keep);
/* The same for bytes that are there already: finds the instructions in p->c.code. */
void program_from_bytes(struct program *p);
void program_poke(struct program *p, uint64_t addr, const void *bytes, size_t len);
void program_hole(struct program *p, uint64_t addr, size_t len);

/* ---- Flags (undef.c) */
struct flag_effect {
	uint16_t reads, writes, undefined; /* writes: certainly; undefined: possibly left undefined */
};
/* count: of a shift, -1 if it is not known. */
struct flag_effect insn_flags(const struct x86_insn *in, int count);
/* Count of a shift or rotate by immediate, -1 by CL. */
int insn_count(const struct x86_insn *in);
/* Analyses; false if an instruction reads undefined flags. */
bool program_flags(struct program *p, uint64_t keep);
static inline bool insn_kept(uint64_t keep, unsigned i)
{
	return i >= 64 || (keep >> i & 1);
}

/* ---- Encoding (encode.c) */
enum mem_kind { MEM_BASE, MEM_INDEX, MEM_ABS, MEM_RIP };
struct mem_choice {
	uint8_t kind;    /* enum mem_kind */
	uint8_t base, index, scale_log2; /* index 4: none */
	int32_t disp;
	uint8_t rm16;    /* 16-bit addresses: ModRM.rm names the registers */
	bool wide_disp;  /* the longest form even if 8 bits would do */
	bool no_sib;     /* absolute addresses outside 64-bit mode: the short form */
	uint8_t addr;    /* address size: 2, 4, 8 */
	uint8_t seg;     /* prefix byte or 0 */
	bool vector;     /* the index is a vector register: always there, number 4 too */
};
/* Random registers and immediates. False: this form and choice do not go together. */
bool insn_encode(struct insn *i, unsigned form, const struct mem_choice *m, struct rng *r);
bool insn_redecode(struct insn *i); /* after bytes were changed */

/* ---- Facts about instructions (facts.c) */
bool insn_is_excluded(const struct x86_insn *in);     /* must not run on the host, or does not run right */
/* Not known to our decoder, but to Zydis: of an extension that we do not offer. */
bool insn_is_foreign(unsigned mode, const uint8_t *bytes, unsigned len);
uint32_t insn_writes_gpr(const struct x86_insn *in); /* mask, generous */
bool insn_is_locked(const struct x86_insn *in);      /* LOCK prefix or implied */
bool insn_checks_alignment(const struct x86_insn *in); /* every CPU raises #AC alike */
bool insn_writes_mem(const struct x86_insn *in);
bool insn_is_gather(const struct x86_insn *in);
int insn_mem_operand(const struct x86_insn *in);     /* number of the memory operand, or -1 */

/* ---- Generation */
void state_random(struct diff_state *s, unsigned mode, struct rng *r);                     /* state.c */
void state_wide(struct diff_state *s, struct rng *r); /* fills AVX-512's part */
extern bool wide_offered; /* host and engines have AVX-512: its state may be something else than 0 */
uint8_t how_random(struct rng *r);                                            /* DIFF_* bits; state.c */
bool single_generate(struct program *p, uint64_t seed, unsigned form);        /* single.c; false: no way to encode it */
void raw_generate(struct program *p, uint64_t seed, const uint16_t *pool, unsigned nr_pool); /* raw.c */
/* aim.c: makes the state fit one instruction; false: its memory operand landed where it must not be. */
void poke_operand(struct program *p, const struct x86_insn *in, uint64_t at, unsigned size, struct rng *r); /* contents.c */
void poke_holes(struct program *p, const struct x86_insn *in, uint64_t at);
bool aim(struct program *p, struct insn *i, struct rng *r);
void sequence_generate(struct program *p, uint64_t seed, const uint16_t *pool, unsigned nr_pool); /* sequence.c */

void smc_generate(struct program *p, uint64_t seed);                          /* smc.c */

/* ---- As text (text.c) */
void default_state(struct diff_state *s, unsigned mode); /* what a line of text need not say */
void text_print(FILE *f, const struct program *p);
bool text_parse(struct program *p, const char *text);

#endif
