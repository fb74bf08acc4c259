/* SPDX-License-Identifier: MIT */
/*
 * Vector registers hold what was put into them, whatever happens in between: page faults and signals in the middle of vector code,
 * handlers that change the frame, state images, instructions that an emulator has help with, and other processes that use them on
 * the same CPU.
 *
 *   vectors [ROUNDS]
 *
 * With AVX, all 256 bits.
 */
#define _GNU_SOURCE
#include "user.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static const char *const me = "vectors";
static bool wide;
static long rounds;

struct regs {
	uint64_t v[16][4];
} __attribute__((aligned(64)));

/* void NAME(in, out, arg): loads all registers, does BODY (rdx = arg, rax rcx r8-r11 free), stores all registers. */
#define LD(MOV, R, S, N) MOV " " #N "*32(%rdi), %" R #N "\n\t"
#define ST(MOV, R, S, N) MOV " %" R #N ", " #N "*32(%rsi)\n\t"
#define ALL(X, MOV, R) X(MOV, R, 32, 0) X(MOV, R, 32, 1) X(MOV, R, 32, 2) X(MOV, R, 32, 3) X(MOV, R, 32, 4) X(MOV, R, 32, 5) \
	X(MOV, R, 32, 6) X(MOV, R, 32, 7) X(MOV, R, 32, 8) X(MOV, R, 32, 9) X(MOV, R, 32, 10) X(MOV, R, 32, 11) X(MOV, R, 32, 12) \
	X(MOV, R, 32, 13) X(MOV, R, 32, 14) X(MOV, R, 32, 15)
#define FUNCTION(NAME, SUFFIX, MOV, R, BODY) \
	void NAME##SUFFIX(const struct regs *in, struct regs *out, void *arg); \
	__asm__(".text\n" #NAME #SUFFIX ":\n\tpush %rbx\n\t" ALL(LD, MOV, R) BODY "\n\t" ALL(ST, MOV, R) "pop %rbx\n\tret\n");
#define BOTH(NAME, BODY) \
	FUNCTION(NAME, _128, "movups", "xmm", BODY) \
	FUNCTION(NAME, _256, "vmovups", "ymm", BODY)

/* Registers 0 and 1 work: 0 += 1 each time. */
BOTH(spin, "mov $200000, %ecx\n1:\tpaddq %xmm1, %xmm0\n\tdec %ecx\n\tjnz 1b")
BOTH(yield, "paddq %xmm1, %xmm0\n\tmov $24, %eax\n\tsyscall\n\tpaddq %xmm1, %xmm0\n\tmov $24, %eax\n\tsyscall\n\tpaddq %xmm1, %xmm0")
/* A load, a store, and a read-modify-write of fresh pages between vector operations. */
BOTH(touch, "paddq (%rdx), %xmm0\n\tpaddq %xmm1, %xmm0\n\tmovups %xmm2, 4096(%rdx)\n\taddl $1, 8192(%rdx)\n\tpaddq 8192(%rdx), %xmm0\n\t"
	    "movups %xmm2, 12280(%rdx)\n\tmovhps %xmm2, 20476(%rdx)\n\tpaddq %xmm1, %xmm0")
BOTH(helped, "push %rbx\n\txor %eax, %eax\n\tcpuid\n\tpop %rbx\n\tpaddq %xmm1, %xmm0\n\trdtsc\n\tpaddq %xmm1, %xmm0\n\tfninit\n\tsub $64, %rsp\n\t"
	     "fnstenv (%rsp)\n\tfldenv (%rsp)\n\tadd $64, %rsp\n\tpaddq %xmm1, %xmm0")
/* The handler changes registers 3 and 15 in the frame, and the CPU goes on behind the instruction: 3 bytes. */
BOTH(fault, "paddq %xmm1, %xmm0\n\tmovaps %xmm2, (%rdx)\n\tpaddq %xmm1, %xmm0")
BOTH(image, "fxsave64 (%rdx)\n\tpxor %xmm4, %xmm4\n\tpcmpeqd %xmm9, %xmm9\n\tfxrstor64 (%rdx)")
#define XSAVED(LOSE) "mov %rdx, %r8\n\tmov $7, %eax\n\txor %edx, %edx\n\txsave64 (%r8)\n\t" LOSE "\n\txrstor64 (%r8)"
FUNCTION(ximage, _128, "movups", "xmm", XSAVED("pxor %xmm4, %xmm4\n\tpcmpeqd %xmm9, %xmm9"))
FUNCTION(ximage, _256, "vmovups", "ymm", XSAVED("vzeroall"))

#define RUN(NAME, in, out, arg) (wide ? NAME##_256 : NAME##_128)(in, out, arg)

static void fill(struct regs *r, uint64_t seed)
{
	for (unsigned n = 0; n < 16; n++)
		for (unsigned k = 0; k < 4; k++)
			r->v[n][k] = rng_next(&seed);
}

/* Register 0's low half must be in's plus `times` register 1, everything else as it was. */
static void check(const char *what, const struct regs *in, const struct regs *out, uint64_t times)
{
	struct regs want = *in;
	char text[80];

	for (unsigned k = 0; k < 2; k++)
		want.v[0][k] += times * in->v[1][k];
	for (unsigned n = 0; n < 16; n++) {
		if (!memcmp(want.v[n], out->v[n], wide ? 32 : 16))
			continue;
		snprintf(text, sizeof(text), "%s: register %u", what, n);
		fail(me, text);
	}
}

static void page_faults(void)
{
	const size_t size = 6 * 4096;
	struct regs in, out;

	for (long r = 0; r < rounds; r++) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			fail(me, "mmap");
		fill(&in, (uint64_t)r);
		RUN(touch, &in, &out, p);
		in.v[0][0]++; /* the page's counter */
		check("page fault", &in, &out, 2);
		if (memcmp(p + 4096, in.v[2], 16) || memcmp(p + 12280, in.v[2], 16) || memcmp(p + 20476, &in.v[2][1], 8))
			fail(me, "stores across pages");
		munmap(p, size);
	}
	report(me, "page-faults", (uint64_t)rounds);
}

static struct regs at_fault;
static volatile sig_atomic_t nr_signals;

static void on_fault(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)si;
	for (unsigned n = 0; n < 16; n++)
		memcpy(at_fault.v[n], &uc->uc_mcontext.fpregs->_xmm[n], 16);
	memset(&uc->uc_mcontext.fpregs->_xmm[3], 0x33, 16);
	memset(&uc->uc_mcontext.fpregs->_xmm[15], 0xff, 16);
	uc->uc_mcontext.gregs[REG_RIP] += 3;
	nr_signals++;
}

/* Misaligned, and no page at all. */
static void faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	static uint8_t misaligned[64] __attribute__((aligned(64)));
	struct regs in, out, seen;

	sigaction(SIGSEGV, &sa, NULL);
	for (long r = 0; r < rounds; r++) {
		fill(&in, 1000 + (uint64_t)r);
		RUN(fault, &in, &out, r & 1 ? (void *)(misaligned + 8) : (void *)16);
		seen = in; /* the handler's view: low halves, and one addition done */
		for (unsigned k = 0; k < 2; k++)
			seen.v[0][k] += in.v[1][k];
		for (unsigned n = 0; n < 16; n++)
			if (memcmp(seen.v[n], at_fault.v[n], 16))
				fail(me, "registers in the frame of a fault");
		memset(in.v[3], 0x33, 16);
		memset(in.v[15], 0xff, 16);
		check("fault", &in, &out, 2);
	}
	signal(SIGSEGV, SIG_DFL);
	if (nr_signals != rounds)
		fail(me, "number of faults");
	report(me, "faults", (uint64_t)rounds);
}

static volatile double sink;

static void on_alarm(int sig)
{
	(void)sig;
	for (int i = 0; i < 10; i++)
		sink = sink * 0.5 + i;
	nr_signals++;
}

static void signals(void)
{
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct regs in, out;

	nr_signals = 0;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &often, NULL);
	for (long r = 0; r < rounds || nr_signals < 20; r++) {
		fill(&in, 2000 + (uint64_t)r);
		RUN(spin, &in, &out, NULL);
		check("signal", &in, &out, 200000);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	report(me, "signals", 1);
}

/* An image has them, upper halves apart (SDM volume 1, 13.4). */
static void check_image(const uint8_t *area, const struct regs *in, bool high)
{
	for (unsigned n = 0; n < 16; n++)
		if (memcmp(area + 160 + 16 * n, in->v[n], 16) || (high && memcmp(area + 576 + 16 * n, &in->v[n][2], 16)))
			fail(me, "vectors in an image");
}

static bool has_xsave(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 27 & 1;
}

static void helpers(void)
{
	static uint8_t area[832] __attribute__((aligned(64)));
	struct regs in, out;

	for (long r = 0; r < rounds; r++) {
		fill(&in, 3000 + (uint64_t)r);
		RUN(helped, &in, &out, NULL);
		check("helpers", &in, &out, 3);
		RUN(image, &in, &out, area);
		check("image", &in, &out, 0);
		check_image(area, &in, false);
		if (!has_xsave())
			continue;
		memset(area, 0, sizeof(area));
		RUN(ximage, &in, &out, area);
		check("XSAVE image", &in, &out, 0);
		check_image(area, &in, wide);
	}
	report(me, "helpers", (uint64_t)rounds);
}

static void race_one(uint64_t seed)
{
	struct regs in, out;

	for (long r = 0; r < rounds; r++) {
		fill(&in, seed + (uint64_t)r);
		RUN(yield, &in, &out, NULL);
		check("yield", &in, &out, 3);
		if (r % 16)
			continue;
		RUN(spin, &in, &out, NULL);
		check("preemption", &in, &out, 200000);
	}
	exit(0);
}

/* Processes that all use vectors, on one CPU. */
static void race(void)
{
	enum { PROCESSES = 3 };
	cpu_set_t one;
	int status;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		fail(me, "affinity");
	for (unsigned n = 0; n < PROCESSES; n++)
		if (fork() == 0)
			race_one(n << 20);
	for (unsigned n = 0; n < PROCESSES; n++)
		if (wait(&status) < 0 || status)
			fail(me, "a process of the race");
	report(me, "race", PROCESSES);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 300);
	__builtin_cpu_init();
	wide = __builtin_cpu_supports("avx");
	page_faults();
	faults();
	signals();
	helpers();
	race();
	return 0;
}
