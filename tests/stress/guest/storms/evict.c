/* SPDX-License-Identifier: MIT */
/*
 * Eviction storm: far more code than a small translation cache holds (-accel tcg,tb-size=1), called in no order by all
 * CPUs. Each function computes something of its own, so that a wrong block shows in the result.
 */
#include "storms.h"

#define FUNCTIONS 16384
#define STRIDE	  48

static uint8_t *area;

/* Constant k of function i (the finalizer of MurmurHash3, public domain). */
static uint32_t constant(uint32_t i, uint32_t k)
{
	uint32_t h = i * 4 + k + 0x9e3779b9u;

	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	return h ^ h >> 16;
}

static uint32_t expected(uint32_t i, uint32_t x)
{
	uint32_t v = (x * (constant(i, 0) | 1)) ^ constant(i, 1);

	v = v << 7 | v >> 25;
	v += constant(i, 2);
	return v >> 31 ? v : v ^ constant(i, 3);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

/* mov %edi, %eax; imul; xor; rol $7; add; test %eax, %eax; js 1f; xor; 1: ret. Three blocks. */
static void put(uint32_t i)
{
	uint8_t *p = area + i * STRIDE;

	*p++ = 0x89, *p++ = 0xf8;
	*p++ = 0x69, *p++ = 0xc0;
	p = put32(p, constant(i, 0) | 1);
	*p++ = 0x35;
	p = put32(p, constant(i, 1));
	*p++ = 0xc1, *p++ = 0xc0, *p++ = 7;
	*p++ = 0x05;
	p = put32(p, constant(i, 2));
	*p++ = 0x85, *p++ = 0xc0;
	*p++ = 0x78, *p++ = 5;
	*p++ = 0x35;
	p = put32(p, constant(i, 3));
	*p = 0xc3;
}

static void prepare(void)
{
	if (area)
		return;
	area = storm_area(FUNCTIONS * STRIDE / PAGE + 1);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		put(i);
}

static void turn(struct worker *w)
{
	uint32_t i = pick(w, FUNCTIONS), step = pick(w, 64) + 1;

	for (unsigned n = 0; n < 32; n++, i = (i + step) % FUNCTIONS) {
		uint32_t x = random_next(&w->seed), got;

		asm volatile("call *%2" : "=&a"(got) : "D"(x), "r"(area + i * STRIDE) : "memory", "cc");
		if (got != expected(i, x))
			STALE("wrong code on CPU %u: function %u of %x returned %x, not %x", w->index, i, x, got,
			      expected(i, x));
	}
	w->ops[STORM_EVICT] += 32;
}

const struct storm evict_storm = {.name = "evict", .prepare = prepare, .turn = turn};
