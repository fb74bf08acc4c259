/* SPDX-License-Identifier: MIT */
/*
 * Translation blocks and their cache.
 *
 * Life:    BUILDING (private to the translating vCPU) -> LIVE (in the table, on its pages' lists) -> DEAD -> reclaimed.
 * Owner:   the cache. A pointer to a block is good until the holder's next quiescent state.
 * Threads: any vCPU finds, builds, chains and kills, at the same time.
 * Rule:    the lock of the block's first page (its home) guards its life cycle and its chains; chains exist only between blocks with
 *          the same home page, so one lock serves both ends. A block that reaches into a second page is killed under both locks,
 *          taken in ascending order. docs/CONCURRENCY.md tells the protocol; tests/models/tb_life.pml checks it.
 */
#ifndef COHORT_TCG_TB_H
#define COHORT_TCG_TB_H

#include <stdatomic.h>

#include "mem/code_watch.h"
#include "tcg/backend.h"
#include "util/list.h"
#include "util/rcu.h"

#include <urcu/rculfhash.h>

enum tb_state { TB_BUILDING, TB_LIVE, TB_DEAD };

#define TB_NO_PAGE (~(ram_off_t)0)

struct tb_exit {
	struct backend_exit x; /* [const] */
	struct tb *from;       /* [const] the block it belongs to */
	struct tb *to;         /* [lock home page] chained to, or NULL */
	struct list link;      /* [lock home page] in to->incoming */
};

struct tb {
	struct cds_lfht_node node;
	ram_off_t phys;        /* [const] RAM offset of the first byte */
	gva_t pc;              /* [const] linear address it was translated for */
	uint32_t flags;        /* [const] guest mode bits */
	_Atomic uint32_t state; /* [atomic] enum tb_state; written under the home page's lock */
	ram_off_t page2;       /* [const] RAM offset of the second page, TB_NO_PAGE */
	uint8_t *code;         /* [const] executable address of the entry slot */
	_Atomic uint32_t holder; /* [atomic] whose private caches may lead here; tb_hold.c. A lookup reads up to here: one cache line */
	uint16_t guest_len;    /* [const] bytes translated */
	uint16_t watch_len;    /* [const] bytes from phys whose change kills it... */
	uint16_t watch_before; /* [const] ...and bytes in front of it, on the home page */
	uint32_t code_size;    /* [const] */
	uint16_t nr_exits, nr_traps; /* [const] */
	uint16_t guest_insns;  /* [const] */
	uint16_t nr_late;      /* [const] */
	uint16_t late_stores;  /* [lock home page; atomic for a look without it] stores it outlived because of that, up to REWRITTEN_PAYS */
	struct tb_page_link {
		struct tb *next, **pprev;
	} page[2];             /* [lock that page] */
	struct list incoming;  /* [lock home page] exits of other blocks (or of itself) that jump here */
	struct code_segment *segment; /* [const] */
	struct tb *segment_next; /* [atomic] append-only list of the segment's blocks */
	struct tb *retired_next; /* [owner] who killed it, then who makes the batch */
	struct backend_trap *trap; /* [const] */
	struct ir_late *late;  /* [const] bytes of those watched that it reads when it runs: their change does not kill it */
	struct tb_exit exit[]; /* [const] but for the marked fields */
};

_Static_assert(offsetof(struct tb, holder) + sizeof(uint32_t) <= 64, "what a lookup reads is one cache line");

/* ---- tb_new.c. A block nobody else knows yet, in memory of the segment that its code is going to be committed to */
/* With room for so many of each. NULL: out of memory. */
struct tb *tb_new(struct code_segment *seg, unsigned exits, unsigned traps, unsigned late);
/* What the translator and the back end have told of it. The code holds its address already, so it may not move. */
void tb_fill(struct tb *tb, const struct backend_code *c, const struct ir_block *ir);
size_t tb_bytes(const struct tb *tb); /* that it takes */
/* Another one like it; without a segment in memory that is to be freed. NULL: out of memory. */
struct tb *tb_clone(struct code_segment *seg, const struct tb *tb);

/* ---- tb_cache.c */
int must_check tb_cache_init(void);
void tb_cache_fini(void);
/* RCU reader. The live block for this key, or NULL. page2 of the block, if any, is the caller's to compare. */
struct tb *tb_lookup(ram_off_t phys, gva_t pc, uint32_t flags);
/*
 * Makes a built block LIVE, if the generations of its pages still are what they were when they were armed. Returns the block to use
 * (ours, or that of a faster vCPU; ours is then discarded), or NULL: translate again.
 */
struct tb *tb_publish(struct tb *tb, uint64_t gen, uint64_t gen2);

/* ---- tb_link.c */
/* Chains exit `index` of `from` to `to`, if both are live and share a home page. */
void tb_chain(struct tb *from, unsigned index, struct tb *to);
void tb_unchain_all_locked(struct tb *tb); /* incoming and outgoing; home page locked */

/* ---- tb_hold.c */
#define TB_HELD_BY_NOBODY 0u
#define TB_HELD_BY_MANY (~0u)
typedef void (*tb_forget_fn)(void *opaque, gva_t pc, const void *code); /* drops a block from the private caches; code NULL: all of them */
void tb_holder_init(tb_forget_fn forget, void *opaque); /* a vCPU's thread: how it drops blocks */
void tb_holder_fini(void);
/* Before a block is put into this vCPU's private caches: true if it may be. RCU reader. */
bool must_check tb_hold(struct tb *tb);
/* A DEAD block goes from the private caches of this vCPU, if no other has had it. */
void tb_let_go(struct tb *tb);

/* ---- tb_inval.c */
void tb_kill_locked(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last); /* code_watch_ops.kill_locked */
struct code_gap tb_gap_locked(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last); /* .gap_locked */
bool tb_unwatched(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last); /* .unwatched */
/* Kills one block, wherever it is; no lock held. */
void tb_kill(struct tb *tb);

/* ---- tb_reclaim.c */
void tb_reclaim_init(unsigned nr_vcpus);
/* A vCPU's thread: it will call tb_retire_flush() at each safepoint. */
void tb_reclaim_thread_init(void);
void tb_reclaim_thread_fini(void);
void tb_retire(struct tb *tb); /* DEAD and unlinked; any lock below QUEUE may be held */
void tb_retire_flush(void);    /* what this thread has retired may go into a batch */
/* Starts a grace period for what has been retired, if it is worth it (or now). An RCU reader's thread, no locks. */
void tb_reclaim_poll(bool now);
void tb_reclaim_fini(void); /* main, after the last vCPU ended; waits */
/* Kills the blocks of the oldest full code segments, with many vCPUs of several; false if there is none. vCPU at a safepoint, no locks. */
bool tb_evict(void);
void tb_evict_segment(struct code_segment *seg); /* marked as being evicted. RCU reader, no locks */
/* True if `seen` is behind: there are dead blocks this vCPU has not purged yet. */
bool tb_purge_due(uint64_t seen);
/* Calls drop() for each dead block of batches newer than *seen, which becomes current. RCU reader, right after a quiescent state. */
void tb_purge(uint64_t *seen, tb_forget_fn drop, void *opaque);
extern void (*tb_reclaim_kick)(void); /* [const] asks all running vCPUs to pass a safepoint */

/* ---- tb_cold.c */
void tb_cold_init(void);
void tb_cold_fini(void); /* main */
/* Empties a segment, if one is old enough; returns when to do it again. RCU reader, no locks. */
vclock_ns_t tb_cold_sweep(vclock_ns_t now);
#define TB_COLD_AGE_NS 10000000000ll /* since a segment was filled */
#define TB_COLD_PAUSE_NS 100000000ll /* between two of them, at least */
#define TB_COLD_PAUSES 40            /* the longest pause, in least ones */

/* ---- host code addresses (async-signal-safe on a vCPU thread inside the block) */
struct tb *tb_find_host_pc(const void *host_pc);
bool tb_trap_lookup(const void *host_pc, struct backend_trap *out, gva_t *pc);

#endif
