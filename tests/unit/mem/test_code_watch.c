/* SPDX-License-Identifier: MIT */
/*
 * Stores to pages that hold translated code: what is killed, what a translator under way can see.
 */
#include "support/test.h"

#include <string.h>

#include "mem/code_watch.h"
#include "mem/ram.h"
#include "util/err.h"

#define PAGE 0x5000u
#define AT (PAGE + 0x100)

static struct kill {
	unsigned first, last;
} kills[8];
static unsigned nr_kills;

/* What stands in memory when a kill begins: stores come behind. */
static uint64_t seen_by_kill;

/* Another vCPU's store, at the next kill, which drops the lock: 0 none, else an offset from AT whose byte changes to 0x77. */
static unsigned interfere_at;

static void note_kill(struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	assert_int_equal(page_off, PAGE);
	assert_true(nr_kills < 8);
	kills[nr_kills++] = (struct kill){ first, last };
	memcpy(&seen_by_kill, ram_ptr(AT), 8);
	if (!interfere_at)
		return;
	small_lock_release(&page->lock);
	*(uint8_t *)ram_ptr(AT + interfere_at) = 0x77;
	interfere_at = 0;
	small_lock_acquire(&page->lock, LOCK_RANK_PAGE);
}

static struct vcpu_set asked; /* by the last revocation */

static void note_revoke(const struct vcpu_set *set, ram_off_t page_off)
{
	(void)page_off;
	asked = *set;
}

#define ME 3u
#define OTHER 70u

/* For vCPU ME. */
static bool close_own(const struct vcpu_set *writers, ram_off_t page_off)
{
	assert_int_equal(page_off, PAGE);
	vcpu_set_for_each(i, writers) {
		if (i != ME)
			return false;
	}
	return true;
}

static struct code_gap gap_found;
static unsigned gaps_asked;

static struct code_gap find_gap(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	(void)page;
	(void)page_off;
	(void)first;
	(void)last;
	gaps_asked++;
	return gap_found;
}

static struct change_asked {
	unsigned first, last;
} change_asked;
static bool is_watched;

static bool find_unwatched(const struct page_desc *page, ram_off_t page_off, unsigned first, unsigned last)
{
	(void)page;
	assert_int_equal(page_off, PAGE);
	change_asked = (struct change_asked){ first, last };
	return !is_watched;
}

static void no_wait(struct page_desc *page, uint16_t state)
{
	(void)page;
	(void)state;
}

static const struct code_watch_ops ops = {
	.kill_locked = note_kill, .gap_locked = find_gap, .unwatched = find_unwatched, .revoke = note_revoke, .close_own = close_own,
	.wait_state = no_wait
};

static int set_up(void **state)
{
	struct err err;

	(void)state;
	code_watch_ops = &ops;
	if (ram_init(2u << 20, &err) < 0)
		return -1;
	nr_kills = interfere_at = gaps_asked = 0;
	is_watched = false;
	gap_found = (struct code_gap){ 0, GUEST_PAGE_SIZE };
	asked = (struct vcpu_set){ { 0 } };
	memset(ram_ptr(PAGE), 0x11, GUEST_PAGE_SIZE);
	return code_watch_init(ram_size);
}

static int tear_down(void **state)
{
	(void)state;
	code_watch_fini();
	ram_fini();
	return 0;
}

/* A page with a block, as far as code_watch.c knows. */
static uint64_t make_code(void)
{
	static int block;

	code_watch_arm(PAGE);
	code_watch_page(PAGE)->blocks = &block;
	return atomic_load(&code_watch_page(PAGE)->gen);
}

static uint64_t gen(void)
{
	return atomic_load(&code_watch_page(PAGE)->gen);
}

static void a_store_of_what_is_there_does_nothing(void **state)
{
	uint8_t same[64];
	uint64_t before;

	(void)state;
	memset(same, 0x11, sizeof(same));
	before = make_code();
	for (unsigned size = 1; size <= sizeof(same); size++)
		code_watch_replace(AT + size % 7, same, size);
	assert_int_equal(nr_kills, 0);
	assert_int_equal(gen(), before);
}

/* Every size, every place of a single byte that changes, and of two. */
static void only_bytes_that_change_are_killed(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (unsigned size = 1; size <= sizeof(bytes); size++) {
		for (unsigned lo = 0; lo < size; lo++) {
			for (unsigned hi = lo; hi < size; hi += 5) {
				uint64_t before = make_code();

				nr_kills = 0;
				memset(ram_ptr(PAGE), 0x11, GUEST_PAGE_SIZE);
				memset(bytes, 0x11, sizeof(bytes));
				bytes[lo] = bytes[hi] = 0x91;
				code_watch_replace(AT + 3, bytes, size);
				assert_int_equal(nr_kills, 1);
				assert_int_equal(kills[0].first, 0x103 + lo);
				assert_int_equal(kills[0].last, 0x103 + hi);
				assert_int_equal(gen(), before + 1);
				assert_memory_equal(ram_ptr(AT + 3), bytes, size);
				assert_int_equal(*(uint8_t *)ram_ptr(AT + 3 + size), 0x11);
			}
		}
	}
}

static void blocks_die_before_the_store(void **state)
{
	static const uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	make_code();
	code_watch_replace(AT, bytes, 8);
	assert_int_equal(seen_by_kill, 0x1111111111111111);
	assert_memory_equal(ram_ptr(AT), bytes, 8);
}

/* A kill that drops the lock: another store makes more bytes differ from ours, and blocks may have been built from them. */
static void what_changes_meanwhile_is_killed_too(void **state)
{
	uint8_t bytes[8];

	(void)state;
	make_code();
	memset(bytes, 0x11, sizeof(bytes));
	bytes[5] = 0x22;
	interfere_at = 2;
	code_watch_replace(AT, bytes, 8);
	assert_int_equal(nr_kills, 2);
	assert_int_equal(kills[0].first, 0x105);
	assert_int_equal(kills[1].first, 0x102);
	assert_int_equal(kills[1].last, 0x105);
	assert_memory_equal(ram_ptr(AT), bytes, 8);
}

static void a_data_page_is_stored_to(void **state)
{
	static const uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint64_t before = gen();

	(void)state;
	code_watch_replace(AT, bytes, 8);
	assert_int_equal(nr_kills, 0);
	assert_int_equal(gen(), before);
	assert_memory_equal(ram_ptr(AT), bytes, 8);
}

static void a_page_without_blocks_becomes_data_after_some_stores(void **state)
{
	static const uint8_t byte = 0x11;

	(void)state;
	make_code();
	code_watch_page(PAGE)->blocks = NULL;
	for (unsigned i = 0; i < CODE_WATCH_PATIENCE; i++) {
		assert_true(code_watch_is_code(PAGE));
		code_watch_replace(AT, &byte, 1);
	}
	assert_false(code_watch_is_code(PAGE));
}

static uint16_t page_state(void)
{
	return atomic_load(&code_watch_page(PAGE)->state);
}

static bool store_and_open(uint8_t byte, unsigned vcpu)
{
	struct code_gap gap;
	bool open;

	nr_kills = 0;
	open = code_watch_replace_and_open(AT, &byte, 1, vcpu, &gap);
	assert_int_equal(*(uint8_t *)ram_ptr(AT), byte);
	if (open && gap_found.end - gap_found.first >= CODE_WATCH_GAP_MIN)
		assert_memory_equal(&gap, &gap_found, sizeof(gap));
	else if (open)
		assert_int_equal(gap.first, gap.end);
	return open;
}

static void a_store_opens_a_code_page(void **state)
{
	uint64_t before;

	(void)state;
	before = make_code();
	assert_true(store_and_open(1, ME));
	assert_int_equal(page_state(), PAGE_OPEN);
	assert_true(vcpu_set_has(&code_watch_page(PAGE)->writers, ME));
	assert_int_equal(gen(), before + 1);
	assert_true(store_and_open(2, OTHER));
	assert_true(vcpu_set_has(&code_watch_page(PAGE)->writers, ME));
	assert_true(vcpu_set_has(&code_watch_page(PAGE)->writers, OTHER));
}

static void a_store_that_changes_nothing_opens_nothing(void **state)
{
	(void)state;
	make_code();
	assert_false(store_and_open(0x11, ME));
	assert_int_equal(page_state(), PAGE_CODE);
}

static void a_data_page_is_not_opened(void **state)
{
	(void)state;
	assert_false(store_and_open(1, ME));
	assert_int_equal(page_state(), PAGE_DATA);
}

static void who_opened_it_arms_it_alone(void **state)
{
	uint32_t code_pages;

	(void)state;
	make_code();
	code_pages = atomic_load(&code_watch_region(PAGE)->code_pages);
	assert_true(store_and_open(1, ME));
	assert_int_equal(code_watch_arm(PAGE), gen());
	assert_int_equal(page_state(), PAGE_CODE);
	assert_true(vcpu_set_is_empty(&asked));
	assert_false(vcpu_set_has(&code_watch_page(PAGE)->writers, ME));
	assert_int_equal(atomic_load(&code_watch_region(PAGE)->code_pages), code_pages);
	assert_true(store_and_open(2, ME));
}

/* It is not worth asking another vCPU again and again. */
static void others_are_asked_for_an_open_page(void **state)
{
	uint32_t code_pages;
	unsigned stores = 0;

	(void)state;
	make_code();
	code_pages = atomic_load(&code_watch_region(PAGE)->code_pages);
	assert_true(store_and_open(1, OTHER));
	assert_int_equal(code_watch_arm(PAGE), gen());
	assert_int_equal(page_state(), PAGE_CODE);
	assert_int_equal(vcpu_set_next(&asked, 0), OTHER);
	assert_false(vcpu_set_has(&code_watch_page(PAGE)->writers, OTHER));
	assert_int_equal(atomic_load(&code_watch_region(PAGE)->code_pages), code_pages);
	while (!store_and_open((uint8_t)stores, ME))
		assert_true(++stores <= CODE_WATCH_CONTENDED * CODE_WATCH_UNIT);
	assert_true(stores > (CODE_WATCH_CONTENDED - 1) * CODE_WATCH_UNIT);
}

static void a_page_without_room_is_opened_but_not_for_inline_stores(void **state)
{
	(void)state;
	make_code();
	gap_found = (struct code_gap){ 0x100, 0x100 + CODE_WATCH_GAP_MIN - 1 };
	assert_true(store_and_open(1, ME));
	assert_int_equal(gaps_asked, 1);
	assert_int_equal(page_state(), PAGE_OPEN);
	assert_true(vcpu_set_has(&code_watch_page(PAGE)->writers, ME));
}

static void a_page_is_not_opened_where_a_block_counts_stores(void **state)
{
	(void)state;
	make_code();
	is_watched = true;
	for (unsigned i = 0; i < 2 * CODE_WATCH_UNIT; i++)
		assert_false(store_and_open((uint8_t)i, ME));
	assert_int_equal(page_state(), PAGE_CODE);
	is_watched = false;
	assert_true(store_and_open(0xff, ME)); /* at once */
}

static const uint8_t eight[] = { 0x11, 0x11, 1, 2, 3, 0x11, 0x11, 0x11 };

static void expect_bytes(uint8_t c, uint8_t d, uint8_t e)
{
	const uint8_t want[] = { 0x11, 0x11, c, d, e, 0x11, 0x11, 0x11 };

	assert_memory_equal(ram_ptr(AT), want, 8);
}

/* The lock is held by another all the time. */
static void who_has_it_open_stores_without_the_lock(void **state)
{
	struct page_desc *pd = code_watch_page(PAGE);
	uint64_t before;

	(void)state;
	make_code();
	assert_true(store_and_open(0x11 ^ 1, ME) && store_and_open(0x11, ME));
	before = gen();
	small_lock_acquire(&pd->lock, LOCK_RANK_PAGE);
	nr_kills = 0;
	assert_true(code_watch_replace_unlocked(AT, eight, 8));
	expect_bytes(1, 2, 3);
	assert_int_equal(change_asked.first, 0x102);
	assert_int_equal(change_asked.last, 0x104);
	is_watched = true;
	assert_true(code_watch_replace_unlocked(AT, eight, 8)); /* it is there already */
	small_lock_release(&pd->lock);
	assert_int_equal(nr_kills, 0);
	assert_int_equal(gen(), before);
	assert_int_equal(page_state(), PAGE_OPEN);
}

static void what_blocks_watch_is_not_changed_without_the_lock(void **state)
{
	(void)state;
	make_code();
	assert_true(store_and_open(0x11 ^ 1, ME) && store_and_open(0x11, ME));
	is_watched = true;
	assert_false(code_watch_replace_unlocked(AT, eight, 8));
	expect_bytes(0x11, 0x11, 0x11);
	is_watched = false;
	code_watch_page(PAGE)->blocks = NULL; /* such a page counts its stores */
	assert_false(code_watch_replace_unlocked(AT, eight, 8));
	expect_bytes(0x11, 0x11, 0x11);
}

/* Who has it open goes on, as a writer of data. */
static void an_open_page_without_blocks_becomes_data(void **state)
{
	(void)state;
	make_code();
	assert_true(store_and_open(1, ME));
	code_watch_page(PAGE)->blocks = NULL;
	for (unsigned i = 0; i < CODE_WATCH_PATIENCE; i++)
		store_and_open((uint8_t)i, ME);
	assert_int_equal(page_state(), PAGE_DATA);
	assert_int_equal(atomic_load(&code_watch_region(PAGE)->code_pages), 0);
	assert_true(vcpu_set_has(&code_watch_page(PAGE)->writers, ME));
	code_watch_arm(PAGE);
	assert_int_equal(vcpu_set_next(&asked, 0), ME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_store_of_what_is_there_does_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_bytes_that_change_are_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blocks_die_before_the_store, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_changes_meanwhile_is_killed_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_data_page_is_stored_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_page_without_blocks_becomes_data_after_some_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_store_opens_a_code_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_store_that_changes_nothing_opens_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_data_page_is_not_opened, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_opened_it_arms_it_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_are_asked_for_an_open_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_page_without_room_is_opened_but_not_for_inline_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_page_is_not_opened_where_a_block_counts_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_it_open_stores_without_the_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_blocks_watch_is_not_changed_without_the_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_open_page_without_blocks_becomes_data, set_up, tear_down),
	};

	return RUN_TESTS(tests);
}
