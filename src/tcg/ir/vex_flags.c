/* SPDX-License-Identifier: MIT */
/*
 * Flags and integers from vectors of up to 256 bits: VPTEST, VTESTPS, VTESTPD, and the sign masks.
 */
#include <string.h>

#include "tcg/ir/vec_private.h"

uint32_t ir_vex_test(enum ir_vop op, bool wide, const union tcg_vreg *a, const union tcg_vreg *b)
{
	uint64_t mask = op == IR_VOP_VTESTPS ? 0x8000000080000000ull : op == IR_VOP_VTESTPD ? 0x8000000000000000ull : ~0ull;
	uint64_t both = 0, only_b = 0;

	for (unsigned k = 0; k < (wide ? 4 : 2); k++) {
		both |= a->q[k] & b->q[k] & mask;
		only_b |= ~a->q[k] & b->q[k] & mask;
	}
	return (both ? 0 : F_Z) | (only_b ? 0 : F_C);
}

uint64_t ir_vex_signs(enum ir_vop op, const union tcg_vreg *v)
{
	unsigned bytes = op == IR_VOP_VMOVMSKPD ? 8 : op == IR_VOP_VMOVMSKPS ? 4 : 1;
	uint64_t r = 0;

	for (unsigned k = 0; k < 32 / bytes; k++)
		r |= (uint64_t)(v->b[k * bytes + bytes - 1] >> 7) << k;
	return r;
}
