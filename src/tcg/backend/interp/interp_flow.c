/* SPDX-License-Identifier: MIT */
/*
 * Control: from operation to operation, from block to block through chains and the jump cache, and out to the run loop.
 *
 * Chains and entries pair with the block cache's stores: patch_exit() releases the pointer that interp_link() acquires;
 * kill_entry() marks a program dead before its memory can be reused, and whoever enters looks at the mark each time.
 */
#include "tcg/backend/interp/interp.h"
#include "util/tsan.h"

static const struct iop *leave(struct tcg_env *env, enum tcg_exit code)
{
	env->exit_code = code;
	return NULL;
}

const struct iop *interp_enter(struct tcg_env *env, const void *code)
{
	const struct iprog *prog = code;

	env->pc = prog->pc;
	if (unlikely(__atomic_load_n(&prog->entry, __ATOMIC_ACQUIRE) != IPROG_LIVE))
		return leave(env, TCG_EXIT_LOOKUP);
	return prog->op;
}

/* To the block at pc, through the exit's link. */
static const struct iop *follow(struct tcg_env *env, const struct iop *op, gva_t pc)
{
	uint64_t link = __atomic_load_n(&op->link, __ATOMIC_ACQUIRE);

	tsan_acquire(link);
	env->pc = pc;
	if (likely(link))
		return interp_enter(env, (const void *)(uintptr_t)link);
	env->exit_tb = interp_prog(op)->tb;
	env->exit_index = op->exit;
	return leave(env, TCG_EXIT_CHAIN);
}

/* To the block at env.pc, through the jump caches. */
static const struct iop *find(struct tcg_env *env)
{
	uint64_t slot = env->pc & (TCG_JC_SIZE - 1), tag = env->pc + env->jc_salt;
	const struct tcg_jx_entry *x = &env->jx[tcg_jx_index(env->pc)];

	if (atomic_load_explicit(&env->request, memory_order_relaxed))
		return leave(env, TCG_EXIT_LOOKUP);
	if (env->jc_tag[slot] == tag)
		return interp_enter(env, env->jc_code[slot]);
	return x->tag == tag ? interp_enter(env, x->code) : leave(env, TCG_EXIT_LOOKUP);
}

/* A store of this block may have killed it: then the rest is stale. Otherwise the PC for whatever may fault. */
INTERP_OP(insn)
{
	env->pc = (gva_t)op->imm;
	if (unlikely(__atomic_load_n(&interp_prog(op)->entry, __ATOMIC_RELAXED) != IPROG_LIVE))
		return leave(env, TCG_EXIT_LOOKUP);
	return op + 1;
}

INTERP_OP(label)
{
	(void)env;
	return op + 1;
}

INTERP_OP(br)
{
	(void)env;
	return interp_target(op);
}

INTERP_OP(brcc)
{
	return ir_cc_true(op->cc, (uint32_t)env->flags) ? interp_target(op) : op + 1;
}

static uint64_t typed(struct tcg_env *env, const struct iop *op)
{
	return *interp_g(env, op->a) << (64 - 8 * ir_type_bytes(op->type));
}

INTERP_OP(brz)
{
	return typed(env, op) == 0 ? interp_target(op) : op + 1;
}

INTERP_OP(brnz)
{
	return typed(env, op) != 0 ? interp_target(op) : op + 1;
}

INTERP_OP(poll)
{
	if (likely(!atomic_load_explicit(&env->request, memory_order_relaxed)))
		return op + 1;
	env->pc = (gva_t)op->imm;
	return leave(env, TCG_EXIT_LOOKUP);
}

/* env.pc is the instruction's. */
INTERP_OP(fits)
{
	uint64_t a = *interp_g(env, op->a);

	return (uint64_t)((int64_t)a >> (op->imm - 1)) + 1 <= 1 ? op + 1 : leave(env, TCG_EXIT_ALONE);
}

INTERP_OP(jcc)
{
	return ir_cc_true(op->cc, (uint32_t)env->flags) ? follow(env, op, (gva_t)op->imm) : op + 1;
}

INTERP_OP(jmp) /* JMPMODE, and CALL: the return address is the guest's business */
{
	return follow(env, op, (gva_t)op->imm);
}

INTERP_OP(jmpind) /* and CALLIND, RET */
{
	env->branch_pc = env->pc;
	env->pc = op->ka == IR_KIND_K ? (gva_t)op->imm : *interp_g(env, op->a);
	env->branch_to = env->pc;
	return find(env);
}

INTERP_OP(jmpenv)
{
	(void)op;
	return find(env);
}

INTERP_OP(exit)
{
	return leave(env, (enum tcg_exit)op->imm);
}

INTERP_OP(setpc)
{
	env->pc = op->ka == IR_KIND_K ? (gva_t)op->imm : *interp_g(env, op->a);
	return op + 1;
}

INTERP_OP(rt)
{
	uint64_t a = op->ka ? *interp_g(env, op->a) : 0;
	uint64_t b = op->kb ? *interp_g(env, op->b) : 0;
	uint64_t c = op->kc ? *interp_g(env, op->c) : 0;
	uint64_t d = op->rt(env, a, b, c);

	if (op->kd)
		*interp_g(env, op->d) = d;
	return op + 1;
}
