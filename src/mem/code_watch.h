/* SPDX-License-Identifier: MIT */
/*
 * Page descriptors: which RAM pages hold translated code, and who may be writing them.
 *
 * The protocol (docs/CONCURRENCY.md, "Making a page code"; modelled in tests/models/code_page.pml):
 *
 *   making a page code                         filling a writable TLB entry
 *   1 state = ARMING            (seq_cst)      1 writers |= me           (seq_cst)
 *   2 read writers              (seq_cst)      2 look at state           (seq_cst): DATA? only then inline writes
 *   3 revoke: each of them drops its entry,
 *     passes a safepoint or is outside
 *   4 state = CODE; only now read the bytes
 *
 * One side always sees the other. Stores to CODE pages take the slow path: under the page lock the blocks that overlap die, the
 * generation moves, and then the bytes are stored. A translator that read older bytes finds the generation moved. Where the new value is
 * known beforehand, only bytes that change count, and a store that changes nothing does nothing. A page without blocks becomes DATA again
 * after some more stores, with a new generation.
 *
 * An OPEN page is a CODE page of which vCPUs may write parts without its lock: bytes that no block watches. A store to such bytes of a CODE page
 * opens it: still under the lock, with the generation moved, the vCPU becomes a writer, and notes that. Who arms an open page takes that back first, as
 * above, and the page is CODE again. So nothing is translated from an open page: while the vCPU has its note, blocks of the page only become fewer.
 * It may store inline to bytes around that no block watches; and anywhere, if it looks at the blocks each time (code_watch_replace_unlocked()). Where
 * only the armer itself is a writer, as with code that a CPU writes for itself, there is nobody to ask.
 *
 * Large ranges (2 MiB) have a second writer set in their region descriptor; it may be used only while no page of the region is
 * code, by the same handshake on region.code_pages.
 *
 * Threads: any RCU reader. Locks: page locks (rank PAGE) in ascending page order.
 */
#ifndef COHORT_MEM_CODE_WATCH_H
#define COHORT_MEM_CODE_WATCH_H

#include <stdatomic.h>

#include "util/lock.h"
#include "util/types.h"
#include "util/vcpu_set.h"

enum page_state { PAGE_DATA, PAGE_ARMING, PAGE_CODE, PAGE_OPEN };

#define PAGE_GRANULE_BITS 6 /* 64 granules of 64 bytes in a page: one bit each */

struct page_desc {
	struct small_lock lock;
	_Atomic uint16_t state;    /* [atomic] enum page_state; written under the lock */
	uint8_t idle_stores;       /* [lock] stores since the last block left; see CODE_WATCH_PATIENCE */
	uint8_t closed;            /* [lock] not 0: stores do not open the page; see CODE_WATCH_CONTENDED */
	_Atomic uint64_t gen;      /* [atomic] write generation; moved under the lock */
	uint64_t granules;         /* [lock; atomic for a look without it] granules that blocks were translated from (may be a superset) */
	void *blocks;              /* [lock; atomic for a look without it] tcg's list of blocks */
	struct vcpu_set_atomic writers; /* [atomic] may hold a writable TLB entry for this page */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct page_desc) == 64, "a page descriptor is one cache line");

/*
 * A page without blocks stays CODE for this many stores: a page that is rewritten and run in turns pays for revoking write access once,
 * and not at each turn.
 */
#define CODE_WATCH_PATIENCE 64

/*
 * Slow stores until the next attempt to open a page, in units, after it had to be taken from another vCPU, which costs as much as a hundred stores,
 * and, where that has no host CPU, as thousands. And how much room is worth to be written inline.
 */
#define CODE_WATCH_UNIT 64 /* power of two */
#define CODE_WATCH_CONTENDED 255
#define CODE_WATCH_GAP_MIN 64

/* Bytes [first, end) of a page. */
struct code_gap {
	unsigned first, end;
};

#define REGION_BITS 21

struct region_desc {
	struct vcpu_set_atomic writers; /* [atomic] vCPUs that may hold a writable range over the whole region */
	_Atomic uint32_t code_pages; /* [atomic] pages of the region that are not DATA; written under those pages' locks */
} __attribute__((aligned(64)));

/* Provided by tcg (kill) and vcpu (revoke). */
struct code_watch_ops {
	/* Kills the blocks on the page that overlap bytes [first, last] of it; page lock held on entry and exit, may be dropped meanwhile. */
	void (*kill_locked)(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last);
	/* Makes every vCPU of the set give up writable entries that cover the page, and waits until that is certain. No locks held. */
	void (*revoke)(const struct vcpu_set *set, ram_off_t page_off);
	/* As revoke, of an open page, if nobody but the calling vCPU is in the set: at once, and with the page locked. Otherwise false. */
	bool (*close_own)(const struct vcpu_set *writers, ram_off_t page_off);
	/* The bytes around [first, last] of the page that no block watches, if that is soon found out; first == end: none. Page lock held. */
	struct code_gap (*gap_locked)(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last);
	/*
	 * May a store change [first, last] and touch no block of the page? Not if a block wants to count such stores. Page lock held, or the page was
	 * opened by this vCPU, an RCU reader.
	 */
	bool (*unwatched)(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last);
	/* Waits until the page's state is not `state`; others may revoke from the waiter meanwhile. No locks held. */
	void (*wait_state)(struct page_desc *page, uint16_t state);
};
extern const struct code_watch_ops *code_watch_ops; /* [const] */

int must_check code_watch_init(uint64_t ram_bytes);
void code_watch_fini(void);

extern struct page_desc *code_watch_pages;     /* [const] by RAM page number */
extern struct region_desc *code_watch_regions; /* [const] by RAM offset >> REGION_BITS */

static inline struct page_desc *code_watch_page(ram_off_t off)
{
	return &code_watch_pages[off >> GUEST_PAGE_BITS];
}

static inline struct region_desc *code_watch_region(ram_off_t off)
{
	return &code_watch_regions[off >> REGION_BITS];
}

static inline bool code_watch_is_code(ram_off_t off)
{
	return atomic_load_explicit(&code_watch_page(off)->state, memory_order_seq_cst) != PAGE_DATA;
}

/* Joins the page's (region's) writer set; true: the vCPU may write the page (the whole region) inline. */
bool code_watch_writer_add(ram_off_t page_off, unsigned vcpu);
bool code_watch_region_writer_add(ram_off_t off, unsigned vcpu);

/*
 * Makes the page code and returns its generation; the bytes may be read afterwards. Waits for other vCPUs.
 * Thread: a vCPU at a safepoint. Locks: none held.
 */
uint64_t code_watch_arm(ram_off_t page_off);

/*
 * Around a store to [off, off+len) of one page that is, or may be, code: begin kills what was translated from the bytes and returns with the
 * page locked; end releases it. Nobody who sees the new bytes can still enter a block of the old ones, and nobody reads the bytes to translate
 * them in between. No lock held before.
 */
void code_watch_store_begin(ram_off_t off, size_t len);
void code_watch_store_end(ram_off_t off);

/*
 * Stores `size` bytes (1..64) to [off, off+size) of one page that is, or may be, code; what was translated from bytes that change dies before.
 * 1, 2, 4 or 8 bytes become visible at once. No lock held before.
 */
void code_watch_replace(ram_off_t off, const uint8_t *bytes, unsigned size);

/*
 * The same by a vCPU that does not run code of this page. True: it has opened the page, and until that is revoked may store to the gap inline, if there
 * is one, and to the page by code_watch_replace_unlocked().
 */
bool code_watch_replace_and_open(ram_off_t off, const uint8_t *bytes, unsigned size, unsigned vcpu, struct code_gap *gap);

/*
 * As code_watch_replace(), by a vCPU that has the page open and runs code of another page, without the lock. False: it cannot be done so, and nothing
 * was done. RCU reader; no safepoint since it was known that the page is open.
 */
bool must_check code_watch_replace_unlocked(ram_off_t off, const uint8_t *bytes, unsigned size);

/* For stores from outside the vCPUs (DMA), and by the page walker: [off, off+len) has just been stored; blocks translated from it die. */
void code_watch_store(ram_off_t off, size_t len);

/* The last block left the page: back to DATA. Page lock held. */
void code_watch_disarm_locked(struct page_desc *page, ram_off_t page_off);

#endif
