/* SPDX-License-Identifier: MIT */
/*
 * How far pages like the one at an address reach (mem/tlb_reach.c): within its GiB, whose pages are in one page directory or in the page tables below.
 *
 * A CPU may hold translations of its own accord once the A bits on the way are set (SDM volume 3A, 4.10.2.3). Pages are read alike that are global,
 * the supervisor's, and at the same distance from their linear addresses; rights to write and to execute, and caching, do not matter.
 */
#include "mem/aspace.h"
#include "mem/ram.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_pte.h"

#define GIB (1ull << 30)
#define LARGE (2ull << 20)

struct reach {
	struct x86_cpu *c;
	uint64_t delta;         /* physical less linear address */
	const uint64_t *dir;    /* page directory */
	const uint64_t *table;  /* the page table last looked at... */
	uint64_t table_entry;   /* ...and the entry that led there */
};

/* NULL: not in RAM. */
static const uint64_t *table_at(gpa_t pa)
{
	gpa_t start;
	uint64_t avail;
	bool rom;
	ram_off_t off = aspace_find_ram_rcu(pa & PTE_ADDR, &start, &avail, &rom);

	return off == ASPACE_NOT_RAM || avail < GUEST_PAGE_SIZE ? NULL : ram_ptr(off);
}

static uint64_t entry(const uint64_t *table, gva_t va, unsigned level)
{
	return __atomic_load_n(&table[va >> (GUEST_PAGE_BITS + 9 * (level - 1)) & 511], __ATOMIC_RELAXED);
}

static const uint64_t *find_directory(const struct x86_cpu *c, gva_t va)
{
	const uint64_t *table = table_at(c->cr3);

	for (unsigned level = c->cr4 & X86_CR4_LA57 ? 5 : 4; table && level > 2; level--) {
		uint64_t e = entry(table, va, level);

		table = (e & PTE_P) && !(e & PTE_PS) ? table_at(e) : NULL;
	}
	return table;
}

/* Is it the entry of a page of `size` bytes for va? */
static bool alike(const struct reach *r, uint64_t e, gva_t va, uint64_t size)
{
	uint64_t pat = size == LARGE ? PTE_PAT_LARGE : 0, nx = r->c->efer & X86_EFER_NXE ? 0 : PTE_NX;
	uint64_t want = ((va & ~(size - 1)) + r->delta) | PTE_P | PTE_A | PTE_G;

	return !((e ^ want) & (((PTE_ADDR | PTE_P | PTE_U | PTE_A | PTE_G) & ~pat) | nx));
}

/* Bytes of the page at va if it is one of those looked for, else 0. */
static uint64_t page_size(struct reach *r, gva_t va)
{
	uint64_t e = entry(r->dir, va, 2);

	if (!(e & PTE_P) || !(e & PTE_A))
		return 0;
	if (e & PTE_PS)
		return alike(r, e, va, LARGE) ? LARGE : 0;
	if (e != r->table_entry) {
		r->table = table_at(e);
		r->table_entry = e;
	}
	return r->table && alike(r, entry(r->table, va, 1), va, GUEST_PAGE_SIZE) ? GUEST_PAGE_SIZE : 0;
}

void x86_mmu_reach(struct tcg_env *env, gva_t va, unsigned mode, struct tlb_walk *w)
{
	struct x86_cpu *c = x86_cpu(env);
	struct reach r = { .c = c, .delta = w->pa - w->va };
	gva_t base = va & ~(GIB - 1), lo, hi;
	uint64_t size;

	if (mode == X86_MMU_USER || !(c->efer & X86_EFER_LMA) || (c->cr4 & X86_CR4_PKS) || w->size >= GIB)
		return;
	r.dir = find_directory(c, va);
	size = r.dir ? page_size(&r, va) : 0;
	if (!size)
		return;
	lo = va & ~(size - 1);
	hi = lo + size;
	while (hi != base + GIB && (size = page_size(&r, hi)))
		hi += size;
	while (lo != base && (size = page_size(&r, lo - 1)))
		lo -= size;
	w->va = lo;
	w->pa = lo + r.delta;
	w->size = hi - lo;
}
