/* SPDX-License-Identifier: MIT */
/*
 * AES (FIPS 197), carry-less multiplication and SHA (FIPS 180-4) as the SDM's instructions cut them up. Bytes of the
 * AES state lie in the register in order: byte 4 * column + row.
 */
#include <string.h>

#include "tcg/ir/vec_private.h"

/* ---- AES. The substitution is the inverse in GF(2^8) and an affine map; computed once. */

struct aes_tables {
	uint8_t sub[256], inv[256];
};

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b; b >>= 1, a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0)))
		if (b & 1)
			r ^= a;
	return r;
}

static uint8_t rotl8(uint8_t v, unsigned n)
{
	return (uint8_t)(v << n | v >> (8 - n));
}

/* Walks the field with generator 3 and its inverse side by side. */
static void aes_build(struct aes_tables *t)
{
	uint8_t p = 1, q = 1;

	do {
		uint8_t s;

		p = gf_mul(p, 3);
		q = gf_mul(q, 0xf6); /* 1 / 3 */
		s = (uint8_t)(q ^ rotl8(q, 1) ^ rotl8(q, 2) ^ rotl8(q, 3) ^ rotl8(q, 4) ^ 0x63);
		t->sub[p] = s;
		t->inv[s] = p;
	} while (p != 1);
	t->sub[0] = 0x63;
	t->inv[0x63] = 0;
}

static const struct aes_tables *aes(void)
{
	static _Thread_local struct aes_tables tables;

	if (!tables.sub[0])
		aes_build(&tables);
	return &tables;
}

/* SubBytes and ShiftRows, forward or back. */
static void aes_sub_shift(union xmm *r, const union xmm *a, bool inverse)
{
	const struct aes_tables *t = aes();

	for (unsigned col = 0; col < 4; col++)
		for (unsigned row = 0; row < 4; row++) {
			unsigned from = inverse ? (col + 4 - row) & 3 : (col + row) & 3;
			uint8_t v = a->ub[4 * from + row];

			r->ub[4 * col + row] = inverse ? t->inv[v] : t->sub[v];
		}
}

static void aes_mix(union xmm *r, const union xmm *a, const uint8_t coef[4])
{
	union xmm out;

	for (unsigned n = 0; n < 16; n++) {
		uint8_t v = 0;

		for (unsigned k = 0; k < 4; k++)
			v ^= gf_mul(a->ub[(n & 12) + ((n + k) & 3)], coef[k]);
		out.ub[n] = v;
	}
	*r = out;
}

static const uint8_t mix[4] = {2, 3, 1, 1}, unmix[4] = {14, 11, 13, 9};

static void add_key(union xmm *r, const union xmm *key)
{
	r->uq[0] ^= key->uq[0];
	r->uq[1] ^= key->uq[1];
}

void vec_AESENC(VEC_ARGS)
{
	VEC_UNUSED;
	aes_sub_shift(r, a, false);
	aes_mix(r, r, mix);
	add_key(r, b);
}

void vec_AESENCLAST(VEC_ARGS)
{
	VEC_UNUSED;
	aes_sub_shift(r, a, false);
	add_key(r, b);
}

void vec_AESDEC(VEC_ARGS)
{
	VEC_UNUSED;
	aes_sub_shift(r, a, true);
	aes_mix(r, r, unmix);
	add_key(r, b);
}

void vec_AESDECLAST(VEC_ARGS)
{
	VEC_UNUSED;
	aes_sub_shift(r, a, true);
	add_key(r, b);
}

void vec_AESIMC(VEC_ARGS)
{
	VEC_UNUSED;
	aes_mix(r, b, unmix);
}

void vec_AESKEYGENASSIST(VEC_ARGS)
{
	const struct aes_tables *t = aes();

	VEC_UNUSED;
	for (unsigned k = 0; k < 4; k++) {
		uint32_t v = b->ul[k | 1], s = 0;

		for (unsigned n = 0; n < 4; n++)
			s |= (uint32_t)t->sub[v >> (8 * n) & 0xff] << (8 * n);
		r->ul[k] = k & 1 ? (s >> 8 | s << 24) ^ (imm & 0xff) : s;
	}
}

/* ---- Carry-less multiplication */

void vec_PCLMULQDQ(VEC_ARGS)
{
	uint64_t p = a->uq[imm & 1], q = b->uq[imm >> 4 & 1];
	unsigned __int128 sum = 0;

	VEC_UNUSED;
	for (unsigned n = 0; n < 64; n++)
		if (q >> n & 1)
			sum ^= (unsigned __int128)p << n;
	r->uq[0] = (uint64_t)sum;
	r->uq[1] = (uint64_t)(sum >> 64);
}

/* ---- SHA. Word A, or W0, is in the highest element. */

static uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static uint32_t sha1_f(unsigned which, uint32_t b, uint32_t c, uint32_t d)
{
	switch (which) {
	case 0:
		return (b & c) ^ (~b & d);
	case 2:
		return (b & c) ^ (b & d) ^ (c & d);
	default:
		return b ^ c ^ d;
	}
}

void vec_SHA1RNDS4(VEC_ARGS)
{
	static const uint32_t constant[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	uint32_t A = a->ul[3], B = a->ul[2], C = a->ul[1], D = a->ul[0], E = 0;

	VEC_UNUSED;
	for (unsigned n = 0; n < 4; n++) {
		/* E of the first round is part of b's highest word already. */
		uint32_t next = sha1_f(imm & 3, B, C, D) + rol(A, 5) + b->ul[3 - n] + E + constant[imm & 3];

		E = D;
		D = C;
		C = rol(B, 30);
		B = A;
		A = next;
	}
	r->ul[3] = A;
	r->ul[2] = B;
	r->ul[1] = C;
	r->ul[0] = D;
}

void vec_SHA1NEXTE(VEC_ARGS)
{
	VEC_UNUSED;
	*r = *b;
	r->ul[3] += rol(a->ul[3], 30);
}

void vec_SHA1MSG1(VEC_ARGS)
{
	VEC_UNUSED;
	r->ul[3] = a->ul[1] ^ a->ul[3];
	r->ul[2] = a->ul[0] ^ a->ul[2];
	r->ul[1] = b->ul[3] ^ a->ul[1];
	r->ul[0] = b->ul[2] ^ a->ul[0];
}

void vec_SHA1MSG2(VEC_ARGS)
{
	VEC_UNUSED;
	r->ul[3] = rol(a->ul[3] ^ b->ul[2], 1);
	r->ul[2] = rol(a->ul[2] ^ b->ul[1], 1);
	r->ul[1] = rol(a->ul[1] ^ b->ul[0], 1);
	r->ul[0] = rol(a->ul[0] ^ r->ul[3], 1);
}

static uint32_t sha256_s0(uint32_t v)
{
	return ror(v, 7) ^ ror(v, 18) ^ v >> 3;
}

static uint32_t sha256_s1(uint32_t v)
{
	return ror(v, 17) ^ ror(v, 19) ^ v >> 10;
}

void vec_SHA256MSG1(VEC_ARGS)
{
	VEC_UNUSED;
	for (unsigned k = 0; k < 4; k++)
		r->ul[k] = a->ul[k] + sha256_s0(k < 3 ? a->ul[k + 1] : b->ul[0]);
}

void vec_SHA256MSG2(VEC_ARGS)
{
	VEC_UNUSED;
	r->ul[0] = a->ul[0] + sha256_s1(b->ul[2]);
	r->ul[1] = a->ul[1] + sha256_s1(b->ul[3]);
	r->ul[2] = a->ul[2] + sha256_s1(r->ul[0]);
	r->ul[3] = a->ul[3] + sha256_s1(r->ul[1]);
}

/* a = C D G H, b = A B E F, from the highest element down. */
void vec_SHA256RNDS2(VEC_ARGS)
{
	uint32_t A = b->ul[3], B = b->ul[2], C = a->ul[3], D = a->ul[2];
	uint32_t E = b->ul[1], F = b->ul[0], G = a->ul[1], H = a->ul[0];

	VEC_UNUSED;
	for (unsigned n = 0; n < 2; n++) {
		uint32_t t = H + (ror(E, 6) ^ ror(E, 11) ^ ror(E, 25)) + ((E & F) ^ (~E & G)) + x->ul[n];
		uint32_t u = (ror(A, 2) ^ ror(A, 13) ^ ror(A, 22)) + ((A & B) ^ (A & C) ^ (B & C));

		H = G;
		G = F;
		F = E;
		E = D + t;
		D = C;
		C = B;
		B = A;
		A = t + u;
	}
	r->ul[3] = A;
	r->ul[2] = B;
	r->ul[1] = E;
	r->ul[0] = F;
}
