/* SPDX-License-Identifier: MIT */
/*
 * Instruction forms: rows of the decoder's own tables (decode/opmap_*.def) for each mode and operand size, with memory or a register.
 */
#ifndef COHORT_TESTS_DIFF_FORMS_H
#define COHORT_TESTS_DIFF_FORMS_H

#include "vcpu/x86/decode/row.h"

enum form_mem { FORM_PLAIN /* no ModRM, or nothing to choose */, FORM_MEM, FORM_REG };

struct form {
	const struct x86_row *row;
	uint16_t id;
	uint8_t mode;       /* enum diff_mode */
	uint8_t map, opcode;
	uint8_t mandatory;  /* 0, 0x66, 0xf3, 0xf2 */
	uint8_t opsize;     /* 1 2 4 8 */
	uint8_t mem;        /* enum form_mem */
	bool modrm;
	int8_t reg, rm;     /* ModRM fields that select the row, or -1 */
	int8_t rexw, rexb;  /* bits that select the row, or -1 */
	bool vex, vvvv;     /* VEX-encoded; VEX.vvvv names an operand */
	uint8_t vex_l;
	bool evex, evex_b;  /* EVEX-encoded; EVEX.b is 1 */
	bool opcode_reg;    /* low three bits of the opcode are a register */
	const char *skip;   /* why it is not compared, or NULL */
};

#define MAX_FORMS 40960
extern struct form forms[MAX_FORMS];
extern unsigned nr_forms;

/* has: which features (enum x86_feature) the engines' CPU offers. */
void forms_init(bool (*has)(unsigned feature));
/* Why an instruction is not compared, or NULL. */
const char *insn_skip(const struct x86_insn *in);
/* Operand code at position n of the row. */
static inline const struct x86_oc_info *form_oc(const struct form *f, unsigned n)
{
	return &x86_oc_info[f->row->oc[n]];
}

#endif
