/* SPDX-License-Identifier: MIT */
/*
 * Runs batches of programs everywhere and reports what differs, shrunk and ready to be replayed.
 */
#ifndef COHORT_TESTS_DIFF_RUNNER_H
#define COHORT_TESTS_DIFF_RUNNER_H

#include "diff/program.h"
#include "diff/worker.h"

enum program_kind { KIND_SINGLE, KIND_SEQUENCE, KIND_RAW, KIND_SMC, KIND_CORPUS, PROGRAM_KINDS };
extern const char *const kind_names[PROGRAM_KINDS];

/* What has been run. Of several jobs, each has its own, in memory shared with the main process (jobs.c). */
struct totals {
	uint64_t cases, failures, ended; /* ended: cases that ran to a terminator */
	uint64_t disturbed;              /* see runner.c */
	uint64_t kind[PROGRAM_KINDS];
	uint64_t form_cases[MAX_FORMS], form_failures[MAX_FORMS];
};

struct runner {
	bool use[WORKER_KINDS];
	struct worker w[WORKER_KINDS];
	uint16_t *pool;          /* forms that are compared */
	unsigned nr_pool;
	unsigned max_reports;
	struct totals *t;
	uint64_t reports;
};

void runner_init(struct runner *r, struct totals *t, bool jit, bool interp, const char *log);
void runner_fini(struct runner *r);
/* programs[n], n <= BATCH: runs and compares them. */
void runner_batch(struct runner *r, struct program *programs, unsigned n);
/* One program, with everything printed. True: no difference. */
bool runner_replay(struct runner *r, struct program *p, uint64_t keep);
/* The program alone, natively and in one engine: what differs, or NULL. */
const char *runner_alone(struct runner *r, const struct program *p, unsigned kind);
/* shrink.c: leaves out instructions (which are kept is the result), makes the state plain. */
uint64_t shrink_code(struct runner *r, struct program *p, unsigned kind);
void shrink_state(struct runner *r, struct program *p, unsigned kind);
/* "single/FORM/SEED", "seq/SEED[/KEEP]", "raw/SEED", "smc/SEED", or a line of text (text.c) to a program. */
bool runner_parse(struct runner *r, const char *text, struct program *p, uint64_t *keep);
const char *form_text(const struct form *f, char *buf, size_t size);

#endif
