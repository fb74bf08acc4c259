/* SPDX-License-Identifier: MIT */
/*
 * What AVX-512 adds to the vector state, as components of XSAVE areas (SDM volume 1, 13.5.5 to 13.5.7): mask registers (5), bits 511:256 of
 * vectors 15:0 (6), vectors 31:16 (7).
 * Threads: the vCPU's own; vectors are in env.
 */
#ifndef COHORT_VCPU_X86_ZMM_H
#define COHORT_VCPU_X86_ZMM_H

#include "vcpu/x86/x86_xstate.h"

#define X86_ZMM_MAX 1024 /* bytes of the largest component */

bool x86_all_zero(const void *p, size_t len);

/* Those of the three that are not in their initial state, as bits of XCR0. Makes env.vec_used exact. */
uint64_t x86_zmm_in_use(struct tcg_env *env);

/*
 * Between registers and component i of an area; `vectors`: registers the CPU mode has, 8 or 16. Bytes stored. Without `from` the
 * component gets its initial state.
 */
size_t x86_zmm_pack(const struct tcg_env *env, unsigned i, unsigned vectors, uint8_t *to);
void x86_zmm_unpack(struct tcg_env *env, unsigned i, unsigned vectors, const uint8_t *from);

#endif
