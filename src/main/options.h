/* SPDX-License-Identifier: MIT */
/*
 * The command line. Names and meanings are QEMU's where QEMU has the option. Threads: main, before start.
 */
#ifndef COHORT_MAIN_OPTIONS_H
#define COHORT_MAIN_OPTIONS_H

#include "main/keyval.h"
#include "main/numa_options.h"
#include "sched/placement.h"
#include "util/types.h"

struct err;

#define OPTIONS_MAX_SERIAL 4

enum stats_format { STATS_NONE, STATS_TEXT, STATS_JSON };

struct options {
	unsigned cpus, sockets, cores, threads, max_cpus; /* 0 until options_parse() has filled them in */
	uint64_t ram_size;
	const char *cpu_model;
	bool accel_tcg, accel_other; /* -accel tcg was named; one that is not there was */
	bool interp;
	uint64_t tb_size; /* bytes of code memory, 0: default */
	uint64_t jitter;  /* schedule jitter seed, 0: none */
	bool exact_flags; /* in the frames of faults and interrupts */

	const char *kernel, *initrd, *append;
	char name[KEYVAL_TEXT_SIZE];

	const char *serial[OPTIONS_MAX_SERIAL];
	unsigned nr_serial;
	const char *monitor; /* NULL: none */
	const char *debugcon; /* NULL: none */
	bool nographic, display_none, nodefaults;

	bool testdev, debug_exit;
	uint64_t debug_exit_base, debug_exit_size;

	bool no_reboot, no_shutdown, no_hpet, no_acpi;
	const char *log_file;
	enum stats_format stats;
	const char *stats_file; /* NULL: standard error */
	bool perfmap;
	const char *gdb; /* NULL: no server */
	bool stopped;    /* at the start */
	struct placement placement;
	struct numa_options numa;
	bool show_topology;
};

/* The guest's CPUs, after options_parse(). */
struct guest_cpus options_cpus(const struct options *o);

enum options_result { OPTIONS_RUN, OPTIONS_DONE /* help was printed: exit with status 0 */, OPTIONS_ERROR };

/* Errors read "-option: what is wrong and what would be right". Help goes to standard output. */
enum options_result options_parse(struct options *o, int argc, char **argv, struct err *err);

void options_print_help(FILE *out);

#endif
