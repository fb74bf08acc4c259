/* SPDX-License-Identifier: MIT */
/*
 * Memory that the guest gives to a paravirtual interface, by its guest-physical address. Looked up each time: the memory map may change.
 * Threads: the vCPU's own. RCU: reader.
 */
#ifndef COHORT_VCPU_X86_PV_AREA_H
#define COHORT_VCPU_X86_PV_AREA_H

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"

/* NULL: not all of it is RAM that can be written. */
static inline void *x86_pv_area(gpa_t addr, size_t size, ram_off_t *off)
{
	gpa_t start;
	uint64_t avail;
	bool rom;

	*off = aspace_find_ram_rcu(addr, &start, &avail, &rom);
	return *off == ASPACE_NOT_RAM || rom || avail < size ? NULL : ram_ptr(*off);
}

/* After stores to it: code that was there is gone. */
static inline void x86_pv_area_written(ram_off_t off, size_t size)
{
	if (unlikely(code_watch_is_code(off) || code_watch_is_code(off + size - 1)))
		code_watch_store(off, size);
}

#endif
