/* SPDX-License-Identifier: MIT */
/*
 * One instruction of a given form, with any way to name its memory, and a state that fits it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/program.h"
#include "diff/values.h"

#define MAX_TRIES 100000 /* a form that the decoder will not see again: a bug in its table, or in ours */

static const uint8_t segment_prefixes[] = { 0x64, 0x65, 0x3e, 0x2e };

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

static void choose_memory(struct mem_choice *m, struct rng *r)
{
	unsigned what = rng_below(r, 100);

	memset(m, 0, sizeof(*m));
	m->kind = what < 45 ? MEM_BASE : what < 75 ? MEM_BASE : what < 85 ? MEM_INDEX : what < 92 ? MEM_ABS : MEM_RIP;
	m->base = (uint8_t)rng_below(r, 16);
	m->index = what < 45 ? 4 : (uint8_t)rng_below(r, 16);
	if (m->kind == MEM_INDEX && m->index == 4)
		m->index = 12;
	m->scale_log2 = (uint8_t)rng_below(r, 4);
	m->disp = random_disp(r);
	m->wide_disp = rng_percent(r, 20);
	m->addr32 = rng_percent(r, 8);
	if (rng_percent(r, 12))
		m->seg = segment_prefixes[rng_below(r, 4)];
	if (m->kind == MEM_ABS)
		m->disp = (int32_t)(DIFF_DATA + rng_below(r, DIFF_DATA_SIZE + 64) - 32);
	if (m->kind == MEM_RIP) {
		m->addr32 = false;
		m->seg = 0;
	}
}

static uint32_t code_offset(struct rng *r, unsigned len)
{
	if (rng_percent(r, 8)) /* over the end of the first page */
		return DIFF_PAGE - 1 - rng_below(r, len + DIFF_TERM_LEN);
	return 16 + rng_below(r, DIFF_PAGE - 64);
}

void single_generate(struct program *p, uint64_t seed, unsigned form)
{
	struct rng r = { seed };
	struct insn *i = &p->insn[0];
	const struct form *f = &forms[form];

	p->seed = seed;
	p->sequence = false;
	p->nr = 1;
	for (unsigned tries = 0;; tries++) {
		struct mem_choice m;

		if (tries == MAX_TRIES) {
			fprintf(stderr, "difftest: form %u cannot be made\n", form);
			exit(2);
		}
		choose_memory(&m, &r);
		if (f->opcode >= 0xa0 && f->opcode <= 0xa3 && f->map == 0)
			m.disp = (int32_t)(DIFF_DATA + rng_below(&r, DIFF_DATA_SIZE));
		p->poke_used = 0;
		memset(&p->c, 0, offsetof(struct diff_case, in));
		if (!insn_encode(i, form, &m, &r))
			continue;
		state_random(&p->c.in, &r);
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
			return;
	}
}
