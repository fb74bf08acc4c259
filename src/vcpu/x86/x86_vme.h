/* SPDX-License-Identifier: MIT */
/*
 * Virtual interrupts: CR4.VME in virtual-8086 mode, CR4.PVI at privilege level 3. Threads: the vCPU's own; env.pc at the instruction. SDM
 * volume 3A, 22.2 and 22.3; table 22-2 names the methods. Without them, and at IOPL 3 in virtual-8086 mode, what stands in IOPL counts.
 */
#ifndef COHORT_VCPU_X86_VME_H
#define COHORT_VCPU_X86_VME_H

#include "vcpu/x86/x86_cpu.h"

/* IOPL does not allow this code to change IF. */
static inline bool x86_if_is_denied(const struct x86_cpu *c)
{
	unsigned iopl = (c->eflags & X86_FL_IOPL) >> 12;

	return c->eflags & X86_FL_VM ? iopl < 3 : iopl < c->cpl;
}

/* CLI, STI where IF is denied: they change VIF, or fault. */
void x86_vme_set_if(struct x86_cpu *c, bool on);
/* PUSHF in virtual-8086 mode below IOPL 3: the image; POPF and IRET: what the image makes of EFLAGS. Else #GP(0). */
uint32_t x86_vme_pushf(struct x86_cpu *c, unsigned size);
void x86_vme_popf(struct x86_cpu *c, uint32_t image, unsigned size);
/*
 * INT n in virtual-8086 mode: true if the program's own handler was entered (env.pc is set), as the interrupt redirection bitmap says; false if
 * the interrupt goes through the IDT; #GP(0) if it is the monitor's.
 */
bool x86_vme_int(struct x86_cpu *c, uint8_t vector, gva_t next);

#endif
