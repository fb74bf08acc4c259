/* SPDX-License-Identifier: MIT */
/*
 * isa-debug-exit: a write of v ends the emulator with exit status (v << 1) | 1. State: all [const]; any thread.
 */
#ifndef COHORT_HW_MISC_DEBUG_EXIT_H
#define COHORT_HW_MISC_DEBUG_EXIT_H

#include "mem/aspace.h"

extern const struct mmio_ops debug_exit_ops; /* iosize ports, opaque unused */

#endif
