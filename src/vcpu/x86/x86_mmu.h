/* SPDX-License-Identifier: MIT */
/*
 * The page walker. Threads: the vCPU's own (probe: also others while it is paused).
 */
#ifndef COHORT_VCPU_X86_MMU_H
#define COHORT_VCPU_X86_MMU_H

#include "mem/tlb.h"
#include "vcpu/x86/x86_cpu.h"

#define X86_PHYS_BITS 40
#define X86_LINEAR_BITS 48
#define X86_LINEAR_BITS_LA57 57

extern const struct tlb_ops x86_tlb_ops;

void x86_mmu_walk(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out);
/* PAE paging keeps its four page-directory pointers in the CPU: reads and checks those at cr3. False, and nothing changes: reserved bits. */
bool must_check x86_mmu_pdptes_load(struct x86_cpu *c, uint64_t cr3);
/* New PKRU: the TLB holds the old one's rights. To be followed by the end of the block. */
static inline void x86_pkru_set(struct x86_cpu *c, uint32_t v)
{
	if (v != c->pkru && (c->cr4 & X86_CR4_PKE))
		tlb_flush_all(&c->vcpu.env);
	c->pkru = v;
}
int x86_mmu_probe(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out);

/* tlb_ops.reach: x86_mmu_reach.c. */
void x86_mmu_reach(struct tcg_env *env, gva_t va, unsigned mode, struct tlb_walk *w);

/* INVLPG and its kin: forgets where page tables are. */
void x86_mmu_walk_cache_drop(struct x86_cpu *c);

#endif
