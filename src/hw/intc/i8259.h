/* SPDX-License-Identifier: MIT */
/*
 * A pair of 8259A interrupt controllers, cascaded through input 2, with the PC's edge/level registers (ELCR).
 *
 * Owner:   the board.
 * Threads: registers from any vCPU, i8259_set_irq() from any thread, i8259_inta() from the vCPU that acknowledges.
 * Rule:    `lock` (rank PIC) guards everything not [const]; it is held while the output line changes.
 */
#ifndef COHORT_HW_INTC_I8259_H
#define COHORT_HW_INTC_I8259_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "util/lock.h"

struct i8259_chip {
	uint8_t irr;         /* requests: latched edges and asserted level inputs */
	uint8_t isr;
	uint8_t imr;
	uint8_t lines;       /* inputs as they are */
	uint8_t elcr;        /* 1: level-triggered */
	uint8_t base;        /* ICW2 */
	uint8_t lowest;      /* input with the lowest priority */
	uint8_t icw_step;    /* next ICW expected at the odd port, 0 when initialised */
	bool icw4_needed;
	bool single;
	bool auto_eoi;
	bool rotate_on_aeoi;
	bool special_mask;
	bool special_nested; /* special fully nested mode */
	bool read_isr;
	bool poll;
};

struct i8259 {
	struct ranked_lock lock;    /* rank PIC */
	struct i8259_chip chip[2];  /* [lock] master, slave */
	bool out_level;             /* [lock] */
	struct irq_line out;        /* [const] INTR */
	struct irq_line out2;       /* [const] a second receiver of INTR (I/O APIC pin 0) */
	struct i8259_port {
		struct i8259 *pic;
		unsigned chip;
	} port[2];                  /* [const] opaques of the port ranges */
};

void i8259_init(struct i8259 *pic);
void i8259_set_elcr(struct i8259 *pic, uint16_t level_inputs); /* set-up by firmware */
void i8259_set_irq(void *opaque, unsigned n, bool level); /* irq_line receiver, n = 0..15 */
/* Interrupt acknowledge: the vector (that of input 7 when the request went away). apic_bus.inta. */
int i8259_inta(void *opaque);

extern const struct mmio_ops i8259_port_ops; /* 2 ports per chip, opaque = &pic->port[chip] */
extern const struct mmio_ops i8259_elcr_ops; /* 2 ports, opaque = pic */
extern const struct device_type i8259_device;

#endif
