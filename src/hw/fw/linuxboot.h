/* SPDX-License-Identifier: MIT */
/*
 * Starting a Linux bzImage without firmware (Linux Documentation/arch/x86/boot.rst): kernel, initrd, command line, boot
 * parameters, page tables and segment descriptors are put into guest RAM, and the first CPU starts in the kernel.
 *
 * Owner:   the board. linuxboot_open() once; linuxboot_load() at each power-on or reset, with the vCPUs paused, because
 *          the guest has overwritten what was loaded before.
 */
#ifndef COHORT_HW_FW_LINUXBOOT_H
#define COHORT_HW_FW_LINUXBOOT_H

#include "util/types.h"

struct err;
struct linuxboot;
struct vcpu_boot_state;

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
	gpa_t start;
	uint64_t size;
	enum e820_type type;
};

#define LINUXBOOT_MAX_E820 32

/*
 * Reads and checks everything. `low_ram` is the end of the RAM the loader may use, below 4 GiB. NULL and one line of text:
 * no such file, not a kernel, truncated, too big, ... `initrd` and `cmdline` may be NULL.
 */
struct linuxboot *linuxboot_open(const char *kernel, const char *initrd, const char *cmdline, uint64_t low_ram,
				 struct err *err);
void linuxboot_free(struct linuxboot *lb);

/* Loads and tells how to start. -1 and a text when a file cannot be read any more. */
int must_check linuxboot_load(struct linuxboot *lb, const struct e820_entry *map, unsigned nr_map, gpa_t rsdp,
			      struct vcpu_boot_state *start, struct err *err);

#endif
