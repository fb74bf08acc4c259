/* SPDX-License-Identifier: MIT */
/*
 * The traditional interface only: the ID item says so. Behind an item's end, and for unknown keys, zeros are read; writes of
 * data have had no effect since QEMU 2.4.
 */
#include "hw/fw/fw_cfg.h"

#include <string.h>

#include "util/log.h"

enum { PORT_KEY = 0, PORT_DATA = 1, HAS_TRADITIONAL = 1 };

static const struct fw_cfg_item *find(const struct fw_cfg *f, uint16_t key)
{
	for (unsigned i = 0; i < f->nr_items; i++)
		if (f->item[i].key == key)
			return &f->item[i];
	return NULL;
}

static uint64_t fw_cfg_read(void *opaque, uint64_t off, unsigned size)
{
	struct fw_cfg *f = opaque;
	const struct fw_cfg_item *item;
	uint64_t v = 0;

	if (off != PORT_DATA || size != 1)
		return 0;
	lock_acquire(&f->lock);
	item = find(f, f->key);
	if (item && f->next < item->size)
		v = item->data[f->next++];
	lock_release(&f->lock);
	return v;
}

static void fw_cfg_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct fw_cfg *f = opaque;

	if (off != PORT_KEY || size != 2)
		return;
	lock_acquire(&f->lock);
	f->key = (uint16_t)value;
	f->next = 0;
	lock_release(&f->lock);
}

void fw_cfg_add(struct fw_cfg *f, enum fw_cfg_key key, const void *data, size_t size)
{
	struct fw_cfg_item *item = &f->item[f->nr_items];

	if (f->nr_items == FW_CFG_ITEMS || size > FW_CFG_ITEM_SIZE)
		emu_bug("fw-cfg: no room for item %d", (int)key);
	item->key = (uint16_t)key;
	item->size = (uint8_t)size;
	memcpy(item->data, data, size);
	f->nr_items++;
}

void fw_cfg_add_number(struct fw_cfg *f, enum fw_cfg_key key, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	fw_cfg_add(f, key, bytes, size);
}

void fw_cfg_init(struct fw_cfg *f)
{
	static const uint8_t uuid[16];

	lock_init(&f->lock, LOCK_RANK_DEVICE);
	fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
	fw_cfg_add_number(f, FW_CFG_ID, HAS_TRADITIONAL, 4);
	fw_cfg_add(f, FW_CFG_UUID, uuid, sizeof(uuid));
	fw_cfg_add_number(f, FW_CFG_FILE_DIR, 0, 4); /* the number of files */
}

static void reset(void *dev)
{
	struct fw_cfg *f = dev;

	lock_acquire(&f->lock);
	f->key = 0;
	f->next = 0;
	lock_release(&f->lock);
}

const struct mmio_ops fw_cfg_ops = {.read = fw_cfg_read, .write = fw_cfg_write, .min_size = 1, .max_size = 2};

const struct device_type fw_cfg_device = {
	.name = "fw-cfg",
	.reset = reset,
};
