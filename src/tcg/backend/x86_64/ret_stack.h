/* SPDX-License-Identifier: MIT */
/*
 * The return-prediction stack of a vCPU thread: rsp while generated code runs. A mapping with a guard page below; its topmost word is
 * the address of the stub that a return from an empty stack reaches.
 * Owner: the vCPU thread.
 */
#ifndef COHORT_TCG_X86_64_RET_STACK_H
#define COHORT_TCG_X86_64_RET_STACK_H

#include "tcg/env.h"

struct err;

#define RET_STACK_GUARD 4096u
#define RET_STACK_SIZE (32u << 10) /* guard included */

int ret_stack_init(struct tcg_env *env, const void *bottom, struct err *err);
void ret_stack_fini(struct tcg_env *env);

static inline bool ret_stack_is_guard(const struct tcg_env *env, const void *addr)
{
	return (uintptr_t)addr - (uintptr_t)env->ret_stack < RET_STACK_GUARD;
}

#endif
