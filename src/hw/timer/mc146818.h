/* SPDX-License-Identifier: MIT */
/*
 * MC146818 real-time clock and CMOS RAM (128 bytes).
 *
 * Owner:   the board.
 * Threads: registers from any vCPU, interrupts from the I/O loop thread.
 * Rule:    `lock` (rank DEVICE) guards everything not [const]. The time of day is the host's UTC at power-on plus the
 *          machine's clock plus what the guest has set; it is not ticked.
 */
#ifndef COHORT_HW_TIMER_MC146818_H
#define COHORT_HW_TIMER_MC146818_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "sched/timer.h"
#include "util/lock.h"

#define RTC_CMOS_SIZE 128

struct mc146818 {
	struct ranked_lock lock;     /* rank DEVICE */
	struct irq_line irq;         /* [const] */
	struct timer timer;          /* next enabled event; armed under the lock */
	vclock_ns_t due;             /* [lock] */
	uint8_t index;               /* [lock] */
	uint8_t cmos[RTC_CMOS_SIZE]; /* [lock] time registers are current only while the clock is stopped */
	int64_t offset_ns;           /* [lock] UTC in ns at machine clock 0 */
	vclock_ns_t seen;            /* [lock] up to when events are reflected in register C */
};

/* `utc_ns_at_0`: time of day at machine clock 0. */
void mc146818_init(struct mc146818 *rtc, int64_t utc_ns_at_0);
/* Set-up by firmware: memory sizes and the like. */
void mc146818_set_cmos(struct mc146818 *rtc, unsigned reg, uint8_t value);

extern const struct mmio_ops mc146818_ops; /* 2 ports: index, data */
extern const struct device_type mc146818_device;

#endif
