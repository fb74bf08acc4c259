/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "diff/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "diff/engine.h"
#include "diff/native.h"
#include "util/err.h"

#define HANG_MS 10000   /* of processor time */
#define LOOK_MS 2000
#define STUCK_MS 600000 /* without any */

const char *const worker_names[WORKER_KINDS] = { "native", "jit", "interp" };
struct batch *batch;

static void *share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

void batch_init(void)
{
	batch = share(sizeof(*batch));
}

void worker_init(struct worker *w, enum worker_kind kind, const char *log)
{
	*w = (struct worker){ .kind = kind, .log = log, .s = share(sizeof(*w->s)) };
}

/* ---- The worker's side */

static void set_up(const struct worker *w)
{
	struct err err;

	if (w->kind == WORKER_NATIVE) {
		native_init();
	} else if (engine_init(w->kind == WORKER_INTERP, w->log, &err) < 0) {
		fprintf(stderr, "diff: %s: %s\n", worker_names[w->kind], err.text);
		_exit(2);
	}
}

static void run_case(const struct worker *w, unsigned i)
{
	uint8_t *after = i + 1 == batch->nr ? w->s->after[0] : NULL;

	w->s->at = i;
	if (w->kind == WORKER_NATIVE)
		native_run(&batch->c[i], w->s->out[i], after);
	else
		engine_run(&batch->c[i], w->s->out[i], after);
}

static void serve(const struct worker *w, int go, int done)
{
	uint32_t first;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	set_up(w);
	while (read(go, &first, sizeof(first)) == (ssize_t)sizeof(first)) {
		for (unsigned i = first; i < batch->nr; i++)
			run_case(w, i);
		if (write(done, "", 1) != 1)
			break;
	}
	_exit(0);
}

/* ---- The main process's side */

static void launch(struct worker *w)
{
	int go[2], done[2];

	if (pipe2(go, O_CLOEXEC) || pipe2(done, O_CLOEXEC)) {
		perror("pipe");
		exit(2);
	}
	fflush(NULL);
	w->pid = fork();
	if (w->pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!w->pid) {
		close(go[1]);
		close(done[0]);
		serve(w, go[0], done[1]);
	}
	close(go[0]);
	close(done[1]);
	w->go = go[1];
	w->done = done[0];
}

void worker_stop(struct worker *w)
{
	if (!w->pid)
		return;
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	close(w->go);
	close(w->done);
	w->pid = 0;
}

void worker_start(struct worker *w, unsigned first)
{
	uint32_t n = first;

	if (!w->pid)
		launch(w);
	w->s->at = first;
	if (write(w->go, &n, sizeof(n)) != (ssize_t)sizeof(n))
		worker_stop(w); /* worker_wait() will see it */
}

static uint64_t processor_ms(const struct worker *w)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(w->pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The worker's answer: 1; 0: it hangs, however busy the host is with other things; -1: it is gone. */
static int wait_for_answer(struct worker *w)
{
	struct pollfd p = { .fd = w->done, .events = POLLIN };
	uint64_t since = 0, used = 0;
	uint32_t at = UINT32_MAX;
	char byte;
	int n;

	if (!w->pid)
		return -1;
	while (!(n = poll(&p, 1, LOOK_MS))) {
		if (w->s->at != at) {
			at = w->s->at;
			used = processor_ms(w);
			since = 0;
			continue;
		}
		since += LOOK_MS;
		if (processor_ms(w) - used >= HANG_MS || since >= STUCK_MS)
			return 0;
	}
	return n > 0 && read(w->done, &byte, 1) == 1 ? 1 : -1;
}

/* Waits for the batch; a case that kills or hangs the worker gets that as its outcome, and the ones behind it still run. */
void worker_wait(struct worker *w)
{
	for (;;) {
		int n = wait_for_answer(w);
		uint32_t at = w->s->at;

		if (n > 0)
			return;
		worker_stop(w);
		memset(w->s->out[at], 0, sizeof(w->s->out[at]));
		w->s->out[at][0].vector = n == 0 ? DIFF_HANG : DIFF_CRASH;
		w->s->out[at][1].vector = DIFF_NOT_RUN;
		if (at + 1 >= batch->nr)
			return;
		worker_start(w, at + 1);
	}
}
