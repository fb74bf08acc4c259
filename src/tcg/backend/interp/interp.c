/* SPDX-License-Identifier: MIT */
/*
 * The interpreter as a back end: a complete engine on any host, and the oracle of the native ones.
 */
#include <setjmp.h>

#include "tcg/backend/interp/interp.h"
#include "util/log.h"
#include "util/tsan.h"

const struct guest_isa *interp_isa;

/* [owner] where unwind() goes: the innermost run() of this thread. */
static _Thread_local jmp_buf *unwind_to;

static long interp_init(const struct guest_isa *isa, uint8_t *rw, const uint8_t *rx, size_t size, struct err *err)
{
	(void)rw;
	(void)rx;
	(void)size;
	(void)err;
	interp_isa = isa;
	return 0; /* no shared stubs */
}

static int interp_thread_init(struct tcg_env *env, struct err *err)
{
	(void)env;
	(void)err;
	return 0;
}

static void interp_thread_fini(struct tcg_env *env)
{
	(void)env;
}

static void execute(struct tcg_env *env, const void *code)
{
	const struct iop *op = interp_enter(env, code);

	while (op)
		op = op->fn(env, op);
}

static void interp_run(struct tcg_env *env, const void *code)
{
	jmp_buf here, *outer = unwind_to;

	unwind_to = &here;
	if (!_setjmp(here))
		execute(env, code);
	unwind_to = outer;
}

__attribute__((noreturn)) static void interp_unwind(struct tcg_env *env)
{
	if (!unwind_to)
		emu_bug("fault outside of the interpreter at pc %#llx", (unsigned long long)env->pc);
	env->exit_code = TCG_EXIT_EVENT;
	longjmp(*unwind_to, 1); /* not _longjmp(), of which ThreadSanitizer does not know */
}

static uint64_t *link_of(uint8_t *rw_code, const struct backend_exit *exit)
{
	return (uint64_t *)(void *)(rw_code + exit->patch_off);
}

static void interp_patch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit,
			      const void *target_rx)
{
	(void)rx_code;
	tsan_release(target_rx); /* the other mapping is another address */
	__atomic_store_n(link_of(rw_code, exit), (uint64_t)(uintptr_t)target_rx, __ATOMIC_RELEASE);
}

static void interp_unpatch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit)
{
	(void)rx_code;
	__atomic_store_n(link_of(rw_code, exit), 0, __ATOMIC_RELEASE);
}

static void interp_kill_entry(uint8_t *rw_code, const uint8_t *rx_code)
{
	struct iprog *prog = (struct iprog *)(void *)rw_code;

	(void)rx_code;
	__atomic_store_n(&prog->entry, IPROG_DEAD, __ATOMIC_SEQ_CST);
}

/* The interpreter works on the images in env. */
static void interp_fpu_nothing(struct tcg_env *env)
{
	(void)env;
}

const struct backend backend_interp = {
	.name = "interp",
	.native = false,
	.entry_align = 8,
	.lacks = interp_lacks,
	.init = interp_init,
	.thread_init = interp_thread_init,
	.thread_fini = interp_thread_fini,
	.compile = interp_compile,
	.run = interp_run,
	.unwind = interp_unwind,
	.patch_exit = interp_patch_exit,
	.unpatch_exit = interp_unpatch_exit,
	.kill_entry = interp_kill_entry,
	.fpu_save = interp_fpu_nothing,
	.fpu_load = interp_fpu_nothing,
};
