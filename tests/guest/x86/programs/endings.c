/* SPDX-License-Identifier: MIT */
/*
 * Ways to end a machine, one per run: way=cf9, port92, keyboard (reset) or s5 (power-off). A reset keeps CMOS memory;
 * a machine that comes back finds its mark there.
 */
#include "rt64.h"

#define CMOS_MARK 0x61
#define MARK	  0x5c

static uint8_t cmos_read(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cmos_write(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static void leave(void)
{
	if (opt_is("way", "cf9")) {
		outb(0xcf9, 2);
		outb(0xcf9, 6);
	} else if (opt_is("way", "port92")) {
		outb(0x92, (uint8_t)(inb(0x92) | 1));
	} else if (opt_is("way", "keyboard")) {
		outb(0x64, 0xfe);
	} else if (opt_is("way", "s5")) {
		outw(0x604, 0 << 10 | 1 << 13); /* PM1 control: SLP_TYP of S5, SLP_EN */
	}
	delay_us(PATIENCE_MS * 1000);
	test_fail("nothing happened");
}

static void ending(void)
{
	smp_start();
	if (cmos_read(CMOS_MARK) == MARK) {
		cmos_write(CMOS_MARK, 0);
		print("# came back\n");
		return;
	}
	cmos_write(CMOS_MARK, opt_number("back", 0) ? MARK : 0);
	print("# leaving\n");
	leave();
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(ending),
	{0},
};
