/* SPDX-License-Identifier: MIT */
/*
 * The software TLB: filling, and the slow path of accesses. Flushes: tlb_flush.c. Runtime loads and stores: tlb_access.c.
 *
 * A writable entry exists only for a page (or a whole large range) in whose writer set this vCPU stands; see mem/code_watch.h.
 */
#include "mem/tlb.h"

#include <string.h>
#include <time.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/tlb_book.h"
#include "mem/word.h"
#include "util/lock.h"
#include "util/stats.h"

const struct tlb_ops *tlb_ops;

/* Where one page's worth of an access goes. */
struct target {
	gpa_t pa;
	ram_off_t off;  /* ASPACE_NOT_RAM: device memory (or ROM, when written) */
	bool code;      /* a store must be followed by code_watch_store() */
};

static void range_around(gva_t va, const struct tlb_walk *w, gpa_t ram_start, uint64_t ram_len, uint64_t limit, gva_t *lo, uint64_t *span)
{
	gva_t start = w->va, end = w->va + w->size;
	gpa_t pa = w->pa;

	if (w->size > limit) { /* clip to the aligned piece that holds va */
		start = va & ~(limit - 1);
		pa += start - w->va;
		end = start + limit;
	}
	if (pa < ram_start) {
		start += ram_start - pa;
		pa = ram_start;
	}
	if (pa + (end - start) > ram_start + ram_len)
		end = start + (ram_start + ram_len - pa);
	*lo = start;
	*span = end - start;
}

static bool fill_write_range(struct tcg_env *env, struct tlb_entry *e, gva_t va, ram_off_t off, const struct tlb_walk *w, gpa_t ram_start,
			     uint64_t ram_len)
{
	unsigned vcpu = env->tlb.book->vcpu;
	const uint64_t region = 1ull << REGION_BITS;

	if (!env->tlb.book->watching && w->size >= region && !((w->pa + (va - w->va) - off) & (region - 1)) && code_watch_region_writer_add(off, vcpu)) {
		range_around(va, w, ram_start, ram_len, region, &e->wlo, &e->wspan);
		return true;
	}
	if (!code_watch_writer_add(off & GUEST_PAGE_MASK, vcpu))
		return false;
	e->wlo = va & GUEST_PAGE_MASK;
	e->wspan = GUEST_PAGE_SIZE;
	return true;
}

static void mark(uint64_t *bits, unsigned i)
{
	bits[i / 64] |= 1ull << (i % 64);
}

/* What the whole region of a page has in common, from the page's entry. While a page of the region is code, each page is written by itself. */
static void fill_large(struct tcg_env *env, const struct tlb_entry *e, gva_t va, unsigned mode)
{
	gva_t region = va & TLB_REGION_MASK;
	unsigned index = tlb_large_index(va);
	struct tlb_entry *l = &env->tlb.l1[mode][index];
	uint64_t tag = region | (e->tag[0] & ~GUEST_PAGE_MASK);

	if (e->tag[0] == TLB_TAG_INVALID || e->lo > region || e->span - (region - e->lo) < 1ull << REGION_BITS)
		return;
	if (e->tag[1] != TLB_TAG_INVALID && e->wspan == 1ull << REGION_BITS) {
		*l = *e;
		l->tag[1] = tag;
		mark(env->tlb.l1_write[mode], index);
	} else if (l->tag[0] != tag) {
		*l = *e;
		l->tag[1] = l->wlo = TLB_TAG_INVALID;
		l->wspan = 0;
	}
	l->tag[0] = tag;
	mark(env->tlb.l1_any[mode], index);
}

/* Fills the level-1 entry of va from a finished walk to RAM. */
static struct tlb_entry *fill(struct tcg_env *env, gva_t va, ram_off_t off, unsigned mode, const struct tlb_walk *w, gpa_t ram_start,
			      uint64_t ram_len, bool want_write, bool rom)
{
	struct tlb_book *book = env->tlb.book;
	unsigned index = tlb_l1_index(va);
	struct tlb_entry *e = &env->tlb.l1[mode][index];
	uint64_t tag = (va & GUEST_PAGE_MASK) | (w->global ? 0 : env->tlb.ctx);
	struct tlb_walk wide = *w;

	stat_inc(STAT_tlb_fills);
	if (unlikely(++book->fills == TLB_BUSY_FILLS))
		tlb_ops->busy(env);
	e->tag[1] = TLB_TAG_INVALID;
	e->wlo = TLB_TAG_INVALID;
	e->wspan = 0;
	e->tag[0] = w->readable ? tag : TLB_TAG_INVALID;
	e->disp = (uint64_t)(uintptr_t)ram_ptr(off) - va;
	e->pa = off;
	tlb_reach_widen(env, va, mode, &wide);
	range_around(va, &wide, ram_start, ram_len, book->watching ? GUEST_PAGE_SIZE : 1ull << 30, &e->lo, &e->span);
	book->low_globals |= w->global && !(va >> 63);
	mark(env->tlb.l1_any[mode], index);
	if (w->size > GUEST_PAGE_SIZE)
		tlb_large_mark(book, va, w->size);
	if (want_write && w->writable && !rom && fill_write_range(env, e, va, off, w, ram_start, ram_len)) {
		e->tag[1] = tag;
		mark(env->tlb.l1_write[mode], index);
	} else if (want_write && w->writable && !rom) {
		e->wlo = tag; /* see code_store_hit() */
		e->wspan = 0;
	}
	if (w->size >= 1ull << REGION_BITS && !book->watching)
		fill_large(env, e, va, mode);
	return e;
}

/* `span` is at least as long as the longest access that limits are kept for. */
static void set_slot(struct tcg_env *env, unsigned mode, unsigned kind, unsigned slot, gva_t lo, uint64_t span, uint64_t disp, uint64_t tag)
{
	struct tlb_slot *s = &env->l0[mode][kind][slot];

	s->lo = lo;
	s->disp = disp;
	for (unsigned i = 0; i < TLB_L0_SIZES; i++)
		s->lim[i] = span - (1ull << i) + 1;
	env->tlb.l0_live[mode][kind] |= 1ull << slot;
	if (tag & ~GUEST_PAGE_MASK)
		env->tlb.l0_global[mode][kind] &= ~(1ull << slot);
	else
		env->tlb.l0_global[mode][kind] |= 1ull << slot;
}

static void fill_slot(struct tcg_env *env, const struct tlb_entry *e, unsigned mode, unsigned kind, unsigned slot)
{
	if (kind)
		set_slot(env, mode, kind, slot, e->wlo, e->wspan, e->disp, e->tag[1]);
	else
		set_slot(env, mode, kind, slot, e->lo, e->span, e->disp, e->tag[0]);
}

/*
 * A page that may be written but is code has no write tag. The entry still remembers that the walk allowed writing (wspan 0, wlo the tag), so that
 * a run of stores to code does not walk for each.
 */
static bool code_store_hit(const struct tcg_env *env, const struct tlb_entry *e, gva_t va)
{
	return e->wspan == 0 && tlb_tag_hit(env, e->wlo, va & GUEST_PAGE_MASK) && code_watch_is_code(e->pa);
}

static bool watched(struct tcg_env *env, gva_t va)
{
	return unlikely(env->tlb.book->watching) && tlb_ops->watches(env, va & GUEST_PAGE_MASK);
}

/* Walks, unless another page of the same large page has been walked for, and what that found allows the access. */
static void walk(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *w)
{
	struct tlb_book *book = env->tlb.book;
	gva_t region = va & ~((1ull << REGION_BITS) - 1);
	struct tlb_large *l = &book->large_page[mode][(va >> REGION_BITS) % TLB_LARGE_SIZE];
	uint64_t diff = l->tag ^ region;

	if (l->age == book->large_age && (diff == 0 || diff == env->tlb.ctx) && (access == TLB_READ ? l->walk.readable : l->walk.writable)) {
		stat_inc(STAT_tlb_large_hits);
		*w = l->walk;
		return;
	}
	tlb_ops->walk(env, va, access, mode, w);
	if (w->size > GUEST_PAGE_SIZE)
		*l = (struct tlb_large){ region | (w->global ? 0 : env->tlb.ctx), book->large_age, *w };
}

/* Translates one page for an access; fills the TLB; raises the guest's fault if it is not allowed. */
static struct tlb_entry *translate(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, bool want_write, struct target *t)
{
	unsigned kind = access == TLB_WRITE || access == TLB_RMW;
	struct tlb_entry *e = tlb_find(env, va, kind | want_write, mode);
	struct tlb_walk w;
	gpa_t ram_start;
	uint64_t avail;
	bool rom;

	if (e) { /* what may be written may be read */
		t->off = (ram_off_t)(va + e->disp - (uintptr_t)ram_base);
		t->code = false;
		return e;
	}
	e = &env->tlb.l1[mode][tlb_l1_index(va)];
	if (kind && code_store_hit(env, e, va)) {
		t->off = e->pa | (va & ~GUEST_PAGE_MASK);
		t->code = true;
		return e;
	}
	walk(env, va, access, mode, &w);
	t->pa = w.pa + (va - w.va);
	t->off = aspace_find_ram_rcu(t->pa & GUEST_PAGE_MASK, &ram_start, &avail, &rom);
	t->code = false;
	if (t->off == ASPACE_NOT_RAM || avail < GUEST_PAGE_SIZE || (rom && kind)) {
		t->off = ASPACE_NOT_RAM;
		return NULL;
	}
	e = fill(env, va & GUEST_PAGE_MASK, t->off, mode, &w, ram_start, avail + ((t->pa & GUEST_PAGE_MASK) - ram_start), want_write || kind, rom);
	t->off |= va & ~GUEST_PAGE_MASK;
	t->code = kind && e->tag[1] == TLB_TAG_INVALID;
	if (watched(env, va))
		e->tag[0] = e->tag[1] = e->wlo = TLB_TAG_INVALID;
	return e;
}

/*
 * Read-modify-writes that straddle two pages apart in host memory: one at a time, so that LOCKed ones are atomic to each other. (To other
 * accesses they are two.)
 */
static struct ranked_lock split_lock = RANKED_LOCK_INIT(SPLIT);

static void split_begin(struct tcg_env *env)
{
	lock_acquire(&split_lock);
	env->tlb.book->split_held = true;
}

static void split_end(struct tcg_env *env)
{
	if (likely(!env->tlb.book->split_held))
		return;
	env->tlb.book->split_held = false;
	lock_release(&split_lock);
}

static void *split_access(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode)
{
	unsigned first = GUEST_PAGE_SIZE - (va & ~GUEST_PAGE_MASK);
	bool kind = access != TLB_READ;
	struct target t[2];

	translate(env, va, access, mode, kind, &t[0]);
	translate(env, va + first, access, mode, kind, &t[1]);
	if (t[0].off != ASPACE_NOT_RAM && t[0].off + first == t[1].off && !t[0].code && !t[1].code)
		return ram_ptr(t[0].off);
	for (unsigned i = 0; i < 2; i++)
		if (t[i].code)
			tlb_ops->before_code_store(env, t[i].off, i ? size - first : first);
	if (access == TLB_RMW && t[0].off != ASPACE_NOT_RAM && t[1].off != ASPACE_NOT_RAM)
		split_begin(env);
	if (access != TLB_WRITE) {
		for (unsigned i = 0, pos = 0; i < 2; i++) {
			unsigned n = i ? size - first : first;

			if (t[i].off != ASPACE_NOT_RAM)
				word_read_bytes(env->bounce + pos, ram_ptr(t[i].off), n);
			else
				for (unsigned k = 0; k < n; k++)
					env->bounce[pos + k] = (uint8_t)mmio_read(t[i].pa + k, 1);
			pos += n;
		}
	}
	env->bounce_ram[0] = t[0].off != ASPACE_NOT_RAM ? t[0].off : t[0].pa | TLB_BOUNCE_IS_GPA;
	env->bounce_ram[1] = t[1].off != ASPACE_NOT_RAM ? t[1].off : t[1].pa | TLB_BOUNCE_IS_GPA;
	env->bounce_kind = kind ? TLB_BOUNCE_SPLIT : TLB_BOUNCE_NONE;
	return env->bounce;
}

/* The access that follows changes a code page in place: its lock is held until tlb_commit(). */
static void lock_code(struct tcg_env *env, ram_off_t off, size_t size)
{
	code_watch_store_begin(off, size);
	env->bounce_ram[0] = off;
	env->bounce_kind = TLB_BOUNCE_CODE_RMW;
}

/* A store to a code page: tlb_commit() sees what it changes. */
static void *bounce_code(struct tcg_env *env, ram_off_t off, unsigned mode, unsigned slot)
{
	env->bounce_ram[0] = off;
	env->bounce_kind = TLB_BOUNCE_CODE;
	env->bounce_mode = mode;
	env->bounce_slot = slot;
	return env->bounce;
}

static void mmio_fetch(uint8_t *buf, gpa_t pa, unsigned size)
{
	for (unsigned pos = 0; pos < size;) {
		unsigned n = size - pos >= 8 ? 8 : size - pos >= 4 ? 4 : size - pos >= 2 ? 2 : 1;
		uint64_t v = mmio_read(pa + pos, n);

		memcpy(buf + pos, &v, n);
		pos += n;
	}
	stat_inc(STAT_mmio);
}

static void *mmio_access(struct tcg_env *env, gpa_t pa, unsigned size, enum tlb_access access)
{
	if (access != TLB_WRITE)
		mmio_fetch(env->bounce, pa, size);
	env->bounce_ram[0] = pa;
	env->bounce_kind = access == TLB_READ ? TLB_BOUNCE_NONE : TLB_BOUNCE_MMIO;
	return env->bounce;
}

/*
 * The slot's budget of misses is spent. That is much if it took less than TLB_WANDER_NS each: hits in between gain less than the misses
 * cost. (A miss costs some 10 ns, a hit gains 0.3 to 2.5 ns against level 1.)
 */
#define TLB_WANDER_NS 50
#define TLB_WANDER_FAR_NS 600 /* if level 1 had to be filled: a walk, and memory that is in few of the host's caches */

static void judge(struct tcg_env *env, unsigned slot)
{
	struct tlb_book *book = env->tlb.book;
	struct timespec t;
	uint64_t now, took, allowed;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	took = now - book->judged[slot];
	book->judged[slot] = now;
	env->l0_budget[slot] = TLB_SLOT_BUDGET;
	allowed = (TLB_SLOT_BUDGET - book->far_fills[slot]) * TLB_WANDER_NS + book->far_fills[slot] * TLB_WANDER_FAR_NS;
	book->far_fills[slot] = 0;
	if (took < allowed && slot != TLB_SLOT_STACK)
		tlb_ops->access_wanders(env);
}

/* A user-mode access had to fill level 1. Who goes from one page to the next has much to do in each. */
static void count_fill(struct tcg_env *env, gva_t va, unsigned kind, unsigned slot)
{
	uint32_t page = (uint32_t)(va >> GUEST_PAGE_BITS), *last = &env->l0_last[0][kind][slot], step = page - *last;

	*last = page;
	if (step + 1 <= 2)
		return;
	env->tlb.book->far_fills[slot]++;
	if (!--env->l0_budget[slot])
		judge(env, slot);
}

void *tlb_access_slow(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode, unsigned slot, bool align)
{
	unsigned kind = access != TLB_READ;
	uint64_t fills = env->tlb.book->fills;
	/* Slot 4 (the stack pointer's) exists once, for reads and writes: a read should leave it writable if it can. */
	bool unified = slot == TLB_SLOT_STACK;
	struct tlb_entry *e;
	struct target t;

	env->bounce_kind = TLB_BOUNCE_NONE;
	if (!env->l0_budget[slot] && !mode)
		judge(env, slot);
	if (align && (va & (size - 1)))
		tlb_ops->alignment_fault(env, va);
	env->bounce_addr = va;
	env->bounce_size = size;
	if (watched(env, va) || watched(env, va + size - 1))
		tlb_ops->accessed(env, va, size, access);
	if ((va & ~GUEST_PAGE_MASK) + size > GUEST_PAGE_SIZE)
		return split_access(env, va, size, access, mode);
	e = translate(env, va, access, mode, kind || unified, &t);
	if (!e)
		return mmio_access(env, t.pa, size, access);
	if (!mode && env->tlb.book->fills != fills)
		count_fill(env, va, kind, slot);
	if (!mode && !kind)
		tlb_wide_fill(env, e, va);
	if (t.code) {
		bool elsewhere = tlb_ops->before_code_store(env, t.off, size);

		if (access == TLB_WRITE)
			return bounce_code(env, t.off, mode, elsewhere && !env->tlb.book->watching ? slot : TLB_L0_SLOTS);
		lock_code(env, t.off, size);
	} else if (e->tag[kind | unified] != TLB_TAG_INVALID) {
		fill_slot(env, e, mode, kind | unified, slot);
	}
	return ram_ptr(t.off);
}

static void commit_piece(uint64_t where, const uint8_t *buf, unsigned n)
{
	if (where & TLB_BOUNCE_IS_GPA) {
		for (unsigned k = 0; k < n; k++)
			mmio_write((where & ~TLB_BOUNCE_IS_GPA) + k, buf[k], 1);
		return;
	}
	code_watch_replace(where, buf, n);
}

static void commit_mmio(struct tcg_env *env)
{
	unsigned size = env->bounce_size;

	for (unsigned pos = 0; pos < size;) {
		unsigned n = size - pos >= 8 ? 8 : size - pos >= 4 ? 4 : size - pos >= 2 ? 2 : 1;
		uint64_t v = 0;

		memcpy(&v, env->bounce + pos, n);
		mmio_write(env->bounce_ram[0] + pos, v, n);
		pos += n;
	}
	stat_inc(STAT_mmio);
}

/* No block watches these bytes of the page: the next stores through this slot need not come here. */
static void fill_gap(struct tcg_env *env, ram_off_t page_off, struct code_gap gap)
{
	unsigned mode = env->bounce_mode, slot = env->bounce_slot;
	gva_t page = env->bounce_addr & GUEST_PAGE_MASK;
	const struct tlb_entry *e = &env->tlb.l1[mode][tlb_l1_index(page)];

	if (gap.first == gap.end)
		return;
	if (e->wspan || !tlb_tag_hit(env, e->wlo, page) || e->pa != page_off) /* cf. code_store_hit() */
		return;
	set_slot(env, mode, 1, slot, page + gap.first, gap.end - gap.first, e->disp, e->wlo);
	env->tlb.book->gaps[mode] |= 1ull << slot;
}

static void commit_code(struct tcg_env *env)
{
	struct tlb_book *book = env->tlb.book;
	ram_off_t off = env->bounce_ram[0], page_off = off & GUEST_PAGE_MASK;
	struct code_gap gap;

	if (env->bounce_slot == TLB_L0_SLOTS) {
		code_watch_replace(off, env->bounce, env->bounce_size);
		return;
	}
	if (tlb_open_noted(book, page_off) && code_watch_replace_unlocked(off, env->bounce, env->bounce_size))
		return;
	if (!code_watch_replace_and_open(off, env->bounce, env->bounce_size, book->vcpu, &gap))
		return;
	tlb_open_note(book, page_off);
	fill_gap(env, page_off, gap);
}

void tlb_commit(struct tcg_env *env)
{
	uint32_t kind = env->bounce_kind;

	env->bounce_kind = TLB_BOUNCE_NONE;
	if (kind == TLB_BOUNCE_CODE) {
		commit_code(env);
	} else if (kind == TLB_BOUNCE_CODE_RMW) {
		code_watch_store_end(env->bounce_ram[0]);
	} else if (kind == TLB_BOUNCE_SPLIT) {
		unsigned first = GUEST_PAGE_SIZE - (env->bounce_addr & ~GUEST_PAGE_MASK);

		commit_piece(env->bounce_ram[0], env->bounce, first);
		commit_piece(env->bounce_ram[1], env->bounce + first, env->bounce_size - first);
		split_end(env);
	} else if (kind == TLB_BOUNCE_MMIO) {
		commit_mmio(env);
	} else if (kind == TLB_BOUNCE_PARTIAL) {
		tlb_partial_commit(env);
	}
}

void tlb_abandon(struct tcg_env *env)
{
	if (env->bounce_kind == TLB_BOUNCE_CODE_RMW)
		code_watch_store_end(env->bounce_ram[0]);
	else if (env->bounce_kind == TLB_BOUNCE_SPLIT)
		split_end(env);
	env->bounce_kind = TLB_BOUNCE_NONE;
}

void *tlb_page_ptr(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode)
{
	struct target t;
	struct tlb_entry *e = translate(env, va, access, mode, access != TLB_READ, &t);

	return e && !t.code && !watched(env, va) ? ram_ptr(t.off) : NULL;
}

void *tlb_store_run(struct tcg_env *env, gva_t va, size_t bytes, unsigned mode)
{
	const struct tlb_entry *e = tlb_find(env, va, 1, mode);
	struct target t;

	env->bounce_kind = TLB_BOUNCE_NONE;
	if (e)
		return (void *)(uintptr_t)(va + e->disp);
	if (!translate(env, va, TLB_WRITE, mode, true, &t) || watched(env, va))
		return NULL;
	if (t.code) {
		tlb_ops->before_code_store(env, t.off, (unsigned)bytes);
		lock_code(env, t.off, bytes);
	}
	return ram_ptr(t.off);
}

ram_off_t tlb_fetch(struct tcg_env *env, gva_t va, bool *global)
{
	struct tlb_book *book = env->tlb.book;
	struct tlb_fetch_entry *f = &book->fetch[env->tlb.user][(va >> GUEST_PAGE_BITS) % TLB_FETCH_SIZE];
	uint64_t diff = f->tag ^ (va & GUEST_PAGE_MASK);
	gpa_t start, pa;
	struct tlb_walk w;
	uint64_t avail;
	bool rom;

	if (diff == 0 || diff == env->tlb.ctx) {
		*global = f->global;
		return f->off | (va & ~GUEST_PAGE_MASK);
	}
	tlb_ops->walk(env, va, TLB_FETCH, env->tlb.user ? 0 : 1, &w);
	*global = w.global;
	pa = (w.pa + (va - w.va)) & GUEST_PAGE_MASK;
	ram_off_t off = aspace_find_ram_rcu(pa, &start, &avail, &rom);

	if (off == ASPACE_NOT_RAM || avail < GUEST_PAGE_SIZE)
		return ASPACE_NOT_RAM;
	if (w.size > GUEST_PAGE_SIZE)
		tlb_large_mark(book, va, w.size);
	f->tag = (va & GUEST_PAGE_MASK) | (w.global ? 0 : env->tlb.ctx);
	f->off = off;
	f->global = w.global;
	return off | (va & ~GUEST_PAGE_MASK);
}

uint8_t tlb_fetch_byte(struct tcg_env *env, gva_t va)
{
	struct tlb_walk w;

	tlb_ops->walk(env, va, TLB_FETCH, env->tlb.user ? 0 : 1, &w);
	return (uint8_t)mmio_read(w.pa + (va - w.va), 1);
}
