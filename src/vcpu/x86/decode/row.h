/* SPDX-License-Identifier: MIT */
/*
 * What a row of the opcode maps becomes. Private to the decoder; opmap.c expands the lists, decode.c reads the tables.
 *
 * Threads: any; all of it is constant.
 * Rule:    every map is one flat array indexed by (opcode, mandatory prefix), every group one stretch of one flat
 *          array, so that finding a row takes one load per level and no search. Holes are zero: id X86_I_INVALID, kind
 *          X86_K_ROW.
 */
#ifndef COHORT_VCPU_X86_DECODE_ROW_H
#define COHORT_VCPU_X86_DECODE_ROW_H

#include "vcpu/x86/decode/decode.h"

/* Where an operand comes from; the comments give the manual's letter where it is another one. */
enum x86_method {
	X86_M_NONE,
	/* from ModRM (contiguous: X86_M_E .. X86_M_VM need a ModRM byte) */
	X86_M_E,  /* rm: general register or memory */
	X86_M_R,  /* rm: general register */
	X86_M_RC, /* rm: general register whatever mod says (MOV to and from CR, DR) */
	X86_M_M,  /* rm: memory */
	X86_M_G,  /* reg: general register */
	X86_M_S,  /* reg: segment register */
	X86_M_SD, /* reg: segment register but CS */
	X86_M_C,  /* reg: control register */
	X86_M_D,  /* reg: debug register */
	X86_M_P,  /* reg: MMX */
	X86_M_Q,  /* rm: MMX or memory */
	X86_M_N,  /* rm: MMX */
	X86_M_V,  /* reg: XMM */
	X86_M_W,  /* rm: XMM or memory */
	X86_M_U,  /* rm: XMM */
	X86_M_STI, /* rm: x87 stack register */
	X86_M_KG, /* reg: mask register */
	X86_M_KR, /* rm: mask register */
	X86_M_KE, /* rm: mask register or memory */
	X86_M_VM, /* rm: memory with a vector index */
	/* from VEX */
	X86_M_B, /* vvvv: general register */
	X86_M_H, /* vvvv: XMM */
	X86_M_KH, /* vvvv: mask register */
	X86_M_L, /* bits 7:4 of the last immediate byte: XMM */
	/* from the opcode and what follows */
	X86_M_Z, /* low three bits of the opcode: general register */
	X86_M_I, /* immediate, sign-extended */
	X86_M_IU, /* immediate, zero-extended */
	X86_M_I2, /* second immediate, zero-extended */
	X86_M_J, /* displacement relative to the next instruction */
	X86_M_A, /* far pointer: IMM the offset, IMM2 the selector */
	X86_M_O, /* memory at a direct address */
	X86_M_X, /* string at rSI */
	X86_M_Y, /* string at rDI */
	/* implied by the opcode */
	X86_M_GPRF, X86_M_SEGF, X86_M_STF, X86_M_XMMF,
	X86_M_ONE, /* the constant of D0, D1 */
	X86_M_MF,  /* memory at a register, DS by default */
};

/* How the operand size comes about: without, with 66, with REX.W (wins over 66). */
enum x86_size {
	X86_S_V,   /* by the code segment: 4 or 2, 2 or 4; 8 with REX.W */
	X86_S_B,   /* 1 */
	X86_S_Z,   /* as V, but 4 with REX.W */
	X86_S_Y,   /* 4, 8 with REX.W; 66 means something else */
	X86_S_C,   /* the widest of the mode: 4, in 64-bit mode 8 */
	X86_S_D64, /* as V; in 64-bit mode 8, or 2 with 66: stack */
	X86_S_F64, /* as V; in 64-bit mode always 8: near branches, descriptor tables */
	X86_S_COUNT
};

enum x86_legal { X86_L_ALL, X86_L_I64, X86_L_O64 };

/* What a table entry is: a row, or the kind of group to look on in (how the group is indexed). */
enum x86_kind {
	X86_K_ROW,
	X86_K_REG,  /* ModRM.reg * 2 + (mod == 3) */
	X86_K_RM,   /* ModRM.rm */
	X86_K_MOD,  /* mod == 3 */
	X86_K_X87,  /* memory: ModRM.reg; registers: ModRM - C0 + 8 */
	X86_K_FIRST_WITHOUT_MODRM,
	X86_K_MODE = X86_K_FIRST_WITHOUT_MODRM, /* 64-bit mode */
	X86_K_REXB,
	X86_K_REXW, /* 64-bit mode only: elsewhere 0, even if VEX.W is set */
	X86_K_VEXL,
};

/* operand codes */
enum x86_oc {
	X86_OC__,
#define X86_OC(code, method, reg_width, mem_width) X86_OC_##code,
#define X86_OC_FIXED(code, method, width, number) X86_OC_##code,
#include "vcpu/x86/decode/operand.def"
	X86_OC_COUNT
};

enum x86_width {
#define X86_WIDTH(letters, b2, b4, b8, l2, l4, l8, z2, z4, z8) X86_W_##letters,
#include "vcpu/x86/decode/operand.def"
	X86_W_COUNT
};

struct x86_row {
	uint16_t id;      /* enum x86_iid */
	union {
		uint16_t group; /* kind != ROW: first entry of the group in x86_group_rows */
		uint16_t evex;  /* kind == ROW, EVEX: X86_E_* */
	};
	uint16_t attr;    /* X86_A_* */
	uint8_t oc[4];    /* enum x86_oc */
	uint8_t kind;     /* enum x86_kind */
	uint8_t size;     /* enum x86_size */
	uint8_t legal;    /* enum x86_legal */
	uint8_t feature;  /* enum x86_feature */
	uint8_t modrm;    /* 1: a ModRM byte follows the opcode; X86_R_MODRM_REG: its mod bits are ignored */
	uint8_t flags;    /* X86_R_* */
};
_Static_assert(sizeof(struct x86_row) == 16, "four rows, one opcode, to a cache line");

#define X86_R_MODRM_REG 0x02

/* Bits of x86_row.flags */
#define X86_R_MANDATORY 0x03 /* index of the mandatory prefix: none, 66, F3, F2 */
#define X86_R_VVVV 0x04      /* VEX.vvvv names an operand (must be 1111 otherwise) */
#define X86_R_L0 0x08        /* VEX.L must be 0 */
#define X86_R_L1 0x10        /* VEX.L must be 1 */
#define X86_R_L_AVX2 0x20    /* VEX.L = 1 needs AVX2 */
#define X86_R_VSIB 0x80      /* memory operand has a vector index */

/* Fields of x86_row.evex */
#define X86_E_ELEMENT(e) ((e) & 3)       /* log2 of a memory element's bytes */
#define X86_E_TUPLE(e) ((e) >> 2 & 3)    /* enum x86_tuple */
#define X86_E_MASK(e) ((e) >> 4 & 3)     /* enum x86_mask */
#define X86_E_ROUND(e) ((e) >> 6 & 3)    /* enum x86_round */
#define X86_E_LENGTHS(e) ((e) >> 8 & 7)  /* which EVEX.L'L are defined: a bit each */
#define X86_E_LIG 0x0800                 /* EVEX.L'L is ignored */
#define X86_E_VL 0x1000                  /* vectors below 512 bits need AVX512VL */
#define X86_E_MASKED 0x2000              /* the element is known: the memory operand has one per mask bit */

enum x86_tuple { X86_T_OP, X86_T_BC, X86_T_EL, X86_T_RP };
enum x86_mask { X86_MASK_N, X86_MASK_M, X86_MASK_Z, X86_MASK_R };
enum x86_round { X86_ROUND__, X86_ROUND_RC, X86_ROUND_SAE };

struct x86_oc_info {
	uint8_t method;    /* enum x86_method */
	uint8_t reg_width; /* enum x86_width */
	uint8_t mem_width; /* enum x86_width; implied registers: their number */
};

#define X86_MAP_ROWS 1024 /* opcode * 4 + mandatory prefix */
#define X86_VEX_ROWS 2048 /* (opcode * 4 + mandatory prefix) * 2 + VEX.W */

extern const struct x86_row x86_map_rows[4][X86_MAP_ROWS]; /* by x86_insn.map */
extern const struct x86_row x86_vex_rows[4][X86_VEX_ROWS];
extern const struct x86_row x86_evex_rows[4][X86_VEX_ROWS]; /* EVEX.W in place of VEX.W */
extern const struct x86_row x86_group_rows[];
extern const struct x86_oc_info x86_oc_info[X86_OC_COUNT];
extern const uint8_t x86_width_bytes[12][X86_W_COUNT]; /* by L * 4 + log2 of the operand size */

#endif
