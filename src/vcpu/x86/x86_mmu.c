/* SPDX-License-Identifier: MIT */
/*
 * Page tables: none, 32-bit, PAE, 4-level and 5-level; protection keys. SDM volume 3A, chapter 4; error codes in 4.7, accessed and dirty flags in 4.8.
 *
 * Entries are read and their A/D bits set by compare-and-exchange on guest RAM, so that a walk here and a guest CPU changing the entry
 * never lose each other's update; an entry that changed between is walked again from the top.
 *
 * A walk in long mode begins at the page table, or the page directory, if an earlier one has found it (4.10.3, paging-structure caches): only
 * entries whose A bit was set by then are kept, tagged with the TLB's context, which every flush of an address space renews. INVLPG drops all. A
 * fault is never raised by what was kept: the walk is done again from the top, so entries that allow more now need no flush.
 */
#include "vcpu/x86/x86_mmu.h"

#include <string.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/exec.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_isa.h"
#include "vcpu/x86/x86_pte.h"
#include "vcpu/x86/x86_segment.h"

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u
#define PF_PK 32u



struct walk {
	struct x86_cpu *c;
	gva_t va;
	enum tlb_access access;
	unsigned mode; /* enum x86_mmu_mode */
	bool set_bits; /* A and D are to be set, and the walk cache used */
	bool kept;     /* it was used */
	uint32_t error;
};

struct level {
	unsigned shift; /* of the index */
	unsigned bits;
};

static bool is_write(const struct walk *w)
{
	return w->access == TLB_WRITE || w->access == TLB_RMW;
}

/* Reads an entry; tables outside RAM read as the bus answers. */
static uint64_t entry_read(gpa_t pa, unsigned size)
{
	gpa_t start;
	uint64_t avail;
	bool rom;
	ram_off_t off = aspace_find_ram_rcu(pa, &start, &avail, &rom);

	if (off == ASPACE_NOT_RAM)
		return mmio_read(pa, size);
	if (size == 8)
		return __atomic_load_n((uint64_t *)ram_ptr(off), __ATOMIC_RELAXED);
	return __atomic_load_n((uint32_t *)ram_ptr(off), __ATOMIC_RELAXED);
}

/* Sets bits if the entry still is `old`; false: it changed, walk again. */
static bool entry_update(gpa_t pa, unsigned size, uint64_t old, uint64_t set)
{
	gpa_t start;
	uint64_t avail;
	bool rom, ok;
	ram_off_t off = aspace_find_ram_rcu(pa, &start, &avail, &rom);

	if (off == ASPACE_NOT_RAM || rom)
		return true;
	if (size == 8) {
		ok = __atomic_compare_exchange_n((uint64_t *)ram_ptr(off), &old, old | set, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} else {
		uint32_t old32 = (uint32_t)old;

		ok = __atomic_compare_exchange_n((uint32_t *)ram_ptr(off), &old32, old32 | (uint32_t)set, false, __ATOMIC_SEQ_CST,
						 __ATOMIC_RELAXED);
	}
	if (code_watch_is_code(off))
		code_watch_store(off, size);
	return ok;
}

static uint64_t reserved_bits(const struct x86_cpu *c, unsigned level, uint64_t e, bool pae)
{
	uint64_t rsvd = PTE_ADDR & ~((1ull << X86_PHYS_BITS) - 1);

	if (!pae)
		return 0;
	if (!(c->efer & X86_EFER_NXE))
		rsvd |= PTE_NX;
	if (!(c->efer & X86_EFER_LMA))
		rsvd |= 0x7ff0000000000000ull;
	if (e & PTE_PS) {
		if (level == 2)
			rsvd |= 0x1fe000ull;
		else if (level == 3)
			rsvd |= 0x3fffe000ull;
	}
	if (level >= 4)
		rsvd |= PTE_PS;
	return rsvd;
}

/* What the whole path allows, gathered level by level. */
struct rights {
	bool user, write, nx;
};

static void gather(struct rights *r, uint64_t e)
{
	r->user &= !!(e & PTE_U);
	r->write &= !!(e & PTE_W);
	r->nx |= !!(e & PTE_NX);
}

static bool may_read(const struct walk *w, const struct rights *r)
{
	if (w->mode == X86_MMU_USER)
		return r->user;
	return !(r->user && (w->c->cr4 & X86_CR4_SMAP) && w->mode != X86_MMU_KERNEL_AC);
}

static bool may_write(const struct walk *w, const struct rights *r)
{
	if (!may_read(w, r))
		return false;
	return r->write || (w->mode != X86_MMU_USER && !(w->c->cr0 & X86_CR0_WP));
}

static bool may_execute(const struct walk *w, const struct rights *r)
{
	if (r->nx && (w->c->efer & X86_EFER_NXE))
		return false;
	if (w->mode == X86_MMU_USER)
		return r->user;
	return !(r->user && (w->c->cr4 & X86_CR4_SMEP));
}

static bool allowed(const struct walk *w, const struct rights *r)
{
	if (w->access == TLB_FETCH)
		return may_execute(w, r);
	return is_write(w) ? may_write(w, r) : may_read(w, r);
}

/* SDM volume 3A, 4.6.2: does the page's protection key forbid data accesses of this kind? */
static bool key_forbids(const struct walk *w, const struct rights *r, uint64_t e, bool write)
{
	const struct x86_cpu *c = w->c;
	unsigned key = e >> 59 & 15;
	uint32_t bits;

	if (!(c->efer & X86_EFER_LMA) || !(c->cr4 & (r->user ? X86_CR4_PKE : X86_CR4_PKS)))
		return false;
	bits = (r->user ? c->pkru : c->pkrs) >> 2 * key;
	return (bits & 1) || (write && (bits & 2) && (w->mode == X86_MMU_USER || (c->cr0 & X86_CR0_WP)));
}

enum walk_result { WALK_OK, WALK_FAULT, WALK_AGAIN };

static enum walk_result fault(struct walk *w, uint32_t error)
{
	w->error = error;
	return WALK_FAULT;
}

/* The leaf has been found: check rights, set A/D, describe the translation. */
static enum walk_result leaf(struct walk *w, const struct rights *r, gpa_t entry_pa, unsigned entry_size, uint64_t e, gpa_t base, uint64_t size,
			     struct tlb_walk *out)
{
	uint64_t set = PTE_A | (is_write(w) ? PTE_D : 0);
	bool key = w->access != TLB_FETCH && key_forbids(w, r, e, is_write(w));

	if (key || !allowed(w, r))
		return fault(w, PF_P | (key ? PF_PK : 0));
	if (w->set_bits && (e & set) != set && !entry_update(entry_pa, entry_size, e, set))
		return WALK_AGAIN;
	out->pa = base & ~(size - 1);
	out->va = w->va & ~(size - 1);
	out->size = size;
	out->readable = may_read(w, r) && !key_forbids(w, r, e, false);
	out->writable = may_write(w, r) && !key_forbids(w, r, e, true) && ((e | set) & PTE_D) && (is_write(w) || (e & PTE_D));
	out->executable = may_execute(w, r);
	out->global = (e & PTE_G) && (w->c->cr4 & X86_CR4_PGE);
	return WALK_OK;
}

/* ---- The walk cache */

void x86_mmu_walk_cache_drop(struct x86_cpu *c)
{
	c->walk_cache.age++;
}

/* Where the entry that leads to the table of level `level` (1: a page table, 2: a page directory) for va belongs, and its tag. */
static struct x86_walk_entry *walk_entry(struct x86_cpu *c, gva_t va, unsigned level, uint64_t *tag)
{
	struct x86_walk_cache *k = &c->walk_cache;
	unsigned shift = GUEST_PAGE_BITS + 9 * level;

	*tag = va >> shift << shift | c->vcpu.env.tlb.ctx;
	return level == 1 ? &k->table[(va >> shift) % X86_WALK_TABLES] : &k->dir[(va >> shift) % X86_WALK_DIRS];
}

static void keep(struct walk *w, unsigned level, gpa_t table, const struct rights *r)
{
	struct x86_cpu *c = w->c;
	struct x86_walk_entry *e;
	uint64_t tag;

	if (!w->set_bits || level > 2)
		return;
	e = walk_entry(c, w->va, level, &tag);
	*e = (struct x86_walk_entry){ tag, c->walk_cache.age, table, r->user, r->write, r->nx };
}

/* What translates va. */
static void forget(struct walk *w)
{
	uint64_t tag;

	for (unsigned level = 1; level <= 2; level++)
		walk_entry(w->c, w->va, level, &tag)->tag = 0;
	w->kept = false;
}

/* The level to begin at; 0: from the top. */
static unsigned begin_below(struct walk *w, gpa_t *table, struct rights *r)
{
	struct x86_cpu *c = w->c;

	if (!w->set_bits)
		return 0;
	if (unlikely(c->walk_cache.restarts != c->vcpu.env.tlb.restarts)) {
		x86_mmu_walk_cache_drop(c);
		c->walk_cache.restarts = c->vcpu.env.tlb.restarts;
	}
	for (unsigned level = 1; level <= 2; level++) {
		uint64_t tag;
		const struct x86_walk_entry *e = walk_entry(c, w->va, level, &tag);

		if (e->tag != tag || e->age != c->walk_cache.age)
			continue;
		*table = e->table;
		*r = (struct rights){ e->user, e->write, e->nx };
		w->kept = true;
		stat_inc(STAT_page_walks_short);
		return level;
	}
	return 0;
}

static enum walk_result walk_pae(struct walk *w, struct tlb_walk *out)
{
	struct x86_cpu *c = w->c;
	bool lma = c->efer & X86_EFER_LMA;
	struct rights r = { true, true, false };
	gpa_t table = c->cr3 & PTE_ADDR;
	unsigned level = lma ? begin_below(w, &table, &r) : 3;

	if (!level)
		level = c->cr4 & X86_CR4_LA57 ? 5 : 4;
	for (;; level--) {
		unsigned shift = GUEST_PAGE_BITS + 9 * (level - 1);
		gpa_t pa = table + ((w->va >> shift) & 511) * 8;
		bool pointer = level == 3 && !lma; /* held by the CPU, and without rights or an A bit */
		uint64_t e = pointer ? c->pdpte[w->va >> 30 & 3] : entry_read(pa, 8);

		if (!(e & PTE_P))
			return fault(w, 0);
		if (pointer) {
			table = e & PTE_ADDR;
			continue;
		}
		if (e & reserved_bits(c, level, e, true))
			return fault(w, PF_P | PF_RSVD);
		gather(&r, e);
		if (level == 1 || ((e & PTE_PS) && level <= 3))
			return leaf(w, &r, pa, 8, e, e & PTE_ADDR, 1ull << shift, out);
		if (w->set_bits && !(e & PTE_A) && !entry_update(pa, 8, e, PTE_A))
			return WALK_AGAIN;
		table = e & PTE_ADDR;
		if (lma)
			keep(w, level - 1, table, &r);
	}
}

/* SDM volume 3A, 4.4.1: table 4-8 says which bits are reserved. */
bool x86_mmu_pdptes_load(struct x86_cpu *c, uint64_t cr3)
{
	const uint64_t rsvd = 0x1e6 | ~((1ull << X86_PHYS_BITS) - 1);
	uint64_t e[4];

	for (unsigned i = 0; i < ARRAY_LEN(e); i++) {
		e[i] = entry_read((cr3 & 0xffffffe0u) + i * 8, 8);
		if ((e[i] & PTE_P) && (e[i] & rsvd))
			return false;
	}
	memcpy(c->pdpte, e, sizeof(e));
	return true;
}

static enum walk_result walk_32(struct walk *w, struct tlb_walk *out)
{
	struct x86_cpu *c = w->c;
	struct rights r = { true, true, false };
	gpa_t pa = (c->cr3 & 0xfffff000u) + ((w->va >> 22) & 1023) * 4;
	uint64_t e = entry_read(pa, 4);

	if (!(e & PTE_P))
		return fault(w, 0);
	gather(&r, e);
	if ((e & PTE_PS) && (c->cr4 & X86_CR4_PSE)) {
		if (e & (1u << 21)) /* PSE-36: bits 20:13 are address bits 39:32, bit 21 is reserved */
			return fault(w, PF_P | PF_RSVD);
		return leaf(w, &r, pa, 4, e, (e & 0xffc00000u) | (e & 0x1fe000u) << 19, 4u << 20, out);
	}
	if (w->set_bits && !(e & PTE_A) && !entry_update(pa, 4, e, PTE_A))
		return WALK_AGAIN;
	pa = (e & 0xfffff000u) + ((w->va >> 12) & 1023) * 4;
	e = entry_read(pa, 4);
	if (!(e & PTE_P))
		return fault(w, 0);
	gather(&r, e);
	return leaf(w, &r, pa, 4, e, e & 0xfffff000u, GUEST_PAGE_SIZE, out);
}

static void unpaged(const struct walk *w, struct tlb_walk *out)
{
	/* One 2 MiB piece at a time; the range is clipped to RAM by the TLB. */
	*out = (struct tlb_walk){ .pa = w->va & ~0x1fffffull, .va = w->va & ~0x1fffffull, .size = 2u << 20,
				  .readable = true, .writable = true, .executable = true };
}

static bool canonical(const struct x86_cpu *c, gva_t va)
{
	return !(c->efer & X86_EFER_LMA) || x86_canonical(c, va);
}

static enum walk_result walk_once(struct walk *w, struct tlb_walk *out)
{
	if (!(w->c->cr0 & X86_CR0_PG)) {
		unpaged(w, out);
		return WALK_OK;
	}
	return w->c->cr4 & X86_CR4_PAE ? walk_pae(w, out) : walk_32(w, out);
}

static uint32_t error_code(const struct walk *w)
{
	bool fetch_bit = w->access == TLB_FETCH && ((w->c->cr4 & X86_CR4_SMEP) || ((w->c->cr4 & X86_CR4_PAE) && (w->c->efer & X86_EFER_NXE)));

	return w->error | (is_write(w) ? PF_W : 0) | (w->mode == X86_MMU_USER ? PF_U : 0) | (fetch_bit ? PF_I : 0);
}

void x86_mmu_walk(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out)
{
	struct x86_cpu *c = x86_cpu(env);
	struct walk w = { .c = c, .va = va, .access = access, .mode = mode, .set_bits = true };
	enum walk_result r;

	if (!canonical(c, va) && access == TLB_FETCH) {
		if (va == env->pc)
			x86_branch_fault(c);
		x86_fault_raise_err(c, X86_GP, 0);
	}
	if (!canonical(c, va))
		x86_data_fault_non_canonical(c, va);
	stat_inc(STAT_page_walks);
	do {
		r = walk_once(&w, out);
		if (r == WALK_FAULT && w.kept) {
			forget(&w);
			r = WALK_AGAIN;
		}
	} while (r == WALK_AGAIN);
	if (r == WALK_OK)
		return;
	if (access != TLB_FETCH)
		x86_data_fault_check_x87(c);
	c->cr2 = va;
	stat_inc(STAT_page_faults);
	if (log_on(LOG_MMU))
		log_write("cpu %u: page fault at %#llx, pc %#llx, error %#x\n", c->vcpu.index, (unsigned long long)va,
			  (unsigned long long)env->pc, error_code(&w));
	x86_fault_raise_err(c, X86_PF, error_code(&w));
}

int x86_mmu_probe(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out)
{
	struct x86_cpu *c = x86_cpu(env);
	struct walk w = { .c = c, .va = va, .access = access, .mode = mode };

	if (!canonical(c, va))
		return -1;
	return walk_once(&w, out) == WALK_OK ? 0 : -1;
}

static void __attribute__((noreturn)) alignment_fault(struct tcg_env *env, gva_t va)
{
	struct x86_cpu *c = x86_cpu(env);
	bool checked;

	if (!canonical(c, va))
		x86_data_fault_non_canonical(c, va);
	x86_data_fault_check_x87(c);
	/* Only vector operands that must be aligned come here when alignment is not checked. */
	checked = c->cpl == 3 && (c->tb_flags & X86_TB_AC);
	x86_fault_raise_err(c, checked && !x86_data_fault_is_vector_alignment(c) ? X86_AC : X86_GP, 0);
}

const struct tlb_ops x86_tlb_ops = {
	.walk = x86_mmu_walk,
	.probe = x86_mmu_probe,
	.reach = x86_mmu_reach,
	.alignment_fault = alignment_fault,
	.before_code_store = vcpu_before_code_store,
	.watches = x86_debug_watches,
	.accessed = x86_debug_data,
	.access_wanders = vcpu_access_wanders,
	.busy = x86_huge_state,
};
