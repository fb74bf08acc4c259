/* SPDX-License-Identifier: MIT */
/*
 * The single-step trap. SDM volume 3B, 17.3.1.4.
 */
#include "vcpu/x86/x86_debug.h"

#include "vcpu/x86/x86_int.h"
#include "vcpu/x86/x86_isa.h"

/* A trap: env.pc is already the next instruction's. Entering the handler clears DR7.GD, so that it may look at the registers. */
void x86_debug_step(struct x86_cpu *c)
{
	c->single_step_due = false;
	c->dr[6] |= X86_DR6_BS;
	c->dr[7] &= ~(uint64_t)X86_DR7_GD;
	c->fault.raised = (struct x86_event){ .vector = X86_DB };
	c->fault.pending = true;
	x86_int_deliver_fault(c);
}
