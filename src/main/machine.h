/* SPDX-License-Identifier: MIT */
/*
 * The machine as main and the monitor drive it. Threads: the main thread, which is the I/O loop's.
 */
#ifndef COHORT_MAIN_MACHINE_H
#define COHORT_MAIN_MACHINE_H

#include "util/types.h"

struct err;
struct options;

/* Makes everything and starts nothing. *o must outlive the machine. machine_destroy() also after a failure. */
int must_check machine_create(const struct options *o, struct err *err);
void machine_destroy(void);

/* Starts the vCPUs, runs until somebody ends it; the exit status, or -1 with *err when it could not start. */
int machine_run(struct err *err);

/* For the monitor and the gdb server. */
bool machine_is_running(void);
void machine_pause(void);  /* harmless when paused */
void machine_resume(void); /* all CPUs; harmless when running */
void machine_choose(unsigned cpu, bool runs); /* paused: which CPUs machine_resume_some() lets run; all others stand */
void machine_resume_some(void); /* those that were chosen, or ran when the machine was paused */
void machine_reset(void);
void machine_powerdown(void); /* the power button */
void machine_quit(int status);
void machine_nmi(void);

#endif
