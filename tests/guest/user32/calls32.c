/* SPDX-License-Identifier: MIT */
/*
 * System calls of 32-bit programs by both ways in, what they leave in registers and flags, processes, and threads with
 * segments of their own for thread-local storage.
 */
#include "user32.h"

static const char *const me = "calls32";

/* --- every register but EAX survives, and so do the flags --- */

struct image {
	uint32_t ebx, ecx, edx, esi, edi, ebp, eflags;
};

/* look_NAME(before, after): the call with the registers of the one image; the other takes what it left. */
#define LOOK_FUNCTION(name, how)                                                                                       \
	void name(const struct image *before, struct image *after);                                                    \
	__asm__(".globl " #name "\n" #name ":\n\tpushal\n\tmovl 36(%esp), %esi\n\tmovl 40(%esp), %edi\n\tpushl %edi\n\t"    \
		"movl 24(%esi), %eax\n\tpushl %eax\n\tmovl (%esi), %ebx\n\tmovl 4(%esi), %ecx\n\tmovl 8(%esi), %edx\n\t"      \
		"movl 16(%esi), %edi\n\tmovl 20(%esi), %ebp\n\tmovl 12(%esi), %esi\n\tmovl $224, %eax\n\tpopfl\n\t" how  \
		"\n\tpushfl\n\tmovl 4(%esp), %eax\n\tmovl %ebx, (%eax)\n\tmovl %ecx, 4(%eax)\n\tmovl %edx, 8(%eax)\n\t"    \
		"movl %esi, 12(%eax)\n\tmovl %edi, 16(%eax)\n\tmovl %ebp, 20(%eax)\n\tpopl 24(%eax)\n\t"                 \
		"addl $4, %esp\n\tpushl $0x202\n\tpopfl\n\tpopal\n\tret")
LOOK_FUNCTION(look_int80, "int $0x80");
LOOK_FUNCTION(look_vsyscall, "call *vsyscall_entry");

static uint64_t look(const struct image *before, const struct image *after)
{
	uint64_t h = FNV_BASIS;

	h = hash_bytes(h, before, sizeof(*before));
	return hash_bytes(h, after, sizeof(*after));
}

static void test_registers(void)
{
	static struct image before = {0x11111111, 0x22222222, 0x33333333, 0x44444444, 0x55555555, 0x66666666, 0}, after;
	static const uint32_t flags[] = {0x202, 0x202 | 0x8d5, 0x202 | 0x400, 0x202 | 0x40000, 0x202 | 0x200000};
	uint64_t h80 = FNV_BASIS, hv = FNV_BASIS;

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		before.eflags = flags[i];
		look_int80(&before, &after);
		h80 ^= look(&before, &after) * (i + 1);
		look_vsyscall(&before, &after);
		/* SYSENTER keeps no flags: the kernel's entry code gives up the arithmetic ones and DF. */
		after.eflags &= ~0xcd5u;
		hv ^= look(&before, &after) * (i + 1);
	}
	report(me, "registers-int80", h80);
	report(me, "registers-vsyscall", hv);
}

/* --- results and errors by both ways --- */

static uint64_t results(long (*call)(long, long, long, long, long, long))
{
	uint64_t h = FNV_BASIS;
	int fd[2];
	char buf[8];

	for (int i = 0; i < 2000; i++) {
		h = hash_u32(h, call(SYS_getpid, 0, 0, 0, 0, 0) == sys0(SYS_getpid));
		h = hash_u32(h, (uint32_t)call(9999, 1, 2, 3, 4, 5));
		h = hash_u32(h, (uint32_t)call(SYS_write, 1, 16, 4, 0, 0)); /* EFAULT */
		h = hash_u32(h, (uint32_t)call(SYS_write, 999, (long)buf, 4, 0, 0)); /* EBADF */
	}
	h = hash_u32(h, (uint32_t)call(SYS_pipe, (long)fd, 0, 0, 0, 0));
	for (int i = 0; i < 500; i++) {
		h = hash_u32(h, (uint32_t)call(SYS_write, fd[1], (long)"abcdefg", 1 + i % 7, 0, 0));
		memset(buf, 0, sizeof(buf));
		h = hash_u32(h, (uint32_t)call(SYS_read, fd[0], (long)buf, 8, 0, 0));
		h = hash_bytes(h, buf, sizeof(buf));
	}
	call(SYS_close, fd[0], 0, 0, 0, 0);
	call(SYS_close, fd[1], 0, 0, 0, 0);
	return h;
}

static long by_int80(long nr, long a, long b, long c, long d, long e)
{
	return sys(nr, a, b, c, d, e);
}

static long by_vsyscall(long nr, long a, long b, long c, long d, long e)
{
	return vsys(nr, a, b, c, d, e);
}

/* --- processes --- */

static void test_processes(char **argv, char **env)
{
	char which[2] = {0}, *child_argv[] = {argv[0], "child", which, NULL};
	uint64_t h = FNV_BASIS;

	for (int i = 0; i < 20; i++) {
		long pid = vsys(SYS_fork, 0, 0, 0, 0, 0);
		int status = -1;

		if (!pid) {
			which[0] = (char)i;
			if (i & 1)
				vsys(SYS_execve, (long)argv[0], (long)child_argv, (long)env, 0, 0);
			quit(i & 1 ? 99 : i);
		}
		if (sys4(SYS_wait4, pid, &status, 0, 0) != pid)
			fail(me, "wait4");
		h = hash_u32(h, (uint32_t)status);
	}
	report(me, "processes", h);
}

/* --- threads: each has a segment for its data, loaded into GS, and counts there and in shared memory --- */

struct user_desc {
	uint32_t entry, base, limit, flags;
};

enum { DESC_32BIT = 1, DESC_LIMIT_IN_PAGES = 0x10, DESC_USEABLE = 0x40, NR_THREADS = 4, ROUNDS = 20000 };

struct thread {
	struct user_desc desc;
	volatile int32_t tid;
	struct local {
		uint32_t index, count, sum;
	} local;
	uint32_t stack[2048];
};

static struct thread threads[NR_THREADS];
static volatile uint32_t shared, total;

static uint32_t futex(volatile void *word, int op, uint32_t value)
{
	return (uint32_t)vsys(SYS_futex, (long)word, op, (long)value, 0, 0);
}

static void lock(volatile uint32_t *l)
{
	while (__atomic_exchange_n(l, 2, __ATOMIC_ACQUIRE))
		futex(l, 0, 2);
}

static void unlock(volatile uint32_t *l)
{
	__atomic_store_n(l, 0, __ATOMIC_RELEASE);
	futex(l, 1, 1);
}

__attribute__((used)) static void thread_main(void)
{
	static volatile uint32_t mutex;
	uint32_t index;

	__asm__ volatile("movl %%gs:0, %0" : "=r"(index));
	for (uint32_t i = 0; i < ROUNDS; i++) {
		__asm__ volatile("addl $1, %%gs:4\n\taddl %0, %%gs:8" : : "r"(i * (index + 1)) : "memory", "cc");
		__atomic_add_fetch(&shared, index + 1, __ATOMIC_RELAXED);
		if (i % 64 == 0) {
			lock(&mutex);
			total += i;
			unlock(&mutex);
		}
		if (i % 1024 == 0)
			vsys(SYS_sched_yield, 0, 0, 0, 0, 0);
	}
	for (;;)
		sys1(SYS_exit, 0);
}

/* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, CHILD_CLEARTID */
#define CLONE_FLAGS (0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000 | 0x200000)

static void start_thread(struct thread *t)
{
	uint32_t *top = t->stack + ARRAY_LEN(t->stack) - 4;
	long ret;

	__asm__ volatile("int $0x80\n\ttestl %%eax, %%eax\n\tjnz 1f\n\tcall thread_main\n1:"
			 : "=a"(ret) : "a"(SYS_clone), "b"(CLONE_FLAGS), "c"(top), "d"(0), "S"(&t->desc), "D"(&t->tid) : "memory");
	if (ret < 0)
		fail(me, "clone");
}

static void test_threads(void)
{
	struct user_desc d = {~0u, (uint32_t)&threads[0].local, 0xfffff, DESC_32BIT | DESC_LIMIT_IN_PAGES | DESC_USEABLE};
	uint64_t h = FNV_BASIS;

	if (sys1(SYS_set_thread_area, &d))
		fail(me, "set_thread_area");
	__asm__ volatile("movw %w0, %%gs" : : "r"(d.entry << 3 | 3));
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		struct thread *t = &threads[i];

		t->desc = d;
		t->desc.base = (uint32_t)&t->local;
		t->local.index = i;
		t->tid = 1;
		start_thread(t);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		struct thread *t = &threads[i];

		for (int32_t tid; (tid = t->tid);)
			futex(&t->tid, 0, (uint32_t)tid);
		h = hash_bytes(h, &t->local, sizeof(t->local));
	}
	h = hash_u32(h, shared);
	report(me, "threads", hash_u32(h, total));
}

int program(int argc, char **argv, char **env)
{
	if (argc == 3)
		return argv[2][0] + 100;
	if (!vsyscall_entry)
		fail(me, "no AT_SYSINFO");
	test_registers();
	report(me, "results-int80", results(by_int80));
	report(me, "results-vsyscall", results(by_vsyscall));
	test_processes(argv, env);
	test_threads();
	return 0;
}
