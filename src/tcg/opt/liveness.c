/* SPDX-License-Identifier: MIT */
/*
 * Liveness of flags, per bit, and of temporaries: one backward walk.
 *
 * Flags at exits are what the translator's look-ahead has found at the target (insn->fl_live preset). A branch to a
 * label that lies behind it takes what was live there; a branch back, which is rare, counts as a use of everything.
 */
#include <string.h>

#include "tcg/opt/liveness.h"
#include "tcg/opt/opt.h"

bool opt_exact_flags;

void liveness_init(struct liveness *l, struct ir_block *b)
{
	l->b = b;
	l->flags = F_ALL;
	l->stretch = 1;
	memset(l->mark, 0, b->nr_temps * sizeof(l->mark[0]));
	memset(&l->mark[LIVENESS_VT], 0, 5 * sizeof(l->mark[0]));
	for (unsigned n = 0; n < b->nr_labels; n++)
		l->label_flags[n] = F_ALL;
}

static bool is_edge(enum ir_op op)
{
	return op >= IR_LABEL && op <= IR_BRNZ;
}
_Static_assert(IR_BR == IR_LABEL + 1 && IR_BRCC == IR_LABEL + 2 && IR_BRZ == IR_LABEL + 3 && IR_BRNZ == IR_LABEL + 4,
	       "in a row");

static uint32_t behind_edge(const struct liveness *l, const struct ir_insn *i)
{
	unsigned attr = ir_op_info[i->op].attr;

	if (attr & IR_AT_E) {
		uint32_t preset = (i->exit_live & IR_EXIT_LIVE_SET) ? i->exit_live : i->fl_live;

		return (preset & F_ALL) | ((attr & IR_AT_T) ? 0 : l->flags);
	}
	if (i->op == IR_LABEL)
		return l->flags;
	return l->label_flags[i->imm] | (i->op == IR_BR ? 0 : l->flags);
}

uint32_t liveness_flags_behind(struct liveness *l, const struct ir_insn *i)
{
	if ((ir_op_info[i->op].attr & IR_AT_E) || is_edge((enum ir_op)i->op))
		return behind_edge(l, i);
	return l->flags;
}

static inline unsigned kill_bit(const struct liveness *l, ir_ref r, unsigned slot, unsigned bit)
{
	return liveness_is_temp(r) && l->mark[slot] != l->stretch ? bit : 0;
}

/* Stores without reading: what need not be marked goes to the mark that means nothing. */
static inline void mark_if(struct liveness *l, unsigned slot, bool cond, uint16_t v)
{
	l->mark[cond ? slot : LIVENESS_NO] = v;
}

static bool has_mem(const struct ir_insn *i)
{
	return IR_REF_KIND(i->d) == IR_KIND_M || IR_REF_KIND(i->a) == IR_KIND_M || IR_REF_KIND(i->b) == IR_KIND_M;
}

static const struct ir_mem *mem_of(const struct liveness *l, const struct ir_insn *i)
{
	ir_ref r = IR_REF_KIND(i->a) == IR_KIND_M ? i->a : IR_REF_KIND(i->b) == IR_KIND_M ? i->b : i->d;

	return &l->b->mem[IR_REF_NUM(r)];
}

static unsigned mem_kills(const struct liveness *l, const struct ir_insn *i)
{
	const struct ir_mem *m = mem_of(l, i);

	return kill_bit(l, m->base, liveness_slot(m->base), IR_KILL_BASE) |
	       kill_bit(l, m->index, liveness_slot(m->index), IR_KILL_INDEX);
}

static void mem_uses(struct liveness *l, const struct ir_insn *i)
{
	const struct ir_mem *m = mem_of(l, i);

	l->mark[liveness_slot(m->base)] = l->mark[liveness_slot(m->index)] = l->stretch;
}

static void step_temps(struct liveness *l, struct ir_insn *i, const struct ir_op_info *info)
{
	unsigned d = liveness_slot(i->d), a = liveness_slot(i->a), b = liveness_slot(i->b), c = liveness_slot(i->c);
	unsigned full = info->full >> i->type & 1, reads = info->reads;
	unsigned kills = kill_bit(l, i->a, a, IR_KILL_A) | kill_bit(l, i->b, b, IR_KILL_B) |
			 kill_bit(l, i->c, c, IR_KILL_C) | kill_bit(l, i->d, d, IR_KILL_D);

	if (has_mem(i)) /* before the writes: the base may be the destination, which lives on */
		kills |= mem_kills(l, i);
	/* A write of the whole container ends the life of the old value. */
	mark_if(l, d, full && (info->writes & IR_RW_D), 0);
	mark_if(l, c, full && (info->writes & IR_RW_C), 0);
	if (has_mem(i))
		mem_uses(l, i);
	mark_if(l, a, reads & IR_RW_A, l->stretch);
	mark_if(l, b, reads & IR_RW_B, l->stretch);
	mark_if(l, c, reads & IR_RW_C, l->stretch);
	mark_if(l, d, reads & IR_RW_D, l->stretch);
	i->kills = (uint16_t)kills;
}

static uint32_t rt_flags(const struct liveness *l, const struct ir_insn *i, uint32_t live)
{
	unsigned effects = ir_rt_effects(l->b, i);

	if (effects & RT_READS_FLAGS)
		return F_ALL;
	return (effects & RT_WRITES_FLAGS) ? 0 : live;
}

/* Labels, branches, exits. */
static void step_edge(struct liveness *l, struct ir_insn *i, uint32_t live)
{
	unsigned attr = ir_op_info[i->op].attr;

	if ((attr & IR_AT_E) && !(i->exit_live & IR_EXIT_LIVE_SET))
		i->exit_live = (i->fl_live & F_ALL) | IR_EXIT_LIVE_SET;
	if (i->op == IR_LABEL)
		l->label_flags[i->imm] = (uint16_t)live;
	if (!(attr & IR_AT_E) || (attr & IR_AT_T))
		l->stretch++; /* nothing temporary lives behind these */
}

static bool touches_temps(const struct liveness *l, const struct ir_insn *i)
{
	const struct ir_mem *m;

	if (!liveness_has_temps(i, true))
		return false;
	if (liveness_has_temps(i, false))
		return true;
	m = mem_of(l, i);
	return liveness_is_temp(m->base) || liveness_is_temp(m->index);
}

static bool may_fault(const struct liveness *l, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_LEA:
		return false;
	case IR_RT:
		return ir_rt_effects(l->b, i) & RT_FAULTS;
	case IR_DIVU:
	case IR_DIVS:
	case IR_FPU:
	case IR_EVEX:
		return true;
	default:
		return ((ir_op_info[i->op].attr & IR_AT_V) && i->op != IR_VMOV) || (has_mem(i) && !(i->attr & IR_NOFAULT));
	}
}

void liveness_step(struct liveness *l, struct ir_insn *i)
{
	const struct ir_op_info *info = &ir_op_info[i->op];
	uint32_t live = l->flags;

	if (unlikely((info->attr & IR_AT_E) || is_edge((enum ir_op)i->op))) {
		live = behind_edge(l, i);
		step_edge(l, i, live);
	}
	i->fl_live = (uint16_t)live;
	i->kills = 0;
	if (touches_temps(l, i))
		step_temps(l, i, info);
	if (i->attr & IR_SETF)
		live &= ~ir_flags_def(i);
	if (unlikely(i->op == IR_RT))
		live = rt_flags(l, i, live);
	else if (unlikely(info->fl_use || i->op == IR_FPU))
		live |= ir_flags_use(l->b, i);
	if (unlikely(opt_exact_flags) && may_fault(l, i))
		live = F_ALL;
	l->flags = live;
}

void opt_liveness(struct ir_block *b)
{
	struct liveness l;

	liveness_init(&l, b);
	for (unsigned n = b->nr_insns; n-- > 0;)
		liveness_step(&l, &b->insn[n]);
}
