/* SPDX-License-Identifier: MIT */
/*
 * The differential tester: what a case is, and what came of it.
 *
 * A case is one instruction or a short sequence, with the whole user state it starts from. It runs natively (native.c) and in our
 * engines (engine.c), each in a process of its own, at the same linear addresses, and must leave the same state, or fault in the
 * same way at the same instruction.
 *
 * Memory:  a stretch of code pages and a small arena of data; around both, nothing. The last page of the arena is read-only.
 * End:     code leaves at terminators, jumps to stubs that lead into the harness natively and are HLT in the engines (#GP in user
 *          mode).
 * Threads: the processes share batches of cases and results (worker.h); a case is written by the main process only.
 */
#ifndef COHORT_TESTS_DIFF_DIFF_H
#define COHORT_TESTS_DIFF_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIFF_PAGE 4096u
#define DIFF_CODE 0x10000000u
#define DIFF_CODE_PAGES 3u
#define DIFF_CODE_END (DIFF_CODE + DIFF_CODE_PAGES * DIFF_PAGE)
#define DIFF_ALIAS 0x13000000u /* the same pages again, writable */
#define DIFF_DATA 0x20000000u
#define DIFF_DATA_PAGES 4u
#define DIFF_DATA_SIZE (DIFF_DATA_PAGES * DIFF_PAGE)
#define DIFF_DATA_RO (DIFF_DATA + 3 * DIFF_PAGE) /* the read-only page */

/* Terminators: 0 behind the last instruction, 1 at a fixed place for indirect branches, 2 a little behind 0. */
#define DIFF_NR_TERMS 3u
#define DIFF_TERM1 (DIFF_CODE + 2 * DIFF_PAGE + 0xf00)
#define DIFF_TERM_LEN 5u
/*
 * They are jumps to stubs in a page of their own, natively and in the guest: three for 64-bit code, three for 32-bit code, which jump far
 * to those, and three for 16-bit code, in a page that it can reach.
 */
#define DIFF_STUBS 0x11000000u
#define DIFF_STUBS16_PAGE (DIFF_CODE + 0x8000)
#define DIFF_STUB_LEN 32u
enum diff_mode { DIFF_16, DIFF_32, DIFF_64, DIFF_MODES }; /* as enum x86_mode */
static inline uint32_t diff_stub(unsigned mode, unsigned k)
{
	return (mode == DIFF_16 ? DIFF_STUBS16_PAGE + 0x400 : mode == DIFF_32 ? DIFF_STUBS + 0x200 : DIFF_STUBS) + k * DIFF_STUB_LEN;
}
struct diff_case;
void diff_term_code(const struct diff_case *c, unsigned k, uint8_t out[DIFF_TERM_LEN]);
/* The pages of stubs but for the 64-bit ones, which are the harness's. */
void diff_stub_page(uint8_t page[DIFF_PAGE]);
void diff_stub16_page(uint8_t page[DIFF_PAGE]);

#define DIFF_MAX_INSNS 112u
#define DIFF_MAX_CODE 800u
#define DIFF_POKE_BYTES 640u
#define DIFF_MAX_POKES 6u

#define DIFF_FL_ARITH 0x8d5u
/* What is compared of RFLAGS: the arithmetic flags, DF, NT, AC, ID. RF, TF, IF and IOPL are the operating system's. */
#define DIFF_FL_COMPARED (DIFF_FL_ARITH | 0x400u | 0x4000u | 0x40000u | 0x200000u)

/* The FXSAVE image, SDM volume 1, table 10-2 (64-bit form). */
struct diff_fx {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];  /* 10 bytes each */
	uint8_t xmm[16][16];
	uint8_t rest[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct diff_fx) == 512, "as FXSAVE writes it");

/* rip is linear. FS and GS bases count in 64-bit mode, elsewhere they come from the selectors. */
struct diff_state {
	uint64_t gpr[16];
	uint64_t rip, flags;
	uint64_t fs_base, gs_base;
	uint16_t sel[6]; /* ES CS SS DS FS GS */
	struct diff_fx fx;
	uint8_t upper[16][16]; /* bits 255:128 of the vector registers; 0 if the host has no AVX */
	struct diff_wide {     /* AVX-512; all 0 where it is not compared */
		uint8_t top[16][32];  /* bits 511:256 of vector registers 15:0 */
		uint8_t more[16][64]; /* vector registers 31:16 */
		uint64_t k[8];
	} wide;
};

/* The 16 bytes at `off` of vector register `reg`. */
static inline uint8_t *diff_vector(struct diff_state *s, unsigned reg, unsigned off)
{
	if (reg >= 16)
		return &s->wide.more[reg - 16][off];
	return off >= 32 ? &s->wide.top[reg][off - 32] : off >= 16 ? s->upper[reg] : s->fx.xmm[reg];
}

/* Bytes stored to the arena before the run, and parts of it that are not compared afterwards. */
struct diff_poke {
	uint32_t addr;
	uint16_t off, len; /* in struct diff_case.poke_bytes */
};
struct diff_hole {
	uint32_t addr, len;
};

#define DIFF_FLUSH 1    /* start with an empty TLB */
#define DIFF_NAG 2      /* a request is always pending: every poll leaves, REP is interrupted */
#define DIFF_STEPWISE 4 /* each instruction in a block of its own that runs once */
#define DIFF_FLAT 8     /* with FLUSH: from here on the arena is contiguous in guest-physical memory; without this bit: scattered */

struct diff_case {
	uint8_t mode;       /* enum diff_mode */
	uint32_t image;     /* which arena image */
	uint32_t code_off;  /* of the code in the code pages */
	uint32_t code_len;  /* up to terminator 0 */
	uint32_t term[DIFF_NR_TERMS]; /* addresses */
	uint8_t code[DIFF_MAX_CODE];
	uint8_t nr_pokes, nr_holes;
	uint8_t smc;        /* 1: it writes itself: the code is compared, too */
	bool twice;         /* engines: run it again, warm, and expect the same */
	uint8_t how;        /* engines: DIFF_* bits below */
	struct diff_poke poke[DIFF_MAX_POKES];
	uint8_t poke_bytes[DIFF_POKE_BYTES];
	struct diff_hole hole[3];
	struct diff_state in;
};

/* Bytes from the start of the code on that the case may have written: up to the end of terminator 2, or of the code pages. */
static inline uint32_t diff_code_extent(const struct diff_case *c)
{
	uint32_t end = c->term[2] + DIFF_TERM_LEN;

	return (end < DIFF_CODE_END ? end : DIFF_CODE_END) - DIFF_CODE - c->code_off;
}

#define DIFF_END 0xff   /* no fault: a terminator was reached, out.rip says which */
#define DIFF_HANG 0xfe  /* the engine did not come back in time */
#define DIFF_CRASH 0xfd /* the process died */
#define DIFF_NOT_RUN 0xfc

struct diff_outcome {
	uint8_t vector;    /* exception, or DIFF_END */
	uint32_t error;
	uint64_t cr2;      /* page faults only */
	uint64_t mem_hash; /* of the arena */
	struct diff_state out;
};

/* The arena as image `n` fills it, 0 <= n < DIFF_NR_IMAGES, and pokes applied. */
#define DIFF_NR_IMAGES 32u
void diff_images_init(void);
const uint8_t *diff_image(unsigned n);
void diff_apply_pokes(const struct diff_case *c, uint8_t *arena); /* arena: DIFF_DATA_SIZE bytes */
/* Empties the holes, then the hash; code: the code pages, part of it if the case writes itself. */
uint64_t diff_hash(const struct diff_case *c, uint8_t *arena, const uint8_t *code);

bool host_is_amd(void); /* facts.c */

#endif
