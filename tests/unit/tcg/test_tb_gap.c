/* SPDX-License-Identifier: MIT */
/*
 * What a page's blocks leave of it for stores that go past the slow path, or take no lock there.
 */
#include "support/test.h"

#include <string.h>

#include "mem/ram.h"
#include "tcg/cache/tb.h"
#include "tcg/rewritten.h"
#include "util/err.h"

#define PAGE 0x5000u
#define MAX_BLOCKS 40

static struct tb blocks[MAX_BLOCKS];
static struct page_desc *page;
static unsigned nr_blocks;

static int set_up(void **state)
{
	struct err err;

	(void)state;
	if (ram_init(2u << 20, &err) < 0 || code_watch_init(ram_size) < 0)
		return -1;
	page = code_watch_page(PAGE);
	nr_blocks = 0;
	memset(blocks, 0, sizeof(blocks));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	code_watch_fini();
	ram_fini();
	return 0;
}

/* A block at `phys` that watches `before` bytes in front of it and `len` from there on; with a second page or TB_NO_PAGE. */
static struct tb *add(ram_off_t phys, unsigned before, unsigned len, ram_off_t page2)
{
	struct tb *tb = &blocks[nr_blocks++];

	assert_true(nr_blocks <= MAX_BLOCKS);
	tb->phys = phys;
	tb->page2 = page2;
	tb->watch_before = (uint16_t)before;
	tb->watch_len = (uint16_t)len;
	tb->page[(phys & GUEST_PAGE_MASK) == PAGE ? 0 : 1].next = page->blocks;
	page->blocks = tb;
	page->granules = ~0ull;
	return tb;
}

static void expect(unsigned at, unsigned size, unsigned first, unsigned end)
{
	struct code_gap gap = tb_gap_locked(page, PAGE, at, at + size - 1);

	assert_int_equal(gap.first, first);
	assert_int_equal(gap.end, end);
}

static void a_page_without_blocks_is_one_gap(void **state)
{
	(void)state;
	expect(0x123, 8, 0, GUEST_PAGE_SIZE);
}

static void gaps_end_where_watched_bytes_begin(void **state)
{
	(void)state;
	add(PAGE + 0x200, 0x10, 0x40, TB_NO_PAGE);
	add(PAGE + 0x800, 0, 0x100, TB_NO_PAGE);
	add(PAGE + 0x820, 0x40, 0x10, TB_NO_PAGE);
	expect(0x1ef, 1, 0, 0x1f0);
	expect(0x1f0, 1, 0, 0);
	expect(0x1e9, 8, 0, 0);
	expect(0x23f, 1, 0, 0);
	expect(0x240, 1, 0x240, 0x7e0);
	expect(0x7df, 1, 0x240, 0x7e0);
	expect(0x7e0, 1, 0, 0);
	expect(0x900, 8, 0x900, GUEST_PAGE_SIZE);
}

static void blocks_on_two_pages_watch_both(void **state)
{
	(void)state;
	add(PAGE + 0xff8, 0, 15, PAGE + GUEST_PAGE_SIZE);
	add(PAGE - 5, 0, 12, PAGE);
	expect(0x100, 1, 7, 0xff8);
	expect(6, 1, 0, 0);
	expect(0xfff, 1, 0, 0);
}

/* A linear page may be followed by itself. */
static void a_block_may_have_one_page_twice(void **state)
{
	(void)state;
	add(PAGE + 0xff8, 0, 15, PAGE);
	expect(0x100, 1, 7, 0xff8);
	expect(6, 1, 0, 0);
	expect(0xff8, 1, 0, 0);
}

/* Bytes that a block reads when it runs: it counts their stores. */
static void late_bytes_are_no_gap(void **state)
{
	struct ir_late late = { 1, 4 };
	struct tb *tb = add(PAGE + 0x100, 0, 8, TB_NO_PAGE);

	(void)state;
	tb->late = &late;
	tb->nr_late = 1;
	expect(0x101, 4, 0, 0);
}

static void many_blocks_are_not_looked_at(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MAX_BLOCKS; i++)
		add(PAGE + 0x10 * i, 0, 4, TB_NO_PAGE);
	expect(0x800, 8, 0, 0);
}

static bool unwatched(unsigned first, unsigned last)
{
	return tb_unwatched(page, PAGE, first, last);
}

static void bytes_of_a_block_are_watched(void **state)
{
	(void)state;
	assert_true(unwatched(0, GUEST_PAGE_SIZE - 1));
	add(PAGE + 0x200, 0x10, 0x40, TB_NO_PAGE);
	add(PAGE - 5, 0, 12, PAGE);
	assert_true(unwatched(7, 0x1ef));
	assert_false(unwatched(7, 0x1f0));
	assert_false(unwatched(6, 0x1ef));
	assert_false(unwatched(0x210, 0x211));
	assert_false(unwatched(0x23f, 0x300));
	assert_true(unwatched(0x240, 0xfff));
}

static void granules_without_blocks_are_not_watched(void **state)
{
	(void)state;
	add(PAGE + 0x200, 0, 0x40, TB_NO_PAGE);
	page->granules = 1ull << (0x200 >> PAGE_GRANULE_BITS);
	assert_false(unwatched(0x1f8, 0x200));
	assert_true(unwatched(0x1f8, 0x1ff));
}

static void late_bytes_are_watched_until_enough_are_counted(void **state)
{
	struct ir_late late = { 1, 4 };
	struct tb *tb = add(PAGE + 0x100, 0, 8, TB_NO_PAGE);

	(void)state;
	tb->late = &late;
	tb->nr_late = 1;
	for (unsigned i = 0; i < REWRITTEN_PAYS; i++) {
		assert_false(unwatched(0x101, 0x104));
		tb_kill_locked(page, PAGE, 0x101, 0x104); /* kills nothing */
	}
	assert_true(unwatched(0x101, 0x104));
	assert_false(unwatched(0x100, 0x104));
	assert_false(unwatched(0x101, 0x105));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_without_blocks_is_one_gap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gaps_end_where_watched_bytes_begin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blocks_on_two_pages_watch_both, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_block_may_have_one_page_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(late_bytes_are_no_gap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_blocks_are_not_looked_at, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bytes_of_a_block_are_watched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(granules_without_blocks_are_not_watched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(late_bytes_are_watched_until_enough_are_counted, set_up, tear_down),
	};

	return RUN_TESTS(tests);
}
