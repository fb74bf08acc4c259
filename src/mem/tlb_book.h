/* SPDX-License-Identifier: MIT */
/*
 * Private bookkeeping of the software TLB, shared by tlb*.c. All fields [owner].
 *
 * Contexts are 12-bit numbers handed out in sequence: one for each address space (and each renewal of one), others for jump-cache tags.
 * Renewing a context flushes everything tagged with the old one at no cost; when numbers run out all tags are wiped.
 */
#ifndef COHORT_MEM_TLB_BOOK_H
#define COHORT_MEM_TLB_BOOK_H

#include "mem/code_watch.h"
#include "mem/tlb.h"
#include "tcg/env.h"

#define TLB_REGION_MASK (~((1ull << REGION_BITS) - 1))
#define TLB_NR_KEYS 4096
#define TLB_MAX_CTX 4094 /* 4095 would match an invalid tag on the last page */
#define TLB_FETCH_SIZE 256
#define TLB_BLOOM_BITS 15
#define TLB_JC_LOCAL 32
#define TLB_BUSY_FILLS 65536 /* a vCPU that does little more than boot has fewer */

struct tlb_fetch_entry {
	uint64_t tag;  /* linear page | context (0: global) | supervisor in bit 63 inverted: see fetch_tag() */
	ram_off_t off; /* of the page */
	bool global;
};

/* A large page that was walked: its other pages need no walk of their own. By 2 MiB region and MMU mode. */
#define TLB_LARGE_SIZE 64

struct tlb_large {
	uint64_t tag; /* linear region | context (0: global) */
	uint64_t age; /* void if not book.large_age */
	struct tlb_walk walk;
};

/* A run of pages that are read alike: tlb_reach.c. */
#define TLB_NR_REACHES 32

struct tlb_reach {
	gva_t lo;
	uint64_t span;
	uint64_t delta; /* physical less linear address */
};

struct tlb_bloom {
	uint64_t word[(1u << TLB_BLOOM_BITS) / 64];
	bool any;
};

#define TLB_OPENED 16

struct tlb_book {
	unsigned vcpu;
	uint64_t secret;                /* of the jump-cache salts */
	uint32_t key;                   /* of the current address space */
	uint16_t next_ctx;
	uint16_t ctx_of_key[TLB_NR_KEYS]; /* 0: none kept */
	uint16_t jc_user, jc_kernel;    /* contexts of jump-cache tags; tlb_flush.c */
	bool jc_by_space;               /* jc_kernel is the address space's, too */
	uint8_t nr_jc_local;
	gva_t jc_local[TLB_JC_LOCAL];   /* if not: supervisor code on pages that are not global, entered since the address space was */
	uint64_t fills;                 /* of entries */
	bool globals_on;                /* global pages exist */
	bool split_held;                /* split_lock of tlb.c is held until tlb_commit() or tlb_abandon() */
	bool watching;                  /* tlb_ops->watches() is to be asked */
	struct tlb_bloom large;         /* linear space with entries from large pages: 2 MiB regions, pieces of larger pages by GiB; tlb_large_mark() */
	struct tlb_large large_page[TLB_NR_MODES][TLB_LARGE_SIZE];
	uint64_t large_age;             /* moving it drops all of large_page */
	struct tlb_reach reach[TLB_NR_MODES][TLB_NR_REACHES]; /* those that entries of the mode may be as long as */
	unsigned nr_reaches[TLB_NR_MODES];
	unsigned reach_rest;            /* fills until new ones are looked for */
	bool low_globals;               /* there may be entries of global pages in the lower half of linear space */
	uint64_t wide_since;            /* when misses of the wide table began to be counted, host nanoseconds, */
	uint64_t wide_ctx;              /* and in which context */
	struct tlb_bloom jc_pages;      /* pages that may have jump-cache entries */
	uint64_t gaps[TLB_NR_MODES];    /* bit n: write slot n may hold a gap of a code page; see tlb_revoke_gaps() */
	ram_off_t opened[TLB_OPENED];   /* code pages that this vCPU has open, by page number; see tlb_open_note() */
	uint32_t far_fills[TLB_L0_SLOTS]; /* of the slot's misses since it was judged: level 1 missed too, and the page is not beside the last one */
	uint64_t judged[TLB_L0_SLOTS];  /* when each slot's budget was filled up, host nanoseconds */
	struct tlb_fetch_entry fetch[2][TLB_FETCH_SIZE]; /* by user/supervisor */
};

/*
 * A page that code_watch_replace_and_open() has opened stays noted until it is revoked. To forget it earlier does no harm: then its stores take the lock.
 * (That the vCPU is in the page's writer set does not say that it is open for it: a TLB fill that found no DATA leaves that behind.)
 */
static inline ram_off_t *tlb_open_slot(struct tlb_book *book, ram_off_t page_off)
{
	return &book->opened[(page_off >> GUEST_PAGE_BITS) % TLB_OPENED];
}

#define TLB_OPEN 1u /* set in a note: page 0 is a page, too */

static inline void tlb_open_note(struct tlb_book *book, ram_off_t page_off)
{
	*tlb_open_slot(book, page_off) = page_off | TLB_OPEN;
}

static inline bool tlb_open_noted(struct tlb_book *book, ram_off_t page_off)
{
	return *tlb_open_slot(book, page_off) == (page_off | TLB_OPEN);
}

static inline void tlb_open_forget(struct tlb_book *book, ram_off_t page_off)
{
	if (tlb_open_noted(book, page_off))
		*tlb_open_slot(book, page_off) = 0;
}

static inline unsigned tlb_l1_index(gva_t va)
{
	return TLB_L1_LARGE + ((va >> GUEST_PAGE_BITS) & (TLB_L1_SIZE - 1));
}

static inline unsigned tlb_large_index(gva_t va)
{
	return (va >> REGION_BITS) & (TLB_L1_LARGE - 1);
}

/* Does a tag name this page (or region), globally or in the current address space? */
static inline bool tlb_tag_hit(const struct tcg_env *env, uint64_t tag, uint64_t linear)
{
	return tag == linear || tag == (linear | env->tlb.ctx);
}

/* The entry that allows inline accesses of this kind at va. */
static inline struct tlb_entry *tlb_find(struct tcg_env *env, gva_t va, unsigned kind, unsigned mode)
{
	struct tlb_entry *e = &env->tlb.l1[mode][tlb_l1_index(va)];

	if (tlb_tag_hit(env, e->tag[kind], va & GUEST_PAGE_MASK))
		return e;
	e = &env->tlb.l1[mode][tlb_large_index(va)];
	return tlb_tag_hit(env, e->tag[kind], va & TLB_REGION_MASK) ? e : NULL;
}

void tlb_bloom_set(struct tlb_bloom *b, uint64_t number);
bool tlb_bloom_test(const struct tlb_bloom *b, uint64_t number);
void tlb_bloom_clear(struct tlb_bloom *b);

void tlb_partial_commit(struct tcg_env *env); /* tlb_partial.c */
void tlb_large_mark(struct tlb_book *book, gva_t va, uint64_t size); /* an entry of a page of this size, which holds va */
bool tlb_large_test(const struct tlb_book *book, gva_t va);          /* may there be one whose page holds va? */

void tlb_reach_widen(struct tcg_env *env, gva_t va, unsigned mode, struct tlb_walk *w); /* as far as its reach, for reads */
bool tlb_reach_flushed(struct tlb_book *book, gva_t va); /* a page is flushed: true if it is in a reach, and all is to be */
void tlb_reach_forget(struct tlb_book *book, unsigned mode); /* none of its entries is left */

void tlb_wide_begin(struct tcg_env *env); /* the wide table: tlb_wide.c */
void tlb_wide_end(struct tcg_env *env);
void tlb_wide_fill(struct tcg_env *env, const struct tlb_entry *e, gva_t va); /* a user-mode read missed; e: what was found */
void tlb_wide_flush_page(struct tcg_env *env, gva_t va);
void tlb_wide_shorten(struct tcg_env *env); /* and wipe it */
void tlb_wide_judge(struct tcg_env *env, uint64_t now); /* its length, after as many misses as wide_turn said; now: in nanoseconds */
unsigned tlb_wide_entries(const struct tlb *t);

void tlb_l0_invalidate(struct tcg_env *env, unsigned mode, unsigned kind, uint64_t slots);
void tlb_l0_invalidate_all(struct tcg_env *env);
uint16_t tlb_ctx_new(struct tcg_env *env);

#endif
