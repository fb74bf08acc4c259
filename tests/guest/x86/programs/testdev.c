/* SPDX-License-Identifier: MIT */
/*
 * Devices for test programs: pc-testdev (ports, memory and interrupt lines), fw_cfg. Command line: cpus=N, mem=MIB.
 */
#include "rt64.h"

#define PORT	   0xe0
#define PORT_FLUSH 0xe4
#define PORT_BYTES 0xe8
#define PORT_IRQ   0x2000
#define MEMORY	   0xff000000ul
#define IOAPIC	   0xfec00000ul
#define VEC_EDGE   0x61
#define VEC_LEVEL  0x62

static void ports(void)
{
	outl(PORT, 0x12345678);
	CHECK_EQ(inl(PORT), 0x12345678);
	CHECK_EQ(inb(PORT), 0x78);
	CHECK_EQ(inb(PORT + 3), 0x12);
	outb(PORT + 1, 0xab);
	CHECK_EQ(inl(PORT), 0x1234ab78);
	outw(PORT + 2, 0xcdef);
	CHECK_EQ(inl(PORT), 0xcdefab78);
	/* The same bytes, one at a time. */
	CHECK_EQ(inb(PORT_BYTES + 2), 0xef);
	CHECK_EQ(inl(PORT_BYTES), 0xcdefab78);
	outw(PORT_BYTES, 0x1122);
	CHECK_EQ(inl(PORT), 0xcdef1122);
}

static void string_ports(void)
{
	uint32_t in[8], out[8];
	void *p;
	unsigned long n;

	for (unsigned i = 0; i < 8; i++)
		out[i] = i * 0x01020304;
	for (unsigned i = 0; i < 8; i++) {
		p = &out[i];
		n = 1;
		asm volatile("rep outsl" : "+S"(p), "+c"(n) : "d"(PORT) : "memory");
		p = &in[i];
		n = 1;
		asm volatile("rep insl" : "+D"(p), "+c"(n) : "d"(PORT) : "memory");
	}
	CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
	p = out;
	n = 32;
	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(PORT) : "memory");
	CHECK_EQ(n, 0);
	CHECK_EQ(inb(PORT), 0x07);
}

static void memory(void)
{
	volatile uint8_t *b = (volatile uint8_t *)MEMORY;
	volatile uint16_t *w = (volatile uint16_t *)(MEMORY + 2);
	volatile uint32_t *l = (volatile uint32_t *)(MEMORY + 0xfffc);
	volatile uint64_t *q = (volatile uint64_t *)(MEMORY + 1); /* across words */

	*q = 0x1122334455667788;
	CHECK_EQ(*q, 0x1122334455667788);
	CHECK_EQ(b[1], 0x88);
	CHECK_EQ(*w, 0x6677);
	*w = 0xabcd;
	CHECK_EQ(*q, 0x1122334455abcd88);
	*l = 0x5a5a1234;
	CHECK_EQ(*l, 0x5a5a1234);
	CHECK_EQ(b[0xfffc], 0x34);
	/* Read-modify-write, exchange and compare of a device's bytes. */
	asm volatile("addl $0x10, %0" : "+m"(*l) : : "cc");
	CHECK_EQ(*l, 0x5a5a1244);
	CHECK_EQ(__atomic_fetch_add(l, 1, __ATOMIC_SEQ_CST), 0x5a5a1244);
	CHECK_EQ(__atomic_exchange_n(l, 7, __ATOMIC_SEQ_CST), 0x5a5a1245);
	CHECK(__sync_bool_compare_and_swap(l, 7, 9));
	CHECK_EQ(*l, 9);
}

static void memory_strings(void)
{
	static uint8_t from[4096], to[4096];
	const void *s = from;
	void *d = (void *)(MEMORY + 0x123);
	unsigned long n = sizeof(from);

	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + (i >> 8));
	asm volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	s = (const void *)(MEMORY + 0x123);
	d = to;
	n = sizeof(to) / 8;
	asm volatile("rep movsq" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK_EQ(memcmp(from, to, sizeof(to)), 0);
	d = (void *)(MEMORY + 0x123);
	n = sizeof(to) / 4;
	asm volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(0x01010101) : "memory");
	s = from;
	memset(from, 1, sizeof(from));
	d = (void *)(MEMORY + 0x123);
	n = sizeof(from);
	asm volatile("repe cmpsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory", "cc");
	CHECK_EQ(n, 0);
}

static volatile uint32_t edges, levels;

static bool on_edge(struct regs *r)
{
	(void)r;
	edges++;
	apic_eoi();
	return true;
}

/* The line falls before the end of interrupt. */
static bool on_level(struct regs *r)
{
	(void)r;
	levels++;
	if (levels < 3) {
		apic_eoi(); /* still high: comes again */
		return true;
	}
	outb(PORT_IRQ + 20, 0);
	apic_eoi();
	return true;
}

static void route(unsigned pin, uint32_t entry)
{
	volatile uint32_t *select = (volatile uint32_t *)IOAPIC, *data = (volatile uint32_t *)(IOAPIC + 16);

	*select = 0x10 + 2 * pin + 1;
	*data = cpus[0].apic_id << 24;
	*select = 0x10 + 2 * pin;
	*data = entry;
}

static void window(void)
{
	irq_on();
	for (volatile unsigned i = 0; i < 1000; i++)
		;
	irq_off();
}

static void interrupt_lines(void)
{
	apic_enable();
	trap_set_handler(VEC_EDGE, on_edge);
	trap_set_handler(VEC_LEVEL, on_level);
	route(15, VEC_EDGE);
	edges = levels = 0;
	for (unsigned i = 1; i <= 10; i++) {
		outb(PORT_IRQ + 15, 1);
		window();
		CHECK_EQ(edges, i);
		outb(PORT_IRQ + 15, 1); /* no edge */
		window();
		CHECK_EQ(edges, i);
		outb(PORT_IRQ + 15, 0);
		window();
		CHECK_EQ(edges, i);
	}
	route(20, VEC_LEVEL | 0x8000);
	outb(PORT_IRQ + 20, 1);
	for (unsigned i = 0; i < 10 && levels < 3; i++)
		window();
	CHECK_EQ(levels, 3);
	window();
	CHECK_EQ(levels, 3);
	route(15, LVT_MASKED);
	route(20, LVT_MASKED);
}

/* The page is still there afterwards, with what it held. */
static void flush(void)
{
	static volatile uint64_t page[512] __attribute__((aligned(4096)));

	for (unsigned i = 0; i < 100; i++) {
		page[i] = i * 0x123456789ull;
		outl(PORT_FLUSH, (uint32_t)(uint64_t)page);
		CHECK_EQ(page[i], i * 0x123456789ull);
	}
}

static uint64_t fw_cfg(uint16_t key, unsigned bytes)
{
	uint64_t v = 0;

	outw(0x510, key);
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)inb(0x511) << 8 * i;
	return v;
}

static void firmware_configuration(void)
{
	CHECK_EQ(fw_cfg(0, 4), 0x554d4551); /* "QEMU" */
	CHECK(fw_cfg(1, 4) & 1);
	CHECK_EQ(fw_cfg(3, 8), opt_number("mem", 0) << 20);
	CHECK_EQ(fw_cfg(5, 2), opt_number("cpus", 0));
	CHECK_EQ(fw_cfg(15, 2), opt_number("cpus", 0));
	CHECK_EQ(fw_cfg(0, 8), 0x554d4551); /* zeros behind the end */
	CHECK_EQ(fw_cfg(0x3fff, 4), 0);
}

/* A loop in the device's memory; its body changes, and each fetch sees it. Then code of which the device has the second half. */
static void code_in_memory(void)
{
	static const uint8_t loop[] = {0x31, 0xc0, 0xb9, 5, 0, 0, 0, 0x83, 0xc0, 1, 0xff, 0xc9, 0x75, 0xf9, 0xc3}; /* five times ADD $1, %eax */
	static const uint8_t load[] = {0xb8, 1, 2, 3, 4, 0xc3};
	volatile uint8_t *p = (volatile uint8_t *)MEMORY + 0x100;
	uint8_t *area = free_area(2 * PAGE);
	uint32_t eax;

	for (unsigned i = 0; i < sizeof(loop); i++)
		p[i] = loop[i];
	for (unsigned n = 1; n < 40; n++) {
		p[9] = (uint8_t)n;
		asm volatile("call *%1" : "=a"(eax) : "r"(p) : "rcx", "memory", "cc");
		CHECK_EQ(eax, 5 * n);
	}
	map_page(area, page_alloc(), PTE_P | PTE_W);
	map_page(area + PAGE, MEMORY, PTE_P | PTE_W);
	for (unsigned off = 1; off < 5; off++) {
		for (unsigned n = 1; n < 10; n++) {
			for (unsigned i = 0; i < sizeof(load); i++)
				((volatile uint8_t *)area)[PAGE - off + i] = load[i];
			((volatile uint8_t *)area)[PAGE - off + 4] = (uint8_t)n;
			asm volatile("call *%1" : "=a"(eax) : "r"(area + PAGE - off) : "memory");
			CHECK_EQ(eax, 0x030201 | n << 24);
		}
	}
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(ports),
	RT_TEST(string_ports),
	RT_TEST(memory),
	RT_TEST(memory_strings),
	RT_TEST(code_in_memory),
	RT_TEST(interrupt_lines),
	RT_TEST(flush),
	RT_TEST(firmware_configuration),
	{0},
};
