/* SPDX-License-Identifier: MIT */
/*
 * x87 and MMX for the IR interpreter, on env.fpu_image.
 *
 * The work is done by the host's own unit (tcg/backend/x86_64/fpu_word.h), so results are exact; what stands here is what the guest's CPU adds:
 * pending exceptions, registers outside the unit, unmasked vector exceptions. Hosts of another kind have no such unit and there is no
 * software FPU yet: the operations are undefined opcodes there.
 *
 * The word: see tr/x87.c. greg is the container of the one general register operand, if there is one.
 */
#include "vcpu/x86/x86_x87.h"

#include "util/log.h"
#include "vcpu/exec.h"
#include "vcpu/x86/x86_xstate.h"

/*
 * IGNNE: the error is let pass. The host's unit goes on with none pending only, so the flags are taken out for this one instruction, which runs
 * alone, as behind STI.
 */
static void ignore_error(struct x86_cpu *c)
{
	uint8_t *image = c->vcpu.env.fpu_image;
	uint16_t fsw;

	x86_fpu_read(&c->vcpu.env);
	fsw = x86_fx_get(image, X86_FX_FSW);
	c->x87_ignored |= fsw & X86_FSW_EXCEPTIONS;
	x86_fx_set(image, X86_FX_FSW, fsw & (uint16_t)~(X86_FSW_EXCEPTIONS | X86_FSW_ES | X86_FSW_B));
	x86_fpu_written(&c->vcpu.env);
	if (!c->shadow)
		c->shadow = X86_SHADOW_STI;
	x86_mode_update(c);
}

void x86_x87_ignored_return(struct x86_cpu *c)
{
	uint8_t *image = c->vcpu.env.fpu_image;

	x86_fpu_read(&c->vcpu.env);
	x86_fx_set(image, X86_FX_FSW, x86_fsw_of(x86_fx_get(image, X86_FX_FSW) | c->x87_ignored, x86_fx_get(image, X86_FX_FCW)));
	x86_fpu_written(&c->vcpu.env);
	c->x87_ignored = 0;
}

void x86_x87_error(struct x86_cpu *c)
{
	if (c->cr0 & X86_CR0_NE)
		x86_fault_raise(c, X86_MF);
	if (vcpu_ignne_is_on()) {
		ignore_error(c);
	} else {
		vcpu_ferr();
		vcpu_set_run_state(&c->vcpu, VCPU_HALTED);
	}
	vcpu_unwind(&c->vcpu.env);
}

void x86_x87_ignne_check(struct x86_cpu *c)
{
	if (!vcpu_ignne_is_on())
		return;
	x86_fpu_read(&c->vcpu.env);
	if (!x86_fx_pending(c->vcpu.env.fpu_image))
		vcpu_ignne(false);
}

#ifdef COHORT_HAVE_BACKEND_NATIVE
#include "tcg/backend/x86_64/fpu_word.h"

struct word {
	uint8_t prefix, map, opcode, modrm;
	bool reg_form;
	uint8_t reg, rm; /* with their REX bits */
};

static struct word word_of(uint64_t w)
{
	struct word o = { (uint8_t)w, (uint8_t)(w >> 8), (uint8_t)(w >> 16), (uint8_t)(w >> 24), w >> 41 & 1, 0, 0 };

	o.reg = (o.modrm >> 3 & 7) | (w >> 43 & 1) << 3;
	o.rm = (o.modrm & 7) | (w >> 44 & 1) << 3;
	return o;
}

/* FNINIT, FNCLEX, FNSTCW, FNSTSW, the old no-operations, and CVTPI2Px from memory go on with an exception pending. */
static bool waits(const struct word *o)
{
	unsigned op = o->modrm >> 3 & 7;

	if (o->map)
		return o->opcode != 0x2a || o->reg_form;
	if (!o->reg_form)
		return !((o->opcode == 0xd9 && op == 7) || (o->opcode == 0xdd && op == 7));
	return !((o->opcode == 0xdb && op == 4) || (o->opcode == 0xdf && o->modrm == 0xe0));
}

/* The vector register that takes part, or NULL: CVTPI2Px, CVT(T)Px2PI, MOVQ2DQ, MOVDQ2Q. */
static union tcg_vreg *vector_of(struct tcg_env *env, const struct word *o)
{
	if (o->map != 1)
		return NULL;
	if (o->opcode == 0x2a || (o->opcode == 0xd6 && o->prefix == 0xf3))
		return &env->vreg[o->reg];
	if (o->reg_form && (o->opcode == 0x2c || o->opcode == 0x2d || (o->opcode == 0xd6 && o->prefix == 0xf2)))
		return &env->vreg[o->rm];
	return NULL;
}

static bool sets_flags(const struct word *o)
{
	return !o->map && o->reg_form && (o->opcode == 0xdb || o->opcode == 0xdf) && o->modrm >= 0xe8 && o->modrm < 0xf8;
}

static void image_in(struct fpu_word_regs *r, const struct tcg_env *env, const union tcg_vreg *vec)
{
	/* Masked, and no flag set: what this operation raises is looked at afterwards. */
	uint32_t control = (env->mxcsr & ~0x3fu) | X86_MXCSR_INIT;

	memset(r->image, 0, sizeof(r->image));
	memcpy(r->image, env->fpu_image, X86_FX_XMM);
	memcpy(r->image + X86_FX_MXCSR, &control, 4);
	memset(r->image + X86_FX_MXCSR_MASK, 0, 4);
	if (vec)
		memcpy(r->image + X86_FX_XMM, vec->b, 16);
}

/* Vector exceptions: an unmasked one keeps the destination as it was. */
static void vector_exceptions(struct tcg_env *env, const struct fpu_word_regs *r)
{
	struct x86_cpu *c = x86_cpu(env);
	uint32_t after, raised;

	memcpy(&after, r->image + X86_FX_MXCSR, 4);
	raised = after & 0x3f;
	env->mxcsr |= raised;
	if (raised & ~(env->mxcsr >> 7))
		x86_fault_raise(c, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
}

static void image_out(struct tcg_env *env, const struct fpu_word_regs *r, union tcg_vreg *vec)
{
	vector_exceptions(env, r);
	memcpy(env->fpu_image, r->image, X86_FX_FOP); /* the pointers behind it are this host's */
	memcpy(env->fpu_image + X86_FX_ST, r->image + X86_FX_ST, 128);
	if (vec)
		memcpy(vec->b, r->image + X86_FX_XMM, 16);
}

void x86_fpu_exec(struct tcg_env *env, uint64_t word, void *mem, uint64_t *greg)
{
	struct word o = word_of(word);
	union tcg_vreg *vec = vector_of(env, &o);
	struct fpu_word_regs r;

	if (o.map == 0 && o.opcode == 0x9b ? x86_fx_pending(env->fpu_image) : waits(&o) && x86_fx_pending(env->fpu_image))
		x86_x87_error(x86_cpu(env));
	if (o.map == 0 && o.opcode == 0x9b)
		return;
	image_in(&r, env, vec);
	r.gpr = greg ? *greg : 0;
	r.flags = (env->flags & X86_FL_ARITH) | X86_FL_IF | X86_FL_FIXED1;
	if (fpu_word_run(word, &r, mem) < 0) {
		guest_error("no executable memory to run FPU operation %#llx", (unsigned long long)word);
		x86_fault_raise(x86_cpu(env), X86_UD);
	}
	image_out(env, &r, vec);
	if (greg && !vec)
		*greg = r.gpr;
	if (sets_flags(&o))
		env->flags = r.flags & X86_FL_ARITH;
}

#else

void x86_fpu_exec(struct tcg_env *env, uint64_t word, void *mem, uint64_t *greg)
{
	(void)mem;
	(void)greg;
	if (log_on(LOG_UNIMP))
		log_write("FPU operation %#llx: not implemented on this host\n", (unsigned long long)word);
	x86_fault_raise(x86_cpu(env), X86_UD);
}

#endif
