/* SPDX-License-Identifier: MIT */
/*
 * Signals and faults: precise restart after a repaired page fault, faults that are skipped or jumped out of, alternate
 * stacks, error codes and addresses the kernel reports, and timers that interrupt computations whose result must not
 * change (integer, SSE and x87 state across delivery).
 *
 *   signals [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static const char *const me = "signals";
static long rounds;
static sigjmp_buf escape;
static uint64_t sum;
static char *pages;
static volatile sig_atomic_t ticks, on_altstack;
static char altstack[65536];

enum { PAGE = 4096, NPAGES = 16 };

static void set_handler(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	sigemptyset(&sa.sa_mask);
	if (sigaction(sig, &sa, NULL))
		fail(me, "sigaction");
}

/* --- page faults repaired in the handler: the faulting instruction must restart with nothing done --- */

static void repair(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	uintptr_t base = (uintptr_t)si->si_addr & ~(uintptr_t)(PAGE - 1);
	uint64_t error = (uint64_t)uc->uc_mcontext.gregs[REG_ERR];

	/* Whether a read-modify-write that may not even read is reported as a write is the CPU's choice. */
	if (!(error & 1))
		error &= ~2ull;
	sum = hash_u64(sum, (uint64_t)sig);
	sum = hash_u64(sum, (uint64_t)si->si_code);
	sum = hash_u64(sum, (uintptr_t)si->si_addr - (uintptr_t)pages);
	sum = hash_u64(sum, error);
	sum = hash_u64(sum, (uint64_t)uc->uc_mcontext.gregs[REG_TRAPNO]);
	if (mprotect((void *)base, PAGE, PROT_READ | PROT_WRITE))
		_exit(3);
}

static void lock_page(int n)
{
	if (mprotect(pages + n * PAGE, PAGE, n & 1 ? PROT_READ : PROT_NONE))
		fail(me, "mprotect");
}

static void test_restart(void)
{
	stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
	uint64_t rng = 1;

	/* RSP points into the pages for a while: the handler needs a stack of its own. */
	sigaltstack(&ss, NULL);
	set_handler(SIGSEGV, repair, SA_ONSTACK);
	for (long i = 0; i < rounds; i++) {
		int n = 1 + (int)(rng_next(&rng) % (NPAGES - 2));
		char *boundary = pages + n * PAGE;
		uint64_t carry, v = rng_next(&rng);
		char *di = boundary - 100, *si = pages;
		size_t count = 300;

		lock_page(n);
		/* Read-modify-write across the boundary, with carry in: done exactly once. */
		__asm__ volatile("stc\n\tadcq %2, %1\n\tsbbq %0, %0"
				 : "=r"(carry), "+m"(*(uint64_t *)(boundary - 3))
				 : "r"(v)
				 : "cc");
		lock_page(n);
		/* A string copy that faults midway, registers advanced so far. */
		__asm__ volatile("rep movsb" : "+D"(di), "+S"(si), "+c"(count) : : "memory");
		lock_page(n);
		/* A push onto the locked page: RSP must not move before the store is done. */
		__asm__ volatile("movq %%rsp, %%r12\n\tleaq 8(%0), %%rsp\n\tpushq %1\n\tmovq %%r12, %%rsp"
				 :
				 : "r"(boundary), "r"(v)
				 : "r12", "memory");
		lock_page(n);
		__asm__ volatile("xchgq %0, %1" : "+r"(v), "+m"(*(uint64_t *)(boundary + 16)));
		sum = hash_u64(sum, carry ^ v ^ count);
		sum = hash_bytes(sum, boundary - 128, 512);
	}
	report(me, "restart", sum);
}

/* --- faults left by siglongjmp, on the alternate stack --- */

static void jump_out(int sig, siginfo_t *si, void *context)
{
	char here;

	on_altstack = &here >= altstack && &here < altstack + sizeof(altstack);
	sum = hash_u64(sum, (uint64_t)sig);
	sum = hash_u64(sum, (uint64_t)si->si_code);
	sum = hash_u64(sum, (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_TRAPNO]);
	siglongjmp(escape, 1);
}

static void divide(long a, long b)
{
	long q, r;

	__asm__ volatile("idivq %3" : "=a"(q), "=d"(r) : "0"(a), "r"(b), "1"(a >> 63) : "cc");
	sum = hash_u64(sum, (uint64_t)(q ^ r));
}

/* One of the ways to fault; the number says which. */
static void fault(int kind)
{
	volatile uintptr_t low = 8;
	volatile char *null = (volatile char *)low;

	switch (kind) {
	case 0: *null = 1; break;
	case 1: sum += (uint64_t)*null; break;
	case 2: divide(1, 0); break;
	case 3: divide(INT64_MIN, -1); break;
	case 4: __asm__ volatile("ud2"); break;
	case 5: __asm__ volatile("int3"); break;
	case 6: ((void (*)(void))pages)(); break; /* not executable */
	case 7: sum += *(volatile char *)0x8000000000000000ull; break; /* not canonical */
	case 8: __asm__ volatile("hlt"); break; /* privileged */
	case 9: __asm__ volatile("movaps %%xmm0, 8(%0)" : : "r"(altstack) : "memory"); break; /* misaligned */
	case 10: __asm__ volatile("movq %%rax, %%cr3" : : : "memory"); break;
	}
}

/* Takes the faults of kinds first to last in turn, so many times. */
static void escape_from(int first, int last, int times, const char *topic)
{
	sum = FNV_BASIS;
	for (volatile int i = 0; i < times * (last - first + 1); i++) {
		on_altstack = 0;
		if (!sigsetjmp(escape, 1)) {
			fault(first + i % (last - first + 1));
			sum = hash_u64(sum, 0xbad);
		}
		sum = hash_u64(sum, (uint64_t)on_altstack);
	}
	report(me, topic, sum);
}

static void test_escape(void)
{
	static const int sigs[] = { SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS };

	mprotect(pages, NPAGES * PAGE, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		set_handler(sigs[i], jump_out, SA_ONSTACK);
	escape_from(0, 8, 20, "escape");
	escape_from(9, 9, 20, "misaligned-sse");
	escape_from(10, 10, 20, "privileged");
}

/* --- INT3, single-step and skipped instructions: the saved RIP is exact --- */

static uintptr_t step_first, step_count;

static void step(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)si;
	if (!step_first)
		step_first = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	sum = hash_u64(sum, (uintptr_t)uc->uc_mcontext.gregs[REG_RIP] - step_first);
	step_count++;
}

static void skip_ud2(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	(void)si;
	sum = hash_u64(sum, (uint64_t)sig);
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.gregs[REG_RAX] += 5;
}

static void test_step(void)
{
	uint64_t r = 0;

	sum = FNV_BASIS;
	set_handler(SIGTRAP, step, 0);
	set_handler(SIGILL, skip_ud2, 0);
	for (int i = 0; i < 20; i++) {
		__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
				 "addq $3, %0\n\tpushq %0\n\tpopq %%rcx\n\tcmpq $9, %%rcx\n\tjne 1f\n\tnop\n1:\n\t"
				 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tnop\n\tint3\n\tud2"
				 : "+a"(r) : : "rcx", "cc", "memory");
	}
	sum = hash_u64(hash_u64(sum, r), step_count);
	report(me, "step", sum);
}

/* --- timers: results of interrupted computations do not change --- */

static void tick(int sig, siginfo_t *si, void *context)
{
	volatile double d = 1.5;

	(void)sig;
	(void)si;
	(void)context;
	/* Disturb what the interrupted code uses. */
	d = d * 3.7 + (double)ticks;
	__asm__ volatile("fninit\n\tfldpi\n\tfldpi\n\tpcmpeqd %%xmm0, %%xmm0\n\tpcmpeqd %%xmm15, %%xmm15\n\tstd\n\tcld"
			 : : : "xmm0", "xmm15", "memory", "cc");
	ticks++;
}

static uint64_t compute(void)
{
	uint64_t h = FNV_BASIS, a = 1, b = 2;
	double x = 0.5;
	long double y = 0.25L;

	for (int i = 0; i < 20000; i++) {
		a = a * 6364136223846793005ull + b;
		__asm__("addq %1, %0\n\tadcq $0, %0\n\trolq $7, %0" : "+r"(b) : "r"(a) : "cc");
		x = x * 3.999 * (1.0 - x);
		y = y * 3.998L * (1.0L - y);
	}
	h = hash_u64(hash_u64(h, a), b);
	h = hash_bytes(h, &x, sizeof(x));
	return hash_bytes(h, &y, 10);
}

static void test_timer(void)
{
	struct itimerval on = { .it_interval = { .tv_usec = 2000 }, .it_value = { .tv_usec = 2000 } }, off = { 0 };
	uint64_t first = compute();

	set_handler(SIGALRM, tick, SA_RESTART);
	if (setitimer(ITIMER_REAL, &on, NULL))
		fail(me, "setitimer");
	for (long i = 0; i < rounds || ticks < 20; i++) {
		if (compute() != first)
			fail(me, "an interrupted computation changed");
	}
	setitimer(ITIMER_REAL, &off, NULL);
	report(me, "timer", first);
}

/* --- queued values and signals to threads --- */

static volatile sig_atomic_t thread_hits;
static uint64_t queued = FNV_BASIS;

static void take_value(int sig, siginfo_t *si, void *context)
{
	(void)context;
	(void)sig;
	queued = hash_u64(queued, (uint64_t)si->si_value.sival_int);
}

static void hit(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)si;
	(void)context;
	thread_hits++;
}

static void *spin_until_hit(void *arg)
{
	uint64_t v = 1;

	while (thread_hits < 50)
		v = v * 3 + 1;
	return v ? arg : NULL;
}

static void test_queue(void)
{
	pthread_t t;
	int before;

	set_handler(SIGRTMIN, take_value, 0);
	set_handler(SIGUSR2, hit, 0);
	for (int i = 0; i < 500; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i * 17 });
	report(me, "queue", queued);
	if (pthread_create(&t, NULL, spin_until_hit, NULL))
		fail(me, "pthread_create");
	do {
		before = thread_hits;
		pthread_kill(t, SIGUSR2);
		while (thread_hits == before)
			sched_yield();
	} while (before + 1 < 50);
	pthread_join(t, NULL);
	report(me, "thread", (uint64_t)thread_hits);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 300);
	pages = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		fail(me, "mmap");
	for (int i = 0; i < NPAGES * PAGE; i++)
		pages[i] = (char)(i * 7);
	sum = FNV_BASIS;
	test_restart();
	test_escape();
	test_step();
	test_timer();
	test_queue();
	return 0;
}
