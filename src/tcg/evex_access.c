/* SPDX-License-Identifier: MIT */
/*
 * From a mask of elements to one of bytes, see evex_access.h; the rest is tlb_access_partial().
 */
#include "tcg/evex_access.h"

#include "tcg/env.h"
#include "tcg/ir/evex.h"

static uint64_t low(unsigned bits)
{
	return bits < 64 ? ((uint64_t)1 << bits) - 1 : ~(uint64_t)0;
}

/* Several lanes may stand for one element (broadcasts): it is wanted if one of them is. */
static uint64_t elements_of(uint64_t lanes, unsigned nr_lanes, unsigned nr_elements)
{
	uint64_t e = 0;

	for (unsigned n = 0; n < nr_lanes; n += nr_elements)
		e |= lanes >> n;
	return e & low(nr_elements);
}

static uint64_t bytes_of(uint64_t elements, unsigned nr_elements, unsigned bytes)
{
	uint64_t b = 0;

	for (unsigned n = 0; n < nr_elements; n++)
		if (elements >> n & 1)
			b |= low(bytes) << n * bytes;
	return b;
}

void *evex_access(struct tcg_env *env, gva_t va, uint32_t access, enum tlb_access kind, unsigned mode)
{
	unsigned size = IR_EVEX_ACCESS_BYTES(access), lanes = IR_EVEX_ACCESS_LANES(access), elements = IR_EVEX_ACCESS_ELEMENTS(access);
	uint64_t mask = env->kreg[IR_EVEX_ACCESS_MASK(access)] & low(lanes), which;

	if (IR_EVEX_ACCESS_PACKED(access))
		which = low((unsigned)__builtin_popcountll(mask) * (size / elements));
	else
		which = bytes_of(elements_of(mask, lanes, elements), elements, size / elements);
	return tlb_access_partial(env, va, size, which, kind, mode, IR_EVEX_ACCESS_ALIGN(access));
}
