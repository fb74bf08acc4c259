/* SPDX-License-Identifier: MIT */
/*
 * Vector and stack-FPU operations: operands from env and memory, the work in ir/vec_eval.h and the guest's fpu_exec().
 */
#include "tcg/backend/interp/interp_mem.h"
#include "tcg/ir/vec_eval.h"

static union tcg_vreg *vreg(struct tcg_env *env, int32_t off)
{
	return interp_at(env, off);
}

/* Operand b: a register, or memory copied to *buf. NULL: none. */
static const union tcg_vreg *vec_b(struct tcg_env *env, const struct iop *op, union tcg_vreg *buf)
{
	bool slow;

	if (op->kb == IR_KIND_NONE)
		return NULL;
	if (op->kb != IR_KIND_M)
		return vreg(env, op->b);
	*buf = (union tcg_vreg){.q = {0}};
	memcpy(buf, interp_ptr(env, op, &slow), interp_imem(op)->size);
	return buf;
}

static const union tcg_vreg *vec_a(struct tcg_env *env, const struct iop *op)
{
	return op->ka == IR_KIND_NONE ? NULL : vreg(env, op->a);
}

static void check(struct tcg_env *env, bool ok)
{
	if (unlikely(!ok))
		interp_isa->trap(env, GUEST_TRAP_VECTOR_FP);
}

/* 16 bytes leave the rest alone, 32 clear it. */
static unsigned vec_size(const struct iop *op)
{
	return op->type == IR_V256 ? sizeof(union tcg_vreg) : 16;
}

INTERP_OP(vmov)
{
	bool slow;

	if (op->kd == IR_KIND_M) {
		void *p = interp_ptr(env, op, &slow);

		memcpy(p, vreg(env, op->a), interp_imem(op)->size);
		interp_commit(env, slow);
	} else if (op->ka == IR_KIND_M) {
		const void *p = interp_ptr(env, op, &slow);
		uint8_t buf[sizeof(union tcg_vreg)] = {0};

		memcpy(buf, p, interp_imem(op)->size);
		memcpy(vreg(env, op->d), buf, vec_size(op));
	} else {
		union tcg_vreg v = *vreg(env, op->a);

		if (op->type == IR_V256)
			memset(&v.b[32], 0, sizeof(v) - 32);
		memcpy(vreg(env, op->d), &v, vec_size(op));
	}
	return op + 1;
}

INTERP_OP(vop)
{
	union tcg_vreg buf;
	const union tcg_vreg *b = vec_b(env, op, &buf);
	uint64_t imm = (uint64_t)op->imm;

	if (op->imm2 == IR_VOP_INSERTPS && op->kb == IR_KIND_M)
		imm &= 0x3f; /* which single of b: memory holds that one only */
	check(env, ir_vec_eval(env, (enum ir_vop)op->imm2, vreg(env, op->d), vec_a(env, op), b, imm));
	return op + 1;
}

static const union tcg_vreg *vec_c(struct tcg_env *env, const struct iop *op)
{
	return op->kc == IR_KIND_NONE ? NULL : vreg(env, op->c);
}

INTERP_OP(vex)
{
	union tcg_vreg buf;
	const union tcg_vreg *b = vec_b(env, op, &buf);
	uint64_t imm = (uint64_t)op->imm;

	if (op->imm2 == IR_VOP_INSERTPS && op->kb == IR_KIND_M)
		imm &= 0x3f;
	check(env, ir_vex_eval(env, (enum ir_vop)op->imm2, op->type == IR_V256, vreg(env, op->d), vec_a(env, op), b, vec_c(env, op), imm));
	return op + 1;
}

INTERP_OP(vexg)
{
	uint64_t b = op->kb == IR_KIND_M ? interp_load(env, op, interp_imem(op)->size) : *interp_g(env, op->b);

	check(env, ir_vexg_eval(env, (enum ir_vop)op->imm2, op->type, vreg(env, op->d), vec_a(env, op), b, (uint64_t)op->imm));
	return op + 1;
}

INTERP_OP(vzero)
{
	unsigned from = op->imm ? 0 : 16;

	for (unsigned n = 0; n < (unsigned)op->imm2; n++)
		memset(&env->vreg[n].b[from], 0, sizeof(env->vreg[n]) - from);
	return op + 1;
}

INTERP_OP(vtog)
{
	uint64_t v = 0;

	check(env, ir_vec_to_g(env, (enum ir_vop)op->imm2, op->type, &v, vreg(env, op->b), (uint64_t)op->imm));
	*interp_g(env, op->d) = v;
	return op + 1;
}

INTERP_OP(gtov)
{
	uint64_t b = op->kb == IR_KIND_M ? interp_load(env, op, interp_imem(op)->size) : *interp_g(env, op->b);

	check(env, ir_g_to_vec(env, (enum ir_vop)op->imm2, op->type, vreg(env, op->d), vec_a(env, op), b,
			       (uint64_t)op->imm));
	return op + 1;
}

INTERP_OP(vfl)
{
	union tcg_vreg buf;
	const union tcg_vreg *b = vec_b(env, op, &buf);
	uint32_t flags = 0;

	check(env, ir_vec_flags(env, (enum ir_vop)op->imm2, op->type, &flags, vec_a(env, op), b, (uint64_t)op->imm));
	if (op->attr & IR_SETF)
		env->flags = flags & F_ALL;
	return op + 1;
}

static bool is_register(unsigned kind)
{
	return kind != IR_KIND_NONE && kind != IR_KIND_M && kind != IR_KIND_K;
}

/* See ir.h: IR_FPU_NOTES. */
static void note(struct tcg_env *env, uint64_t word, const void *mem, uint64_t offset)
{
	if (word & IR_FPU_FORGETS)
		env->fpu_pc = env->fpu_data = env->fpu_op = 0;
	if (!(word & IR_FPU_NOTES))
		return;
	env->fpu_pc = env->pc;
	env->fpu_op = ir_fpu_opcode(word) | TCG_FPU_LINEAR;
	if (mem)
		env->fpu_data = offset;
}

/* The guest's stack FPU: it sets flags in env.flags itself. `greg` is the container of the one register operand,
 * integer or vector. */
INTERP_OP(fpu)
{
	void *mem = NULL;
	uint64_t *greg = NULL;
	bool slow = false;

	uint64_t offset = 0;

	if (op->mem) {
		mem = interp_ptr(env, op, &slow);
		offset = interp_addr(env, interp_imem(op));
	}
	if (is_register(op->kd))
		greg = interp_g(env, op->d);
	else if (is_register(op->ka))
		greg = interp_g(env, op->a);
	else if (is_register(op->kb))
		greg = interp_g(env, op->b);
	interp_isa->fpu_exec(env, (uint64_t)op->imm2, mem, greg);
	note(env, (uint64_t)op->imm2, mem, offset);
	if (op->kd == IR_KIND_M)
		interp_commit(env, slow);
	return op + 1;
}
