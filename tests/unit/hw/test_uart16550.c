/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/char/chardev.h"
#include "hw/char/uart16550.h"

enum { RBR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

/* A back end that takes as much as `room` says. */
struct chardev {
	uint8_t sent[64];
	size_t len, room;
	struct chardev_fe fe;
	unsigned accepts;
};

static struct chardev cd;
static struct uart16550 u;
static struct fake_line irq;

void chardev_attach(struct chardev *c, const struct chardev_fe *fe)
{
	c->fe = *fe;
}

size_t chardev_write(struct chardev *c, const void *buf, size_t len)
{
	size_t n = len < c->room ? len : c->room;

	memcpy(c->sent + c->len, buf, n);
	c->len += n;
	c->room -= n;
	return n;
}

void chardev_accept_input(struct chardev *c)
{
	c->accepts++;
}

static uint8_t rd(unsigned reg)
{
	return (uint8_t)dev_read(&uart16550_ops, &u, reg, 1);
}

static void wr(unsigned reg, uint8_t v)
{
	dev_write(&uart16550_ops, &u, reg, v, 1);
}

static void type(const char *text)
{
	cd.fe.input(cd.fe.opaque, (const uint8_t *)text, strlen(text));
}

static size_t room(void)
{
	return cd.fe.room(cd.fe.opaque);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&u, 0, sizeof(u));
	memset(&cd, 0, sizeof(cd));
	cd.room = sizeof(cd.sent);
	u.irq = fake_line(&irq);
	uart16550_init(&u, &cd);
	wr(MCR, 0x08); /* OUT2 lets interrupts through */
	return 0;
}

static void bytes_are_sent_at_once(void **state)
{
	(void)state;
	assert_int_equal(rd(LSR), 0x60);
	wr(RBR, 'h');
	wr(RBR, 'i');
	assert_int_equal(rd(LSR), 0x60);
	assert_int_equal(cd.len, 2);
	assert_memory_equal(cd.sent, "hi", 2);
}

static void full_back_end_holds_thre_down(void **state)
{
	(void)state;
	wr(FCR, 1);
	wr(IER, 2);
	assert_int_equal(rd(IIR), 0xc2);
	assert_false(irq.level);
	cd.room = 0;
	wr(RBR, 'a');
	wr(RBR, 'b');
	assert_int_equal(rd(LSR) & 0x60, 0);
	assert_false(irq.level);
	cd.room = 10;
	cd.fe.writable(cd.fe.opaque);
	assert_memory_equal(cd.sent, "ab", 2);
	assert_true(irq.level);
	assert_int_equal(rd(IIR), 0xc2);
	assert_int_equal(rd(LSR) & 0x60, 0x60);
}

static void thre_interrupt_each_time_it_is_enabled(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		wr(IER, 2);
		assert_true(irq.level);
		assert_int_equal(rd(IIR), 0x02);
		assert_int_equal(rd(IIR), 0x01);
		assert_false(irq.level);
		wr(IER, 0);
	}
	wr(IER, 2);
	rd(IIR);
	irq.rises = 0;
	wr(RBR, 'x');
	assert_int_equal(irq.rises, 1);
	wr(RBR, 'y'); /* not looked at in between: still an edge of its own */
	assert_int_equal(irq.rises, 2);
}

static void received_byte_interrupts(void **state)
{
	(void)state;
	wr(IER, 1);
	assert_int_equal(room(), 1);
	type("A");
	assert_int_equal(room(), 0);
	assert_true(irq.level);
	assert_int_equal(rd(IIR), 0x04);
	assert_int_equal(rd(LSR) & 1, 1);
	cd.accepts = 0;
	assert_int_equal(rd(RBR), 'A');
	assert_int_equal(cd.accepts, 1);
	assert_false(irq.level);
	assert_int_equal(rd(RBR), 0);
}

static void fifo_trigger_level_and_time_out(void **state)
{
	(void)state;
	wr(FCR, 0x81); /* 8 bytes */
	wr(IER, 1);
	assert_int_equal(room(), 16);
	type("1234567");
	assert_false(irq.level);
	type("8");
	assert_int_equal(rd(IIR), 0xc4);
	assert_int_equal(rd(RBR), '1');
	assert_false(irq.level);
	fake_advance(3 * MS);
	assert_false(irq.level);
	fake_advance(3 * MS); /* 4 characters of 10 bits at 9600 baud: 4.2 ms */
	assert_true(irq.level);
	assert_int_equal(rd(IIR), 0xcc);
	rd(RBR);
	assert_false(irq.level);
	fake_advance(5 * MS);
	assert_true(irq.level);
	for (unsigned i = 0; i < 6; i++)
		rd(RBR);
	fake_advance(10 * MS);
	assert_false(irq.level);
}

static void fifo_never_takes_more_than_it_holds(void **state)
{
	(void)state;
	wr(FCR, 0xc1);
	type("0123456789abcdef");
	assert_int_equal(room(), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(rd(RBR), "0123456789abcdef"[i]);
	assert_int_equal(rd(LSR), 0x60);
}

static void interrupts_by_priority(void **state)
{
	(void)state;
	wr(IER, 0x0f);
	wr(MCR, 0x1a); /* loop: CTS from RTS, DCD from OUT2 */
	wr(RBR, 'x');
	wr(RBR, 'y'); /* overruns: no FIFO */
	assert_int_equal(rd(IIR), 0x06);
	assert_int_equal(rd(LSR) & 3, 3);
	assert_int_equal(rd(IIR), 0x04);
	assert_int_equal(rd(RBR), 'y');
	assert_int_equal(rd(IIR), 0x02);
	assert_int_equal(rd(IIR), 0x00);
	rd(MSR);
	assert_int_equal(rd(IIR), 0x01);
}

static void loop_back_modem_lines(void **state)
{
	static const uint8_t map[][2] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10}, {0x14, 0x40}, {0x18, 0x80}};

	(void)state;
	assert_int_equal(rd(MSR), 0xb0);
	for (unsigned i = 0; i < 5; i++) {
		wr(MCR, map[i][0]);
		assert_int_equal(rd(MSR) & 0xf0, map[i][1]);
	}
	wr(MCR, 0x14);
	rd(MSR);
	wr(MCR, 0x10);
	assert_int_equal(rd(MSR), 0x04); /* trailing edge of RI */
	wr(MCR, 0x12);
	assert_int_equal(rd(MSR), 0x11);
	assert_int_equal(rd(MSR), 0x10);
	assert_int_equal(cd.len, 0);
	assert_int_equal(room(), 0);
}

static void out2_gates_the_interrupt(void **state)
{
	(void)state;
	wr(MCR, 0);
	wr(IER, 2);
	assert_false(irq.level);
	wr(MCR, 8);
	assert_true(irq.level);
}

static void divisor_scratch_and_fifo_bits(void **state)
{
	(void)state;
	wr(LCR, 0x83);
	wr(0, 0x34);
	wr(1, 0x12);
	assert_int_equal(rd(0), 0x34);
	assert_int_equal(rd(1), 0x12);
	wr(LCR, 0x03);
	assert_int_equal(rd(IER), 0);
	wr(SCR, 0xa5);
	assert_int_equal(rd(SCR), 0xa5);
	assert_int_equal(rd(IIR) & 0xc0, 0);
	wr(FCR, 1);
	assert_int_equal(rd(IIR) & 0xc0, 0xc0);
	type("abc");
	wr(FCR, 3); /* clears the receiver */
	assert_int_equal(rd(LSR) & 1, 0);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes_are_sent_at_once),
		T(full_back_end_holds_thre_down),
		T(thre_interrupt_each_time_it_is_enabled),
		T(received_byte_interrupts),
		T(fifo_trigger_level_and_time_out),
		T(fifo_never_takes_more_than_it_holds),
		T(interrupts_by_priority),
		T(loop_back_modem_lines),
		T(out2_gates_the_interrupt),
		T(divisor_scratch_and_fifo_bits),
	};

	return RUN_TESTS(tests);
}
