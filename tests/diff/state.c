/* SPDX-License-Identifier: MIT */
/*
 * A random user-mode state.
 */
#include <string.h>

#include "diff/native.h"
#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

bool wide_offered;

#define FSW_ES 0x0080u
#define FSW_B 0x8000u

/* Control words mostly mask all exceptions; the rest is free. */
static void x87_random(struct diff_fx *fx, struct rng *r)
{
	unsigned masks = rng_percent(r, 88) ? 0x3f : rng_below(r, 64), flags = rng_percent(r, 30) ? rng_below(r, 128) : 0;

	if (rng_percent(r, 95))
		flags &= masks | 0x40;
	fx->fcw = (uint16_t)(0x40 | masks | rng_below(r, 16) << 8);
	if (rng_percent(r, 50))
		fx->fcw = (uint16_t)(0x340 | masks);
	fx->fsw = (uint16_t)(flags | rng_below(r, 8) << 8 | rng_below(r, 8) << 11 | rng_below(r, 2) << 14);
	if (flags & ~masks & 0x3f)
		fx->fsw |= FSW_ES | FSW_B;
	fx->fop = (uint16_t)rng_below(r, 0x800);
	fx->fip = rng_u64(r) >> 17;
	fx->fdp = rng_u64(r) >> 17;
	fx->ftw = rng_percent(r, 60) ? 0xff : (uint8_t)rng_u64(r);
	for (unsigned i = 0; i < 8; i++)
		value_f80(r, fx->st[i]);
	if (rng_percent(r, 25))
		for (unsigned i = 0; i < 8; i++) {
			uint64_t v = value_int(r);

			memcpy(fx->st[i], &v, 8);
			memset(fx->st[i] + 8, 0xff, 2);
		}
}

static void sse_random(struct diff_fx *fx, struct rng *r)
{
	unsigned masks = rng_percent(r, 88) ? 0x3f : rng_below(r, 64);

	fx->mxcsr = masks << 7 | rng_below(r, 4) << 13;
	fx->mxcsr |= rng_percent(r, 50) ? rng_below(r, 64) : 0;
	fx->mxcsr |= (rng_percent(r, 20) ? 0x40u : 0) | (rng_percent(r, 20) ? 0x8000u : 0);
	for (unsigned i = 0; i < 16; i++)
		value_vec(r, fx->xmm[i]);
}

/* Now and then all clear, as after VZEROUPPER. */
static void upper_random(struct diff_state *s, struct rng *r)
{
	if (!native_has_avx || rng_percent(r, 10))
		return;
	for (unsigned i = 0; i < 16; i++)
		value_vec(r, s->upper[i]);
}

void state_wide(struct diff_state *s, struct rng *r)
{
	for (unsigned i = 0; i < 16 * 2; i++)
		value_vec(r, &s->wide.top[i / 2][i % 2 * 16]);
	for (unsigned i = 0; i < 16 * 4; i++)
		value_vec(r, &s->wide.more[i / 4][i % 4 * 16]);
	for (unsigned i = 0; i < 8; i++)
		s->wide.k[i] = rng_percent(r, 60) ? rng_u64(r) : value_int(r);
}

/* ---- Segments: mostly the plain ones of the mode */

static uint16_t of(struct rng *r, const uint16_t *list, unsigned nr)
{
	return list[rng_percent(r, 80) ? 0 : rng_below(r, nr)];
}

/* One that the mode can start with; SS must be writable. */
static void selectors(struct diff_state *s, unsigned mode, struct rng *r)
{
	static const uint16_t code32[] = { DIFF_SEL_USER32, DIFF_SEL(CODE32), DIFF_SEL(EXECONLY), DIFF_SEL(CODEFLAT) };
	static const uint16_t stack32[] = { DIFF_SEL_USER_DS, DIFF_SEL(DATA32), DIFF_SEL(DATA16), DIFF_SEL(WRAP), DIFF_SEL(DOWN32),
					    DIFF_SEL(SHORT) };
	static const uint16_t stack16[] = { DIFF_SEL(DATA16), DIFF_SEL(DATA32), DIFF_SEL(DOWN16), DIFF_SEL(FLAT) };
	static const uint16_t data32[] = { DIFF_SEL_USER_DS, DIFF_SEL(DATA32), DIFF_SEL(SHORT), DIFF_SEL(DOWN32), DIFF_SEL(READONLY),
					   DIFF_SEL(WRAP), DIFF_SEL(CODEFLAT), 0, DIFF_SEL(FLAT) };
	static const uint16_t data16[] = { DIFF_SEL(DATA16), DIFF_SEL(DATA32), DIFF_SEL(SHORT), DIFF_SEL(DOWN16), DIFF_SEL(DOWN32), 0,
					   DIFF_SEL(FLAT) };

	memset(s->sel, 0, sizeof(s->sel));
	s->sel[X86_CS] = mode == DIFF_64 ? DIFF_SEL_USER64 : mode == DIFF_32 ? of(r, code32, 4) : DIFF_SEL(CODE16);
	s->sel[X86_SS] = mode == DIFF_64 ? DIFF_SEL_USER_DS : mode == DIFF_32 ? of(r, stack32, 6) : of(r, stack16, 4);
	if (mode == DIFF_64)
		return;
	for (unsigned i = 0; i < 6; i++) {
		if (i == X86_CS || i == X86_SS)
			continue;
		s->sel[i] = mode == DIFF_32 ? of(r, data32, 9) : of(r, data16, 7);
	}
}

static void registers(struct diff_state *s, unsigned mode, struct rng *r)
{
	uint64_t at = DIFF_DATA + 0x400 + rng_below(r, 0x400) * 8;

	for (unsigned i = 0; i < 16; i++) {
		s->gpr[i] = value_int(r);
		if (mode != DIFF_64 && i < 8)
			s->gpr[i] = (uint32_t)s->gpr[i];
	}
	if (mode != DIFF_64)
		at = (uint32_t)(at - diff_seg_base(s->sel[X86_SS]));
	s->gpr[X86_RSP] = at;
}

void state_random(struct diff_state *s, unsigned mode, struct rng *r)
{
	static const uint64_t fs[] = { DIFF_DATA + 0x180, 0x123456781230, 0x10, 0 };

	memset(s, 0, sizeof(*s));
	selectors(s, mode, r);
	registers(s, mode, r);
	s->flags = (rng_u64(r) & X86_FL_ARITH) | X86_FL_FIXED1 | X86_FL_IF;
	if (rng_percent(r, 15))
		s->flags |= X86_FL_DF;
	if (rng_percent(r, 5))
		s->flags |= X86_FL_ID | (rng_u64(r) & X86_FL_NT);
	if (rng_percent(r, 4))
		s->flags |= X86_FL_AC;
	s->fs_base = fs[rng_below(r, 4)];
	s->gs_base = DIFF_DATA + rng_below(r, 0x2000);
	x87_random(&s->fx, r);
	sse_random(&s->fx, r);
	upper_random(s, r);
	if (wide_offered && rng_percent(r, 15))
		state_wide(s, r);
}

uint8_t how_random(struct rng *r)
{
	uint8_t how = 0;

	if (rng_percent(r, 10))
		how |= DIFF_FLUSH | (rng_percent(r, 50) ? DIFF_FLAT : 0);
	if (rng_percent(r, 10))
		how |= DIFF_NAG;
	if (rng_percent(r, 8))
		how |= DIFF_STEPWISE;
	return how;
}
