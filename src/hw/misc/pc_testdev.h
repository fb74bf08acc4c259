/* SPDX-License-Identifier: MIT */
/*
 * pc-testdev, QEMU's device of that name, for test programs of hypervisors: ports and memory that keep what is written,
 * interrupt lines set by port writes, and a port that makes the machine forget its translations of a page.
 *
 *   0xe0-0xe3       4 bytes that keep their value, at any width
 *   0xe4            4 bytes, write: address of the page to forget
 *   0xe8-0xeb       the bytes of 0xe0 again, byte by byte (a debug console at 0xe9 comes before them)
 *   0x2000-0x2017   write: level of interrupt 0 to 23
 *   0xff000000      64 KiB that keep their value, at any width, as a device and not as RAM
 *
 * Owner:   the board.
 * Threads: any vCPU.
 * Rule:    `lock` (rank DEVICE) guards what is not [const].
 */
#ifndef COHORT_HW_MISC_PC_TESTDEV_H
#define COHORT_HW_MISC_PC_TESTDEV_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "util/lock.h"

#define PC_TESTDEV_IRQS 24
#define PC_TESTDEV_MEMORY 0x10000u

struct pc_testdev {
	struct ranked_lock lock;                 /* rank DEVICE */
	struct irq_line irq[PC_TESTDEV_IRQS];    /* [const] */
	uint8_t port[4];                         /* [lock] */
	uint8_t memory[PC_TESTDEV_MEMORY];       /* [lock] */
};

void pc_testdev_init(struct pc_testdev *d);

extern const struct mmio_ops pc_testdev_port_ops;   /* 4 ports */
extern const struct mmio_ops pc_testdev_byte_ops;   /* 4 ports */
extern const struct mmio_ops pc_testdev_flush_ops;  /* 4 ports */
extern const struct mmio_ops pc_testdev_irq_ops;    /* PC_TESTDEV_IRQS ports */
extern const struct mmio_ops pc_testdev_memory_ops; /* PC_TESTDEV_MEMORY bytes */
extern const struct device_type pc_testdev_device;

#endif
