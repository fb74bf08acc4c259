/* SPDX-License-Identifier: MIT */
/*
 * 16550A UART (PC16550D datasheet, 8.0 "Registers" and 8.11 "FIFO interrupt mode operation").
 *
 * Sent bytes go straight to the back end, so the transmitter is nearly always empty; when the back end's queue is full
 * they wait in the FIFO with THRE clear, and the guest waits as for a slow line. OUT2 gates the interrupt, as the PC's
 * serial cards wire it.
 */
#include "hw/char/uart16550.h"

#include <string.h>

#include "hw/char/chardev.h"
#include "hw/core/ticks.h"
#include "sched/clock.h"

#define UART_CLOCK_HZ 1843200u

enum { IER_RDA = 1, IER_THRE = 2, IER_LSR = 4, IER_MSR = 8 };
enum { IIR_NONE = 0x01, IIR_MSR = 0x00, IIR_THRE = 0x02, IIR_RDA = 0x04, IIR_LSR = 0x06, IIR_TIMEOUT = 0x0c,
       IIR_FIFOS = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_PE = 4, LSR_FE = 8, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40,
       LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI };
enum { MSR_DCTS = 1, MSR_DDSR = 2, MSR_TERI = 4, MSR_DDCD = 8, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40,
       MSR_DCD = 0x80 };

static bool fifos_on(const struct uart16550 *u)
{
	return u->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct uart16550 *u)
{
	return fifos_on(u) ? UART_FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct uart16550 *u)
{
	static const uint8_t levels[4] = {1, 4, 8, 14};

	return fifos_on(u) ? levels[u->fcr >> 6] : 1;
}

static void fifo_push(struct uart_fifo *f, uint8_t byte)
{
	f->data[(f->head + f->len++) % UART_FIFO_SIZE] = byte;
}

static uint8_t fifo_pop(struct uart_fifo *f)
{
	uint8_t byte = f->data[f->head];

	f->head = (f->head + 1) % UART_FIFO_SIZE;
	f->len--;
	return byte;
}

/* Interrupts. */

static uint8_t iir_locked(const struct uart16550 *u)
{
	if ((u->ier & IER_LSR) && u->lsr_errors)
		return IIR_LSR;
	if ((u->ier & IER_RDA) && u->rx.len >= trigger_level(u))
		return IIR_RDA;
	if ((u->ier & IER_RDA) && u->timeout_pending)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thr_pending)
		return IIR_THRE;
	if ((u->ier & IER_MSR) && u->msr)
		return IIR_MSR;
	return IIR_NONE;
}

static void update_irq_locked(const struct uart16550 *u)
{
	bool gate = (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);

	irq_set(&u->irq, gate && iir_locked(u) != IIR_NONE);
}

static vclock_ns_t char_time(const struct uart16550 *u)
{
	unsigned bits = 1 + 5 + (u->lcr & 3) + ((u->lcr & 8) ? 1 : 0) + ((u->lcr & 4) ? 2 : 1);

	return ticks_to_ns((uint64_t)bits * 16 * (u->divisor ? u->divisor : 1), UART_CLOCK_HZ);
}

/* Four character times without a byte in or out while some wait below the trigger level. */
static void restart_timeout_locked(struct uart16550 *u)
{
	u->timeout_pending = false;
	if (!fifos_on(u) || !u->rx.len) {
		u->timeout_at = VCLOCK_NEVER;
		timer_disarm(&u->timeout);
		return;
	}
	u->timeout_at = clock_now() + 4 * char_time(u);
	timer_arm(&u->timeout, u->timeout_at);
}

static void timeout_expired(void *opaque)
{
	struct uart16550 *u = opaque;

	lock_acquire(&u->lock);
	if (u->timeout_at != VCLOCK_NEVER && clock_now() >= u->timeout_at) {
		u->timeout_at = VCLOCK_NEVER;
		u->timeout_pending = u->rx.len > 0;
		update_irq_locked(u);
	}
	lock_release(&u->lock);
}

/* Receiving. */

static void receive_locked(struct uart16550 *u, uint8_t byte)
{
	if (u->rx.len >= capacity(u)) {
		u->lsr_errors |= LSR_OE;
		if (fifos_on(u))
			return;
		u->rx.len = 0; /* without FIFO the new byte overwrites the old one */
	}
	fifo_push(&u->rx, byte);
}

static size_t backend_room(void *opaque)
{
	struct uart16550 *u = opaque;
	size_t n;

	lock_acquire(&u->lock);
	n = u->mcr & MCR_LOOP || u->rx.len >= capacity(u) ? 0 : capacity(u) - u->rx.len;
	lock_release(&u->lock);
	return n;
}

static void backend_input(void *opaque, const uint8_t *buf, size_t len)
{
	struct uart16550 *u = opaque;

	lock_acquire(&u->lock);
	for (size_t i = 0; i < len; i++)
		receive_locked(u, buf[i]);
	restart_timeout_locked(u);
	update_irq_locked(u);
	lock_release(&u->lock);
}

static uint8_t read_rbr_locked(struct uart16550 *u)
{
	uint8_t byte;

	if (!u->rx.len)
		return 0;
	byte = fifo_pop(&u->rx);
	restart_timeout_locked(u);
	update_irq_locked(u);
	chardev_accept_input(u->backend);
	return byte;
}

/* Sending. */

static void drain_tx_locked(struct uart16550 *u)
{
	while (u->tx.len) {
		uint8_t byte = u->tx.data[u->tx.head];

		if (!chardev_write(u->backend, &byte, 1))
			return;
		fifo_pop(&u->tx);
	}
	u->thr_pending = true;
}

static void backend_writable(void *opaque)
{
	struct uart16550 *u = opaque;

	lock_acquire(&u->lock);
	if (u->tx.len) {
		drain_tx_locked(u);
		update_irq_locked(u);
	}
	lock_release(&u->lock);
}

static void write_thr_locked(struct uart16550 *u, uint8_t byte)
{
	u->thr_pending = false;
	if (u->mcr & MCR_LOOP) {
		receive_locked(u, byte);
		restart_timeout_locked(u);
		u->thr_pending = true;
	} else {
		if (u->tx.len >= capacity(u)) /* written without looking at THRE: the last byte is overwritten */
			u->tx.len--;
		fifo_push(&u->tx, byte);
		drain_tx_locked(u);
	}
	/* The line dips between two bytes, so that an edge-triggered controller sees each interrupt. */
	irq_set(&u->irq, false);
	update_irq_locked(u);
}

/* Modem status: a cable to a terminal that is always ready, or the loop. */
static uint8_t msr_lines(const struct uart16550 *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return ((u->mcr & MCR_RTS) ? MSR_CTS : 0) | ((u->mcr & MCR_DTR) ? MSR_DSR : 0) |
	       ((u->mcr & MCR_OUT1) ? MSR_RI : 0) | ((u->mcr & MCR_OUT2) ? MSR_DCD : 0);
}

static void write_mcr_locked(struct uart16550 *u, uint8_t value)
{
	uint8_t old = msr_lines(u), new, changed;
	bool left_loop = (u->mcr & MCR_LOOP) && !(value & MCR_LOOP);

	u->mcr = value & 0x1f;
	new = msr_lines(u);
	changed = old ^ new;
	u->msr |= (changed >> 4 & (MSR_DCTS | MSR_DDSR | MSR_DDCD)) | ((old & ~new & MSR_RI) ? MSR_TERI : 0);
	if (left_loop)
		chardev_accept_input(u->backend);
	update_irq_locked(u);
}

static uint8_t read_msr_locked(struct uart16550 *u)
{
	uint8_t v = msr_lines(u) | u->msr;

	u->msr = 0;
	update_irq_locked(u);
	return v;
}

static uint8_t read_lsr_locked(struct uart16550 *u)
{
	uint8_t v = u->lsr_errors | (u->rx.len ? LSR_DR : 0);

	/* With FIFOs THRE means "FIFO empty". */
	if (!u->tx.len)
		v |= LSR_THRE | LSR_TEMT;
	u->lsr_errors = 0;
	update_irq_locked(u);
	return v;
}

static uint8_t read_iir_locked(struct uart16550 *u)
{
	uint8_t v = iir_locked(u);

	if (v == IIR_THRE) {
		u->thr_pending = false;
		update_irq_locked(u);
	}
	return v | (fifos_on(u) ? IIR_FIFOS : 0);
}

static void write_ier_locked(struct uart16550 *u, uint8_t value)
{
	uint8_t turned_on = value & ~u->ier;

	u->ier = value & 0x0f;
	/* Enabling the THRE interrupt with an empty transmitter interrupts at once. */
	if ((turned_on & IER_THRE) && !u->tx.len)
		u->thr_pending = true;
	update_irq_locked(u);
}

static void write_fcr_locked(struct uart16550 *u, uint8_t value)
{
	if ((value ^ u->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (!(value & FCR_ENABLE))
		value &= FCR_CLEAR_RX | FCR_CLEAR_TX; /* the other bits need bit 0 */
	u->fcr = value & 0xc9;
	if (value & FCR_CLEAR_RX) {
		u->rx.len = 0;
		u->lsr_errors = 0;
		restart_timeout_locked(u);
		chardev_accept_input(u->backend);
	}
	if (value & FCR_CLEAR_TX) {
		u->tx.len = 0;
		u->thr_pending = true;
	}
	update_irq_locked(u);
}

static uint8_t read_locked(struct uart16550 *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case 0:
		return dlab ? u->divisor & 0xff : read_rbr_locked(u);
	case 1:
		return dlab ? u->divisor >> 8 : u->ier;
	case 2:
		return read_iir_locked(u);
	case 3:
		return u->lcr;
	case 4:
		return u->mcr;
	case 5:
		return read_lsr_locked(u);
	case 6:
		return read_msr_locked(u);
	default:
		return u->scr;
	}
}

static void write_locked(struct uart16550 *u, unsigned reg, uint8_t value)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case 0:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | value;
		else
			write_thr_locked(u, value);
		break;
	case 1:
		if (dlab)
			u->divisor = (uint16_t)((u->divisor & 0xff) | value << 8);
		else
			write_ier_locked(u, value);
		break;
	case 2:
		write_fcr_locked(u, value);
		break;
	case 3:
		u->lcr = value;
		break;
	case 4:
		write_mcr_locked(u, value);
		break;
	case 7:
		u->scr = value;
		break;
	default: /* LSR and MSR: factory test only */
		break;
	}
}

static uint64_t uart_read(void *opaque, uint64_t off, unsigned size)
{
	struct uart16550 *u = opaque;
	uint8_t v;

	(void)size;
	lock_acquire(&u->lock);
	v = read_locked(u, off & 7);
	lock_release(&u->lock);
	return v;
}

static void uart_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct uart16550 *u = opaque;

	(void)size;
	lock_acquire(&u->lock);
	write_locked(u, off & 7, (uint8_t)value);
	lock_release(&u->lock);
}

static void uart_reset(void *dev)
{
	struct uart16550 *u = dev;

	lock_acquire(&u->lock);
	u->divisor = 12; /* 9600 baud, as firmware leaves it */
	u->ier = u->fcr = u->mcr = u->lsr_errors = u->msr = u->scr = 0;
	u->lcr = 3;
	u->thr_pending = false;
	memset(&u->rx, 0, sizeof(u->rx));
	memset(&u->tx, 0, sizeof(u->tx));
	restart_timeout_locked(u);
	chardev_accept_input(u->backend);
	update_irq_locked(u);
	lock_release(&u->lock);
}

void uart16550_init(struct uart16550 *u, struct chardev *backend)
{
	struct chardev_fe fe = {
		.room = backend_room,
		.input = backend_input,
		.writable = backend_writable,
		.opaque = u,
	};

	lock_init(&u->lock, LOCK_RANK_DEVICE);
	u->backend = backend;
	timer_init(&u->timeout, timeout_expired, u);
	uart_reset(u);
	chardev_attach(backend, &fe);
}

const struct mmio_ops uart16550_ops = {.read = uart_read, .write = uart_write, .min_size = 1, .max_size = 1};

const struct device_type uart16550_device = {
	.name = "uart16550",
	.reset = uart_reset,
};
