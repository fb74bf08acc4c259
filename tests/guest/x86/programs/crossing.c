/* SPDX-License-Identifier: MIT */
/*
 * Accesses and instructions that cross into another page: neighbours by linear address whose frames are none (Intel SDM vol. 3, 4.7).
 */
#include "access64.h"

static uint8_t *pair; /* two neighbouring pages from frames that are no neighbours */
static uint64_t pair_frames[2];

static void pair_prepare(void)
{
	pair = free_area(2 * PAGE);
	pair_frames[1] = page_alloc();
	pair_frames[0] = page_alloc();
	for (unsigned i = 0; i < 2; i++)
		map_page(pair + i * PAGE, pair_frames[i], PTE_P | PTE_W | PTE_U);
}

#define CROSS_WIDTH(type)                                                                   \
	do {                                                                                \
		for (unsigned off = 1; off < sizeof(type); off++) {                         \
			volatile type *p = (volatile type *)(pair + PAGE - off);            \
			uint8_t bytes[sizeof(type)];                                        \
			type value = (type)0x8877665544332211ull, seen;                     \
                                                                                            \
			*p = value;                                                         \
			memcpy(bytes, (uint8_t *)pair_frames[0] + PAGE - off, off);         \
			memcpy(bytes + off, (uint8_t *)pair_frames[1], sizeof(type) - off); \
			CHECK_EQ(memcmp(bytes, &value, sizeof(type)), 0);                   \
			seen = *p;                                                          \
			CHECK_EQ(seen, value);                                              \
			*p += 3;                                                            \
			CHECK_EQ(*p, (type)(value + 3));                                    \
			__atomic_fetch_sub(p, 3, __ATOMIC_SEQ_CST);                         \
			CHECK_EQ(*p, value);                                                \
		}                                                                           \
	} while (0)

static void crossing_data(void)
{
	pair_prepare();
	CROSS_WIDTH(uint16_t);
	CROSS_WIDTH(uint32_t);
	CROSS_WIDTH(uint64_t);
	for (unsigned off = 1; off < 16; off++) {
		uint8_t value[16], seen[16];

		for (unsigned i = 0; i < 16; i++)
			value[i] = (uint8_t)(off * 16 + i);
		asm volatile("movups %1, %%xmm3; movups %%xmm3, %0"
			     : "=m"(*(uint8_t(*)[16])(pair + PAGE - off))
			     : "m"(value)
			     : "memory");
		CHECK_EQ(memcmp((uint8_t *)pair_frames[0] + PAGE - off, value, off), 0);
		CHECK_EQ(memcmp((uint8_t *)pair_frames[1], value + off, 16 - off), 0);
		asm volatile("movups %1, %%xmm3; movups %%xmm3, %0"
			     : "=m"(seen)
			     : "m"(*(uint8_t(*)[16])(pair + PAGE - off))
			     : "memory");
		CHECK_EQ(memcmp(seen, value, 16), 0);
	}
}

/* The second page faults: nothing of the store may show in the first; CR2 is the second page's start. */
static void crossing_faults(void)
{
	volatile uint64_t *p;
	struct trap t;

	pair_prepare();
	p = (volatile uint64_t *)(pair + PAGE - 3);
	kernel_mode = true;
	for (unsigned round = 0; round < 2; round++) {
		*(volatile uint32_t *)(pair + PAGE - 4) = 0x5a5a5a5a;
		set_flags(pair + PAGE, round ? PTE_P : 0);
		CHECK_EQ(access_at(do_store, p, &t), VEC_PF);
		CHECK_EQ(t.r.error, PF_W | (round ? PF_P : 0));
		CHECK_EQ(t.cr2, (uint64_t)pair + PAGE);
		CHECK_EQ(*(volatile uint32_t *)(pair + PAGE - 4), 0x5a5a5a5a);
		CHECK_EQ(access_at(do_rmw, p, &t), VEC_PF);
		CHECK_EQ(t.cr2, (uint64_t)pair + PAGE);
		CHECK_EQ(*(volatile uint32_t *)(pair + PAGE - 4), 0x5a5a5a5a);
	}
	set_flags(pair + PAGE, PTE_P | PTE_W);
	set_flags(pair, 0);
	CHECK_EQ(access_at(do_load, p, &t), VEC_PF);
	CHECK_EQ(t.cr2, (uint64_t)p);
	CHECK_EQ(access_at(do_store, p, &t), VEC_PF);
	CHECK_EQ(t.cr2, (uint64_t)p);
}

/* An instruction across a page end: runs; faults with CR2 at the second page when that is missing. */
static void crossing_fetch(void)
{
	static const uint8_t code[] = {0x48, 0xb8, 1, 2, 3,    4,
				       5,    6,	   7, 8, 0xcd, 0x80}; /* mov $imm64, %rax; int $0x80 */
	struct trap t;

	pair_prepare();
	for (unsigned off = 1; off < 10; off++) {
		uint8_t *p = pair + PAGE - off;

		for (unsigned k = 0; k < 2; k++) {
			kernel_mode = k;
			set_flags(pair + PAGE, PTE_P | PTE_W | PTE_U);
			memcpy(p, code, sizeof(code));
			CHECK_EQ(access_at(do_jump, p, &t), 0x80);
			CHECK_EQ(t.r.rax, 0x0807060504030201);
			CHECK_EQ(t.r.rip, (uint64_t)p + sizeof(code));
			set_flags(pair + PAGE, 0);
			CHECK_EQ(access_at(do_jump, p, &t), VEC_PF);
			CHECK_EQ(t.r.error, PF_I | (k ? 0 : PF_U));
			CHECK_EQ(t.cr2, (uint64_t)pair + PAGE);
			CHECK_EQ(t.r.rip, (uint64_t)p);
			set_flags(pair + PAGE, PTE_P | PTE_U | PTE_NX);
			CHECK_EQ(access_at(do_jump, p, &t), VEC_PF);
			CHECK_EQ(t.r.error, PF_I | PF_P | (k ? 0 : PF_U));
			CHECK_EQ(t.cr2, (uint64_t)pair + PAGE);
		}
	}
}

/* Straight-line code that runs into a missing page faults there, with everything before it done. */
static void run_off_the_page(void)
{
	struct trap t;

	pair_prepare();
	memset(pair + PAGE - 64, 0x90, 64);
	memcpy(pair + PAGE - 6, "\x48\xff\xc0\x48\xff\xc0", 6); /* inc %rax; inc %rax */
	set_flags(pair + PAGE, 0);
	kernel_mode = false;
	CHECK_EQ(access_at(do_jump, pair + PAGE - 64, &t), VEC_PF);
	CHECK_EQ(t.r.rip, (uint64_t)pair + PAGE);
	CHECK_EQ(t.cr2, (uint64_t)pair + PAGE);
	CHECK_EQ(t.r.rax, 2);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(crossing_data),
	RT_TEST(crossing_faults),
	RT_TEST(crossing_fetch),
	RT_TEST(run_off_the_page),
	{0},
};
