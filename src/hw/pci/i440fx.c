/* SPDX-License-Identifier: MIT */
/*
 * i440FX, PIIX3 and PIIX4 (Intel 82441FX, 82371SB and 82371AB datasheets), as far as software looks: identity, PIRQ
 * routing registers, base of the power management ports. The memory-attribute and decode registers keep what is written
 * and change nothing.
 */
#include "hw/pci/i440fx.h"

#include "util/types.h"

enum { ISA_PIRQ_ROUTE = 0x60, PM_BASE = 0x40, PM_DEVACTB_3 = 0x5b, PM_REGMISC = 0x80, HOST_PAM_FIRST = 0x59, HOST_SMRAM = 0x72 };

#define PM_APMC_EN 0x02 /* bit 25 of DEVACTB */

static void isa_config_written(struct pci_device *d, unsigned off, unsigned size)
{
	for (unsigned i = off; i < off + size; i++)
		if (i >= ISA_PIRQ_ROUTE && i < ISA_PIRQ_ROUTE + PCI_PIRQS)
			pci_route_pirq(d->bus, i - ISA_PIRQ_ROUTE, d->config[i]);
}

static void isa_reset(struct pci_device *d)
{
	struct i440fx *x = container_of(d, struct i440fx, isa);

	for (unsigned i = 0; i < PCI_PIRQS; i++)
		d->config[ISA_PIRQ_ROUTE + i] = x->pirq[i];
	isa_config_written(d, ISA_PIRQ_ROUTE, PCI_PIRQS);
}

static void pm_reset(struct pci_device *d)
{
	struct i440fx *x = container_of(d, struct i440fx, pm);

	pci_put(d->config + PM_BASE, x->pm_base | 1u, 4);
	d->config[PM_DEVACTB_3] = 0;
	d->config[PM_REGMISC] = 1; /* the port block is decoded */
}

static const struct pci_device_type host_type = {
	.name = "i440fx", .vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000,
};

static const struct pci_device_type isa_type = {
	.name = "piix3-isa", .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100, .header_type = 0x80,
	.config_written = isa_config_written, .reset = isa_reset,
};

static const struct pci_device_type pm_type = {
	.name = "piix4-pm", .vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .reset = pm_reset,
};

bool i440fx_apm_enabled(const struct i440fx *x)
{
	return __atomic_load_n(&x->pm.config[PM_DEVACTB_3], __ATOMIC_RELAXED) & PM_APMC_EN;
}

void i440fx_init(struct i440fx *x, struct pci_bus *bus)
{
	pci_device_add(bus, &x->host, &host_type, PCI_DEVFN(0, 0));
	for (unsigned i = HOST_PAM_FIRST; i <= HOST_SMRAM; i++)
		x->host.writable[i] = 0xff;
	pci_device_add(bus, &x->isa, &isa_type, PCI_DEVFN(1, 0));
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		x->isa.writable[ISA_PIRQ_ROUTE + i] = 0x8f;
	pci_device_add(bus, &x->pm, &pm_type, PCI_DEVFN(1, 3));
	x->pm.writable[PM_DEVACTB_3] = PM_APMC_EN;
	x->pm.config[PCI_INTERRUPT_PIN] = 1;
}
