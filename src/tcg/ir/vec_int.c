/* SPDX-License-Identifier: MIT */
/*
 * Integer vector operations (SDM volume 2): element by element from vec_lanes.def, and the few that are not.
 */
#include "tcg/ir/vec_private.h"

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

static int sat(int v, int lo, int hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}
#define sat_sb(v) ((int8_t)sat(v, -128, 127))
#define sat_sw(v) ((int16_t)sat(v, -32768, 32767))
#define sat_ub(v) ((uint8_t)sat(v, 0, 255))
#define sat_uw(v) ((uint16_t)sat(v, 0, 65535))

static void vec_INSERTPS(VEC_ARGS)
{
	VEC_UNUSED;
	r->ul[imm >> 4 & 3] = b->ul[imm >> 6 & 3];
	for (unsigned k = 0; k < 4; k++)
		if (imm >> k & 1)
			r->ul[k] = 0;
}

static unsigned distance(uint8_t a, uint8_t b)
{
	return a > b ? a - b : b - a;
}

static void vec_PSADBW(VEC_ARGS)
{
	VEC_UNUSED;
	r->uq[0] = r->uq[1] = 0;
	for (unsigned k = 0; k < 16; k++)
		r->uq[k / 8] += distance(a->ub[k], b->ub[k]);
}

static void vec_MPSADBW(VEC_ARGS)
{
	unsigned from_a = imm & 4, from_b = (imm & 3) * 4;

	VEC_UNUSED;
	for (unsigned k = 0; k < 8; k++) {
		unsigned sum = 0;

		for (unsigned j = 0; j < 4; j++)
			sum += distance(a->ub[from_a + k + j], b->ub[from_b + j]);
		r->uw[k] = (uint16_t)sum;
	}
}

static void vec_PHMINPOSUW(VEC_ARGS)
{
	unsigned best = 0;

	VEC_UNUSED;
	for (unsigned k = 1; k < 8; k++)
		if (b->uw[k] < b->uw[best])
			best = k;
	r->uq[0] = b->uw[best] | best << 16;
	r->uq[1] = 0;
}

#define VEC_FN(NAME)
#define VEC_LANES(NAME, lane, n, value)            \
	static void vec_##NAME(VEC_ARGS)           \
	{                                          \
		VEC_UNUSED;                        \
		for (unsigned k = 0; k < (n); k++) \
			r->lane[k] = (value);      \
	}
#include "tcg/ir/vec_lanes.def"
#undef VEC_FN
#undef VEC_LANES

vec_fn vec_int_function(enum ir_vop op)
{
	static const vec_fn table[IR_VOP_COUNT] = {
#define VEC_FN(NAME)	     [IR_VOP_##NAME] = vec_##NAME,
#define VEC_LANES(NAME, ...) [IR_VOP_##NAME] = vec_##NAME,
#include "tcg/ir/vec_lanes.def"
#undef VEC_FN
#undef VEC_LANES
	};

	return table[op];
}
