/* SPDX-License-Identifier: MIT */
/*
 * Dead code: instructions whose only effect is a temporary or flags that nobody reads, and IR_SETF where every flag the
 * op defines is dead, so that the back end may choose host instructions freely.
 *
 * A guest memory access stays (it may fault), unless the instruction says IR_NOFAULT. Guest registers stay: they must
 * be exact wherever a fault can look at them.
 */
#include "tcg/opt/liveness.h"
#include "tcg/opt/opt.h"

static bool is_mem(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_M;
}

static bool accesses_memory(const struct ir_insn *i)
{
	return i->op != IR_LEA && !(i->attr & IR_NOFAULT) && (is_mem(i->d) || is_mem(i->a) || is_mem(i->b));
}

/* NONE, or a temporary that is not live. */
static bool result_is_dead(const struct liveness *l, ir_ref r)
{
	switch (IR_REF_KIND(r)) {
	case IR_KIND_NONE:
		return true;
	case IR_KIND_T:
	case IR_KIND_VT:
		return !liveness_temp(l, r);
	default:
		return false;
	}
}

static bool is_self_move(const struct ir_insn *i)
{
	return i->op == IR_MOV && i->d == i->a && i->type != IR_I32;
}

/* Vector comparisons may raise floating-point exceptions, and string compares leave their result in a guest register.
 */
static bool has_hidden_effect(const struct ir_insn *i)
{
	unsigned attr = ir_op_info[i->op].attr;

	return (attr & (IR_AT_S | IR_AT_E | IR_AT_C)) || ((attr & IR_AT_V) && i->op != IR_VMOV);
}

static bool is_dead(const struct liveness *l, const struct ir_insn *i)
{
	if (IR_REF_KIND(i->d) == IR_KIND_G) /* the commonest */
		return is_self_move(i);
	if ((i->attr & IR_SETF) || has_hidden_effect(i) || !result_is_dead(l, i->d) || accesses_memory(i))
		return false;
	return !(ir_op_info[i->op].shape & IR_SH_X) || result_is_dead(l, i->c);
}

static void drop_dead_flags(struct ir_insn *i, uint32_t live)
{
	if (i->op == IR_PUTFL)
		i->imm &= live;
	if (!(ir_flags_clob(i) & live) && i->op != IR_FPU)
		i->attr &= (uint8_t)~IR_SETF;
}

void opt_dce(struct ir_block *b)
{
	struct liveness l;
	unsigned keep = b->nr_insns; /* survivors are gathered at the end of the array, then moved down */

	liveness_init(&l, b);
	for (unsigned n = b->nr_insns; n-- > 0;) {
		struct ir_insn *i = &b->insn[n];

		if (i->attr & IR_SETF)
			drop_dead_flags(i, liveness_flags_behind(&l, i));
		if (is_dead(&l, i))
			continue;
		liveness_step(&l, i);
		if (--keep != n)
			b->insn[keep] = *i;
	}
	if (!keep)
		return;
	for (unsigned n = keep; n < b->nr_insns; n++)
		b->insn[n - keep] = b->insn[n];
	b->nr_insns -= keep;
}
