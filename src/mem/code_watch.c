/* SPDX-License-Identifier: MIT */
/*
 * Page descriptors and the make-page-code protocol; see code_watch.h.
 */
#include "mem/code_watch.h"

#include <string.h>
#include <sys/mman.h>

#include "mem/ram.h"
#include "mem/word.h"
#include "util/cost.h"
#include "util/jitter.h"
#include "util/stats.h"

struct page_desc *code_watch_pages;
struct region_desc *code_watch_regions;
const struct code_watch_ops *code_watch_ops;

static size_t pages_bytes, regions_bytes;

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int code_watch_init(uint64_t ram_bytes)
{
	pages_bytes = (ram_bytes >> GUEST_PAGE_BITS) * sizeof(struct page_desc);
	regions_bytes = ((ram_bytes >> REGION_BITS) + 1) * sizeof(struct region_desc);
	code_watch_pages = reserve(pages_bytes);
	code_watch_regions = reserve(regions_bytes);
	if (code_watch_pages && code_watch_regions)
		return 0;
	code_watch_fini();
	return -1;
}

void code_watch_fini(void)
{
	if (code_watch_pages)
		munmap(code_watch_pages, pages_bytes);
	if (code_watch_regions)
		munmap(code_watch_regions, regions_bytes);
	code_watch_pages = NULL;
	code_watch_regions = NULL;
}

/* A member is only ever taken out by code_watch_arm(), so finding it there already saves the write to a shared line. */
static void join(struct vcpu_set_atomic *set, unsigned vcpu)
{
	if (!vcpu_set_has(set, vcpu))
		vcpu_set_add(set, vcpu);
}

bool code_watch_writer_add(ram_off_t page_off, unsigned vcpu)
{
	struct page_desc *pd = code_watch_page(page_off);

	/*
	 * The last look is for an armer that had this vCPU in its set and saw us pass a safepoint before the join: it takes the join
	 * back in finish_arming(), and the page may be DATA again before our look at the state.
	 */
	do {
		join(&pd->writers, vcpu);
		jitter();
		if (atomic_load(&pd->state) != PAGE_DATA) /* seq_cst, pairs with the store of ARMING */
			return false;
	} while (!vcpu_set_has(&pd->writers, vcpu));
	return true;
}

bool code_watch_region_writer_add(ram_off_t off, unsigned vcpu)
{
	struct region_desc *rd = code_watch_region(off);

	if (atomic_load(&rd->code_pages))
		return false;
	do {
		join(&rd->writers, vcpu);
		jitter();
		if (atomic_load(&rd->code_pages)) /* seq_cst, pairs with the increment in code_watch_arm() */
			return false;
	} while (!vcpu_set_has(&rd->writers, vcpu)); /* as in code_watch_writer_add() */
	return true;
}

/* Takes write access from all who may have it, by page or by region. The page is ARMING: nobody gets it anew. */
static void revoke_writers(struct page_desc *pd, struct region_desc *rd, ram_off_t page_off)
{
	struct vcpu_set by_page = vcpu_set_load(&pd->writers), by_region = vcpu_set_load(&rd->writers);
	struct vcpu_set all = vcpu_set_union(&by_page, &by_region);

	if (vcpu_set_is_empty(&all))
		return;
	code_watch_ops->revoke(&all, page_off);
	jitter();
	/* Those that joined meanwhile saw ARMING and hold no writable entry: forgetting them is harmless. */
	if (vcpu_set_remove(&pd->writers, &by_page))
		cost_lines(1);
	if (vcpu_set_remove(&rd->writers, &by_region))
		cost_lines(1);
}

static uint64_t finish_arming(struct page_desc *pd, bool was_open)
{
	uint64_t gen;

	small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
	if (was_open)
		pd->closed = CODE_WATCH_CONTENDED;
	gen = atomic_load(&pd->gen);
	atomic_store(&pd->state, PAGE_CODE);
	small_lock_release(&pd->lock);
	cost_lines(1);
	return gen;
}

/* The page is locked, DATA or OPEN, and becomes ARMING; the lock is dropped. */
static uint64_t arm_locked(struct page_desc *pd, ram_off_t page_off)
{
	bool was_open = atomic_load(&pd->state) == PAGE_OPEN;
	struct region_desc *rd = code_watch_region(page_off);
	enum cost_op was = cost_begin(COST_arm);
	uint64_t gen;

	atomic_store(&pd->state, PAGE_ARMING);
	if (!was_open)
		atomic_fetch_add(&rd->code_pages, 1);
	cost_lines(2); /* the page's and the region's */
	small_lock_release(&pd->lock);
	jitter();
	revoke_writers(pd, rd, page_off);
	gen = finish_arming(pd, was_open);
	cost_end(was);
	return gen;
}

/*
 * Arms an open page that nobody but this vCPU writes, without letting go of the lock. Its writers are complete: they joined under the lock, and those
 * who join as writers of DATA see the state.
 */
static bool close_locked(struct page_desc *pd, ram_off_t page_off)
{
	struct vcpu_set writers = vcpu_set_load(&pd->writers);
	enum cost_op was;

	if (!code_watch_ops->close_own(&writers, page_off))
		return false;
	was = cost_begin(COST_arm);
	vcpu_set_remove(&pd->writers, &writers);
	atomic_store(&pd->state, PAGE_CODE);
	cost_lines(1);
	cost_end(was);
	return true;
}

uint64_t code_watch_arm(ram_off_t page_off)
{
	struct page_desc *pd = code_watch_page(page_off);

	for (;;) {
		uint64_t gen;
		uint16_t state;

		small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
		state = atomic_load(&pd->state);
		if (state == PAGE_DATA || (state == PAGE_OPEN && !close_locked(pd, page_off)))
			return arm_locked(pd, page_off);
		gen = atomic_load(&pd->gen);
		small_lock_release(&pd->lock);
		if (state != PAGE_ARMING)
			return gen;
		code_watch_ops->wait_state(pd, PAGE_ARMING);
	}
}

static bool is_armed(const struct page_desc *pd)
{
	uint16_t state = atomic_load(&pd->state);

	return state == PAGE_CODE || state == PAGE_OPEN;
}

/* Writers of an open page stay writers. */
void code_watch_disarm_locked(struct page_desc *pd, ram_off_t page_off)
{
	if (!is_armed(pd))
		return;
	atomic_fetch_add(&pd->gen, 1);
	__atomic_store_n(&pd->granules, 0, __ATOMIC_RELAXED);
	pd->idle_stores = 0;
	atomic_store(&pd->state, PAGE_DATA);
	atomic_fetch_sub(&code_watch_region(page_off)->code_pages, 1);
}

void code_watch_store_begin(ram_off_t off, size_t len)
{
	ram_off_t page_off = off & GUEST_PAGE_MASK;
	struct page_desc *pd = code_watch_page(off);

	small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
	if (atomic_load(&pd->state) == PAGE_DATA)
		return; /* under the lock it stays so until the store is done */
	stat_inc(STAT_code_stores);
	code_watch_ops->kill_locked(pd, page_off, (unsigned)(off - page_off), (unsigned)(off + len - 1 - page_off));
	/* Behind the kills, which may have dropped the lock: who armed the page meanwhile read old bytes. */
	atomic_fetch_add(&pd->gen, 1);
}

void code_watch_store_end(ram_off_t off)
{
	struct page_desc *pd = code_watch_page(off);

	if (!pd->blocks && is_armed(pd) && ++pd->idle_stores >= CODE_WATCH_PATIENCE)
		code_watch_disarm_locked(pd, off & GUEST_PAGE_MASK);
	small_lock_release(&pd->lock);
}

static inline void put(void *to, const uint8_t *from, unsigned size)
{
	if (word_has_size(size))
		word_store(to, word_load(from, size), size);
	else
		word_write_bytes(to, from, size);
}

/* Bytes [first, last] of a store: from the first to the last that changes; first > last if none does. */
struct change {
	unsigned first, last;
};

static inline struct change change_of(const uint8_t *old, const uint8_t *new, unsigned size)
{
	struct change c = { 0, size - 1 };

	if (word_has_size(size)) {
		uint64_t differ = word_load(old, size) ^ word_load(new, size);

		if (!differ)
			return (struct change){ 1, 0 };
		return (struct change){ (unsigned)__builtin_ctzll(differ) / 8, 7 - (unsigned)__builtin_clzll(differ) / 8 };
	}
	while (c.first < size && old[c.first] == new[c.first])
		c.first++;
	while (c.last > c.first && old[c.last] == new[c.last])
		c.last--;
	return c;
}

static bool is_within(struct change c, struct change outer)
{
	return c.first >= outer.first && c.last <= outer.last;
}

/*
 * Kills what was translated from the bytes that are about to change; false: none are. To kill a block on two pages drops the lock; then
 * others may have stored here, so that more bytes differ, and it goes on until what was killed last, with the lock held since, is enough.
 */
static bool kill_changing(struct page_desc *pd, ram_off_t page_off, unsigned in_page, const uint8_t *old, const uint8_t *new, unsigned size)
{
	struct change c = change_of(old, new, size), dead = { 1, 0 };

	if (c.first > c.last)
		return false;
	while (!is_within(c, dead)) {
		dead = c;
		code_watch_ops->kill_locked(pd, page_off, in_page + c.first, in_page + c.last);
		c = change_of(old, new, size);
		if (c.first > c.last)
			return false;
	}
	return true;
}

/*
 * Without the lock: the store counts as done at the moment when its bytes are seen to be there. Those before it must be visible by then, as they
 * would be at any store. Pages without blocks count their stores, for which they need the lock.
 */
static bool is_there_already(struct page_desc *pd, const uint8_t *at, const uint8_t *bytes, unsigned size)
{
	if (!word_has_size(size) || !__atomic_load_n(&pd->blocks, __ATOMIC_RELAXED))
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	return word_load(at, size) == word_load(bytes, size);
}

/*
 * The vCPU has just stored to [first, last] of the page, which is locked since, with the generation moved: who read older bytes will not publish,
 * and who arms the page from now on sees the writer.
 */
static bool open_locked(struct page_desc *pd, ram_off_t page_off, unsigned first, unsigned last, unsigned vcpu, struct code_gap *gap)
{
	if (!is_armed(pd))
		return false;
	if (pd->closed) {
		pd->closed -= atomic_load(&pd->gen) % CODE_WATCH_UNIT == 0; /* each store moves it */
		return false;
	}
	if (!code_watch_ops->unwatched(pd, page_off, first, last))
		return false;
	*gap = code_watch_ops->gap_locked(pd, page_off, first, last);
	if (gap->end - gap->first < CODE_WATCH_GAP_MIN)
		*gap = (struct code_gap){ 0, 0 };
	join(&pd->writers, vcpu);
	atomic_store(&pd->state, PAGE_OPEN);
	stat_inc(STAT_code_pages_opened);
	return true;
}

/* Returns with the page locked and true if the store was done, as one to code. */
static bool replace_locking(ram_off_t off, const uint8_t *bytes, unsigned size)
{
	ram_off_t page_off = off & GUEST_PAGE_MASK;
	struct page_desc *pd = code_watch_page(off);
	uint8_t *to = ram_ptr(off);

	small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
	if (atomic_load(&pd->state) == PAGE_DATA) {
		put(to, bytes, size);
		return false;
	}
	if (pd->blocks && !kill_changing(pd, page_off, (unsigned)(off - page_off), to, bytes, size)) {
		stat_inc(STAT_code_stores_same);
		return false;
	}
	stat_inc(STAT_code_stores);
	atomic_fetch_add(&pd->gen, 1);
	put(to, bytes, size);
	return true;
}

void code_watch_replace(ram_off_t off, const uint8_t *bytes, unsigned size)
{
	if (is_there_already(code_watch_page(off), ram_ptr(off), bytes, size)) {
		stat_inc(STAT_code_stores_same);
		return;
	}
	replace_locking(off, bytes, size);
	code_watch_store_end(off);
}

bool code_watch_replace_and_open(ram_off_t off, const uint8_t *bytes, unsigned size, unsigned vcpu, struct code_gap *gap)
{
	ram_off_t page_off = off & GUEST_PAGE_MASK;
	unsigned first = (unsigned)(off - page_off);
	struct page_desc *pd = code_watch_page(off);
	bool open;

	if (is_there_already(pd, ram_ptr(off), bytes, size)) {
		stat_inc(STAT_code_stores_same);
		return false;
	}
	open = replace_locking(off, bytes, size) && open_locked(pd, page_off, first, first + size - 1, vcpu, gap);
	code_watch_store_end(off);
	return open;
}

/*
 * While this vCPU has the page open, no block of it is published: what it does not find, or finds dead, does not come. Bytes that are there already
 * are stored too: whoever changes them meanwhile kills first the blocks that watch them, and then they are this store's again. So there is nothing to
 * wait for, and no line is written that others look at. A page without blocks counts its stores, for which it takes the lock.
 */
bool code_watch_replace_unlocked(ram_off_t off, const uint8_t *bytes, unsigned size)
{
	ram_off_t page_off = off & GUEST_PAGE_MASK;
	unsigned in_page = (unsigned)(off - page_off);
	struct page_desc *pd = code_watch_page(off);
	struct change c;

	if (!__atomic_load_n(&pd->blocks, __ATOMIC_RELAXED))
		return false;
	c = change_of(ram_ptr(off), bytes, size);
	jitter();
	if (c.first <= c.last && !code_watch_ops->unwatched(pd, page_off, in_page + c.first, in_page + c.last))
		return false;
	jitter();
	put(ram_ptr(off), bytes, size);
	stat_inc(c.first <= c.last ? STAT_code_stores : STAT_code_stores_same);
	stat_inc(STAT_code_stores_unlocked);
	return true;
}

void code_watch_store(ram_off_t off, size_t len)
{
	/* The bytes were stored before; order them before the look at the page's state. */
	atomic_thread_fence(memory_order_seq_cst);
	while (len) {
		size_t room = GUEST_PAGE_SIZE - (off & ~GUEST_PAGE_MASK), n = len < room ? len : room;

		if (code_watch_is_code(off)) {
			code_watch_store_begin(off, n);
			code_watch_store_end(off);
		}
		off += n;
		len -= n;
	}
}
