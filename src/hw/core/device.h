/* SPDX-License-Identifier: MIT */
/*
 * What all devices have in common. A chip is an ordinary struct with its own functions; the board keeps a list of
 * {type, state} so that it can reset them all.
 *
 * Rule: reset() runs on the I/O loop thread or before start, with all vCPUs paused; it takes the device's lock because
 *       timers and character devices may still call in.
 */
#ifndef COHORT_HW_CORE_DEVICE_H
#define COHORT_HW_CORE_DEVICE_H

struct device_type {
	const char *name;
	void (*reset)(void *dev); /* to the state after power-on */
};

struct device {
	const struct device_type *type; /* [const] */
	void *state;                    /* [const] */
};

#endif
