/* SPDX-License-Identifier: MIT */
/*
 * AVX-512's part of the vector state, see x86_zmm.h. env.vec_used says what may be in use: for a guest that does without, all of this is one
 * look at a word.
 */
#include "vcpu/x86/x86_zmm.h"

_Static_assert(TCG_VEC_MASKS == 1u << X86_XSC_OPMASK && TCG_VEC_WIDE == 1u << X86_XSC_ZMM && TCG_VEC_MORE == 1u << X86_XSC_ZMM_MORE,
	       "the same bits");

bool x86_all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t any = 0, word;

	for (; len >= sizeof(word); b += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, b, sizeof(word));
		any |= word;
	}
	while (len--)
		any |= *b++;
	return !any;
}

/* Whether vectors [from, from + 16) have something in the four quadwords from `first` on. */
static bool any_in(const struct tcg_env *env, unsigned from, unsigned first)
{
	uint64_t any = 0;

	for (unsigned n = from; n < from + 16; n++) {
		const uint64_t *q = &env->vreg[n].q[first];

		any |= (q[0] | q[1]) | (q[2] | q[3]);
	}
	return any;
}

uint64_t x86_zmm_in_use(struct tcg_env *env)
{
	uint32_t used = env->vec_used;
	bool wide_low, wide_more;

	if (!used)
		return 0;
	wide_low = (used & TCG_VEC_WIDE) && any_in(env, 0, 4);
	wide_more = (used & TCG_VEC_WIDE) && (used & TCG_VEC_MORE) && any_in(env, 16, 4);
	if ((used & TCG_VEC_MASKS) && x86_all_zero(env->kreg, sizeof(env->kreg)))
		used &= ~TCG_VEC_MASKS;
	if ((used & TCG_VEC_MORE) && !wide_more && !any_in(env, 16, 0))
		used &= ~TCG_VEC_MORE;
	if (!wide_low && !wide_more)
		used &= ~TCG_VEC_WIDE;
	env->vec_used = used;
	return (used & (TCG_VEC_MASKS | TCG_VEC_MORE)) | (wide_low ? TCG_VEC_WIDE : 0);
}

size_t x86_zmm_pack(const struct tcg_env *env, unsigned i, unsigned vectors, uint8_t *to)
{
	switch (i) {
	case X86_XSC_OPMASK:
		memcpy(to, env->kreg, sizeof(env->kreg));
		return sizeof(env->kreg);
	case X86_XSC_ZMM:
		for (unsigned n = 0; n < vectors; n++)
			memcpy(to + 32 * n, env->vreg[n].b + 32, 32);
		return 32 * vectors;
	case X86_XSC_ZMM_MORE:
		if (vectors < 16)
			return 0;
		memcpy(to, &env->vreg[16], 16 * sizeof(env->vreg[0]));
		return 16 * sizeof(env->vreg[0]);
	default:
		return 0;
	}
}

static void clear(struct tcg_env *env, unsigned i, unsigned vectors)
{
	if (!env->vec_used)
		return;
	if (i == X86_XSC_OPMASK)
		memset(env->kreg, 0, sizeof(env->kreg));
	else if (i == X86_XSC_ZMM)
		for (unsigned n = 0; n < vectors; n++)
			memset(env->vreg[n].b + 32, 0, 32);
	else if (i == X86_XSC_ZMM_MORE && vectors == 16)
		memset(&env->vreg[16], 0, 16 * sizeof(env->vreg[0]));
}

static void load(struct tcg_env *env, unsigned i, unsigned vectors, const uint8_t *from)
{
	if (i == X86_XSC_OPMASK)
		memcpy(env->kreg, from, sizeof(env->kreg));
	else if (i == X86_XSC_ZMM)
		for (unsigned n = 0; n < vectors; n++)
			memcpy(env->vreg[n].b + 32, from + 32 * n, 32);
	else if (i == X86_XSC_ZMM_MORE && vectors == 16)
		memcpy(&env->vreg[16], from, 16 * sizeof(env->vreg[0]));
	env->vec_used |= TCG_VEC_ALL;
}

/* The last of the three makes vec_used exact, for what the next blocks will want to have in host registers. */
void x86_zmm_unpack(struct tcg_env *env, unsigned i, unsigned vectors, const uint8_t *from)
{
	if (from)
		load(env, i, vectors, from);
	else
		clear(env, i, vectors);
	if (i == X86_XSC_ZMM_MORE)
		(void)x86_zmm_in_use(env);
}
