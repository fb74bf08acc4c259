/* SPDX-License-Identifier: MIT */
/*
 * Makes a failing program small: instructions are left out, and the state is made plain, while the difference stays.
 */
#include <string.h>

#include "diff/runner.h"

#define SHRINK_ROUNDS 4

uint64_t shrink_code(struct runner *r, struct program *p, unsigned kind)
{
	uint64_t keep = p->nr < 64 ? (1ull << p->nr) - 1 : KEEP_ALL;

	if (!runner_alone(r, p, kind))
		return keep;
	for (unsigned round = 0; round < SHRINK_ROUNDS; round++) {
		uint64_t before = keep;

		for (unsigned i = p->nr; i-- > 0;) {
			uint64_t less = keep & ~(1ull << i);

			if (less == keep || !program_layout(p, less) || !runner_alone(r, p, kind))
				continue;
			keep = less;
		}
		if (keep == before)
			break;
	}
	program_layout(p, keep);
	return keep;
}

/* Copies `len` bytes of the plain state; takes it back if the difference goes away. */
static void plain(struct runner *r, struct program *p, unsigned kind, void *at, const void *usual, size_t len)
{
	uint8_t old[64];

	if (!memcmp(at, usual, len))
		return;
	memcpy(old, at, len);
	memcpy(at, usual, len);
	if (!runner_alone(r, p, kind))
		memcpy(at, old, len);
}

static void drop_pokes(struct runner *r, struct program *p, unsigned kind)
{
	for (unsigned i = p->c.nr_pokes; i-- > 0;) {
		struct diff_poke old[DIFF_MAX_POKES];

		memcpy(old, p->c.poke, sizeof(old));
		memmove(&p->c.poke[i], &p->c.poke[i + 1], (p->c.nr_pokes - i - 1u) * sizeof(old[0]));
		p->c.nr_pokes--;
		if (runner_alone(r, p, kind))
			continue;
		memcpy(p->c.poke, old, sizeof(old));
		p->c.nr_pokes++;
	}
}

void shrink_state(struct runner *r, struct program *p, unsigned kind)
{
	struct diff_case *c = &p->c;
	struct diff_state *s = &c->in, d;
	const uint32_t zero = 0;

#define PLAIN(field) plain(r, p, kind, &s->field, &d.field, sizeof(d.field))
	if (!runner_alone(r, p, kind))
		return;
	default_state(&d, c->mode);
	drop_pokes(r, p, kind);
	for (unsigned i = 0; i < 16; i++) {
		PLAIN(fx.xmm[i]);
		PLAIN(upper[i]);
		PLAIN(gpr[i]);
		PLAIN(wide.top[i]);
		PLAIN(wide.more[i]);
	}
	for (unsigned i = 0; i < 8; i++)
		PLAIN(wide.k[i]);
	for (unsigned i = 0; i < 8; i++)
		PLAIN(fx.st[i]);
	for (unsigned i = 0; i < 6; i++)
		PLAIN(sel[i]);
	PLAIN(fx.fcw);
	PLAIN(fx.fsw);
	PLAIN(fx.ftw);
	PLAIN(fx.fip);
	PLAIN(fx.fdp);
	PLAIN(fx.fop);
	PLAIN(fx.mxcsr);
	PLAIN(flags);
	PLAIN(fs_base);
	PLAIN(gs_base);
#undef PLAIN
	plain(r, p, kind, &c->image, &zero, sizeof(c->image));
	plain(r, p, kind, &c->how, &zero, sizeof(c->how));
	plain(r, p, kind, &c->twice, &zero, sizeof(c->twice));
	runner_alone(r, p, kind);
}
