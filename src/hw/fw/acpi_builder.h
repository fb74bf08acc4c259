/* SPDX-License-Identifier: MIT */
/*
 * What all ACPI tables are written with. Everything is little-endian and goes to explicit offsets, so that the code reads
 * like the specification's tables. A builder that has run out of room fails as a whole, at its end.
 */
#ifndef COHORT_HW_FW_ACPI_BUILDER_H
#define COHORT_HW_FW_ACPI_BUILDER_H

#include "hw/fw/acpi.h"
#include "util/types.h"

#define ACPI_HEADER_SIZE 36
#define ACPI_MAX_TABLES 8

struct acpi_builder {
	uint8_t *buf;
	size_t len, max;
	gpa_t base;
	bool failed;
	uint64_t tables[ACPI_MAX_TABLES]; /* what RSDT and XSDT list */
	unsigned nr_tables;
};

void acpi_put(uint8_t *p, uint64_t v, unsigned bytes);
/* What makes the bytes add up to 0. */
uint8_t acpi_checksum(const uint8_t *p, size_t len);
/* Room for a table, zeroed and aligned; its address in *at. NULL: none is left. */
uint8_t *acpi_reserve(struct acpi_builder *b, size_t size, gpa_t *at);
/* A table's header (ACPI 6.4, 5.2.6), once the rest is written. */
void acpi_header(uint8_t *t, const char *sig, uint8_t revision, size_t len);
/* Makes RSDT and XSDT name the table. */
void acpi_list(struct acpi_builder *b, gpa_t at);

/* SRAT and SLIT (hw/fw/acpi_numa.c). */
void acpi_build_numa(struct acpi_builder *b, const struct acpi_config *cfg);

#endif
