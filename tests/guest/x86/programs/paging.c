/* SPDX-License-Identifier: MIT */
/*
 * Paging: page-fault error codes and CR2, accessed and dirty bits, page sizes, protection features (Intel SDM vol. 3, 4.6 to 4.8).
 */
#include "access64.h"

static void fault_errors(void)
{
	uint8_t *va = new_page(0);

	put_int80(*pte_of(va) & PTE_ADDR);
	for (unsigned k = 0; k < 2; k++) {
		unsigned u = k ? 0 : PF_U;

		kernel_mode = k;
		set_flags(va, 0);
		FAULT(do_load, va, u);
		FAULT(do_store, va + 8, u | PF_W);
		FAULT(do_rmw, va + 16, u | PF_W);
		FAULT(do_jump, va, u | PF_I);
		if (!k) /* the kernel's would be a double fault */
			FAULT(do_push, va, u | PF_W);
		set_flags(va, PTE_P | PTE_U);
		SUCCESS(do_load, va);
		FAULT(do_store, va + 8, u | PF_W | PF_P);
		FAULT(do_rmw, va + 4088, u | PF_W | PF_P);
		SUCCESS(do_jump, va);
		set_flags(va, PTE_P | PTE_U | PTE_W | PTE_NX);
		SUCCESS(do_store, va + 8);
		SUCCESS(do_rmw, va + 16);
		FAULT(do_jump, va, u | PF_I | PF_P);
		set_flags(va, PTE_P | PTE_U | PTE_W | 1ul << 51);
		FAULT(do_load, va, u | PF_P | PF_RSVD);
		FAULT(do_store, va, u | PF_P | PF_W | PF_RSVD);
		FAULT(do_jump, va, u | PF_P | PF_I | PF_RSVD);
	}
	kernel_mode = false;
	set_flags(va, PTE_P | PTE_W);
	FAULT(do_load, va, PF_U | PF_P);
	FAULT(do_store, va, PF_U | PF_P | PF_W);
	FAULT(do_jump, va, PF_U | PF_P | PF_I);
	FAULT(do_load, (void *)0x1000, PF_U | PF_P);
	FAULT(do_load, (void *)(FREE_BASE - 4096), PF_U);
}

/* Permissions are the AND of all levels. */
static void upper_levels(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U);

	kernel_mode = false;
	for (unsigned level = 2; level <= 4; level++) {
		uint64_t *e = page_entry(kernel_root, (uint64_t)va, level, false), old = *e;

		put_int80(*pte_of(va) & PTE_ADDR);
		*e = old & ~PTE_W;
		invlpg(va);
		FAULT(do_store, va, PF_U | PF_P | PF_W);
		SUCCESS(do_load, va);
		*e = old & ~PTE_U;
		invlpg(va);
		FAULT(do_load, va, PF_U | PF_P);
		*e = old | PTE_NX;
		invlpg(va);
		FAULT(do_jump, va, PF_U | PF_P | PF_I);
		*e = 0;
		invlpg(va);
		FAULT(do_load, va, PF_U);
		*e = old;
		invlpg(va);
		SUCCESS(do_jump, va);
		SUCCESS(do_store, va);
	}
}

static void reserved_bits(void)
{
	uint8_t *va = free_area(PAGE);
	volatile uint64_t *pml4e = page_entry(kernel_root, (uint64_t)va, 4, true);
	volatile uint64_t *pde = page_entry(kernel_root, (uint64_t)va, 2, true);
	uint64_t old = *pml4e, old_pde = *pde;

	kernel_mode = true;
	*pml4e = old | PTE_PS;
	invlpg(va);
	FAULT(do_load, va, PF_P | PF_RSVD);
	*pml4e = old;
	*pde = PTE_PS | PTE_P | PTE_W | 1 << 13;
	invlpg(va);
	FAULT(do_load, va, PF_P | PF_RSVD);
	*pde = old_pde;
	/* Without NXE the NX bit is reserved. */
	map_page(va, page_alloc(), PTE_P | PTE_W | PTE_NX);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	invlpg(va);
	FAULT(do_load, va, PF_P | PF_RSVD);
	/* And there is no instruction-fetch bit in error codes. */
	*pte_of(va) = 0;
	invlpg(va);
	FAULT(do_jump, va, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
}

static void accessed_and_dirty(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U);
	volatile uint64_t *e[5];

	kernel_mode = true;
	for (unsigned level = 1; level <= 4; level++) {
		e[level] = page_entry(kernel_root, (uint64_t)va, level, false);
		*e[level] &= ~(PTE_A | PTE_D);
	}
	tlb_flush_all();
	SUCCESS(do_load, va);
	for (unsigned level = 1; level <= 4; level++)
		CHECK(*e[level] & PTE_A);
	CHECK(!(*e[1] & PTE_D));
	SUCCESS(do_store, va); /* through the translation that is cached for reading */
	CHECK(*e[1] & PTE_D);
	for (unsigned level = 2; level <= 4; level++)
		CHECK(!(*e[level] & PTE_D));
	*e[1] &= ~PTE_D;
	invlpg(va);
	SUCCESS(do_rmw, va);
	CHECK(*e[1] & PTE_D);
	/* A write that faults leaves no dirty bit. */
	set_flags(va, PTE_P);
	FAULT(do_store, va, PF_P | PF_W);
	CHECK(!(*e[1] & PTE_D));
	set_flags(va, PTE_P | PTE_W);
	put_int80(*e[1] & PTE_ADDR);
	SUCCESS(do_jump, va);
	CHECK_EQ(*e[1] & (PTE_A | PTE_D), PTE_A);
}

static void large_pages(void)
{
	uint8_t *va = (uint8_t *)(FREE_BASE + 0x8000000000ul);
	uint64_t frame = pages_alloc(512, 0x200000), table;
	volatile uint64_t *pde = page_entry(kernel_root, (uint64_t)va, 2, true);
	volatile uint64_t *giga = page_entry(kernel_root, (uint64_t)va + 0x40000000, 3, true);

	kernel_mode = true;
	for (unsigned i = 0; i < 512; i++)
		*(volatile uint64_t *)(frame + i * PAGE) = i;
	*pde = frame | PTE_PS | PTE_P | PTE_W;
	for (unsigned i = 0; i < 512; i++)
		CHECK_EQ(*(volatile uint64_t *)(va + i * PAGE), i);
	CHECK_EQ(*pde & (PTE_A | PTE_D), PTE_A);
	*(volatile uint32_t *)(va + 4095 * 8 + 4) = 77;
	CHECK_EQ(*(volatile uint32_t *)(frame + 4095 * 8 + 4), 77);
	CHECK_EQ(*pde & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* Split, with the pages in reverse order; one INVLPG anywhere in it drops the large translation. */
	table = page_alloc();
	for (unsigned i = 0; i < 512; i++)
		((uint64_t *)table)[i] = (frame + (511 - i) * PAGE) | PTE_P;
	*pde = table | PTE_P | PTE_W;
	invlpg(va + 0x12345);
	for (unsigned i = 0; i < 512; i++)
		CHECK_EQ(*(volatile uint64_t *)(va + i * PAGE), 511 - i);
	FAULT(do_store, va, PF_P | PF_W);
	/* 1 GiB: the low gigabyte, by another name. */
	if (!(cpuid(0x80000001, 0).edx & 1u << 26))
		return;
	*giga = PTE_PS | PTE_P;
	for (unsigned i = 0; i < 512; i++)
		CHECK_EQ(*(volatile uint64_t *)(va + 0x40000000 + frame + i * PAGE), i);
	CHECK_EQ(*giga & (PTE_A | PTE_D), PTE_A);
	FAULT(do_store, va + 0x40000000, PF_P | PF_W);
	*giga = 0;
	invlpg(va + 0x40000000 + frame);
	FAULT(do_load, va + 0x40000000 + frame, 0);
	/* INVLPG anywhere in it drops all of it. */
	*giga = PTE_PS | PTE_P;
	CHECK_EQ(*(volatile uint64_t *)(va + 0x40000000 + frame + PAGE), 1);
	*giga = 0;
	invlpg(va + 0x40000000 + frame + 0x10000000);
	FAULT(do_load, va + 0x40000000 + frame + PAGE, 0);
}

static void write_protect(void)
{
	uint8_t *va = new_page(PTE_P | PTE_U);

	kernel_mode = true;
	FAULT(do_store, va, PF_P | PF_W);
	write_cr0(read_cr0() & ~CR0_WP);
	SUCCESS(do_store, va);
	CHECK(*pte_of(va) & PTE_D);
	kernel_mode = false;
	FAULT(do_store, va, PF_P | PF_W | PF_U);
	write_cr0(read_cr0() | CR0_WP);
	kernel_mode = true;
	FAULT(do_store, va, PF_P | PF_W);
	FAULT(do_rmw, va, PF_P | PF_W);
}

static void smep(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U);

	if (!(cpuid(7, 0).ebx & 1u << 7))
		return test_skip("no SMEP");
	put_int80(*pte_of(va) & PTE_ADDR);
	kernel_mode = true;
	SUCCESS(do_jump, va);
	write_cr4(read_cr4() | CR4_SMEP);
	FAULT(do_jump, va, PF_P | PF_I);
	SUCCESS(do_store, va + 8);
	kernel_mode = false;
	SUCCESS(do_jump, va);
	write_cr4(read_cr4() & ~CR4_SMEP);
	kernel_mode = true;
	SUCCESS(do_jump, va);
}

static void smap(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U);
	struct trap t;

	if (!(cpuid(7, 0).ebx & 1u << 20))
		return test_skip("no SMAP");
	kernel_mode = true;
	SUCCESS(do_load, va);
	write_cr4(read_cr4() | CR4_SMAP);
	FAULT(do_load, va, PF_P);
	FAULT(do_store, va, PF_P | PF_W);
	FAULT(do_rmw, va, PF_P | PF_W);
	SUCCESS(do_load_ac, va);
	SUCCESS(do_store_ac, va);
	FAULT(do_load_clac, va, PF_P);
	for (unsigned i = 0; i < 3; i++) {
		SUCCESS(do_load_after, va);
		FAULT(do_load_before, va, PF_P);
		SUCCESS(do_load_inside, va);
	}
	put_int80(*pte_of(va) & PTE_ADDR);
	SUCCESS(do_jump, va);
	kernel_mode = false;
	SUCCESS(do_load, va);
	SUCCESS(do_store, va);
	/* STAC is not for user code; and AC does not survive a trap into the kernel's own code here. */
	CHECK_EQ(access_at(do_load_ac, va, &t), VEC_UD);
	write_cr4(read_cr4() & ~CR4_SMAP);
	kernel_mode = true;
	SUCCESS(do_load, va);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(fault_errors),
	RT_TEST(upper_levels),
	RT_TEST(reserved_bits),
	RT_TEST(accessed_and_dirty),
	RT_TEST(large_pages),
	RT_TEST(write_protect),
	RT_TEST(smep),
	RT_TEST(smap),
	{0},
};
