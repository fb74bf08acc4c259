/* SPDX-License-Identifier: MIT */
/*
 * What each vector operation (vec_ops.def) computes, in portable C: the interpreter's vector unit.
 *
 * Threads: the vCPU's own. Floating point uses env->mxcsr: rounding, DAZ, FTZ; exception flags accumulate there.
 * Fails:   the functions that return bool answer false if an unmasked exception was raised: then the destination is as
 * before, and the caller raises the guest's fault.
 */
#ifndef COHORT_TCG_IR_VEC_EVAL_H
#define COHORT_TCG_IR_VEC_EVAL_H

#include "tcg/ir/ir.h"

/* VOP: d = op(a, b). a is NULL for one-source operations without a first source; d may be a, b or neither. */
bool must_check ir_vec_eval(struct tcg_env *env, enum ir_vop op, union tcg_vreg *d, const union tcg_vreg *a,
			    const union tcg_vreg *b, uint64_t imm);
/* VTOG: an integer from vector b. `type` is the width of the integer. */
bool must_check ir_vec_to_g(struct tcg_env *env, enum ir_vop op, enum ir_type type, uint64_t *d,
			    const union tcg_vreg *b, uint64_t imm);
/* GTOV: d = op(a, integer b). `type` is the width of the integer. */
bool must_check ir_g_to_vec(struct tcg_env *env, enum ir_vop op, enum ir_type type, union tcg_vreg *d,
			    const union tcg_vreg *a, uint64_t b, uint64_t imm);
/*
 * VFL: *flags = the six flags after op(a, b). String compares take lengths from integer globals 0 and 2 (explicit
 * forms; `type` is their width) and leave their result in integer global 1 or vector global 0.
 */
bool must_check ir_vec_flags(struct tcg_env *env, enum ir_vop op, enum ir_type type, uint32_t *flags,
			     const union tcg_vreg *a, const union tcg_vreg *b, uint64_t imm);

/* VEX: d = op(a, b, c) in 128 or 256 bits; what is above becomes 0. */
bool must_check ir_vex_eval(struct tcg_env *env, enum ir_vop op, bool wide, union tcg_vreg *d, const union tcg_vreg *a,
			    const union tcg_vreg *b, const union tcg_vreg *c, uint64_t imm);
/* VEXG: GTOV with everything above 127 cleared. */
bool must_check ir_vexg_eval(struct tcg_env *env, enum ir_vop op, enum ir_type type, union tcg_vreg *d, const union tcg_vreg *a,
			     uint64_t b, uint64_t imm);
/* VFL and VTOG with operations of vex_ops.def; used by the functions above. */
uint32_t ir_vex_test(enum ir_vop op, bool wide, const union tcg_vreg *a, const union tcg_vreg *b);
uint64_t ir_vex_signs(enum ir_vop op, const union tcg_vreg *v);

#endif
