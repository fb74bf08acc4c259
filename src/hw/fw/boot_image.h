/* SPDX-License-Identifier: MIT */
/*
 * Starting what -kernel names without firmware: finds out whether it is a Linux bzImage (linuxboot.h), a multiboot image
 * (multiboot.h) or an ELF file with a PVH entry (pvh.h), and loads it.
 *
 * Owner:   the board. Open once; load at each power-on or reset, with the vCPUs paused, because the guest has overwritten
 *          what was loaded before.
 */
#ifndef COHORT_HW_FW_BOOT_IMAGE_H
#define COHORT_HW_FW_BOOT_IMAGE_H

#include "hw/fw/e820.h"
#include "util/types.h"

struct boot_image;
struct err;
struct vcpu_boot_state;

struct boot_config {
	const char *kernel;
	const char *initrd;   /* a file, or modules "FILE ARG...,FILE..."; may be NULL */
	const char *cmdline;  /* may be NULL */
	uint64_t low_ram;     /* end of the RAM the loader may use, below 4 GiB */
};

/* What the machine tells a loader at each load. */
struct boot_machine {
	const struct e820_entry *map;
	unsigned nr_map;
	gpa_t rsdp;           /* ACPI's root pointer; 0: no tables */
};

/* What boot_image.c wants of a loader. `load` fails when a file cannot be read any more. */
struct boot_loader {
	void *(*open)(const struct boot_config *config, struct err *err); /* NULL and one line of text */
	int (*load)(void *loader, const struct boot_machine *machine, struct vcpu_boot_state *start, struct err *err);
	void (*free)(void *loader);
};

struct boot_image *boot_image_open(const struct boot_config *config, struct err *err);
int must_check boot_image_load(struct boot_image *b, const struct boot_machine *machine, struct vcpu_boot_state *start,
			       struct err *err);
void boot_image_free(struct boot_image *b);

#endif
