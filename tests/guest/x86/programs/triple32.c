/* SPDX-License-Identifier: MIT */
/*
 * A triple fault in 32-bit protected mode, or in real mode ("mode=real"): no vector is within the table.
 */
#include "rt32.h"

#define LOW_CODE 0x7000u

/* CS and the stack are below 64 KiB; the table is empty. */
asm(".text; .code16\n"
    "t_real: movl %cr0, %eax; andb $0xfe, %al; movl %eax, %cr0; ljmp $0, $(0x7000 + 1f - t_real)\n"
    "1: xorw %ax, %ax; movw %ax, %ds; movw %ax, %ss; movw $0x6ff0, %sp; lidt %cs:(0x7000 + t_empty - t_real); int3\n"
    "t_empty: .word 0; .long 0\n"
    "t_real_end: .code32\n");
extern const uint8_t t_real[], t_real_end[];

static void crash_in_real_mode(void)
{
	memcpy((void *)LOW_CODE, t_real, (size_t)(t_real_end - t_real));
	asm volatile("ljmp %0, %1" : : "i"(SEL32_CODE16), "i"(LOW_CODE));
}

static void crash_in_protected_mode(void)
{
	static const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) empty = {0, 0};

	asm volatile("lidt %0; ud2" : : "m"(empty));
}

static void triple_fault(void)
{
	print("# now\n");
	if (opt_is("mode", "real"))
		crash_in_real_mode();
	else
		crash_in_protected_mode();
	delay_us(PATIENCE_MS * 1000);
	test_fail("still alive");
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(triple_fault),
	{0},
};
