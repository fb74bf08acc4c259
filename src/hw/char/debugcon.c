/* SPDX-License-Identifier: MIT */
/*
 * Debug console, as Bochs and QEMU have it at port 0xe9.
 */
#include "hw/char/debugcon.h"

#include "hw/char/chardev.h"

#define DEBUGCON_READBACK 0xe9

static uint64_t debugcon_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return DEBUGCON_READBACK;
}

static void debugcon_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	uint8_t byte = (uint8_t)value;

	(void)off;
	(void)size;
	/* Nothing tells the guest to wait: what does not fit into the queue is dropped. */
	(void)chardev_write(opaque, &byte, 1);
}

const struct mmio_ops debugcon_ops = {.read = debugcon_read, .write = debugcon_write, .min_size = 1, .max_size = 1};
