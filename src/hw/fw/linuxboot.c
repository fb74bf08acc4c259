/* SPDX-License-Identifier: MIT */
/*
 * The Linux/x86 boot protocol, versions 2.06 to 2.15 (Linux Documentation/arch/x86/boot.rst, zero-page.rst).
 *
 * Low memory as we use it, all below the kernel at 1 MiB:
 *   0x8000 descriptors   0x9000 page tables (identity, 4 GiB)   0x10000 boot parameters   0x20000 command line
 * The initrd goes to the top of low RAM, as the protocol advises.
 */
#include "hw/fw/linuxboot.h"

#include <stdlib.h>
#include <string.h>

#include "hw/fw/image_file.h"
#include "mem/aspace.h"
#include "util/err.h"
#include "vcpu/vcpu.h"

#define ADDR_DESC 0x8000u
#define ADDR_TABLES 0x9000u
#define ADDR_PARAMS 0x10000u
#define ADDR_CMDLINE 0x20000u
#define ADDR_KERNEL 0x100000u
#define CMDLINE_ROOM 0x10000u

#define SECTOR 512u
#define PARAMS_SIZE 4096u
#define MIN_FILE 0x264u  /* the header up to init_size */
#define MIN_VERSION 0x206

/* Fields of the set-up header and the boot parameters, by their offset in both. */
enum {
	BP_RSDP = 0x070,
	BP_E820_COUNT = 0x1e8,
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP_LEN = 0x201,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_CMD_LINE_PTR = 0x228,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_ALIGNMENT = 0x230,
	HDR_RELOCATABLE = 0x234,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	BP_E820_TABLE = 0x2d0,
};

enum { LOADED_HIGH = 1, KEEP_SEGMENTS = 0x40, XLF_KERNEL_64 = 1, LOADER_UNDEFINED = 0xff };

struct linuxboot {
	struct image_file kernel, initrd; /* [const] */
	uint8_t *image;                   /* [const] the whole kernel file */
	const uint8_t *payload;           /* [const] what goes to 1 MiB */
	size_t payload_size;
	bool long_entry;                  /* [const] has a 64-bit entry */
	char *cmdline;                    /* [const] */
	gpa_t initrd_addr;                /* [const] */
};

static int read_kernel(struct linuxboot *lb, const char *path, struct err *err)
{
	if (image_open(&lb->kernel, "kernel", path, err) != 0)
		return -1;
	if (lb->kernel.size < MIN_FILE || lb->kernel.size > IMAGE_KERNEL_MAX)
		return err_set(err, "kernel '%s' is not a Linux bzImage: it is %s", path,
			       lb->kernel.size < MIN_FILE ? "too short" : "larger than 1 GiB");
	lb->image = image_read_all(&lb->kernel, err);
	return lb->image ? 0 : -1;
}

/* Checks. */

static int check_header(struct linuxboot *lb, struct err *err)
{
	const uint8_t *h = lb->image;
	uint64_t version = get_le(h + HDR_VERSION, 2);
	size_t setup = ((h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4) + 1u) * SECTOR;
	uint64_t size = get_le(h + HDR_SYSSIZE, 4) * 16;

	if (get_le(h + HDR_BOOT_FLAG, 2) != 0xaa55 || memcmp(h + HDR_MAGIC, "HdrS", 4) != 0)
		return err_set(err, "kernel '%s' is not a Linux bzImage: it has no boot header, nor one of multiboot",
			       lb->kernel.path);
	if (version < MIN_VERSION)
		return err_set(err, "kernel '%s' has boot protocol %u.%02u: 2.06 or newer is needed", lb->kernel.path,
			       (unsigned)version >> 8, (unsigned)version & 0xff);
	if (!(h[HDR_LOADFLAGS] & LOADED_HIGH))
		return err_set(err, "kernel '%s' is a zImage: a bzImage is needed", lb->kernel.path);
	/* The header counts in units of 16 bytes, the last of which need not be full. */
	if (setup <= lb->kernel.size && size - (lb->kernel.size - setup) < 16)
		size = lb->kernel.size - setup;
	if (!size || setup > lb->kernel.size || lb->kernel.size - setup < size)
		return err_set(err, "kernel '%s' is truncated: %llu bytes, its header promises %llu", lb->kernel.path,
			       (unsigned long long)lb->kernel.size, (unsigned long long)(setup + size));
	lb->payload = h + setup;
	lb->payload_size = size;
	lb->long_entry = version >= 0x20c && (get_le(h + HDR_XLOADFLAGS, 2) & XLF_KERNEL_64);
	return 0;
}

/* The end of what the kernel needs until it looks at the memory map itself. */
static uint64_t kernel_end(const struct linuxboot *lb)
{
	const uint8_t *h = lb->image;
	uint64_t start = ADDR_KERNEL, end = ADDR_KERNEL + lb->payload_size;
	uint64_t align = get_le(h + HDR_ALIGNMENT, 4), pref, run_end;

	if (get_le(h + HDR_VERSION, 2) < 0x20a)
		return end;
	pref = get_le(h + HDR_PREF_ADDRESS, 8);
	if (h[HDR_RELOCATABLE] && align && !(align & (align - 1)))
		start = (start + align - 1) & ~(align - 1);
	if (!h[HDR_RELOCATABLE] || start < pref)
		start = pref;
	if (__builtin_add_overflow(start, get_le(h + HDR_INIT_SIZE, 4), &run_end))
		return UINT64_MAX;
	return run_end > end ? run_end : end;
}

static int place_initrd(struct linuxboot *lb, uint64_t low_ram, struct err *err)
{
	uint64_t top = get_le(lb->image + HDR_INITRD_ADDR_MAX, 4) + 1;
	uint64_t end = kernel_end(lb);

	if (top > low_ram)
		top = low_ram;
	if (lb->initrd.size > top || ((top - lb->initrd.size) & GUEST_PAGE_MASK) < end)
		return err_set(err, "initrd '%s' (%llu KiB) does not fit into guest memory beside the kernel: give more with -m",
			       lb->initrd.path, (unsigned long long)(lb->initrd.size + 1023) >> 10);
	lb->initrd_addr = (top - lb->initrd.size) & GUEST_PAGE_MASK;
	return 0;
}

static int check_layout(struct linuxboot *lb, uint64_t low_ram, struct err *err)
{
	uint64_t max = get_le(lb->image + HDR_CMDLINE_SIZE, 4);

	if (max > CMDLINE_ROOM - 1)
		max = CMDLINE_ROOM - 1;
	if (strlen(lb->cmdline) > max)
		return err_set(err, "kernel command line too long: %zu characters, this kernel takes %llu",
			       strlen(lb->cmdline), (unsigned long long)max);
	if (kernel_end(lb) > low_ram)
		return err_set(err, "kernel '%s' does not fit into guest memory: it needs %llu MiB, give more with -m",
			       lb->kernel.path, (unsigned long long)(kernel_end(lb) + 0xfffff) >> 20);
	return lb->initrd.path ? place_initrd(lb, low_ram, err) : 0;
}

static int open_initrd(struct linuxboot *lb, const char *path, struct err *err)
{
	if (!path)
		return 0;
	if (image_open(&lb->initrd, "initrd", path, err) != 0)
		return -1;
	return lb->initrd.size ? 0 : err_set(err, "initrd '%s' is empty", path);
}

static void linuxboot_free(void *loader)
{
	struct linuxboot *lb = loader;

	image_close(&lb->kernel);
	image_close(&lb->initrd);
	free(lb->cmdline);
	free(lb->image);
	free(lb);
}

static void *linuxboot_open(const struct boot_config *c, struct err *err)
{
	struct linuxboot *lb = calloc(1, sizeof(*lb));

	if (lb)
		lb->cmdline = strdup(c->cmdline ? c->cmdline : "");
	if (!lb || !lb->cmdline)
		err_set(err, "out of memory");
	else if (read_kernel(lb, c->kernel, err) == 0 && check_header(lb, err) == 0 &&
		 open_initrd(lb, c->initrd, err) == 0 && check_layout(lb, c->low_ram, err) == 0)
		return lb;
	if (lb)
		linuxboot_free(lb);
	return NULL;
}

/* Loading. */

static int write_params(const struct linuxboot *lb, const struct boot_machine *m)
{
	uint8_t p[PARAMS_SIZE] = {0};
	unsigned nr_map = m->nr_map < E820_MAX ? m->nr_map : E820_MAX;
	size_t header_end = HDR_MAGIC + lb->image[HDR_JUMP_LEN];

	memcpy(p + HDR_SETUP_SECTS, lb->image + HDR_SETUP_SECTS, header_end - HDR_SETUP_SECTS);
	p[HDR_LOADER] = LOADER_UNDEFINED;
	p[HDR_LOADFLAGS] &= (uint8_t)~KEEP_SEGMENTS;
	put_le(p + BP_RSDP, m->rsdp, 8);
	put_le(p + HDR_CMD_LINE_PTR, ADDR_CMDLINE, 4);
	put_le(p + HDR_RAMDISK_IMAGE, lb->initrd_addr, 4);
	put_le(p + HDR_RAMDISK_SIZE, lb->initrd.size, 4);
	p[BP_E820_COUNT] = (uint8_t)nr_map;
	for (unsigned i = 0; i < nr_map; i++) {
		uint8_t *e = p + BP_E820_TABLE + i * 20;

		put_le(e, m->map[i].start, 8);
		put_le(e + 8, m->map[i].size, 8);
		put_le(e + 16, m->map[i].type, 4);
	}
	return dma_write(ADDR_PARAMS, p, sizeof(p));
}

/* The four descriptors the protocol asks for: code at 0x10, data at 0x18, both flat. */
static int write_descriptors(bool long_mode)
{
	uint8_t d[4 * 8] = {0};

	put_le(d + 0x10, long_mode ? 0x00af9a000000ffffull : 0x00cf9a000000ffffull, 8);
	put_le(d + 0x18, 0x00cf92000000ffffull, 8);
	return dma_write(ADDR_DESC, d, sizeof(d));
}

/* One top-level table, one of the second level, four of the third with 2 MiB pages. */
static int write_page_tables(void)
{
	static uint8_t t[6 * GUEST_PAGE_SIZE];
	const uint64_t present_writable = 3, large = 0x80;

	memset(t, 0, sizeof(t));
	put_le(t, (ADDR_TABLES + GUEST_PAGE_SIZE) | present_writable, 8);
	for (unsigned i = 0; i < 4; i++)
		put_le(t + GUEST_PAGE_SIZE + i * 8, (ADDR_TABLES + (2 + i) * GUEST_PAGE_SIZE) | present_writable, 8);
	for (uint64_t i = 0; i < 4 * 512; i++)
		put_le(t + 2 * GUEST_PAGE_SIZE + i * 8, i << 21 | large | present_writable, 8);
	return dma_write(ADDR_TABLES, t, sizeof(t));
}

static int linuxboot_load(void *loader, const struct boot_machine *machine, struct vcpu_boot_state *start, struct err *err)
{
	struct linuxboot *lb = loader;

	if (dma_write(ADDR_KERNEL, lb->payload, lb->payload_size) != 0 ||
	    dma_write(ADDR_CMDLINE, lb->cmdline, strlen(lb->cmdline) + 1) != 0 || write_descriptors(lb->long_entry) != 0 ||
	    write_page_tables() != 0 || write_params(lb, machine) != 0)
		return err_set(err, "kernel '%s' does not fit into guest memory", lb->kernel.path);
	if (lb->initrd.path && image_to_ram(&lb->initrd, lb->initrd_addr, err) != 0)
		return -1;
	*start = (struct vcpu_boot_state){
		.word_bits = lb->long_entry ? 64 : 32,
		.entry = lb->long_entry ? ADDR_KERNEL + 0x200 : ADDR_KERNEL,
		.arg = {[BOOT_ARG_SI] = ADDR_PARAMS},
		.root_table = ADDR_TABLES,
		.desc_table = ADDR_DESC,
		.desc_limit = 4 * 8 - 1,
		.code_sel = 0x10,
		.data_sel = 0x18,
	};
	return 0;
}

const struct boot_loader linuxboot_loader = {linuxboot_open, linuxboot_load, linuxboot_free};
