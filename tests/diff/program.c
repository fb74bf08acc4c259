/* SPDX-License-Identifier: MIT */
/*
 * Programs: layout in the code pages, memory they start with.
 */
#include "diff/program.h"

#include <string.h>

#include "diff/segments.h"
#include "vcpu/x86/x86_cpu.h"

void program_poke(struct program *p, uint64_t addr, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	struct diff_poke *k = &p->c.poke[p->c.nr_pokes];

	if (addr < DIFF_DATA && addr + len > DIFF_DATA) {
		from += DIFF_DATA - addr;
		len -= DIFF_DATA - addr;
		addr = DIFF_DATA;
	}
	if (!len || addr < DIFF_DATA || addr >= DIFF_DATA + DIFF_DATA_SIZE || p->c.nr_pokes == DIFF_MAX_POKES)
		return;
	if (addr + len > DIFF_DATA + DIFF_DATA_SIZE)
		len = DIFF_DATA + DIFF_DATA_SIZE - addr;
	if (p->poke_used + len > DIFF_POKE_BYTES)
		return;
	*k = (struct diff_poke){ (uint32_t)addr, (uint16_t)p->poke_used, (uint16_t)len };
	memcpy(p->c.poke_bytes + p->poke_used, from, len);
	p->poke_used += (unsigned)len;
	p->c.nr_pokes++;
}

void program_hole(struct program *p, uint64_t addr, size_t len)
{
	uint64_t end = addr + len;

	if (addr < DIFF_DATA)
		addr = DIFF_DATA;
	if (end > DIFF_DATA + DIFF_DATA_SIZE)
		end = DIFF_DATA + DIFF_DATA_SIZE;
	if (addr >= end || p->c.nr_holes == sizeof(p->c.hole) / sizeof(p->c.hole[0]))
		return;
	p->c.hole[p->c.nr_holes++] = (struct diff_hole){ (uint32_t)addr, (uint32_t)(end - addr) };
}

static void place(struct program *p, uint64_t keep)
{
	uint32_t off = 0;

	for (unsigned i = 0; i < p->nr; i++) {
		p->at[i] = DIFF_CODE + p->c.code_off + off;
		if (insn_kept(keep, i))
			off += p->insn[i].len;
	}
	p->at[p->nr] = DIFF_CODE + p->c.code_off + off;
	p->at[p->nr + 1] = p->at[p->nr] + DIFF_TERM_LEN + 3;
	p->c.code_len = off;
	p->c.term[0] = p->at[p->nr];
	p->c.term[1] = DIFF_TERM1;
	p->c.term[2] = p->at[p->nr + 1];
}

static bool fill(struct program *p, unsigned i)
{
	const struct insn *in = &p->insn[i];
	uint8_t *at = p->c.code + (p->at[i] - DIFF_CODE - p->c.code_off);
	uint32_t end = p->at[i] + in->len;
	int32_t rel;

	memcpy(at, in->bytes, in->len);
	if (in->disp_off) {
		rel = (int32_t)(in->rip_target - end);
		memcpy(at + in->disp_off, &rel, 4);
	}
	if (!in->rel_size)
		return true;
	rel = (int32_t)(p->at[in->branch] - end);
	memcpy(at + in->len - in->rel_size, &rel, in->rel_size);
	return in->rel_size > 1 || rel == (int8_t)rel;
}

bool program_layout(struct program *p, uint64_t keep)
{
	place(p, keep);
	if (p->c.code_len > DIFF_MAX_CODE)
		return false;
	for (unsigned i = 0; i < p->nr; i++)
		if (insn_kept(keep, i) && !fill(p, i))
			return false;
	return program_flags(p, keep);
}

/* ---- Programs that come as bytes */

static uint8_t find_target(const struct program *p, uint32_t target)
{
	for (unsigned i = 0; i < p->nr + 2; i++)
		if (p->at[i] == target)
			return (uint8_t)i;
	return NO_BRANCH;
}

static void find_branch(struct program *p, unsigned i)
{
	struct insn *in = &p->insn[i];
	uint32_t base = p->c.mode == DIFF_64 ? 0 : (uint32_t)diff_case_base(&p->c, X86_CS), to;

	if (!in->in.nr_ops || in->in.op[0].kind != X86_OPK_REL)
		return;
	to = p->at[i] + in->len + (uint32_t)in->in.imm - base;
	if (p->c.mode != DIFF_64 && in->in.opsize == 2)
		to = (uint16_t)to;
	in->rel_size = 4;
	in->branch = find_target(p, to + base);
}

void program_from_bytes(struct program *p)
{
	uint32_t off = 0;

	p->nr = 0;
	while (off < p->c.code_len && p->nr < DIFF_MAX_INSNS) {
		struct insn *in = &p->insn[p->nr];
		uint32_t left = p->c.code_len - off;

		memset(in, 0, sizeof(*in));
		in->mode = p->c.mode;
		in->branch = NO_BRANCH;
		in->form = 0xffff;
		in->len = (uint8_t)(left > 16 ? 16 : left);
		memcpy(in->bytes, p->c.code + off, in->len);
		if (x86_decode(&in->in, (enum x86_mode)in->mode, in->bytes, left > 15 ? 15 : left) == X86_DECODE_OK)
			in->len = in->in.len;
		else
			memset(&in->in, 0, sizeof(in->in)); /* no instruction: all that is left is one */
		p->at[p->nr++] = DIFF_CODE + p->c.code_off + off;
		off += in->len;
	}
	p->sequence = p->nr > 1;
	p->at[p->nr] = DIFF_CODE + p->c.code_off + off;
	p->at[p->nr + 1] = p->at[p->nr] + DIFF_TERM_LEN + 3;
	p->c.term[0] = p->at[p->nr];
	p->c.term[1] = DIFF_TERM1;
	p->c.term[2] = p->at[p->nr + 1];
	p->c.in.rip = p->at[0];
	for (unsigned i = 0; i < p->nr; i++)
		find_branch(p, i);
	program_flags(p, KEEP_ALL);
}
