/* SPDX-License-Identifier: MIT */
/*
 * What old 32-bit and 16-bit software expects of a PC's board: the A20 gate by all its switches, for data and for code, the
 * keyboard controller's commands, devices that are not there. Linked to 2 MiB, because the second megabyte comes and goes.
 */
#include "rt32.h"

#define MIB	   0x100000u
#define AT	   0x7800u /* nobody else's, below and above */
#define PORT_A	   0x92
#define KBC_DATA   0x60
#define KBC_CMD	   0x64
#define FULL_OUT   1
#define FULL_IN	   2
#define OUTPUT_A20 2

/* The compiler is not told that these addresses are related, or that low ones are none. */
static volatile uint32_t *at(uint32_t address)
{
	asm("" : "+r"(address));
	return (volatile uint32_t *)address;
}

static void kbc_wait(uint8_t bit, uint8_t value)
{
	for (unsigned i = 0; i < 100000 && (inb(KBC_CMD) & bit) != value; i++)
		;
}

static void kbc_command(uint8_t c)
{
	kbc_wait(FULL_IN, 0);
	outb(KBC_CMD, c);
	kbc_wait(FULL_IN, 0);
}

static void kbc_data(uint8_t v)
{
	kbc_wait(FULL_IN, 0);
	outb(KBC_DATA, v);
	kbc_wait(FULL_IN, 0);
}

static uint8_t kbc_answer(uint8_t c)
{
	kbc_command(c);
	kbc_wait(FULL_OUT, FULL_OUT);
	return inb(KBC_DATA);
}

static void kbc_drain(void)
{
	for (unsigned i = 0; i < 32 && (inb(KBC_CMD) & FULL_OUT); i++)
		inb(KBC_DATA);
}

static void by_port_a(bool on)
{
	outb(PORT_A, on ? 2 : 0);
}

static void by_output_port(bool on)
{
	kbc_command(0xd1);
	kbc_data(on ? 0xdf : 0xdd);
}

static void by_command(bool on)
{
	kbc_command(on ? 0xdf : 0xdd);
}

static void (*const switches[])(bool) = {by_port_a, by_output_port, by_command};

static bool wraps(void)
{
	*at(AT) = 0x11111111;
	*at(AT + MIB) = 0x22222222;
	return *at(AT) == 0x22222222;
}

static void data_wraps(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(switches); i++) {
		CHECK(!wraps());
		*at(AT) = 0x55;
		*at(AT + MIB) = 0xaa;
		switches[i](false);
		/* The other byte is still there, but out of reach. */
		CHECK_EQ(*at(AT + MIB), 0x55);
		*at(AT + MIB) = 0x66;
		CHECK_EQ(*at(AT), 0x66);
		CHECK(wraps());
		CHECK_EQ(*at(AT + 2 * MIB), *at(AT + 2 * MIB));
		*at(AT) = 0x77;
		switches[i](true);
		CHECK_EQ(*at(AT), 0x77);
		CHECK_EQ(*at(AT + MIB), 0xaa);
	}
}

/* mov $value, %eax; ret */
static void put_code(uint32_t where, uint32_t value)
{
	*at(where) = 0xb8 | value << 8;
	*at(where + 4) = value >> 24 | 0xc300;
}

static uint32_t run_code(uint32_t where)
{
	uint32_t (*fn)(void) = (uint32_t (*)(void))(uint32_t)at(where);

	return fn();
}

/* Translations do not outlive the map they were made under, and stores through the other address reach them. */
static void code_wraps(void)
{
	for (unsigned i = 0; i < 50; i++) {
		void (*gate)(bool) = switches[i % ARRAY_LEN(switches)];

		put_code(AT, 100 + i);
		put_code(AT + MIB, 200 + i);
		CHECK_EQ(run_code(AT), 100 + i);
		CHECK_EQ(run_code(AT + MIB), 200 + i);
		gate(false);
		CHECK_EQ(run_code(AT), 100 + i);
		CHECK_EQ(run_code(AT + MIB), 100 + i);
		put_code(AT + MIB, 300 + i);
		CHECK_EQ(run_code(AT), 300 + i);
		put_code(AT, 400 + i);
		CHECK_EQ(run_code(AT + MIB), 400 + i);
		gate(true);
		CHECK_EQ(run_code(AT), 400 + i);
		CHECK_EQ(run_code(AT + MIB), 200 + i);
	}
}

static void switches_read_back(void)
{
	kbc_drain();
	by_port_a(false);
	CHECK_EQ(inb(PORT_A) & 2, 0);
	by_port_a(true);
	CHECK_EQ(inb(PORT_A) & 3, 2);
	by_command(false);
	CHECK_EQ(kbc_answer(0xd0) & OUTPUT_A20, 0);
	by_command(true);
	CHECK_EQ(kbc_answer(0xd0) & (OUTPUT_A20 | 1), OUTPUT_A20 | 1);
	CHECK(!wraps());
}

static void keyboard_controller(void)
{
	uint8_t mode;

	kbc_drain();
	CHECK_EQ(kbc_answer(0xaa), 0x55);
	CHECK_EQ(kbc_answer(0xab), 0);
	CHECK_EQ(kbc_answer(0xa9), 0);
	mode = kbc_answer(0x20);
	kbc_command(0x60);
	kbc_data(mode ^ 0x20);
	CHECK_EQ(kbc_answer(0x20), mode ^ 0x20u);
	kbc_command(0x60);
	kbc_data(mode);
	kbc_command(0xd3);
	kbc_data(0x5a);
	kbc_wait(FULL_OUT, FULL_OUT);
	CHECK_EQ(inb(KBC_CMD) & 0x21, 0x21); /* from the mouse */
	CHECK_EQ(inb(KBC_DATA), 0x5a);
	/* The keyboard: echo, identification, default settings. */
	kbc_data(0xee);
	kbc_wait(FULL_OUT, FULL_OUT);
	CHECK_EQ(inb(KBC_DATA), 0xee);
	kbc_data(0xf2);
	kbc_wait(FULL_OUT, FULL_OUT);
	CHECK_EQ(inb(KBC_DATA), 0xfa);
	kbc_drain();
	kbc_data(0xf6);
	kbc_wait(FULL_OUT, FULL_OUT);
	CHECK_EQ(inb(KBC_DATA), 0xfa);
	kbc_drain();
	CHECK_EQ(inb(KBC_CMD) & FULL_OUT, 0);
}

/* Plug-and-play cards, a second serial port, ISA sound: their ports float high. */
static void absent_devices(void)
{
	static const uint16_t absent[] = {0x279, 0x203, 0x2f8, 0x220, 0x300, 0x3bc};

	outb(0x279, 2);
	outb(0xa79, 1);
	for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
		CHECK_EQ(inb(absent[i]), 0xff);
		outb(absent[i], 0);
	}
	CHECK_EQ(inw(0x300), 0xffff);
	CHECK_EQ(inl(0x300), 0xffffffff);
}

/* Every real-mode vector leads somewhere, and behind the services there is code. */
static void bios_vectors(void)
{
	for (uint32_t v = 0; v < 0x20; v++) {
		uint32_t entry = *at(4 * v);
		uint32_t address = (entry >> 16 << 4) + (entry & 0xffff);

		CHECK(address >= 0xc0000 && address < 0x100000);
		CHECK(*(volatile uint8_t *)at(address));
	}
	CHECK(*(volatile uint8_t *)at(0xffff0));
	CHECK_EQ(*at(0x413) & 0xffff, 639);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(data_wraps),
	RT_TEST(code_wraps),
	RT_TEST(switches_read_back),
	RT_TEST(keyboard_controller),
	RT_TEST(absent_devices),
	RT_TEST(bios_vectors),
	{0},
};
