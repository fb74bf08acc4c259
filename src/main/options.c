/* SPDX-License-Identifier: MIT */
/*
 * The loop over the command line. What an option means stands in option_handlers.c, which options there are in options.def
 * and options_foreign.def. Options start with one dash or two.
 */
#include "main/options.h"

#include <stdio.h>
#include <string.h>

#include "main/option_handlers.h"
#include "main/version.h"
#include "util/err.h"
#include "util/log.h"

#define MIB ((uint64_t)1 << 20)
#define MAX_CPUS 255

static const struct option {
	const char *name, *argument;
	int (*handler)(struct options *o, const char *arg, struct err *err);
	const char *help;
} options[] = {
#define HEADING(text) { NULL, NULL, NULL, text },
#define OPTION(name, argument, handler, help) { name, argument, opt_##handler, help },
#include "main/options.def"
#undef OPTION
#undef HEADING
};

enum verdict { SILENT, IGNORED, REFUSED };

static const struct foreign {
	const char *name;
	bool has_argument;
	enum verdict verdict;
	const char *reason;
} foreigners[] = {
#define FOREIGN(name, has_argument, verdict, reason) { name, has_argument, verdict, reason },
#include "main/options_foreign.def"
#undef FOREIGN
};

void options_print_help(FILE *out)
{
	fprintf(out,
		"Cohort %s, a PC emulator that runs each guest CPU as a thread of its own\n"
		"usage: cohort -kernel FILE [OPTION...]\n",
		COHORT_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option *opt = &options[i];
		int column;

		if (!opt->name) {
			fprintf(out, "\n%s:\n", opt->help);
			continue;
		}
		if (!opt->help)
			continue;
		column = fprintf(out, "  -%s%s%s", opt->name, *opt->argument && *opt->argument != '[' ? " " : "",
				 opt->argument);
		fprintf(out, column < 46 ? "%*s%s\n" : "\n%*s%s\n", column < 46 ? 47 - column : 47, "", opt->help);
	}
	fprintf(out, "\nOptions may start with two dashes. Most of QEMU's other options are known; each says what becomes of it.\n");
}

static const struct option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].name && strlen(options[i].name) == len && !strncmp(options[i].name, name, len))
			return &options[i];
	}
	return NULL;
}

static const struct foreign *find_foreign(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(foreigners); i++) {
		if (!strcmp(foreigners[i].name, name))
			return &foreigners[i];
	}
	return NULL;
}

/* Edit distance, cut off at `limit`, of short words. */
static unsigned distance(const char *a, const char *b, unsigned limit)
{
	unsigned row[32], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

	if (lb >= ARRAY_LEN(row) || la > lb + limit || lb > la + limit)
		return limit + 1;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[lb];
}

static int unknown_option(const char *arg, const char *name, struct err *err)
{
	const char *nearest = NULL;
	unsigned best = 2;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		unsigned d = options[i].name && strlen(options[i].name) > 2 ? distance(name, options[i].name, 2) : 3;

		if (d <= best) {
			best = d - (d > 0);
			nearest = options[i].name;
		}
	}
	if (nearest)
		return err_set(err, "%.200s: unknown option; is -%s meant?", arg, nearest);
	return err_set(err, "%.200s: unknown option; -help lists them", arg);
}

static int take_foreign(const struct foreign *f, const char *arg, struct err *err)
{
	if (f->has_argument && !arg)
		return err_set(err, "-%s: an argument is missing", f->name);
	switch (f->verdict) {
	case REFUSED:
		return err_set(err, "-%s: %s", f->name, f->reason);
	case IGNORED:
		warn("-%s is ignored: %s", f->name, f->reason);
		break;
	case SILENT:
		break;
	}
	return f->has_argument ? 2 : 1;
}

/* Runs an option's handler and puts the option's name before its error. Returns as the handler does. */
static int take_option(struct options *o, const struct option *opt, const char *arg, struct err *err)
{
	struct err why = { "" };
	int ret = opt->handler(o, arg, &why);

	if (ret < 0)
		err_set(err, "-%s: %.480s", opt->name, why.text);
	return ret;
}

/* One option at argv[0]. Returns how many words it took, 0 when help was printed, -1 for an error. */
static int parse_one(struct options *o, char **argv, struct err *err)
{
	const char *arg = argv[0], *name = arg + 1 + (arg[1] == '-'), *equals = strchr(name, '=');
	const struct option *opt = find_option(name, equals ? (size_t)(equals - name) : strlen(name));
	const struct foreign *f;
	int ret, words = 1;

	if (arg[0] != '-' || !*name)
		return err_set(err, "%.200s: not an option; file names follow -kernel, -initrd and -append", arg);
	if (!opt || (equals && opt->argument[0] != '[')) {
		f = find_foreign(name);
		return f ? take_foreign(f, argv[1], err) : unknown_option(arg, name, err);
	}
	if (opt->argument[0] == '[') {
		ret = take_option(o, opt, equals ? equals + 1 : NULL, err);
	} else if (!opt->argument[0]) {
		ret = take_option(o, opt, NULL, err);
	} else {
		if (!argv[1])
			return err_set(err, "-%s: an argument is missing: %s", opt->name, opt->argument);
		ret = take_option(o, opt, argv[1], err);
		words = 2;
	}
	return ret == OPTION_EXIT ? 0 : ret < 0 ? -1 : words;
}

/* QEMU's rule: what is not said about the topology is one, except cores, which fill up. */
static int finish_smp(struct options *o, struct err *err)
{
	uint64_t product;

	o->threads = o->threads ? o->threads : 1;
	if (!o->cpus) {
		product = (uint64_t)(o->sockets ? o->sockets : 1) * (o->cores ? o->cores : 1) * o->threads;
		o->cpus = o->max_cpus ? o->max_cpus : product > MAX_CPUS ? MAX_CPUS + 1 : (unsigned)product;
	}
	if (o->cpus > MAX_CPUS)
		return err_set(err, "-smp: %u CPUs are too many: at most %d", o->cpus, MAX_CPUS);
	if (o->max_cpus && o->max_cpus < o->cpus)
		return err_set(err, "-smp: maxcpus=%u is less than the %u CPUs", o->max_cpus, o->cpus);
	if (o->max_cpus > o->cpus)
		warn("-smp: maxcpus=%u: CPUs cannot be added while the guest runs", o->max_cpus);
	if (!o->cores)
		o->cores = o->cpus / (o->threads * (o->sockets ? o->sockets : 1));
	if (!o->sockets)
		o->sockets = o->cores ? o->cpus / (o->cores * o->threads) : 0;
	product = (uint64_t)o->sockets * o->cores * o->threads;
	if (product != o->cpus && product != o->max_cpus)
		return err_set(err, "-smp: sockets=%u x cores=%u x threads=%u is not %u CPUs", o->sockets, o->cores,
			       o->threads, o->cpus);
	return 0;
}

struct guest_cpus options_cpus(const struct options *o)
{
	return (struct guest_cpus){ o->cpus, o->sockets, o->cores, o->threads };
}

static int finish_numa(struct options *o, struct err *err)
{
	const struct guest_cpus cpus = options_cpus(o);

	return numa_options_finish(&o->numa, &cpus, o->ram_size, err);
}

/* Where the console goes when -serial does not say. */
static void finish_console(struct options *o)
{
	if (!o->nr_serial && !o->nodefaults) {
		bool terminal = o->nographic || !o->display_none;

		o->serial[o->nr_serial++] = !terminal ? "null" : o->monitor ? "none" : "mon:stdio";
	}
}

static int count_stdio(const struct options *o)
{
	int n = (o->monitor && !strcmp(o->monitor, "stdio")) + (o->debugcon && !strcmp(o->debugcon, "stdio"));

	for (unsigned i = 0; i < o->nr_serial; i++)
		n += !strcmp(o->serial[i], "stdio") || !strcmp(o->serial[i], "mon:stdio");
	return n;
}

static int finish(struct options *o, struct err *err)
{
	if (finish_smp(o, err) || finish_numa(o, err))
		return -1;
	finish_console(o);
	if (o->accel_other && !o->accel_tcg)
		return err_set(err, "-accel: Cohort translates and has no KVM or other accelerator: use -accel tcg");
	if (count_stdio(o) > 1)
		return err_set(err, "-serial: stdio can be used once; mon:stdio shares it with the monitor");
	if (o->show_topology)
		return 0;
	if (!o->kernel)
		return err_set(err, o->initrd   ? "-initrd: needs a -kernel"
				    : o->append ? "-append: needs a -kernel"
						: "-kernel: missing; there is no firmware to boot without one (-help helps)");
	return 0;
}

enum options_result options_parse(struct options *o, int argc, char **argv, struct err *err)
{
	*o = (struct options){
		.ram_size = 512 * MIB,
		.cpu_model = "max",
		.append = NULL,
		.placement = { PLACEMENT_AUTO, NULL },
	};
	numa_init(&o->numa.numa);
	for (int i = 1; i < argc;) {
		int words = parse_one(o, argv + i, err);

		if (words == 0)
			return OPTIONS_DONE;
		if (words < 0)
			return OPTIONS_ERROR;
		if (!strcmp(argv[i] + 1 + (argv[i][1] == '-'), "nodefaults"))
			o->nodefaults = true;
		i += words;
	}
	o->cpus = o->cpus || o->sockets || o->cores || o->threads || o->max_cpus ? o->cpus : 1;
	return finish(o, err) ? OPTIONS_ERROR : OPTIONS_RUN;
}
