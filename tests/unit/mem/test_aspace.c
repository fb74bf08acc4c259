/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake_code_watch.h"
#include "mem/aspace.h"
#include "mem/aspace_view.h"
#include "mem/ram.h"
#include "util/err.h"
#include "util/rcu.h"

static const struct mmio_ops no_ops;
static int changes;

static void changed(void)
{
	changes++;
}

static int clear(void **state)
{
	(void)state;
	aspace_remove(&aspace_mem, 0, 1);
	aspace_remove(&aspace_mem, 1, ~0ull);
	rcu_quiescent();
	return 0;
}

static const char *name_at(gpa_t gpa)
{
	const struct aspace_range *r = aspace_find_rcu(&aspace_mem, gpa);

	return r ? r->name : "-";
}

static void add_dev(gpa_t gpa, uint64_t size, const char *name)
{
	assert_int_equal(aspace_add_mmio(&aspace_mem, gpa, size, &no_ops, NULL, name), 0);
}

static void lookup_at_the_borders(void **state)
{
	(void)state;
	add_dev(0x3000, 0x1000, "b");
	add_dev(0x1000, 0x1000, "a");
	add_dev(0xfffffffffffff000, 0x1000, "top");
	assert_string_equal(name_at(0xfff), "-");
	assert_string_equal(name_at(0x1000), "a");
	assert_string_equal(name_at(0x1fff), "a");
	assert_string_equal(name_at(0x2000), "-");
	assert_string_equal(name_at(0x3fff), "b");
	assert_string_equal(name_at(~0ull), "top");
}

static void later_range_wins_where_they_overlap(void **state)
{
	(void)state;
	assert_int_equal(aspace_add_ram(&aspace_mem, 0, 0x10000, 0x100000, false), 0);
	add_dev(0x4000, 0x1000, "hole");
	assert_string_equal(name_at(0x3fff), "ram");
	assert_string_equal(name_at(0x4000), "hole");
	assert_string_equal(name_at(0x5000), "ram");
	add_dev(0x3800, 0x1000, "over");
	assert_string_equal(name_at(0x37ff), "ram");
	assert_string_equal(name_at(0x4000), "over");
	assert_string_equal(name_at(0x4800), "hole");
	add_dev(0, 0x20000, "all");
	assert_string_equal(name_at(0x4800), "all");
	assert_int_equal(aspace_mem.view->nr, 1);
}

static void removal_leaves_the_rest(void **state)
{
	(void)state;
	add_dev(0x1000, 0x3000, "a");
	aspace_remove(&aspace_mem, 0x2000, 0x1000);
	assert_string_equal(name_at(0x1fff), "a");
	assert_string_equal(name_at(0x2000), "-");
	assert_string_equal(name_at(0x3000), "a");
	assert_int_equal(aspace_find_rcu(&aspace_mem, 0x3000)->origin, 0x1000);
}

static void ram_lookup_tells_offset_and_extent(void **state)
{
	uint64_t avail;
	gpa_t start;
	bool rom;

	(void)state;
	assert_int_equal(aspace_add_ram(&aspace_mem, 0x10000, 0x10000, 0x5000, false), 0);
	assert_int_equal(aspace_add_ram(&aspace_mem, 0x18000, 0x1000, 0x40000, true), 0);
	assert_int_equal(aspace_find_ram_rcu(0x10010, &start, &avail, &rom), 0x5010);
	assert_true(start == 0x10000 && avail == 0x7ff0 && !rom);
	assert_int_equal(aspace_find_ram_rcu(0x18004, &start, &avail, &rom), 0x40004);
	assert_true(start == 0x18000 && avail == 0xffc && rom);
	assert_int_equal(aspace_find_ram_rcu(0x19000, &start, &avail, &rom), 0x5000 + 0x9000);
	assert_true(start == 0x19000 && avail == 0x7000 && !rom);
	assert_true(aspace_find_ram_rcu(0x20000, &start, &avail, &rom) == ASPACE_NOT_RAM);
}

static void empty_and_wrapping_ranges_are_refused(void **state)
{
	(void)state;
	assert_int_equal(aspace_add_ram(&aspace_mem, 0x1000, 0, 0, false), -EINVAL);
	assert_int_equal(aspace_add_ram(&aspace_mem, ~0ull, 2, 0, false), -EINVAL);
}

static void listener_hears_of_memory_changes_only(void **state)
{
	(void)state;
	aspace_set_listener(changed);
	changes = 0;
	add_dev(0x1000, 0x1000, "a");
	assert_int_equal(changes, 1);
	aspace_remove(&aspace_mem, 0x1000, 0x1000);
	assert_int_equal(changes, 2);
	assert_int_equal(aspace_add_mmio(&aspace_io, 0x80, 1, &no_ops, NULL, "port"), 0);
	assert_int_equal(changes, 2);
	aspace_set_listener(NULL);
}

static void hidden_ram_is_seen_by_whom_it_is_shown_to(void **state)
{
	gpa_t start;
	uint64_t avail;
	bool rom;

	(void)state;
	add_dev(0xa0000, 0x20000, "window");
	aspace_set_hidden(0xa0000, 0x20000, 0x1000);
	assert_string_equal(name_at(0xa0000), "window");
	aspace_see_hidden(true);
	assert_string_equal(name_at(0xa0000), "window");
	aspace_set_listener(changed);
	changes = 0;
	aspace_show_hidden(ASPACE_SOME);
	assert_int_equal(changes, 1);
	aspace_set_listener(NULL);
	assert_string_equal(name_at(0xa0000), "hidden ram");
	assert_string_equal(name_at(0xbffff), "hidden ram");
	assert_string_equal(name_at(0x9ffff), "-");
	assert_string_equal(name_at(0xc0000), "-");
	assert_int_equal(aspace_find_ram_rcu(0xa1234, &start, &avail, &rom), 0x2234);
	assert_int_equal(start, 0xa0000);
	assert_int_equal(avail, 0x20000 - 0x1234);
	assert_false(rom);
	aspace_see_hidden(false);
	assert_string_equal(name_at(0xa0000), "window");
	aspace_show_hidden(ASPACE_EVERYBODY);
	assert_string_equal(name_at(0xb0000), "hidden ram");
	aspace_show_hidden(ASPACE_NOBODY);
	assert_string_equal(name_at(0xb0000), "window");
}

static void dma_copies_across_ranges(void **state)
{
	uint8_t buf[0x200], back[0x200];
	struct err err;

	(void)state;
	assert_int_equal(ram_init(2u << 20, &err), 0);
	assert_int_equal(aspace_add_ram(&aspace_mem, 0, 0x1000, 0x8000, false), 0);
	assert_int_equal(aspace_add_ram(&aspace_mem, 0x1000, 0x1000, 0, false), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7);
	watch_calls = 0;
	assert_int_equal(dma_write(0xf00, buf, sizeof(buf)), 0);
	assert_true(watch_calls == 2 && watch_off == 0 && watch_len == 0x100);
	assert_memory_equal(ram_ptr(0x8f00), buf, 0x100);
	assert_memory_equal(ram_ptr(0), buf + 0x100, 0x100);
	assert_int_equal(dma_read(0xf00, back, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(dma_write(0x1f00, buf, sizeof(buf)), -EFAULT);
	assert_memory_equal(ram_ptr(0xf00), buf, 0x100);
	assert_int_equal(dma_read(0x5000, back, 1), -EFAULT);
	ram_fini();
}

/* Readers look at a range that is always there, in one form or another, while a writer replaces it. */
static int stop; /* [atomic] */

static void *look(void *arg)
{
	long misses = 0;

	(void)arg;
	rcu_register();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		const struct aspace_range *r = aspace_find_rcu(&aspace_mem, 0x1800);

		misses += !r || 0x1800 < r->start || 0x1800 > r->last;
		rcu_quiescent();
	}
	rcu_unregister();
	return (void *)misses;
}

static void lookups_see_one_view_or_the_other(void **state)
{
	pthread_t thread;
	void *misses;

	(void)state;
	add_dev(0x1000, 0x1000, "a");
	assert_int_equal(pthread_create(&thread, NULL, look, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		add_dev(i % 2 ? 0x1000 : 0x1400, 0x1000, "a");
		rcu_quiescent();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	rcu_offline();
	pthread_join(thread, &misses);
	rcu_online();
	assert_null(misses);
	rcu_drain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lookup_at_the_borders, clear),
		cmocka_unit_test_setup(later_range_wins_where_they_overlap, clear),
		cmocka_unit_test_setup(removal_leaves_the_rest, clear),
		cmocka_unit_test_setup(ram_lookup_tells_offset_and_extent, clear),
		cmocka_unit_test_setup(empty_and_wrapping_ranges_are_refused, clear),
		cmocka_unit_test_setup(listener_hears_of_memory_changes_only, clear),
		cmocka_unit_test_setup(hidden_ram_is_seen_by_whom_it_is_shown_to, clear),
		cmocka_unit_test_setup(dma_copies_across_ranges, clear),
		cmocka_unit_test_setup(lookups_see_one_view_or_the_other, clear),
	};

	rcu_register();
	return RUN_TESTS(tests);
}
