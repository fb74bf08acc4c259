/* SPDX-License-Identifier: MIT */
/*
 * Cohort: a PC whose CPUs are threads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hw/char/chardev.h"
#include "main/machine.h"
#include "main/options.h"
#include "sched/placement.h"
#include "util/err.h"
#include "util/log.h"

static int fail(const struct err *err)
{
	chardev_restore_tty();
	info("%s", err->text);
	return EXIT_FAILURE;
}

/* What was printed on standard output may have got stuck (full disk). */
static int finish_output(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		info("cannot write to standard output");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int show_topology(const struct options *o, struct err *err)
{
	const struct placement_guest guest = { options_cpus(o), &o->numa.numa };

	if (placement_init(&o->placement, &guest, err) || placement_print(stdout, err))
		return fail(err);
	placement_fini();
	return finish_output();
}

static int run_machine(const struct options *o, struct err *err)
{
	int status = -1;

	emu_bug_set_hook(chardev_restore_tty);
	if (!machine_create(o, err))
		status = machine_run(err);
	machine_destroy();
	return status < 0 ? fail(err) : status;
}

int main(int argc, char **argv)
{
	static struct options o;
	struct err err = { "" };

	switch (options_parse(&o, argc, argv, &err)) {
	case OPTIONS_DONE:
		return finish_output();
	case OPTIONS_ERROR:
		return fail(&err);
	case OPTIONS_RUN:
		break;
	}
	if (o.log_file && log_open(o.log_file, &err))
		return fail(&err);
	if (o.show_topology)
		return show_topology(&o, &err);
	return run_machine(&o, &err);
}
