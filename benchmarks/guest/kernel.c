/* SPDX-License-Identifier: MIT */
/* The kernel's work: system calls, signals, page faults, processes, threads, switches on one CPU and between two. */
#include "bench.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int zero_fd;
static char **self;

static void getppid_call(uint64_t n)
{
	for (uint64_t i = 0; i < n * 10; i++)
		syscall(SYS_getppid);
}

static void read_call(uint64_t n)
{
	char buf[64];

	for (uint64_t i = 0; i < n * 10; i++) {
		if (read(zero_fd, buf, sizeof(buf)) != sizeof(buf))
			bench_fail("read");
	}
}

static void open_close(uint64_t n)
{
	while (n--)
		close(open("/dev/null", O_RDONLY));
}

static volatile sig_atomic_t hits;

static void hit(int sig)
{
	(void)sig;
	hits++;
}

static void self_signal(uint64_t n)
{
	signal(SIGUSR1, hit);
	while (n--)
		raise(SIGUSR1);
}

/* --- page faults --- */

enum { PAGE = 4096, FAULT_PAGES = 256 };

static void anonymous_fault(uint64_t n)
{
	while (n--) {
		char *p = mmap(NULL, FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			bench_fail("mmap");
		madvise(p, FAULT_PAGES * PAGE, MADV_NOHUGEPAGE);
		for (int i = 0; i < FAULT_PAGES; i++)
			p[i * PAGE] = 1;
		munmap(p, FAULT_PAGES * PAGE);
	}
}

static char *guarded;

static void unlock_page(int sig)
{
	(void)sig;
	mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

static void fault_signal(uint64_t n)
{
	guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, unlock_page);
	while (n--) {
		mprotect(guarded, PAGE, PROT_NONE);
		*(volatile char *)guarded = 1;
	}
	signal(SIGSEGV, SIG_DFL);
	munmap(guarded, PAGE);
}

/* --- processes and threads --- */

static void fork_wait(uint64_t n)
{
	while (n--) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void fork_exec(uint64_t n)
{
	while (n--) {
		pid_t pid = vfork();

		if (pid == 0) {
			execl(self[0], self[0], "nothing", NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
}

static void *nothing(void *arg)
{
	return arg;
}

static void thread_create(uint64_t n)
{
	while (n--) {
		pthread_t t;

		if (pthread_create(&t, NULL, nothing, NULL))
			bench_fail("pthread_create");
		pthread_join(t, NULL);
	}
}

/* --- ping-pong: one byte there and back through two pipes --- */

static int partner_cpu;

static void pipe_pingpong(uint64_t n)
{
	int there[2], back[2];
	char c = 'x';
	pid_t pid;

	if (pipe(there) || pipe(back))
		bench_fail("pipe");
	pid = fork();
	if (pid == 0) {
		bench_pin(partner_cpu);
		close(there[1]);
		while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	close(there[0]);
	while (n--) {
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			bench_fail("pipe");
	}
	close(there[1]);
	close(back[0]);
	close(back[1]);
	waitpid(pid, NULL, 0);
}

/* --- the same between threads, by futex --- */

static int turn;
static uint64_t turns;

static void pass(int mine, int other)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, other, NULL, NULL, 0);
	__atomic_store_n(&turn, other, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *futex_partner(void *arg)
{
	bench_pin(partner_cpu);
	for (uint64_t i = 0; i < turns; i++)
		pass(1, 0);
	return arg;
}

static void futex_pingpong(uint64_t n)
{
	pthread_t t;

	turn = 0;
	turns = n;
	if (pthread_create(&t, NULL, futex_partner, NULL))
		bench_fail("pthread_create");
	while (n--)
		pass(0, 1);
	pthread_join(t, NULL);
}

/* Remote TLB flush: another thread of the process keeps a second CPU busy while we unmap. */
static volatile int busy;

static void *keep_busy(void *arg)
{
	bench_pin(1);
	while (busy)
		bench_sink++;
	return arg;
}

static void shootdown(uint64_t n)
{
	pthread_t t;
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	busy = 1;
	if (p == MAP_FAILED || pthread_create(&t, NULL, keep_busy, NULL))
		bench_fail("pthread_create");
	while (n--) {
		*(volatile char *)p = 1;
		mprotect(p, PAGE, PROT_READ);
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	}
	busy = 0;
	pthread_join(t, NULL);
	munmap(p, PAGE);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 0; /* the other end of fork_exec */
	self = argv;
	zero_fd = open("/dev/zero", O_RDONLY);
	bench_pin(0);
	bench_run("sys-getppid", getppid_call);
	bench_run("sys-read", read_call);
	bench_run("sys-open-close", open_close);
	bench_run("sys-signal", self_signal);
	bench_run("fault-anonymous", anonymous_fault);
	bench_run("fault-signal", fault_signal);
	bench_run("proc-fork", fork_wait);
	bench_run("proc-fork-exec", fork_exec);
	bench_run("proc-thread", thread_create);
	partner_cpu = 0;
	bench_run("switch-1cpu", pipe_pingpong);
	partner_cpu = 1;
	bench_run("pipe-2cpu", pipe_pingpong);
	bench_run("futex-2cpu", futex_pingpong);
	bench_run("shootdown-2cpu", shootdown);
	return 0;
}
