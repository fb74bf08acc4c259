/* SPDX-License-Identifier: MIT */
/*
 * I/O APIC (82093AA datasheet, 3.0 "Register description" and 3.4).
 *
 * Edge pins send one message per rising edge; an edge on a masked pin is lost. Level pins send while asserted, unmasked
 * and without Remote IRR; an accepted message sets Remote IRR, the end of interrupt clears it, and a pin still asserted
 * then sends again. Going to edge mode clears Remote IRR.
 */
#include "hw/intc/ioapic.h"

#define IOAPIC_VERSION (0x20u | (IOAPIC_PINS - 1) << 16)

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI 0x40

#define IND_ID 0
#define IND_VERSION 1
#define IND_ARBITRATION 2
#define IND_RTE 0x10

/* Bits software can write; delivery status (always idle here) and Remote IRR it cannot. */
#define RTE_WRITABLE 0xff0000000001afffull

void ioapic_init(struct ioapic *io, struct apic_bus *bus)
{
	lock_init(&io->lock, LOCK_RANK_INTC);
	io->bus = bus;
	ioapic_device.reset(io);
}

static void ioapic_reset(void *dev)
{
	struct ioapic *io = dev;

	lock_acquire(&io->lock);
	io->id = 0;
	io->select = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->rte[i] = IOAPIC_RTE_MASKED;
	lock_release(&io->lock);
}

static bool send_locked(struct ioapic *io, unsigned pin)
{
	uint64_t e = io->rte[pin];
	struct apic_msg msg = {
		.dest = (uint32_t)(e >> 56),
		.vector = e & 0xff,
		.mode = e >> 8 & 7,
		.logical = e & IOAPIC_RTE_LOGICAL,
		.level = e & IOAPIC_RTE_LEVEL,
	};

	if (!apic_bus_send(io->bus, &msg, io->rotor++))
		return false;
	io->sent[pin]++;
	return true;
}

static void level_check_locked(struct ioapic *io, unsigned pin)
{
	uint64_t e = io->rte[pin];

	if (!(e & IOAPIC_RTE_LEVEL) || (e & (IOAPIC_RTE_MASKED | IOAPIC_RTE_REMOTE_IRR)) || !(io->level & 1u << pin))
		return;
	/* The receiver may end the interrupt before we are back: ioapic_eoi() waits for our lock. */
	if (send_locked(io, pin))
		io->rte[pin] |= IOAPIC_RTE_REMOTE_IRR;
}

void ioapic_set_irq(void *opaque, unsigned n, bool level)
{
	struct ioapic *io = opaque;
	uint32_t bit = 1u << n;
	bool rising;

	if (n >= IOAPIC_PINS)
		return;
	lock_acquire(&io->lock);
	rising = level && !(io->level & bit);
	io->level = level ? io->level | bit : io->level & ~bit;
	if (rising) {
		if (io->rte[n] & IOAPIC_RTE_LEVEL)
			level_check_locked(io, n);
		else if (!(io->rte[n] & IOAPIC_RTE_MASKED))
			send_locked(io, n);
	}
	lock_release(&io->lock);
}

void ioapic_eoi(void *opaque, uint8_t vector)
{
	struct ioapic *io = opaque;

	lock_acquire(&io->lock);
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if ((io->rte[i] & 0xff) != vector || !(io->rte[i] & IOAPIC_RTE_REMOTE_IRR))
			continue;
		io->rte[i] &= ~IOAPIC_RTE_REMOTE_IRR;
		level_check_locked(io, i);
	}
	lock_release(&io->lock);
}

static void rte_write_locked(struct ioapic *io, unsigned pin, bool high, uint32_t value)
{
	uint64_t e = io->rte[pin];
	uint64_t v = high ? (e & 0xffffffffu) | (uint64_t)value << 32 : (e & ~0xffffffffull) | value;

	e = (v & RTE_WRITABLE) | (e & IOAPIC_RTE_REMOTE_IRR);
	if (!(e & IOAPIC_RTE_LEVEL))
		e &= ~IOAPIC_RTE_REMOTE_IRR;
	io->rte[pin] = e;
	level_check_locked(io, pin);
}

static uint32_t indirect_read_locked(const struct ioapic *io)
{
	unsigned pin = (io->select - IND_RTE) / 2u;

	switch (io->select) {
	case IND_ID:
	case IND_ARBITRATION:
		return (uint32_t)io->id << 24;
	case IND_VERSION:
		return IOAPIC_VERSION;
	}
	if (io->select < IND_RTE || pin >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(io->rte[pin] >> (io->select & 1) * 32);
}

static void indirect_write_locked(struct ioapic *io, uint32_t value)
{
	unsigned pin = (io->select - IND_RTE) / 2u;

	if (io->select == IND_ID)
		io->id = value >> 24 & 0xf;
	else if (io->select >= IND_RTE && pin < IOAPIC_PINS)
		rte_write_locked(io, pin, io->select & 1, value);
}

static uint64_t mmio_ioapic_read(void *opaque, uint64_t off, unsigned size)
{
	struct ioapic *io = opaque;
	uint32_t v = 0;

	(void)size;
	lock_acquire(&io->lock);
	if (off == REG_SELECT)
		v = io->select;
	else if (off == REG_WINDOW)
		v = indirect_read_locked(io);
	lock_release(&io->lock);
	return v;
}

static void mmio_ioapic_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct ioapic *io = opaque;

	(void)size;
	if (off == REG_EOI) {
		ioapic_eoi(io, (uint8_t)value);
		return;
	}
	lock_acquire(&io->lock);
	if (off == REG_SELECT)
		io->select = (uint8_t)value;
	else if (off == REG_WINDOW)
		indirect_write_locked(io, (uint32_t)value);
	lock_release(&io->lock);
}

const struct mmio_ops ioapic_mmio_ops = {
	.read = mmio_ioapic_read,
	.write = mmio_ioapic_write,
	.min_size = 4,
	.max_size = 4,
};

const struct device_type ioapic_device = {
	.name = "ioapic",
	.reset = ioapic_reset,
};
