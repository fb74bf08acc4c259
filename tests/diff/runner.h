/* SPDX-License-Identifier: MIT */
/*
 * Runs batches of programs everywhere and reports what differs, shrunk and ready to be replayed.
 */
#ifndef COHORT_TESTS_DIFF_RUNNER_H
#define COHORT_TESTS_DIFF_RUNNER_H

#include "diff/program.h"
#include "diff/worker.h"

struct runner {
	bool use[WORKER_KINDS];
	struct worker w[WORKER_KINDS];
	uint16_t *pool;          /* forms that are compared */
	unsigned nr_pool;
	unsigned max_reports;
	uint64_t cases, failures, ended; /* ended: cases that ran to a terminator */
	uint64_t *form_cases, *form_failures;
	uint64_t reports;
};

void runner_init(struct runner *r, bool jit, bool interp, const char *log);
void runner_fini(struct runner *r);
/* programs[n], n <= BATCH: runs and compares them. */
void runner_batch(struct runner *r, struct program *programs, unsigned n);
/* One program, with everything printed. True: no difference. */
bool runner_replay(struct runner *r, struct program *p, uint64_t keep);
/* "single/FORM/SEED" or "seq/SEED[/KEEP]" to a program. */
bool runner_parse(struct runner *r, const char *text, struct program *p, uint64_t *keep);
const char *form_text(const struct form *f, char *buf, size_t size);

#endif
