/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/timer/acpi_pm.h"

static struct acpi_pm pm;
static struct fake_line sci;
static unsigned offs;

static uint32_t rd(unsigned off, unsigned size)
{
	return (uint32_t)dev_read(&acpi_pm_ops, &pm, off, size);
}

static void wr(unsigned off, uint32_t v, unsigned size)
{
	dev_write(&acpi_pm_ops, &pm, off, v, size);
}

static void on_off(void *opaque)
{
	(void)opaque;
	offs++;
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&pm, 0, sizeof(pm));
	pm.sci = fake_line(&sci);
	pm.soft_off = on_off;
	offs = 0;
	acpi_pm_init(&pm);
	return 0;
}

static void timer_counts_24_bits(void **state)
{
	uint32_t start = rd(8, 4);

	(void)state;
	fake_advance(MS);
	assert_in_range((rd(8, 4) - start) & 0xffffff, 3579, 3580);
	fake_advance(10000 * MS);
	assert_int_equal(rd(8, 4) >> 24, 0);
	wr(8, 0, 4);
	assert_int_not_equal(rd(8, 4), 0);
}

static void timer_status_and_interrupt(void **state)
{
	(void)state;
	fake_advance(2400 * MS);
	assert_int_equal(rd(0, 2) & 1, 1);
	assert_false(sci.level);
	wr(2, 1, 2);
	assert_true(sci.level);
	wr(0, 1, 2);
	assert_false(sci.level);
	fake_advance(2400 * MS);
	assert_true(sci.level);
	wr(2, 0, 2);
	assert_false(sci.level);
}

static void always_in_acpi_mode(void **state)
{
	(void)state;
	assert_int_equal(rd(4, 2), 1);
	wr(4, 0, 2);
	assert_int_equal(rd(4, 2), 1);
}

static void soft_off_needs_its_sleep_type(void **state)
{
	(void)state;
	wr(4, 0x2000 | 5 << 10, 2);
	assert_int_equal(offs, 0);
	wr(4, 0, 2);
	assert_int_equal(offs, 0);
	wr(4, 0x2000, 2);
	assert_int_equal(offs, 1);
	assert_int_equal(rd(4, 2) & 0x2000, 0);
}

static void power_button_interrupts(void **state)
{
	(void)state;
	wr(0, 0x01000000, 4); /* enable, together with status */
	assert_int_equal(rd(2, 2), 0x100);
	acpi_pm_power_button(&pm);
	assert_true(sci.level);
	assert_int_equal(rd(0, 4), 0x01000100);
	wr(1, 1, 1);
	assert_false(sci.level);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timer_counts_24_bits),
		T(timer_status_and_interrupt),
		T(always_in_acpi_mode),
		T(soft_off_needs_its_sleep_type),
		T(power_button_interrupts),
	};

	return RUN_TESTS(tests);
}
