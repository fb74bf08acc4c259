/* SPDX-License-Identifier: MIT */
/*
 * Late immediates: in code that is rewritten again and again (tcg/rewritten.h), blocks read the immediates of common instructions from the
 * guest's memory when they run. A store that changes nothing else of the block need not kill it.
 *
 * An immediate may be late if nothing of the translation depends on its bytes. So its value never becomes a constant of the IR, and a
 * look-ahead that decodes other instructions out of the same bytes (a jump into the middle) makes it an ordinary one again.
 */
#include "vcpu/x86/tr/tr.h"

void x86_tr_late_begin(struct x86_tr *c)
{
	/* An instruction that crosses the page's end is not in one piece in memory. */
	c->late = c->code->late && !c->single;
	if (c->late)
		c->ir->code = c->code->bytes;
}

/* Of these instructions the flags look-ahead wants to know no immediate (cf. shifts), and their families ask for late ones. */
static bool takes_late(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_ADD:
	case X86_I_OR:
	case X86_I_ADC:
	case X86_I_SBB:
	case X86_I_AND:
	case X86_I_SUB:
	case X86_I_XOR:
	case X86_I_CMP:
	case X86_I_TEST:
	case X86_I_MOV:
		return in->imm_len != 0;
	default:
		return false;
	}
}

static enum ir_type imm_type(const struct x86_insn *in)
{
	return x86_tr_type(in->imm_len);
}

/* The immediate is the last part of an instruction. guest_len counts this one already. */
ir_ref x86_tr_late_src(struct x86_tr *c, unsigned n)
{
	struct ir_block *ir = c->ir;
	unsigned off = ir->guest_len - c->in.imm_len;
	ir_ref t;

	if (!c->late || c->in.op[n].kind != X86_OPK_IMM || !takes_late(&c->in) || ir->guest_len > c->code->avail ||
	    ir->nr_late == IR_MAX_LATE)
		return x86_tr_src(c, n);
	ir->late[ir->nr_late++] = (struct ir_late){ (uint16_t)off, c->in.imm_len };
	t = ir_temp(ir);
	ir_emit(ir, IR_LDCODE, imm_type(&c->in), t, IR_NONE, IR_NONE)->imm = off;
	return t;
}

/* Translation depends on bytes [off, off + len) of the block, which may be negative or behind its end. */
static void needs(struct x86_tr *c, int64_t off, unsigned len)
{
	for (int64_t i = off < 0 ? 0 : off; i < off + len && i < (int64_t)sizeof(c->looked_at) * 8; i++)
		c->looked_at[i / 64] |= 1ull << (i % 64);
}

void x86_tr_late_look(struct x86_tr *c, gva_t pc, const struct x86_insn *in)
{
	if (c->late)
		needs(c, (int64_t)(pc - c->ir->pc), in->len - (takes_late(in) ? in->imm_len : 0));
}

static bool was_looked_at(const struct x86_tr *c, const struct ir_late *l)
{
	for (unsigned i = l->off; i < l->off + l->len; i++)
		if (i >= sizeof(c->looked_at) * 8 || (c->looked_at[i / 64] >> (i % 64) & 1))
			return true;
	return false;
}

void x86_tr_late_end(struct x86_tr *c)
{
	struct ir_block *ir = c->ir;
	unsigned kept = 0;

	for (unsigned n = 0; n < ir->nr_late; n++)
		if (!was_looked_at(c, &ir->late[n]))
			ir->late[kept++] = ir->late[n];
	ir->nr_late = kept;
}
