/* SPDX-License-Identifier: MIT */
/*
 * A multiboot image that looks at everything the loader is to leave: CPU state, information structure, memory map, modules.
 * Command line: mem=MIB of RAM, mods=NUMBER of modules; module n holds n * 1000 bytes of the value 16 + n, and its text
 * ends in " arg=n" (without anything for module 0).
 */
#include "rt32.h"

extern uint32_t multiboot_eax, multiboot_ebx, multiboot_eflags, multiboot_cr0, multiboot_dirty;
extern uint8_t image_start[], bss_end[];

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives[2], config_table, loader_name, apm_table;
};

struct module {
	uint32_t start, end, text, reserved;
};

struct __attribute__((packed)) range {
	uint32_t size;
	uint64_t start, len;
	uint32_t type;
};

enum { MEMORY = 1 << 0, BOOT_DEVICE = 1 << 1, CMDLINE = 1 << 2, MODULES = 1 << 3, MMAP = 1 << 6, LOADER_NAME = 1 << 9 };
#define MIB 0x100000u

static const struct info *info(void)
{
	return (const struct info *)multiboot_ebx;
}

static void state(void)
{
	CHECK_EQ(multiboot_eax, 0x2badb002);
	CHECK_EQ(multiboot_cr0 & (CR0_PE | CR0_PG), CR0_PE);
	CHECK_EQ(multiboot_eflags & (FL_IF | FL_VM), 0);
	CHECK_EQ(multiboot_dirty & 0xff, 0);
}

/* Address line 20 is on: a megabyte apart are different bytes. */
static void a20(void)
{
	uint32_t at = 0x600;
	volatile uint32_t *low, *high;

	asm("" : "+r"(at)); /* the compiler believes in no low addresses */
	low = (volatile uint32_t *)at;
	high = (volatile uint32_t *)(at + MIB);
	*low = 0x11111111;
	*high = 0x22222222;
	CHECK_EQ(*low, 0x11111111);
}

static bool in_ram(uint64_t start, uint64_t end)
{
	const struct range *r = (const struct range *)info()->mmap_addr;
	uint32_t left = info()->mmap_length;

	while (left >= sizeof(*r)) {
		if (r->type == 1 && start >= r->start && end <= r->start + r->len)
			return true;
		left -= r->size + 4;
		r = (const struct range *)((const char *)r + r->size + 4);
	}
	return false;
}

static void flags(void)
{
	CHECK_EQ(info()->flags & ~(uint32_t)BOOT_DEVICE, MEMORY | CMDLINE | MODULES | MMAP | LOADER_NAME);
}

static void memory_sizes(void)
{
	uint32_t mem = (uint32_t)opt_number("mem", 0) * 1024;

	CHECK(info()->mem_lower >= 600 && info()->mem_lower <= 640);
	CHECK(info()->mem_upper <= mem - 1024 && info()->mem_upper >= mem - 1024 - 512);
}

static void memory_map(void)
{
	const struct range *r = (const struct range *)info()->mmap_addr;
	uint32_t left = info()->mmap_length, mem = (uint32_t)opt_number("mem", 0) * MIB;
	uint64_t behind = 0, ram = 0;

	CHECK(left >= 3 * sizeof(*r));
	while (left) {
		CHECK(r->size >= 20 && left >= r->size + 4);
		CHECK(r->len && r->start >= behind);
		CHECK(r->type >= 1 && r->type <= 5);
		behind = r->start + r->len;
		ram += r->type == 1 && r->start < 0x100000000ull ? r->len : 0;
		left -= r->size + 4;
		r = (const struct range *)((const char *)r + r->size + 4);
	}
	CHECK(ram <= mem && ram >= mem - MIB);
	CHECK(in_ram(0, 0x90000));
	CHECK(!in_ram(0xf0000, 0xf1000));
	CHECK(in_ram((uint32_t)image_start, (uint32_t)bss_end));
	CHECK(in_ram(multiboot_ebx, multiboot_ebx + sizeof(struct info)));
	CHECK(in_ram(info()->mmap_addr, info()->mmap_addr + info()->mmap_length));
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = length(s), m = length(end);

	return n >= m && !memcmp(s + n - m, end, m);
}

/* The kernel's name, a space, what -append says. */
static void command_line(void)
{
	const char *s = (const char *)info()->cmdline;

	CHECK(in_ram(info()->cmdline, info()->cmdline + length(s) + 1));
	CHECK(ends_with(s, " last=word"));
	while (*s && *s != ' ')
		s++;
	CHECK(s != (const char *)info()->cmdline);
	CHECK(!memcmp(s, " first=word ", 12));
}

static void loader_name(void)
{
	const char *s = (const char *)info()->loader_name;

	CHECK(!memcmp(s, "cohort", 7) || !memcmp(s, "qemu", 5));
	/* No BIOS read the image from a disk. */
	CHECK(s[0] == 'q' || !(info()->flags & BOOT_DEVICE));
}

static bool is_filled(const struct module *m, uint8_t v, uint32_t size)
{
	const uint8_t *p = (const uint8_t *)m->start;

	if (m->end - m->start != size)
		return false;
	while (size--)
		if (*p++ != v)
			return false;
	return true;
}

static void modules(void)
{
	const struct module *m = (const struct module *)info()->mods_addr;
	char end[] = " arg=0";
	uint32_t behind = (uint32_t)bss_end;

	CHECK_EQ(info()->mods_count, opt_number("mods", 0));
	for (uint32_t i = 0; i < info()->mods_count; i++, m++) {
		end[5] = (char)('0' + i);
		CHECK_EQ(m->start & 4095, 0);
		CHECK(m->start >= behind);
		CHECK(is_filled(m, (uint8_t)(16 + i), i * 1000));
		CHECK(in_ram(m->start, m->end));
		CHECK(!(multiboot_ebx >= m->start && multiboot_ebx < m->end));
		CHECK_EQ(ends_with((const char *)m->text, end), i != 0);
		CHECK_EQ(m->reserved, 0);
		behind = m->end;
	}
}

static bool is_rsdp(const uint8_t *p)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < 20; i++)
		sum = (uint8_t)(sum + p[i]);
	return !memcmp(p, "RSD PTR ", 8) && !sum;
}

/* ACPI's tables are found where a PC has them. */
static void acpi(void)
{
	for (const uint8_t *p = (const uint8_t *)0xe0000; p < (const uint8_t *)0x100000; p += 16)
		if (is_rsdp(p))
			return;
	test_fail("no root pointer");
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(state),
	RT_TEST(a20),
	RT_TEST(flags),
	RT_TEST(memory_sizes),
	RT_TEST(memory_map),
	RT_TEST(command_line),
	RT_TEST(loader_name),
	RT_TEST(modules),
	RT_TEST(acpi),
	{0},
};
