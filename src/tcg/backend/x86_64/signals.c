/* SPDX-License-Identifier: MIT */
/*
 * Host signals that generated code raises on purpose: divide errors, misaligned vector operands, unmasked floating-point exceptions,
 * AVX-512 instructions that the host does not know, and overflow of the return-prediction stack. The handler runs on the thread's
 * alternate stack, since rsp is that prediction stack. Anything else that comes here is a bug: one line, and the default
 * action.
 *
 * Async-signal-safety: the handler reads the block tables (tb_trap_lookup) of the block the thread is in, which cannot go away under it.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "tcg/backend.h"
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/regs.h"
#include "tcg/backend/x86_64/ret_stack.h"
#include "tcg/backend/x86_64/stubs.h"
#include "tcg/backend/x86_64/vec.h"
#include "tcg/cache/tb.h"
#include "tcg/guest.h"
#include "util/err.h"

#define ALT_STACK_SIZE (64u << 10)

/*
 * The signal's frame has an XSAVE area of the standard format (Intel SDM volume 1, 13.4), where each part has its place, by CPUID leaf D. A
 * part that is in its initial state, 0, is not there.
 */
#define XSAVE_HEADER 512u
enum frame_part { FRAME_YMM = 2, FRAME_MASKS = 5, FRAME_WIDE, FRAME_MORE, FRAME_PARTS }; /* state components */
static uint32_t frame_at[FRAME_PARTS]; /* [const] after signals_init() */

enum { TRAP_NO_DE = 0, TRAP_NO_UD = 6, TRAP_NO_GP = 13, TRAP_NO_PF = 14, TRAP_NO_MF = 16, TRAP_NO_AC = 17, TRAP_NO_XM = 19 };

_Thread_local struct tcg_env *signals_env;

static const uint8_t greg_of_pin[16] = {
	[R_AX] = REG_RAX, [R_CX] = REG_RCX, [R_DX] = REG_RDX, [R_BX] = REG_RBX, [R_BP] = REG_RBP, [R_SI] = REG_RSI, [R_DI] = REG_RDI,
	[R_8] = REG_R8, [R_9] = REG_R9, [R_10] = REG_R10, [R_11] = REG_R11, [R_12] = REG_R12,
};

static bool guest_trap_of(long trapno, enum guest_trap *trap)
{
	switch (trapno) {
	case TRAP_NO_DE:
		*trap = GUEST_TRAP_DIVIDE;
		return true;
	case TRAP_NO_GP:
	case TRAP_NO_AC:
		*trap = GUEST_TRAP_ALIGN;
		return true;
	case TRAP_NO_MF:
		*trap = GUEST_TRAP_STACK_FP;
		return true;
	case TRAP_NO_XM:
		*trap = GUEST_TRAP_VECTOR_FP;
		return true;
	case TRAP_NO_UD:
		*trap = GUEST_TRAP_UNDEFINED;
		return true;
	default:
		return false;
	}
}

/* `bytes` bytes of number n of that part. */
static void take_part(void *to, const ucontext_t *uc, enum frame_part part, unsigned n, size_t bytes)
{
	const uint8_t *area = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint64_t present;

	memcpy(&present, area + XSAVE_HEADER, sizeof(present));
	if (present >> part & 1)
		memcpy(to, area + frame_at[part] + bytes * n, bytes);
	else
		memset(to, 0, bytes);
}

static void take_more(struct tcg_env *env, const ucontext_t *uc)
{
	for (unsigned n = 16; n < TCG_NR_ZREG; n++)
		take_part(&env->vreg[n], uc, FRAME_MORE, n - 16, sizeof(env->vreg[n]));
	for (unsigned k = 0; k < TCG_NR_KREG; k++)
		take_part(&env->kreg[k], uc, FRAME_MASKS, k, sizeof(env->kreg[k]));
}

static void take_vectors(struct tcg_env *env, const ucontext_t *uc, const struct backend_trap *t)
{
	for (unsigned n = 0; n < TCG_NR_VREG; n++) {
		if (env->vec_live >= VEC_128 && !(t->vec_out >> n & 1))
			memcpy(&env->vreg[n], &uc->uc_mcontext.fpregs->_xmm[n], 16);
		if (env->vec_live >= VEC_256 && !(t->vec_out_high >> n & 1))
			take_part(env->vreg[n].b + 16, uc, FRAME_YMM, n, 16);
		if (env->vec_live >= VEC_512 && !(t->vec_out_high >> n & 1))
			take_part(env->vreg[n].b + 32, uc, FRAME_WIDE, n, 32);
	}
	if (env->vec_live >= VEC_EVEX)
		take_more(env, uc);
	if (env->vec_live != VEC_NONE)
		env->mxcsr = uc->uc_mcontext.fpregs->mxcsr;
	env->vec_live = VEC_NONE;
}

/* The guest's state at the interrupted instruction goes to env, and the thread goes on in the trap stub, on the C stack. */
static bool enter_trap(struct tcg_env *env, ucontext_t *uc)
{
	greg_t *reg = uc->uc_mcontext.gregs;
	struct backend_trap t;
	enum guest_trap what;
	gva_t pc;

	if (!guest_trap_of(reg[REG_TRAPNO], &what) || !tb_trap_lookup((const void *)reg[REG_RIP], &t, &pc))
		return false;
	env->pc = pc;
	if (t.fpu_note) {
		env->fpu_pc = pc - t.pc_off + FPU_NOTE_PC(t.fpu_note);
		env->fpu_op = FPU_NOTE_OP(t.fpu_note) | TCG_FPU_LINEAR;
	}
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (greg_pin[n] != R_NONE)
			env->greg[n] = (uint64_t)reg[greg_of_pin[greg_pin[n]]];
	env->flags = t.flags_in_host ? (uint64_t)reg[REG_EFL] : be_flags_image(env->be_flags);
	take_vectors(env, uc, &t);
	reg[REG_RSP] = (greg_t)env->host_sp;
	reg[REG_RSI] = (greg_t)what;
	reg[REG_RIP] = (greg_t)stubs.trap;
	return true;
}

/* A push onto the prediction stack has hit its guard page: forget what is on it, and push again. */
static bool overflow(struct tcg_env *env, ucontext_t *uc, const siginfo_t *info)
{
	if (uc->uc_mcontext.gregs[REG_TRAPNO] != TRAP_NO_PF || !ret_stack_is_guard(env, info->si_addr))
		return false;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)env->ret_stack_top;
	return true;
}

static void bug(int sig, const siginfo_t *info, const ucontext_t *uc)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "cohort: signal %d in host code at %#llx, address %p: this is a bug in Cohort\n", sig,
			 uc->uc_mcontext.gregs[REG_RIP], info->si_addr);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(128 + sig);
	signal(sig, SIG_DFL); /* the instruction is run again and kills the process, with a core dump if those are wanted */
}

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct tcg_env *env = signals_env;

	if (env && env->be_running && (overflow(env, uc, info) || enter_trap(env, uc)))
		return;
	bug(sig, info, uc);
}

static void find_parts(void)
{
	uint32_t size, ecx, edx;

	for (unsigned part = FRAME_YMM; part < FRAME_PARTS; part++)
		__get_cpuid_count(0xd, part, &size, &frame_at[part], &ecx, &edx);
}

int signals_init(struct err *err)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	find_parts();
	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGSEGV);
	sigdelset(&sa.sa_mask, SIGBUS);
	sigdelset(&sa.sa_mask, SIGFPE);
	sigdelset(&sa.sa_mask, SIGILL);
	for (unsigned n = 0; n < ARRAY_LEN(signals); n++)
		if (sigaction(signals[n], &sa, NULL))
			return err_set(err, "cannot catch signal %d: %s", signals[n], strerror(errno));
	return 0;
}

int signals_thread_init(struct err *err)
{
	stack_t ss = { .ss_size = ALT_STACK_SIZE };

	ss.ss_sp = mmap(NULL, ALT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL))
		return err_set(err, "cannot make a signal stack: %s", strerror(errno));
	return 0;
}

void signals_thread_fini(void)
{
	stack_t off = { .ss_flags = SS_DISABLE }, old;

	if (sigaltstack(&off, &old) == 0 && old.ss_sp && !(old.ss_flags & SS_DISABLE))
		munmap(old.ss_sp, old.ss_size);
}
