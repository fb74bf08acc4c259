/* SPDX-License-Identifier: MIT */
/*
 * What of the guest's vectors is in host registers: values of env.vec_live, in order of what they include. See vec.c.
 */
#ifndef COHORT_TCG_X86_64_VEC_H
#define COHORT_TCG_X86_64_VEC_H

enum vec_level { VEC_NONE, VEC_128 };

#endif
