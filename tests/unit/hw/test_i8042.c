/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/input/i8042.h"

static struct i8042 k;
static struct fake_line irq1, irq12, a20;
static unsigned resets;

static uint8_t status(void)
{
	return (uint8_t)dev_read(&i8042_command_ops, &k, 0, 1);
}

static uint8_t data(void)
{
	return (uint8_t)dev_read(&i8042_data_ops, &k, 0, 1);
}

static void cmd(uint8_t v)
{
	dev_write(&i8042_command_ops, &k, 0, v, 1);
}

static void put(uint8_t v)
{
	dev_write(&i8042_data_ops, &k, 0, v, 1);
}

static void on_reset(void *opaque)
{
	(void)opaque;
	resets++;
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&k, 0, sizeof(k));
	k.irq[0] = fake_line(&irq1);
	k.irq[1] = fake_line(&irq12);
	k.a20 = fake_line(&a20);
	k.reset = on_reset;
	resets = 0;
	i8042_init(&k);
	return 0;
}

static void expect_bytes(const uint8_t *want, size_t n, bool mouse)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(status() & 0x21, mouse ? 0x21 : 0x01);
		assert_int_equal(data(), want[i]);
	}
	assert_int_equal(status() & 1, 0);
}

#define EXPECT(mouse, ...) \
	expect_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), mouse)

static void controller_self_test_and_command_byte(void **state)
{
	(void)state;
	cmd(0xaa);
	EXPECT(false, 0x55);
	cmd(0xab);
	EXPECT(false, 0x00);
	cmd(0x60);
	put(0x47);
	cmd(0x20);
	EXPECT(false, 0x47);
	assert_int_equal(status() & 0x1c, 0x1c);
}

static void keyboard_resets_and_identifies(void **state)
{
	(void)state;
	put(0xff);
	EXPECT(false, 0xfa, 0xaa);
	put(0xf2);
	EXPECT(false, 0xfa, 0xab, 0x83);
	put(0xed);
	EXPECT(false, 0xfa);
	put(0x07);
	EXPECT(false, 0xfa);
	put(0xf0);
	EXPECT(false, 0xfa);
	put(0x00);
	EXPECT(false, 0xfa, 2);
	put(0xee);
	EXPECT(false, 0xee);
	put(0x01);
	EXPECT(false, 0xfe);
}

static void interrupt_once_per_byte(void **state)
{
	(void)state;
	put(0xff);
	assert_true(irq1.level);
	data();
	assert_true(irq1.level);
	assert_int_equal(irq1.rises, 2);
	data();
	assert_false(irq1.level);
	cmd(0x60);
	put(0x46); /* interrupt off */
	put(0xf2);
	assert_false(irq1.level);
	assert_int_equal(status() & 1, 1);
}

static void disabled_keyboard_keeps_its_bytes(void **state)
{
	(void)state;
	cmd(0xad);
	cmd(0x20);
	EXPECT(false, 0x75);
	put(0xf2); /* enables the clock again */
	EXPECT(false, 0xfa, 0xab, 0x83);
}

static void mouse_answers_through_the_aux_port(void **state)
{
	(void)state;
	cmd(0xa8);
	cmd(0x60);
	put(0x47);
	cmd(0xd4);
	put(0xff);
	assert_true(irq12.level);
	EXPECT(true, 0xfa, 0xaa, 0x00);
	cmd(0xd4);
	put(0xf2);
	EXPECT(true, 0xfa, 0x00);
	cmd(0xd4);
	put(0xe9);
	EXPECT(true, 0xfa, 0x00, 0x02, 0x64);
	cmd(0xd4);
	put(0xeb);
	EXPECT(true, 0xfa, 0x08, 0x00, 0x00);
}

static void loop_commands_return_their_byte(void **state)
{
	(void)state;
	cmd(0xd3);
	put(0x5a);
	EXPECT(true, 0x5a);
	cmd(0xd2);
	put(0xa5);
	EXPECT(false, 0xa5);
}

static void reset_pulse_and_output_port(void **state)
{
	(void)state;
	cmd(0xff);
	assert_int_equal(resets, 0);
	cmd(0xfe);
	assert_int_equal(resets, 1);
	assert_true(a20.level);
	cmd(0xd1);
	put(0xdd);
	cmd(0xd0);
	assert_int_equal(data() & 3, 1);
	assert_false(a20.level);
	cmd(0xdf);
	cmd(0xd0);
	assert_int_equal(data() & 3, 3);
	assert_true(a20.level);
	cmd(0xdd);
	assert_false(a20.level);
	i8042_device.reset(&k);
	assert_true(a20.level);
	cmd(0xd1);
	put(0x02);
	assert_int_equal(resets, 2);
}

static void every_byte_is_survived(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 0x10000; i++) {
		if (i & 0x100)
			cmd((uint8_t)(i * 7));
		put((uint8_t)i);
		if (i & 1)
			data();
		status();
	}
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(controller_self_test_and_command_byte),
		T(keyboard_resets_and_identifies),
		T(interrupt_once_per_byte),
		T(disabled_keyboard_keeps_its_bytes),
		T(mouse_answers_through_the_aux_port),
		T(loop_commands_return_their_byte),
		T(reset_pulse_and_output_port),
		T(every_byte_is_survived),
	};

	return RUN_TESTS(tests);
}
