/* SPDX-License-Identifier: MIT */
#include "diff/runner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff/compare.h"

#define SHRINK_ROUNDS 4

void runner_init(struct runner *r, bool jit, bool interp, const char *log)
{
	*r = (struct runner){ .use = { true, jit, interp }, .max_reports = 20 };
	batch_init();
	for (unsigned k = 0; k < WORKER_KINDS; k++)
		if (r->use[k])
			worker_init(&r->w[k], (enum worker_kind)k, log);
	r->pool = calloc(MAX_FORMS, sizeof(r->pool[0]));
	r->form_cases = calloc(MAX_FORMS, sizeof(uint64_t));
	r->form_failures = calloc(MAX_FORMS, sizeof(uint64_t));
	if (!r->pool || !r->form_cases || !r->form_failures)
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
	free(r->form_cases);
	free(r->form_failures);
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

/* The program alone, natively and in one engine. */
static const char *run_alone(struct runner *r, const struct program *p, unsigned kind)
{
	uint8_t which[WORKER_KINDS] = { 1 };

	which[kind] = 1;
	batch->nr = 1;
	batch->c[0] = p->c;
	run_batch(r, which);
	return compare(r, p, 0, kind, NULL);
}

/* ---- Shrinking: instructions are left out while the difference stays. */

static uint64_t shrink(struct runner *r, struct program *p, unsigned kind)
{
	uint64_t keep = p->nr < 64 ? (1ull << p->nr) - 1 : KEEP_ALL;

	if (!run_alone(r, p, kind))
		return keep;
	for (unsigned round = 0; round < SHRINK_ROUNDS; round++) {
		uint64_t before = keep;

		for (unsigned i = p->nr; i-- > 0;) {
			uint64_t less = keep & ~(1ull << i);

			if (less == keep || !program_layout(p, less) || !run_alone(r, p, kind))
				continue;
			keep = less;
		}
		if (keep == before)
			break;
	}
	program_layout(p, keep);
	return keep;
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

static void replay_name(const struct program *p, uint64_t keep, char *buf, size_t size)
{
	if (p->sequence)
		snprintf(buf, size, "seq/%" PRIx64 "/%" PRIx64, p->seed, keep);
	else
		snprintf(buf, size, "single/%u/%" PRIx64, p->insn[0].form, p->seed);
}

static void report(struct runner *r, struct program *p, const struct failure *f)
{
	unsigned kind = f->kind;
	uint64_t keep = KEEP_ALL;
	const char *again;
	char name[96];

	if (p->sequence)
		keep = shrink(r, p, kind);
	again = run_alone(r, p, kind);
	replay_name(p, keep, name, sizeof(name));
	printf("diff: bytes=");
	print_bytes(p);
	printf(" seed=%" PRIx64 " engine=%s field=%s%s replay=%s\n", p->seed, worker_names[kind], again ? again : f->field,
	       again ? "" : " (not when run alone)", name);
	print_code(p);
	if (again)
		print_difference(r, p, kind);
	else
		outcome_print(stdout, p, &f->host, &f->ours);
	fflush(stdout);
}

/* ---- Batches */


static void count(struct runner *r, const struct program *p, const struct diff_outcome *host)
{
	r->cases++;
	r->ended += host->vector == DIFF_END;
	if (!p->sequence)
		r->form_cases[p->insn[0].form]++;
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
		bool new_form = p->sequence || !r->form_failures[p->insn[0].form];

		r->failures++;
		if (!p->sequence)
			r->form_failures[p->insn[0].form]++;
		if (new_form && r->reports < r->max_reports) {
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
		single_generate(p, seed, form);
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
		bad = run_alone(r, p, k);
		printf("%s: %s\n", worker_names[k], bad ? bad : "agrees");
		print_difference(r, p, k);
		good &= !bad;
	}
	return good;
}
