/* SPDX-License-Identifier: MIT */
/*
 * One block, in this order: information structure, descriptors, memory map, module list, texts.
 */
#include "hw/fw/multiboot_info.h"

#include <stdlib.h>
#include <string.h>

#include "mem/aspace.h"

/* The structure. Not there: boot device (no disk was read), symbols, drives, APM, video. */
enum {
	INFO_FLAGS = 0,
	INFO_MEM_LOWER = 4,
	INFO_MEM_UPPER = 8,
	INFO_CMDLINE = 16,
	INFO_MODS_COUNT = 20,
	INFO_MODS_ADDR = 24,
	INFO_MMAP_LENGTH = 44,
	INFO_MMAP_ADDR = 48,
	INFO_LOADER_NAME = 64,
	INFO_SIZE = 120,
};
enum { HAS_MEMORY = 1 << 0, HAS_CMDLINE = 1 << 2, HAS_MODULES = 1 << 3, HAS_MMAP = 1 << 6, HAS_LOADER_NAME = 1 << 9 };
enum { MMAP_ENTRY = 24, MODULE_ENTRY = 16 };

#define MIB (1ull << 20)
#define UPPER_END (1ull << 32)

static const char loader_name[] = "cohort";

static size_t texts_offset(const struct mb_info_input *in)
{
	return INFO_SIZE + MB_DESC_SIZE + in->nr_map * MMAP_ENTRY + in->nr_modules * MODULE_ENTRY;
}

size_t mb_info_size(const struct mb_info_input *in)
{
	size_t size = texts_offset(in) + strlen(in->cmdline) + 1 + sizeof(loader_name);

	for (unsigned i = 0; i < in->nr_modules; i++)
		size += strlen(in->module[i].text) + 1;
	return size;
}

/* KiB of RAM without a hole from `start`; none where no entry begins. */
static uint64_t ram_from(const struct mb_info_input *in, gpa_t start)
{
	gpa_t end = start;

	for (unsigned i = 0; i < in->nr_map; i++)
		if (in->map[i].type == E820_RAM && in->map[i].start == end && end < UPPER_END)
			end += in->map[i].size;
	return (end - start) >> 10;
}

static void put_map(uint8_t *p, const struct mb_info_input *in)
{
	for (unsigned i = 0; i < in->nr_map; i++, p += MMAP_ENTRY) {
		put_le(p, MMAP_ENTRY - 4, 4); /* without this field */
		put_le(p + 4, in->map[i].start, 8);
		put_le(p + 12, in->map[i].size, 8);
		put_le(p + 20, in->map[i].type, 4);
	}
}

/* The block under construction: where the next text goes. */
struct texts {
	uint8_t *block;
	gpa_t at;
	size_t next;
};

static uint64_t put_text(struct texts *t, const char *text)
{
	size_t len = strlen(text) + 1;
	gpa_t where = t->at + t->next;

	memcpy(t->block + t->next, text, len);
	t->next += len;
	return where;
}

static void put_modules(uint8_t *p, const struct mb_info_input *in, struct texts *t)
{
	for (unsigned i = 0; i < in->nr_modules; i++, p += MODULE_ENTRY) {
		put_le(p, in->module[i].start, 4);
		put_le(p + 4, in->module[i].start + in->module[i].file.size, 4);
		put_le(p + 8, put_text(t, in->module[i].text), 4);
	}
}

int mb_info_write(const struct mb_info_input *in, struct mb_info_place *place)
{
	const size_t map = INFO_SIZE + MB_DESC_SIZE, modules = map + in->nr_map * MMAP_ENTRY, size = mb_info_size(in);
	uint8_t *b = calloc(1, size);
	struct texts t = {b, place->at, texts_offset(in)};
	int ret;

	if (!b)
		return -1;
	put_le(b + INFO_FLAGS, HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MMAP | HAS_LOADER_NAME, 4);
	put_le(b + INFO_MEM_LOWER, ram_from(in, 0), 4);
	put_le(b + INFO_MEM_UPPER, ram_from(in, MIB), 4);
	put_le(b + INFO_CMDLINE, put_text(&t, in->cmdline), 4);
	put_le(b + INFO_MODS_COUNT, in->nr_modules, 4);
	put_le(b + INFO_MODS_ADDR, place->at + modules, 4);
	put_le(b + INFO_MMAP_LENGTH, (uint64_t)in->nr_map * MMAP_ENTRY, 4);
	put_le(b + INFO_MMAP_ADDR, place->at + map, 4);
	put_le(b + INFO_LOADER_NAME, put_text(&t, loader_name), 4);
	place->descriptors = place->at + INFO_SIZE;
	put_le(b + INFO_SIZE + MB_CODE_SEL, 0x00cf9b000000ffffull, 8);
	put_le(b + INFO_SIZE + MB_DATA_SEL, 0x00cf93000000ffffull, 8);
	put_map(b + map, in);
	put_modules(b + modules, in, &t);
	ret = dma_write(place->at, b, size);
	free(b);
	return ret;
}
