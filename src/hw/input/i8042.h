/* SPDX-License-Identifier: MIT */
/*
 * The 8042 keyboard controller with a PS/2 keyboard and mouse.
 *
 * Owner:   the board.
 * Threads: registers from any vCPU.
 * Rule:    `lock` (rank DEVICE) guards everything not [const].
 */
#ifndef COHORT_HW_INPUT_I8042_H
#define COHORT_HW_INPUT_I8042_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/input/ps2.h"
#include "mem/aspace.h"
#include "util/lock.h"

struct i8042 {
	struct ranked_lock lock;      /* rank DEVICE */
	struct irq_line irq[2];       /* [const] keyboard, mouse */
	struct irq_line a20;          /* [const] the address gate */
	void (*reset)(void *opaque);  /* [const] the CPU reset line */
	void *opaque;                 /* [const] */

	uint8_t command_byte;         /* [lock] */
	uint8_t output_port;          /* [lock] bit 1 is A20 */
	uint8_t pending;              /* [lock] command whose data byte comes next, 0: none */
	bool wrote_command;           /* [lock] the last write went to the command port (status bit 3) */
	bool full;                    /* [lock] output buffer */
	uint8_t data;                 /* [lock] */
	bool from_mouse;              /* [lock] what `data` came from */
	struct ps2 device[2];         /* [lock] keyboard, mouse */
};

void i8042_init(struct i8042 *k);

extern const struct mmio_ops i8042_data_ops;    /* 1 port */
extern const struct mmio_ops i8042_command_ops; /* 1 port */
extern const struct device_type i8042_device;

#endif
