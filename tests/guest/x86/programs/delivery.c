/* SPDX-License-Identifier: MIT */
/*
 * Exceptions while another event is delivered (Intel SDM vol. 3, table 7-5: serially, or a double fault; the EXT bit of error codes), and NMIs
 * while one is handled.
 */
#include "rt64.h"

#define BAD_IST 7
#define IDT	2
#define EXT	1

asm(".text\n"
    "d_de: xorl %edx, %edx; xorl %ecx, %ecx; divl %ecx; ret\n"
    "d_ud: ud2\n"
    "d_gp: movl $0x7c, %eax; movl %eax, %fs; ret\n"
    "d_pf: movabsq $0x10000002000, %rax; movb (%rax), %al; ret\n"
    "d_bp: int3; ret\n"
    "d_int: int $0x20; ret\n"
    "d_db: .byte 0xf1; ret\n"
    "d_iret: movq d_frame(%rip), %rsp; iretq\n");
void d_de(void), d_ud(void), d_gp(void), d_pf(void), d_bp(void), d_int(void), d_db(void), d_iret(void);

static struct trap t;

struct row {
	void (*fn)(void);
	uint8_t first, second;
	uint32_t error;
};

static void check(const struct row *w, const char *how)
{
	int got = trap_of(w->fn, &t);

	if (got != w->second || t.r.error != w->error)
		test_fail("%s at vector %u: trap %d error %lx, should be %u, %x", how, w->first, got, t.r.error,
			  w->second, w->error);
}

/* The handler's gate is not present. */
static void gate_not_present(void)
{
	static const struct row rows[] = {
		{d_de, VEC_DE, VEC_DF, 0},
		{d_gp, VEC_GP, VEC_DF, 0},
		{d_pf, VEC_PF, VEC_DF, 0},
		{d_ud, VEC_UD, VEC_NP, VEC_UD << 3 | IDT | EXT},
		{d_db, VEC_DB, VEC_NP, VEC_DB << 3 | IDT | EXT},
		{d_bp, VEC_BP, VEC_NP, VEC_BP << 3 | IDT},
		{d_int, 0x20, VEC_NP, 0x20 << 3 | IDT},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		idt_set_gate(rows[i].first, NULL, SEL_KCODE, 0x6e, 0);
		check(&rows[i], "no gate");
		idt_reset_gate(rows[i].first);
	}
}

/* The handler's stack is not mapped. */
static void stack_not_mapped(void)
{
	static const struct row rows[] = {
		{d_de, VEC_DE, VEC_PF, 2}, {d_gp, VEC_GP, VEC_PF, 2}, {d_ud, VEC_UD, VEC_PF, 2},
		{d_bp, VEC_BP, VEC_PF, 2}, {d_int, 0x20, VEC_PF, 2},  {d_pf, VEC_PF, VEC_DF, 0},
	};
	extern const uint8_t trap_entries[];

	this_cpu()->tss.ist[BAD_IST - 1] = FREE_BASE + 0x3000;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		idt_set_gate(rows[i].first, trap_entries + 16 * rows[i].first, SEL_KCODE, 0xee, BAD_IST);
		check(&rows[i], "no stack");
		if (rows[i].second == VEC_PF)
			CHECK_EQ(t.cr2, FREE_BASE + 0x3000 - 8);
		idt_reset_gate(rows[i].first);
	}
}

/* The handler's stack pointer, or code segment, is bad: #SS and #GP, which combine. */
static void bad_handler(void)
{
	static const struct row stack[] = {
		{d_de, VEC_DE, VEC_DF, 0}, {d_ud, VEC_UD, VEC_SS, EXT}, {d_int, 0x20, VEC_SS, 0}, {d_pf, VEC_PF, VEC_DF, 0},
	};
	static const struct row code[] = {
		{d_de, VEC_DE, VEC_DF, 0},
		{d_ud, VEC_UD, VEC_GP, SEL_KDATA | EXT},
		{d_int, 0x20, VEC_GP, SEL_KDATA},
		{d_pf, VEC_PF, VEC_DF, 0},
	};
	extern const uint8_t trap_entries[];

	this_cpu()->tss.ist[BAD_IST - 1] = 0x800000000000ul;
	for (unsigned i = 0; i < ARRAY_LEN(stack); i++) {
		idt_set_gate(stack[i].first, trap_entries + 16 * stack[i].first, SEL_KCODE, 0xee, BAD_IST);
		check(&stack[i], "bad stack");
		idt_set_gate(code[i].first, trap_entries + 16 * code[i].first, SEL_KDATA, 0xee, 0);
		check(&code[i], "bad segment");
		idt_reset_gate(stack[i].first);
	}
}

/* Beyond the IDT's limit, and a gate of a type that does not count. */
static void bad_gates(void)
{
	static const struct row rows[] = {
		{d_de, VEC_DE, VEC_DF, 0},
		{d_ud, VEC_UD, VEC_GP, VEC_UD << 3 | IDT | EXT},
		{d_int, 0x20, VEC_GP, 0x20 << 3 | IDT},
	};
	static const uint8_t types[] = {0x80, 0x85, 0x86, 0x87, 0x8c, 0x9e};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned k = 0; k < ARRAY_LEN(types); k++) {
			idt_set_gate(rows[i].first, NULL, SEL_KCODE, types[k], 0);
			check(&rows[i], "bad gate");
			idt_reset_gate(rows[i].first);
		}
}

/* ---- Frames that lie in two pages, which are no neighbours in memory */

uint64_t d_frame; /* where d_iret finds its frame */
static uint64_t two_pages[2];
static uint8_t *edge; /* the second page's start */
static struct regs seen;
static unsigned calls;

static void map_two_pages(void)
{
	uint64_t low = page_alloc(), mid = page_alloc(), high = page_alloc();

	(void)mid; /* between them */
	two_pages[0] = high;
	two_pages[1] = low;
	edge = (uint8_t *)free_area(2 * PAGE) + PAGE;
	map_page(edge - PAGE, two_pages[0], PTE_P | PTE_W);
	map_page(edge, two_pages[1], PTE_P | PTE_W);
	tlb_flush_all();
}

/* The word at edge + off, where memory has it. */
static uint64_t *word_at(int64_t off)
{
	return (uint64_t *)(off < 0 ? two_pages[0] + PAGE + off : two_pages[1] + off);
}

static bool on_int(struct regs *r)
{
	seen = *r;
	calls++;
	return true;
}

static void deliver_at(int64_t top)
{
	uint64_t sp, after;

	this_cpu()->tss.ist[BAD_IST - 1] = (uint64_t)edge + top;
	calls = 0;
	asm volatile("stc; movq %%rsp, %0; int $0x20; movq %%rsp, %1" : "=&r"(sp), "=&r"(after)::"cc", "memory");
	CHECK_EQ(calls, 1);
	CHECK_EQ(after, sp);
	CHECK_EQ(*word_at(top - 8), seen.ss);
	CHECK_EQ(*word_at(top - 16), sp);
	CHECK_EQ(seen.rsp, sp);
	CHECK_EQ(*word_at(top - 24), seen.rflags);
	CHECK(seen.rflags & FL_CF);
	CHECK_EQ(*word_at(top - 32), SEL_KCODE);
	CHECK_EQ(*word_at(top - 40), seen.rip);
}

/* Each way of dividing it. Nothing of it is in reach of the fast way that the next delivery to the same page takes. */
static void frames_in_two_pages(void)
{
	extern const uint8_t trap_entries[];

	map_two_pages();
	idt_set_gate(0x20, trap_entries + 16 * 0x20, SEL_KCODE, 0xee, BAD_IST);
	trap_set_handler(0x20, on_int);
	for (int64_t top = 0; top <= 64; top += 16)
		deliver_at(top);
	for (int64_t top = 64; top >= 0; top -= 16)
		deliver_at(top);
	trap_set_handler(0x20, NULL);
	/* The page that only the last pushes go to is not there: nothing has changed but memory. */
	unmap_page(edge - PAGE);
	tlb_flush_all();
	this_cpu()->tss.ist[BAD_IST - 1] = (uint64_t)edge + 32;
	CHECK_EQ(trap_of(d_int, &t), VEC_PF);
	CHECK_EQ(t.r.error, 2);
	CHECK_EQ(t.cr2, (uint64_t)edge - 8);
	CHECK_EQ(t.r.rip, (uint64_t)d_int);
	map_page(edge - PAGE, two_pages[0], PTE_P); /* to be read only */
	tlb_flush_all();
	CHECK_EQ(trap_of(d_int, &t), VEC_PF);
	CHECK_EQ(t.r.error, 3);
	CHECK_EQ(t.cr2, (uint64_t)edge - 8);
	idt_reset_gate(0x20);
}

static void iret_frame(int64_t at, uint64_t rip, uint64_t cs, uint64_t ss)
{
	d_frame = (uint64_t)edge + at;
	*word_at(at) = rip;
	*word_at(at + 8) = cs;
	*word_at(at + 16) = FL_FIXED;
	*word_at(at + 24) = (uint64_t)edge - 2048;
	*word_at(at + 32) = ss;
}

/* IRET reads them; its faults come in its own order: of the first words, of CS, of the stack pointer's words, of SS. */
static void iret_from_two_pages(void)
{
	map_two_pages();
	for (int64_t at = -48; at <= 8; at += 8) {
		iret_frame(at, (uint64_t)d_ud, SEL_KCODE, SEL_KDATA);
		CHECK_EQ(trap_of(d_iret, &t), VEC_UD);
		CHECK_EQ(t.r.rip, (uint64_t)d_ud);
		CHECK_EQ(t.r.rsp, (uint64_t)edge - 2048);
		CHECK_EQ(t.r.ss, SEL_KDATA);
		CHECK_EQ(t.r.rflags & ~FL_RF, FL_FIXED);
		iret_frame(at, (uint64_t)d_ud, SEL_KCODE, SEL_KCODE);
		CHECK_EQ(trap_of(d_iret, &t), VEC_GP);
		CHECK_EQ(t.r.error, SEL_KCODE);
		CHECK_EQ(t.r.rsp, (uint64_t)edge + at);
		iret_frame(at, 0x800000000000ul, SEL_KCODE, SEL_KDATA);
		CHECK_EQ(trap_of(d_iret, &t), VEC_GP);
		CHECK_EQ(t.r.error, 0);
	}
	unmap_page(edge);
	tlb_flush_all();
	for (int64_t at = -32; at <= -8; at += 8) {
		iret_frame(at, (uint64_t)d_ud, SEL_KCODE, SEL_KDATA);
		CHECK_EQ(trap_of(d_iret, &t), VEC_PF);
		CHECK_EQ(t.r.error, 0);
		CHECK_EQ(t.cr2, (uint64_t)edge);
		CHECK_EQ(t.r.rsp, (uint64_t)edge + at);
		iret_frame(at, (uint64_t)d_ud, SEL_KDATA, SEL_KDATA);
		CHECK_EQ(trap_of(d_iret, &t), at <= -24 ? VEC_GP : VEC_PF);
		CHECK_EQ(t.r.error, at <= -24 ? SEL_KDATA : 0);
	}
}

static volatile unsigned depth, deepest, nmis;

static bool on_nmi(struct regs *r)
{
	(void)r;
	if (++depth > deepest)
		deepest = depth;
	if (++nmis < 5)
		apic_send(this_cpu()->apic_id, ICR_NMI | ICR_ASSERT);
	delay_us(200);
	depth--;
	return true;
}

/* One at a time: the next comes when IRET has ended the last. */
static void nmi_blocking(void)
{
	tsc_per_ms();
	trap_set_handler(VEC_NMI, on_nmi);
	nmis = deepest = 0;
	apic_send(this_cpu()->apic_id, ICR_NMI | ICR_ASSERT);
	while (nmis < 5)
		cpu_pause();
	while (depth)
		cpu_pause();
	CHECK_EQ(deepest, 1);
	CHECK_EQ(nmis, 5);
	trap_set_handler(VEC_NMI, NULL);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(gate_not_present),
	RT_TEST(stack_not_mapped),
	RT_TEST(bad_handler),
	RT_TEST(bad_gates),
	RT_TEST(frames_in_two_pages),
	RT_TEST(iret_from_two_pages),
	RT_TEST(nmi_blocking),
	{0},
};
