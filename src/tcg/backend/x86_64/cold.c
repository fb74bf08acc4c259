/* SPDX-License-Identifier: MIT */
/*
 * Cold code of a block: slow paths of memory accesses, taken polls; and the record of instructions that may trap.
 */
#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/vec.h"

struct cold *cold_new(struct gen *g, enum cold_kind kind)
{
	struct cold *c = &g->cold[g->nr_cold];

	if (g->nr_cold < GEN_MAX_COLD - 1)
		g->nr_cold++;
	else
		g->failed = true;
	*c = (struct cold){ .kind = (uint8_t)kind, .pc = g->pc, .fpu_note = g->fpu_note };
	return c;
}

void put_pc(struct gen *g, gva_t pc, unsigned scratch)
{
	struct as *s = &g->s;

	if (fits32((int64_t)pc)) {
		as_store_imm(s, RM_ENV(pc), (int32_t)pc);
	} else if (scratch != R_NONE) {
		as_mov_imm(s, scratch, (int64_t)pc);
		as_store(s, RM_ENV(pc), scratch);
	} else {
		as_op(s, 0xc7, 0, RM_ENV(pc));
		as_u32(s, (uint32_t)pc);
		as_op(s, 0xc7, 0, rm_gs(offsetof(struct tcg_env, pc) + 4));
		as_u32(s, (uint32_t)(pc >> 32));
	}
}

static void trap_add(struct gen *g, struct backend_trap t)
{
	struct backend_code *out = g->out;

	if (out->nr_traps < g->max_traps)
		out->trap[out->nr_traps++] = t;
	else
		g->failed = true;
}

void trap_here(struct gen *g)
{
	trap_add(g, (struct backend_trap){ .host_off = as_off(&g->s), .pc_off = (uint32_t)(g->pc - g->ir->pc), .vec_out = g->v_out,
					   .vec_out_high = g->v_level >= VEC_256 ? g->v_out : 0, .flags_in_host = (g->fl_host & ~g->fl_mem) != 0,
					   .fpu_note = g->fpu_note });
}

/* The copy of the access that runs on a bounce buffer or a code page, and the commit behind it. */
static void special_access(struct gen *g, const struct cold *c)
{
	struct as *s = &g->s;
	uint32_t at = as_off(s);
	unsigned nr_traps = g->out->nr_traps;

	as_bytes(s, s->base + c->back, c->end - c->back);
	for (unsigned n = 0; n < nr_traps; n++) {
		struct backend_trap t = g->out->trap[n];

		if (t.host_off < c->back || t.host_off >= c->end)
			continue;
		t.host_off += at - c->back;
		trap_add(g, t);
	}
	v_temps_store(g, c->vec_out);
	as_call_abs(s, stubs.commit[g->v_level]);
	v_temps_load(g, c->vec_out);
	as_patch(s, as_jmp(s), c->end);
}

/* Where the second step returns: a jump of 5 bytes, then the way of accesses that must be committed. */
static void slow_return(struct gen *g, const struct cold *c)
{
	struct as *s = &g->s;
	uint32_t to_back = as_jmp(s);

	if (c->access != TLB_READ) {
		v_temps_load(g, c->vec_out);
		special_access(g, c);
	}
	as_patch(s, to_back, c->vec_out ? as_off(s) : c->back);
	if (c->vec_out) {
		v_temps_load(g, c->vec_out);
		as_patch(s, as_jmp(s), c->back);
	}
}

static enum slow_kind slow_kind_of(const struct cold *c, const struct ir_mem *m)
{
	if (c->access != TLB_READ)
		return SLOW_WRITE;
	return m->slot == GREG_SP ? SLOW_STACK_READ : SLOW_READ;
}

static void cold_mem(struct gen *g, const struct cold *c)
{
	struct as *s = &g->s;
	const struct ir_mem *m = &g->ir->mem[c->mem];
	enum slow_kind kind = slow_kind_of(c, m);
	int64_t param = c->size | m->slot << SLOW_SLOT_SHIFT | (c->align ? SLOW_ALIGN : 0) | (c->access == TLB_RMW ? SLOW_RMW : 0);

	as_patch(s, c->from, as_off(s));
	if (c->from3)
		as_patch(s, c->from3, as_off(s));
	if (!c->addr_in_r13)
		mem_effective(g, m, R_13); /* form A has no segment */
	as_mov_imm(s, R_14, param);
	as_call_abs(s, c->wide ? stubs.wide : stubs.probe[g->ir->mmu_mode][kind]);
	as_patch(s, as_jmp(s), c->back);
	if (c->from2) /* misaligned; the address is in r13 */
		as_patch(s, c->from2, as_off(s));
	v_temps_store(g, c->vec_out);
	if (c->fpu_note)
		fpu_note_store(g, c->fpu_note);
	put_pc(g, c->pc, R_14);
	as_mov_imm(s, R_14, c->partial ? (int64_t)c->partial : param);
	as_call_abs(s, c->partial ? stubs.partial[g->ir->mmu_mode][kind == SLOW_WRITE][g->v_level] :
				    stubs.slow[g->ir->mmu_mode][kind][g->v_level]);
	slow_return(g, c);
}

static void cold_leave(struct gen *g, const struct cold *c, const uint8_t *how)
{
	struct as *s = &g->s;

	as_patch(s, c->from, as_off(s));
	as_mov_imm(s, R_13, (int64_t)c->pc);
	as_jmp_abs(s, how);
}

static void cold_exit(struct gen *g, const struct cold *c)
{
	gva_t pc = c->pc;

	as_patch(&g->s, c->from, as_off(&g->s));
	exit_to(g, pc, BACKEND_EXIT_JUMP);
}

/* An indirect branch whose target (r13) the jump cache does not know, or there is a request. */
static void cold_branch(struct gen *g, const struct cold *c)
{
	as_patch(&g->s, c->from, as_off(&g->s));
	as_patch(&g->s, c->from2, as_off(&g->s));
	as_mov_imm(&g->s, R_14, (int64_t)c->pc);
	if (!c->back) {
		as_jmp_abs(&g->s, stubs.branch_miss);
		return;
	}
	as_call_abs(&g->s, stubs.branch_miss); /* see cold_far() */
	as_patch(&g->s, as_jmp(&g->s), c->back);
}

static void cold_one(struct gen *g, const struct cold *c)
{
	switch (c->kind) {
	case COLD_MEM:
		cold_mem(g, c);
		break;
	case COLD_POLL:
		cold_leave(g, c, stubs.exit_lookup);
		break;
	case COLD_FITS:
		cold_leave(g, c, stubs.exit_alone);
		break;
	case COLD_EXIT:
		cold_exit(g, c);
		break;
	case COLD_SHARE:
		share_copy(g, c);
		break;
	case COLD_VEC:
		v_fill_cold(g, c);
		break;
	case COLD_FAR:
		cold_far(g, c);
		break;
	case COLD_BRANCH:
		cold_branch(g, c);
		break;
	}
}

/* Where the exits lead while they are not chained: exit index and PC, then the part they share. */
static void exit_stubs(struct gen *g)
{
	struct as *s = &g->s;
	struct backend_code *out = g->out;
	uint32_t common = as_off(s);

	if (!out->nr_exits)
		return;
	out->moves.block_at = as_mov_imm64(s, R_15, (uintptr_t)g->tb);
	as_jmp_abs(s, stubs.exit_chain);
	for (unsigned n = 0; n < out->nr_exits; n++) {
		out->exit[n].stub_off = as_off(s);
		as_patch(s, out->exit[n].patch_off, as_off(s));
		as_mov_imm(s, R_13, (int64_t)out->exit[n].pc);
		as_mov_imm(s, R_14, n);
		as_patch(s, as_jmp(s), common);
	}
}

void cold_emit(struct gen *g)
{
	for (unsigned n = 0; n < g->nr_cold && !g->failed && !g->s.overflow; n++)
		cold_one(g, &g->cold[n]);
	exit_stubs(g);
}
