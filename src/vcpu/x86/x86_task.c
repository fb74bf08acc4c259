/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches. SDM volume 3A, chapter 8 (task management); table 8-1 for the checks and their faults, 8-2 for busy flags, NT and
 * the link field.
 *
 * All reads, and a test of all writes, come before the first change: a fault up to there belongs to the old task. Then the old task's state
 * is stored, the new one's loaded and its descriptors are checked one by one: a fault there belongs to the new task, which has its
 * registers, EIP and flags, and selectors without usable segments behind them where loading has not come to.
 */
#include "vcpu/x86/x86_task.h"

#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_stack.h"

#define SYS_MODE X86_MMU_KERNEL

/* Segment registers as they lie in a TSS: enum x86_sreg's order. A 16-bit TSS ends with DS. */
#define NR_SEGS16 4

struct task {
	uint16_t sel;
	struct x86_desc desc;
	uint64_t base;
	uint32_t limit;
	bool wide; /* 32-bit TSS */
};

/* What a TSS says. */
struct image {
	uint32_t cr3, eip, eflags, greg[8];
	uint16_t seg[X86_NR_SEGS], ldt;
	bool trap;
};

/* Where the fields lie. */
static const struct layout {
	uint8_t word, size, eip, greg, seg, seg_step, nr_segs, ldt;
} layouts[2] = { { 2, 44, 0x0e, 0x12, 0x22, 2, NR_SEGS16, 0x2a }, { 4, 104, 0x20, 0x28, 0x48, 4, X86_NR_SEGS, 0x60 } };

static void __attribute__((noreturn)) refuse(struct x86_cpu *c, enum x86_vector vec, uint16_t sel)
{
	x86_fault_raise_err(c, vec, sel & ~3u);
}

static unsigned type_of(uint32_t attr)
{
	return attr & (X86_SA_S | X86_SA_TYPE) ? attr >> 8 & 0x1f : 0;
}

static bool is_tss(unsigned type)
{
	return type == X86_TSS16 || type == X86_TSS32 || type == X86_TSS16_BUSY || type == X86_TSS32_BUSY;
}

/* The descriptor of the task to switch to; `vec` is raised for what is not a TSS, and for one that is busy (IRET: is not). */
static void find_task(struct x86_cpu *c, uint16_t sel, enum x86_task_source source, enum x86_vector vec, struct task *t)
{
	unsigned type;
	uint32_t attr;

	if (sel & 4 || !(sel & ~3u))
		refuse(c, vec, sel);
	x86_desc_read(c, sel, false, vec, &t->desc);
	attr = x86_desc_attr(t->desc.low);
	type = type_of(attr);
	if (!is_tss(type) || !(type & 2) != (source != X86_TASK_IRET))
		refuse(c, vec, sel);
	if (!(attr & X86_SA_P))
		refuse(c, X86_NP, sel);
	t->sel = sel;
	t->base = x86_desc_base(t->desc.low);
	t->limit = x86_desc_limit(t->desc.low);
	t->wide = type & 8;
	if (t->limit < layouts[t->wide].size - 1u)
		refuse(c, X86_TS, sel);
}

static uint32_t load(struct x86_cpu *c, uint64_t base, unsigned off, unsigned size)
{
	return (uint32_t)tlb_load(&c->vcpu.env, (uint32_t)(base + off), size, SYS_MODE);
}

static void store(struct x86_cpu *c, uint64_t base, unsigned off, uint32_t v, unsigned size)
{
	tlb_store(&c->vcpu.env, (uint32_t)(base + off), v, size, SYS_MODE);
}

static void read_image(struct x86_cpu *c, const struct task *t, struct image *m)
{
	const struct layout *l = &layouts[t->wide];

	*m = (struct image){ .cr3 = t->wide ? load(c, t->base, 0x1c, 4) : 0, .trap = t->wide && load(c, t->base, 0x64, 2) & 1 };
	m->eip = load(c, t->base, l->eip, l->word);
	m->eflags = load(c, t->base, l->eip + l->word, l->word);
	for (unsigned i = 0; i < 8; i++)
		m->greg[i] = load(c, t->base, l->greg + i * l->word, l->word);
	for (unsigned i = 0; i < l->nr_segs; i++)
		m->seg[i] = (uint16_t)load(c, t->base, l->seg + i * l->seg_step, 2);
	m->ldt = (uint16_t)load(c, t->base, l->ldt, 2);
}

/* The bytes from..to of a TSS can be written. */
static void probe_write(struct x86_cpu *c, uint64_t base, unsigned from, unsigned to)
{
	tlb_page_ptr(&c->vcpu.env, (uint32_t)(base + from), TLB_WRITE, SYS_MODE);
	tlb_page_ptr(&c->vcpu.env, (uint32_t)(base + to), TLB_WRITE, SYS_MODE);
}

static bool old_is_wide(const struct x86_cpu *c)
{
	return c->tr.attr >> 8 & 8;
}

static void save_old(struct x86_cpu *c, uint32_t ip, uint32_t flags)
{
	const struct layout *l = &layouts[old_is_wide(c)];
	uint64_t base = c->tr.base;

	store(c, base, l->eip, ip, l->word);
	store(c, base, l->eip + l->word, flags, l->word);
	for (unsigned i = 0; i < 8; i++)
		store(c, base, l->greg + i * l->word, (uint32_t)c->vcpu.env.greg[i], l->word);
	for (unsigned i = 0; i < l->nr_segs; i++)
		store(c, base, l->seg + i * l->seg_step, c->seg[i].sel, 2);
}

/* The old task's descriptor becomes available. */
static void clear_busy(struct x86_cpu *c)
{
	struct x86_desc d;

	if (x86_desc_probe(c, c->tr.sel, false, &d))
		x86_desc_set_busy(c, &d, false);
}

/* Registers of the new task, and its selectors with nothing behind them. */
static void load_registers(struct x86_cpu *c, const struct task *t, const struct image *m, uint32_t flags)
{
	for (unsigned i = 0; i < 8; i++)
		c->vcpu.env.greg[i] = m->greg[i];
	if (!t->wide)
		flags &= 0xffff;
	x86_eflags_set(c, flags & 0x3f7fd7);
	c->cpl = m->seg[X86_CS] & 3;
	for (unsigned i = 0; i < X86_NR_SEGS; i++)
		c->seg[i] = (struct x86_seg){ .sel = m->seg[i] };
	c->ldt = (struct x86_seg){ .sel = m->ldt };
	c->vcpu.env.pc = m->eip;
	c->single_step_due = X86_STEP_NONE;
	x86_mode_update(c);
}

static void load_ldt(struct x86_cpu *c, uint16_t sel)
{
	struct x86_desc d;

	if (!(sel & ~3u))
		return;
	if (sel & 4)
		refuse(c, X86_TS, sel);
	x86_desc_read(c, sel, false, X86_TS, &d);
	if (type_of(x86_desc_attr(d.low)) != X86_LDT || !(x86_desc_attr(d.low) & X86_SA_P))
		refuse(c, X86_TS, sel);
	x86_seg_set(&c->ldt, sel, d.low);
}

static void load_cs(struct x86_cpu *c, uint16_t sel)
{
	struct x86_desc d;
	uint32_t attr;
	unsigned dpl;

	if (!(sel & ~3u))
		refuse(c, X86_TS, sel);
	x86_desc_read(c, sel, false, X86_TS, &d);
	attr = x86_desc_attr(d.low);
	dpl = x86_attr_dpl(attr);
	if (!x86_attr_is_code(attr) || (attr & X86_SA_CONFORMING ? dpl > c->cpl : dpl != c->cpl))
		refuse(c, X86_TS, sel);
	if (!(attr & X86_SA_P))
		refuse(c, X86_NP, sel);
	x86_desc_set_accessed(c, &d);
	x86_seg_set(&c->seg[X86_CS], sel, d.low);
}

/* As x86_seg_load_data() does it, but with #TS in place of #GP. */
static void load_data(struct x86_cpu *c, enum x86_sreg r, uint16_t sel)
{
	struct x86_desc d;
	uint32_t attr;
	bool conforming;

	if (!(sel & ~3u))
		return;
	x86_desc_read(c, sel, false, X86_TS, &d);
	attr = x86_desc_attr(d.low);
	conforming = (attr & (X86_SA_CODE | X86_SA_CONFORMING)) == (X86_SA_CODE | X86_SA_CONFORMING);
	if (!(attr & X86_SA_S) || ((attr & X86_SA_CODE) && !(attr & X86_SA_RW)))
		refuse(c, X86_TS, sel);
	if (!conforming && (x86_attr_dpl(attr) < c->cpl || x86_attr_dpl(attr) < (sel & 3u)))
		refuse(c, X86_TS, sel);
	if (!(attr & X86_SA_P))
		refuse(c, X86_NP, sel);
	x86_desc_set_accessed(c, &d);
	x86_seg_set(&c->seg[r], sel, d.low);
}

static void load_segments(struct x86_cpu *c, const struct image *m)
{
	static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	load_ldt(c, m->ldt);
	if (c->eflags & X86_FL_VM) {
		for (unsigned r = 0; r < X86_NR_SEGS; r++)
			x86_seg_set_v86(c, (enum x86_sreg)r, m->seg[r]);
		return;
	}
	load_cs(c, m->seg[X86_CS]);
	x86_seg_load_ss(c, m->seg[X86_SS], c->cpl, X86_TS);
	for (unsigned i = 0; i < ARRAY_LEN(data); i++)
		load_data(c, (enum x86_sreg)data[i], m->seg[data[i]]);
}

/* `flags`: of the old task, as saved. Returns in the new one. */
static void switch_to(struct x86_cpu *c, struct task *t, enum x86_task_source source, uint32_t ip, uint32_t flags)
{
	const struct layout *old = &layouts[old_is_wide(c)];
	bool nested = source == X86_TASK_CALL || source == X86_TASK_INT;
	struct image m;
	bool good;

	if (c->tr.limit < old->size - 1u)
		refuse(c, X86_TS, c->tr.sel);
	read_image(c, t, &m);
	probe_write(c, c->tr.base, old->eip, (unsigned)(old->seg + old->nr_segs * old->seg_step - 1));
	if (nested)
		probe_write(c, t->base, 0, 1);
	if (source != X86_TASK_IRET)
		tlb_page_ptr(&c->vcpu.env, t->desc.where + 5, TLB_WRITE, SYS_MODE);
	/* From here on nothing faults until the old task is left. */
	if (!nested)
		clear_busy(c);
	save_old(c, ip, source == X86_TASK_IRET ? flags & ~X86_FL_NT : flags);
	if (nested)
		store(c, t->base, 0, c->tr.sel, 2);
	if (source != X86_TASK_IRET)
		x86_desc_set_busy(c, &t->desc, true);
	x86_seg_set(&c->tr, t->sel, t->desc.low | 2ull << 40);
	c->cr0 |= X86_CR0_TS;
	c->dr[7] &= ~(uint64_t)X86_DR7_LOCALS;
	x86_debug_update(c);
	good = !t->wide || !(c->cr0 & X86_CR0_PG) || m.cr3 == c->cr3 || x86_cr3_load(c, m.cr3);
	load_registers(c, t, &m, nested ? m.eflags | X86_FL_NT : m.eflags);
	if (!good) /* PAE's pointers are not valid: no word on it in chapter 8; a bad TSS, of the new task and in the old address space */
		refuse(c, X86_TS, t->sel);
	load_segments(c, &m);
	x86_mode_update(c);
	if (m.eip > c->seg[X86_CS].limit)
		x86_fault_raise_err(c, X86_GP, 0);
	x86_set_ip(c, m.eip);
	if (m.trap)
		x86_debug_task_trap(c);
}

bool x86_task_transfer(struct x86_cpu *c, uint16_t sel, struct x86_desc *d, enum x86_task_source source, unsigned length)
{
	uint32_t attr = x86_desc_attr(d->low);
	unsigned type = type_of(attr);
	struct task t;

	if (x86_long_mode(c) || (type != X86_TASK_GATE && !is_tss(type)))
		return false;
	if (x86_attr_dpl(attr) < c->cpl || x86_attr_dpl(attr) < (sel & 3u))
		refuse(c, X86_GP, sel);
	if (type == X86_TASK_GATE) {
		if (!(attr & X86_SA_P))
			refuse(c, X86_NP, sel);
		sel = (uint16_t)(d->low >> 16);
	}
	find_task(c, sel, source, X86_GP, &t);
	switch_to(c, &t, source, (uint32_t)x86_ip_of(c, c->vcpu.env.pc + length), x86_eflags_get(c) & ~X86_FL_RF);
	return true;
}

void x86_task_return(struct x86_cpu *c, unsigned length)
{
	struct task t;

	find_task(c, (uint16_t)load(c, c->tr.base, 0, 2), X86_TASK_IRET, X86_TS, &t);
	switch_to(c, &t, X86_TASK_IRET, (uint32_t)x86_ip_of(c, c->vcpu.env.pc + length), x86_eflags_get(c) & ~X86_FL_RF);
}

void x86_task_interrupt(struct x86_cpu *c, uint16_t sel, uint64_t ip, uint32_t flags, bool has_error, uint32_t error)
{
	struct x86_stack s;
	struct task t;

	find_task(c, sel, X86_TASK_INT, X86_GP, &t);
	switch_to(c, &t, X86_TASK_INT, (uint32_t)ip, flags);
	if (!has_error)
		return;
	s = x86_stack_now(c);
	x86_stack_push(&s, error, t.wide ? 4 : 2);
	c->vcpu.env.greg[X86_RSP] = s.sp;
}
