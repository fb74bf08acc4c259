/* SPDX-License-Identifier: MIT */
/*
 * EFLAGS as a whole, and the interrupt flag. SDM volume 2: PUSHF, POPF, CLI, STI.
 */
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_segment.h"

static unsigned iopl(const struct x86_cpu *c)
{
	return (c->eflags & X86_FL_IOPL) >> 12;
}

static void check_v86(struct x86_cpu *c)
{
	if ((c->eflags & X86_FL_VM) && iopl(c) < 3)
		x86_fault_raise_err(c, X86_GP, 0);
}

uint64_t x86_rt_pushf(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)size;
	(void)b;
	(void)unused;
	check_v86(c);
	return x86_eflags_get(c) & ~(X86_FL_RF | X86_FL_VM);
}

uint64_t x86_rt_popf(struct tcg_env *env, uint64_t value, uint64_t size, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint32_t may = X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT | X86_FL_AC | X86_FL_ID;

	(void)unused;
	check_v86(c);
	if (c->cpl == 0)
		may |= X86_FL_IOPL;
	if (c->cpl <= iopl(c))
		may |= X86_FL_IF;
	if (size == 2)
		may &= 0xffff;
	x86_eflags_set(c, ((uint32_t)value & may) | (x86_eflags_get(c) & ~may & ~X86_FL_RF));
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_cli(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)a;
	(void)b;
	(void)unused;
	if (iopl(c) < c->cpl || ((c->eflags & X86_FL_VM) && iopl(c) < 3))
		x86_fault_raise_err(c, X86_GP, 0);
	c->eflags &= ~X86_FL_IF;
	return 0;
}

uint64_t x86_rt_sti(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)a;
	(void)b;
	(void)unused;
	if (iopl(c) < c->cpl || ((c->eflags & X86_FL_VM) && iopl(c) < 3))
		x86_fault_raise_err(c, X86_GP, 0);
	if (!(c->eflags & X86_FL_IF)) {
		c->shadow = X86_SHADOW_STI; /* interrupts wait for one more instruction */
		x86_mode_update(c);
	}
	c->eflags |= X86_FL_IF;
	return 0;
}
