/* SPDX-License-Identifier: MIT */
/*
 * The 8254 programmable interval timer: three counters, all six modes.
 *
 * Owner:   the board.
 * Threads: registers, gates and outputs from any vCPU; the interrupt of channel 0 from the I/O loop thread.
 * Rule:    `lock` (rank DEVICE) guards everything not [const]. Counts and outputs are pure functions of the clock and
 *          what was programmed; the timer only drives the interrupt line.
 */
#ifndef COHORT_HW_TIMER_I8254_H
#define COHORT_HW_TIMER_I8254_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "sched/timer.h"
#include "util/lock.h"

#define I8254_HZ 1193182u

struct i8254_channel {
	uint8_t mode;          /* 0..5 */
	uint8_t access;        /* 1 low byte, 2 high byte, 3 both */
	bool bcd;
	bool gate;
	bool loaded;           /* a count was written since the mode */
	bool triggered;        /* modes 1 and 5: the gate has risen since the mode was set */
	uint32_t initial;      /* 1..65536 */
	vclock_ns_t start;     /* when it was at `initial`, if running */
	uint64_t held;         /* ticks done, if not running */
	bool running;
	uint8_t write_low;     /* first byte of two */
	bool write_second, read_second;
	bool count_latched, status_latched;
	uint16_t latched_count;
	uint8_t latched_status;
};

struct i8254 {
	struct ranked_lock lock;      /* rank DEVICE */
	struct irq_line irq;          /* [const] OUT of channel 0 */
	struct timer timer;           /* next rising edge of channel 0; armed under the lock */
	vclock_ns_t due;              /* [lock] VCLOCK_NEVER: none */
	struct i8254_channel ch[3];   /* [lock] */
};

void i8254_init(struct i8254 *pit);
void i8254_set_gate(struct i8254 *pit, unsigned channel, bool level);
bool i8254_get_out(struct i8254 *pit, unsigned channel);

extern const struct mmio_ops i8254_ops; /* 4 ports */
extern const struct device_type i8254_device;

#endif
