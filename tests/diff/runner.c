/* SPDX-License-Identifier: MIT */
#include "diff/runner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff/compare.h"

const char *const kind_names[PROGRAM_KINDS] = { "single", "seq", "raw", "smc", "corpus" };

void runner_init(struct runner *r, struct totals *t, bool jit, bool interp, const char *log)
{
	*r = (struct runner){ .use = { true, jit, interp }, .max_reports = 20, .t = t };
	batch_init();
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (r->use[k])
			worker_init(&r->w[k], (enum worker_kind)k, log);
	r->pool = calloc(MAX_FORMS, sizeof(r->pool[0]));
	if (!r->pool)
		exit(2);
	for (unsigned n = 0; n < nr_forms; n++)
		if (!forms[n].skip)
			r->pool[r->nr_pool++] = (uint16_t)n;
}

void runner_fini(struct runner *r)
{
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (r->use[k])
			worker_stop(&r->w[k]);
	free(r->pool);
}

static void run_batch(struct runner *r, const uint8_t *which)
{
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (r->use[k] && (!which || which[k]))
			worker_start(&r->w[k], 0);
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (r->use[k] && (!which || which[k]))
			worker_wait(&r->w[k]);
}

/* Both runs of the engine; *run tells which one differs. */
static const char *compare(const struct runner *r, const struct program *p, unsigned i, unsigned kind, unsigned *run)
{
	const struct diff_outcome *host = r->w[0].s->out[i], *ours = r->w[kind].s->out[i];

	for (unsigned k = 0; k < 2; k++) {
		const char *bad = k && ours[k].vector == DIFF_NOT_RUN ? NULL : outcome_compare(p, host, &ours[k], kind == WORKER_INTERP);

		if (run)
			*run = k;
		if (bad)
			return bad;
	}
	return NULL;
}

const char *runner_alone(struct runner *r, const struct program *p, unsigned kind)
{
	uint8_t which[WORKER_KINDS] = { 1 };

	which[kind] = 1;
	batch->nr = 1;
	batch->c[0] = p->c;
	run_batch(r, which);
	return compare(r, p, 0, kind, NULL);
}

/* ---- Reports */

struct failure {
	unsigned program, kind;
	const char *field;
	struct diff_outcome host, ours; /* as they were in the batch */
};

static void print_bytes(const struct program *p)
{
	for (unsigned i = 0; i < p->c.code_len; i++)
		printf("%02x", p->c.code[i]);
}

static void print_code(const struct program *p)
{
	for (uint32_t off = 0; off < p->c.code_len;) {
		uint64_t pc = DIFF_CODE + p->c.code_off + off;
		size_t left = p->c.code_len - off;
		char text[128] = "?";
		size_t len = x86_disasm((enum x86_mode)p->c.mode, pc, p->c.code + off, left > 15 ? 15 : left, text, sizeof(text));

		printf("  %" PRIx64 "  %s\n", pc, text);
		off += (uint32_t)(len ? len : 1);
	}
}

static void print_memory(const struct runner *r, unsigned kind, unsigned run)
{
	const uint8_t *h = r->w[0].s->after[0], *o = r->w[kind].s->after[run];
	unsigned shown = 0;

	for (unsigned i = 0; i < DIFF_DATA_SIZE && shown < 32; i++)
		if (h[i] != o[i]) {
			printf("  [%x] host %02x ours %02x\n", DIFF_DATA + i, h[i], o[i]);
			shown++;
		}
}

/* Of the program that ran last, alone. */
static void print_difference(const struct runner *r, const struct program *p, unsigned kind)
{
	unsigned run;
	const char *bad = compare(r, p, 0, kind, &run);

	if (bad && run)
		printf("  in the second, warm run:\n");
	outcome_print(stdout, p, r->w[0].s->out[0], &r->w[kind].s->out[0][bad ? run : 0]);
	if (bad && !strcmp(bad, "memory"))
		print_memory(r, kind, run);
}

static enum program_kind kind_of(const struct program *p)
{
	if (p->text)
		return KIND_CORPUS;
	if (p->raw)
		return KIND_RAW;
	if (p->c.smc)
		return KIND_SMC;
	return p->sequence ? KIND_SEQUENCE : KIND_SINGLE;
}

static void replay_name(const struct program *p, uint64_t keep, char *buf, size_t size)
{
	enum program_kind kind = kind_of(p);

	if (kind == KIND_SINGLE)
		snprintf(buf, size, "single/%u/%" PRIx64, p->insn[0].form, p->seed);
	else if (kind == KIND_SEQUENCE)
		snprintf(buf, size, "seq/%" PRIx64 "/%" PRIx64, p->seed, keep);
	else
		snprintf(buf, size, "%s/%" PRIx64, kind_names[kind], p->seed);
}

/* Everything of it in one line, shrunk; with --replay, what is between the quotes runs again. */
static void print_case(struct runner *r, struct program *p, unsigned kind)
{
	shrink_state(r, p, kind);
	printf("  --replay '");
	text_print(stdout, p);
	printf("'\n");
}

static void report(struct runner *r, struct program *p, const struct failure *f)
{
	unsigned kind = f->kind;
	uint64_t keep = KEEP_ALL;
	const char *again;
	char name[96];

	if (p->sequence && !p->text && !p->c.smc)
		keep = shrink_code(r, p, kind);
	again = runner_alone(r, p, kind);
	replay_name(p, keep, name, sizeof(name));
	printf("diff: bytes=");
	print_bytes(p);
	printf(" seed=%" PRIx64 " engine=%s field=%s%s replay=%s\n", p->seed, worker_names[kind], again ? again : f->field,
	       again ? "" : " (not when run alone)", name);
	print_code(p);
	if (again) {
		print_difference(r, p, kind);
		print_case(r, p, kind);
	} else {
		outcome_print(stdout, p, &f->host, &f->ours);
	}
	fflush(stdout);
}

/* ---- Batches */


static uint64_t *of_form(uint64_t *counts, const struct program *p)
{
	return kind_of(p) == KIND_SINGLE ? &counts[p->insn[0].form] : NULL;
}

static void count(struct runner *r, const struct program *p, const struct diff_outcome *host)
{
	uint64_t *form = of_form(r->t->form_cases, p);

	r->t->cases++;
	r->t->kind[kind_of(p)]++;
	r->t->ended += host->vector == DIFF_END;
	if (form)
		++*form;
}

/*
 * What the host does is not always what its instructions say: IRET from the host's interrupts makes 0 of the null selectors 1 to 3 (SDM volume 2,
 * IRET; Zhang et al., SegScope, HPCA 2024). So a difference counts if the host, asked again, still has it.
 */
static bool is_disturbed(struct runner *r, const struct program *p, const struct failure *f)
{
	static const uint8_t host_only[WORKER_KINDS] = { 1 };

	batch->nr = 1;
	batch->c[0] = p->c;
	run_batch(r, host_only);
	return !outcome_compare(p, r->w[0].s->out[0], &f->ours, f->kind == WORKER_INTERP);
}

void runner_batch(struct runner *r, struct program *programs, unsigned n)
{
	static struct failure failed[BATCH * WORKER_KINDS];
	unsigned nr = 0;

	batch->nr = n;
	for (unsigned i = 0; i < n; i++)
		batch->c[i] = programs[i].c;
	run_batch(r, NULL);
	for (unsigned i = 0; i < n; i++) {
		count(r, &programs[i], r->w[0].s->out[i]);
		for (unsigned k = 1; k < WORKER_KINDS; k++) {
			unsigned run;
			const char *bad = r->use[k] ? compare(r, &programs[i], i, k, &run) : NULL;

			if (bad)
				failed[nr++] = (struct failure){ i, k, bad, r->w[0].s->out[i][0], r->w[k].s->out[i][run] };
		}
	}
	for (unsigned j = 0; j < nr; j++) {
		struct program *p = &programs[failed[j].program];
		uint64_t *form = of_form(r->t->form_failures, p);

		if (is_disturbed(r, p, &failed[j])) {
			r->t->disturbed++;
			continue;
		}
		r->t->failures++;
		if (form)
			++*form;
		if ((!form || *form == 1) && r->reports < r->max_reports) {
			r->reports++;
			report(r, p, &failed[j]);
		}
	}
}

bool runner_parse(struct runner *r, const char *text, struct program *p, uint64_t *keep)
{
	unsigned form;
	uint64_t seed;

	*keep = KEEP_ALL;
	if (sscanf(text, "single/%u/%" SCNx64, &form, &seed) == 2 && form < nr_forms) {
		return single_generate(p, seed, form);
	}
	if (text[0] >= '0' && text[0] <= '9')
		return text_parse(p, text);
	if (sscanf(text, "smc/%" SCNx64, &seed) == 1) {
		smc_generate(p, seed);
		return true;
	}
	if (sscanf(text, "raw/%" SCNx64, &seed) == 1) {
		raw_generate(p, seed, r->pool, r->nr_pool);
		return true;
	}
	if (sscanf(text, "seq/%" SCNx64 "/%" SCNx64, &seed, keep) >= 1) {
		sequence_generate(p, seed, r->pool, r->nr_pool);
		return program_layout(p, *keep);
	}
	return false;
}

bool runner_replay(struct runner *r, struct program *p, uint64_t keep)
{
	bool good = true;

	(void)keep;
	print_code(p);
	state_print(stdout, &p->c.in);
	for (unsigned k = 1; k < WORKER_KINDS; k++) {
		const char *bad;

		if (!r->use[k])
			continue;
		bad = runner_alone(r, p, k);
		printf("%s: %s\n", worker_names[k], bad ? bad : "agrees");
		print_difference(r, p, k);
		good &= !bad;
	}
	return good;
}
