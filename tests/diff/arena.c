/* SPDX-License-Identifier: MIT */
/*
 * The data arena: its initial contents and its fingerprint; terminators. The same in every process.
 */
#include <string.h>

#include "diff/diff.h"
#include "diff/segments.h"
#include "diff/values.h"

static uint8_t images[DIFF_NR_IMAGES][DIFF_DATA_SIZE];

void diff_images_init(void)
{
	for (unsigned n = 0; n < DIFF_NR_IMAGES; n++) {
		struct rng r = { 0xa7e4a + n };

		value_bytes(&r, images[n], DIFF_DATA_SIZE);
	}
}

const uint8_t *diff_image(unsigned n)
{
	return images[n % DIFF_NR_IMAGES];
}

void diff_apply_pokes(const struct diff_case *c, uint8_t *arena)
{
	for (unsigned i = 0; i < c->nr_pokes; i++) {
		const struct diff_poke *p = &c->poke[i];

		memcpy(arena + (p->addr - DIFF_DATA), c->poke_bytes + p->off, p->len);
	}
}

void diff_term_code(const struct diff_case *c, unsigned k, uint8_t out[DIFF_TERM_LEN])
{
	unsigned len = c->mode == DIFF_16 ? 3 : 5;
	int32_t rel = (int32_t)(diff_stub(c->mode, k) - (c->term[k] + len));

	memset(out, 0xcc, DIFF_TERM_LEN);
	out[0] = 0xe9;
	memcpy(out + 1, &rel, len - 1);
}

/* ljmp $user code, $stub of 64-bit code */
static void far_stubs(uint8_t page[DIFF_PAGE], unsigned mode)
{
	memset(page, 0xcc, DIFF_PAGE);
	for (unsigned k = 0; k < DIFF_NR_TERMS; k++) {
		uint8_t *p = page + diff_stub(mode, k) % DIFF_PAGE;
		uint32_t to = diff_stub(DIFF_64, k);
		uint16_t sel = DIFF_SEL_USER64;

		if (mode == DIFF_16)
			*p++ = 0x66;
		*p++ = 0xea;
		memcpy(p, &to, 4);
		memcpy(p + 4, &sel, 2);
	}
}

void diff_stub_page(uint8_t page[DIFF_PAGE])
{
	far_stubs(page, DIFF_32);
}

void diff_stub16_page(uint8_t page[DIFF_PAGE])
{
	far_stubs(page, DIFF_16);
}

uint64_t diff_hash(const struct diff_case *c, uint8_t *arena, const uint8_t *code)
{
	uint64_t h[4] = { 1, 2, 3, 4 };

	for (unsigned i = 0; i < c->nr_holes; i++)
		memset(arena + (c->hole[i].addr - DIFF_DATA), 0, c->hole[i].len);
	for (size_t i = 0; i < DIFF_DATA_SIZE; i += 32) {
		uint64_t q[4];

		memcpy(q, arena + i, 32);
		for (unsigned k = 0; k < 4; k++)
			h[k] = (h[k] ^ q[k]) * 0x9e3779b97f4a7c15ull + (h[k] >> 29);
	}
	for (uint32_t i = 0; c->smc && i < c->code_len; i++)
		h[i & 3] = (h[i & 3] ^ code[c->code_off + i]) * 0x9e3779b97f4a7c15ull;
	return h[0] ^ h[1] << 1 ^ h[2] << 2 ^ h[3] << 3;
}
