/* SPDX-License-Identifier: MIT */
/*
 * PS/2 keyboard and mouse: what is at the far end of the keyboard controller's two cables.
 *
 * Owner:   the keyboard controller that embeds them.
 * Rule:    no lock of their own: the controller's guards them. A device answers a command at once, into its queue.
 */
#ifndef COHORT_HW_INPUT_PS2_H
#define COHORT_HW_INPUT_PS2_H

#include "util/types.h"

#define PS2_QUEUE_SIZE 32u

struct ps2;
struct ps2_type {
	void (*command)(struct ps2 *d, uint8_t cmd);
	void (*argument)(struct ps2 *d, uint8_t cmd, uint8_t arg);
	void (*defaults)(struct ps2 *d);
};

struct ps2 {
	const struct ps2_type *type; /* [const] */
	uint8_t queue[PS2_QUEUE_SIZE];
	unsigned head, len;
	uint8_t pending;             /* command that waits for its argument, 0: none */
	uint8_t last;                /* last byte sent, for "resend" */
	bool enabled;                /* scanning or reporting */
	uint8_t scancode_set;        /* keyboard */
	uint8_t resolution, rate, scaling; /* mouse */
	bool remote, wrap;           /* mouse */
};

extern const struct ps2_type ps2_keyboard, ps2_mouse;

void ps2_reset(struct ps2 *d, const struct ps2_type *type);
void ps2_write(struct ps2 *d, uint8_t byte); /* from the controller */
int ps2_read(struct ps2 *d);                 /* next byte for the controller, -1: none */

#endif
