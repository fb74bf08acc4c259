/* SPDX-License-Identifier: MIT */
/*
 * The PC's odd ports: system control port B (0x61: speaker and timer 2 gate), port A (0x92: fast A20 and reset), the
 * POST code port (0x80), which is written for its delay, the two APM ports (0xb2: asks for an SMI; 0xb3: a scratch byte for its
 * handler), and the coprocessor's port (0xf0: takes its interrupt back).
 *
 * Owner: the board. Threads: any vCPU. Rule: single bytes, atomic.
 */
#ifndef COHORT_HW_MISC_PC_PORTS_H
#define COHORT_HW_MISC_PC_PORTS_H

#include <stdatomic.h>

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/timer/i8254.h"
#include "mem/aspace.h"

struct pc_ports {
	struct i8254 *pit;           /* [const] its channel 2 */
	struct irq_line a20;         /* [const] the address gate */
	void (*reset)(void *opaque); /* [const] */
	void *opaque;                /* [const] */
	void (*smi)(void *opaque);   /* [const] the APM command port was written */
	struct irq_line fpu_error;   /* [const] */
	void (*ignne)(bool on);      /* [const] to the CPUs, or NULL */
	_Atomic uint8_t port_a;      /* [atomic] */
	_Atomic uint8_t port_b;      /* [atomic] writable bits 0-3 */
	_Atomic uint8_t post;        /* [atomic] last POST code */
	_Atomic uint8_t apm[2];      /* [atomic] command, status */
};

extern const struct mmio_ops pc_port_a_ops, pc_port_b_ops, pc_post_ops, pc_fpu_port_ops; /* 1 port each */
extern const struct mmio_ops pc_apm_ops; /* 2 ports */

void pc_ports_ferr(void *pc_ports); /* a CPU reports an FPU error; any thread */
extern const struct device_type pc_ports_device;

#endif
