/* SPDX-License-Identifier: MIT */
/*
 * In memory: the image where it wants to be, the initrd at the top of low RAM, and one block at 0x10000 with start
 * information, memory map, module entry, descriptors and command line.
 */
#include "hw/fw/pvh.h"

#include <stdlib.h>
#include <string.h>

#include "hw/fw/elf_image.h"
#include "hw/fw/image_file.h"
#include "mem/aspace.h"
#include "util/err.h"
#include "vcpu/vcpu.h"

#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u
#define ADDR_BLOCK 0x10000u
#define CMDLINE_MAX 0xffffu

enum {
	START_VERSION = 4,
	START_NR_MODULES = 12,
	START_MODULES = 16,
	START_CMDLINE = 24,
	START_RSDP = 32,
	START_MAP = 40,
	START_NR_MAP = 48,
	START_SIZE = 56,
};
enum { MAP_ENTRY = 24, MODULE_SIZE = 32, CODE_SEL = 0x08, DATA_SEL = 0x10, DESC_SIZE = 24 };
enum {
	OFF_MODULE = START_SIZE,
	OFF_DESC = OFF_MODULE + MODULE_SIZE,
	OFF_MAP = OFF_DESC + DESC_SIZE,
	OFF_CMDLINE = OFF_MAP + E820_MAX * MAP_ENTRY,
};

struct pvh {
	struct image_file kernel, initrd; /* [const] */
	uint8_t *data;                    /* [const] the whole kernel file */
	struct elf_image image;           /* [const] of `data` */
	char *cmdline;                    /* [const] */
	gpa_t initrd_addr;                /* [const] */
};

static void pvh_free(void *loader)
{
	struct pvh *p = loader;

	image_close(&p->kernel);
	image_close(&p->initrd);
	free(p->data);
	free(p->cmdline);
	free(p);
}

static int read_kernel(struct pvh *p, const char *path, struct err *err)
{
	const uint8_t *entry;
	size_t len = 0;

	if (image_open(&p->kernel, "kernel", path, err) != 0)
		return -1;
	if (p->kernel.size > IMAGE_KERNEL_MAX)
		return err_set(err, "kernel '%s' is larger than 1 GiB", path);
	p->data = image_read_all(&p->kernel, err);
	if (!p->data || elf_parse(&p->image, p->data, p->kernel.size, path, err) != 0)
		return -1;
	entry = elf_find_note(&p->image, "Xen", NOTE_PHYS32_ENTRY, &len);
	if (!entry || (len != 4 && len != 8))
		return err_set(err, "kernel '%s' is an ELF file without a multiboot header and without a PVH entry note", path);
	p->image.entry = get_le(entry, (unsigned)len);
	return 0;
}

static int place(struct pvh *p, const struct boot_config *c, struct err *err)
{
	if (strlen(p->cmdline) > CMDLINE_MAX)
		return err_set(err, "kernel command line too long: %zu characters, at most %u", strlen(p->cmdline), CMDLINE_MAX);
	if (elf_overlaps(&p->image, ADDR_BLOCK, OFF_CMDLINE + strlen(p->cmdline) + 1))
		return err_set(err, "kernel '%s' wants to be where its start information goes, at 0x%x", c->kernel, ADDR_BLOCK);
	if (p->image.high > c->low_ram)
		return err_set(err, "kernel '%s' does not fit into guest memory: it needs %llu MiB, give more with -m", c->kernel,
			       (unsigned long long)(p->image.high + 0xfffff) >> 20);
	if (!c->initrd)
		return 0;
	if (image_open(&p->initrd, "initrd", c->initrd, err) != 0)
		return -1;
	p->initrd_addr = (c->low_ram - p->initrd.size) & GUEST_PAGE_MASK;
	if (p->initrd.size > c->low_ram || p->initrd_addr < p->image.high)
		return err_set(err, "initrd '%s' (%llu KiB) does not fit into guest memory beside the kernel: give more with -m",
			       c->initrd, (unsigned long long)(p->initrd.size + 1023) >> 10);
	return 0;
}

static void *pvh_open(const struct boot_config *c, struct err *err)
{
	struct pvh *p = calloc(1, sizeof(*p));

	if (p)
		p->cmdline = strdup(c->cmdline ? c->cmdline : "");
	if (!p || !p->cmdline)
		err_set(err, "out of memory");
	else if (read_kernel(p, c->kernel, err) == 0 && place(p, c, err) == 0)
		return p;
	if (p)
		pvh_free(p);
	return NULL;
}

static int write_block(const struct pvh *p, const struct boot_machine *machine)
{
	static uint8_t b[OFF_CMDLINE + CMDLINE_MAX + 1];
	size_t len = strlen(p->cmdline) + 1;
	unsigned n = machine->nr_map < E820_MAX ? machine->nr_map : E820_MAX;

	memset(b, 0, sizeof(b));
	put_le(b, START_MAGIC, 4);
	put_le(b + START_VERSION, 1, 4);
	put_le(b + START_NR_MODULES, p->initrd.path ? 1 : 0, 4);
	put_le(b + START_MODULES, p->initrd.path ? ADDR_BLOCK + OFF_MODULE : 0, 8);
	put_le(b + START_CMDLINE, ADDR_BLOCK + OFF_CMDLINE, 8);
	put_le(b + START_RSDP, machine->rsdp, 8);
	put_le(b + START_MAP, ADDR_BLOCK + OFF_MAP, 8);
	put_le(b + START_NR_MAP, n, 4);
	put_le(b + OFF_MODULE, p->initrd_addr, 8);
	put_le(b + OFF_MODULE + 8, p->initrd.size, 8);
	put_le(b + OFF_DESC + CODE_SEL, 0x00cf9b000000ffffull, 8);
	put_le(b + OFF_DESC + DATA_SEL, 0x00cf93000000ffffull, 8);
	for (unsigned i = 0; i < n; i++) {
		put_le(b + OFF_MAP + i * MAP_ENTRY, machine->map[i].start, 8);
		put_le(b + OFF_MAP + i * MAP_ENTRY + 8, machine->map[i].size, 8);
		put_le(b + OFF_MAP + i * MAP_ENTRY + 16, machine->map[i].type, 4);
	}
	memcpy(b + OFF_CMDLINE, p->cmdline, len);
	return dma_write(ADDR_BLOCK, b, OFF_CMDLINE + len);
}

static int pvh_load(void *loader, const struct boot_machine *machine, struct vcpu_boot_state *start, struct err *err)
{
	struct pvh *p = loader;

	if (elf_load(&p->image) != 0 || write_block(p, machine) != 0)
		return err_set(err, "kernel '%s' wants to be where the machine has no RAM (0x%llx to 0x%llx)", p->kernel.path,
			       (unsigned long long)p->image.low, (unsigned long long)p->image.high - 1);
	if (p->initrd.path && image_to_ram(&p->initrd, p->initrd_addr, err) != 0)
		return -1;
	*start = (struct vcpu_boot_state){
		.word_bits = 32,
		.entry = p->image.entry,
		.arg = {[BOOT_ARG_B] = ADDR_BLOCK},
		.desc_table = ADDR_BLOCK + OFF_DESC,
		.desc_limit = DESC_SIZE - 1,
		.code_sel = CODE_SEL,
		.data_sel = DATA_SEL,
	};
	return 0;
}

const struct boot_loader pvh_loader = {pvh_open, pvh_load, pvh_free};
