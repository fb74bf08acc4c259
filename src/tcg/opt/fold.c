/* SPDX-License-Identifier: MIT */
/*
 * Folding, forward: temporaries known to be a constant, or a register plus a constant, are replaced where they are
 * used.
 *
 *   t = K                              uses of t become the constant
 *   t = op K, K (no flags)             becomes t = K
 *   t = r + K (i64 mov, add, sub, lea) memory operands with base t take r as base and K into the displacement
 *
 * Law: what is known of a temporary holds until it, or the register it refers to, is written again (versions), and not
 * across labels and branches, where no temporary lives. Guest registers are never forwarded as values: only as address
 * bases, where the back end wants them.
 */
#include "tcg/ir/ir_eval.h"
#include "tcg/opt/liveness.h"
#include "tcg/opt/opt.h"

enum known { UNKNOWN, CONST, SUM };

struct value {
	uint32_t stretch; /* valid if it is the current one */
	uint8_t known;
	ir_ref base;	  /* SUM */
	uint32_t version; /* of base */
	int64_t k;
};

struct fold {
	struct ir_block *b;
	uint32_t stretch;
	uint32_t g_version[TCG_NR_GREG];
	uint32_t clock;
	struct value t[IR_MAX_TEMPS];
};

/* What is known of r, or NULL. */
static const struct value *lookup(const struct fold *f, ir_ref r)
{
	const struct value *v;

	if (IR_REF_KIND(r) != IR_KIND_T)
		return NULL;
	v = &f->t[IR_REF_NUM(r)];
	if (v->stretch != f->stretch || v->known == UNKNOWN)
		return NULL;
	if (v->known == SUM && f->g_version[IR_REF_NUM(v->base)] != v->version)
		return NULL;
	return v;
}

static void forget(struct fold *f, ir_ref r)
{
	if (IR_REF_KIND(r) == IR_KIND_T)
		f->t[IR_REF_NUM(r)].known = UNKNOWN;
	else if (IR_REF_KIND(r) == IR_KIND_G)
		f->g_version[IR_REF_NUM(r)] = ++f->clock;
}

static void learn(struct fold *f, ir_ref t, enum known known, ir_ref base, int64_t k)
{
	f->t[IR_REF_NUM(t)] = (struct value){
		.stretch = f->stretch,
		.known = (uint8_t)known,
		.base = base,
		.version = known == SUM ? f->g_version[IR_REF_NUM(base)] : 0,
		.k = k,
	};
}

/* ---- Memory operands */

/* A rewritten operand gets a place of its own: other instructions may use the old one, at other times. */
static void fold_mem(struct fold *f, struct ir_insn *i, ir_ref *at)
{
	const struct ir_mem *from = &f->b->mem[IR_REF_NUM(*at)];
	const struct value *base = lookup(f, from->base), *index = lookup(f, from->index);
	struct ir_mem m;
	ir_ref old = *at;

	if ((!base && !(index && index->known == CONST)) || f->b->nr_mems >= IR_MAX_MEMS)
		return;
	m = *from;
	if (base) {
		m.disp += base->k;
		m.base = base->known == SUM ? base->base : IR_NONE;
	}
	if (index && index->known == CONST) {
		m.disp += index->k * m.scale;
		m.index = IR_NONE;
		m.scale = 1;
	}
	*at = ir_mem(f->b, &m);
	if (i->d == old)
		i->d = *at;
}

/* ---- Values */

/* The b operand of ops where a constant is as good as a register. */
static bool takes_constant_b(enum ir_op op)
{
	return (op >= IR_ADD && op <= IR_TEST) || (op >= IR_SHL && op <= IR_RCR);
}

static bool takes_constant_a(enum ir_op op)
{
	return op == IR_MOV || op == IR_SETPC;
}

static bool fits(const struct ir_insn *i, int64_t k)
{
	/* Beyond 32 bits a constant costs the back end a register anyway. */
	return k == (int32_t)k || i->op == IR_MOV || i->type <= IR_I32;
}

static void use_constants(const struct fold *f, struct ir_insn *i)
{
	const struct value *v;

	if (IR_REF_KIND(i->a) == IR_KIND_K || IR_REF_KIND(i->b) == IR_KIND_K || IR_REF_KIND(i->c) == IR_KIND_K)
		return;
	if (takes_constant_b(i->op)) {
		v = lookup(f, i->b);
		if (v && v->known == CONST && fits(i, v->k)) {
			i->b = IR_KONST;
			i->imm = v->k;
		}
	} else if (takes_constant_a(i->op)) {
		v = lookup(f, i->a);
		if (v && v->known == CONST && fits(i, v->k)) {
			i->a = IR_KONST;
			i->imm = v->k;
		}
	}
}

static bool constant_of(const struct fold *f, const struct ir_insn *i, ir_ref r, uint64_t *out)
{
	const struct value *v = lookup(f, r);

	if (IR_REF_KIND(r) == IR_KIND_K)
		*out = (uint64_t)i->imm;
	else if (v && v->known == CONST)
		*out = (uint64_t)v->k;
	else
		return false;
	return true;
}

/* Ops of values alone: no flags in or out, no memory, a whole container as the result. */
static bool is_pure(const struct ir_insn *i)
{
	return (i->op <= IR_GETHI8 || (i->op >= IR_ADD && i->op <= IR_SAR) || i->op == IR_IMUL || i->op == IR_BSWAP) &&
	       !ir_op_info[i->op].fl_use && !(i->attr & IR_SETF) && ir_writes_all(i);
}

/* Computes i if all its operands are constants: then it becomes a move. */
static bool evaluate(const struct fold *f, struct ir_insn *i)
{
	unsigned shape = ir_op_info[i->op].shape;
	struct ir_values v = {0};

	if (!is_pure(i) || !(shape & IR_SH_D))
		return false;
	if ((shape & IR_SH_A) && !constant_of(f, i, i->a, &v.a))
		return false;
	if ((shape & IR_SH_B) && !constant_of(f, i, i->b, &v.b))
		return false;
	ir_eval(i->op, i->type, 0, &v);
	i->op = IR_MOV;
	i->type = IR_I64;
	i->a = IR_KONST;
	i->b = IR_NONE;
	i->imm = (int64_t)v.d;
	return true;
}

/* i as d = register + constant. */
static bool as_sum(const struct fold *f, const struct ir_insn *i, ir_ref *base, int64_t *k)
{
	const struct ir_mem *m;
	const struct value *v;

	if (i->type != IR_I64)
		return false;
	switch (i->op) {
	case IR_MOV:
		*base = i->a;
		*k = 0;
		break;
	case IR_ADD:
	case IR_SUB:
		if (IR_REF_KIND(i->b) != IR_KIND_K)
			return false;
		*base = i->a;
		*k = i->op == IR_ADD ? i->imm : (int64_t) - (uint64_t)i->imm;
		break;
	case IR_LEA:
		m = &f->b->mem[IR_REF_NUM(i->a)];
		if (m->index != IR_NONE || m->addr_bits != 64)
			return false;
		*base = m->base;
		*k = m->disp;
		break;
	default:
		return false;
	}
	v = lookup(f, *base);
	if (v && v->known == SUM) {
		*k = (int64_t)((uint64_t)*k + (uint64_t)v->k);
		*base = v->base;
	}
	return IR_REF_KIND(*base) == IR_KIND_G;
}

static void forget_written(struct fold *f, const struct ir_insn *i)
{
	unsigned writes = ir_writes(i);

	if (writes & IR_RW_D)
		forget(f, i->d);
	if (!(writes & ~IR_RW_D))
		return;
	if (writes & IR_RW_A)
		forget(f, i->a);
	if (writes & IR_RW_B)
		forget(f, i->b);
	if (writes & IR_RW_C)
		forget(f, i->c);
}

/* d is a temporary: what becomes of it? */
static void fold_definition(struct fold *f, struct ir_insn *i)
{
	ir_ref base = IR_NONE;
	int64_t k = 0;
	bool is_sum;

	if (!evaluate(f, i))
		use_constants(f, i);
	is_sum = as_sum(f, i, &base, &k);
	forget_written(f, i);
	if (is_sum)
		learn(f, i->d, SUM, base, k);
	else if (i->op == IR_MOV && i->type >= IR_I32 && i->a == IR_KONST)
		learn(f, i->d, CONST, IR_NONE, i->type == IR_I32 ? (int64_t)(uint32_t)i->imm : i->imm);
}

static void fold_insn(struct fold *f, struct ir_insn *i)
{
	if (liveness_has_temps(i, true)) {
		if (IR_REF_KIND(i->a) == IR_KIND_M)
			fold_mem(f, i, &i->a);
		else if (IR_REF_KIND(i->b) == IR_KIND_M)
			fold_mem(f, i, &i->b);
		else if (IR_REF_KIND(i->d) == IR_KIND_M)
			fold_mem(f, i, &i->d);
		if (IR_REF_KIND(i->d) == IR_KIND_T) {
			fold_definition(f, i);
			return;
		}
		use_constants(f, i);
	}
	forget_written(f, i);
}

/* Runtime routines and others that may write any guest register. */
static bool writes_globals(const struct fold *f, const struct ir_insn *i)
{
	return i->op == IR_FPU || i->op == IR_VFL || (ir_rt_effects(f->b, i) & RT_WRITES_GREG);
}

void opt_fold(struct ir_block *b)
{
	static _Thread_local struct fold f;

	if (!b->nr_temps)
		return;
	f.b = b;
	f.stretch++; /* the last block's knowledge is void */
	if (unlikely(f.stretch > UINT32_MAX - IR_MAX_INSNS - 2)) {
		for (unsigned n = 0; n < IR_MAX_TEMPS; n++)
			f.t[n].stretch = 0;
		f.stretch = 1;
	}
	for (unsigned n = 0; n < b->nr_insns; n++) {
		struct ir_insn *i = &b->insn[n];

		switch (i->op) {
		case IR_LABEL:
		case IR_BR:
		case IR_BRCC:
			f.stretch++;
			continue;
		case IR_BRZ:
		case IR_BRNZ:
			f.stretch++;
			continue;
		case IR_INSN:
			continue;
		default:
			fold_insn(&f, i);
		}
		if (writes_globals(&f, i))
			for (unsigned g = 0; g < TCG_NR_GREG; g++)
				f.g_version[g] = ++f.clock;
	}
}
