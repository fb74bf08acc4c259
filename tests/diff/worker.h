/* SPDX-License-Identifier: MIT */
/*
 * Processes that run cases: one natively, one for each engine. The main process hands them a batch in shared memory, waits, and
 * notices when one hangs or dies; then it is started anew and the rest of the batch goes on.
 */
#ifndef COHORT_TESTS_DIFF_WORKER_H
#define COHORT_TESTS_DIFF_WORKER_H

#include <sys/types.h>

#include "diff/diff.h"

enum worker_kind { WORKER_NATIVE, WORKER_JIT, WORKER_INTERP, WORKER_KINDS };

#define BATCH 256u

/* In shared memory, written by the main process while no worker runs. */
struct batch {
	unsigned nr;
	struct diff_case c[BATCH];
};

struct worker_shared {
	volatile uint32_t at;                  /* the case under way */
	struct diff_outcome out[BATCH][2];     /* engines: cold and warm; natively: one */
	uint8_t after[2][DIFF_DATA_SIZE];        /* the arena behind the batch's last case */
};

struct worker {
	enum worker_kind kind;
	const char *log;
	pid_t pid;              /* 0: none */
	int go, done;           /* pipes */
	struct worker_shared *s;
};

extern const char *const worker_names[WORKER_KINDS];

void batch_init(void);
extern struct batch *batch;
/* Maps the shared memory; the process starts with the first batch. */
void worker_init(struct worker *w, enum worker_kind kind, const char *log);
void worker_start(struct worker *w, unsigned first); /* the batch from case `first` on */
void worker_wait(struct worker *w);
void worker_stop(struct worker *w);

#endif
