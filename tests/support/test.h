/* SPDX-License-Identifier: MIT */
/*
 * What every cmocka test needs: the includes in cmocka's order, and a way to expect that a call ends the process.
 */
#ifndef COHORT_TESTS_SUPPORT_TEST_H
#define COHORT_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)

/* Runs fn(arg) in a child process that any system call kills; true when it came to its end. */
static inline int test_makes_no_system_call(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(1);
		fn(arg);
		syscall(SYS_exit, 0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs fn(arg) in a child process with stderr closed; true when it died of SIGABRT (emu_bug). */
static inline int test_aborts(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };
		int null = open("/dev/null", O_WRONLY);

		setrlimit(RLIMIT_CORE, &none);
		dup2(null, STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		fn(arg);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
