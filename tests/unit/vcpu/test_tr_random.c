/* SPDX-License-Identifier: MIT */
/*
 * Random bytes in random modes: whatever they are, the translation is well-formed, covers what it says, and ends.
 */
#include "unit/vcpu/tr_fixture.h"

static struct tr_fixture f;
static uint64_t seed;

static int set_up(void **state)
{
	const char *s = getenv("TEST_SEED");

	(void)state;
	seed = s ? strtoull(s, NULL, 0) : 1;
	return tr_fixture_init(&f);
}

static int tear_down(void **state)
{
	(void)state;
	tr_fixture_fini(&f);
	return 0;
}

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint32_t random_mode(void)
{
	static const uint32_t modes[] = {
		X86_MODE_64 | X86_TB_PE | X86_TB_LMA | X86_TB_OSFXSR | X86_TB_IOPL | X86_TB_FSGSBASE | X86_TB_OSXSAVE,
		X86_MODE_32 | X86_TB_PE | X86_TB_SS32 | X86_TB_OSFXSR | X86_TB_IOPL,
		X86_MODE_16 | X86_TB_SEGBASE | X86_TB_IOPL,
		X86_MODE_16 | X86_TB_PE | X86_TB_VM | X86_TB_SEGBASE | 3 << X86_TB_CPL_SHIFT,
	};
	uint32_t m = modes[random64() % 4];

	if (random64() % 4 == 0)
		m ^= 1u << (4 + random64() % 18); /* one more or one less; never the mode or CPL */
	if (random64() % 8 == 0)
		m |= X86_TB_SEGLIM | X86_TB_SEGBASE;
	return m;
}

static void check_cover(gva_t pc)
{
	size_t left = GUEST_PAGE_SIZE - pc % GUEST_PAGE_SIZE;
	unsigned starts = 0;

	assert_true(f.ir->guest_len > 0);
	assert_true(f.ir->watch_len >= f.ir->guest_len);
	if (f.ir->guest_len > left)
		assert_int_equal(f.ir->guest_insns, 1);
	else
		assert_true(f.ir->watch_len <= left);
	for (unsigned n = 0; n < f.ir->nr_insns; n++)
		starts += f.ir->insn[n].op == IR_INSN;
	assert_int_equal(starts, f.ir->guest_insns);
}

static void random_bytes_translate_to_well_formed_ir(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		gva_t pc = 0x401000 + random64() % GUEST_PAGE_SIZE;
		uint64_t *p = (uint64_t *)f.page;

		if (round % 16 == 0)
			for (size_t n = 0; n < sizeof(f.page) / 8; n++)
				p[n] = random64();
		tr_fixture_run(&f, random_mode(), pc, 1 + (unsigned)(random64() % 100));
		tr_fixture_check(&f);
		check_cover(pc);
	}
}

/* Every opcode of every map with every prefix, so that no row is left to chance. */
static void every_opcode_translates_to_well_formed_ir(void **state)
{
	static const uint8_t prefixes[] = { 0x90, 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x65 };

	(void)state;
	for (unsigned op = 0; op < 4 * 256; op++) {
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			uint8_t *p = f.page + 0x100;
			uint32_t mode = random_mode();

			memset(f.page, 0x90, sizeof(f.page));
			*p++ = prefixes[random64() % ARRAY_LEN(prefixes)];
			if (random64() % 2 && (mode & X86_TB_MODE) == X86_MODE_64)
				*p++ = 0x48;
			if (op >= 256)
				*p++ = 0x0f;
			if (op >= 512)
				*p++ = op >= 768 ? 0x3a : 0x38;
			*p++ = (uint8_t)op;
			*p++ = (uint8_t)modrm;
			*p++ = (uint8_t)random64();
			tr_fixture_run(&f, mode, 0x401100, 3);
			tr_fixture_check(&f);
			check_cover(0x401100);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_translate_to_well_formed_ir),
		cmocka_unit_test(every_opcode_translates_to_well_formed_ir),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
