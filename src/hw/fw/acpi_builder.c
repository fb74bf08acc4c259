/* SPDX-License-Identifier: MIT */
#include "hw/fw/acpi_builder.h"

#include <string.h>

void acpi_put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

uint8_t acpi_checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return (uint8_t)-sum;
}

uint8_t *acpi_reserve(struct acpi_builder *b, size_t size, gpa_t *at)
{
	size_t start = (b->len + 63) & ~(size_t)63;

	if (b->failed || start > b->max || b->max - start < size) {
		b->failed = true;
		return NULL;
	}
	b->len = start + size;
	memset(b->buf + start, 0, size);
	*at = b->base + start;
	return b->buf + start;
}

void acpi_header(uint8_t *t, const char *sig, uint8_t revision, size_t len)
{
	memcpy(t, sig, 4);
	acpi_put(t + 4, len, 4);
	t[8] = revision;
	memcpy(t + 10, "COHORT", 6);
	memcpy(t + 16, "COHORTPC", 8);
	acpi_put(t + 24, 1, 4);
	memcpy(t + 28, "CHRT", 4);
	acpi_put(t + 32, 1, 4);
	t[9] = acpi_checksum(t, len);
}

void acpi_list(struct acpi_builder *b, gpa_t at)
{
	if (b->nr_tables < ACPI_MAX_TABLES)
		b->tables[b->nr_tables++] = at;
	else
		b->failed = true;
}
