/* SPDX-License-Identifier: MIT */
/*
 * Code memory in segments; see code_region.h.
 */
#define _GNU_SOURCE 1
#include "tcg/cache/code_region.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sched/clock.h"
#include "sched/timer.h"
#include "tcg/cache/tb.h"
#include "util/err.h"
#include "util/lock.h"
#include "util/rcu.h"
#include "util/stats.h"

#ifndef MADV_COLLAPSE /* Linux 6.1; others refuse it */
#define MADV_COLLAPSE 25
#endif

#define GIVE_BACK_AT_ONCE 16 /* segments; the loop thread has other things to do */
#define GIVE_BACK_PAUSE_NS 10000000

static uint8_t *rx_base, *rw_base;
static size_t region_size, segment_size;
static struct code_segment *segments;
static unsigned nr_segments;
static struct ranked_lock code_lock = RANKED_LOCK_INIT(CODE);
static struct list free_list = LIST_INIT(free_list); /* [lock code_lock] */
static struct list full_list = LIST_INIT(full_list); /* [lock code_lock] oldest first */
static _Atomic unsigned nr_free;                     /* written under code_lock */
static _Atomic unsigned nr_evicting;                 /* likewise: full segments whose blocks are dead or dying */
static _Atomic unsigned nr_taken;                    /* likewise: by segment_get(), ever */
static struct timer cold_timer;
static bool cold_armed;                              /* [lock code_lock] */
static void *reserved;                               /* [const] address space that both mappings are in */
static size_t reserved_size;                         /* [const] */
/* How fast segments are emptied. */
static struct {
	size_t emptied;             /* [lock code_lock] bytes, since... */
	vclock_ns_t since;          /* [lock code_lock] */
	_Atomic vclock_ns_t until;  /* [atomic] pressed up to then; written under code_lock */
} pressure;
/* Which of the region's huge pages have been asked for, from its start. */
static struct {
	struct rcu_head rcu;
	size_t wanted, done; /* [lock code_lock] */
	bool under_way;      /* [lock code_lock] rcu is queued, or being run */
} huge;

/* Both mappings begin at a huge page's start. What lies between and behind them stays reserved. */
static int map_both(int fd, size_t bytes)
{
	size_t each = (bytes + CODE_HUGE - 1) & ~(size_t)(CODE_HUGE - 1);
	uint8_t *at;

	reserved_size = 2 * each + CODE_HUGE;
	reserved = mmap(NULL, reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -1;
	at = (uint8_t *)(((uintptr_t)reserved + CODE_HUGE - 1) & ~(uintptr_t)(CODE_HUGE - 1));
	rw_base = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	rx_base = mmap(at + each, bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (rw_base != MAP_FAILED && rx_base != MAP_FAILED)
		return 0;
	munmap(reserved, reserved_size);
	return -1;
}

static int map_region(size_t bytes, struct err *err)
{
	int fd = memfd_create("cohort-code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || map_both(fd, bytes) < 0) {
		err_set(err, "cannot get %zu MiB of code memory: %s", bytes >> 20, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

/*
 * Huge pages. The host's settings for shared memory mostly say "never", but MADV_COLLAPSE gives them to whoever asks. It wants page tables to be there:
 * one access in each mapping. It may take milliseconds (it zeroes, moves memory about, and waits for other host CPUs), so the rcu thread does it, a
 * little ahead of use. If the host refuses, the pages are small ones.
 */
static void make_huge(size_t n)
{
	uint8_t *rw = rw_base + n * CODE_HUGE, *rx = rx_base + n * CODE_HUGE;

	(void)__atomic_load_n(rw, __ATOMIC_RELAXED);
	(void)__atomic_load_n(rx, __ATOMIC_RELAXED);
	if (!madvise(rw, CODE_HUGE, MADV_COLLAPSE))
		madvise(rx, CODE_HUGE, MADV_COLLAPSE);
}

static void make_wanted_huge(struct rcu_head *unused)
{
	bool more;
	size_t n;

	(void)unused;
	for (;;) {
		lock_acquire(&code_lock);
		n = huge.done;
		more = n < huge.wanted;
		huge.done += more;
		huge.under_way = more;
		lock_release(&code_lock);
		if (!more)
			return;
		make_huge(n);
	}
}

/* The region is in use up to this offset. Huge pages that cold_put() has broken up stay so. */
static void used_up_to_locked(size_t offset)
{
	size_t n = offset / CODE_HUGE + 1 + CODE_HUGE_AHEAD, all = region_size / CODE_HUGE;

	n = n < all ? n : all;
	if (n <= huge.wanted)
		return;
	huge.wanted = n;
	if (huge.under_way)
		return;
	huge.under_way = true;
	rcu_call(&huge.rcu, make_wanted_huge);
}

/* Several segments for each vCPU, however small the region. */
static size_t choose_segment_size(size_t bytes, unsigned nr_vcpus)
{
	size_t size = CODE_SEGMENT_MAX;

	while (size > CODE_SEGMENT_MIN && bytes / size < 16 * (size_t)nr_vcpus)
		size /= 2;
	return size;
}

struct code_chunk {
	struct code_chunk *next;
	size_t size;
	uint8_t at[] __attribute__((aligned(CODE_BLOCK_ALIGN)));
};

#define CHUNK_BYTES 16384u

void *code_block_memory(struct code_segment *seg, size_t bytes)
{
	size_t need = CODE_BLOCK_ROUND(bytes), size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
	struct code_chunk *c = seg->chunks;

	if (likely(c && c->size - seg->chunk_used >= need))
		return c->at + seg->chunk_used;
	c = aligned_alloc(CODE_BLOCK_ALIGN, sizeof(*c) + size);
	if (!c)
		return NULL;
	c->next = seg->chunks;
	c->size = size;
	seg->chunks = c;
	seg->chunk_used = 0;
	return c->at;
}

/* Block structures live as long as their segment's contents: walkers of the segment's list need no more than live > 0. */
static void free_blocks(struct code_segment *seg)
{
	struct code_chunk *c = seg->chunks;

	atomic_store(&seg->blocks, NULL);
	seg->chunks = NULL;
	while (c) {
		struct code_chunk *next = c->next;

		free(c);
		c = next;
	}
}

size_t code_blocks_heap(void)
{
	size_t sum = 0;

	for (size_t i = 0; i < nr_segments; i++)
		for (struct code_chunk *c = segments[i].chunks; c; c = c->next)
			sum += malloc_usable_size(c) + sizeof(size_t);
	return sum;
}

static void look_for_cold(void *opaque)
{
	vclock_ns_t next = code_give_back(clock_now());

	(void)opaque;
	if (next != VCLOCK_NEVER)
		timer_arm(&cold_timer, next);
}

int code_region_init(size_t bytes, unsigned nr_vcpus, struct err *err)
{
	unsigned stub_segments;

	segment_size = choose_segment_size(bytes, nr_vcpus);
	if (bytes < CODE_STUB_SIZE + segment_size * 4 * nr_vcpus)
		bytes = CODE_STUB_SIZE + segment_size * 4 * nr_vcpus;
	region_size = (bytes + segment_size - 1) & ~(segment_size - 1);
	if (map_region(region_size, err) < 0)
		return -1;
	nr_segments = (unsigned)(region_size / segment_size);
	segments = aligned_alloc(_Alignof(struct code_segment), nr_segments * sizeof(*segments));
	if (!segments)
		return err_set(err, "out of memory");
	memset(segments, 0, nr_segments * sizeof(*segments));
	stub_segments = (unsigned)((CODE_STUB_SIZE + segment_size - 1) / segment_size);
	for (unsigned i = stub_segments; i < nr_segments; i++)
		list_push_back(&free_list, &segments[i].link);
	atomic_store(&nr_free, nr_segments - stub_segments);
	timer_init(&cold_timer, look_for_cold, NULL);
	cold_armed = false;
	pressure.emptied = 0;
	pressure.since = clock_now();
	atomic_store(&pressure.until, 0);
	return 0;
}

void code_region_fini(void)
{
	timer_fini(&cold_timer);
	for (unsigned i = 0; i < nr_segments; i++)
		free_blocks(&segments[i]);
	nr_segments = 0;
	if (huge.wanted)
		rcu_drain(); /* make_wanted_huge() */
	huge.wanted = huge.done = 0;
	munmap(reserved, reserved_size);
	free(segments);
	segments = NULL;
	list_init(&free_list);
	list_init(&full_list);
}

uint8_t *code_stub_rx(void)
{
	return rx_base;
}

uint8_t *code_rw(const void *rx)
{
	return rw_base + ((const uint8_t *)rx - rx_base);
}

bool code_contains(const void *rx)
{
	return (const uint8_t *)rx >= rx_base && (const uint8_t *)rx < rx_base + region_size;
}

struct code_segment *code_segment_of(const void *rx)
{
	return &segments[((const uint8_t *)rx - rx_base) / segment_size];
}

static uint8_t *segment_start(const struct code_segment *seg)
{
	return rx_base + (size_t)(seg - segments) * segment_size;
}

bool code_is_short(void)
{
	unsigned reserve = nr_segments / 8 > 2 ? nr_segments / 8 : 2;

	/* What is on its way counts: a grace period takes its time, and emptying more meanwhile would empty everything. */
	return atomic_load_explicit(&nr_free, memory_order_relaxed) + atomic_load_explicit(&nr_evicting, memory_order_relaxed) < reserve;
}

void code_blocks_gone(struct code_segment *seg, uint32_t n)
{
	if (atomic_fetch_sub(&seg->live, n) != n)
		return;
	lock_acquire(&code_lock);
	list_remove(&seg->link); /* from the full list */
	lock_release(&code_lock);
	free_blocks(seg); /* takes its time: nobody else knows the segment now */
	seg->used = 0;
	lock_acquire(&code_lock);
	if (atomic_exchange(&seg->evicting, false))
		atomic_fetch_sub(&nr_evicting, 1);
	list_push_front(&free_list, &seg->link); /* the next to be used: its memory is there and warm, and others need not be touched */
	atomic_fetch_add(&nr_free, 1);
	seg->freed = clock_now();
	if (!cold_armed) {
		cold_armed = true;
		timer_arm(&cold_timer, seg->freed + CODE_COLD_NS);
	}
	lock_release(&code_lock);
}

void code_segment_put(struct code_segment *seg)
{
	if (!seg)
		return;
	lock_acquire(&code_lock);
	seg->filled = clock_now();
	list_push_back(&full_list, &seg->link);
	lock_release(&code_lock);
	code_blocks_gone(seg, CODE_SEGMENT_OWNED - seg->committed);
}

static struct code_segment *segment_get(void)
{
	struct code_segment *seg = NULL;

	lock_acquire(&code_lock);
	if (!list_empty(&free_list)) {
		seg = list_entry(free_list.next, struct code_segment, link);
		list_remove(&seg->link);
		atomic_fetch_sub(&nr_free, 1);
		atomic_fetch_add(&nr_taken, 1);
		seg->committed = 0;
		atomic_store(&seg->live, CODE_SEGMENT_OWNED);
		if (!seg->resident)
			stat_add(STAT_code_memory_taken, segment_size);
		seg->resident = true;
		used_up_to_locked((size_t)(seg - segments) * segment_size);
	}
	lock_release(&code_lock);
	return seg;
}

/* One more count, unless the last has gone: then code_blocks_gone() is about to empty the segment. */
static bool get_unless_gone(struct code_segment *seg)
{
	uint32_t live = atomic_load(&seg->live);

	while (live && !atomic_compare_exchange_weak(&seg->live, &live, live + 1))
		;
	return live != 0;
}

bool code_is_pressed(void)
{
	vclock_ns_t until = atomic_load_explicit(&pressure.until, memory_order_relaxed);

	return until && clock_now() < until;
}

/* One more segment goes. After each half of the region: if that was fast, the next half is expected in twice the time at most. */
static void note_emptied_locked(vclock_ns_t now)
{
	vclock_ns_t took = now - pressure.since;

	pressure.emptied += segment_size;
	if (pressure.emptied < region_size / 2)
		return;
	if (took < (vclock_ns_t)pressure.emptied * CODE_PRESSED_NS)
		atomic_store_explicit(&pressure.until, now + 2 * took, memory_order_relaxed);
	pressure.emptied = 0;
	pressure.since = now;
}

/* The oldest full segment whose blocks are not being killed yet, if it was filled before that time. */
static struct code_segment *evict_oldest_locked(vclock_ns_t before)
{
	struct code_segment *seg;

	list_for_each_entry(seg, &full_list, link) {
		if (seg->filled >= before)
			break;
		if (atomic_load(&seg->evicting) || !get_unless_gone(seg))
			continue;
		atomic_store(&seg->evicting, true);
		atomic_fetch_add(&nr_evicting, 1);
		return seg;
	}
	return NULL;
}

struct code_segment *code_segment_oldest(vclock_ns_t now)
{
	struct code_segment *found;

	lock_acquire(&code_lock);
	found = evict_oldest_locked(VCLOCK_NEVER);
	if (found)
		note_emptied_locked(now);
	lock_release(&code_lock);
	return found;
}

struct code_segment *code_segment_aged(vclock_ns_t before)
{
	struct code_segment *found;

	lock_acquire(&code_lock);
	found = evict_oldest_locked(before);
	lock_release(&code_lock);
	return found;
}

unsigned code_segments_taken(void)
{
	return atomic_load_explicit(&nr_taken, memory_order_relaxed);
}

/* A free segment that is cold, off the list; NULL: none, and *next says when to look again. */
static struct code_segment *cold_take(vclock_ns_t now, vclock_ns_t *next)
{
	struct code_segment *seg, *found = NULL;

	*next = VCLOCK_NEVER;
	lock_acquire(&code_lock);
	list_for_each_entry(seg, &free_list, link) {
		if (!seg->resident)
			continue;
		if (seg->freed + CODE_COLD_NS <= now) {
			found = seg;
			break;
		}
		if (seg->freed + CODE_COLD_NS < *next)
			*next = seg->freed + CODE_COLD_NS;
	}
	if (found) {
		list_remove(&found->link);
		atomic_fetch_sub(&nr_free, 1);
	} else if (*next == VCLOCK_NEVER) {
		cold_armed = false;
	}
	lock_release(&code_lock);
	return found;
}

static void cold_put(struct code_segment *seg)
{
	bool gone = !madvise(code_rw(segment_start(seg)), segment_size, MADV_REMOVE);

	if (gone)
		stat_add(STAT_code_memory_given_back, segment_size);
	lock_acquire(&code_lock);
	seg->resident = false; /* if the host does not take it, do not ask again */
	list_push_back(&free_list, &seg->link);
	atomic_fetch_add(&nr_free, 1);
	lock_release(&code_lock);
}

vclock_ns_t code_give_back(vclock_ns_t now)
{
	vclock_ns_t next;
	bool some = false;

	for (unsigned i = 0; i < GIVE_BACK_AT_ONCE; i++) {
		struct code_segment *seg = cold_take(now, &next);

		if (!seg) {
			if (some && next == VCLOCK_NEVER)
				malloc_trim(0); /* the blocks' structures went before */
			return next;
		}
		cold_put(seg);
		some = true;
	}
	return now + GIVE_BACK_PAUSE_NS;
}

uint8_t *code_reserve(struct code_segment **seg, size_t min, size_t *room)
{
	if (*seg && (*seg)->used + min > segment_size) {
		code_segment_put(*seg);
		*seg = NULL;
	}
	if (!*seg)
		*seg = segment_get();
	if (!*seg)
		return NULL;
	*room = segment_size - (*seg)->used;
	return segment_start(*seg) + (*seg)->used;
}

void code_commit(struct code_segment *seg, struct tb *tb, size_t bytes)
{
	seg->used = (uint32_t)((seg->used + bytes + 63) & ~(size_t)63);
	seg->chunk_used += (uint32_t)CODE_BLOCK_ROUND(tb_bytes(tb));
	seg->committed++;
	tb->segment_next = atomic_load_explicit(&seg->blocks, memory_order_relaxed);
	atomic_store_explicit(&seg->blocks, tb, memory_order_release);
}
