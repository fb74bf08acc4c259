/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC: 24 pins, version 0x20 (Intel 82093AA datasheet; the EOI register of the ICH's APIC).
 *
 * Owner:   the board.
 * Threads: registers from any vCPU; ioapic_set_irq() and ioapic_eoi() from any thread.
 * Rule:    `lock` (rank INTC) guards everything not [const]. Sending to local APICs takes no further lock.
 */
#ifndef COHORT_HW_INTC_IOAPIC_H
#define COHORT_HW_INTC_IOAPIC_H

#include "hw/core/device.h"
#include "hw/intc/apic_bus.h"
#include "mem/aspace.h"
#include "util/lock.h"
#include "util/types.h"

#define IOAPIC_PINS 24

/* Redirection table entry. */
#define IOAPIC_RTE_LOGICAL 0x800ull
#define IOAPIC_RTE_LOW_ACTIVE 0x2000ull
#define IOAPIC_RTE_REMOTE_IRR 0x4000ull
#define IOAPIC_RTE_LEVEL 0x8000ull
#define IOAPIC_RTE_MASKED 0x10000ull

struct ioapic {
	struct ranked_lock lock;    /* rank INTC */
	struct apic_bus *bus;       /* [const] */
	uint8_t id;                 /* [lock] */
	uint8_t select;             /* [lock] IOREGSEL */
	uint32_t level;             /* [lock] pins that are asserted now (polarity is the board's business) */
	uint64_t rte[IOAPIC_PINS];  /* [lock] */
	uint32_t rotor;             /* [lock] tie breaker of lowest-priority delivery */
	uint64_t sent[IOAPIC_PINS]; /* [lock] messages accepted, for the monitor */
};

void ioapic_init(struct ioapic *io, struct apic_bus *bus);
/* An irq_line receiver: opaque is the I/O APIC, n the pin. */
void ioapic_set_irq(void *opaque, unsigned n, bool level);
/* apic_bus.eoi: a level-triggered vector was ended. */
void ioapic_eoi(void *opaque, uint8_t vector);

extern const struct mmio_ops ioapic_mmio_ops;
extern const struct device_type ioapic_device;

#endif
