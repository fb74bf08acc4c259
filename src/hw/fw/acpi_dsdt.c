/* SPDX-License-Identifier: MIT */
/*
 * The DSDT: S5, processors, the PCI root with its windows and interrupt routing, the ISA devices and the HPET.
 */
#include <stdio.h>

#include "hw/fw/acpi.h"
#include "hw/fw/aml.h"
#include "hw/pc/pc_map.h"

#define PCI_SLOTS 32
#define PCI_PINS 4

/* Slot and pin rotate over the four PIRQs, as in hw/pci/pci_host.c. */
static unsigned pirq_gsi(unsigned slot, unsigned pin)
{
	return ((slot + pin + 3) & 3) < 2 ? PC_IRQ_PCI_AB : PC_IRQ_PCI_CD;
}

static void pci_routing(struct aml *a)
{
	aml_name(a, "_PRT");
	aml_package(a, PCI_SLOTS * PCI_PINS);
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			aml_package(a, 4);
			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, pirq_gsi(slot, pin));
			aml_end(a);
		}
	}
	aml_end(a);
}

static void pci_windows(struct aml *a)
{
	aml_name(a, "_CRS");
	aml_resources(a);
	aml_res_window16(a, AML_BUS, 0, 0xff);
	aml_res_io(a, PC_PORT_PCI_CONF, 8);
	aml_res_window16(a, AML_IO, 0, PC_PORT_PCI_CONF - 1);
	aml_res_window16(a, AML_IO, PC_PORT_PCI_CONF + 8, 0xffff);
	aml_res_window32(a, AML_MEMORY, PC_VGA_HOLE, PC_VGA_HOLE_END - 1);
	aml_res_window32(a, AML_MEMORY, PC_PCI_HOLE, PC_PCI_HOLE_END - 1);
	aml_end(a);
}

static void isa_device(struct aml *a, const char *name, const char *id, unsigned uid)
{
	aml_device(a, name);
	aml_name_eisa_id(a, "_HID", id);
	if (uid)
		aml_name_int(a, "_UID", uid);
	aml_name_int(a, "_STA", 0xf);
	aml_name(a, "_CRS");
	aml_resources(a);
}

static void isa_device_end(struct aml *a)
{
	aml_end(a); /* resources */
	aml_end(a); /* device */
}

static void serial_ports(struct aml *a, unsigned present)
{
	static const uint16_t ports[] = {PC_PORT_COM1, PC_PORT_COM2, PC_PORT_COM3, PC_PORT_COM4};
	static const uint8_t irqs[] = {PC_IRQ_COM1, PC_IRQ_COM2, PC_IRQ_COM1, PC_IRQ_COM2};
	char name[] = "COM1";

	for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
		if (!(present & 1u << i))
			continue;
		name[3] = (char)('1' + i);
		isa_device(a, name, "PNP0501", i + 1);
		aml_res_io(a, ports[i], 8);
		aml_res_irq(a, irqs[i]);
		isa_device_end(a);
	}
}

static void isa_bridge(struct aml *a, const struct acpi_config *cfg)
{
	aml_device(a, "ISA_");
	aml_name_int(a, "_ADR", 0x00010000);
	isa_device(a, "RTC_", "PNP0B00", 0);
	aml_res_io(a, PC_PORT_RTC, 2);
	aml_res_irq(a, PC_IRQ_RTC);
	isa_device_end(a);
	isa_device(a, "KBD_", "PNP0303", 0);
	aml_res_io(a, PC_PORT_KBD_DATA, 1);
	aml_res_io(a, PC_PORT_KBD_CMD, 1);
	aml_res_irq(a, PC_IRQ_KBD);
	isa_device_end(a);
	isa_device(a, "MOU_", "PNP0F13", 0);
	aml_res_irq(a, PC_IRQ_MOUSE);
	isa_device_end(a);
	serial_ports(a, cfg->nr_serial);
	aml_end(a);
}

static void pci_root(struct aml *a, const struct acpi_config *cfg)
{
	aml_device(a, "PCI0");
	aml_name_eisa_id(a, "_HID", "PNP0A03");
	aml_name_int(a, "_ADR", 0);
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_BBN", 0);
	pci_windows(a);
	pci_routing(a);
	isa_bridge(a, cfg);
	aml_end(a);
}

static void hpet(struct aml *a)
{
	aml_device(a, "HPET");
	aml_name_eisa_id(a, "_HID", "PNP0103");
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_STA", 0xf);
	aml_name(a, "_CRS");
	aml_resources(a);
	aml_res_mem32(a, PC_HPET_BASE, PC_HPET_SIZE);
	aml_end(a);
	aml_end(a);
}

static void processors(struct aml *a, unsigned n)
{
	char name[8];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		aml_device(a, name);
		aml_name_string(a, "_HID", "ACPI0007");
		aml_name_int(a, "_UID", i);
		aml_name_int(a, "_STA", 0xf);
		aml_end(a);
	}
}

void acpi_dsdt_write(struct aml *a, const struct acpi_config *cfg)
{
	aml_name(a, "\\_S5_");
	aml_package(a, 4);
	aml_int(a, PC_SLP_TYP_S5);
	aml_int(a, PC_SLP_TYP_S5);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a);
	aml_scope(a, "\\_SB_");
	processors(a, cfg->nr_cpus);
	pci_root(a, cfg);
	if (cfg->hpet)
		hpet(a);
	aml_end(a);
}
