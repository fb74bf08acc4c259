/* SPDX-License-Identifier: MIT */
/*
 * The state of one decoding. Private to the decoder.
 *
 * Owner: x86_decode(); it lives on its stack.
 */
#ifndef COHORT_VCPU_X86_DECODE_DEC_H
#define COHORT_VCPU_X86_DECODE_DEC_H

#include "vcpu/x86/decode/row.h"

enum { X86_REX_B = 1, X86_REX_X = 2, X86_REX_R = 4, X86_REX_W = 8 };

struct x86_dec {
	struct x86_insn *in;
	const uint8_t *p;       /* next byte */
	const uint8_t *width;   /* bytes per width code, for this instruction's operand size */
	const struct x86_row *row;
	enum x86_mode mode;
	uint8_t seg;            /* override, or SEG_NONE */
	uint8_t rep;            /* F2 or F3, whichever came last, or 0 */
	uint8_t flags;          /* X86_R_* of the row and of the groups on the way to it */
	uint8_t vvvv;           /* VEX.vvvv, all its bits, inverted; with EVEX also V' */
	uint8_t high_reg;       /* EVEX.R', V' and X: 16 is added to the register of ModRM.reg, */
	uint8_t high_vvvv;      /* of vvvv or a vector index, */
	uint8_t high_rm;        /* of ModRM.rm */
	bool disp8;             /* the displacement has 8 bits */
	bool ud;
};

/* ---- EVEX (evex.c) */

/* At the prefix: reads it and the opcode. */
const struct x86_row *x86_dec_evex_row(struct x86_dec *d);
/* Behind ModRM: the vector length, which embedded rounding changes, and with it the widths of the operands. */
void x86_dec_evex_length(struct x86_dec *d, unsigned int size_log2);
/* The size of a memory operand that has `size` bytes without broadcast. */
uint8_t x86_dec_evex_mem(struct x86_dec *d, uint8_t size);
/* Behind the operands: scales the displacement and checks what is left. */
void x86_dec_evex_end(struct x86_dec *d);

#endif
