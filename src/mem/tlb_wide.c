/* SPDX-License-Identifier: MIT */
/*
 * The wide table of the TLB: pages that user mode may read, 16 bytes each where level 1 takes 64, for loads that wander from page to page
 * (tcg/wander.h). Generated code looks into it in place of level 0; a miss goes to level 1, and what is found there or by a walk enters it.
 *
 * It begins with a few entries within the vCPU's state. Who misses gets a mapping, whose length for lookups then follows the working set: longer when
 * as many misses as it has entries come in a short time and one address space, which is not what flushes cause; as at first when they come seldom,
 * or when the numbers of contexts begin anew. Only what is touched of the mapping is host memory, and shortening gives all of it back.
 *
 * Each entry carries a context, so what renews contexts flushes it. Lengthening needs no wipe: lookups of a page whose place moved do not come to its
 * old entry, and others do not match it there. Shortening would lead them back, and wipes.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "mem/tlb_book.h"
#include "sched/clock.h"
#include "util/stats.h"

#define WIDE_BYTES ((size_t)TLB_WIDE_LONG * sizeof(struct tlb_wide_entry))
#define WIDE_STEP 4u
#define WIDE_FIRST_MISSES 1024 /* before there is a mapping */
#define WIDE_OFTEN_NS 2000     /* from miss to miss: longer */
#define WIDE_SELDOM_NS 64000   /* shorter */

unsigned tlb_wide_entries(const struct tlb *t)
{
	return (unsigned)(t->wide_mask / sizeof(struct tlb_wide_entry)) + 1;
}

static void set_length(struct tlb *t, unsigned n)
{
	t->wide_mask = (n - 1) * sizeof(struct tlb_wide_entry);
	t->wide_turn = (int32_t)n;
}

/* Without memory for it all stays as it is. */
static void map(struct tlb *t)
{
	void *area = mmap(NULL, WIDE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	t->wide_turn = WIDE_FIRST_MISSES;
	if (area == MAP_FAILED)
		return;
	t->wide = area;
	set_length(t, TLB_WIDE_SHORT);
}

void tlb_wide_judge(struct tcg_env *env, uint64_t now)
{
	struct tlb *t = &env->tlb;
	struct tlb_book *book = t->book;
	unsigned n = tlb_wide_entries(t);
	uint64_t took = now - book->wide_since;

	if (t->wide == t->wide_first) {
		map(t);
	} else if (took < (uint64_t)n * WIDE_OFTEN_NS && book->wide_ctx == t->ctx && n < TLB_WIDE_LONG) {
		set_length(t, n * WIDE_STEP);
		stat_inc(STAT_tlb_wide_longer);
	} else if (took > (uint64_t)n * WIDE_SELDOM_NS && n > TLB_WIDE_SHORT) {
		tlb_wide_shorten(env);
	} else {
		t->wide_turn = (int32_t)n;
	}
	book->wide_since = now;
	book->wide_ctx = t->ctx;
}

static struct tlb_wide_entry *entry(struct tlb *t, gva_t va)
{
	return (void *)((uint8_t *)t->wide + (va / GUEST_PAGE_SIZE * sizeof(struct tlb_wide_entry) & t->wide_mask));
}

void tlb_wide_fill(struct tcg_env *env, const struct tlb_entry *e, gva_t va)
{
	struct tlb *t = &env->tlb;
	uint64_t tag = (va & GUEST_PAGE_MASK) | t->ctx;

	if (unlikely(t->wide_turn <= 0))
		tlb_wide_judge(env, (uint64_t)clock_now());
	if (e->tag[0] == tag)
		*entry(t, va) = (struct tlb_wide_entry){ tag, e->disp };
}

void tlb_wide_flush_page(struct tcg_env *env, gva_t va)
{
	struct tlb_wide_entry *e = entry(&env->tlb, va);

	if (!((e->tag ^ va) & GUEST_PAGE_MASK))
		e->tag = 0;
}

void tlb_wide_shorten(struct tcg_env *env)
{
	struct tlb *t = &env->tlb;

	if (t->wide == t->wide_first) {
		memset(t->wide_first, 0, sizeof(t->wide_first));
		return;
	}
	if (madvise(t->wide, WIDE_BYTES, MADV_DONTNEED)) /* locked memory */
		memset(t->wide, 0, WIDE_BYTES);
	set_length(t, TLB_WIDE_SHORT);
}

void tlb_wide_begin(struct tcg_env *env)
{
	env->tlb.wide = env->tlb.wide_first;
	set_length(&env->tlb, TLB_WIDE_FIRST);
	env->tlb.wide_turn = WIDE_FIRST_MISSES;
}

void tlb_wide_end(struct tcg_env *env)
{
	if (env->tlb.wide != env->tlb.wide_first)
		munmap(env->tlb.wide, WIDE_BYTES);
}
