/* SPDX-License-Identifier: MIT */
/*
 * Guest memory for runtime routines: values and byte runs in linear space, with the faults of an instruction's own access.
 */
#include <string.h>

#include "mem/tlb_book.h"
#include "mem/word.h"

static void *fast(struct tcg_env *env, gva_t va, unsigned size, unsigned kind, unsigned mode)
{
	const struct tlb_entry *e = tlb_find(env, va, kind, mode);

	return e && (va & ~GUEST_PAGE_MASK) + size <= GUEST_PAGE_SIZE ? (void *)(uintptr_t)(va + e->disp) : NULL;
}

uint64_t tlb_load(struct tcg_env *env, gva_t va, unsigned size, unsigned mode)
{
	const void *p = fast(env, va, size, 0, mode);

	if (!p)
		p = tlb_access_slow(env, va, size, TLB_READ, mode, TLB_SLOT_MISC, false);
	return word_load(p, size);
}

void tlb_store(struct tcg_env *env, gva_t va, uint64_t value, unsigned size, unsigned mode)
{
	void *p = fast(env, va, size, 1, mode);

	if (p) {
		word_store(p, value, size);
		return;
	}
	p = tlb_access_slow(env, va, size, TLB_WRITE, mode, TLB_SLOT_MISC, false);
	word_store(p, value, size);
	tlb_commit(env);
}

void *tlb_known(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode)
{
	return fast(env, va, size, access != TLB_READ, mode);
}

static size_t in_page(gva_t va, size_t len)
{
	size_t room = GUEST_PAGE_SIZE - (va & ~GUEST_PAGE_MASK);

	return len < room ? len : room;
}

/* Device memory: by the byte run the slow path takes. */
static size_t small_piece(gva_t va, size_t len)
{
	size_t room = 8 - (va & 7);

	return len < room ? len : room;
}

void tlb_load_bytes(struct tcg_env *env, gva_t va, void *buf, size_t len, unsigned mode)
{
	uint8_t *out = buf;

	while (len) {
		size_t n = in_page(va, len);
		const void *p = fast(env, va, 1, 0, mode);

		if (!p)
			p = tlb_page_ptr(env, va, TLB_READ, mode);
		if (!p) {
			n = small_piece(va, len);
			p = tlb_access_slow(env, va, (unsigned)n, TLB_READ, mode, TLB_SLOT_MISC, false);
		}
		word_read_bytes(out, p, n);
		va += n;
		out += n;
		len -= n;
	}
}

/* One page's part of a store; all of it is known to be writable. */
static size_t store_run(struct tcg_env *env, gva_t va, const uint8_t *in, size_t len, unsigned mode)
{
	size_t n = in_page(va, len);
	void *p = fast(env, va, 1, 1, mode);

	if (p) {
		word_write_bytes(p, in, n);
		return n;
	}
	p = tlb_store_run(env, va, n, mode);
	if (!p) {
		n = small_piece(va, len);
		p = tlb_access_slow(env, va, (unsigned)n, TLB_WRITE, mode, TLB_SLOT_MISC, false);
	}
	word_write_bytes(p, in, n);
	tlb_commit(env);
	return n;
}

void tlb_store_bytes(struct tcg_env *env, gva_t va, const void *buf, size_t len, unsigned mode)
{
	const uint8_t *in = buf;

	/* Faults come now, before anything is stored. */
	for (gva_t page = va & GUEST_PAGE_MASK; page < va + len; page += GUEST_PAGE_SIZE)
		if (!fast(env, page < va ? va : page, 1, 1, mode))
			tlb_page_ptr(env, page < va ? va : page, TLB_WRITE, mode);
	while (len) {
		size_t n = store_run(env, va, in, len, mode);

		va += n;
		in += n;
		len -= n;
	}
}
