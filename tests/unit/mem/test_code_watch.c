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

static void nobody_writes(const struct vcpu_set *mask, ram_off_t page_off)
{
	(void)mask;
	(void)page_off;
}

static void no_wait(struct page_desc *page, uint16_t state)
{
	(void)page;
	(void)state;
}

static const struct code_watch_ops ops = { .kill_locked = note_kill, .revoke = nobody_writes, .wait_state = no_wait };

static int set_up(void **state)
{
	struct err err;

	(void)state;
	code_watch_ops = &ops;
	if (ram_init(2u << 20, &err) < 0)
		return -1;
	nr_kills = interfere_at = 0;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_store_of_what_is_there_does_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_bytes_that_change_are_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blocks_die_before_the_store, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_changes_meanwhile_is_killed_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_data_page_is_stored_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_page_without_blocks_becomes_data_after_some_stores, set_up, tear_down),
	};

	return RUN_TESTS(tests);
}
