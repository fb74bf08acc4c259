/* SPDX-License-Identifier: MIT */
/*
 * Shared interrupt lines. The lock is held while the line changes, so that its levels arrive in order.
 */
#include "hw/core/irq.h"

void irq_share_init(struct irq_share *s, struct irq_line out)
{
	lock_init(&s->lock, LOCK_RANK_ROUTE);
	s->levels = 0;
	s->out = out;
}

void irq_share_set(void *opaque, unsigned n, bool level)
{
	struct irq_share *s = opaque;
	uint32_t bit = 1u << n, old;

	lock_acquire(&s->lock);
	old = s->levels;
	s->levels = level ? old | bit : old & ~bit;
	if (!old != !s->levels)
		irq_set(&s->out, level);
	lock_release(&s->lock);
}
