/* SPDX-License-Identifier: MIT */
/*
 * Restart after page faults: every instruction of restart_code.S runs once with all pages present, then again with the
 * pages it touches absent or read-only, each coming back when it faults. At a fault nothing may have changed (but for
 * the finished part of string instructions); in the end registers and memory must be what they were without faults.
 */
#include "rt64.h"

#define NR_PAGES 8 /* at RBX 0-1, at RDI 2-3, at RSI 4-5, at RSP 6-7 */

extern const uint8_t restart_start[], restart_end[];

static uint8_t *area;
static uint64_t frames[NR_PAGES];
static uint64_t repair_flags; /* of a page that faulted */
static unsigned nr_faults;
static struct regs before, at_fault;
static bool is_string;
static uint8_t image_before[NR_PAGES][PAGE], image_after[NR_PAGES][PAGE];

static void set_pages(uint64_t flags)
{
	for (unsigned i = 0; i < NR_PAGES; i++)
		map_page(area + i * PAGE, frames[i], flags);
	tlb_flush_all();
}

static void fill_pages(void)
{
	uint32_t seed = 12345;

	for (unsigned i = 0; i < NR_PAGES; i++)
		for (unsigned k = 0; k < PAGE / 4; k++)
			((volatile uint32_t *)frames[i])[k] = random_next(&seed);
}

static void copy_pages(uint8_t (*to)[PAGE])
{
	for (unsigned i = 0; i < NR_PAGES; i++)
		memcpy(to[i], (void *)frames[i], PAGE);
}

/* Same but for RFLAGS.RF, which a fault sets in the frame. */
static bool same_regs(const struct regs *x, const struct regs *y)
{
	return memcmp(x, y, offsetof(struct regs, vector)) == 0 && x->rip == y->rip && x->rsp == y->rsp &&
	       (x->rflags & ~FL_RF) == (y->rflags & ~FL_RF);
}

/* What was there must be untouched when the instruction faults. */
static bool on_fault(struct regs *r)
{
	uint64_t addr = read_cr2(), page = (addr - (uint64_t)area) / PAGE;

	if (addr < (uint64_t)area || page >= NR_PAGES || nr_faults > 2 * NR_PAGES)
		return false;
	if (!is_string && !same_regs(r, &before))
		at_fault = *r;
	nr_faults++;
	map_page(area + page * PAGE, frames[page], repair_flags);
	invlpg(area + page * PAGE);
	return true;
}

static void load_vector_state(void)
{
	static const double one = 1.5, two = 1e9;

	asm volatile("fninit; fldl %0; fldl %1; movups %2, %%xmm1; movups %2, %%xmm0"
		     :
		     : "m"(one), "m"(two), "m"(image_before[0]));
}

/* Memory that RET, IRET, CALL and DIV take sense from. */
static void fill_operands(const uint8_t *end)
{
	uint64_t *stack = (uint64_t *)frames[7], *operand = (uint64_t *)(frames[0] + PAGE - 16);
	uint64_t values[] = {USER_ADDR(end), SEL_UCODE, FL_FIXED | FL_CF, (uint64_t)area + 7 * PAGE + 64, SEL_UDATA};

	memcpy(stack, values, sizeof(values));
	operand[0] = USER_ADDR(end);
}

static void run(const uint8_t *code, struct trap *t)
{
	user_regs(&before, code, false);
	before.rbx = (uint64_t)area + PAGE - 16;
	before.rdi = (uint64_t)area + 3 * PAGE - 48;
	before.rsi = (uint64_t)area + 5 * PAGE - 24;
	before.rsp = (uint64_t)area + 7 * PAGE;
	before.rbp = before.rsp;
	before.rax = 0x1122334455667700;
	before.rcx = 64;
	before.r9 = 0x99;
	before.r12 = 0x1212121212121212;
	load_vector_state();
	run_regs(&before, t);
}

static void check_run(const char *name, const struct trap *t, const struct trap *ref)
{
	if (at_fault.rip)
		test_fail("%s: changed before the fault: rax %lx rcx %lx rdx %lx rsp %lx rip %lx flags %lx", name,
			  at_fault.rax, at_fault.rcx, at_fault.rdx, at_fault.rsp, at_fault.rip, at_fault.rflags);
	if (!same_regs(&t->r, &ref->r) || t->r.vector != 0x80)
		test_fail(
			"%s: ended with vector %lu rax %lx rcx %lx rdi %lx rsp %lx flags %lx; "
			"without faults %lx %lx %lx %lx %lx",
			name, t->r.vector, t->r.rax, t->r.rcx, t->r.rdi, t->r.rsp, t->r.rflags, ref->r.rax, ref->r.rcx,
			ref->r.rdi, ref->r.rsp, ref->r.rflags);
	if (memcmp(image_before, image_after, sizeof(image_after)) != 0)
		test_fail("%s: other memory contents than without faults, after %u faults", name, nr_faults);
}

/* One instruction: reference, pages absent, pages read-only. */
static void check_code(const char *name, const uint8_t *code, const uint8_t *end)
{
	static const uint64_t first_flags[] = {PTE_P | PTE_U | PTE_W, 0, PTE_P | PTE_U};
	struct trap t, reference;

	is_string = memcmp(name, "rep", 3) == 0;
	repair_flags = first_flags[0];
	for (unsigned pass = 0; pass < ARRAY_LEN(first_flags); pass++) {
		nr_faults = 0;
		at_fault.rip = 0;
		fill_pages();
		fill_operands(end);
		set_pages(first_flags[pass]);
		run(code, &t);
		set_pages(repair_flags);
		copy_pages(pass ? image_after : image_before);
		if (pass) {
			check_run(name, &t, &reference);
			continue;
		}
		reference = t;
		if (t.r.vector != 0x80)
			return test_fail("%s: vector %lu error %lx at %lx, CR2 %lx", name, t.r.vector, t.r.error,
					 t.r.rip, t.cr2);
	}
}

static uint64_t extended_state_feature(const char *name)
{
	if (memcmp(name, "movbe", 5) == 0)
		return cpuid(1, 0).ecx & 1u << 22;
	return 1;
}

static void restart_after_fault(void)
{
	unsigned n = 0;

	area = free_area(NR_PAGES * PAGE);
	for (unsigned i = 0; i < NR_PAGES; i++)
		frames[i] = page_alloc();
	trap_set_handler(VEC_PF, on_fault);
	/* Each entry: the address of its name, the code, from one 32-byte boundary to a later one. */
	for (const uint8_t *p = restart_start; p < restart_end && !test_failed(); n++) {
		const char *name = *(const char *const *)p;
		const uint8_t *code = p + 8, *end = code;

		while (end[0] != 0xcd || end[1] != 0x80)
			end++;
		if (extended_state_feature(name))
			check_code(name, code, end);
		p = (const uint8_t *)(((uint64_t)end + 2 + 31) & ~31ul);
	}
	print("# %u instructions\n", n);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(restart_after_fault),
	{0},
};
