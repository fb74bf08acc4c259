/* SPDX-License-Identifier: MIT */
/*
 * What each integer operation computes: value and flags. Shared by the interpreter, the folding pass and the tests.
 * Threads: any; pure functions.
 */
#ifndef COHORT_TCG_IR_EVAL_H
#define COHORT_TCG_IR_EVAL_H

#include "tcg/ir/ir.h"

/*
 * Operand values. In: whole containers, of which the op looks at as many low bits as its type has. Out: results in d, x
 * (second destination), a and b (XCHG, XADD, CAS), cut to the type and zero-extended, not yet merged into their
 * containers (ir_merge()); flags as if IR_SETF were given.
 */
struct ir_values {
	uint64_t d, x, a, b, c;
	uint32_t flags;
	bool wrote_d; /* BSF, BSR of 0, CMOV that fails, CAS that succeeds: false, d stays */
};

/* False: the guest's divide fault; nothing was changed. */
bool ir_eval(enum ir_op op, enum ir_type type, enum ir_cc cc, struct ir_values *v);

bool ir_cc_true(enum ir_cc cc, uint32_t flags);

/* Flag bits that the architecture leaves undefined for these operands (the values in front of the op). */
uint32_t ir_flags_undefined(enum ir_op op, enum ir_type type, const struct ir_values *v);

/* A result of the given type as it lands in a 64-bit container that held `old`. */
static inline uint64_t ir_merge(enum ir_type type, uint64_t old, uint64_t v)
{
	switch (type) {
	case IR_I8:
		return (old & ~(uint64_t)0xff) | (uint8_t)v;
	case IR_I16:
		return (old & ~(uint64_t)0xffff) | (uint16_t)v;
	case IR_I32:
		return (uint32_t)v;
	default:
		return v;
	}
}

#endif
