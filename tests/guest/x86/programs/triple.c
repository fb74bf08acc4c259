/* SPDX-License-Identifier: MIT */
/*
 * A triple fault, of the boot CPU or of another one ("ap=1"): the machine resets; with -no-reboot the emulator ends.
 */
#include "rt64.h"

static void crash(void *arg)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) empty = {0, 0};

	if (this_cpu()->index != (unsigned)(uint64_t)arg)
		return;
	asm volatile("lidt %0\n\tud2" : : "m"(empty));
}

static void triple_fault(void)
{
	unsigned long ap = opt_number("ap", 0);

	if (ap)
		smp_start();
	print("# now\n");
	smp_run(ap ? 2 : 1, crash, (void *)ap);
	delay_us(PATIENCE_MS * 1000);
	test_fail("still alive");
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(triple_fault),
	{0},
};
