/* SPDX-License-Identifier: MIT */
/*
 * AVX-512's gathers and scatters: SDM volume 2, VPGATHERDD, VPSCATTERDD and their kin. Elements go from the lowest on; the mask bit of one that
 * is done is cleared, so that after a fault the instruction goes on where it stopped. And alignment checks of all vector instructions.
 */
#include <string.h>

#include "mem/tlb.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_data_fault.h"

static gva_t address(struct tcg_env *env, gva_t base, const struct x86_rt_evex_gather *g, unsigned k)
{
	const struct x86_cpu *c = x86_cpu(env);
	const union tcg_vreg *index = &env->vreg[g->index];
	uint64_t i = g->log_index == 3 ? index->q[k] : (uint64_t)(int32_t)index->l[k];
	gva_t ea = base + (i << g->log_scale);
	bool mode64 = (c->tb_flags & X86_TB_MODE) == X86_MODE_64;

	if (g->addr32)
		ea = (uint32_t)ea;
	if (!mode64 || g->seg >= X86_FS)
		ea += c->seg[g->seg].base;
	return mode64 ? ea : (uint32_t)ea;
}

static void one(struct tcg_env *env, gva_t va, const struct x86_rt_evex_gather *g, uint8_t *element)
{
	unsigned bytes = 1u << g->log_data, mode = x86_mmu_mode(x86_cpu(env));
	uint64_t v = 0;

	x86_rt_check_element(env, va, g->seg, bytes, g->scatter);
	if (g->scatter) {
		memcpy(&v, element, bytes);
		tlb_store(env, va, v, bytes, mode);
	} else {
		v = tlb_load(env, va, bytes, mode);
		memcpy(element, &v, bytes);
	}
}

uint64_t x86_rt_evex_gather(struct tcg_env *env, uint64_t base, uint64_t desc, uint64_t unused)
{
	struct x86_rt_evex_gather g;
	unsigned n, bytes;

	(void)unused;
	memcpy(&g, &desc, sizeof(g));
	n = 1u << (g.log_vector - (g.log_data > g.log_index ? g.log_data : g.log_index));
	bytes = n << g.log_data;
	env->vec_used |= TCG_VEC_ALL;
	for (unsigned k = 0; k < n; k++) {
		if (!(env->kreg[g.mask] >> k & 1))
			continue;
		one(env, address(env, base, &g, k), &g, &env->vreg[g.data].b[k << g.log_data]);
		env->kreg[g.mask] &= ~((uint64_t)1 << k);
	}
	env->kreg[g.mask] = 0;
	if (!g.scatter)
		memset(&env->vreg[g.data].b[bytes], 0, sizeof(env->vreg[0]) - bytes);
	return 0;
}

uint64_t x86_rt_vec_alignment(struct tcg_env *env, uint64_t va, uint64_t size, uint64_t wanted)
{
	unsigned mask = wanted & 7, lanes = (unsigned)(wanted >> 8);

	if (!mask || env->kreg[mask] << (64 - lanes))
		x86_data_fault_check_alignment(x86_cpu(env), va, (unsigned)size);
	return 0;
}
