/* SPDX-License-Identifier: MIT */
/*
 * Delivery of exceptions and interrupts through the IDT (or the real-mode vector table). SDM volume 3A, chapter 6.
 * Threads: the vCPU's own, at a safepoint, outside generated code.
 */
#ifndef COHORT_VCPU_X86_INT_H
#define COHORT_VCPU_X86_INT_H

#include "vcpu/x86/x86_cpu.h"

/*
 * Delivers the recorded fault. A fault on the way (raised by unwinding to the run loop, which calls this again) combines with the first to a
 * double fault as in SDM table 6-5; a triple fault asks the machine to reset and leaves the CPU waiting.
 */
void x86_int_deliver_fault(struct x86_cpu *c);
/* The machine is to be reset; the CPU does nothing more. */
void x86_shutdown(struct x86_cpu *c, const char *why);
/* Delivers an external interrupt or NMI with this vector. */
void x86_int_deliver_external(struct x86_cpu *c, uint8_t vector);

#endif
