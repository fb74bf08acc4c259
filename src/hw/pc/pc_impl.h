/* SPDX-License-Identifier: MIT */
/*
 * Inside of the board, for pc.c (devices and wiring) and pc_boot.c (memory map and what firmware would leave).
 * Rules: each device's own header; the fields here are [const] after pc_new() but where marked.
 */
#ifndef COHORT_HW_PC_PC_IMPL_H
#define COHORT_HW_PC_PC_IMPL_H

#include "hw/char/uart16550.h"
#include "hw/fw/boot_image.h"
#include "hw/fw/fw_cfg.h"
#include "hw/input/i8042.h"
#include "hw/intc/apic_bus.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/misc/pc_ports.h"
#include "hw/misc/pc_testdev.h"
#include "hw/pc/pc.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/pci.h"
#include "hw/timer/acpi_pm.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818.h"
#include "util/lock.h"

#define PC_MAX_DEVICES 24

struct pc {
	struct pc_config config;
	struct lapic *lapics;
	struct apic_bus apic_bus;
	struct ioapic ioapic;
	struct i8259 pic;
	struct i8254 pit;
	struct mc146818 rtc;
	struct hpet hpet;
	struct acpi_pm pm;
	struct i8042 kbd;
	struct pc_ports ports;
	struct fw_cfg fw_cfg;
	struct pc_testdev testdev;      /* with config.testdev */
	struct pci_bus pci;
	struct i440fx i440fx;
	struct uart16550 uart[PC_SERIAL_PORTS];
	struct irq_share com_irq[2];    /* COM1 and COM3, COM2 and COM4 */
	_Atomic bool hpet_legacy;       /* [atomic] the HPET has the interrupts of the 8254 and the RTC */

	struct ranked_lock a20_lock;    /* rank ROUTE */
	bool a20_off;                   /* [lock a20_lock] */

	struct device device[PC_MAX_DEVICES];
	unsigned nr_devices;
	struct boot_image *boot_image;  /* NULL: the CPUs start at the reset vector */
	uint64_t low_ram, high_ram;     /* bytes below and above 4 GiB */
};

/* pc_a20.c: irq_line receiver; the gate that was set last counts. */
void pc_a20_init(struct pc *pc);
void pc_a20_set(void *opaque, unsigned n, bool level);

/* pc_bios.c: vectors, data area and code of a BIOS that offers nothing. */
int must_check pc_bios_load(struct err *err);

/* pc_boot.c */
int must_check pc_map_ram(struct pc *pc, struct err *err);
int must_check pc_boot_open(struct pc *pc, struct err *err);
/* Tables, BIOS data and kernel into RAM; the first vCPU's start state. */
int must_check pc_boot_load(struct pc *pc, struct err *err);
void pc_fill_cmos(struct pc *pc);

#endif
