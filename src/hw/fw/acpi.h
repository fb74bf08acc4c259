/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables of the PC board: RSDP, XSDT, RSDT, FADT, FACS, MADT, HPET, SRAT, SLIT, DSDT (ACPI 6.4, chapter 5).
 * Owner: the caller's buffers; single thread, before start or with the machine stopped.
 */
#ifndef COHORT_HW_FW_ACPI_H
#define COHORT_HW_FW_ACPI_H

#include "util/types.h"

#define ACPI_RSDP_SIZE 36

struct aml;
struct numa;

struct acpi_config {
	unsigned nr_cpus;
	const uint32_t *apic_ids; /* by CPU index */
	unsigned nr_serial;       /* COM1... that exist, a bit each */
	bool hpet;
	const struct numa *numa;  /* NULL: no SRAT, no SLIT */
	uint64_t low_ram;         /* bytes of RAM below 4 GiB; the rest starts there */
};

/*
 * Writes the tables for address `base` into `buf` and the RSDP into `rsdp`. Returns the bytes used, or -1: the buffer is
 * too small.
 */
long must_check acpi_build(const struct acpi_config *cfg, gpa_t base, uint8_t *buf, size_t max,
			   uint8_t rsdp[ACPI_RSDP_SIZE]);

/* The DSDT's definition block, without its header (hw/fw/acpi_dsdt.c). */
void acpi_dsdt_write(struct aml *a, const struct acpi_config *cfg);

#endif
