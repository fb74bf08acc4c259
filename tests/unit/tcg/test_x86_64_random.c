/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64 against the interpreter: random blocks of IR, run by both from the same state; registers, memory and
 * defined flags must agree. The seed of a failing block is printed; X86_64_SEED and X86_64_BLOCKS choose others.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "mem/tlb.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

struct rnd {
	uint64_t s;
	struct ir_block *b;
	ir_ref temp[6];
	unsigned nr_temps;
	uint32_t undef; /* flag bits with no defined value now */
	bool mem;       /* memory operands wanted */
	uint32_t flags; /* flag bits that are defined at every exit */
	ir_ref base;    /* where accesses cluster around, or NONE */
	ir_ref index;   /* that some of them add, or NONE */
};

static unsigned pick(struct rnd *r, unsigned n)
{
	r->s = r->s * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((r->s >> 33) % n);
}

static int64_t number(struct rnd *r)
{
	static const int64_t odd[] = { 0, 1, -1, 2, 127, 128, -128, 255, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000ll, 0xffffffffll,
				       INT64_MIN, INT64_MAX, 0x1122334455667788ll };

	if (pick(r, 2))
		return odd[pick(r, ARRAY_LEN(odd))];
	return (int64_t)((uint64_t)pick(r, 0x7fffffff) * pick(r, 0x7fffffff)) >> pick(r, 60);
}

static enum ir_type int_type(struct rnd *r)
{
	static const enum ir_type t[] = { IR_I8, IR_I16, IR_I32, IR_I32, IR_I64, IR_I64 };

	return t[pick(r, ARRAY_LEN(t))];
}

static struct ir_insn *emit(struct rnd *r, enum ir_op op, enum ir_type t, ir_ref d, ir_ref a, ir_ref b)
{
	return ir_emit(r->b, op, t, d, a, b);
}

static ir_ref reg(struct rnd *r)
{
	if (r->nr_temps && pick(r, 3) == 0)
		return r->temp[pick(r, r->nr_temps)];
	return IR_G(pick(r, TCG_NR_GREG));
}

/* A destination; now and then a temporary, which is defined whole first. */
static ir_ref dest(struct rnd *r)
{
	ir_ref t;

	if (pick(r, 4) || r->nr_temps == ARRAY_LEN(r->temp))
		return reg(r);
	t = ir_temp(r->b);
	emit(r, IR_MOV, IR_I64, t, IR_G(pick(r, TCG_NR_GREG)), IR_NONE);
	r->temp[r->nr_temps++] = t;
	return t;
}

static void forget_temps(struct rnd *r)
{
	r->nr_temps = 0;
}

/* Near the base of a cluster. */
static ir_ref near_base(struct rnd *r)
{
	struct ir_mem m = { .base = r->base, .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = (uint8_t)IR_REF_NUM(r->base),
			    .disp = (int64_t)pick(r, 80) - 40, .wander = !pick(r, 8) };

	if (r->index != IR_NONE && pick(r, 2)) {
		m.index = r->index;
		m.scale = pick(r, 4) ? 4 : 8;
		m.slot = (uint8_t)(TLB_SLOT_POOL + pick(r, 4));
	}
	return ir_mem(r->b, &m);
}

/* A memory operand off a register that is set first. */
static ir_ref memory(struct rnd *r, unsigned bytes)
{
	struct ir_mem m = { .scale = (uint8_t)(1u << pick(r, 4)), .addr_bits = 64, .base = IR_NONE, .index = IR_NONE };
	int64_t at = (int64_t)FX_BASE + 512 + (int64_t)pick(r, FX_PAGE_FAULT * 4096 - 1024);
	unsigned how = pick(r, 7);

	if (r->base != IR_NONE && pick(r, 8))
		return near_base(r);
	if (pick(r, 3))
		at &= ~(int64_t)(bytes - 1);
	m.slot = (uint8_t)pick(r, TLB_L0_SLOTS);
	m.wander = !pick(r, 3);
	m.disp = at;
	if (how == 0)
		return ir_mem(r->b, &m);
	if (how == 6) { /* a table */
		m.index = pick(r, 3) ? IR_G(pick(r, TCG_NR_GREG)) : dest(r);
		m.disp = at - 8 * m.scale;
		emit(r, IR_MOV, IR_I64, m.index, IR_KONST, IR_NONE)->imm = (int64_t)pick(r, 16);
		return ir_mem(r->b, &m);
	}
	m.base = pick(r, 3) ? IR_G(pick(r, TCG_NR_GREG)) : dest(r);
	m.disp = pick(r, 2) ? (int64_t)pick(r, 256) - 128 : 0;
	if (how >= 4) {
		do
			m.index = reg(r);
		while (m.index == m.base);
		emit(r, IR_MOV, IR_I64, m.index, IR_KONST, IR_NONE)->imm = (int64_t)pick(r, 16) - 8;
		m.disp = 64;
		at -= 64;
	}
	if (how == 3)
		m.addr_bits = 32;
	if (how == 5)
		m.lin32 = true;
	if (IR_REF_KIND(m.base) == IR_KIND_G)
		m.slot = pick(r, 4) ? (uint8_t)IR_REF_NUM(m.base) : m.slot;
	emit(r, IR_MOV, IR_I64, m.base, IR_KONST, IR_NONE)->imm = at - (how >= 4 ? 0 : m.disp);
	return ir_mem(r->b, &m);
}

/* A source: register, or constant, or memory; `imm` receives the constant. */
static ir_ref source(struct rnd *r, unsigned bytes, bool mem, int64_t *imm)
{
	switch (pick(r, 5)) {
	case 0:
		*imm = number(r);
		return IR_KONST;
	case 1:
		if (mem && r->mem)
			return memory(r, bytes);
		/* fallthrough */
	default:
		return reg(r);
	}
}

static void setf(struct rnd *r, struct ir_insn *i, uint32_t undefined)
{
	if (!pick(r, 3))
		return;
	i->attr |= IR_SETF;
	r->undef = (r->undef & ~ir_flags_clob(i)) | undefined;
}

/* ---- One op of each shape */

static void gen_mov(struct rnd *r)
{
	enum ir_type t = int_type(r);
	int64_t imm = 0;
	ir_ref a, d;

	if (r->mem && pick(r, 4) == 0) {
		d = memory(r, ir_type_bytes(t));
		a = pick(r, 3) ? reg(r) : IR_KONST;
		emit(r, IR_MOV, t, d, a, IR_NONE)->imm = number(r);
		return;
	}
	d = dest(r);
	a = source(r, ir_type_bytes(t), true, &imm);
	emit(r, IR_MOV, t, d, a, IR_NONE)->imm = imm;
}

static void gen_extend(struct rnd *r)
{
	static const struct { uint8_t op, bytes, low; } ops[] = { { IR_ZX8, 1, IR_I16 }, { IR_SX8, 1, IR_I16 }, { IR_ZX16, 2, IR_I32 },
								  { IR_SX16, 2, IR_I32 }, { IR_SX32, 4, IR_I64 } };
	unsigned n = pick(r, ARRAY_LEN(ops));
	enum ir_type t = ops[n].low + pick(r, IR_I64 - ops[n].low + 1);
	ir_ref d = dest(r);
	int64_t imm = 0;
	ir_ref a = source(r, ops[n].bytes, true, &imm);

	emit(r, ops[n].op, t, d, a, IR_NONE)->imm = imm;
}

static void gen_alu(struct rnd *r)
{
	static const uint8_t ops[] = { IR_ADD, IR_ADD, IR_ADC, IR_SUB, IR_SUB, IR_SBB, IR_AND, IR_OR, IR_XOR };
	enum ir_op op = ops[pick(r, ARRAY_LEN(ops))];
	enum ir_type t = int_type(r);
	int64_t imm = 0;
	struct ir_insn *i;
	ir_ref d, a, b;

	if ((op == IR_ADC || op == IR_SBB) && (r->undef & F_C))
		op = IR_ADD;
	if (r->mem && pick(r, 5) == 0) {
		b = source(r, 0, false, &imm);
		d = a = memory(r, ir_type_bytes(t));
	} else {
		d = dest(r);
		a = pick(r, 3) ? d : reg(r);
		b = source(r, ir_type_bytes(t), true, &imm);
		if (pick(r, 8) == 0 && b != IR_KONST && IR_REF_KIND(b) != IR_KIND_M) {
			a = IR_KONST;
			imm = number(r);
		}
	}
	i = emit(r, op, t, d, a, b);
	i->imm = imm;
	if (IR_REF_KIND(d) == IR_KIND_M && pick(r, 2))
		i->attr |= IR_LOCK;
	setf(r, i, op == IR_AND || op == IR_OR || op == IR_XOR ? F_A : 0);
}

static void gen_compare(struct rnd *r)
{
	enum ir_op op = pick(r, 2) ? IR_CMP : IR_TEST;
	enum ir_type t = int_type(r);
	int64_t imm = 0;
	ir_ref a, b;
	struct ir_insn *i;

	if (r->mem && pick(r, 3) == 0) {
		b = source(r, 0, false, &imm);
		a = memory(r, ir_type_bytes(t));
	} else {
		b = source(r, ir_type_bytes(t), true, &imm);
		a = reg(r);
	}
	i = emit(r, op, t, IR_NONE, a, b);
	i->imm = imm;
	r->undef = op == IR_TEST ? F_A : 0;
}

static void gen_unary(struct rnd *r)
{
	static const uint8_t ops[] = { IR_INC, IR_DEC, IR_NEG, IR_NOT };
	enum ir_op op = ops[pick(r, 4)];
	enum ir_type t = int_type(r);
	struct ir_insn *i;
	ir_ref d;

	if (r->mem && pick(r, 4) == 0) {
		d = memory(r, ir_type_bytes(t));
		i = emit(r, op, t, d, d, IR_NONE);
		if (pick(r, 2))
			i->attr |= IR_LOCK;
	} else {
		d = dest(r);
		i = emit(r, op, t, d, pick(r, 2) ? d : reg(r), IR_NONE);
	}
	if (op != IR_NOT)
		setf(r, i, 0);
}

static void gen_shift(struct rnd *r)
{
	enum ir_op op = IR_SHL + pick(r, 7);
	enum ir_type t = int_type(r);
	ir_ref d, a, count = pick(r, 2) ? IR_KONST : pick(r, 2) ? IR_G(1) : reg(r);
	bool rot = op >= IR_ROL;
	struct ir_insn *i;
	int64_t imm = pick(r, 3) ? (int64_t)pick(r, 8 * ir_type_bytes(t)) : (int64_t)pick(r, 70);

	if ((op == IR_RCL || op == IR_RCR) && (r->undef & F_C))
		op = IR_SHL;
	if (r->mem && pick(r, 4) == 0) {
		d = a = memory(r, ir_type_bytes(t));
	} else {
		d = dest(r);
		a = pick(r, 2) ? d : reg(r);
	}
	i = emit(r, op, t, d, a, count);
	i->imm = imm;
	if (pick(r, 2)) {
		i->attr |= IR_SETF;
		r->undef |= F_O | F_A | (rot && op <= IR_ROR ? 0 : t <= IR_I16 && op < IR_ROL ? F_C : 0);
	}
}

static void gen_shift_double(struct rnd *r)
{
	enum ir_op op = pick(r, 2) ? IR_SHLD : IR_SHRD;
	enum ir_type t = pick(r, 2) ? IR_I32 : IR_I64;
	ir_ref d = r->mem && pick(r, 4) == 0 ? memory(r, ir_type_bytes(t)) : dest(r);
	ir_ref b = reg(r), c = pick(r, 2) ? IR_KONST : pick(r, 2) ? IR_G(1) : reg(r);
	struct ir_insn *i = emit(r, op, t, d, d, b);

	i->c = c;
	i->imm = pick(r, 64);
	if (pick(r, 2)) {
		i->attr |= IR_SETF;
		r->undef |= F_O | F_A;
	}
}

static void gen_mul(struct rnd *r)
{
	enum ir_op op = pick(r, 2) ? IR_IMUL : pick(r, 2) ? IR_MULU : IR_MULS;
	enum ir_type t = IR_I16 + pick(r, 3);
	int64_t imm = 0;
	ir_ref d = dest(r), c = IR_NONE, b = source(r, ir_type_bytes(t), true, &imm), a = pick(r, 2) ? d : reg(r);
	struct ir_insn *i;

	if (op != IR_IMUL) {
		if (pick(r, 2)) {
			d = a = IR_G(0);
			c = IR_G(2);
		} else if (pick(r, 3)) {
			c = IR_G((IR_REF_KIND(d) == IR_KIND_G ? IR_REF_NUM(d) + 1 : pick(r, 16)) & 15);
		}
	}
	i = emit(r, op, t, d, a, b);
	i->imm = imm;
	i->c = c;
	setf(r, i, F_S | F_Z | F_A | F_P);
}

static void gen_div(struct rnd *r)
{
	enum ir_op op = pick(r, 2) ? IR_DIVU : IR_DIVS;
	enum ir_type t = IR_I16 + pick(r, 3);
	bool plain = pick(r, 2);
	ir_ref d = plain ? IR_G(0) : IR_G(pick(r, 8)), c = plain ? IR_G(2) : IR_G(8 + pick(r, 8));
	ir_ref b = r->mem && pick(r, 3) == 0 ? memory(r, ir_type_bytes(t)) : IR_G(3);
	struct ir_insn *i;

	emit(r, IR_MOV, t, c, IR_KONST, IR_NONE)->imm = 0;
	if (IR_REF_KIND(b) == IR_KIND_M) {
		emit(r, IR_MOV, t, b, IR_KONST, IR_NONE)->imm = 7 + pick(r, 1000);
		emit(r, IR_MOV, t, c, IR_KONST, IR_NONE)->imm = 0;
	} else {
		if (d == b || c == b)
			return;
		emit(r, IR_MOV, t, b, IR_KONST, IR_NONE)->imm = 7 + pick(r, 1000);
	}
	if (IR_REF_KIND(b) == IR_KIND_M && (r->b->mem[IR_REF_NUM(b)].base == d || r->b->mem[IR_REF_NUM(b)].base == c ||
					    r->b->mem[IR_REF_NUM(b)].index == d || r->b->mem[IR_REF_NUM(b)].index == c))
		return;
	i = emit(r, op, t, d, IR_NONE, b);
	i->c = c;
	i->attr |= IR_SETF;
	r->undef = F_ALL;
}

static void gen_bits(struct rnd *r)
{
	static const struct { uint8_t op; uint16_t undef; } ops[] = {
		{ IR_BSF, F_ALL & ~F_Z }, { IR_BSR, F_ALL & ~F_Z }, { IR_TZCNT, F_O | F_S | F_A | F_P }, { IR_LZCNT, F_O | F_S | F_A | F_P },
		{ IR_POPCNT, 0 } };
	unsigned n = pick(r, ARRAY_LEN(ops));
	enum ir_type t = IR_I16 + pick(r, 3);
	ir_ref d = dest(r);
	int64_t imm = 0;
	ir_ref a = source(r, ir_type_bytes(t), true, &imm);
	struct ir_insn *i;

	if (n < 2) { /* the upper half of an unchanged 32-bit destination differs between hosts */
		t = IR_I64;
		if (IR_REF_KIND(a) == IR_KIND_M)
			a = reg(r);
	}
	i = emit(r, ops[n].op, t, d, a, IR_NONE);
	i->imm = imm;
	setf(r, i, ops[n].undef);
}

static void gen_bit_test(struct rnd *r)
{
	enum ir_op op = IR_BT + pick(r, 4);
	enum ir_type t = IR_I16 + pick(r, 3);
	ir_ref b = pick(r, 2) ? IR_KONST : reg(r), a, d;
	int64_t imm = pick(r, 100);
	struct ir_insn *i;

	if (r->mem && pick(r, 3) == 0) {
		a = d = memory(r, ir_type_bytes(t));
	} else {
		d = dest(r);
		a = pick(r, 2) ? d : reg(r);
	}
	i = emit(r, op, t, op == IR_BT ? IR_NONE : d, a, b);
	i->imm = imm;
	i->attr |= IR_SETF;
	if (IR_REF_KIND(d) == IR_KIND_M && op != IR_BT && pick(r, 2))
		i->attr |= IR_LOCK;
	r->undef = (r->undef & F_Z) | F_O | F_S | F_A | F_P;
}

static void gen_exchange(struct rnd *r)
{
	enum ir_type t = int_type(r);
	ir_ref a = r->mem && pick(r, 2) ? memory(r, ir_type_bytes(t)) : dest(r), b;
	struct ir_insn *i;

	do
		b = reg(r);
	while (b == a);
	switch (pick(r, 3)) {
	case 0:
		emit(r, IR_XCHG, t, IR_NONE, a, b);
		break;
	case 1:
		i = emit(r, IR_XADD, t, IR_NONE, a, b);
		if (IR_REF_KIND(a) == IR_KIND_M)
			i->attr |= IR_LOCK;
		setf(r, i, 0);
		break;
	default:
		if (t == IR_I32)
			t = IR_I64;
		i = emit(r, IR_CAS, t, pick(r, 2) || a == IR_G(0) ? IR_G(0) : IR_G(5), a, b);
		if (i->d == a) {
			r->b->nr_insns--;
			return;
		}
		if (IR_REF_KIND(a) == IR_KIND_M)
			i->attr |= IR_LOCK;
		setf(r, i, 0);
	}
}

static void gen_cond(struct rnd *r)
{
	enum ir_cc cc = pick(r, 16);
	enum ir_type t = IR_I16 + pick(r, 3);
	int64_t imm = 0;
	struct ir_insn *i;
	ir_ref d;

	if (ir_cc_uses(cc) & r->undef)
		return;
	if (pick(r, 2)) {
		d = r->mem && pick(r, 3) == 0 ? memory(r, 1) : dest(r);
		emit(r, IR_SETCC, IR_I8, d, IR_NONE, IR_NONE)->cc = cc;
	} else {
		ir_ref a;

		d = dest(r);
		a = source(r, ir_type_bytes(t), true, &imm);
		i = emit(r, IR_CMOV, t, d, a, IR_NONE);
		i->imm = imm;
		i->cc = cc;
	}
}

static void gen_flags(struct rnd *r)
{
	static const uint16_t masks[] = { F_ALL, F_C, F_ALL & ~F_O, F_C | F_Z };
	struct ir_insn *i;
	ir_ref a;

	switch (pick(r, 3)) {
	case 0:
		if (!r->undef)
			emit(r, IR_GETFL, IR_I64, dest(r), IR_NONE, IR_NONE);
		break;
	case 1:
		a = reg(r);
		if (pick(r, 2)) {
			a = ir_temp(r->b);
			emit(r, IR_MOV, IR_I64, a, IR_KONST, IR_NONE)->imm = pick(r, 2);
		}
		i = emit(r, IR_PUTFL, IR_I64, IR_NONE, a, IR_NONE);
		i->imm = masks[pick(r, 4)];
		i->attr |= IR_SETF;
		r->undef &= ~(uint32_t)i->imm;
		break;
	default:
		if (!(r->undef & F_C))
			emit(r, IR_CMC, IR_I64, IR_NONE, IR_NONE, IR_NONE)->attr |= IR_SETF;
	}
}

static void gen_misc(struct rnd *r)
{
	enum ir_type t = pick(r, 2) ? IR_I32 : IR_I64;
	struct ir_mem m = { .base = reg(r), .index = pick(r, 2) ? reg(r) : IR_NONE, .scale = (uint8_t)(1u << pick(r, 4)), .disp = number(r),
			    .addr_bits = (uint8_t)(16u << pick(r, 3)) };
	ir_ref d = dest(r);
	int64_t imm = 0;
	struct ir_insn *i;

	switch (pick(r, 10)) {
	case 0:
		emit(r, IR_LEA, int_type(r), d, ir_mem(r->b, &m), IR_NONE);
		break;
	case 1:
		emit(r, IR_GETHI8, IR_I64, d, reg(r), IR_NONE);
		break;
	case 2:
		emit(r, IR_PUTHI8, IR_I64, d, reg(r), IR_NONE);
		break;
	case 3:
		emit(r, IR_BSWAP, t, d, reg(r), IR_NONE);
		break;
	case 4:
		emit(r, IR_LDENV, int_type(r), d, IR_NONE, IR_NONE)->imm = offsetof(struct tcg_env, vreg) + 8 * pick(r, 16);
		break;
	case 5:
		emit(r, IR_STENV, int_type(r), IR_NONE, reg(r), IR_NONE)->imm = offsetof(struct tcg_env, vreg) + 8 * pick(r, 16);
		break;
	case 6:
		emit(r, IR_CRC32, int_type(r), d, reg(r), reg(r));
		break;
	case 7:
		i = emit(r, IR_ANDN, t, d, reg(r), source(r, ir_type_bytes(t), true, &imm));
		i->imm = imm;
		setf(r, i, F_A | F_P);
		break;
	case 8:
		emit(r, IR_LDCODE, int_type(r), d, IR_NONE, IR_NONE)->imm = pick(r, 8);
		break;
	default:
		emit(r, pick(r, 2) ? IR_PDEP : IR_PEXT, t, d, reg(r), reg(r));
	}
}

static void gen_rt(struct rnd *r)
{
	static const uint8_t rts[] = { FX_RT_ADD3, FX_RT_FLAGS, FX_RT_GREG };
	unsigned n = rts[pick(r, 3)];
	ir_ref d = dest(r), a = reg(r), b = pick(r, 2) ? reg(r) : IR_NONE;
	struct ir_insn *i;

	if (n == FX_RT_FLAGS && r->undef)
		return;
	if (n == FX_RT_ADD3)
		b = reg(r);
	i = emit(r, IR_RT, IR_I64, d, a, b);
	i->imm = n;
	i->c = n == FX_RT_ADD3 ? reg(r) : IR_NONE;
}

static void gen_one(struct rnd *r)
{
	static void (*const gens[])(struct rnd *r) = { gen_mov, gen_mov, gen_extend, gen_alu, gen_alu, gen_alu, gen_compare, gen_unary,
						       gen_shift, gen_shift_double, gen_mul, gen_div, gen_bits, gen_bit_test, gen_exchange,
						       gen_cond, gen_cond, gen_flags, gen_misc, gen_rt };

	gens[pick(r, ARRAY_LEN(gens))](r);
}

/* A forward branch over a few ops. */
static void gen_branch(struct rnd *r)
{
	unsigned l = ir_label(r->b), n = 1 + pick(r, 3);
	uint32_t undef = r->undef;
	enum ir_cc cc = pick(r, 16);
	ir_ref a = reg(r);

	forget_temps(r);
	if (IR_REF_KIND(a) == IR_KIND_T)
		a = IR_G(6);
	if (pick(r, 2) && !(ir_cc_uses(cc) & undef)) {
		struct ir_insn *i = emit(r, IR_BRCC, IR_I64, IR_NONE, IR_NONE, IR_NONE);

		i->cc = cc;
		i->imm = l;
	} else {
		emit(r, pick(r, 2) ? IR_BRZ : IR_BRNZ, int_type(r), IR_NONE, a, IR_NONE)->imm = l;
	}
	while (n--)
		gen_one(r);
	forget_temps(r);
	emit(r, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = l;
	r->undef |= undef;
}

static void gen_exit(struct rnd *r)
{
	struct ir_insn *i = emit(r, IR_JCC, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	i->imm = FX_PC + 64 + (pick(r, 2) ? 0x10000 : 0);
	i->cc = (uint8_t)pick(r, 16);
	if (ir_cc_uses(i->cc) & r->undef)
		r->b->nr_insns--;
	else
		i->fl_live = (uint16_t)(F_ALL & ~r->undef);
	r->flags &= ~r->undef;
}

/* Small numbers fit, most others do not. */
static void gen_fits(struct rnd *r)
{
	struct ir_insn *i = emit(r, IR_FITS, IR_I64, IR_NONE, reg(r), IR_NONE);

	i->imm = 2 + pick(r, 62);
	i->fl_live = (uint16_t)(F_ALL & ~r->undef);
	r->flags &= ~r->undef;
}

/* Ops with accesses off one base, which moves by constants at times. */
static void gen_cluster(struct rnd *r)
{
	unsigned n = 3 + pick(r, 14);
	ir_ref base = IR_G(pick(r, 4) ? pick(r, 9) : 4), zero = IR_G(9 + pick(r, 3)), index = IR_G(12 + pick(r, 4));
	int64_t at = (int64_t)FX_BASE + 512 + (int64_t)pick(r, 2 * 4096);

	if (pick(r, 3) == 0)
		at = (int64_t)FX_BASE + 4096 * (1 + (int64_t)pick(r, 7)) + (int64_t)pick(r, 60) - 30;
	emit(r, IR_MOV, IR_I64, base, IR_KONST, IR_NONE)->imm = at;
	emit(r, IR_MOV, IR_I64, zero, IR_KONST, IR_NONE)->imm = 0;
	emit(r, IR_ADD, IR_I64, base, base, zero);
	r->base = base;
	if (pick(r, 2)) {
		r->index = index;
		emit(r, IR_MOV, IR_I64, index, IR_KONST, IR_NONE)->imm = (int64_t)pick(r, 8);
		emit(r, IR_ADD, IR_I64, index, index, zero);
	}
	while (n--) {
		unsigned first = r->b->nr_insns;

		if (pick(r, 10) == 0)
			emit(r, IR_ADD, IR_I64, base, base, IR_KONST)->imm = (int64_t)pick(r, 32) - 16;
		else if (pick(r, 12) == 0 && r->index != IR_NONE)
			emit(r, IR_ADD, IR_I64, index, index, IR_KONST)->imm = (int64_t)pick(r, 4) - 2;
		else if (pick(r, 12) == 0)
			gen_exit(r);
		else
			gen_one(r);
		/* What overwrites the base or the index ends the cluster. */
		for (; first < r->b->nr_insns; first++) {
			const struct ir_insn *i = &r->b->insn[first];
			unsigned w = ir_writes(i);

			if (i->op == IR_ADD && (i->d == base || i->d == index) && i->b == IR_KONST && i->type == IR_I64)
				continue;
			if (((w & IR_RW_D) && i->d == base) || ((w & IR_RW_A) && i->a == base) || ((w & IR_RW_B) && i->b == base) ||
			    ((w & IR_RW_C) && i->c == base) || i->op == IR_RT)
				n = 0;
			if (((w & IR_RW_D) && i->d == index) || ((w & IR_RW_A) && i->a == index) || ((w & IR_RW_B) && i->b == index) ||
			    ((w & IR_RW_C) && i->c == index))
				r->index = IR_NONE;
		}
	}
	r->base = r->index = IR_NONE;
}

static uint32_t gen_block(struct ir_block *b, uint64_t seed, bool mem)
{
	struct rnd r = { .s = seed * 0x9e3779b97f4a7c15ull + 1, .b = b, .mem = mem, .flags = F_ALL, .base = IR_NONE, .index = IR_NONE };
	unsigned n = 1 + pick(&r, 24);
	ir_ref end;

	fx_begin(b);
	emit(&r, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	while (n--) {
		if (pick(&r, 12) == 0)
			gen_branch(&r);
		else if (pick(&r, 24) == 0)
			gen_fits(&r);
		else if (mem && pick(&r, 8) == 0)
			gen_cluster(&r);
		else
			gen_one(&r);
		if (pick(&r, 6) == 0)
			emit(&r, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = (int64_t)(FX_PC + r.b->nr_insns);
		if (pick(&r, 5) == 0)
			forget_temps(&r);
	}
	forget_temps(&r);
	end = ir_temp(b);
	emit(&r, IR_MOV, IR_I64, end, IR_KONST, IR_NONE)->imm = FX_PC + 999;
	emit(&r, IR_SETPC, IR_I64, IR_NONE, end, IR_NONE);
	emit(&r, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	b->insn[b->nr_insns - 1].fl_live = (uint16_t)(F_ALL & ~r.undef);
	b->mmu_mode = (uint8_t)pick(&r, TLB_NR_MODES);
	return r.flags & ~r.undef;
}

/* ---- Comparing */

struct result {
	uint64_t greg[TCG_NR_GREG], flags;
	union tcg_vreg vreg[TCG_NR_VREG];
	uint64_t pc;
	uint32_t unwound;
	uint8_t mem[FX_SIZE];
};

static struct result interp, native;
static struct ir_block block, copy;

static void run(const struct backend *be, struct ir_block *b, uint64_t seed, struct result *out)
{
	fx_reset_state(seed);
	fx_run(be, b);
	memcpy(out->greg, fx.env->greg, sizeof(out->greg));
	memcpy(out->vreg, fx.env->vreg, sizeof(out->vreg));
	memcpy(out->mem, fx.mem, FX_SIZE);
	out->flags = fx.env->flags;
	out->unwound = fx.env->exit_code == TCG_EXIT_EVENT; /* which exits are chained is the back end's affair */
	out->pc = fx.env->pc;
}

static void print_line(void *opaque, const char *text)
{
	(void)opaque;
	if (!strstr(text, "insn 0x400000"))
		fprintf(stderr, "    %s\n", text);
}

static bool quiet;

static bool differ(uint32_t flags)
{
	bool bad = false;

	if (quiet)
		return memcmp(interp.greg, native.greg, sizeof(interp.greg)) || memcmp(interp.mem, native.mem, FX_SIZE) ||
		       (!interp.unwound && ((interp.flags ^ native.flags) & flags)) || interp.pc != native.pc;

	for (unsigned n = 0; n < TCG_NR_GREG; n++) {
		if (interp.greg[n] == native.greg[n])
			continue;
		fprintf(stderr, "  g%u: interp %#llx native %#llx\n", n, (unsigned long long)interp.greg[n], (unsigned long long)native.greg[n]);
		bad = true;
	}
	/* Flags that are dead at a fault may differ. */
	if (((interp.flags ^ native.flags) & flags) && !interp.unwound) {
		fprintf(stderr, "  flags: interp %#llx native %#llx of %#x\n", (unsigned long long)interp.flags & F_ALL,
			(unsigned long long)native.flags & F_ALL, flags);
		bad = true;
	}
	if (memcmp(interp.vreg, native.vreg, sizeof(interp.vreg))) {
		fprintf(stderr, "  vector registers differ\n");
		bad = true;
	}
	for (unsigned n = 0; n < FX_SIZE; n++) {
		if (interp.mem[n] == native.mem[n])
			continue;
		fprintf(stderr, "  memory at %#llx: interp %02x native %02x\n", FX_BASE + n, interp.mem[n], native.mem[n]);
		bad = true;
		break;
	}
	if (interp.unwound != native.unwound || interp.pc != native.pc) {
		fprintf(stderr, "  exit: interp %u %#llx native %u %#llx\n", interp.unwound, (unsigned long long)interp.pc, native.unwound,
			(unsigned long long)native.pc);
		bad = true;
	}
	return bad;
}

static bool disagree(uint64_t seed, uint32_t flags)
{
	copy = block;
	opt_liveness(&copy);
	run(&backend_interp, &copy, seed, &interp);
	run(&backend_native, &copy, seed, &native);
	if (differ(flags))
		return true;
	fx.keep_tlb = true; /* again, with level-0 slots that hit */
	run(&backend_native, &copy, seed, &native);
	fx.keep_tlb = false;
	return differ(flags);
}

/* Leaves out what the disagreement does not need. */
static void reduce(uint64_t seed, uint32_t flags)
{
	unsigned where;

	quiet = true;
	for (unsigned pass = 0; pass < 3; pass++) {
		for (unsigned n = 1; n + 3 < block.nr_insns; n++) {
			struct ir_block *b = &block;
			struct ir_insn was = b->insn[n];

			if (was.op == IR_INSN)
				continue;
			b->insn[n] = (struct ir_insn){ .op = IR_INSN, .type = IR_I64, .imm = FX_PC };
			if (ir_verify(b, &where) || !disagree(seed, flags))
				b->insn[n] = was;
		}
	}
	quiet = false;
	disagree(seed, flags);
}

static void one_block(uint64_t seed, bool mem)
{
	uint32_t flags = gen_block(&block, seed, mem);
	unsigned where;
	const char *bad = ir_verify(&block, &where);

	if (bad)
		fail_msg("seed %llu: generator made bad IR at %u: %s", (unsigned long long)seed, where, bad);
	if (disagree(seed, flags)) {
		fprintf(stderr, "reduced:\n");
		reduce(seed, flags);
		ir_print(&copy, print_line, NULL);
		fail_msg("seed %llu%s", (unsigned long long)seed, mem ? " with memory" : "");
	}
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

static void blocks(bool mem)
{
	uint64_t seed = from_env("X86_64_SEED", 1), n = from_env("X86_64_BLOCKS", 3000);

	fx_catch_signals(); /* divide errors */
	while (n--)
		one_block(seed++, mem);
}

static void registers_agree_with_the_interpreter(void **state)
{
	(void)state;
	blocks(false);
}

static void memory_agrees_with_the_interpreter(void **state)
{
	(void)state;
	blocks(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_agree_with_the_interpreter),
		cmocka_unit_test(memory_agrees_with_the_interpreter),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
