/* SPDX-License-Identifier: MIT */
#include "support/test.h"
#include "util/bitops.h"

static void align_rounds_to_powers_of_two(void **state)
{
	(void)state;
	assert_int_equal(align_up(1, 4096), 4096);
	assert_int_equal(align_up(4096, 4096), 4096);
	assert_int_equal(align_down(4097, 4096), 4096);
	assert_true(is_pow2(1) && is_pow2(1ull << 63));
	assert_false(is_pow2(0) || is_pow2(3));
}

static void logarithms_at_their_borders(void **state)
{
	(void)state;
	assert_int_equal(log2_floor(1), 0);
	assert_int_equal(log2_floor(~0ull), 63);
	assert_int_equal(log2_ceil(1), 0);
	assert_int_equal(log2_ceil(2), 1);
	assert_int_equal(log2_ceil(3), 2);
	assert_int_equal(log2_ceil(1ull << 63), 63);
}

static void fields_and_masks(void **state)
{
	(void)state;
	assert_true(mask_low(0) == 0 && mask_low(64) == ~0ull && mask_low(12) == 0xfff);
	assert_int_equal(bits_get(0x12345678, 8, 8), 0x56);
	assert_true(bits_put(0x12345678, 8, 8, 0xab) == 0x1234ab78);
	assert_true(bits_get(~0ull, 0, 64) == ~0ull);
	assert_true(sign_extend(0x80, 8) == -128 && sign_extend(0x7f, 8) == 127 && sign_extend(~0ull, 64) == -1);
}

static void overlap_of_ranges(void **state)
{
	(void)state;
	assert_true(ranges_overlap(0, 10, 9, 1));
	assert_true(ranges_overlap(9, 1, 0, 10));
	assert_false(ranges_overlap(0, 10, 10, 1));
	assert_false(ranges_overlap(10, 1, 0, 10));
	assert_false(ranges_overlap(5, 0, 0, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(align_rounds_to_powers_of_two),
		cmocka_unit_test(logarithms_at_their_borders),
		cmocka_unit_test(fields_and_masks),
		cmocka_unit_test(overlap_of_ranges),
	};

	return RUN_TESTS(tests);
}
