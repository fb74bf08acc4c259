/* SPDX-License-Identifier: MIT */
/*
 * Makes a random state fit one instruction: points its memory operand into the arena, and gives those instructions sense that would
 * otherwise nearly always fault or do nothing.
 */
#include <string.h>

#include "diff/program.h"
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
static uint64_t pick_target(struct rng *r, unsigned size, const struct x86_insn *in)
{
	unsigned what = rng_below(r, 100);
	uint64_t inside = DIFF_DATA + rng_below(r, 3 * DIFF_PAGE - 640);

	if (!may_fault(in))
		return in->id == X86_I_FXSAVE || in->id == X86_I_FXRSTOR ? (rng_percent(r, 95) ? inside & ~15ull : inside) : inside;
	if (insn_is_locked(in)) /* never across cache lines: split locks slow the whole host down */
		return (what < 4 ? DIFF_DATA_RO + (inside & 0xff0) : what < 6 ? DIFF_DATA - 16 : inside) & ~(uint64_t)(size ? size - 1 : 0);
	if ((in->attr & X86_A_ALIGN) && what < 75)
		return (what < 4 ? DIFF_DATA_RO : inside) & (size == 32 ? ~31ull : ~15ull);
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
		return 0x0000800000000000ull + (inside & 0xffff);
	return inside & ~7ull;
}

static uint64_t seg_base(const struct program *p, const struct x86_insn *in)
{
	return in->mem.seg == X86_FS ? p->c.in.fs_base : in->mem.seg == X86_GS ? p->c.in.gs_base : 0;
}

static uint64_t address_mask(const struct x86_insn *in)
{
	return in->addrsize == 4 ? 0xffffffffu : ~0ull;
}

/* The index is a vector. */
static bool is_gather(const struct x86_insn *in)
{
	return in->id >= X86_I_VGATHERDPD && in->id <= X86_I_VPGATHERQQ && (in->id <= X86_I_VGATHERQPS || in->id >= X86_I_VPGATHERDD);
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
	if (m->index != X86_REG_NONE && !is_gather(&i->in))
		ea += p->c.in.gpr[m->index] * m->scale;
	return (ea & address_mask(&i->in)) + seg_base(p, &i->in);
}

static uint64_t garbage_above(uint64_t v, const struct x86_insn *in, struct rng *r)
{
	return in->addrsize == 4 && rng_percent(r, 60) ? (v & 0xffffffffu) | rng_u64(r) << 32 : v;
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
	} else if (m->base == X86_REG_NONE && is_gather(&i->in)) {
		return;
	} else if (m->base == X86_REG_NONE) {
		gpr[m->index] = (offset - (uint64_t)m->disp) / m->scale;
	} else if (m->base == m->index && !is_gather(&i->in)) {
		gpr[m->base] = (offset - (uint64_t)m->disp) / (m->scale + 1u);
	} else {
		uint64_t index = m->index == X86_REG_NONE || is_gather(&i->in) ? 0 : gpr[m->index] * m->scale;

		gpr[m->base] = garbage_above(offset - index - (uint64_t)m->disp, &i->in, r);
	}
}

/* ---- Contents of memory operands */

static void poke_x87(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint64_t q = value_int(r);
	uint8_t b[16];

	memcpy(b, &q, 8);
	switch (in->id) {
	case X86_I_FILD: case X86_I_FIADD: case X86_I_FISUB: case X86_I_FISUBR: case X86_I_FIMUL: case X86_I_FIDIV: case X86_I_FIDIVR:
	case X86_I_FICOM: case X86_I_FICOMP:
		break;
	case X86_I_FBLD:
		value_bcd(r, b);
		break;
	case X86_I_FLDCW:
		q = (rng_u64(r) & 0xf00) | 0x40 | (rng_percent(r, 80) ? 0x3f : rng_below(r, 64));
		memcpy(b, &q, 8);
		break;
	default:
		if (in->op[0].size == 4) {
			uint32_t f = value_f32(r);

			memcpy(b, &f, 4);
		} else if (in->op[0].size == 8) {
			q = value_f64(r);
			memcpy(b, &q, 8);
		} else {
			value_f80(r, b);
		}
	}
	program_poke(p, at, b, in->op[0].size > 10 ? 0 : in->op[0].size); /* not the images of FNSAVE and its kin */
}

static void poke_fxrstor(struct program *p, uint64_t at, struct rng *r)
{
	struct diff_state s;

	state_random(&s, r);
	if (rng_percent(r, 5))
		s.fx.mxcsr |= 0x10000;
	program_poke(p, at, &s.fx, 512);
}

/* Control, status and tag words of a protected-mode image, then registers. */
static void poke_fldenv(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint8_t b[108] = { 0 };
	struct diff_state s;
	unsigned step = in->opsize == 2 ? 2 : 4, head = in->opsize == 2 ? 14 : 28;
	uint16_t tags = (uint16_t)rng_u64(r);

	state_random(&s, r);
	memcpy(b, &s.fx.fcw, 2);
	memcpy(b + step, &s.fx.fsw, 2);
	memcpy(b + 2 * step, &tags, 2);
	for (unsigned n = 0; n < 8; n++)
		memcpy(b + head + n * 10, s.fx.st[n], 10);
	program_poke(p, at, b, in->id == X86_I_FRSTOR ? head + 80u : head);
}

static void poke_operand(struct program *p, const struct x86_insn *in, uint64_t at, unsigned size, struct rng *r)
{
	uint8_t b[32];
	uint64_t q;

	if (in->id == X86_I_FXRSTOR) {
		poke_fxrstor(p, at, r);
	} else if (in->id == X86_I_FLDENV || in->id == X86_I_FRSTOR) {
		poke_fldenv(p, in, at, r);
	} else if (in->id == X86_I_LDMXCSR || in->id == X86_I_VLDMXCSR) {
		q = rng_percent(r, 90) ? (rng_u64(r) & 0xe07f) | (rng_percent(r, 80) ? 0x1f80 : rng_u64(r) & 0x1f80) : rng_u64(r);
		program_poke(p, at, &q, 4);
	} else if (in->attr & X86_A_FPU) {
		poke_x87(p, in, at, r);
	} else if (size <= 8 && !(in->attr & (X86_A_SSE | X86_A_AVX))) {
		q = value_int(r);
		program_poke(p, at, &q, size);
	} else {
		value_vec(r, b);
		value_vec(r, b + 16);
		program_poke(p, at, b, size > sizeof(b) ? sizeof(b) : size);
	}
}

/* Areas whose contents differ between CPU models or between user and kernel: FIP, FDP, FOP and their selectors. */
static void holes(struct program *p, const struct x86_insn *in, uint64_t at)
{
	unsigned step = in->opsize == 2 ? 2 : 4;

	switch (in->id) {
	case X86_I_FXSAVE:
		program_hole(p, at + 6, 18);
		program_hole(p, at + 28, 4);
		break;
	case X86_I_FNSTENV:
	case X86_I_FNSAVE:
		program_hole(p, at + 3 * step, 4 * step);
		break;
	default:
		break;
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
	uint64_t source = pick_target(r, in->opsize, in), dest = pick_target(r, in->opsize, in);
	bool rep = in->pfx & (X86_PFX_REP | X86_PFX_REPNE);

	if (rng_percent(r, 20))
		dest = source + rng_below(r, 64) - 32;
	GPR(p, RSI) = garbage_above(source - seg_base(p, in), in, r);
	GPR(p, RDI) = garbage_above(dest, in, r);
	if (in->id == X86_I_STOS || in->id == X86_I_SCAS)
		GPR(p, RSI) = value_int(r);
	if (rep)
		GPR(p, RCX) = garbage_above(rng_percent(r, 90) ? rng_below(r, 40) : rng_below(r, 1500), in, r);
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
	uint64_t to = DIFF_TERM1;

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
	GPR(p, RSP) = DIFF_DATA + DIFF_PAGE + rng_below(r, DIFF_PAGE);
	GPR(p, RBP) = DIFF_DATA + DIFF_PAGE + rng_below(r, DIFF_PAGE);
}

static void stack(struct program *p, const struct x86_insn *in, struct rng *r)
{
	uint64_t v = DIFF_TERM1, sp = GPR(p, RSP);

	if (rng_percent(r, 20))
		sp = GPR(p, RSP) = pick_target(r, 8, in);
	if (in->id == X86_I_RET)
		program_poke(p, sp, &v, 8);
	if (in->id == X86_I_LEAVE)
		GPR(p, RBP) = pick_target(r, 8, in);
	if (in->id == X86_I_POPF) { /* not TF, which would trap into the debugger; AC would make Linux check alignment */
		v = rng_u64(r) & (X86_FL_ARITH | X86_FL_DF | X86_FL_ID | X86_FL_NT | X86_FL_IF | X86_FL_IOPL | X86_FL_RF);
		program_poke(p, sp, &v, 8);
	}
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

/* Small indices, now and then a wild one; masks of all kinds. */
static void gather(struct program *p, const struct x86_insn *in, struct rng *r)
{
	bool wide = in->id == X86_I_VGATHERQPD || in->id == X86_I_VGATHERQPS || in->id == X86_I_VPGATHERQD || in->id == X86_I_VPGATHERQQ;
	unsigned reg = in->mem.index;

	for (unsigned i = 0; i < 8; i++) {
		int32_t v = (int32_t)rng_below(r, 200) - 100;
		uint8_t *at = (i < 4 ? p->c.in.fx.xmm[reg] : p->c.in.upper[reg]) + i % 4 * 4;

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
	case X86_I_PUSH: case X86_I_POP: case X86_I_PUSHF: case X86_I_POPF: case X86_I_CALL: case X86_I_RET: case X86_I_LEAVE:
		stack(p, &i->in, r);
		break;
	case X86_I_ENTER:
		enter(p, i, r);
		break;
	case X86_I_MOVS: case X86_I_CMPS: case X86_I_STOS: case X86_I_LODS: case X86_I_SCAS:
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
	default:
		break;
	}
	holes(p, &i->in, at);
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

	prepare(p, i, r);
	if (is_gather(&i->in))
		gather(p, &i->in, r);
	if (insn_mem_operand(&i->in) >= 0) {
		if ((i->in.id == X86_I_BT || i->in.id == X86_I_BTS || i->in.id == X86_I_BTR || i->in.id == X86_I_BTC))
			skew = bit_offset(p, &i->in, r);
		if (i->in.id == X86_I_XLAT)
			skew = GPR(p, RAX) & 0xff;
		point(p, i, pick_target(r, size, &i->in) - skew, r);
		at = effective(p, i) + skew;
		if (rng_percent(r, 70) || (i->in.attr & X86_A_FPU) || i->in.id == X86_I_LDMXCSR || i->in.id == X86_I_VLDMXCSR)
			poke_operand(p, &i->in, at, size, r);
	}
	finish(p, i, at, r);
	if (insn_is_locked(&i->in) && at % 64 + size > 64)
		return false;
	if (i->in.opsize == 2 && (i->in.id == X86_I_SHLD || i->in.id == X86_I_SHRD) && insn_count(&i->in) < 0 && (GPR(p, RCX) & 31) > 16)
		return false; /* RCX became a base */
	return may_fault(&i->in) || (at >= DIFF_DATA && at + size <= DIFF_DATA_RO);
}
