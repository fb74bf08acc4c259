/* SPDX-License-Identifier: MIT */
/*
 * Vector registers: global n is host xmm n, loaded from env.vreg at its first use in a stretch of code, stored when dirty before
 * anything leaves it; across a loop to the block's own start they stay (lower_flow.c). Temporaries take host registers whose globals
 * the block does not touch.
 */
#include "tcg/backend/x86_64/gen.h"

static struct rm vreg(unsigned n)
{
	return rm_gs(offsetof(struct tcg_env, vreg) + n * sizeof(union tcg_vreg));
}

unsigned v_src(struct gen *g, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	if (IR_REF_KIND(r) == IR_KIND_VT)
		return g->vt_reg[n & 3];
	if (!(g->v_cached >> n & 1)) {
		as_op(&g->s, OP_MOVAPS_RM, n, vreg(n));
		g->v_cached |= (uint16_t)(1u << n);
	}
	return n;
}

unsigned v_dst(struct gen *g, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	if (IR_REF_KIND(r) == IR_KIND_VT)
		return g->vt_reg[n & 3];
	g->v_cached |= (uint16_t)(1u << n);
	g->v_dirty |= (uint16_t)(1u << n);
	return n;
}

unsigned v_rmw(struct gen *g, ir_ref r)
{
	v_src(g, r);
	return v_dst(g, r);
}

void v_store_mask(struct gen *g, uint32_t mask)
{
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		if (mask >> n & 1)
			as_op(&g->s, OP_MOVAPS_MR, n, vreg(n));
}

void v_flush(struct gen *g)
{
	v_store_mask(g, g->v_dirty);
	g->v_dirty = 0;
}

void v_forget(struct gen *g)
{
	g->v_cached = 0;
}

void v_load_all(struct gen *g)
{
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		if (g->v_globals >> n & 1)
			v_src(g, IR_V(n));
	g->v_dirty = g->v_written;
}

static void note(ir_ref r, uint32_t *globals, uint32_t *temps)
{
	if (IR_REF_KIND(r) == IR_KIND_V)
		*globals |= 1u << IR_REF_NUM(r);
	else if (IR_REF_KIND(r) == IR_KIND_VT)
		*temps |= 1u << IR_REF_NUM(r);
}

void v_setup(struct gen *g)
{
	const struct ir_block *b = g->ir;
	uint32_t globals = 0, temps = 0, written = 0, unused = 0, taken;

	for (unsigned n = 0; n < b->nr_insns; n++) {
		note(b->insn[n].d, &globals, &temps);
		note(b->insn[n].a, &globals, &temps);
		note(b->insn[n].b, &globals, &temps);
		note(b->insn[n].d, &written, &unused);
		if (b->insn[n].op == IR_VFL || (b->insn[n].op == IR_VOP && vop_reads_v0((unsigned)b->insn[n].imm2)))
			globals |= 1;
		if (b->insn[n].op == IR_VFL) /* string compares */
			written |= 1;
	}
	g->v_globals = (uint16_t)globals;
	g->v_written = (uint16_t)(written & globals);
	taken = globals;
	for (unsigned n = 0; n < 4; n++) {
		if (!(temps >> n & 1))
			continue;
		if (taken == 0xffff) {
			g->failed = true;
			return;
		}
		g->vt_reg[n] = (uint8_t)__builtin_ctz(~taken);
		taken |= 1u << g->vt_reg[n];
	}
	g->v_used = (uint16_t)taken;
	g->v_cached = g->v_dirty = 0;
}
