/* SPDX-License-Identifier: MIT */
/*
 * The PC board: which devices there are and how they are wired. Addresses are in pc_map.h.
 *
 * Owner:   main. Threads: the main thread (I/O loop); no vCPU runs during pc_new(), pc_reset() and pc_free().
 * Order:   ram_init(), vcpus_create(), evloop_init(), then pc_new(), then vcpus_start(). A reset is pc_reset() and then
 *          vcpus_reset_all(), with the vCPUs paused.
 */
#ifndef COHORT_HW_PC_PC_H
#define COHORT_HW_PC_PC_H

#include "util/types.h"

#define PC_SERIAL_PORTS 4

struct chardev;
struct err;
struct numa;
struct pc;

struct pc_config {
	const char *kernel;                     /* see hw/fw/boot_image.h; NULL: the CPUs start at the reset vector */
	const char *initrd, *cmdline;           /* may be NULL */
	bool no_hpet, no_acpi;
	const struct numa *numa;                /* NULL: the guest is not told of nodes */
	struct chardev *serial[PC_SERIAL_PORTS]; /* NULL: no such port */
	struct chardev *debugcon;               /* may be NULL */
	bool testdev;
	bool debug_exit;
	uint16_t debug_exit_base, debug_exit_size;
};

/* Builds the board around all vCPUs and RAM, loads the kernel, and puts everything into its power-on state. */
struct pc *pc_new(const struct pc_config *config, struct err *err);
int must_check pc_reset(struct pc *pc, struct err *err);
void pc_free(struct pc *pc);

void pc_power_button(struct pc *pc);

#endif
