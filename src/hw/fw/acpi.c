/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables (ACPI 6.4, 5.2; HPET: IA-PC HPET specification 1.0a, 3.2.4); those about NUMA nodes are in acpi_numa.c.
 */
#include "hw/fw/acpi.h"

#include <string.h>

#include "hw/fw/acpi_builder.h"
#include "hw/fw/aml.h"
#include "hw/pc/pc_map.h"

#define FADT_SIZE 244
#define FACS_SIZE 64

/* Generic address structure in I/O space. */
static void gas_io(uint8_t *p, uint16_t port, uint8_t bits, uint8_t access)
{
	p[0] = 1;
	p[1] = bits;
	p[3] = access;
	acpi_put(p + 4, port, 8);
}

static gpa_t build_facs(struct acpi_builder *b)
{
	gpa_t at = 0;
	uint8_t *t = acpi_reserve(b, FACS_SIZE, &at);

	if (!t)
		return 0;
	memcpy(t, "FACS", 4);
	acpi_put(t + 4, FACS_SIZE, 4);
	t[32] = 2; /* version; the FACS has no checksum */
	return at;
}

static gpa_t build_dsdt(struct acpi_builder *b, const struct acpi_config *cfg)
{
	gpa_t at = 0;
	uint8_t *t = acpi_reserve(b, ACPI_HEADER_SIZE, &at);
	struct aml a;

	if (!t)
		return 0;
	aml_init(&a, t + ACPI_HEADER_SIZE, b->max - b->len);
	acpi_dsdt_write(&a, cfg);
	if (a.failed || a.depth) {
		b->failed = true;
		return 0;
	}
	b->len += a.len;
	acpi_header(t, "DSDT", 2, ACPI_HEADER_SIZE + a.len);
	return at;
}

enum {
	FADT_WBINVD = 1u << 0,
	FADT_C1 = 1u << 2,
	FADT_NO_FIXED_SLEEP_BUTTON = 1u << 5,
	FADT_NO_FIXED_RTC = 1u << 6,
	FADT_RESET_REG = 1u << 10,
	BOOT_LEGACY_DEVICES = 1u << 0,
	BOOT_8042 = 1u << 1,
	BOOT_NO_VGA = 1u << 2,
};

static void build_fadt(struct acpi_builder *b, gpa_t facs, gpa_t dsdt)
{
	gpa_t at;
	uint8_t *t = acpi_reserve(b, FADT_SIZE, &at);

	if (!t)
		return;
	acpi_put(t + 36, facs, 4);
	acpi_put(t + 40, dsdt, 4);
	t[45] = 1; /* desktop */
	acpi_put(t + 46, PC_IRQ_SCI, 2);
	/* SMI_CMD is 0: the machine is always in ACPI mode. */
	acpi_put(t + 56, PC_PORT_PM, 4);
	acpi_put(t + 64, PC_PORT_PM + 4, 4);
	acpi_put(t + 76, PC_PORT_PM + 8, 4);
	t[88] = 4; /* lengths of PM1 event, PM1 control, PM timer */
	t[89] = 2;
	t[91] = 4;
	acpi_put(t + 96, 0xfff, 2); /* no C2, no C3 */
	acpi_put(t + 98, 0xfff, 2);
	t[108] = 0x32; /* the century's place in CMOS */
	acpi_put(t + 109, BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA, 2);
	acpi_put(t + 112, FADT_WBINVD | FADT_C1 | FADT_NO_FIXED_SLEEP_BUTTON |
		       FADT_NO_FIXED_RTC | FADT_RESET_REG, 4);
	gas_io(t + 116, PC_PORT_RESET, 8, 1);
	t[128] = PC_RESET_VALUE;
	/* The FACS has one address only: its 64-bit field stays 0 when the 32-bit one is set. */
	acpi_put(t + 140, dsdt, 8);
	gas_io(t + 148, PC_PORT_PM, 32, 2);
	gas_io(t + 172, PC_PORT_PM + 4, 16, 2);
	gas_io(t + 208, PC_PORT_PM + 8, 32, 3);
	acpi_header(t, "FACP", 4, FADT_SIZE);
	acpi_list(b, at);
}

static uint8_t *madt_cpu(uint8_t *p, unsigned uid, uint32_t apic_id)
{
	if (apic_id < 0xff && uid < 0xff) {
		p[0] = 0;
		p[1] = 8;
		p[2] = (uint8_t)uid;
		p[3] = (uint8_t)apic_id;
		acpi_put(p + 4, 1, 4);
		return p + 8;
	}
	p[0] = 9; /* local x2APIC */
	p[1] = 16;
	acpi_put(p + 4, apic_id, 4);
	acpi_put(p + 8, 1, 4);
	acpi_put(p + 12, uid, 4);
	return p + 16;
}

static uint8_t *madt_override(uint8_t *p, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = irq;
	acpi_put(p + 4, gsi, 4);
	acpi_put(p + 8, flags, 2);
	return p + 10;
}

/* Local APIC NMI: LINT1 of all processors; the 8-bit and the 32-bit form. */
static uint8_t *madt_nmi(uint8_t *p, bool wide)
{
	if (!wide) {
		p[0] = 4;
		p[1] = 6;
		p[2] = 0xff;
		p[5] = 1;
		return p + 6;
	}
	p[0] = 0xa;
	p[1] = 12;
	acpi_put(p + 4, 0xffffffff, 4);
	p[8] = 1;
	return p + 12;
}

static void build_madt(struct acpi_builder *b, const struct acpi_config *cfg)
{
	const uint16_t level_high = 0x000d;
	size_t max = ACPI_HEADER_SIZE + 8 + 16 * cfg->nr_cpus + 12 + 2 * 10 + 6 + 12;
	bool wide = false;
	gpa_t at;
	uint8_t *t = acpi_reserve(b, max, &at), *p;

	if (!t)
		return;
	acpi_put(t + 36, PC_LAPIC_BASE, 4);
	acpi_put(t + 40, 1, 4); /* there is an 8259 pair, too */
	p = t + 44;
	for (unsigned i = 0; i < cfg->nr_cpus; i++) {
		p = madt_cpu(p, i, cfg->apic_ids[i]);
		wide |= cfg->apic_ids[i] >= 0xff || i >= 0xff;
	}
	p[0] = 1; /* I/O APIC, id 0, GSI 0 on */
	p[1] = 12;
	acpi_put(p + 4, PC_IOAPIC_BASE, 4);
	p += 12;
	p = madt_override(p, PC_IRQ_TIMER, PC_GSI_TIMER, 0);
	p = madt_override(p, PC_IRQ_SCI, PC_IRQ_SCI, level_high);
	p = madt_nmi(p, false);
	if (wide)
		p = madt_nmi(p, true);
	b->len -= max - (size_t)(p - t);
	acpi_header(t, "APIC", 3, (size_t)(p - t));
	acpi_list(b, at);
}

static void build_hpet(struct acpi_builder *b)
{
	gpa_t at;
	uint8_t *t = acpi_reserve(b, 56, &at);

	if (!t)
		return;
	acpi_put(t + 36, 0x8086a201, 4); /* low half of the capabilities register */
	acpi_put(t + 44, PC_HPET_BASE, 8); /* address structure: memory */
	acpi_put(t + 53, 100, 2);          /* minimal periodic tick */
	acpi_header(t, "HPET", 1, 56);
	acpi_list(b, at);
}

static gpa_t build_root(struct acpi_builder *b, const char *sig, unsigned entry)
{
	size_t len = ACPI_HEADER_SIZE + b->nr_tables * entry;
	gpa_t at = 0;
	uint8_t *t = acpi_reserve(b, len, &at);

	if (!t)
		return 0;
	for (unsigned i = 0; i < b->nr_tables; i++)
		acpi_put(t + ACPI_HEADER_SIZE + i * entry, b->tables[i], entry);
	acpi_header(t, sig, 1, len);
	return at;
}

long acpi_build(const struct acpi_config *cfg, gpa_t base, uint8_t *buf, size_t max, uint8_t rsdp[ACPI_RSDP_SIZE])
{
	struct acpi_builder b = {.buf = buf, .max = max, .base = base};
	gpa_t facs = build_facs(&b), dsdt = build_dsdt(&b, cfg), rsdt, xsdt;

	build_fadt(&b, facs, dsdt);
	build_madt(&b, cfg);
	if (cfg->hpet)
		build_hpet(&b);
	if (cfg->numa)
		acpi_build_numa(&b, cfg);
	rsdt = build_root(&b, "RSDT", 4);
	xsdt = build_root(&b, "XSDT", 8);
	if (b.failed)
		return -1;
	memset(rsdp, 0, ACPI_RSDP_SIZE);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "COHORT", 6);
	rsdp[15] = 2;
	acpi_put(rsdp + 16, rsdt, 4);
	acpi_put(rsdp + 20, ACPI_RSDP_SIZE, 4);
	acpi_put(rsdp + 24, xsdt, 8);
	rsdp[8] = acpi_checksum(rsdp, 20);
	rsdp[32] = acpi_checksum(rsdp, ACPI_RSDP_SIZE);
	return (long)b.len;
}
