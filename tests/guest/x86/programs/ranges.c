/* SPDX-License-Identifier: MIT */
/*
 * Many pages at once, so that every cache of translations overflows, and what it made ranges of is not what the tables say any more.
 */
#include "access64.h"

/* ---- A linear map of global pages, as kernels have it: four regions of 2 MiB, the third of them by small pages. What is next to a page says nothing of it. */

enum { LINEAR_PAGES = 2048, LINEAR_SMALL = 1024 /* the first small one */ };

static uint8_t *linear;
static uint64_t linear_frame, *linear_table;

/* All pages by one base register, in an order that leaves none of a page's neighbours for last. */
static void linear_check(unsigned but, uint64_t mark)
{
	for (unsigned i = 0; i < LINEAR_PAGES; i++) {
		unsigned n = i * 1021 % LINEAR_PAGES;
		uint64_t v;

		if (n == but && mark == ~0ul)
			continue;
		asm volatile("movq (%1), %0" : "=r"(v) : "b"(linear + (uint64_t)n * PAGE) : "memory");
		CHECK_EQ(v, n == but ? mark : n);
	}
}

static void linear_map(void)
{
	const uint64_t flags = PTE_P | PTE_W | PTE_G | PTE_A | PTE_D, other = page_alloc(), others = pages_alloc(512, 0x200000);
	const unsigned page = LINEAR_SMALL + 77;
	volatile uint64_t *pde, *pte;

	linear = (uint8_t *)(FREE_BASE + 0x8080000000ul);
	linear_frame = pages_alloc(LINEAR_PAGES, 0x200000);
	linear_table = (uint64_t *)page_alloc();
	pde = page_entry(kernel_root, (uint64_t)linear, 2, true);
	pte = linear_table + 77;
	for (unsigned i = 0; i < LINEAR_PAGES; i++)
		*(volatile uint64_t *)(linear_frame + i * PAGE) = i;
	for (unsigned i = 0; i < 512; i++)
		linear_table[i] = (linear_frame + (LINEAR_SMALL + i) * PAGE) | flags;
	for (unsigned i = 0; i < 4; i++)
		pde[i] = (linear_frame + i * 0x200000) | PTE_PS | flags;
	pde[2] = (uint64_t)linear_table | PTE_P | PTE_W | PTE_A;
	*(volatile uint64_t *)other = 12345;
	*(volatile uint64_t *)others = 54321;
	kernel_mode = true;
	linear_check(0, 0);
	linear_check(0, 0);
	/* One of them leads elsewhere, or nowhere, or may not be written. */
	*pte = other | flags;
	invlpg(linear + page * PAGE + 5);
	linear_check(page, 12345);
	*pte = 0;
	invlpg(linear + page * PAGE);
	linear_check(page, ~0ul);
	FAULT(do_load, linear + page * PAGE, 0);
	linear_check(page, ~0ul);
	*pte = ((linear_frame + page * PAGE) | flags) & ~PTE_W;
	invlpg(linear + page * PAGE);
	linear_check(page, page);
	FAULT(do_store, linear + page * PAGE, PF_P | PF_W);
	kernel_mode = false;
	FAULT(do_load, linear + (page + 1) * PAGE, PF_P | PF_U);
	FAULT(do_load, linear, PF_P | PF_U);
	kernel_mode = true;
	/* Bits are set for it, too. */
	*pte = (linear_frame + page * PAGE) | PTE_P | PTE_W | PTE_G;
	invlpg(linear + page * PAGE);
	linear_check(page, page);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
	SUCCESS(do_store, linear + page * PAGE + 8);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* A large one that leads elsewhere; and a table of small ones that is replaced by a large one. */
	pde[1] = others | PTE_PS | flags;
	invlpg(linear + 0x200000 + 0x54321);
	CHECK_EQ(*(volatile uint64_t *)(linear + 0x200000), 54321);
	pde[1] = (linear_frame + 0x200000) | PTE_PS | flags;
	invlpg(linear + 0x200000);
	linear_check(0, 0);
	pde[2] = others | PTE_PS | flags;
	tlb_flush_all();
	CHECK_EQ(*(volatile uint64_t *)(linear + 0x400000), 54321);
	CHECK_EQ(*(volatile uint64_t *)linear, 0);
	CHECK_EQ(*(volatile uint64_t *)(linear + 0x600000), 1536);
}

/* Many pages, so that every cache of translations overflows; then many address spaces. */
static void many_pages(void)
{
	enum { N = 6000 };
	uint8_t *va = free_area(N * PAGE);
	uint64_t *marks = (uint64_t *)pages_alloc(16, PAGE);

	for (unsigned i = 0; i < N; i++)
		map_page(va + i * PAGE, (uint64_t)marks + (i % 16) * PAGE, PTE_P | PTE_W);
	for (unsigned i = 0; i < 16; i++)
		*(volatile uint64_t *)((uint64_t)marks + i * PAGE) = i;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < N; i++)
			CHECK_EQ(*(volatile uint64_t *)(va + i * PAGE), i % 16);
	for (unsigned i = 0; i < N; i += 7) {
		*pte_of(va + i * PAGE) = ((uint64_t)marks + (i + 1) % 16 * PAGE) | PTE_P;
		invlpg(va + i * PAGE);
	}
	for (unsigned i = 0; i < N; i++)
		CHECK_EQ(*(volatile uint64_t *)(va + i * PAGE), (i % 7 ? i : i + 1) % 16);
}

/*
 * User code that loads from page to page, in no order that anybody could make ranges of, and again when some of the pages have become others. It
 * adds up what it finds: RCX loads from page RDX on, of WANDER_PAGES at RDI.
 */
#define WANDER_PAGES 4096u
#define WANDER_STEP 1237u

asm(".text; .balign 16\n"
    "do_wander: xorl %eax, %eax\n"
    "1: addq $1237, %rdx; andq $4095, %rdx; movq %rdx, %rsi; shlq $12, %rsi\n"
    "imulq $31, %rax; addq 8(%rdi,%rsi), %rax; decq %rcx; jnz 1b; int $0x80\n");
extern const uint8_t do_wander[];

static uint8_t wander_value[2][WANDER_PAGES]; /* by address space */

static void check_wander(const uint8_t *va, unsigned space)
{
	uint64_t expected = 0;
	struct trap t;
	struct regs r;

	user_regs(&r, do_wander, false);
	r.rdi = (uint64_t)va;
	r.rdx = 0;
	r.rcx = 2 * WANDER_PAGES;
	run_regs(&r, &t);
	for (unsigned n = 1; n <= 2 * WANDER_PAGES; n++)
		expected = expected * 31 + wander_value[space][n * WANDER_STEP % WANDER_PAGES];
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.rax, expected);
}

static void wander_change(uint64_t *root, unsigned space, const uint8_t *va, uint64_t marks, unsigned page)
{
	unsigned value = (wander_value[space][page] + 1) % 16;

	wander_value[space][page] = (uint8_t)value;
	*page_entry(root, (uint64_t)va + page * PAGE, 1, true) = (marks + value * PAGE) | PTE_P | PTE_U;
}

static void wandering(void)
{
	uint64_t *other = address_space_new(), marks = pages_alloc(16, PAGE);
	uint8_t *va = free_area(WANDER_PAGES * PAGE);

	*page_entry(other, (uint64_t)va, 4, false) = 0;
	for (unsigned i = 0; i < 16; i++)
		*(volatile uint64_t *)(marks + i * PAGE + 8) = i;
	for (unsigned i = 0; i < WANDER_PAGES; i++) {
		wander_value[0][i] = i % 16;
		wander_value[1][i] = i % 7;
		wander_change(kernel_root, 0, va, marks, i);
		wander_change(other, 1, va, marks, i);
	}
	for (unsigned round = 0; round < 12; round++) {
		check_wander(va, 0);
		check_wander(va, 0);
		for (unsigned i = round; i < WANDER_PAGES; i += 11) {
			wander_change(kernel_root, 0, va, marks, i);
			if (round % 3 == 0)
				invlpg(va + i * PAGE);
		}
		if (round % 3 == 1)
			write_cr3(read_cr3());
		else if (round % 3 == 2)
			tlb_flush_all();
		check_wander(va, 0);
		write_cr3((uint64_t)other);
		check_wander(va, 1);
		wander_change(other, 1, va, marks, round * 5);
		invlpg(va + round * 5 * PAGE);
		check_wander(va, 1);
		write_cr3((uint64_t)kernel_root);
	}
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(linear_map),
	RT_TEST(many_pages),
	RT_TEST(wandering),
	{0},
};
