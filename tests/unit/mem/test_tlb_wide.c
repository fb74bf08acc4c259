/* SPDX-License-Identifier: MIT */
/*
 * src/mem/tlb_wide.c: what enters the wide table, what must leave it, and how long it is. Lookups are those that generated code makes.
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

#define RAM (64ull << 20)
#define SMALL 0x100000000ull  /* pages of 4 KiB */
#define GLOBAL 0x200000000ull /* the same, global */
#define LARGE 0x300000000ull  /* of 2 MiB */
#define UNREAD 0x400000000ull /* may be read by the supervisor only */
#define WATCHED (SMALL + 5 * GUEST_PAGE_SIZE)

static struct tcg_env *env;

static void fake_walk(struct tcg_env *e, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *w)
{
	gva_t kind = va & 0xf00000000ull;

	(void)e;
	(void)access;
	w->size = kind == LARGE ? 2u << 20 : GUEST_PAGE_SIZE;
	w->va = va & ~(w->size - 1);
	w->pa = w->va & (RAM - 1);
	w->readable = kind != UNREAD || mode;
	w->executable = w->writable = true;
	w->global = kind == GLOBAL;
}

static bool watches(struct tcg_env *e, gva_t page)
{
	(void)e;
	return page == WATCHED;
}

static void ignore_access(struct tcg_env *e, gva_t va, unsigned size, enum tlb_access access)
{
	(void)e;
	(void)va;
	(void)size;
	(void)access;
}

static void ignore(struct tcg_env *e)
{
	(void)e;
}

static const struct tlb_ops fake_ops = { .walk = fake_walk, .watches = watches, .accessed = ignore_access, .busy = ignore, .access_wanders = ignore };

static void revoke_at_once(const struct vcpu_set *set, ram_off_t page_off)
{
	(void)set;
	tlb_revoke_write(env, page_off);
}

static const struct code_watch_ops watch_ops = { .revoke = revoke_at_once };

static void access_page(gva_t va, enum tlb_access access, unsigned mode)
{
	tlb_access_slow(env, va, 8, access, mode, TLB_SLOT_MISC, false);
}

static void read_page(gva_t va)
{
	access_page(va, TLB_READ, 0);
}

static bool found(gva_t va)
{
	const struct tlb_wide_entry *e = (void *)((char *)env->tlb.wide + (va >> (GUEST_PAGE_BITS - 4) & env->tlb.wide_mask));

	if (e->tag != ((va & GUEST_PAGE_MASK) | env->tlb.ctx))
		return false;
	assert_ptr_equal((char *)(uintptr_t)(va + e->disp), ram_ptr(va & (RAM - 1)));
	return true;
}

static void what_user_mode_may_read_enters(void **state)
{
	(void)state;
	assert_false(found(SMALL) || found(0));
	read_page(SMALL + 8);
	assert_true(found(SMALL));
	assert_false(found(SMALL + GUEST_PAGE_SIZE));
	access_page(SMALL + 1 * GUEST_PAGE_SIZE, TLB_READ, 1);
	access_page(SMALL + 2 * GUEST_PAGE_SIZE, TLB_WRITE, 0);
	read_page(GLOBAL + 3 * GUEST_PAGE_SIZE); /* its tag would be another one */
	read_page(UNREAD + 4 * GUEST_PAGE_SIZE);
	assert_false(found(SMALL + 1 * GUEST_PAGE_SIZE) || found(SMALL + 2 * GUEST_PAGE_SIZE));
	assert_false(found(GLOBAL + 3 * GUEST_PAGE_SIZE) || found(UNREAD + 4 * GUEST_PAGE_SIZE));
}

static void watched_pages_stay_out(void **state)
{
	(void)state;
	read_page(WATCHED);
	assert_true(found(WATCHED));
	tlb_set_watch(env, true);
	assert_false(found(WATCHED));
	read_page(WATCHED);
	read_page(WATCHED + GUEST_PAGE_SIZE);
	assert_false(found(WATCHED));
	assert_true(found(WATCHED + GUEST_PAGE_SIZE));
}

static void a_page_is_flushed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		read_page(SMALL + i * GUEST_PAGE_SIZE);
	tlb_flush_page(env, SMALL + GUEST_PAGE_SIZE + 77);
	assert_true(found(SMALL) && found(SMALL + 2 * GUEST_PAGE_SIZE));
	assert_false(found(SMALL + GUEST_PAGE_SIZE));
	tlb_flush_page(env, SMALL + TLB_WIDE_FIRST * GUEST_PAGE_SIZE); /* its place, another page */
	assert_true(found(SMALL));
	read_page(LARGE + GUEST_PAGE_SIZE);
	assert_true(found(LARGE + GUEST_PAGE_SIZE));
	tlb_flush_page(env, LARGE + 9 * GUEST_PAGE_SIZE); /* all of the large page */
	assert_false(found(LARGE + GUEST_PAGE_SIZE));
}

static void an_address_space_is_flushed(void **state)
{
	(void)state;
	tlb_switch(env, 1, false);
	read_page(SMALL);
	tlb_switch(env, 2, false);
	assert_false(found(SMALL));
	read_page(SMALL + GUEST_PAGE_SIZE);
	tlb_switch(env, 1, true);
	assert_true(found(SMALL));
	assert_false(found(SMALL + GUEST_PAGE_SIZE));
	tlb_flush_ctx_key(env, 2);
	tlb_switch(env, 2, true);
	assert_false(found(SMALL + GUEST_PAGE_SIZE));
	tlb_switch(env, 1, true);
	assert_true(found(SMALL));
	tlb_flush_nonglobal(env);
	assert_false(found(SMALL));
	read_page(SMALL);
	tlb_flush_all(env);
	assert_false(found(SMALL));
	read_page(SMALL);
	tlb_flush_mode(env, 1);
	assert_true(found(SMALL));
	tlb_flush_mode(env, 0);
	assert_false(found(SMALL));
}

/* Misses, as generated code counts them, that took so long each; in the window before, and now. */
static void miss(unsigned ns)
{
	struct tlb *t = &env->tlb;
	uint64_t n = (uint64_t)t->wide_turn;

	t->wide_turn = 0;
	tlb_wide_judge(env, env->tlb.book->wide_since + n * ns);
	assert_true(t->wide_turn > 0);
}

static void numbers_of_contexts_begin_again(void **state)
{
	unsigned times = *(unsigned *)*state;

	while (times--)
		miss(100);
	for (gva_t i = 0; i < 8; i++) {
		tlb_switch(env, 0, false);
		read_page(SMALL + i * GUEST_PAGE_SIZE);
		assert_true(found(SMALL + i * GUEST_PAGE_SIZE));
	}
	for (unsigned i = 0; i < 10000; i++) {
		tlb_switch(env, 0, false);
		for (gva_t k = 0; k < 8; k++)
			assert_false(found(SMALL + k * GUEST_PAGE_SIZE));
	}
	assert_true(env->tlb.restarts > 1);
	if (env->tlb.wide != env->tlb.wide_first)
		assert_int_equal(tlb_wide_entries(&env->tlb), TLB_WIDE_SHORT);
}

static void it_is_as_long_as_it_is_used(void **state)
{
	struct tlb *t = &env->tlb;

	(void)state;
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_FIRST);
	miss(1000000000); /* however seldom */
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_SHORT);
	assert_int_equal(t->wide_turn, TLB_WIDE_SHORT);
	miss(10000);
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_SHORT);
	tlb_flush_nonglobal(env);
	miss(100); /* of more than one context: that may be flushes */
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_SHORT);
	miss(100);
	assert_int_equal(tlb_wide_entries(t), 4 * TLB_WIDE_SHORT);
	miss(100);
	miss(100);
	miss(100);
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_LONG);
	miss(10000);
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_LONG);
	read_page(SMALL);
	miss(100000);
	assert_int_equal(tlb_wide_entries(t), TLB_WIDE_SHORT);
	assert_false(found(SMALL));
	read_page(SMALL);
	miss(100000);
	assert_true(found(SMALL)); /* it cannot be shorter */
}

/* An entry that a longer table has left behind is not met again. */
static void what_was_flushed_stays_so_in_a_shorter_one(void **state)
{
	const gva_t page = SMALL + TLB_WIDE_SHORT * GUEST_PAGE_SIZE;

	(void)state;
	miss(100);
	read_page(page);
	assert_true(found(page));
	miss(100);
	assert_false(found(page)); /* its place is another one */
	tlb_flush_page(env, page);
	assert_false(found(page));
	miss(100000);
	assert_int_equal(tlb_wide_entries(&env->tlb), TLB_WIDE_SHORT);
	assert_false(found(page));
}

/* The slow path thinks over the length where the count has run out, also if it ran out before an access that had no entry. */
static void who_runs_out_of_misses_is_judged(void **state)
{
	(void)state;
	env->tlb.wide_turn = 1;
	read_page(SMALL);
	assert_int_equal(tlb_wide_entries(&env->tlb), TLB_WIDE_FIRST);
	env->tlb.wide_turn = -1;
	read_page(SMALL + GUEST_PAGE_SIZE);
	assert_int_equal(tlb_wide_entries(&env->tlb), TLB_WIDE_SHORT);
	assert_true(found(SMALL + GUEST_PAGE_SIZE));
}

/* Misses of level 1 count when a slot is judged, each of them with what it may take; but not those of who goes on to the next page. */
static void misses_of_both_levels_count(void **state)
{
	const unsigned slot = TLB_SLOT_MISC;
	gva_t page = SMALL;

	(void)state;
	for (unsigned i = 0; i < 2 * TLB_SLOT_BUDGET; i++)
		read_page(page += GUEST_PAGE_SIZE);
	for (unsigned i = 0; i < 2 * TLB_SLOT_BUDGET; i++)
		read_page(i % 2 ? page : page - 9 * GUEST_PAGE_SIZE); /* level 1 has them */
	assert_int_equal(env->l0_budget[slot], TLB_SLOT_BUDGET - 1); /* the first of all came from afar */
	assert_int_equal(env->tlb.book->far_fills[slot], 1);
	for (unsigned i = 0; i < TLB_SLOT_BUDGET - 2; i++)
		read_page(page += 2 * GUEST_PAGE_SIZE);
	assert_int_equal(env->l0_budget[slot], 1);
	assert_int_equal(env->tlb.book->far_fills[slot], TLB_SLOT_BUDGET - 1);
	read_page(page - GUEST_PAGE_SIZE);
	assert_int_equal(env->l0_budget[slot], 1);
	read_page(page + 2 * GUEST_PAGE_SIZE);
	assert_int_equal(env->l0_budget[slot], TLB_SLOT_BUDGET);
	assert_int_equal(env->tlb.book->far_fills[slot], 0);
	access_page(page + 4 * GUEST_PAGE_SIZE, TLB_READ, 1); /* the supervisor's do not wander */
	assert_int_equal(env->tlb.book->far_fills[slot], 0);
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
	static unsigned first = 0, mapped = 1, longer = 3;
#define TEST(name, state) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, state)
	const struct CMUnitTest tests[] = {
		TEST(what_user_mode_may_read_enters, NULL),
		TEST(watched_pages_stay_out, NULL),
		TEST(a_page_is_flushed, NULL),
		TEST(an_address_space_is_flushed, NULL),
		TEST(numbers_of_contexts_begin_again, &first),
		TEST(numbers_of_contexts_begin_again, &mapped),
		TEST(numbers_of_contexts_begin_again, &longer),
		TEST(it_is_as_long_as_it_is_used, NULL),
		TEST(what_was_flushed_stays_so_in_a_shorter_one, NULL),
		TEST(who_runs_out_of_misses_is_judged, NULL),
		TEST(misses_of_both_levels_count, NULL),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
