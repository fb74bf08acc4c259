/* SPDX-License-Identifier: MIT */
/*
 * Table-driven x86 instruction decoder.
 *
 * Owner:   the caller owns the struct x86_insn; the tables are constant.
 * Threads: any; no state is kept between calls.
 * Source:  Intel SDM volume 2, chapter 2 (format), appendix A (opcode maps, operand codes).
 *
 * The decoder only reports what a form needs; the caller raises #UD when x86_insn.feature is off, and #GP, #NM and so
 * on by the attributes. With BMI1 or LZCNT off, TZCNT executes as BSF and LZCNT as BSR instead of #UD. What no
 * attribute says: CLAC, STAC, MONITOR and MWAIT are #UD at CPL > 0, RSM is #UD outside SMM, SYSCALL and SYSRET are
 * decoded outside 64-bit mode too (#UD on Intel, defined on AMD), FWAIT asks CR0.MP and TS, not EM.
 *
 * The decoder knows encodings, never meanings: a row of opmap_*.def gives a mnemonic (enum x86_iid), operand codes in
 * the manual's notation, the CPUID feature it needs and where it is legal. Operands arrive resolved (register number,
 * width, memory form), so that translation needs one function per instruction and none per encoding.
 */
#ifndef COHORT_VCPU_X86_DECODE_H
#define COHORT_VCPU_X86_DECODE_H

#include "util/types.h"

/* One identifier per mnemonic, Zydis spelling, conditions folded (JCC, SETCC, CMOVCC). */
enum x86_iid {
	X86_I_INVALID,
#define X86_IID(name) X86_I_##name,
#include "vcpu/x86/decode/insn_ids.def"
#undef X86_IID
	X86_I_COUNT
};

enum x86_mode { X86_MODE_16, X86_MODE_32, X86_MODE_64 }; /* of the code segment; real mode is X86_MODE_16 */

enum x86_opk {
	X86_OPK_NONE,
	X86_OPK_GPR,   /* reg 0..15; size 1,2,4,8 */
	X86_OPK_GPR8H, /* AH CH DH BH: reg is 0..3, the register whose bits 15:8 are meant */
	X86_OPK_SEG,   /* ES CS SS DS FS GS = 0..5 */
	X86_OPK_CR,
	X86_OPK_DR,
	X86_OPK_ST,    /* x87 stack register */
	X86_OPK_MMX,
	X86_OPK_XMM,   /* size 16, 32 (ymm) or 64 (zmm) */
	X86_OPK_K,     /* AVX-512 mask register; size: of the operation */
	X86_OPK_MEM,   /* described by insn->mem; size is the access size in bytes, 0 where it has none (LEA, INVLPG) */
	X86_OPK_IMM,   /* insn->imm, already sign- or zero-extended to 64 bits as the instruction defines; size: see below */
	X86_OPK_IMM2,  /* insn->imm2: second immediate (ENTER, EXTRQ), or the selector of a direct far pointer */
	X86_OPK_REL,   /* insn->imm is the displacement relative to the end of the instruction */
};

struct x86_operand {
	uint8_t kind; /* enum x86_opk */
	uint8_t reg;
	uint8_t size; /* bytes; of an immediate, what it is extended to; 0 where 8 bits do not hold it (FXSAVE) */
};

/*
 * Operands stand in the manual's order, destination first. Beyond what ModRM and immediates say, these are explicit:
 * the accumulator of short forms, IN and OUT; DX; CL and the 1 of shifts; XMM0 of PBLENDVB, BLENDVPx, SHA256RNDS2;
 * memory at rBX of XLAT (base 3; the translator adds AL), at rAX of MONITOR (size 0), at rDI of MASKMOVQ/DQU (first of
 * three). x87: opmap_x87.def says which forms name ST(0). Everything else (MUL's rDX:rAX, PUSH's stack) is implied.
 *
 * Strings have no operands. insn->mem is the memory at rSI (MOVS, CMPS, LODS, OUTS: segment override applied) or else
 * the one at ES:rDI (STOS, SCAS, INS); the other one of MOVS and CMPS is always ES:rDI. opsize is the element size.
 *
 * Shift counts and other 8-bit counts come unmasked. Arithmetic immediates are sign-extended, also 32-bit ones
 * (MOV EAX, FFFFFFFF has imm -1). REL: the target is cut to insn->opsize bytes.
 */

#define X86_REG_NONE 0xff
#define X86_REG_RIP 0x10 /* base only: disp is relative to the end of the instruction */

struct x86_memref {
	uint8_t base;  /* 0..15, X86_REG_RIP or X86_REG_NONE */
	uint8_t index; /* 0..15 or X86_REG_NONE (for a vector index of VSIB: the vector register) */
	uint8_t scale; /* 1, 2, 4, 8 */
	uint8_t seg;   /* effective segment 0..5, default rules and override applied (ES/CS/SS/DS ignored in 64-bit mode) */
	int64_t disp;  /* sign-extended (moffs: not); the sum wraps at insn->addrsize */
};

/* Bits of x86_insn.pfx */
#define X86_PFX_LOCK 0x01
#define X86_PFX_REP 0x02   /* F3, when not a mandatory prefix */
#define X86_PFX_REPNE 0x04 /* F2, when not a mandatory prefix */
#define X86_PFX_SEG 0x08   /* a segment override that had an effect */
#define X86_PFX_66 0x10    /* 66 was present at all */
#define X86_PFX_67 0x20
#define X86_PFX_REX 0x40 /* any REX (makes SPL..DIL of byte registers 4..7) */
#define X86_PFX_VEX 0x80
#define X86_PFX_EVEX 0x100

struct x86_insn {
	uint16_t id;       /* enum x86_iid */
	uint8_t len;       /* 1..15 */
	uint8_t nr_ops;
	uint8_t opsize;    /* effective operand size of integer instructions: 1, 2, 4, 8 bytes */
	uint8_t addrsize;  /* 2, 4, 8 */
	uint16_t pfx;
	uint8_t cond;      /* condition code 0..15 for JCC, SETCC, CMOVCC */
	uint8_t map;       /* 0 = one byte, 1 = 0F, 2 = 0F38, 3 = 0F3A */
	uint8_t opcode;    /* opcode byte within the map */
	uint8_t mandatory; /* 0, 0x66, 0xF2, 0xF3: selects the SSE form */
	uint8_t modrm;     /* 0 if there is none */
	uint8_t has_modrm, rex; /* rex: W R X B bits 3..0, also from VEX and EVEX */
	uint8_t vex_l, vex_v;   /* vector length: 0 = 128 bits, 1 = 256, 2 = 512; VEX.vvvv as a register number */
	uint8_t evex_ll;        /* EVEX.L'L as it is encoded: with embedded rounding the direction, and vex_l is 2 */
	bool evex_b, evex_z;    /* EVEX.b: broadcast (memory), embedded rounding or suppressed exceptions (registers) */
	uint8_t evex_aaa;       /* write mask; 0: none */
	uint8_t evex_elem;      /* bytes of a memory element that a mask bit stands for; 0: memory knows no mask */
	uint8_t evex_lanes;     /* mask bits that count for the memory operand; 0 for gathers and scatters */
	uint8_t evex_reg, evex_rm; /* ModRM.reg and ModRM.rm as numbers of vectors */
	bool evex_vl;           /* needs AVX512VL besides the feature */
	uint8_t feature;   /* enum x86_feature of the row: CPUID bit that must be on */
	uint16_t attr;     /* X86_A_* */
	struct x86_operand op[4];
	struct x86_memref mem;
	uint8_t imm_len;   /* bytes of X86_OPK_IMM in the encoding, at its end; 0: there is none, or something stands behind it */
	int64_t imm, imm2;
};

/* Attributes of a row */
#define X86_A_PRIV 0x0001   /* #GP at CPL > 0 */
#define X86_A_IOPL 0x0002   /* #GP when CPL > IOPL (CLI, STI, and in v8086) */
#define X86_A_LOCK 0x0004   /* LOCK is legal with a memory destination */
#define X86_A_STRING 0x0008 /* REP prefixes repeat it */
#define X86_A_END 0x0010    /* always ends a translation block */
#define X86_A_ALIGN 0x0020  /* memory operand must be aligned to its size (#GP) */
#define X86_A_FPU 0x0040    /* x87 (CR0.EM/TS: #NM) */
#define X86_A_MMX 0x0080    /* MMX state */
#define X86_A_SSE 0x0100    /* SSE state (CR4.OSFXSR, CR0.TS) */
#define X86_A_NOREAL 0x0200 /* #UD in real and v8086 mode */
#define X86_A_AVX 0x0400    /* AVX state (CR4.OSXSAVE, XCR0) */
#define X86_A_AVX512 0x0800 /* AVX-512 state (the same) */
#define X86_A_NF 0x1000     /* EVEX: memory is accessed, and faults, whatever the mask says */

enum x86_feature {
	X86_F_BASE,
#define X86_FEATURE(name) X86_F_##name,
#include "vcpu/x86/decode/features.def"
#undef X86_FEATURE
	X86_F_COUNT
};

enum x86_decode_status {
	X86_DECODE_OK,
	X86_DECODE_SHORT, /* needs more bytes than `avail` (and fewer than 15 were given) */
	X86_DECODE_UD,    /* undefined opcode: #UD */
	X86_DECODE_LONG,  /* over 15 bytes: #GP(0) */
};

/*
 * Decodes one instruction from `bytes`, of which `avail` (1..15) may be read.
 * An undefined encoding that could still become longer than `avail` answers SHORT, never UD.
 * LOCK on an instruction or operand form that does not allow it is UD.
 */
enum x86_decode_status x86_decode(struct x86_insn *insn, enum x86_mode mode, const uint8_t *bytes, size_t avail);

const char *x86_iid_name(enum x86_iid id); /* as in insn_ids.def */

/* Disassembly for -d in_asm/out_asm, through Zydis. Writes one line without newline; returns the length consumed. */
size_t x86_disasm(enum x86_mode mode, gva_t pc, const uint8_t *bytes, size_t avail, char *out, size_t out_size);

#endif
