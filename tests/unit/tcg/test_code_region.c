/* SPDX-License-Identifier: MIT */
/* src/tcg/cache/code_region.c: segments, their counts, and memory that goes back. */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sched/clock.h"
#include "tcg/cache/code_region.h"
#include "tcg/cache/tb.h"
#include "util/err.h"
#include "util/rcu.h"

#define REGION (1u << 20)
#define BLOCK 1000u

static int make_region(void **state)
{
	struct err err;

	(void)state;
	return code_region_init(REGION, 2, &err);
}

static int drop_region(void **state)
{
	(void)state;
	code_region_fini();
	return 0;
}

/* A block of BLOCK bytes in the caller's segment; NULL when there is no room at all. */
static uint8_t *put_block(struct code_segment **seg)
{
	size_t room;
	uint8_t *rx = code_reserve(seg, BLOCK, &room);
	struct tb *tb;

	if (!rx)
		return NULL;
	memset(code_rw(rx), 0xcc, BLOCK);
	tb = code_block_memory(*seg, sizeof(*tb));
	assert_non_null(tb);
	memset(tb, 0, sizeof(*tb));
	code_commit(*seg, tb, BLOCK);
	return rx;
}

/* Fills a segment and gives it away; returns how many blocks it holds. */
static unsigned fill_one(struct code_segment **seg, struct code_segment **filled)
{
	unsigned n = 0;

	put_block(seg);
	for (*filled = *seg; *seg == *filled; n++)
		put_block(seg);
	return n;
}

/* Pages of the segment that the host has memory for. */
static unsigned resident(const uint8_t *rx)
{
	unsigned char in[CODE_SEGMENT_MIN / 4096];
	unsigned n = 0;

	assert_int_equal(mincore(code_rw(rx), CODE_SEGMENT_MIN, in), 0);
	for (size_t i = 0; i < sizeof(in); i++)
		n += in[i] & 1;
	return n;
}

static void a_segment_is_free_when_its_last_block_went(void **state)
{
	struct code_segment *seg = NULL, *filled, *next;
	unsigned n = fill_one(&seg, &filled);

	(void)state;
	assert_int_equal(atomic_load(&filled->live), n);
	code_blocks_gone(filled, n - 1);
	assert_int_equal(atomic_load(&filled->live), 1);
	code_blocks_gone(filled, 1);
	assert_null(atomic_load(&filled->blocks));
	/* Freed last, used next. */
	next = seg;
	fill_one(&next, &seg);
	assert_ptr_equal(next, filled);
	code_segment_put(next);
}

static void blocks_may_go_while_their_segment_is_filled(void **state)
{
	struct code_segment *seg = NULL, *mine;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		put_block(&seg);
	mine = seg;
	code_blocks_gone(seg, 8);
	put_block(&seg);
	assert_ptr_equal(seg, mine);
	code_segment_put(seg);
	assert_int_equal(atomic_load(&mine->live), 1);
	code_blocks_gone(mine, 1);
	assert_int_equal(atomic_load(&mine->live), 0);
}

static void an_evicted_segment_waits_for_its_evictor(void **state)
{
	struct code_segment *seg = NULL, *filled;
	unsigned n = fill_one(&seg, &filled);

	(void)state;
	assert_ptr_equal(code_segment_oldest(clock_now()), filled);
	assert_null(code_segment_oldest(clock_now())); /* the other is still owned */
	code_blocks_gone(filled, n);
	assert_int_equal(atomic_load(&filled->live), 1);
	assert_non_null(atomic_load(&filled->blocks));
	code_blocks_gone(filled, 1);
	assert_null(atomic_load(&filled->blocks));
	code_segment_put(seg);
}

/* Fills the region and empties it, each segment `step` later than the one before; returns the time. */
static vclock_ns_t turn_over(vclock_ns_t now, vclock_ns_t step)
{
	struct code_segment *seg = NULL, *old;

	while (put_block(&seg))
		;
	code_segment_put(seg);
	while ((old = code_segment_oldest(now += step)))
		code_blocks_gone(old, atomic_load(&old->live));
	return now;
}

static void a_region_that_is_emptied_fast_is_pressed(void **state)
{
	vclock_ns_t fast = CODE_SEGMENT_MIN * CODE_PRESSED_NS / 4, ages = 1000000000000;
	vclock_ns_t now = clock_now() + ages; /* none of this comes to pass while the test runs */

	(void)state;
	assert_false(code_is_pressed());
	now = turn_over(now, 100 * fast);
	now = turn_over(now, 100 * fast);
	assert_false(code_is_pressed());
	now = turn_over(now, fast);
	turn_over(now, fast);
	assert_true(code_is_pressed());
}

static void a_region_is_pressed_no_longer_than_it_is_emptied(void **state)
{
	vclock_ns_t now = clock_now() - 1000000000;

	(void)state;
	/* Half of it within some nanoseconds, a second ago. */
	now = turn_over(now, 0);
	turn_over(now, 1);
	assert_false(code_is_pressed());
}

static void memory_of_cold_segments_goes_back(void **state)
{
	struct code_segment *seg = NULL, *filled;
	uint8_t *first = put_block(&seg), *again;
	unsigned n = 1 + fill_one(&seg, &filled);
	vclock_ns_t now, next;

	(void)state;
	assert_int_equal(atomic_load(&filled->live), n);
	assert_int_equal(resident(first), CODE_SEGMENT_MIN / 4096);
	code_blocks_gone(filled, atomic_load(&filled->live));
	now = clock_now();
	next = code_give_back(now); /* not yet */
	assert_int_equal(resident(first), CODE_SEGMENT_MIN / 4096);
	assert_in_range(next, now, now + CODE_COLD_NS);
	assert_true(code_give_back(next) == VCLOCK_NEVER);
	assert_int_equal(resident(first), 0);
	/* It can be used like any other, and is not asked for twice. */
	assert_true(code_give_back(next + CODE_COLD_NS) == VCLOCK_NEVER);
	while ((again = put_block(&seg)))
		if (again == first)
			break;
	assert_ptr_equal(again, first);
	assert_int_equal(code_rw(first)[0], 0xcc);
	code_segment_put(seg);
}

/* Full segments, and nothing in them that lives. */
static void fill(struct code_segment **seg, struct code_segment *filled[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fill_one(seg, &filled[i]);
}

static void segments_filled_long_ago_are_emptied_oldest_first(void **state)
{
	struct code_segment *seg = NULL, *filled[2];
	vclock_ns_t now;

	(void)state;
	tb_cold_init();
	fill(&seg, filled, 2);
	now = clock_now();
	assert_true(tb_cold_sweep(now) > now + TB_COLD_PAUSE_NS); /* not yet */
	assert_false(atomic_load(&filled[0]->evicting));
	now += TB_COLD_AGE_NS + 1;
	assert_true(tb_cold_sweep(now) == now + TB_COLD_PAUSE_NS);
	assert_true(atomic_load(&filled[0]->evicting));
	assert_false(atomic_load(&filled[1]->evicting));
	tb_cold_sweep(now);
	assert_true(atomic_load(&filled[1]->evicting));
	assert_false(atomic_load(&seg->evicting)); /* somebody is filling it */
	assert_true(tb_cold_sweep(now) > now + TB_COLD_PAUSE_NS);
	code_segment_put(seg);
	tb_cold_fini();
}

static void where_all_that_is_emptied_is_built_anew_pauses_are_long(void **state)
{
	struct code_segment *seg = NULL, *filled[48];
	vclock_ns_t now = clock_now() + 1000000000000, pause = TB_COLD_PAUSE_NS, last = 0;
	unsigned n = 0;

	(void)state;
	tb_cold_init();
	fill(&seg, filled, 16);
	for (; n < 32; n++) {
		last = tb_cold_sweep(now) - now;
		assert_true(last >= pause);
		pause = last;
		code_blocks_gone(filled[n], atomic_load(&filled[n]->live));
		fill_one(&seg, &filled[n + 16]);
	}
	assert_true(last == TB_COLD_PAUSES * TB_COLD_PAUSE_NS);
	for (; n < 40; n++)
		last = tb_cold_sweep(now) - now;
	assert_true(last == TB_COLD_PAUSE_NS);
	code_segment_put(seg);
	tb_cold_fini();
}

static void structures_of_blocks_do_not_overlap(void **state)
{
	struct code_segment *seg = NULL;
	struct tb *tb, *last = NULL;
	size_t room;

	(void)state;
	for (unsigned n = 0; n < 300; n++) {
		unsigned exits = n % 7 * (n % 50 ? 1 : 100);

		assert_non_null(code_reserve(&seg, BLOCK, &room));
		tb = tb_new(seg, exits + 3, 2, 1);
		assert_non_null(tb);
		assert_ptr_equal(tb_new(seg, exits + 3, 2, 1), tb); /* nobody has taken it */
		assert_int_equal((uintptr_t)tb % CODE_BLOCK_ALIGN, 0);
		tb->nr_exits = (uint16_t)exits;
		memset(&tb->exit[0], 0x5a, exits * sizeof(tb->exit[0]));
		code_commit(seg, tb, 64);
		if (last && tb->segment_next == last)
			assert_true((uint8_t *)tb >= (uint8_t *)last + tb_bytes(last) || (uint8_t *)tb + tb_bytes(tb) <= (uint8_t *)last);
		last = tb;
	}
	code_segment_put(seg);
}

#define BIG_REGION (4 * (size_t)CODE_HUGE)

static int make_big_region(void **state)
{
	struct err err;

	(void)state;
	return code_region_init(BIG_REGION, 2, &err);
}

/* Every block says its number, in each eighth byte. */
static void number_block(uint8_t *rx, uint64_t n)
{
	for (size_t i = 0; i + 8 <= BLOCK; i += 8)
		memcpy(code_rw(rx) + i, &n, 8);
}

static bool block_has_number(const uint8_t *rx, uint64_t n)
{
	for (size_t i = 0; i + 8 <= BLOCK; i += 8)
		if (memcmp(rx + i, &n, 8) || memcmp(code_rw(rx) + i, &n, 8))
			return false;
	return true;
}

/* While the region is filled its pages become huge, if the host has such. */
static void code_stays_what_it_is_while_its_pages_become_huge(void **state)
{
	static uint8_t *block[BIG_REGION / BLOCK];
	struct code_segment *seg = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal((uintptr_t)code_stub_rx() % CODE_HUGE, 0);
	assert_int_equal((uintptr_t)code_rw(code_stub_rx()) % CODE_HUGE, 0);
	for (; (block[n] = put_block(&seg)); n++)
		number_block(block[n], n);
	assert_true(n * BLOCK > BIG_REGION / 2);
	for (size_t i = 0; i < n; i++)
		assert_true(block_has_number(block[i], i));
	rcu_drain();
	for (size_t i = 0; i < n; i++)
		assert_true(block_has_number(block[i], i));
	number_block(block[0], n);
	assert_true(block_has_number(block[0], n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_segment_is_free_when_its_last_block_went, make_region, drop_region),
		cmocka_unit_test_setup_teardown(blocks_may_go_while_their_segment_is_filled, make_region, drop_region),
		cmocka_unit_test_setup_teardown(an_evicted_segment_waits_for_its_evictor, make_region, drop_region),
		cmocka_unit_test_setup_teardown(a_region_that_is_emptied_fast_is_pressed, make_region, drop_region),
		cmocka_unit_test_setup_teardown(a_region_is_pressed_no_longer_than_it_is_emptied, make_region, drop_region),
		cmocka_unit_test_setup_teardown(segments_filled_long_ago_are_emptied_oldest_first, make_region, drop_region),
		cmocka_unit_test_setup_teardown(where_all_that_is_emptied_is_built_anew_pauses_are_long, make_region, drop_region),
		cmocka_unit_test_setup_teardown(structures_of_blocks_do_not_overlap, make_region, drop_region),
		cmocka_unit_test_setup_teardown(memory_of_cold_segments_goes_back, make_region, drop_region),
		cmocka_unit_test_setup_teardown(code_stays_what_it_is_while_its_pages_become_huge, make_big_region, drop_region),
	};

	return RUN_TESTS(tests);
}
