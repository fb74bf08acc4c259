/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: dead blocks gather with the vCPU that killed them, by the chunk on a lock-free stack, and there for a batch; a vCPU that builds a
 * block or is at a safepoint makes the batch, publishes it, and hands it to RCU. So a kill writes nothing that all vCPUs share, but for a
 * share of a chunk's and a batch's writes; batches grow with the number of vCPUs, because a grace period hears of each of them.
 *
 * Blocks that were in no private cache, or in that of their killer only, are in none when they get here (tb_hold.c); the others stand in the
 * batch for all vCPUs to see, which is published before its grace period starts. Each vCPU purges its jump cache of all published batches right after each
 * quiescent state and before it enters generated code again; its return stack is empty then, and chains into the blocks went when they
 * were killed. So once every vCPU has been quiescent after publication, nothing leads to the blocks, and their memory is free. The batch
 * itself is still read by a purge behind the last quiescent state: it lives for one more grace period.
 */
#include "tcg/cache/tb_private.h"

#include <stdlib.h>

#include "sched/clock.h"
#include "tcg/cache/code_region.h"
#include "util/cost.h"
#include "util/jitter.h"
#include "util/stats.h"

#define BATCH_BLOCKS 512     /* at least... */
#define BATCH_BLOCKS_VCPU 64 /* ...and so many for each vCPU */
#define CHUNK_BLOCKS 64
#define EVICT_VCPUS 4        /* for each so many vCPUs one more segment is emptied at a time */

struct batch {
	struct rcu_head rcu;
	struct batch *next;  /* [rcu QUEUE lock] newer batch */
	vclock_ns_t born;    /* [const] */
	uint64_t seq;        /* [const] */
	unsigned nr, nr_held; /* [const] those that other vCPUs may hold come first */
	struct {
		gva_t pc;
		const void *code;
		struct code_segment *segment;
	} dead[];            /* [const] */
};

/* Dead blocks of this thread that are not on the stack yet. vCPUs put them there at each safepoint, so none rest with one that sleeps. */
static _Thread_local struct {
	struct tb *first, *last;
	unsigned nr, limit; /* limit 0: the thread has no safepoints and keeps none */
} mine;

static struct tb *_Atomic retired;       /* [atomic] stack, through retired_next */
static _Atomic unsigned nr_retired;
static unsigned batch_blocks = BATCH_BLOCKS; /* [const] */
static unsigned evict_segments = 1;          /* [const] */
static struct ranked_lock batch_lock = RANKED_LOCK_INIT(QUEUE);
static struct batch *oldest, *newest;    /* [rcu batch_lock] */
static _Atomic uint64_t published;       /* seq of the newest batch */
static _Atomic uint64_t unlinked;        /* newest seq that was, or is about to be, taken off the list [written under batch_lock] */
void (*tb_reclaim_kick)(void);

void tb_reclaim_init(unsigned nr_vcpus)
{
	unsigned blocks = nr_vcpus * BATCH_BLOCKS_VCPU;

	batch_blocks = blocks > BATCH_BLOCKS ? blocks : BATCH_BLOCKS;
	evict_segments = 1 + nr_vcpus / EVICT_VCPUS;
}

void tb_reclaim_thread_init(void)
{
	mine.limit = CHUNK_BLOCKS;
}

void tb_reclaim_thread_fini(void)
{
	tb_retire_flush();
	mine.limit = 0;
}

void tb_retire_flush(void)
{
	struct tb *head = atomic_load_explicit(&retired, memory_order_relaxed);

	if (!mine.first)
		return;
	do
		mine.last->retired_next = head;
	while (!atomic_compare_exchange_weak(&retired, &head, mine.first));
	atomic_fetch_add(&nr_retired, mine.nr);
	cost_lines(2);
	mine.first = mine.last = NULL;
	mine.nr = 0;
}

void tb_retire(struct tb *tb)
{
	tb->retired_next = mine.first;
	mine.first = tb;
	if (!mine.last)
		mine.last = tb;
	if (++mine.nr >= mine.limit)
		tb_retire_flush();
}

static void batch_free(struct rcu_head *head)
{
	free(container_of(head, struct batch, rcu));
}

static void free_blocks(struct batch *b)
{
	for (unsigned i = 0, n; i < b->nr; i += n) {
		for (n = 1; i + n < b->nr && b->dead[i + n].segment == b->dead[i].segment; n++)
			;
		code_blocks_gone(b->dead[i].segment, n);
	}
	stat_add(STAT_blocks_reclaimed, b->nr);
	stat_time(STAT_TIME_reclaim, (uint64_t)(clock_now() - b->born));
}

/* Nobody was to purge it: it is on no list. */
static void unheld_batch_done(struct rcu_head *head)
{
	free_blocks(container_of(head, struct batch, rcu));
	batch_free(head);
}

/* After the first grace period: the code is free, the batch leaves the list. */
static void batch_done(struct rcu_head *head)
{
	struct batch *b = container_of(head, struct batch, rcu);

	/* Before the unlinking: a purge that no longer finds the batch knows by this that it missed one. */
	lock_acquire(&batch_lock);
	if (atomic_load(&unlinked) < b->seq)
		atomic_store(&unlinked, b->seq);
	lock_release(&batch_lock);
	free_blocks(b);
	lock_acquire(&batch_lock);
	for (struct batch **p = &oldest, *prev = NULL; *p; prev = *p, p = &(*p)->next) {
		if (*p != b)
			continue;
		if (newest == b)
			newest = prev;
		rcu_set_pointer(p, b->next);
		break;
	}
	lock_release(&batch_lock);
	rcu_call(&b->rcu, batch_free);
}

static struct batch *batch_make(struct tb *list)
{
	unsigned nr = 0;
	struct batch *b;

	for (struct tb *tb = list; tb; tb = tb->retired_next)
		nr++;
	b = malloc(sizeof(*b) + nr * sizeof(b->dead[0]));
	if (!b)
		return NULL;
	b->nr_held = 0;
	b->nr = nr;
	b->next = NULL;
	b->born = clock_now();
	for (struct tb *tb = list; tb; tb = tb->retired_next) {
		bool held = atomic_load_explicit(&tb->holder, memory_order_relaxed) != TB_HELD_BY_NOBODY;
		unsigned i = held ? b->nr_held++ : --nr;

		b->dead[i].pc = tb->pc;
		b->dead[i].code = tb->code;
		b->dead[i].segment = tb->segment;
	}
	return b;
}

static void batch_publish(struct batch *b)
{
	lock_acquire(&batch_lock);
	b->seq = atomic_load(&published) + 1;
	if (newest)
		rcu_set_pointer(&newest->next, b);
	else
		rcu_set_pointer(&oldest, b);
	newest = b;
	atomic_store(&published, b->seq);
	lock_release(&batch_lock);
}

static void put_back(struct tb *list)
{
	while (list) {
		struct tb *next = list->retired_next;

		atomic_fetch_sub(&nr_retired, 1); /* tb_retire_flush() counts it again */
		tb_retire(list);
		list = next;
	}
}

/* Writes: the stack and its count, the list of batches and their lock, RCU's queue, count and wake word. */
#define BATCH_LINES 7

void tb_reclaim_poll(bool now)
{
	unsigned due = now ? 1 : batch_blocks;
	struct tb *list;
	struct batch *b;
	enum cost_op was;

	/* This thread's own count: it may come to no safepoint for long, and then no more than are too few for a batch shall wait. */
	if (atomic_load_explicit(&nr_retired, memory_order_relaxed) + mine.nr < due)
		return;
	tb_retire_flush();
	list = atomic_exchange(&retired, NULL);
	if (!list)
		return;
	b = batch_make(list);
	if (!b) { /* no memory now: the blocks wait for a later poll */
		put_back(list);
		return;
	}
	was = cost_begin(COST_reclaim);
	cost_lines(BATCH_LINES);
	atomic_fetch_sub(&nr_retired, b->nr);
	if (b->nr_held)
		batch_publish(b);
	jitter();
	rcu_call(&b->rcu, b->nr_held ? batch_done : unheld_batch_done);
	if (tb_reclaim_kick)
		tb_reclaim_kick();
	cost_end(was);
}

/* No vCPU is left: batches under way end, blocks that wait for one go with the code region. */
void tb_reclaim_fini(void)
{
	rcu_drain(); /* batch_done() */
	rcu_drain(); /* batch_free() */
	atomic_store(&retired, NULL);
	atomic_store(&nr_retired, 0);
}

bool tb_purge_due(uint64_t seen)
{
	return atomic_load(&published) != seen;
}

void tb_purge(uint64_t *seen, tb_forget_fn drop, void *opaque)
{
	uint64_t upto = atomic_load(&published);

	jitter();
	for (struct batch *b = rcu_dereference(oldest); b; b = rcu_dereference(b->next)) {
		if (b->seq <= *seen)
			continue;
		for (unsigned i = 0; i < b->nr_held; i++)
			drop(opaque, b->dead[i].pc, b->dead[i].code);
		stat_add(STAT_purge_lookups, b->nr_held);
	}
	/* Off the list before the walk came by (the vCPU was parked, or its own quiescent state let the callback run): all must go. */
	if (atomic_load(&unlinked) > *seen)
		drop(opaque, 0, NULL);
	*seen = upto;
}

/* Writes of an eviction but for its kills: the lists' lock, the segment, the count of those under way. */
#define EVICT_LINES 4

void tb_evict_segment(struct code_segment *seg)
{
	enum cost_op was = cost_begin(COST_evict);

	cost_lines(EVICT_LINES);
	for (struct tb *tb = atomic_load_explicit(&seg->blocks, memory_order_acquire); tb; tb = tb->segment_next)
		if (atomic_load_explicit(&tb->state, memory_order_relaxed) == TB_LIVE)
			tb_kill(tb);
	code_blocks_gone(seg, 1); /* the reference of who marked it */
	cost_end(was);
}

bool tb_evict(void)
{
	struct code_segment *seg;
	unsigned n = 0;

	for (; n < evict_segments && (seg = code_segment_oldest(clock_now())); n++) {
		tb_evict_segment(seg);
		stat_inc(STAT_segments_evicted);
	}
	return n > 0;
}

struct tb *tb_find_host_pc(const void *host_pc)
{
	struct tb *tb;

	if (!code_contains(host_pc))
		return NULL;
	tb = atomic_load_explicit(&code_segment_of(host_pc)->blocks, memory_order_acquire);
	for (; tb; tb = tb->segment_next)
		if ((const uint8_t *)host_pc >= tb->code && (const uint8_t *)host_pc < tb->code + tb->code_size)
			return tb;
	return NULL;
}

bool tb_trap_lookup(const void *host_pc, struct backend_trap *out, gva_t *pc)
{
	struct tb *tb = tb_find_host_pc(host_pc);

	if (!tb)
		return false;
	for (unsigned i = 0; i < tb->nr_traps; i++)
		if (tb->code + tb->trap[i].host_off == host_pc) {
			*out = tb->trap[i];
			*pc = tb->pc + tb->trap[i].pc_off;
			return true;
		}
	return false;
}
