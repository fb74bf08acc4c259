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
#include "diff/jobs.h"
#include "diff/native.h"
#include "diff/runner.h"

#define SKIPPED 77 /* automake: the test could not be run */
#define RECORD_SINGLES 20000000u
#define RECORD_SEQUENCES 2000000u

struct options {
	uint64_t seed, count;
	double seconds;
	unsigned kinds; /* bits: enum program_kind */
	bool jit, interp, list, once, record;
	bool timed; /* --seconds is there */
	const char *only, *replay, *log;
	unsigned max_reports, jobs;
};

static const char usage[] =
	"usage: difftest [--seed N] [--count N] [--seconds S] [--jobs N] [--engine jit|interp|both] [--only MNEMONIC]\n"
	"                [--singles] [--sequences] [--raw] [--smc] [--list] [--max-reports N] [--replay CASE [--once]] [--log ITEMS]\n"
	"                [--record] [--exact-flags]\n"
	"  --count     cases to run (default: as many as the seconds allow, but each form once at least)\n"
	"  --seconds   default 20; with --count too, what comes first, but each form once at least\n"
	"  --jobs      so many in parallel, each with processes of its own\n"
	"  --singles, --sequences, --raw (random bytes), --smc (code that writes itself): only these kinds of cases\n"
	"  --only      single instructions of that name, e.g. ADD\n"
	"  --list      print the instruction forms, and why some are not compared\n"
	"  --record    the whole proof: 20 million singles, 2 million sequences, each form at least once; the last line is the result\n"
	"  --exact-flags  engines keep flags that the code overwrites unread, and all are compared at faults\n"
	"  --replay    what stands behind \"replay\" in a report; --once: engines run it once even if the case says twice\n"
	"  --log       -d items of the engines (in_asm,op,op_opt,out_asm), with --replay\n";

const char *form_text(const struct form *f, char *buf, size_t size)
{
	static const char *const mem[] = { "", " mem", " reg" };
	static const char *const maps[] = { "", "0f ", "0f 38 ", "0f 3a " };
	static const unsigned bits[] = { 16, 32, 64 };
	static const char *const lengths[] = { " 128", " 256", " 512" };
	char reg[8] = "", evex[16] = "";

	if (f->reg >= 0)
		snprintf(reg, sizeof(reg), " /%d", f->reg);
	if (f->evex)
		snprintf(evex, sizeof(evex), " evex%s%s", lengths[f->vex_l], f->evex_b ? " b" : "");
	snprintf(buf, size, "%u-bit: %s%02x%s %s %u%s%s", bits[f->mode], maps[f->map], f->opcode, reg, x86_iid_name(f->id), f->opsize * 8,
		 mem[f->mem], evex);
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
		o->timed = true, o->seconds = atof(argument(argv, i));
	else if (!strcmp(name, "--engine"))
		engine_option(o, argument(argv, i));
	else if (!strcmp(name, "--only"))
		o->only = argument(argv, i);
	else if (!strcmp(name, "--replay"))
		o->replay = argument(argv, i);
	else if (!strcmp(name, "--log"))
		o->log = argument(argv, i);
	else if (!strcmp(name, "--jobs"))
		o->jobs = (unsigned)atoi(argument(argv, i));
	else if (!strcmp(name, "--max-reports"))
		o->max_reports = (unsigned)atoi(argument(argv, i));
	else
		return false;
	return true;
}

static bool kind_option(struct options *o, const char *name)
{
	static const char *const names[] = { "--singles", "--sequences", "--raw", "--smc" };

	for (unsigned k = 0; k < sizeof(names) / sizeof(names[0]); k++)
		if (!strcmp(name, names[k])) {
			o->kinds |= 1u << k;
			return true;
		}
	return false;
}

static void parse(struct options *o, char **argv)
{
	for (int i = 1; argv[i]; i++) {
		if (option_with_value(o, argv, &i) || kind_option(o, argv[i]))
			continue;
		if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			exit(0);
		} else if (!strcmp(argv[i], "--list")) {
			o->list = true;
		} else if (!strcmp(argv[i], "--exact-flags")) {
			engine_exact_flags = true;
		} else if (!strcmp(argv[i], "--once")) {
			o->once = true;
		} else if (!strcmp(argv[i], "--record")) {
			o->record = true;
		} else {
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (o->only)
		o->kinds = 1u << KIND_SINGLE;
	if (!o->kinds)
		o->kinds = (1u << KIND_CORPUS) - 1;
	if (o->jobs < 1 || o->jobs > MAX_JOBS)
		o->jobs = 1;
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

/* ---- Running */

struct generator {
	struct runner *r;
	const struct options *o;
	struct rng seeds;
	unsigned job, nr, turn;
	uint64_t next_form;        /* in rounds over all jobs */
	uint16_t chosen[MAX_FORMS];
};

/* Singles and sequences twice as often as the rest. */
static enum program_kind next_kind(struct generator *g)
{
	static const uint8_t turns[] = { KIND_SINGLE, KIND_SEQUENCE, KIND_RAW, KIND_SINGLE, KIND_SEQUENCE, KIND_SMC };
	unsigned kind;

	do
		kind = turns[g->turn++ % sizeof(turns)];
	while (!(g->o->kinds >> kind & 1));
	return (enum program_kind)kind;
}

static void generate(struct generator *g, struct program *p, enum program_kind kind)
{
	uint64_t seed = rng_u64(&g->seeds);

	switch (kind) {
	case KIND_SEQUENCE:
		sequence_generate(p, seed, g->r->pool, g->r->nr_pool);
		break;
	case KIND_RAW:
		raw_generate(p, seed, g->r->pool, g->r->nr_pool);
		break;
	case KIND_SMC:
		smc_generate(p, seed);
		break;
	default:
		while (!single_generate(p, seed, g->chosen[(g->next_form++ * g->o->jobs + g->job) % g->nr]))
			; /* a form that cannot be made: the summary tells */
	}
}

/* Not before each form has had its turn. */
static bool goes_on(const struct generator *g, double end)
{
	bool more = !g->o->count || g->r->t->cases < (g->o->count + g->o->jobs - 1) / g->o->jobs;

	if (g->o->count && !g->o->timed)
		return more;
	return (more && now() < end) || ((g->o->kinds & 1u << KIND_SINGLE) && g->next_form * g->o->jobs < g->nr);
}

static void corpus(struct runner *r)
{
	static const char *const lines[] = {
#define CASE(text, what) text,
#include "diff/corpus.def"
#undef CASE
	};
	static struct program programs[BATCH];
	unsigned n = 0;

	_Static_assert(sizeof(lines) / sizeof(lines[0]) <= BATCH, "one batch");
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!text_parse(&programs[n++], lines[i])) {
			fprintf(stderr, "difftest: corpus.def: no such case: %s\n", lines[i]);
			exit(2);
		}
	runner_batch(r, programs, n);
}

/* Far apart in the generator's cycle: its states are multiples of one constant, so that sums of it would be streams that overlap. */
static struct rng seeds_of_job(uint64_t seed, unsigned job)
{
	struct rng r = { seed ^ (uint64_t)job << 32 };

	return (struct rng){ rng_u64(&r) };
}

static void run(struct runner *r, const struct options *o, unsigned job)
{
	static struct program programs[BATCH];
	static struct generator g;
	double end = now() + o->seconds;

	g = (struct generator){ .r = r, .o = o, .seeds = seeds_of_job(o->seed, job), .job = job };
	g.nr = chosen_forms(r, o->only, g.chosen);
	if (!g.nr) {
		fprintf(stderr, "difftest: no form is called %s\n", o->only);
		exit(2);
	}
	if (!job && !o->only)
		corpus(r);
	while (goes_on(&g, end)) {
		enum program_kind kind = next_kind(&g);

		for (unsigned i = 0; i < BATCH; i++)
			generate(&g, &programs[i], kind);
		runner_batch(r, programs, BATCH);
	}
}

static void run_job(void *options, struct totals *t, unsigned job)
{
	const struct options *o = options;
	struct runner r;

	runner_init(&r, t, o->jit, o->interp, o->log);
	r.max_reports = o->max_reports;
	run(&r, o, job);
	runner_fini(&r);
}

/* Forms that are implemented, not excluded, and were not run: false if there are any. */
static bool covered(const struct totals *t, const struct options *o, unsigned *tested, unsigned *comparable)
{
	bool all = true;
	char text[96];

	*tested = *comparable = 0;
	for (unsigned n = 0; n < nr_forms; n++) {
		*tested += t->form_cases[n] != 0;
		*comparable += !forms[n].skip;
		if (forms[n].skip || t->form_cases[n] || o->only || (o->count && !o->timed && !o->record) || !(o->kinds & 1u << KIND_SINGLE))
			continue;
		printf("not tested: %s\n", form_text(&forms[n], text, sizeof(text)));
		all = false;
	}
	return all;
}

static bool summary(const struct totals *t, const struct options *o, double seconds)
{
	unsigned tested, comparable;
	bool all = covered(t, o, &tested, &comparable);
	char text[96];

	for (unsigned n = 0; n < nr_forms; n++)
		if (t->form_failures[n])
			printf("failed: %-40s %" PRIu64 " of %" PRIu64 "\n", form_text(&forms[n], text, sizeof(text)), t->form_failures[n],
			       t->form_cases[n]);
	printf("seed %" PRIu64 ", %u jobs: %" PRIu64 " cases in %.0f s:", o->seed, o->jobs, t->cases, seconds);
	for (unsigned k = 0; k < PROGRAM_KINDS; k++)
		printf(" %" PRIu64 " %s%s", t->kind[k], kind_names[k], k + 1 < PROGRAM_KINDS ? "," : "");
	printf("; %.0f%% without a fault\nforms tested / comparable / implemented: %u / %u / %u; failures: %" PRIu64 "\n",
	       t->cases ? 100.0 * (double)t->ended / (double)t->cases : 0, tested, comparable, nr_forms, t->failures);
	if (t->disturbed)
		printf("host runs that an interrupt of the host has changed (runner.c): %" PRIu64 "\n", t->disturbed);
	return all;
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

static int replay_one(const struct options *o)
{
	static struct totals t;
	struct runner r;
	int status;

	runner_init(&r, &t, o->jit, o->interp, o->log);
	status = replay(&r, o);
	runner_fini(&r);
	return status;
}

/* One kind of cases, as many as asked for; false: a difference, or a form that was left out. */
static bool run_kind(struct options *o, enum program_kind kind, uint64_t count, struct totals *sum)
{
	double start = now();
	const struct totals *t;
	bool good;

	o->kinds = 1u << kind;
	o->count = count;
	t = jobs_run(o->jobs, run_job, o);
	if (!t)
		return false;
	good = summary(t, o, now() - start) && !t->failures;
	for (unsigned k = 0; k < PROGRAM_KINDS; k++)
		sum->kind[k] += t->kind[k];
	sum->failures += t->failures;
	fflush(stdout);
	return good;
}

static int record(struct options *o)
{
	static struct totals sum;
	double start = now();
	bool good = run_kind(o, KIND_SINGLE, RECORD_SINGLES, &sum);

	good = run_kind(o, KIND_SEQUENCE, RECORD_SEQUENCES, &sum) && good;
	printf("record %s: seed %" PRIu64 ", %u jobs, %.0f s: %" PRIu64 " singles and %" PRIu64 " sequences in 16-bit, 32-bit and 64-bit code, %"
	       PRIu64 " differences\n", good ? "ok" : "FAILED", o->seed, o->jobs, now() - start, sum.kind[KIND_SINGLE], sum.kind[KIND_SEQUENCE],
	       sum.failures);
	return !good;
}

int main(int argc, char **argv)
{
	struct options o = { .seed = 1, .seconds = 20, .jit = true, .interp = true, .max_reports = 20, .jobs = 1 };
	const struct totals *t;
	const char *why;
	double start = now();

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
	wide_offered = native_has_avx512 && engine_has(X86_F_AVX512F);
	if (o.replay)
		return replay_one(&o);
	if (o.record)
		return record(&o);
	t = jobs_run(o.jobs, run_job, &o);
	if (!t)
		return 2;
	return !summary(t, &o, now() - start) || t->failures != 0;
}
