/* SPDX-License-Identifier: MIT */
/*
 * Killing blocks. A kill touches no other vCPU's private cache: whoever still holds a pointer to the block lands on its patched entry slot and
 * looks the PC up again. Its cost does not depend on the number of vCPUs.
 */
#include "tcg/cache/tb_private.h"
#include "tcg/cache/code_region.h"
#include "tcg/rewritten.h"
#include "util/cost.h"
#include "util/jitter.h"
#include "util/stats.h"

static void unlink_from(struct tb *tb, unsigned n, const struct page_desc *pd)
{
	struct tb_page_link *l = &tb->page[n];

	if (!l->pprev)
		return;
	__atomic_store_n(l->pprev, l->next, __ATOMIC_RELAXED); /* as in page_link() */
	if (l->next)
		tb_link_on(l->next, pd)->pprev = l->pprev;
	l->pprev = NULL;
}

/* The block itself (state, links), its entry slot, its page's descriptor, two nodes of the table. */
#define KILL_LINES 6

/* All pages of the block are locked. */
static void kill_one(struct tb *tb)
{
	struct page_desc *home = tb_home(tb);
	enum cost_op was;

	if (atomic_load_explicit(&tb->state, memory_order_relaxed) != TB_LIVE)
		return;
	was = cost_begin(COST_kill);
	cost_lines(KILL_LINES);
	atomic_store(&tb->state, TB_DEAD); /* seq_cst: before tb_let_go() looks at the holder */
	jitter();
	tcg_backend->kill_entry(code_rw(tb->code), tb->code);
	jitter();
	tb_table_del(tb);
	unlink_from(tb, 0, home);
	if (tb->page2 != TB_NO_PAGE && code_watch_page(tb->page2) != home)
		unlink_from(tb, 1, code_watch_page(tb->page2));
	tb_unchain_all_locked(tb);
	tb_let_go(tb);
	stat_inc(STAT_blocks_killed);
	tb_retire(tb);
	cost_end(was);
}

/* Are all of these bytes, counted from the block's first one, read when the block runs? */
static bool all_late(const struct tb *tb, int first, int last)
{
	for (unsigned n = 0; n < tb->nr_late && first <= last; n++) {
		const struct ir_late *l = &tb->late[n];

		if (first < l->off)
			return false;
		if (first < l->off + l->len)
			first = l->off + l->len;
	}
	return first > last;
}

/* What a block has to do with bytes: nothing, it reads those of them that it watches when it runs, or they are in its code. */
enum touch { TOUCH_NONE, TOUCH_LATE, TOUCH_CODE };

/* Bytes [first, last] of its home page. */
static enum touch touch_home(const struct tb *tb, unsigned first, unsigned last)
{
	int off = (int)(tb->phys & ~GUEST_PAGE_MASK), lo = (int)first - off, hi = (int)last - off;

	if (hi < -(int)tb->watch_before || lo >= (int)tb->watch_len)
		return TOUCH_NONE;
	if (!tb->nr_late)
		return TOUCH_CODE;
	lo = lo < -(int)tb->watch_before ? -(int)tb->watch_before : lo;
	hi = hi >= (int)tb->watch_len ? (int)tb->watch_len - 1 : hi;
	return all_late(tb, lo, hi) ? TOUCH_LATE : TOUCH_CODE;
}

/* Bytes [first, last] of the page. */
static enum touch touch(const struct tb *tb, ram_off_t page_off, unsigned first, unsigned last)
{
	unsigned end = (tb->phys & ~GUEST_PAGE_MASK) + tb->watch_len; /* in the home page's numbering; may exceed the page */

	if (tb->page2 == page_off && first + GUEST_PAGE_SIZE < end)
		return TOUCH_CODE;
	return (tb->phys & GUEST_PAGE_MASK) == page_off ? touch_home(tb, first, last) : TOUCH_NONE;
}

/* Has it outlived so many stores that it need not count them any more? */
static bool counted_enough(const struct tb *tb)
{
	return __atomic_load_n(&tb->late_stores, __ATOMIC_RELAXED) >= REWRITTEN_PAYS;
}

/* Must the block die when [first, last] change? The page is locked. */
static bool overlaps(struct tb *tb, ram_off_t page_off, unsigned first, unsigned last)
{
	enum touch t = touch(tb, page_off, first, last);

	if (t == TOUCH_LATE && !counted_enough(tb))
		__atomic_store_n(&tb->late_stores, (uint16_t)(tb->late_stores + 1), __ATOMIC_RELAXED);
	return t == TOUCH_CODE;
}

static enum rewritten what_came_of(const struct tb *tb)
{
	if (!tb->nr_late)
		return REWRITTEN_PLAIN;
	return tb->late_stores < REWRITTEN_PAYS ? REWRITTEN_IN_VAIN : REWRITTEN_WELL;
}

static void lock_other(struct page_desc *held, struct page_desc *other)
{
	if (other > held) {
		small_lock_acquire(&other->lock, LOCK_RANK_PAGE);
		return;
	}
	small_lock_release(&held->lock);
	small_lock_acquire(&other->lock, LOCK_RANK_PAGE);
	small_lock_acquire(&held->lock, LOCK_RANK_PAGE);
}

/* Kills a block that lies on two pages; `page` is locked before and after, and was dropped in between if that is the order. */
static void kill_spanning(struct tb *tb, struct page_desc *page)
{
	struct page_desc *home = tb_home(tb), *second = code_watch_page(tb->page2);
	struct page_desc *other = home == page ? second : home;

	if (other == page) {
		kill_one(tb);
		return;
	}
	lock_other(page, other);
	kill_one(tb); /* looks again whether it is still alive */
	small_lock_release(&other->lock);
}

static uint64_t granules_of(unsigned first, unsigned last)
{
	return (~0ull << (first >> PAGE_GRANULE_BITS)) & (~0ull >> (63 - (last >> PAGE_GRANULE_BITS)));
}

void tb_kill_locked(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	struct tb *tb, *next;

	if (!(page->granules & granules_of(first, last)))
		return;
again:
	for (tb = page->blocks; tb; tb = next) {
		next = tb_link_on(tb, page)->next;
		if (!overlaps(tb, page_off, first, last))
			continue;
		rewritten_mark(tb->phys, what_came_of(tb));
		if (tb->page2 == TB_NO_PAGE) {
			kill_one(tb);
			continue;
		}
		kill_spanning(tb, page);
		goto again; /* the list may have changed while the lock was dropped */
	}
}

/*
 * Blocks leave the list meanwhile, if the page is not locked: from one that has left, the walk goes on to those that were behind it. None
 * come: the page is open.
 */
bool tb_unwatched(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	struct tb *tb;

	if (!(__atomic_load_n(&page->granules, __ATOMIC_RELAXED) & granules_of(first, last)))
		return true;
	for (tb = __atomic_load_n((struct tb **)&page->blocks, __ATOMIC_ACQUIRE); tb;
	     tb = __atomic_load_n(&tb_link_on(tb, page)->next, __ATOMIC_ACQUIRE)) {
		enum touch t = touch(tb, page_off, first, last);

		if (t == TOUCH_CODE || (t == TOUCH_LATE && !counted_enough(tb)))
			return false;
	}
	return true;
}

/* Blocks that are looked at to find a gap. */
#define GAP_LOOKS 32

/* Takes bytes [lo, end) away from the gap around [first, last]. */
static void narrow(struct code_gap *gap, unsigned lo, unsigned end, unsigned first, unsigned last)
{
	if (lo <= last && first < end)
		gap->first = gap->end = 0;
	else if (end <= first)
		gap->first = gap->first > end ? gap->first : end;
	else
		gap->end = gap->end < lo ? gap->end : lo;
}

/* Late bytes count as watched: who counts their stores wants to hear of them. */
static void narrow_by(struct code_gap *gap, const struct tb *tb, ram_off_t page_off, unsigned first, unsigned last)
{
	unsigned off = tb->phys & ~GUEST_PAGE_MASK, end = off + tb->watch_len;

	if ((tb->phys & GUEST_PAGE_MASK) == page_off)
		narrow(gap, off - tb->watch_before, end < GUEST_PAGE_SIZE ? end : GUEST_PAGE_SIZE, first, last);
	if (gap->end && tb->page2 == page_off && end > GUEST_PAGE_SIZE)
		narrow(gap, 0, end - GUEST_PAGE_SIZE, first, last);
}

struct code_gap tb_gap_locked(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	struct code_gap gap = { 0, GUEST_PAGE_SIZE };
	unsigned looks = 0;

	for (struct tb *tb = page->blocks; tb && gap.end; tb = tb_link_on(tb, page)->next) {
		if (++looks > GAP_LOOKS)
			return (struct code_gap){ 0, 0 };
		narrow_by(&gap, tb, page_off, first, last);
	}
	return gap;
}

void tb_kill(struct tb *tb)
{
	struct page_desc *home = tb_home(tb);

	small_lock_acquire(&home->lock, LOCK_RANK_PAGE);
	if (tb->page2 == TB_NO_PAGE)
		kill_one(tb);
	else
		kill_spanning(tb, home);
	small_lock_release(&home->lock);
}
