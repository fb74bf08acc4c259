/* SPDX-License-Identifier: MIT */
/*
 * Processes: fork and wait, copy-on-write, exec of itself, pipes between relatives, vfork by way of posix_spawn, and
 * exit by signal. Every child's work reaches the checksum through its exit status, a pipe or shared memory.
 *
 *   forkexec [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static const char *const me = "forkexec";
static long rounds;

static int reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail(me, "fork or wait");
	return status;
}

/* Parent and child change the same page after fork; neither sees the other's change. */
static void test_cow(void)
{
	size_t size = 64 * 4096;
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t sum = FNV_BASIS;

	if (mem == MAP_FAILED)
		fail(me, "mmap");
	for (long i = 0; i < rounds; i++) {
		pid_t pid;

		memset(mem, (int)i, size);
		pid = fork();
		if (pid == 0) {
			for (size_t at = 0; at < size; at += 4096)
				mem[at + (size_t)i % 4096] ^= 0x55;
			_exit((int)(hash_bytes(FNV_BASIS, mem, size) & 0xff));
		}
		for (size_t at = 0; at < size; at += 4096)
			mem[at] = (char)at;
		sum = hash_u64(sum, (uint64_t)reap(pid));
		sum = hash_bytes(sum, mem, size);
	}
	munmap(mem, size);
	report(me, "cow", sum);
}

static void test_exec(const char *self)
{
	uint64_t sum = FNV_BASIS;

	for (long i = 0; i < rounds; i++) {
		char number[24];
		char *argv[] = { (char *)self, "child", number, NULL };
		pid_t pid;

		snprintf(number, sizeof(number), "%ld", i);
		if (i & 1) {
			if (posix_spawn(&pid, self, NULL, NULL, argv, environ))
				fail(me, "posix_spawn");
		} else {
			pid = fork();
			if (pid == 0) {
				execv(self, argv);
				_exit(127);
			}
		}
		sum = hash_u64(sum, (uint64_t)reap(pid));
	}
	report(me, "exec", sum);
}

static void filter(int from, int to, unsigned char key)
{
	unsigned char buf[700];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			buf[i] = (unsigned char)(buf[i] * 5 + key);
		if (write(to, buf, (size_t)n) != n)
			_exit(1);
	}
	_exit(0);
}

/* A pipeline of filters, each a process, over data larger than any pipe buffer. */
static void test_pipeline(void)
{
	enum { STAGES = 5, SIZE = 400000 };
	int first[2], in[2], out[2];
	uint64_t sum = FNV_BASIS, rng = 7;
	unsigned char buf[4096];
	ssize_t n;

	if (pipe(first))
		fail(me, "pipe");
	in[0] = first[0];
	for (int stage = 0; stage < STAGES; stage++) {
		if (pipe(out))
			fail(me, "pipe");
		if (fork() == 0) {
			close(first[1]);
			close(out[0]);
			filter(in[0], out[1], (unsigned char)stage);
		}
		close(in[0]);
		close(out[1]);
		in[0] = out[0];
	}
	if (fork() == 0) {
		for (int left = SIZE; left > 0; left -= 8) {
			uint64_t v = rng_next(&rng);

			if (write(first[1], &v, 8) != 8)
				_exit(1);
		}
		_exit(0);
	}
	close(first[1]);
	while ((n = read(in[0], buf, sizeof(buf))) > 0)
		sum = hash_bytes(sum, buf, (size_t)n);
	for (int i = 0; i <= STAGES; i++) {
		int status;

		if (wait(&status) < 0 || status)
			fail(me, "a stage of the pipeline");
	}
	report(me, "pipeline", sum);
}

/* A tree of processes, each adding to shared memory. */
static void test_tree(void)
{
	uint64_t *total = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t path = 1;
	pid_t kids[2];
	int depth;

	if (total == MAP_FAILED)
		fail(me, "mmap");
	for (depth = 0; depth < 5; depth++) {
		int which = 2;

		for (int i = 0; i < 2 && which == 2; i++) {
			kids[i] = fork();
			if (kids[i] == 0)
				which = i;
		}
		if (which == 2)
			break;
		path = path * 2 + (uint64_t)which;
	}
	__atomic_fetch_add(total, path * path, __ATOMIC_SEQ_CST);
	if (depth < 5) {
		if (reap(kids[0]) || reap(kids[1]))
			fail(me, "a process of the tree");
	}
	if (path != 1)
		_exit(0);
	report(me, "tree", *total);
}

static void test_death(void)
{
	static const int sigs[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT, SIGUSR1 };
	uint64_t sum = FNV_BASIS;

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (;;)
				pause();
		}
		kill(pid, sigs[i]);
		sum = hash_u64(sum, (uint64_t)WTERMSIG(reap(pid)));
	}
	report(me, "death", sum);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "child"))
		return (int)(hash_bytes(FNV_BASIS, argv[2], strlen(argv[2])) & 0x7f);
	rounds = arg_long(argc, argv, 1, 60);
	test_cow();
	test_exec(argv[0]);
	test_pipeline();
	test_tree();
	test_death();
	return 0;
}
