/* SPDX-License-Identifier: MIT */
/*
 * EFLAGS as a whole, and the interrupt flag. SDM volume 2: PUSHF, POPF, CLI, STI.
 */
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_vme.h"

static bool denied_in_v86(const struct x86_cpu *c)
{
	return (c->eflags & X86_FL_VM) && x86_if_is_denied(c);
}

uint64_t x86_rt_pushf(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)b;
	(void)unused;
	return (denied_in_v86(c) ? x86_vme_pushf(c, (unsigned)size) : x86_eflags_get(c)) & ~(X86_FL_RF | X86_FL_VM);
}

uint64_t x86_rt_popf(struct tcg_env *env, uint64_t value, uint64_t size, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint32_t gone = X86_FL_RF | (size != 2 && !(c->eflags & X86_FL_VM) ? X86_FL_VIF | X86_FL_VIP : 0);
	uint32_t may = X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT | X86_FL_AC | X86_FL_ID;

	(void)unused;
	if (denied_in_v86(c)) {
		x86_vme_popf(c, (uint32_t)value, (unsigned)size);
		x86_mode_update(c);
		return 0;
	}
	if (c->cpl == 0)
		may |= X86_FL_IOPL;
	if (!x86_if_is_denied(c))
		may |= X86_FL_IF;
	if (size == 2)
		may &= 0xffff;
	x86_eflags_set(c, ((uint32_t)value & may) | (x86_eflags_get(c) & ~may & ~gone));
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_cli(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)a;
	(void)b;
	(void)unused;
	if (x86_if_is_denied(c))
		x86_vme_set_if(c, false);
	else
		c->eflags &= ~X86_FL_IF;
	return 0;
}

uint64_t x86_rt_sti(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)a;
	(void)b;
	(void)unused;
	if (x86_if_is_denied(c)) {
		x86_vme_set_if(c, true);
		return 0;
	}
	if (!(c->eflags & X86_FL_IF)) {
		c->shadow = X86_SHADOW_STI; /* interrupts wait for one more instruction */
		x86_mode_update(c);
	}
	c->eflags |= X86_FL_IF;
	return 0;
}
