/* SPDX-License-Identifier: MIT */
/*
 * The limit of the code segment, outside 64-bit mode; the ends of the canonical halves in it. SDM volume 3A, 5.3; volume 2, JMP, CALL, RET, Jcc (#GP).
 *
 * Where some segment is not flat (X86_TB_SEGLIM) a block first looks whether all of it lies within the limit; if not, the instruction runs in
 * a block of its own, and the one that does not fit faults. Branches look at their target before they change anything.
 *
 * In 64-bit mode relative branches that lead over an end of the canonical addresses, or of those with four levels of tables, ask whether the target is
 * one: blocks serve both numbers of levels. Indirect ones find out when there is no block at their target (x86_branch_fault()); but calls look before
 * they push.
 */
#include "vcpu/x86/tr/tr.h"

static bool is_limited(const struct x86_tr *c)
{
	return c->mode != X86_MODE_64 && (c->flags & X86_TB_SEGLIM);
}

void x86_tr_limit_begin(struct x86_tr *c)
{
	unsigned label;
	ir_ref last, base, limit;

	if (!is_limited(c))
		return;
	label = ir_label(c->ir);
	base = x86_tr_ldenv(c, IR_I64, X86_TR_OFF(seg[X86_CS].base));
	c->limit_insn = c->ir->nr_insns;
	last = x86_tr_const(c, 0);
	ir_emit(c->ir, IR_SUB, IR_I32, last, last, base);
	limit = x86_tr_ldenv(c, IR_I32, X86_TR_OFF(seg[X86_CS].limit));
	ir_emit(c->ir, IR_SUB, IR_I64, limit, limit, last);
	ir_emit_k(c->ir, IR_SHR, IR_I64, limit, limit, 63);
	ir_emit(c->ir, IR_BRZ, IR_I64, IR_NONE, limit, IR_NONE)->imm = label;
	x86_tr_rt(c, X86_RT_code_limit, X86_TR_NO_RESULT, IR_NONE, IR_NONE, IR_NONE);
	ir_emit(c->ir, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = label;
}

void x86_tr_limit_end(struct x86_tr *c)
{
	if (c->limit_insn)
		c->ir->insn[c->limit_insn].imm = (int64_t)((c->ir->pc + c->ir->guest_len - 1) & 0xffffffffu);
}

/* In real mode a 16-bit target is within 64 KiB, and the limit that. */
bool x86_tr_target_is_limited(const struct x86_tr *c)
{
	return is_limited(c) && (c->in.opsize != 2 || (c->flags & X86_TB_PE && !(c->flags & X86_TB_VM)));
}

static gva_t relative_to_next(const struct x86_tr *c)
{
	return c->next + (uint64_t)c->in.imm;
}

static bool leaves_half(const struct x86_tr *c)
{
	const uint64_t ends = 1ull << 47 | 1ull << 56;

	return c->mode == X86_MODE_64 && ((relative_to_next(c) ^ c->pc) & ends);
}

bool x86_tr_relative_is_limited(const struct x86_tr *c)
{
	return leaves_half(c) || x86_tr_target_is_limited(c);
}

static void check(struct x86_tr *c, unsigned routine, ir_ref ip)
{
	bool counts = c->in.id == X86_I_LOOP || c->in.id == X86_I_LOOPE || c->in.id == X86_I_LOOPNE;

	x86_tr_rt(c, routine, X86_TR_NO_RESULT, ip, x86_tr_const(c, counts), IR_NONE);
}

void x86_tr_check_ip(struct x86_tr *c, ir_ref ip)
{
	if (x86_tr_target_is_limited(c))
		check(c, X86_RT_branch_limit, ip);
}

/* Bits 63:47 of a canonical address are alike; with five levels of tables there are others, of which the instruction finds out when it runs alone. */
void x86_tr_check_call(struct x86_tr *c, ir_ref target)
{
	if (c->mode != X86_MODE_64 || c->in.opsize != 8)
		return;
	if (c->alone)
		x86_tr_rt(c, X86_RT_call_canonical, X86_TR_NO_RESULT, target, IR_NONE, IR_NONE);
	else
		ir_emit(c->ir, IR_FITS, IR_I64, IR_NONE, target, IR_NONE)->imm = 48;
}

void x86_tr_check_relative(struct x86_tr *c)
{
	ir_ref ip;

	if (leaves_half(c))
		check(c, X86_RT_branch_canonical, x86_tr_const(c, (int64_t)relative_to_next(c)));
	if (!x86_tr_target_is_limited(c))
		return;
	ip = x86_tr_const(c, (int64_t)(relative_to_next(c) & 0xffffffffu));
	ir_emit(c->ir, IR_SUB, IR_I32, ip, ip, x86_tr_ldenv(c, IR_I64, X86_TR_OFF(seg[X86_CS].base)));
	if (c->in.opsize == 2)
		ir_emit(c->ir, IR_ZX16, IR_I32, ip, ip, IR_NONE);
	x86_tr_check_ip(c, ip);
}
