/* SPDX-License-Identifier: MIT */
/*
 * Interrupt and exception delivery; see x86_int.h.
 *
 * Nothing of the CPU's state changes before the last step that can fault: all pushes go to the new stack through a cursor (struct x86_stack),
 * and SS, RSP, CS, RIP and flags are switched at the end.
 */
#include "vcpu/x86/x86_int.h"

#include "util/log.h"
#include "util/stats.h"
#include "vcpu/exec.h"
#include "vcpu/x86/x86_stack.h"
#include "vcpu/x86/x86_task.h"

/* ---- Raising */

void x86_fault_raise_err(struct x86_cpu *c, enum x86_vector vec, uint32_t error)
{
	bool has_error = vec == X86_DF || (vec >= X86_TS && vec <= X86_PF) || vec == X86_AC;

	/* EXT: a fault while something is delivered that is no INT n or its kin counts as external to the program. */
	if (c->fault.delivering && !c->fault.current.soft && vec >= X86_TS && vec <= X86_GP)
		error |= 1;
	c->fault.raised = (struct x86_event){ .vector = (uint8_t)vec, .has_error = has_error, .restarts = true, .error = error };
	c->fault.pending = true;
	c->single_step_due = X86_STEP_NONE;
	c->debug_due = 0;
	if (vec != X86_PF)
		stat_inc(STAT_exceptions);
	vcpu_unwind(&c->vcpu.env);
}

void x86_fault_raise(struct x86_cpu *c, enum x86_vector vec)
{
	x86_fault_raise_err(c, vec, 0);
}

/* SDM table 6-5. Benign exceptions never combine. */
static bool contributory(uint8_t vec)
{
	return vec == X86_DE || (vec >= X86_TS && vec <= X86_GP);
}

static bool becomes_double(uint8_t first, uint8_t second)
{
	if (contributory(first))
		return contributory(second);
	return first == X86_PF && (contributory(second) || second == X86_PF);
}

/* ---- Delivery */

struct event {
	uint8_t vector;
	bool has_error, soft, restarts;
	uint32_t error;
	uint64_t ip; /* to return to */
};

static void deliver_real(struct x86_cpu *c, const struct event *e)
{
	struct tcg_env *env = &c->vcpu.env;
	struct x86_stack f = x86_stack_now(c);
	uint32_t vec;

	if (e->vector * 4u + 3 > c->idt.limit)
		x86_fault_raise_err(c, X86_GP, (uint32_t)e->vector << 3 | 2);
	vec = (uint32_t)tlb_load(env, c->idt.base + e->vector * 4u, 4, X86_MMU_KERNEL);
	x86_stack_push(&f, x86_eflags_get(c), 2);
	x86_stack_push(&f, c->seg[X86_CS].sel, 2);
	x86_stack_push(&f, e->ip, 2);
	env->greg[X86_RSP] = f.sp;
	c->eflags &= ~(X86_FL_IF | X86_FL_TF | X86_FL_AC | X86_FL_RF);
	x86_seg_set_real(c, X86_CS, (uint16_t)(vec >> 16));
	x86_set_ip(c, vec & 0xffff);
}

struct gate {
	unsigned type;
	uint16_t sel;
	uint64_t offset;
	unsigned ist;
};

static void gate_read(struct x86_cpu *c, const struct event *e, struct gate *g)
{
	struct tcg_env *env = &c->vcpu.env;
	bool lma = x86_long_mode(c);
	unsigned size = lma ? 16 : 8;
	uint32_t off = e->vector * size, index = (uint32_t)e->vector << 3 | 2;
	uint64_t low, high = 0;
	const char *p;

	if (off + size - 1 > c->idt.limit)
		x86_fault_raise_err(c, X86_GP, index);
	p = tlb_known(env, c->idt.base + off, size, TLB_READ, X86_MMU_KERNEL);
	low = p ? word_load(p, 8) : tlb_load(env, c->idt.base + off, 8, X86_MMU_KERNEL);
	if (lma)
		high = p ? word_load(p + 8, 8) : tlb_load(env, c->idt.base + off + 8, 8, X86_MMU_KERNEL);
	g->type = low >> 40 & 0x1f;
	g->sel = (uint16_t)(low >> 16);
	g->ist = lma ? low >> 32 & 7 : 0;
	g->offset = (low & 0xffff) | (low >> 48) << 16 | (high & 0xffffffff) << 32;
	if (g->type != X86_INT_GATE32 && g->type != X86_TRAP_GATE32 && (lma || (g->type != X86_INT_GATE16 && g->type != X86_TRAP_GATE16 &&
										g->type != X86_TASK_GATE)))
		x86_fault_raise_err(c, X86_GP, index);
	if (e->soft && (low >> 45 & 3) < c->cpl)
		x86_fault_raise_err(c, X86_GP, index);
	if (!(low >> 47 & 1))
		x86_fault_raise_err(c, X86_NP, index);
	if (!(g->type & 8))
		g->offset &= 0xffff;
}

/* The handler's code segment: checked; returns its descriptor and the new CPL. */
static unsigned handler_segment(struct x86_cpu *c, const struct gate *g, struct x86_desc *d)
{
	uint32_t attr, err = g->sel & ~3u;
	unsigned dpl;

	if (!(g->sel & ~3u))
		x86_fault_raise_err(c, X86_GP, 0);
	if (!x86_desc_probe(c, g->sel, false, d))
		x86_fault_raise_err(c, X86_GP, err);
	attr = x86_desc_attr(d->low);
	dpl = x86_attr_dpl(attr);
	if (!x86_attr_is_code(attr) || dpl > c->cpl)
		x86_fault_raise_err(c, X86_GP, err);
	if (x86_long_mode(c) && (!(attr & X86_SA_L) || (attr & X86_SA_DB)))
		x86_fault_raise_err(c, X86_GP, err);
	if (!(attr & X86_SA_P))
		x86_fault_raise_err(c, X86_NP, err);
	if (c->eflags & X86_FL_VM && ((attr & X86_SA_CONFORMING) || dpl != 0))
		x86_fault_raise_err(c, X86_GP, err);
	return attr & X86_SA_CONFORMING ? c->cpl : dpl;
}

static uint32_t pushed_eflags(const struct x86_cpu *c, const struct event *e)
{
	uint32_t fl = x86_eflags_get(c);

	/* Faults set RF in the image, so that an instruction breakpoint does not hit again. */
	return e->restarts ? fl | X86_FL_RF : fl;
}

static void enter_handler(struct x86_cpu *c, const struct gate *g, struct x86_desc *cs, unsigned cpl)
{
	uint32_t clear = X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM;

	if (!(g->type & 1)) /* interrupt gate */
		clear |= X86_FL_IF;
	c->eflags &= ~clear;
	x86_desc_set_accessed(c, cs);
	x86_seg_set(&c->seg[X86_CS], (uint16_t)((g->sel & ~3u) | cpl), cs->low);
	c->cpl = (uint8_t)cpl;
	x86_set_ip(c, g->offset);
}

static void push_long(struct x86_stack *f, const struct event *e)
{
	const struct x86_cpu *c = f->c;
	uint64_t frame[] = { e->error, e->ip, c->seg[X86_CS].sel, pushed_eflags(c, e), c->vcpu.env.greg[X86_RSP], c->seg[X86_SS].sel };
	unsigned skip = !e->has_error;

	x86_stack_push_frame(f, frame + skip, ARRAY_LEN(frame) - skip);
}

static void deliver_long(struct x86_cpu *c, const struct event *e)
{
	struct tcg_env *env = &c->vcpu.env;
	struct x86_stack f = { c, 0, env->greg[X86_RSP], ~0ull, NULL, 0, X86_MMU_KERNEL };
	struct gate g;
	struct x86_desc cs;
	unsigned cpl;
	uint16_t ss;

	gate_read(c, e, &g);
	cpl = handler_segment(c, &g, &cs);
	if (cpl == 3)
		f.mode = X86_MMU_USER;
	if (g.ist)
		f.sp = x86_tss_ist(c, g.ist);
	else if (cpl < c->cpl)
		x86_tss_stack(c, cpl, &ss, &f.sp);
	if (!x86_canonical(c, f.sp))
		x86_fault_raise_err(c, X86_SSF, 0);
	if (!x86_canonical(c, g.offset))
		x86_fault_raise_err(c, X86_GP, 0);
	f.sp &= ~15ull;
	push_long(&f, e);
	if (cpl != c->cpl)
		x86_seg_set_null_ss(c, (uint16_t)cpl, cpl);
	env->greg[X86_RSP] = f.sp;
	enter_handler(c, &g, &cs, cpl);
}

static void push_v86_segments(struct x86_stack *f)
{
	static const uint8_t order[] = { X86_GS, X86_FS, X86_DS, X86_ES };

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		x86_stack_push(f, f->c->seg[order[i]].sel, 4);
}

static void clear_data_segments(struct x86_cpu *c)
{
	static const uint8_t regs[] = { X86_GS, X86_FS, X86_DS, X86_ES };

	for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
		c->seg[regs[i]] = (struct x86_seg){ 0 };
}

static void deliver_protected(struct x86_cpu *c, const struct event *e)
{
	struct tcg_env *env = &c->vcpu.env;
	struct x86_seg old_ss = c->seg[X86_SS];
	struct x86_stack f = x86_stack_of(c, &c->seg[X86_SS], env->greg[X86_RSP], X86_MMU_KERNEL);
	bool v86 = c->eflags & X86_FL_VM;
	struct gate g;
	struct x86_desc cs;
	unsigned cpl, size;
	uint16_t ss;

	gate_read(c, e, &g);
	if (g.type == X86_TASK_GATE) {
		x86_task_interrupt(c, g.sel, e->ip, pushed_eflags(c, e), e->has_error, e->error);
		return;
	}
	cpl = handler_segment(c, &g, &cs);
	size = g.type & 8 ? 4 : 2;
	if (g.offset > x86_desc_limit(cs.low))
		x86_fault_raise_err(c, X86_GP, 0);
	if (cpl == 3)
		f.mode = X86_MMU_USER;
	if (cpl < c->cpl) {
		x86_tss_stack(c, cpl, &ss, &f.sp);
		x86_seg_load_ss(c, ss, cpl, X86_TS); /* the old one is put back if a push faults, see below */
		f.base = c->seg[X86_SS].base;
		f.mask = x86_stack_mask(&c->seg[X86_SS]);
		f.error = ss & ~3u;
		c->fault.undo_ss = old_ss;
		c->fault.undo = true;
		if (v86)
			push_v86_segments(&f);
		x86_stack_push(&f, old_ss.sel, size);
		x86_stack_push(&f, env->greg[X86_RSP], size);
	}
	x86_stack_push(&f, pushed_eflags(c, e), size);
	x86_stack_push(&f, c->seg[X86_CS].sel, size);
	x86_stack_push(&f, e->ip, size);
	if (e->has_error)
		x86_stack_push(&f, e->error, size);
	c->fault.undo = false;
	if (v86)
		clear_data_segments(c);
	env->greg[X86_RSP] = cpl < c->cpl ? f.sp & 0xffffffff : f.sp;
	enter_handler(c, &g, &cs, cpl);
}

static void deliver(struct x86_cpu *c, const struct event *e)
{
	if (log_on(LOG_INT))
		log_write("cpu %u: vector %#x error %#x soft %d ext %d at %04x:%#llx cpl %u sp %#llx cr2 %#llx\n", c->vcpu.index, e->vector,
			  e->error, e->soft, c->fault.current.external, c->seg[X86_CS].sel, (unsigned long long)e->ip, c->cpl,
			  (unsigned long long)c->vcpu.env.greg[X86_RSP], (unsigned long long)c->cr2);
	if (!(c->cr0 & X86_CR0_PE))
		deliver_real(c, e);
	else if (x86_long_mode(c))
		deliver_long(c, e);
	else
		deliver_protected(c, e);
	c->shadow = X86_SHADOW_NONE;
	x86_mode_update(c);
}

void x86_shutdown(struct x86_cpu *c, const char *why)
{
	c->fault.pending = false;
	c->fault.delivering = false;
	vcpu_set_run_state(&c->vcpu, VCPU_WAIT_SIPI);
	machine_request_reset(why);
}

void x86_int_deliver_fault(struct x86_cpu *c)
{
	struct x86_event *now = &c->fault.raised, *first = &c->fault.current;
	struct event e;

	if (c->fault.undo) {
		c->seg[X86_SS] = c->fault.undo_ss;
		c->fault.undo = false;
	}
	if (c->fault.delivering) {
		if (first->vector == X86_DF && !first->soft && (contributory(now->vector) || now->vector == X86_PF)) {
			x86_shutdown(c, "triple fault");
			return;
		}
		if (!first->soft && !first->external && becomes_double(first->vector, now->vector))
			*now = (struct x86_event){ .vector = X86_DF, .has_error = true };
	}
	c->fault.pending = false;
	c->fault.delivering = true;
	*first = *now;
	e = (struct event){ first->vector, first->has_error, first->soft, first->restarts, first->error,
			    x86_ip_of(c, first->soft ? first->next_pc : c->vcpu.env.pc) };
	if (first->vector == X86_NMI)
		c->nmi_blocked = true;
	deliver(c, &e);
	c->fault.delivering = false;
}

void x86_int_deliver_external(struct x86_cpu *c, uint8_t vector)
{
	struct event e = { vector, false, false, false, 0, x86_ip_of(c, c->vcpu.env.pc) };

	c->fault.current = (struct x86_event){ .vector = vector, .external = true };
	c->fault.delivering = true;
	deliver(c, &e);
	c->fault.delivering = false;
}
