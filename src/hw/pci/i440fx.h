/* SPDX-License-Identifier: MIT */
/*
 * The fixed PCI functions of the board: i440FX host bridge, PIIX3 ISA bridge, PIIX4 power management.
 * Owner, threads and rules: hw/pci/pci.h.
 */
#ifndef COHORT_HW_PCI_I440FX_H
#define COHORT_HW_PCI_I440FX_H

#include "hw/pci/pci.h"
#include "mem/aspace.h"

struct i440fx {
	struct pci_device host, isa, pm;
	uint8_t pirq[PCI_PIRQS]; /* [const] where firmware would route PIRQA-D */
	uint8_t smram;           /* [lock of the bus] the register's value */
	void (*smram_changed)(enum aspace_viewers who); /* [const] who sees system-management RAM now; or NULL */
	uint16_t pm_base;        /* [const] the board's PM port block, reported in the configuration space */
};

bool i440fx_apm_enabled(const struct i440fx *x); /* a write to the APM command port is an SMI; any thread */
void i440fx_init(struct i440fx *x, struct pci_bus *bus);

#endif
