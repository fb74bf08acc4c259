/* SPDX-License-Identifier: MIT */
/*
 * What of the guest's vectors is in host registers: values of env.vec_live, each including those before it. See vec.c.
 */
#ifndef COHORT_TCG_X86_64_VEC_H
#define COHORT_TCG_X86_64_VEC_H

enum vec_level {
	VEC_NONE,
	VEC_128, /* bits 127:0. Host code must leave the registers' upper bits alone: the guest's may be there or in env */
	VEC_256,
	VEC_EVEX, /* vectors 31:16 to bit 255, and the mask registers */
	VEC_512,  /* everything */
	VEC_LEVELS,
};

#endif
