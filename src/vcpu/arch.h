/* SPDX-License-Identifier: MIT */
/*
 * What the run loop asks of the guest ISA's folder. One constant table, `vcpu_arch`, provided by vcpu/<isa>.
 * Threads: the vCPU's own, except create/free/reset/dump (main thread, vCPU not running).
 */
#ifndef COHORT_VCPU_ARCH_H
#define COHORT_VCPU_ARCH_H

#include <stdio.h>

#include "tcg/guest.h"
#include "vcpu/vcpu.h"

#define DEBUG_REG_BYTES 16

struct err;

struct vcpu_arch {
	const struct guest_isa *guest;
	const struct tlb_ops *tlb;
	/* Allocates the CPU (zeroed, page-aligned) with its topology identifiers; not yet reset. */
	struct vcpu *(*create)(unsigned index, const struct vcpu_config *config, struct err *err);
	void (*free)(struct vcpu *v);
	void (*reset)(struct vcpu *v); /* power-on state: tlb, registers, boot state */
	/*
	 * A safepoint with something to do: delivers a recorded fault, takes requests of the ISA's kind (`req`: INIT, SIPI, NMI, SMI bits taken
	 * from the request word), or an interrupt if one can be delivered. Returns true if the CPU can execute now, false if it waits (halted,
	 * waiting for SIPI). May raise a guest fault (which unwinds to the run loop).
	 */
	bool (*events)(struct vcpu *v, uint32_t req);
	/* Is there anything that would let a waiting CPU go on? Looked at before parking. */
	bool (*wakeable)(struct vcpu *v);
	/*
	 * The CPU stands still (parked, paused) between the two: it uses neither its TLB nor the guest's memory. go_on() comes before whatever ends
	 * the halt is delivered, and may flush the TLB.
	 */
	void (*stand)(struct vcpu *v);
	void (*go_on)(struct vcpu *v);
	void (*dump)(const struct vcpu *v, FILE *out);
	/*
	 * For a debugger, v paused: its points or v's step have changed; registers by gdb's numbers (describe() gives the XML target description,
	 * read() and write() the size in bytes, 0: no such register; at most DEBUG_REG_BYTES); the MMU mode that sees all.
	 */
	void (*debug_changed)(struct vcpu *v);
	void (*debug_describe)(const struct vcpu *v, FILE *out);
	unsigned (*debug_reg_read)(struct vcpu *v, unsigned n, uint8_t *out);
	unsigned (*debug_reg_write)(struct vcpu *v, unsigned n, const uint8_t *in, size_t len);
	unsigned debug_mmu_mode;
	bool (*faulted)(const struct vcpu *v); /* [owner] a fault waits for delivery */
};
extern const struct vcpu_arch vcpu_arch;

#endif
