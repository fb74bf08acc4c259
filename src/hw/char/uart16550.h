/* SPDX-License-Identifier: MIT */
/*
 * A 16550A serial port (National Semiconductor PC16550D datasheet).
 *
 * Owner:   the board.
 * Threads: registers from any vCPU; the back end calls in on the I/O loop thread, and so does the timer.
 * Rule:    `lock` (rank DEVICE) guards everything not [const].
 */
#ifndef COHORT_HW_CHAR_UART16550_H
#define COHORT_HW_CHAR_UART16550_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "sched/timer.h"
#include "util/lock.h"

#define UART_FIFO_SIZE 16u

struct chardev;

struct uart_fifo {
	uint8_t data[UART_FIFO_SIZE];
	unsigned head, len;
};

struct uart16550 {
	struct ranked_lock lock;  /* rank DEVICE */
	struct chardev *backend;  /* [const] */
	struct irq_line irq;      /* [const] */
	struct timer timeout;     /* character time-out; armed under the lock */
	vclock_ns_t timeout_at;   /* [lock] VCLOCK_NEVER: none due */

	uint16_t divisor;         /* [lock] */
	uint8_t ier, fcr, lcr, mcr, lsr_errors, msr, scr; /* [lock] msr: delta bits only; lsr: sticky error bits */
	bool thr_pending;         /* [lock] the "transmitter empty" interrupt */
	bool timeout_pending;     /* [lock] */
	struct uart_fifo rx, tx;  /* [lock] tx holds only what the back end did not take */
};

void uart16550_init(struct uart16550 *u, struct chardev *backend);

extern const struct mmio_ops uart16550_ops; /* 8 ports */
extern const struct device_type uart16550_device;

#endif
