/* SPDX-License-Identifier: MIT */
/*
 * The other CPUs and the local APIC (Intel SDM vol. 3, 9.4 and chapter 11). An idle CPU halts until it is given work
 * and an interrupt.
 */
#include "rt64.h"

struct cpu cpus[MAX_CPUS];
uint8_t cpu_stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));
unsigned nr_cpus = 1;
volatile uint32_t ap_count = 1; /* next CPU's index, taken in start64.S */
static volatile uint32_t ap_ready = 1;

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
void cpu_init(struct cpu *c);

void apic_enable(void)
{
	outb(0x21, 0xff); /* no 8259 interrupts */
	outb(0xa1, 0xff);
	apic_write(APIC_SVR, 0x100 | VEC_SPURIOUS);
	apic_write(APIC_TPR, 0);
	this_cpu()->apic_id = apic_read(APIC_ID) >> 24;
}

void apic_send(uint32_t apic_id, uint32_t icr_low)
{
	unsigned long flags = read_flags();

	irq_off();
	while (apic_read(APIC_ICR_LOW) & 0x1000)
		cpu_pause();
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR_LOW, icr_low | ICR_ASSERT);
	write_flags(flags);
}

static bool on_wake(struct regs *r)
{
	struct cpu *c = this_cpu();

	(void)r;
	c->work_called = c->work_given;
	apic_eoi();
	return true;
}

static bool on_spurious(struct regs *r)
{
	(void)r;
	return true;
}

/*
 * Work begins when its interrupt has come, not when it is seen: an interrupt still on its way would be met by the work, which may have put the
 * local APIC into another mode meanwhile, so that the runtime's EOI misses it and no other is let through ever after.
 */
static void idle(struct cpu *c)
{
	for (;;) {
		irq_off();
		while (c->work_called == c->work_done) {
			irq_on_halt();
			irq_off();
		}
		c->work(c->work_arg);
		irq_off();
		__atomic_store_n(&c->work_done, c->work_called, __ATOMIC_RELEASE);
	}
}

void smp_cpu_main(unsigned index)
{
	struct cpu *c = &cpus[index];

	c->index = index;
	cpu_init(c);
	apic_enable();
	if (c->gives_up) {
		c->work_called = c->work_done = c->work_given;
		c->gives_up = false;
	} /* else: what it was at when it was reset begins again (the hotplug storm) */
	__atomic_add_fetch(&ap_ready, 1, __ATOMIC_SEQ_CST);
	idle(c);
}

static void wait_ready(unsigned count)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while (ap_ready < count && rdtsc() < end)
		cpu_pause();
}

unsigned smp_start(void)
{
	unsigned want = (unsigned)opt_number("cpus", 1);

	if (want > MAX_CPUS)
		want = MAX_CPUS;
	if (nr_cpus >= want)
		return nr_cpus;
	trap_set_handler(VEC_WAKE, on_wake);
	trap_set_handler(VEC_SPURIOUS, on_spurious);
	memcpy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	apic_send(0, ICR_OTHERS | ICR_INIT);
	delay_us(10000);
	apic_send(0, ICR_OTHERS | ICR_SIPI | TRAMPOLINE >> 12);
	delay_us(200);
	apic_send(0, ICR_OTHERS | ICR_SIPI | TRAMPOLINE >> 12);
	wait_ready(want);
	nr_cpus = ap_ready;
	if (nr_cpus != want)
		test_fail("%u CPUs came up, not %u; %u starts", nr_cpus, want, ap_count);
	return nr_cpus;
}

static void give(struct cpu *c, void (*fn)(void *), void *arg)
{
	c->work = fn;
	c->work_arg = arg;
	__atomic_store_n(&c->work_given, c->work_given + 1, __ATOMIC_SEQ_CST);
	apic_send(c->apic_id, VEC_WAKE);
}

void smp_run(unsigned count, void (*fn)(void *), void *arg)
{
	for (unsigned i = 1; i < count; i++)
		give(&cpus[i], fn, arg);
	fn(arg);
	for (unsigned i = 1; i < count; i++)
		while (__atomic_load_n(&cpus[i].work_done, __ATOMIC_ACQUIRE) != cpus[i].work_given)
			cpu_pause();
}

void cpu_reset_to_idle(struct cpu *c)
{
	uint32_t ready = ap_ready;

	ap_count = c->index;
	c->gives_up = true;
	apic_send(c->apic_id, ICR_INIT);
	delay_us(1000);
	apic_send(c->apic_id, ICR_SIPI | TRAMPOLINE >> 12);
	wait_ready(ready + 1);
	if (ap_ready != ready + 1)
		test_fail("CPU %u did not start again", c->index);
	ap_ready = ready;
	ap_count = ready;
}

void spin_barrier_wait(struct spin_barrier *b, unsigned count)
{
	uint32_t phase = b->phase;

	if (__atomic_add_fetch(&b->count, 1, __ATOMIC_SEQ_CST) == count) {
		b->count = 0;
		__atomic_store_n(&b->phase, phase + 1, __ATOMIC_SEQ_CST);
	} else {
		while (b->phase == phase)
			cpu_pause();
	}
}
