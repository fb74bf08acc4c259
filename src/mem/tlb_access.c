/* SPDX-License-Identifier: MIT */
/*
 * Guest memory for runtime routines: values and byte runs in linear space, with the faults of an instruction's own access.
 */
#include <string.h>

#include "mem/tlb_book.h"

static void *fast(struct tcg_env *env, gva_t va, unsigned size, unsigned kind, unsigned mode)
{
	const struct tlb_entry *e = &env->tlb.l1[mode][tlb_l1_index(va)];
	uint64_t diff = e->tag[kind] ^ (va & GUEST_PAGE_MASK);

	if ((diff && diff != env->tlb.ctx) || (va & ~GUEST_PAGE_MASK) + size > GUEST_PAGE_SIZE)
		return NULL;
	return (void *)(uintptr_t)(va + e->disp);
}

uint64_t tlb_load(struct tcg_env *env, gva_t va, unsigned size, unsigned mode)
{
	const void *p = fast(env, va, size, 0, mode);
	uint64_t v = 0;

	if (!p)
		p = tlb_access_slow(env, va, size, TLB_READ, mode, TLB_SLOT_MISC, false);
	memcpy(&v, p, size);
	return v;
}

void tlb_store(struct tcg_env *env, gva_t va, uint64_t value, unsigned size, unsigned mode)
{
	void *p = fast(env, va, size, 1, mode);

	if (p) {
		memcpy(p, &value, size);
		return;
	}
	p = tlb_access_slow(env, va, size, TLB_WRITE, mode, TLB_SLOT_MISC, false);
	memcpy(p, &value, size);
	tlb_commit(env);
}

static size_t piece(gva_t va, size_t len)
{
	size_t room = 32 - (va & 31);

	return len < room ? len : room;
}

void tlb_load_bytes(struct tcg_env *env, gva_t va, void *buf, size_t len, unsigned mode)
{
	uint8_t *out = buf;

	while (len) {
		size_t n = piece(va, len);

		memcpy(out, tlb_access_slow(env, va, (unsigned)n, TLB_READ, mode, TLB_SLOT_MISC, false), n);
		va += n;
		out += n;
		len -= n;
	}
}

void tlb_store_bytes(struct tcg_env *env, gva_t va, const void *buf, size_t len, unsigned mode)
{
	const uint8_t *in = buf;

	for (gva_t page = va & GUEST_PAGE_MASK; page < va + len; page += GUEST_PAGE_SIZE)
		tlb_page_ptr(env, page < va ? va : page, TLB_WRITE, mode); /* faults now, before anything is stored */
	while (len) {
		size_t n = piece(va, len);

		memcpy(tlb_access_slow(env, va, (unsigned)n, TLB_WRITE, mode, TLB_SLOT_MISC, false), in, n);
		tlb_commit(env);
		va += n;
		in += n;
		len -= n;
	}
}
