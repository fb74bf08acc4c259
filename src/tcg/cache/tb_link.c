/* SPDX-License-Identifier: MIT */
/*
 * Chaining: direct jumps from one block's code to another's.
 *
 * Both ends have the same home page, whose lock guards the patch, the edge and both states. Within one page the linear-to-physical
 * mapping is the one the source was entered with, so a chain never outlives a mapping; for the same reason a block that reaches into a
 * second page is never chained to: its second page has to be looked up each time it is entered.
 *
 * A chained jump skips the entry slot: a kill unpatches it under the same lock and before the same store, so it stops leading to the block
 * when the slot does. The slot is for pointers nobody finds: those in jump caches.
 */
#include "tcg/cache/tb_private.h"

#include "mem/aspace.h"
#include "tcg/cache/code_region.h"
#include "util/cost.h"
#include "util/log.h"
#include "util/stats.h"
#include "util/tsan.h"

static bool may_chain(const struct tb *from, unsigned index, const struct tb *to)
{
	return atomic_load_explicit(&from->state, memory_order_relaxed) == TB_LIVE &&
	       atomic_load_explicit(&to->state, memory_order_relaxed) == TB_LIVE && !from->exit[index].to &&
	       from->exit[index].x.pc == to->pc && (from->flags ^ from->exit[index].x.mode) == to->flags;
}

void tb_chain(struct tb *from, unsigned index, struct tb *to)
{
	struct page_desc *home;
	struct tb_exit *e = &from->exit[index];

	tsan_acquire(&from->node); /* generated code led here, by jumps that ThreadSanitizer does not see */
	if (unlikely(from->phys == ASPACE_NOT_RAM)) /* code of a device: it has no page, and its block ran once */
		return;
	home = tb_home(from);
	if (tb_home(to) != home || to->page2 != TB_NO_PAGE || index >= from->nr_exits || log_on(LOG_NOCHAIN))
		return;
	if ((from->pc ^ to->pc) & GUEST_PAGE_MASK)
		return;
	small_lock_acquire(&home->lock, LOCK_RANK_PAGE);
	if (may_chain(from, index, to)) {
		e->to = to;
		list_push_back(&to->incoming, &e->link);
		tcg_backend->patch_exit(code_rw(from->code), from->code, &e->x, to->code);
		stat_inc(STAT_chains);
	}
	small_lock_release(&home->lock);
}

void tb_unchain_all_locked(struct tb *tb)
{
	struct tb_exit *e, *next;

	assert_small_held(&tb_home(tb)->lock);
	list_for_each_entry_safe(e, next, &tb->incoming, link) {
		struct tb *from = e->from;

		cost_lines(2); /* its code and its exit */
		tcg_backend->unpatch_exit(code_rw(from->code), from->code, &e->x);
		e->to = NULL;
		list_remove(&e->link);
	}
	/* Who still runs the dead block's tail leaves through its exit stubs: no edge means nobody would unpatch them later. */
	for (unsigned i = 0; i < tb->nr_exits; i++) {
		e = &tb->exit[i];
		if (!e->to)
			continue;
		cost_lines(2); /* our code, and the list of who was jumped to */
		tcg_backend->unpatch_exit(code_rw(tb->code), tb->code, &e->x);
		e->to = NULL;
		list_remove(&e->link);
	}
}
