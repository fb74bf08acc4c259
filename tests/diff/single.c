/* SPDX-License-Identifier: MIT */
/*
 * One instruction of a given form, with any way to name its memory, and a state that fits it.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"

#define MAX_TRIES 20000 /* a form that the decoder will not see again: a bug in its table, or in ours */

static const uint8_t segment_prefixes[] = { 0x64, 0x65, 0x3e, 0x2e, 0x26, 0x36 };

static int32_t random_disp(struct rng *r)
{
	switch (rng_below(r, 4)) {
	case 0:
		return 0;
	case 1:
		return (int32_t)rng_u64(r);
	default:
		return (int8_t)rng_u64(r);
	}
}

static void choose_memory(struct mem_choice *m, unsigned mode, struct rng *r)
{
	unsigned what = rng_below(r, 100), regs = mode == DIFF_64 ? 16 : 8;

	memset(m, 0, sizeof(*m));
	m->addr = mode == DIFF_64 ? 8 : mode == DIFF_32 ? 4 : 2;
	if (rng_percent(r, mode == DIFF_64 ? 8 : 25))
		m->addr = mode == DIFF_32 ? 2 : 4;
	m->kind = what < 75 ? MEM_BASE : what < 85 ? MEM_INDEX : what < 92 || mode != DIFF_64 ? MEM_ABS : MEM_RIP;
	m->base = (uint8_t)rng_below(r, regs);
	m->index = what < 45 ? 4 : (uint8_t)rng_below(r, regs);
	if (m->kind == MEM_INDEX && m->index == 4)
		m->index = mode == DIFF_64 ? 12 : 5;
	m->rm16 = (uint8_t)rng_below(r, 8);
	m->scale_log2 = (uint8_t)rng_below(r, 4);
	m->disp = m->addr == 2 ? (int16_t)random_disp(r) : random_disp(r);
	m->wide_disp = rng_percent(r, 20);
	m->no_sib = mode != DIFF_64 && rng_percent(r, 80);
	if (rng_percent(r, mode == DIFF_64 ? 12 : 25))
		m->seg = segment_prefixes[rng_below(r, 6)];
	if (m->kind == MEM_ABS)
		m->disp = (int32_t)(DIFF_DATA + rng_below(r, DIFF_DATA_SIZE + 64) - 32);
	if (m->kind == MEM_RIP) {
		m->addr = 8;
		m->seg = 0;
	}
}

/* An absolute address is one in the segment: which it is shows in the encoded instruction. */
static bool choose_absolute(struct insn *i, struct mem_choice *m, const struct program *p, unsigned form, struct rng *r)
{
	uint64_t base;

	if (!insn_encode(i, form, m, r))
		return false;
	base = diff_case_base(&p->c, i->in.mem.seg);
	if (p->c.mode == DIFF_64 || !base || i->in.mem.base != X86_REG_NONE || i->in.mem.index != X86_REG_NONE || !i->in.has_modrm)
		return true;
	m->disp = (int32_t)((uint32_t)m->disp - (uint32_t)base);
	return insn_encode(i, form, m, r);
}

static uint32_t code_offset(struct rng *r, unsigned len)
{
	if (rng_percent(r, 8)) /* over the end of the first page */
		return DIFF_PAGE - 1 - rng_below(r, len + DIFF_TERM_LEN);
	return 16 + rng_below(r, DIFF_PAGE - 64);
}

bool single_generate(struct program *p, uint64_t seed, unsigned form)
{
	struct rng r = { seed };
	struct insn *i = &p->insn[0];
	const struct form *f = &forms[form];

	p->seed = seed;
	p->sequence = p->raw = p->text = false;
	p->nr = 1;
	for (unsigned tries = 0;; tries++) {
		struct mem_choice m;

		if (tries == MAX_TRIES)
			return false;
		memset(&p->c, 0, offsetof(struct diff_case, in));
		p->c.mode = f->mode;
		state_random(&p->c.in, f->mode, &r);
		choose_memory(&m, f->mode, &r);
		if (f->opcode >= 0xa0 && f->opcode <= 0xa3 && f->map == 0)
			m.disp = (int32_t)(DIFF_DATA + rng_below(&r, DIFF_DATA_SIZE));
		p->poke_used = 0;
		if (!choose_absolute(i, &m, p, form, &r))
			continue;
		if (!aim(p, i, &r))
			continue;
		if (i->rel_size)
			i->branch = 2;
		p->c.image = rng_below(&r, DIFF_NR_IMAGES);
		p->c.twice = rng_percent(&r, 30);
		p->c.how = how_random(&r);
		p->c.code_off = code_offset(&r, i->len);
		p->c.in.rip = DIFF_CODE + p->c.code_off;
		if (program_layout(p, KEEP_ALL))
			return true;
	}
}
