/* SPDX-License-Identifier: MIT */
/*
 * One block: fetch, decode, check what every instruction is checked for, hand it to its family, end the block.
 *
 * A block covers bytes of one page, so that it dies with that page alone; only an instruction that itself crosses a
 * page end is in two, and it is a block of its own. Conditional branches are side exits, and the block goes on behind
 * them.
 */
#include "vcpu/x86/tr/tr.h"

#include "mem/word.h"

#define MAX_INSN_BYTES 15

struct family {
	void (*translate)(struct x86_tr *c);
	uint16_t arg;
};

static const struct family families[X86_I_COUNT] = {
#define X86_TR(iid, fn, argument) [X86_I_##iid] = { x86_tr_##fn, argument },
#include "vcpu/x86/tr/families.def"
#undef X86_TR
};

/* ---- Runtime calls and ways out */

struct ir_insn *x86_tr_rt(struct x86_tr *c, enum x86_rt rt, ir_ref d, ir_ref a, ir_ref b, ir_ref cc)
{
	struct ir_insn *i = ir_emit(c->ir, IR_RT, IR_I64, d, a, b);

	i->c = cc;
	i->imm = rt;
	return i;
}

static void emit_exit(struct x86_tr *c)
{
	ir_emit(c->ir, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_EVENT;
}

void x86_tr_raise_inline(struct x86_tr *c, enum x86_vector vec, int64_t error)
{
	ir_ref v = x86_tr_const(c, vec), e = x86_tr_const(c, error);

	x86_tr_rt(c, X86_RT_raise, X86_TR_NO_RESULT, v, e, IR_NONE);
	emit_exit(c);
}

void x86_tr_raise(struct x86_tr *c, enum x86_vector vec, int64_t error)
{
	x86_tr_raise_inline(c, vec, error);
	c->done = true;
}

void x86_tr_ud(struct x86_tr *c)
{
	x86_tr_raise(c, X86_UD, -1);
}

void x86_tr_exit_event(struct x86_tr *c)
{
	emit_exit(c);
	c->done = true;
}

static void set_pc(struct x86_tr *c, gva_t pc)
{
	x86_tr_emit_k(c, IR_SETPC, IR_I64, IR_NONE, IR_NONE, (int64_t)pc);
}

void x86_tr_next_event(struct x86_tr *c)
{
	set_pc(c, c->next);
	x86_tr_exit_event(c);
}

void x86_tr_leave_env(struct x86_tr *c)
{
	if (c->single)
		emit_exit(c);
	else
		ir_emit(c->ir, IR_JMPENV, IR_I64, IR_NONE, IR_NONE, IR_NONE);
	c->done = true;
}

void x86_tr_next_env(struct x86_tr *c)
{
	set_pc(c, c->next);
	x86_tr_leave_env(c);
}

/* Skips to the label if neither a request nor a waiting interrupt (both words in one load) calls for the run loop. */
static void skip_if_no_event(struct x86_tr *c, unsigned label)
{
	ir_ref t = x86_tr_ldenv(c, IR_I64, (int64_t)offsetof(struct tcg_env, request));

	_Static_assert(offsetof(struct tcg_env, irq_waiting) == offsetof(struct tcg_env, request) + 4, "one load");
	ir_emit(c->ir, IR_BRZ, IR_I64, IR_NONE, t, IR_NONE)->imm = label;
}

static void put_label(struct x86_tr *c, unsigned label)
{
	ir_emit(c->ir, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = label;
}

void x86_tr_leave_env_or_event(struct x86_tr *c)
{
	unsigned label;

	if (!c->single) {
		label = ir_label(c->ir);
		skip_if_no_event(c, label);
		emit_exit(c);
		put_label(c, label);
	}
	x86_tr_leave_env(c);
}

void x86_tr_next_env_or_event(struct x86_tr *c)
{
	set_pc(c, c->next);
	x86_tr_leave_env_or_event(c);
}

void x86_tr_check_events(struct x86_tr *c)
{
	unsigned label = ir_label(c->ir);

	if (c->single)
		return; /* the block ends with an event anyway */
	skip_if_no_event(c, label);
	set_pc(c, c->next);
	emit_exit(c);
	put_label(c, label);
}

/* ---- Checks common to all instructions; false: a fault was raised in place of the instruction */

static bool raise_ud(struct x86_tr *c)
{
	x86_tr_ud(c);
	return false;
}

/* Some instructions have a meaning without their feature: a plain one (TZCNT, LZCNT) or none (prefetches). */
static bool feature_is_there(const struct x86_tr *c)
{
	unsigned feature = c->in.feature;

	if (c->in.evex_vl && !x86_has(c->cpu, X86_F_AVX512VL))
		return false;
	if (feature == X86_F_BASE || x86_has(c->cpu, feature))
		return true;
	switch (c->in.id) {
	case X86_I_TZCNT:
	case X86_I_LZCNT:
	case X86_I_PREFETCH:
	case X86_I_PREFETCHW:
	case X86_I_PREFETCHNTA:
	case X86_I_PREFETCHT0:
	case X86_I_PREFETCHT1:
	case X86_I_PREFETCHT2:
		return true;
	default:
		return false;
	}
}

static bool check_privilege(struct x86_tr *c)
{
	unsigned attr = c->in.attr;

	if ((attr & X86_A_NOREAL) && (!(c->flags & X86_TB_PE) || (c->flags & X86_TB_VM)))
		return raise_ud(c);
	if ((attr & X86_A_PRIV) && (c->flags & X86_TB_CPL)) {
		x86_tr_raise(c, X86_GP, 0);
		return false;
	}
	return true;
}

/* CR0.EM, CR0.TS, CR4.OSFXSR, CR4.OSXSAVE and XCR0: Intel SDM volume 3, tables 2-2 and 13-1; volume 2, tables 2-16 ff. */
static bool check_fp_units(struct x86_tr *c)
{
	unsigned attr = c->in.attr, tb = c->flags;
	bool nm;

	if (attr & X86_A_AVX512) {
		if (!(tb & X86_TB_OSXSAVE) || !(tb & X86_TB_AVX512))
			return raise_ud(c);
		nm = tb & X86_TB_TS;
	} else if (attr & X86_A_AVX) {
		if (!(tb & X86_TB_OSXSAVE) || !(tb & X86_TB_AVX))
			return raise_ud(c);
		nm = tb & X86_TB_TS;
	} else if (attr & X86_A_SSE) {
		if ((tb & X86_TB_EM) || !(tb & X86_TB_OSFXSR))
			return raise_ud(c);
		nm = tb & X86_TB_TS;
	} else if (attr & X86_A_MMX) {
		if (tb & X86_TB_EM)
			return raise_ud(c);
		nm = tb & X86_TB_TS;
	} else if (c->in.id == X86_I_FWAIT) {
		nm = (tb & X86_TB_TS) && (tb & X86_TB_MP);
	} else {
		nm = tb & (X86_TB_TS | X86_TB_EM);
	}
	if (nm)
		x86_tr_raise(c, X86_NM, -1);
	return !nm;
}

static bool checks(struct x86_tr *c)
{
	if (!feature_is_there(c))
		return raise_ud(c);
	if ((c->in.id == X86_I_STAC || c->in.id == X86_I_CLAC) && (c->flags & X86_TB_CPL))
		return raise_ud(c);
	if ((c->in.attr & (X86_A_NOREAL | X86_A_PRIV)) && !check_privilege(c))
		return false;
	if ((c->in.attr & (X86_A_FPU | X86_A_MMX | X86_A_SSE | X86_A_AVX | X86_A_AVX512)) || c->in.id == X86_I_FWAIT)
		return check_fp_units(c);
	return true;
}

/* ---- Fetching */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t bytes_left(const struct x86_tr *c)
{
	return c->code->avail - c->ir->guest_len;
}

static enum x86_decode_status fetch(struct x86_tr *c)
{
	size_t left = min_size(bytes_left(c), MAX_INSN_BYTES);
	enum x86_decode_status st = x86_decode(&c->in, c->mode, c->code->bytes + c->ir->guest_len, left);

	if (st == X86_DECODE_UD || st == X86_DECODE_LONG)
		c->in.len = (uint8_t)left; /* whatever was looked at */
	return st;
}

/* The block's first instruction does not end in its page: the next page's bytes behind those we have. May raise a page
 * fault. */
static enum x86_decode_status fetch_crossing(struct x86_tr *c)
{
	uint8_t buf[MAX_INSN_BYTES];
	size_t here = c->code->avail;
	gva_t page = (c->pc + here) & (c->mode == X86_MODE_64 ? ~(gva_t)0 : 0xffffffffu);
	const uint8_t *more = c->code->fetch_next(&c->cpu->vcpu.env, page);
	enum x86_decode_status st;

	here = here < MAX_INSN_BYTES ? here : MAX_INSN_BYTES;
	word_read_bytes(buf, c->code->bytes, here);
	word_read_bytes(buf + here, more, MAX_INSN_BYTES - here);
	st = x86_decode(&c->in, c->mode, buf, MAX_INSN_BYTES);
	if (st != X86_DECODE_OK)
		c->in.len = MAX_INSN_BYTES;
	return st;
}

/* ---- The loop */

/* DEBUGCTL.BTF: what branches, and what may. */
static enum x86_step step_of(const struct x86_tr *c)
{
	switch (c->in.id) {
	case X86_I_JMP: case X86_I_JMPF: case X86_I_CALL: case X86_I_CALLF: case X86_I_RET: case X86_I_RETF: case X86_I_IRET:
	case X86_I_SYSCALL: case X86_I_SYSRET: case X86_I_SYSENTER: case X86_I_SYSEXIT:
		return X86_STEP_BRANCH;
	case X86_I_JCC: case X86_I_JCXZ: case X86_I_LOOP: case X86_I_LOOPE: case X86_I_LOOPNE:
		return X86_STEP_MAYBE;
	default:
		return X86_STEP_PLAIN;
	}
}

static void mark_step(struct x86_tr *c)
{
	enum x86_step step = step_of(c);

	x86_tr_stenv(c, IR_I8, x86_tr_const(c, step), X86_TR_OFF(single_step_due));
	if (step == X86_STEP_MAYBE)
		x86_tr_stenv(c, IR_I64, x86_tr_const(c, (int64_t)c->next), X86_TR_OFF(step_next));
}

/*
 * An instruction in a block of its own: the interrupt shadow ends with it, and a single step is due behind it. Both are stored first, because
 * the instruction may leave in any way; a fault takes the step back (x86_fault_raise_err()), and ends the shadow as it should.
 */
static void mark_single(struct x86_tr *c)
{
	if (c->flags & X86_TB_RF) {
		ir_ref fl = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(eflags));

		x86_tr_emit_k(c, IR_AND, IR_I32, fl, fl, ~(int64_t)X86_FL_RF);
		x86_tr_stenv(c, IR_I32, fl, X86_TR_OFF(eflags));
	}
	if (c->flags & X86_TB_SHADOW)
		x86_tr_stenv(c, IR_I8, x86_tr_const(c, X86_SHADOW_NONE), X86_TR_OFF(shadow));
	if (c->flags & X86_TB_TF)
		mark_step(c);
}

/* DR7 enables instruction breakpoints: is there one with these low address bits? Their number changes, so that is seen when the block runs. */
static void look_for_breakpoint(struct x86_tr *c)
{
	unsigned label = ir_label(c->ir);
	ir_ref t = x86_tr_ldenv(c, IR_I8, X86_TR_OFF(bp_filter) + (int64_t)(c->pc % sizeof(c->cpu->bp_filter)));

	ir_emit(c->ir, IR_BRZ, IR_I64, IR_NONE, t, IR_NONE)->imm = label;
	x86_tr_rt(c, X86_RT_debug_fetch, X86_TR_NO_RESULT, IR_NONE, IR_NONE, IR_NONE);
	put_label(c, label);
}

/* By mnemonic; AVX-512 has but two, whatever the VEX forms of the same mnemonics are. */
static const struct family *family_of(const struct x86_tr *c)
{
	static const struct family evex = { x86_tr_evex, 0 }, gather = { x86_tr_evex_gather, 0 };

	if (c->in.attr & X86_A_AVX512)
		return c->in.evex_elem && !c->in.evex_lanes ? &gather : &evex;
	return &families[c->in.id < X86_I_COUNT ? c->in.id : X86_I_INVALID];
}

static void translate_insn(struct x86_tr *c, enum x86_decode_status st)
{
	const struct family *f = family_of(c);
	struct ir_insn *i = ir_emit(c->ir, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	c->next = c->pc + c->in.len;
	if (c->mode != X86_MODE_64)
		c->next &= 0xffffffffu;
	i->imm = (int64_t)c->pc;
	i->imm2 = c->in.len;
	if (!c->ir->guest_insns)
		x86_tr_limit_begin(c);
	if ((c->flags & (X86_TB_BP | X86_TB_RF)) == X86_TB_BP)
		look_for_breakpoint(c);
	if (c->single)
		mark_single(c);
	c->ir->guest_len += c->in.len;
	c->ir->guest_insns++;
	if (st == X86_DECODE_LONG) {
		x86_tr_raise(c, X86_GP, 0);
	} else if (st != X86_DECODE_OK || !f->translate) {
		x86_tr_ud(c);
	} else if (checks(c)) {
		c->arg = f->arg;
		f->translate(c);
	}
}

static void translate_block(struct x86_tr *c, unsigned max_insns)
{
	struct ir_block *ir = c->ir;
	enum x86_decode_status st = fetch(c);
	bool behind_sti = false;

	if (st == X86_DECODE_SHORT)
		st = fetch_crossing(c);
	for (;;) {
		translate_insn(c, st);
		if (c->done)
			return;
		if (c->single) {
			x86_tr_next_event(c);
			return;
		}
		if (behind_sti) {
			x86_tr_stenv(c, IR_I8, x86_tr_const(c, X86_SHADOW_NONE), X86_TR_OFF(shadow));
			x86_tr_check_events(c);
		}
		behind_sti = c->check_behind_next;
		c->check_behind_next = false;
		c->pc = c->next;
		if (behind_sti && (st = fetch(c)) == X86_DECODE_OK) /* its successor was looked at: it is here */
			continue;
		if (ir->guest_len >= c->code->avail || ir->guest_insns >= max_insns || !ir_room(ir))
			break;
		st = fetch(c);
		if (st == X86_DECODE_SHORT)
			break;
	}
	x86_tr_split(c, c->pc);
}

void x86_translate(struct tcg_env *env, struct ir_block *ir, const struct guest_code *code, unsigned max_insns)
{
	struct x86_cpu *cpu = x86_cpu(env);
	struct x86_tr c = { .ir = ir, .cpu = cpu, .code = code, .flags = cpu->tb_flags, .pc = code->pc };
	const struct ir_rt *rt = ir->rt;
	unsigned nr_rt = ir->nr_rt;

	ir_reset(ir);
	ir->rt = rt;
	ir->nr_rt = nr_rt;
	ir->pc = code->pc;
	ir->flags = c.flags;
	ir->mmu_mode = (uint8_t)x86_mmu_mode(cpu);
	c.mode = (enum x86_mode)(c.flags & X86_TB_MODE);
	c.single = c.flags & X86_TB_SINGLE;
	c.alone = c.single || max_insns == 1;
	x86_tr_late_begin(&c);
	translate_block(&c, max_insns);
	x86_tr_limit_end(&c);
	x86_tr_late_end(&c);
	if (ir->watch_len < ir->guest_len)
		ir->watch_len = ir->guest_len;
}
