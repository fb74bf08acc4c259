/* SPDX-License-Identifier: MIT */
/*
 * The PC board: creation of the devices and the wires between them.
 *
 * ISA interrupts go to both the 8259 pair and the I/O APIC, where the timer's is on pin 2. The pair's output goes to the
 * first CPU's LINT0 and to pin 0. While the HPET's legacy routing is on, it replaces the 8254 and the RTC.
 */
#include "hw/pc/pc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hw/char/debugcon.h"
#include "hw/misc/debug_exit.h"
#include "hw/pc/pc_impl.h"
#include "hw/pc/pc_map.h"
#include "sched/clock.h"
#include "util/err.h"
#include "vcpu/vcpu.h"

static const uint16_t level_irqs = 1u << PC_IRQ_SCI | 1u << PC_IRQ_PCI_AB | 1u << PC_IRQ_PCI_CD;

/* Wires. */

static void isa_irq(void *opaque, unsigned n, bool level)
{
	struct pc *pc = opaque;

	i8259_set_irq(&pc->pic, n, level);
	ioapic_set_irq(&pc->ioapic, n == PC_IRQ_TIMER ? PC_GSI_TIMER : n, level);
}

/* The 8254 and the RTC, unless the HPET has taken their place. */
static void timer_irq(void *opaque, unsigned n, bool level)
{
	struct pc *pc = opaque;

	if (!atomic_load(&pc->hpet_legacy))
		isa_irq(pc, n, level);
}

static void hpet_legacy_changed(void *opaque, bool on)
{
	struct pc *pc = opaque;

	atomic_store(&pc->hpet_legacy, on);
	isa_irq(pc, PC_IRQ_TIMER, false);
	isa_irq(pc, PC_IRQ_RTC, false);
}

static void request_reset(void *opaque)
{
	(void)opaque;
	machine_request_reset(NULL);
}

/* If the power management function's control register lets it; to the first CPU. */
static void request_smi(void *opaque)
{
	struct pc *pc = opaque;

	if (i440fx_apm_enabled(&pc->i440fx))
		vcpu_request(vcpus[0], VCPU_REQ_SMI);
}

static void soft_off(void *opaque)
{
	(void)opaque;
	machine_request_poweroff(0);
}

static struct irq_line isa_line(struct pc *pc, unsigned irq)
{
	return (struct irq_line){isa_irq, pc, irq};
}

/* Placing and listing. */

static void add_device(struct pc *pc, const struct device_type *type, void *state)
{
	if (pc->nr_devices < PC_MAX_DEVICES)
		pc->device[pc->nr_devices++] = (struct device){type, state};
}

struct place {
	struct aspace *as;
	gpa_t at;
	uint64_t size;
	const struct mmio_ops *ops;
	void *opaque;
	const char *name;
};

static int place_all(const struct place *p, size_t n, struct err *err)
{
	for (; n--; p++)
		if (p->size && aspace_add_mmio(p->as, p->at, p->size, p->ops, p->opaque, p->name) != 0)
			return err_set(err, "cannot place device %s", p->name);
	return 0;
}

static int place_devices(struct pc *pc, struct err *err)
{
	const struct pc_config *c = &pc->config;
	struct aspace *io = &aspace_io, *mem = &aspace_mem;
	const struct place places[] = {
		{io, PC_PORT_PIC1, 2, &i8259_port_ops, &pc->pic.port[0], "i8259 master"},
		{io, PC_PORT_PIC2, 2, &i8259_port_ops, &pc->pic.port[1], "i8259 slave"},
		{io, PC_PORT_ELCR, 2, &i8259_elcr_ops, &pc->pic, "elcr"},
		{io, PC_PORT_PIT, 4, &i8254_ops, &pc->pit, "i8254"},
		{io, PC_PORT_KBD_DATA, 1, &i8042_data_ops, &pc->kbd, "i8042 data"},
		{io, PC_PORT_KBD_CMD, 1, &i8042_command_ops, &pc->kbd, "i8042 command"},
		{io, PC_PORT_B, 1, &pc_port_b_ops, &pc->ports, "port B"},
		{io, PC_PORT_POST, 1, &pc_post_ops, &pc->ports, "post"},
		{io, PC_PORT_A, 1, &pc_port_a_ops, &pc->ports, "port A"},
		{io, PC_PORT_APM, 2, &pc_apm_ops, &pc->ports, "apm"},
		{io, PC_PORT_FPU, 1, &pc_fpu_port_ops, &pc->ports, "fpu"},
		{io, PC_PORT_RTC, 2, &mc146818_ops, &pc->rtc, "mc146818"},
		{io, PC_PORT_FW_CFG, 2, &fw_cfg_ops, &pc->fw_cfg, "fw-cfg"},
		{io, PC_PORT_TESTDEV, c->testdev ? 4 : 0, &pc_testdev_port_ops, &pc->testdev, "pc-testdev"},
		{io, PC_PORT_TESTDEV_FLUSH, c->testdev ? 4 : 0, &pc_testdev_flush_ops, &pc->testdev, "pc-testdev flush"},
		{io, PC_PORT_TESTDEV_BYTES, c->testdev ? 4 : 0, &pc_testdev_byte_ops, &pc->testdev, "pc-testdev bytes"},
		{io, PC_PORT_TESTDEV_IRQ, c->testdev ? PC_TESTDEV_IRQS : 0, &pc_testdev_irq_ops, &pc->testdev,
		 "pc-testdev interrupts"},
		{mem, PC_TESTDEV_BASE, c->testdev ? PC_TESTDEV_MEMORY : 0, &pc_testdev_memory_ops, &pc->testdev,
		 "pc-testdev memory"},
		{io, PC_PORT_DEBUGCON, c->debugcon ? 1 : 0, &debugcon_ops, c->debugcon, "debugcon"},
		{io, PC_PORT_PM, PC_PORT_PM_SIZE, &acpi_pm_ops, &pc->pm, "acpi-pm"},
		{io, PC_PORT_PCI_CONF, 4, &pci_address_ops, &pc->pci, "pci address"},
		{io, PC_PORT_PCI_DATA, 4, &pci_data_ops, &pc->pci, "pci data"},
		{io, c->debug_exit_base, c->debug_exit ? c->debug_exit_size : 0, &debug_exit_ops, NULL, "isa-debug-exit"},
		{mem, PC_IOAPIC_BASE, PC_IOAPIC_SIZE, &ioapic_mmio_ops, &pc->ioapic, "ioapic"},
		{mem, PC_HPET_BASE, c->no_hpet ? 0 : PC_HPET_SIZE, &hpet_ops, &pc->hpet, "hpet"},
		{mem, PC_LAPIC_BASE, PC_LAPIC_SIZE, &lapic_mmio_ops, NULL, "local apic"},
	};

	return place_all(places, ARRAY_LEN(places), err);
}

/* Creation. */

static int create_lapics(struct pc *pc, struct err *err)
{
	struct apic_bus *bus = &pc->apic_bus;
	uint32_t max_id = 0;

	for (unsigned i = 0; i < nr_vcpus; i++)
		max_id = vcpus[i]->apic_id > max_id ? vcpus[i]->apic_id : max_id;
	pc->lapics = aligned_alloc(_Alignof(struct lapic), nr_vcpus * sizeof(struct lapic));
	bus->lapic = calloc(nr_vcpus, sizeof(bus->lapic[0]));
	bus->by_id = calloc(max_id + 1ull, sizeof(bus->by_id[0]));
	if (!pc->lapics || !bus->lapic || !bus->by_id)
		return err_set(err, "out of memory for the local APICs");
	memset(pc->lapics, 0, nr_vcpus * sizeof(struct lapic));
	bus->nr = nr_vcpus;
	bus->nr_ids = max_id + 1;
	bus->eoi = ioapic_eoi;
	bus->eoi_opaque = &pc->ioapic;
	bus->inta = i8259_inta;
	bus->inta_opaque = &pc->pic;
	for (unsigned i = 0; i < nr_vcpus; i++) {
		struct lapic *l = &pc->lapics[i];

		l->virtual_wire = i == 0;
		lapic_init(l, bus, vcpus[i], vcpus[i]->apic_id, i == 0);
		bus->lapic[i] = bus->by_id[l->id] = l;
		vcpus[i]->intc = &lapic_intc_ops;
		vcpus[i]->intc_opaque = l;
	}
	return 0;
}

static void create_interrupt_controllers(struct pc *pc)
{
	ioapic_init(&pc->ioapic, &pc->apic_bus);
	add_device(pc, &ioapic_device, &pc->ioapic);
	pc->pic.out = (struct irq_line){lapic_lint_set, &pc->lapics[0], 0};
	pc->pic.out2 = (struct irq_line){ioapic_set_irq, &pc->ioapic, PC_GSI_PIC};
	i8259_init(&pc->pic);
	add_device(pc, &i8259_device, &pc->pic);
}

static int64_t utc_at_clock_zero(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - clock_now();
}

static void create_timers(struct pc *pc)
{
	pc->pit.irq = (struct irq_line){timer_irq, pc, PC_IRQ_TIMER};
	i8254_init(&pc->pit);
	add_device(pc, &i8254_device, &pc->pit);
	pc->rtc.irq = (struct irq_line){timer_irq, pc, PC_IRQ_RTC};
	mc146818_init(&pc->rtc, utc_at_clock_zero());
	pc_fill_cmos(pc);
	add_device(pc, &mc146818_device, &pc->rtc);
	for (unsigned i = 0; i < PC_NR_GSI; i++)
		if (HPET_ROUTE_MASK & 1u << i)
			pc->hpet.irq[i] = (struct irq_line){ioapic_set_irq, &pc->ioapic, i};
	pc->hpet.legacy_irq[0] = isa_line(pc, PC_IRQ_TIMER);
	pc->hpet.legacy_irq[1] = isa_line(pc, PC_IRQ_RTC);
	pc->hpet.legacy_changed = hpet_legacy_changed;
	pc->hpet.legacy_opaque = pc;
	hpet_init(&pc->hpet);
	add_device(pc, &hpet_device, &pc->hpet);
	pc->pm.sci = isa_line(pc, PC_IRQ_SCI);
	pc->pm.soft_off_type = PC_SLP_TYP_S5;
	pc->pm.soft_off = soft_off;
	acpi_pm_init(&pc->pm);
	add_device(pc, &acpi_pm_device, &pc->pm);
}

static void create_input(struct pc *pc)
{
	pc->kbd.irq[0] = isa_line(pc, PC_IRQ_KBD);
	pc->kbd.irq[1] = isa_line(pc, PC_IRQ_MOUSE);
	pc->kbd.a20 = pc->ports.a20 = (struct irq_line){pc_a20_set, pc, 0};
	pc->kbd.reset = request_reset;
	i8042_init(&pc->kbd);
	add_device(pc, &i8042_device, &pc->kbd);
	pc->ports.pit = &pc->pit;
	pc->ports.reset = request_reset;
	pc->ports.smi = request_smi;
	pc->ports.opaque = pc;
	pc->ports.fpu_error = isa_line(pc, PC_IRQ_FPU);
	pc->ports.ignne = vcpu_ignne;
	vcpu_connect_ferr(pc_ports_ferr, &pc->ports);
	add_device(pc, &pc_ports_device, &pc->ports);
}

static void create_fw_cfg(struct pc *pc)
{
	fw_cfg_init(&pc->fw_cfg);
	fw_cfg_add_number(&pc->fw_cfg, FW_CFG_RAM_SIZE, pc->low_ram + pc->high_ram, 8);
	fw_cfg_add_number(&pc->fw_cfg, FW_CFG_NR_CPUS, nr_vcpus, 2);
	fw_cfg_add_number(&pc->fw_cfg, FW_CFG_MAX_CPUS, nr_vcpus, 2);
	fw_cfg_add_number(&pc->fw_cfg, FW_CFG_NOGRAPHIC, 1, 2);
	add_device(pc, &fw_cfg_device, &pc->fw_cfg);
}

/* The lines that the I/O APIC alone has. */
static void ioapic_only_irq(void *opaque, unsigned n, bool level)
{
	struct pc *pc = opaque;

	ioapic_set_irq(&pc->ioapic, n, level);
}

static void create_testdev(struct pc *pc)
{
	if (!pc->config.testdev)
		return;
	for (unsigned i = 0; i < PC_TESTDEV_IRQS; i++)
		pc->testdev.irq[i] = i < 16 ? isa_line(pc, i) : (struct irq_line){ioapic_only_irq, pc, i};
	pc_testdev_init(&pc->testdev);
	add_device(pc, &pc_testdev_device, &pc->testdev);
}

static void create_pci(struct pc *pc)
{
	static const uint8_t pirqs[PCI_PIRQS] = {PC_IRQ_PCI_AB, PC_IRQ_PCI_AB, PC_IRQ_PCI_CD, PC_IRQ_PCI_CD};

	pci_bus_init(&pc->pci);
	pc->pci.reset = request_reset;
	for (unsigned i = 0; i < 16; i++)
		pc->pci.isa_irq[i] = isa_line(pc, i);
	memcpy(pc->i440fx.pirq, pirqs, sizeof(pirqs));
	pc->i440fx.pm_base = PC_PORT_PM;
	aspace_set_hidden(PC_VGA_HOLE, PC_VGA_HOLE_END - PC_VGA_HOLE, PC_VGA_HOLE); /* RAM that the map leaves out */
	pc->i440fx.smram_changed = aspace_show_hidden;
	i440fx_init(&pc->i440fx, &pc->pci);
	add_device(pc, &pci_bus_device, &pc->pci);
}

static int create_serial(struct pc *pc, struct err *err)
{
	static const uint16_t ports[PC_SERIAL_PORTS] = {PC_PORT_COM1, PC_PORT_COM2, PC_PORT_COM3, PC_PORT_COM4};

	irq_share_init(&pc->com_irq[0], isa_line(pc, PC_IRQ_COM1));
	irq_share_init(&pc->com_irq[1], isa_line(pc, PC_IRQ_COM2));
	for (unsigned i = 0; i < PC_SERIAL_PORTS; i++) {
		const struct place place = {&aspace_io, ports[i], 8, &uart16550_ops, &pc->uart[i], "uart16550"};

		if (!pc->config.serial[i])
			continue;
		pc->uart[i].irq = (struct irq_line){irq_share_set, &pc->com_irq[i % 2], i / 2};
		uart16550_init(&pc->uart[i], pc->config.serial[i]);
		add_device(pc, &uart16550_device, &pc->uart[i]);
		if (place_all(&place, 1, err) != 0)
			return -1;
	}
	return 0;
}

struct pc *pc_new(const struct pc_config *config, struct err *err)
{
	struct pc *pc = aligned_alloc(64, (sizeof(*pc) + 63) & ~(size_t)63);

	if (!pc) {
		err_set(err, "out of memory");
		return NULL;
	}
	memset(pc, 0, sizeof(*pc));
	pc->config = *config;
	pc_a20_init(pc);
	if (nr_vcpus > PC_MAX_CPUS) {
		err_set(err, "the PC board takes at most %u CPUs", PC_MAX_CPUS);
		goto fail;
	}
	if (pc_map_ram(pc, err) != 0 || pc_boot_open(pc, err) != 0 || create_lapics(pc, err) != 0)
		goto fail;
	create_interrupt_controllers(pc);
	create_timers(pc);
	create_input(pc);
	create_pci(pc);
	create_fw_cfg(pc);
	create_testdev(pc);
	if (create_serial(pc, err) != 0 || place_devices(pc, err) != 0 || pc_reset(pc, err) != 0)
		goto fail;
	vcpus_reset_all();
	return pc;
fail:
	pc_free(pc);
	return NULL;
}

int pc_reset(struct pc *pc, struct err *err)
{
	for (unsigned i = 0; i < pc->nr_devices; i++)
		pc->device[i].type->reset(pc->device[i].state);
	i8259_set_elcr(&pc->pic, level_irqs);
	return pc_boot_load(pc, err);
}

static void stop_timers(struct pc *pc)
{
	if (pc->pit.timer.fn)
		timer_fini(&pc->pit.timer);
	if (pc->rtc.timer.fn)
		timer_fini(&pc->rtc.timer);
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		if (pc->hpet.timer[i].timer.fn)
			timer_fini(&pc->hpet.timer[i].timer);
	if (pc->pm.timer.fn)
		timer_fini(&pc->pm.timer);
	for (unsigned i = 0; i < PC_SERIAL_PORTS; i++)
		if (pc->uart[i].timeout.fn)
			timer_fini(&pc->uart[i].timeout);
}

void pc_free(struct pc *pc)
{
	if (!pc)
		return;
	stop_timers(pc);
	for (unsigned i = 0; pc->lapics && i < nr_vcpus; i++)
		vcpus[i]->intc = NULL;
	boot_image_free(pc->boot_image);
	free(pc->apic_bus.lapic);
	free(pc->apic_bus.by_id);
	free(pc->lapics);
	free(pc);
}

void pc_power_button(struct pc *pc)
{
	acpi_pm_power_button(&pc->pm);
}
