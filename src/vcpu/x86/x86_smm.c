/* SPDX-License-Identifier: MIT */
/*
 * System-management mode: SMI, the state save area, RSM. AMD64 manual volume 2, chapter 10 (layout of the 64-bit save area, table 10-2); SDM
 * volume 3C, chapter 33. The save area is SMBASE + FE00..FFFF in physical memory. Revision 0x20064: 64-bit layout, SMBASE relocation.
 *
 * The memory behind SMBASE is what the physical map shows in this mode: a host bridge may hide it from the others (aspace_see_hidden()).
 */
#include "vcpu/x86/x86_smm.h"

#include <string.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_segment.h"

#define AREA_START 0xfe00u
#define AREA_BYTES 0x200u
#define HANDLER_IP 0x8000u
#define REVISION 0x00020064u

/* Offsets in the save area. */
enum { A_SEGS = 0x00, A_GDTR = 0x60, A_LDTR = 0x70, A_IDTR = 0x80, A_TR = 0x90, A_HALT_RESTART = 0xc9, A_EFER = 0xd0, A_NMI_BLOCKED = 0xca,
       A_REVISION = 0xfc, A_SMBASE = 0x100, A_CR4 = 0x148, A_CR3 = 0x150, A_CR0 = 0x158, A_DR7 = 0x160, A_DR6 = 0x168, A_RFLAGS = 0x170,
       A_RIP = 0x178, A_R15 = 0x180, A_RAX = 0x1f8 };

/* Each register's offset: R15..R8, then RDI..RAX upwards. */
static unsigned greg_offset(unsigned r)
{
	return A_RAX - 8 * r;
}

static void put(uint8_t *area, unsigned off, uint64_t v, unsigned size)
{
	memcpy(area + off, &v, size);
}

static uint64_t get(const uint8_t *area, unsigned off, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, area + off, size);
	return v;
}

static void put_segment(uint8_t *area, unsigned off, const struct x86_seg *s)
{
	put(area, off, s->sel, 2);
	put(area, off + 2, s->attr >> 8, 2);
	put(area, off + 4, s->limit, 4);
	put(area, off + 8, s->base, 8);
}

static void get_segment(const uint8_t *area, unsigned off, struct x86_seg *s)
{
	*s = (struct x86_seg){ .sel = (uint16_t)get(area, off, 2), .attr = (uint32_t)(get(area, off + 2, 2) & 0xf0ff) << 8,
			       .limit = (uint32_t)get(area, off + 4, 4), .base = get(area, off + 8, 8) };
}

static void save(const struct x86_cpu *c, uint8_t *area)
{
	for (unsigned r = 0; r < X86_NR_SEGS; r++)
		put_segment(area, A_SEGS + 16 * r, &c->seg[r]);
	put_segment(area, A_LDTR, &c->ldt);
	put_segment(area, A_TR, &c->tr);
	put(area, A_GDTR + 4, c->gdt.limit, 2);
	put(area, A_GDTR + 8, c->gdt.base, 8);
	put(area, A_IDTR + 4, c->idt.limit, 2);
	put(area, A_IDTR + 8, c->idt.base, 8);
	put(area, A_HALT_RESTART, vcpu_run_state(&c->vcpu) == VCPU_HALTED, 1);
	put(area, A_NMI_BLOCKED, c->nmi_blocked, 1);
	put(area, A_EFER, c->efer, 8);
	put(area, A_REVISION, REVISION, 4);
	put(area, A_SMBASE, c->smbase, 4);
	put(area, A_CR4, c->cr4, 8);
	put(area, A_CR3, c->cr3, 8);
	put(area, A_CR0, c->cr0, 8);
	put(area, A_DR7, c->dr[7], 8);
	put(area, A_DR6, c->dr[6], 8);
	put(area, A_RFLAGS, x86_eflags_get(c), 8);
	put(area, A_RIP, x86_ip_of(c, c->vcpu.env.pc), 8);
	for (unsigned r = 0; r < TCG_NR_GREG; r++)
		put(area, greg_offset(r), c->vcpu.env.greg[r], 8);
}

/* Real-address mode with 4 GiB limits; interrupts, NMI and further SMIs are blocked. */
static void handler_state(struct x86_cpu *c)
{
	const uint32_t data = X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED | X86_SA_G;

	c->cr0 &= ~(uint64_t)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
	c->cr4 = c->efer = 0;
	c->dr[7] = X86_DR7_FIXED1;
	x86_eflags_set(c, X86_FL_FIXED1);
	for (unsigned r = 0; r < X86_NR_SEGS; r++)
		c->seg[r] = (struct x86_seg){ .limit = 0xffffffff, .attr = data };
	c->seg[X86_CS].sel = (uint16_t)(c->smbase >> 4);
	c->seg[X86_CS].base = c->smbase;
	c->cpl = 0;
	x86_set_ip(c, HANDLER_IP);
}

/* Another address space, and another mode. */
static void changed(struct x86_cpu *c)
{
	struct tcg_env *env = &c->vcpu.env;

	tlb_set_globals(env, c->cr4 & X86_CR4_PGE);
	tlb_switch(env, c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0, false);
	tlb_flush_all(env);
	x86_debug_update(c);
	x86_mode_update(c);
}

void x86_smm_enter(struct x86_cpu *c)
{
	uint8_t area[AREA_BYTES] = { 0 };

	save(c, area);
	aspace_see_hidden(true);
	(void)!dma_write(c->smbase + AREA_START, area, sizeof(area)); /* SMBASE outside RAM: the bus drops it */
	c->smm = true;
	c->nmi_blocked = true;
	vcpu_set_run_state(&c->vcpu, VCPU_RUNNING);
	handler_state(c);
	changed(c);
}

static bool legal(const uint8_t *area)
{
	uint64_t cr0 = get(area, A_CR0, 8), cr4 = get(area, A_CR4, 8), efer = get(area, A_EFER, 8);

	if (cr0 >> 32 || ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE)) || ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD)) || cr4 >> 32)
		return false;
	return !(efer & X86_EFER_LMA) || ((cr4 & X86_CR4_PAE) && (cr0 & X86_CR0_PG));
}

static void restore(struct x86_cpu *c, const uint8_t *area)
{
	for (unsigned r = 0; r < X86_NR_SEGS; r++)
		get_segment(area, A_SEGS + 16 * r, &c->seg[r]);
	get_segment(area, A_LDTR, &c->ldt);
	get_segment(area, A_TR, &c->tr);
	c->gdt = (struct x86_table){ get(area, A_GDTR + 8, 8), (uint16_t)get(area, A_GDTR + 4, 2) };
	c->idt = (struct x86_table){ get(area, A_IDTR + 8, 8), (uint16_t)get(area, A_IDTR + 4, 2) };
	c->efer = get(area, A_EFER, 8);
	c->smbase = get(area, A_SMBASE, 4);
	c->cr4 = get(area, A_CR4, 8);
	c->cr3 = get(area, A_CR3, 8);
	c->cr0 = get(area, A_CR0, 8) | X86_CR0_ET;
	c->dr[7] = x86_dr7_of(get(area, A_DR7, 8));
	c->dr[6] = x86_dr6_of(get(area, A_DR6, 8));
	x86_debug_update(c); /* before RF is put back */
	x86_eflags_set(c, (uint32_t)get(area, A_RFLAGS, 8) & 0x3f7fd7);
	for (unsigned r = 0; r < TCG_NR_GREG; r++)
		c->vcpu.env.greg[r] = get(area, greg_offset(r), 8);
	c->cpl = (uint8_t)x86_attr_dpl(c->seg[X86_SS].attr);
	x86_set_ip(c, get(area, A_RIP, 8));
}

bool x86_smm_leave(struct x86_cpu *c)
{
	uint8_t area[AREA_BYTES];

	if (dma_read(c->smbase + AREA_START, area, sizeof(area)) < 0 || !legal(area))
		return false;
	restore(c, area);
	if ((c->cr0 & X86_CR0_PG) && (c->cr4 & X86_CR4_PAE) && !(c->efer & X86_EFER_LMA) && !x86_mmu_pdptes_load(c, c->cr3))
		return false;
	c->smm = false;
	aspace_see_hidden(false);
	c->nmi_blocked = get(area, A_NMI_BLOCKED, 1) & 1;
	c->single_step_due = X86_STEP_NONE;
	if (get(area, A_HALT_RESTART, 1) & 1)
		vcpu_set_run_state(&c->vcpu, VCPU_HALTED);
	changed(c);
	return true;
}
