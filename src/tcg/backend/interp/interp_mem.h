/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as the interpreter's handlers see it: the level-0 slots first, as generated code does, then mem/tlb.h's
 * slow path.
 *
 * Order: the guest's stores become visible in program order and loads are not reordered with loads (the strong model of
 * x86 guests): acquire loads and release stores, which cost nothing on a host of the same kind. Accesses that are
 * aligned are single.
 */
#ifndef COHORT_TCG_INTERP_MEM_H
#define COHORT_TCG_INTERP_MEM_H

#include <string.h>

#include "mem/tlb.h"
#include "tcg/backend/interp/interp.h"

static inline gva_t interp_addr(struct tcg_env *env, const struct imem *m)
{
	uint64_t ea = (uint64_t)m->disp;

	if (m->base >= 0)
		ea += *interp_g(env, m->base);
	if (m->index >= 0)
		ea += *interp_g(env, m->index) << m->shift;
	if (unlikely(m->addr_bits != 64))
		ea = m->addr_bits == 32 ? (uint32_t)ea : (uint16_t)ea;
	return ea;
}

static inline gva_t interp_linear(struct tcg_env *env, const struct imem *m)
{
	gva_t va = interp_addr(env, m);

	if (m->seg_base)
		va += *(const uint64_t *)interp_at(env, (int32_t)m->seg_base);
	return m->lin32 ? (uint32_t)va : va;
}

/* The level-0 slots: NULL if none has the whole access, or it is not aligned as it must. */
static inline void *interp_hit(struct tcg_env *env, const struct imem *m, gva_t va)
{
	if (unlikely(va & m->align))
		return NULL;
	for (unsigned n = 0; n < 2; n++) {
		const struct tlb_slot *s = interp_at(env, (int32_t)m->slot_off[n]);

		if (likely(va - s->lo < s->lim[m->lim]) && likely(va - s->lo + m->beyond < s->lim[m->lim]))
			return (void *)(uintptr_t)(va + s->disp);
		if (m->slot_off[0] == m->slot_off[1])
			break;
	}
	return NULL;
}

/* Host pointer of an access. *slow: it came from the slow path, so that a write must be followed by interp_commit(). */
static inline void *interp_ptr(struct tcg_env *env, const struct iop *op, bool *slow)
{
	const struct imem *m = interp_imem(op);
	gva_t va = interp_linear(env, m);
	void *p = interp_hit(env, m, va);

	*slow = !p;
	if (likely(p))
		return p;
	return tlb_access_slow(env, va, m->size, (enum tlb_access)m->access, m->mode, m->slot, m->align != 0);
}

static inline void interp_commit(struct tcg_env *env, bool slow)
{
	if (unlikely(slow) && env->bounce_kind != TLB_BOUNCE_NONE)
		tlb_commit(env);
}

static inline uint64_t interp_read(const void *p, unsigned size)
{
	uint64_t v = 0;

	if (unlikely((uintptr_t)p & (size - 1))) {
		memcpy(&v, p, size);
		return v;
	}
	switch (size) {
	case 1:
		return __atomic_load_n((const uint8_t *)p, __ATOMIC_ACQUIRE);
	case 2:
		return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
	case 4:
		return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
	default:
		return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
	}
}

static inline void interp_write(void *p, unsigned size, uint64_t v)
{
	if (unlikely((uintptr_t)p & (size - 1))) {
		memcpy(p, &v, size);
		return;
	}
	switch (size) {
	case 1:
		__atomic_store_n((uint8_t *)p, (uint8_t)v, __ATOMIC_RELEASE);
		break;
	case 2:
		__atomic_store_n((uint16_t *)p, (uint16_t)v, __ATOMIC_RELEASE);
		break;
	case 4:
		__atomic_store_n((uint32_t *)p, (uint32_t)v, __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE);
		break;
	}
}

static inline uint64_t interp_load(struct tcg_env *env, const struct iop *op, unsigned size)
{
	bool slow;

	return interp_read(interp_ptr(env, op, &slow), size);
}

static inline void interp_store(struct tcg_env *env, const struct iop *op, unsigned size, uint64_t v)
{
	bool slow;

	interp_write(interp_ptr(env, op, &slow), size, v);
	interp_commit(env, slow);
}

#endif
