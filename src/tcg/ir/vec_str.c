/* SPDX-License-Identifier: MIT */
/*
 * String comparison, PCMPxSTRx (SDM volume 2, section "Imm8 control byte operation for PCMPESTRI / ..."): a is the set,
 * the ranges or the needle, b the string that is looked at.
 *
 * imm: [0] words instead of bytes, [1] signed, [3:2] aggregation (equal any, ranges, equal each, equal ordered), [4]
 * negate, [5] negate only where b is valid, [6] output selection.
 */
#include "tcg/ir/vec_private.h"

static int element(const union xmm *v, unsigned n, unsigned imm)
{
	switch (imm & 3) {
	case 0:
		return v->ub[n];
	case 1:
		return v->uw[n];
	case 2:
		return v->sb[n];
	default:
		return v->sw[n];
	}
}

static bool equal_any(const union xmm *a, int la, int c, unsigned imm)
{
	for (int j = 0; j < la; j++)
		if (element(a, (unsigned)j, imm) == c)
			return true;
	return false;
}

static bool in_ranges(const union xmm *a, int la, int c, unsigned imm)
{
	for (int j = 0; j + 1 < la; j += 2)
		if (c >= element(a, (unsigned)j, imm) && c <= element(a, (unsigned)j + 1, imm))
			return true;
	return false;
}

/* Is a found in b at n? A needle that reaches beyond the register counts as found as far as it can be seen. */
static bool found_at(const union xmm *a, const union xmm *b, int la, int lb, int n, int max, unsigned imm)
{
	for (int j = 0; j < la && n + j < max; j++)
		if (n + j >= lb || element(a, (unsigned)j, imm) != element(b, (unsigned)(n + j), imm))
			return false;
	return true;
}

static bool test_element(const union xmm *a, const union xmm *b, int la, int lb, int n, int max, unsigned imm)
{
	bool va = n < la, vb = n < lb;

	switch (imm >> 2 & 3) {
	case 0:
		return vb && equal_any(a, la, element(b, (unsigned)n, imm), imm);
	case 1:
		return vb && in_ranges(a, la, element(b, (unsigned)n, imm), imm);
	case 2: /* both past their ends: equal */
		return va && vb ? element(a, (unsigned)n, imm) == element(b, (unsigned)n, imm) : va == vb;
	default:
		return found_at(a, b, la, lb, n, max, imm);
	}
}

uint32_t vec_string_compare(const union xmm *a, const union xmm *b, int la, int lb, unsigned imm, uint32_t *flags)
{
	int max = imm & 1 ? 8 : 16;
	uint32_t res = 0;

	for (int n = 0; n < max; n++)
		if (test_element(a, b, la, lb, n, max, imm))
			res |= 1u << n;
	if (imm & 0x10)
		res ^= imm & 0x20 ? (1u << lb) - 1 : (1u << max) - 1;
	*flags = (res ? F_C : 0) | (lb < max ? F_Z : 0) | (la < max ? F_S : 0) | (res & 1 ? F_O : 0);
	return res;
}
