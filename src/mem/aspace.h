/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical address spaces: memory and I/O ports.
 *
 * A space is an immutable, sorted array of ranges (struct aspace_view) published by RCU. Devices and the board add
 * ranges before the machine starts or later; every change publishes a new view and then runs the registered listeners,
 * which flush the TLBs.
 *
 * Threads: lookups from any registered RCU reader; changes from any thread, serialised by the map lock (rank MAP).
 */
#ifndef COHORT_MEM_ASPACE_H
#define COHORT_MEM_ASPACE_H

#include <stdio.h>

#include "util/types.h"

/*
 * Callbacks of an MMIO or port range. `off` is relative to the range's start, `size` is 1, 2, 4 or 8 and within
 * [min_size, max_size]; wider or narrower guest accesses are split or widened by the dispatcher (narrower reads shift and mask; narrower writes
 * are passed as they are if min_size is 1, else dropped into the containing word). Called on vCPU threads with no lock held.
 */
struct mmio_ops {
	uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
	void (*write)(void *opaque, uint64_t off, uint64_t value, unsigned size);
	uint8_t min_size, max_size; /* 0 means 1 and 8 (ports: 4) */
};

struct aspace;
extern struct aspace aspace_mem, aspace_io;

/* Adds RAM: guest-physical [gpa, gpa+size) is RAM offset [off, off+size). ROM: stores are ignored. */
int must_check aspace_add_ram(struct aspace *as, gpa_t gpa, uint64_t size, ram_off_t off, bool rom);
/* Overlapping ranges: the range added last wins. `name` must live as long as the range. */
int must_check aspace_add_mmio(struct aspace *as, gpa_t gpa, uint64_t size, const struct mmio_ops *ops, void *opaque,
			       const char *name);
void aspace_remove(struct aspace *as, gpa_t gpa, uint64_t size);

/*
 * RAM that lies behind other ranges of aspace_mem and takes their place for those who may see it: nobody, the CPUs that are in a mode of their
 * firmware's own, or everybody.
 *   aspace_set_hidden()    once, before the machine starts
 *   aspace_show_hidden()   any thread; the listener runs
 *   aspace_see_hidden()    a vCPU's own thread: whether its CPU is in that mode. Its TLB is the caller's to flush.
 * Device callbacks that the thread runs meanwhile see what its CPU sees.
 */
enum aspace_viewers { ASPACE_NOBODY, ASPACE_SOME, ASPACE_EVERYBODY };
void aspace_set_hidden(gpa_t gpa, uint64_t size, ram_off_t off);
void aspace_show_hidden(enum aspace_viewers who);
void aspace_see_hidden(bool on);

/*
 * RAM lookup, RCU reader. Returns the RAM offset of gpa, with the bytes up to the end of that RAM range in *avail and
 * its first byte's gpa in *start; or ASPACE_NOT_RAM. *rom tells ROM.
 */
#define ASPACE_NOT_RAM (~(ram_off_t)0)
ram_off_t aspace_find_ram_rcu(gpa_t gpa, gpa_t *start, uint64_t *avail, bool *rom);

/* Device access, RCU reader, no lock held. Nobody there: reads give all ones, writes are dropped. RAM works too. */
uint64_t mmio_read(gpa_t gpa, unsigned size);
void mmio_write(gpa_t gpa, uint64_t value, unsigned size);
uint64_t pio_read(uint16_t port, unsigned size);
void pio_write(uint16_t port, uint64_t value, unsigned size);

/* Called after each change of aspace_mem, no lock held. */
void aspace_set_listener(void (*changed)(void));

/*
 * Copies to and from guest-physical RAM for loaders and DMA; any thread. Stores go through the code watch, so blocks translated
 * from the bytes die. Return 0, or -EFAULT when some byte is not RAM (nothing is copied beyond it).
 */
int dma_read(gpa_t gpa, void *buf, size_t len);
int dma_write(gpa_t gpa, const void *buf, size_t len); /* ROM: not written, no error */

/* The map as text, for the monitor. RCU reader. */
void aspace_print(struct aspace *as, FILE *out);

#endif
