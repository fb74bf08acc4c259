/* SPDX-License-Identifier: MIT */
/*
 * The firmware configuration device by QEMU's interface (QEMU docs/specs/fw_cfg): a port takes a key, another gives the bytes
 * of that item one after the other. Test programs learn the number of CPUs and the size of RAM from it.
 *
 * Owner:   the board, which adds the items before the machine starts.
 * Threads: registers from any vCPU.
 * Rule:    `lock` (rank DEVICE) guards what is not [const].
 */
#ifndef COHORT_HW_FW_FW_CFG_H
#define COHORT_HW_FW_FW_CFG_H

#include "hw/core/device.h"
#include "mem/aspace.h"
#include "util/lock.h"

/* Keys. */
enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04,
	FW_CFG_NR_CPUS = 0x05,
	FW_CFG_MAX_CPUS = 0x0f,
	FW_CFG_FILE_DIR = 0x19,
};

#define FW_CFG_ITEMS 8
#define FW_CFG_ITEM_SIZE 16

struct fw_cfg {
	struct ranked_lock lock; /* rank DEVICE */
	struct fw_cfg_item {
		uint16_t key;
		uint8_t size, data[FW_CFG_ITEM_SIZE];
	} item[FW_CFG_ITEMS];    /* [const] */
	unsigned nr_items;       /* [const] */
	uint16_t key;            /* [lock] */
	unsigned next;           /* [lock] byte of the item that is read next */
};

void fw_cfg_init(struct fw_cfg *f);
/* At most FW_CFG_ITEMS items of FW_CFG_ITEM_SIZE bytes; numbers are little-endian. */
void fw_cfg_add(struct fw_cfg *f, enum fw_cfg_key key, const void *data, size_t size);
void fw_cfg_add_number(struct fw_cfg *f, enum fw_cfg_key key, uint64_t value, size_t size);

extern const struct mmio_ops fw_cfg_ops; /* 2 ports */
extern const struct device_type fw_cfg_device;

#endif
