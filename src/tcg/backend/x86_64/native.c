/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 back end as tcg sees it: set-up, threads, running, FPU images.
 *
 * While a vCPU thread lives, GS base is its tcg_env, and the host's stack FPU (x87, MMX) holds the guest's state; C never touches that
 * unit. Vector registers and MXCSR belong to the guest only inside generated code, and there only while env.vec_live is not 0.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/backend.h"
#include "tcg/backend/x86_64/disasm.h"
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/patch.h"
#include "tcg/backend/x86_64/ret_stack.h"
#include "tcg/backend/x86_64/stubs.h"
#include "tcg/guest.h"
#include "tcg/host_lacks.h"
#include "util/err.h"
#include "util/tsan.h"

extern _Thread_local struct tcg_env *signals_env;

static bool has_xsave; /* [const] after native_init() */

/* CPUID.1:ECX.OSXSAVE */
static bool host_has_xsave(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE);
}

static long native_init(const struct guest_isa *isa, uint8_t *rw, const uint8_t *rx, size_t size, struct err *err)
{
	if (isa->nr_rt > STUB_MAX_RT)
		return err_set(err, "the guest has too many runtime routines");
	if (signals_init(err))
		return -1;
	has_xsave = host_has_xsave();
	return stubs_init(isa, !(host_lacks() & BACKEND_EVEX), rw, rx, size, err);
}

/*
 * The FXSAVE area proper: control, status, tag and the eight registers. The rest (MXCSR, vectors) is not the stack FPU's, and the pointers are the
 * host's: the guest's are in env (lower_fpu.c). XSAVE and XRSTOR of that one component take half the time.
 */
#define FX_POINTERS 6
#define FX_ST 32
#define FX_ST_BYTES 128
#define XSAVE_X87 1u

struct fpu_area {
	uint8_t image[512];
	uint64_t header[8];
} __attribute__((aligned(64)));

static void copy_image(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, FX_POINTERS);
	memcpy(to + FX_ST, from + FX_ST, FX_ST_BYTES);
}

static void native_fpu_save(struct tcg_env *env)
{
	struct fpu_area a;

	if (!env->fpu_in_host || env->fpu_is_saved)
		return;
	if (has_xsave)
		__asm__ volatile("xsave64 %0" : "=m"(a) : "a"(XSAVE_X87), "d"(0));
	else
		__asm__ volatile("fxsave64 %0" : "=m"(a));
	copy_image(env->fpu_image, a.image);
	env->fpu_is_saved = 1;
}

static void native_fpu_load(struct tcg_env *env)
{
	struct fpu_area a;

	env->fpu_in_host = 1;
	env->fpu_is_saved = 0; /* what comes back may not be what went: reserved bits */
	if (has_xsave) {
		copy_image(a.image, env->fpu_image);
		memset(a.image + FX_POINTERS, 0, FX_ST - FX_POINTERS);
		memset(a.header, 0, sizeof(a.header));
		a.header[0] = XSAVE_X87;
		__asm__ volatile("xrstor64 %0" : : "m"(a), "a"(XSAVE_X87), "d"(0));
		return;
	}
	__asm__ volatile("fxsave64 %0" : "=m"(a)); /* vectors and MXCSR stay C's */
	copy_image(a.image, env->fpu_image);
	__asm__ volatile("fxrstor64 %0" : : "m"(a) : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
			 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

struct fsave_area {
	uint8_t env[28], st[80];
};

static void native_fpu_store(struct tcg_env *env, uint8_t *area, bool registers)
{
	env->fpu_is_saved = 0;
	if (registers)
		__asm__ volatile("fnsave %0" : "=m"(*(struct fsave_area *)area));
	else
		__asm__ volatile("fnstenv %0" : "=m"(((struct fsave_area *)area)->env));
}

static void native_fpu_fetch(struct tcg_env *env, const uint8_t *area, bool registers)
{
	env->fpu_is_saved = 0;
	if (registers)
		__asm__ volatile("frstor %0" : : "m"(*(const struct fsave_area *)area));
	else
		__asm__ volatile("fldenv %0" : : "m"(((const struct fsave_area *)area)->env));
}

static bool native_fpu_pending(void)
{
	uint16_t status;

	__asm__ volatile("fnstsw %0" : "=a"(status));
	return status & 0x80; /* ES */
}

static int native_thread_init(struct tcg_env *env, struct err *err)
{
	if (signals_thread_init(err))
		return -1;
	if (ret_stack_init(env, stubs.ret_miss, err)) {
		signals_thread_fini();
		return -1;
	}
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)env)) {
		err_set(err, "cannot set the GS base: %s", strerror(errno));
		ret_stack_fini(env);
		signals_thread_fini();
		return -1;
	}
	env->self = env;
	__asm__ volatile("stmxcsr %0" : "=m"(env->host_mxcsr));
	signals_env = env;
	native_fpu_load(env);
	return 0;
}

static void native_thread_fini(struct tcg_env *env)
{
	native_fpu_save(env);
	env->fpu_in_host = 0;
	signals_env = NULL;
	__asm__ volatile("fninit");
	x86_64_compile_thread_fini();
	ret_stack_fini(env);
	signals_thread_fini();
}

#ifdef COHORT_TSAN
/*
 * ThreadSanitizer counts the functions that were entered and not left. stubs.unwind leaves those of a runtime routine without a word, and
 * its stack of them overflows after some 60000 faults; of a longjmp() it knows.
 */
static _Thread_local jmp_buf run_begin; /* [owner] where native_unwind() goes */

static void enter(struct tcg_env *env, const void *code)
{
	if (!_setjmp(run_begin))
		stubs.enter(env, code);
}

static void __attribute__((noreturn)) leave(struct tcg_env *env)
{
	env->exit_code = TCG_EXIT_EVENT;
	longjmp(run_begin, 1);
}
#else
static void enter(struct tcg_env *env, const void *code)
{
	stubs.enter(env, code);
}

static void __attribute__((noreturn)) leave(struct tcg_env *env)
{
	void (*unwind)(struct tcg_env *) = (void (*)(struct tcg_env *))(uintptr_t)stubs.unwind;

	unwind(env);
	__builtin_unreachable();
}
#endif

static void native_run(struct tcg_env *env, const void *code)
{
	env->be_running = 1;
	env->be_flags = be_flags_of(env->flags);
	enter(env, code);
	env->flags = be_flags_image(env->be_flags);
	env->be_running = 0;
}

static void __attribute__((noreturn)) native_unwind(struct tcg_env *env)
{
	env->be_flags = be_flags_of(env->flags); /* native_run() takes them back */
	leave(env);
}

const struct backend backend_native = {
	.name = "x86_64",
	.native = true,
	.entry_align = 16,
	.lacks = host_lacks,
	.init = native_init,
	.thread_init = native_thread_init,
	.thread_fini = native_thread_fini,
	.compile = x86_64_compile,
	.move = x86_64_move,
	.run = native_run,
	.unwind = native_unwind,
	.patch_exit = x86_64_patch_exit,
	.unpatch_exit = x86_64_unpatch_exit,
	.kill_entry = x86_64_kill_entry,
	.fpu_save = native_fpu_save,
	.fpu_load = native_fpu_load,
	.fpu_store = native_fpu_store,
	.fpu_fetch = native_fpu_fetch,
	.fpu_pending = native_fpu_pending,
	.disasm = x86_64_disasm,
};
