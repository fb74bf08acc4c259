/* SPDX-License-Identifier: MIT */
/*
 * One instruction of random bytes: invalid encodings, prefixes in any order, too many bytes, and bytes that end where the code's mapping
 * does. It must be the same instruction, or the same fault, on the host CPU.
 *
 * Not run: what skip.def and forms.c exclude, and what needs a state made for it to be comparable (unsuitable(), single.c has those).
 * Bytes that are an instruction for Zydis but not for us belong to extensions that our CPU models do not offer; the host may have them.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

#define MAX_BYTES 16u
#define CODE_END (DIFF_CODE_PAGES * DIFF_PAGE)

static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x48, 0x41, 0x44, 0x40, 0x4f };

static void fill(struct rng *r, uint8_t *b, unsigned n)
{
	while (n--)
		*b++ = (uint8_t)(rng_u64(r) >> 13);
}

/* Any prefixes, any map, any opcode. */
static void structured(struct rng *r, uint8_t *b)
{
	static const uint8_t escape[4][2] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	static const uint8_t vex[] = { 0xc4, 0xc5, 0x62, 0x8f };
	unsigned n = 0, nr = rng_percent(r, 60) ? rng_below(r, 3) : rng_below(r, 6), map = rng_below(r, 6);

	fill(r, b, MAX_BYTES);
	while (n < nr)
		b[n++] = prefixes[rng_below(r, sizeof(prefixes))];
	if (map < 4)
		memcpy(b + n, escape[map], map > 1 ? 2 : map);
	else if (map == 4)
		b[n] = vex[rng_below(r, 4)];
}

/* A form of the table, changed: prefixes more, or a byte or two. */
static void mutated(struct rng *r, uint8_t *b, unsigned mode, const uint16_t *pool, unsigned nr_pool)
{
	struct mem_choice m = { .kind = MEM_BASE, .base = (uint8_t)rng_below(r, 8), .index = 4, .rm16 = (uint8_t)rng_below(r, 8) };
	unsigned n = rng_percent(r, 60) ? rng_below(r, 4) : rng_percent(r, 50) ? 0 : rng_below(r, 14);
	struct insn i;

	m.addr = mode == DIFF_64 ? 8 : mode == DIFF_32 ? 4 : 2;
	do {
		unsigned form = pool[rng_below(r, nr_pool)];

		i.len = 0;
		if (forms[form].mode != mode || !insn_encode(&i, form, &m, r))
			i.len = 0;
	} while (!i.len);
	fill(r, b, MAX_BYTES);
	for (unsigned k = 0; k < n; k++)
		b[k] = prefixes[rng_below(r, sizeof(prefixes) - (mode == DIFF_64 ? 0 : 5))];
	memcpy(b + n, i.bytes, i.len < MAX_BYTES - n ? i.len : MAX_BYTES - n);
	if (rng_percent(r, 50))
		b[n + rng_below(r, i.len) < MAX_BYTES ? n + rng_below(r, i.len) : 0] ^= (uint8_t)(1u << rng_below(r, 8));
	if (rng_percent(r, 20))
		b[rng_below(r, 4)] = (uint8_t)rng_u64(r);
}

static bool is_near_branch(const struct x86_insn *in)
{
	return in->id == X86_I_JMP || in->id == X86_I_CALL || in->id == X86_I_RET || in->id == X86_I_JCC || in->id == X86_I_LOOP ||
	       in->id == X86_I_LOOPE || in->id == X86_I_LOOPNE || in->id == X86_I_JCXZ;
}

/* VEX.W names 64-bit registers that are not there: ignored (Intel SDM volume 2, PINSRQ) or #UD (AMD). */
static bool is_wide_vex(const struct x86_insn *in)
{
	bool gpr = false;

	for (unsigned n = 0; n < in->nr_ops; n++)
		gpr |= in->op[n].kind == X86_OPK_GPR || (in->op[n].kind == X86_OPK_MEM && in->op[n].size <= 8);
	return (in->pfx & X86_PFX_VEX) && (in->rex & 8) && gpr;
}

static bool unsuitable(const struct x86_insn *in, bool wide)
{
	switch (in->id) {
	case X86_I_MOV_SEG: case X86_I_LES: case X86_I_LDS: case X86_I_LSS: case X86_I_LFS: case X86_I_LGS: case X86_I_RETF: case X86_I_IRET:
	case X86_I_CALLF: case X86_I_JMPF: case X86_I_LAR: case X86_I_LSL: case X86_I_VERR: case X86_I_VERW: case X86_I_FNSAVE:
	case X86_I_FNSTENV: case X86_I_FRSTOR: case X86_I_FLDENV: case X86_I_FXSAVE: case X86_I_FXRSTOR: case X86_I_MASKMOVQ:
	case X86_I_MASKMOVDQU: case X86_I_VMASKMOVDQU: case X86_I_LDMXCSR: case X86_I_VLDMXCSR: case X86_I_CVTPI2PS: case X86_I_CVTPI2PD:
		return true;
	case X86_I_PUSH: case X86_I_POP:
		return in->op[0].kind == X86_OPK_SEG;
	case X86_I_SHLD: case X86_I_SHRD:
		return in->opsize == 2;
	default:
		break;
	}
	/* Loops are endless; in 64-bit mode 66 means something else to each vendor. */
	if (is_near_branch(in) && ((in->op[0].kind == X86_OPK_REL && in->imm >= -128 && in->imm < 128) || (wide && (in->pfx & X86_PFX_66))))
		return true;
	return insn_is_locked(in) || (!wide && is_wide_vex(in));
}

/* Most registers point into the arena; counts are small. */
static void aim_all(struct program *p, struct rng *r)
{
	unsigned nr = p->c.mode == DIFF_64 ? 16 : 8;

	for (unsigned i = 0; i < nr; i++) {
		uint64_t at = DIFF_DATA + rng_below(r, DIFF_DATA_SIZE) - (p->c.mode == DIFF_64 ? 0 : diff_case_base(&p->c, i == 4 || i == 5 ? X86_SS : X86_DS));

		if (rng_percent(r, 70))
			p->c.in.gpr[i] = p->c.mode == DIFF_64 ? at : (uint32_t)at;
	}
	p->c.in.gpr[X86_RCX] = rng_below(r, 40);
}

/* 66 and a near branch: of two bytes (AMD) or four (Intel SDM volume 2, JMP). */
static bool is_short_branch(const uint8_t *b, unsigned n)
{
	unsigned at = 0;
	bool p66 = false;

	while (at + 1 < n && (memchr(prefixes, b[at], sizeof(prefixes)) || (b[at] & 0xf0) == 0x40))
		p66 |= b[at++] == 0x66;
	return p66 && ((b[at] & 0xfe) == 0xe8 || (b[at] == 0x0f && (at + 1 == n || (b[at + 1] & 0xf0) == 0x80)));
}

/* Decides where the bytes end: behind the instruction, or where the mapping does. False: not to be run. */
static bool settle(struct program *p, uint8_t *b, struct rng *r)
{
	unsigned avail = rng_percent(r, 15) ? 1 + rng_below(r, 15) : MAX_BYTES;
	struct insn *i = &p->insn[0];
	enum x86_decode_status status;

	memset(i, 0, sizeof(*i));
	status = x86_decode(&i->in, (enum x86_mode)p->c.mode, b, avail > 15 ? 15 : avail);
	if (status == X86_DECODE_OK) {
		if (insn_skip(&i->in) || unsuitable(&i->in, p->c.mode == DIFF_64))
			return false;
		avail = i->in.len;
		if (!insn_checks_alignment(&i->in))
			p->c.in.flags &= ~(uint64_t)X86_FL_AC;
		p->c.code_off = 16 + rng_below(r, DIFF_PAGE - 64);
	} else {
		if ((status != X86_DECODE_LONG && insn_is_foreign(p->c.mode, b, avail)) || (p->c.mode == DIFF_64 && is_short_branch(b, avail)))
			return false;
		memset(&i->in, 0, sizeof(i->in));
		p->c.code_off = avail < MAX_BYTES ? CODE_END - avail : 16 + rng_below(r, DIFF_PAGE - 64);
	}
	memcpy(p->c.code, b, avail);
	p->c.code_len = avail;
	return true;
}

void raw_generate(struct program *p, uint64_t seed, const uint16_t *pool, unsigned nr_pool)
{
	struct rng r = { seed };
	uint8_t b[MAX_BYTES + 16];

	p->seed = seed;
	do {
		unsigned what = rng_below(&r, 100), mode = rng_below(&r, 100);

		memset(&p->c, 0, offsetof(struct diff_case, in));
		p->poke_used = 0;
		p->c.mode = mode < 60 ? DIFF_64 : mode < 85 ? DIFF_32 : DIFF_16;
		state_random(&p->c.in, p->c.mode, &r);
		aim_all(p, &r);
		p->c.image = rng_below(&r, DIFF_NR_IMAGES);
		p->c.how = how_random(&r);
		if (what < 25)
			fill(&r, b, MAX_BYTES);
		else if (what < 60)
			structured(&r, b);
		else
			mutated(&r, b, p->c.mode, pool, nr_pool);
	} while (!settle(p, b, &r));
	program_from_bytes(p);
	p->text = false;
	p->raw = true;
}
