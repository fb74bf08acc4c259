/* SPDX-License-Identifier: MIT */
/*
 * Page tables of 64-bit programs (Intel SDM vol. 3, 4.5).
 */
#include "rt64.h"

#define POOL_START 0x2000000ul /* 32 MiB */
#define POOL_END   0x6000000ul
#define LARGE	   0x200000ul

uint64_t kernel_root[512] __attribute__((aligned(4096)));
static uint64_t pool = POOL_START;
static struct spinlock pool_lock;
static uint64_t next_area = FREE_BASE;

uint64_t pages_alloc(unsigned count, uint64_t align)
{
	uint64_t p;

	spin_lock(&pool_lock);
	p = (pool + align - 1) & ~(align - 1);
	pool = p + count * PAGE;
	spin_unlock(&pool_lock);
	if (pool > POOL_END) {
		test_fail("the runtime's memory is used up");
		rt_exit(1);
	}
	memset((void *)p, 0, count * PAGE);
	return p;
}

uint64_t page_alloc(void)
{
	return pages_alloc(1, PAGE);
}

uint64_t *page_entry(uint64_t *root, uint64_t va, unsigned level, bool make)
{
	uint64_t *table = root;

	for (unsigned l = 4;; l--) {
		uint64_t *e = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return e;
		if (!(*e & PTE_P)) {
			if (!make)
				return NULL;
			*e = page_alloc() | PTE_P | PTE_W | PTE_U;
		} else if (*e & PTE_PS) {
			return NULL;
		}
		table = (uint64_t *)(*e & PTE_ADDR);
	}
}

uint64_t *pte_of(const volatile void *va)
{
	return page_entry((uint64_t *)(read_cr3() & PTE_ADDR), (uint64_t)va, 1, false);
}

void map_page(void *va, uint64_t pa, uint64_t flags)
{
	*page_entry(kernel_root, (uint64_t)va, 1, true) = pa | flags;
}

void unmap_page(void *va)
{
	*page_entry(kernel_root, (uint64_t)va, 1, true) = 0;
}

void *free_area(unsigned long bytes)
{
	uint64_t start = next_area;

	next_area += (bytes + 2 * LARGE - 1) & ~(LARGE - 1);
	for (uint64_t va = start; va < next_area; va += LARGE)
		page_entry(kernel_root, va, 1, true);
	return (void *)start;
}

uint64_t *address_space_new(void)
{
	uint64_t *root = (uint64_t *)page_alloc();

	memcpy(root, kernel_root, sizeof(kernel_root));
	return root;
}

void tlb_flush_all(void)
{
	unsigned long cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4 | CR4_PGE);
	if (!(cr4 & CR4_PGE))
		write_cr4(cr4);
}

static void map_large(uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
	for (uint64_t off = 0; off < size; off += LARGE)
		*page_entry(kernel_root, va + off, 2, true) = (pa + off) | flags | PTE_PS | PTE_P | PTE_W;
}

void page_init(void)
{
	map_large(0, 0, USER_BASE, 0);
	map_large(USER_BASE, 0, 0x10000000, PTE_U);
	map_large(0xf0000000, 0xf0000000, 0x10000000, PTE_PCD);
	write_cr3((uint64_t)kernel_root);
}
