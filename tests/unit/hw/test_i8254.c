/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/core/ticks.h"
#include "hw/misc/pc_ports.h"
#include "hw/timer/i8254.h"

static struct i8254 pit;
static struct pc_ports ports;
static struct fake_line irq;

static void wr(unsigned off, uint8_t v)
{
	dev_write(&i8254_ops, &pit, off, v, 1);
}

static uint8_t rd(unsigned off)
{
	return (uint8_t)dev_read(&i8254_ops, &pit, off, 1);
}

static void program(unsigned n, unsigned mode, uint16_t count)
{
	wr(3, (uint8_t)(n << 6 | 0x30 | mode << 1));
	wr(n, (uint8_t)count);
	wr(n, count >> 8);
}

static uint16_t latch(unsigned n)
{
	uint16_t v;

	wr(3, (uint8_t)(n << 6));
	v = rd(n);
	return (uint16_t)(v | rd(n) << 8);
}

static uint8_t status(unsigned n)
{
	wr(3, (uint8_t)(0xe0 | 2u << n));
	return rd(n);
}

static void ticks(unsigned n)
{
	fake_advance(ticks_to_ns(n, I8254_HZ));
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&pit, 0, sizeof(pit));
	pit.irq = fake_line(&irq);
	i8254_init(&pit);
	memset(&ports, 0, sizeof(ports));
	ports.pit = &pit;
	pc_ports_device.reset(&ports);
	return 0;
}

static void mode_0_interrupts_once_at_terminal_count(void **state)
{
	(void)state;
	program(0, 0, 100);
	assert_false(irq.level);
	assert_int_equal(latch(0), 100);
	irq.rises = 0;
	ticks(60);
	assert_int_equal(latch(0), 40);
	assert_int_equal(status(0) & 0x80, 0);
	ticks(41);
	assert_int_equal(irq.rises, 1);
	assert_int_equal(status(0) & 0x80, 0x80);
	ticks(1000);
	assert_int_equal(irq.rises, 1);
	assert_in_range(latch(0), 0xfb00, 0xfc80); /* goes on below zero */
}

static void mode_2_ticks_at_its_rate(void **state)
{
	(void)state;
	program(0, 2, 1193);
	irq.rises = 0;
	fake_advance(100 * MS);
	assert_in_range(irq.rises, 99, 101);
	assert_in_range(latch(0), 1, 1193);
}

static void late_timer_coalesces_ticks(void **state)
{
	(void)state;
	program(0, 2, 1193);
	irq.rises = 0;
	fake_now += 10 * MS;
	fake_advance(0);
	assert_int_equal(irq.rises, 1);
}

static void mode_3_counts_by_two(void **state)
{
	(void)state;
	program(2, 3, 1000);
	i8254_set_gate(&pit, 2, true);
	ticks(100);
	assert_int_equal(latch(2), 800);
	assert_true(i8254_get_out(&pit, 2));
	ticks(450);
	assert_false(i8254_get_out(&pit, 2));
	assert_int_equal(latch(2), 900);
}

static void mode_1_waits_for_the_gate(void **state)
{
	(void)state;
	program(2, 1, 100);
	assert_true(i8254_get_out(&pit, 2));
	i8254_set_gate(&pit, 2, true);
	assert_false(i8254_get_out(&pit, 2));
	ticks(101);
	assert_true(i8254_get_out(&pit, 2));
	i8254_set_gate(&pit, 2, false);
	i8254_set_gate(&pit, 2, true);
	assert_false(i8254_get_out(&pit, 2));
}

static void modes_4_and_5_strobe(void **state)
{
	(void)state;
	program(0, 4, 100);
	irq.rises = 0;
	assert_true(irq.level);
	ticks(200);
	assert_int_equal(irq.rises, 1);
	ticks(70000);
	assert_int_equal(irq.rises, 1);
	program(2, 5, 100);
	i8254_set_gate(&pit, 2, true);
	assert_true(i8254_get_out(&pit, 2));
	ticks(100);
	assert_false(i8254_get_out(&pit, 2));
	ticks(2);
	assert_true(i8254_get_out(&pit, 2));
}

static void gate_holds_the_count(void **state)
{
	(void)state;
	i8254_set_gate(&pit, 2, true);
	program(2, 0, 1000);
	ticks(100);
	i8254_set_gate(&pit, 2, false);
	ticks(500);
	assert_int_equal(latch(2), 900);
	i8254_set_gate(&pit, 2, true);
	ticks(100);
	assert_in_range(latch(2), 799, 800);
}

static void read_back_latches_until_read(void **state)
{
	(void)state;
	program(2, 0, 1000);
	i8254_set_gate(&pit, 2, true);
	ticks(10);
	wr(3, 0xc8); /* count and status of channel 2 */
	ticks(100);
	assert_int_equal(rd(2), 0x30);
	assert_int_equal(rd(2), 990 & 0xff);
	assert_int_equal(rd(2), 990 >> 8);
	assert_int_not_equal(latch(2), 990);
}

static void single_byte_access_and_bcd(void **state)
{
	(void)state;
	i8254_set_gate(&pit, 2, true);
	wr(3, 0x90); /* channel 2, low byte only, mode 0 */
	wr(2, 200);
	assert_int_equal(rd(2), 200);
	wr(3, 0xb1); /* both, mode 0, BCD */
	wr(2, 0x00);
	wr(2, 0x10);
	assert_int_equal(latch(2), 0x1000);
	ticks(1);
	assert_int_equal(latch(2), 0x0999);
	wr(2, 0);
	wr(2, 0);
	ticks(1);
	assert_int_equal(latch(2), 0x9999);
}

static void port_b_shows_gate_and_output(void **state)
{
	(void)state;
	program(2, 0, 100);
	dev_write(&pc_port_b_ops, &ports, 0, 0x01, 1);
	assert_int_equal(dev_read(&pc_port_b_ops, &ports, 0, 1) & 0x2f, 0x01);
	ticks(101);
	assert_int_equal(dev_read(&pc_port_b_ops, &ports, 0, 1) & 0x2f, 0x21);
	dev_write(&pc_port_b_ops, &ports, 0, 0xf0, 1);
	assert_int_equal(dev_read(&pc_port_b_ops, &ports, 0, 1) & 0x0f, 0);
}

static void unprogrammed_channel_is_harmless(void **state)
{
	(void)state;
	assert_int_equal(latch(1), 0);
	wr(1, 0x12);
	assert_int_equal(rd(3), 0xff);
	wr(3, 0xff);
	status(1);
}

static void ask_for_reset(void *opaque)
{
	(void)opaque;
	machine_request_reset(NULL);
}

static void port_a_resets_on_rising_bit(void **state)
{
	(void)state;
	ports.reset = ask_for_reset;
	assert_int_equal(dev_read(&pc_port_a_ops, &ports, 0, 1), 2);
	dev_write(&pc_port_a_ops, &ports, 0, 0x02, 1);
	assert_int_equal(fake_resets, 0);
	dev_write(&pc_port_a_ops, &ports, 0, 0x03, 1);
	dev_write(&pc_port_a_ops, &ports, 0, 0x03, 1);
	assert_int_equal(fake_resets, 1);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mode_0_interrupts_once_at_terminal_count),
		T(mode_2_ticks_at_its_rate),
		T(late_timer_coalesces_ticks),
		T(mode_3_counts_by_two),
		T(mode_1_waits_for_the_gate),
		T(modes_4_and_5_strobe),
		T(gate_holds_the_count),
		T(read_back_latches_until_read),
		T(single_byte_access_and_bcd),
		T(port_b_shows_gate_and_output),
		T(unprogrammed_channel_is_harmless),
		T(port_a_resets_on_rising_bit),
	};

	return RUN_TESTS(tests);
}
