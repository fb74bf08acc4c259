/* SPDX-License-Identifier: MIT */
/*
 * The gate of address line 20 (IBM PS/2 Hardware Interface Technical Reference): while it is closed, what lies behind the
 * first megabyte is the first megabyte again, as on an 8086 whose addresses wrap.
 *
 * Only the second megabyte is treated so: real-mode addresses end there, and the tests for the gate look there. Keyboard
 * controller and port A each have a gate; the one that was set last counts, as with QEMU. The change is one of the memory map,
 * so that TLBs and translations follow.
 */
#include "hw/pc/pc_impl.h"
#include "hw/pc/pc_map.h"
#include "mem/aspace.h"
#include "util/log.h"

#define MIB (1ull << 20)

static int close_gate(void)
{
	int ret;

	aspace_remove(&aspace_mem, MIB, MIB);
	ret = aspace_add_ram(&aspace_mem, MIB, PC_VGA_HOLE, 0, false);
	return ret ? ret : aspace_add_ram(&aspace_mem, MIB + PC_VGA_HOLE_END, MIB - PC_VGA_HOLE_END, PC_VGA_HOLE_END, false);
}

static int open_gate(void)
{
	return aspace_add_ram(&aspace_mem, MIB, MIB, MIB, false);
}

void pc_a20_init(struct pc *pc)
{
	lock_init(&pc->a20_lock, LOCK_RANK_ROUTE);
}

void pc_a20_set(void *opaque, unsigned n, bool level)
{
	struct pc *pc = opaque;

	(void)n;
	lock_acquire(&pc->a20_lock);
	if (pc->a20_off == level) {
		pc->a20_off = !level;
		if ((level ? open_gate() : close_gate()) != 0)
			warn("no memory to change the memory map for A20");
	}
	lock_release(&pc->a20_lock);
}
