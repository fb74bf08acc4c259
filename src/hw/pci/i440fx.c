/* SPDX-License-Identifier: MIT */
/*
 * i440FX, PIIX3 and PIIX4 (Intel 82441FX, 82371SB and 82371AB datasheets), as far as software looks: identity, PIRQ
 * routing registers, base of the power management ports, system-management RAM. The memory-attribute and other decode
 * registers keep what is written and change nothing.
 */
#include "hw/pci/i440fx.h"

#include "util/types.h"

enum { ISA_PIRQ_ROUTE = 0x60, PM_BASE = 0x40, PM_DEVACTB_3 = 0x5b, PM_REGMISC = 0x80, HOST_PAM_FIRST = 0x59, HOST_SMRAM = 0x72 };

#define PM_APMC_EN 0x02 /* bit 25 of DEVACTB */

/* 82441FX datasheet, 3.2.20: where management code lives, A0000-BFFFF, in front of which there is a PCI window for all others. D_CLS is kept. */
enum { SMRAM_BASE = 0x02, SMRAM_ENABLE = 0x08, SMRAM_LOCK = 0x10, SMRAM_CLOSED = 0x20, SMRAM_OPEN = 0x40 };

static void smram_set(struct i440fx *x, uint8_t v)
{
	if (v & SMRAM_LOCK)
		v &= (uint8_t)~SMRAM_OPEN;
	x->smram = x->host.config[HOST_SMRAM] = v;
	if (x->smram_changed)
		x->smram_changed(!(v & SMRAM_ENABLE) ? ASPACE_NOBODY : v & SMRAM_OPEN ? ASPACE_EVERYBODY : ASPACE_SOME);
}

static void host_config_written(struct pci_device *d, unsigned off, unsigned size)
{
	struct i440fx *x = container_of(d, struct i440fx, host);

	if (off > HOST_SMRAM || off + size <= HOST_SMRAM || d->config[HOST_SMRAM] == x->smram)
		return;
	if (x->smram & SMRAM_LOCK) /* until reset; all but D_CLS */
		d->config[HOST_SMRAM] = (uint8_t)((x->smram & ~SMRAM_CLOSED) | (d->config[HOST_SMRAM] & SMRAM_CLOSED));
	smram_set(x, d->config[HOST_SMRAM]);
}

static void host_reset(struct pci_device *d)
{
	smram_set(container_of(d, struct i440fx, host), SMRAM_BASE);
}

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
	.config_written = host_config_written, .reset = host_reset,
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
	for (unsigned i = HOST_PAM_FIRST; i < HOST_SMRAM; i++)
		x->host.writable[i] = 0xff;
	x->host.writable[HOST_SMRAM] = SMRAM_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN;
	pci_device_add(bus, &x->isa, &isa_type, PCI_DEVFN(1, 0));
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		x->isa.writable[ISA_PIRQ_ROUTE + i] = 0x8f;
	pci_device_add(bus, &x->pm, &pm_type, PCI_DEVFN(1, 3));
	x->pm.writable[PM_DEVACTB_3] = PM_APMC_EN;
	x->pm.config[PCI_INTERRUPT_PIN] = 1;
}
