/* SPDX-License-Identifier: MIT */
/*
 * Runtime of the guest's 32-bit test programs: no C library, so that building them needs no 32-bit one. Like the 64-bit
 * programs (../user/user.h), each prints lines "program topic checksum" that must not depend on the machine; the test
 * compares a native run with one in the guest, under 64-bit and under 32-bit kernels.
 *
 * System calls go through int $0x80 (sys) or through the kernel's own entry code (vsys), which is SYSENTER, SYSCALL or
 * int $0x80 again, as kernel and CPU please.
 */
#ifndef USER32_H
#define USER32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SYS_exit = 1, SYS_fork = 2, SYS_read = 3, SYS_write = 4, SYS_close = 6, SYS_execve = 11, SYS_getpid = 20,
	SYS_kill = 37, SYS_pipe = 42, SYS_setitimer = 104, SYS_wait4 = 114, SYS_clone = 120, SYS_modify_ldt = 123,
	SYS_mprotect = 125, SYS_sched_yield = 158, SYS_rt_sigaction = 174, SYS_rt_sigprocmask = 175,
	SYS_sigaltstack = 186, SYS_mmap2 = 192, SYS_gettid = 224, SYS_tkill = 238, SYS_futex = 240,
	SYS_set_thread_area = 243, SYS_exit_group = 252
};

#define EFAULT 14
#define ENOSYS 38
#define FNV_BASIS 0xcbf29ce484222325ull
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

__attribute__((used)) uint32_t vsyscall_entry; /* AT_SYSINFO */

static inline long sys(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return ret;
}

static inline long vsys(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	__asm__ volatile("call *%1" : "=a"(ret) : "m"(vsyscall_entry), "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return ret;
}

#define sys0(nr) sys(nr, 0, 0, 0, 0, 0)
#define sys1(nr, a) sys(nr, (long)(a), 0, 0, 0, 0)
#define sys2(nr, a, b) sys(nr, (long)(a), (long)(b), 0, 0, 0)
#define sys3(nr, a, b, c) sys(nr, (long)(a), (long)(b), (long)(c), 0, 0)
#define sys4(nr, a, b, c, d) sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0)

void *memset(void *p, int c, size_t n)
{
	void *q = p;

	__asm__ volatile("rep stosb" : "+D"(q), "+c"(n) : "a"(c) : "memory");
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *q = to;

	__asm__ volatile("rep movsb" : "+D"(q), "+S"(from), "+c"(n) : : "memory");
	return to;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static void put(const char *s)
{
	sys3(SYS_write, 1, s, length(s));
}

/* FNV-1a, 64 bits. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size--) {
		h ^= *p++;
		h *= 0x100000001b3ull;
	}
	return h;
}

static inline uint64_t hash_u32(uint64_t h, uint32_t v)
{
	return hash_bytes(h, &v, sizeof(v));
}

static inline uint32_t rng_next(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static void report(const char *program, const char *topic, uint64_t sum)
{
	char line[80], *p = line;

	for (const char *s = program; *s; s++)
		*p++ = *s;
	*p++ = ' ';
	for (const char *s = topic; *s; s++)
		*p++ = *s;
	*p++ = ' ';
	for (int shift = 60; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[sum >> shift & 15];
	*p++ = '\n';
	sys3(SYS_write, 1, line, p - line);
}

_Noreturn static inline void quit(int status)
{
	for (;;)
		sys1(SYS_exit_group, status);
}

_Noreturn static inline void fail(const char *program, const char *what)
{
	put(program);
	put(" FAILED ");
	put(what);
	put("\n");
	quit(1);
}

static inline void *map_pages(size_t size, int prot)
{
	long p;

	/* mmap2 has six arguments; the last, in EBP, is the offset. */
	__asm__ volatile("pushl %%ebp\n\txorl %%ebp, %%ebp\n\tint $0x80\n\tpopl %%ebp"
			 : "=a"(p) : "a"(SYS_mmap2), "b"(0), "c"(size), "d"(prot), "S"(0x22), "D"(-1) : "memory");
	return p < 0 && p > -4096 ? NULL : (void *)p;
}

enum { PROT_R = 1, PROT_W = 2, PROT_X = 4 };

/* Signals, as the kernel has them. */
struct kernel_sigaction {
	void *handler;
	uint32_t flags;
	void *restorer;
	uint32_t mask[2];
};

struct sigcontext32 {
	uint32_t gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, trapno, err, eip, cs, eflags, esp_at_signal, ss;
	uint32_t fpstate, oldmask, cr2;
};

struct ucontext32 {
	uint32_t flags, link, stack_sp, stack_flags, stack_size;
	struct sigcontext32 mc;
	uint32_t mask[2];
};

enum { SIGINT = 2, SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11, SIGUSR2 = 12, SIGALRM = 14, SIGCHLD = 17 };
enum { SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000, SA_NODEFER = 0x40000000 };

/* Without SA_RESTORER the handler returns through the kernel's own code page. */
static inline void set_handler(int sig, void *handler, uint32_t flags)
{
	struct kernel_sigaction sa = {.handler = handler, .flags = flags};

	if (sys4(SYS_rt_sigaction, sig, &sa, 0, 8))
		fail("user32", "rt_sigaction");
}

int program(int argc, char **argv, char **env);

__attribute__((used)) void start_c(uint32_t *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1), **env = argv + argc + 1;
	uint32_t *aux;

	for (aux = (uint32_t *)env; *aux; aux++)
		;
	for (aux++; aux[0]; aux += 2)
		if (aux[0] == 32)
			vsyscall_entry = aux[1];
	quit(program(argc, argv, env));
}

__asm__(".globl _start\n_start:\n\tmovl %esp, %eax\n\txorl %ebp, %ebp\n\tandl $-16, %esp\n\tsubl $12, %esp\n\tpushl %eax\n\t"
	"call start_c\n\thlt");

#endif
