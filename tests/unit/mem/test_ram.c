/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "mem/ram.h"
#include "util/err.h"

static void ram_is_zero_aligned_and_writable(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(ram_init(64u << 20, &err), 0);
	assert_int_equal((uintptr_t)ram_base % (2u << 20), 0);
	assert_int_equal(ram_size, 64u << 20);
	assert_int_equal(*(uint32_t *)ram_ptr(12345 * 4), 0);
	memset(ram_ptr(ram_size - 16), 0xaa, 16);
	ram_fini();
	assert_null(ram_base);
}

static void large_ram_costs_nothing_until_touched(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(ram_init((uint64_t)64 << 30, &err), 0);
	*(uint8_t *)ram_ptr(ram_size - 1) = 1;
	ram_fini();
}

static void absurd_sizes_are_refused(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(ram_init(0, &err), -1);
	assert_int_equal(ram_init((1u << 20) + 1, &err), -1);
	assert_non_null(strstr(err.text, "multiple of 2 MiB"));
	assert_int_equal(ram_init((uint64_t)1 << 60, &err), -1);
	assert_non_null(strstr(err.text, "too large"));
	assert_null(ram_base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_is_zero_aligned_and_writable),
		cmocka_unit_test(large_ram_costs_nothing_until_touched),
		cmocka_unit_test(absurd_sizes_are_refused),
	};

	return RUN_TESTS(tests);
}
