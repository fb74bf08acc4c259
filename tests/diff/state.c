/* SPDX-License-Identifier: MIT */
/*
 * A random user-mode state.
 */
#include <string.h>

#include "diff/native.h"
#include "diff/program.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

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

void state_random(struct diff_state *s, struct rng *r)
{
	static const uint64_t fs[] = { DIFF_DATA + 0x180, 0x123456781230, 0x10, 0 };

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = value_int(r);
	s->gpr[X86_RSP] = DIFF_DATA + 0x400 + rng_below(r, 0x400) * 8;
	s->flags = (rng_u64(r) & X86_FL_ARITH) | X86_FL_FIXED1 | X86_FL_IF;
	if (rng_percent(r, 15))
		s->flags |= X86_FL_DF;
	if (rng_percent(r, 5))
		s->flags |= X86_FL_ID | (rng_u64(r) & X86_FL_NT);
	s->fs_base = fs[rng_below(r, 4)];
	s->gs_base = DIFF_DATA + rng_below(r, 0x2000);
	x87_random(&s->fx, r);
	sse_random(&s->fx, r);
	upper_random(s, r);
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
