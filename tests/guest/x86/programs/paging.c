/* SPDX-License-Identifier: MIT */
/*
 * Paging: page-fault error codes and CR2, accessed and dirty bits, page sizes, protection features, and what each kind
 * of invalidation must invalidate (Intel SDM vol. 3, 4.6 to 4.10). What a CPU may keep cached is not tested, only what
 * it must not.
 */
#include "rt64.h"

#define PF_P	1
#define PF_W	2
#define PF_U	4
#define PF_RSVD 8
#define PF_I	16

/* ---- One access each, as a function of its address in RDI; ends with INT 0x80 so that user code can run it too. */

asm(".text; .balign 16\n"
    "do_load: movq (%rdi), %rax; int $0x80\n"
    "do_store: movq %rdi, (%rdi); int $0x80\n"
    "do_rmw: lock incq (%rdi); int $0x80\n"
    "do_jump: jmp *%rdi\n"
    "do_load_ac: stac; movq (%rdi), %rax; clac; int $0x80\n"
    "do_store_ac: stac; movq %rdi, (%rdi); clac; int $0x80\n"
    "do_load_clac: stac; clac; movq (%rdi), %rax; int $0x80\n"
    "do_load_after: call 1f; movq (%rdi), %rax; clac; int $0x80; 1: stac; ret\n" /* the mode changes between a call and its return */
    "do_load_before: stac; call 1f; movq (%rdi), %rax; int $0x80; 1: clac; ret\n"
    "do_load_inside: stac; call 1f; call 2f; clac; int $0x80; 1: movq (%rdi), %rax; ret; 2: call 1b; ret\n"
    "do_push: leaq 8(%rdi), %rsp; pushq %rax; int $0x80\n");
extern const uint8_t do_load[], do_store[], do_rmw[], do_jump[], do_load_ac[], do_store_ac[], do_load_clac[], do_push[], do_load_after[],
	do_load_before[], do_load_inside[];

static bool kernel_mode;

static uint64_t access_at(const uint8_t *code, const volatile void *addr, struct trap *t)
{
	struct regs r;

	user_regs(&r, code, false);
	if (kernel_mode) {
		r.rip -= USER_BASE;
		r.cs = SEL_KCODE;
		r.ss = SEL_KDATA;
		r.rsp -= USER_BASE;
	}
	r.rdi = (uint64_t)addr;
	run_regs(&r, t);
	return t->r.vector;
}

/* The access faults with this error code and its own address in CR2. */
static void expect_fault(const char *what, const uint8_t *code, const volatile void *addr, unsigned error)
{
	struct trap t;

	if (access_at(code, addr, &t) != VEC_PF || t.r.error != error || t.cr2 != (uint64_t)addr)
		test_fail("%s in %s mode: vector %lu error %lx CR2 %lx, should be a page fault with %x at %p", what,
			  kernel_mode ? "kernel" : "user", t.r.vector, t.r.error, t.cr2, error, (void *)addr);
}

static void expect_success(const char *what, const uint8_t *code, const volatile void *addr)
{
	struct trap t;

	if (access_at(code, addr, &t) != 0x80)
		test_fail("%s in %s mode: vector %lu error %lx CR2 %lx, should succeed", what,
			  kernel_mode ? "kernel" : "user", t.r.vector, t.r.error, t.cr2);
}

#define FAULT(code, addr, error) expect_fault(#code, code, addr, error)
#define SUCCESS(code, addr)	 expect_success(#code, code, addr)

static uint8_t *new_page(uint64_t flags)
{
	uint8_t *va = free_area(PAGE);

	map_page(va, page_alloc(), flags);
	return va;
}

/* Code that returns to the caller's INT: one byte sequence in a page of its own. */
static void put_int80(uint64_t frame)
{
	*(volatile uint16_t *)frame = 0x80cd;
}

static void set_flags(uint8_t *va, uint64_t flags)
{
	uint64_t *e = pte_of(va);

	*e = (*e & 0xfffffff000) | flags;
	invlpg(va);
}

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

/* ---- Invalidation. A window shows one of two frames. */

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

/* ---- Accesses that cross into another page */

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
	RT_TEST(fault_errors),
	RT_TEST(upper_levels),
	RT_TEST(reserved_bits),
	RT_TEST(accessed_and_dirty),
	RT_TEST(large_pages),
	RT_TEST(linear_map),
	RT_TEST(write_protect),
	RT_TEST(smep),
	RT_TEST(smap),
	RT_TEST(invalidation),
	RT_TEST(no_negative_caching),
	RT_TEST(pcid),
	RT_TEST(local_supervisor_code),
	RT_TEST(moved_tables),
	RT_TEST(raised_tables),
	RT_TEST(invpcid),
	RT_TEST(pcid_rules),
	RT_TEST(crossing_data),
	RT_TEST(crossing_faults),
	RT_TEST(crossing_fetch),
	RT_TEST(run_off_the_page),
	RT_TEST(many_pages),
	RT_TEST(wandering),
	{0},
};
