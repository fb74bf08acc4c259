/* SPDX-License-Identifier: MIT */
#include "diff/segments.h"

#include "vcpu/x86/x86_cpu.h"

const struct diff_seg diff_ldt[DIFF_NR_SEGS] = {
#define SEG(name, base_, limit_, big_, kind_, readonly_, absent_) \
	[DIFF_SEG_##name] = { .base = base_, .limit = limit_, .big = big_, .kind = kind_, .readonly = readonly_, .absent = absent_, .local = true },
#include "diff/segs.def"
#undef SEG
};

bool diff_seg(uint16_t sel, struct diff_seg *s)
{
	*s = (struct diff_seg){ .limit = 0xffffffff, .big = true };
	if (sel & 4) {
		if (sel >> 3 >= DIFF_NR_SEGS)
			return false;
		*s = diff_ldt[sel >> 3];
		return true;
	}
	switch (sel | 3) {
	case 3:
		s->null = true;
		return true;
	case DIFF_SEL_USER32:
		s->kind = 2;
		return true;
	case DIFF_SEL_USER_DS:
		return true;
	case DIFF_SEL_USER64:
		s->kind = 2;
		s->big = false;
		s->wide = true;
		return true;
	default:
		return false;
	}
}

uint32_t diff_seg_base(uint16_t sel)
{
	struct diff_seg s;

	return diff_seg(sel, &s) && !s.null ? s.base : 0;
}

uint64_t diff_seg_descriptor(const struct diff_seg *s)
{
	bool pages = s->limit > 0xfffff;
	uint32_t limit = pages ? s->limit >> 12 : s->limit;
	uint32_t attr = X86_SA_S | X86_SA_ACCESSED | 3u << X86_SA_DPL_SHIFT;

	attr |= (s->absent ? 0 : X86_SA_P) | (s->local ? 1u << 20 : 0); /* Linux marks those of the local table "available" */
	attr |= (s->big ? X86_SA_DB : 0) | (pages ? X86_SA_G : 0) | (s->wide ? X86_SA_L : 0);
	attr |= (uint32_t)s->kind << 10 | (s->readonly ? 0 : X86_SA_RW);
	return (uint64_t)(s->base & 0xff000000u) << 32 | (uint64_t)(attr | (limit & 0xf0000)) << 32 | (uint64_t)(s->base >> 16 & 0xff) << 32 |
	       (uint64_t)(s->base & 0xffff) << 16 | (limit & 0xffff);
}

uint16_t diff_seg_pick(struct rng *r)
{
	static const uint16_t other[] = { 0, 0, 3, 1, DIFF_SEL_USER32, DIFF_SEL_USER64, DIFF_SEL_USER_DS & ~3, 0xffff, DIFF_NR_SEGS << 3 | 7, 0x83 };

	if (rng_percent(r, 35))
		return DIFF_SEL_USER_DS;
	if (rng_percent(r, 75))
		return (uint16_t)(rng_below(r, DIFF_NR_SEGS) << 3 | 4 | (rng_percent(r, 90) ? 3 : rng_below(r, 4)));
	return other[rng_below(r, sizeof(other) / sizeof(other[0]))];
}

uint64_t diff_case_base(const struct diff_case *c, unsigned reg)
{
	if (c->mode == DIFF_64)
		return reg == X86_FS ? c->in.fs_base : reg == X86_GS ? c->in.gs_base : 0;
	return diff_seg_base(c->in.sel[reg]);
}

unsigned diff_stack_width(const struct diff_case *c)
{
	struct diff_seg s;

	if (c->mode == DIFF_64)
		return 8;
	return diff_seg(c->in.sel[X86_SS], &s) && s.big ? 4 : 2;
}
