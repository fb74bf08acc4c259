/* SPDX-License-Identifier: MIT */
/*
 * env.be_flags: the guest's flags while generated code runs and they are not in host EFLAGS. As LAHF and SETO AL leave them in AX, so that one
 * store saves them: bit 0 overflow, bits 15:8 the others in the places of EFLAGS 7:0. Whenever C runs that may read flags, or fault, the stubs
 * have made env.flags of it; where C may have written flags they make it anew.
 * Owner: the vCPU thread.
 */
#ifndef COHORT_TCG_X86_64_FLAGS_H
#define COHORT_TCG_X86_64_FLAGS_H

#include "tcg/env.h"

#define BE_FLAGS_O_SHIFT 11 /* of overflow in an EFLAGS image */
#define BE_FLAGS_O offsetof(struct tcg_env, be_flags)
#define BE_FLAGS_LOW (offsetof(struct tcg_env, be_flags) + 1)

static inline uint32_t be_flags_of(uint64_t image)
{
	return (uint32_t)(image & 0xff) << 8 | (uint32_t)(image >> BE_FLAGS_O_SHIFT & 1);
}

static inline uint64_t be_flags_image(uint32_t f)
{
	return (f >> 8 & 0xff) | (uint64_t)(f & 1) << BE_FLAGS_O_SHIFT;
}

#endif
