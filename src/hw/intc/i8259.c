/* SPDX-License-Identifier: MIT */
/*
 * 8259A pair (Intel 8259A datasheet, order number 231468; ELCR: PIIX3 datasheet, 2.5.6).
 *
 * One deliberate difference: an edge stays latched when its line falls before the acknowledge, as in other PC
 * emulators; devices of ours may therefore pulse a line. A level input that falls is gone, and an acknowledge that
 * finds nothing answers input 7 without an ISR bit (the spurious interrupt).
 */
#include "hw/intc/i8259.h"

#include <string.h>

#define MASTER 0
#define SLAVE 1
#define CASCADE 2
#define SPURIOUS 7

static const uint8_t elcr_writable[2] = {0xf8, 0xde}; /* 0, 1, 2, 8 and 13 are always edges */

/* Priority of an input: 0 is highest. */
static unsigned prio_of(const struct i8259_chip *c, unsigned n)
{
	return (n - c->lowest - 1u) & 7;
}

/* The set input with the highest priority, or -1. */
static int best_of(const struct i8259_chip *c, uint8_t set)
{
	for (unsigned i = 1; i <= 8; i++)
		if (set & 1u << ((c->lowest + i) & 7))
			return (c->lowest + i) & 7;
	return -1;
}

/* The input whose request would be put through now, or -1. */
static int request_of(const struct i8259_chip *c, bool master)
{
	int want = best_of(c, c->irr & ~c->imr);
	uint8_t busy = c->special_mask ? c->isr & ~c->imr : c->isr;
	int cur;

	if (want < 0)
		return -1;
	/* Special fully nested: the slave may interrupt again while its input is in service. */
	if (c->special_nested && master)
		busy &= (uint8_t)~(1u << CASCADE);
	cur = best_of(c, busy);
	if (c->special_mask)
		return c->isr & 1u << want ? -1 : want;
	return cur >= 0 && prio_of(c, (unsigned)want) >= prio_of(c, (unsigned)cur) ? -1 : want;
}

static void chip_line(struct i8259_chip *c, unsigned n, bool level)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !(c->lines & bit))
		c->irr |= bit;
	c->lines = level ? c->lines | bit : c->lines & ~bit;
}

/* Carries the slave's output to the master and the master's to the world. */
static void update_locked(struct i8259 *pic)
{
	bool level;

	/* The cascade input follows the slave's output, whatever the trigger mode: no edge of it may be lost. */
	if (request_of(&pic->chip[SLAVE], false) >= 0)
		pic->chip[MASTER].irr |= 1u << CASCADE;
	else
		pic->chip[MASTER].irr &= (uint8_t)~(1u << CASCADE);
	level = request_of(&pic->chip[MASTER], true) >= 0;
	if (level == pic->out_level)
		return;
	pic->out_level = level;
	irq_set(&pic->out, level);
	irq_set(&pic->out2, level);
}

void i8259_set_irq(void *opaque, unsigned n, bool level)
{
	struct i8259 *pic = opaque;

	if (n > 15 || n == CASCADE)
		return;
	lock_acquire(&pic->lock);
	chip_line(&pic->chip[n >> 3], n & 7, level);
	update_locked(pic);
	lock_release(&pic->lock);
}

/* One chip's part of the acknowledge cycle. */
static void chip_ack(struct i8259_chip *c, unsigned n)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (!(c->elcr & bit))
		c->irr &= ~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_on_aeoi)
		c->lowest = (uint8_t)n;
}

/* Both INTA pulses; the slave answers when the master put its input through. */
static int ack_locked(struct i8259 *pic)
{
	int n = request_of(&pic->chip[MASTER], true);
	int s;

	if (n < 0)
		return pic->chip[MASTER].base + SPURIOUS;
	if (n != CASCADE || pic->chip[MASTER].single) {
		chip_ack(&pic->chip[MASTER], (unsigned)n);
		return pic->chip[MASTER].base + n;
	}
	s = request_of(&pic->chip[SLAVE], false);
	chip_ack(&pic->chip[MASTER], CASCADE);
	if (s < 0)
		return pic->chip[SLAVE].base + SPURIOUS;
	chip_ack(&pic->chip[SLAVE], (unsigned)s);
	return pic->chip[SLAVE].base + s;
}

int i8259_inta(void *opaque)
{
	struct i8259 *pic = opaque;
	int vector;

	lock_acquire(&pic->lock);
	vector = ack_locked(pic);
	/* A new edge for whatever is still requested, so that who waits for INTR sees it rise again. */
	if (pic->out_level) {
		pic->out_level = false;
		irq_set(&pic->out, false);
		irq_set(&pic->out2, false);
	}
	update_locked(pic);
	lock_release(&pic->lock);
	return vector;
}

static void icw1(struct i8259_chip *c, uint8_t value)
{
	uint8_t lines = c->lines, elcr = c->elcr;

	memset(c, 0, sizeof(*c));
	c->lines = lines;
	c->elcr = elcr;
	c->irr = lines & elcr; /* edges start anew */
	c->lowest = 7;
	c->icw_step = 2;
	c->icw4_needed = value & 1;
	c->single = value & 2;
}

/* Non-specific end of interrupt: the highest-priority input in service; with special mask, of those not masked. */
static int eoi_target(const struct i8259_chip *c)
{
	return best_of(c, c->special_mask ? c->isr & ~c->imr : c->isr);
}

static void ocw2(struct i8259_chip *c, uint8_t value)
{
	bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
	int n = specific ? value & 7 : eoi_target(c);

	if (!eoi && !specific) {
		c->rotate_on_aeoi = rotate;
		return;
	}
	if (n < 0)
		return;
	if (eoi)
		c->isr &= (uint8_t)~(1u << n);
	if (rotate)
		c->lowest = (uint8_t)n;
}

static void ocw3(struct i8259_chip *c, uint8_t value)
{
	if (value & 0x40)
		c->special_mask = value & 0x20;
	if (value & 4)
		c->poll = true;
	if (value & 2)
		c->read_isr = value & 1;
}

static void odd_write(struct i8259_chip *c, uint8_t value)
{
	switch (c->icw_step) {
	case 0:
		c->imr = value;
		return;
	case 2:
		c->base = value & 0xf8;
		c->icw_step = !c->single ? 3 : c->icw4_needed ? 4 : 0;
		return;
	case 3: /* the wiring of the cascade is fixed */
		c->icw_step = c->icw4_needed ? 4 : 0;
		return;
	default:
		c->special_nested = value & 0x10;
		c->auto_eoi = value & 2;
		c->icw_step = 0;
	}
}

static void port_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8259_port *p = opaque;
	struct i8259_chip *c = &p->pic->chip[p->chip];

	(void)size;
	lock_acquire(&p->pic->lock);
	if (off & 1)
		odd_write(c, (uint8_t)value);
	else if (value & 0x10)
		icw1(c, (uint8_t)value);
	else if (value & 0x08)
		ocw3(c, (uint8_t)value);
	else
		ocw2(c, (uint8_t)value);
	update_locked(p->pic);
	lock_release(&p->pic->lock);
}

/* A poll acts as an acknowledge and tells the input. */
static uint8_t poll_read(struct i8259_chip *c, bool master)
{
	int n = request_of(c, master);

	c->poll = false;
	if (n < 0)
		return 0;
	chip_ack(c, (unsigned)n);
	return (uint8_t)(0x80 | n);
}

static uint64_t port_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8259_port *p = opaque;
	struct i8259_chip *c = &p->pic->chip[p->chip];
	uint8_t v;

	(void)size;
	lock_acquire(&p->pic->lock);
	if (c->poll) {
		v = poll_read(c, p->chip == MASTER);
		update_locked(p->pic);
	} else {
		v = off & 1 ? c->imr : c->read_isr ? c->isr : c->irr;
	}
	lock_release(&p->pic->lock);
	return v;
}

static uint64_t elcr_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8259 *pic = opaque;
	uint8_t v;

	(void)size;
	lock_acquire(&pic->lock);
	v = pic->chip[off & 1].elcr;
	lock_release(&pic->lock);
	return v;
}

static void set_elcr_locked(struct i8259 *pic, unsigned chip, uint8_t value)
{
	struct i8259_chip *c = &pic->chip[chip];
	uint8_t level = value & elcr_writable[chip];

	/* Inputs that become level-triggered request by their level from now on. */
	c->irr = (uint8_t)((c->irr & ~(level & ~c->elcr)) | (level & c->lines));
	c->elcr = level;
	update_locked(pic);
}

void i8259_set_elcr(struct i8259 *pic, uint16_t level_inputs)
{
	lock_acquire(&pic->lock);
	set_elcr_locked(pic, MASTER, (uint8_t)level_inputs);
	set_elcr_locked(pic, SLAVE, level_inputs >> 8);
	lock_release(&pic->lock);
}

static void elcr_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct i8259 *pic = opaque;

	(void)size;
	lock_acquire(&pic->lock);
	set_elcr_locked(pic, off & 1, (uint8_t)value);
	lock_release(&pic->lock);
}

static void i8259_reset(void *dev)
{
	struct i8259 *pic = dev;

	lock_acquire(&pic->lock);
	for (unsigned i = 0; i < 2; i++) {
		pic->chip[i].elcr = 0;
		icw1(&pic->chip[i], 0);
		pic->chip[i].icw_step = 0;
		pic->chip[i].imr = 0xff; /* nothing comes through before someone sets the pair up */
	}
	update_locked(pic);
	lock_release(&pic->lock);
}

void i8259_init(struct i8259 *pic)
{
	lock_init(&pic->lock, LOCK_RANK_PIC);
	for (unsigned i = 0; i < 2; i++)
		pic->port[i] = (struct i8259_port){pic, i};
	i8259_reset(pic);
}

const struct mmio_ops i8259_port_ops = {.read = port_read, .write = port_write, .min_size = 1, .max_size = 1};
const struct mmio_ops i8259_elcr_ops = {.read = elcr_read, .write = elcr_write, .min_size = 1, .max_size = 1};

const struct device_type i8259_device = {
	.name = "i8259",
	.reset = i8259_reset,
};
