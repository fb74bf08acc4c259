/* SPDX-License-Identifier: MIT */
/*
 * See ret_stack.h. The stack is bounded: when it runs into the guard page, all of it is dropped (signals.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tcg/backend/x86_64/ret_stack.h"
#include "util/err.h"

int ret_stack_init(struct tcg_env *env, const void *bottom, struct err *err)
{
	uint8_t *p = mmap(NULL, RET_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_set(err, "cannot make a return stack: %s", strerror(errno));
	if (mprotect(p, RET_STACK_GUARD, PROT_NONE)) {
		munmap(p, RET_STACK_SIZE);
		return err_set(err, "cannot protect a return stack: %s", strerror(errno));
	}
	env->ret_stack = p;
	env->ret_stack_top = (uint64_t)(uintptr_t)p + RET_STACK_SIZE - 64;
	memcpy((void *)(uintptr_t)env->ret_stack_top, &bottom, sizeof(bottom));
	return 0;
}

void ret_stack_fini(struct tcg_env *env)
{
	if (env->ret_stack)
		munmap(env->ret_stack, RET_STACK_SIZE);
	env->ret_stack = NULL;
}
