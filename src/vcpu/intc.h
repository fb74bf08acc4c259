/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU asks of its interrupt controller; provided by hw/intc (the local APIC).
 *
 * All calls come from the vCPU's own thread except where said. The controller wakes a vCPU through
 * vcpu_request(vcpu, VCPU_REQ_*) of vcpu/vcpu.h, from any thread, with at most its own locks held.
 */
#ifndef COHORT_VCPU_INTC_H
#define COHORT_VCPU_INTC_H

#include <stdio.h>

#include "util/types.h"

struct vcpu;

struct intc_ops {
	/*
	 * Highest-priority deliverable vector (above PPR), or -1; does not accept it. Past 255: an interrupt whose vector only
	 * accept() will know (the local APIC's LAPIC_VECTOR_EXTINT).
	 */
	int (*pending)(struct vcpu *v);
	/* Accepts: IRR -> ISR (or the 8259 INTA cycle for ExtINT); returns the vector, -1 if it went away (caller drops it). */
	int (*accept)(struct vcpu *v);
	/* MSR access of IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0) and x2APIC MSRs (0x800-0x8ff). 0, or -1: raise #GP(0). */
	int (*msr_read)(struct vcpu *v, uint32_t msr, uint64_t *value);
	int (*msr_write)(struct vcpu *v, uint32_t msr, uint64_t value);
	/* Sends an IPI to the CPU of that APIC ID, by the low half of an ICR value; whether it was accepted. */
	bool (*ipi)(struct vcpu *v, uint32_t dest, uint32_t icr);
	/* Task priority as CR8 (0..15). */
	uint8_t (*cr8_read)(struct vcpu *v);
	void (*cr8_write)(struct vcpu *v, uint8_t value);
	/* INIT received or power-on: registers to their reset values. */
	void (*reset)(struct vcpu *v, bool power_on);
	/*
	 * The vCPU is about to park: the absolute deadline of its local timer, or INT64_MAX. And the vCPU thread noticed
	 * that the time has come (its timer signal, its park time-out): expire what is due.
	 */
	vclock_ns_t (*timer_deadline)(struct vcpu *v);
	void (*timer_expire)(struct vcpu *v);
	/* For a human: the CPU's own registers of the controller, as text. v is paused. May be NULL. */
	void (*dump)(const struct vcpu *v, FILE *out);
};

#endif
