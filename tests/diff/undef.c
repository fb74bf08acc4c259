/* SPDX-License-Identifier: MIT */
/*
 * Flags of generated programs: which are undefined where, and which are dead.
 *
 * Undefined flags (flags.def) are not compared at the end, and no generated instruction may read one. At a fault inside a sequence,
 * flags that later instructions overwrite unread may differ: the engines keep flags only where something may look at them, and the
 * instruction that faulted runs again before anything does. Every live flag must be exact.
 */
#include "diff/program.h"
#include "tcg/ir/ir.h"

static const struct flag_effect rows[X86_I_COUNT] = {
#define FLAGS(iid, reads, writes, undefined, where) [X86_I_##iid] = { reads, writes, undefined },
#include "diff/flags.def"
#undef FLAGS
};

int insn_count(const struct x86_insn *in)
{
	const struct x86_operand *op = &in->op[in->nr_ops ? in->nr_ops - 1 : 0];

	return in->nr_ops && op->kind == X86_OPK_IMM ? (int)(in->imm & 0xff) : -1;
}

/*
 * SDM volume 2, SAL/SAR/SHL/SHR, SHLD, SHRD: count 0 changes nothing; OF is defined for 1 only; AF is undefined; CF is, too, if
 * count >= size.
 */
static struct flag_effect shift(const struct x86_insn *in, int count)
{
	unsigned bits = in->opsize * 8u;
	bool arith = in->id == X86_I_SAR;

	if (count < 0)
		return (struct flag_effect){ 0, 0, F_A | F_O | (bits < 32 && !arith ? F_C : 0) };
	count &= bits == 64 ? 63 : 31;
	if (!count)
		return (struct flag_effect){ 0, 0, 0 };
	return (struct flag_effect){ 0, F_ALL, F_A | (count > 1 ? F_O : 0) | ((unsigned)count >= bits && !arith ? F_C : 0) };
}

/* The same for double shifts whose count is above the operand's size: everything is undefined. */
static struct flag_effect double_shift(const struct x86_insn *in, int count)
{
	struct flag_effect e = shift(in, count);

	if (in->opsize == 2 && (count < 0 || (count & 31) > 16))
		e.undefined = F_ALL;
	return e;
}

/* RCL/RCR/ROL/ROR: CF and OF only; OF is defined for 1-bit rotates only. */
static struct flag_effect rotate(const struct x86_insn *in, int count)
{
	bool through = in->id == X86_I_RCL || in->id == X86_I_RCR;
	struct flag_effect e = { through ? F_C : 0, 0, F_O };

	if (count < 0)
		return e;
	count &= in->opsize == 8 ? 63 : 31;
	e.undefined = count > 1 ? F_O : 0;
	if (through && in->opsize < 4)
		count %= (int)in->opsize * 8 + 1;
	e.writes = count ? F_C | F_O : 0;
	return e;
}

struct flag_effect insn_flags(const struct x86_insn *in, int count)
{
	struct flag_effect e = rows[in->id];

	switch (in->id) {
	case X86_I_SHL:
	case X86_I_SHR:
	case X86_I_SAR:
		return shift(in, count);
	case X86_I_SHLD:
	case X86_I_SHRD:
		return double_shift(in, count);
	case X86_I_ROL:
	case X86_I_ROR:
	case X86_I_RCL:
	case X86_I_RCR:
		return rotate(in, count);
	case X86_I_JCC:
	case X86_I_SETCC:
	case X86_I_CMOVCC:
		e.reads = (uint16_t)ir_cc_uses((enum ir_cc)in->cond);
		return e;
	case X86_I_CMPS:
	case X86_I_SCAS:
		e.writes = in->pfx & (X86_PFX_REP | X86_PFX_REPNE) ? 0 : F_ALL;
		return e;
	default:
		return e;
	}
}

static bool is_exit(const struct insn *i)
{
	return i->in.id == X86_I_RET || (i->branch == NO_BRANCH && (i->in.id == X86_I_JMP || i->in.id == X86_I_CALL));
}

/* Nothing falls through to the next instruction. */
static bool is_jump(const struct insn *i)
{
	return i->branch != NO_BRANCH && (i->in.id == X86_I_JMP || i->in.id == X86_I_CALL);
}

/* CMC does nothing if nobody reads what it makes. */
static bool is_dead(const struct insn *i, uint16_t live_behind)
{
	return i->in.id == X86_I_CMC && !(live_behind & F_C);
}

/* A return may go on behind any call. */
static bool spread_return(struct program *p, uint64_t keep, uint16_t out)
{
	bool changed = false;

	for (unsigned i = 0; i < p->nr; i++) {
		if (!insn_kept(keep, i) || p->insn[i].in.id != X86_I_CALL)
			continue;
		changed |= (p->undef_in[i + 1] | out) != p->undef_in[i + 1];
		p->undef_in[i + 1] |= out;
	}
	return changed;
}

/* One pass forward; true if something changed. */
static bool spread_undefined(struct program *p, uint64_t keep, bool *bad)
{
	bool changed = false;

	for (unsigned i = 0; i < p->nr; i++) {
		const struct insn *in = &p->insn[i];
		struct flag_effect e = insn_kept(keep, i) ? insn_flags(&in->in, insn_count(&in->in)) : (struct flag_effect){ 0 };
		uint16_t out = (uint16_t)((p->undef_in[i] & ~e.writes) | e.undefined);
		unsigned to[2] = { i + 1, insn_kept(keep, i) && in->branch != NO_BRANCH ? in->branch : i + 1 };

		if (e.reads & p->undef_in[i])
			*bad = true;
		if (insn_kept(keep, i) && is_exit(in))
			p->undef_end |= out;
		if (insn_kept(keep, i) && in->in.id == X86_I_RET)
			changed |= spread_return(p, keep, out);
		for (unsigned k = 0; k < 2; k++) {
			changed |= (p->undef_in[to[k]] | out) != p->undef_in[to[k]];
			p->undef_in[to[k]] |= out;
		}
	}
	return changed;
}

static bool spread_live(struct program *p, uint64_t keep)
{
	bool changed = false;

	for (unsigned i = p->nr; i-- > 0;) {
		const struct insn *in = &p->insn[i];
		struct flag_effect e = insn_kept(keep, i) ? insn_flags(&in->in, insn_count(&in->in)) : (struct flag_effect){ 0 };
		uint16_t out = p->live_in[i + 1], live;

		if (insn_kept(keep, i) && is_exit(in))
			out = F_ALL;
		else if (insn_kept(keep, i) && is_jump(in))
			out = p->live_in[in->branch];
		else if (insn_kept(keep, i) && in->branch != NO_BRANCH)
			out |= p->live_in[in->branch];
		live = (uint16_t)((is_dead(in, out) ? 0 : e.reads) | (out & ~e.writes));
		changed |= live != p->live_in[i];
		p->live_in[i] = live;
	}
	return changed;
}

bool program_flags(struct program *p, uint64_t keep)
{
	bool bad = false;

	for (unsigned i = 0; i < p->nr + 2; i++) {
		p->undef_in[i] = 0;
		p->live_in[i] = i < p->nr ? 0 : F_ALL;
	}
	p->undef_end = 0;
	while (spread_undefined(p, keep, &bad))
		;
	while (spread_live(p, keep))
		;
	p->undef_end |= p->undef_in[p->nr] | p->undef_in[p->nr + 1];
	return !bad;
}
