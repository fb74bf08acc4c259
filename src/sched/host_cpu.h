/* SPDX-License-Identifier: MIT */
/*
 * The host CPU a thread runs on, and how it leaves it for another. The host's scheduler knows who is ready to run, but not who waits for whom: it may
 * leave two threads that spin for each other on one host CPU for as long as it likes, though another is free.
 *
 * Threads: any, each for itself.
 */
#ifndef COHORT_SCHED_HOST_CPU_H
#define COHORT_SCHED_HOST_CPU_H

#include "util/types.h"

uint32_t host_cpu_now(void);

/*
 * Moves the caller to a host CPU that it may use and that is not taken; what it may use stays what it was. False: there is none.
 */
bool host_cpu_move(bool (*taken)(uint32_t host_cpu));

#endif
