/* SPDX-License-Identifier: MIT */
/*
 * PCI: one bus of devices with their configuration space and base address registers, and the wiring of INTA-INTD.
 *
 * Owner:   the board; devices are added before the machine starts.
 * Threads: configuration from any vCPU; pci_set_irq() from any thread, with the device's lock held.
 * Rule:    `lock` (rank DEVICE) guards the configuration spaces; `irq_lock` (rank ROUTE) the interrupt wiring. Windows are
 *          mapped and unmapped with no lock held.
 */
#ifndef COHORT_HW_PCI_PCI_H
#define COHORT_HW_PCI_PCI_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "util/lock.h"

#define PCI_CONFIG_SIZE 256
#define PCI_BARS 6
#define PCI_PIRQS 4
#define PCI_DEVFN(slot, fn) ((slot) << 3 | (fn))

/* Configuration header offsets. */
enum { PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_REVISION = 0x08,
       PCI_CLASS = 0x09, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBSYSTEM_VENDOR = 0x2c,
       PCI_SUBSYSTEM = 0x2e, PCI_INTERRUPT_LINE = 0x3c, PCI_INTERRUPT_PIN = 0x3d };
enum { PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_INTX_OFF = 0x400 };

struct pci_bus;
struct pci_device;

struct pci_device_type {
	const char *name;
	uint16_t vendor, device;
	uint32_t class_code;  /* class, subclass, interface */
	uint8_t revision;
	uint8_t header_type;  /* 0x80: has further functions */
	uint8_t pin;          /* 1 = INTA, 0 none */
	/* After the generic part has stored a configuration write; may be NULL. Bus lock held. */
	void (*config_written)(struct pci_device *d, unsigned off, unsigned size);
	/* The device's registers to power-on state, and its own part of the configuration; may be NULL. Bus lock held. */
	void (*reset)(struct pci_device *d);
};

struct pci_bar {
	uint64_t size;                /* [const] power of two, 0: not there */
	bool io;                      /* [const] */
	const struct mmio_ops *ops;   /* [const] */
	void *opaque;                 /* [const] */
	gpa_t mapped_at;              /* [lock] */
	bool mapped;                  /* [lock] */
};

struct pci_device {
	const struct pci_device_type *type; /* [const] */
	struct pci_bus *bus;                /* [const] */
	uint8_t devfn;                      /* [const] */
	uint8_t config[PCI_CONFIG_SIZE];    /* [lock] */
	uint8_t writable[PCI_CONFIG_SIZE];  /* [const] bits software can change */
	uint8_t clears[PCI_CONFIG_SIZE];    /* [const] bits cleared by writing 1 */
	struct pci_bar bar[PCI_BARS];       /* see there */
	bool intx;                          /* [lock irq_lock] level of its interrupt pin */
};

struct pci_bus {
	struct ranked_lock lock;              /* rank DEVICE */
	struct ranked_lock irq_lock;          /* rank ROUTE */
	struct pci_device *device[256];       /* [const] by devfn */
	struct irq_line isa_irq[16];          /* [const] where PIRQs can go */
	uint8_t route[PCI_PIRQS];             /* [lock irq_lock] ISA interrupt, bit 7: off */
	unsigned asserted[PCI_PIRQS];         /* [lock irq_lock] pins that hold the PIRQ */
	bool isa_level[16];                   /* [lock irq_lock] */

	uint32_t address;                     /* [lock] mechanism 1: the address register */
	uint8_t reset_control;                /* [lock] port 0xcf9 */
	void (*reset)(void *opaque);          /* [const] the guest asked for a machine reset */
	void *opaque;                         /* [const] */
};

void pci_bus_init(struct pci_bus *bus);
/* Fills in the configuration header from the type. The device lives as long as the bus. */
void pci_device_add(struct pci_bus *bus, struct pci_device *d, const struct pci_device_type *type, uint8_t devfn);
/* Before start. `io`: ports; else memory (32-bit). */
void pci_device_bar(struct pci_device *d, unsigned n, uint64_t size, bool io, const struct mmio_ops *ops, void *opaque);

void pci_set_irq(struct pci_device *d, bool level);
void pci_route_pirq(struct pci_bus *bus, unsigned pirq, uint8_t isa_irq); /* bit 7: off */

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned off, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned off, uint32_t value, unsigned size);

/* Configuration mechanism 1 (hw/pci/pci_host.c). */
extern const struct mmio_ops pci_address_ops; /* 4 ports; opaque is the bus */
extern const struct mmio_ops pci_data_ops;    /* 4 ports */
extern const struct device_type pci_bus_device;

static inline uint32_t pci_get(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint32_t)p[i] << 8 * i;
	return v;
}

static inline void pci_put(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

#endif
