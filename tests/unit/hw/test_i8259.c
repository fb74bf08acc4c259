/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/intc/i8259.h"

static struct i8259 pic;
static struct fake_line out;

static void wr(unsigned chip, unsigned off, uint8_t v)
{
	dev_write(&i8259_port_ops, &pic.port[chip], off, v, 1);
}

static uint8_t rd(unsigned chip, unsigned off)
{
	return (uint8_t)dev_read(&i8259_port_ops, &pic.port[chip], off, 1);
}

static void init_chip(unsigned chip, uint8_t base, uint8_t icw4)
{
	wr(chip, 0, 0x11);
	wr(chip, 1, base);
	wr(chip, 1, chip ? 2 : 4);
	wr(chip, 1, icw4);
	wr(chip, 1, 0);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&pic, 0, sizeof(pic));
	pic.out = fake_line(&out);
	i8259_init(&pic);
	init_chip(0, 0x20, 1);
	init_chip(1, 0x28, 1);
	return 0;
}

static void edge_is_delivered_and_ended(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 4, true);
	assert_true(out.level);
	assert_int_equal(i8259_inta(&pic), 0x24);
	assert_false(out.level);
	wr(0, 0, 0x0b);
	assert_int_equal(rd(0, 0), 0x10);
	wr(0, 0, 0x20);
	assert_int_equal(rd(0, 0), 0);
	assert_false(out.level); /* still high, but no new edge */
	i8259_set_irq(&pic, 4, false);
	i8259_set_irq(&pic, 4, true);
	assert_true(out.level);
}

static void slave_goes_through_the_cascade(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 12, true);
	assert_int_equal(i8259_inta(&pic), 0x2c);
	wr(0, 0, 0x0b);
	wr(1, 0, 0x0b);
	assert_int_equal(rd(0, 0), 0x04);
	assert_int_equal(rd(1, 0), 0x10);
	wr(1, 0, 0x20);
	wr(0, 0, 0x20);
	i8259_set_irq(&pic, 8, true);
	assert_int_equal(i8259_inta(&pic), 0x28);
}

static void higher_priority_nests_lower_waits(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 5, true);
	assert_int_equal(i8259_inta(&pic), 0x25);
	i8259_set_irq(&pic, 6, true);
	assert_false(out.level);
	i8259_set_irq(&pic, 1, true);
	assert_true(out.level);
	assert_int_equal(i8259_inta(&pic), 0x21);
	wr(0, 0, 0x20); /* ends 1 */
	assert_false(out.level);
	wr(0, 0, 0x20); /* ends 5 */
	assert_int_equal(i8259_inta(&pic), 0x26);
}

static void mask_blocks_but_latches(void **state)
{
	(void)state;
	wr(0, 1, 0x10);
	i8259_set_irq(&pic, 4, true);
	assert_false(out.level);
	wr(0, 0, 0x0a);
	assert_int_equal(rd(0, 0), 0x10);
	wr(0, 1, 0);
	assert_true(out.level);
	assert_int_equal(rd(0, 1), 0);
}

static void level_that_goes_away_is_spurious(void **state)
{
	(void)state;
	dev_write(&i8259_elcr_ops, &pic, 0, 0xff, 1);
	assert_int_equal(dev_read(&i8259_elcr_ops, &pic, 0, 1), 0xf8);
	i8259_set_irq(&pic, 5, true);
	assert_true(out.level);
	i8259_set_irq(&pic, 5, false);
	assert_false(out.level);
	assert_int_equal(i8259_inta(&pic), 0x27);
	wr(0, 0, 0x0b);
	assert_int_equal(rd(0, 0), 0);
}

static void level_repeats_until_it_falls(void **state)
{
	(void)state;
	i8259_set_elcr(&pic, 0x0200);
	i8259_set_irq(&pic, 9, true);
	assert_int_equal(i8259_inta(&pic), 0x29);
	wr(1, 0, 0x20);
	wr(0, 0, 0x20);
	assert_true(out.level);
	assert_int_equal(i8259_inta(&pic), 0x29);
	i8259_set_irq(&pic, 9, false);
	wr(1, 0, 0x20);
	wr(0, 0, 0x20);
	assert_false(out.level);
}

static void auto_eoi_and_rotation(void **state)
{
	(void)state;
	init_chip(0, 0x20, 3);
	i8259_set_irq(&pic, 3, true);
	assert_int_equal(i8259_inta(&pic), 0x23);
	wr(0, 0, 0x0b);
	assert_int_equal(rd(0, 0), 0);
	init_chip(0, 0x20, 1);
	i8259_set_irq(&pic, 0, true);
	assert_int_equal(i8259_inta(&pic), 0x20);
	wr(0, 0, 0xa0); /* rotate on non-specific EOI: 0 is lowest now */
	i8259_set_irq(&pic, 0, false);
	i8259_set_irq(&pic, 0, true);
	i8259_set_irq(&pic, 7, true);
	assert_int_equal(i8259_inta(&pic), 0x27);
}

static void specific_eoi_and_set_priority(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 3, true);
	i8259_inta(&pic);
	wr(0, 0, 0x63);
	wr(0, 0, 0x0b);
	assert_int_equal(rd(0, 0), 0);
	wr(0, 0, 0xc4); /* 4 is lowest, 5 highest */
	i8259_set_irq(&pic, 1, true);
	i8259_set_irq(&pic, 5, true);
	assert_int_equal(i8259_inta(&pic), 0x25);
}

static void special_mask_lets_lower_ones_in(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 1, true);
	assert_int_equal(i8259_inta(&pic), 0x21);
	i8259_set_irq(&pic, 6, true);
	assert_false(out.level);
	wr(0, 1, 0x02);
	wr(0, 0, 0x68);
	assert_true(out.level);
	assert_int_equal(i8259_inta(&pic), 0x26);
}

static void poll_acknowledges(void **state)
{
	(void)state;
	i8259_set_irq(&pic, 6, true);
	wr(0, 0, 0x0c);
	assert_int_equal(rd(0, 0), 0x86);
	assert_false(out.level);
	wr(0, 0, 0x0c);
	assert_int_equal(rd(0, 0), 0);
}

static void new_edge_of_output_after_acknowledge(void **state)
{
	unsigned rises;

	(void)state;
	i8259_set_irq(&pic, 5, true);
	i8259_set_irq(&pic, 3, true);
	assert_int_equal(i8259_inta(&pic), 0x23);
	i8259_set_irq(&pic, 1, true);
	rises = out.rises;
	i8259_set_irq(&pic, 0, true);
	assert_int_equal(i8259_inta(&pic), 0x20);
	assert_int_equal(out.rises, rises); /* 1 is below 0 */
	wr(0, 0, 0x20);
	assert_int_equal(out.rises, rises + 1);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(edge_is_delivered_and_ended),
		T(slave_goes_through_the_cascade),
		T(higher_priority_nests_lower_waits),
		T(mask_blocks_but_latches),
		T(level_that_goes_away_is_spurious),
		T(level_repeats_until_it_falls),
		T(auto_eoi_and_rotation),
		T(specific_eoi_and_set_priority),
		T(special_mask_lets_lower_ones_in),
		T(poll_acknowledges),
		T(new_edge_of_output_after_acknowledge),
	};

	return RUN_TESTS(tests);
}
