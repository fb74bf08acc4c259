/* SPDX-License-Identifier: MIT */
/*
 * Facts about the IR's operations, from ir_ops.def: shapes, attributes, and which flags an instruction reads and
 * writes. Threads: any; constant data and pure functions.
 */
#include "tcg/ir/evex.h"
#include "tcg/ir/ir.h"

/* The vocabulary of ir_ops.def. */
enum {
	N = 0,
	A = IR_SH_A,
	D = IR_SH_D,
	I = IR_SH_I,
	AB = IR_SH_A | IR_SH_B,
	ABI = AB | IR_SH_I,
	AI = IR_SH_A | IR_SH_I,
	AJ = IR_SH_A | IR_SH_J,
	DA = IR_SH_D | IR_SH_A,
	DAB = DA | IR_SH_B,
	DABC = DAB | IR_SH_C,
	DABCI = DABC | IR_SH_I,
	DABCIJ = DABC | IR_SH_I | IR_SH_J,
	DABI = DAB | IR_SH_I,
	DABIJ = DABI | IR_SH_J,
	DBI = IR_SH_D | IR_SH_B | IR_SH_I,
	DI = IR_SH_D | IR_SH_I,
	DXAB = DAB | IR_SH_X,
	DXB = IR_SH_D | IR_SH_X | IR_SH_B,
	IJ = IR_SH_I | IR_SH_J,
	M = IR_AT_M,
	K = IR_AT_K,
	S = IR_AT_S,
	E = IR_AT_E,
	T = IR_AT_T,
	C = IR_AT_C,
	V = IR_AT_V,
	cc = IR_USES_CC,
};

/* Operands read and written as values, from the shape and the ops' peculiarities; of LEA's operand only the address
 * counts. */
#define READS_D(op)                                                                                    \
	((op) == IR_PUTHI8 || (op) == IR_BSF || (op) == IR_BSR || (op) == IR_CMOV || (op) == IR_CAS || \
	 (op) == IR_DIVU || (op) == IR_DIVS || (op) == IR_FPU)
#define READS(op, shape)                                                                         \
	((((shape)&IR_SH_A) && (op) != IR_LEA ? IR_RW_A : 0) | ((shape)&IR_SH_B ? IR_RW_B : 0) | \
	 ((shape)&IR_SH_C || (op) == IR_DIVU || (op) == IR_DIVS ? IR_RW_C : 0) | (READS_D(op) ? IR_RW_D : 0))
#define WRITES(op, shape)                                                       \
	(((shape)&IR_SH_D ? IR_RW_D : 0) | ((shape)&IR_SH_X ? IR_RW_C : 0) |    \
	 ((op) == IR_XCHG || (op) == IR_XADD || (op) == IR_CAS ? IR_RW_A : 0) | \
	 ((op) == IR_XCHG || (op) == IR_XADD ? IR_RW_B : 0))

/* Types with which the whole container of d is written: all but bytes and words, with exceptions. */
#define FULL(op)                                                                                           \
	((op) == IR_GETHI8 || (op) == IR_LDENV || (op) == IR_LDCODE || (op) == IR_GETFL || (op) == IR_CRC32 || \
			 (op) == IR_RT || (op) == IR_VTOG || (op) == IR_GETVC || (op) == IR_EVEX                        \
		 ? 0xffff                                                                                  \
	 : (op) == IR_PUTHI8 || (op) == IR_SETCC ? 0                                                       \
						 : 0xffff & ~(1 << IR_I8 | 1 << IR_I16))

const struct ir_op_info ir_op_info[IR_OP_COUNT] = {
#define IR_OP(NAME, name, shape, def, use, attr, meaning) \
	[IR_##NAME] = {name, shape, def, use, attr, READS(IR_##NAME, shape), WRITES(IR_##NAME, shape), FULL(IR_##NAME)},
#include "tcg/ir/ir_ops.def"
#undef IR_OP
};

uint32_t ir_cc_uses(enum ir_cc c)
{
	static const uint16_t uses[8] = {F_O, F_C, F_Z, F_C | F_Z, F_S, F_P, F_S | F_O, F_Z | F_S | F_O};

	return uses[(c >> 1) & 7];
}

/* The count of a shift: constant and after masking not 0, so that flags are certainly written. */
static bool count_is_nonzero(const struct ir_insn *i)
{
	ir_ref count = (ir_op_info[i->op].shape & IR_SH_C) ? i->c : i->b;
	unsigned n = (unsigned)i->imm & (i->type == IR_I64 ? 63 : 31);

	if (IR_REF_KIND(count) != IR_KIND_K)
		return false;
	/* A narrow rotate through C by a multiple of width + 1 changes nothing. */
	if ((i->op == IR_RCL || i->op == IR_RCR) && i->type <= IR_I16)
		n %= 8 * ir_type_bytes(i->type) + 1;
	return n != 0;
}

uint32_t ir_flags_def_by_count(const struct ir_insn *i)
{
	return count_is_nonzero(i) ? ir_op_info[i->op].fl_def : 0;
}

uint32_t ir_flags_use_by_insn(const struct ir_block *b, const struct ir_insn *i)
{
	uint32_t use = ir_op_info[i->op].fl_use;

	if (use == IR_USES_CC)
		return ir_cc_uses(i->cc);
	if (i->op == IR_RT)
		return (ir_rt_effects(b, i) & RT_READS_FLAGS) ? F_ALL : 0;
	/* Some stack-FPU operations without memory operand test flags (conditional moves). */
	if (i->op == IR_FPU && !(i->attr & IR_SETF) && i->a == IR_NONE && i->b == IR_NONE && i->d == IR_NONE)
		return F_C | F_Z | F_P;
	return use;
}

uint16_t ir_rt_effects(const struct ir_block *b, const struct ir_insn *i)
{
	if (i->op != IR_RT || (uint64_t)i->imm >= b->nr_rt)
		return 0;
	return b->rt[i->imm].effects;
}

unsigned ir_access_size(const struct ir_insn *i)
{
	switch (i->op) {
	case IR_ZX8:
	case IR_SX8:
	case IR_SETCC:
		return 1;
	case IR_ZX16:
	case IR_SX16:
		return 2;
	case IR_SX32:
		return 4;
	case IR_VFL: /* the type of string comparisons is that of their lengths */
		if (i->imm2 >= IR_VOP_PCMPESTRI && i->imm2 <= IR_VOP_PCMPISTRM)
			return 16;
		return ir_type_bytes(i->type);
	case IR_VEX:
	case IR_VEXG:
		return ir_vex_bytes(i);
	case IR_EVEX:
		return ir_evex_bytes(i->imm2);
	default:
		return ir_type_bytes(i->type);
	}
}
