/* SPDX-License-Identifier: MIT */
/*
 * Accesses of up to 64 bytes of which only some are wanted: the others are neither looked at nor changed, and their pages may be missing. They
 * go through the bounce buffer: runs of wanted bytes are read into it before, or written from it by tlb_commit().
 */
#include <string.h>

#include "mem/tlb_book.h"

/* The lowest run of bytes in `which`: its start and length; it is taken out. */
static unsigned next_run(uint64_t *which, unsigned *len)
{
	unsigned start = (unsigned)__builtin_ctzll(*which);
	uint64_t from = *which >> start;

	*len = ~from ? (unsigned)__builtin_ctzll(~from) : 64;
	*which = start + *len < 64 ? *which & ~(uint64_t)0 << (start + *len) : 0;
	return start;
}

/* Every page that has a wanted byte may be written, or its fault comes now. */
static void check_store(struct tcg_env *env, gva_t va, uint64_t which, unsigned mode)
{
	while (which) {
		unsigned len, start = next_run(&which, &len);
		gva_t first = va + start, last = first + len - 1;

		(void)tlb_page_ptr(env, first, TLB_WRITE, mode);
		if ((last ^ first) & GUEST_PAGE_MASK)
			(void)tlb_page_ptr(env, last & GUEST_PAGE_MASK, TLB_WRITE, mode);
	}
}

void *tlb_access_partial(struct tcg_env *env, gva_t va, unsigned size, uint64_t which, enum tlb_access access, unsigned mode,
			 bool align)
{
	uint8_t buf[sizeof(env->bounce)] = { 0 };
	uint64_t left = which;

	if (align && which && (va & (size - 1))) /* Zen 4: an access of nothing is not misaligned either */
		tlb_ops->alignment_fault(env, va);
	if (access != TLB_READ) {
		check_store(env, va, which, mode);
		env->bounce_which = which;
		env->bounce_mode = mode;
	}
	while (access == TLB_READ && left) {
		unsigned len, start = next_run(&left, &len);

		tlb_load_bytes(env, va + start, buf + start, len, mode); /* it may use the bounce buffer */
	}
	memcpy(env->bounce, buf, sizeof(buf));
	env->bounce_addr = va;
	env->bounce_size = size;
	env->bounce_kind = access == TLB_READ ? TLB_BOUNCE_NONE : TLB_BOUNCE_PARTIAL;
	return env->bounce;
}

void tlb_partial_commit(struct tcg_env *env)
{
	uint64_t which = env->bounce_which;
	gva_t va = env->bounce_addr;
	unsigned mode = env->bounce_mode;
	uint8_t buf[sizeof(env->bounce)];

	memcpy(buf, env->bounce, sizeof(buf));
	while (which) {
		unsigned len, start = next_run(&which, &len);

		tlb_store_bytes(env, va + start, buf + start, len, mode);
	}
}
