/* SPDX-License-Identifier: MIT */
/*
 * Starting a Linux bzImage without firmware (Linux Documentation/arch/x86/boot.rst): kernel, initrd, command line, boot
 * parameters, page tables and segment descriptors are put into guest RAM, and the first CPU starts in the kernel: at its
 * 64-bit entry, or at the 32-bit one where there is no other.
 *
 * Owner:   boot_image.c.
 */
#ifndef COHORT_HW_FW_LINUXBOOT_H
#define COHORT_HW_FW_LINUXBOOT_H

#include "hw/fw/boot_image.h"

extern const struct boot_loader linuxboot_loader;

#endif
