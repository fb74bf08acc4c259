/* SPDX-License-Identifier: MIT */
/*
 * Alignment checking (#AC): with EFLAGS.AC set, user code faults on misaligned data. Linux sets CR0.AM and delivers
 * SIGBUS.
 */
#define _GNU_SOURCE
#include "user.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

static const char *const me = "aligncheck";
static sigjmp_buf escape;
static uint64_t sum = FNV_BASIS;
static _Alignas(64) char data[64];

static void set_ac(int on)
{
	if (on)
		__asm__ volatile("pushfq\n\torq $0x40000, (%%rsp)\n\tpopfq" : : : "memory", "cc");
	else
		__asm__ volatile("pushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq" : : : "memory", "cc");
}

static void trapped(int sig, siginfo_t *si, void *context)
{
	set_ac(0);
	sum = hash_u64(sum, (uint64_t)sig);
	sum = hash_u64(sum, (uint64_t)si->si_code);
	sum = hash_u64(sum, (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_TRAPNO]);
	siglongjmp(escape, 1);
}

/* Loads and stores of every width at every offset: which of them fault is the checksum. */
static void probe(int offset, int kind)
{
	char *p = data + offset;
	volatile int done = 0;

	if (!sigsetjmp(escape, 1)) {
		set_ac(1);
		switch (kind) {
		case 0: __asm__ volatile("movb (%0), %%al" : : "r"(p) : "rax", "memory"); break;
		case 1: __asm__ volatile("movw (%0), %%ax" : : "r"(p) : "rax", "memory"); break;
		case 2: __asm__ volatile("movl %%eax, (%0)" : : "r"(p) : "memory"); break;
		case 3: __asm__ volatile("addq $1, (%0)" : : "r"(p) : "memory", "cc"); break;
		}
		set_ac(0);
		done = 1;
	}
	set_ac(0);
	sum = hash_u64(sum, (uint64_t)(offset * 10 + kind) << 1 | (uint64_t)done);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &sa, NULL);
	for (int offset = 0; offset < 9; offset++) {
		for (int kind = 0; kind < 4; kind++)
			probe(offset, kind);
	}
	report(me, "loads-stores", sum);
	return 0;
}
