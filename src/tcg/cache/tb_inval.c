/* SPDX-License-Identifier: MIT */
/*
 * Killing blocks. A kill touches no vCPU's private cache: whoever still holds a pointer to the block lands on its patched entry slot and
 * looks the PC up again. Its cost does not depend on the number of vCPUs.
 */
#include "tcg/cache/tb_private.h"
#include "tcg/cache/code_region.h"
#include "util/cost.h"
#include "util/jitter.h"
#include "util/stats.h"

static void unlink_from(struct tb *tb, unsigned n, const struct page_desc *pd)
{
	struct tb_page_link *l = &tb->page[n];

	if (!l->pprev)
		return;
	*l->pprev = l->next;
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
	atomic_store_explicit(&tb->state, TB_DEAD, memory_order_release);
	jitter();
	tcg_backend->kill_entry(code_rw(tb->code), tb->code);
	jitter();
	tb_table_del(tb);
	unlink_from(tb, 0, home);
	if (tb->page2 != TB_NO_PAGE && code_watch_page(tb->page2) != home)
		unlink_from(tb, 1, code_watch_page(tb->page2));
	tb_unchain_all_locked(tb);
	stat_inc(STAT_blocks_killed);
	tb_retire(tb);
	cost_end(was);
}

/* Does the block watch a byte of [first, last] on the page? */
static bool overlaps(const struct tb *tb, ram_off_t page_off, unsigned first, unsigned last)
{
	unsigned off = tb->phys & ~GUEST_PAGE_MASK, end = off + tb->watch_len; /* in the home page's numbering; may exceed the page */

	if ((tb->phys & GUEST_PAGE_MASK) == page_off && off - tb->watch_before <= last && first < end)
		return true;
	return tb->page2 == page_off && first + GUEST_PAGE_SIZE < end;
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

void tb_kill_locked(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	uint64_t hit = (~0ull << (first >> PAGE_GRANULE_BITS)) & (~0ull >> (63 - (last >> PAGE_GRANULE_BITS)));
	struct tb *tb, *next;

	if (!(page->granules & hit))
		return;
again:
	for (tb = page->blocks; tb; tb = next) {
		next = tb_link_on(tb, page)->next;
		if (!overlaps(tb, page_off, first, last))
			continue;
		if (tb->page2 == TB_NO_PAGE) {
			kill_one(tb);
			continue;
		}
		kill_spanning(tb, page);
		goto again; /* the list may have changed while the lock was dropped */
	}
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
