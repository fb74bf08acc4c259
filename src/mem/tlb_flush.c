/* SPDX-License-Identifier: MIT */
/*
 * TLB contexts, flushes and the tags of the jump cache. Everything here runs on the owning vCPU's thread.
 *
 * Jump-cache tag = PC + jc_salt. A salt names a context and a CPU mode; it is a keyed 64-bit hash of the two, so that no PC a guest can
 * make up (a non-canonical one, say) meets another mode's or address space's tags. User code is tagged with the address space's context.
 * So is supervisor code (book.jc_by_space) where there are no global pages, or much of it is not on them; else with a context that outlives
 * address-space switches, and the few entries for which that is wrong are listed and dropped by a switch (book.jc_local). A mode's other
 * variant has a secret distance from it, so that generated code can go there with one addition.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mem/ram.h"
#include "mem/code_watch.h"
#include "mem/tlb_book.h"
#include "util/cost.h"
#include "util/stats.h"

/* Two bits for each member. */
static void bloom_bits(uint64_t number, unsigned bit[2])
{
	uint64_t h = number * 0x9e3779b97f4a7c15ull;

	bit[0] = (unsigned)(h >> (64 - TLB_BLOOM_BITS));
	bit[1] = (unsigned)(h >> (64 - 2 * TLB_BLOOM_BITS)) & ((1u << TLB_BLOOM_BITS) - 1);
}

void tlb_bloom_set(struct tlb_bloom *b, uint64_t number)
{
	unsigned bit[2];

	bloom_bits(number, bit);
	b->word[bit[0] / 64] |= 1ull << (bit[0] % 64);
	b->word[bit[1] / 64] |= 1ull << (bit[1] % 64);
	b->any = true;
}

bool tlb_bloom_test(const struct tlb_bloom *b, uint64_t number)
{
	unsigned bit[2];

	bloom_bits(number, bit);
	return (b->word[bit[0] / 64] >> (bit[0] % 64) & 1) && (b->word[bit[1] / 64] >> (bit[1] % 64) & 1);
}

void tlb_bloom_clear(struct tlb_bloom *b)
{
	if (b->any)
		memset(b, 0, sizeof(*b));
}

/* ---- Large pages: one flush of any address in it drops all of a page's entries */

/* A name for the GiB that is no region's. */
static uint64_t giga(gva_t va)
{
	return va >> 30 | 1ull << 63;
}

void tlb_large_mark(struct tlb_book *book, gva_t va, uint64_t size)
{
	tlb_bloom_set(&book->large, size > 1u << REGION_BITS ? giga(va) : va >> REGION_BITS);
}

bool tlb_large_test(const struct tlb_book *book, gva_t va)
{
	return tlb_bloom_test(&book->large, va >> REGION_BITS) || tlb_bloom_test(&book->large, giga(va));
}

/* ---- Level 0 */

void tlb_l0_invalidate(struct tcg_env *env, unsigned mode, unsigned kind, uint64_t slots)
{
	env->tlb.l0_live[mode][kind] &= ~slots;
	while (slots) {
		unsigned n = (unsigned)__builtin_ctzll(slots);
		struct tlb_slot *s = &env->l0[mode][kind][n];

		s->lo = TLB_SLOT_INVALID_LO;
		memset(s->lim, 0, sizeof(s->lim));
		slots &= slots - 1;
	}
}

static void l0_for_all(struct tcg_env *env, bool globals_too)
{
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned kind = 0; kind < 2; kind++)
			tlb_l0_invalidate(env, mode, kind,
					  env->tlb.l0_live[mode][kind] & (globals_too ? ~0ull : ~env->tlb.l0_global[mode][kind]));
}

void tlb_l0_invalidate_all(struct tcg_env *env)
{
	l0_for_all(env, true);
}

/* ---- Level 1 and contexts */

static void l1_drop(struct tlb_entry *e)
{
	e->tag[0] = e->tag[1] = e->wlo = TLB_TAG_INVALID;
}

static void l1_wipe(struct tcg_env *env, unsigned mode)
{
	for (unsigned w = 0; w < TLB_L1_WORDS; w++) {
		for (uint64_t bits = env->tlb.l1_any[mode][w]; bits; bits &= bits - 1)
			l1_drop(&env->tlb.l1[mode][w * 64 + (unsigned)__builtin_ctzll(bits)]);
		env->tlb.l1_any[mode][w] = 0;
		env->tlb.l1_write[mode][w] = 0;
	}
}

static void jc_wipe(struct tcg_env *env)
{
	if (!env->tlb.book->jc_pages.any)
		return; /* so that a new vCPU's stays memory that the host need not have */
	memset(env->jc_tag, 0xff, sizeof(env->jc_tag));
	memset(env->jx, 0xff, sizeof(env->jx));
	tlb_bloom_clear(&env->tlb.book->jc_pages);
}

static void fetch_wipe(struct tlb_book *book)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < TLB_FETCH_SIZE; k++)
			book->fetch[i][k].tag = TLB_TAG_INVALID;
}

/* The finalizer of splitmix64: a bijection with full avalanche. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t salt_of(const struct tlb_book *book, uint32_t flags, bool user)
{
	uint64_t ctx = user ? book->jc_user : book->jc_kernel;

	return mix(book->secret ^ (ctx << 32 | flags));
}

/* Contexts have changed. */
static void salts_update(struct tcg_env *env)
{
	struct tlb_cpu_mode *now = &env->tlb.cpu_mode[env->tlb.user];
	bool other = env->jc_salt != now->salt;

	for (unsigned user = 0; user < 2; user++) {
		struct tlb_cpu_mode *m = &env->tlb.cpu_mode[user];

		if (m->flags != TLB_NO_CPU_MODE)
			m->salt = salt_of(env->tlb.book, m->flags, user);
	}
	env->jc_salt = now->salt + (other ? env->jc_other : 0);
}

/* No entry is left in any mode. */
static void long_ranges_forget(struct tlb_book *book)
{
	tlb_bloom_clear(&book->large);
	book->large_age++;
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		tlb_reach_forget(book, mode);
	book->low_globals = false;
}

/* All numbers are used up: forget everything that carries one. */
static void ctx_restart(struct tcg_env *env)
{
	struct tlb_book *book = env->tlb.book;

	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		l1_wipe(env, mode);
	l0_for_all(env, true);
	fetch_wipe(book);
	jc_wipe(env);
	memset(book->ctx_of_key, 0, sizeof(book->ctx_of_key));
	long_ranges_forget(book);
	tlb_wide_shorten(env);
	env->tlb.restarts++;
	env->tlb.ctx = book->jc_user = 1;
	book->jc_kernel = book->jc_by_space ? 1 : 2;
	book->next_ctx = 3;
	book->ctx_of_key[book->key] = 1;
}

/* A fresh number. May restart the whole numbering, after which the old numbers the caller holds are void. */
uint16_t tlb_ctx_new(struct tcg_env *env)
{
	struct tlb_book *book = env->tlb.book;

	if (book->next_ctx > TLB_MAX_CTX)
		ctx_restart(env);
	return book->next_ctx++;
}

static void jc_drop(struct tcg_env *env, gva_t pc)
{
	env->jc_tag[pc & (TCG_JC_SIZE - 1)] = TLB_TAG_INVALID;
	env->jx[tcg_jx_index(pc)].tag = TLB_TAG_INVALID;
}

/* The address space is another one, or what was known of it is void: so are the tags of its code, where they do not carry its context. */
static void ctx_enter(struct tcg_env *env, uint16_t ctx)
{
	struct tlb_book *book = env->tlb.book;

	env->tlb.ctx = ctx;
	book->jc_user = ctx;
	if (book->jc_by_space)
		book->jc_kernel = ctx;
	while (book->nr_jc_local)
		jc_drop(env, book->jc_local[--book->nr_jc_local]);
	salts_update(env);
}

static void ctx_renew(struct tcg_env *env, bool kernel_too)
{
	struct tlb_book *book = env->tlb.book;
	uint16_t ctx;

	cost_end(cost_begin(COST_clear)); /* counted to be compared: it touches nobody else */

	if (book->next_ctx + 2 > TLB_MAX_CTX)
		ctx_restart(env);
	ctx = tlb_ctx_new(env);
	book->ctx_of_key[book->key] = ctx;
	if (kernel_too) {
		book->jc_by_space = !book->globals_on;
		book->jc_kernel = tlb_ctx_new(env);
	}
	ctx_enter(env, ctx);
}

void tlb_flush_nonglobal(struct tcg_env *env)
{
	stat_inc(STAT_tlb_flushes);
	l0_for_all(env, false);
	ctx_renew(env, false);
}

void tlb_flush_all(struct tcg_env *env)
{
	struct tlb_book *book = env->tlb.book;

	stat_inc(STAT_tlb_flushes);
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		l1_wipe(env, mode);
	l0_for_all(env, true);
	fetch_wipe(book);
	memset(book->ctx_of_key, 0, sizeof(book->ctx_of_key));
	long_ranges_forget(book);
	ctx_renew(env, true);
}

void tlb_switch(struct tcg_env *env, uint32_t key, bool keep)
{
	struct tlb_book *book = env->tlb.book;
	uint16_t ctx = keep ? book->ctx_of_key[key % TLB_NR_KEYS] : 0;

	book->key = key % TLB_NR_KEYS;
	l0_for_all(env, false);
	if (!ctx) {
		stat_inc(STAT_tlb_flushes);
		ctx_renew(env, false);
		return;
	}
	ctx_enter(env, ctx);
}

void tlb_flush_ctx_key(struct tcg_env *env, uint32_t key)
{
	struct tlb_book *book = env->tlb.book;

	if (key % TLB_NR_KEYS == book->key)
		tlb_flush_nonglobal(env);
	else
		book->ctx_of_key[key % TLB_NR_KEYS] = 0;
}

void tlb_flush_mode(struct tcg_env *env, unsigned mode)
{
	l1_wipe(env, mode);
	if (mode == 0)
		tlb_wide_shorten(env);
	env->tlb.book->large_age++;
	tlb_reach_forget(env->tlb.book, mode);
	for (unsigned kind = 0; kind < 2; kind++)
		tlb_l0_invalidate(env, mode, kind, env->tlb.l0_live[mode][kind]);
}

/* Does the slot hold something of the page? A gap of a code page is less than the page. */
static bool slot_meets(const struct tlb_slot *s, gva_t page)
{
	return page - s->lo < s->lim[0] || (s->lim[0] && s->lo - page < GUEST_PAGE_SIZE);
}

/* Global pages are a kernel's in the upper half of linear space, most times: then a flush of user space need not look at what is made of them. */
static bool may_be_global(const struct tlb_book *book, gva_t va)
{
	return va >> 63 || book->low_globals;
}

static void l0_flush_address(struct tcg_env *env, gva_t va)
{
	bool globals = may_be_global(env->tlb.book, va);

	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned kind = 0; kind < 2; kind++)
			for (uint64_t live = env->tlb.l0_live[mode][kind] & (globals ? ~0ull : ~env->tlb.l0_global[mode][kind]); live;
			     live &= live - 1) {
				unsigned n = (unsigned)__builtin_ctzll(live);
				const struct tlb_slot *s = &env->l0[mode][kind][n];

				if (slot_meets(s, va & GUEST_PAGE_MASK))
					tlb_l0_invalidate(env, mode, kind, 1ull << n);
			}
}

static void jc_flush_page(struct tcg_env *env, gva_t page)
{
	struct tlb_book *book = env->tlb.book;

	if (tlb_bloom_test(&book->jc_pages, page >> GUEST_PAGE_BITS)) {
		memset(&env->jc_tag[page & (TCG_JC_SIZE - 1)], 0xff, GUEST_PAGE_SIZE * sizeof(env->jc_tag[0]));
		memset(&env->jx[tcg_jx_index(page) & ~(TCG_JX_PAGE - 1)], 0xff, TCG_JX_PAGE * sizeof(env->jx[0]));
	}
	if (!tlb_bloom_test(&book->jc_pages, (page - 1) >> GUEST_PAGE_BITS))
		return;
	/* A block that starts on the page before may reach into this one. */
	for (unsigned i = 1; i < 15; i++)
		jc_drop(env, page - i);
}

void tlb_flush_page(struct tcg_env *env, gva_t va)
{
	struct tlb_book *book = env->tlb.book;
	gva_t page = va & GUEST_PAGE_MASK;

	stat_inc(STAT_tlb_flush_pages);
	if (tlb_large_test(book, va) || (may_be_global(book, va) && tlb_reach_flushed(book, va))) {
		tlb_flush_all(env);
		return;
	}
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++) {
		struct tlb_entry *e = &env->tlb.l1[mode][tlb_l1_index(va)];

		if (!((e->tag[0] ^ page) & GUEST_PAGE_MASK) || !((e->tag[1] ^ page) & GUEST_PAGE_MASK))
			l1_drop(e);
	}
	for (unsigned i = 0; i < 2; i++)
		book->fetch[i][(va >> GUEST_PAGE_BITS) % TLB_FETCH_SIZE].tag = TLB_TAG_INVALID;
	tlb_wide_flush_page(env, va);
	l0_flush_address(env, va);
	jc_flush_page(env, page);
}

/* ---- CPU modes and the jump cache */

void tlb_mode_changed(struct tcg_env *env, uint32_t tb_flags, bool user, bool other)
{
	struct tlb_cpu_mode *m = &env->tlb.cpu_mode[user];

	if (m->flags != tb_flags)
		*m = (struct tlb_cpu_mode){ .salt = salt_of(env->tlb.book, tb_flags, user), .flags = tb_flags };
	env->tlb.user = user;
	env->jc_salt = m->salt + (other ? env->jc_other : 0);
}

void tlb_modes_forget(struct tcg_env *env)
{
	env->tlb.cpu_mode[0].flags = env->tlb.cpu_mode[1].flags = TLB_NO_CPU_MODE;
}

void tlb_set_watch(struct tcg_env *env, bool on)
{
	struct tlb_book *book = env->tlb.book;

	if (!on && !book->watching)
		return;
	book->watching = on;
	tlb_flush_all(env);
}

void tlb_set_globals(struct tcg_env *env, bool on)
{
	struct tlb_book *book = env->tlb.book;

	if (book->globals_on == on)
		return;
	book->globals_on = on;
	book->jc_by_space = !on;
}

/* Room for one more of supervisor code that a switch is to drop; without room, all such code gets the tags of its address space. */
static void jc_note_local(struct tcg_env *env, gva_t pc)
{
	struct tlb_book *book = env->tlb.book;

	if (book->nr_jc_local < TLB_JC_LOCAL) {
		book->jc_local[book->nr_jc_local++] = pc;
		return;
	}
	book->jc_by_space = true;
	ctx_enter(env, (uint16_t)env->tlb.ctx);
}

void tlb_jc_insert(struct tcg_env *env, gva_t pc, void *code, bool global)
{
	struct tlb_book *book = env->tlb.book;
	unsigned index = pc & (TCG_JC_SIZE - 1);

	if (!env->tlb.user && !book->jc_by_space && !global)
		jc_note_local(env, pc);
	env->jc_tag[index] = pc + env->jc_salt;
	env->jc_code[index] = code;
	env->jx[tcg_jx_index(pc)] = (struct tcg_jx_entry){ pc + env->jc_salt, code };
	tlb_bloom_set(&book->jc_pages, pc >> GUEST_PAGE_BITS);
}

const void *tlb_jc_find(const struct tcg_env *env, gva_t pc)
{
	const struct tcg_jx_entry *x = &env->jx[tcg_jx_index(pc)];
	unsigned index = pc & (TCG_JC_SIZE - 1);
	uint64_t tag = pc + env->jc_salt;

	if (env->jc_tag[index] == tag)
		return env->jc_code[index];
	return x->tag == tag ? x->code : NULL;
}

void tlb_jc_purge(struct tcg_env *env, gva_t pc, const void *code)
{
	struct tcg_jx_entry *x = &env->jx[tcg_jx_index(pc)];
	unsigned index = pc & (TCG_JC_SIZE - 1);

	if (!code) {
		jc_wipe(env);
		return;
	}
	if (env->jc_code[index] == code) {
		env->jc_tag[index] = TLB_TAG_INVALID;
		env->jc_code[index] = NULL;
	}
	if (x->code == code)
		*x = (struct tcg_jx_entry){ TLB_TAG_INVALID, NULL };
}

/* ---- Writer sets */

static bool covers(uint64_t lo_off, uint64_t span, ram_off_t page_off)
{
	return page_off + GUEST_PAGE_SIZE > lo_off && page_off < lo_off + span;
}

/* Drops those of a mode's write slots that cover the page. */
static void l0_revoke(struct tcg_env *env, unsigned mode, uint64_t slots, ram_off_t page_off)
{
	for (; slots; slots &= slots - 1) {
		unsigned n = (unsigned)__builtin_ctzll(slots);
		const struct tlb_slot *s = &env->l0[mode][1][n];

		if (covers(s->lo + s->disp - (uintptr_t)ram_base, s->lim[0], page_off))
			tlb_l0_invalidate(env, mode, 1, 1ull << n);
	}
}

void tlb_revoke_gaps(struct tcg_env *env, ram_off_t page_off)
{
	tlb_open_forget(env->tlb.book, page_off);
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++) {
		uint64_t *gaps = &env->tlb.book->gaps[mode];

		*gaps &= env->tlb.l0_live[mode][1];
		l0_revoke(env, mode, *gaps, page_off);
	}
}

void tlb_revoke_write(struct tcg_env *env, ram_off_t page_off)
{
	tlb_open_forget(env->tlb.book, page_off);
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++) {
		l0_revoke(env, mode, env->tlb.l0_live[mode][1], page_off);
		for (unsigned w = 0; w < TLB_L1_WORDS; w++)
			for (uint64_t bits = env->tlb.l1_write[mode][w]; bits; bits &= bits - 1) {
				unsigned bit = (unsigned)__builtin_ctzll(bits);
				struct tlb_entry *e = &env->tlb.l1[mode][w * 64 + bit];

				if (e->tag[1] == TLB_TAG_INVALID) {
					env->tlb.l1_write[mode][w] &= ~(1ull << bit);
				} else if (covers(e->wlo + e->disp - (uintptr_t)ram_base, e->wspan, page_off)) {
					e->tag[1] = TLB_TAG_INVALID;
					env->tlb.l1_write[mode][w] &= ~(1ull << bit);
				}
			}
	}
}

/* ---- Life */

/*
 * A tag of zero meets no address but one in page 0, or in region 0, which the first entry is for, and, as generated code takes the entry of an
 * access's first byte and the page of its last, the last one. So all others can stay as they came, untouched.
 */
static void l1_begin(struct tcg_env *env, unsigned mode)
{
	struct tlb_entry *large = env->tlb.l1[mode], *page = large + TLB_L1_LARGE;

	l1_drop(&large[0]);
	l1_drop(&large[TLB_L1_LARGE - 1]);
	l1_drop(&page[0]);
	l1_drop(&page[TLB_L1_SIZE - 1]);
}

int tlb_new(struct tcg_env *env, unsigned vcpu)
{
	struct tlb_book *book = calloc(1, sizeof(*book));

	if (!book)
		return -1;
	book->vcpu = vcpu;
	if (getrandom(&book->secret, sizeof(book->secret), 0) != sizeof(book->secret) ||
	    getrandom(&env->jc_other, sizeof(env->jc_other), 0) != sizeof(env->jc_other)) {
		free(book);
		return -1;
	}
	book->jc_by_space = true; /* no global pages yet */
	env->tlb.book = book;
	env->tlb.l1_turn = 1;
	tlb_wide_begin(env);
	env->jc_other |= 1; /* not 0 */
	env->tlb.cpu_mode[0] = (struct tlb_cpu_mode){ .salt = env->jc_salt };
	env->tlb.cpu_mode[1].flags = TLB_NO_CPU_MODE;
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++) {
		l1_begin(env, mode);
		for (unsigned kind = 0; kind < 2; kind++)
			tlb_l0_invalidate(env, mode, kind, ~0ull >> (64 - TLB_L0_SLOTS));
	}
	for (unsigned slot = 0; slot < TLB_L0_SLOTS; slot++)
		env->l0_budget[slot] = TLB_SLOT_BUDGET;
	ctx_restart(env); /* large_age is 1 now: what is zero is void */
	salts_update(env);
	return 0;
}

void tlb_free(struct tcg_env *env)
{
	if (env->tlb.book)
		tlb_wide_end(env);
	free(env->tlb.book);
	env->tlb.book = NULL;
}
