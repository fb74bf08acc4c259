/* SPDX-License-Identifier: MIT */
/*
 * Bytes at an offset, little-endian, whatever the width; what reaches over the end is not there.
 */
#include "hw/misc/pc_testdev.h"

#include <string.h>

#include "vcpu/vcpu.h"

static uint64_t get(struct pc_testdev *d, const uint8_t *bytes, size_t nr, uint64_t off, unsigned size)
{
	uint64_t v = 0;

	lock_acquire(&d->lock);
	for (unsigned i = 0; i < size && off + i < nr; i++)
		v |= (uint64_t)bytes[off + i] << 8 * i;
	lock_release(&d->lock);
	return v;
}

static void put(struct pc_testdev *d, uint8_t *bytes, size_t nr, uint64_t off, uint64_t value, unsigned size)
{
	lock_acquire(&d->lock);
	for (unsigned i = 0; i < size && off + i < nr; i++)
		bytes[off + i] = (uint8_t)(value >> 8 * i);
	lock_release(&d->lock);
}

static uint64_t port_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_testdev *d = opaque;

	return get(d, d->port, sizeof(d->port), off, size);
}

static void port_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_testdev *d = opaque;

	put(d, d->port, sizeof(d->port), off, value, size);
}

static uint64_t memory_read(void *opaque, uint64_t off, unsigned size)
{
	struct pc_testdev *d = opaque;

	return get(d, d->memory, sizeof(d->memory), off, size);
}

static void memory_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_testdev *d = opaque;

	put(d, d->memory, sizeof(d->memory), off, value, size);
}

static uint64_t no_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0;
}

/* A TLB is what this machine has of translations that may be forgotten without a trace; which page does not matter. */
static void flush_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)value;
	(void)size;
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpu_request(vcpus[i], VCPU_REQ_MAP);
}

static void irq_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct pc_testdev *d = opaque;

	(void)size;
	lock_acquire(&d->lock);
	irq_set(&d->irq[off], value != 0);
	lock_release(&d->lock);
}

void pc_testdev_init(struct pc_testdev *d)
{
	lock_init(&d->lock, LOCK_RANK_DEVICE);
}

static void reset(void *dev)
{
	struct pc_testdev *d = dev;

	lock_acquire(&d->lock);
	memset(d->port, 0, sizeof(d->port));
	memset(d->memory, 0, sizeof(d->memory));
	for (unsigned i = 0; i < PC_TESTDEV_IRQS; i++)
		irq_set(&d->irq[i], false);
	lock_release(&d->lock);
}

const struct mmio_ops pc_testdev_port_ops = {.read = port_read, .write = port_write, .min_size = 1, .max_size = 4};
const struct mmio_ops pc_testdev_byte_ops = {.read = port_read, .write = port_write, .min_size = 1, .max_size = 1};
const struct mmio_ops pc_testdev_flush_ops = {.read = no_read, .write = flush_write, .min_size = 4, .max_size = 4};
const struct mmio_ops pc_testdev_irq_ops = {.read = no_read, .write = irq_write, .min_size = 1, .max_size = 1};
const struct mmio_ops pc_testdev_memory_ops = {.read = memory_read, .write = memory_write, .min_size = 1, .max_size = 8};

const struct device_type pc_testdev_device = {
	.name = "pc-testdev",
	.reset = reset,
};
