/* SPDX-License-Identifier: MIT */
/*
 * Layout of the software TLB, for emitters. Semantics: mem/tlb.h.
 */
#ifndef COHORT_MEM_TLB_LAYOUT_H
#define COHORT_MEM_TLB_LAYOUT_H

#include "util/types.h"

/*
 * Level 0: a range of linear addresses that one base register has been pointing into. An access of 2^n bytes at ea hits when
 *     (ea - lo) < lim[n]       (unsigned 64 bit)
 * and its host address is ea + disp. lim[n] = bytes in the range - 2^n + 1, so page crossing fails by itself.
 * An invalid slot has lim[*] = 0: no address is below that. (lo is one that no range starts at.)
 */
#define TLB_L0_SIZES 6 /* 1 2 4 8 16 32 bytes; other sizes use the next larger lim */
#define TLB_SLOT_INVALID_LO 0x8000000000000000ull

struct tlb_slot {
	uint64_t lo;
	uint64_t disp;
	uint64_t lim[TLB_L0_SIZES];
};
_Static_assert(sizeof(struct tlb_slot) == 64, "one cache line");

/* Slot numbers: 0..15 by base register (integer global), then: */
#define TLB_SLOT_STACK 4 /* the stack pointer's: one slot for reads and writes, in the write table */
#define TLB_SLOT_SEG0 16 /* accesses off a non-flat segment base (FS) */
#define TLB_SLOT_SEG1 17 /* (GS) */
#define TLB_SLOT_MISC 18 /* whatever has no better place: temporaries, runtime routines */
#define TLB_SLOT_POOL 19 /* a pool, for accesses whose base register says little of where they go */
#define TLB_SLOT_POOL_SIZE 45
#define TLB_L0_SLOTS 64

/* Level-0 misses that hit level 1, until somebody looks how long they took; see tlb_ops.access_wanders. */
#define TLB_SLOT_BUDGET 256

/* MMU modes; the guest gives them their meaning. x86: user, supervisor, supervisor with SMAP lifted (EFLAGS.AC). */
#define TLB_NR_MODES 3

/*
 * Level 1: direct-mapped by page number. tag = (linear page address) | context, context being 12 bits that name the address
 * space (0: global). tag_r/tag_w is TLB_TAG_INVALID when the access kind is not allowed inline. [owner]
 *
 * In front of the entries of pages stand those of large pages, by region of 2 MiB: what all of a region's pages have in common, for whoever finds
 * nothing under the page's number. A tag there is that of the region. Every TLB_L1_TURN-th hit makes an entry of the page from it.
 */
#define TLB_L1_BITS 14
#define TLB_L1_SIZE (1u << TLB_L1_BITS)
#define TLB_L1_LARGE_BITS 9
#define TLB_L1_LARGE (1u << TLB_L1_LARGE_BITS)
#define TLB_L1_ENTRIES (TLB_L1_LARGE + TLB_L1_SIZE)
#define TLB_L1_WORDS (TLB_L1_ENTRIES / 64)
#define TLB_L1_TURN 8
#define TLB_TAG_INVALID (~(uint64_t)0)

struct tlb_entry {
	uint64_t tag[2];  /* read, write */
	uint64_t disp;    /* host address = linear address + disp */
	uint64_t lo;      /* the contiguous range around the page for level 0: first linear address... */
	uint64_t span;    /* ...and its length in bytes (>= 4096) */
	uint64_t wlo, wspan; /* the same for writes; wspan 0: wlo is a tag, see code_store_hit() in tlb.c */
	uint64_t pa;      /* RAM offset of the page, for the slow path */
};
_Static_assert(sizeof(struct tlb_entry) == 64, "one cache line");

/*
 * The wide table, for reads in user mode that wander: direct-mapped by page number. tag = (linear page address) | context, never global; 0: none.
 * Its lengths, in entries: tlb_wide.c.
 */
#define TLB_WIDE_FIRST 64     /* until it is used */
#define TLB_WIDE_SHORT 16384  /* 64 MiB in pages of 4 KiB */
#define TLB_WIDE_LONG 262144  /* 1 GiB */

struct tlb_wide_entry {
	uint64_t tag;
	uint64_t disp; /* as in struct tlb_entry */
};

struct tlb_book;

/* A CPU mode whose code may be in the jump caches. */
struct tlb_cpu_mode {
	uint64_t salt;  /* of its tags, in the current address space */
	uint32_t flags; /* the mode's tb flags without what names the other variant; TLB_NO_CPU_MODE: none */
};
#define TLB_NO_CPU_MODE (~0u)

struct tlb {
	uint64_t ctx;          /* [owner] context of the current address space, 1..4095 */
	uint64_t restarts;     /* [owner] times that the numbers of contexts began again: who keeps one drops it when this has moved */
	struct tlb_book *book; /* [const] private to mem/tlb*.c */
	struct tlb_wide_entry *wide;         /* [owner] the wide table */
	uint64_t wide_mask;                  /* [owner] of a byte offset in it */
	int32_t wide_turn;                   /* [owner] misses until its length is thought over; 0 and below: now */
	uint64_t l0_live[TLB_NR_MODES][2];   /* [owner] bit n: slot n may be valid */
	uint64_t l0_global[TLB_NR_MODES][2]; /* [owner] bit n: slot n holds a global translation */
	/*
	 * [owner] Supervisor and user code's last modes, env.jc_salt being the salt of one of them (or of its other variant). Who finds the mode here that
	 * it goes to may go there by itself, with its salt: generated code does for system calls.
	 */
	struct tlb_cpu_mode cpu_mode[2];
	uint8_t user;                        /* [owner] 1: the current CPU mode is user mode */
	uint32_t l1_turn;                    /* [owner] hits on large pages until one of them makes an entry of its page */
	uint64_t l1_any[TLB_NR_MODES][TLB_L1_WORDS];   /* [owner] entries that were filled since the last wipe */
	uint64_t l1_write[TLB_NR_MODES][TLB_L1_WORDS]; /* [owner] entries that may have a valid write tag */
	struct tlb_wide_entry wide_first[TLB_WIDE_FIRST] __attribute__((aligned(64)));
	struct tlb_entry l1[TLB_NR_MODES][TLB_L1_ENTRIES] __attribute__((aligned(64)));
};

#endif
