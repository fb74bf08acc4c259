/* SPDX-License-Identifier: MIT */
/*
 * What operands the vector operations of IR_VEX and its kin have, from vex_ops.def, and from vec_ops.def for those that work on each half of
 * 128 bits. Threads: any; constant data.
 */
#include "tcg/ir/ir.h"

enum { A = IR_VEX_A, B = IR_VEX_B, C = IR_VEX_C, IMM = IR_VEX_IMM, AB = A | B, ABC = AB | C };

/* The vocabulary of vec_ops.def: sources, bytes with v128, with v256 (32: both halves; else what each half takes). */
#define V1_16 { B, { 16, 32 } }
#define V1_8 { B, { 8, 16 } }
#define V1_4 { B, { 4, 8 } }
#define V1_2 { B, { 2, 4 } }
#define V1I_16 { B | IMM, { 16, 32 } }
#define VV_16 { AB, { 16, 32 } }
#define VV_8 { AB, { 8, 8 } }
#define VV_4 { AB, { 4, 4 } }
#define VVI_16 { AB | IMM, { 16, 32 } }
#define VVI_8 { AB | IMM, { 8, 8 } }
#define VVI_4 { AB | IMM, { 4, 4 } }
#define VVX_16 { AB, { 16, 16 } }
#define VI { A | IMM, { 0, 0 } }
#define VG { B, { 0, 0 } }
#define VGI { B | IMM, { 0, 0 } }
#define GV { B, { 0, 0 } }
#define GVV { AB, { 0, 0 } }
#define GVVI { AB | IMM, { 0, 0 } }
#define FL_16 { AB, { 16, 16 } }
#define FL_8 { AB, { 8, 8 } }
#define FL_4 { AB, { 4, 4 } }
#define FLI_16 { AB | IMM, { 16, 16 } }

static const struct ir_vex_info info[IR_VOP_COUNT] = {
#define IR_VOP(NAME, name, sig, meaning) [IR_VOP_##NAME] = sig,
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
#define IR_VEXOP(NAME, name, src, bytes, bytes256, meaning) [IR_VOP_##NAME] = { src, { bytes, bytes256 } },
#include "tcg/ir/vex_ops.def"
#undef IR_VEXOP
};

static bool is_shift_by_vector(enum ir_vop op)
{
	return op >= IR_VOP_PSLLW && op <= IR_VOP_PSRAD;
}

struct ir_vex_info ir_vex_info(enum ir_vop op)
{
	struct ir_vex_info i = info[op];

	if (is_shift_by_vector(op))
		i.bytes[1] = 16; /* one count for both halves */
	else if (op == IR_VOP_MOVDDUP)
		i.bytes[1] = 32;
	return i;
}

unsigned ir_vex_bytes(const struct ir_insn *i)
{
	switch (i->imm2) {
	case IR_VOP_PINSRB:
		return 1;
	case IR_VOP_PINSRW:
		return 2;
	default:
		return i->op == IR_VEXG ? ir_type_bytes(i->type) : ir_vex_info((enum ir_vop)i->imm2).bytes[i->type == IR_V256];
	}
}
