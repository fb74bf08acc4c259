/* SPDX-License-Identifier: MIT */
/*
 * -numa and -object: the guest's NUMA nodes, and the host memory behind them. Threads: main, before start.
 */
#ifndef COHORT_MAIN_NUMA_OPTIONS_H
#define COHORT_MAIN_NUMA_OPTIONS_H

#include "main/keyval.h"
#include "sched/numa.h"
#include "util/types.h"

struct err;
struct options;

/* A rule of "-numa cpu", kept until -smp is known. -1: any. */
struct numa_cpu_rule {
	unsigned node;
	int socket, core, thread;
};

#define NUMA_MAX_RULES 256

struct numa_backend {
	char id[KEYVAL_TEXT_SIZE];
	uint64_t size;
	struct numa_host host;
	bool used;
};

struct numa_options {
	struct numa numa;
	struct numa_backend backend[NUMA_MAX_NODES];
	unsigned nr_backends;
	char node_backend[NUMA_MAX_NODES][KEYVAL_TEXT_SIZE]; /* "": none */
	struct numa_cpu_rule rule[NUMA_MAX_RULES];
	unsigned nr_rules;
};

/* What the options said about nodes, put together and checked, once all have been read. Errors name the option. */
int must_check numa_options_finish(struct numa_options *n, const struct guest_cpus *cpus, uint64_t ram_size, struct err *err);

#endif
