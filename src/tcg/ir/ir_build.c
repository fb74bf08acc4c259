/* SPDX-License-Identifier: MIT */
/*
 * Appending to a block of IR. An array that is full drops what does not fit, and leaves the block marked as full:
 * ir_room() told the translator to stop long before.
 */
#include "tcg/ir/ir.h"

#define ROOM_INSNS  64
#define ROOM_MEMS   16
#define ROOM_TEMPS  32
#define ROOM_LABELS 8

/* Appended past the end: written to, never looked at. */
static _Thread_local struct ir_insn overflow;

void ir_reset(struct ir_block *b)
{
	b->nr_insns = b->nr_mems = b->nr_temps = b->nr_labels = 0;
	b->pc = 0;
	b->flags = 0;
	b->mmu_mode = 0;
	b->guest_len = b->watch_len = b->watch_before = b->guest_insns = 0;
	b->small = false;
	b->rt = NULL;
	b->nr_rt = 0;
	b->code = NULL;
	b->nr_late = 0;
}

bool ir_room(const struct ir_block *b)
{
	return b->nr_insns + ROOM_INSNS <= IR_MAX_INSNS && b->nr_mems + ROOM_MEMS <= IR_MAX_MEMS &&
	       b->nr_temps + ROOM_TEMPS <= IR_MAX_TEMPS && b->nr_labels + ROOM_LABELS <= IR_MAX_LABELS;
}

ir_ref ir_temp(struct ir_block *b)
{
	if (unlikely(b->nr_temps >= IR_MAX_TEMPS))
		b->nr_insns = IR_MAX_INSNS;
	else
		b->nr_temps++;
	return IR_T(b->nr_temps - 1);
}

unsigned ir_label(struct ir_block *b)
{
	if (unlikely(b->nr_labels >= IR_MAX_LABELS))
		b->nr_insns = IR_MAX_INSNS;
	else
		b->nr_labels++;
	return b->nr_labels - 1;
}

ir_ref ir_mem(struct ir_block *b, const struct ir_mem *m)
{
	if (unlikely(b->nr_mems >= IR_MAX_MEMS)) {
		b->nr_insns = IR_MAX_INSNS;
		return IR_M(IR_MAX_MEMS - 1);
	}
	b->mem[b->nr_mems] = *m;
	return IR_M(b->nr_mems++);
}

/* Ops that exist for their flags alone. */
static bool only_flags(enum ir_op op)
{
	return op == IR_CMP || op == IR_TEST || op == IR_BT || op == IR_CMC || op == IR_PUTFL || op == IR_VFL;
}

struct ir_insn *ir_emit(struct ir_block *b, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, ir_ref bb)
{
	struct ir_insn *i = likely(b->nr_insns < IR_MAX_INSNS) ? &b->insn[b->nr_insns++] : &overflow;

	*i = (struct ir_insn){
		.op = (uint8_t)op,
		.type = (uint8_t)type,
		.attr = only_flags(op) ? IR_SETF : 0,
		.d = d,
		.a = a,
		.b = bb,
		/* An exit whose target nobody has looked at needs all flags. */
		.fl_live = (ir_op_info[op].attr & IR_AT_E) ? F_ALL : 0,
	};
	return i;
}

struct ir_insn *ir_emit_k(struct ir_block *b, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, int64_t imm)
{
	unsigned shape = ir_op_info[op].shape;
	struct ir_insn *i;

	if (shape & IR_SH_I) /* the immediate is a field of its own: no operand is constant */
		i = ir_emit(b, op, type, d, a, IR_NONE);
	else if (shape & IR_SH_B)
		i = ir_emit(b, op, type, d, a, IR_KONST);
	else
		i = ir_emit(b, op, type, d, IR_KONST, IR_NONE);
	i->imm = imm;
	return i;
}
