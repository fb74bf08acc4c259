/* SPDX-License-Identifier: MIT */
/*
 * Multiboot images, version 1 (Multiboot Specification 0.6.96): 32-bit ELF executables, and any file whose header gives the
 * addresses. -initrd names modules: "FILE ARGUMENTS,FILE ARGUMENTS" (two commas stand for one in a name).
 *
 * Owner:   boot_image.c.
 */
#ifndef COHORT_HW_FW_MULTIBOOT_H
#define COHORT_HW_FW_MULTIBOOT_H

#include "hw/fw/boot_image.h"
#include "util/types.h"

#define MULTIBOOT_SEARCH 8192 /* the header lies within so many bytes of the file's start */

/* The header's offset, or -1. */
long multiboot_find(const uint8_t *data, size_t size);

extern const struct boot_loader multiboot_loader;

#endif
