/* SPDX-License-Identifier: MIT */
/*
 * Virtual-8086 mode extensions; see x86_vme.h.
 */
#include "vcpu/x86/x86_vme.h"

#include "vcpu/x86/x86_stack.h"

#define REDIRECTION_BYTES 32 /* in the TSS, in front of the I/O permission bitmap */
#define TSS_IOMAP 102

static void __attribute__((noreturn)) gp(struct x86_cpu *c)
{
	x86_fault_raise_err(c, X86_GP, 0);
}

static bool v86(const struct x86_cpu *c)
{
	return c->eflags & X86_FL_VM;
}

static void set_vif(struct x86_cpu *c, bool on)
{
	c->eflags = on ? c->eflags | X86_FL_VIF : c->eflags & ~X86_FL_VIF;
}

void x86_vme_set_if(struct x86_cpu *c, bool on)
{
	if (v86(c) ? !(c->cr4 & X86_CR4_VME) : c->cpl != 3 || !(c->cr4 & X86_CR4_PVI))
		gp(c);
	if (on && (c->eflags & X86_FL_VIP))
		gp(c);
	set_vif(c, on);
}

/* The program sees VIF as IF, and IOPL 3. */
static uint32_t virtual_image(const struct x86_cpu *c)
{
	uint32_t fl = x86_eflags_get(c) & ~X86_FL_IF;

	return fl | X86_FL_IOPL | (fl & X86_FL_VIF ? X86_FL_IF : 0);
}

uint32_t x86_vme_pushf(struct x86_cpu *c, unsigned size)
{
	if (!(c->cr4 & X86_CR4_VME) || size != 2)
		gp(c);
	return virtual_image(c);
}

void x86_vme_popf(struct x86_cpu *c, uint32_t image, unsigned size)
{
	const uint32_t may = X86_FL_ARITH | X86_FL_DF | X86_FL_NT; /* TF is not set, below */
	bool on = image & X86_FL_IF;

	if (!(c->cr4 & X86_CR4_VME) || size != 2 || (image & X86_FL_TF) || (on && (c->eflags & X86_FL_VIP)))
		gp(c);
	x86_eflags_set(c, (image & may) | (x86_eflags_get(c) & ~(may | X86_FL_TF | X86_FL_RF)));
	set_vif(c, on);
}

/* Does the bitmap leave the vector to the program? */
static bool redirected(struct x86_cpu *c, uint8_t vector)
{
	uint32_t off;

	if (!(c->tr.attr & X86_SA_P) || !(c->tr.attr >> 8 & 8) || c->tr.limit < TSS_IOMAP + 1)
		gp(c);
	off = (uint32_t)tlb_load(&c->vcpu.env, c->tr.base + TSS_IOMAP, 2, X86_MMU_KERNEL) - REDIRECTION_BYTES + vector / 8;
	if (off > c->tr.limit)
		gp(c);
	return !(tlb_load(&c->vcpu.env, c->tr.base + off, 1, X86_MMU_KERNEL) >> vector % 8 & 1);
}

bool x86_vme_int(struct x86_cpu *c, uint8_t vector, gva_t next)
{
	bool denied = x86_if_is_denied(c);
	struct x86_stack s = x86_stack_now(c);
	uint32_t target;

	if (!(c->cr4 & X86_CR4_VME) || !redirected(c, vector)) {
		if (denied)
			gp(c);
		return false;
	}
	target = (uint32_t)tlb_load(&c->vcpu.env, vector * 4u, 4, X86_MMU_KERNEL);
	x86_stack_push(&s, denied ? virtual_image(c) : x86_eflags_get(c), 2);
	x86_stack_push(&s, c->seg[X86_CS].sel, 2);
	x86_stack_push(&s, x86_ip_of(c, next), 2);
	c->vcpu.env.greg[X86_RSP] = s.sp;
	c->eflags &= ~(X86_FL_TF | X86_FL_RF | (denied ? X86_FL_VIF : X86_FL_IF));
	x86_seg_set_v86(c, X86_CS, (uint16_t)(target >> 16));
	x86_set_ip(c, target & 0xffff);
	x86_mode_update(c);
	return true;
}
