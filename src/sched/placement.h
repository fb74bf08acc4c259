/* SPDX-License-Identifier: MIT */
/*
 * Which host CPUs the guest's CPUs run on.
 *
 * Threads: placement_init() once on the main thread before any CPU thread starts; the rest from any thread.
 *
 *   none     the host's scheduler decides
 *   spread   one host CPU each, as far from each other as possible: own cores and caches, all memory controllers
 *   compact  one host CPU each, as close together as possible: shared caches
 *   cpus     one host CPU each from a list, in that order, from the start again when it runs out
 *   auto     a NUMA node each when the host has several and enough CPUs; else none
 */
#ifndef COHORT_SCHED_PLACEMENT_H
#define COHORT_SCHED_PLACEMENT_H

#include <stdio.h>

#include "util/types.h"

struct err;

enum placement_policy { PLACEMENT_AUTO, PLACEMENT_NONE, PLACEMENT_SPREAD, PLACEMENT_COMPACT, PLACEMENT_CPUS };

struct placement {
	enum placement_policy policy;
	const char *cpus; /* of PLACEMENT_CPUS: "0-3,8", host CPU numbers */
};

/* "none", "spread", "compact", "auto", "cpus=LIST". The text must outlive the result. */
int must_check placement_parse(const char *text, struct placement *p, struct err *err);

int must_check placement_init(const struct placement *p, unsigned nr_vcpus, struct err *err);
void placement_fini(void);

/* Binds the calling thread as vCPU `index`. Failure is not fatal: the host's scheduler decides then. */
void placement_apply(unsigned index);

/* Host CPUs this process may use. */
unsigned placement_host_cpus(void);

/* The host's topology and, after placement_init(), each vCPU's place. */
int placement_print(FILE *out, struct err *err);

#endif
