/* SPDX-License-Identifier: MIT */
/*
 * Block storm: functions that are rewritten in every way there is while other CPUs run them, by the handshake of the
 * manuals: who runs one has seen that the writer is done and has executed a serializing instruction (Intel SDM vol. 3,
 * 8.1.3). Four layouts: each function on a page of its own, many and data in one page, across page ends, and written
 * through another mapping than the one that is run.
 */
#include "storms.h"

#define PER_LAYOUT 32
#define BYTES	   128

enum { PRIVATE, SHARED, CROSSING, ALIAS, NR_LAYOUTS };

struct function {
	volatile int32_t lock;
	volatile uint32_t expected;
	uint8_t *write, *run;
};

static struct function functions[NR_LAYOUTS][PER_LAYOUT];
static volatile uint32_t *data; /* words between the functions of the shared page, never code */

static void place(unsigned layout, uint8_t *write, uint8_t *run, unsigned offset, unsigned stride)
{
	for (unsigned i = 0; i < PER_LAYOUT; i++) {
		struct function *f = &functions[layout][i];

		f->lock = 0;
		f->expected = 0;
		f->write = write + offset + i * stride;
		f->run = run + offset + i * stride;
		put_function(f->write, 0);
	}
}

static void prepare(void)
{
	static uint8_t *pages, *one, *cross, *two, *other;

	if (!pages) {
		pages = storm_area(PER_LAYOUT);
		one = storm_area(1);
		cross = storm_area(PER_LAYOUT + 1);
		two = storm_area(2);
		other = storm_alias(two, 2);
	}
	place(PRIVATE, pages, pages, 40, PAGE);
	place(SHARED, one, one, 0, BYTES);
	place(CROSSING, cross, cross, PAGE - 3, PAGE);
	place(ALIAS, two, other, PAGE - PER_LAYOUT * BYTES / 2 - 2, BYTES);
	data = (volatile uint32_t *)(one + BYTES / 2);
}

static void rewrite(uint8_t *p, uint32_t value, uint32_t how)
{
	uint8_t code[8];

	if (how < 2 && p[0] != 0xb8)
		how = 2;
	switch (how) {
	case 0:
		*(volatile uint32_t *)(p + 1) = value;
		break;
	case 1:
		for (unsigned i = 0; i < 4; i++)
			((volatile uint8_t *)p)[1 + i] = (uint8_t)(value >> 8 * i);
		break;
	case 2:
		put_function(code, value);
		memcpy(p, code, 6);
		break;
	case 3:
		memset(p, 0xcc, 6);
		put_function(p, value);
		break;
	default: /* another shape: push $imm32; pop %rax; ret */
		code[0] = 0x68;
		*(uint32_t *)(code + 1) = value;
		code[5] = 0x58;
		code[6] = 0xc3;
		memcpy(p, code, 7);
	}
}

static void write_one(struct worker *w, struct function *f)
{
	uint32_t value = random_next(&w->seed) & 0x7fffffff;

	if (!try_write(&f->lock))
		return;
	rewrite(f->write, value, pick(w, 5));
	f->expected = value;
	end_write(&f->lock);
	w->ops[STORM_BLOCK]++;
}

static void run_one(struct worker *w, unsigned layout, unsigned i)
{
	struct function *f = &functions[layout][i];
	uint32_t got, should;

	if (!try_read(&f->lock))
		return;
	serialize();
	should = f->expected;
	got = call_function(f->run);
	end_read(&f->lock);
	if (got != should)
		STALE("stale execution on CPU %u: block %u of layout %u returned %x, not %x", w->index, i, layout, got,
		      should);
	w->ops[STORM_BLOCK]++;
}

static void turn(struct worker *w)
{
	for (unsigned n = 0; n < 16; n++) {
		unsigned layout = pick(w, NR_LAYOUTS), i = pick(w, PER_LAYOUT);

		if (pick(w, 3) == 0)
			write_one(w, &functions[layout][i]);
		else
			run_one(w, layout, i);
		data[pick(w, PER_LAYOUT) * BYTES / 4] = w->seed;
	}
}

const struct storm block_storm = {.name = "block", .prepare = prepare, .turn = turn};
