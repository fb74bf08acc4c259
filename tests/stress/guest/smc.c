/* SPDX-License-Identifier: MIT */
/*
 * Self-modifying and cross-modifying code (Intel SDM vol. 3, 8.1.3; AMD APM vol. 2, 7.6.1). Any result that shows code
 * older than the architecture allows is a stale execution; the number of them must be zero.
 *
 * Command line: cpus=N seconds=N (per variant; default: short) seed=N only=VARIANT.
 */
#include "rt64.h"

/* ---- One CPU */

uint32_t smc_next_insn(uint32_t v), smc_backward(uint32_t v), smc_loop(uint32_t v), smc_rep(uint32_t v);
uint32_t smc_page_cross(uint32_t v), smc_locked(uint32_t v);

static void self_modifying(void)
{
	for (uint32_t i = 1; i < 300; i++) {
		CHECK_EQ(smc_next_insn(i), i);
		CHECK_EQ(smc_backward(i), i);
		CHECK_EQ(smc_loop(i), i * (i + 1) / 2);
		CHECK_EQ(smc_rep(i), i);
		CHECK_EQ(smc_page_cross(i), i);
		CHECK_EQ(smc_locked(i), i);
	}
}

/* A function "mov $value, %eax; ret" anywhere. */
static void put_function(uint8_t *p, uint32_t value)
{
	p[0] = 0xb8;
	*(volatile uint32_t *)(p + 1) = value;
	p[5] = 0xc3;
}

static uint32_t call_function(const uint8_t *p)
{
	uint32_t v;

	asm volatile("xorl %%eax, %%eax\n\tcall *%1" : "=&a"(v) : "r"(p) : "memory", "cc");
	return v;
}

static uint8_t *code_area(unsigned pages)
{
	uint8_t *va = free_area(pages * PAGE);

	for (unsigned i = 0; i < pages; i++)
		map_page(va + i * PAGE, page_alloc(), PTE_P | PTE_W);
	return va;
}

/* A second mapping of the same memory. */
static uint8_t *alias_of(uint8_t *area, unsigned pages)
{
	uint8_t *va = free_area(pages * PAGE);

	for (unsigned i = 0; i < pages; i++)
		map_page(va + i * PAGE, *pte_of(area + i * PAGE) & PTE_ADDR, PTE_P | PTE_W);
	return va;
}

static void through_alias(void)
{
	uint8_t *run = code_area(2), *write = alias_of(run, 2);

	for (unsigned off = 0; off < 64; off += 7) {
		for (uint32_t i = 1; i < 100; i++) {
			put_function(write + PAGE - 32 + off, i);
			CHECK_EQ(call_function(run + PAGE - 32 + off), i);
		}
	}
}

/* Every offset about a page end, all bytes of the function rewritten one by one. */
static void across_page_end(void)
{
	uint8_t *area = code_area(2);

	for (unsigned off = 0; off < 12; off++) {
		uint8_t *p = area + PAGE - 10 + off;

		for (uint32_t i = 1; i < 50; i++) {
			put_function(p, i * 0x01010101u);
			CHECK_EQ(call_function(p), i * 0x01010101u);
		}
	}
}

/* Data beside code: stores that hit no code byte, and then do. */
static void data_beside_code(void)
{
	uint8_t *area = code_area(1);
	volatile uint32_t *data = (volatile uint32_t *)(area + 64);

	put_function(area, 5);
	for (uint32_t i = 0; i < 5000; i++) {
		data[i % 64] = i;
		CHECK_EQ(data[i % 64], i);
		if (i % 50 == 0)
			put_function(area + 16, i);
		CHECK_EQ(call_function(area), 5);
		CHECK_EQ(call_function(area + 16), i / 50 * 50);
	}
}

/* Code that comes into a page by other ways than a plain store: remapping, a large page, the page's write-protection.
 */
static void remapped(void)
{
	uint8_t *va = code_area(1), *a = (uint8_t *)page_alloc(), *b = (uint8_t *)page_alloc();

	put_function(a, 1);
	put_function(b, 2);
	for (unsigned i = 0; i < 2000; i++) {
		map_page(va, (uint64_t)(i & 1 ? b : a), PTE_P | PTE_W);
		invlpg(va);
		CHECK_EQ(call_function(va), 1 + (i & 1));
	}
	map_page(va, (uint64_t)a, PTE_P);
	invlpg(va);
	for (unsigned i = 0; i < 500; i++) {
		put_function(a, i);
		CHECK_EQ(call_function(va), i);
	}
}

/* ---- Several CPUs */

#define NR_FUNCTIONS   64
#define FUNCTION_BYTES 64

/*
 * A function and what it must return. Writers hold the lock for writing while they change the code; runners hold it for
 * reading, and execute a serializing instruction, while they run it: the handshake of the manuals.
 */
struct function {
	volatile int32_t lock; /* readers, or -1 */
	volatile uint32_t expected;
	uint8_t *write, *run;
};

static struct {
	struct function f[NR_FUNCTIONS];
	unsigned cpus, writers;
	uint64_t end;
	volatile bool stop;
	volatile uint32_t *data; /* words between the functions, for stores that are not code */
	struct spin_barrier start;
	volatile uint64_t runs, rewrites, stale;
} s;

static void lock_read(struct function *f)
{
	for (;;) {
		int32_t v = f->lock;

		if (v >= 0 &&
		    __atomic_compare_exchange_n(&f->lock, &v, v + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		cpu_pause();
	}
}

static void unlock_read(struct function *f)
{
	__atomic_sub_fetch(&f->lock, 1, __ATOMIC_RELEASE);
}

static void lock_write(struct function *f)
{
	int32_t none = 0;

	while (!__atomic_compare_exchange_n(&f->lock, &none, -1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		none = 0;
		cpu_pause();
	}
}

static void unlock_write(struct function *f)
{
	__atomic_store_n(&f->lock, 0, __ATOMIC_RELEASE);
}

/* Ways to write six bytes. */
static void rewrite(struct function *f, uint32_t value, uint32_t how)
{
	uint8_t code[8];

	switch (how % 5) {
	case 0:
		*(volatile uint32_t *)(f->write + 1) = value;
		break;
	case 1:
		for (unsigned i = 0; i < 4; i++)
			((volatile uint8_t *)f->write)[1 + i] = (uint8_t)(value >> 8 * i);
		break;
	case 2:
		put_function(code, value);
		memcpy(f->write, code, 6);
		break;
	case 3:
		memset(f->write, 0xcc, 6);
		put_function(f->write, value);
		break;
	case 4: /* a different shape: push $imm32; pop %rax; ret */
		code[0] = 0x68;
		*(uint32_t *)(code + 1) = value;
		code[5] = 0x58;
		code[6] = 0xc3;
		memcpy(f->write, code, 7);
		break;
	}
	if (how % 5 < 2 && f->write[0] != 0xb8)
		put_function(f->write, value);
}

static void count(volatile uint64_t *to, uint64_t n)
{
	__atomic_add_fetch(to, n, __ATOMIC_RELAXED);
}

static void report_stale(const struct function *f, uint32_t got, uint32_t should)
{
	count(&s.stale, 1);
	test_fail("stale execution on CPU %u: function %u returned %x, not %x", this_cpu()->index, (unsigned)(f - s.f),
		  got, should);
}

static void writer_turn(uint32_t *seed)
{
	struct function *f = &s.f[random_next(seed) % NR_FUNCTIONS];
	uint32_t value = random_next(seed) & 0x7fffffff;

	lock_write(f);
	rewrite(f, value, random_next(seed));
	f->expected = value;
	unlock_write(f);
	if (s.data)
		for (unsigned i = 0; i < 8; i++)
			s.data[(random_next(seed) % NR_FUNCTIONS) * FUNCTION_BYTES / 4] = value;
}

static void runner_turn(uint32_t *seed)
{
	struct function *f = &s.f[random_next(seed) % NR_FUNCTIONS];
	uint32_t got, should;

	lock_read(f);
	serialize();
	should = f->expected;
	got = call_function(f->run);
	unlock_read(f);
	if (got != should)
		report_stale(f, got, should);
}

static bool time_is_up(void)
{
	return s.stop || rdtsc() >= s.end;
}

static void locked_worker(void *arg)
{
	unsigned index = this_cpu()->index;
	uint32_t seed = (uint32_t)opt_number("seed", 1) * 2654435761u + index;
	bool writer = index < s.writers;
	bool runner = !writer || s.cpus == 1;
	uint64_t turns = 0;

	(void)arg;
	spin_barrier_wait(&s.start, s.cpus);
	for (; !time_is_up(); turns += 16) {
		for (unsigned i = 0; i < 16 && writer; i++)
			writer_turn(&seed);
		for (unsigned i = 0; i < 16 && runner; i++)
			runner_turn(&seed);
	}
	count(&s.rewrites, writer ? turns : 0);
	count(&s.runs, runner ? turns : 0);
}

/* Functions `stride` bytes apart from `offset` on. */
static void place_functions(uint8_t *write, uint8_t *run, unsigned offset, unsigned stride)
{
	for (unsigned i = 0; i < NR_FUNCTIONS; i++) {
		struct function *f = &s.f[i];

		*f = (struct function){.write = write + offset + i * stride, .run = run + offset + i * stride};
		put_function(f->write, 0);
	}
}

static void prepare(unsigned cpus)
{
	s.cpus = cpus;
	s.writers = cpus > 1 ? cpus / 2 : 1;
	s.stop = false;
	s.start = (struct spin_barrier){0};
	s.runs = s.rewrites = s.stale = 0;
	s.end = rdtsc() + (opt_number("seconds", 0) ? (uint64_t)tsc_per_ms() * 1000 * opt_number("seconds", 0)
						    : (uint64_t)tsc_per_ms() * opt_number("ms", 300));
}

static void run_workers(const char *name, void (*fn)(void *))
{
	smp_run(s.cpus, fn, NULL);
	print("# %s: %u CPUs, %u writers, %lu rewrites, %lu runs, %lu stale\n", name, s.cpus, s.writers, s.rewrites,
	      s.runs, s.stale);
	CHECK_EQ(s.stale, 0);
}

/* Each function on a page of its own. */
static void locked_private_pages(void)
{
	uint8_t *area = code_area(NR_FUNCTIONS);

	place_functions(area, area, 32, PAGE);
	s.data = NULL;
	prepare(smp_start());
	run_workers("private pages", locked_worker);
}

/* Functions and data that is written all the time, 64 bytes apart in one page. */
static void locked_shared_page(void)
{
	uint8_t *area = code_area(1);

	place_functions(area, area, 0, FUNCTION_BYTES);
	s.data = (volatile uint32_t *)(area + 32);
	prepare(smp_start());
	run_workers("shared page with data", locked_worker);
	s.data = NULL;
}

/* Functions that begin in one page and end in the next. */
static void locked_page_crossing(void)
{
	uint8_t *area = code_area(NR_FUNCTIONS + 1);

	place_functions(area, area, PAGE - 3, PAGE);
	prepare(smp_start());
	run_workers("page-crossing functions", locked_worker);
}

/* Written at one address, run at another. */
static void locked_alias(void)
{
	uint8_t *area = code_area(2), *alias = alias_of(area, 2);

	place_functions(area, alias, PAGE - NR_FUNCTIONS * FUNCTION_BYTES / 2, FUNCTION_BYTES);
	prepare(smp_start());
	run_workers("through an alias", locked_worker);
}

/*
 * Live patching of an aligned immediate without any lock: a runner may see the old or the new value, but after a
 * serializing instruction none older than what was published before it, and the values it sees never go back.
 */
#define NR_LIVE 16

static struct {
	uint8_t *code[NR_LIVE]; /* the immediate is at 8 bytes from a boundary of 256 */
	uint32_t (*call)(const uint8_t *code);
	volatile uint32_t published[NR_LIVE] __attribute__((aligned(64)));
} live;

static void live_writer(unsigned writers, unsigned index)
{
	uint64_t n = 0;

	while (!time_is_up()) {
		for (unsigned i = index; i < NR_LIVE; i += writers) {
			uint32_t v = live.published[i] + 1;

			*(volatile uint32_t *)(((uint64_t)live.code[i] & ~255ul) + 8) = v;
			live.published[i] = v;
		}
		n += NR_LIVE / writers;
	}
	count(&s.rewrites, n);
}

static void live_runner(void)
{
	uint32_t seen[NR_LIVE] = {0};
	uint64_t n = 0;

	while (!time_is_up()) {
		for (unsigned i = 0; i < NR_LIVE; i++, n++) {
			uint32_t before = live.published[i], got;

			serialize();
			got = live.call(live.code[i]);
			if (got < before || got < seen[i] || got > live.published[i] + 1) {
				count(&s.stale, 1);
				test_fail("function %u returned %u; published %u before, seen %u", i, got, before,
					  seen[i]);
			}
			seen[i] = got;
		}
	}
	count(&s.runs, n);
}

static void live_worker(void *arg)
{
	unsigned index = this_cpu()->index;

	(void)arg;
	spin_barrier_wait(&s.start, s.cpus);
	if (index < s.writers)
		live_writer(s.writers, index);
	else
		live_runner();
}

static void live_patching(void)
{
	uint8_t *area = code_area(1);

	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	for (unsigned i = 0; i < NR_LIVE; i++) {
		live.code[i] = area + i * 256 + 7;
		put_function(live.code[i], 0);
		live.published[i] = 0;
	}
	live.call = call_function;
	prepare(nr_cpus);
	run_workers("live patching", live_worker);
}

/* The same in code segments of 32 and 16 bits, on user level: "mov $value, %eax; int $0x80", in a page that is written at its other address. */
#define SEL_CODE16 (SEL_TEST + 3)

static uint32_t run_user(uint16_t cs, uint64_t ip, const uint8_t *code)
{
	struct regs r;
	struct trap t;

	user_regs(&r, code, true);
	r.cs = cs;
	r.rip = ip;
	run_regs(&r, &t); /* its IRET serializes, too */
	if (t.r.vector != 0x80)
		test_fail("vector %lu at %lx:%lx", t.r.vector, t.r.cs, t.r.rip);
	return (uint32_t)t.r.rax;
}

static uint32_t call_32(const uint8_t *code)
{
	return run_user(SEL_UCODE32, USER_ADDR(code), code);
}

static uint32_t call_16(const uint8_t *code)
{
	return run_user(SEL_CODE16, (uint64_t)code & (PAGE - 1), code);
}

/* With an operand size prefix, or none. */
static void put_user_function(uint8_t *immediate, bool prefix)
{
	if (prefix)
		immediate[-2] = 0x66;
	immediate[-1] = 0xb8;
	*(volatile uint32_t *)immediate = 0;
	immediate[4] = 0xcd;
	immediate[5] = 0x80;
}

static void live_patching_of(const char *name, bool sixteen)
{
	uint8_t *page;

	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	page = (uint8_t *)page_alloc();
	gdt_set(SEL_TEST, gdt_segment((uint32_t)USER_ADDR(page), PAGE - 1, 0xfa, 0), 0);
	for (unsigned i = 0; i < NR_LIVE; i++) {
		put_user_function(page + i * 256 + 8, sixteen);
		live.code[i] = page + i * 256 + (sixteen ? 6 : 7);
		live.published[i] = 0;
	}
	live.call = sixteen ? call_16 : call_32;
	prepare(nr_cpus);
	run_workers(name, live_worker);
}

static void live_patching_32(void)
{
	live_patching_of("live patching, 32-bit code", false);
}

static void live_patching_16(void)
{
	live_patching_of("live patching, 16-bit code", true);
}

/*
 * Breakpoint patching as kernels do it: first byte to INT3, all CPUs serialize, the tail, all CPUs serialize, the first
 * byte. Runners call the function all the time; a CPU that hits the breakpoint tries again.
 */
#define VEC_SYNC 0x60

static uint8_t *poke_site;
static volatile uint32_t poke_acks, poke_hits, poke_version;

static bool on_sync(struct regs *r)
{
	(void)r;
	serialize();
	__atomic_add_fetch(&poke_acks, 1, __ATOMIC_RELEASE);
	apic_eoi();
	return true;
}

static bool on_breakpoint(struct regs *r)
{
	if (r->rip != (uint64_t)poke_site + 1)
		return false;
	r->rip--;
	__atomic_add_fetch(&poke_hits, 1, __ATOMIC_RELAXED);
	cpu_pause();
	return true;
}

static void sync_all(void)
{
	poke_acks = 0;
	apic_send(0, ICR_OTHERS | VEC_SYNC);
	while (poke_acks < s.cpus - 1)
		cpu_pause();
	serialize();
}

/* One instruction in another's place, of the same length: MOV, ADD, OR or XOR of an immediate to EAX, which is 0. */
static void poke_writer(void)
{
	static const uint8_t opcodes[] = {0xb8, 0x05, 0x0d, 0x35};

	while (!time_is_up()) {
		uint32_t v = poke_version + 1;

		*(volatile uint8_t *)poke_site = 0xcc;
		sync_all();
		*(volatile uint32_t *)(poke_site + 1) = v;
		sync_all();
		*(volatile uint8_t *)poke_site = opcodes[v % 4];
		sync_all();
		poke_version = v;
		count(&s.rewrites, 1);
	}
	s.stop = true;
}

static void poke_runner(void)
{
	uint32_t seen = 0;
	uint64_t n = 0;

	irq_on();
	for (; !s.stop; n++) {
		uint32_t before = poke_version, got = call_function(poke_site);

		if (got < before || got < seen || got > before + 200000) {
			count(&s.stale, 1);
			test_fail("got %u; published %u before, seen %u", got, before, seen);
		}
		seen = got;
	}
	irq_off();
	count(&s.runs, n);
}

static void poke_worker(void *arg)
{
	(void)arg;
	spin_barrier_wait(&s.start, s.cpus);
	if (this_cpu()->index == 0)
		poke_writer();
	else
		poke_runner();
}

static void breakpoint_patching(void)
{
	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	poke_site = code_area(2) + PAGE - 3;
	put_function(poke_site, 0);
	poke_version = poke_hits = 0;
	trap_set_handler(VEC_BP, on_breakpoint);
	trap_set_handler(VEC_SYNC, on_sync);
	prepare(nr_cpus);
	s.writers = 1;
	run_workers("breakpoint patching", poke_worker);
	trap_set_handler(VEC_BP, NULL);
	print("# breakpoint patching: %u hits\n", poke_hits);
}

/* Each CPU writes and runs code of its own, all in the same pages. */
static void own_worker(void *arg)
{
	uint8_t *area = arg;
	unsigned index = this_cpu()->index;
	uint32_t seed = (uint32_t)opt_number("seed", 1) + index;
	uint64_t n = 0;

	spin_barrier_wait(&s.start, s.cpus);
	for (; !time_is_up(); n++) {
		uint8_t *p = area + (random_next(&seed) % 64) * 64 * MAX_CPUS / 16 + index * 16;
		uint32_t v = random_next(&seed), got;

		put_function(p, v);
		got = call_function(p);
		if (got != v) {
			count(&s.stale, 1);
			test_fail("stale execution on CPU %u: %x, not %x", index, got, v);
		}
	}
	count(&s.rewrites, n);
	count(&s.runs, n);
}

static void own_code_in_shared_pages(void)
{
	uint8_t *area = code_area(64 * 64 * MAX_CPUS / 16 / PAGE + 1);
	unsigned cpus = smp_start();

	prepare(cpus);
	s.writers = cpus;
	s.cpus = cpus;
	smp_run(cpus, own_worker, area);
	print("# own code in shared pages: %u CPUs, %lu rewrites, %lu stale\n", cpus, s.rewrites, s.stale);
	CHECK_EQ(s.stale, 0);
}

/*
 * A JIT compiler's way: fresh code into a ring of slots, published by a pointer, run by the others once, then reused
 * after everyone has moved on and serialized.
 */
#define RING 256

static struct {
	uint8_t *slots;
	volatile uint32_t head __attribute__((aligned(64)));
	volatile uint32_t tail[MAX_CPUS] __attribute__((aligned(64)));
} ring;

static uint32_t ring_value(uint32_t n)
{
	return n * 2654435761u;
}

static uint32_t ring_slowest(void)
{
	uint32_t min = ring.tail[1];

	for (unsigned i = 2; i < s.cpus; i++)
		if ((int32_t)(ring.tail[i] - min) < 0)
			min = ring.tail[i];
	return min;
}

static void ring_producer(void)
{
	while (!time_is_up()) {
		uint32_t n = ring.head;

		while (n - ring_slowest() >= RING && !time_is_up())
			cpu_pause();
		if (n - ring_slowest() >= RING)
			break;
		put_function(ring.slots + n % RING * 48, ring_value(n));
		__atomic_store_n(&ring.head, n + 1, __ATOMIC_RELEASE);
		count(&s.rewrites, 1);
	}
	s.stop = true;
}

static void ring_consumer(unsigned index)
{
	for (uint32_t n = 0; !s.stop;) {
		uint32_t head = __atomic_load_n(&ring.head, __ATOMIC_ACQUIRE);

		if (head == n)
			cpu_pause();
		serialize();
		for (; n != head; n++) {
			uint32_t got = call_function(ring.slots + n % RING * 48);

			if (got != ring_value(n)) {
				count(&s.stale, 1);
				test_fail("stale execution on CPU %u: number %u returned %x, not %x", index, n, got,
					  ring_value(n));
			}
			count(&s.runs, 1);
		}
		__atomic_store_n(&ring.tail[index], n, __ATOMIC_RELEASE);
	}
}

static void ring_worker(void *arg)
{
	(void)arg;
	spin_barrier_wait(&s.start, s.cpus);
	if (this_cpu()->index == 0)
		ring_producer();
	else
		ring_consumer(this_cpu()->index);
}

static void generated_code(void)
{
	if (smp_start() < 2)
		return test_skip("needs 2 CPUs");
	ring.slots = code_area(RING * 48 / PAGE + 1);
	ring.head = 0;
	for (unsigned i = 0; i < MAX_CPUS; i++)
		ring.tail[i] = 0;
	prepare(nr_cpus);
	s.writers = 1;
	run_workers("generated code", ring_worker);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(self_modifying),
	RT_TEST(through_alias),
	RT_TEST(across_page_end),
	RT_TEST(data_beside_code),
	RT_TEST(remapped),
	RT_TEST(locked_private_pages),
	RT_TEST(locked_shared_page),
	RT_TEST(locked_page_crossing),
	RT_TEST(locked_alias),
	RT_TEST(live_patching),
	RT_TEST(live_patching_32),
	RT_TEST(live_patching_16),
	RT_TEST(breakpoint_patching),
	RT_TEST(own_code_in_shared_pages),
	RT_TEST(generated_code),
	{0},
};
