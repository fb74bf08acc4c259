/* SPDX-License-Identifier: MIT */
/*
 * An interrupt line: a wire from one output pin to one input, with a level.
 *
 * Owner:   the device whose output it is; the board fills it in before the machine starts.
 * Threads: irq_set() from any, usually with the device lock held (rank DEVICE): receivers are interrupt controllers and
 *          routers (ranks ROUTE, PIC, INTC), which never call back into the device. A device that changes its line
 *          does so under its own lock, so that the receiver sees the levels in order.
 */
#ifndef COHORT_HW_CORE_IRQ_H
#define COHORT_HW_CORE_IRQ_H

#include "util/lock.h"
#include "util/types.h"

struct irq_line {
	void (*set)(void *opaque, unsigned n, bool level); /* [const] NULL: not connected */
	void *opaque;                                      /* [const] */
	unsigned n;                                        /* [const] the receiver's name for its input */
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, line->n, level);
}

/* A rising edge whose level nobody reads back. */
static inline void irq_pulse(const struct irq_line *line)
{
	irq_set(line, true);
	irq_set(line, false);
}

/* Several level outputs on one line: high while any of them is (hw/core/irq.c). */
struct irq_share {
	struct ranked_lock lock; /* rank ROUTE */
	uint32_t levels;         /* [lock] a bit per output */
	struct irq_line out;     /* [const] */
};

void irq_share_init(struct irq_share *s, struct irq_line out);
void irq_share_set(void *opaque, unsigned n, bool level); /* irq_line receiver: opaque is the irq_share, n the bit */

#endif
