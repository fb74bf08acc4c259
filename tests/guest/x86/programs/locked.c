/* SPDX-License-Identifier: MIT */
/*
 * Locked instructions under contention, and what the memory model allows and forbids (Intel SDM vol. 3, 8.2).
 *
 * Command line: cpus=N ms=N (per litmus test) rounds=N.
 */
#include "rt64.h"

static struct spin_barrier gate;
static unsigned running;

static unsigned rounds(unsigned standard)
{
	return (unsigned)opt_number("rounds", standard);
}

/* ---- Locked instructions */

static uint64_t *straddling;

static void add_straddling(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < 20 * rounds(2000); i++)
		asm volatile("lock addq %1, %0" : "+m"(*straddling) : "r"(0x100000001ul) : "cc");
}

/* Across the end of a page; the next one is elsewhere in physical memory. */
static void straddling_pages(void)
{
	uint8_t *area = free_area(3 * PAGE);
	uint64_t pages = pages_alloc(3, PAGE);

	running = smp_start();
	map_page(area, pages + 2 * PAGE, PTE_P | PTE_W);
	map_page(area + PAGE, pages, PTE_P | PTE_W);
	tlb_flush_all();
	for (unsigned off = 1; off < 8; off++) {
		straddling = (uint64_t *)(area + PAGE - off);
		*straddling = 0;
		smp_run(running, add_straddling, NULL);
		CHECK_EQ(*straddling, (uint64_t)running * 20 * rounds(2000) * 0x100000001ul);
	}
}

static struct {
	uint32_t inc, dec, xadd, exchanges;
	uint64_t cmpxchg, cmpxchg8b __attribute__((aligned(8)));
	uint64_t pair[2] __attribute__((aligned(16)));
	uint16_t word;
	uint8_t byte, ticket;
	uint64_t bits[4];
	uint32_t not_balance, and_or;
	uint8_t lines[192] __attribute__((aligned(64)));
	uint64_t plain; /* under a lock made of XCHG */
	struct spinlock lock;
} a;

static void add_pair(void)
{
	uint64_t lo = a.pair[0], hi = a.pair[1];
	bool done;

	do {
		asm volatile("lock cmpxchg16b %0"
			     : "+m"(a.pair), "+a"(lo), "+d"(hi), "=@ccz"(done)
			     : "b"(lo + 1), "c"(hi + 3)
			     : "memory");
	} while (!done);
}

static void add_8b(void)
{
	uint32_t lo = (uint32_t)a.cmpxchg8b, hi = (uint32_t)(a.cmpxchg8b >> 32);
	bool done;

	do {
		uint64_t next = ((uint64_t)hi << 32 | lo) + 0x100000001ull;

		asm volatile("lock cmpxchg8b %0"
			     : "+m"(a.cmpxchg8b), "+a"(lo), "+d"(hi), "=@ccz"(done)
			     : "b"((uint32_t)next), "c"((uint32_t)(next >> 32))
			     : "memory");
	} while (!done);
}

static void add_cmpxchg(uint64_t *p)
{
	uint64_t old = *(volatile uint64_t *)p;

	while (!__atomic_compare_exchange_n(p, &old, old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static uint8_t *page_edge; /* 8 bytes that end in the next page begin 4 before it */

static void locked_turn(uint32_t mine)
{
	bool was;

	asm volatile("lock incl %0" : "+m"(a.inc));
	asm volatile("lock decl %0" : "+m"(a.dec));
	asm volatile("lock incw %0" : "+m"(a.word));
	asm volatile("lock incb %0" : "+m"(a.byte));
	asm volatile("lock addq $1, %0" : "+m"(*(uint64_t *)(a.lines + 60)));
	asm volatile("lock addw $1, %0" : "+m"(*(uint16_t *)(a.lines + 127)));
	asm volatile("lock addq $1, %0" : "+m"(*(uint64_t *)(page_edge - 4)));
	asm volatile("lock notl %0" : "+m"(a.not_balance));
	asm volatile("lock notl %0" : "+m"(a.not_balance));
	asm volatile("lock xorl %1, %0" : "+m"(a.and_or) : "r"(mine));
	asm volatile("lock xorl %1, %0" : "+m"(a.and_or) : "r"(mine));
	__atomic_fetch_add(&a.xadd, 7, __ATOMIC_SEQ_CST);
	add_cmpxchg(&a.cmpxchg);
	add_cmpxchg((uint64_t *)(page_edge + 4096 - 3));
	add_8b();
	add_pair();
	/* A bit of our own is set and cleared, through the register form that reaches beyond the first word. */
	asm volatile("lock btsq %2, %1" : "=@ccc"(was), "+m"(a.bits) : "r"((uint64_t)this_cpu()->index * 3) : "memory");
	if (was)
		test_fail("LOCK BTS found a bit that nobody else sets");
	asm volatile("lock btrq %2, %1" : "=@ccc"(was), "+m"(a.bits) : "r"((uint64_t)this_cpu()->index * 3) : "memory");
	if (!was)
		test_fail("LOCK BTR found a bit cleared that nobody else clears");
	spin_lock(&a.lock);
	a.plain++;
	spin_unlock(&a.lock);
}

static void locked_worker(void *arg)
{
	unsigned n = *(unsigned *)arg;

	spin_barrier_wait(&gate, running);
	for (unsigned i = 0; i < n; i++)
		locked_turn(1u << (this_cpu()->index % 32));
}

static void locked_instructions(void)
{
	unsigned n = rounds(5000);
	uint64_t all;

	running = smp_start();
	memset(&a, 0, sizeof(a));
	page_edge = free_area(3 * PAGE);
	for (unsigned i = 0; i < 3; i++)
		map_page(page_edge + i * PAGE, page_alloc(), PTE_P | PTE_W);
	page_edge += PAGE;
	smp_run(running, locked_worker, &n);
	all = (uint64_t)n * running;
	CHECK_EQ(a.inc, (uint32_t)all);
	CHECK_EQ(a.dec, (uint32_t)-all);
	CHECK_EQ(a.word, (uint16_t)all);
	CHECK_EQ(a.byte, (uint8_t)all);
	CHECK_EQ(*(uint64_t *)(a.lines + 60), all);
	CHECK_EQ(*(uint16_t *)(a.lines + 127), (uint16_t)all);
	CHECK_EQ(*(uint64_t *)(page_edge - 4), all);
	CHECK_EQ(*(uint64_t *)(page_edge + 4096 - 3), all);
	CHECK_EQ(a.not_balance, 0);
	CHECK_EQ(a.and_or, 0);
	CHECK_EQ(a.xadd, (uint32_t)(7 * all));
	CHECK_EQ(a.cmpxchg, all);
	CHECK_EQ(a.cmpxchg8b, all << 32 | all);
	CHECK_EQ(a.pair[0], all);
	CHECK_EQ(a.pair[1], 3 * all);
	CHECK_EQ(a.bits[0] | a.bits[1] | a.bits[2] | a.bits[3], 0);
	CHECK_EQ(a.plain, all);
}

/* XCHG passes tokens about: none may vanish or double. */
static volatile uint64_t tokens[64];

static void exchange_worker(void *arg)
{
	uint64_t mine = (uint64_t)1 << this_cpu()->index;
	uint32_t seed = this_cpu()->index + 1;
	unsigned n = *(unsigned *)arg;

	spin_barrier_wait(&gate, running);
	for (unsigned i = 0; i < n; i++)
		asm volatile("xchgq %0, %1" : "+r"(mine), "+m"(tokens[random_next(&seed) % 8]) : : "memory");
	tokens[8 + this_cpu()->index % 56] ^= mine;
}

static void exchange(void)
{
	unsigned n = rounds(50000);
	uint64_t seen = 0;

	running = smp_start();
	if (running > 56)
		return test_skip("more CPUs than slots");
	memset((void *)tokens, 0, sizeof(tokens));
	smp_run(running, exchange_worker, &n);
	for (unsigned i = 0; i < 64; i++) {
		CHECK_EQ(seen & tokens[i], 0);
		seen |= tokens[i];
	}
	CHECK_EQ(seen, ((uint64_t)1 << running) - 1);
}

/* ---- Litmus tests: two or four threads do their few accesses at the same time, over and over, on lines of their own.
 */

struct litmus {
	const char *name;
	unsigned threads;
	void (*thread)(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out);
	bool (*forbidden)(const uint32_t (*out)[2]);
};

#define BATCH 64
#define LINE  16

static struct {
	const struct litmus *test;
	volatile uint32_t x[BATCH * LINE], y[BATCH * LINE];
	uint32_t out[4][BATCH][2];
	volatile uint32_t go __attribute__((aligned(64))), done __attribute__((aligned(64)));
	volatile bool stop;
	uint64_t end, tries, weak;
} lit;

#define LOAD(to, from) asm volatile("movl %1, %0" : "=r"(to) : "m"(*(from)))
#define STORE(to, v)   asm volatile("movl %1, %0" : "=m"(*(to)) : "r"(v))

static void sb_fence(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	volatile uint32_t *mine = me ? y : x, *other = me ? x : y;

	STORE(mine, 1);
	mfence();
	LOAD(out[0], other);
}

static void sb_locked(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	volatile uint32_t *mine = me ? y : x, *other = me ? x : y;
	uint32_t one = 1;

	asm volatile("xchgl %0, %1" : "+r"(one), "+m"(*mine));
	LOAD(out[0], other);
}

static bool sb_forbidden(const uint32_t (*out)[2])
{
	return !out[0][0] && !out[BATCH][0];
}

static void mp(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	if (me == 0) {
		STORE(x, 1);
		STORE(y, 1);
	} else {
		LOAD(out[0], y);
		LOAD(out[1], x);
	}
}

static bool mp_forbidden(const uint32_t (*out)[2])
{
	return out[BATCH][0] && !out[BATCH][1];
}

static void lb(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	volatile uint32_t *from = me ? y : x, *to = me ? x : y;

	LOAD(out[0], from);
	STORE(to, 1);
}

static bool lb_forbidden(const uint32_t (*out)[2])
{
	return out[0][0] && out[BATCH][0];
}

static void iriw(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	switch (me) {
	case 0:
		STORE(x, 1);
		break;
	case 1:
		STORE(y, 1);
		break;
	case 2:
		LOAD(out[0], x);
		LOAD(out[1], y);
		break;
	case 3:
		LOAD(out[0], y);
		LOAD(out[1], x);
		break;
	}
}

static bool iriw_forbidden(const uint32_t (*out)[2])
{
	const uint32_t *p = out[2 * BATCH], *q = out[3 * BATCH];

	return p[0] && !p[1] && q[0] && !q[1];
}

/* Without a fence both may read 0: counted, not checked. */
static void sb(unsigned me, volatile uint32_t *x, volatile uint32_t *y, uint32_t *out)
{
	volatile uint32_t *mine = me ? y : x, *other = me ? x : y;

	STORE(mine, 1);
	LOAD(out[0], other);
}

static bool never(const uint32_t (*out)[2])
{
	lit.weak += sb_forbidden(out);
	return false;
}

static void litmus_batch(unsigned me)
{
	for (unsigned i = 0; i < BATCH; i++)
		lit.test->thread(me, &lit.x[i * LINE], &lit.y[i * LINE], lit.out[me][i]);
}

static void litmus_check(void)
{
	for (unsigned i = 0; i < BATCH; i++, lit.tries++)
		if (lit.test->forbidden((const uint32_t(*)[2]) & lit.out[0][i]))
			test_fail("%s: a forbidden outcome", lit.test->name);
	memset((void *)lit.x, 0, sizeof(lit.x));
	memset((void *)lit.y, 0, sizeof(lit.y));
}

static void litmus_worker(void *arg)
{
	unsigned me = this_cpu()->index;
	uint32_t turn = 0;

	(void)arg;
	for (;;) {
		turn++;
		if (me == 0) {
			lit.stop = rdtsc() >= lit.end;
			lit.done = 0;
			__atomic_store_n(&lit.go, turn, __ATOMIC_SEQ_CST);
		} else {
			while (lit.go != turn)
				cpu_pause();
		}
		if (lit.stop)
			return;
		litmus_batch(me);
		if (me) {
			__atomic_add_fetch(&lit.done, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		while (lit.done != lit.test->threads - 1)
			cpu_pause();
		litmus_check();
	}
}

static void litmus(const struct litmus *t)
{
	if (smp_start() < t->threads)
		return test_skip("needs more CPUs");
	lit.test = t;
	lit.go = 0;
	lit.stop = false;
	lit.tries = lit.weak = 0;
	lit.end = tsc_after_ms(opt_number("ms", 150));
	smp_run(t->threads, litmus_worker, NULL);
	if (lit.weak)
		print("# %s: %lu of %lu with both loads before the stores\n", t->name, lit.weak, lit.tries);
}

#define LITMUS(name, threads, thread, forbidden)                                    \
	static void litmus_##name(void)                                             \
	{                                                                           \
		static const struct litmus t = {#name, threads, thread, forbidden}; \
                                                                                    \
		litmus(&t);                                                         \
	}
LITMUS(sb, 2, sb, never)
LITMUS(sb_fence, 2, sb_fence, sb_forbidden)
LITMUS(sb_locked, 2, sb_locked, sb_forbidden)
LITMUS(mp, 2, mp, mp_forbidden)
LITMUS(lb, 2, lb, lb_forbidden)
LITMUS(iriw, 4, iriw, iriw_forbidden)

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(locked_instructions),
	RT_TEST(straddling_pages),
	RT_TEST(exchange),
	RT_TEST(litmus_sb),
	RT_TEST(litmus_sb_fence),
	RT_TEST(litmus_sb_locked),
	RT_TEST(litmus_mp),
	RT_TEST(litmus_lb),
	RT_TEST(litmus_iriw),
	{0},
};
