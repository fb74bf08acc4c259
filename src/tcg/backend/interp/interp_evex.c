/* SPDX-License-Identifier: MIT */
/*
 * IR_EVEX: the host's own instruction on a copy of the registers (evex_word.h). What this engine proves about AVX-512 is therefore
 * what surrounds the operation: operands, memory, masks, faults.
 */
#include "tcg/backend/interp/interp_mem.h"
#include "tcg/evex_access.h"
#include "tcg/ir/evex.h"

#ifdef COHORT_HAVE_BACKEND_NATIVE

#include "tcg/evex_word.h"
#include "tcg/host_lacks.h"

#define MXCSR_RAISED 0x3fu
#define MXCSR_MASK_SHIFT 7
#define MXCSR_UNDERFLOW 0x10u
#define MXCSR_FLUSH 0x8000u
#define MXCSR_BEFORE 0x07u /* exceptions found before anything is computed: invalid, denormal, divide by zero */

uint32_t interp_lacks(void)
{
	/* What other engines would compute in C has forms here that are the host's own. */
	const uint32_t vectors = BACKEND_GFNI | BACKEND_VAES | BACKEND_VCLMUL;
	uint32_t host = host_lacks();

	return host & (BACKEND_EVEX_ALL | (host & BACKEND_EVEX ? 0 : vectors));
}

static void take(struct evex_word_regs *r, const struct tcg_env *env, const uint64_t *greg)
{
	memcpy(r->vreg, env->vreg, sizeof(r->vreg));
	memcpy(r->kreg, env->kreg, sizeof(r->kreg));
	r->gpr = greg ? *greg : 0;
	r->mxcsr = (env->mxcsr | MXCSR_RAISED << MXCSR_MASK_SHIFT) & ~MXCSR_RAISED;
}

static bool is_masked(const struct tcg_env *env, uint32_t exception)
{
	return env->mxcsr >> MXCSR_MASK_SHIFT & exception;
}

/* An unmasked exception stops the whole operation; those of the result do not come about if there is one before. */
static void report(struct tcg_env *env, uint32_t raised)
{
	uint32_t unmasked = raised & ~(env->mxcsr >> MXCSR_MASK_SHIFT);

	env->mxcsr |= unmasked & MXCSR_BEFORE ? raised & MXCSR_BEFORE : raised;
	if (unlikely(unmasked))
		interp_isa->trap(env, GUEST_TRAP_VECTOR_FP);
}

static void give_back(struct tcg_env *env, const struct evex_word_regs *r, uint64_t *greg)
{
	memcpy(env->vreg, r->vreg, sizeof(r->vreg));
	memcpy(env->kreg, r->kreg, sizeof(r->kreg));
	env->vec_used |= TCG_VEC_ALL;
	if (greg)
		*greg = r->gpr;
}

/* As interp_ptr(), for an operand that may be partial. */
static void *pointer(struct tcg_env *env, const struct iop *op, bool partial, bool *slow)
{
	const struct imem *m = interp_imem(op);
	void *p;

	if (!partial)
		return interp_ptr(env, op, slow);
	p = interp_hit(env, m, interp_linear(env, m));
	*slow = !p;
	return p ? p : evex_access(env, interp_linear(env, m), ir_evex_access(op->imm2, m->align != 0), (enum tlb_access)m->access, m->mode);
}

static void run(struct tcg_env *env, const struct iop *op, struct evex_word_regs *r, void *mem)
{
	if (evex_word_run(op->imm2, (uint8_t)op->imm, r, mem) < 0)
		interp_isa->trap(env, GUEST_TRAP_UNDEFINED); /* no executable memory to be had */
}

/* VCVTPS2PH does not flush (SDM volume 2): is a half that it has written denormal? */
static bool has_tiny_half(const struct ir_evex *e, const void *result, uint64_t mask)
{
	uint16_t half[16];

	memcpy(half, result, 8u << e->length);
	for (unsigned n = 0; n < 4u << e->length; n++)
		if ((mask >> n & 1) && !(half[n] & 0x7c00) && (half[n] & 0x3ff))
			return true;
	return false;
}

/*
 * Exceptions that the operation raises, tried out on a copy. Unmasked, underflow is any tiny result, while masked it is one that is not exact
 * as well; and unmasked nothing is flushed. Which results are tiny is seen when they are flushed. Where EVEX.b suppresses exceptions all are
 * masked.
 */
static uint32_t raised_by(struct tcg_env *env, const struct iop *op, struct evex_word_regs *r, const uint64_t *greg, void *mem)
{
	struct ir_evex e = ir_evex_unpack(op->imm2);
	bool masked = is_masked(env, MXCSR_UNDERFLOW) || (!op->mem && e.b);
	uint32_t tiny = 0;

	if (!masked) {
		take(r, env, greg);
		r->mxcsr |= MXCSR_FLUSH;
		run(env, op, r, mem);
		tiny = r->mxcsr & MXCSR_UNDERFLOW;
	}
	take(r, env, greg);
	if (!masked)
		r->mxcsr &= ~MXCSR_FLUSH;
	run(env, op, r, mem);
	if (!masked && !e.vex && e.map == 3 && e.opcode == 0x1d &&
	    has_tiny_half(&e, mem ? mem : &r->vreg[e.rm], e.mask ? env->kreg[e.mask] : ~0ull))
		tiny = MXCSR_UNDERFLOW;
	return (r->mxcsr & MXCSR_RAISED) | tiny;
}

INTERP_OP(evex)
{
	uint64_t *greg = op->kd != IR_KIND_NONE && op->kd != IR_KIND_M ? interp_g(env, op->d) :
			 op->ka != IR_KIND_NONE && op->ka != IR_KIND_M ? interp_g(env, op->a) :
									 NULL;
	bool slow = false, store = op->kd == IR_KIND_M;
	uint8_t scratch[64] __attribute__((aligned(64)));
	struct evex_word_regs r;
	void *mem = op->mem ? pointer(env, op, ir_evex_unpack(op->imm2).partial, &slow) : NULL;

	report(env, raised_by(env, op, &r, greg, store ? scratch : mem)); /* a store whose operation is stopped writes nothing */
	if (store) {
		take(&r, env, greg);
		run(env, op, &r, mem);
		interp_commit(env, slow);
	}
	give_back(env, &r, op->kd == IR_KIND_M || op->kd == IR_KIND_NONE ? NULL : greg);
	if (op->attr & IR_SETF)
		env->flags = r.flags & F_ALL;
	return op + 1;
}

#else

uint32_t interp_lacks(void)
{
	return BACKEND_EVEX;
}

/* Nothing that the guest is offered comes here. */
INTERP_OP(evex)
{
	interp_isa->trap(env, GUEST_TRAP_VECTOR_FP);
	return op + 1;
}

#endif
