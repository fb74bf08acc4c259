/* SPDX-License-Identifier: MIT */
/*
 * Configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2) and the reset control register that hides in its
 * address port (PIIX3 datasheet, 2.5.8).
 */
#include "hw/pci/pci.h"

enum { RESET_CPU = 0x04, RESET_KEPT = 0x0a };
#define ADDRESS_ENABLE 0x80000000u
#define RESET_PORT_OFF 1

static uint64_t address_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci_bus *bus = opaque;
	uint32_t v;

	lock_acquire(&bus->lock);
	if (size == 4)
		v = bus->address;
	else
		v = off == RESET_PORT_OFF ? bus->reset_control : ~0u;
	lock_release(&bus->lock);
	return v;
}

static void address_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pci_bus *bus = opaque;
	bool reset = false;

	lock_acquire(&bus->lock);
	if (size == 4) {
		bus->address = (uint32_t)value & 0x80fffffc;
	} else if (size == 1 && off == RESET_PORT_OFF) {
		reset = value & RESET_CPU;
		bus->reset_control = value & RESET_KEPT;
	}
	lock_release(&bus->lock);
	if (reset && bus->reset)
		bus->reset(bus->opaque);
}

/* The selected register, or -1: disabled, or another bus. */
static int selected(struct pci_bus *bus, uint8_t *devfn)
{
	uint32_t a;

	lock_acquire(&bus->lock);
	a = bus->address;
	lock_release(&bus->lock);
	if (!(a & ADDRESS_ENABLE) || (a >> 16 & 0xff))
		return -1;
	*devfn = a >> 8 & 0xff;
	return a & 0xfc;
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
	uint8_t devfn;
	int reg = selected(opaque, &devfn);

	return reg < 0 ? ~0u : pci_config_read(opaque, devfn, (unsigned)reg + (unsigned)off, size);
}

static void data_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	uint8_t devfn;
	int reg = selected(opaque, &devfn);

	if (reg >= 0)
		pci_config_write(opaque, devfn, (unsigned)reg + (unsigned)off, (uint32_t)value, size);
}

const struct mmio_ops pci_address_ops = {.read = address_read, .write = address_write, .min_size = 1, .max_size = 4};
const struct mmio_ops pci_data_ops = {.read = data_read, .write = data_write, .min_size = 1, .max_size = 4};
