/* SPDX-License-Identifier: MIT */
/*
 * The information a multiboot image gets (Multiboot Specification 0.6.96, 3.3), as one block of guest RAM.
 *
 * Owner:   multiboot.c.
 */
#ifndef COHORT_HW_FW_MULTIBOOT_INFO_H
#define COHORT_HW_FW_MULTIBOOT_INFO_H

#include "hw/fw/e820.h"
#include "hw/fw/image_file.h"
#include "util/types.h"

struct mb_module {
	struct image_file file;
	char *text;    /* file name and arguments */
	gpa_t start;
};

struct mb_info_input {
	const char *cmdline;
	const struct mb_module *module;
	unsigned nr_modules;
	const struct e820_entry *map;
	unsigned nr_map;
};

/* Flat segments for the start, as other loaders have them. */
#define MB_CODE_SEL 0x08
#define MB_DATA_SEL 0x10
#define MB_DESC_SIZE 24

struct mb_info_place {
	gpa_t at;           /* of the block, and of the information structure */
	gpa_t descriptors;  /* set by mb_info_write() */
};

size_t mb_info_size(const struct mb_info_input *in);
int must_check mb_info_write(const struct mb_info_input *in, struct mb_info_place *place);

#endif
