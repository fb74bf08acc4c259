/* SPDX-License-Identifier: MIT */
/*
 * ELF files with a PVH entry note, such as an uncompressed Linux kernel (Xen's x86/HVM direct boot ABI, "pvh" in Xen's
 * documentation): started in 32-bit mode with a table of what to know.
 *
 * Owner:   boot_image.c.
 */
#ifndef COHORT_HW_FW_PVH_H
#define COHORT_HW_FW_PVH_H

#include "hw/fw/boot_image.h"

extern const struct boot_loader pvh_loader;

#endif
