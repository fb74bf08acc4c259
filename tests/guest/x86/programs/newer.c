/* SPDX-License-Identifier: MIT */
/*
 * What newer CPUs add to paging and waiting: protection keys of user and supervisor pages, 5-level paging, MONITOR and MWAIT (Intel SDM vol. 3,
 * 4.5, 4.6.2 and 9.10.4). Run with a CPU model that has them.
 */
#include "rt64.h"

#define CR4_LA57 0x1000ul
#define CR4_PKE	 0x400000ul
#define CR4_PKS	 0x1000000ul
#define MSR_PKRS 0x6e1u
#define PTE_KEY(n) ((uint64_t)(n) << 59)

extern uint64_t w_address;
void w_switch(uint64_t *root, uint64_t cr4), w_load(void), w_store(void), w_rdpkru(void), w_wrpkru(void),
	w_wrpkru_edx(void), w_cr4(void), w_mwait_bad(void), w_monitor_bad(void), w_user_load(void), w_user_store(void),
	w_user_mwait(void), w_fetch(void);

static struct trap t;
static struct regs r;

static int at(void (*fn)(void), uint64_t address)
{
	w_address = address;
	return trap_of(fn, &t);
}

static uint32_t rdpkru(void)
{
	uint32_t v;

	asm volatile("rdpkru" : "=a"(v) : "c"(0) : "rdx");
	return v;
}

static void wrpkru(uint32_t v)
{
	asm volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static void user(void (*fn)(void), void *p)
{
	user_regs(&r, (const void *)fn, false);
	r.rdi = (uint64_t)p;
	run_regs(&r, &t);
}

static void pkru_register(void)
{
	if (!(cpuid(7, 0).ecx & 8))
		return test_skip("no PKU");
	CHECK(!(cpuid(7, 0).ecx & 0x10));
	CHECK_EQ(at(w_rdpkru, 0), VEC_UD);
	CHECK_EQ(at(w_wrpkru, 0), VEC_UD);
	write_cr4(read_cr4() | CR4_PKE);
	CHECK(cpuid(7, 0).ecx & 0x10);
	CHECK_EQ(at(w_rdpkru, 0), -1);
	CHECK_EQ(at(w_rdpkru, 1), VEC_GP);
	CHECK_EQ(at(w_wrpkru_edx, 0), VEC_GP);
	wrpkru(0x12345678);
	CHECK_EQ(rdpkru(), 0x12345678);
	wrpkru(0);
	write_cr4(read_cr4() & ~CR4_PKE);
}

/* User pages: AD forbids all data accesses, WD writes; the kernel's too, its writes if CR0.WP. Fetches are not concerned. */
static void user_keys(void)
{
	uint8_t *p;
	uint64_t pa = page_alloc();

	if (!(cpuid(7, 0).ecx & 8))
		return test_skip("no PKU");
	p = free_area(4096);
	*page_entry(kernel_root, (uint64_t)p, 3, true) |= PTE_U;
	*page_entry(kernel_root, (uint64_t)p, 2, true) |= PTE_U;
	kernel_root[(uint64_t)p >> 39 & 511] |= PTE_U;
	map_page(p, pa, PTE_P | PTE_W | PTE_U | PTE_KEY(5));
	*(volatile uint8_t *)pa = 0xc3; /* RET */
	tlb_flush_all();
	write_cr4(read_cr4() | CR4_PKE);
	wrpkru(~(3u << 10)); /* all but this one */
	user(w_user_store, p);
	CHECK_EQ(t.r.vector, 0x80);
	wrpkru(1u << 11); /* WD */
	user(w_user_load, p);
	CHECK_EQ(t.r.vector, 0x80);
	user(w_user_store, p);
	CHECK_EQ(t.r.vector, VEC_PF);
	CHECK_EQ(t.r.error, 0x27);
	CHECK_EQ(t.cr2, (uint64_t)p);
	CHECK_EQ(at(w_load, (uint64_t)p), -1);
	CHECK_EQ(at(w_store, (uint64_t)p), VEC_PF);
	CHECK_EQ(t.r.error, 0x23);
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK_EQ(at(w_store, (uint64_t)p + 8), -1);
	write_cr0(read_cr0() | CR0_WP);
	wrpkru(1u << 10); /* AD */
	user(w_user_load, p);
	CHECK_EQ(t.r.vector, VEC_PF);
	CHECK_EQ(t.r.error, 0x25);
	CHECK_EQ(at(w_load, (uint64_t)p), VEC_PF);
	CHECK_EQ(t.r.error, 0x21);
	*(volatile uint8_t *)pa = 0xc3;
	CHECK_EQ(at(w_fetch, (uint64_t)p), -1);
	*pte_of(p) &= ~(PTE_P);
	invlpg(p);
	CHECK_EQ(at(w_load, (uint64_t)p), VEC_PF);
	CHECK_EQ(t.r.error, 0); /* not present: the key does not count */
	wrpkru(0);
	write_cr4(read_cr4() & ~CR4_PKE);
	*pte_of(p) |= PTE_P;
	CHECK_EQ(at(w_load, (uint64_t)p), -1);
}

static void supervisor_keys(void)
{
	uint8_t *p;

	if (!(cpuid(7, 0).ecx >> 31))
		return test_skip("no PKS");
	p = free_area(4096);
	map_page(p, page_alloc(), PTE_P | PTE_W | PTE_KEY(9));
	wrmsr(MSR_PKRS, 1u << 18);
	CHECK_EQ(at(w_load, (uint64_t)p), -1);
	write_cr4(read_cr4() | CR4_PKS);
	CHECK_EQ(at(w_load, (uint64_t)p), VEC_PF);
	CHECK_EQ(t.r.error, 0x21);
	wrmsr(MSR_PKRS, 1u << 19);
	CHECK_EQ(rdmsr(MSR_PKRS), 1u << 19);
	CHECK_EQ(at(w_load, (uint64_t)p), -1);
	CHECK_EQ(at(w_store, (uint64_t)p), VEC_PF);
	CHECK_EQ(t.r.error, 0x23);
	wrmsr(MSR_PKRS, 0);
	CHECK_EQ(at(w_store, (uint64_t)p), -1);
	write_cr4(read_cr4() & ~CR4_PKS);
}

/* PKRU is a component of XSAVE. */
static void extended_state(void)
{
	static uint8_t area[4096] __attribute__((aligned(64)));
	struct cpuid_regs c = cpuid(0xd, 9);

	if (!(cpuid(7, 0).ecx & 8) || !(cpuid(1, 0).ecx & 1u << 26))
		return test_skip("no PKU or no XSAVE");
	CHECK_EQ(c.eax, 8);
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_PKE);
	CHECK(cpuid(0xd, 0).eax & 0x200);
	asm volatile("xsetbv" : : "c"(0), "a"(0x203), "d"(0));
	CHECK_EQ(cpuid(0xd, 0).ebx, c.ebx + 8);
	wrpkru(0xabcd0);
	asm volatile("xsave64 (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	CHECK_EQ(*(uint32_t *)(area + c.ebx), 0xabcd0);
	CHECK_EQ(*(uint64_t *)(area + 512), 0x200);
	wrpkru(0x10);
	asm volatile("xrstor64 (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	CHECK_EQ(rdpkru(), 0xabcd0);
	*(uint64_t *)(area + 512) = 0;
	asm volatile("xrstor64 (%0)" : : "r"(area), "a"(0x200), "d"(0) : "memory");
	CHECK_EQ(rdpkru(), 0);
	asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
	write_cr4(read_cr4() & ~(CR4_OSXSAVE | CR4_PKE));
}

/* Says where it runs. */
asm(".text; .balign 16; where: leaq where(%rip), %rax; ret\n");
extern const uint8_t where[];

static void calls_to(uint64_t there)
{
	uint64_t seen;

	asm volatile("call *%1" : "=a"(seen) : "r"(there) : "memory");
	CHECK_EQ(seen, there);
	asm volatile("call *%1" : "=a"(seen) : "m"(there) : "memory");
	CHECK_EQ(seen, there);
}

static void five_levels(void)
{
	static uint64_t root[512] __attribute__((aligned(4096)));
	static uint64_t value = 0x5151;
	uint64_t *l4 = (uint64_t *)page_alloc(), *l3 = (uint64_t *)page_alloc(), *l2 = (uint64_t *)page_alloc();
	uint64_t cr4 = read_cr4(), far = 0x00f0000000000000ul, high = 0xff10000000000000ul;

	if (!(cpuid(7, 0).ecx & 1u << 16))
		return test_skip("no LA57");
	CHECK_EQ(cpuid(0x80000008, 0).eax >> 8 & 0xff, 57);
	CHECK_EQ(at(w_load, far + (uint64_t)&value), VEC_GP);
	CHECK_EQ(at(w_cr4, cr4 | CR4_LA57), VEC_GP); /* not while paging is on */
	root[0] = (uint64_t)kernel_root | 3;
	root[far >> 48 & 511] = (uint64_t)l4 | 3;
	root[high >> 48 & 511] = (uint64_t)l4 | 3;
	l4[0] = (uint64_t)l3 | 3;
	l3[0] = (uint64_t)l2 | 3;
	l2[0] = PTE_P | PTE_W | PTE_PS;
	w_switch(root, cr4 | CR4_LA57);
	CHECK_EQ(read_cr4(), cr4 | CR4_LA57);
	CHECK_EQ(*(volatile uint64_t *)(far + (uint64_t)&value), 0x5151);
	CHECK_EQ(*(volatile uint64_t *)(high + (uint64_t)&value), 0x5151);
	for (unsigned i = 0; i < 20; i++) { /* which with four levels would fault */
		calls_to(far + (uint64_t)where);
		calls_to(high + (uint64_t)where);
	}
	CHECK_EQ(at(w_store, far + (uint64_t)&value), -1);
	CHECK_EQ(value, 0x77);
	CHECK_EQ(root[far >> 48 & 511] & PTE_A, PTE_A);
	CHECK_EQ(at(w_load, far + (1ul << 48)), VEC_PF);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(t.cr2, far + (1ul << 48));
	CHECK_EQ(at(w_load, 1ul << 56), VEC_GP);
	CHECK_EQ(at(w_load, 0x00ffffffffffffff & ~7ul), VEC_PF);
	root[far >> 48 & 511] |= PTE_PS; /* reserved */
	tlb_flush_all();
	CHECK_EQ(at(w_load, far), VEC_PF);
	CHECK_EQ(t.r.error, 9);
	CHECK_EQ(at(w_cr4, cr4), VEC_GP);
	w_switch(kernel_root, cr4);
	CHECK_EQ(at(w_load, far + (uint64_t)&value), VEC_GP);
}

static volatile uint64_t line[8] __attribute__((aligned(64)));

static void monitor(volatile void *p)
{
	asm volatile("monitor" : : "a"(p), "c"(0), "d"(0) : "memory");
}

static void mwait(void)
{
	asm volatile("mwait" : : "a"(0), "c"(0) : "memory");
}

/* One CPU stores, the other waits for it. */
static void store_and_wait(void *unused)
{
	(void)unused;
	if (this_cpu()->index) {
		delay_us(2000);
		line[3] = 1;
		return;
	}
	while (!line[3]) {
		monitor(&line[0]);
		if (!line[3])
			mwait();
	}
}

static void waiting(void)
{
	if (!(cpuid(1, 0).ecx & 8))
		return test_skip("no MONITOR");
	CHECK_EQ(cpuid(5, 0).eax, 64);
	CHECK_EQ(at(w_mwait_bad, 0), VEC_GP);
	CHECK_EQ(at(w_monitor_bad, 0), VEC_GP);
	user(w_user_mwait, NULL);
	CHECK_EQ(t.r.vector, VEC_UD);
	/* A store between the two ends the wait at once; without MONITOR there is none. */
	monitor(&line[0]);
	line[1]++;
	mwait();
	mwait();
	if (smp_start() < 2)
		return;
	smp_run(2, store_and_wait, NULL);
	CHECK_EQ(line[3], 1);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(pkru_register),
	RT_TEST(user_keys),
	RT_TEST(supervisor_keys),
	RT_TEST(extended_state),
	RT_TEST(five_levels),
	RT_TEST(waiting),
	{0},
};
