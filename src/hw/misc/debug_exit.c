/* SPDX-License-Identifier: MIT */
/*
 * isa-debug-exit, QEMU's device of that name: test programs report their result through it.
 */
#include "hw/misc/debug_exit.h"

#include "vcpu/vcpu.h"

static uint64_t debug_exit_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0;
}

static void debug_exit_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	machine_request_poweroff((int)((uint32_t)value << 1 | 1));
}

const struct mmio_ops debug_exit_ops = {.read = debug_exit_read, .write = debug_exit_write, .min_size = 1, .max_size = 4};
