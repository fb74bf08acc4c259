/* SPDX-License-Identifier: MIT */
/*
 * Several CPUs: interprocessor interrupts, halting and waking, TLB shoot-down, start.
 *
 * Command line: cpus=N ms=N (a quarter of TLB shoot-down's) rounds=N.
 */
#include "rt64.h"

static struct spin_barrier gate;
static unsigned running;

static unsigned rounds(unsigned standard)
{
	return (unsigned)opt_number("rounds", standard);
}

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

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(priorities),
	RT_TEST(ipi_fixed),
	RT_TEST(ipi_shorthands),
	RT_TEST(ipi_nmi),
	RT_TEST(ping_pong),
	RT_TEST(halt_and_wake),
	RT_TEST(tlb_shootdown),
	RT_TEST(dirty_bits),
	RT_TEST(init_and_restart),
	{0},
};
