/* SPDX-License-Identifier: MIT */
/*
 * Memory operands of which a mask chooses elements, where the whole operand did not pass the inline check: elements left out do not fault, are
 * not read, and are not written (Intel SDM volume 1, 15.6.4).
 * Threads: the vCPU's own. Mask registers are in env.
 */
#ifndef COHORT_TCG_EVEX_ACCESS_H
#define COHORT_TCG_EVEX_ACCESS_H

#include "mem/tlb.h"

/* As tlb_access_slow(); access: ir_evex_access() of the operation. */
void *evex_access(struct tcg_env *env, gva_t va, uint32_t access, enum tlb_access kind, unsigned mode);

#endif
