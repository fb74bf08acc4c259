/* SPDX-License-Identifier: MIT */
/*
 * Unmasked floating-point exceptions: SSE ones fault at the instruction itself (#XM), x87 ones at the next waiting
 * instruction (#MF). What the handler sees (signal code, MXCSR, status word, position) goes into the checksum.
 */
#define _GNU_SOURCE
#include "user.h"

#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

static const char *const me = "fptrap";
static sigjmp_buf escape;
static uint64_t sum = FNV_BASIS;

static void trapped(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	sum = hash_u64(sum, (uint64_t)sig);
	sum = hash_u64(sum, (uint64_t)si->si_code);
	sum = hash_u64(sum, (uint64_t)uc->uc_mcontext.gregs[REG_TRAPNO]);
	sum = hash_u64(sum, uc->uc_mcontext.fpregs->mxcsr & 0x1fbf);
	sum = hash_u64(sum, uc->uc_mcontext.fpregs->swd & 0x3f);
	siglongjmp(escape, 1);
}

static void sse_case(int except, double a, double b, int op)
{
	volatile double va = a, vb = b, r = 0;

	feclearexcept(FE_ALL_EXCEPT);
	if (!sigsetjmp(escape, 1)) {
		feenableexcept(except);
		switch (op) {
		case '/': r = va / vb; break;
		case '*': r = va * vb; break;
		case 's': r = __builtin_sqrt(va); break;
		}
		sum = hash_u64(sum, 0xbad);
	}
	fedisableexcept(FE_ALL_EXCEPT);
	sum = hash_bytes(sum, (void *)&r, 8);
}

static void x87_case(unsigned short control, long double a, long double b)
{
	static const unsigned short usual = 0x37f;

	if (!sigsetjmp(escape, 1)) {
		__asm__ volatile("fninit\n\tfldcw %0\n\tfldt %1\n\tfldt %2\n\tfdivrp\n\tfwait"
				 : : "m"(control), "m"(a), "m"(b));
		sum = hash_u64(sum, 0xbad);
	}
	__asm__ volatile("fninit\n\tfldcw %0" : : "m"(usual));
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };

	sigaction(SIGFPE, &sa, NULL);
	for (int i = 0; i < 10; i++) {
		sse_case(FE_DIVBYZERO, 1, 0, '/');
		sse_case(FE_INVALID, -1, 0, 's');
		sse_case(FE_OVERFLOW, 1e300, 1e300, '*');
		sse_case(FE_UNDERFLOW, 1e-300, 1e-300, '*');
		sse_case(FE_INEXACT, 1, 3, '/');
		sse_case(FE_INVALID, 0, 0, '/');
	}
	report(me, "sse", sum);
	sum = FNV_BASIS;
	for (int i = 0; i < 10; i++) {
		x87_case(0x37b, 1, 0); /* divide by zero */
		x87_case(0x37e, 0, 0); /* invalid operation */
		x87_case(0x35f, 1, 3); /* precision */
		x87_case(0x37f, 1, 0); /* all masked: no trap */
	}
	report(me, "x87", sum);
	return 0;
}
