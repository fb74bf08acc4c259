/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space, base address registers and interrupt wiring (PCI Local Bus Specification 3.0, chapter 6).
 */
#include "hw/pci/pci.h"

#include <string.h>

#include "util/log.h"

/* Interrupt pins rotate over the PIRQs from slot to slot, as on the i440FX boards. */
static unsigned pirq_of(const struct pci_device *d)
{
	return ((d->devfn >> 3) + d->config[PCI_INTERRUPT_PIN] - 1u + 3) % PCI_PIRQS;
}

static void update_isa_locked(struct pci_bus *bus, unsigned irq)
{
	bool level = false;

	for (unsigned i = 0; i < PCI_PIRQS; i++)
		level |= bus->route[i] == irq && bus->asserted[i];
	if (level == bus->isa_level[irq])
		return;
	bus->isa_level[irq] = level;
	irq_set(&bus->isa_irq[irq], level);
}

void pci_set_irq(struct pci_device *d, bool level)
{
	struct pci_bus *bus = d->bus;
	unsigned pirq = pirq_of(d);

	lock_acquire(&bus->irq_lock);
	if (level != d->intx) {
		d->intx = level;
		bus->asserted[pirq] += level ? 1u : ~0u;
		if (bus->route[pirq] < 16)
			update_isa_locked(bus, bus->route[pirq]);
	}
	lock_release(&bus->irq_lock);
}

void pci_route_pirq(struct pci_bus *bus, unsigned pirq, uint8_t isa_irq)
{
	uint8_t old;

	lock_acquire(&bus->irq_lock);
	old = bus->route[pirq];
	bus->route[pirq] = isa_irq & 0x80 ? 0x80 : isa_irq & 15;
	if (old < 16)
		update_isa_locked(bus, old);
	if (bus->route[pirq] < 16)
		update_isa_locked(bus, bus->route[pirq]);
	lock_release(&bus->irq_lock);
}

/* Base address registers. */

static bool bar_wanted(const struct pci_device *d, unsigned n, gpa_t *at)
{
	const struct pci_bar *b = &d->bar[n];
	uint32_t v = pci_get(d->config + PCI_BAR0 + 4 * n, 4);
	unsigned bit = b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	*at = v & (b->io ? ~3u : ~15u);
	/* Address 0, and the all-ones left by sizing, are no place. */
	return b->size && (d->config[PCI_COMMAND] & bit) && *at && *at != (uint32_t)-b->size &&
	       (!b->io || *at + b->size <= 0x10000);
}

static void map_bar(struct pci_bus *bus, struct pci_device *d, unsigned n)
{
	struct pci_bar *b = &d->bar[n];
	struct aspace *as = b->io ? &aspace_io : &aspace_mem;
	bool unmap, map;
	gpa_t at, old;

	lock_acquire(&bus->lock);
	map = bar_wanted(d, n, &at);
	old = b->mapped_at;
	if (map == b->mapped && (!map || at == old)) {
		lock_release(&bus->lock);
		return;
	}
	unmap = b->mapped;
	b->mapped = map;
	b->mapped_at = at;
	lock_release(&bus->lock);
	if (unmap)
		aspace_remove(as, old, b->size);
	if (map && aspace_add_mmio(as, at, b->size, b->ops, b->opaque, d->type->name) != 0)
		warn("%s: no memory to map a base address register", d->type->name);
}

static void map_bars(struct pci_bus *bus, struct pci_device *d)
{
	for (unsigned n = 0; n < PCI_BARS; n++)
		if (d->bar[n].size)
			map_bar(bus, d, n);
}

void pci_device_bar(struct pci_device *d, unsigned n, uint64_t size, bool io, const struct mmio_ops *ops, void *opaque)
{
	uint32_t mask = (uint32_t)-size & (io ? ~3u : ~15u);

	d->bar[n] = (struct pci_bar){.size = size, .io = io, .ops = ops, .opaque = opaque};
	pci_put(d->config + PCI_BAR0 + 4 * n, io ? 1 : 0, 4);
	pci_put(d->writable + PCI_BAR0 + 4 * n, mask, 4);
}

/* Configuration space. */

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned off, unsigned size)
{
	struct pci_device *d = bus->device[devfn];
	uint32_t v;

	if (!d || off + size > PCI_CONFIG_SIZE)
		return ~0u;
	lock_acquire(&bus->lock);
	v = pci_get(d->config + off, size);
	lock_release(&bus->lock);
	return v;
}

void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned off, uint32_t value, unsigned size)
{
	struct pci_device *d = bus->device[devfn];

	if (!d || off + size > PCI_CONFIG_SIZE)
		return;
	lock_acquire(&bus->lock);
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * i), *c = &d->config[off + i];

		*c = (uint8_t)((*c & ~d->writable[off + i]) | (byte & d->writable[off + i]));
		*c &= (uint8_t)~(byte & d->clears[off + i]);
	}
	if (d->type->config_written)
		d->type->config_written(d, off, size);
	lock_release(&bus->lock);
	map_bars(bus, d);
}

void pci_device_add(struct pci_bus *bus, struct pci_device *d, const struct pci_device_type *type, uint8_t devfn)
{
	d->type = type;
	d->bus = bus;
	d->devfn = devfn;
	pci_put(d->config + PCI_VENDOR, type->vendor, 2);
	pci_put(d->config + PCI_DEVICE, type->device, 2);
	d->config[PCI_REVISION] = type->revision;
	pci_put(d->config + PCI_CLASS, type->class_code, 3);
	d->config[PCI_HEADER_TYPE] = type->header_type;
	d->config[PCI_INTERRUPT_PIN] = type->pin;
	pci_put(d->writable + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		PCI_COMMAND_INTX_OFF, 2);
	pci_put(d->clears + PCI_STATUS, 0xf900, 2);
	d->writable[PCI_INTERRUPT_LINE] = 0xff;
	bus->device[devfn] = d;
}

static void reset_device_locked(struct pci_device *d)
{
	for (unsigned i = PCI_COMMAND; i < PCI_STATUS; i++)
		d->config[i] &= (uint8_t)~d->writable[i];
	for (unsigned i = PCI_BAR0; i < PCI_BAR0 + 4 * PCI_BARS; i++)
		d->config[i] &= (uint8_t)~d->writable[i];
	d->config[PCI_INTERRUPT_LINE] = 0;
	if (d->type->reset)
		d->type->reset(d);
}

static void pci_bus_reset(void *dev)
{
	struct pci_bus *bus = dev;

	lock_acquire(&bus->lock);
	bus->address = 0;
	bus->reset_control = 0;
	for (unsigned i = 0; i < ARRAY_LEN(bus->device); i++)
		if (bus->device[i])
			reset_device_locked(bus->device[i]);
	lock_release(&bus->lock);
	for (unsigned i = 0; i < ARRAY_LEN(bus->device); i++)
		if (bus->device[i])
			map_bars(bus, bus->device[i]);
}

void pci_bus_init(struct pci_bus *bus)
{
	lock_init(&bus->lock, LOCK_RANK_DEVICE);
	lock_init(&bus->irq_lock, LOCK_RANK_ROUTE);
	memset(bus->route, 0x80, sizeof(bus->route));
}

const struct device_type pci_bus_device = {
	.name = "pci",
	.reset = pci_bus_reset,
};
