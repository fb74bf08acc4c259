/* SPDX-License-Identifier: MIT */
/*
 * Shared checks: accesses off one base value within a stretch of straight code (conditional exits may stand in it) are checked once.
 *
 * A group is a set of accesses at constant distances from one value (or one value + another * scale), found by following registers that
 * hold value + constant. It uses the level-0 slot of the first of them, or of the first store. At its first instruction lowest and highest byte are checked together; behind that the slot's displacement
 * serves all members. If the check fails, a copy of the code from there to the group's end, in cold code, runs with a check for every
 * access, as if there were no group; it leaves into the hot code behind the group.
 *
 * Rules that make it right:
 *  - Between the first and last member nothing else goes through the same slot, in the hot code or in a copy, and no runtime routine is called: the slot's
 *    displacement stays. (A slow path of another access may invalidate the slot: that leaves the displacement alone, and what was
 *    checked stays valid until the next safepoint.)
 *  - A group that starts inside the stretch of another also ends inside it: so where a copy joins the hot code again, every group that
 *    is still open was opened before the copy began, by a check that succeeded.
 */
#include <string.h>

#include "tcg/backend/x86_64/gen.h"
#include "tcg/opt/opt.h"

#define MAX_OPEN 8
#define MAX_RANGE 256
#define MAX_DISTANCE (1ll << 61) /* of an access from its value: sums of these do not overflow */

/* A value: identity 0 is the constant 0; others are unknown contents of a register. */
struct value {
	uint32_t id;
	int64_t off;
};

/* What the addresses of a group have in common: value base + value index * scale. */
struct key {
	uint32_t base, index; /* identities; index 0: none */
	uint8_t scale;
};

struct open_group {
	struct key key;
	uint16_t group;
};

struct scan {
	struct gen *g;
	uint32_t next_id;
	struct value greg[TCG_NR_GREG];
	struct value temp[IR_MAX_TEMPS];
	struct open_group open[MAX_OPEN];
	unsigned nr_open, turn;
	unsigned last_exit;            /* 1 + the last instruction that may leave the straight line; 0: none */
	uint16_t store[TLB_L0_SLOTS];  /* 1 + the last access through each slot of the write table */
};

static struct value *value_of(struct scan *s, ir_ref r)
{
	if (IR_REF_KIND(r) == IR_KIND_G)
		return &s->greg[IR_REF_NUM(r)];
	return IR_REF_KIND(r) == IR_KIND_T ? &s->temp[IR_REF_NUM(r)] : NULL;
}

/* Addresses wrap. */
static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static void unknown(struct scan *s, ir_ref r)
{
	struct value *v = value_of(s, r);

	if (v)
		*v = (struct value){ .id = ++s->next_id };
}

static void forget_globals(struct scan *s)
{
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		unknown(s, IR_G(n));
}

/* ---- Values through an instruction */

static bool follow(struct scan *s, const struct ir_insn *i)
{
	struct value *d = value_of(s, i->d), *a = value_of(s, i->a);
	const struct ir_mem *m;

	if (i->type != IR_I64 || !d)
		return false;
	switch (i->op) {
	case IR_MOV:
		if (!a && !is_k(i->a))
			return false;
		*d = a ? *a : (struct value){ 0, i->imm };
		return true;
	case IR_ADD:
	case IR_SUB:
		if (!a || !is_k(i->b))
			return false;
		*d = (struct value){ a->id, plus(a->off, i->op == IR_ADD ? i->imm : plus(~i->imm, 1)) };
		return true;
	case IR_LEA:
		m = &s->g->ir->mem[IR_REF_NUM(i->a)];
		a = value_of(s, m->base);
		if (!a || m->index != IR_NONE || m->addr_bits != 64)
			return false;
		*d = (struct value){ a->id, plus(a->off, m->disp) };
		return true;
	default:
		return false;
	}
}

static void values_behind(struct scan *s, const struct ir_insn *i)
{
	unsigned writes = ir_writes(i);

	if (follow(s, i))
		return;
	if (writes & IR_RW_D)
		unknown(s, i->d);
	if (writes & IR_RW_A)
		unknown(s, i->a);
	if (writes & IR_RW_B)
		unknown(s, i->b);
	if (writes & IR_RW_C)
		unknown(s, i->c);
	if (i->op == IR_VFL) /* string compares */
		unknown(s, IR_G(1));
}

/* ---- Groups */

static ir_ref mem_ref(const struct ir_insn *i)
{
	if (is_m(i->d))
		return i->d;
	if (i->op != IR_LEA && is_m(i->a))
		return i->a;
	return is_m(i->b) ? i->b : IR_NONE;
}

static bool writes_mem(const struct ir_insn *i, ir_ref m)
{
	return ((ir_writes(i) & IR_RW_D) && i->d == m) || ((ir_writes(i) & IR_RW_A) && i->a == m);
}

static void close_all(struct scan *s)
{
	s->nr_open = 0;
}

static void close_slot(struct scan *s, unsigned slot, unsigned kind, unsigned but)
{
	for (unsigned n = s->nr_open; n-- > 0;) {
		const struct group *gr = &s->g->group[s->open[n].group];

		if (gr->slot == slot && gr->kind == kind && s->open[n].group != but)
			s->open[n] = s->open[--s->nr_open];
	}
}

static bool join(struct scan *s, struct open_group *o, unsigned n, int64_t at, unsigned bytes)
{
	struct group *gr = &s->g->group[o->group];
	int64_t lo = at < gr->min ? at : gr->min;
	int64_t end = at + bytes > gr->end ? at + bytes : gr->end;

	if (end - lo > MAX_RANGE || end - lo < 0)
		return false;
	gr->min = lo;
	gr->end = end;
	gr->last = (uint16_t)n;
	gr->members++;
	s->g->group_of[n] = o->group;
	return true;
}

static void open_new(struct scan *s, unsigned n, const struct key *key, const struct ir_mem *m, unsigned kind, int64_t at, unsigned bytes)
{
	struct gen *g = s->g;
	unsigned k;

	if (g->nr_groups == GEN_MAX_GROUPS)
		return;
	k = g->nr_groups++;
	g->group[k] = (struct group){ .first = (uint16_t)n, .last = (uint16_t)n, .members = 1, .slot = m->slot, .kind = (uint8_t)kind,
				      .min = at, .end = at + bytes, .at = at };
	g->group_of[n] = (uint16_t)k;
	if (s->nr_open == MAX_OPEN)
		s->open[s->turn++ % MAX_OPEN] = s->open[--s->nr_open];
	s->open[s->nr_open++] = (struct open_group){ *key, (uint16_t)k };
}

/* The address as key + distance; false: too far. */
static bool address_of(struct scan *s, const struct ir_mem *m, struct key *key, int64_t *at)
{
	const struct value zero = { 0, 0 }, *base = m->base == IR_NONE ? &zero : value_of(s, m->base);
	const struct value *index = m->index == IR_NONE ? &zero : value_of(s, m->index);

	*key = (struct key){ base->id, index->id, index->id ? m->scale : 0 };
	*at = plus(plus(base->off, m->disp), (int64_t)((uint64_t)index->off * m->scale));
	return *at < MAX_DISTANCE && *at > -MAX_DISTANCE;
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->base == b->base && a->index == b->index && a->scale == b->scale;
}

/* Stores may join a group of loads, whose check then is that of the store: if the store is sure to follow, and its slot was not used since. */
static bool may_join(const struct scan *s, const struct group *gr, const struct ir_mem *m, bool writes)
{
	return gr->kind || !writes || (s->last_exit <= gr->first && s->store[m->slot] <= gr->first && m->slot != GREG_SP);
}

static void access(struct scan *s, unsigned n)
{
	struct gen *g = s->g;
	const struct ir_insn *i = &g->ir->insn[n];
	ir_ref ref = mem_ref(i);
	const struct ir_mem *m = &g->ir->mem[IR_REF_NUM(ref)];
	bool writes = writes_mem(i, ref), share;
	unsigned kind = writes || m->slot == GREG_SP, bytes;
	struct key key;
	int64_t at;

	g->i = i;
	bytes = access_bytes(i);
	share = mem_can_share(g, m) && address_of(s, m, &key, &at);
	for (unsigned k = 0; share && k < s->nr_open; k++) {
		struct group *gr = &g->group[s->open[k].group];

		if (!same_key(&s->open[k].key, &key) || !may_join(s, gr, m, writes) || !join(s, &s->open[k], n, at, bytes))
			continue;
		if (writes && !gr->kind) {
			gr->kind = 1;
			gr->slot = m->slot;
		}
		close_slot(s, m->slot, kind, s->open[k].group); /* in a copy it uses its own */
		share = false;
	}
	if (g->group_of[n] == NO_GROUP)
		close_slot(s, m->slot, kind, NO_GROUP);
	if (share)
		open_new(s, n, &key, m, kind, at, bytes);
	if (kind)
		s->store[m->slot] = (uint16_t)(n + 1);
}

static bool may_leave(const struct ir_insn *i)
{
	return (ir_op_info[i->op].attr & IR_AT_E) || i->op == IR_BRCC || i->op == IR_BRZ || i->op == IR_BRNZ || i->op == IR_POLL;
}

static void find_groups(struct gen *g)
{
	static _Thread_local struct scan s;

	s.g = g;
	s.next_id = s.nr_open = s.turn = s.last_exit = 0;
	memset(s.store, 0, sizeof(s.store));
	forget_globals(&s);
	for (unsigned n = 0; n < g->ir->nr_insns; n++) {
		const struct ir_insn *i = &g->ir->insn[n];

		g->group_of[n] = NO_GROUP;
		if (i->op == IR_LABEL || i->op == IR_RT) {
			close_all(&s);
			forget_globals(&s);
		}
		if (mem_ref(i) != IR_NONE)
			access(&s, n);
		if (may_leave(i))
			s.last_exit = n + 1;
		values_behind(&s, i);
	}
}

/* Groups that are worth it get a stretch: to their last member, and to the end of those that start within. */
static void choose(struct gen *g)
{
	unsigned budget = 64 + 2 * g->ir->nr_insns;

	for (unsigned k = g->nr_groups; k-- > 0;) { /* in order of their first instructions, so what starts within is done */
		struct group *gr = &g->group[k];

		gr->stretch = gr->last;
		for (unsigned j = k + 1; j < g->nr_groups && g->group[j].first <= gr->stretch; j++)
			if (g->group[j].used && g->group[j].stretch > gr->stretch)
				gr->stretch = g->group[j].stretch;
		gr->used = gr->members > 1 && (unsigned)(gr->stretch - gr->first + 1) <= budget;
		if (gr->used)
			budget -= gr->stretch - gr->first + 1;
	}
}

/* A check is shared by two accesses at least: most short blocks need no look. */
static bool has_two_accesses(const struct ir_block *b)
{
	unsigned accesses = 0;

	for (unsigned n = 0; n < b->nr_insns && accesses < 2; n++)
		accesses += mem_ref(&b->insn[n]) != IR_NONE;
	return accesses == 2;
}

void share_plan(struct gen *g, bool wanted)
{
	g->nr_groups = 0;
	g->in_copy_of = NULL;
	if (!wanted || !has_two_accesses(g->ir))
		return;
	find_groups(g);
	choose(g);
}

static struct group *group_at(struct gen *g, unsigned n)
{
	return !g->nr_groups || g->group_of[n] == NO_GROUP ? NULL : &g->group[g->group_of[n]];
}

/* The group whose check has succeeded, so that the current instruction's access needs none; or NULL. */
const struct group *share_checked(struct gen *g)
{
	const struct group *gr = group_at(g, g->n);

	return gr && gr->used && (!g->in_copy_of || gr->first < g->in_copy_of->first) ? gr : NULL;
}

/* ---- Code */

static void snapshot(const struct gen *g, struct share_state *st)
{
	*st = (struct share_state){ .fl_host = g->fl_host, .fl_mem = g->fl_mem, .v_out = g->v_out, .fpu_note = g->fpu_note, .pc = g->pc };
}

static uint32_t live_before(const struct gen *g)
{
	return opt_exact_flags ? F_ALL : (g->i->fl_live & ~ir_flags_def(g->i)) | ir_flags_use(g->ir, g->i);
}

/* Before instruction n: the check of the group that starts here. */
void share_before(struct gen *g)
{
	struct group *gr = group_at(g, g->n);
	struct as *s = &g->s;
	const struct ir_mem *m;
	unsigned len;
	struct rm lo, lim;
	struct cold *c;

	if (!gr || !gr->used || gr->first != g->n || g->in_copy_of)
		return;
	m = &g->ir->mem[IR_REF_NUM(mem_ref(g->i))];
	len = (unsigned)(gr->end - gr->min);
	lo = mem_slot_field(g, gr->slot, gr->kind, offsetof(struct tlb_slot, lo));
	lim = mem_slot_field(g, gr->slot, gr->kind, mem_lim_offset(len));
	fl_clobber(g, live_before(g));
	mem_address_plus(g, m, gr->min - gr->at);
	as_alu(s, ALU_SUB, R_13, lo);
	as_alu(s, ALU_CMP, R_13, lim);
	c = cold_new(g, COLD_SHARE);
	c->from = as_jcc(s, IR_CC_NC);
	if (len > 32) { /* the limit used is that of 32 bytes; the lowest byte is in the range, so this does not wrap */
		as_alu_imm(s, ALU_ADD, OP_W, rm_reg(R_13), (int32_t)(len - 32));
		as_alu(s, ALU_CMP, R_13, lim);
		c->from2 = as_jcc(s, IR_CC_NC);
	}
	c->mem = g->group_of[g->n];
	snapshot(g, &gr->enter);
}

/* Behind instruction n: where copies that end here come back. */
void share_behind(struct gen *g)
{
	if (g->in_copy_of)
		return;
	for (unsigned k = 0; k < g->nr_groups && g->group[k].first <= g->n; k++) {
		struct group *gr = &g->group[k];

		if (gr->used && gr->stretch == g->n) {
			gr->back = as_off(&g->s);
			snapshot(g, &gr->leave);
		}
	}
}

/* Flags where the hot code expects them; everything else is the same on both ways. */
static void reconcile(struct gen *g, const struct group *gr)
{
	uint32_t live = g->i->fl_live;

	fl_to_mem(g, live & gr->leave.fl_mem);
	fl_to_host(g, live & gr->leave.fl_host);
	if (g->v_out != gr->leave.v_out)
		g->failed = true;
}

/* Cold: the stretch of a group whose check has failed. */
void share_copy(struct gen *g, const struct cold *c)
{
	struct group *gr = &g->group[c->mem];
	struct as *s = &g->s;
	uint32_t from = c->from, from2 = c->from2; /* the array of cold fragments grows below */

	as_patch(s, from, as_off(s));
	if (from2)
		as_patch(s, from2, as_off(s));
	g->fl_host = gr->enter.fl_host;
	g->fl_mem = gr->enter.fl_mem;
	g->v_out = gr->enter.v_out;
	g->fpu_note = gr->enter.fpu_note;
	g->fpu_touched = false;
	g->pc = gr->enter.pc;
	g->in_copy_of = gr;
	for (g->n = gr->first; g->n <= gr->stretch && !g->failed && !s->overflow; g->n++) {
		g->i = &g->ir->insn[g->n];
		lower_insn_at(g);
	}
	reconcile(g, gr);
	g->in_copy_of = NULL;
	as_patch(s, as_jmp(s), gr->back);
}
