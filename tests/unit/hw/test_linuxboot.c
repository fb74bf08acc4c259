/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "fake_machine.h"
#include "hw/fw/linuxboot.h"
#include "util/err.h"

#define LOW_RAM (48ull << 20)
#define SETUP_SECTS 3
#define SETUP ((SETUP_SECTS + 1) * 512)
#define PAYLOAD 8192

static char dir[] = "/tmp/test_linuxboot.XXXXXX";
static char kernel[64], initrd[64];
static uint8_t image[SETUP + PAYLOAD];
static struct err err;

static void put(unsigned off, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		image[off + i] = (uint8_t)(v >> 8 * i);
}

static uint64_t ram(gpa_t at, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | fake_ram[at + n];
	return v;
}

static void store(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* A kernel that would be right. */
static void make_image(void)
{
	memset(image, 0, sizeof(image));
	put(0x1f1, SETUP_SECTS, 1);
	put(0x1f4, PAYLOAD / 16, 4);
	put(0x1fe, 0xaa55, 2);
	put(0x201, 0x6a, 1);
	memcpy(image + 0x202, "HdrS", 4);
	put(0x206, 0x20f, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x230, 0x200000, 4);
	put(0x234, 1, 1);
	put(0x236, 1, 2);
	put(0x238, 255, 4);
	put(0x258, 0x1000000, 8);
	put(0x260, 0x800000, 4);
	for (unsigned i = 0; i < PAYLOAD; i++)
		image[SETUP + i] = (uint8_t)(i * 7 + 1);
}

static void *linuxboot_open(const char *path, const char *rd, const char *cmdline, uint64_t low_ram)
{
	return linuxboot_loader.open(&(struct boot_config){path, rd, cmdline, low_ram}, &err);
}

static int linuxboot_load(void *lb, const struct e820_entry *map, unsigned nr_map, gpa_t rsdp, struct vcpu_boot_state *s)
{
	return linuxboot_loader.load(lb, &(struct boot_machine){map, nr_map, rsdp}, s, &err);
}

static void linuxboot_free(void *lb)
{
	if (lb)
		linuxboot_loader.free(lb);
}

static void *open_image(size_t len, const char *rd, const char *cmdline, uint64_t low_ram)
{
	store(kernel, image, len);
	err.text[0] = 0;
	return linuxboot_open(kernel, rd, cmdline, low_ram);
}

static void expect_error(size_t len, const char *rd, const char *cmdline, uint64_t low_ram, const char *text)
{
	assert_null(open_image(len, rd, cmdline, low_ram));
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
	assert_null(strchr(err.text, '\n'));
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	make_image();
	memset(fake_ram, 0xcc, 1u << 20);
	store(initrd, "initial ram disk", 16);
	return 0;
}

static void loads_for_the_64_bit_entry(void **state)
{
	const struct e820_entry map[] = {{0, 0x9fc00, E820_RAM}, {0x100000, 0x2f00000, E820_RAM}};
	void *lb = open_image(sizeof(image), initrd, "console=ttyS0", LOW_RAM);
	struct vcpu_boot_state s;
	gpa_t p, rd;

	(void)state;
	assert_non_null(lb);
	assert_int_equal(linuxboot_load(lb, map, 2, 0xf0000, &s), 0);
	assert_int_equal(s.word_bits, 64);
	assert_int_equal(s.entry, 0x100200);
	assert_memory_equal(fake_ram + 0x100000, image + SETUP, PAYLOAD);
	p = s.arg[BOOT_ARG_SI];
	assert_memory_equal(fake_ram + p + 0x202, "HdrS", 4);
	assert_int_equal(ram(p + 0x70, 8), 0xf0000);
	assert_int_equal(ram(p + 0x1e8, 1), 2);
	assert_int_equal(ram(p + 0x2d0 + 20, 8), 0x100000);
	assert_int_equal(ram(p + 0x2d0 + 28, 8), 0x2f00000);
	assert_int_equal(ram(p + 0x2d0 + 36, 4), 1);
	assert_int_equal(ram(p + 0x210, 1), 0xff);
	assert_string_equal((char *)fake_ram + ram(p + 0x228, 4), "console=ttyS0");
	rd = ram(p + 0x218, 4);
	assert_int_equal(ram(p + 0x21c, 4), 16);
	assert_int_equal(rd, LOW_RAM - 4096);
	assert_memory_equal(fake_ram + rd, "initial ram disk", 16);
	/* Flat 64-bit code, data; identity map. */
	assert_int_equal(ram(s.desc_table + s.code_sel, 8), 0x00af9a000000ffffull);
	assert_int_equal(ram(s.desc_table + s.data_sel, 8), 0x00cf92000000ffffull);
	for (gpa_t va = 0; va < 0x100000000ull; va += 0x123456700ull / 3) {
		gpa_t l3 = ram(s.root_table, 8) & ~0xfffull;
		gpa_t l2 = ram(l3 + (va >> 30) * 8, 8) & ~0xfffull;
		uint64_t leaf = ram(l2 + (va >> 21 & 511) * 8, 8);

		assert_int_equal(leaf, (va & ~0x1fffffull) | 0x83);
	}
	linuxboot_free(lb);
}

/* Sizes are in units of 16 bytes; the last may reach over the file's end. */
static void takes_a_last_unit_that_is_not_full(void **state)
{
	struct vcpu_boot_state s;
	void *lb;

	(void)state;
	lb = open_image(sizeof(image) - 15, NULL, NULL, LOW_RAM);
	assert_non_null(lb);
	assert_int_equal(linuxboot_load(lb, NULL, 0, 0, &s), 0);
	assert_memory_equal(fake_ram + 0x100000, image + SETUP, PAYLOAD - 15);
	linuxboot_free(lb);
}

static void loads_again_after_the_guest_ran(void **state)
{
	void *lb = open_image(sizeof(image), initrd, NULL, LOW_RAM);
	struct vcpu_boot_state s;

	(void)state;
	assert_non_null(lb);
	for (unsigned i = 0; i < 2; i++) {
		memset(fake_ram, 0xee, sizeof(fake_ram));
		assert_int_equal(linuxboot_load(lb, NULL, 0, 0, &s), 0);
		assert_memory_equal(fake_ram + 0x100000, image + SETUP, PAYLOAD);
		assert_memory_equal(fake_ram + LOW_RAM - 4096, "initial ram disk", 16);
	}
	store(initrd, "short", 5);
	assert_int_equal(linuxboot_load(lb, NULL, 0, 0, &s), -1);
	assert_non_null(strstr(err.text, "shorter"));
	linuxboot_free(lb);
}

static void kernel_without_64_bit_entry_starts_in_32_bits(void **state)
{
	void *lb;
	struct vcpu_boot_state s;

	(void)state;
	put(0x236, 0, 2);
	lb = open_image(sizeof(image), NULL, NULL, LOW_RAM);
	assert_non_null(lb);
	assert_int_equal(linuxboot_load(lb, NULL, 0, 0, &s), 0);
	assert_int_equal(s.word_bits, 32);
	assert_int_equal(s.entry, 0x100000);
	assert_int_equal(ram(s.desc_table + s.code_sel, 8), 0x00cf9a000000ffffull);
	linuxboot_free(lb);
}

static void files_that_are_not_there(void **state)
{
	(void)state;
	assert_null(linuxboot_open("/nonexistent/vmlinuz", NULL, NULL, LOW_RAM));
	assert_non_null(strstr(err.text, "cannot open kernel '/nonexistent/vmlinuz'"));
	assert_null(linuxboot_open("/dev/null", NULL, NULL, LOW_RAM));
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_null(linuxboot_open(dir, NULL, NULL, LOW_RAM));
	expect_error(sizeof(image), "/nonexistent/initrd", NULL, LOW_RAM, "cannot open initrd");
	store(initrd, "", 0);
	expect_error(sizeof(image), initrd, NULL, LOW_RAM, "is empty");
}

static void files_that_are_not_kernels(void **state)
{
	(void)state;
	expect_error(0, NULL, NULL, LOW_RAM, "too short");
	expect_error(0x200, NULL, NULL, LOW_RAM, "too short");
	memcpy(image + 0x202, "HdrX", 4);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "no boot header");
	make_image();
	put(0x1fe, 0, 2);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "no boot header");
	make_image();
	put(0x206, 0x203, 2);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "boot protocol 2.03");
	make_image();
	put(0x211, 0, 1);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "zImage");
}

static void truncated_kernels(void **state)
{
	(void)state;
	for (size_t len = 0x264; len < sizeof(image); len += 333)
		expect_error(len, NULL, NULL, LOW_RAM, "truncated");
	expect_error(sizeof(image) - 16, NULL, NULL, LOW_RAM, "truncated");
	put(0x1f4, 0, 4);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "truncated");
	put(0x1f4, 0xffffffff, 4);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "truncated");
}

static void what_does_not_fit(void **state)
{
	char line[300];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[256] = 0;
	expect_error(sizeof(image), NULL, line, LOW_RAM, "command line too long");
	line[255] = 0;
	linuxboot_free(open_image(sizeof(image), NULL, line, LOW_RAM));
	expect_error(sizeof(image), NULL, NULL, 0x1700000, "needs 24 MiB");
	expect_error(sizeof(image), initrd, NULL, 0x1800000, "does not fit into guest memory beside");
	put(0x258, ~0ull, 8);
	expect_error(sizeof(image), NULL, NULL, LOW_RAM, "does not fit");
	make_image();
	put(0x22c, 0x100000, 4);
	expect_error(sizeof(image), initrd, NULL, LOW_RAM, "does not fit into guest memory beside");
}

static void random_headers_are_survived(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct vcpu_boot_state s;
		void *lb;

		make_image();
		for (unsigned n = 0; n < 4; n++)
			image[0x1f1 + rand_r(&seed) % 0x73] = (uint8_t)rand_r(&seed);
		lb = open_image(sizeof(image), i & 1 ? initrd : NULL, "x", LOW_RAM);
		if (lb && linuxboot_load(lb, NULL, 0, 0, &s) == 0)
			assert_true(s.word_bits == 32 || s.word_bits == 64);
		linuxboot_free(lb);
	}
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(loads_for_the_64_bit_entry),
		T(takes_a_last_unit_that_is_not_full),
		T(loads_again_after_the_guest_ran),
		T(kernel_without_64_bit_entry_starts_in_32_bits),
		T(files_that_are_not_there),
		T(files_that_are_not_kernels),
		T(truncated_kernels),
		T(what_does_not_fit),
		T(random_headers_are_survived),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(initrd, sizeof(initrd), "%s/initrd", dir);
	failed = RUN_TESTS(tests);
	unlink(kernel);
	unlink(initrd);
	rmdir(dir);
	return failed;
}
