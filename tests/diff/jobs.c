/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "diff/jobs.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
	pid_t pid;
	FILE *out;
};

static struct totals *share(unsigned nr)
{
	void *p = mmap(NULL, nr * sizeof(struct totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

static void start(struct job *j, void (*job)(void *context, struct totals *t, unsigned n), void *context, struct totals *t, unsigned n)
{
	j->out = tmpfile();
	fflush(NULL);
	j->pid = j->out ? fork() : -1;
	if (j->pid < 0) {
		perror("difftest: starting a job");
		exit(2);
	}
	if (j->pid)
		return;
	dup2(fileno(j->out), STDOUT_FILENO);
	job(context, t, n);
	fflush(NULL);
	_exit(0);
}

static bool finish(struct job *j)
{
	char buf[4096];
	size_t n;
	int status;

	if (waitpid(j->pid, &status, 0) != j->pid)
		return false;
	rewind(j->out);
	while ((n = fread(buf, 1, sizeof(buf), j->out)))
		fwrite(buf, 1, n, stdout);
	fclose(j->out);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fprintf(stderr, "difftest: a job ended with status %#x\n", (unsigned)status);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* All of it is 64-bit counts. */
static void add(struct totals *sum, const struct totals *t)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)t;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

const struct totals *jobs_run(unsigned nr, void (*job)(void *context, struct totals *t, unsigned n), void *context)
{
	struct totals *t = share(nr + 1);
	struct job j[MAX_JOBS];
	bool good = true;

	if (nr == 1) {
		job(context, t, 0);
		return t;
	}
	for (unsigned n = 0; n < nr; n++)
		start(&j[n], job, context, &t[n + 1], n);
	for (unsigned n = 0; n < nr; n++) {
		good &= finish(&j[n]);
		add(t, &t[n + 1]);
	}
	return good ? t : NULL;
}
