/* SPDX-License-Identifier: MIT */
/*
 * Chain storm: rings of small blocks that jump to each other, whose jumps and bodies are rewritten by the handshake
 * while the rings that lie between them in the same pages run; and single jumps whose aligned displacement is stored
 * over while others take them, which may go to the old or the new target, and never to an older one.
 */
#include "storms.h"

#define CHAINS 16
#define NODES  32
#define STRIDE 48 /* does not divide a page: some nodes lie across its end */

struct chain {
	volatile int32_t lock;
	uint8_t *code[NODES];
	uint8_t next[NODES];
	uint32_t add[NODES];
};

static struct chain chains[CHAINS];

/* add $imm, %eax; rol $3, %eax; dec %ecx; jz 1f; jmp next; 1: ret */
static void put_node(struct chain *c, unsigned i)
{
	static const uint8_t shape[18] = {0x05, 0, 0, 0, 0, 0xc1, 0xc0, 3, 0xff, 0xc9, 0x74, 5, 0xe9, 0, 0, 0, 0, 0xc3};
	uint8_t *p = c->code[i];

	memcpy(p, shape, sizeof(shape));
	*(volatile uint32_t *)(p + 1) = c->add[i];
	*(volatile int32_t *)(p + 13) = (int32_t)(c->code[c->next[i]] - (p + 17));
}

static uint32_t expected(const struct chain *c, unsigned i, unsigned steps)
{
	uint32_t v = 0;

	for (; steps; steps--, i = c->next[i]) {
		v += c->add[i];
		v = v << 3 | v >> 29;
	}
	return v;
}

static uint32_t run_chain(const uint8_t *p, unsigned steps)
{
	uint32_t v = 0;

	asm volatile("call *%2" : "+a"(v), "+c"(steps) : "r"(p) : "memory", "cc");
	return v;
}

static void write_chain(struct worker *w, struct chain *c)
{
	if (!try_write(&c->lock))
		return;
	for (unsigned n = pick(w, 4) + 1; n; n--) {
		unsigned i = pick(w, NODES);

		switch (pick(w, 3)) {
		case 0: /* the jump alone */
			c->next[i] = (uint8_t)pick(w, NODES);
			*(volatile int32_t *)(c->code[i] + 13) =
				(int32_t)(c->code[c->next[i]] - (c->code[i] + 17));
			break;
		case 1: /* the body alone */
			c->add[i] = random_next(&w->seed);
			*(volatile uint32_t *)(c->code[i] + 1) = c->add[i];
			break;
		default:
			c->next[i] = (uint8_t)pick(w, NODES);
			put_node(c, i);
		}
	}
	end_write(&c->lock);
	w->ops[STORM_CHAIN]++;
}

static void check_chain(struct worker *w, struct chain *c)
{
	unsigned i = pick(w, NODES), steps = pick(w, 100) + 1;
	uint32_t got, should;

	if (!try_read(&c->lock))
		return;
	serialize();
	got = run_chain(c->code[i], steps);
	should = expected(c, i, steps);
	end_read(&c->lock);
	if (got != should)
		STALE("stale execution on CPU %u: chain %u from %u, %u steps: %x, not %x", w->index,
		      (unsigned)(c - chains), i, steps, got, should);
	w->ops[STORM_CHAIN]++;
}

/* ---- Live jumps */

#define SITES	32
#define TARGETS 64 /* stubs in the pages of the sites; the number of a jump's version, modulo this, is its target */

static struct {
	volatile int32_t lock;
	volatile uint32_t version;
	uint8_t *code;
} sites[SITES];
static uint8_t *stubs;

static void write_site(struct worker *w, unsigned s)
{
	uint32_t v;

	if (!try_write(&sites[s].lock))
		return;
	v = sites[s].version + 1;
	*(volatile int32_t *)(sites[s].code + 1) = (int32_t)(stubs + v % TARGETS * 8 - (sites[s].code + 5));
	__atomic_store_n(&sites[s].version, v, __ATOMIC_SEQ_CST);
	end_write(&sites[s].lock);
	w->ops[STORM_CHAIN]++;
}

static void check_site(struct worker *w, unsigned s)
{
	uint32_t before = sites[s].version, got, after;

	serialize();
	got = call_function(sites[s].code);
	after = __atomic_load_n(&sites[s].version, __ATOMIC_SEQ_CST);
	w->ops[STORM_CHAIN]++;
	if (after - before >= TARGETS - 1)
		return; /* too many versions went by to tell them apart */
	if ((got - before) % TARGETS > after + 1 - before)
		STALE("stale execution on CPU %u: live jump %u went to target %u; version %u before, %u after",
		      w->index, s, got, before, after);
}

static void prepare_sites(uint8_t *area)
{
	stubs = area;
	for (unsigned i = 0; i < TARGETS; i++)
		put_function(stubs + i * 8, i);
	for (unsigned s = 0; s < SITES; s++) {
		uint8_t *p = area + 1024 + s * 256 + 3; /* the displacement at 4 */

		sites[s].lock = 0;
		sites[s].version = 0;
		sites[s].code = p;
		p[0] = 0xe9;
		*(volatile int32_t *)(p + 1) = (int32_t)(stubs - (p + 5));
	}
}

static void prepare(void)
{
	static uint8_t *area, *live;
	uint32_t seed = (uint32_t)opt_number("seed", 1);

	if (!area) {
		area = storm_area(CHAINS * NODES * STRIDE / PAGE + 1);
		live = storm_area((1024 + SITES * 256) / PAGE + 1);
	}
	prepare_sites(live);
	for (unsigned k = 0; k < CHAINS * NODES; k++) {
		chains[k % CHAINS].code[k / CHAINS] = area + k * STRIDE;
		chains[k % CHAINS].add[k / CHAINS] = random_next(&seed);
		chains[k % CHAINS].next[k / CHAINS] = (uint8_t)((k / CHAINS + 1) % NODES);
	}
	for (unsigned k = 0; k < CHAINS * NODES; k++) {
		chains[k % CHAINS].lock = 0;
		put_node(&chains[k % CHAINS], k / CHAINS);
	}
}

static void turn(struct worker *w)
{
	for (unsigned n = 0; n < 8; n++) {
		struct chain *c = &chains[pick(w, CHAINS)];
		unsigned s = pick(w, SITES);

		if (pick(w, 3) == 0) {
			write_chain(w, c);
			write_site(w, s);
		} else {
			check_chain(w, c);
			check_site(w, s);
		}
	}
}

const struct storm chain_storm = {.name = "chain", .prepare = prepare, .turn = turn};
