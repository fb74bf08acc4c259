/* SPDX-License-Identifier: MIT */
/*
 * Segment registers, descriptor tables and the instructions that examine descriptors. SDM volume 2; volume 3A 5.10.
 */
#include <string.h>

#include "mem/tlb.h"
#include "vcpu/exec.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_segment.h"

static void set_zf(struct tcg_env *env, bool on)
{
	env->flags = (env->flags & ~(uint64_t)X86_FL_ZF) | (on ? X86_FL_ZF : 0);
}

uint64_t x86_rt_seg_load(struct tcg_env *env, uint64_t reg, uint64_t sel, uint64_t shadow)
{
	struct x86_cpu *c = x86_cpu(env);

	x86_seg_load_data(c, (enum x86_sreg)reg, (uint16_t)sel);
	if (shadow) {
		c->shadow = X86_SHADOW_SS;
		c->single_step_due = X86_STEP_NONE; /* lost, not put off */
	}
	x86_mode_update(c);
	return 0;
}

static unsigned table_base_size(const struct x86_cpu *c)
{
	return x86_code64(c) ? 8 : 4;
}

uint64_t x86_rt_lgdt(struct tcg_env *env, uint64_t va, uint64_t size, uint64_t idt)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned mode = x86_mmu_mode(c);
	struct x86_table t;

	t.limit = (uint16_t)tlb_load(env, va, 2, mode);
	t.base = tlb_load(env, va + 2, table_base_size(c), mode);
	if (table_base_size(c) == 8) {
		if (!x86_canonical(c, t.base))
			x86_fault_raise_err(c, X86_GP, 0);
	} else if (size == 2) {
		t.base &= 0xffffff;
	}
	*(idt ? &c->idt : &c->gdt) = t;
	return 0;
}

uint64_t x86_rt_sgdt(struct tcg_env *env, uint64_t va, uint64_t size, uint64_t idt)
{
	struct x86_cpu *c = x86_cpu(env);
	const struct x86_table *t = idt ? &c->idt : &c->gdt;
	uint8_t image[10];

	(void)size;
	if (c->tb_flags & X86_TB_UMIP)
		x86_fault_raise_err(c, X86_GP, 0);
	memcpy(image, &t->limit, 2);
	memcpy(image + 2, &t->base, 8);
	tlb_store_bytes(env, va, image, 2 + table_base_size(c), x86_mmu_mode(c));
	return 0;
}

/* The descriptor of an LDT or TSS: 16 bytes in long mode. */
static void read_system(struct x86_cpu *c, uint16_t sel, struct x86_desc *d, enum x86_sys_type a, enum x86_sys_type b)
{
	unsigned type;

	if (sel & 4)
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	x86_desc_read(c, sel, x86_long_mode(c), X86_GP, d);
	type = d->low >> 40 & 0x1f;
	if (type != a && (type != b || x86_long_mode(c)))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (!(d->low >> 47 & 1))
		x86_fault_raise_err(c, X86_NP, sel & ~3u);
}

static void set_system(struct x86_cpu *c, struct x86_seg *s, uint16_t sel, const struct x86_desc *d)
{
	x86_seg_set(s, sel, d->low);
	if (x86_long_mode(c))
		s->base |= d->high << 32;
}

uint64_t x86_rt_lldt(struct tcg_env *env, uint64_t sel64, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)sel64;
	struct x86_desc d;

	(void)b;
	(void)unused;
	if (!(sel & ~3u)) {
		c->ldt = (struct x86_seg){ .sel = sel };
		return 0;
	}
	read_system(c, sel, &d, X86_LDT, X86_LDT);
	set_system(c, &c->ldt, sel, &d);
	return 0;
}

uint64_t x86_rt_ltr(struct tcg_env *env, uint64_t sel64, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)sel64;
	struct x86_desc d;

	(void)b;
	(void)unused;
	if (!(sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	read_system(c, sel, &d, X86_TSS32, X86_TSS16);
	x86_desc_set_busy(c, &d, true);
	set_system(c, &c->tr, sel, &d);
	return 0;
}

uint64_t x86_rt_str(struct tcg_env *env, uint64_t what, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)b;
	(void)unused;
	if (c->tb_flags & X86_TB_UMIP)
		x86_fault_raise_err(c, X86_GP, 0);
	return what == 0 ? c->ldt.sel : what == 1 ? c->tr.sel : c->cr0;
}

/* Readable at the current privilege and the selector's? Conforming code always is. */
static bool visible(const struct x86_cpu *c, uint16_t sel, uint32_t attr)
{
	unsigned dpl = x86_attr_dpl(attr);

	if (x86_attr_is_code(attr) && (attr & X86_SA_CONFORMING))
		return true;
	return c->cpl <= dpl && (sel & 3u) <= dpl;
}

static bool type_ok(const struct x86_cpu *c, uint32_t attr, bool gates)
{
	unsigned type = attr >> 8 & 15;

	if (attr & X86_SA_S)
		return true;
	switch (type) {
	case X86_LDT:
	case X86_TSS32:
	case X86_TSS32_BUSY:
		return true;
	case X86_TSS16:
	case X86_TSS16_BUSY:
		return !x86_long_mode(c);
	case X86_CALL_GATE32:
		return gates;
	case X86_CALL_GATE16:
	case X86_TASK_GATE:
		return gates && !x86_long_mode(c);
	default:
		return false;
	}
}

/* Common to LAR and LSL: the descriptor if the selector names one of an allowed type that may be seen. */
static bool examine(struct tcg_env *env, uint64_t sel64, bool gates, struct x86_desc *d)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)sel64;
	bool ok = (sel & ~3u) && x86_desc_probe(c, sel, false, d) && type_ok(c, x86_desc_attr(d->low), gates) &&
		  visible(c, sel, x86_desc_attr(d->low));

	set_zf(env, ok);
	return ok;
}

uint64_t x86_rt_lar(struct tcg_env *env, uint64_t sel, uint64_t b, uint64_t unused)
{
	struct x86_desc d;

	(void)b;
	(void)unused;
	return examine(env, sel, true, &d) ? d.low >> 32 & 0x00ffff00 : 0;
}

uint64_t x86_rt_lsl(struct tcg_env *env, uint64_t sel, uint64_t b, uint64_t unused)
{
	struct x86_desc d;

	(void)b;
	(void)unused;
	return examine(env, sel, false, &d) ? x86_desc_limit(d.low) : 0;
}

uint64_t x86_rt_verr(struct tcg_env *env, uint64_t sel, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	struct x86_desc d;
	bool ok = (sel & 0xfffc) && x86_desc_probe(c, (uint16_t)sel, false, &d);
	uint32_t attr = ok ? x86_desc_attr(d.low) : 0;

	(void)b;
	(void)unused;
	ok = ok && (attr & X86_SA_S) && (!(attr & X86_SA_CODE) || (attr & X86_SA_RW)) && visible(c, (uint16_t)sel, attr);
	set_zf(env, ok);
	return 0;
}

uint64_t x86_rt_verw(struct tcg_env *env, uint64_t sel, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	struct x86_desc d;
	bool ok = (sel & 0xfffc) && x86_desc_probe(c, (uint16_t)sel, false, &d);
	uint32_t attr = ok ? x86_desc_attr(d.low) : 0;

	(void)b;
	(void)unused;
	ok = ok && (attr & (X86_SA_S | X86_SA_CODE | X86_SA_RW)) == (X86_SA_S | X86_SA_RW) && visible(c, (uint16_t)sel, attr);
	set_zf(env, ok);
	return 0;
}

uint64_t x86_rt_arpl(struct tcg_env *env, uint64_t dest, uint64_t src, uint64_t unused)
{
	bool lower = (dest & 3) < (src & 3);

	(void)unused;
	set_zf(env, lower);
	return lower ? (dest & ~3ull) | (src & 3) : dest;
}

uint64_t x86_rt_arpl_mem(struct tcg_env *env, uint64_t va, uint64_t src, uint64_t seg)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned mode = x86_mmu_mode(c);
	uint64_t dest;

	x86_data_fault_check_alignment(c, va, 2);
	dest = tlb_load(env, va, 2, mode);
	if ((dest & 3) < (src & 3)) {
		x86_rt_seg_check(env, seg | X86_SEG_CHECK_WRITE | 2u << X86_SEG_CHECK_SIZE, (uint32_t)(va - c->seg[seg].base), 0);
		tlb_store(env, va, (dest & ~3ull) | (src & 3), 2, mode);
	}
	set_zf(env, (dest & 3) < (src & 3));
	return 0;
}

uint64_t x86_rt_code_limit(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	(void)a;
	(void)b;
	(void)unused;
	vcpu_run_alone(env);
	x86_fault_raise_err(x86_cpu(env), X86_GP, 0);
}

/* LOOP takes back what it has done to its count. */
static void __attribute__((noreturn)) branch_refused(struct x86_cpu *c, bool counts)
{
	if (counts)
		c->vcpu.env.greg[X86_RCX] = c->loop_count;
	x86_fault_raise_err(c, X86_GP, 0);
}

uint64_t x86_rt_branch_canonical(struct tcg_env *env, uint64_t ip, uint64_t counts, uint64_t unused)
{
	(void)unused;
	if (!x86_canonical(x86_cpu(env), ip))
		branch_refused(x86_cpu(env), counts);
	return 0;
}

/* A fault of the push comes first, as CPUs have it; so the stack is asked, and left alone. */
uint64_t x86_rt_call_canonical(struct tcg_env *env, uint64_t ip, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	gva_t sp = env->greg[X86_RSP] - 8;

	(void)b;
	(void)unused;
	if (x86_canonical(c, ip))
		return 0;
	x86_data_fault_check_alignment(c, sp, 8);
	tlb_page_ptr(env, sp, TLB_WRITE, x86_mmu_mode(c));
	tlb_page_ptr(env, sp + 7, TLB_WRITE, x86_mmu_mode(c));
	x86_fault_raise_err(c, X86_GP, 0);
}

uint64_t x86_rt_branch_limit(struct tcg_env *env, uint64_t ip, uint64_t counts, uint64_t unused)
{
	(void)unused;
	if (ip > x86_cpu(env)->seg[X86_CS].limit)
		branch_refused(x86_cpu(env), counts);
	return 0;
}

static bool is_present_code(const struct x86_seg *s)
{
	return (s->attr & (X86_SA_P | X86_SA_S | X86_SA_CODE)) == (X86_SA_P | X86_SA_S | X86_SA_CODE);
}

uint64_t x86_rt_seg_check(struct tcg_env *env, uint64_t desc, uint64_t off, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned reg = desc & 7, size = (unsigned)(desc >> X86_SEG_CHECK_SIZE);

	(void)unused;
	if (x86_seg_access_ok(c, reg, (uint32_t)off, size ? size : 1, desc & X86_SEG_CHECK_WRITE))
		return 0;
	if ((desc & X86_SEG_CHECK_FLUSH) && is_present_code(&c->seg[reg]) && x86_seg_offset_ok(&c->seg[reg], (uint32_t)off, size))
		return 0;
	x86_data_fault_check_x87(c);
	x86_fault_raise_err(c, reg == X86_SS ? X86_SSF : X86_GP, 0);
}

uint64_t x86_rt_swapgs(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t base = c->seg[X86_GS].base;

	(void)a;
	(void)b;
	(void)unused;
	c->seg[X86_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	return 0;
}

uint64_t x86_rt_wrsegbase(struct tcg_env *env, uint64_t reg, uint64_t value, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);

	(void)unused;
	if (!x86_canonical(c, value))
		x86_fault_raise_err(c, X86_GP, 0);
	c->seg[reg].base = value;
	return 0;
}
