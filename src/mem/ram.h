/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: one anonymous mapping, at an address that never moves. Page descriptors (mem/code_watch.h) run parallel to it.
 * Threads: ram_init() once on the main thread before any other; the rest are reads of constants.
 */
#ifndef COHORT_MEM_RAM_H
#define COHORT_MEM_RAM_H

#include "util/types.h"

struct err;

int must_check ram_init(uint64_t size, struct err *err);
void ram_fini(void);

extern uint8_t *ram_base;  /* [const] after ram_init() */
extern uint64_t ram_size;  /* [const] bytes, multiple of 2 MiB */

static inline void *ram_ptr(ram_off_t off)
{
	return ram_base + off;
}

#endif
