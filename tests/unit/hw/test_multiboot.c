/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "fake_machine.h"
#include "hw/fw/boot_image.h"
#include "hw/fw/image_file.h"
#include "util/err.h"

#define LOW_RAM (32ull << 20)
#define MAGIC 0x1badb002u
#define ADDRESSES 0x10000u

static char dir[] = "/tmp/test_multiboot.XXXXXX";
static char kernel[64], module[64];
static uint8_t image[16384];
static struct err err;
static struct vcpu_boot_state start;

static const struct e820_entry map[] = {
	{0, 0x9fc00, E820_RAM}, {0x9fc00, 0x400, E820_RESERVED}, {0x100000, LOW_RAM - 0x100000, E820_RAM},
	{LOW_RAM, 0x20000, E820_ACPI}, {0x100000000ull, 0x40000000, E820_RAM},
};

static void put(unsigned off, uint64_t v, unsigned n)
{
	put_le(image + off, v, n);
}

static uint64_t ram(gpa_t at, unsigned n)
{
	return get_le(fake_ram + at, n);
}

static void store(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static struct boot_image *open_image(size_t len, const char *rd, const char *cmdline)
{
	store(kernel, image, len);
	err.text[0] = 0;
	return boot_image_open(&(struct boot_config){kernel, rd, cmdline, LOW_RAM}, &err);
}

static int load(struct boot_image *b)
{
	return boot_image_load(b, &(struct boot_machine){map, ARRAY_LEN(map), 0xf0000}, &start, &err);
}

static void load_image(size_t len, const char *rd, const char *cmdline)
{
	struct boot_image *b = open_image(len, rd, cmdline);

	if (!b)
		fail_msg("%s", err.text);
	if (load(b) != 0)
		fail_msg("%s", err.text);
	boot_image_free(b);
}

static void expect_text(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
	assert_null(strchr(err.text, '\n'));
}

static void expect_error(size_t len, const char *rd, const char *text)
{
	assert_null(open_image(len, rd, NULL));
	expect_text(text);
}

static void put_header(unsigned off, uint32_t flags)
{
	put(off, MAGIC, 4);
	put(off + 4, flags, 4);
	put(off + 8, 0u - MAGIC - flags, 4);
}

/* Header at 0x100 of the file; loaded from 0x40 on, to 0x200000. */
static void make_addresses(void)
{
	memset(image, 0, sizeof(image));
	for (unsigned i = 0x200; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 3 + 1);
	put_header(0x100, ADDRESSES);
	put(0x10c, 0x2000c0, 4);
	put(0x110, 0x200000, 4);
	put(0x114, 0x202000, 4);
	put(0x118, 0x205000, 4);
	put(0x11c, 0x200234, 4);
}

/* Two segments: code at 0x300000, linked for 0xc0000000, and data with bss behind it; a PVH note. */
static void make_elf(bool is_64)
{
	static const uint64_t seg[2][5] = {{0x1000, 0xc0000000, 0x300000, 0x800, 0x800}, {0x2000, 0xc0001000, 0x301000, 0x10, 0x4000}};
	unsigned ph = is_64 ? 64 : 52, size = is_64 ? 56 : 32;

	memset(image, 0, sizeof(image));
	for (unsigned i = 0x1000; i < 0x2010; i++)
		image[i] = (uint8_t)(i * 5 + 1);
	memcpy(image, "\177ELF", 4);
	put(4, is_64 ? 2 : 1, 1);
	put(5, 1, 1);
	put(16, 2, 2);
	put(18, is_64 ? 62 : 3, 2);
	put(24, 0xc0000123, is_64 ? 8 : 4);
	put(is_64 ? 32 : 28, ph, is_64 ? 8 : 4);
	put(is_64 ? 54 : 42, size, 2);
	put(is_64 ? 56 : 44, 3, 2);
	for (unsigned i = 0; i < 2; i++, ph += size) {
		unsigned n = is_64 ? 8 : 4, at = ph + n;

		put(ph, 1, 4);
		for (unsigned k = 0; k < 5; k++, at += n)
			put(at, seg[i][k], n);
	}
	put(ph, 4, 4);
	put(ph + (is_64 ? 8 : 4), 0x3000, is_64 ? 8 : 4);
	put(ph + (is_64 ? 32 : 16), 20 + 20, is_64 ? 8 : 4);
	put(0x3000, 4, 4);
	put(0x3004, 4, 4);
	put(0x3008, 1, 4); /* another note first */
	memcpy(image + 0x300c, "GNU", 4);
	put(0x3014, 4, 4);
	put(0x3018, 4, 4);
	put(0x301c, 18, 4);
	memcpy(image + 0x3020, "Xen", 4);
	put(0x3024, 0x300040, 4);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(fake_ram, 0xcc, 16u << 20);
	store(module, "module's bytes", 14);
	return 0;
}

static void loads_by_the_addresses_in_the_header(void **state)
{
	(void)state;
	make_addresses();
	load_image(sizeof(image), NULL, "a=1 b");
	assert_int_equal(start.word_bits, 32);
	assert_int_equal(start.entry, 0x200234);
	assert_int_equal(start.arg[BOOT_ARG_A], 0x2badb002);
	assert_memory_equal(fake_ram + 0x200000, image + 0x40, 0x2000);
	for (unsigned i = 0x202000; i < 0x205000; i++)
		assert_int_equal(fake_ram[i], 0);
	assert_int_equal(fake_ram[0x205000], 0xcc);
	assert_int_equal(ram(start.desc_table + start.code_sel, 8), 0x00cf9b000000ffffull);
	assert_int_equal(ram(start.desc_table + start.data_sel, 8), 0x00cf93000000ffffull);
}

static void an_end_of_zero_means_the_end_of_the_file(void **state)
{
	(void)state;
	make_addresses();
	put(0x114, 0, 4);
	put(0x118, 0, 4);
	load_image(sizeof(image), NULL, NULL);
	assert_memory_equal(fake_ram + 0x200000, image + 0x40, sizeof(image) - 0x40);
	assert_int_equal(fake_ram[0x200000 + sizeof(image) - 0x40], 0xcc);
}

static void information_is_complete(void **state)
{
	char list[200];
	gpa_t i, m;

	(void)state;
	make_addresses();
	snprintf(list, sizeof(list), "%s,%s some arguments", module, module);
	load_image(sizeof(image), list, "a=1 b");
	i = start.arg[BOOT_ARG_B];
	assert_in_range(i, 0x1000, 0x9f000);
	assert_int_equal(ram(i, 4), 0x24d);
	assert_int_equal(ram(i + 4, 4), 639);
	assert_int_equal(ram(i + 8, 4), (LOW_RAM >> 10) - 1024);
	assert_memory_equal(fake_ram + ram(i + 16, 4), kernel, strlen(kernel));
	assert_string_equal((char *)fake_ram + ram(i + 16, 4) + strlen(kernel), " a=1 b");
	assert_string_equal((char *)fake_ram + ram(i + 64, 4), "cohort");
	assert_int_equal(ram(i + 44, 4), ARRAY_LEN(map) * 24);
	for (unsigned k = 0; k < ARRAY_LEN(map); k++) {
		gpa_t e = ram(i + 48, 4) + k * 24;

		assert_int_equal(ram(e, 4), 20);
		assert_int_equal(ram(e + 4, 8), map[k].start);
		assert_int_equal(ram(e + 12, 8), map[k].size);
		assert_int_equal(ram(e + 20, 4), map[k].type);
	}
	assert_int_equal(ram(i + 20, 4), 2);
	m = ram(i + 24, 4);
	assert_int_equal(ram(m, 4), 0x205000);
	assert_int_equal(ram(m + 4, 4), 0x205000 + 14);
	assert_int_equal(ram(m + 16, 4), 0x206000);
	assert_memory_equal(fake_ram + 0x206000, "module's bytes", 14);
	assert_string_equal((char *)fake_ram + ram(m + 8, 4), module);
	assert_string_equal((char *)fake_ram + ram(m + 24, 4), strchr(list, ',') + 1);
}

static void information_gives_way_to_the_image(void **state)
{
	static const gpa_t at[] = {0x5000, 0x8000, 0x9000, 0x40000};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(at); k++) {
		gpa_t bss_end = at[k] < 0x40000 ? at[k] + 0x8000 : 0x9f000, i;

		make_addresses();
		put(0x10c, at[k] + 0xc0, 4);
		put(0x110, at[k], 4);
		put(0x114, at[k] + 0x2000, 4);
		put(0x118, bss_end, 4);
		load_image(sizeof(image), NULL, NULL);
		i = start.arg[BOOT_ARG_B];
		assert_true(i >= bss_end || ram(i + 64, 4) + 7 <= at[k]);
		assert_memory_equal(fake_ram + at[k], image + 0x40, 0x2000);
		assert_int_equal(ram(i, 4), 0x24d);
	}
}

static void loads_elf_segments(void **state)
{
	(void)state;
	make_elf(false);
	put_header(0x400, 3);
	load_image(sizeof(image), NULL, NULL);
	assert_int_equal(start.entry, 0x300123);
	assert_int_equal(start.arg[BOOT_ARG_A], 0x2badb002);
	assert_memory_equal(fake_ram + 0x300000, image + 0x1000, 0x800);
	assert_memory_equal(fake_ram + 0x301000, image + 0x2000, 0x10);
	assert_int_equal(ram(0x301010, 8), 0);
	assert_int_equal(ram(0x304ff8, 8), 0);
	assert_int_equal(ram(0x305000, 1), 0xcc);
}

static void loads_pvh_kernels(void **state)
{
	gpa_t s;

	(void)state;
	for (unsigned is_64 = 0; is_64 < 2; is_64++) {
		make_elf(is_64);
		load_image(sizeof(image), module, "console=x");
		assert_int_equal(start.word_bits, 32);
		assert_int_equal(start.entry, 0x300040);
		assert_memory_equal(fake_ram + 0x300000, image + 0x1000, 0x800);
		s = start.arg[BOOT_ARG_B];
		assert_int_equal(ram(s, 4), 0x336ec578);
		assert_int_equal(ram(s + 4, 4), 1);
		assert_int_equal(ram(s + 12, 4), 1);
		assert_int_equal(ram(ram(s + 16, 8), 8), LOW_RAM - 4096);
		assert_int_equal(ram(ram(s + 16, 8) + 8, 8), 14);
		assert_memory_equal(fake_ram + LOW_RAM - 4096, "module's bytes", 14);
		assert_string_equal((char *)fake_ram + ram(s + 24, 8), "console=x");
		assert_int_equal(ram(s + 32, 8), 0xf0000);
		assert_int_equal(ram(s + 48, 4), ARRAY_LEN(map));
		assert_int_equal(ram(ram(s + 40, 8) + 4 * 24, 8), 0x100000000ull);
		assert_int_equal(ram(ram(s + 40, 8) + 3 * 24 + 16, 4), E820_ACPI);
	}
}

static void refuses_bad_headers(void **state)
{
	(void)state;
	make_addresses();
	put(0x100 + 8, 0, 4); /* wrong sum: no multiboot image */
	expect_error(sizeof(image), NULL, "no boot header");
	make_addresses();
	put_header(0x100, ADDRESSES | 0x10);
	expect_error(sizeof(image), NULL, "flags 0x10010");
	make_addresses();
	put(0x110, 0x201000, 4);
	expect_error(sizeof(image), NULL, "load address");
	make_addresses();
	put(0x10c, 0x200200, 4);
	expect_error(sizeof(image), NULL, "load address");
	make_addresses();
	put(0x114, 0x1ff000, 4);
	expect_error(sizeof(image), NULL, "not in order");
	make_addresses();
	put(0x118, 0x201000, 4);
	expect_error(sizeof(image), NULL, "not in order");
	make_addresses();
	expect_error(0x1000, NULL, "truncated");
	expect_error(0x110, NULL, "truncated");
	make_addresses();
	put(0x118, 0x5000000, 4);
	expect_error(sizeof(image), NULL, "-m");
}

static void refuses_bad_elf_files(void **state)
{
	(void)state;
	make_elf(true);
	put_header(0x400, 0);
	expect_error(sizeof(image), NULL, "64-bit");
	make_elf(false);
	put_header(0x400, 0);
	put(18, 40, 2);
	expect_error(sizeof(image), NULL, "machine");
	make_elf(false);
	put_header(0x400, 0);
	expect_error(0x1800, NULL, "truncated");
	put(28, 0x7fffffff, 4);
	expect_error(sizeof(image), NULL, "program headers");
	make_elf(false);
	put(0x301c, 17, 4);
	expect_error(sizeof(image), NULL, "without a multiboot header and without a PVH");
	make_elf(false);
	put(0x3014, 0xffffffff, 4);
	expect_error(sizeof(image), NULL, "PVH");
	make_elf(false);
	put(52 + 20, 0x10, 4); /* less memory than file */
	expect_error(sizeof(image), NULL, "more bytes");
	make_elf(true);
	put(64 + 24, 0x100000000ull, 8);
	expect_error(sizeof(image), NULL, "above 4 GiB");
}

static void refuses_bad_modules(void **state)
{
	char list[200];

	(void)state;
	make_addresses();
	expect_error(sizeof(image), "/nonexistent/module arg", "'/nonexistent/module'");
	snprintf(list, sizeof(list), "%s,", module);
	expect_error(sizeof(image), list, "missing");
	expect_error(sizeof(image), dir, "not a regular file");
}

static void refuses_places_without_ram(void **state)
{
	struct boot_image *b;

	(void)state;
	make_addresses();
	put(0x10c, 0xfee000c0, 4);
	put(0x110, 0xfee00000, 4);
	put(0x114, 0xfee02000, 4);
	put(0x118, 0, 4);
	expect_error(sizeof(image), NULL, "fit into guest memory");
	/* It stays an error when the machine has less RAM than the loader was told. */
	make_elf(false);
	put(52 + 12, LOW_RAM - 0x1000, 4);
	b = open_image(sizeof(image), NULL, NULL);
	assert_non_null(b);
	boot_image_free(b);
}

/* Whatever stands in the header: an error or an image, and nothing worse. */
static void survives_any_bytes(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct boot_image *b;

		if (i % 3 == 0)
			make_addresses();
		else
			make_elf(i % 3 == 1);
		if (i % 2)
			put_header(0x400, 0);
		for (unsigned n = 0; n < 3; n++) {
			unsigned at = i % 3 == 0 ? 0x10c : n == 2 ? 0x3000 : 16, room = i % 3 == 0 ? 20 : n == 2 ? 40 : 200;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			put(at + (unsigned)(seed >> 33) % room, seed >> (seed >> 60), 1 + (seed >> 50) % 4);
		}
		b = open_image(sizeof(image), i % 5 ? NULL : module, "x");
		if (b && load(b) != 0)
			expect_text("kernel");
		if (!b)
			assert_true(err.text[0]);
		boot_image_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(loads_by_the_addresses_in_the_header, setup),
		cmocka_unit_test_setup(an_end_of_zero_means_the_end_of_the_file, setup),
		cmocka_unit_test_setup(information_is_complete, setup),
		cmocka_unit_test_setup(information_gives_way_to_the_image, setup),
		cmocka_unit_test_setup(loads_elf_segments, setup),
		cmocka_unit_test_setup(loads_pvh_kernels, setup),
		cmocka_unit_test_setup(refuses_bad_headers, setup),
		cmocka_unit_test_setup(refuses_bad_elf_files, setup),
		cmocka_unit_test_setup(refuses_bad_modules, setup),
		cmocka_unit_test_setup(refuses_places_without_ram, setup),
		cmocka_unit_test_setup(survives_any_bytes, setup),
	};
	int ret;

	assert_non_null(mkdtemp(dir));
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(module, sizeof(module), "%s/module", dir);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	remove(kernel);
	remove(module);
	remove(dir);
	return ret;
}
