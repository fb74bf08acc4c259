/* SPDX-License-Identifier: MIT */
/*
 * Segment descriptors; see x86_segment.h.
 */
#include "vcpu/x86/x86_segment.h"

#include "mem/tlb.h"

#define SYS_MODE X86_MMU_KERNEL /* descriptor tables and TSS are read with supervisor rights whatever the CPL */

bool x86_desc_probe(struct x86_cpu *c, uint16_t sel, bool wide, struct x86_desc *d)
{
	uint32_t limit = sel & 4 ? c->ldt.limit : c->gdt.limit;
	uint64_t base = sel & 4 ? c->ldt.base : c->gdt.base;
	uint32_t off = sel & ~7u;

	if ((sel & 4) && !(c->ldt.attr & X86_SA_P))
		return false;
	if (off + (wide ? 15u : 7u) > limit)
		return false;
	d->where = base + off;
	d->low = tlb_load(&c->vcpu.env, d->where, 8, SYS_MODE);
	d->high = wide ? tlb_load(&c->vcpu.env, d->where + 8, 8, SYS_MODE) : 0;
	return true;
}

void x86_desc_read(struct x86_cpu *c, uint16_t sel, bool wide, enum x86_vector vec, struct x86_desc *d)
{
	if (!x86_desc_probe(c, sel, wide, d))
		x86_fault_raise_err(c, vec, sel & ~3u);
}

/* Sets bits in the type byte (byte 5) of a descriptor in guest memory. */
static void type_byte(struct x86_cpu *c, struct x86_desc *d, uint8_t clear, uint8_t set)
{
	struct tcg_env *env = &c->vcpu.env;
	uint8_t *p = tlb_access_slow(env, d->where + 5, 1, TLB_RMW, SYS_MODE, TLB_SLOT_MISC, false);

	if (clear)
		__atomic_fetch_and(p, (uint8_t)~clear, __ATOMIC_SEQ_CST);
	if (set)
		__atomic_fetch_or(p, set, __ATOMIC_SEQ_CST);
	tlb_commit(env);
	d->low = (d->low & ~((uint64_t)clear << 40)) | (uint64_t)set << 40;
}

void x86_desc_set_accessed(struct x86_cpu *c, struct x86_desc *d)
{
	if (!(d->low >> 32 & X86_SA_ACCESSED))
		type_byte(c, d, 0, 1);
}

void x86_desc_set_busy(struct x86_cpu *c, struct x86_desc *d, bool busy)
{
	type_byte(c, d, busy ? 0 : 2, busy ? 2 : 0);
}

void x86_seg_set(struct x86_seg *s, uint16_t sel, uint64_t desc)
{
	s->sel = sel;
	s->base = x86_desc_base(desc);
	s->limit = x86_desc_limit(desc);
	s->attr = x86_desc_attr(desc);
}

void x86_seg_set_real(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	c->seg[r].sel = sel;
	c->seg[r].base = (uint32_t)sel << 4;
	if (r == X86_CS) /* a far transfer in real mode makes CS an ordinary, writable 64 KiB segment again */
		c->seg[r].attr = X86_SA_P | X86_SA_S | X86_SA_CODE | X86_SA_RW | X86_SA_ACCESSED;
}

void x86_seg_set_v86(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	c->seg[r] = (struct x86_seg){ .sel = sel, .base = (uint32_t)sel << 4, .limit = 0xffff,
				      .attr = X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED | 3u << X86_SA_DPL_SHIFT };
}

static void load_null(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	/* The base of a null FS or GS stays visible in 64-bit mode on AMD; Intel clears it. We clear. */
	c->seg[r].sel = sel;
	c->seg[r].attr = 0;
	c->seg[r].base = 0;
	c->seg[r].limit = 0;
}

void x86_seg_set_null_ss(struct x86_cpu *c, uint16_t sel, unsigned dpl)
{
	c->seg[X86_SS] = (struct x86_seg){ .sel = sel, .base = 0, .limit = 0xffffffff,
					   .attr = X86_SA_P | X86_SA_S | X86_SA_RW | X86_SA_ACCESSED | X86_SA_DB | X86_SA_G |
						   dpl << X86_SA_DPL_SHIFT };
}

void x86_seg_load_ss(struct x86_cpu *c, uint16_t sel, unsigned cpl, enum x86_vector vec)
{
	struct x86_desc d;
	uint32_t attr;

	if (!(sel & ~3u))
		x86_fault_raise_err(c, vec, 0);
	x86_desc_read(c, sel, false, vec, &d);
	attr = x86_desc_attr(d.low);
	if ((sel & 3) != cpl || x86_attr_dpl(attr) != cpl || (attr & (X86_SA_S | X86_SA_CODE | X86_SA_RW)) != (X86_SA_S | X86_SA_RW))
		x86_fault_raise_err(c, vec, sel & ~3u);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_SSF, sel & ~3u);
	x86_desc_set_accessed(c, &d);
	x86_seg_set(&c->seg[X86_SS], sel, d.low);
}

static void load_ss(struct x86_cpu *c, uint16_t sel)
{
	if (!(sel & ~3u) && x86_code64(c) && c->cpl != 3 && (sel & 3) == c->cpl) {
		x86_seg_set_null_ss(c, sel, c->cpl);
		return;
	}
	x86_seg_load_ss(c, sel, c->cpl, X86_GP);
}

static void load_other(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	struct x86_desc d;
	uint32_t attr;

	if (!(sel & ~3u)) {
		load_null(c, r, sel);
		return;
	}
	x86_desc_read(c, sel, false, X86_GP, &d);
	attr = x86_desc_attr(d.low);
	if (!(attr & X86_SA_S) || ((attr & X86_SA_CODE) && !(attr & X86_SA_RW)))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if ((attr & (X86_SA_CODE | X86_SA_CONFORMING)) != (X86_SA_CODE | X86_SA_CONFORMING) &&
	    (x86_attr_dpl(attr) < c->cpl || x86_attr_dpl(attr) < (sel & 3u)))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, sel & ~3u);
	x86_desc_set_accessed(c, &d);
	x86_seg_set(&c->seg[r], sel, d.low);
}

void x86_seg_load_data(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	if (!(c->cr0 & X86_CR0_PE))
		x86_seg_set_real(c, r, sel);
	else if (c->eflags & X86_FL_VM)
		x86_seg_set_v86(c, r, sel);
	else if (r == X86_SS)
		load_ss(c, sel);
	else
		load_other(c, r, sel);
}

bool x86_seg_offset_ok(const struct x86_seg *s, uint32_t off, unsigned size)
{
	uint64_t last = (uint64_t)off + size - 1;

	if (!(s->attr & X86_SA_CODE) && (s->attr & X86_SA_EXPAND_DOWN) && (s->attr & X86_SA_S))
		return off > s->limit && last <= (s->attr & X86_SA_DB ? 0xffffffffull : 0xffffull);
	return last <= s->limit;
}

bool x86_seg_access_ok(const struct x86_cpu *c, enum x86_sreg r, uint32_t off, unsigned size, bool write)
{
	const struct x86_seg *s = &c->seg[r];

	if (x86_protected(c)) {
		if (!(s->attr & X86_SA_P))
			return false;
		if (write && ((s->attr & X86_SA_CODE) || !(s->attr & X86_SA_RW)))
			return false;
		if (!write && (s->attr & X86_SA_CODE) && !(s->attr & X86_SA_RW))
			return false;
	}
	return x86_seg_offset_ok(s, off, size);
}

static uint64_t tss_read(struct x86_cpu *c, uint32_t off, unsigned size)
{
	if (!(c->tr.attr & X86_SA_P) || off + size - 1 > c->tr.limit)
		x86_fault_raise_err(c, X86_TS, c->tr.sel & ~3u);
	return tlb_load(&c->vcpu.env, c->tr.base + off, size, SYS_MODE);
}

void x86_tss_stack(struct x86_cpu *c, unsigned dpl, uint16_t *ss, uint64_t *sp)
{
	unsigned type = c->tr.attr >> 8 & 15;

	if (x86_long_mode(c)) {
		*sp = tss_read(c, 4 + 8 * dpl, 8);
		*ss = (uint16_t)dpl;
	} else if (type & 8) {
		*sp = tss_read(c, 4 + 8 * dpl, 4);
		*ss = (uint16_t)tss_read(c, 8 + 8 * dpl, 2);
	} else {
		*sp = tss_read(c, 2 + 4 * dpl, 2);
		*ss = (uint16_t)tss_read(c, 4 + 4 * dpl, 2);
	}
}

uint64_t x86_tss_ist(struct x86_cpu *c, unsigned n)
{
	return tss_read(c, 36 + 8 * (n - 1), 8);
}

bool x86_io_allowed(struct x86_cpu *c, uint16_t port, unsigned size)
{
	uint32_t map, off;
	uint16_t bits;

	if (!(c->cr0 & X86_CR0_PE))
		return true;
	if (!(c->eflags & X86_FL_VM) && c->cpl <= (c->eflags & X86_FL_IOPL) >> 12)
		return true;
	if (!(c->tr.attr & X86_SA_P) || !(c->tr.attr & 0x800) || c->tr.limit < 103)
		return false;
	map = (uint32_t)tlb_load(&c->vcpu.env, c->tr.base + 102, 2, SYS_MODE);
	off = map + port / 8;
	if (off + 1 > c->tr.limit)
		return false;
	bits = (uint16_t)tlb_load(&c->vcpu.env, c->tr.base + off, 2, SYS_MODE);
	return !(bits >> (port & 7) & ((1u << size) - 1));
}
