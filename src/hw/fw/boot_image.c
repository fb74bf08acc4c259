/* SPDX-License-Identifier: MIT */
/*
 * A Linux header wins over a multiboot one, and that over an ELF note, as with QEMU.
 */
#include "hw/fw/boot_image.h"

#include <stdlib.h>
#include <string.h>

#include "hw/fw/elf_image.h"
#include "hw/fw/image_file.h"
#include "hw/fw/linuxboot.h"
#include "hw/fw/multiboot.h"
#include "hw/fw/pvh.h"
#include "util/err.h"

struct boot_image {
	const struct boot_loader *ops; /* [const] */
	void *loader;                  /* [const] */
};

#define LINUX_MAGIC_OFFSET 0x202

/* Which loader; NULL and a text when the file cannot be read. What nobody knows is linuxboot's to refuse. */
static const struct boot_loader *choose(const char *kernel, struct err *err)
{
	struct image_file f = {0};
	uint8_t head[MULTIBOOT_SEARCH] = {0};
	size_t size;
	int ret;

	if (image_open(&f, "kernel", kernel, err) != 0)
		return NULL;
	size = f.size < sizeof(head) ? (size_t)f.size : sizeof(head);
	ret = image_read(&f, head, size, 0, err);
	image_close(&f);
	if (ret != 0)
		return NULL;
	if (!memcmp(head + LINUX_MAGIC_OFFSET, "HdrS", 4))
		return &linuxboot_loader;
	if (multiboot_find(head, size) >= 0)
		return &multiboot_loader;
	if (elf_is(head, size))
		return &pvh_loader;
	return &linuxboot_loader;
}

struct boot_image *boot_image_open(const struct boot_config *config, struct err *err)
{
	struct boot_image *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(err, "out of memory");
		return NULL;
	}
	b->ops = choose(config->kernel, err);
	b->loader = b->ops ? b->ops->open(config, err) : NULL;
	if (b->loader)
		return b;
	free(b);
	return NULL;
}

int boot_image_load(struct boot_image *b, const struct boot_machine *machine, struct vcpu_boot_state *start, struct err *err)
{
	return b->ops->load(b->loader, machine, start, err);
}

void boot_image_free(struct boot_image *b)
{
	if (!b)
		return;
	b->ops->free(b->loader);
	free(b);
}
