/* SPDX-License-Identifier: MIT */
/*
 * The board's devices as a kernel drives them: timers against each other, and interrupts by way of the 8259s and the
 * I/O APIC (datasheets: 8254, 8259A, MC146818, 82093AA, IA-PC HPET 1.0a, 16550D). Rates are checked loosely, because
 * the host may be busy; counts of interrupts from below only.
 */
#include "rt64.h"

#define VEC_LEGACY 0x30 /* the 8259s', 16 of them */
#define VEC_PIT	   0x51
#define VEC_RTC	   0x52
#define VEC_HPET   0x53
#define VEC_UART   0x54

#define IOAPIC 0xfec00000ul
#define HPET   0xfed00000ul
#define PIT_HZ 1193182u
#define COM1   0x3f8

static volatile uint32_t count[256], on_cpu[MAX_CPUS];

static bool on_interrupt(struct regs *r)
{
	count[r->vector]++;
	on_cpu[this_cpu()->index]++;
	apic_eoi();
	return true;
}

/* Halts with interrupts on for so many milliseconds; needs some interrupt to come now and then, else stops by itself.
 */
static void run_for_ms(unsigned long ms)
{
	uint64_t end = tsc_after_ms(ms);

	irq_on();
	while (rdtsc() < end)
		cpu_pause();
	irq_off();
}

static bool wait_for(unsigned vector, uint32_t n)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	irq_on();
	while (count[vector] < n && rdtsc() < end)
		cpu_pause();
	irq_off();
	return count[vector] >= n;
}

/* ---- 8254 */

static void pit_start(unsigned channel, unsigned mode, uint16_t divisor)
{
	outb(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb((uint16_t)(0x40 + channel), (uint8_t)divisor);
	outb((uint16_t)(0x40 + channel), (uint8_t)(divisor >> 8));
}

static uint16_t pit_read(unsigned channel)
{
	uint8_t lo;

	outb(0x43, (uint8_t)(channel << 6)); /* latch */
	lo = inb((uint16_t)(0x40 + channel));
	return (uint16_t)(lo | inb((uint16_t)(0x40 + channel)) << 8);
}

/* Two readings of a clock, and the TSC around each: the host may stop the CPU anywhere between them. */
struct interval {
	uint64_t ticks, least, most;
};

static struct interval over_two_ms(uint64_t (*read)(void))
{
	uint64_t from[2], to[2], first;
	struct interval i;

	from[0] = rdtsc();
	first = read();
	from[1] = rdtsc();
	delay_us(2000);
	to[0] = rdtsc();
	i.ticks = read() - first;
	to[1] = rdtsc();
	i.least = to[0] - from[1];
	i.most = to[1] - from[0];
	return i;
}

/* Does a clock of `rate` ticks per millisecond agree with the TSC, to 2 percent and a tick? */
static bool agrees(const struct interval *i, uint64_t rate)
{
	uint64_t tsc = i->ticks * tsc_per_ms();

	return tsc + tsc_per_ms() >= i->least * rate / 50 * 49 && tsc <= (i->most * rate + tsc_per_ms()) / 49 * 50;
}

static uint64_t pit_channel0(void)
{
	return 0xffffu - pit_read(0);
}

static uint64_t pit_channel2(void)
{
	return 0xffffu - pit_read(2);
}

/* Of a channel of the 8254, from its start on; once more if the host stopped the CPU for so long that it went round, which takes 55 ms. */
static struct interval pit_two_ms(unsigned channel, unsigned mode, uint64_t (*read)(void))
{
	struct interval i;
	uint64_t start;

	do {
		start = rdtsc();
		pit_start(channel, mode, 0xffff);
		i = over_two_ms(read);
	} while (rdtsc() - start > 50 * (uint64_t)tsc_per_ms());
	return i;
}

static void pit_counts(void)
{
	struct interval i = pit_two_ms(0, 2, pit_channel0);
	uint16_t before;
	uint8_t status;

	CHECK(i.ticks >= 2300); /* 2386 in 2 ms */
	CHECK(agrees(&i, PIT_HZ / 1000));
	outb(0x43, 0xe2);	       /* read back the status of channel 0 */
	status = inb(0x40);
	CHECK_EQ(status & 0x3f, 0x34);
	/* Channel 2: its gate is bit 0 of port 0x61, its output bit 5. */
	outb(0x61, (uint8_t)(inb(0x61) & ~3));
	pit_start(2, 0, 2386);
	before = pit_read(2);
	delay_us(1000);
	CHECK_EQ(pit_read(2), before);
	CHECK(!(inb(0x61) & 0x20));
	outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1));
	delay_us(3000);
	CHECK(inb(0x61) & 0x20);
	outb(0x61, (uint8_t)(inb(0x61) & ~3));
}

static uint64_t hpet_read(unsigned reg)
{
	return *(volatile uint64_t *)(HPET + reg);
}

static void hpet_write(unsigned reg, uint64_t v)
{
	*(volatile uint64_t *)(HPET + reg) = v;
}

/* HPET ticks per millisecond. */
static uint64_t hpet_rate(void)
{
	return 1000000000000ul / (hpet_read(0) >> 32);
}

static uint64_t hpet_counter(void)
{
	return hpet_read(0xf0);
}

/* The output of channel 2 rises when it has counted, and not before, as kernels calibrate. */
static void pit_output(void)
{
	uint64_t start = rdtsc();

	pit_start(2, 0, PIT_HZ / 500);
	while (!(inb(0x61) & 0x20))
		;
	CHECK(rdtsc() - start >= (uint64_t)tsc_per_ms() * 2 / 50 * 49);
}

static void clocks_agree(void)
{
	struct interval i;

	outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1));
	for (unsigned k = 0; k < 20; k++) {
		i = pit_two_ms(2, 0, pit_channel2);
		CHECK(agrees(&i, PIT_HZ / 1000));
		pit_output();
		hpet_write(0x10, 1);
		i = over_two_ms(hpet_counter);
		CHECK(agrees(&i, hpet_rate()));
	}
	outb(0x61, (uint8_t)(inb(0x61) & ~3));
}

/* ---- 8259s, with the local APIC's LINT0 as their way in */

static void pic_init(void)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, VEC_LEGACY);
	outb(0xa1, VEC_LEGACY + 8);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static bool on_legacy(struct regs *r)
{
	count[r->vector]++;
	if (r->vector >= VEC_LEGACY + 8)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
	return true;
}

static void rtc_write(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static uint8_t rtc_read(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void legacy_interrupts(void)
{
	uint32_t seen;

	for (unsigned i = 0; i < 16; i++)
		trap_set_handler(VEC_LEGACY + i, on_legacy);
	memset((void *)count, 0, sizeof(count));
	pic_init();
	apic_write(APIC_LVT_LINT0, 0x700);
	pit_start(0, 2, PIT_HZ / 1000);
	run_for_ms(20);
	CHECK_EQ(count[VEC_LEGACY], 0);
	outb(0x21, 0xfe);
	CHECK(wait_for(VEC_LEGACY, 20));
	outb(0x21, 0xff);
	seen = count[VEC_LEGACY];
	run_for_ms(10);
	CHECK(count[VEC_LEGACY] <= seen + 1);
	/* The second 8259: the clock's periodic interrupt, 1024 Hz. */
	outb(0x21, 0xfb);
	outb(0xa1, 0xfe);
	rtc_write(0xa, 0x26);
	rtc_write(0xb, 0x42);
	for (uint32_t n = 1; n <= 10; n++) {
		CHECK(wait_for(VEC_LEGACY + 8, n));
		CHECK((rtc_read(0xc) & 0x40) || n == 1);
	}
	rtc_write(0xb, 2);
	outb(0xa1, 0xff);
	outb(0x21, 0xff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

/* ---- I/O APIC */

static uint32_t ioapic_read(unsigned reg)
{
	*(volatile uint32_t *)IOAPIC = reg;
	return *(volatile uint32_t *)(IOAPIC + 0x10);
}

static void ioapic_write(unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)IOAPIC = reg;
	*(volatile uint32_t *)(IOAPIC + 0x10) = v;
}

static void ioapic_route(unsigned pin, uint32_t entry, uint32_t apic_id)
{
	ioapic_write(0x10 + 2 * pin, LVT_MASKED);
	ioapic_write(0x11 + 2 * pin, apic_id << 24);
	ioapic_write(0x10 + 2 * pin, entry);
}

static void ioapic_registers(void)
{
	CHECK_EQ(ioapic_read(1) >> 16 & 0xff, 23);
	for (unsigned pin = 0; pin < 24; pin++) {
		ioapic_route(pin, LVT_MASKED | 0x8000 | (0x40 + pin), pin);
		CHECK_EQ(ioapic_read(0x10 + 2 * pin), LVT_MASKED | 0x8000u | (0x40 + pin));
		CHECK_EQ(ioapic_read(0x11 + 2 * pin), pin << 24);
		ioapic_route(pin, LVT_MASKED, 0);
	}
}

static void wait_in_loop(void *arg)
{
	volatile bool *stop = arg;

	if (this_cpu()->index == 0) {
		for (unsigned i = 0; i < nr_cpus; i++) {
			uint32_t seen = on_cpu[i];
			uint64_t end = tsc_after_ms(PATIENCE_MS);

			ioapic_route(2, VEC_PIT, cpus[i].apic_id);
			irq_on();
			while (on_cpu[i] < seen + 5 && rdtsc() < end)
				cpu_pause();
			irq_off();
			if (on_cpu[i] < seen + 5)
				test_fail("CPU %u got %u timer interrupts", i, on_cpu[i] - seen);
		}
		*stop = true;
		return;
	}
	irq_on();
	while (!*stop)
		;
	irq_off();
}

static void ioapic_timer_to_each_cpu(void)
{
	volatile bool stop = false;

	trap_set_handler(VEC_PIT, on_interrupt);
	pit_start(0, 2, PIT_HZ / 1000);
	smp_run(smp_start(), wait_in_loop, (void *)&stop);
	ioapic_route(2, LVT_MASKED, 0);
}

static void ioapic_masks(void)
{
	trap_set_handler(VEC_PIT, on_interrupt);
	pit_start(0, 2, PIT_HZ / 1000);
	ioapic_route(2, VEC_PIT | LVT_MASKED, cpus[0].apic_id);
	count[VEC_PIT] = 0;
	run_for_ms(10);
	CHECK_EQ(count[VEC_PIT], 0);
	ioapic_route(2, VEC_PIT, cpus[0].apic_id);
	CHECK(wait_for(VEC_PIT, 10));
	ioapic_route(2, LVT_MASKED, 0);
	count[VEC_PIT] = 0;
	run_for_ms(10);
	CHECK(count[VEC_PIT] <= 1);
}

/* ---- MC146818 */

static void rtc_clock(void)
{
	uint8_t second, now, flagged = 0;
	uint64_t end;

	trap_set_handler(VEC_RTC, on_interrupt);
	count[VEC_RTC] = 0;
	ioapic_route(8, VEC_RTC, cpus[0].apic_id);
	rtc_write(0xa, 0x26);
	rtc_write(0xb, 0x42); /* periodic, 24 hours */
	(void)rtc_read(0xc);
	/* On a busy host two interrupts may come before one reading, which takes the flag of both. */
	for (uint32_t n = 1; n <= 5; n++) {
		CHECK(wait_for(VEC_RTC, n));
		flagged += rtc_read(0xc) >> 6 & 1;
	}
	CHECK(flagged);
	rtc_write(0xb, 2);
	(void)rtc_read(0xc);
	ioapic_route(8, LVT_MASKED, 0);
	/* The seconds go on and stay in BCD. */
	end = tsc_after_ms(PATIENCE_MS);
	second = rtc_read(0);
	do {
		now = rtc_read(0);
	} while (now == second && rdtsc() < end);
	CHECK(now != second);
	CHECK((now & 15) < 10 && now < 0x60);
	CHECK(rtc_read(0xd) & 0x80);
	/* CMOS memory is memory. */
	rtc_write(0x60, 0xa5);
	CHECK_EQ(rtc_read(0x60), 0xa5);
	rtc_write(0x60, 0);
}

/* ---- HPET */

static void hpet_timers(void)
{
	uint64_t rate = hpet_rate(), config;
	unsigned pin = 0;

	CHECK(hpet_read(0) >> 32 != 0);
	CHECK((hpet_read(0) >> 8 & 31) >= 2);
	for (uint32_t routes = (uint32_t)(hpet_read(0x100) >> 32); pin < 24 && !(routes >> pin & 1 && pin > 2); pin++)
		;
	CHECK(pin < 24);
	trap_set_handler(VEC_HPET, on_interrupt);
	ioapic_route(pin, VEC_HPET, cpus[0].apic_id);
	/* One-shot, 5 ms. */
	hpet_write(0x10, 0);
	hpet_write(0xf0, 0);
	config = hpet_read(0x100) & ~(0x3e00ul | 0x4e);
	count[VEC_HPET] = 0;
	hpet_write(0x100, config | 4 | pin << 9);
	hpet_write(0x108, rate * 5);
	hpet_write(0x10, 1);
	CHECK(wait_for(VEC_HPET, 1));
	CHECK(hpet_read(0xf0) >= rate * 5);
	run_for_ms(10);
	CHECK_EQ(count[VEC_HPET], 1);
	/* Periodic, 1 ms. */
	if (config & 0x10) {
		hpet_write(0x10, 0);
		hpet_write(0xf0, 0);
		hpet_write(0x100, config | 4 | 8 | 0x40 | pin << 9);
		hpet_write(0x108, rate);
		hpet_write(0x108, rate);
		hpet_write(0x10, 1);
		CHECK(wait_for(VEC_HPET, 11));
		CHECK(hpet_read(0xf0) >= rate * 9);
	}
	hpet_write(0x100, config);
	ioapic_route(pin, LVT_MASKED, 0);
}

/* ---- 16550A */

static bool on_uart(struct regs *r)
{
	(void)r;
	count[VEC_UART] += (inb(COM1 + 2) & 0xf) == 2;
	on_cpu[0]++;
	apic_eoi();
	return true;
}

static void uart(void)
{
	uint8_t lcr = inb(COM1 + 3);

	outb(COM1 + 7, 0x5a);
	CHECK_EQ(inb(COM1 + 7), 0x5a);
	outb(COM1 + 3, (uint8_t)(lcr | 0x80));
	outb(COM1, 12);
	outb(COM1 + 1, 0);
	CHECK_EQ(inb(COM1), 12);
	outb(COM1, 1);
	outb(COM1 + 3, 3);
	outb(COM1 + 2, 0x07);
	CHECK_EQ(inb(COM1 + 2) & 0xc0, 0xc0); /* has a FIFO, and it is on */
	/* Loop-back: what is sent is received. */
	outb(COM1 + 4, 0x10);
	for (unsigned i = 0; i < 8; i++)
		outb(COM1, (uint8_t)(0x30 + i));
	for (unsigned i = 0; i < 8; i++) {
		uint64_t end = tsc_after_ms(PATIENCE_MS);

		while (!(inb(COM1 + 5) & 1) && rdtsc() < end)
			;
		CHECK_EQ(inb(COM1), 0x30 + i);
	}
	CHECK(!(inb(COM1 + 5) & 1));
	outb(COM1 + 4, 0x1b); /* loop-back of the modem lines: OUT2 RTS DTR to DCD CTS DSR */
	CHECK_EQ(inb(COM1 + 6) & 0xf0, 0xb0);
	/* "Transmitter empty" interrupts. */
	outb(COM1 + 4, 0x0b);
	trap_set_handler(VEC_UART, on_uart);
	count[VEC_UART] = 0;
	ioapic_route(4, VEC_UART, cpus[0].apic_id);
	for (uint32_t n = 1; n <= 5; n++) {
		outb(COM1 + 1, 2);
		CHECK(wait_for(VEC_UART, n));
		outb(COM1 + 1, 0);
	}
	ioapic_route(4, LVT_MASKED, 0);
	outb(COM1 + 4, 0x03);
}

/* ---- The rest */

static bool wait_status(uint8_t mask, uint8_t value)
{
	uint64_t end = tsc_after_ms(PATIENCE_MS);

	while ((inb(0x64) & mask) != value && rdtsc() < end)
		cpu_pause();
	return (inb(0x64) & mask) == value;
}

static void keyboard_controller(void)
{
	while (inb(0x64) & 1)
		(void)inb(0x60);
	CHECK(wait_status(2, 0));
	outb(0x64, 0xaa);
	CHECK(wait_status(1, 1));
	CHECK_EQ(inb(0x60), 0x55);
	outb(0x64, 0x20);
	CHECK(wait_status(1, 1));
	(void)inb(0x60);
}

static void pci_configuration(void)
{
	outl(0xcf8, 0x80000000);
	CHECK_EQ(inl(0xcfc) & 0xffff, 0x8086);
	CHECK_EQ(inw(0xcfe), inl(0xcfc) >> 16);
	CHECK_EQ(inl(0xcf8), 0x80000000);
	outl(0xcf8, 0x80000000 | 31 << 11 | 7 << 8);
	CHECK_EQ(inl(0xcfc), 0xffffffff);
	outl(0xcf8, 0);
}

static uint32_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

static const uint8_t *find_rsdp(void)
{
	for (const uint8_t *p = (const uint8_t *)0xe0000; p < (const uint8_t *)0x100000; p += 16)
		if (memcmp(p, "RSD PTR ", 8) == 0)
			return p;
	return NULL;
}

/* The tables can be found and have right checksums; the MADT lists as many CPUs as there are. */
static void acpi_tables(void)
{
	const uint8_t *rsdp = find_rsdp(), *rsdt;
	unsigned listed = 0;

	CHECK(rsdp);
	CHECK_EQ(checksum(rsdp, 20), 0);
	rsdt = (const uint8_t *)(uint64_t) * (const uint32_t *)(rsdp + 16);
	CHECK_EQ(checksum(rsdt, *(const uint32_t *)(rsdt + 4)), 0);
	for (unsigned off = 36; off < *(const uint32_t *)(rsdt + 4); off += 4) {
		const uint8_t *t = (const uint8_t *)(uint64_t) * (const uint32_t *)(rsdt + off);
		unsigned size = *(const uint32_t *)(t + 4);

		CHECK_EQ(checksum(t, size), 0);
		if (memcmp(t, "APIC", 4) == 0)
			for (unsigned i = 44; i < size && t[i + 1]; i += t[i + 1])
				listed += t[i] == 0 && (t[i + 4] & 1);
	}
	CHECK_EQ(listed, opt_number("cpus", 1));
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(pit_counts),
	RT_TEST(clocks_agree),
	RT_TEST(legacy_interrupts),
	RT_TEST(ioapic_registers),
	RT_TEST(ioapic_masks),
	RT_TEST(ioapic_timer_to_each_cpu),
	RT_TEST(rtc_clock),
	RT_TEST(hpet_timers),
	RT_TEST(uart),
	RT_TEST(keyboard_controller),
	RT_TEST(pci_configuration),
	RT_TEST(acpi_tables),
	{0},
};
