/* SPDX-License-Identifier: MIT */
/*
 * Code that is written while it is in use, that lies across a page's end, and that lies in a device's memory: in 32-bit and 16-bit code with
 * 32-bit and PAE page tables (Intel SDM vol. 3, 4.7, 9.1.3). The same in 64-bit mode: paging.c, tests/stress/guest/smc.c, testdev.c; on random code
 * of all three modes, against the host: difftest --smc.
 *
 * Needs -device pc-testdev.
 */
#include "rt32.h"

#define PTE_P	 1u
#define PTE_W	 2u
#define PTE_U	 4u
#define PTE_PS	 0x80u
#define HIGH	 0x40000000u /* two pages that are no neighbours in memory; behind them, at ALIAS, the same again */
#define ALIAS	 (HIGH + 0x10000)
#define PAGE	 4096u
#define DEVICE	 0xff000000u /* pc-testdev */
#define SEL_16	 0x40
#define ROUNDS	 50

static struct regs r;
static struct trap t;
static uint32_t dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32))), dirs[4][512] __attribute__((aligned(4096))), table64[512] __attribute__((aligned(4096)));
static uint8_t frames[3][PAGE] __attribute__((aligned(4096))); /* the first and the last are used */
static bool pae, code16;

static void map(uint32_t va, void *frame, uint32_t flags)
{
	unsigned n = (va - HIGH) / PAGE;

	table[n] = (uint32_t)frame | flags;
	table64[n] = (uint32_t)frame | flags;
	invlpg((void *)va);
}

static void paging_on(void)
{
	for (unsigned i = 0; i < 1024; i++)
		dir[i] = i << 22 | PTE_PS | PTE_P | PTE_W;
	for (unsigned i = 0; i < 2048; i++)
		dirs[i / 512][i % 512] = (uint64_t)i << 21 | PTE_PS | PTE_P | PTE_W;
	for (unsigned i = 0; i < 4; i++)
		pointers[i] = (uint32_t)dirs[i] | PTE_P;
	dir[HIGH >> 22] = (uint32_t)table | PTE_P | PTE_W | PTE_U;
	dirs[1][0] = (uint32_t)table64 | PTE_P | PTE_W | PTE_U;
	for (unsigned i = 0; i < 2; i++) {
		map(HIGH + i * PAGE, frames[2 * i], PTE_P | PTE_W | PTE_U);
		map(ALIAS + i * PAGE, frames[2 * i], PTE_P | PTE_W | PTE_U);
	}
	write_cr4(read_cr4() | (pae ? CR4_PAE : CR4_PSE));
	write_cr3(pae ? (uint32_t)pointers : (uint32_t)dir);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void paging_off(void)
{
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(read_cr4() & ~(CR4_PAE | CR4_PSE));
}

/* MOV EAX, value; INT 80h: 7 or 8 bytes. */
static unsigned put(volatile uint8_t *p, uint32_t value)
{
	unsigned n = 0;

	if (code16)
		p[n++] = 0x66;
	p[n++] = 0xb8;
	for (unsigned i = 0; i < 4; i++)
		p[n++] = (uint8_t)(value >> 8 * i);
	p[n++] = 0xcd;
	p[n++] = 0x80;
	return n;
}

/* Goes to the linear address `at`, which is within 64 KiB of `base`; flags: FL_IF as it is. */
static unsigned go(uint32_t base, uint32_t at, bool user)
{
	user_regs(&r, (const void *)at);
	if (!user) {
		r.cs = SEL32_KCODE;
		r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
	}
	if (code16) {
		gdt_set(SEL_16, gdt_segment(base, 0xffff, user ? 0xfa : 0x9a, 0));
		r.cs = SEL_16 | (user ? 3 : 0);
		r.eip = at - base;
	}
	r.eax = 0x5a5a;
	run_regs(&r, &t);
	return t.r.vector;
}

#define EACH_MODE(fn)                                                \
	do {                                                         \
		for (unsigned m_ = 0; m_ < 4 && !test_failed(); m_++) { \
			pae = m_ & 1;                                \
			code16 = m_ & 2;                             \
			paging_on();                                 \
			fn();                                        \
			paging_off();                                \
		}                                                    \
	} while (0)

/* Rewritten by the address it runs at, and by another one; a jump or IRET lies between. */
static void rewrite_and_run(void)
{
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t at = HIGH + 0x100 + i % 7;

		put((uint8_t *)(i & 1 ? at + (ALIAS - HIGH) : at), i * 0x01010101);
		serialize();
		CHECK_EQ(go(HIGH, at, false), 0x80);
		CHECK_EQ(t.r.eax, i * 0x01010101);
		/* One byte of the immediate. */
		*(volatile uint8_t *)(ALIAS + 0x102 + i % 7 + code16) = 0x77;
		serialize();
		CHECK_EQ(go(HIGH, at, false), 0x80);
		CHECK_EQ(t.r.eax >> 8 & 0xff, 0x77);
	}
}

/* The instruction in front changes the next one: MOVB $n, (EDI or DI) where the immediate's low byte is. */
static void change_the_next(void)
{
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		volatile uint8_t *p = (volatile uint8_t *)(HIGH + 0x200);
		bool alias = i & 1;
		unsigned n = 0;

		if (code16)
			p[n++] = 0x67; /* MOVB $i, (%edi) in 16-bit code */
		p[n++] = 0xc6;
		p[n++] = 0x07;
		p[n++] = (uint8_t)i;
		if (alias) { /* by another linear address a serializing instruction belongs between: CPUID */
			p[n++] = 0x0f;
			p[n++] = 0xa2;
		}
		put(p + n, 0x11223300);
		for (unsigned again = 0; again < 2; again++) {
			user_regs(&r, NULL);
			go(HIGH, HIGH + 0x1f0, false); /* whatever is there */
			r.cs = code16 ? SEL_16 : SEL32_KCODE;
			r.eip = code16 ? 0x200 : HIGH + 0x200;
			r.edi = (alias ? ALIAS : HIGH) + 0x200 + n + 1 + code16;
			p[n + 1 + code16] = 0xee;
			serialize();
			run_regs(&r, &t);
			CHECK_EQ(t.r.vector, 0x80);
			CHECK_EQ(t.r.eax, 0x11223300 | i);
		}
	}
}

/* Across the end of a page: it runs, either half may change, and without the second page it is the fetch from there that faults. */
static void across_the_end(void)
{
	for (unsigned off = 1; off < 5u + code16; off++) {
		uint32_t at = HIGH + PAGE - off;

		for (uint32_t i = 1; i < 8; i++) {
			put((uint8_t *)(i & 1 ? at : at + (ALIAS - HIGH)), 0x10203040 * i);
			serialize();
			CHECK_EQ(go(HIGH, at, i & 2), 0x80);
			CHECK_EQ(t.r.eax, 0x10203040 * i);
		}
		for (unsigned user = 0; user < 2; user++) {
			map(HIGH + PAGE, frames[2], 0);
			CHECK_EQ(go(HIGH, at, user), VEC_PF);
			CHECK_EQ(t.cr2, HIGH + PAGE);
			CHECK_EQ(t.r.error, user ? 4 : 0);
			CHECK_EQ(t.r.eip, r.eip);
			CHECK_EQ(t.r.eax, 0x5a5a);
			map(HIGH + PAGE, frames[2], PTE_P | PTE_W | PTE_U);
			CHECK_EQ(go(HIGH, at, user), 0x80);
		}
		map(HIGH + PAGE, frames[2], PTE_P | PTE_W); /* the supervisor's */
		CHECK_EQ(go(HIGH, at, true), VEC_PF);
		CHECK_EQ(t.cr2, HIGH + PAGE);
		CHECK_EQ(t.r.error, 5);
		CHECK_EQ(t.r.eip, r.eip);
		map(HIGH + PAGE, frames[2], PTE_P | PTE_W | PTE_U);
		/* Another frame behind the same address. */
		memcpy(frames[1], frames[2], PAGE);
		put((uint8_t *)at, 0x0a0b0c0d);
		memcpy(frames[1], frames[2], 16);
		frames[1][4u + code16 - off] = 0x99; /* the last byte of the immediate */
		map(HIGH + PAGE, frames[1], PTE_P | PTE_W | PTE_U);
		CHECK_EQ(go(HIGH, at, false), 0x80);
		CHECK(t.r.eax != 0x0a0b0c0d);
		map(HIGH + PAGE, frames[2], PTE_P | PTE_W | PTE_U);
		serialize();
		CHECK_EQ(go(HIGH, at, false), 0x80);
		CHECK_EQ(t.r.eax, 0x0a0b0c0d);
	}
}

/* In a device's memory nothing is kept of what was fetched. */
static void in_a_device(void)
{
	map(HIGH + 0x40000, (void *)DEVICE, PTE_P | PTE_W | PTE_U);
	map(HIGH + 0x41000, (void *)(DEVICE + PAGE), PTE_P | PTE_W | PTE_U);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t at = HIGH + 0x40000 + (i & 1 ? 0x80 : PAGE - 3);

		put((uint8_t *)at, i * 0x01020304);
		CHECK_EQ(go(HIGH + 0x40000, at, i & 2), 0x80);
		CHECK_EQ(t.r.eax, i * 0x01020304);
		*(volatile uint8_t *)(at + 1 + code16) ^= 0xff;
		CHECK_EQ(go(HIGH + 0x40000, at, i & 2), 0x80);
		CHECK_EQ(t.r.eax, (i * 0x01020304) ^ 0xff);
	}
}

/* From RAM into the device by one instruction, and out of it. */
static void half_in_a_device(void)
{
	volatile uint8_t bytes[8];
	unsigned n = put(bytes, 0x31323334), here = 3;

	for (unsigned i = 0; i < 2; i++) {
		map(HIGH, i ? (void *)DEVICE : frames[0], PTE_P | PTE_W | PTE_U);
		map(HIGH + PAGE, i ? frames[2] : (void *)DEVICE, PTE_P | PTE_W | PTE_U);
		for (unsigned k = 0; k < n; k++)
			*(volatile uint8_t *)(HIGH + PAGE - here + k) = bytes[k];
		CHECK_EQ(go(HIGH, HIGH + PAGE - here, true), 0x80);
		CHECK_EQ(t.r.eax, 0x31323334);
	}
}

static void rewritten(void)
{
	EACH_MODE(rewrite_and_run);
}

static void next_instruction(void)
{
	EACH_MODE(change_the_next);
}

static void page_end(void)
{
	EACH_MODE(across_the_end);
}

static void device_memory(void)
{
	EACH_MODE(in_a_device);
	EACH_MODE(half_in_a_device);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(rewritten),
	RT_TEST(next_instruction),
	RT_TEST(page_end),
	RT_TEST(device_memory),
	{0},
};
