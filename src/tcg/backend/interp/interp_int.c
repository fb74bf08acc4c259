/* SPDX-License-Identifier: MIT */
/*
 * Integer operations: operands fetched by kind, ir_eval(), results put back. The commonest have handlers of their own
 * in interp_hot.c.
 *
 * Rule: whatever may fault (memory, division) comes before the first change of guest state.
 */
#include "mem/word.h"
#include "sched/clock.h"
#include "tcg/backend/interp/interp_mem.h"

static uint64_t fetch(struct tcg_env *env, const struct iop *op, unsigned kind, int32_t off)
{
	switch (kind) {
	case IR_KIND_G:
	case IR_KIND_T:
		return *interp_g(env, off);
	case IR_KIND_K:
		return (uint64_t)op->imm;
	case IR_KIND_M:
		return interp_load(env, op, interp_imem(op)->size);
	default:
		return 0;
	}
}

static void set_flags(struct tcg_env *env, const struct iop *op, const struct ir_values *v)
{
	if (op->attr & IR_SETF)
		env->flags = v->flags & F_ALL;
}

static bool is_reg(unsigned kind)
{
	return kind == IR_KIND_G || kind == IR_KIND_T;
}

/* Type of the result as it is merged; some ops write the whole container whatever their type. */
static enum ir_type result_type(const struct iop *op)
{
	return op->op == IR_GETHI8 || op->op == IR_PUTHI8 || op->op == IR_GETFL || op->op == IR_CRC32 ? IR_I64
	       : op->op == IR_SETCC								      ? IR_I8
				    : (enum ir_type)op->type;
}

static void evaluate(struct tcg_env *env, const struct iop *op, struct ir_values *v)
{
	if (unlikely(!ir_eval(op->op, op->type, op->cc, v)))
		interp_isa->trap(env, GUEST_TRAP_DIVIDE);
}

/* Registers, constants, at most one memory source or destination (store). */
INTERP_OP(generic)
{
	enum ir_type type = result_type(op);
	struct ir_values v = {.flags = (uint32_t)env->flags};

	v.a = fetch(env, op, op->ka, op->a);
	v.b = op->op == IR_PUTFL ? (uint64_t)op->imm : fetch(env, op, op->kb, op->b);
	if (is_reg(op->kd))
		v.d = *interp_g(env, op->d);
	if (is_reg(op->kc))
		v.c = v.x = *interp_g(env, op->c);
	else if (op->kc == IR_KIND_K)
		v.c = (uint64_t)op->imm;
	evaluate(env, op, &v);
	if (op->kd == IR_KIND_M)
		interp_store(env, op, interp_imem(op)->size, v.d);
	else if (is_reg(op->kd) && v.wrote_d)
		interp_set(env, op->d, type, v.d);
	if ((ir_op_info[op->op].shape & IR_SH_X) && is_reg(op->kc))
		interp_set(env, op->c, type, v.x);
	set_flags(env, op, &v);
	return op + 1;
}

/* d == a == memory. */
INTERP_OP(generic_rmw)
{
	struct ir_values v = {.flags = (uint32_t)env->flags};
	unsigned size = interp_imem(op)->size;
	bool slow;
	void *p = interp_ptr(env, op, &slow);

	v.a = interp_read(p, size);
	v.b = fetch(env, op, op->kb, op->b);
	v.c = fetch(env, op, op->kc, op->c);
	evaluate(env, op, &v);
	interp_write(p, size, v.d);
	interp_commit(env, slow);
	set_flags(env, op, &v);
	return op + 1;
}

/* Replaces *p by `to` if it still is *from; else *from becomes what is there. Misaligned words go through the
 * compiler's lock-free call. */
static bool swap_if(void *p, unsigned size, uint64_t *from, uint64_t to)
{
	uint8_t f8 = (uint8_t)*from;
	uint16_t f16 = (uint16_t)*from;
	uint32_t f32 = (uint32_t)*from;
	bool done;

	switch (size) {
	case 1:
		done = __atomic_compare_exchange_n((uint8_t *)p, &f8, (uint8_t)to, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
		*from = f8;
		return done;
	case 2:
		done = __atomic_compare_exchange_n((uint16_t *)p, &f16, (uint16_t)to, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
		*from = f16;
		return done;
	case 4:
		done = __atomic_compare_exchange_n((uint32_t *)p, &f32, (uint32_t)to, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
		*from = f32;
		return done;
	default:
		return __atomic_compare_exchange_n((uint64_t *)p, from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

/* LOCKed read-modify-write: the op is computed again until nobody was in between. */
INTERP_OP(generic_locked)
{
	struct ir_values in = {.flags = (uint32_t)env->flags}, v;
	unsigned size = interp_imem(op)->size;
	uint64_t old;
	bool slow;
	void *p = interp_ptr(env, op, &slow);

	in.b = fetch(env, op, op->kb, op->b);
	in.c = fetch(env, op, op->kc, op->c);
	old = interp_read(p, size);
	do {
		v = in;
		v.a = old;
		evaluate(env, op, &v);
	} while (!swap_if(p, size, &old, v.d));
	interp_commit(env, slow);
	set_flags(env, op, &v);
	return op + 1;
}

/* XCHG, XADD, CAS with a register as a. */
static void exchange_registers(struct tcg_env *env, const struct iop *op, struct ir_values *v)
{
	v->a = *interp_g(env, op->a);
	ir_eval(op->op, op->type, 0, v);
	if (op->op != IR_CAS) {
		interp_set(env, op->b, op->type, v->b);
		interp_set(env, op->a, op->type, v->a); /* last: of xadd r, r the sum stays */
	} else if (v->wrote_d) {
		interp_set(env, op->d, op->type, v->d);
	} else {
		interp_set(env, op->a, op->type, v->a);
	}
}

/*
 * With memory. CAS always writes, with the old value if the comparison failed, as the hardware does: a plain
 * read-modify-write without IR_LOCK. XCHG is atomic in any case; so is XADD here, which does no harm.
 */
static void exchange_memory(struct tcg_env *env, const struct iop *op, struct ir_values *v)
{
	struct ir_values in = *v;
	unsigned size = interp_imem(op)->size;
	uint64_t old;
	bool slow;
	void *p = interp_ptr(env, op, &slow);

	old = interp_read(p, size);
	do {
		*v = in;
		v->a = old;
		ir_eval(op->op, op->type, 0, v);
	} while (!swap_if(p, size, &old, v->a));
	interp_commit(env, slow);
	if (op->op != IR_CAS)
		interp_set(env, op->b, op->type, v->b);
	else if (v->wrote_d)
		interp_set(env, op->d, op->type, v->d);
}

INTERP_OP(exchange)
{
	struct ir_values v = {.flags = (uint32_t)env->flags};

	v.b = op->kb == IR_KIND_K ? (uint64_t)op->imm : *interp_g(env, op->b);
	if (op->op == IR_CAS)
		v.d = *interp_g(env, op->d);
	if (op->ka == IR_KIND_M)
		exchange_memory(env, op, &v);
	else
		exchange_registers(env, op, &v);
	set_flags(env, op, &v);
	return op + 1;
}

INTERP_OP(lea)
{
	interp_set(env, op->d, op->type, interp_addr(env, interp_imem(op)));
	return op + 1;
}

INTERP_OP(ldenv)
{
	uint64_t v = 0;

	memcpy(&v, interp_at(env, (int32_t)op->imm), ir_type_bytes(op->type));
	*interp_g(env, op->d) = v;
	return op + 1;
}

INTERP_OP(ldcode)
{
	unsigned size = ir_type_bytes(op->type), unused = 64 - 8 * size;
	uint64_t v = word_load((const void *)(uintptr_t)op->imm, size);

	*interp_g(env, op->d) = (uint64_t)((int64_t)(v << unused) >> unused);
	return op + 1;
}

INTERP_OP(getvc)
{
	*interp_g(env, op->d) = env->mxcsr;
	return op + 1;
}

INTERP_OP(putvc)
{
	env->mxcsr = (uint32_t)*interp_g(env, op->a);
	return op + 1;
}

INTERP_OP(stenv)
{
	memcpy(interp_at(env, (int32_t)op->imm), interp_g(env, op->a), ir_type_bytes(op->type));
	return op + 1;
}

INTERP_OP(fence)
{
	(void)env;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return op + 1;
}

INTERP_OP(clock)
{
	*interp_g(env, op->d) = clock_tsc();
	return op + 1;
}
