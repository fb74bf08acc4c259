/* SPDX-License-Identifier: MIT */
/*
 * The debug console port: bytes written appear on a character device; a read answers 0xe9, which tells firmware that the
 * port is there. State: none but the back end [const]; any thread.
 */
#ifndef COHORT_HW_CHAR_DEBUGCON_H
#define COHORT_HW_CHAR_DEBUGCON_H

#include "mem/aspace.h"

extern const struct mmio_ops debugcon_ops; /* 1 port; opaque is the struct chardev, which may be a "null" one */

#endif
