/* SPDX-License-Identifier: MIT */
/*
 * Reading of the image and its modules, and loading; the information structure is multiboot_info.c's.
 *
 * In memory: the image where it wants to be, each module on a page of its own behind it, and one block with information,
 * memory map, module list, texts and descriptors in the first free place of low memory, behind the modules if there is none.
 */
#include "hw/fw/multiboot.h"

#include <stdlib.h>
#include <string.h>

#include "hw/fw/elf_image.h"
#include "hw/fw/multiboot_info.h"
#include "hw/fw/image_file.h"
#include "util/err.h"
#include "util/log.h"
#include "vcpu/vcpu.h"

#define HEADER_MAGIC 0x1badb002u
#define BOOT_MAGIC 0x2badb002u
#define LOW_FIRST 0x9000u       /* real-mode vectors and BIOS data end below */
#define LOW_END 0x9fc00u        /* the extended BIOS data area begins */

enum { FLAG_ALIGN = 1, FLAG_MEMORY = 2, FLAG_VIDEO = 4, FLAGS_MUST = 0xffff, FLAG_ADDRESSES = 0x10000 };
enum { H_FLAGS = 4, H_CHECKSUM = 8, H_HEADER = 12, H_LOAD = 16, H_LOAD_END = 20, H_BSS_END = 24, H_ENTRY = 28, H_SIZE = 32 };

struct multiboot {
	struct image_file kernel;       /* [const] */
	uint8_t *data;                  /* [const] the whole kernel file */
	struct elf_image image;         /* [const] of `data`; one segment when the header gives the addresses */
	struct mb_module *module;       /* [const] */
	unsigned nr_modules;
	char *cmdline;                  /* [const] "KERNEL ARGUMENTS" */
	gpa_t end;                      /* [const] behind image and modules */
	uint64_t low_ram;
};

long multiboot_find(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 12 <= size && i + 12 <= MULTIBOOT_SEARCH; i += 4) {
		uint32_t sum = (uint32_t)(get_le(data + i + H_FLAGS, 4) + get_le(data + i + H_CHECKSUM, 4));

		if (get_le(data + i, 4) == HEADER_MAGIC && sum + HEADER_MAGIC == 0)
			return (long)i;
	}
	return -1;
}

/* The image. */

static int parse_addresses(struct multiboot *m, size_t at, struct err *err)
{
	const uint8_t *h = m->data + at;
	const char *path = m->kernel.path;
	uint64_t header, load, load_end, bss_end, off, size = m->kernel.size;
	struct elf_segment *s = &m->image.seg[0];

	if (at + H_SIZE > size)
		return err_set(err, "kernel '%s' is truncated: its multiboot header has no addresses", path);
	header = get_le(h + H_HEADER, 4);
	load = get_le(h + H_LOAD, 4);
	load_end = get_le(h + H_LOAD_END, 4);
	bss_end = get_le(h + H_BSS_END, 4);
	if (load > header || header - load > at)
		return err_set(err, "kernel '%s': the load address in its multiboot header does not fit the header's", path);
	off = at - (header - load);
	if (!load_end)
		load_end = load + (size - off);
	if (!bss_end)
		bss_end = load_end;
	if (load_end <= load || bss_end < load_end)
		return err_set(err, "kernel '%s': the end addresses in its multiboot header are not in order", path);
	if (load_end - load > size - off)
		return err_set(err, "kernel '%s' is truncated: its multiboot header promises %llu more bytes", path,
			       (unsigned long long)(load_end - load - (size - off)));
	*s = (struct elf_segment){.start = load, .off = off, .file_size = load_end - load, .mem_size = bss_end - load};
	m->image.data = m->data;
	m->image.nr_segs = 1;
	m->image.low = load;
	m->image.high = bss_end;
	m->image.entry = get_le(h + H_ENTRY, 4);
	return 0;
}

static int parse_kernel(struct multiboot *m, struct err *err)
{
	const char *path = m->kernel.path;
	long at = multiboot_find(m->data, m->kernel.size);
	uint32_t flags = at < 0 ? 0 : (uint32_t)get_le(m->data + at + H_FLAGS, 4);

	if (at < 0)
		return err_set(err, "kernel '%s' has no multiboot header", path);
	if (flags & FLAGS_MUST & ~(FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
		return err_set(err, "kernel '%s' asks for multiboot features that are not there (flags 0x%x)", path, flags);
	if (flags & FLAG_VIDEO)
		warn("kernel '%s' asks for a video mode, which multiboot images do not get", path);
	if (flags & FLAG_ADDRESSES)
		return parse_addresses(m, (size_t)at, err);
	if (elf_parse(&m->image, m->data, m->kernel.size, path, err) != 0)
		return -1;
	if (m->image.is_64 || m->image.machine != ELF_MACHINE_386)
		return err_set(err, "kernel '%s' is a 64-bit multiboot image: a 32-bit ELF file is needed", path);
	return 0;
}

/* Modules. */

/* The next of the list, with ",," as a comma, for free(); `list` goes behind it, or becomes NULL. */
static char *next_module(const char **list)
{
	char *text = malloc(strlen(*list) + 1), *to = text;
	const char *from = *list;

	if (!text)
		return NULL;
	while (*from && (from[0] != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*to = '\0';
	*list = *from ? from + 1 : NULL;
	return text;
}

static int open_module(struct multiboot *m, char *text, struct err *err)
{
	struct mb_module *mod = &m->module[m->nr_modules];
	size_t len = strcspn(text, " ");
	char *path = strndup(text, len);
	int ret;

	mod->text = text;
	if (!path)
		ret = err_set(err, "out of memory");
	else if (!len)
		ret = err_set(err, "-initrd: a module's file name is missing");
	else
		ret = image_open(&mod->file, "module", path, err);
	m->nr_modules++;
	free(path);
	if (ret != 0)
		return -1;
	mod->start = page_up(m->end);
	m->end = mod->start + mod->file.size;
	return 0;
}

static int open_modules(struct multiboot *m, const char *list, struct err *err)
{
	size_t nr = 1;

	if (!list)
		return 0;
	for (const char *p = list; *p; p++)
		nr += *p == ',';
	m->module = calloc(nr, sizeof(m->module[0]));
	while (m->module && list) {
		char *text = next_module(&list);

		if (!text)
			return err_set(err, "out of memory");
		if (open_module(m, text, err) != 0)
			return -1;
	}
	return m->module ? 0 : err_set(err, "out of memory");
}

/* Opening. */

static void multiboot_free(void *loader)
{
	struct multiboot *m = loader;

	for (unsigned i = 0; i < m->nr_modules; i++) {
		image_close(&m->module[i].file);
		free(m->module[i].text);
	}
	free(m->module);
	image_close(&m->kernel);
	free(m->data);
	free(m->cmdline);
	free(m);
}

static int read_kernel(struct multiboot *m, const char *path, struct err *err)
{
	if (image_open(&m->kernel, "kernel", path, err) != 0)
		return -1;
	if (m->kernel.size > IMAGE_KERNEL_MAX)
		return err_set(err, "kernel '%s' is larger than 1 GiB", path);
	m->data = image_read_all(&m->kernel, err);
	return m->data ? parse_kernel(m, err) : -1;
}

static int make_cmdline(struct multiboot *m, const struct boot_config *c, struct err *err)
{
	const char *args = c->cmdline ? c->cmdline : "";
	size_t len = strlen(c->kernel) + strlen(args) + 2;

	m->cmdline = malloc(len);
	if (!m->cmdline)
		return err_set(err, "out of memory");
	strcpy(m->cmdline, c->kernel);
	strcat(m->cmdline, " ");
	strcat(m->cmdline, args);
	return 0;
}

static void *multiboot_open(const struct boot_config *c, struct err *err)
{
	struct multiboot *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(err, "out of memory");
		return NULL;
	}
	m->low_ram = c->low_ram;
	if (read_kernel(m, c->kernel, err) != 0)
		goto fail;
	m->end = m->image.high;
	if (open_modules(m, c->initrd, err) != 0 || make_cmdline(m, c, err) != 0)
		goto fail;
	if (m->end > c->low_ram) {
		err_set(err, "kernel '%s' and its modules do not fit into guest memory: they end at %llu MiB, give more with -m",
			c->kernel, (unsigned long long)(m->end + 0xfffff) >> 20);
		goto fail;
	}
	return m;
fail:
	multiboot_free(m);
	return NULL;
}

/* Loading. */

static gpa_t place_info(const struct multiboot *m, size_t size)
{
	for (gpa_t at = LOW_FIRST; at + size <= LOW_END; at += GUEST_PAGE_SIZE)
		if (!elf_overlaps(&m->image, at, size) &&
		    (!m->nr_modules || at + size <= m->module[0].start || at >= page_up(m->end)))
			return at;
	return page_up(m->end);
}

static int multiboot_load(void *loader, const struct boot_machine *machine, struct vcpu_boot_state *start, struct err *err)
{
	struct multiboot *m = loader;
	const struct mb_info_input in = {m->cmdline, m->module, m->nr_modules, machine->map, machine->nr_map};
	struct mb_info_place p = {.at = place_info(m, mb_info_size(&in))};

	if (elf_load(&m->image) != 0)
		return err_set(err, "kernel '%s' wants to be where the machine has no RAM (0x%llx to 0x%llx)", m->kernel.path,
			       (unsigned long long)m->image.low, (unsigned long long)m->image.high - 1);
	for (unsigned i = 0; i < m->nr_modules; i++)
		if (image_to_ram(&m->module[i].file, m->module[i].start, err) != 0)
			return -1;
	if (p.at + mb_info_size(&in) > m->low_ram || mb_info_write(&in, &p) != 0)
		return err_set(err, "kernel '%s': no room for the multiboot information: give more memory with -m",
			       m->kernel.path);
	*start = (struct vcpu_boot_state){
		.word_bits = 32,
		.entry = m->image.entry,
		.arg = {[BOOT_ARG_A] = BOOT_MAGIC, [BOOT_ARG_B] = p.at},
		.desc_table = p.descriptors,
		.desc_limit = MB_DESC_SIZE - 1,
		.code_sel = MB_CODE_SEL,
		.data_sel = MB_DATA_SEL,
	};
	return 0;
}

const struct boot_loader multiboot_loader = {multiboot_open, multiboot_load, multiboot_free};
