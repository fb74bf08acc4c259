/* SPDX-License-Identifier: MIT */
/*
 * Reads what ir_print.c writes, for tests: one instruction a line. Of the comment behind `;` the word after "live" is
 * taken as flags live (for exits: the preset). Empty lines and lines that begin with # are skipped.
 */
#include "tcg/ir/ir_parse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	struct ir_block *b;
	const char *p;
	const char *error;
};

static void skip(struct parse *s)
{
	while (*s->p == ' ' || *s->p == '\t')
		s->p++;
}

static bool eat(struct parse *s, const char *text)
{
	size_t n = strlen(text);

	skip(s);
	if (strncmp(s->p, text, n))
		return false;
	s->p += n;
	return true;
}

static void *fail(struct parse *s, const char *why)
{
	if (!s->error)
		s->error = why;
	return NULL;
}

/* A word of letters, digits and underscores. */
static size_t word(struct parse *s, char *out, size_t size)
{
	size_t n = 0;

	while ((isalnum((unsigned char)s->p[n]) || s->p[n] == '_') && n + 1 < size) {
		out[n] = s->p[n];
		n++;
	}
	out[n] = 0;
	s->p += n;
	return n;
}

static bool number(struct parse *s, int64_t *v)
{
	bool negative;
	char *end;

	skip(s);
	negative = *s->p == '-' && isdigit((unsigned char)s->p[1]);
	if (!negative && !isdigit((unsigned char)*s->p))
		return false;
	*v = (int64_t)strtoull(s->p + negative, &end, 0);
	if (negative)
		*v = (int64_t) - (uint64_t)*v;
	s->p = end;
	return true;
}

static int find(const char *name, const char *const *names, int from, int count)
{
	for (int n = from; n < count; n++)
		if (names[n] && !strcmp(names[n], name))
			return n;
	return -1;
}

/* ---- Operands */

static bool reg(struct parse *s, ir_ref *r)
{
	static const struct {
		const char *prefix;
		enum ir_kind kind;
	} kinds[] = {{"vt", IR_KIND_VT}, {"v", IR_KIND_V}, {"g", IR_KIND_G}, {"t", IR_KIND_T}};
	int64_t n;

	skip(s);
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t len = strlen(kinds[k].prefix);

		if (strncmp(s->p, kinds[k].prefix, len) || !isdigit((unsigned char)s->p[len]))
			continue;
		s->p += len;
		number(s, &n);
		*r = (ir_ref)IR_REF(kinds[k].kind, n & 0xfff);
		if (kinds[k].kind == IR_KIND_T && s->b->nr_temps <= (unsigned)n)
			s->b->nr_temps = (unsigned)n + 1;
		return true;
	}
	return false;
}

static void mem_term(struct parse *s, struct ir_mem *m)
{
	int64_t n;
	ir_ref r;

	if (eat(s, "seg")) {
		if (number(s, &n))
			m->seg_base = (uint16_t)n;
	} else if (reg(s, &r)) {
		if (eat(s, "*") && number(s, &n)) {
			m->index = r;
			m->scale = (uint8_t)n;
		} else {
			m->base = r;
		}
	} else if (number(s, &n)) {
		m->disp = n;
	} else {
		fail(s, "address expected");
	}
}

static ir_ref mem(struct parse *s)
{
	struct ir_mem m = {.base = IR_NONE, .index = IR_NONE, .scale = 1, .addr_bits = 64};
	int64_t n;

	do
		mem_term(s, &m);
	while (!s->error && eat(s, "+"));
	if (eat(s, "@") && number(s, &n))
		m.slot = (uint8_t)n;
	for (;;) {
		if (eat(s, "a16"))
			m.addr_bits = 16;
		else if (eat(s, "a32"))
			m.addr_bits = 32;
		else if (eat(s, "lin32"))
			m.lin32 = true;
		else if (eat(s, "align"))
			m.align = true;
		else if (eat(s, "wander"))
			m.wander = true;
		else
			break;
	}
	if (!eat(s, "]"))
		fail(s, "] expected");
	/* The same operand read and written is one operand. */
	for (unsigned k = 0; k < s->b->nr_mems; k++) {
		const struct ir_mem *o = &s->b->mem[k];

		if (o->base == m.base && o->index == m.index && o->scale == m.scale && o->addr_bits == m.addr_bits &&
		    o->slot == m.slot && o->lin32 == m.lin32 && o->align == m.align && o->seg_base == m.seg_base &&
		    o->wander == m.wander && o->disp == m.disp)
			return IR_M(k);
	}
	return ir_mem(s->b, &m);
}

static ir_ref operand(struct parse *s, struct ir_insn *i)
{
	ir_ref r;

	if (eat(s, "["))
		return mem(s);
	if (reg(s, &r))
		return r;
	if (number(s, &i->imm))
		return IR_KONST;
	if (!eat(s, "-"))
		fail(s, "operand expected");
	return IR_NONE;
}

/* ---- Instructions */

static int find_op(const char *name)
{
	for (int n = 0; n < IR_OP_COUNT; n++)
		if (!strcmp(ir_op_info[n].name, name))
			return n;
	return -1;
}

static void mnemonic(struct parse *s, struct ir_insn *i)
{
	char text[32];
	int n;

	word(s, text, sizeof(text));
	n = find_op(text);
	if (n < 0) {
		fail(s, "unknown operation");
		return;
	}
	i->op = (uint8_t)n;
	i->type = IR_I64;
	while (*s->p == '.' || *s->p == '/') {
		s->p++;
		word(s, text, sizeof(text));
		if ((n = find(text, ir_type_names, 0, IR_TYPE_COUNT)) >= 0)
			i->type = (uint8_t)n;
		else if (!strcmp(text, "f"))
			i->attr |= IR_SETF;
		else if (!strcmp(text, "lock"))
			i->attr |= IR_LOCK;
		else if (!strcmp(text, "nofault"))
			i->attr |= IR_NOFAULT;
		else if ((n = find(text, ir_cc_names, 0, 16)) >= 0)
			i->cc = (uint8_t)n;
		else
			fail(s, "unknown suffix");
	}
}

static void immediate(struct parse *s, struct ir_insn *i)
{
	char text[64];

	if (number(s, &i->imm) || i->op != IR_RT)
		return;
	skip(s);
	word(s, text, sizeof(text));
	for (unsigned n = 0; n < s->b->nr_rt; n++)
		if (!strcmp(s->b->rt[n].name, text)) {
			i->imm = n;
			return;
		}
	fail(s, "unknown runtime routine");
}

/* Some mnemonics name one operation in each direction. */
static void vector_op(struct parse *s, struct ir_insn *i)
{
	int from = i->op == IR_VTOG ? IR_VOP_MOVD_G : i->op == IR_GTOV ? IR_VOP_MOVD_V : 1, n;
	char text[64];

	skip(s);
	word(s, text, sizeof(text));
	n = find(text, ir_vop_names, from, IR_VOP_COUNT);
	if (n < 0)
		fail(s, "unknown vector operation");
	i->imm2 = n;
}

static void operands(struct parse *s, struct ir_insn *i)
{
	const struct ir_op_info *info = &ir_op_info[i->op];
	const uint8_t bits[5] = {IR_SH_D, IR_SH_X, IR_SH_A, IR_SH_B, IR_SH_C};
	ir_ref *refs[5] = {&i->d, &i->c, &i->a, &i->b, &i->c};
	bool first = true;

	for (unsigned n = 0; n < 5 && !s->error; n++) {
		if (!(info->shape & bits[n]))
			continue;
		if (!first && !eat(s, ","))
			fail(s, "operand missing");
		*refs[n] = operand(s, i);
		first = false;
	}
	if (info->shape & IR_SH_I) {
		if (!first && !eat(s, ","))
			fail(s, "immediate missing");
		immediate(s, i);
		first = false;
	}
	if ((info->attr & IR_AT_V) && i->op != IR_VMOV) {
		if (!eat(s, ","))
			fail(s, "vector operation missing");
		vector_op(s, i);
	} else if (info->shape & IR_SH_J) {
		if ((!first && !eat(s, ",")) || !number(s, &i->imm2))
			fail(s, "second immediate missing");
	}
}

static void comment(struct parse *s, struct ir_insn *i)
{
	static const char letters[] = "CPAZSO";
	static const uint16_t bits[] = {F_C, F_P, F_A, F_Z, F_S, F_O};
	const char *p = strstr(s->p, "live ");

	if (ir_op_info[i->op].attr & IR_AT_E)
		i->fl_live = 0;
	for (p = p ? p + 5 : ""; *p && strchr(letters, *p); p++)
		i->fl_live |= bits[strchr(letters, *p) - letters];
}

const char *ir_parse_line(struct ir_block *b, const char *line)
{
	struct parse s = {.b = b, .p = line};
	struct ir_insn i = {.d = IR_NONE}, *to;

	skip(&s);
	if (!*s.p || *s.p == '\n' || *s.p == '#')
		return NULL;
	mnemonic(&s, &i);
	if (!s.error)
		operands(&s, &i);
	if (s.error)
		return s.error;
	skip(&s);
	if (*s.p && *s.p != ';' && *s.p != '\n')
		return "text behind the operands";
	comment(&s, &i);
	if (i.op >= IR_LABEL && i.op <= IR_BRNZ && (uint64_t)i.imm < IR_MAX_LABELS && b->nr_labels <= (uint64_t)i.imm)
		b->nr_labels = (unsigned)i.imm + 1;
	to = ir_emit(b, (enum ir_op)i.op, (enum ir_type)i.type, IR_NONE, IR_NONE, IR_NONE);
	*to = i;
	return NULL;
}
