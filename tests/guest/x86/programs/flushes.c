/* SPDX-License-Identifier: MIT */
/*
 * What each kind of invalidation must invalidate, with and without PCIDs (Intel SDM vol. 3, 4.10). What a CPU may keep cached is not tested, only what it
 * must not.
 */
#include "access64.h"

/* ---- A window shows one of two frames. */

static uint8_t *window;
static uint64_t frames[2];

static void window_prepare(uint64_t flags)
{
	window = free_area(PAGE);
	for (unsigned i = 0; i < 2; i++) {
		frames[i] = page_alloc();
		*(volatile uint64_t *)frames[i] = i;
	}
	map_page(window, frames[0], flags);
}

static void window_show(uint64_t *root, unsigned which)
{
	uint64_t *e = page_entry(root, (uint64_t)window, 1, false);

	*e = (*e & ~PTE_ADDR) | frames[which];
}

static uint64_t look(void)
{
	return *(volatile uint64_t *)window;
}

static void invalidation(void)
{
	for (unsigned global = 0; global < 2; global++) {
		window_prepare(PTE_P | PTE_W | (global ? PTE_G : 0));
		CHECK_EQ(look(), 0);
		window_show(kernel_root, 1);
		invlpg(window + 123);
		CHECK_EQ(look(), 1);
		window_show(kernel_root, 0);
		tlb_flush_all();
		CHECK_EQ(look(), 0);
		window_show(kernel_root, 1);
		write_cr4(read_cr4() & ~CR4_PGE);
		CHECK_EQ(look(), 1);
		window_show(kernel_root, 0);
		write_cr3(read_cr3());
		if (!global)
			CHECK_EQ(look(), 0);
		write_cr4(read_cr4() | CR4_PGE);
		CHECK_EQ(look(), 0);
		window_show(kernel_root, 1);
		if (!global) {
			write_cr3(read_cr3());
			CHECK_EQ(look(), 1);
			write_cr0(read_cr0() ^ CR0_WP);
			write_cr0(read_cr0() ^ CR0_WP);
			CHECK_EQ(look(), 1);
		}
		invlpg(window);
	}
}

/* An entry that was not present is never cached; one that gains a right may give one more fault. */
static void no_negative_caching(void)
{
	struct trap t;

	window_prepare(0);
	kernel_mode = true;
	for (unsigned i = 0; i < 10; i++) {
		*pte_of(window) &= ~PTE_P;
		invlpg(window);
		FAULT(do_load, window, 0);
		*pte_of(window) |= PTE_P;
		SUCCESS(do_load, window);
		FAULT(do_store, window, PF_P | PF_W);
		*pte_of(window) |= PTE_W;
		if (access_at(do_store, window, &t) != 0x80)
			SUCCESS(do_store, window);
		*pte_of(window) &= ~PTE_W;
	}
}

static void pcid(void)
{
	uint64_t *other = address_space_new(), root = (uint64_t)kernel_root;
	uint64_t *top, frame;

	if (!(cpuid(1, 0).ecx & 1u << 17))
		return test_skip("no PCID");
	/* Two address spaces whose windows differ. */
	window_prepare(PTE_P | PTE_W);
	top = page_entry(other, (uint64_t)window, 4, false);
	*top = 0;
	*page_entry(other, (uint64_t)window, 1, true) = frames[1] | PTE_P | PTE_W;
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(root | 1);
	CHECK_EQ(look(), 0);
	write_cr3((uint64_t)other | 2);
	CHECK_EQ(look(), 1);
	for (unsigned i = 0; i < 200; i++) {
		write_cr3(root | 1 | 1ul << 63);
		CHECK_EQ(look(), 0);
		write_cr3((uint64_t)other | 2 | 1ul << 63);
		CHECK_EQ(look(), 1);
	}
	CHECK_EQ(read_cr3(), (uint64_t)other | 2);
	/* Without bit 63 the new PCID's translations go. */
	write_cr3(root | 1 | 1ul << 63);
	frame = frames[0];
	frames[0] = frames[1];
	window_show(kernel_root, 0);
	write_cr3((uint64_t)other | 2 | 1ul << 63);
	write_cr3(root | 1);
	CHECK_EQ(look(), 1);
	frames[0] = frame;
	window_show(kernel_root, 0);
	invlpg(window);
	CHECK_EQ(look(), 0);
	/* INVLPG is of the current PCID; the others may keep theirs, a flush of all contexts may not. */
	write_cr3(root);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	CHECK_EQ(look(), 0);
}

/*
 * Supervisor code on pages that are not global, while there are global ones: three pages of small functions that say which address space they
 * belong to, and what links of page to page (a jump to the next page, an indirect call) leads to.
 */
#define CODE_PAGES 3
#define PER_PAGE 64

static void put_functions(uint8_t *to, unsigned which)
{
	for (unsigned n = 0; n < PER_PAGE; n++) {
		uint8_t *f = to + n * (PAGE / PER_PAGE);
		uint32_t value = which << 8 | n;

		*f++ = 0xb8; /* mov $value, %eax */
		memcpy(f, &value, 4);
		f += 4;
		*f++ = 0xe9; /* jmp into the last page's ret */
		memcpy(f, &(int32_t){ CODE_PAGES * PAGE - 16 - n * (PAGE / PER_PAGE) - 10 }, 4);
	}
}

static void code_prepare(uint64_t *root, unsigned which)
{
	for (unsigned page = 0; page < CODE_PAGES; page++) {
		uint64_t frame = page_alloc();

		*page_entry(root, (uint64_t)window + page * PAGE, 1, true) = frame | PTE_P | PTE_W;
		if (page == 0)
			put_functions((uint8_t *)frame, which);
		memset((uint8_t *)frame + PAGE - 16, 0xc3, 16);
	}
}

static void expect_code(unsigned which, unsigned functions)
{
	for (unsigned n = 0; n < functions; n++)
		CHECK_EQ(((uint32_t(*)(void))(window + n * (PAGE / PER_PAGE)))(), which << 8 | n);
}

static void local_supervisor_code(void)
{
	uint64_t *root[2] = { kernel_root, address_space_new() };
	bool pcids = cpuid(1, 0).ecx & 1u << 17;
	uint64_t frame;

	CHECK(read_cr4() & CR4_PGE);
	window = (uint8_t *)(FREE_BASE + 0x10000000000ul);
	for (unsigned i = 0; i < 2; i++) {
		*page_entry(root[i], (uint64_t)window, 4, true) = 0;
		code_prepare(root[i], i);
	}
	for (unsigned functions = 4; functions <= PER_PAGE; functions += 60)
		for (unsigned turn = 0; turn < 20; turn++) {
			write_cr3((uint64_t)root[turn & 1]);
			for (unsigned again = 0; again < 3; again++)
				expect_code(turn & 1, functions);
		}
	if (pcids) {
		write_cr3((uint64_t)root[0]);
		write_cr4(read_cr4() | CR4_PCIDE);
		write_cr3((uint64_t)root[0] | 1);
		write_cr3((uint64_t)root[1] | 2);
		for (unsigned functions = 4; functions <= PER_PAGE; functions += 60)
			for (unsigned turn = 0; turn < 20; turn++) {
				write_cr3((uint64_t)root[turn & 1] | (1 + (turn & 1)) | 1ul << 63);
				for (unsigned again = 0; again < 3; again++)
					expect_code(turn & 1, functions);
			}
		write_cr3((uint64_t)root[0] | 1);
	}
	/* Another frame behind the same page, by INVLPG and by loading CR3. */
	for (unsigned n = 0; n < 6; n++) {
		frame = page_alloc();
		put_functions((uint8_t *)frame, 2 + n);
		*page_entry(root[0], (uint64_t)window, 1, false) = frame | PTE_P | PTE_W;
		if (n & 1)
			invlpg(window);
		else
			write_cr3((uint64_t)root[0] | (pcids ? 1 : 0));
		expect_code(2 + n, PER_PAGE);
		expect_code(2 + n, PER_PAGE);
	}
	write_cr3((uint64_t)root[0]);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

/* ---- What the levels above lead to */

/* A window of its own region, mapped through two page tables in turns: entry 0 of table n shows frame n. */
static uint64_t tables[2];
static volatile uint64_t *leads; /* the entry of level 2 that leads to one of them */

static void region_prepare(void)
{
	window = (uint8_t *)(FREE_BASE + 0x8080000000ul);
	leads = page_entry(kernel_root, (uint64_t)window, 2, true);
	for (unsigned i = 0; i < 2; i++) {
		frames[i] = page_alloc();
		tables[i] = page_alloc();
		*(volatile uint64_t *)frames[i] = i;
		for (unsigned k = 0; k < 512; k++)
			((volatile uint64_t *)tables[i])[k] = frames[i] | PTE_P | PTE_W | PTE_U;
	}
	*leads = tables[0] | PTE_P | PTE_W | PTE_U;
}

static uint64_t look_at(unsigned page)
{
	return *(volatile uint64_t *)(window + page * PAGE);
}

/* INVLPG drops what is known of upper levels wherever it points, a CR3 write too; for the pages not looked at before as well. */
static void moved_tables(void)
{
	uint64_t root = (uint64_t)kernel_root;

	region_prepare();
	kernel_mode = true;
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(look_at(2 * i), 0);
		*leads = tables[1] | PTE_P | PTE_W | PTE_U;
		invlpg(window + 2 * i * PAGE);
		CHECK_EQ(look_at(2 * i), 1);
		CHECK_EQ(look_at(2 * i + 1), 1);
		*leads = tables[0] | PTE_P | PTE_W | PTE_U;
		write_cr3(root);
		CHECK_EQ(look_at(2 * i + 1), 0);
		CHECK(*leads & PTE_A);
	}
	/* Another page's INVLPG: the page that was looked at may stay, the others may not come from the old table. */
	CHECK_EQ(look_at(300), 0);
	*leads = tables[1] | PTE_P | PTE_W | PTE_U;
	invlpg(window + 0x40000000);
	CHECK_EQ(look_at(301), 1);
}

/* An upper entry that allows more than before needs no flush: the access succeeds, at once or when it is tried again behind a fault. */
static void raised_tables(void)
{
	static const struct {
		uint64_t less;
		const uint8_t *code;
	} cases[] = { { PTE_P | PTE_U, do_store }, { PTE_P | PTE_W, do_load }, { PTE_P | PTE_W | PTE_U | PTE_NX, do_jump }, { 0, do_load } };
	struct trap t;

	region_prepare();
	kernel_mode = false;
	put_int80(frames[0]);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*leads = tables[0] | cases[i].less;
		invlpg(window);
		if (access_at(cases[i].code, window + 8 * PAGE, &t) != VEC_PF)
			test_fail("case %u: vector %lu, should be a page fault", i, t.r.vector);
		(void)access_at(do_load, window + 9 * PAGE, &t); /* learns what there is to know */
		*leads = tables[0] | PTE_P | PTE_W | PTE_U;
		if (access_at(cases[i].code, window + 10 * PAGE, &t) != 0x80)
			expect_success("again", cases[i].code, window + 10 * PAGE);
		*(volatile uint16_t *)frames[0] = 0x80cd;
	}
}

static void invpcid_do(uint64_t type, uint64_t id, const void *addr)
{
	struct {
		uint64_t pcid, addr;
	} d = {id, (uint64_t)addr};

	asm volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static void invpcid_bad(void)
{
	invpcid_do(4, 0, NULL);
}

static void invpcid(void)
{
	struct trap t;
	uint64_t root = (uint64_t)kernel_root;

	if (!(cpuid(7, 0).ebx & 1u << 10) || !(cpuid(1, 0).ecx & 1u << 17))
		return test_skip("no INVPCID");
	window_prepare(PTE_P | PTE_W);
	write_cr4(read_cr4() | CR4_PCIDE);
	for (unsigned type = 0; type < 4; type++) {
		write_cr3(root | 5);
		window_show(kernel_root, 0);
		invlpg(window);
		CHECK_EQ(look(), 0);
		write_cr3(root | 6);
		window_show(kernel_root, 1);
		invpcid_do(type, 5, window);
		write_cr3(root | 5 | 1ul << 63);
		CHECK_EQ(look(), 1);
	}
	write_cr3(root);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	CHECK_EQ(trap_of(invpcid_bad, &t), VEC_GP);
	write_cr4(read_cr4() | CR4_PGE);
	/* Type 2 takes global translations too. */
	window_prepare(PTE_P | PTE_W | PTE_G);
	CHECK_EQ(look(), 0);
	window_show(kernel_root, 1);
	invpcid_do(2, 0, NULL);
	CHECK_EQ(look(), 1);
}

static void pcid_bad(void)
{
	write_cr3((uint64_t)kernel_root | 3);
	write_cr4(read_cr4() | CR4_PCIDE); /* CR3[11:0] must be 0 */
}

static void pcid_rules(void)
{
	struct trap t;

	if (!(cpuid(1, 0).ecx & 1u << 17))
		return test_skip("no PCID");
	CHECK_EQ(trap_of(pcid_bad, &t), VEC_GP);
	write_cr3((uint64_t)kernel_root);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(invalidation),
	RT_TEST(no_negative_caching),
	RT_TEST(pcid),
	RT_TEST(local_supervisor_code),
	RT_TEST(moved_tables),
	RT_TEST(raised_tables),
	RT_TEST(invpcid),
	RT_TEST(pcid_rules),
	{0},
};
