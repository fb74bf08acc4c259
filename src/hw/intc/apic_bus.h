/* SPDX-License-Identifier: MIT */
/*
 * The interrupt message bus between IOAPIC, message-signalled devices and the local APICs.
 *
 * Owner:   the board; the table of APICs is filled before the machine starts.
 * Threads: sending from any thread, with any locks held. No lock is taken: destinations are found by reading the
 *          receivers' routing words (LDR, DFR, SVR, mode: single-word atomics written by their vCPU) and delivery sets
 *          atomic bits (lapic.h). A message sent while a receiver changes its own routing words goes by the old or the
 *          new ones, as on hardware.
 */
#ifndef COHORT_HW_INTC_APIC_BUS_H
#define COHORT_HW_INTC_APIC_BUS_H

#include "util/types.h"

struct lapic;

/* Delivery modes as encoded in ICR, LVT, IOAPIC entries and MSI data (SDM vol. 3, 11.6.1). */
enum apic_delivery {
	APIC_DM_FIXED = 0,
	APIC_DM_LOWEST = 1,
	APIC_DM_SMI = 2,
	APIC_DM_NMI = 4,
	APIC_DM_INIT = 5,
	APIC_DM_SIPI = 6,
	APIC_DM_EXTINT = 7,
};

struct apic_msg {
	uint32_t dest;
	uint8_t vector;
	uint8_t mode; /* enum apic_delivery */
	bool logical;
	bool level;   /* trigger mode */
	bool wide;    /* dest has 32 bits (x2APIC sender): another broadcast id */
	uint64_t sent; /* clock_tsc() at the send of an IPI whose latency is to be counted, else 0 */
};

struct apic_bus {
	struct lapic **lapic; /* [const] in vCPU order */
	unsigned nr;          /* [const] */
	struct lapic **by_id; /* [const] indexed by APIC id, NULL where there is none */
	uint32_t nr_ids;      /* [const] */
	/* End of interrupt of a level-triggered vector, from the vCPU's thread. */
	void (*eoi)(void *opaque, uint8_t vector); /* [const] */
	void *eoi_opaque;                          /* [const] */
	/* The interrupt acknowledge cycle of the 8259 pair; -1: no interrupt after all. */
	int (*inta)(void *opaque);                 /* [const] */
	void *inta_opaque;                         /* [const] */
};

/* Delivers to every destination, or for lowest priority to one. Returns how many accepted. */
unsigned apic_bus_send(struct apic_bus *bus, const struct apic_msg *msg, unsigned rotor);
/* Shorthands "all" (except = NULL) and "all but self". */
unsigned apic_bus_broadcast(struct apic_bus *bus, const struct apic_msg *msg, const struct lapic *except);

/* A message-signalled interrupt: a device's write of `data` to 0xFEExxxxx (SDM vol. 3, 11.11). */
unsigned apic_bus_msi(struct apic_bus *bus, gpa_t addr, uint32_t data);

#endif
