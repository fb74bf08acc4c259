/* SPDX-License-Identifier: MIT */
/*
 * The command monitor, with the names of QEMU's. Threads: the I/O loop.
 */
#ifndef COHORT_MAIN_MONITOR_H
#define COHORT_MAIN_MONITOR_H

#include <stdio.h>

struct chardev;

void monitor_command(const char *line, FILE *out);
void monitor_attach(struct chardev *cd); /* as a further front end of the back end */
void monitors_free(void);                /* the back ends still exist */

#endif
