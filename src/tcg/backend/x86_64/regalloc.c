/* SPDX-License-Identifier: MIT */
/*
 * Places for the integer temporaries: one place for the whole life, found in one forward scan (linear scan over [first, last] mention;
 * temporaries do not live across labels, so mentions in program order are the life).
 *
 * r15 is free everywhere; r14 where nothing between first and last mention uses it as second scratch; else a slot of env.be_spill.
 */
#include <string.h>

#include "tcg/backend/x86_64/gen.h"
#include "tcg/opt/liveness.h"

struct scan {
	struct gen *g;
	uint16_t busy_until[2]; /* of r14, r15: 1 + last mention of the owner */
	uint16_t spill_until[64];
};

static bool is_load(const struct ir_insn *i)
{
	return i->op <= IR_SX32 && is_m(i->a); /* MOV, ZX*, SX* */
}

/* The lowering uses no scratch but r13. */
static bool keeps_r14(const struct ir_block *b, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_LEA:
		return !mem_effective_needs_r14(b, &b->mem[IR_REF_NUM(i->a)]);
	case IR_MOV: case IR_ZX8: case IR_ZX16: case IR_SX8: case IR_SX16: case IR_SX32: case IR_GETHI8: case IR_LDENV: case IR_LDCODE: case IR_STENV:
	case IR_ADD: case IR_ADC: case IR_SUB: case IR_SBB: case IR_AND: case IR_OR: case IR_XOR: case IR_CMP: case IR_TEST:
	case IR_INC: case IR_DEC: case IR_NEG: case IR_NOT: case IR_BSWAP: case IR_SETCC: case IR_CMOV: case IR_GETFL: case IR_CMC:
	case IR_INSN: case IR_RT: case IR_SETPC: case IR_FITS: case IR_FENCE: case IR_BSF: case IR_BSR: case IR_TZCNT: case IR_LZCNT: case IR_POPCNT:
		return !is_m(i->d) && !is_m(i->a) && !is_m(i->b);
	case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR: case IR_RCL: case IR_RCR: case IR_IMUL:
		return is_k(i->b) && !is_m(i->a) && i->type != IR_I8;
	default:
		return false;
	}
}

static void mention(struct gen *g, ir_ref r, unsigned n)
{
	struct tloc *t;

	if (is_m(r)) {
		mention(g, g->ir->mem[IR_REF_NUM(r)].base, n);
		mention(g, g->ir->mem[IR_REF_NUM(r)].index, n);
		return;
	}
	if (IR_REF_KIND(r) != IR_KIND_T)
		return;
	t = &g->temp[IR_REF_NUM(r)];
	if (!t->seen) {
		t->seen = true;
		t->first = (uint16_t)n;
	}
	t->last = (uint16_t)n;
}

static void measure(struct gen *g)
{
	const struct ir_block *b = g->ir;

	memset(g->temp, 0, b->nr_temps * sizeof(g->temp[0]));
	for (unsigned n = 0; n < b->nr_insns; n++) {
		const struct ir_insn *i = &b->insn[n];

		if (!liveness_has_temps(i, true))
			continue;
		mention(g, i->d, n);
		mention(g, i->a, n);
		mention(g, i->b, n);
		mention(g, i->c, n);
	}
}

/* Who lives longer does not get r14: nobody looks that far. */
#define R14_REACH 128

static bool r14_safe(const struct gen *g, const struct tloc *t)
{
	unsigned n = t->first;

	if (t->last - n > R14_REACH)
		return false;
	/* A load writes its destination after it has used r14. */
	if (is_load(&g->ir->insn[n]))
		n++;
	while (n <= t->last && keeps_r14(g->ir, &g->ir->insn[n]))
		n++;
	return n > t->last;
}

/* A register whose owner dies as source a of a plain two-operand op may be its destination: such lowerings see the aliasing. */
static bool may_inherit(const struct scan *s, unsigned r, unsigned n)
{
	const struct ir_insn *i = &s->g->ir->insn[n];
	const struct tloc *t;

	if (s->busy_until[r] != n + 1 || i->op > IR_NOT || i->op == IR_PUTHI8 || IR_REF_KIND(i->a) != IR_KIND_T || i->b == i->a)
		return false;
	t = &s->g->temp[IR_REF_NUM(i->a)];
	return t->last == n && t->first < n && t->reg == R_14 + r;
}

static bool place(struct scan *s, struct tloc *t, unsigned n, bool is_dest)
{
	t->reg = R_NONE;
	for (unsigned r = 2; r-- > 0;) {
		if (r == 0 && !r14_safe(s->g, t))
			continue;
		if (s->busy_until[r] > n && !(is_dest && may_inherit(s, r, n)))
			continue;
		t->reg = (uint8_t)(R_14 + r);
		s->busy_until[r] = (uint16_t)(t->last + 1);
		return true;
	}
	for (unsigned k = 0; k < 64; k++) {
		if (s->spill_until[k] <= n) {
			t->spill = (uint8_t)k;
			s->spill_until[k] = (uint16_t)(t->last + 1);
			return true;
		}
	}
	return false;
}

static bool place_ref(struct scan *s, ir_ref r, unsigned n, bool is_dest)
{
	struct tloc *t;

	if (IR_REF_KIND(r) != IR_KIND_T)
		return true;
	t = &s->g->temp[IR_REF_NUM(r)];
	return t->first != n || place(s, t, n, is_dest);
}

bool ra_run(struct gen *g)
{
	struct scan s = { .g = g };
	const struct ir_block *b = g->ir;

	if (!b->nr_temps)
		return true;
	measure(g);
	for (unsigned n = 0; n < b->nr_insns; n++) {
		const struct ir_insn *i = &b->insn[n];

		if (!liveness_has_temps(i, true))
			continue;
		if (!place_ref(&s, i->d, n, true))
			return false;
		if (i->a != i->d && !place_ref(&s, i->a, n, false))
			return false;
		if (i->b != i->d && i->b != i->a && !place_ref(&s, i->b, n, false))
			return false;
		if (i->c != i->d && i->c != i->a && i->c != i->b && !place_ref(&s, i->c, n, false))
			return false;
	}
	return true;
}
