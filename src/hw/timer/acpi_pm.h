/* SPDX-License-Identifier: MIT */
/*
 * ACPI power management block, laid out as the PIIX4's: PM1 event (status, enable), PM1 control, PM timer.
 *
 * Owner:   the board.
 * Threads: registers from any vCPU, the timer's interrupt from the I/O loop thread.
 * Rule:    `lock` (rank DEVICE) guards everything not [const]. The PM timer is a pure function of the clock, read without
 *          the lock.
 */
#ifndef COHORT_HW_TIMER_ACPI_PM_H
#define COHORT_HW_TIMER_ACPI_PM_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "sched/timer.h"
#include "util/lock.h"

#define ACPI_PM_TIMER_HZ 3579545u
#define ACPI_PM_TIMER_BITS 24

struct acpi_pm {
	struct ranked_lock lock;     /* rank DEVICE */
	struct irq_line sci;         /* [const] level */
	uint8_t soft_off_type;       /* [const] SLP_TYP of S5 */
	void (*soft_off)(void *opaque); /* [const] the guest switched the machine off */
	void *opaque;                /* [const] */
	struct timer timer;          /* next change of the timer's top bit; armed under the lock */
	uint16_t status, enable, control; /* [lock] */
	uint64_t seen_half;          /* [lock] half periods of the timer reflected in `status` */
};

void acpi_pm_init(struct acpi_pm *pm);
void acpi_pm_power_button(struct acpi_pm *pm); /* pressed; any thread */

extern const struct mmio_ops acpi_pm_ops; /* 64 ports */
extern const struct device_type acpi_pm_device;

#endif
