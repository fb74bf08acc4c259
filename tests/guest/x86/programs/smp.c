/* SPDX-License-Identifier: MIT */
/*
 * Several CPUs: locked instructions under contention, what the memory model allows and forbids (Intel SDM vol. 3, 8.2),
 * interprocessor interrupts, TLB shoot-down, halting and waking.
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

/* ---- Interprocessor interrupts */

#define VEC_PING 0x61
#define VEC_HIT	 0x62

static volatile uint32_t hits[MAX_CPUS], nmis[MAX_CPUS];
static volatile bool stop;

static bool on_hit(struct regs *r)
{
	(void)r;
	__atomic_add_fetch(&hits[this_cpu()->index], 1, __ATOMIC_SEQ_CST);
	apic_eoi();
	return true;
}

static bool on_nmi(struct regs *r)
{
	(void)r;
	__atomic_add_fetch(&nmis[this_cpu()->index], 1, __ATOMIC_SEQ_CST);
	return true;
}

static bool wait_count(volatile uint32_t *p, uint32_t value)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (*p != value && rdtsc() < end)
		cpu_pause();
	return *p == value;
}

/* All but the boot CPU run a loop without a pause, a halt or a call, with interrupts on; the boot CPU runs fn. */
static void spinner(void *fn)
{
	spin_barrier_wait(&gate, running);
	if (this_cpu()->index == 0) {
		((void (*)(void))fn)();
		stop = true;
		return;
	}
	irq_on();
	while (!stop)
		;
	irq_off();
}

static void against_spinners(void (*fn)(void))
{
	running = smp_start();
	stop = false;
	memset((void *)hits, 0, sizeof(hits));
	memset((void *)nmis, 0, sizeof(nmis));
	trap_set_handler(VEC_HIT, on_hit);
	trap_set_handler(VEC_NMI, on_nmi);
	smp_run(running, spinner, (void *)fn);
	trap_set_handler(VEC_NMI, NULL);
}

/* Each may have to wait for its receiver's turn on the host. */
static unsigned interrupts_each(void)
{
	return 100 / running + 1;
}

static void send_fixed(void)
{
	for (unsigned n = 1; n <= interrupts_each(); n++) {
		for (unsigned i = 1; i < running; i++) {
			apic_send(cpus[i].apic_id, VEC_HIT);
			if (!wait_count(&hits[i], n))
				return test_fail("CPU %u took %u of %u interrupts", i, hits[i], n);
		}
	}
}

static void ipi_fixed(void)
{
	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	against_spinners(send_fixed);
}

static void send_shorthands(void)
{
	unsigned last = interrupts_each();

	for (unsigned n = 1; n <= last; n++) {
		apic_send(0, ICR_OTHERS | VEC_HIT);
		for (unsigned i = 1; i < running; i++)
			if (!wait_count(&hits[i], n))
				return test_fail("CPU %u took %u of %u broadcasts", i, hits[i], n);
	}
	CHECK_EQ(hits[0], 0);
	irq_on();
	apic_send(0, ICR_SELF | VEC_HIT);
	CHECK(wait_count(&hits[0], 1));
	apic_send(0, ICR_ALL | VEC_HIT);
	CHECK(wait_count(&hits[0], 2));
	irq_off();
	for (unsigned i = 1; i < running; i++)
		CHECK(wait_count(&hits[i], last + 1));
}

static void ipi_shorthands(void)
{
	against_spinners(send_shorthands);
}

static void send_nmi(void)
{
	unsigned last = interrupts_each();

	for (unsigned n = 1; n <= last; n++) {
		for (unsigned i = 1; i < running; i++) {
			apic_send(cpus[i].apic_id, ICR_NMI);
			if (!wait_count(&nmis[i], n))
				return test_fail("CPU %u took %u of %u NMIs", i, nmis[i], n);
		}
	}
	apic_send(0, ICR_OTHERS | ICR_NMI);
	for (unsigned i = 1; i < running; i++)
		CHECK(wait_count(&nmis[i], last + 1));
	CHECK_EQ(nmis[0], 0);
	for (unsigned i = 1; i < running; i++)
		CHECK_EQ(hits[i], 0);
}

static void ipi_nmi(void)
{
	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	against_spinners(send_nmi);
}

/* Two CPUs that halt and wake each other: a lost wake-up ends in the time-out of the run. */
static volatile uint32_t ball;

static bool on_ball(struct regs *r)
{
	(void)r;
	ball++;
	apic_eoi();
	return true;
}

static void ping_pong_worker(void *arg)
{
	unsigned me = this_cpu()->index, n = *(unsigned *)arg;

	spin_barrier_wait(&gate, 2);
	while (ball < n) {
		while ((ball & 1) != me && ball < n) {
			irq_on_halt();
			irq_off();
		}
		if (ball >= n)
			return;
		apic_send(cpus[!me].apic_id, VEC_PING);
		while ((ball & 1) == me && ball < n)
			cpu_pause();
	}
}

static void ping_pong(void)
{
	unsigned n = rounds(20000);
	uint64_t start = rdtsc();

	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	trap_set_handler(VEC_PING, on_ball);
	ball = 0;
	smp_run(2, ping_pong_worker, &n);
	CHECK_EQ(ball, n);
	print("# ping_pong: %lu us for %u\n", (rdtsc() - start) * 1000 / tsc_per_ms(), n);
}

/* The same through memory: a waker sets a flag and sends, a sleeper tests and halts; all CPUs in pairs. */
static struct {
	volatile uint32_t work, done;
} __attribute__((aligned(64))) wake[MAX_CPUS / 2];

static void sleeper(unsigned pair, unsigned n)
{
	for (uint32_t i = 1; i <= n; i++) {
		irq_off();
		while (wake[pair].work != i) {
			irq_on_halt();
			irq_off();
		}
		wake[pair].done = i;
	}
}

static void wake_worker(void *arg)
{
	unsigned me = this_cpu()->index, pair = me / 2, n = *(unsigned *)arg;
	uint32_t seed = me + 1;

	spin_barrier_wait(&gate, running & ~1u);
	if (me & 1)
		return sleeper(pair, n);
	for (uint32_t i = 1; i <= n; i++) {
		for (uint32_t d = random_next(&seed) % 200; d; d--)
			barrier();
		wake[pair].work = i;
		apic_send(cpus[me + 1].apic_id, VEC_HIT);
		while (wake[pair].done != i)
			cpu_pause();
	}
}

static void halt_and_wake(void)
{
	unsigned n = rounds(10000);

	running = smp_start();
	if (running < 2)
		return test_skip("needs 2 CPUs");
	memset((void *)wake, 0, sizeof(wake));
	trap_set_handler(VEC_HIT, on_hit);
	smp_run(running & ~1u, wake_worker, &n);
}

/* Interrupts are not taken with IF clear, nor in the shadow of STI, and by priority when they are. */
static volatile uint8_t order[4];
static volatile unsigned nr_order;

static bool on_ordered(struct regs *r)
{
	if (nr_order < 4)
		order[nr_order] = (uint8_t)r->vector;
	nr_order++;
	apic_eoi();
	return true;
}

static void priorities(void)
{
	static const uint8_t vectors[] = {0x41, 0x91, 0x71};

	nr_order = 0;
	for (unsigned i = 0; i < 3; i++) {
		trap_set_handler(vectors[i], on_ordered);
		apic_send(0, ICR_SELF | vectors[i]);
	}
	CHECK_EQ(nr_order, 0);
	CHECK_EQ(apic_read(APIC_IRR + 0x20) >> 1 & 1, 1);
	asm volatile("sti; cli");
	CHECK_EQ(nr_order, 0);
	apic_write(APIC_TPR, 0x70);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(nr_order, 1);
	CHECK_EQ(order[0], 0x91);
	apic_write(APIC_TPR, 0);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(nr_order, 3);
	CHECK_EQ(order[1], 0x71);
	CHECK_EQ(order[2], 0x41);
	asm volatile("mov %0, %%cr8" : : "r"(9ul));
	CHECK_EQ(apic_read(APIC_TPR), 0x90);
	nr_order = 0;
	apic_send(0, ICR_SELF | 0x91);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(nr_order, 0);
	asm volatile("mov %0, %%cr8" : : "r"(0ul));
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(nr_order, 1);
}

/* ---- TLB shoot-down: a page is remapped back and forth; after everyone has acknowledged, nobody sees the old one. */

#define VEC_FLUSH 0x63

static struct {
	volatile uint64_t *window;
	uint64_t frames[2];
	volatile uint32_t acks;
	volatile uint32_t epoch; /* odd while the mapping is in doubt */
	uint8_t *code;
	volatile uint64_t looks;
} shoot;

static bool on_flush(struct regs *r)
{
	(void)r;
	invlpg(shoot.window);
	__atomic_add_fetch(&shoot.acks, 1, __ATOMIC_SEQ_CST);
	apic_eoi();
	return true;
}

static uint32_t call_window(void)
{
	uint32_t v;

	asm volatile("call *%1" : "=a"(v) : "r"((uint8_t *)shoot.window + 64) : "memory", "cc");
	return v;
}

static void shoot_watch(void)
{
	uint64_t looks = 0;

	irq_on();
	while (!stop) {
		uint32_t before = __atomic_load_n(&shoot.epoch, __ATOMIC_SEQ_CST), code;
		uint64_t data;

		data = *shoot.window;
		code = call_window();
		if ((before & 1) || __atomic_load_n(&shoot.epoch, __ATOMIC_SEQ_CST) != before)
			continue;
		looks++;
		if (data != before || code != before)
			test_fail("CPU %u: stale translation: epoch %u, data of %lu, code of %u", this_cpu()->index,
				  before, data, code);
	}
	irq_off();
	__atomic_add_fetch(&shoot.looks, looks, __ATOMIC_SEQ_CST);
}

/* The frame that comes next gets the new epoch as data and as code while it is not mapped. */
static void shoot_fill(uint64_t frame, uint32_t epoch)
{
	*(volatile uint64_t *)frame = epoch;
	*(volatile uint8_t *)(frame + 64) = 0xb8;
	*(volatile uint32_t *)(frame + 65) = epoch;
	*(volatile uint8_t *)(frame + 69) = 0xc3;
}

static void shoot_remap(uint64_t end)
{
	for (unsigned i = 1; rdtsc() < end; i++) {
		uint64_t frame = shoot.frames[i & 1];

		shoot_fill(frame, 2 * i);
		__atomic_store_n(&shoot.epoch, 2 * i - 1, __ATOMIC_SEQ_CST);
		*pte_of(shoot.window) = frame | PTE_P | PTE_W;
		shoot.acks = 0;
		apic_send(0, ICR_OTHERS | VEC_FLUSH);
		invlpg(shoot.window);
		while (shoot.acks != running - 1)
			cpu_pause();
		__atomic_store_n(&shoot.epoch, 2 * i, __ATOMIC_SEQ_CST);
		if (i % 16 == 0)
			delay_us(50);
	}
	stop = true;
}

static void shoot_worker(void *arg)
{
	(void)arg;
	spin_barrier_wait(&gate, running);
	if (this_cpu()->index == 0)
		shoot_remap(tsc_after_ms(opt_number("ms", 150) * 4));
	else
		shoot_watch();
}

static void tlb_shootdown(void)
{
	running = smp_start();
	if (running < 2)
		return test_skip("needs 2 CPUs");
	shoot.window = free_area(PAGE);
	shoot.frames[0] = page_alloc();
	shoot.frames[1] = page_alloc();
	shoot.epoch = 0;
	shoot.looks = 0;
	shoot_fill(shoot.frames[0], 0);
	map_page((void *)shoot.window, shoot.frames[0], PTE_P | PTE_W);
	trap_set_handler(VEC_FLUSH, on_flush);
	stop = false;
	smp_run(running, shoot_worker, NULL);
	print("# tlb_shootdown: %lu looks at %u mappings\n", shoot.looks, shoot.epoch / 2);
}

/* A/D bits set by several CPUs at once: none is lost, and the rest of the entry stays. */
static void dirty_worker(void *arg)
{
	volatile uint8_t *p = arg;

	spin_barrier_wait(&gate, running);
	for (unsigned i = 0; i < 64; i++)
		p[i * PAGE + this_cpu()->index] = 1;
}

static void dirty_bits(void)
{
	uint8_t *p = free_area(64 * PAGE);

	running = smp_start();
	for (unsigned i = 0; i < 64; i++)
		map_page(p + i * PAGE, page_alloc(), PTE_P | PTE_W | 0x200);
	smp_run(running, dirty_worker, p);
	for (unsigned i = 0; i < 64; i++)
		CHECK_EQ(*pte_of(p + i * PAGE) & 0xfff, PTE_P | PTE_W | PTE_A | PTE_D | 0x200);
}

/* A CPU is reset by INIT in whatever it does, and starts again. */
static void wait_forever(void *arg)
{
	(void)arg;
	for (;;)
		cpu_pause();
}

static void init_and_restart(void)
{
	running = smp_start();
	if (running < 2)
		return test_skip("needs 2 CPUs");
	for (unsigned i = 0; i < 20; i++) {
		struct cpu *c = &cpus[1 + i % (running - 1)];

		c->work = wait_forever;
		__atomic_add_fetch(&c->work_given, 1, __ATOMIC_SEQ_CST);
		apic_send(c->apic_id, VEC_WAKE);
		delay_us(i * 50);
		cpu_reset_to_idle(c);
	}
	trap_set_handler(VEC_HIT, on_hit);
	ipi_fixed();
}

/* ---- Local APIC timer */

#define VEC_TIMER 0x64

static volatile uint32_t ticks[MAX_CPUS];

static bool on_tick(struct regs *r)
{
	(void)r;
	ticks[this_cpu()->index]++;
	apic_eoi();
	return true;
}

/* Halts until the timer has come `n` times; the time since `start`, a time before it was set, in microseconds. */
static unsigned long wait_ticks(uint32_t n, uint64_t start)
{
	unsigned me = this_cpu()->index;
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (ticks[me] < n && rdtsc() < end) {
		irq_on_halt();
		irq_off();
	}
	return (rdtsc() - start) * 1000 / tsc_per_ms();
}

static unsigned long apic_ticks_per_ms(void)
{
	uint32_t before;

	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, 0xffffffff);
	before = apic_read(APIC_TIMER_NOW);
	delay_us(10000);
	before -= apic_read(APIC_TIMER_NOW);
	apic_write(APIC_TIMER_COUNT, 0);
	return before / 10;
}

static void timer_worker(void *arg)
{
	unsigned me = this_cpu()->index;
	unsigned long rate = *(unsigned long *)arg, us;
	uint64_t start = rdtsc();

	ticks[me] = 0;
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate * 5);
	us = wait_ticks(1, start);
	if (ticks[me] != 1 || us < 4900)
		test_fail("CPU %u: one-shot of 5 ms: %u after %lu us", me, ticks[me], us);
	if (apic_read(APIC_TIMER_NOW))
		test_fail("one-shot timer counts on");
	ticks[me] = 0;
	start = rdtsc();
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_PERIODIC);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate * 2);
	us = wait_ticks(10, start);
	if (ticks[me] < 10 || us < 18000)
		test_fail("CPU %u: periodic of 2 ms: %u after %lu us", me, ticks[me], us);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_COUNT, 0);
	asm volatile("sti; nop; nop; cli");
}

static void apic_timer(void)
{
	unsigned long rate = apic_ticks_per_ms();

	CHECK(rate > 0);
	trap_set_handler(VEC_TIMER, on_tick);
	smp_run(smp_start(), timer_worker, &rate);
}

/* Sets a deadline and takes it back before it has come; a host that is slow at that gets twice the time. */
static void take_back_deadline(void)
{
	uint64_t deadline, back;

	for (unsigned long ms = 1;; ms *= 2) {
		deadline = tsc_after_ms(ms);
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wrmsr(MSR_TSC_DEADLINE, 0);
		back = rdtsc();
		if (back < deadline)
			break;
		asm volatile("sti; nop; nop; cli");
		ticks[this_cpu()->index] = 0;
	}
	while (rdtsc() < deadline + 2 * tsc_per_ms())
		cpu_pause();
	asm volatile("sti; nop; nop; cli");
}

static void deadline_worker(void *arg)
{
	unsigned me = this_cpu()->index;
	unsigned long us;

	(void)arg;
	ticks[me] = 0;
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_DEADLINE);
	mfence();
	for (uint32_t i = 1; i <= 10; i++) {
		uint64_t start = rdtsc(), deadline = tsc_after_ms(2);

		wrmsr(MSR_TSC_DEADLINE, deadline);
		us = wait_ticks(i, start);
		if (rdtsc() < deadline || ticks[me] != i)
			test_fail("CPU %u: deadline %u: %u after %lu us", me, i, ticks[me], us);
		if (rdmsr(MSR_TSC_DEADLINE))
			test_fail("the deadline is still there when it has passed");
	}
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000); /* in the past: at once */
	wait_ticks(11, 0);
	if (ticks[me] != 11)
		test_fail("a deadline in the past: no interrupt");
	ticks[me] = 0;
	take_back_deadline();
	if (ticks[me])
		test_fail("a deadline that was taken back has fired");
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
}

static void deadline_timer(void)
{
	if (!(cpuid(1, 0).ecx & 1u << 24))
		return test_skip("no TSC deadline");
	trap_set_handler(VEC_TIMER, on_tick);
	smp_run(smp_start(), deadline_worker, NULL);
}

/* A timer interrupts a loop that never leaves on its own. */
static void timer_against_loop(void)
{
	unsigned long rate = apic_ticks_per_ms();
	volatile uint32_t *p = &ticks[0];

	trap_set_handler(VEC_TIMER, on_tick);
	*p = 0;
	apic_write(APIC_LVT_TIMER, VEC_TIMER | LVT_PERIODIC);
	apic_write(APIC_TIMER_COUNT, (uint32_t)rate);
	asm volatile("sti\n1: cmpl $20, %0\n\tjb 1b\n\tcli" : : "m"(*p) : "memory", "cc");
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	CHECK(*p >= 20);
}

/* The time-stamp counters of all CPUs are one: it never goes back from one CPU to the next. */
static volatile uint64_t last_tsc;
static struct spinlock tsc_lock;

static void tsc_worker(void *arg)
{
	(void)arg;
	spin_barrier_wait(&gate, running);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now;

		spin_lock(&tsc_lock);
		asm volatile("lfence");
		now = rdtsc();
		if (now < last_tsc)
			test_fail("the time-stamp counter went back by %lu", last_tsc - now);
		last_tsc = now;
		spin_unlock(&tsc_lock);
	}
}

static void tsc_is_one(void)
{
	running = smp_start();
	last_tsc = 0;
	smp_run(running, tsc_worker, NULL);
}

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
	RT_TEST(priorities),
	RT_TEST(ipi_fixed),
	RT_TEST(ipi_shorthands),
	RT_TEST(ipi_nmi),
	RT_TEST(ping_pong),
	RT_TEST(halt_and_wake),
	RT_TEST(tlb_shootdown),
	RT_TEST(dirty_bits),
	RT_TEST(init_and_restart),
	RT_TEST(apic_timer),
	RT_TEST(deadline_timer),
	RT_TEST(timer_against_loop),
	RT_TEST(tsc_is_one),
	{0},
};
