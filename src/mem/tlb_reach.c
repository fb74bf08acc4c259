/* SPDX-License-Identifier: MIT */
/*
 * Reaches: runs of global pages, side by side in linear and in physical memory, that may be read alike. Kernels map memory linearly by such pages,
 * and what a base register points to there is anywhere in it: so the ranges for reading that level 0 takes from entries of these pages are as
 * long as the run. (Ranges for writing end with the region, see fill_write_range() in tlb.c.)
 *
 * Nothing but entries within a reach is as long as it, and a flush of any address in it drops all. A guest that does so is left alone for a while.
 */
#include "mem/tlb_book.h"

#define REACH_MIN (4u << 20)  /* bytes: for less there are large pages */
#define REACH_REST_FILLS 1024 /* without new ones, after a flush because of one */

static bool within(const struct tlb_reach *r, gva_t va)
{
	return va - r->lo < r->span;
}

static void widen(struct tlb_walk *w, const struct tlb_reach *r)
{
	w->va = r->lo;
	w->pa = r->lo + r->delta;
	w->size = r->span;
}

void tlb_reach_widen(struct tcg_env *env, gva_t va, unsigned mode, struct tlb_walk *w)
{
	struct tlb_book *book = env->tlb.book;
	struct tlb_walk wide = *w;
	struct tlb_reach *r;

	if (!w->global || !w->readable || book->watching || !tlb_ops->reach)
		return;
	for (unsigned i = 0; i < book->nr_reaches[mode]; i++) {
		r = &book->reach[mode][i];
		if (within(r, va) && w->pa - w->va == r->delta) {
			widen(w, r);
			return;
		}
	}
	if (book->reach_rest) {
		book->reach_rest--;
		return;
	}
	if (book->nr_reaches[mode] == TLB_NR_REACHES)
		return;
	tlb_ops->reach(env, va, mode, &wide);
	if (wide.size < REACH_MIN || wide.size <= w->size)
		return;
	r = &book->reach[mode][book->nr_reaches[mode]++];
	*r = (struct tlb_reach){ .lo = wide.va, .span = wide.size, .delta = wide.pa - wide.va };
	widen(w, r);
}

bool tlb_reach_flushed(struct tlb_book *book, gva_t va)
{
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned i = 0; i < book->nr_reaches[mode]; i++)
			if (within(&book->reach[mode][i], va)) {
				book->reach_rest = REACH_REST_FILLS;
				return true;
			}
	return false;
}

void tlb_reach_forget(struct tlb_book *book, unsigned mode)
{
	book->nr_reaches[mode] = 0;
}
