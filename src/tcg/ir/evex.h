/* SPDX-License-Identifier: MIT */
/*
 * The operation word of IR_EVEX (imm2): a guest instruction of AVX-512 as it is encoded, EVEX or, of mask registers, VEX (Intel SDM volume 2,
 * 2.7.1). A native back end emits the same instruction again, with host operands for memory and integer registers; register numbers of vectors
 * and masks are the host's own. The immediate, if there is one, is imm.
 * Threads: any; pure functions.
 */
#ifndef COHORT_TCG_EVEX_H
#define COHORT_TCG_EVEX_H

#include "util/types.h"

struct ir_evex {
	uint8_t opcode, map, pp;   /* pp: 0 none, 1 66, 2 F3, 3 F2 */
	uint8_t reg, vvvv, rm;     /* 0 to 31; rm only of the register form */
	uint8_t length;            /* 0 128, 1 256, 2 512 bits; rounding mode where b means that */
	uint8_t mask;              /* aaa: k1 to k7, 0 none */
	bool w, vex, b, z, has_imm;
	bool reg_int, rm_int;      /* the field names the integer operand */
	bool sets_flags;
	/* The memory operand. */
	uint8_t log_bytes;
	bool partial;              /* elements that the mask leaves out are not accessed */
	bool packed;               /* as many elements as the mask has ones, one behind the other (compress, expand) */
	uint8_t log_lanes;         /* bits of the mask that count */
	uint8_t log_elements;      /* in memory: mask bit n stands for element n modulo their number */
};

#define IR_EVEX_FIELDS(X)                                                                                                               \
	X(opcode, 0, 8) X(map, 8, 3) X(pp, 11, 2) X(w, 13, 1) X(vex, 14, 1) X(reg, 15, 5) X(vvvv, 20, 5) X(rm, 25, 5) X(length, 30, 2) \
	X(b, 32, 1) X(z, 33, 1) X(mask, 34, 3) X(has_imm, 37, 1) X(reg_int, 38, 1) X(rm_int, 39, 1) X(sets_flags, 40, 1)               \
	X(log_bytes, 41, 3) X(partial, 44, 1) X(packed, 45, 1) X(log_lanes, 46, 3) X(log_elements, 49, 3)

static inline int64_t ir_evex_pack(const struct ir_evex *e)
{
	uint64_t w = 0;

#define X(field, at, bits) w |= ((uint64_t)e->field & ((1u << (bits)) - 1)) << (at);
	IR_EVEX_FIELDS(X)
#undef X
	return (int64_t)w;
}

static inline struct ir_evex ir_evex_unpack(int64_t word)
{
	struct ir_evex e;

#define X(field, at, bits) e.field = (uint64_t)word >> (at) & ((1u << (bits)) - 1);
	IR_EVEX_FIELDS(X)
#undef X
	return e;
}

/* What the access of a partial memory operand needs to know, in 32 bits: for tcg/evex_access.h. */
static inline uint32_t ir_evex_access(int64_t word, bool align)
{
	return ((uint32_t)((uint64_t)word >> 34) & 7) | ((uint32_t)((uint64_t)word >> 41) & 0x7ff) << 3 | (uint32_t)align << 14;
}
#define IR_EVEX_ACCESS_MASK(d) ((d) & 7u)
#define IR_EVEX_ACCESS_BYTES(d) (1u << ((d) >> 3 & 7))
#define IR_EVEX_ACCESS_PACKED(d) ((d) >> 7 & 1u)
#define IR_EVEX_ACCESS_LANES(d) (1u << ((d) >> 8 & 7))
#define IR_EVEX_ACCESS_ELEMENTS(d) (1u << ((d) >> 11 & 7))
#define IR_EVEX_ACCESS_ALIGN(d) ((d) >> 14 & 1u)

/* Bytes of the memory operand. */
static inline unsigned ir_evex_bytes(int64_t word)
{
	return 1u << ((uint64_t)word >> 41 & 7);
}

#endif
