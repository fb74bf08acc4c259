/* SPDX-License-Identifier: MIT */
/*
 * What a flush costs in page walks: a walker that counts, over linear space that is RAM over and over again.
 */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/tlb_book.h"
#include "tcg/env.h"
#include "util/err.h"
#include "util/rcu.h"
#include "util/stats.h"

#define RAM (64ull << 20)
#define SMALL 0x100000000ull  /* pages of 4 KiB */
#define GLOBAL 0x200400000ull /* the same, global; not in the same entries as the others */
#define LARGE 0x300000000ull  /* of 2 MiB */
#define HUGE 0x400000000ull   /* of 1 GiB */
#define CLEAN 0x500000000ull  /* of 2 MiB, not dirty before they are written */

static struct tcg_env *env;
static unsigned walks;

static void fake_walk(struct tcg_env *e, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *w)
{
	gva_t kind = va & 0xf00000000ull;

	(void)e;
	(void)mode;
	walks++;
	w->size = kind == HUGE ? 1u << 30 : kind == LARGE || kind == CLEAN ? 2u << 20 : GUEST_PAGE_SIZE;
	w->va = va & ~(w->size - 1);
	w->pa = w->va & (RAM - 1);
	w->readable = w->executable = true;
	w->writable = kind != CLEAN || access != TLB_READ;
	w->global = kind == (GLOBAL & 0xf00000000ull);
}

#define REACH_LO (GLOBAL + (4u << 20))
#define REACH_SIZE (16ull << 20) /* of it may be read alike */

static unsigned looks; /* for reaches */

static void fake_reach(struct tcg_env *e, gva_t va, unsigned mode, struct tlb_walk *w)
{
	(void)e;
	(void)mode;
	looks++;
	if (va < REACH_LO || va >= REACH_LO + REACH_SIZE)
		return;
	w->va = REACH_LO;
	w->pa = REACH_LO & (RAM - 1);
	w->size = REACH_SIZE;
}

static bool watches_nothing(struct tcg_env *e, gva_t page)
{
	(void)e;
	(void)page;
	return false;
}

static unsigned times_busy;

static void fake_busy(struct tcg_env *e)
{
	(void)e;
	times_busy++;
}

static bool block_is_elsewhere; /* than on the page that is stored to */

static bool before_code_store(struct tcg_env *e, ram_off_t off, unsigned size)
{
	(void)e;
	(void)off;
	(void)size;
	return block_is_elsewhere;
}

static const struct tlb_ops fake_ops = { .before_code_store = before_code_store, .walk = fake_walk, .reach = fake_reach, .watches = watches_nothing, .busy = fake_busy };

/* The only vCPU is at a safepoint all the time. */
static void revoke_at_once(const struct vcpu_set *set, ram_off_t page_off)
{
	(void)set;
	tlb_revoke_write(env, page_off);
}

static bool close_own(const struct vcpu_set *set, ram_off_t page_off)
{
	(void)set;
	tlb_revoke_gaps(env, page_off);
	return true;
}

static const struct code_gap gap = { 0x100, 0x300 };

static struct code_gap find_gap(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	(void)page;
	(void)page_off;
	(void)first;
	(void)last;
	return gap;
}

static bool is_unwatched(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	(void)page;
	(void)page_off;
	(void)first;
	(void)last;
	return true;
}

static void kill_nothing(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	(void)page;
	(void)page_off;
	(void)first;
	(void)last;
}

static const struct code_watch_ops watch_ops = {
	.gap_locked = find_gap, .unwatched = is_unwatched, .kill_locked = kill_nothing, .revoke = revoke_at_once, .close_own = close_own
};

/* Walks for one access each to `n` pages from va on. */
static unsigned touch(gva_t va, unsigned n, enum tlb_access access)
{
	walks = 0;
	for (unsigned i = 0; i < n; i++) {
		gva_t at = va + i * GUEST_PAGE_SIZE;

		assert_ptr_equal(tlb_access_slow(env, at, 8, access, 1, TLB_SLOT_MISC, false), ram_ptr(at & (RAM - 1)));
	}
	return walks;
}

#define assert_walks(n, va, pages) assert_int_equal(touch(va, pages, TLB_READ), n)

static void one_page_flush_costs_one_walk(void **state)
{
	(void)state;
	assert_walks(100, SMALL, 100);
	assert_walks(0, SMALL, 100);
	tlb_flush_page(env, SMALL + 7 * GUEST_PAGE_SIZE + 5);
	assert_walks(1, SMALL, 100);
	assert_walks(50, GLOBAL, 50);
	tlb_flush_page(env, GLOBAL); /* global ones too */
	assert_walks(1, GLOBAL, 50);
	assert_walks(0, SMALL, 100);
}

static void address_spaces_stay_warm(void **state)
{
	(void)state;
	tlb_switch(env, 1, false);
	assert_walks(20, SMALL, 20);
	assert_walks(20, GLOBAL, 20);
	tlb_switch(env, 2, true); /* nothing is kept of 2 */
	assert_walks(20, SMALL + 0x100000, 20);
	assert_walks(0, GLOBAL, 20);
	for (unsigned i = 0; i < 10; i++) {
		tlb_switch(env, 1, true);
		assert_walks(0, SMALL, 20);
		assert_walks(0, GLOBAL, 20);
		tlb_switch(env, 2, true);
		assert_walks(0, SMALL + 0x100000, 20);
	}
	/* One flushed by name; the other stays. */
	tlb_flush_ctx_key(env, 1);
	assert_walks(0, SMALL + 0x100000, 20);
	tlb_switch(env, 1, true);
	assert_walks(20, SMALL, 20);
	tlb_switch(env, 2, true);
	assert_walks(0, SMALL + 0x100000, 20);
	/* A switch that keeps nothing. */
	tlb_switch(env, 2, false);
	assert_walks(20, SMALL + 0x100000, 20);
	assert_walks(0, GLOBAL, 20);
	tlb_flush_nonglobal(env);
	assert_walks(20, SMALL + 0x100000, 20);
	assert_walks(0, GLOBAL, 20);
	tlb_flush_all(env);
	assert_walks(20, SMALL + 0x100000, 20);
	assert_walks(20, GLOBAL, 20);
	tlb_switch(env, 1, true);
	assert_walks(20, SMALL, 20);
}

/* The numbers of contexts run out: nothing of an old one may come back. */
static void contexts_begin_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		tlb_switch(env, i & 3, false);
		assert_walks(1, SMALL + (i & 7) * GUEST_PAGE_SIZE, 1);
		assert_walks(1, LARGE + (i & 7) * GUEST_PAGE_SIZE, 1);
	}
	assert_true(env->tlb.restarts > 1);
}

static void large_page_costs_one_walk(void **state)
{
	(void)state;
	assert_walks(1, LARGE, 512);
	assert_walks(1, LARGE + (2u << 20), 512);
	assert_walks(0, LARGE, 512);
	tlb_flush_page(env, LARGE + 100 * GUEST_PAGE_SIZE);
	assert_walks(1, LARGE, 512);
	tlb_flush_nonglobal(env);
	assert_walks(1, LARGE, 512);
	tlb_flush_mode(env, 1);
	assert_walks(1, LARGE, 512);
	/* In another MMU mode others may be allowed. */
	walks = 0;
	tlb_access_slow(env, LARGE, 8, TLB_READ, 0, TLB_SLOT_MISC, false);
	assert_int_equal(walks, 1);
}

/* INVLPG of any address in it drops all of it. */
static void huge_page_is_flushed_as_one(void **state)
{
	(void)state;
	assert_walks(1, HUGE, 100);
	tlb_flush_page(env, HUGE + (512u << 20));
	assert_walks(1, HUGE, 100);
	tlb_flush_page(env, HUGE + (1u << 30)); /* another one */
	assert_walks(0, HUGE, 100);
}

static uint64_t slot_bytes(unsigned kind)
{
	return env->l0[1][kind][TLB_SLOT_MISC].lim[0];
}

/* Ranges for reading are as long as the run of pages that may be read alike, and a flush of any page in it drops them all. */
static void reach_is_flushed_as_one(void **state)
{
	const gva_t far = REACH_LO + REACH_SIZE - GUEST_PAGE_SIZE;

	(void)state;
	looks = 0;
	assert_walks(1, REACH_LO, 1);
	assert_int_equal(slot_bytes(0), REACH_SIZE);
	assert_int_equal(env->l0[1][0][TLB_SLOT_MISC].lo, REACH_LO);
	assert_walks(10, REACH_LO + (1u << 20), 10);
	assert_int_equal(looks, 1); /* it is known */
	assert_int_equal(touch(far, 1, TLB_WRITE), 1);
	assert_int_equal(slot_bytes(1), GUEST_PAGE_SIZE);
	tlb_flush_page(env, REACH_LO - GUEST_PAGE_SIZE);
	tlb_flush_page(env, REACH_LO + REACH_SIZE);
	assert_walks(0, REACH_LO, 1);
	tlb_flush_page(env, far);
	assert_int_equal(slot_bytes(0), 0);
	assert_walks(1, REACH_LO, 1);
	/* Who flushes is left alone for a while. */
	assert_int_equal(looks, 1);
	assert_int_equal(slot_bytes(0), GUEST_PAGE_SIZE);
	tlb_flush_page(env, far); /* one page only */
	assert_walks(0, REACH_LO, 1);
	assert_walks(1023, REACH_LO + GUEST_PAGE_SIZE, 1023);
	tlb_flush_page(env, REACH_LO);
	assert_walks(1, REACH_LO, 1);
	assert_int_equal(looks, 2);
	assert_int_equal(slot_bytes(0), REACH_SIZE);
}

static void reach_ends_with_its_mode(void **state)
{
	(void)state;
	looks = 0;
	assert_walks(1, REACH_LO, 1);
	tlb_flush_nonglobal(env);
	assert_walks(0, REACH_LO, 1);
	assert_int_equal(slot_bytes(0), REACH_SIZE);
	tlb_flush_mode(env, 1);
	assert_int_equal(slot_bytes(0), 0);
	assert_walks(1, REACH_LO, 1);
	assert_int_equal(looks, 2);
	tlb_flush_all(env);
	assert_walks(1, REACH_LO, 1);
	assert_int_equal(looks, 3);
	/* Others have none. */
	assert_walks(1, SMALL, 1);
	assert_int_equal(looks, 3);
	assert_int_equal(slot_bytes(0), GUEST_PAGE_SIZE);
}

/* Level-0 slots of global pages are not looked at by a flush in the other half of linear space, unless such a page was met there. */
static void global_pages_in_the_lower_half_are_flushed(void **state)
{
	(void)state;
	assert_walks(1, GLOBAL, 1);
	assert_int_equal(slot_bytes(0), GUEST_PAGE_SIZE);
	tlb_flush_page(env, GLOBAL);
	assert_int_equal(slot_bytes(0), 0);
}

/* A page that was read before it was dirty is walked for again when it is written. */
static void clean_page_is_walked_to_be_written(void **state)
{
	(void)state;
	assert_walks(1, CLEAN, 10);
	assert_int_equal(touch(CLEAN + 20 * GUEST_PAGE_SIZE, 5, TLB_WRITE), 1);
	assert_walks(0, CLEAN + 30 * GUEST_PAGE_SIZE, 10);
	assert_int_equal(touch(CLEAN, 40, TLB_WRITE), 0);
}

/* ---- Supervisor code in the jump caches */

#define FLAGS 77
#define OTHER (SMALL + 0x1000 + 8)

static void enter(gva_t pc, bool global)
{
	static uint8_t code[16];

	tlb_jc_insert(env, pc, code, global);
}

static bool found(gva_t pc)
{
	bool one = env->jc_tag[pc & (TCG_JC_SIZE - 1)] == pc + env->jc_salt, two = env->jx[tcg_jx_index(pc)].tag == pc + env->jc_salt;

	assert_int_equal(one, two);
	return one;
}

static void supervisor_begin(void)
{
	tlb_mode_changed(env, FLAGS, false, false);
	tlb_flush_all(env);
	tlb_switch(env, 1, false);
}

static void local_supervisor_code_goes_with_its_address_space(void **state)
{
	(void)state;
	supervisor_begin();
	enter(GLOBAL, true);
	enter(SMALL + 64, false);
	assert_true(found(GLOBAL) && found(SMALL + 64));
	tlb_mode_changed(env, FLAGS + 1, true, false);
	assert_false(found(GLOBAL) || found(SMALL + 64));
	tlb_mode_changed(env, FLAGS, false, false);
	assert_true(found(GLOBAL) && found(SMALL + 64));
	tlb_switch(env, 2, true);
	assert_true(found(GLOBAL));
	assert_false(found(SMALL + 64));
	tlb_switch(env, 1, true);
	assert_true(found(GLOBAL));
	assert_false(found(SMALL + 64));
	enter(SMALL + 64, false);
	tlb_flush_nonglobal(env);
	assert_true(found(GLOBAL));
	assert_false(found(SMALL + 64));
	enter(SMALL + 64, false);
	tlb_flush_page(env, SMALL + 5);
	assert_false(found(SMALL + 64));
	tlb_flush_all(env);
	assert_false(found(GLOBAL));
}

/* Much of it: the address space's tags, which wait for its return. */
static void much_local_supervisor_code_waits_for_its_address_space(void **state)
{
	(void)state;
	supervisor_begin();
	for (unsigned n = 0; n < 3 * TLB_JC_LOCAL; n++) {
		enter(SMALL + n * 16, false);
		assert_true(found(SMALL + n * 16));
	}
	for (unsigned n = 0; n < 3 * TLB_JC_LOCAL; n++)
		enter(SMALL + n * 16, false);
	tlb_switch(env, 2, true);
	for (unsigned n = 0; n < 3 * TLB_JC_LOCAL; n++)
		assert_false(found(SMALL + n * 16));
	enter(OTHER, false);
	tlb_switch(env, 1, true);
	assert_false(found(OTHER));
	for (unsigned n = 0; n < 3 * TLB_JC_LOCAL; n++)
		assert_true(found(SMALL + n * 16));
	tlb_switch(env, 2, true);
	assert_true(found(OTHER));
	tlb_flush_ctx_key(env, 1);
	tlb_switch(env, 1, true);
	for (unsigned n = 0; n < 3 * TLB_JC_LOCAL; n++)
		assert_false(found(SMALL + n * 16));
	/* After a flush of everything, few are few again. */
	tlb_flush_all(env);
	enter(GLOBAL, true);
	enter(SMALL + 64, false);
	tlb_switch(env, 2, false);
	assert_true(found(GLOBAL));
	assert_false(found(SMALL + 64));
}

static uint64_t fills(void)
{
	return stat_total(STAT_tlb_fills);
}

static bool writable(gva_t va)
{
	return tlb_find(env, va, 1, 1);
}

static void large_page_has_one_entry(void **state)
{
	uint64_t before;

	(void)state;
	assert_walks(1, LARGE, 1);
	before = fills();
	assert_walks(0, LARGE, 512);
	assert_int_equal(fills(), before);
	assert_int_equal(tlb_load(env, LARGE + 5 * GUEST_PAGE_SIZE, 8, 1), 0);
	assert_false(writable(LARGE));
	assert_int_equal(touch(LARGE, 1, TLB_WRITE), 0);
	assert_true(writable(LARGE) && writable(LARGE + 511 * GUEST_PAGE_SIZE));
	assert_false(writable(LARGE + 512 * GUEST_PAGE_SIZE));
	tlb_flush_nonglobal(env);
	assert_null(tlb_find(env, LARGE, 0, 1));
}

/* Where code is, each page is written by itself, and only if it is none. */
static void large_page_with_code_is_written_by_the_page(void **state)
{
	const gva_t va = LARGE + (32u << 20), code = va + 3 * GUEST_PAGE_SIZE;

	(void)state;
	touch(va, 1, TLB_WRITE);
	assert_true(writable(code));
	code_watch_arm(code & (RAM - 1));
	assert_false(writable(va) || writable(code));
	assert_non_null(tlb_find(env, code, 0, 1));
	assert_int_equal(touch(va, 2, TLB_WRITE), 0);
	assert_true(writable(va) && writable(va + GUEST_PAGE_SIZE));
	assert_false(writable(va + 2 * GUEST_PAGE_SIZE) || writable(code));
	assert_walks(0, va, 512);
}

#define SLOT 7u

/* As generated code has it. */
static bool level_0_hits(gva_t va, unsigned size)
{
	const struct tlb_slot *s = &env->l0[1][1][SLOT];

	return va - s->lo < s->lim[__builtin_ctz(size)] && va + s->disp == (uintptr_t)ram_ptr(va & (RAM - 1));
}

static void store_to_code(gva_t va, uint8_t byte)
{
	void *p = tlb_access_slow(env, va, 1, TLB_WRITE, 1, SLOT, false);

	*(uint8_t *)p = byte;
	tlb_commit(env);
	assert_int_equal(*(uint8_t *)ram_ptr(va & (RAM - 1)), byte);
}

static void stores_to_a_gap_of_a_code_page_hit_level_0(void **state)
{
	gva_t page = SMALL + 9 * GUEST_PAGE_SIZE;

	(void)state;
	code_watch_arm(page & (RAM - 1));
	block_is_elsewhere = false;
	store_to_code(page + 0x180, 1);
	assert_false(level_0_hits(page + 0x180, 1));
	block_is_elsewhere = true;
	store_to_code(page + 0x180, 2);
	assert_false(level_0_hits(page + gap.first - 1, 1));
	assert_true(level_0_hits(page + gap.first, 32));
	assert_true(level_0_hits(page + gap.end - 8, 8));
	assert_false(level_0_hits(page + gap.end - 7, 8));
	code_watch_arm(page & (RAM - 1));
	assert_false(level_0_hits(page + gap.first, 1));
}

/* Is a store to this code page done under its lock? Each such store moves the generation. */
static bool takes_the_lock(gva_t va)
{
	static uint8_t byte;
	struct page_desc *pd = code_watch_page(va & (RAM - 1));
	uint64_t before = atomic_load(&pd->gen);

	store_to_code(va, ++byte);
	return atomic_load(&pd->gen) != before;
}

static void who_has_a_page_open_stores_without_its_lock(void **state)
{
	gva_t page = SMALL + 9 * GUEST_PAGE_SIZE, at = page + gap.end;
	ram_off_t off = page & (RAM - 1);
	static int block;

	(void)state;
	code_watch_arm(off);
	code_watch_page(off)->blocks = &block;
	block_is_elsewhere = true;
	assert_true(takes_the_lock(at));
	assert_false(takes_the_lock(at));
	tlb_flush_all(env);
	assert_false(takes_the_lock(at));
	block_is_elsewhere = false;
	assert_true(takes_the_lock(at));
	block_is_elsewhere = true;
	assert_false(takes_the_lock(at));
	tlb_revoke_write(env, off + GUEST_PAGE_SIZE);
	assert_false(takes_the_lock(at));
	code_watch_arm(off); /* close_own() */
	assert_true(takes_the_lock(at));
	assert_false(takes_the_lock(at));
	tlb_revoke_write(env, off);
	assert_true(takes_the_lock(at));
}

/* Pages that share a place for their notes: all that is lost is the note. */
static void only_some_open_pages_are_noted(void **state)
{
	gva_t page = SMALL + 9 * GUEST_PAGE_SIZE, other = page + TLB_OPENED * GUEST_PAGE_SIZE;
	static int block;

	(void)state;
	block_is_elsewhere = true;
	for (gva_t p = page; p <= other; p += other - page) {
		code_watch_arm(p & (RAM - 1));
		code_watch_page(p & (RAM - 1))->blocks = &block;
		assert_true(takes_the_lock(p));
		assert_false(takes_the_lock(p));
	}
	tlb_revoke_write(env, page & (RAM - 1));
	assert_false(takes_the_lock(other));
	assert_true(takes_the_lock(page));
	assert_true(takes_the_lock(other));
}

/* All linear addresses of a page flush what is less than the page. */
static void a_gap_goes_with_its_page(void **state)
{
	static const unsigned at[] = { 0, 0x200, 0xfff };
	gva_t page = SMALL + 10 * GUEST_PAGE_SIZE;

	(void)state;
	code_watch_arm(page & (RAM - 1));
	block_is_elsewhere = true;
	for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
		store_to_code(page + 0x180, (uint8_t)(i + 1));
		assert_true(level_0_hits(page + 0x180, 1));
		tlb_flush_page(env, page + GUEST_PAGE_SIZE);
		tlb_flush_page(env, page - 1);
		assert_true(level_0_hits(page + 0x180, 1));
		tlb_flush_page(env, page + at[i]);
		assert_false(level_0_hits(page + 0x180, 1));
	}
}

/* A new TLB has no entries, wherever one looks, though nobody has written most of it. */
static void new_one_is_empty(void **state)
{
	(void)state;
	assert_walks(TLB_L1_SIZE, 0, TLB_L1_SIZE);
	assert_walks(0, 0, TLB_L1_SIZE);
}

static void use_is_told_once(void **state)
{
	(void)state;
	times_busy = 0;
	for (unsigned i = 0; i < 6 * TLB_L1_SIZE; i++) {
		touch(SMALL + (uint64_t)i * GUEST_PAGE_SIZE % RAM, 1, TLB_READ);
		tlb_flush_page(env, SMALL + (uint64_t)i * GUEST_PAGE_SIZE % RAM);
	}
	assert_int_equal(times_busy, 1);
}

static int setup(void **state)
{
	(void)state;
	env = aligned_alloc(4096, (sizeof(*env) + 4095) & ~(size_t)4095);
	if (!env)
		return -1;
	memset(env, 0, sizeof(*env));
	if (tlb_new(env, 0) < 0)
		return -1;
	tlb_set_globals(env, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tlb_free(env);
	free(env);
	return 0;
}

static int begin(void **state)
{
	struct err err;

	(void)state;
	rcu_register();
	tlb_ops = &fake_ops;
	code_watch_ops = &watch_ops;
	if (ram_init(RAM, &err) < 0 || aspace_add_ram(&aspace_mem, 0, RAM, 0, false) < 0)
		return -1;
	return code_watch_init(RAM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_one_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(use_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(one_page_flush_costs_one_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(address_spaces_stay_warm, setup, teardown),
		cmocka_unit_test_setup_teardown(contexts_begin_again, setup, teardown),
		cmocka_unit_test_setup_teardown(large_page_costs_one_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(local_supervisor_code_goes_with_its_address_space, setup, teardown),
		cmocka_unit_test_setup_teardown(much_local_supervisor_code_waits_for_its_address_space, setup, teardown),
		cmocka_unit_test_setup_teardown(large_page_has_one_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(large_page_with_code_is_written_by_the_page, setup, teardown),
		cmocka_unit_test_setup_teardown(huge_page_is_flushed_as_one, setup, teardown),
		cmocka_unit_test_setup_teardown(reach_is_flushed_as_one, setup, teardown),
		cmocka_unit_test_setup_teardown(reach_ends_with_its_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(global_pages_in_the_lower_half_are_flushed, setup, teardown),
		cmocka_unit_test_setup_teardown(clean_page_is_walked_to_be_written, setup, teardown),
		cmocka_unit_test_setup_teardown(stores_to_a_gap_of_a_code_page_hit_level_0, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_a_page_open_stores_without_its_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(only_some_open_pages_are_noted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_gap_goes_with_its_page, setup, teardown),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
