/* SPDX-License-Identifier: MIT */
/*
 * Which flags are live at the target of an exit: look at the code there until all six are overwritten.
 *
 * The answer depends on bytes outside the block, so they count as watched (ir->watch_len, watch_before): they must lie on the
 * block's page, and near. Everything else answers "all". What an instruction does to the flags must not
 * be claimed to be less than its family's IR says: `use` may be too large, `def` too small, never the other way round.
 */
#include "tcg/opt/opt.h"
#include "vcpu/x86/tr/tr.h"

#define BUDGET 20  /* instructions decoded per question */
#define REACH 512  /* bytes in front of the block and behind it that may become watched */

#define KNOWN 0x8000u

struct flag_effect {
	uint16_t use, def; /* def has KNOWN */
};

#define NEUTRAL { 0, KNOWN }
#define DEFS { 0, KNOWN | F_ALL }

static const struct flag_effect effects[X86_I_F2XM1] = {
	[X86_I_ADD] = DEFS, [X86_I_OR] = DEFS, [X86_I_AND] = DEFS, [X86_I_SUB] = DEFS, [X86_I_XOR] = DEFS, [X86_I_CMP] = DEFS,
	[X86_I_TEST] = DEFS, [X86_I_NEG] = DEFS, [X86_I_NOT] = NEUTRAL,
	[X86_I_ADC] = { F_C, KNOWN | F_ALL }, [X86_I_SBB] = { F_C, KNOWN | F_ALL },
	[X86_I_INC] = { 0, KNOWN | (F_ALL & ~F_C) }, [X86_I_DEC] = { 0, KNOWN | (F_ALL & ~F_C) },
	[X86_I_MUL] = DEFS, [X86_I_IMUL] = DEFS, [X86_I_DIV] = NEUTRAL, [X86_I_IDIV] = NEUTRAL,
	/* shifts: with a constant count, see shift_effect() */
	[X86_I_SHL] = NEUTRAL, [X86_I_SHR] = NEUTRAL, [X86_I_SAR] = NEUTRAL, [X86_I_SHLD] = NEUTRAL, [X86_I_SHRD] = NEUTRAL,
	[X86_I_ROL] = NEUTRAL, [X86_I_ROR] = NEUTRAL, [X86_I_RCL] = { F_C, KNOWN }, [X86_I_RCR] = { F_C, KNOWN },
	[X86_I_BT] = { 0, KNOWN | F_C }, [X86_I_BTS] = { 0, KNOWN | F_C }, [X86_I_BTR] = { 0, KNOWN | F_C },
	[X86_I_BTC] = { 0, KNOWN | F_C }, [X86_I_BSF] = DEFS, [X86_I_BSR] = DEFS, [X86_I_TZCNT] = DEFS, [X86_I_LZCNT] = DEFS,
	[X86_I_POPCNT] = DEFS, [X86_I_BSWAP] = NEUTRAL, [X86_I_CRC32] = NEUTRAL,
	[X86_I_ADCX] = { F_C, KNOWN | F_C }, [X86_I_ADOX] = { F_O, KNOWN | F_O },
	[X86_I_CMPXCHG] = DEFS, [X86_I_XADD] = DEFS,
	[X86_I_CMPXCHG8B] = { 0, KNOWN | F_Z }, [X86_I_CMPXCHG16B] = { 0, KNOWN | F_Z },
	[X86_I_CBW] = NEUTRAL, [X86_I_CWD] = NEUTRAL,
	[X86_I_MOV] = NEUTRAL, [X86_I_MOVZX] = NEUTRAL, [X86_I_MOVSX] = NEUTRAL, [X86_I_MOVSXD] = NEUTRAL,
	[X86_I_MOVBE] = NEUTRAL,
	[X86_I_MOVNTI] = NEUTRAL, [X86_I_LEA] = NEUTRAL, [X86_I_XCHG] = NEUTRAL, [X86_I_XLAT] = NEUTRAL,
	[X86_I_PUSHA] = NEUTRAL, [X86_I_POPA] = NEUTRAL, [X86_I_PUSHF] = { F_ALL, KNOWN }, [X86_I_LEAVE] = NEUTRAL,
	[X86_I_LAHF] = { F_ALL & ~F_O, KNOWN }, [X86_I_SAHF] = { 0, KNOWN | (F_ALL & ~F_O) }, [X86_I_SALC] = { F_C, KNOWN },
	[X86_I_SETCC] = NEUTRAL, [X86_I_CMOVCC] = NEUTRAL, /* and their condition */
	[X86_I_CLC] = { 0, KNOWN | F_C }, [X86_I_STC] = { 0, KNOWN | F_C }, [X86_I_CMC] = { F_C, KNOWN | F_C },
	[X86_I_CLD] = NEUTRAL, [X86_I_STD] = NEUTRAL, [X86_I_CLI] = NEUTRAL,
	[X86_I_MOVS] = NEUTRAL, [X86_I_STOS] = NEUTRAL, [X86_I_LODS] = NEUTRAL, /* SCAS, CMPS: nothing if the count is 0 */
	[X86_I_SCAS] = NEUTRAL, [X86_I_CMPS] = NEUTRAL,
	[X86_I_NOP] = NEUTRAL, [X86_I_PAUSE] = NEUTRAL, [X86_I_PREFETCH] = NEUTRAL, [X86_I_PREFETCHW] = NEUTRAL,
	[X86_I_PREFETCHNTA] = NEUTRAL, [X86_I_PREFETCHT0] = NEUTRAL, [X86_I_PREFETCHT1] = NEUTRAL,
	[X86_I_PREFETCHT2] = NEUTRAL,
	[X86_I_LFENCE] = NEUTRAL, [X86_I_MFENCE] = NEUTRAL, [X86_I_SFENCE] = NEUTRAL,
	[X86_I_RDTSC] = NEUTRAL, [X86_I_RDFSBASE] = NEUTRAL, [X86_I_RDGSBASE] = NEUTRAL, [X86_I_SWAPGS] = NEUTRAL,
	/* transfers, for the cases of scan() */
	[X86_I_JCC] = NEUTRAL, [X86_I_JMP] = NEUTRAL, [X86_I_CALL] = NEUTRAL, [X86_I_JCXZ] = NEUTRAL, [X86_I_LOOP] = NEUTRAL,
};
_Static_assert(X86_I_WRPKRU < X86_I_F2XM1 && X86_I_JCXZ < X86_I_F2XM1 && X86_I_FYL2XP1 + 1 == X86_I_EMMS,
	       "integer and system instructions, then x87, then vectors");

/* Shifts and rotates write flags only if the count is not 0. */
static struct flag_effect shift_effect(const struct x86_insn *in, struct flag_effect e)
{
	const struct x86_operand *count = &in->op[in->nr_ops - 1];

	if (count->kind != X86_OPK_IMM || !(in->imm & 31))
		return e;
	switch (in->id) {
	case X86_I_ROL:
	case X86_I_ROR:
		e.def |= F_C | F_O;
		break;
	case X86_I_RCL:
	case X86_I_RCR:
		break;
	default:
		e.def |= F_ALL;
	}
	return e;
}

/* x87, MMX, SSE; the VEX forms that follow them do not come here. */
static struct flag_effect fp_effect(unsigned id)
{
	switch (id) {
	case X86_I_FCMOVB: case X86_I_FCMOVNB: case X86_I_FCMOVE: case X86_I_FCMOVNE:
	case X86_I_FCMOVBE: case X86_I_FCMOVNBE: case X86_I_FCMOVU: case X86_I_FCMOVNU:
		return (struct flag_effect){ F_C | F_Z | F_P, KNOWN };
	case X86_I_FCOMI: case X86_I_FCOMIP: case X86_I_FUCOMI: case X86_I_FUCOMIP:
	case X86_I_COMISS: case X86_I_COMISD: case X86_I_UCOMISS: case X86_I_UCOMISD: case X86_I_PTEST:
	case X86_I_PCMPESTRI: case X86_I_PCMPESTRM: case X86_I_PCMPISTRI: case X86_I_PCMPISTRM:
		return (struct flag_effect)DEFS;
	default:
		return (struct flag_effect)NEUTRAL;
	}
}

static struct flag_effect effect_of(const struct x86_insn *in)
{
	struct flag_effect e;

	if (in->id >= X86_I_F2XM1)
		return fp_effect(in->id);
	e = effects[in->id];
	switch (in->id) {
	case X86_I_SHL: case X86_I_SHR: case X86_I_SAR: case X86_I_SHLD: case X86_I_SHRD:
	case X86_I_ROL: case X86_I_ROR: case X86_I_RCL: case X86_I_RCR:
		return shift_effect(in, e);
	case X86_I_JCC: case X86_I_SETCC: case X86_I_CMOVCC:
		e.use = (uint16_t)ir_cc_uses((enum ir_cc)in->cond);
		return e;
	case X86_I_PUSH: case X86_I_POP: /* a segment register may end the block in ways not followed here */
		return in->op[0].kind == X86_OPK_SEG ? e : (struct flag_effect)NEUTRAL;
	default:
		return e;
	}
}

/* One question: instructions that may still be decoded. */
struct ahead {
	struct x86_tr *c;
	unsigned budget;
};

static bool in_reach(const struct x86_tr *c, gva_t pc)
{
	uint64_t ahead = pc - c->ir->pc, back = c->ir->pc - pc;

	if (pc >= c->ir->pc)
		return ahead < c->code->avail && ahead < c->ir->guest_len + REACH;
	return back <= c->code->before && back <= REACH;
}

static void watch(struct ir_block *ir, gva_t pc, unsigned len)
{
	if (pc < ir->pc && ir->watch_before < ir->pc - pc)
		ir->watch_before = (unsigned)(ir->pc - pc);
	if (pc + len > ir->pc && ir->watch_len < pc + len - ir->pc)
		ir->watch_len = (unsigned)(pc + len - ir->pc);
}

/* Decodes at pc if those bytes may be watched, and watches them. */
static bool look(struct ahead *h, gva_t pc, struct x86_insn *in)
{
	struct x86_tr *c = h->c;
	int64_t off;
	size_t left;

	if (!h->budget || !in_reach(c, pc))
		return false;
	h->budget--;
	off = (int64_t)(pc - c->ir->pc);
	left = (size_t)((int64_t)c->code->avail - off);
	if (x86_decode(in, c->mode, c->code->bytes + off, left < 15 ? left : 15) != X86_DECODE_OK || (in->pfx & X86_PFX_VEX))
		return false;
	watch(c->ir, pc, in->len);
	x86_tr_late_look(c, pc, in);
	return true;
}

static bool is_direct(const struct x86_insn *in)
{
	return in->op[0].kind == X86_OPK_REL && (in->opsize != 2);
}

/* The flags of `open` that code at pc may read before it writes them. */
static uint32_t scan(struct ahead *h, gva_t pc, uint32_t open)
{
	struct x86_insn in;
	uint32_t live = 0;

	while (open) {
		struct flag_effect e;

		if (!look(h, pc, &in))
			return live | open;
		e = effect_of(&in);
		if (!(e.def & KNOWN))
			return live | open;
		live |= e.use & open;
		open &= ~(uint32_t)(e.use | e.def);
		pc += in.len;
		switch (in.id) {
		case X86_I_JMP:
		case X86_I_CALL:
			if (!is_direct(&in))
				return live | open;
			pc += (uint64_t)in.imm;
			break;
		case X86_I_JCC:
		case X86_I_JCXZ:
		case X86_I_LOOP:
			if (open && !is_direct(&in))
				return live | open;
			if (open)
				live |= scan(h, pc + (uint64_t)in.imm, open);
			open &= ~live;
			break;
		default:
			break;
		}
	}
	return live;
}

uint32_t x86_tr_live_at(struct x86_tr *c, gva_t target)
{
	struct x86_tr_memo *m = &c->memo[(target ^ target >> 4) % X86_TR_AHEAD_MEMO];
	struct ahead h = { .c = c, .budget = BUDGET };

	if (m->valid && m->pc == target)
		return m->live;
	if (opt_exact_flags || !in_reach(c, target))
		return F_ALL;
	m->live = (uint16_t)scan(&h, target, F_ALL);
	m->pc = target;
	m->valid = true;
	return m->live;
}

bool x86_tr_next_is_plain(struct x86_tr *c)
{
	struct ahead h = { .c = c, .budget = 1 };
	struct x86_insn in;

	if (!look(&h, c->next, &in) || !(effect_of(&in).def & KNOWN))
		return false;
	switch (in.id) {
	case X86_I_JMP:
	case X86_I_CALL:
	case X86_I_JCC:
	case X86_I_JCXZ:
	case X86_I_LOOP:
		return false;
	default:
		return !(in.attr & X86_A_END);
	}
}
