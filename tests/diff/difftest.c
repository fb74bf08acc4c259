/* SPDX-License-Identifier: MIT */
/*
 * difftest: random instructions and sequences, on the host CPU and in our engines; see diff.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "diff/engine.h"
#include "diff/native.h"
#include "diff/runner.h"

#define SKIPPED 77 /* automake: the test could not be run */

struct options {
	uint64_t seed, count;
	double seconds;
	bool jit, interp, singles, sequences, list, once;
	const char *only, *replay, *log;
	unsigned max_reports;
};

static const char usage[] =
	"usage: difftest [--seed N] [--count N] [--seconds S] [--engine jit|interp|both] [--only MNEMONIC] [--sequences | --singles]\n"
	"                [--list] [--max-reports N] [--replay NAME [--once]] [--log ITEMS]\n"
	"  --count     cases to run (default: as many as the seconds allow)\n"
	"  --seconds   default 20\n"
	"  --only      single instructions of that name, e.g. ADD\n"
	"  --list      print the instruction forms, and why some are not compared\n"
	"  --replay    a name from a \"diff:\" line; --once: engines run it once even if the case says twice\n"
	"  --log       -d items of the engines (in_asm,op,op_opt,out_asm), with --replay\n";

const char *form_text(const struct form *f, char *buf, size_t size)
{
	static const char *const mem[] = { "", " mem", " reg" };
	static const char *const maps[] = { "", "0f ", "0f 38 ", "0f 3a " };
	static const unsigned bits[] = { 16, 32, 64 };
	char reg[8] = "";

	if (f->reg >= 0)
		snprintf(reg, sizeof(reg), " /%d", f->reg);
	snprintf(buf, size, "%u-bit: %s%02x%s %s %u%s", bits[f->mode], maps[f->map], f->opcode, reg, x86_iid_name(f->id), f->opsize * 8,
		 mem[f->mem]);
	return buf;
}

static int list(void)
{
	char text[96];

	for (unsigned n = 0; n < nr_forms; n++)
		printf("%4u  %-40s %s%s\n", n, form_text(&forms[n], text, sizeof(text)), forms[n].skip ? "not compared: " : "",
		       forms[n].skip ? forms[n].skip : "");
	return 0;
}

static const char *argument(char **argv, int *i)
{
	const char *a = argv[++*i];

	if (!a) {
		fputs(usage, stderr);
		exit(2);
	}
	return a;
}

static void engine_option(struct options *o, const char *name)
{
	o->jit = strcmp(name, "interp") != 0;
	o->interp = strcmp(name, "jit") != 0;
}

static bool option_with_value(struct options *o, char **argv, int *i)
{
	const char *name = argv[*i];

	if (!strcmp(name, "--seed"))
		o->seed = strtoull(argument(argv, i), NULL, 0);
	else if (!strcmp(name, "--count"))
		o->count = strtoull(argument(argv, i), NULL, 0);
	else if (!strcmp(name, "--seconds"))
		o->seconds = atof(argument(argv, i));
	else if (!strcmp(name, "--engine"))
		engine_option(o, argument(argv, i));
	else if (!strcmp(name, "--only"))
		o->only = argument(argv, i);
	else if (!strcmp(name, "--replay"))
		o->replay = argument(argv, i);
	else if (!strcmp(name, "--log"))
		o->log = argument(argv, i);
	else if (!strcmp(name, "--max-reports"))
		o->max_reports = (unsigned)atoi(argument(argv, i));
	else
		return false;
	return true;
}

static void parse(struct options *o, char **argv)
{
	for (int i = 1; argv[i]; i++) {
		if (option_with_value(o, argv, &i))
			continue;
		if (!strcmp(argv[i], "--sequences")) {
			o->singles = false;
		} else if (!strcmp(argv[i], "--singles")) {
			o->sequences = false;
		} else if (!strcmp(argv[i], "--list")) {
			o->list = true;
		} else if (!strcmp(argv[i], "--once")) {
			o->once = true;
		} else {
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (o->only)
		o->sequences = false;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Forms that are to be run one by one. */
static unsigned chosen_forms(const struct runner *r, const char *only, uint16_t *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nr_pool; i++)
		if (!only || !strcasecmp(only, x86_iid_name(forms[r->pool[i]].id)))
			out[n++] = r->pool[i];
	return n;
}

static void run(struct runner *r, const struct options *o)
{
	static uint16_t chosen[MAX_FORMS];
	static struct program programs[BATCH];
	unsigned nr = chosen_forms(r, o->only, chosen), turn = 0;
	struct rng seeds = { o->seed };
	double end = now() + o->seconds;
	uint64_t next_form = 0;

	if (!nr) {
		fprintf(stderr, "difftest: no form is called %s\n", o->only);
		exit(2);
	}
	while (o->count ? r->cases < o->count : now() < end) {
		bool sequences = o->sequences && (!o->singles || (turn++ & 1));
		unsigned n = o->count && o->count - r->cases < BATCH ? (unsigned)(o->count - r->cases) : BATCH;

		for (unsigned i = 0; i < n; i++) {
			uint64_t seed = rng_u64(&seeds);

			if (sequences)
				sequence_generate(&programs[i], seed, r->pool, r->nr_pool);
			else
				single_generate(&programs[i], seed, chosen[next_form++ % nr]);
		}
		runner_batch(r, programs, n);
	}
}

static void summary(const struct runner *r, const struct options *o, double seconds)
{
	unsigned tested = 0;
	char text[96];

	for (unsigned n = 0; n < nr_forms; n++) {
		tested += r->form_cases[n] != 0;
		if (r->form_failures[n])
			printf("failed: %-40s %" PRIu64 " of %" PRIu64 "\n", form_text(&forms[n], text, sizeof(text)), r->form_failures[n],
			       r->form_cases[n]);
	}
	printf("seed %" PRIu64 ": %" PRIu64 " cases in %.0f s, %.0f%% of them without a fault; forms tested / comparable / implemented: "
	       "%u / %u / %u; failures: %" PRIu64 "\n",
	       o->seed, r->cases, seconds, r->cases ? 100.0 * (double)r->ended / (double)r->cases : 0, tested, r->nr_pool, nr_forms, r->failures);
}

static int replay(struct runner *r, const struct options *o)
{
	static struct program p;
	uint64_t keep;

	if (!runner_parse(r, o->replay, &p, &keep)) {
		fprintf(stderr, "difftest: no such case: %s\n", o->replay);
		return 2;
	}
	if (o->once)
		p.c.twice = false;
	return !runner_replay(r, &p, keep);
}

int main(int argc, char **argv)
{
	struct options o = { .seed = 1, .seconds = 20, .jit = true, .interp = true, .singles = true, .sequences = true, .max_reports = 20 };
	struct runner r;
	const char *why;
	double start = now();
	int status;

	(void)argc;
	parse(&o, argv);
	forms_init(engine_has);
	diff_images_init();
	if (o.list)
		return list();
	if (!native_possible(&why)) {
		printf("skipped: %s\n", why);
		return SKIPPED;
	}
	runner_init(&r, o.jit, o.interp, o.log);
	r.max_reports = o.max_reports;
	if (o.replay) {
		status = replay(&r, &o);
	} else {
		run(&r, &o);
		summary(&r, &o, now() - start);
		status = r.failures != 0;
	}
	runner_fini(&r);
	return status;
}
