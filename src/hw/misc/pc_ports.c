/* SPDX-License-Identifier: MIT */
/*
 * Ports 0x61, 0x80 and 0x92 (IBM PS/2 Hardware Interface Technical Reference, "System control ports"; PIIX3 datasheet,
 * 2.5.7), 0xb2 and 0xb3 (PIIX4 datasheet, "APMC", "APMS"), 0xf0 (PIIX4 datasheet, "Coprocessor Error Register").
 */
#include "hw/misc/pc_ports.h"

#include "sched/clock.h"

enum { A_RESET = 0x01, A_A20 = 0x02 };
enum { B_GATE2 = 0x01, B_KEPT = 0x0f, B_REFRESH = 0x10, B_OUT2 = 0x20 };
#define REFRESH_NS 15085

static uint64_t port_a_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)size;
	return atomic_load(&p->port_a);
}

static void port_a_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)size;
	/* The reset bit acts when it goes from 0 to 1. */
	if ((value & A_RESET) && !(atomic_load(&p->port_a) & A_RESET) && p->reset)
		p->reset(p->opaque);
	atomic_store(&p->port_a, value & (A_RESET | A_A20));
	irq_set(&p->a20, value & A_A20);
}

static uint64_t port_b_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_ports *p = opaque;
	bool refresh = clock_now() / REFRESH_NS & 1;

	(void)off;
	(void)size;
	return atomic_load(&p->port_b) | (refresh ? B_REFRESH : 0) | (i8254_get_out(p->pit, 2) ? B_OUT2 : 0);
}

static void port_b_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)size;
	atomic_store(&p->port_b, value & B_KEPT);
	i8254_set_gate(p->pit, 2, value & B_GATE2);
}

static uint64_t post_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)size;
	return atomic_load(&p->post);
}

static void post_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)size;
	atomic_store_explicit(&p->post, (uint8_t)value, memory_order_relaxed);
}

static uint64_t apm_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)size;
	return atomic_load(&p->apm[off]);
}

static void apm_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)size;
	atomic_store(&p->apm[off], (uint8_t)value);
	if (off == 0 && p->smi)
		p->smi(p->opaque);
}

static uint64_t fpu_port_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0xff;
}

/* Any write: the error is taken note of. The latch behind FERR falls, and the FPU may go on although the error is still there. */
static void fpu_port_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_ports *p = opaque;

	(void)off;
	(void)value;
	(void)size;
	irq_set(&p->fpu_error, false);
	if (p->ignne)
		p->ignne(true);
}

void pc_ports_ferr(void *pc_ports)
{
	struct pc_ports *p = pc_ports;

	irq_set(&p->fpu_error, true);
}

static void pc_ports_reset(void *dev)
{
	struct pc_ports *p = dev;

	atomic_store(&p->port_a, A_A20);
	irq_set(&p->a20, true);
	atomic_store(&p->port_b, 0);
	atomic_store(&p->post, 0);
	atomic_store(&p->apm[0], 0);
	atomic_store(&p->apm[1], 0);
	irq_set(&p->fpu_error, false);
	if (p->ignne)
		p->ignne(false);
}

const struct mmio_ops pc_port_a_ops = {.read = port_a_read, .write = port_a_write, .min_size = 1, .max_size = 1};
const struct mmio_ops pc_port_b_ops = {.read = port_b_read, .write = port_b_write, .min_size = 1, .max_size = 1};
const struct mmio_ops pc_post_ops = {.read = post_read, .write = post_write, .min_size = 1, .max_size = 1};

const struct mmio_ops pc_apm_ops = {.read = apm_read, .write = apm_write, .min_size = 1, .max_size = 1};
const struct mmio_ops pc_fpu_port_ops = {.read = fpu_port_read, .write = fpu_port_write, .min_size = 1, .max_size = 1};

const struct device_type pc_ports_device = {
	.name = "pc-ports",
	.reset = pc_ports_reset,
};
