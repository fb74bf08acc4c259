/* SPDX-License-Identifier: MIT */
/*
 * Makes a random state fit one instruction: points its memory operand into the arena, and gives those instructions sense that would
 * otherwise nearly always fault or do nothing.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

#define GPR(p, n) ((p)->c.in.gpr[X86_##n])

static uint64_t below_page_end(struct rng *r, unsigned page, unsigned size)
{
	return DIFF_DATA + (page + 1) * DIFF_PAGE - (size > 1 ? 1 + rng_below(r, size - 1) : 1);
}

static bool may_fault(const struct x86_insn *in)
{
	switch (in->id) { /* stores that a fault may leave half done, and images that have to be poked */
	case X86_I_FNSAVE: case X86_I_FNSTENV: case X86_I_FRSTOR: case X86_I_FLDENV: case X86_I_FXSAVE: case X86_I_FXRSTOR:
	case X86_I_MASKMOVQ: case X86_I_MASKMOVDQU: case X86_I_VMASKMOVDQU: /* which bytes may fault is up to the CPU (SDM volume 2, MASKMOVDQU) */
		return false;
	default:
		return true;
	}
}

/* Where an operand of `size` bytes is to be. */
static uint64_t pick_target(struct rng *r, unsigned mode, unsigned size, const struct x86_insn *in)
{
	unsigned what = rng_below(r, 100);
	uint64_t inside = DIFF_DATA + rng_below(r, 3 * DIFF_PAGE - 640);

	if (!may_fault(in))
		return in->id == X86_I_FXSAVE || in->id == X86_I_FXRSTOR ? (rng_percent(r, 95) ? inside & ~15ull : inside) : inside;
	if (insn_is_locked(in)) /* never across cache lines: split locks slow the whole host down */
		return (what < 4 ? DIFF_DATA_RO + (inside & 0xff0) : what < 6 ? DIFF_DATA - 16 : inside) & ~(uint64_t)(size ? size - 1 : 0);
	if ((in->attr & X86_A_ALIGN) && what < 75)
		return (what < 4 ? DIFF_DATA_RO : inside) & ~(uint64_t)(size > 16 ? size - 1 : 15);
	if (what < 45)
		return inside;
	if (what < 70)
		return inside & ~15ull;
	if (what < 84)
		return below_page_end(r, rng_below(r, 2), size);
	if (what < 88)
		return DIFF_DATA_RO + rng_below(r, 1024);
	if (what < 91)
		return below_page_end(r, 2, size);
	if (what < 94)
		return below_page_end(r, 3, size);
	if (what < 96)
		return DIFF_DATA - 1 - rng_below(r, size ? size : 1);
	if (what < 97)
		return mode == DIFF_64 ? 0x0000800000000000ull + (inside & 0xffff) : 0xffffff00u + rng_below(r, 0xc0);
	return inside & ~7ull;
}

/* The same, or at the segment's limit. */
static uint64_t pick_in_segment(struct program *p, unsigned reg, unsigned size, const struct x86_insn *in, struct rng *r)
{
	uint64_t at = pick_target(r, p->c.mode, size, in);
	struct diff_seg s;

	if (p->c.mode == DIFF_64 || !diff_seg(p->c.in.sel[reg], &s) || s.null || !rng_percent(r, 10) || !may_fault(in) || insn_is_locked(in))
		return at;
	return (uint32_t)(s.base + s.limit + 2 - rng_below(r, size + 2));
}

static uint64_t seg_base(const struct program *p, const struct x86_insn *in)
{
	return diff_case_base(&p->c, in->mem.seg);
}

static uint64_t bytes_mask(unsigned bytes)
{
	return bytes == 8 ? ~0ull : (1ull << bytes * 8) - 1;
}

static uint64_t linear(const struct program *p, uint64_t at)
{
	return p->c.mode == DIFF_64 ? at : (uint32_t)at;
}

/* Linear address of the memory operand as the state stands; rip-relative ones are filled in later. */
static uint64_t effective(const struct program *p, const struct insn *i)
{
	const struct x86_memref *m = &i->in.mem;
	uint64_t ea = (uint64_t)m->disp;

	if (m->base == X86_REG_RIP)
		return i->rip_target;
	if (m->base != X86_REG_NONE)
		ea += p->c.in.gpr[m->base];
	if (m->index != X86_REG_NONE && !insn_is_gather(&i->in))
		ea += p->c.in.gpr[m->index] * m->scale;
	return linear(p, (ea & bytes_mask(i->in.addrsize)) + seg_base(p, &i->in));
}

static uint64_t garbage_above(uint64_t v, unsigned bytes, struct rng *r)
{
	return bytes < 8 && rng_percent(r, 60) ? (v & bytes_mask(bytes)) | (rng_u64(r) & ~bytes_mask(bytes)) : v;
}

/* The stack pointer or a frame pointer for linear address `at`. */
static uint64_t stack_value(const struct program *p, uint64_t at, struct rng *r)
{
	unsigned width = diff_stack_width(&p->c);
	uint64_t v = (at - diff_case_base(&p->c, X86_SS)) & bytes_mask(width);

	return width == 2 ? garbage_above(v, 2, r) : v;
}

static uint64_t stack_linear(const struct program *p)
{
	return linear(p, (GPR(p, RSP) & bytes_mask(diff_stack_width(&p->c))) + diff_case_base(&p->c, X86_SS));
}

/* Registers (or the displacement) so that the operand is at linear address `target`; it may miss where scaling forbids. */
static void point(struct program *p, struct insn *i, uint64_t target, struct rng *r)
{
	const struct x86_memref *m = &i->in.mem;
	uint64_t offset = target - seg_base(p, &i->in);
	uint64_t *gpr = p->c.in.gpr;

	if (m->base == X86_REG_RIP) {
		i->rip_target = (uint32_t)target;
	} else if (m->base == X86_REG_NONE && m->index == X86_REG_NONE) {
		return; /* absolute: chosen with the encoding */
	} else if (m->base == X86_REG_NONE && insn_is_gather(&i->in)) {
		return;
	} else if (m->base == X86_REG_NONE) {
		gpr[m->index] = (offset - (uint64_t)m->disp) / m->scale;
	} else if (m->base == m->index && !insn_is_gather(&i->in)) {
		gpr[m->base] = (offset - (uint64_t)m->disp) / (m->scale + 1u);
	} else {
		uint64_t index = m->index == X86_REG_NONE || insn_is_gather(&i->in) ? 0 : gpr[m->index] * m->scale;

		gpr[m->base] = garbage_above(offset - index - (uint64_t)m->disp, i->in.addrsize, r);
	}
}

/* ---- Instructions that need more */

static void set_divisor(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	unsigned bits = in->opsize * 8u;
	uint64_t d = value_int(r), mask = bits == 64 ? ~0ull : (1ull << bits) - 1;

	if (rng_percent(r, 30))
		return;
	if (!(d & mask))
		d = rng_percent(r, 10) ? 0 : 3;
	if (in->op[0].kind == X86_OPK_MEM)
		program_poke(p, at, &d, in->op[0].size);
	else if (in->op[0].kind == X86_OPK_GPR)
		p->c.in.gpr[in->op[0].reg] = d;
	if (in->opsize == 1) {
		GPR(p, RAX) = (GPR(p, RAX) & ~0xff00ull) | (rng_percent(r, 60) ? rng_below(r, (unsigned)(d & 0xff) + 1) << 8 : 0);
		return;
	}
	if (in->op[0].kind == X86_OPK_GPR && (in->op[0].reg == X86_RDX || in->op[0].reg == X86_RAX))
		return;
	GPR(p, RDX) = in->id == X86_I_IDIV && (GPR(p, RAX) >> (bits - 1) & 1) ? ~0ull : 0;
	if (rng_percent(r, 50) && in->id == X86_I_DIV && (d & mask))
		GPR(p, RDX) = rng_u64(r) % (d & mask);
	if (rng_percent(r, 30) && in->id == X86_I_IDIV)
		GPR(p, RDX) = (uint64_t)((int64_t)d >> (2 + rng_below(r, 8)));
}

static void string(struct program *p, struct insn *i, struct rng *r)
{
	const struct x86_insn *in = &i->in;
	uint64_t source = pick_in_segment(p, in->mem.seg, in->opsize, in, r), dest = pick_in_segment(p, X86_ES, in->opsize, in, r);
	bool rep = in->pfx & (X86_PFX_REP | X86_PFX_REPNE);

	if (rng_percent(r, 20))
		dest = source + rng_below(r, 64) - 32;
	GPR(p, RSI) = garbage_above(source - seg_base(p, in), in->addrsize, r);
	GPR(p, RDI) = garbage_above(dest - diff_case_base(&p->c, X86_ES), in->addrsize, r);
	if (in->id == X86_I_STOS || in->id == X86_I_SCAS || in->id == X86_I_INS)
		GPR(p, RSI) = value_int(r);
	if (rep)
		GPR(p, RCX) = garbage_above(rng_percent(r, 90) ? rng_below(r, 40) : rng_below(r, 1500), in->addrsize, r);
	if (rep && in->addrsize == 4 && !(uint32_t)GPR(p, RCX)) /* whether no iteration clears the upper half is up to the CPU */
		GPR(p, RCX) = 0;
	if (rep && (in->id == X86_I_CMPS || in->id == X86_I_SCAS)) { /* runs of equal bytes */
		uint8_t run[64];
		uint64_t v = rng_percent(r, 50) ? 0 : GPR(p, RAX) & 0xff;

		memset(run, (int)v, sizeof(run));
		run[rng_below(r, 64)] ^= rng_percent(r, 50);
		GPR(p, RAX) = v * 0x0101010101010101ull;
		program_poke(p, dest & ~15ull, run, sizeof(run));
		if (rng_percent(r, 60))
			program_poke(p, source & ~15ull, run, sizeof(run));
	}
}

/* Compare-exchange that succeeds half of the time. */
static void compare_exchange(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint64_t q[2] = { GPR(p, RAX), GPR(p, RDX) };

	if (rng_percent(r, 50))
		return;
	if (in->id == X86_I_CMPXCHG8B)
		q[0] = (q[0] & 0xffffffffu) | q[1] << 32;
	if (in->op[0].kind == X86_OPK_MEM)
		program_poke(p, at, q, in->op[0].size);
	else if (in->op[0].kind == X86_OPK_GPR && in->op[0].reg != X86_RSP)
		p->c.in.gpr[in->op[0].reg] = q[0];
}

static void indirect(struct program *p, const struct x86_insn *in, uint64_t at)
{
	uint64_t to = linear(p, DIFF_TERM1 - diff_case_base(&p->c, X86_CS));

	if (in->op[0].kind == X86_OPK_MEM)
		program_poke(p, at, &to, 8);
	else if (in->op[0].kind == X86_OPK_GPR && !(in->id == X86_I_CALL && in->op[0].reg == X86_RSP))
		p->c.in.gpr[in->op[0].reg] = to;
}

static void enter(struct program *p, struct insn *i, struct rng *r)
{
	uint16_t size = (uint16_t)rng_below(r, 0x100);

	memcpy(i->bytes + i->len - 3, &size, 2);
	i->bytes[i->len - 1] = rng_percent(r, 50) ? 0 : (uint8_t)rng_below(r, 64);
	insn_redecode(i);
	p->c.in.flags &= ~(uint64_t)X86_FL_AC; /* the probe at the new top of the stack may be checked, too */
	GPR(p, RSP) = stack_value(p, DIFF_DATA + DIFF_PAGE + rng_below(r, DIFF_PAGE), r);
	GPR(p, RBP) = stack_value(p, DIFF_DATA + DIFF_PAGE + rng_below(r, DIFF_PAGE), r);
}

static void stack(struct program *p, const struct x86_insn *in, struct rng *r)
{
	uint64_t v = linear(p, DIFF_TERM1 - diff_case_base(&p->c, X86_CS)), at;
	uint16_t sel = diff_seg_pick(r);

	if (rng_percent(r, 20))
		GPR(p, RSP) = stack_value(p, pick_in_segment(p, X86_SS, in->opsize, in, r), r);
	at = stack_linear(p);
	if (in->id == X86_I_RET) {
		if (rng_percent(r, 8)) /* what cannot be executed, or is not there */
			v = linear(p, v - DIFF_TERM1 + (rng_percent(r, 50) ? DIFF_DATA + rng_below(r, 64) : DIFF_CODE_END + rng_below(r, 64)));
		program_poke(p, at, &v, 8);
	}
	if (in->id == X86_I_LEAVE)
		GPR(p, RBP) = stack_value(p, pick_in_segment(p, X86_SS, in->opsize, in, r), r);
	if (in->id == X86_I_POP && in->op[0].kind == X86_OPK_SEG)
		program_poke(p, at, &sel, 2);
	if (in->id == X86_I_PUSH && in->op[0].kind == X86_OPK_SEG && !host_is_amd()) { /* zero-extended or a 16-bit move (SDM volume 2, PUSH) */
		if (in->opsize > 2)
			program_hole(p, linear(p, at - in->opsize + 2), in->opsize - 2u);
		p->c.in.flags &= ~(uint64_t)X86_FL_AC;
	}
	if (in->id == X86_I_POPF) {
		v = rng_u64(r) & (X86_FL_ARITH | X86_FL_DF | X86_FL_ID | X86_FL_NT | X86_FL_IF | X86_FL_IOPL | X86_FL_RF);
		v |= (rng_percent(r, 20) ? X86_FL_TF : 0) | (rng_percent(r, 10) ? X86_FL_AC : 0);
		program_poke(p, at, &v, 8);
	}
}

/* ---- Selectors and far pointers */

struct far_target {
	uint64_t off;
	uint16_t sel;
};

/* Mostly a terminator in the code segment that is current, or a stub in one of another mode. */
static struct far_target far_target(const struct program *p, bool same_mode, struct rng *r)
{
	static const uint16_t data[] = { 0, DIFF_SEL_USER_DS, DIFF_SEL(ABSENT), DIFF_NR_SEGS << 3 | 7 };
	unsigned k = rng_below(r, DIFF_NR_TERMS);
	uint16_t cs = p->c.in.sel[X86_CS];

	if (rng_percent(r, 60))
		return (struct far_target){ DIFF_TERM1 - (p->c.mode == DIFF_64 ? 0 : diff_seg_base(cs)), cs };
	if (same_mode) /* from 16-bit and 32-bit code to 64-bit code vendors do not push on the same stack */
		return (struct far_target){ DIFF_TERM1, data[rng_below(r, 4)] };
	switch (rng_below(r, 7)) {
	case 0:
		return (struct far_target){ diff_stub(DIFF_64, k), DIFF_SEL_USER64 };
	case 1:
		return (struct far_target){ diff_stub(DIFF_32, k), rng_percent(r, 50) ? DIFF_SEL_USER32 : DIFF_SEL(CODEFLAT) };
	case 2:
		return (struct far_target){ diff_stub(DIFF_32, k) - diff_ldt[DIFF_SEG_CODE32].base, DIFF_SEL(CODE32) };
	case 3:
		return (struct far_target){ diff_stub(DIFF_16, k) - DIFF_CODE, DIFF_SEL(CODE16) };
	case 4: /* beyond the limit */
		return (struct far_target){ 0x10000 + rng_below(r, 3), DIFF_SEL(CODE16) };
	case 5:
		return (struct far_target){ diff_stub(DIFF_32, k), DIFF_SEL(ABSENTCODE) };
	default:
		return (struct far_target){ DIFF_TERM1, data[rng_below(r, 4)] };
	}
}

static void poke_far(struct program *p, uint64_t at, unsigned opsize, struct far_target t)
{
	program_poke(p, at, &t.off, opsize);
	program_poke(p, linear(p, at + opsize), &t.sel, 2);
}

/* RETF and IRET: what they pop. The new stack is no worse than the old one. */
static void far_return(struct program *p, const struct x86_insn *in, struct rng *r)
{
	uint64_t at = stack_linear(p), frame[5];
	struct far_target t = far_target(p, diff_stack_width(&p->c) == 2, r); /* the new mode's width of RSP may count */
	uint8_t b[40];

	frame[0] = t.off;
	frame[1] = t.sel;
	frame[2] = rng_u64(r) & (X86_FL_ARITH | X86_FL_DF | X86_FL_ID | X86_FL_NT | X86_FL_IF | X86_FL_IOPL | X86_FL_RF);
	frame[3] = GPR(p, RSP) + rng_below(r, 64) * 8;
	frame[4] = rng_percent(r, 80) ? p->c.in.sel[X86_SS] : diff_seg_pick(r);
	for (unsigned n = 0; n < 5; n++)
		memcpy(b + n * in->opsize, &frame[n], in->opsize);
	program_poke(p, at, b, 5u * in->opsize);
	if (in->id == X86_I_IRET && rng_percent(r, 90))
		p->c.in.flags &= ~(uint64_t)X86_FL_NT;
}

/* A selector where the instruction takes one. */
static void selector_operand(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	unsigned n = in->id == X86_I_VERR || in->id == X86_I_VERW || in->id == X86_I_ARPL ? 0 : 1;
	uint16_t sel = diff_seg_pick(r);

	if (in->op[n].kind == X86_OPK_MEM)
		program_poke(p, at, &sel, 2);
	else if (in->op[n].kind == X86_OPK_GPR)
		p->c.in.gpr[in->op[n].reg] = (p->c.in.gpr[in->op[n].reg] & ~0xffffull) | sel;
}

/* A far call may have pushed by the time its target proves wrong (AMD), or not (SDM volume 2, CALL). */
static void far_frame(struct program *p, const struct x86_insn *in)
{
	program_hole(p, linear(p, stack_linear(p) - 2u * in->opsize), 2u * in->opsize);
}

static void direct_far(struct program *p, struct insn *i, struct rng *r)
{
	struct far_target t = far_target(p, i->in.id == X86_I_CALLF, r);

	memcpy(i->bytes + i->len - 2, &t.sel, 2);
	memcpy(i->bytes + i->len - 2 - i->in.opsize, &t.off, i->in.opsize);
	insn_redecode(i);
}

static void bounds(struct program *p, const struct x86_insn *in, uint64_t at)
{
	uint64_t v = p->c.in.gpr[in->op[0].reg], lo = v - (at >> 4 & 3) + 1, hi = v + (at >> 6 & 3) - 1;
	uint8_t b[8];

	memcpy(b, &lo, in->opsize);
	memcpy(b + in->opsize, &hi, in->opsize);
	program_poke(p, at, b, 2u * in->opsize);
}

/* A bit offset reaches a little around the operand. */
static uint64_t bit_offset(struct program *p, const struct x86_insn *in, struct rng *r)
{
	const struct x86_operand *op = &in->op[1];
	int64_t bit;

	if (op->kind != X86_OPK_GPR || op->reg == in->mem.base || op->reg == in->mem.index)
		return 0;
	bit = (int64_t)rng_below(r, 16384) - 8192;
	p->c.in.gpr[op->reg] = (uint64_t)bit;
	return (uint64_t)((bit >> (in->opsize == 8 ? 6 : in->opsize == 4 ? 5 : 4)) * in->opsize);
}

/* A double shift by more than its 16 bits leaves everything undefined (SDM volume 2, SHLD, SHRD). */
static void short_count(struct program *p, struct insn *i, struct rng *r)
{
	if (i->in.opsize != 2)
		return;
	if (i->in.op[2].kind == X86_OPK_IMM)
		i->bytes[i->len - 1] = (uint8_t)rng_below(r, 17);
	else
		GPR(p, RCX) = (GPR(p, RCX) & ~0xffull) | rng_below(r, 17);
	insn_redecode(i);
}

static bool has_wide_index(const struct x86_insn *in)
{
	switch (in->id) {
	case X86_I_VGATHERQPD: case X86_I_VGATHERQPS: case X86_I_VPGATHERQD: case X86_I_VPGATHERQQ:
	case X86_I_VSCATTERQPD: case X86_I_VSCATTERQPS: case X86_I_VPSCATTERQD: case X86_I_VPSCATTERQQ:
		return true;
	default:
		return false;
	}
}

/* Small indices, now and then a wild one; masks of all kinds. */
static void gather(struct program *p, const struct x86_insn *in, struct rng *r)
{
	bool wide = has_wide_index(in);

	for (unsigned i = 0; i < (in->pfx & X86_PFX_EVEX ? 16u : 8u); i++) {
		int32_t v = (int32_t)rng_below(r, 200) - 100;
		uint8_t *at = diff_vector(&p->c.in, in->mem.index, i / 4 * 16) + i % 4 * 4;

		if (wide && i % 2) {
			memcpy(&v, at - 4, 4);
			v = v < 0 ? -1 : 0;
		}
		if (rng_percent(r, 99))
			memcpy(at, &v, 4);
	}
}

static void prepare(struct program *p, struct insn *i, struct rng *r)
{
	switch (i->in.id) {
	case X86_I_RETF: case X86_I_IRET:
		stack(p, &i->in, r);
		far_return(p, &i->in, r);
		break;
	case X86_I_JMPF: case X86_I_CALLF:
		if (i->in.id == X86_I_CALLF)
			far_frame(p, &i->in);
		if (i->in.op[0].kind != X86_OPK_MEM)
			direct_far(p, i, r);
		break;
	case X86_I_PUSH: case X86_I_POP: case X86_I_PUSHF: case X86_I_POPF: case X86_I_CALL: case X86_I_RET: case X86_I_LEAVE:
	case X86_I_PUSHA: case X86_I_POPA:
		stack(p, &i->in, r);
		break;
	case X86_I_ENTER:
		enter(p, i, r);
		break;
	case X86_I_MOVS: case X86_I_CMPS: case X86_I_STOS: case X86_I_LODS: case X86_I_SCAS:
	case X86_I_INS: case X86_I_OUTS:
		string(p, i, r);
		break;
	case X86_I_SHLD: case X86_I_SHRD:
		short_count(p, i, r);
		break;
	case X86_I_PCMPESTRI: case X86_I_PCMPESTRM: case X86_I_VPCMPESTRI: case X86_I_VPCMPESTRM:
		GPR(p, RAX) = rng_percent(r, 80) ? rng_below(r, 40) - 20ull : value_int(r);
		GPR(p, RDX) = rng_percent(r, 80) ? rng_below(r, 40) - 20ull : value_int(r);
		break;
	case X86_I_CVTPI2PS: case X86_I_CVTPI2PD: /* from memory: a pending x87 exception is reported (Intel) or not (AMD) */
		if (insn_mem_operand(&i->in) >= 0)
			p->c.in.fx.fsw &= 0x7f00;
		break;
	case X86_I_LOOP: case X86_I_LOOPE: case X86_I_LOOPNE: case X86_I_JCXZ:
		GPR(p, RCX) = rng_percent(r, 60) ? rng_below(r, 3) : GPR(p, RCX);
		break;
	default:
		break;
	}
}

static void finish(struct program *p, struct insn *i, uint64_t at, struct rng *r)
{
	switch (i->in.id) {
	case X86_I_DIV: case X86_I_IDIV:
		set_divisor(p, &i->in, at, r);
		break;
	case X86_I_CMPXCHG: case X86_I_CMPXCHG8B: case X86_I_CMPXCHG16B:
		compare_exchange(p, &i->in, at, r);
		break;
	case X86_I_JMP: case X86_I_CALL:
		if (!i->rel_size)
			indirect(p, &i->in, at);
		break;
	case X86_I_JMPF: case X86_I_CALLF:
		if (i->in.op[0].kind == X86_OPK_MEM)
			poke_far(p, at, i->in.opsize, far_target(p, i->in.id == X86_I_CALLF, r));
		break;
	case X86_I_LES: case X86_I_LDS: case X86_I_LSS: case X86_I_LFS: case X86_I_LGS:
		poke_far(p, at, i->in.opsize, (struct far_target){ value_int(r), diff_seg_pick(r) });
		break;
	case X86_I_MOV_SEG: case X86_I_LAR: case X86_I_LSL: case X86_I_VERR: case X86_I_VERW: case X86_I_ARPL:
		if (i->in.id != X86_I_MOV_SEG || i->in.op[0].kind == X86_OPK_SEG)
			selector_operand(p, &i->in, at, r);
		break;
	case X86_I_BOUND:
		if (rng_percent(r, 60))
			bounds(p, &i->in, at);
		break;
	default:
		break;
	}
	poke_holes(p, &i->in, at);
	if (!insn_checks_alignment(&i->in))
		p->c.in.flags &= ~(uint64_t)X86_FL_AC;
}

/*
 * Masked memory at the end of what is mapped: half of the time the mask leaves out what is beyond, and perhaps more. Faults of elements
 * that are left out are suppressed, SDM volume 2, 2.7.8.
 */
static void mask_end(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint64_t end = in->op[0].kind == X86_OPK_MEM ? DIFF_DATA_RO : DIFF_DATA + DIFF_DATA_SIZE, *k = &p->c.in.wide.k[in->evex_aaa];
	unsigned fit;

	if (!in->evex_aaa || !in->evex_elem || !in->evex_lanes || !rng_percent(r, 50))
		return;
	if (at >= end || end - at >= (uint64_t)in->evex_elem * in->evex_lanes) {
		if (rng_percent(r, 20) && (at >= end || at < DIFF_DATA))
			*k &= in->evex_lanes < 64 ? ~0ull << in->evex_lanes : 0;
		return;
	}
	fit = (unsigned)((end - at) / in->evex_elem);
	*k &= (1ull << fit) - 1;
	if (in->evex_lanes < 64 && rng_percent(r, 50)) /* bits that count for nothing */
		*k |= ~0ull << in->evex_lanes;
}

static unsigned memory_bytes(const struct x86_insn *in)
{
	int n = insn_mem_operand(in);

	switch (in->id) {
	case X86_I_FXSAVE: case X86_I_FXRSTOR:
		return 512;
	default:
		return n < 0 ? 0 : in->op[n].size;
	}
}

bool aim(struct program *p, struct insn *i, struct rng *r)
{
	unsigned size = memory_bytes(&i->in);
	uint64_t at = 0, skew = 0;

	if (i->in.attr & X86_A_AVX512 && wide_offered && rng_percent(r, 90))
		state_wide(&p->c.in, r);
	prepare(p, i, r);
	if (insn_is_gather(&i->in))
		gather(p, &i->in, r);
	if (insn_mem_operand(&i->in) >= 0) {
		if ((i->in.id == X86_I_BT || i->in.id == X86_I_BTS || i->in.id == X86_I_BTR || i->in.id == X86_I_BTC))
			skew = bit_offset(p, &i->in, r);
		if (i->in.id == X86_I_XLAT)
			skew = GPR(p, RAX) & 0xff;
		point(p, i, pick_in_segment(p, i->in.mem.seg, size, &i->in, r) - skew, r);
		at = linear(p, effective(p, i) + skew);
		if (rng_percent(r, 70) || (i->in.attr & X86_A_FPU) || i->in.id == X86_I_LDMXCSR || i->in.id == X86_I_VLDMXCSR)
			poke_operand(p, &i->in, at, size, r);
	}
	mask_end(p, &i->in, at, r);
	finish(p, i, at, r);
	if (insn_is_locked(&i->in) && at % 64 + size > 64)
		return false;
	if (i->in.opsize == 2 && (i->in.id == X86_I_SHLD || i->in.id == X86_I_SHRD) && insn_count(&i->in) < 0 && (GPR(p, RCX) & 31) > 16)
		return false; /* RCX became a base */
	if (p->c.mode != DIFF_64)
		for (unsigned n = 0; n < 8; n++)
			p->c.in.gpr[n] = (uint32_t)p->c.in.gpr[n];
	return may_fault(&i->in) || (at >= DIFF_DATA && at + size <= DIFF_DATA_RO);
}
