/* SPDX-License-Identifier: MIT */
/*
 * Page descriptors and the make-page-code protocol; see code_watch.h.
 */
#include "mem/code_watch.h"

#include <string.h>
#include <sys/mman.h>

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

/* A set bit is only ever cleared by code_watch_arm(), so finding it set already saves the write to a shared line. */
static void join(_Atomic uint64_t *set, uint64_t bit)
{
	if (!(atomic_load(set) & bit))
		atomic_fetch_or(set, bit);
}

bool code_watch_writer_add(ram_off_t page_off, unsigned vcpu)
{
	struct page_desc *pd = code_watch_page(page_off);
	uint64_t bit = 1ull << (vcpu & 63);

	/*
	 * The last look is for an armer that had this bit in its mask and saw us pass a safepoint before the join: it takes the join
	 * back in finish_arming(), and the page may be DATA again before our look at the state.
	 */
	do {
		join(&pd->writers, bit);
		jitter();
		if (atomic_load(&pd->state) != PAGE_DATA) /* seq_cst, pairs with the store of ARMING */
			return false;
	} while (!(atomic_load(&pd->writers) & bit));
	return true;
}

bool code_watch_region_writer_add(ram_off_t off, unsigned vcpu)
{
	struct region_desc *rd = code_watch_region(off);
	uint64_t bit = 1ull << (vcpu & 63);

	if (atomic_load(&rd->code_pages))
		return false;
	do {
		join(&rd->writers, bit);
		jitter();
		if (atomic_load(&rd->code_pages)) /* seq_cst, pairs with the increment in code_watch_arm() */
			return false;
	} while (!(atomic_load(&rd->writers) & bit)); /* as in code_watch_writer_add() */
	return true;
}

static uint64_t finish_arming(struct page_desc *pd, uint64_t page_mask, uint64_t region_mask, ram_off_t page_off)
{
	uint64_t gen;

	jitter();
	small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
	/* Those that joined meanwhile saw ARMING and hold no writable entry: forgetting them is harmless. */
	atomic_fetch_and(&pd->writers, ~page_mask);
	atomic_fetch_and(&code_watch_region(page_off)->writers, ~region_mask);
	gen = atomic_load(&pd->gen);
	atomic_store(&pd->state, PAGE_CODE);
	small_lock_release(&pd->lock);
	return gen;
}

uint64_t code_watch_arm(ram_off_t page_off)
{
	struct page_desc *pd = code_watch_page(page_off);
	struct region_desc *rd = code_watch_region(page_off);
	uint64_t page_mask, region_mask, gen;

	for (;;) {
		small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
		uint32_t state = atomic_load(&pd->state);

		if (state == PAGE_DATA)
			break;
		gen = atomic_load(&pd->gen);
		small_lock_release(&pd->lock);
		if (state == PAGE_CODE)
			return gen;
		code_watch_ops->wait_state(pd, PAGE_ARMING);
	}
	atomic_store(&pd->state, PAGE_ARMING);
	atomic_fetch_add(&rd->code_pages, 1);
	small_lock_release(&pd->lock);
	jitter();

	page_mask = atomic_load(&pd->writers);
	region_mask = atomic_load(&rd->writers);
	if (page_mask | region_mask)
		code_watch_ops->revoke(page_mask | region_mask, page_off);
	return finish_arming(pd, page_mask, region_mask, page_off);
}

void code_watch_disarm_locked(struct page_desc *pd, ram_off_t page_off)
{
	if (atomic_load(&pd->state) != PAGE_CODE)
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

	if (!pd->blocks && atomic_load(&pd->state) == PAGE_CODE && ++pd->idle_stores >= CODE_WATCH_PATIENCE)
		code_watch_disarm_locked(pd, off & GUEST_PAGE_MASK);
	small_lock_release(&pd->lock);
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
