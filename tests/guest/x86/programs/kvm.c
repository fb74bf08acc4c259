/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual clock and IPIs (Linux, Documentation/virt/kvm/x86: cpuid.rst, msr.rst, hypercalls.rst). What is not announced is skipped.
 */
#include "rt64.h"

#define F_CLOCK	 0x1u
#define F_CLOCK2 0x8u
#define F_PV_IPI 0x800u
#define F_STABLE 0x1000000u

#define MSR_WALL_OLD   0x11u
#define MSR_SYSTEM_OLD 0x12u
#define MSR_WALL       0x4b564d00u
#define MSR_SYSTEM     0x4b564d01u

#define HC_SEND_IPI 10
#define K_EPERM	    (-1)
#define K_EINVAL    (-22)
#define K_ENOSYS    (-1000)

#define VEC_HIT	  0x63
#define TSC_STEP  0x100000000000ul /* an hour or more */
#define A_WHILE_NS (10 * PATIENCE_MS * NS_PER_MS) /* less, and longer than any host stops a CPU */
#define NS_PER_MS 1000000ul

struct clock_page {
	volatile uint32_t version;
	uint32_t pad;
	volatile uint64_t tsc, ns;
	volatile uint32_t factor;
	volatile int8_t shift;
	volatile uint8_t flags;
	uint8_t pad2[2];
};

struct wall_page {
	volatile uint32_t version, seconds, ns;
};

static struct clock_page pages[MAX_CPUS] __attribute__((aligned(64)));
static uint8_t two_pages[2 * PAGE] __attribute__((aligned(4096)));
static unsigned running;

static bool missing(uint32_t features)
{
	bool kvm = cpuid(1, 0).ecx >> 31 && cpuid(0x40000000, 0).ebx == 0x4b4d564b; /* "KVMK" */

	if (kvm && (cpuid(0x40000001, 0).eax & features) == features)
		return false;
	test_skip("not announced");
	return true;
}

/* ---- The clock */

static uint64_t page_read(const struct clock_page *p)
{
	uint32_t version;
	uint64_t ns, ticks;

	do {
		version = p->version & ~1u;
		ticks = rdtsc() - p->tsc;
		ticks = p->shift < 0 ? ticks >> -p->shift : ticks << p->shift;
		ns = p->ns + (uint64_t)((unsigned __int128)ticks * p->factor >> 32);
	} while (p->version != version);
	return ns;
}

static bool is_on(const struct clock_page *p)
{
	return p->version && !(p->version & 1) && p->factor && !p->pad;
}

/* Against the ACPI PM timer, on which the TSC's rate is measured, and the TSC itself. */
static void time_passes(uint32_t msr)
{
	uint64_t before, ns, tsc, ticks, ms = 50;
	struct clock_page *p = &pages[0];

	memset(p, 0, sizeof(*p));
	wrmsr(msr, (uint64_t)p | 1);
	CHECK(is_on(p));
	CHECK(rdmsr(msr) == ((uint64_t)p | 1));
	tsc = rdtsc();
	before = page_read(p);
	delay_us(ms * 1000);
	ns = page_read(p) - before;
	ticks = rdtsc() - tsc;
	if (ns < ms * NS_PER_MS * 99 / 100)
		return test_fail("%lu ns of %lu ms", (unsigned long)ns, (unsigned long)ms);
	/* The readings are not at one time: the TSC's are the first and the last, so what lies between only adds to its time. */
	if (ns > ticks * NS_PER_MS / tsc_per_ms() * 102 / 100)
		return test_fail("%lu ns in %lu ticks of %lu per ms", (unsigned long)ns, (unsigned long)ticks, tsc_per_ms());
	CHECK(is_on(p));
}

static void system_time(void)
{
	if (!missing(F_CLOCK | F_CLOCK2))
		time_passes(MSR_SYSTEM);
}

static void old_numbers(void)
{
	struct wall_page *w = (struct wall_page *)two_pages;

	if (missing(F_CLOCK))
		return;
	time_passes(MSR_SYSTEM_OLD);
	*w = (struct wall_page){0};
	wrmsr(MSR_WALL_OLD, (uint64_t)w);
	CHECK(w->version == 2 && w->seconds && w->ns < 1000000000);
}

/* Plus the system time it is the time of day, at any time. 2020 to 2106. */
static void wall_clock(void)
{
	struct wall_page *w = (struct wall_page *)two_pages, first;
	int64_t apart;

	if (missing(F_CLOCK | F_CLOCK2))
		return;
	*w = (struct wall_page){0};
	wrmsr(MSR_WALL, (uint64_t)w);
	first = *w;
	CHECK(first.version == 2 && first.seconds > 1577836800u && first.ns < 1000000000u);
	delay_us(20000);
	CHECK(!memcmp(w, &first, sizeof(first)));
	wrmsr(MSR_WALL, (uint64_t)w);
	CHECK_EQ(w->version, 4);
	apart = (int64_t)(w->seconds - first.seconds) * 1000000000 + (int64_t)w->ns - (int64_t)first.ns;
	if (apart < -10000000 || apart > 10000000)
		test_fail("moved by %ld ns", (long)apart);
}

/* Without the bit, or with the area elsewhere, the page is left alone. */
static void switched_off(void)
{
	struct clock_page *p = &pages[0], before;
	uint64_t tsc;

	if (missing(F_CLOCK | F_CLOCK2))
		return;
	memset(p, 0, sizeof(*p));
	wrmsr(MSR_SYSTEM, (uint64_t)p);
	CHECK(!p->version);
	wrmsr(MSR_SYSTEM, (uint64_t)p | 1);
	CHECK(is_on(p));
	wrmsr(MSR_SYSTEM, (uint64_t)p);
	before = *p;
	tsc = rdmsr(0x3b);
	wrmsr(0x3b, tsc + TSC_STEP);
	CHECK(!memcmp(p, &before, sizeof(before)));
	wrmsr(0x3b, tsc);
	CHECK(!memcmp(p, &before, sizeof(before)));
	wrmsr(MSR_SYSTEM, 0);
}

/* Who moves the TSC finds the same time; and sees that CPUs no longer agree. */
static void moved_tsc(void)
{
	struct clock_page *p = &pages[0];
	uint64_t before, after, adjust = rdmsr(0x3b);
	uint32_t version;

	if (missing(F_CLOCK | F_CLOCK2))
		return;
	wrmsr(MSR_SYSTEM, (uint64_t)p | 1);
	CHECK_EQ(p->flags & 1, cpuid(0x40000001, 0).eax & F_STABLE ? 1 : 0);
	version = p->version;
	before = page_read(p);
	wrmsr(0x3b, adjust + TSC_STEP);
	after = page_read(p);
	CHECK_EQ(p->version, version + 2);
	CHECK(after >= before && after - before < A_WHILE_NS);
	CHECK_EQ(p->flags & 1, 0);
	wrmsr(MSR_TSC, rdtsc() - 2 * TSC_STEP);
	before = page_read(p);
	CHECK(before >= after && before - after < A_WHILE_NS);
	CHECK_EQ(p->flags & 1, 0);
	wrmsr(0x3b, adjust);
	after = page_read(p);
	CHECK(after >= before && after - before < A_WHILE_NS);
	CHECK_EQ(p->flags & 1, cpuid(0x40000001, 0).eax & F_STABLE ? 1 : 0);
	wrmsr(MSR_SYSTEM, 0);
}

/* Addresses that are no memory for it: nothing happens, there or elsewhere. */
static void bad_addresses(void)
{
	static const uint64_t where[] = {
		0xfee00000, 0xfed00000, 0xa0000, 0xb8000, 0xf0000, 0xfffffff0, 0xffffffe0, 0x3ffffff0, 0x40000000, 0x8000000000,
		1ull << 40, 1ull << 52, 1ull << 63, ~0ull << 2, ~0ull << 5, ~0ull << 12,
	};
	struct clock_page *p = &pages[1];

	if (missing(F_CLOCK | F_CLOCK2))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(where); i++) {
		wrmsr(MSR_SYSTEM, where[i] | 1);
		CHECK(rdmsr(MSR_SYSTEM) == (where[i] | 1));
		wrmsr(MSR_WALL, where[i]);
	}
	memset(p, 0, sizeof(*p));
	for (unsigned off = 1; off < 4; off++) {
		wrmsr(MSR_WALL, (uint64_t)p + off);
		wrmsr(MSR_SYSTEM, ((uint64_t)p + off) | 1);
		CHECK(off == 1 ? is_on(p) : !p->version);
		memset(p, 0, sizeof(*p));
	}
	wrmsr(MSR_SYSTEM, 0);
}

/* Over the end of a page, in which there is code. */
static void across_pages(void)
{
	static const uint8_t code[] = {0xb8, 1, 0, 0, 0, 0xc3}; /* mov $1, %eax; ret */
	uint8_t *at = two_pages + PAGE;
	struct clock_page *p = (struct clock_page *)(at - 12);
	int (*fn)(void);

	if (missing(F_CLOCK | F_CLOCK2))
		return;
	memset(two_pages, 0, sizeof(two_pages));
	memcpy(at, code, sizeof(code));
	asm volatile("" : "=r"(fn) : "0"(at) : "memory");
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(fn(), 1);
	wrmsr(MSR_SYSTEM, (uint64_t)p | 1);
	CHECK(is_on(p));
	CHECK(memcmp(at, code, sizeof(code)));
	memcpy(at, code, sizeof(code));
	CHECK_EQ(fn(), 1);
	wrmsr(MSR_SYSTEM, 0);
}

static volatile uint64_t last_seen;
static struct spinlock last_lock;

/* One after the other, each by its own page: time does not go back from CPU to CPU. */
static void look(void *arg)
{
	struct clock_page *p = &pages[this_cpu()->index];

	(void)arg;
	memset(p, 0, sizeof(*p));
	wrmsr(MSR_SYSTEM, (uint64_t)p | 1);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now;

		spin_lock(&last_lock);
		now = page_read(p);
		if (now < last_seen)
			test_fail("CPU %u: %lu after %lu", this_cpu()->index, (unsigned long)now, (unsigned long)last_seen);
		last_seen = now;
		spin_unlock(&last_lock);
	}
}

static void off(void *arg)
{
	(void)arg;
	wrmsr(MSR_SYSTEM, 0);
}

static void cpus_agree(void)
{
	if (missing(F_CLOCK | F_CLOCK2))
		return;
	running = smp_start();
	last_seen = 0;
	smp_run(running, look, NULL);
	for (unsigned i = 1; i < running; i++)
		CHECK(pages[i].tsc == pages[0].tsc && pages[i].ns == pages[0].ns && pages[i].factor == pages[0].factor);
	smp_run(running, off, NULL);
}

static bool wait_flag(const struct clock_page *p, unsigned flag)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while ((p->flags & 1u) != flag && rdtsc() < end)
		cpu_pause();
	return (p->flags & 1u) == flag;
}

static struct spin_barrier gate;

/* The last CPU moves its TSC; all others learn that theirs is no longer everybody's. */
static void move_one(void *arg)
{
	unsigned me = this_cpu()->index;
	struct clock_page *p = &pages[me];
	uint64_t adjust = rdmsr(0x3b);

	(void)arg;
	wrmsr(MSR_SYSTEM, (uint64_t)p | 1);
	if (!(p->flags & 1))
		test_fail("CPU %u: not stable", me);
	spin_barrier_wait(&gate, running);
	if (me == running - 1)
		wrmsr(0x3b, adjust + 12345);
	if (!wait_flag(p, 0))
		test_fail("CPU %u: stable though CPU %u is not", me, running - 1);
	spin_barrier_wait(&gate, running);
	if (me == running - 1)
		wrmsr(0x3b, adjust);
	if (!wait_flag(p, 1))
		test_fail("CPU %u: unstable", me);
	wrmsr(MSR_SYSTEM, 0);
}

static void stable_flag(void)
{
	if (missing(F_CLOCK | F_CLOCK2 | F_STABLE))
		return;
	running = smp_start();
	if (running > 1)
		smp_run(running, move_one, NULL);
}

/* ---- Hypercalls */

static volatile uint32_t hits[MAX_CPUS];
static volatile bool stop;

static bool on_hit(struct regs *r)
{
	(void)r;
	__atomic_add_fetch(&hits[this_cpu()->index], 1, __ATOMIC_SEQ_CST);
	apic_eoi();
	return true;
}

static long vmcall(unsigned long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	long r = (long)nr;

	asm volatile("vmcall" : "+a"(r) : "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return r;
}

static long vmmcall(unsigned long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	long r = (long)nr;

	asm volatile("vmmcall" : "+a"(r) : "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return r;
}

static bool wait_hits(unsigned cpu, uint32_t n)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (hits[cpu] < n && rdtsc() < end)
		cpu_pause();
	return hits[cpu] == n;
}

/* All of the first 64, by a window that begins at `first`. */
static long send_from(uint64_t first, uint64_t low, uint64_t high)
{
	return vmcall(HC_SEND_IPI, low, high, first, VEC_HIT);
}

static void send_all_ways(void)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < nr_cpus; i++)
		all |= 1ull << cpus[i].apic_id;
	irq_on();
	for (unsigned i = 0; i < nr_cpus; i++) {
		uint32_t before = hits[i];

		CHECK_EQ(send_from(cpus[i].apic_id, 1, 0), 1);
		CHECK(wait_hits(i, before + 1));
		CHECK_EQ(send_from(0, 1ull << cpus[i].apic_id, 0), 1);
		CHECK(wait_hits(i, before + 2));
		CHECK_EQ(vmmcall(HC_SEND_IPI, 1ull << cpus[i].apic_id, 0, 0, VEC_HIT | ICR_ASSERT), 1);
		CHECK(wait_hits(i, before + 3));
	}
	for (unsigned k = 1; k <= 20; k++) {
		CHECK_EQ(send_from(0, all, 0), nr_cpus);
		for (unsigned i = 0; i < nr_cpus; i++)
			CHECK(wait_hits(i, 3 + k));
	}
	irq_off();
	/* The high half goes on where the low one ends; who is not there gets nothing. */
	CHECK_EQ(send_from(0, 0, ~0ull), 0);
	CHECK_EQ(send_from(0, ~all, ~0ull), 0);
	CHECK_EQ(send_from(0, 0, 0), 0);
	CHECK_EQ(send_from(1ull << 31, ~0ull, ~0ull), 0);
	CHECK_EQ(send_from(0xffffffffull, ~0ull, ~0ull), 0); /* no broadcast */
	CHECK_EQ(send_from(0xffffffc0ull, ~0ull, ~0ull), 0);
	CHECK_EQ(send_from(~0ull, ~0ull, ~0ull), 0); /* nor round to 0 */
	for (unsigned i = 0; i < nr_cpus; i++)
		CHECK_EQ(hits[i], 23);
}

static void ipi_worker(void *arg)
{
	(void)arg;
	if (this_cpu()->index == 0) {
		send_all_ways();
		stop = true;
		return;
	}
	irq_on();
	while (!stop)
		cpu_pause();
	irq_off();
}

static void ipis(void)
{
	if (missing(F_PV_IPI))
		return;
	trap_set_handler(VEC_HIT, on_hit);
	running = smp_start();
	smp_run(running, ipi_worker, NULL);
}

static void bad_commands(void)
{
	uint64_t self = 1ull << cpus[0].apic_id;
	uint32_t before = hits[0];

	if (missing(F_PV_IPI))
		return;
	for (unsigned shorthand = 1; shorthand < 4; shorthand++)
		CHECK_EQ(vmcall(HC_SEND_IPI, self, 0, 0, VEC_HIT | shorthand << 18), K_EINVAL);
	CHECK_EQ(vmcall(HC_SEND_IPI, self, 0, 0, VEC_HIT | 0x800), K_EINVAL);
	for (unsigned vector = 0; vector < 16; vector++)
		CHECK_EQ(vmcall(HC_SEND_IPI, self, 0, 0, vector), 0);
	CHECK_EQ(vmcall(HC_SEND_IPI, self, 0, 0, VEC_HIT | 0x300), 0); /* no such delivery mode */
	irq_on();
	asm volatile("nop");
	irq_off();
	CHECK_EQ(hits[0], before);
}

static void unknown_calls(void)
{
	if (missing(0))
		return;
	if (!cpuid(0x40000001, 0).eax)
		return test_skip("no feature of KVM's");
	for (unsigned long nr = 0; nr < 40; nr++)
		if (nr != HC_SEND_IPI) {
			CHECK_EQ(vmcall(nr, 0, 0, 0, 0), K_ENOSYS);
			CHECK_EQ(vmmcall(nr, ~0ull, ~0ull, ~0ull, ~0ull), K_ENOSYS);
		}
	CHECK_EQ(vmcall(1ul << 32 | HC_SEND_IPI, 1, 0, 0, VEC_HIT), K_ENOSYS);
	CHECK_EQ(vmcall(~0ul, 1, 0, 0, VEC_HIT), K_ENOSYS);
	if (!(cpuid(0x40000001, 0).eax & F_PV_IPI))
		CHECK_EQ(vmcall(HC_SEND_IPI, 1, 0, 0, VEC_HIT), K_ENOSYS);
}

asm(".pushsection .text\n"
    "user_call: vmcall; ud2\n"
    ".popsection");
void user_call(void);

/* Not the user's: in 32-bit code the result has 32 bits. */
static void by_the_user(void)
{
	struct regs r;
	struct trap t;

	if (missing(F_PV_IPI))
		return;
	for (unsigned compat = 0; compat < 2; compat++) {
		user_regs(&r, (const void *)user_call, compat);
		r.rax = HC_SEND_IPI;
		r.rbx = 1;
		r.rcx = r.rdx = 0;
		r.rsi = VEC_HIT;
		CHECK(run_regs(&r, &t));
		CHECK_EQ(t.r.vector, VEC_UD);
		CHECK_EQ(t.r.rip - r.rip, 3);
		CHECK(t.r.rax == (compat ? (uint32_t)K_EPERM : (uint64_t)K_EPERM));
	}
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(system_time),
	RT_TEST(old_numbers),
	RT_TEST(wall_clock),
	RT_TEST(switched_off),
	RT_TEST(moved_tsc),
	RT_TEST(bad_addresses),
	RT_TEST(across_pages),
	RT_TEST(cpus_agree),
	RT_TEST(stable_flag),
	RT_TEST(ipis),
	RT_TEST(bad_commands),
	RT_TEST(unknown_calls),
	RT_TEST(by_the_user),
	{0},
};
