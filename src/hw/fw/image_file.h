/* SPDX-License-Identifier: MIT */
/*
 * Files that boot loaders put into guest RAM.
 *
 * Owner:   the loader that opened it. Threads: main, with the vCPUs paused.
 */
#ifndef COHORT_HW_FW_IMAGE_FILE_H
#define COHORT_HW_FW_IMAGE_FILE_H

#include "util/types.h"

struct err;

#define IMAGE_KERNEL_MAX (1ull << 30)

struct image_file {
	char *path;    /* NULL: none */
	int fd;
	uint64_t size;
};

/* `what` ("kernel", "initrd") stands in the error's text: no such file, not a regular one. */
int must_check image_open(struct image_file *f, const char *what, const char *path, struct err *err);
void image_close(struct image_file *f); /* also of one that is all zero */

int must_check image_read(const struct image_file *f, void *buf, size_t len, uint64_t off, struct err *err);
uint8_t *image_read_all(const struct image_file *f, struct err *err); /* for free(); NULL and a text */
int must_check image_to_ram(const struct image_file *f, gpa_t to, struct err *err);
int must_check image_zero_ram(gpa_t from, uint64_t len); /* -1: not all of it is RAM */

/* Little-endian fields. */
static inline uint64_t get_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline void put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t page_up(uint64_t v)
{
	return (v + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
}

#endif
