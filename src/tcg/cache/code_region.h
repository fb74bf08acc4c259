/* SPDX-License-Identifier: MIT */
/*
 * Code memory: one memfd mapped twice, writable and executable (never both at one address), cut into segments.
 *
 * Owner:   a segment is filled by one vCPU at a time (its owner); when it is full it stands in the queue of full segments until all its
 *          blocks have been reclaimed, or until it is the oldest and room is needed: then its blocks are killed.
 *          The segment freed last is used next, so those that are free for long are more than is needed: their memory goes back to the host.
 *          Those that were filled long ago are emptied now and then, which shows what in them still runs: tb_cold.c.
 * Threads: code_reserve() on the owning vCPU's thread. Rule: segment lists under the lock of rank CODE.
 */
#ifndef COHORT_TCG_CODE_REGION_H
#define COHORT_TCG_CODE_REGION_H

#include <stdatomic.h>

#include "util/list.h"
#include "util/types.h"

struct err;
struct tb;

#define CODE_SEGMENT_MAX (256u << 10)
#define CODE_SEGMENT_MIN (16u << 10)

/*
 * The region consists of huge pages of the host where that has them, each made so when the one CODE_HUGE_AHEAD before it is first used (so that many
 * huge pages are there unused). Translated code is large, and a program on it jumps about: `proc-thread` and others are 5 to 10% faster.
 */
#define CODE_HUGE (2u << 20)
#define CODE_HUGE_AHEAD 1

struct code_segment {
	struct list link;            /* [lock CODE] in the free or the full list */
	_Atomic uint32_t live;       /* [atomic] blocks not yet reclaimed; while owned: CODE_SEGMENT_OWNED less those reclaimed */
	_Atomic bool evicting;       /* [atomic] its blocks are being killed */
	bool resident;               /* [lock CODE] used since the host last had its memory */
	vclock_ns_t freed;           /* [lock CODE] when it became free */
	vclock_ns_t filled;          /* [lock CODE] when its owner gave it away */
	/* The owner's line: written for each block, while reclaim takes older ones off `live`. */
	struct tb *_Atomic blocks __attribute__((aligned(64))); /* [atomic] newest first; pushed by the owner, emptied when the segment is free again */
	uint32_t used;               /* [owner] */
	uint32_t chunk_used;         /* [owner] bytes of the first chunk */
	struct code_chunk *chunks;   /* [owner, then who empties it] memory for the structures of its blocks */
	uint32_t committed;          /* [owner] blocks; counted in `live` when the segment is given away */
} __attribute__((aligned(64)));

#define CODE_SEGMENT_OWNED (1u << 30)

/* `bytes` is raised if it is too little for nr_vcpus. */
int must_check code_region_init(size_t bytes, unsigned nr_vcpus, struct err *err);
void code_region_fini(void);

/* The first part of the region holds the back end's shared stubs. */
#define CODE_STUB_SIZE (64u << 10)
uint8_t *code_stub_rx(void);
uint8_t *code_rw(const void *rx); /* the writable alias of an executable address */
bool code_contains(const void *rx);

/*
 * At least `min` bytes to write a block into, aligned to 64: executable address, with the room in *room; NULL: the cache is full and nothing can be
 * had before a grace period (the caller passes a safepoint and tries again). *seg is the caller's current segment, NULL at first.
 */
uint8_t *code_reserve(struct code_segment **seg, size_t min, size_t *room);
void code_commit(struct code_segment *seg, struct tb *tb, size_t bytes);
/* Bytes of heap that the structures of blocks in all segments have. No vCPU thread runs. */
size_t code_blocks_heap(void);
/*
 * Memory for the structure of a block in the caller's segment, which code_commit() makes the block's; without it the next call has the same again. It goes
 * when the segment is free, with that of all its blocks. NULL: out of memory.
 */
#define CODE_BLOCK_ALIGN 64u
#define CODE_BLOCK_ROUND(bytes) (((bytes) + CODE_BLOCK_ALIGN - 1) & ~(size_t)(CODE_BLOCK_ALIGN - 1))
void *code_block_memory(struct code_segment *seg, size_t bytes);
/* The memory of n blocks is no longer used by anyone. Any thread. */
void code_blocks_gone(struct code_segment *seg, uint32_t n);
/* The vCPU gives its segment away (thread end). */
void code_segment_put(struct code_segment *seg);
struct code_segment *code_segment_of(const void *rx);
/* The oldest full segment, marked as being evicted, or NULL; for tb_evict(). `now` tells how fast they go. */
struct code_segment *code_segment_oldest(vclock_ns_t now);
/* The same, if it was filled before that time; for tb_cold.c. */
struct code_segment *code_segment_aged(vclock_ns_t before);
unsigned code_segments_taken(void); /* how often a vCPU has begun to fill one */
bool code_is_short(void); /* few segments are free: evict */

/*
 * The region is much smaller than what the guest runs in turns: half of it was emptied in less than CODE_PRESSED_NS for each byte, so that building
 * anew (some 10 ns for a byte) takes more than a sixth of a vCPU's time. Shorter code then is the faster one, as more of it stays.
 */
#define CODE_PRESSED_NS 60
bool code_is_pressed(void);

/*
 * Memory of segments that nobody has used for CODE_COLD_NS goes back to the host, a few at a time. Returns when to look again, VCLOCK_NEVER if
 * there is nothing to look for. Called by a timer of its own on the loop thread; no locks.
 */
#define CODE_COLD_NS 2000000000ll
vclock_ns_t code_give_back(vclock_ns_t now);

#endif
