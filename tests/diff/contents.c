/* SPDX-License-Identifier: MIT */
/*
 * What memory operands hold before the run, and which bytes of them are not compared afterwards.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/values.h"

static void poke_x87(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint64_t q = value_int(r);
	uint8_t b[16];

	memcpy(b, &q, 8);
	switch (in->id) {
	case X86_I_FILD: case X86_I_FIADD: case X86_I_FISUB: case X86_I_FISUBR: case X86_I_FIMUL: case X86_I_FIDIV: case X86_I_FIDIVR:
	case X86_I_FICOM: case X86_I_FICOMP:
		break;
	case X86_I_FBLD:
		value_bcd(r, b);
		break;
	case X86_I_FLDCW:
		q = (rng_u64(r) & 0xf00) | 0x40 | (rng_percent(r, 80) ? 0x3f : rng_below(r, 64));
		memcpy(b, &q, 8);
		break;
	default:
		if (in->op[0].size == 4) {
			uint32_t f = value_f32(r);

			memcpy(b, &f, 4);
		} else if (in->op[0].size == 8) {
			q = value_f64(r);
			memcpy(b, &q, 8);
		} else {
			value_f80(r, b);
		}
	}
	program_poke(p, at, b, in->op[0].size > 10 ? 0 : in->op[0].size); /* not the images of FNSAVE and its kin */
}

static void poke_fxrstor(struct program *p, uint64_t at, struct rng *r)
{
	struct diff_state s;

	state_random(&s, DIFF_64, r);
	if (rng_percent(r, 5))
		s.fx.mxcsr |= 0x10000;
	program_poke(p, at, &s.fx, 512);
}

/* Control, status and tag words of a protected-mode image, then registers. */
static void poke_fldenv(struct program *p, const struct x86_insn *in, uint64_t at, struct rng *r)
{
	uint8_t b[108] = { 0 };
	struct diff_state s;
	unsigned step = in->opsize == 2 ? 2 : 4, head = in->opsize == 2 ? 14 : 28;
	uint16_t tags = (uint16_t)rng_u64(r);

	state_random(&s, DIFF_64, r);
	memcpy(b, &s.fx.fcw, 2);
	memcpy(b + step, &s.fx.fsw, 2);
	memcpy(b + 2 * step, &tags, 2);
	memcpy(b + 3 * step, &s.fx.fip, step);
	if (step == 4)
		memcpy(b + 4 * step + 2, &s.fx.fop, 2);
	memcpy(b + 5 * step, &s.fx.fdp, step);
	for (unsigned n = 0; n < 8; n++)
		memcpy(b + head + n * 10, s.fx.st[n], 10);
	program_poke(p, at, b, in->id == X86_I_FRSTOR ? head + 80u : head);
}

void poke_operand(struct program *p, const struct x86_insn *in, uint64_t at, unsigned size, struct rng *r)
{
	uint8_t b[64];
	uint64_t q;

	if (in->id == X86_I_FXRSTOR) {
		poke_fxrstor(p, at, r);
	} else if (in->id == X86_I_FLDENV || in->id == X86_I_FRSTOR) {
		poke_fldenv(p, in, at, r);
	} else if (in->id == X86_I_LDMXCSR || in->id == X86_I_VLDMXCSR) {
		q = rng_percent(r, 90) ? (rng_u64(r) & 0xe07f) | (rng_percent(r, 80) ? 0x1f80 : rng_u64(r) & 0x1f80) : rng_u64(r);
		program_poke(p, at, &q, 4);
	} else if (in->attr & X86_A_FPU) {
		poke_x87(p, in, at, r);
	} else if (size <= 8 && !(in->attr & (X86_A_SSE | X86_A_AVX | X86_A_AVX512))) {
		q = value_int(r);
		program_poke(p, at, &q, size);
	} else {
		for (unsigned n = 0; n < sizeof(b); n += 16)
			value_vec(r, b + n);
		program_poke(p, at, b, size > sizeof(b) ? sizeof(b) : size);
	}
}

/* Areas whose contents differ between CPU models: the selectors behind FIP and FDP, and MXCSR_MASK. */
void poke_holes(struct program *p, const struct x86_insn *in, uint64_t at)
{
	unsigned step = in->opsize == 2 ? 2 : 4;

	switch (in->id) {
	case X86_I_FXSAVE:
		if (in->opsize != 8) {
			program_hole(p, at + 12, 2);
			program_hole(p, at + 20, 2);
		}
		program_hole(p, at + 28, 4);
		break;
	case X86_I_FNSTENV:
	case X86_I_FNSAVE:
		program_hole(p, at + 4 * step, 2);
		program_hole(p, at + 6 * step, 2);
		break;
	default:
		break;
	}
}
