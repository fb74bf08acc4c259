/* SPDX-License-Identifier: MIT */
/*
 * -perfmap: the text file that `perf` reads to name generated code ("start size name" lines, perf's jit-interface.txt).
 * Threads: perfmap_add() on any vCPU thread; a line is one write.
 */
#ifndef COHORT_TCG_PERFMAP_H
#define COHORT_TCG_PERFMAP_H

#include "util/types.h"

struct err;
struct tb;

/* path: the file; "" means /tmp/perf-PID.map, where perf looks. */
int must_check perfmap_open(const char *path, const void *stubs, size_t stubs_size, struct err *err);
void perfmap_add(const struct tb *tb);
void perfmap_close(void);

#endif
