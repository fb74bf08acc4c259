/* SPDX-License-Identifier: MIT */
/*
 * The guest's NUMA nodes: SRAT says what belongs to which (ACPI 6.4, 5.2.16), SLIT how far they are apart (5.2.17).
 */
#include "hw/fw/acpi_builder.h"
#include "hw/pc/pc_map.h"
#include "sched/numa.h"

enum {
	SRAT_FIXED = ACPI_HEADER_SIZE + 12,
	SRAT_APIC_SIZE = 16,
	SRAT_MEMORY_SIZE = 40,
	SRAT_X2APIC_SIZE = 24,
	SRAT_ENABLED = 1,
	SLIT_FIXED = ACPI_HEADER_SIZE + 8,
};

static uint8_t *srat_cpu(uint8_t *p, uint32_t apic_id, unsigned node)
{
	if (apic_id < 0xff) {
		p[0] = 0;
		p[1] = SRAT_APIC_SIZE;
		p[2] = (uint8_t)node;
		p[3] = (uint8_t)apic_id;
		acpi_put(p + 4, SRAT_ENABLED, 4);
		return p + SRAT_APIC_SIZE;
	}
	p[0] = 2;
	p[1] = SRAT_X2APIC_SIZE;
	acpi_put(p + 4, node, 4);
	acpi_put(p + 8, apic_id, 4);
	acpi_put(p + 12, SRAT_ENABLED, 4);
	return p + SRAT_X2APIC_SIZE;
}

static uint8_t *srat_memory(uint8_t *p, unsigned node, gpa_t start, uint64_t size)
{
	p[0] = 1;
	p[1] = SRAT_MEMORY_SIZE;
	acpi_put(p + 2, node, 4);
	acpi_put(p + 8, start, 8);
	acpi_put(p + 16, size, 8);
	acpi_put(p + 28, SRAT_ENABLED, 4);
	return p + SRAT_MEMORY_SIZE;
}

/* A node's part of RAM, which may lie on both sides of the hole below 4 GiB. */
static uint8_t *srat_node(uint8_t *p, const struct acpi_config *cfg, unsigned node)
{
	uint64_t start = numa_ram_start(cfg->numa, node), end = start + cfg->numa->node[node].size;
	uint64_t low_end = end < cfg->low_ram ? end : cfg->low_ram;
	uint64_t high_start = start > cfg->low_ram ? start : cfg->low_ram;

	if (start < low_end)
		p = srat_memory(p, node, start, low_end - start);
	if (high_start < end)
		p = srat_memory(p, node, PC_HIGH_RAM_BASE + high_start - cfg->low_ram, end - high_start);
	return p;
}

static void build_srat(struct acpi_builder *b, const struct acpi_config *cfg)
{
	size_t max = SRAT_FIXED + SRAT_X2APIC_SIZE * cfg->nr_cpus + SRAT_MEMORY_SIZE * (cfg->numa->nr + 1);
	gpa_t at;
	uint8_t *t = acpi_reserve(b, max, &at), *p;

	if (!t)
		return;
	acpi_put(t + ACPI_HEADER_SIZE, 1, 4);
	p = t + SRAT_FIXED;
	for (unsigned i = 0; i < cfg->nr_cpus; i++)
		p = srat_cpu(p, cfg->apic_ids[i], cfg->numa->node_of_cpu[i]);
	for (unsigned i = 0; i < cfg->numa->nr; i++)
		p = srat_node(p, cfg, i);
	b->len -= max - (size_t)(p - t);
	acpi_header(t, "SRAT", 3, (size_t)(p - t));
	acpi_list(b, at);
}

static void build_slit(struct acpi_builder *b, const struct numa *n)
{
	size_t size = SLIT_FIXED + (size_t)n->nr * n->nr;
	gpa_t at;
	uint8_t *t = acpi_reserve(b, size, &at);

	if (!t)
		return;
	acpi_put(t + ACPI_HEADER_SIZE, n->nr, 8);
	for (unsigned i = 0; i < n->nr; i++)
		for (unsigned j = 0; j < n->nr; j++)
			t[SLIT_FIXED + i * n->nr + j] = n->distance[i][j];
	acpi_header(t, "SLIT", 1, size);
	acpi_list(b, at);
}

void acpi_build_numa(struct acpi_builder *b, const struct acpi_config *cfg)
{
	build_srat(b, cfg);
	build_slit(b, cfg->numa);
}
