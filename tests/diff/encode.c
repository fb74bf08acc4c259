/* SPDX-License-Identifier: MIT */
/*
 * From a form to bytes: prefixes, REX, opcode, ModRM, and random immediates. The decoder under test must see in them the row they
 * were made from.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/values.h"

struct enc {
	uint8_t b[32];
	unsigned n;
	uint8_t rex;
	bool force_rex;
};

static void put(struct enc *e, uint8_t b)
{
	e->b[e->n++] = b;
}

static void put16(struct enc *e, int32_t v)
{
	put(e, (uint8_t)v);
	put(e, (uint8_t)(v >> 8));
}

static void put32(struct enc *e, int32_t v)
{
	memcpy(e->b + e->n, &v, 4);
	e->n += 4;
}

static bool form_has(const struct form *f, unsigned method)
{
	for (unsigned n = 0; n < 4; n++)
		if (f->row->oc[n] && form_oc(f, n)->method == method)
			return true;
	return false;
}

static bool writes_memory_first(const struct form *f)
{
	return f->mem == FORM_MEM && form_oc(f, 0)->method == X86_M_E;
}

static uint8_t repeat_prefix(const struct form *f, struct rng *r)
{
	if (!(f->row->attr & X86_A_STRING) || rng_percent(r, 40))
		return 0;
	if (f->id == X86_I_CMPS || f->id == X86_I_SCAS)
		return rng_percent(r, 50) ? 0xf3 : 0xf2;
	return rng_percent(r, 90) ? 0xf3 : 0xf2;
}

static unsigned default_addr(unsigned mode)
{
	return mode == DIFF_64 ? 8 : mode == DIFF_32 ? 4 : 2;
}

static void legacy_prefixes(struct enc *e, const struct form *f, const struct mem_choice *m, struct rng *r)
{
	uint8_t rep = f->mandatory == 0xf2 || f->mandatory == 0xf3 ? f->mandatory : repeat_prefix(f, r);
	bool lock = (f->row->attr & X86_A_LOCK) && (writes_memory_first(f) || (f->mem == FORM_MEM && form_has(f, X86_M_M))) && rng_percent(r, 25);
	bool sized = f->mode == DIFF_16 ? f->opsize == 4 && f->row->size != X86_S_Y && f->row->size != X86_S_C
					: f->opsize == 2 && f->row->size != X86_S_B;

	if (m->seg)
		put(e, m->seg);
	if (lock)
		put(e, 0xf0);
	if (sized || f->mandatory == 0x66)
		put(e, 0x66);
	if (m->addr != default_addr(f->mode))
		put(e, 0x67);
	if (rep)
		put(e, rep);
}

/* REX.W, where the form's size or row asks for it. */
static bool rex_w(const struct form *f)
{
	if (f->rexw >= 0)
		return f->rexw;
	return f->opsize == 8 && f->row->size != X86_S_D64 && f->row->size != X86_S_F64 && f->row->size != X86_S_C;
}

/* SDM volume 2, table 2-1. */
static void modrm_mem16(struct enc *e, const struct mem_choice *m, uint8_t reg)
{
	bool none = m->kind == MEM_ABS;
	uint8_t mod = m->wide_disp || m->disp != (int8_t)m->disp ? 2 : m->disp || m->rm16 == 6 ? 1 : 0;

	put(e, (uint8_t)((none ? 0 : mod) << 6 | (reg & 7) << 3 | (none ? 6 : m->rm16)));
	if (none || mod == 2)
		put16(e, m->disp);
	else if (mod == 1)
		put(e, (uint8_t)m->disp);
}

/* The bytes behind the opcode; sets REX bits on the way. Returns where a displacement of 32 bits or more stands, or 0. */
static unsigned modrm_mem(struct enc *e, const struct mem_choice *m, uint8_t reg)
{
	bool no_base = m->kind == MEM_INDEX || m->kind == MEM_ABS;
	bool short_abs = m->kind == MEM_ABS && m->no_sib;
	bool sib = !short_abs && m->kind != MEM_RIP && (m->vector || no_base || m->index != 4 || (m->base & 7) == 4);
	uint8_t mod, base = no_base ? 5 : m->base & 7;
	unsigned at;

	if (m->kind == MEM_RIP || no_base)
		mod = 0;
	else if (m->disp == 0 && base != 5 && !m->wide_disp)
		mod = 0;
	else
		mod = m->disp == (int8_t)m->disp && !m->wide_disp ? 1 : 2;
	put(e, (uint8_t)(mod << 6 | (reg & 7) << 3 | (sib ? 4 : m->kind == MEM_RIP || short_abs ? 5 : base)));
	if (sib)
		put(e, (uint8_t)(m->scale_log2 << 6 | (m->kind == MEM_ABS ? 4 : m->index & 7) << 3 | base));
	at = e->n;
	if (mod == 1)
		put(e, (uint8_t)m->disp);
	else if (mod == 2 || m->kind == MEM_RIP || no_base)
		put32(e, m->disp);
	return e->n - at == 4 ? at : 0;
}

static uint8_t mem_rex(const struct mem_choice *m)
{
	uint8_t rex = 0;

	if (m->kind == MEM_BASE && m->base >= 8)
		rex |= 1;
	if ((m->kind == MEM_BASE || m->kind == MEM_INDEX) && m->index >= 8)
		rex |= 2;
	return rex;
}

/* Prefixes, VEX and opcode; a W bit that the row ignores is random. C5 where it can say the same, half of the time. */
static void vex(struct enc *e, const struct form *f, const struct mem_choice *m, struct rng *r)
{
	uint8_t pp = f->mandatory == 0x66 ? 1 : f->mandatory == 0xf3 ? 2 : f->mandatory == 0xf2 ? 3 : 0;
	bool w = f->rexw >= 0 ? f->rexw : f->row->size == X86_S_Y ? f->opsize == 8 : rng_percent(r, 20);
	uint8_t last = (uint8_t)(f->vex_l << 2 | pp | (f->vvvv ? (f->mode == DIFF_64 ? rng_below(r, 16) : 8 + rng_below(r, 8)) : 15) << 3);

	if (m->seg)
		put(e, m->seg);
	if (m->addr != default_addr(f->mode))
		put(e, 0x67);
	if (f->map == 1 && !w && !(e->rex & 3) && rng_percent(r, 50)) {
		put(e, 0xc5);
		put(e, last | (e->rex & 4 ? 0 : 0x80));
	} else {
		put(e, 0xc4);
		put(e, (uint8_t)((~e->rex & 7) << 5 | f->map));
		put(e, last | (w ? 0x80 : 0));
	}
	put(e, f->opcode);
}

/* The write mask and z, as the row allows. */
static uint8_t mask_bits(const struct form *f, struct rng *r)
{
	unsigned kind = X86_E_MASK(f->row->evex);
	bool store = f->mem == FORM_MEM && form_oc(f, 0)->method != X86_M_V && form_oc(f, 0)->method != X86_M_H;

	if (kind == X86_MASK_N || (kind != X86_MASK_R && rng_percent(r, 30)))
		return 0;
	return (uint8_t)((kind == X86_MASK_Z && !store && rng_percent(r, 40) ? 0x80 : 0) | (1 + rng_below(r, 7)));
}

/* Prefixes, EVEX and opcode. High registers where the mode has them; the decoder refuses those that are no vectors. */
static void evex(struct enc *e, const struct form *f, const struct mem_choice *m, struct rng *r)
{
	uint8_t pp = f->mandatory == 0x66 ? 1 : f->mandatory == 0xf3 ? 2 : f->mandatory == 0xf2 ? 3 : 0;
	bool w = f->rexw >= 0 ? f->rexw : f->row->size == X86_S_Y ? f->opsize == 8 : rng_percent(r, 20), wide = f->mode == DIFF_64;
	uint8_t ll = f->row->evex & X86_E_LIG ? (uint8_t)rng_below(r, 3) : f->vex_l;
	uint8_t vvvv = f->vvvv ? (uint8_t)rng_below(r, wide ? 32 : 8) : 0;

	if (f->evex_b && f->mem == FORM_REG)
		ll = (uint8_t)rng_below(r, 4);
	if (m->vector && wide)
		vvvv |= (uint8_t)(rng_below(r, 2) << 4);
	if (wide && f->mem == FORM_REG && rng_percent(r, 50))
		e->rex |= 2;
	if (m->seg)
		put(e, m->seg);
	if (m->addr != default_addr(f->mode))
		put(e, 0x67);
	put(e, 0x62);
	put(e, (uint8_t)((~e->rex & 7) << 5 | (wide && rng_percent(r, 50) ? 0 : 0x10) | f->map));
	put(e, (uint8_t)((w ? 0x80 : 0) | (~vvvv & 15) << 3 | 4 | pp));
	put(e, (uint8_t)(mask_bits(f, r) | ll << 5 | f->evex_b << 4 | (vvvv & 16 ? 0 : 8)));
	put(e, f->opcode);
}

static void opcode(struct enc *e, const struct form *f, struct rng *r)
{
	uint8_t op = f->opcode;

	if (f->map >= 1)
		put(e, 0x0f);
	if (f->map == 2)
		put(e, 0x38);
	if (f->map == 3)
		put(e, 0x3a);
	if (f->opcode_reg && f->rexb < 0)
		op = (uint8_t)((op & ~7u) | ((op & 7) == 1 && f->id == X86_I_XCHG ? 1 + rng_below(r, 7) : rng_below(r, 8)));
	put(e, op);
}

static uint8_t random_rex(const struct form *f, const struct mem_choice *m, struct rng *r)
{
	uint8_t rex = (uint8_t)(rng_below(r, 8) & (f->mem == FORM_MEM ? 4 : 5));

	if (f->mem == FORM_MEM)
		rex |= mem_rex(m);
	if (f->reg >= 0 || !f->modrm)
		rex &= ~4u; /* would do nothing; tested now and then */
	if (f->rexb >= 0)
		rex = (uint8_t)((rex & ~1u) | (f->rexb ? 1 : 0));
	return rex;
}

bool insn_redecode(struct insn *i)
{
	return x86_decode(&i->in, (enum x86_mode)i->mode, i->bytes, 15) == X86_DECODE_OK && i->in.len == i->len;
}

static uint8_t relative_size(const struct form *f, const struct x86_insn *in)
{
	for (unsigned n = 0; n < 4; n++)
		if (f->row->oc[n] && form_oc(f, n)->method == X86_M_J)
			return form_oc(f, n)->mem_width == X86_W_b ? 1 : f->mode == DIFF_64 || in->opsize == 4 ? 4 : 2;
	return 0;
}

/* Also for memory that ModRM does not describe. */
static void operands(struct enc *e, struct insn *i, const struct form *f, const struct mem_choice *m, struct rng *r)
{
	uint8_t reg = (uint8_t)(f->reg >= 0 ? f->reg : (int)rng_below(r, 8));
	uint64_t imm = value_int(r);

	if (f->modrm && f->mem == FORM_MEM && m->addr == 2) {
		modrm_mem16(e, m, reg);
	} else if (f->modrm && f->mem == FORM_MEM) {
		i->disp_off = (uint8_t)modrm_mem(e, m, reg);
	} else if (f->modrm) {
		put(e, (uint8_t)(0xc0 | reg << 3 | (f->rm >= 0 ? f->rm : (int)rng_below(r, 8))));
	} else if (form_has(f, X86_M_O)) {
		uint64_t target = (uint32_t)m->disp;

		memcpy(e->b + e->n, &target, 8);
		e->n += m->addr;
	}
	memcpy(e->b + e->n, &imm, 8);
	if (rng_percent(r, 40))
		e->b[e->n] = (uint8_t)rng_below(r, 40);
}

bool insn_encode(struct insn *i, unsigned form, const struct mem_choice *choice, struct rng *r)
{
	const struct form *f = &forms[form];
	struct mem_choice with_vector = *choice;
	const struct mem_choice *m = &with_vector;
	bool wide = f->mode == DIFF_64;
	struct enc e = { .rex = wide ? random_rex(f, m, r) : 0 };
	bool lone_rex = wide && rng_percent(r, 30);

	with_vector.vector = form_has(f, X86_M_VM);
	if (with_vector.vector && m->kind != MEM_BASE)
		return false;
	memset(i, 0, sizeof(*i));
	i->form = (uint16_t)form;
	i->mode = f->mode;
	i->branch = NO_BRANCH;
	if (f->evex) {
		evex(&e, f, m, r);
	} else if (f->vex) {
		vex(&e, f, m, r);
	} else {
		legacy_prefixes(&e, f, m, r);
		e.rex |= wide && rex_w(f) ? 8 : 0;
		if (e.rex || lone_rex)
			put(&e, 0x40 | e.rex);
		opcode(&e, f, r);
	}
	operands(&e, i, f, m, r);
	if (x86_decode(&i->in, (enum x86_mode)f->mode, e.b, 15) != X86_DECODE_OK || i->in.id != f->id || insn_is_excluded(&i->in))
		return false;
	i->len = i->in.len;
	memcpy(i->bytes, e.b, i->len);
	i->rel_size = relative_size(f, &i->in);
	if (m->kind != MEM_RIP || f->mem != FORM_MEM)
		i->disp_off = 0;
	return true;
}
