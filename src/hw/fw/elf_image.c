/* SPDX-License-Identifier: MIT */
/*
 * Nothing in the file is believed: every offset is checked against its end before use, sums cannot wrap.
 */
#include "hw/fw/elf_image.h"

#include <string.h>

#include "hw/fw/image_file.h"
#include "mem/aspace.h"
#include "util/err.h"

enum { CLASS_32 = 1, CLASS_64 = 2, LITTLE_ENDIAN_DATA = 1, TYPE_EXEC = 2, TYPE_DYN = 3, PT_LOAD = 1, PT_NOTE = 4 };

#define ADDRESS_END (1ull << 32)

bool elf_is(const uint8_t *data, size_t size)
{
	return size >= 64 && !memcmp(data, "\177ELF", 4);
}

static bool in_file(const struct elf_image *e, uint64_t off, uint64_t len)
{
	return off <= e->size && len <= e->size - off;
}

static struct elf_segment get_segment(const struct elf_image *e, const uint8_t *p)
{
	if (e->is_64)
		return (struct elf_segment){.off = get_le(p + 8, 8), .virt = get_le(p + 16, 8), .start = get_le(p + 24, 8),
					    .file_size = get_le(p + 32, 8), .mem_size = get_le(p + 40, 8)};
	return (struct elf_segment){.off = get_le(p + 4, 4), .virt = get_le(p + 8, 4), .start = get_le(p + 12, 4),
				    .file_size = get_le(p + 16, 4), .mem_size = get_le(p + 20, 4)};
}

static int add_segment(struct elf_image *e, const struct elf_segment *s, const char *path, struct err *err)
{
	if (!s->mem_size)
		return 0;
	if (s->mem_size < s->file_size)
		return err_set(err, "kernel '%s': an ELF segment has more bytes in the file than in memory", path);
	if (s->start >= ADDRESS_END || s->mem_size > ADDRESS_END - s->start)
		return err_set(err, "kernel '%s': an ELF segment lies above 4 GiB", path);
	if (e->nr_segs == ELF_MAX_SEGMENTS)
		return err_set(err, "kernel '%s' has more than %d ELF segments", path, ELF_MAX_SEGMENTS);
	e->seg[e->nr_segs++] = *s;
	if (s->start < e->low)
		e->low = s->start;
	if (s->start + s->mem_size > e->high)
		e->high = s->start + s->mem_size;
	return 0;
}

static int parse_segments(struct elf_image *e, const char *path, struct err *err)
{
	const uint8_t *h = e->data;
	uint64_t off = get_le(h + (e->is_64 ? 32 : 28), e->is_64 ? 8 : 4);
	uint64_t entry_size = get_le(h + (e->is_64 ? 54 : 42), 2), nr = get_le(h + (e->is_64 ? 56 : 44), 2);

	if (entry_size < (e->is_64 ? 56 : 32) || !in_file(e, off, entry_size * nr))
		return err_set(err, "kernel '%s': its ELF program headers are not in the file", path);
	for (; nr--; off += entry_size) {
		const uint64_t type = get_le(h + off, 4);
		const struct elf_segment s = get_segment(e, h + off);

		if (type != PT_LOAD && type != PT_NOTE)
			continue;
		if (!in_file(e, s.off, s.file_size))
			return err_set(err, "kernel '%s' is truncated: an ELF segment ends behind the file", path);
		if (type == PT_NOTE && e->nr_notes < ELF_MAX_SEGMENTS)
			e->note[e->nr_notes++] = s;
		else if (type == PT_LOAD && add_segment(e, &s, path, err) != 0)
			return -1;
	}
	return e->nr_segs ? 0 : err_set(err, "kernel '%s' has no ELF segment to load", path);
}

static gpa_t physical_entry(const struct elf_image *e, uint64_t entry)
{
	for (unsigned i = 0; i < e->nr_segs; i++)
		if (entry >= e->seg[i].virt && entry - e->seg[i].virt < e->seg[i].mem_size)
			return entry - e->seg[i].virt + e->seg[i].start;
	return entry;
}

int elf_parse(struct elf_image *e, const uint8_t *data, size_t size, const char *path, struct err *err)
{
	uint64_t type;

	*e = (struct elf_image){.data = data, .size = size, .low = UINT64_MAX};
	if (!elf_is(data, size))
		return err_set(err, "kernel '%s' is not an ELF file", path);
	type = get_le(data + 16, 2);
	e->machine = (unsigned)get_le(data + 18, 2);
	e->is_64 = data[4] == CLASS_64;
	if ((data[4] != CLASS_32 && data[4] != CLASS_64) || data[5] != LITTLE_ENDIAN_DATA ||
	    (e->machine != ELF_MACHINE_386 && e->machine != ELF_MACHINE_X86_64))
		return err_set(err, "kernel '%s' is an ELF file for another machine than an x86 PC", path);
	if (type != TYPE_EXEC && type != TYPE_DYN)
		return err_set(err, "kernel '%s' is an ELF file but no executable", path);
	if (parse_segments(e, path, err) != 0)
		return -1;
	e->entry = physical_entry(e, get_le(data + 24, e->is_64 ? 8 : 4));
	return 0;
}

/* Name and contents are each padded to 4 bytes. */
static const uint8_t *find_in_segment(const struct elf_image *e, const struct elf_segment *s, const char *name, uint32_t type,
				      size_t *len)
{
	uint64_t off = s->off, end = s->off + s->file_size, name_size = strlen(name) + 1;

	while (end - off >= 12) {
		const uint8_t *p = e->data + off;
		uint64_t n = get_le(p, 4), d = get_le(p + 4, 4), step = 12 + ((n + 3) & ~3ull) + ((d + 3) & ~3ull);

		if (12 + ((n + 3) & ~3ull) + d > end - off)
			return NULL;
		if (get_le(p + 8, 4) == type && n == name_size && !memcmp(p + 12, name, name_size)) {
			*len = (size_t)d;
			return p + 12 + ((n + 3) & ~3ull);
		}
		if (step > end - off)
			return NULL;
		off += step;
	}
	return NULL;
}

const uint8_t *elf_find_note(const struct elf_image *e, const char *name, uint32_t type, size_t *len)
{
	for (unsigned i = 0; i < e->nr_notes; i++) {
		const uint8_t *p = find_in_segment(e, &e->note[i], name, type, len);

		if (p)
			return p;
	}
	return NULL;
}

int elf_load(const struct elf_image *e)
{
	for (unsigned i = 0; i < e->nr_segs; i++) {
		const struct elf_segment *s = &e->seg[i];

		if (dma_write(s->start, e->data + s->off, s->file_size) != 0 ||
		    image_zero_ram(s->start + s->file_size, s->mem_size - s->file_size) != 0)
			return -1;
	}
	return 0;
}

bool elf_overlaps(const struct elf_image *e, gpa_t start, uint64_t len)
{
	for (unsigned i = 0; i < e->nr_segs; i++)
		if (start < e->seg[i].start + e->seg[i].mem_size && e->seg[i].start < start + len)
			return true;
	return false;
}
