/* SPDX-License-Identifier: MIT */
/*
 * The shared table of live blocks: a lock-free hash table (cds_lfht) keyed by guest-physical PC, linear PC and mode bits; and publication.
 */
#include "tcg/cache/tb_private.h"

#include "util/stats.h"
#include "util/tsan.h"

static struct cds_lfht *table;

struct key {
	ram_off_t phys;
	gva_t pc;
	uint32_t flags;
};

static unsigned long key_hash(const struct key *k)
{
	uint64_t h = (k->phys ^ (uint64_t)k->flags << 40) * 0x9e3779b97f4a7c15ull;

	h ^= (k->pc >> GUEST_PAGE_BITS) * 0xc2b2ae3d27d4eb4full;
	h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9ull;
	return (unsigned long)(h ^ (h >> 32));
}

static int key_match(struct cds_lfht_node *node, const void *key)
{
	const struct tb *tb = container_of(node, struct tb, node);
	const struct key *k = key;

	tsan_acquire(node);
	return tb->phys == k->phys && tb->pc == k->pc && tb->flags == k->flags;
}

int tb_cache_init(void)
{
	table = cds_lfht_new_flavor(1 << 14, 1 << 14, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, RCU_FLAVOR, NULL);
	return table ? 0 : -1;
}

static void drop_all(void)
{
	struct cds_lfht_iter iter;
	struct tb *tb;

	cds_lfht_for_each_entry(table, &iter, tb, node)
		cds_lfht_del(table, &tb->node);
}

void tb_cache_fini(void)
{
	drop_all();
	rcu_synchronize();
	rcu_offline();
	cds_lfht_destroy(table, NULL);
	rcu_online();
	table = NULL;
}

struct tb *tb_lookup(ram_off_t phys, gva_t pc, uint32_t flags)
{
	struct key k = { phys, pc, flags };
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(table, key_hash(&k), key_match, &k, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? container_of(node, struct tb, node) : NULL;
}

void tb_table_del(struct tb *tb)
{
	cds_lfht_del(table, &tb->node);
}

static void page_link(struct tb *tb, unsigned n, struct page_desc *pd)
{
	struct tb *first = pd->blocks;

	pd->idle_stores = 0;
	tb->page[n].next = first;
	tb->page[n].pprev = (struct tb **)&pd->blocks;
	if (first)
		tb_link_on(first, pd)->pprev = &tb->page[n].next;
	__atomic_store_n(&pd->blocks, tb, __ATOMIC_RELAXED); /* is_there_already() in code_watch.c looks without the lock */
}

/* Granules of bytes [first, first+len) of a page. */
static uint64_t granules(unsigned first, unsigned len)
{
	unsigned lo = first >> PAGE_GRANULE_BITS, hi = (first + len - 1) >> PAGE_GRANULE_BITS;

	return (~0ull << lo) & (~0ull >> (63 - hi));
}

static bool still_armed(const struct page_desc *pd, uint64_t gen)
{
	return atomic_load(&pd->state) == PAGE_CODE && atomic_load(&pd->gen) == gen;
}

static void lock_pages(struct page_desc *a, struct page_desc *b)
{
	if (b && b < a) {
		small_lock_acquire(&b->lock, LOCK_RANK_PAGE);
		small_lock_acquire(&a->lock, LOCK_RANK_PAGE);
		return;
	}
	small_lock_acquire(&a->lock, LOCK_RANK_PAGE);
	if (b && b != a)
		small_lock_acquire(&b->lock, LOCK_RANK_PAGE);
}

static void unlock_pages(struct page_desc *a, struct page_desc *b)
{
	small_lock_release(&a->lock);
	if (b && b != a)
		small_lock_release(&b->lock);
}

/* Under the page's lock; vcpu_before_code_store() looks without it. */
static void add_granules(struct page_desc *pd, uint64_t set)
{
	__atomic_store_n(&pd->granules, pd->granules | set, __ATOMIC_RELAXED);
}

static void link_pages(struct tb *tb, struct page_desc *home, struct page_desc *second)
{
	unsigned off = tb->phys & ~GUEST_PAGE_MASK;
	unsigned in_first = GUEST_PAGE_SIZE - off < tb->watch_len ? GUEST_PAGE_SIZE - off : tb->watch_len;

	page_link(tb, 0, home);
	add_granules(home, granules(off - tb->watch_before, tb->watch_before + in_first));
	if (second && second != home) {
		page_link(tb, 1, second);
		add_granules(second, granules(0, tb->watch_len - in_first));
	} else if (second) {
		add_granules(home, granules(0, tb->watch_len - in_first));
	}
}

struct tb *tb_publish(struct tb *tb, uint64_t gen, uint64_t gen2)
{
	struct page_desc *home = code_watch_page(tb->phys);
	struct page_desc *second = tb->page2 == TB_NO_PAGE ? NULL : code_watch_page(tb->page2);
	struct key k = { tb->phys, tb->pc, tb->flags };
	struct cds_lfht_node *node;
	struct tb *use = tb;

	lock_pages(home, second);
	if (!still_armed(home, gen) || (second && !still_armed(second, gen2))) {
		stat_inc(STAT_blocks_retried);
		use = NULL;
	} else {
		atomic_store_explicit(&tb->state, TB_LIVE, memory_order_relaxed);
		tsan_release(&tb->node);
		node = cds_lfht_add_unique(table, key_hash(&k), key_match, &k, &tb->node);
		if (node != &tb->node) {
			stat_inc(STAT_blocks_lost_race);
			use = container_of(node, struct tb, node);
		} else {
			link_pages(tb, home, second);
			stat_inc(STAT_blocks_built);
		}
	}
	unlock_pages(home, second);
	if (use != tb) {
		atomic_store_explicit(&tb->state, TB_DEAD, memory_order_relaxed);
		tb_retire(tb);
		if (use && second && use->page2 != tb->page2) { /* same first page, another second one: the older must go */
			tb_kill(use);
			return NULL;
		}
	}
	return use;
}
