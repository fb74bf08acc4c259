/* SPDX-License-Identifier: MIT */
/*
 * Copies between host buffers and guest-physical RAM, range by range. Stores announce themselves to the code watch after
 * the bytes are in place: a block translated from the old bytes dies before dma_write() returns.
 */
#include <errno.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/word.h"

int dma_read(gpa_t gpa, void *buf, size_t len)
{
	for (uint8_t *p = buf; len;) {
		uint64_t avail;
		gpa_t start;
		bool rom;
		ram_off_t off = aspace_find_ram_rcu(gpa, &start, &avail, &rom);
		size_t n = len;

		if (off == ASPACE_NOT_RAM)
			return -EFAULT;
		if (n > avail)
			n = avail;
		word_read_bytes(p, ram_ptr(off), n);
		p += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int dma_write(gpa_t gpa, const void *buf, size_t len)
{
	for (const uint8_t *p = buf; len;) {
		uint64_t avail;
		gpa_t start;
		bool rom;
		ram_off_t off = aspace_find_ram_rcu(gpa, &start, &avail, &rom);
		size_t n = len;

		if (off == ASPACE_NOT_RAM)
			return -EFAULT;
		if (n > avail)
			n = avail;
		if (!rom) {
			word_write_bytes(ram_ptr(off), p, n);
			code_watch_store(off, n);
		}
		p += n;
		gpa += n;
		len -= n;
	}
	return 0;
}
