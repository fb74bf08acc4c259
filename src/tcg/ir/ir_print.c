/* SPDX-License-Identifier: MIT */
/*
 * Listings of IR for -d op,op_opt and for tests. One line per instruction:
 *
 *     add.i32/f g0, g0, [g5 + g6*4 + 0x10 @5]   ; live CZ kills b
 *
 * Suffixes: type, /f sets flags, /lock, /nofault, condition. Operands in the order d, (second destination), a, b, c,
 * then the immediates. Memory: base + index*scale + displacement @slot, then what departs from plain 64-bit addressing.
 * ir_parse.c reads the same form.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tcg/ir/ir.h"

struct text {
	char s[256];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < sizeof(t->s) - t->len ? (size_t)n : sizeof(t->s) - t->len - 1;
}

const char *const ir_type_names[IR_TYPE_COUNT] = {"i8", "i16", "i32", "i64", "f32", "f64", "f80", "v128", "v256"};
const char *const ir_cc_names[16] = {"o", "no", "c", "nc", "z",	 "nz", "be", "a",
				     "s", "ns", "p", "np", "lt", "ge", "le", "gt"};
const char *const ir_vop_names[IR_VOP_COUNT] = {
	[IR_VOP_NONE] = "none",
#define IR_VOP(NAME, name, ...) [IR_VOP_##NAME] = name,
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
#define IR_VEXOP(NAME, name, ...) [IR_VOP_##NAME] = name,
#include "tcg/ir/vex_ops.def"
#undef IR_VEXOP
};

static void put_int(struct text *t, int64_t v)
{
	if (v < 0 && v > -0x10000)
		put(t, "-0x%" PRIx64, (uint64_t)-v);
	else
		put(t, "0x%" PRIx64, (uint64_t)v);
}

static void put_reg(struct text *t, ir_ref r)
{
	static const char *const letter[] = {"-", "g", "t", "k", "m", "v", "vt"};

	if (r == IR_NONE)
		put(t, "-");
	else
		put(t, "%s%u", IR_REF_KIND(r) < ARRAY_LEN(letter) ? letter[IR_REF_KIND(r)] : "?", IR_REF_NUM(r));
}

static void put_mem(struct text *t, const struct ir_mem *m)
{
	const char *plus = "";

	put(t, "[");
	if (m->seg_base) {
		put(t, "seg%u", m->seg_base);
		plus = " + ";
	}
	if (m->base != IR_NONE) {
		put(t, "%s", plus);
		put_reg(t, m->base);
		plus = " + ";
	}
	if (m->index != IR_NONE) {
		put(t, "%s", plus);
		put_reg(t, m->index);
		put(t, "*%u", m->scale);
		plus = " + ";
	}
	if (m->disp || !*plus) {
		put(t, "%s", plus);
		put_int(t, m->disp);
	}
	put(t, " @%u", m->slot);
	if (m->addr_bits != 64)
		put(t, " a%u", m->addr_bits);
	put(t, "%s%s%s]", m->lin32 ? " lin32" : "", m->align ? " align" : "", m->wander ? " wander" : "");
}

static void put_ref(struct text *t, const struct ir_block *b, const struct ir_insn *i, ir_ref r)
{
	if (IR_REF_KIND(r) == IR_KIND_K)
		put_int(t, i->imm);
	else if (IR_REF_KIND(r) == IR_KIND_M && IR_REF_NUM(r) < b->nr_mems)
		put_mem(t, &b->mem[IR_REF_NUM(r)]);
	else
		put_reg(t, r);
}

static void put_mnemonic(struct text *t, const struct ir_insn *i)
{
	const struct ir_op_info *info = &ir_op_info[i->op];

	put(t, "%s", info->name);
	if (info->shape & (IR_SH_D | IR_SH_A | IR_SH_B))
		put(t, ".%s", i->type < IR_TYPE_COUNT ? ir_type_names[i->type] : "?");
	if (info->fl_use == IR_USES_CC)
		put(t, ".%s", ir_cc_names[i->cc & 15]);
	put(t, "%s%s%s", (i->attr & IR_SETF) ? "/f" : "", (i->attr & IR_LOCK) ? "/lock" : "",
	    (i->attr & IR_NOFAULT) ? "/nofault" : "");
}

static void put_operands(struct text *t, const struct ir_block *b, const struct ir_insn *i)
{
	static const uint8_t bits[5] = {IR_SH_D, IR_SH_X, IR_SH_A, IR_SH_B, IR_SH_C};
	const ir_ref refs[5] = {i->d, i->c, i->a, i->b, i->c};
	unsigned shape = ir_op_info[i->op].shape;
	const char *sep = " ";

	for (unsigned n = 0; n < 5; n++) {
		if (!(shape & bits[n]))
			continue;
		put(t, "%s", sep);
		put_ref(t, b, i, refs[n]);
		sep = ", ";
	}
	if (shape & IR_SH_I) {
		put(t, "%s", sep);
		if (i->op == IR_RT && (uint64_t)i->imm < b->nr_rt)
			put(t, "%s", b->rt[i->imm].name);
		else
			put_int(t, i->imm);
		sep = ", ";
	}
	if ((ir_op_info[i->op].attr & IR_AT_V) && i->op != IR_VMOV) {
		put(t, "%s%s", sep, i->imm2 >= 0 && i->imm2 < IR_VOP_COUNT ? ir_vop_names[i->imm2] : "?");
	} else if (shape & IR_SH_J) {
		put(t, "%s", sep);
		put_int(t, i->imm2);
	}
}

/* What liveness found, if it ran. */
static void put_liveness(struct text *t, const struct ir_insn *i)
{
	static const struct {
		uint16_t bit;
		char letter;
	} flags[] = {{F_C, 'C'}, {F_P, 'P'}, {F_A, 'A'}, {F_Z, 'Z'}, {F_S, 'S'}, {F_O, 'O'}};

	if (!i->fl_live && !i->kills)
		return;
	while (t->len < 40)
		put(t, " ");
	put(t, " ;");
	if (i->fl_live)
		put(t, " live ");
	for (unsigned n = 0; n < ARRAY_LEN(flags); n++)
		if (i->fl_live & flags[n].bit)
			put(t, "%c", flags[n].letter);
	if (i->kills)
		put(t, " kills ");
	for (unsigned n = 0; n < 6; n++)
		if (i->kills >> n & 1)
			put(t, "%c", "abcdmx"[n]);
}

void ir_print_insn(const struct ir_block *b, const struct ir_insn *i, char *out, size_t size)
{
	struct text t = {.len = 0};

	t.s[0] = 0;
	if (i->op >= IR_OP_COUNT) {
		put(&t, "op%u?", i->op);
	} else {
		put_mnemonic(&t, i);
		put_operands(&t, b, i);
		put_liveness(&t, i);
	}
	snprintf(out, size, "%s", t.s);
}

void ir_print(const struct ir_block *b, void (*line)(void *opaque, const char *text), void *opaque)
{
	char text[256];

	for (unsigned n = 0; n < b->nr_insns && n < IR_MAX_INSNS; n++) {
		ir_print_insn(b, &b->insn[n], text, sizeof(text));
		line(opaque, text);
	}
}
