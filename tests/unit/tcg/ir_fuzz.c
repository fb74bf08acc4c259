/* SPDX-License-Identifier: MIT */
#include "unit/tcg/ir_fuzz.h"

#include <stdio.h>
#include <string.h>

#include "tcg/ir/ir_eval.h"
#include "tcg/ir/vec_eval.h"

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dull;
}

static bool chance(unsigned one_in)
{
	return rnd() % one_in == 0;
}

/* ---- Runtime routines of each kind of effect */

static uint64_t rt_pure(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)env;
	return a * 3 + b - c;
}

static uint64_t rt_flags(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t old = env->flags;

	(void)c;
	env->flags = (a ^ b ^ old) & F_ALL;
	return old;
}

static uint64_t rt_writes_flags(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	env->flags = (a + b + c) & F_ALL;
	return a;
}

static uint64_t rt_regs(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)b;
	(void)c;
	env->greg[1] += env->greg[15] + a;
	env->greg[12] ^= env->greg[0];
	return env->greg[9];
}

static uint64_t rt_vec(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c)
{
	(void)b;
	(void)c;
	env->vreg[3].q[0] ^= env->vreg[2].q[1] + a;
	return env->vreg[1].q[0];
}

const struct ir_rt ir_fuzz_rt[] = {
	{"pure", rt_pure, RT_PURE},
	{"flags", rt_flags, RT_READS_FLAGS | RT_WRITES_FLAGS},
	{"writes_flags", rt_writes_flags, RT_WRITES_FLAGS},
	{"regs", rt_regs, RT_READS_GREG | RT_WRITES_GREG | RT_FAULTS},
	{"vec", rt_vec, RT_READS_VEC | RT_WRITES_VEC},
};
const unsigned ir_fuzz_nr_rt = ARRAY_LEN(ir_fuzz_rt);

/* ---- Generating. Registers 4, 6 and 7 point into memory and are never written. */

struct gen {
	struct ir_block *b;
	ir_ref temp[8]; /* defined in this stretch */
	unsigned nr_temps;
	uint8_t vtemps;
	unsigned pending; /* label of a forward branch to be placed, or 0 for none; label 0 is reserved */
	uint32_t undefined, undefined_at_label; /* flags that may hold anything here, and at the pending branch */
	gva_t pc;
};

static ir_ref any_g(void)
{
	static const uint8_t free[] = {0, 1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15};

	return IR_G(free[rnd() % ARRAY_LEN(free)]);
}

static ir_ref old_temp(struct gen *g)
{
	return g->nr_temps ? g->temp[rnd() % g->nr_temps] : IR_NONE;
}

static ir_ref source(struct gen *g)
{
	return g->nr_temps && chance(2) ? old_temp(g) : any_g();
}

/* A register to write: with `reads` its old value counts. */
static ir_ref dest(struct gen *g, bool reads)
{
	ir_ref t;

	if (chance(2))
		return any_g();
	if (reads || g->nr_temps == 8 || chance(3))
		return g->nr_temps ? old_temp(g) : any_g();
	t = ir_temp(g->b);
	/* Narrow operations merge: a new temporary starts with a value. */
	ir_emit_k(g->b, IR_MOV, IR_I64, t, IR_NONE, (int64_t)(rnd() >> (rnd() % 64)));
	g->temp[g->nr_temps++] = t;
	return t;
}

static ir_ref memory(struct gen *g)
{
	static const uint8_t bases[] = {4, 6, 7};
	unsigned base = bases[rnd() % 3];
	struct ir_mem m = {.base = IR_G(base), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = (uint8_t)base};

	m.disp = (int64_t)(rnd() % 0x400);
	if (chance(3)) {
		ir_ref t = ir_temp(g->b);

		ir_emit_k(g->b, IR_AND, IR_I64, t, source(g), 0x7f);
		m.index = t;
		m.scale = (uint8_t)(1u << rnd() % 4);
	}
	if (chance(4)) { /* an address that is computed */
		ir_ref t = ir_temp(g->b);

		ir_emit_k(g->b, chance(2) ? IR_ADD : IR_SUB, IR_I64, t, m.base, (int64_t)(rnd() % 64));
		m.base = t;
		m.slot = TLB_SLOT_MISC;
	}
	if (chance(8))
		m.addr_bits = 32;
	if (chance(8))
		m.lin32 = true;
	return ir_mem(g->b, &m);
}

static enum ir_type int_type(void)
{
	return (enum ir_type)(rnd() % 4);
}

static int64_t constant(void)
{
	return chance(2) ? (int64_t)(rnd() % 64) : (int32_t)rnd();
}

/* Flags an op may leave undefined. */
static uint32_t leaves_undefined(const struct ir_insn *i)
{
	struct ir_values any = {.a = 1, .b = 33, .c = 33};

	if (ir_op_info[i->op].attr & IR_AT_K)
		return ir_op_info[i->op].fl_def & (F_A | F_O | F_C | (i->op >= IR_SHLD ? F_ALL : 0));
	return ir_flags_undefined((enum ir_op)i->op, (enum ir_type)i->type, &any);
}

/* Called behind each op that may set flags. */
static void set_flags(struct gen *g, struct ir_insn *i)
{
	if (!ir_op_info[i->op].fl_def || (!(i->attr & IR_SETF) && chance(3)))
		return;
	i->attr |= IR_SETF;
	g->undefined = (g->undefined & ~ir_flags_def(i)) | leaves_undefined(i);
}

/* Called in front of whatever reads flags: none that the architecture leaves undefined may be looked at. */
static void need_flags(struct gen *g, uint32_t flags)
{
	struct ir_insn *i;

	if (!(g->undefined & flags))
		return;
	i = ir_emit(g->b, IR_PUTFL, IR_I64, IR_NONE, any_g(), IR_NONE);
	i->imm = F_ALL;
	g->undefined = 0;
}

/* d = a op b, in all its forms. */
static void gen_binary(struct gen *g)
{
	static const uint8_t ops[] = {IR_ADD, IR_ADC, IR_SUB, IR_SBB, IR_AND, IR_OR,  IR_XOR, IR_SHL, IR_SHR,  IR_SAR,
				      IR_ROL, IR_ROR, IR_RCL, IR_RCR, IR_BTS, IR_BTR, IR_BTC, IR_CMP, IR_TEST, IR_BT};
	enum ir_op op = (enum ir_op)ops[rnd() % ARRAY_LEN(ops)];
	bool no_d = !(ir_op_info[op].shape & IR_SH_D), bits = op >= IR_BT && op <= IR_BTC;
	enum ir_type t = bits ? IR_I16 + rnd() % 3 : int_type();
	ir_ref d, a, b;
	struct ir_insn *i;

	switch (rnd() % 4) {
	case 0: /* read-modify-write or a in memory */
		a = memory(g);
		b = chance(2) ? IR_KONST : source(g);
		d = no_d ? IR_NONE : a;
		break;
	case 1: /* b in memory */
		if (!bits && !(op >= IR_SHL && op <= IR_RCR)) {
			d = no_d ? IR_NONE : dest(g, false);
			b = memory(g);
			a = source(g);
			break;
		}
		/* fall through */
	case 2:
		d = no_d ? IR_NONE : dest(g, false);
		a = source(g);
		b = IR_KONST;
		break;
	default:
		d = no_d ? IR_NONE : dest(g, false);
		a = source(g);
		b = source(g);
		break;
	}
	need_flags(g, ir_op_info[op].fl_use);
	i = ir_emit(g->b, op, t, d, a, b);
	if (b == IR_KONST)
		i->imm = constant();
	if (IR_REF_KIND(d) == IR_KIND_M && chance(2))
		i->attr |= IR_LOCK;
	set_flags(g, i);
}

static void gen_unary(struct gen *g)
{
	static const uint8_t ops[] = {IR_INC, IR_DEC, IR_NEG, IR_NOT};
	enum ir_op op = (enum ir_op)ops[rnd() % ARRAY_LEN(ops)];
	ir_ref a, d;
	struct ir_insn *i;

	if (chance(3)) {
		d = a = memory(g);
	} else {
		d = dest(g, false);
		a = source(g);
	}
	i = ir_emit(g->b, op, int_type(), d, a, IR_NONE);
	if (IR_REF_KIND(d) == IR_KIND_M && chance(2))
		i->attr |= IR_LOCK;
	set_flags(g, i);
}

static void gen_move(struct gen *g)
{
	static const uint8_t ops[] = {IR_MOV, IR_MOV, IR_MOV, IR_ZX8, IR_ZX16, IR_SX8, IR_SX16, IR_SX32};
	enum ir_op op = (enum ir_op)ops[rnd() % ARRAY_LEN(ops)];
	enum ir_type t = op == IR_SX32 ? IR_I64 : op == IR_MOV ? int_type() : IR_I32 + rnd() % 2;
	ir_ref d = dest(g, false);

	switch (op == IR_MOV ? rnd() % 4 : 2 + rnd() % 2) {
	case 0:
		ir_emit_k(g->b, op, t, d, IR_NONE, constant());
		break;
	case 1: {
		ir_ref s = source(g);

		ir_emit(g->b, op, t, memory(g), s, IR_NONE);
		break;
	}
	case 2:
		ir_emit(g->b, op, t, d, memory(g), IR_NONE);
		break;
	default:
		ir_emit(g->b, op, t, d, source(g), IR_NONE);
		break;
	}
}

static void gen_wide(struct gen *g)
{
	static const uint8_t ops[] = {IR_IMUL, IR_BSF,	IR_BSR,	  IR_TZCNT, IR_LZCNT, IR_POPCNT, IR_ANDN,  IR_BSWAP,
				      IR_PDEP, IR_PEXT, IR_CRC32, IR_ADCX,  IR_ADOX,  IR_GETHI8, IR_PUTHI8, IR_BLSR,
				      IR_BLSMSK, IR_BLSI, IR_BZHI, IR_BEXTR};
	enum ir_op op = (enum ir_op)ops[rnd() % ARRAY_LEN(ops)];
	bool reads = op == IR_BSF || op == IR_BSR || op == IR_PUTHI8;
	enum ir_type t = op == IR_GETHI8 || op == IR_PUTHI8 ? IR_I64 : IR_I32 + rnd() % 2;
	ir_ref d = dest(g, reads), a = source(g), b = (ir_op_info[op].shape & IR_SH_B) ? source(g) : IR_NONE;

	if (op == IR_BSF || op == IR_BSR) { /* of 0 is undefined */
		ir_ref nz = ir_temp(g->b);

		ir_emit_k(g->b, IR_OR, IR_I64, nz, a, 0x10);
		a = nz;
	}
	if ((ir_op_info[op].attr & IR_AT_M) && chance(3)) {
		if (b != IR_NONE && op != IR_BZHI && op != IR_BEXTR)
			b = memory(g);
		else if (!reads)
			a = memory(g);
	}
	need_flags(g, ir_op_info[op].fl_use);
	set_flags(g, ir_emit(g->b, op, t, d, a, b));
}

static void gen_double(struct gen *g)
{
	enum ir_type t = IR_I32 + rnd() % 2;
	struct ir_insn *i;
	ir_ref d, b = source(g), c = chance(2) ? IR_KONST : source(g);

	if (chance(2)) {
		d = chance(3) ? memory(g) : dest(g, true);
		i = ir_emit(g->b, chance(2) ? IR_SHLD : IR_SHRD, t, d, d, b);
		i->imm = c == IR_KONST ? constant() : 0;
		i->c = c;
	} else {
		ir_ref x = any_g();

		d = any_g();
		if (d == x)
			return;
		i = ir_emit(g->b, chance(2) ? IR_MULU : IR_MULS, t, d, source(g), b);
		i->c = x;
	}
	set_flags(g, i);
}

static void gen_exchange(struct gen *g)
{
	enum ir_op op = (enum ir_op)(IR_XCHG + rnd() % 3);
	ir_ref a = chance(2) ? memory(g) : dest(g, true), b = dest(g, true), d = op == IR_CAS ? any_g() : IR_NONE;
	struct ir_insn *i = ir_emit(g->b, op, int_type(), d, a, b);

	if (IR_REF_KIND(a) == IR_KIND_M && chance(2))
		i->attr |= IR_LOCK;
	set_flags(g, i);
}

static void gen_flags(struct gen *g)
{
	struct ir_insn *i;

	need_flags(g, F_ALL);
	switch (rnd() % 5) {
	case 0:
		i = ir_emit(g->b, IR_SETCC, IR_I8, chance(3) ? memory(g) : dest(g, false), IR_NONE, IR_NONE);
		i->cc = rnd() & 15;
		break;
	case 1: {
		ir_ref d = dest(g, true);

		i = ir_emit(g->b, IR_CMOV, IR_I16 + rnd() % 3, d, chance(3) ? memory(g) : source(g), IR_NONE);
		i->cc = rnd() & 15;
		break;
	}
	case 2:
		ir_emit(g->b, IR_GETFL, IR_I64, dest(g, false), IR_NONE, IR_NONE);
		break;
	case 3:
		i = ir_emit(g->b, IR_PUTFL, IR_I64, IR_NONE, source(g), IR_NONE);
		i->imm = (int64_t)(rnd() & F_ALL);
		break;
	default:
		ir_emit(g->b, IR_CMC, IR_I64, IR_NONE, IR_NONE, IR_NONE);
		break;
	}
}

static void gen_runtime(struct gen *g)
{
	ir_ref a = source(g), b = chance(2) ? source(g) : IR_NONE, d = chance(2) ? dest(g, false) : IR_NONE;
	struct ir_insn *i;

	need_flags(g, F_ALL);
	i = ir_emit(g->b, IR_RT, IR_I64, d, a, b);
	i->c = chance(2) && b != IR_NONE ? source(g) : IR_NONE;
	i->imm = (int64_t)(rnd() % ir_fuzz_nr_rt);
}

static void gen_vector(struct gen *g)
{
	static const uint16_t ops[] = {IR_VOP_PADDD, IR_VOP_PXOR,   IR_VOP_PSUBB,
				       IR_VOP_PAND,  IR_VOP_PMULLW, IR_VOP_PSHUFB};
	ir_ref d = IR_V(rnd() % 8), a = IR_V(rnd() % 8);
	struct ir_insn *i;

	switch (rnd() % 5) {
	case 0:
		ir_emit(g->b, IR_VMOV, IR_V128, d, chance(2) ? memory(g) : a, IR_NONE);
		break;
	case 1:
		ir_emit(g->b, IR_VMOV, chance(2) ? IR_I64 : IR_V128, memory(g), a, IR_NONE);
		break;
	case 2:
		i = ir_emit(g->b, IR_VTOG, IR_I64, dest(g, false), IR_NONE, a);
		i->imm2 = IR_VOP_MOVD_G;
		break;
	case 3:
		i = ir_emit(g->b, IR_GTOV, IR_I32, d, IR_NONE, source(g));
		i->imm2 = IR_VOP_MOVD_V;
		break;
	default:
		i = ir_emit(g->b, IR_VOP, IR_V128, d, d, a);
		i->imm2 = ops[rnd() % ARRAY_LEN(ops)];
		break;
	}
}

/* Label-free stretches, forward branches, side exits. */
static void gen_flow(struct gen *g)
{
	struct ir_insn *i;

	switch (rnd() % 6) {
	case 0:
		need_flags(g, F_ALL);
		i = ir_emit(g->b, IR_JCC, IR_I64, IR_NONE, IR_NONE, IR_NONE);
		i->cc = rnd() & 15;
		i->imm = (int64_t)(0x5000 + rnd() % 256);
		i->fl_live = rnd() & F_ALL;
		return;
	case 1:
		need_flags(g, F_ALL);
		i = ir_emit(g->b, IR_FITS, IR_I64, IR_NONE, any_g(), IR_NONE);
		i->imm = (int64_t)(2 + rnd() % 62);
		return;
	case 2:
		i = ir_emit(g->b, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE);
		i->imm = (int64_t)++g->pc;
		i->imm2 = 1;
		return;
	case 3: {
		struct ir_mem m = {.base = any_g(),
				   .index = any_g(),
				   .scale = 4,
				   .addr_bits = chance(2) ? 64 : 32,
				   .slot = TLB_SLOT_MISC};

		m.disp = constant();
		ir_emit(g->b, IR_LEA, IR_I32 + rnd() % 2, dest(g, false), ir_mem(g->b, &m), IR_NONE);
		return;
	}
	default:
		break;
	}
	if (g->pending) {
		ir_emit(g->b, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = g->pending;
		g->pending = 0;
		g->undefined |= g->undefined_at_label;
	} else if (chance(3)) {
		need_flags(g, F_ALL);
		g->pending = ir_label(g->b);
		g->undefined_at_label = g->undefined;
		if (chance(2)) {
			i = ir_emit(g->b, IR_BRCC, IR_I64, IR_NONE, IR_NONE, IR_NONE);
			i->cc = rnd() & 15;
		} else {
			i = ir_emit(g->b, chance(2) ? IR_BRZ : IR_BRNZ, int_type(), IR_NONE, any_g(), IR_NONE);
		}
		i->imm = g->pending;
	} else {
		return;
	}
	g->nr_temps = 0;
}

static void gen_one(struct gen *g)
{
	switch (rnd() % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		gen_binary(g);
		break;
	case 5:
		gen_unary(g);
		break;
	case 6:
	case 7:
	case 8:
		gen_move(g);
		break;
	case 9:
		gen_wide(g);
		break;
	case 10:
		gen_double(g);
		break;
	case 11:
		gen_exchange(g);
		break;
	case 12:
		gen_flags(g);
		break;
	case 13:
		if (chance(3))
			gen_runtime(g);
		break;
	case 14:
		gen_vector(g);
		break;
	default:
		gen_flow(g);
		break;
	}
}

void ir_fuzz_block(struct ir_block *b, uint64_t s, unsigned n)
{
	struct gen g = {.b = b, .pc = 0x1000};
	struct ir_insn *i;

	seed = s * 0x9e3779b97f4a7c15ull + 1;
	ir_reset(b);
	b->pc = 0x1000;
	b->small = s & 1;
	b->rt = ir_fuzz_rt;
	b->nr_rt = ir_fuzz_nr_rt;
	ir_label(b); /* number 0 stays unused */
	i = ir_emit(b, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE);
	i->imm = 0x1000;
	while (n-- && ir_room(b))
		gen_one(&g);
	if (g.pending)
		ir_emit(b, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = g.pending;
	g.undefined |= g.undefined_at_label;
	need_flags(&g, F_ALL);
	i = ir_emit(b, IR_JMP, IR_I64, IR_NONE, IR_NONE, IR_NONE);
	i->imm = 0x6000;
	i->fl_live = rnd() & F_ALL;
}

void ir_fuzz_state(struct fuzz_state *s, uint64_t start)
{
	seed = start * 0xd1342543de82ef95ull + 1;
	memset(s, 0, sizeof(*s));
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		s->greg[n] = rnd() >> (rnd() % 64);
	s->greg[4] = FUZZ_BASE + 0x800 + rnd() % 0x400;
	s->greg[6] = FUZZ_BASE + 0x400 + rnd() % 0x400;
	s->greg[7] = FUZZ_BASE + 0xc00 + rnd() % 0x400;
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		s->vreg[n] = (union tcg_vreg){.q = {rnd(), rnd(), rnd(), rnd()}};
	for (unsigned n = 0; n < FUZZ_SIZE; n += 8) {
		uint64_t v = rnd();

		memcpy(&s->mem[n], &v, 8);
	}
	s->flags = rnd() & F_ALL;
}

/* ---- The reference */

struct ref {
	const struct ir_block *b;
	struct fuzz_state *s;
	struct tcg_env *env;
	uint64_t t[IR_MAX_TEMPS];
	unsigned next;
	gva_t pc; /* of the guest instruction */
	bool left;
};

static uint64_t *cell(struct ref *r, ir_ref ref)
{
	return IR_REF_KIND(ref) == IR_KIND_G ? &r->s->greg[IR_REF_NUM(ref)] : &r->t[IR_REF_NUM(ref)];
}

static uint64_t address(struct ref *r, const struct ir_mem *m)
{
	uint64_t a = (uint64_t)m->disp;

	if (m->base != IR_NONE)
		a += *cell(r, m->base);
	if (m->index != IR_NONE)
		a += *cell(r, m->index) * m->scale;
	return m->addr_bits == 32 ? (uint32_t)a : m->addr_bits == 16 ? (uint16_t)a : a;
}

static uint8_t *host(struct ref *r, ir_ref ref)
{
	return &r->s->mem[(address(r, &r->b->mem[IR_REF_NUM(ref)]) - FUZZ_BASE) % (FUZZ_SIZE - 16)];
}

static uint64_t value(struct ref *r, const struct ir_insn *i, ir_ref ref)
{
	uint64_t v = 0;

	switch (IR_REF_KIND(ref)) {
	case IR_KIND_G:
	case IR_KIND_T:
		return *cell(r, ref);
	case IR_KIND_K:
		return (uint64_t)i->imm;
	case IR_KIND_M:
		memcpy(&v, host(r, ref), ir_access_size(i));
		return v;
	default:
		return 0;
	}
}

static void put(struct ref *r, const struct ir_insn *i, ir_ref ref, enum ir_type t, uint64_t v)
{
	if (IR_REF_KIND(ref) == IR_KIND_M)
		memcpy(host(r, ref), &v, ir_access_size(i));
	else if (ref != IR_NONE)
		*cell(r, ref) = ir_merge(t, *cell(r, ref), v);
}

static void ref_integer(struct ref *r, const struct ir_insn *i)
{
	struct ir_values v = {.flags = r->s->flags};
	bool wide = i->op == IR_GETHI8 || i->op == IR_PUTHI8 || i->op == IR_GETFL || i->op == IR_CRC32;
	enum ir_type t = wide ? IR_I64 : i->op == IR_SETCC ? IR_I8 : (enum ir_type)i->type;
	unsigned writes = ir_writes(i);

	v.a = value(r, i, i->a);
	v.b = i->op == IR_PUTFL ? (uint64_t)i->imm : value(r, i, i->b);
	v.c = value(r, i, i->c);
	if (IR_REF_KIND(i->d) != IR_KIND_M)
		v.d = value(r, i, i->d);
	v.x = v.c;
	ir_eval((enum ir_op)i->op, (enum ir_type)i->type, (enum ir_cc)i->cc, &v);
	if ((writes & IR_RW_D) && v.wrote_d)
		put(r, i, i->d, t, v.d);
	if (writes & IR_RW_C)
		put(r, i, i->c, t, v.x);
	if (writes & IR_RW_B)
		put(r, i, i->b, t, v.b);
	if ((writes & IR_RW_A) && (IR_REF_KIND(i->a) == IR_KIND_M || i->op != IR_CAS || !v.wrote_d))
		put(r, i, i->a, t, v.a);
	if (i->attr & IR_SETF)
		r->s->flags = v.flags & F_ALL;
}

static void sync(struct ref *r, bool to_env)
{
	if (to_env) {
		memcpy(r->env->greg, r->s->greg, sizeof(r->s->greg));
		memcpy(r->env->vreg, r->s->vreg, sizeof(r->s->vreg));
		r->env->flags = r->s->flags;
	} else {
		memcpy(r->s->greg, r->env->greg, sizeof(r->s->greg));
		memcpy(r->s->vreg, r->env->vreg, sizeof(r->s->vreg));
		r->s->flags = (uint32_t)r->env->flags;
	}
}

static void ref_runtime(struct ref *r, const struct ir_insn *i)
{
	uint64_t d;

	sync(r, true);
	d = r->b->rt[i->imm].fn(r->env, value(r, i, i->a), value(r, i, i->b), value(r, i, i->c));
	sync(r, false);
	if (i->d != IR_NONE)
		*cell(r, i->d) = d;
}

static void ref_vector(struct ref *r, const struct ir_insn *i)
{
	union tcg_vreg *d = &r->s->vreg[IR_REF_NUM(i->d) & 15], *b = &r->s->vreg[IR_REF_NUM(i->b) & 15];
	bool ok = true;

	switch (i->op) {
	case IR_VMOV:
		if (IR_REF_KIND(i->d) == IR_KIND_M) {
			memcpy(host(r, i->d), &r->s->vreg[IR_REF_NUM(i->a)], ir_access_size(i));
		} else if (IR_REF_KIND(i->a) == IR_KIND_M) {
			memset(d, 0, 16);
			memcpy(d, host(r, i->a), ir_access_size(i));
		} else {
			memmove(d, &r->s->vreg[IR_REF_NUM(i->a)], 16);
		}
		break;
	case IR_VOP:
		ok = ir_vec_eval(r->env, (enum ir_vop)i->imm2, d, i->a == IR_NONE ? NULL : d, b, (uint64_t)i->imm);
		break;
	case IR_VTOG:
		ok = ir_vec_to_g(r->env, (enum ir_vop)i->imm2, (enum ir_type)i->type, cell(r, i->d), b,
				 (uint64_t)i->imm);
		break;
	default:
		ok = ir_g_to_vec(r->env, (enum ir_vop)i->imm2, (enum ir_type)i->type, d, i->a == IR_NONE ? NULL : d,
				 value(r, i, i->b), (uint64_t)i->imm);
		break;
	}
	(void)ok;
}

static void go_to(struct ref *r, int64_t label)
{
	for (unsigned n = 0; n < r->b->nr_insns; n++)
		if (r->b->insn[n].op == IR_LABEL && r->b->insn[n].imm == label)
			r->next = n;
}

static void leave(struct ref *r, const struct ir_insn *i)
{
	r->left = true;
	r->s->pc = i->op == IR_FITS ? r->pc : (gva_t)i->imm;
	r->s->flags_live = ((i->exit_live & IR_EXIT_LIVE_SET) ? i->exit_live : i->fl_live) & F_ALL;
}

static void ref_insn(struct ref *r, const struct ir_insn *i)
{
	uint64_t a;

	switch (i->op) {
	case IR_INSN:
		r->pc = (gva_t)i->imm;
		break;
	case IR_LABEL:
	case IR_FENCE:
		break;
	case IR_FITS:
		a = value(r, i, i->a) << (64 - i->imm);
		if ((uint64_t)((int64_t)a >> (64 - i->imm)) != value(r, i, i->a))
			leave(r, i);
		break;
	case IR_LEA:
		put(r, i, i->d, (enum ir_type)i->type, address(r, &r->b->mem[IR_REF_NUM(i->a)]));
		break;
	case IR_JMP:
		leave(r, i);
		break;
	case IR_JCC:
		if (ir_cc_true((enum ir_cc)i->cc, r->s->flags))
			leave(r, i);
		break;
	case IR_BRCC:
		if (ir_cc_true((enum ir_cc)i->cc, r->s->flags))
			go_to(r, i->imm);
		break;
	case IR_BRZ:
	case IR_BRNZ:
		a = ir_merge((enum ir_type)i->type, 0, value(r, i, i->a));
		if ((a == 0) == (i->op == IR_BRZ))
			go_to(r, i->imm);
		break;
	case IR_RT:
		ref_runtime(r, i);
		break;
	case IR_VMOV:
	case IR_VOP:
	case IR_VTOG:
	case IR_GTOV:
		ref_vector(r, i);
		break;
	default:
		ref_integer(r, i);
		break;
	}
}

void ir_fuzz_reference(const struct ir_block *b, struct fuzz_state *s, struct tcg_env *env)
{
	static _Thread_local struct ref r;

	r.b = b;
	r.s = s;
	r.env = env;
	r.left = false;
	for (r.next = 0; !r.left && r.next < b->nr_insns;) {
		unsigned n = r.next++;

		ref_insn(&r, &b->insn[n]);
	}
}

const char *ir_fuzz_compare(const struct fuzz_state *want, const struct fuzz_state *got)
{
	static char text[128];

	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (want->greg[n] != got->greg[n]) {
			snprintf(text, sizeof(text), "g%u: want %#llx, got %#llx", n, (unsigned long long)want->greg[n],
				 (unsigned long long)got->greg[n]);
			return text;
		}
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		if (memcmp(&want->vreg[n], &got->vreg[n], sizeof(want->vreg[n]))) {
			snprintf(text, sizeof(text), "v%u differs", n);
			return text;
		}
	for (unsigned n = 0; n < FUZZ_SIZE; n++)
		if (want->mem[n] != got->mem[n]) {
			snprintf(text, sizeof(text), "memory at %#x: want %#x, got %#x", n, want->mem[n], got->mem[n]);
			return text;
		}
	if (want->pc != got->pc) {
		snprintf(text, sizeof(text), "left to %#llx, not %#llx", (unsigned long long)got->pc,
			 (unsigned long long)want->pc);
		return text;
	}
	if ((want->flags ^ got->flags) & want->flags_live) {
		snprintf(text, sizeof(text), "flags: want %#x, got %#x, live %#x", want->flags, got->flags,
			 want->flags_live);
		return text;
	}
	return NULL;
}
