/* SPDX-License-Identifier: MIT */
/*
 * ELF executables, 32-bit and 64-bit, as far as a boot loader needs them: loadable segments by physical address, the entry
 * point, and notes (System V gABI, chapters 4 and 5).
 *
 * Owner:   a loader; the bytes of the file stay its own and must live as long.
 */
#ifndef COHORT_HW_FW_ELF_IMAGE_H
#define COHORT_HW_FW_ELF_IMAGE_H

#include "util/types.h"

struct err;

#define ELF_MAX_SEGMENTS 32
#define ELF_MACHINE_386 3
#define ELF_MACHINE_X86_64 62

struct elf_segment {
	gpa_t start;
	uint64_t virt, off, file_size, mem_size;
};

struct elf_image {
	const uint8_t *data;
	size_t size;
	bool is_64;
	unsigned machine;
	gpa_t entry;       /* physical: the one in the file is virtual */
	struct elf_segment seg[ELF_MAX_SEGMENTS], note[ELF_MAX_SEGMENTS];
	unsigned nr_segs, nr_notes;
	gpa_t low, high;   /* of all segments; high is behind the last byte */
};

bool elf_is(const uint8_t *data, size_t size);

/* Checks that all it refers to lies in the file and below 4 GiB. */
int must_check elf_parse(struct elf_image *e, const uint8_t *data, size_t size, const char *path, struct err *err);

/* The note's contents, its length in `len`; NULL: there is none. */
const uint8_t *elf_find_note(const struct elf_image *e, const char *name, uint32_t type, size_t *len);

/* Segments into guest RAM, the rest of their memory zeroed. -1: not all of it is RAM. */
int must_check elf_load(const struct elf_image *e);

bool elf_overlaps(const struct elf_image *e, gpa_t start, uint64_t len);

#endif
