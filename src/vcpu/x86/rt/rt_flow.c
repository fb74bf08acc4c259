/* SPDX-License-Identifier: MIT */
/*
 * Far transfers: JMP, CALL and RET between segments, IRET, SYSCALL and SYSENTER with their returns. SDM volume 2 (each instruction's
 * operation section), volume 3A 5.8.
 *
 * As in interrupt delivery nothing changes before the last step that may fault.
 */
#include <string.h>

#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_stack.h"
#include "vcpu/x86/x86_task.h"
#include "vcpu/x86/x86_vme.h"
#include "vcpu/x86/x86_x87.h"

static uint64_t sp_mask(const struct x86_cpu *c)
{
	return x86_code64(c) ? ~0ull : x86_stack_mask(&c->seg[X86_SS]);
}

static void check_target(struct x86_cpu *c, uint64_t pc, uint64_t desc)
{
	uint32_t attr = x86_desc_attr(desc);

	if (x86_long_mode(c) && (attr & X86_SA_L)) {
		if (!x86_canonical(c, pc))
			x86_fault_raise_err(c, X86_GP, 0);
	} else if (pc > x86_desc_limit(desc)) {
		x86_fault_raise_err(c, X86_GP, 0);
	}
}

static void set_cs(struct x86_cpu *c, uint16_t sel, struct x86_desc *d, unsigned cpl, uint64_t pc)
{
	x86_desc_set_accessed(c, d);
	x86_seg_set(&c->seg[X86_CS], (uint16_t)((sel & ~3u) | cpl), d->low);
	c->cpl = (uint8_t)cpl;
	x86_set_ip(c, pc);
}

/* ---- Far JMP and CALL */

static void real_transfer(struct x86_cpu *c, uint16_t sel, uint64_t pc)
{
	if (c->eflags & X86_FL_VM)
		x86_seg_set_v86(c, X86_CS, sel);
	else
		x86_seg_set_real(c, X86_CS, sel);
	x86_set_ip(c, pc);
	x86_mode_update(c);
}

/* A code segment named directly: privilege must not change. */
static void check_direct_code(struct x86_cpu *c, uint16_t sel, const struct x86_desc *d)
{
	uint32_t attr = x86_desc_attr(d->low);
	unsigned dpl = x86_attr_dpl(attr);

	if (attr & X86_SA_CONFORMING ? dpl > c->cpl : (sel & 3u) > c->cpl || dpl != c->cpl)
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (x86_long_mode(c) && (attr & X86_SA_L) && (attr & X86_SA_DB))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, sel & ~3u);
}

struct call_gate {
	uint16_t sel;
	uint64_t offset;
	unsigned size, params;
	struct x86_desc cs;
	unsigned dpl; /* of the target code segment */
	bool conforming;
};

static void read_call_gate(struct x86_cpu *c, uint16_t sel, struct x86_desc *d, struct call_gate *g)
{
	uint32_t attr = x86_desc_attr(d->low), target;
	unsigned type = attr >> 8 & 15;
	bool lma = x86_long_mode(c);

	if ((attr & X86_SA_S) || (type != X86_CALL_GATE32 && (lma || type != X86_CALL_GATE16)))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (x86_attr_dpl(attr) < c->cpl || x86_attr_dpl(attr) < (sel & 3u))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, sel & ~3u);
	if (lma)
		x86_desc_read(c, sel, true, X86_GP, d);
	g->sel = (uint16_t)(d->low >> 16);
	g->offset = (d->low & 0xffff) | (d->low >> 48) << 16 | (d->high & 0xffffffff) << 32;
	g->size = lma ? 8 : type == X86_CALL_GATE32 ? 4 : 2;
	g->params = lma ? 0 : d->low >> 32 & 31;
	if (g->size == 2)
		g->offset &= 0xffff;
	if (!(g->sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	x86_desc_read(c, g->sel, false, X86_GP, &g->cs);
	target = x86_desc_attr(g->cs.low);
	g->dpl = x86_attr_dpl(target);
	g->conforming = target & X86_SA_CONFORMING;
	if (!x86_attr_is_code(target) || g->dpl > c->cpl || (lma && (!(target & X86_SA_L) || (target & X86_SA_DB))))
		x86_fault_raise_err(c, X86_GP, g->sel & ~3u);
	if (!(target & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, g->sel & ~3u);
}

uint64_t x86_rt_far_jmp(struct tcg_env *env, uint64_t sel64, uint64_t pc, uint64_t desc)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)sel64;
	struct x86_desc d;
	struct call_gate g;

	if (!x86_protected(c)) {
		real_transfer(c, sel, pc);
		return 0;
	}
	if (!(sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	x86_desc_read(c, sel, false, X86_GP, &d);
	if (x86_attr_is_code(x86_desc_attr(d.low))) {
		check_direct_code(c, sel, &d);
		check_target(c, pc, d.low);
		set_cs(c, sel, &d, c->cpl, pc);
	} else if (x86_task_transfer(c, sel, &d, X86_TASK_JMP, (unsigned)(desc & 0xff))) {
		return 0;
	} else {
		read_call_gate(c, sel, &d, &g);
		if (!g.conforming && g.dpl != c->cpl)
			x86_fault_raise_err(c, X86_GP, g.sel & ~3u);
		check_target(c, g.offset, g.cs.low);
		set_cs(c, g.sel, &g.cs, c->cpl, g.offset);
	}
	x86_mode_update(c);
	return 0;
}

/* Through a gate to an inner level: new stack with the old one's address and the parameters on it. */
static void gate_call_inner(struct x86_cpu *c, const struct call_gate *g, uint64_t ret)
{
	struct tcg_env *env = &c->vcpu.env;
	struct x86_stack old = x86_stack_now(c), s;
	struct x86_seg old_ss = c->seg[X86_SS];
	uint64_t params[32], sp;
	uint16_t ss;

	for (unsigned i = 0; i < g->params; i++)
		params[i] = x86_stack_peek(&old, i * g->size, g->size);
	x86_tss_stack(c, g->dpl, &ss, &sp);
	c->fault.undo_ss = old_ss;
	if (x86_long_mode(c))
		x86_seg_set_null_ss(c, (uint16_t)g->dpl, g->dpl);
	else
		x86_seg_load_ss(c, ss, g->dpl, X86_TS);
	c->fault.undo = true; /* from here on a fault puts the old SS back */
	s = x86_long_mode(c) ? (struct x86_stack){ c, 0, sp, ~0ull, NULL, 0, X86_MMU_KERNEL } :
			       x86_stack_of(c, &c->seg[X86_SS], sp, X86_MMU_KERNEL); /* the inner level's, which is not yet the CPU's */
	s.error = ss & ~3u;
	x86_stack_push(&s, old_ss.sel, g->size);
	x86_stack_push(&s, env->greg[X86_RSP], g->size);
	for (unsigned i = g->params; i > 0; i--)
		x86_stack_push(&s, params[i - 1], g->size);
	x86_stack_push(&s, c->seg[X86_CS].sel, g->size);
	x86_stack_push(&s, ret, g->size);
	c->fault.undo = false;
	env->greg[X86_RSP] = s.sp;
}

uint64_t x86_rt_far_call(struct tcg_env *env, uint64_t sel64, uint64_t pc, uint64_t desc)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned size = (unsigned)(desc >> 56);
	uint64_t ret = x86_ip_of(c, env->pc + (desc & 0xff));
	uint16_t sel = (uint16_t)sel64;
	struct x86_stack s = x86_stack_now(c);
	struct x86_desc d;
	struct call_gate g;

	if (!x86_protected(c)) {
		x86_stack_push(&s, c->seg[X86_CS].sel, size);
		x86_stack_push(&s, ret, size);
		env->greg[X86_RSP] = s.sp;
		real_transfer(c, sel, pc);
		return 0;
	}
	if (!(sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	x86_desc_read(c, sel, false, X86_GP, &d);
	if (x86_attr_is_code(x86_desc_attr(d.low))) {
		check_direct_code(c, sel, &d);
		check_target(c, pc, d.low);
		x86_stack_push(&s, c->seg[X86_CS].sel, size);
		x86_stack_push(&s, ret, size);
		env->greg[X86_RSP] = s.sp;
		set_cs(c, sel, &d, c->cpl, pc);
	} else if (x86_task_transfer(c, sel, &d, X86_TASK_CALL, (unsigned)(desc & 0xff))) {
		return 0;
	} else {
		read_call_gate(c, sel, &d, &g);
		check_target(c, g.offset, g.cs.low);
		if (!g.conforming && g.dpl < c->cpl) {
			gate_call_inner(c, &g, ret);
			set_cs(c, g.sel, &g.cs, g.dpl, g.offset);
		} else {
			x86_stack_push(&s, c->seg[X86_CS].sel, g.size);
			x86_stack_push(&s, ret, g.size);
			env->greg[X86_RSP] = s.sp;
			set_cs(c, g.sel, &g.cs, c->cpl, g.offset);
		}
	}
	x86_mode_update(c);
	return 0;
}

/* ---- Far RET and IRET */

static void check_return_code(struct x86_cpu *c, uint16_t sel, struct x86_desc *d)
{
	uint32_t attr;
	unsigned rpl = sel & 3, dpl;

	if (!(sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	x86_desc_read(c, sel, false, X86_GP, d);
	attr = x86_desc_attr(d->low);
	dpl = x86_attr_dpl(attr);
	if (!x86_attr_is_code(attr) || rpl < c->cpl || (attr & X86_SA_CONFORMING ? dpl > rpl : dpl != rpl))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (x86_long_mode(c) && (attr & X86_SA_L) && (attr & X86_SA_DB))
		x86_fault_raise_err(c, X86_GP, sel & ~3u);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, sel & ~3u);
}

/* SS for a return to privilege `rpl`; a null one is legal when returning to 64-bit code below level 3. */
static void return_ss(struct x86_cpu *c, uint16_t ss, unsigned rpl, const struct x86_desc *cs)
{
	if (!(ss & ~3u) && x86_long_mode(c) && (x86_desc_attr(cs->low) & X86_SA_L) && rpl != 3 && (ss & 3u) == rpl) {
		x86_seg_set_null_ss(c, ss, rpl);
		return;
	}
	x86_seg_load_ss(c, ss, rpl, X86_GP);
}

/* Data segments that the outer level may not use become null. */
static void drop_inner_segments(struct x86_cpu *c)
{
	static const uint8_t regs[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
		struct x86_seg *s = &c->seg[regs[i]];
		bool conforming = (s->attr & (X86_SA_CODE | X86_SA_CONFORMING)) == (X86_SA_CODE | X86_SA_CONFORMING);

		if ((s->attr & X86_SA_P) && !conforming && x86_attr_dpl(s->attr) < c->cpl) {
			s->sel = 0;
			s->attr = 0;
			s->base = 0;
			s->limit = 0;
		}
	}
}

static void set_sp(struct x86_cpu *c, uint64_t sp)
{
	uint64_t mask = sp_mask(c);
	uint64_t *rsp = &c->vcpu.env.greg[X86_RSP];

	*rsp = mask == 0xffff ? (*rsp & ~0xffffull) | (sp & 0xffff) : sp & mask;
}

uint64_t x86_rt_far_ret(struct tcg_env *env, uint64_t size64, uint64_t release, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned size = (unsigned)size64;
	struct x86_stack s = x86_stack_now(c);
	uint64_t pc = x86_stack_pop(&s, size), sp;
	uint16_t sel = (uint16_t)x86_stack_pop(&s, size), ss;
	struct x86_desc d;

	(void)unused;
	if (!x86_protected(c)) {
		x86_stack_release(&s, release);
		env->greg[X86_RSP] = s.sp;
		real_transfer(c, sel, pc);
		return 0;
	}
	check_return_code(c, sel, &d);
	check_target(c, pc, d.low);
	x86_stack_release(&s, release);
	if ((sel & 3u) == c->cpl) {
		set_cs(c, sel, &d, c->cpl, pc);
		set_sp(c, s.sp);
	} else {
		sp = x86_stack_pop(&s, size);
		ss = (uint16_t)x86_stack_pop(&s, size);
		return_ss(c, ss, sel & 3, &d);
		set_cs(c, sel, &d, sel & 3, pc);
		set_sp(c, sp + release);
		drop_inner_segments(c);
	}
	x86_mode_update(c);
	return 0;
}

static void iret_real(struct x86_cpu *c, unsigned size)
{
	struct x86_stack s = x86_stack_now(c);
	uint64_t pc = x86_stack_pop(&s, size);
	uint16_t sel = (uint16_t)x86_stack_pop(&s, size);
	uint32_t fl = (uint32_t)x86_stack_pop(&s, size), keep = X86_FL_VM | X86_FL_VIF | X86_FL_VIP;

	if (c->eflags & X86_FL_VM)
		keep |= X86_FL_IOPL;
	if (size == 2)
		keep |= 0xffff0000;
	if ((c->eflags & X86_FL_VM) && x86_if_is_denied(c))
		x86_vme_popf(c, fl, size);
	else
		x86_eflags_set(c, (fl & ~keep) | (x86_eflags_get(c) & keep));
	c->vcpu.env.greg[X86_RSP] = s.sp;
	real_transfer(c, sel, pc);
}

/* EFLAGS bits that IRET at this privilege may not change. */
static uint32_t iret_keep(const struct x86_cpu *c, unsigned size)
{
	uint32_t keep = size == 2 ? 0xffff0000 : 0;

	if (c->cpl > 0)
		keep |= X86_FL_IOPL | X86_FL_VIF | X86_FL_VIP | X86_FL_VM;
	if (c->cpl > (c->eflags & X86_FL_IOPL) >> 12)
		keep |= X86_FL_IF;
	return keep | X86_FL_VM;
}

static void iret_to_v86(struct x86_cpu *c, struct x86_stack *s, uint64_t pc, uint16_t cs, uint32_t fl)
{
	uint64_t sp = x86_stack_pop(s, 4);
	static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
	uint16_t sel[ARRAY_LEN(order)];

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		sel[i] = (uint16_t)x86_stack_pop(s, 4);
	x86_eflags_set(c, fl);
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		x86_seg_set_v86(c, (enum x86_sreg)order[i], sel[i]);
	x86_seg_set_v86(c, X86_CS, cs);
	c->vcpu.env.greg[X86_RSP] = sp;
	x86_set_ip(c, pc & 0xffff);
	c->cpl = 3;
	x86_mode_update(c);
}

struct iret_image {
	uint64_t pc, sp;
	uint32_t flags;
	uint16_t cs, ss;
};

static void iret_pop_stack(struct x86_stack *s, struct iret_image *f, unsigned size)
{
	f->sp = x86_stack_pop(s, size);
	f->ss = (uint16_t)x86_stack_pop(s, size);
}

/* Without the stack pointer, which may fault only after the checks of CS; true: with it, for it cannot fault. */
static bool iret_pop(struct x86_stack *s, struct iret_image *f, unsigned size)
{
	uint64_t w[5];

	if (size == 8 && s->mode != X86_MMU_USER && x86_stack_pop_frame(s, w, ARRAY_LEN(w))) {
		*f = (struct iret_image){ .pc = w[0], .cs = (uint16_t)w[1], .flags = (uint32_t)w[2], .sp = w[3], .ss = (uint16_t)w[4] };
		return true;
	}
	f->pc = x86_stack_pop(s, size);
	f->cs = (uint16_t)x86_stack_pop(s, size);
	f->flags = (uint32_t)x86_stack_pop(s, size);
	f->sp = f->ss = 0;
	return false;
}

uint64_t x86_rt_iret(struct tcg_env *env, uint64_t size64, uint64_t length, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned size = (unsigned)size64;
	struct x86_stack s = x86_stack_now(c);
	unsigned cpl = c->cpl;
	struct iret_image f;
	struct x86_desc d;
	uint32_t keep;
	bool whole, outer;

	(void)unused;
	c->nmi_blocked = false;
	vcpu_handler_returns(&c->vcpu);
	if (!(c->cr0 & X86_CR0_NE))
		x86_x87_ignne_check(c);
	if (!x86_protected(c)) {
		iret_real(c, size);
		return 0;
	}
	if (c->eflags & X86_FL_NT) {
		if (x86_long_mode(c))
			x86_fault_raise_err(c, X86_GP, 0);
		x86_task_return(c, (unsigned)length);
		return 0;
	}
	whole = iret_pop(&s, &f, size);
	if ((f.flags & X86_FL_VM) && cpl == 0 && size == 4 && !x86_long_mode(c)) {
		iret_to_v86(c, &s, f.pc, f.cs, f.flags);
		return 0;
	}
	check_return_code(c, f.cs, &d);
	check_target(c, f.pc, d.low);
	outer = (f.cs & 3u) != cpl || x86_code64(c); /* 64-bit IRET always pops the stack pointer */
	if (outer && !whole)
		iret_pop_stack(&s, &f, size);
	keep = iret_keep(c, size);
	if (outer)
		return_ss(c, f.ss, f.cs & 3, &d);
	x86_eflags_set(c, (f.flags & ~keep) | (x86_eflags_get(c) & keep));
	set_cs(c, f.cs, &d, f.cs & 3, f.pc);
	set_sp(c, outer ? f.sp : s.sp);
	if (c->cpl != cpl)
		drop_inner_segments(c);
	x86_mode_update(c);
	return 0;
}

/* ---- Fast system calls */

static void flat_code(struct x86_cpu *c, uint16_t sel, unsigned dpl, bool wide)
{
	c->seg[X86_CS] = (struct x86_seg){ .sel = sel, .limit = 0xffffffff,
					   .attr = X86_SA_P | X86_SA_S | X86_SA_CODE | X86_SA_RW | X86_SA_ACCESSED | X86_SA_G |
						   dpl << X86_SA_DPL_SHIFT | (wide ? X86_SA_L : X86_SA_DB) };
}

uint64_t x86_rt_syscall(struct tcg_env *env, uint64_t next, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)(c->star >> 32) & 0xfffc;

	(void)b;
	(void)unused;
	if (!(c->efer & X86_EFER_SCE) || !x86_long_mode(c) || (!x86_code64(c) && !x86_is_amd(c))) /* in compatibility mode it is AMD's */
		x86_fault_raise(c, X86_UD);
	env->greg[X86_RCX] = next;
	env->greg[X86_R11] = x86_eflags_get(c) & ~X86_FL_RF;
	env->pc = x86_code64(c) ? c->lstar : c->cstar;
	x86_eflags_set(c, x86_eflags_get(c) & ~(uint32_t)c->sfmask & ~X86_FL_RF);
	flat_code(c, sel, 0, true);
	x86_seg_set_null_ss(c, (uint16_t)(sel + 8), 0);
	c->cpl = 0;
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_sysret(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)(c->star >> 48);
	uint32_t keep = X86_FL_RF | X86_FL_VM;

	(void)b;
	(void)unused;
	if (!(c->efer & X86_EFER_SCE) || !x86_long_mode(c))
		x86_fault_raise(c, X86_UD);
	if (size == 8 && !x86_canonical(c, env->greg[X86_RCX]))
		x86_fault_raise_err(c, X86_GP, 0);
	x86_eflags_set(c, (uint32_t)env->greg[X86_R11] & 0x3c7fd7 & ~keep);
	env->pc = size == 8 ? env->greg[X86_RCX] : (uint32_t)env->greg[X86_RCX];
	flat_code(c, (uint16_t)((sel + (size == 8 ? 16 : 0)) | 3), 3, size == 8);
	x86_seg_set_null_ss(c, (uint16_t)((sel + 8) | 3), 3);
	c->cpl = 3;
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_sysenter(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)c->sysenter_cs & 0xfffc;

	(void)a;
	(void)b;
	(void)unused;
	if (!(c->cr0 & X86_CR0_PE) || !sel)
		x86_fault_raise_err(c, X86_GP, 0);
	c->eflags &= ~(X86_FL_VM | X86_FL_IF | X86_FL_RF);
	env->greg[X86_RSP] = x86_long_mode(c) ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	env->pc = x86_long_mode(c) ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	flat_code(c, sel, 0, x86_long_mode(c));
	x86_seg_set_null_ss(c, (uint16_t)(sel + 8), 0);
	c->cpl = 0;
	x86_mode_update(c);
	return 0;
}

uint64_t x86_rt_sysexit(struct tcg_env *env, uint64_t size, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint16_t sel = (uint16_t)c->sysenter_cs & 0xfffc;
	bool wide = size == 8;

	(void)b;
	(void)unused;
	if (!(c->cr0 & X86_CR0_PE) || !sel || c->cpl)
		x86_fault_raise_err(c, X86_GP, 0);
	if (wide && (!x86_canonical(c, env->greg[X86_RDX]) || !x86_canonical(c, env->greg[X86_RCX])))
		x86_fault_raise_err(c, X86_GP, 0);
	env->greg[X86_RSP] = wide ? env->greg[X86_RCX] : (uint32_t)env->greg[X86_RCX];
	env->pc = wide ? env->greg[X86_RDX] : (uint32_t)env->greg[X86_RDX];
	flat_code(c, (uint16_t)((sel + (wide ? 32 : 16)) | 3), 3, wide);
	x86_seg_set_null_ss(c, (uint16_t)((sel + (wide ? 40 : 24)) | 3), 3);
	c->cpl = 3;
	x86_mode_update(c);
	return 0;
}
