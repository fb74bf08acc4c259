/* SPDX-License-Identifier: MIT */
/*
 * The commonest operations, inline: for ir_eval.c and the interpreter's hot handlers.
 * Threads: any; pure functions. Operands are cut to the type already, results are too.
 */
#ifndef COHORT_TCG_IR_EVAL_INLINE_H
#define COHORT_TCG_IR_EVAL_INLINE_H

#include "tcg/ir/ir_eval.h"
#include "util/bitops.h"

static inline unsigned ir_width(enum ir_type t)
{
	return 8 * ir_type_bytes(t);
}

static inline uint64_t ir_cut(uint64_t v, enum ir_type t)
{
	return v & mask_low(ir_width(t));
}

static inline int64_t ir_sx(uint64_t v, enum ir_type t)
{
	return sign_extend(v, ir_width(t));
}

static inline uint32_t ir_msb(uint64_t v, enum ir_type t)
{
	return (uint32_t)(v >> (ir_width(t) - 1)) & 1;
}

/* Z, S and P of a result. */
static inline uint32_t ir_zsp(uint64_t r, enum ir_type t)
{
	return (ir_cut(r, t) ? 0 : F_Z) | (ir_msb(r, t) ? F_S : 0) | (__builtin_parity((uint8_t)r) ? 0 : F_P);
}

static inline uint64_t ir_add(uint32_t *flags, enum ir_type t, uint64_t a, uint64_t b, unsigned carry)
{
	uint64_t r = ir_cut(a + b + carry, t);
	uint64_t carries = (a & b) | ((a | b) & ~r); /* carry out of each bit */

	*flags = ir_zsp(r, t) | (ir_msb(carries, t) ? F_C : 0) | (((a ^ b ^ r) & 0x10) ? F_A : 0) |
		 (ir_msb((a ^ r) & (b ^ r), t) ? F_O : 0);
	return r;
}

static inline uint64_t ir_sub(uint32_t *flags, enum ir_type t, uint64_t a, uint64_t b, unsigned borrow)
{
	uint64_t r = ir_cut(a - b - borrow, t);
	uint64_t borrows = (~a & b) | ((~a | b) & r);

	*flags = ir_zsp(r, t) | (ir_msb(borrows, t) ? F_C : 0) | (((a ^ b ^ r) & 0x10) ? F_A : 0) |
		 (ir_msb((a ^ b) & (a ^ r), t) ? F_O : 0);
	return r;
}

static inline uint64_t ir_logic(uint32_t *flags, enum ir_type t, uint64_t r)
{
	r = ir_cut(r, t);
	*flags = ir_zsp(r, t);
	return r;
}

#endif
