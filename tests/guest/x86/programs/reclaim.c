/* SPDX-License-Identifier: MIT */
/*
 * CPUs that spin with interrupts off while another one rewrites code, and then spins like them. An emulator that frees replaced translations only
 * once all CPUs have left the code they run must get the spinning ones to do so, also when nobody works any more. The runner looks at the
 * emulator's counters after "# rewritten".
 *
 * Command line: cpus=N ms=N (to spin at the end) rounds=N.
 */
#include "rt64.h"

#define FUNCS 64
#define STEP  32

static volatile uint32_t spinning;
static uint8_t code[FUNCS * STEP] __attribute__((aligned(4096)));

/* No way out of the loop but INIT. */
static void spin(void *arg)
{
	(void)arg;
	irq_off();
	__atomic_add_fetch(&spinning, 1, __ATOMIC_SEQ_CST);
	asm volatile("1: jmp 1b");
}

/* mov $value, %eax, or lea value, %eax, in turns: a translation may outlive other immediates, but not another opcode; then ret */
static void rewrite(uint8_t *at, uint32_t value, bool lea)
{
	if (lea) {
		*at++ = 0x8d;
		*at++ = 0x04;
		*at++ = 0x25;
	} else {
		*at++ = 0xb8;
	}
	memcpy(at, &value, 4);
	at[4] = 0xc3;
}

static void rewrite_all(uint32_t value)
{
	for (unsigned i = 0; i < FUNCS; i++)
		rewrite(code + i * STEP, value + i, value / FUNCS % 2);
	for (unsigned i = 0; i < FUNCS; i++)
		CHECK_EQ(((uint32_t(*)(void))(code + i * STEP))(), value + i);
}

/* The other CPUs are not to be had again: the last test. */
static void rewritten_beside_spinning_cpus(void)
{
	unsigned others = smp_start() - 1;
	uint64_t end;

	for (unsigned i = 1; i <= others; i++) {
		cpus[i].work = spin;
		__atomic_store_n(&cpus[i].work_given, cpus[i].work_given + 1, __ATOMIC_SEQ_CST);
		apic_send(cpus[i].apic_id, VEC_WAKE);
	}
	while (spinning != others)
		cpu_pause();
	irq_off();
	for (uint32_t i = 0; i < opt_number("rounds", 1000); i++)
		rewrite_all(i * FUNCS);
	print("# rewritten\n");
	end = tsc_after_ms(opt_number("ms", 100));
	while (rdtsc() < end)
		;
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(rewritten_beside_spinning_cpus),
	{0},
};
