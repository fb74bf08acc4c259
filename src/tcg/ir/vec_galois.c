/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1 (SDM volume 2, GF2P8MULB, GF2P8AFFINEQB, GF2P8AFFINEINVQB).
 */
#include "tcg/ir/vec_private.h"

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			r ^= a;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
	}
	return r;
}

/* x^254; of 0 it is 0. */
static uint8_t inverse(uint8_t x)
{
	uint8_t r = 1;

	for (unsigned n = 0; n < 7; n++) {
		x = multiply(x, x);
		r = multiply(r, x);
	}
	return r;
}

/* Bit i of the result: parity of the matrix's row i, which is byte 7 - i, and x. */
static uint8_t affine(uint64_t matrix, uint8_t x, uint8_t imm)
{
	uint8_t r = imm;

	for (unsigned i = 0; i < 8; i++)
		r ^= (uint8_t)((unsigned)__builtin_parity((matrix >> (8 * (7 - i)) & 0xff) & x) << i);
	return r;
}

void vec_GF2P8MULB(VEC_ARGS)
{
	VEC_UNUSED;
	for (unsigned k = 0; k < 16; k++)
		r->ub[k] = multiply(a->ub[k], b->ub[k]);
}

void vec_GF2P8AFFINEQB(VEC_ARGS)
{
	VEC_UNUSED;
	for (unsigned k = 0; k < 16; k++)
		r->ub[k] = affine(b->uq[k / 8], a->ub[k], (uint8_t)imm);
}

void vec_GF2P8AFFINEINVQB(VEC_ARGS)
{
	VEC_UNUSED;
	for (unsigned k = 0; k < 16; k++)
		r->ub[k] = affine(b->uq[k / 8], inverse(a->ub[k]), (uint8_t)imm);
}
