/* SPDX-License-Identifier: MIT */
/*
 * Control registers and TLB instructions. SDM volume 3A 2.5 (bits and legal transitions), 4.10 (what flushes what), 9.8.5 (long mode).
 */
#include "mem/tlb.h"
#include "util/log.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_segment.h"

#define CR0_VALID (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | \
		   X86_CR0_CD | X86_CR0_PG)
#define CR3_NOFLUSH (1ull << 63)

static void gp(struct x86_cpu *c)
{
	x86_fault_raise_err(c, X86_GP, 0);
}

uint64_t x86_rt_cr_read(struct tcg_env *env, uint64_t n, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)b;
	(void)unused;
	switch (n) {
	case 0:
		return c->cr0;
	case 2:
		return c->cr2;
	case 3:
		return c->cr3;
	case 4:
		return c->cr4;
	case 8:
		return c->vcpu.intc ? c->vcpu.intc->cr8_read(&c->vcpu) : 0;
	default:
		x86_fault_raise(c, X86_UD);
	}
}

/* Paging goes on with EFER.LME: long mode becomes active; off: inactive. */
static void switch_long_mode(struct x86_cpu *c, uint64_t value)
{
	bool on = value & X86_CR0_PG, was = c->cr0 & X86_CR0_PG;

	if (on && !was && (c->efer & X86_EFER_LME)) {
		if (!(c->cr4 & X86_CR4_PAE) || (c->seg[X86_CS].attr & X86_SA_L))
			gp(c);
		c->efer |= X86_EFER_LMA;
	} else if (!on && was && (c->efer & X86_EFER_LMA)) {
		if (x86_code64(c) || (c->cr4 & X86_CR4_PCIDE))
			gp(c);
		c->efer &= ~(uint64_t)X86_EFER_LMA;
	}
}

/* Loads the PDPTEs as PAE paging wants them; before anything has changed. */
static bool try_pdptes(struct x86_cpu *c, uint64_t cr0, uint64_t cr3, uint64_t cr4)
{
	return !(cr0 & X86_CR0_PG) || !(cr4 & X86_CR4_PAE) || (c->efer & X86_EFER_LME) || x86_mmu_pdptes_load(c, cr3);
}

static void load_pdptes(struct x86_cpu *c, uint64_t cr0, uint64_t cr3, uint64_t cr4)
{
	if (!try_pdptes(c, cr0, cr3, cr4))
		gp(c);
}

static void write_cr0(struct x86_cpu *c, uint64_t value)
{
	const uint64_t paging = X86_CR0_PG | X86_CR0_WP | X86_CR0_PE;
	uint64_t changed;

	if (value >> 32 || ((value & X86_CR0_PG) && !(value & X86_CR0_PE)) || ((value & X86_CR0_NW) && !(value & X86_CR0_CD)))
		gp(c);
	value = (value & CR0_VALID) | X86_CR0_ET;
	if ((value ^ c->cr0) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW))
		load_pdptes(c, value, c->cr3, c->cr4);
	switch_long_mode(c, value);
	changed = value ^ c->cr0;
	c->cr0 = value;
	if (changed & X86_CR0_PE & value) /* leaving real mode: CS keeps its cache, CPL is 0 */
		c->cpl = 0;
	if (changed & paging)
		tlb_flush_all(&c->vcpu.env);
}

static uint32_t pcid(const struct x86_cpu *c)
{
	return c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

bool x86_cr3_load(struct x86_cpu *c, uint64_t value)
{
	if (!try_pdptes(c, c->cr0, value, c->cr4))
		return false;
	c->cr3 = value;
	tlb_switch(&c->vcpu.env, pcid(c), false);
	return true;
}

static void write_cr3(struct x86_cpu *c, uint64_t value)
{
	bool keep = (c->cr4 & X86_CR4_PCIDE) && (value & CR3_NOFLUSH);

	if (x86_long_mode(c) && (value & ~CR3_NOFLUSH) >> X86_PHYS_BITS)
		gp(c);
	if ((value & CR3_NOFLUSH) && !(c->cr4 & X86_CR4_PCIDE))
		gp(c);
	load_pdptes(c, c->cr0, value, c->cr4);
	c->cr3 = value & ~CR3_NOFLUSH;
	tlb_switch(&c->vcpu.env, pcid(c), keep);
}

static uint64_t cr4_valid(const struct x86_cpu *c)
{
	uint64_t v = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE |
		     X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	static const struct {
		uint16_t feature; /* enum x86_cpuid_bit */
		uint32_t bit;
	} gated[] = {
		{ X86_CPUID_VME, X86_CR4_VME | X86_CR4_PVI }, { X86_CPUID_UMIP, X86_CR4_UMIP }, { X86_CPUID_FSGSBASE, X86_CR4_FSGSBASE }, { X86_CPUID_PCID, X86_CR4_PCIDE },
		{ X86_CPUID_XSAVE, X86_CR4_OSXSAVE }, { X86_CPUID_SMEP, X86_CR4_SMEP }, { X86_CPUID_SMAP, X86_CR4_SMAP },
		{ X86_CPUID_PKU, X86_CR4_PKE }, { X86_CPUID_PKS, X86_CR4_PKS }, { X86_CPUID_LA57, X86_CR4_LA57 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(gated); i++)
		if (x86_offers(c, (enum x86_cpuid_bit)gated[i].feature))
			v |= gated[i].bit;
	return v;
}

static void write_cr4(struct x86_cpu *c, uint64_t value)
{
	const uint64_t flushing = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP |
				  X86_CR4_LA57 | X86_CR4_PKE | X86_CR4_PKS;
	uint64_t changed = value ^ c->cr4;

	if (value & ~cr4_valid(c))
		gp(c);
	if (x86_long_mode(c) && (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		gp(c);
	if ((changed & value & X86_CR4_PCIDE) && (!x86_long_mode(c) || (c->cr3 & 0xfff)))
		gp(c);
	if (changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP))
		load_pdptes(c, c->cr0, c->cr3, value);
	c->cr4 = value;
	if (changed & X86_CR4_DE)
		x86_debug_update(c);
	tlb_set_globals(&c->vcpu.env, value & X86_CR4_PGE);
	if (changed & X86_CR4_PCIDE)
		tlb_switch(&c->vcpu.env, pcid(c), false);
	if (changed & flushing)
		tlb_flush_all(&c->vcpu.env);
}

uint64_t x86_rt_cr_write(struct tcg_env *env, uint64_t n, uint64_t value, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)unused;
	switch (n) {
	case 0:
		write_cr0(c, value);
		break;
	case 2:
		c->cr2 = value;
		break;
	case 3:
		write_cr3(c, value);
		break;
	case 4:
		write_cr4(c, value);
		break;
	case 8:
		if (value >> 4)
			gp(c);
		if (c->vcpu.intc)
			c->vcpu.intc->cr8_write(&c->vcpu, (uint8_t)value);
		break;
	default:
		x86_fault_raise(c, X86_UD);
	}
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_lmsw(struct tcg_env *env, uint64_t value, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t pe = (c->cr0 | value) & X86_CR0_PE; /* LMSW cannot clear PE */

	(void)b;
	(void)unused;
	write_cr0(c, (c->cr0 & ~15ull) | (value & 14) | pe);
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_clts(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)a;
	(void)b;
	(void)unused;
	c->cr0 &= ~(uint64_t)X86_CR0_TS;
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_invlpg(struct tcg_env *env, uint64_t va, uint64_t b, uint64_t unused)
{
	(void)b;
	(void)unused;
	x86_mmu_walk_cache_drop(x86_cpu(env));
	tlb_flush_page(env, va);
	return 0;
}

/* SDM volume 2, INVPCID: type 0 one address of a PCID, 1 a PCID, 2 all with globals, 3 all without. */
uint64_t x86_rt_invpcid(struct tcg_env *env, uint64_t type, uint64_t va, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t key = tlb_load(env, va, 8, x86_mmu_mode(c)), addr = tlb_load(env, va + 8, 8, x86_mmu_mode(c));

	(void)unused;
	if (type > 3 || (type <= 1 && (key >> 12 || (key && !(c->cr4 & X86_CR4_PCIDE)))) || (type == 0 && !x86_canonical(c, addr)))
		gp(c);
	x86_mmu_walk_cache_drop(c);
	if (type == 0 && key == pcid(c))
		tlb_flush_page(env, addr);
	else if (type <= 1)
		tlb_flush_ctx_key(env, (uint32_t)key);
	else
		tlb_flush_all(env);
	return 0;
}

/* ECX must be 0; without CR4.PKE there is no such instruction. */
static void check_pkru(struct x86_cpu *c)
{
	if (!(c->cr4 & X86_CR4_PKE))
		x86_fault_raise(c, X86_UD);
	if ((uint32_t)c->vcpu.env.greg[X86_RCX])
		gp(c);
}

uint64_t x86_rt_rdpkru(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	(void)a;
	(void)b;
	(void)unused;
	check_pkru(x86_cpu(env));
	env->greg[X86_RAX] = x86_cpu(env)->pkru;
	env->greg[X86_RDX] = 0;
	return 0;
}

uint64_t x86_rt_wrpkru(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	(void)a;
	(void)b;
	(void)unused;
	check_pkru(x86_cpu(env));
	if ((uint32_t)env->greg[X86_RDX])
		gp(x86_cpu(env));
	x86_pkru_set(x86_cpu(env), (uint32_t)env->greg[X86_RAX]);
	return 0;
}

uint64_t x86_rt_stac(struct tcg_env *env, uint64_t on, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)b;
	(void)unused;
	c->eflags = on ? c->eflags | X86_FL_AC : c->eflags & ~X86_FL_AC;
	x86_mode_update(c);
	return 0;
}
