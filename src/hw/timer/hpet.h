/* SPDX-License-Identifier: MIT */
/*
 * The high precision event timer block: a 64-bit counter at 100 MHz and three comparators.
 *
 * Owner:   the board.
 * Threads: registers from any vCPU, interrupts from the I/O loop thread.
 * Rule:    `lock` (rank DEVICE) guards everything not marked otherwise. The counter is a pure function of the clock and is
 *          read without the lock.
 */
#ifndef COHORT_HW_TIMER_HPET_H
#define COHORT_HW_TIMER_HPET_H

#include <stdatomic.h>

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "sched/timer.h"
#include "util/lock.h"

#define HPET_TIMERS 3
#define HPET_HZ 100000000u
#define HPET_ROUTES 32
/* I/O APIC pins a comparator may be routed to: those no ISA device uses. */
#define HPET_ROUTE_MASK 0x00ff0000u

struct hpet;

struct hpet_timer {
	struct hpet *hpet;     /* [const] */
	unsigned n;            /* [const] */
	struct timer timer;    /* armed under the lock */
	uint64_t config;       /* [lock] writable bits only */
	uint64_t comparator;   /* [lock] */
	uint64_t period;       /* [lock] */
	uint64_t next;         /* [lock] counter value of the next match */
	bool armed;            /* [lock] */
};

struct hpet {
	struct ranked_lock lock;           /* rank DEVICE */
	struct irq_line irq[HPET_ROUTES];  /* [const] by I/O APIC pin */
	struct irq_line legacy_irq[2];     /* [const] replace those of the 8254 and the RTC */
	void (*legacy_changed)(void *opaque, bool on); /* [const] called under the lock */
	void *legacy_opaque;               /* [const] */

	_Atomic bool enabled;              /* [atomic] written under the lock */
	_Atomic uint64_t base;             /* [atomic] written under the lock: counter value (halted), or minus clock ticks */
	bool legacy;                       /* [lock] */
	uint32_t status;                   /* [lock] level interrupts that are active */
	struct hpet_timer timer[HPET_TIMERS];
};

void hpet_init(struct hpet *h);

extern const struct mmio_ops hpet_ops; /* 1 KiB */
extern const struct device_type hpet_device;

#endif
