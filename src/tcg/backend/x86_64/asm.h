/* SPDX-License-Identifier: MIT */
/*
 * Encoder of x86-64 instructions (Intel SDM volume 2, chapter 2). Knows no IR.
 *
 * Owner:   one struct per compilation. Writing past the end is refused and noted in `overflow`; the caller looks once at the end.
 */
#ifndef COHORT_TCG_X86_64_ASM_H
#define COHORT_TCG_X86_64_ASM_H

#include <string.h>

#include "tcg/backend/x86_64/regs.h"

struct as {
	uint8_t *base, *p, *end; /* writable mapping */
	const uint8_t *rx;       /* executable address of base */
	bool overflow;
	uint32_t *outward;       /* where offsets of rel32 that lead elsewhere are noted: what has to change if the code is copied... */
	unsigned max_outward;    /* ...as long as there is room... */
	unsigned nr_outward;     /* ...and counted */
};

/* A register or memory operand (ModRM.rm). */
struct rm {
	uint8_t is_mem, gs;
	uint8_t base, index; /* register number, R_NONE: none */
	uint8_t scale;       /* log2 */
	int32_t disp;
};

/* An opcode with its prefixes: opcode byte | OP_*. */
#define OP_0F 0x100u
#define OP_0F38 0x200u
#define OP_0F3A 0x300u
#define OP_MAP 0x300u
#define OP_66 0x400u
#define OP_F2 0x800u
#define OP_F3 0x1000u
#define OP_W 0x2000u
#define OP_LOCK 0x4000u
#define OP_R8 0x8000u   /* the register operand is a byte register */
#define OP_M8 0x10000u  /* the rm operand, if a register, is a byte register */
#define OP_B8 (OP_R8 | OP_M8)
#define OP_L 0x20000u   /* VEX.256; EVEX: length bit 0 */
#define OP_L2 0x40000u  /* EVEX: length bit 1, 512 bits without OP_L */

/* Opcodes used in several places. Those of the integer unit are the 32-bit forms; bit 0 clear makes them 8-bit. */
#define OP_MOV_MR 0x89u
#define OP_MOV_RM 0x8bu
#define OP_LEA 0x8du
#define OP_ADD_RM 0x03u
#define OP_SUB_RM 0x2bu
#define OP_CMP_RM 0x3bu
#define OP_MOVZX8 (OP_0F | 0xb6u)
#define OP_MOVZX16 (OP_0F | 0xb7u)
#define OP_MOVUPS_RM (OP_0F | 0x10u)
#define OP_MOVUPS_MR (OP_0F | 0x11u)
#define OP_MOVAPS_RM (OP_0F | 0x28u)
#define OP_MOVAPS_MR (OP_0F | 0x29u)

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

static inline struct rm rm_reg(unsigned reg)
{
	return (struct rm){ .base = (uint8_t)reg, .index = R_NONE };
}

/* A field of the environment. */
static inline struct rm rm_gs(size_t off)
{
	return (struct rm){ .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_NONE, .disp = (int32_t)off };
}
#define RM_ENV(field) rm_gs(offsetof(struct tcg_env, field))

static inline struct rm rm_gs_base(unsigned base, size_t off)
{
	return (struct rm){ .is_mem = 1, .gs = 1, .base = (uint8_t)base, .index = R_NONE, .disp = (int32_t)off };
}

static inline struct rm rm_mem(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
	return (struct rm){ .is_mem = 1, .base = (uint8_t)base, .index = (uint8_t)index, .scale = (uint8_t)scale, .disp = disp };
}

static inline bool rm_is_reg(struct rm m, unsigned reg)
{
	return !m.is_mem && m.base == reg;
}

static inline bool fits32(int64_t v)
{
	return v == (int32_t)v;
}

static inline bool fits8(int64_t v)
{
	return v == (int8_t)v;
}

static inline uint32_t as_off(const struct as *s)
{
	return (uint32_t)(s->p - s->base);
}

static inline void as_bytes(struct as *s, const void *bytes, size_t n)
{
	if (unlikely((size_t)(s->end - s->p) < n)) {
		s->overflow = true;
		return;
	}
	memcpy(s->p, bytes, n);
	s->p += n;
}

static inline void as_u8(struct as *s, unsigned v)
{
	uint8_t b = (uint8_t)v;

	as_bytes(s, &b, 1);
}

static inline void as_u32(struct as *s, uint32_t v)
{
	as_bytes(s, &v, 4);
}

static inline void as_u64(struct as *s, uint64_t v)
{
	as_bytes(s, &v, 8);
}

void as_op(struct as *s, uint32_t op, unsigned reg, struct rm m);
void as_op_imm8(struct as *s, uint32_t op, unsigned reg, struct rm m, unsigned imm);
/* VEX encoding: map, mandatory prefix, W and L from op, second source in vvvv (0 if there is none). */
void as_vex(struct as *s, uint32_t op, unsigned reg, unsigned vvvv, struct rm m);
/* EVEX encoding: besides, the last prefix byte's bits z, b and aaa. Register numbers up to 31; displacements are never compressed. */
#define EVEX_Z 0x80u
#define EVEX_B 0x10u
void as_evex(struct as *s, uint32_t op, unsigned more, unsigned reg, unsigned vvvv, struct rm m);
void as_nops(struct as *s, unsigned n);

/* 64-bit moves and the like between registers and environment fields. */
void as_mov(struct as *s, unsigned d, unsigned src);
void as_mov_imm(struct as *s, unsigned d, int64_t imm); /* shortest form that leaves flags alone */
uint32_t as_mov_imm64(struct as *s, unsigned d, uint64_t imm); /* longest form: the offset of the 64 bits */
void as_load(struct as *s, unsigned d, struct rm m);    /* 64 bits */
void as_store(struct as *s, struct rm m, unsigned src);
void as_alu(struct as *s, enum alu alu, unsigned d, struct rm m);        /* 64 bits: d op= m */
void as_alu_imm(struct as *s, enum alu alu, uint32_t opflags, struct rm m, int32_t imm); /* opflags: OP_W, OP_66, OP_M8 (byte) */
void as_store_imm(struct as *s, struct rm m, int32_t imm); /* 64 bits, sign-extended */

/* Relative jumps and calls: the offset of the rel32, to be filled by as_patch() or at once when the target is known. */
uint32_t as_jcc(struct as *s, unsigned cc);
uint32_t as_jmp(struct as *s);
uint32_t as_call(struct as *s);
void as_patch(struct as *s, uint32_t rel_off, uint32_t target_off);
void as_patch_abs(struct as *s, uint32_t rel_off, const uint8_t *target_rx);
void as_jmp_abs(struct as *s, const uint8_t *target_rx);
void as_call_abs(struct as *s, const uint8_t *target_rx);
void as_jcc_abs(struct as *s, unsigned cc, const uint8_t *target_rx);

#endif
