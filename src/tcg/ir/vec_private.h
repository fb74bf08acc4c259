/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of the vector unit.
 */
#ifndef COHORT_TCG_IR_VEC_PRIVATE_H
#define COHORT_TCG_IR_VEC_PRIVATE_H

#include "tcg/ir/vec_eval.h"

union xmm {
	uint8_t ub[16];
	int8_t sb[16];
	uint16_t uw[8];
	int16_t sw[8];
	uint32_t ul[4];
	int32_t sl[4];
	uint64_t uq[2];
	int64_t sq[2];
};

union ymm {
	union xmm x[2];
	uint8_t ub[32];
	uint32_t ul[8];
	int32_t sl[8];
	uint64_t uq[4];
	int64_t sq[4];
};

/* r holds a copy of a on entry, and is neither a nor b. x: vector global 0. */
typedef void (*vec_fn)(union xmm *r, const union xmm *a, const union xmm *b, const union xmm *x, unsigned imm);
#define VEC_ARGS   union xmm *r, const union xmm *a, const union xmm *b, const union xmm *x, unsigned imm
#define VEC_UNUSED (void)a, (void)b, (void)x, (void)imm

/* vec_crypto.c */
void vec_AESENC(VEC_ARGS);
void vec_AESENCLAST(VEC_ARGS);
void vec_AESDEC(VEC_ARGS);
void vec_AESDECLAST(VEC_ARGS);
void vec_AESIMC(VEC_ARGS);
void vec_AESKEYGENASSIST(VEC_ARGS);
void vec_PCLMULQDQ(VEC_ARGS);
void vec_GF2P8MULB(VEC_ARGS);
void vec_GF2P8AFFINEQB(VEC_ARGS);
void vec_GF2P8AFFINEINVQB(VEC_ARGS);
void vec_SHA1RNDS4(VEC_ARGS);
void vec_SHA1NEXTE(VEC_ARGS);
void vec_SHA1MSG1(VEC_ARGS);
void vec_SHA1MSG2(VEC_ARGS);
void vec_SHA256MSG1(VEC_ARGS);
void vec_SHA256MSG2(VEC_ARGS);
void vec_SHA256RNDS2(VEC_ARGS);

/* vec_int.c: NULL for floating point. */
vec_fn vec_int_function(enum ir_vop op);

/* ---- Floating point: vec_fp.c (elements), vec_fp_host.c (the host's arithmetic). Elements are bit patterns. */

/* MXCSR */
#define FP_IE	      0x01u
#define FP_DE	      0x02u
#define FP_ZE	      0x04u
#define FP_OE	      0x08u
#define FP_UE	      0x10u
#define FP_PE	      0x20u
#define FP_FLAGS      0x3fu
#define FP_DAZ	      0x40u
#define FP_MASK_SHIFT 7
#define FP_RC_SHIFT   13
#define FP_RC	      (3u << FP_RC_SHIFT)
#define FP_FTZ	      0x8000u
enum fp_rc { FP_NEAREST, FP_DOWN, FP_UP, FP_TRUNC };

struct fp {
	uint32_t mxcsr; /* control word */
	uint32_t flags; /* FP_*E raised so far */
};

enum fp_op { FP_ADD, FP_SUB, FP_MUL, FP_DIV, FP_SQRT };

/* Width of an element: single or double. */
enum fp_fmt { FP_S, FP_D };

/* vec_fp_host.c: operands are no NaNs. The result may be any NaN if the operation is invalid. */
uint64_t fp_host_op(struct fp *fp, enum fp_op op, enum fp_fmt fmt, uint64_t a, uint64_t b);
uint64_t fp_host_narrow(struct fp *fp, uint64_t d); /* double to single */
uint64_t fp_host_from_int(struct fp *fp, enum fp_fmt fmt, int64_t v);
uint32_t fp_host_rcp(uint32_t s); /* the approximations: of no defined value, so the host's own */
uint32_t fp_host_rsqrt(uint32_t s);

/* vec_fp.c */
uint64_t fp_arith(struct fp *fp, enum fp_op op, enum fp_fmt fmt, uint64_t a, uint64_t b);
uint64_t fp_minmax(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, bool max);
bool fp_compare(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, unsigned predicate); /* 0 to 31, as VCMPPS has them */
uint32_t fp_order(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, bool quiet); /* F_* of COMIS */
uint64_t fp_widen(struct fp *fp, uint64_t s);
uint64_t fp_narrow(struct fp *fp, uint64_t d);
uint64_t fp_to_int(struct fp *fp, enum fp_fmt fmt, uint64_t v, unsigned bits, enum fp_rc rc);
uint64_t fp_round(struct fp *fp, enum fp_fmt fmt, uint64_t v, unsigned imm);
static inline enum fp_rc fp_rc(const struct fp *fp)
{
	return (enum fp_rc)(fp->mxcsr >> FP_RC_SHIFT & 3);
}

/* vec_fma.c: a * b + c, products and sums negated as wanted by changing signs of operands */
uint64_t fp_fma(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, uint64_t c, bool negate_product, bool negate_addend);
/* vec_fp_host.c */
uint64_t fp_host_fma(struct fp *fp, enum fp_fmt fmt, uint64_t a, uint64_t b, uint64_t c);

/* vec_half.c */
uint32_t fp_half_widen(struct fp *fp, uint16_t h);
uint16_t fp_half_narrow(struct fp *fp, uint32_t s, unsigned imm);

/* vec_eval.c: one half of 128 bits, with the exceptions it raises gathered in fp; the report of all of them, false if one is unmasked */
void vec_half(struct fp *fp, enum ir_vop op, union xmm *r, const union xmm *a, const union xmm *b, const union xmm *x, unsigned imm);
bool must_check vec_fp_report(struct tcg_env *env, const struct fp *fp);

/* vec_str.c: PCMPxSTRx. The result (intermediate result 2) and the flags; lengths are in elements. */
uint32_t vec_string_compare(const union xmm *a, const union xmm *b, int la, int lb, unsigned imm, uint32_t *flags);

#endif
