/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "fake_code_watch.h"
#include "mem/aspace.h"
#include "mem/ram.h"
#include "util/err.h"
#include "util/rcu.h"

/* A device of 64 bytes that writes down each call: "r4:2 " is a read of 2 bytes at offset 4. */
static uint8_t reg[64];
static char calls[256];

static void note(char kind, uint64_t off, unsigned size)
{
	size_t len = strlen(calls);

	snprintf(calls + len, sizeof(calls) - len, "%c%llx:%u ", kind, (unsigned long long)off, size);
}

static uint64_t dev_read(void *opaque, uint64_t off, unsigned size)
{
	uint64_t value = 0;

	(void)opaque;
	note('r', off, size);
	memcpy(&value, &reg[off], size);
	return value;
}

static void dev_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	(void)opaque;
	note('w', off, size);
	memcpy(&reg[off], &value, size);
}

static const struct mmio_ops any = { dev_read, dev_write, 0, 0 };
static const struct mmio_ops words = { dev_read, dev_write, 4, 4 };
static const struct mmio_ops bytes = { dev_read, dev_write, 1, 1 };
static const struct mmio_ops deaf = { NULL, NULL, 1, 8 };

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(reg); i++)
		reg[i] = (uint8_t)(0x10 + i);
	calls[0] = 0;
	aspace_remove(&aspace_mem, 0, 1u << 30);
	aspace_remove(&aspace_io, 0, 0x10000);
	return 0;
}

static void map(const struct mmio_ops *ops)
{
	assert_int_equal(aspace_add_mmio(&aspace_mem, 0x1000, sizeof(reg), ops, NULL, "dev"), 0);
	assert_int_equal(aspace_add_mmio(&aspace_io, 0x60, sizeof(reg), ops, NULL, "dev"), 0);
}

static void fitting_access_is_one_call(void **state)
{
	(void)state;
	map(&any);
	assert_true(mmio_read(0x1008, 8) == 0x1f1e1d1c1b1a1918);
	assert_true(mmio_read(0x1004, 4) == 0x17161514);
	assert_int_equal(pio_read(0x62, 2), 0x1312);
	mmio_write(0x1001, 0xff, 1);
	assert_string_equal(calls, "r8:8 r4:4 r2:2 w1:1 ");
}

static void wide_access_is_split(void **state)
{
	(void)state;
	map(&words);
	assert_true(mmio_read(0x1008, 8) == 0x1f1e1d1c1b1a1918);
	assert_string_equal(calls, "r8:4 rc:4 ");
	setup(NULL);
	map(&bytes);
	pio_write(0x60, 0xaabb, 2);
	assert_string_equal(calls, "w0:1 w1:1 ");
	assert_true(reg[0] == 0xbb && reg[1] == 0xaa);
}

static void ports_are_at_most_4_bytes_wide(void **state)
{
	(void)state;
	map(&any);
	assert_true(pio_read(0x60, 8) == 0x1716151413121110);
	assert_string_equal(calls, "r0:4 r4:4 ");
}

static void narrow_access_is_widened(void **state)
{
	(void)state;
	map(&words);
	assert_int_equal(mmio_read(0x1006, 1), 0x16);
	assert_string_equal(calls, "r4:4 ");
	mmio_write(0x1005, 0xeedd, 2);
	assert_string_equal(calls, "r4:4 r4:4 w4:4 ");
	assert_true(reg[4] == 0x14 && reg[5] == 0xdd && reg[6] == 0xee && reg[7] == 0x17);
}

static void misaligned_access_is_cut_into_aligned_ones(void **state)
{
	(void)state;
	map(&any);
	assert_true(mmio_read(0x1003, 4) == 0x16151413);
	assert_string_equal(calls, "r3:1 r4:2 r6:1 ");
	setup(NULL);
	map(&words);
	assert_true(mmio_read(0x1003, 4) == 0x16151413);
	assert_string_equal(calls, "r0:4 r4:4 ");
}

static void access_over_the_end_meets_the_hole(void **state)
{
	(void)state;
	map(&any);
	assert_true(mmio_read(0x103e, 4) == 0xffff4f4e);
	mmio_write(0x103e, 0x11223344, 4);
	assert_string_equal(calls, "r3e:2 w3e:2 ");
	assert_true(reg[62] == 0x44 && reg[63] == 0x33);
}

static void nobody_there_reads_all_ones(void **state)
{
	(void)state;
	assert_true(mmio_read(0x5000, 4) == 0xffffffff);
	assert_true(mmio_read(0x5000, 8) == ~0ull);
	assert_true(pio_read(0xffff, 2) == 0xffff);
	mmio_write(0x5000, 1, 8);
	pio_write(0xffff, 1, 4);
	map(&deaf);
	assert_int_equal(mmio_read(0x1000, 2), 0xffff);
	mmio_write(0x1000, 1, 2);
}

static void ram_and_rom_work_too(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(ram_init(2u << 20, &err), 0);
	assert_int_equal(aspace_add_ram(&aspace_mem, 0, 0x2000, 0, false), 0);
	assert_int_equal(aspace_add_ram(&aspace_mem, 0x2000, 0x1000, 0x2000, true), 0);
	watch_calls = 0;
	mmio_write(0x1ffc, 0x8877665544332211, 8);
	assert_true(watch_calls == 1 && watch_off == 0x1ffc && watch_len == 4);
	assert_true(mmio_read(0x1ffc, 8) == 0x44332211);
	mmio_write(0x2000, 5, 1);
	assert_int_equal(mmio_read(0x2000, 1), 0);
	assert_int_equal(watch_calls, 1);
	ram_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fitting_access_is_one_call, setup),
		cmocka_unit_test_setup(wide_access_is_split, setup),
		cmocka_unit_test_setup(ports_are_at_most_4_bytes_wide, setup),
		cmocka_unit_test_setup(narrow_access_is_widened, setup),
		cmocka_unit_test_setup(misaligned_access_is_cut_into_aligned_ones, setup),
		cmocka_unit_test_setup(access_over_the_end_meets_the_hole, setup),
		cmocka_unit_test_setup(nobody_there_reads_all_ones, setup),
		cmocka_unit_test_setup(ram_and_rom_work_too, setup),
	};

	rcu_register();
	return RUN_TESTS(tests);
}
