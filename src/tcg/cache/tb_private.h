/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of the block cache.
 */
#ifndef COHORT_TCG_TB_PRIVATE_H
#define COHORT_TCG_TB_PRIVATE_H

#include "tcg/cache/tb.h"

void tb_table_del(struct tb *tb);

static inline struct page_desc *tb_home(const struct tb *tb)
{
	return code_watch_page(tb->phys);
}

/* The block's link on the list of page pd, which it is on. */
static inline struct tb_page_link *tb_link_on(struct tb *tb, const struct page_desc *pd)
{
	return &tb->page[tb_home(tb) == pd ? 0 : 1];
}

#endif
