/* SPDX-License-Identifier: MIT */
/*
 * Every address, port and interrupt number of the PC board. Same places as QEMU's "pc" machine (i440FX, PIIX3/4) where
 * that has one.
 */
#ifndef COHORT_HW_PC_PC_MAP_H
#define COHORT_HW_PC_PC_MAP_H

/* Memory. */
#define PC_LOW_RAM_MAX 0xc0000000ull  /* RAM below 4 GiB; the rest continues at 4 GiB */
#define PC_HIGH_RAM_BASE 0x100000000ull
#define PC_VGA_HOLE 0xa0000ull
#define PC_VGA_HOLE_END 0xc0000ull
#define PC_PCI_HOLE 0xc0000000ull     /* BARs go here */
#define PC_PCI_HOLE_END 0xfec00000ull
#define PC_IOAPIC_BASE 0xfec00000ull
#define PC_IOAPIC_SIZE 0x1000ull
#define PC_HPET_BASE 0xfed00000ull
#define PC_HPET_SIZE 0x400ull
#define PC_LAPIC_BASE 0xfee00000ull
#define PC_LAPIC_SIZE 0x1000ull
#define PC_TESTDEV_BASE 0xff000000ull

/* What firmware leaves in low memory. */
#define PC_BDA_EBDA_SEG 0x40eull
#define PC_BDA_RAM_KB 0x413ull
#define PC_EBDA 0x9fc00ull
#define PC_RSDP 0xf0000ull            /* in the reserved area 0xe0000-0xfffff that ACPI scans */
#define PC_ACPI_SIZE 0x20000ull       /* tables, at the end of low RAM */

/* Ports. */
#define PC_PORT_PIC1 0x20
#define PC_PORT_PIT 0x40
#define PC_PORT_KBD_DATA 0x60
#define PC_PORT_B 0x61
#define PC_PORT_KBD_CMD 0x64
#define PC_PORT_RTC 0x70
#define PC_PORT_POST 0x80
#define PC_PORT_A 0x92
#define PC_PORT_PIC2 0xa0
#define PC_PORT_APM 0xb2
#define PC_PORT_TESTDEV 0xe0
#define PC_PORT_TESTDEV_FLUSH 0xe4
#define PC_PORT_TESTDEV_BYTES 0xe8
#define PC_PORT_DEBUGCON 0xe9
#define PC_PORT_FPU 0xf0
#define PC_PORT_COM1 0x3f8
#define PC_PORT_COM2 0x2f8
#define PC_PORT_COM3 0x3e8
#define PC_PORT_COM4 0x2e8
#define PC_PORT_ELCR 0x4d0
#define PC_PORT_FW_CFG 0x510
#define PC_PORT_PM 0x600
#define PC_PORT_PM_SIZE 0x40
#define PC_PORT_TESTDEV_IRQ 0x2000
#define PC_PORT_PCI_CONF 0xcf8
#define PC_PORT_PCI_DATA 0xcfc
#define PC_PORT_RESET 0xcf9           /* inside the PCI address port: hw/pci/pci_host.c */

/* ISA interrupts; the same number on the I/O APIC, but for the timer. */
#define PC_IRQ_TIMER 0
#define PC_IRQ_KBD 1
#define PC_IRQ_COM2 3
#define PC_IRQ_COM1 4
#define PC_IRQ_RTC 8
#define PC_IRQ_SCI 9
#define PC_IRQ_PCI_AB 10              /* PIRQA, PIRQB */
#define PC_IRQ_PCI_CD 11
#define PC_IRQ_MOUSE 12
#define PC_IRQ_FPU 13
#define PC_GSI_TIMER 2
#define PC_GSI_PIC 0                  /* the 8259 pair's output */

#define PC_NR_GSI 24
#define PC_MAX_CPUS 255

/* Sleep type of S5 in PM1 control, as the PIIX4 has it. */
#define PC_SLP_TYP_S5 0
#define PC_RESET_VALUE 0x0f

#endif
