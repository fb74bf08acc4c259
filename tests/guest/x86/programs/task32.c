/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches (Intel SDM vol. 3, chapter 8): by JMP, CALL and IRET, through task gates, by interrupts and exceptions; 32-bit and
 * 16-bit state segments; what is checked, in which task the fault is taken, and what is left behind.
 */
#include "rt32.h"

#define SEL_TASK   0x40 /* to which the snippets go */
#define SEL_TASK16 0x48
#define SEL_LDT    0x50
#define SEL_GATE   0x58 /* task gate to SEL_TASK */
#define SEL_CASE   0x60 /* a segment of the new task that is wrong in some way */
#define LOW_CODE   0x7000u
#define BUSY	   (2ull << 40)

#define LABEL(name)                     \
	({                              \
		extern void name(void); \
		(uint32_t)(name);       \
	})
#define CODE(name)                      \
	({                              \
		extern void name(void); \
		(name);                 \
	})

struct tss16 {
	uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, regs[8], segs[4], ldt;
} __attribute__((packed));

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
enum { ES, CS, SS, DS, FS, GS };

static struct tss32 other;
static struct tss16 other16;
static uint8_t stack[4096] __attribute__((aligned(16))), stack0[4096] __attribute__((aligned(16)));
static struct trap t;
static struct regs r;

static uint64_t tss_desc(const void *p, uint32_t limit, unsigned access)
{
	return gdt_segment((uint32_t)p, limit, access, 0);
}

/* The main task is the only one again. */
static void start(uint32_t eip)
{
	gdt_set(SEL32_TSS, tss_desc(&tss, sizeof(tss) - 1, 0x89));
	asm volatile("ltr %w0" : : "r"(SEL32_TSS));
	asm volatile("clts");
	tss.link = 0;
	memset(&other, 0, sizeof(other));
	other.eip = eip;
	other.eflags = FL_FIXED;
	other.regs[ESP] = (uint32_t)(stack + sizeof(stack));
	other.esp0 = (uint32_t)(stack0 + sizeof(stack0));
	other.ss0 = SEL32_KDATA;
	for (unsigned i = 0; i < 6; i++)
		other.segs[i] = SEL32_KDATA;
	other.segs[CS] = SEL32_KCODE;
	other.iomap = sizeof(other);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x89));
	gdt_set(SEL_GATE, gdt_gate(0, SEL_TASK, 0xe5, 0));
}

static bool busy(uint16_t sel)
{
	return gdt_get(sel) & BUSY;
}

static void run(void (*fn)(void))
{
	fn();
}

static void jump(void)
{
	start(LABEL(t_jump));
	other.regs[EAX] = 21;
	other.regs[EDI] = 0xabcdef01;
	other.eflags = FL_FIXED | FL_CF;
	tss.cr3 = 0x5555;
	tss.esp0 ^= 1;
	run(CODE(k_jump));
	CHECK_EQ(other.regs[EAX], 42);
	CHECK_EQ(other.regs[EDI], 0xabcdef01);
	CHECK_EQ(other.regs[ESP], (uint32_t)(stack + sizeof(stack)));
	CHECK_EQ(other.eip, LABEL(t_jump_next));
	CHECK_EQ(other.link, 0);
	CHECK(!busy(SEL_TASK));
	CHECK(busy(SEL32_TSS));
	CHECK_EQ(tss.eip, LABEL(k_jump_next));
	CHECK_EQ(tss.segs[CS], SEL32_KCODE);
	CHECK_EQ(tss.segs[SS], SEL32_KDATA);
	CHECK_EQ(tss.cr3, 0x5555); /* not stored */
	tss.esp0 ^= 1;
	CHECK(read_cr0() & CR0_TS);
	CHECK(!(read_flags() & FL_NT));
	run(CODE(k_jump)); /* goes on where it was */
	CHECK_EQ(other.regs[EAX], 84);
}

static void call_and_return(void)
{
	start(LABEL(t_call));
	other.eflags = FL_FIXED | FL_OF;
	for (unsigned n = 1; n <= 2; n++) {
		run(CODE(k_call));
		CHECK_EQ(other.regs[EBX], n);
		CHECK_EQ(other.link, SEL32_TSS);
		CHECK(other.regs[ECX] & FL_NT);
		CHECK(!(other.eflags & FL_NT)); /* IRET clears it in what it saves */
		CHECK_EQ(other.eip, LABEL(t_call_next));
		CHECK(!busy(SEL_TASK));
		CHECK(busy(SEL32_TSS));
		CHECK(!(read_flags() & FL_NT));
	}
	run(CODE(k_call_gate));
	CHECK_EQ(other.regs[EBX], 3);
}

/* While the called task runs both are busy; it ends here by a trap. */
static void nested_is_busy(void)
{
	start(LABEL(t_int80));
	CHECK_EQ(trap_of(CODE(k_call), &t), 0x80);
	CHECK(busy(SEL_TASK));
	CHECK(busy(SEL32_TSS));
	CHECK(t.r.eflags & FL_NT);
	start(LABEL(t_int80));
	CHECK_EQ(trap_of(CODE(k_jump), &t), 0x80);
	CHECK(busy(SEL_TASK));
	CHECK(!busy(SEL32_TSS));
	CHECK(!(t.r.eflags & FL_NT));
}

static void from_ring3(void)
{
	start(LABEL(t_call));
	user_regs(&r, (const void *)LABEL(u_call_gate));
	r.esi = 0x7777;
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(other.regs[EBX], 1);
	CHECK_EQ(t.r.esi, 0x7777);
	CHECK_EQ(t.r.cs, SEL32_UCODE);
	CHECK_EQ(t.r.esp, r.esp);
	CHECK_EQ(tss.segs[CS], SEL32_UCODE);
	CHECK_EQ(tss.segs[SS], SEL32_UDATA);
	user_regs(&r, (const void *)LABEL(u_call_tss));
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, VEC_GP);
	CHECK_EQ(t.r.error, SEL_TASK);
	gdt_set(SEL_GATE, gdt_gate(0, SEL_TASK, 0xa5, 0));
	user_regs(&r, (const void *)LABEL(u_call_gate));
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, VEC_GP);
	CHECK_EQ(t.r.error, SEL_GATE);
}

static void interrupts(void)
{
	start(LABEL(t_call));
	idt_set(0x90, gdt_gate(0, SEL_TASK, 0x85, 0));
	run(CODE(k_int90));
	CHECK_EQ(other.regs[EBX], 1);
	CHECK_EQ(other.link, SEL32_TSS);
	CHECK_EQ(tss.eip, LABEL(k_int90) + 2);
	CHECK(!(tss.eflags & FL_RF));
	/* An exception without error code: EIP is the instruction's, RF is set in what is saved. */
	start(LABEL(t_int80));
	idt_set(VEC_UD, gdt_gate(0, SEL_TASK, 0x85, 0));
	CHECK_EQ(trap_of(CODE(k_ud), &t), 0x80);
	CHECK_EQ(tss.eip, LABEL(k_ud));
	CHECK(tss.eflags & FL_RF);
	CHECK_EQ(t.r.esp, (uint32_t)(stack + sizeof(stack)));
	/* With one: it lies on the new task's stack. */
	start(LABEL(t_error));
	other.regs[EDX] = (uint32_t)&tss.eip;
	other.regs[ESI] = 2;
	idt_set(VEC_GP, gdt_gate(0, SEL_TASK, 0x85, 0));
	run(CODE(k_gp));
	CHECK_EQ(other.regs[EBX], 0x7c);
	CHECK_EQ(tss.eip, LABEL(k_gp) + 7);
	idt_reset(VEC_UD);
	idt_reset(VEC_GP);
	idt_reset(0x90);
}

static void double_fault(void)
{
	start(LABEL(t_int80));
	idt_set(VEC_GP, 0);
	idt_set(VEC_DF, gdt_gate(0, SEL_TASK, 0x85, 0));
	CHECK_EQ(trap_of(CODE(k_gp), &t), 0x80);
	CHECK_EQ(*(uint32_t *)(stack + sizeof(stack) - 4), 0);
	CHECK_EQ(t.r.esp, (uint32_t)(stack + sizeof(stack) - 4));
	CHECK_EQ(tss.eip, LABEL(k_gp) + 5);
	idt_reset(VEC_GP);
	idt_reset(VEC_DF);
}

/* ---- Faults of the old task: it is at the instruction, and nothing has changed. */

static void refused(void (*fn)(void), unsigned vector, uint32_t error)
{
	int got = trap_of(fn, &t);

	if (got != (int)vector || t.r.error != error)
		test_fail("trap %d error %x, should be %u, %x", got, t.r.error, vector, error);
	else if (t.r.eip != (uint32_t)fn)
		test_fail("trap %d at %x, not at %x", got, t.r.eip, (uint32_t)fn);
	else if (!busy(SEL32_TSS))
		test_fail("trap %d: the old task is not busy any more", got);
}

static void refusals(void)
{
	start(LABEL(t_int80));
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x09));
	refused(CODE(k_jump), VEC_NP, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x8b));
	refused(CODE(k_call), VEC_GP, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, 102, 0x89));
	refused(CODE(k_jump), VEC_TS, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, 42, 0x81));
	refused(CODE(k_jump), VEC_TS, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x82)); /* an LDT */
	refused(CODE(k_jump), VEC_GP, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x89));
	gdt_set(SEL_GATE, gdt_gate(0, SEL_TASK, 0x05, 0));
	refused(CODE(k_call_gate), VEC_NP, SEL_GATE);
	gdt_set(SEL_GATE, gdt_gate(0, 0, 0x85, 0));
	refused(CODE(k_call_gate), VEC_GP, 0);
	gdt_set(SEL_GATE, gdt_gate(0, SEL_TASK | 4, 0x85, 0));
	refused(CODE(k_call_gate), VEC_GP, SEL_TASK | 4);
	gdt_set(SEL_GATE, gdt_gate(0, 0xff8, 0x85, 0));
	refused(CODE(k_call_gate), VEC_GP, 0xff8);
	gdt_set(SEL_GATE, gdt_gate(0, SEL32_KDATA, 0x85, 0));
	refused(CODE(k_call_gate), VEC_GP, SEL32_KDATA);
}

static void return_refusals(void)
{
	start(LABEL(t_int80));
	tss.link = SEL_TASK; /* which is not busy */
	CHECK_EQ(trap_of(CODE(k_iret_nt), &t), VEC_TS);
	CHECK_EQ(t.r.error, SEL_TASK);
	CHECK_EQ(t.r.eip, LABEL(k_iret_nt) + 9);
	tss.link = 0;
	CHECK_EQ(trap_of(CODE(k_iret_nt), &t), VEC_TS);
	CHECK_EQ(t.r.error, 0);
	tss.link = SEL_TASK | 4;
	CHECK_EQ(trap_of(CODE(k_iret_nt), &t), VEC_TS);
	CHECK_EQ(t.r.error, SEL_TASK | 4);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x0b));
	tss.link = SEL_TASK;
	CHECK_EQ(trap_of(CODE(k_iret_nt), &t), VEC_NP);
	CHECK_EQ(t.r.error, SEL_TASK);
	gdt_set(SEL_TASK, tss_desc(&other, sizeof(other) - 1, 0x8b));
	CHECK_EQ(trap_of(CODE(k_iret_nt), &t), 0x80);
	CHECK(!busy(SEL32_TSS));
	CHECK_EQ(tss.eip, LABEL(k_iret_nt) + 10);
	CHECK(!(tss.eflags & FL_NT));
}

/* ---- Faults of the new task, which runs in ring 3: a selector is wrong. */

static void new_task(unsigned seg, uint16_t sel, uint64_t descriptor, unsigned vector, uint32_t error)
{
	int got;

	start(0x1111);
	for (unsigned i = 0; i < 6; i++)
		other.segs[i] = SEL32_UDATA;
	other.segs[CS] = SEL32_UCODE;
	other.regs[EBX] = 0x4444;
	gdt_set(SEL_CASE, descriptor);
	if (seg < 6)
		other.segs[seg] = sel;
	else
		other.ldt = sel;
	got = trap_of(CODE(k_call), &t);
	if (got != (int)vector || t.r.error != error)
		test_fail("segment %u = %x: trap %d error %x, should be %u, %x", seg, sel, got, t.r.error, vector,
			  error);
	else if (t.r.eip != 0x1111 || t.r.cs != (seg == CS ? sel : SEL32_UCODE) || t.r.ebx != 0x4444 ||
		 !(t.r.eflags & FL_NT) || !busy(SEL_TASK) || other.link != SEL32_TSS)
		test_fail("segment %u = %x: trap at %x:%x, flags %x: not the new task's", seg, sel, t.r.cs, t.r.eip,
			  t.r.eflags);
}

static void faults_of_the_new_task(void)
{
	uint64_t data = gdt_segment(0, 0xfffff, 0xf2, 0xc), code = gdt_segment(0, 0xfffff, 0xfa, 0xc);
	const uint64_t p = 0x80ull << 40;

	new_task(6, SEL_CASE, data, VEC_TS, SEL_CASE); /* not an LDT */
	new_task(6, SEL_CASE | 4, data, VEC_TS, SEL_CASE | 4);
	new_task(6, SEL_CASE, gdt_segment(0, 7, 0x02, 0), VEC_TS, SEL_CASE); /* not present */
	new_task(CS, SEL_CASE | 3, code & ~p, VEC_NP, SEL_CASE);
	new_task(CS, SEL_CASE | 3, data, VEC_TS, SEL_CASE);
	new_task(CS, SEL_CASE | 3, gdt_segment(0, 0xfffff, 0x9a, 0xc), VEC_TS, SEL_CASE); /* DPL is not RPL */
	new_task(CS, 0xffb, 0, VEC_TS, 0xff8);
	new_task(SS, SEL_CASE | 3, data & ~p, VEC_SS, SEL_CASE);
	new_task(SS, SEL_CASE | 3, gdt_segment(0, 0xfffff, 0x92, 0xc), VEC_TS, SEL_CASE);
	new_task(SS, SEL_CASE | 3, gdt_segment(0, 0xfffff, 0xf0, 0xc), VEC_TS, SEL_CASE);
	new_task(SS, SEL_CASE, data, VEC_TS, SEL_CASE); /* RPL */
	new_task(SS, 0, data, VEC_TS, 0);
	new_task(DS, SEL_CASE | 3, data & ~p, VEC_NP, SEL_CASE);
	new_task(DS, SEL_CASE | 3, gdt_segment(0, 0xfffff, 0xf8, 0xc), VEC_TS, SEL_CASE); /* execute-only */
	new_task(GS, SEL_CASE, gdt_segment(0, 0xfffff, 0x92, 0xc), VEC_TS, SEL_CASE);
	new_task(FS, 0xff8, 0, VEC_TS, 0xff8);
	new_task(CS, SEL_CASE | 3, gdt_segment(0, 0x1110, 0xfa, 4), VEC_GP, 0); /* EIP beyond the limit */
}

/* ---- The rest */

static void local_table(void)
{
	static uint64_t ldt[2];
	static uint32_t value = 0x600d;

	start(LABEL(t_load));
	ldt[1] = gdt_segment((uint32_t)&value, 3, 0x92, 4);
	gdt_set(SEL_LDT, gdt_segment((uint32_t)ldt, sizeof(ldt) - 1, 0x82, 0));
	other.ldt = SEL_LDT;
	other.segs[DS] = 0xc;
	run(CODE(k_jump));
	CHECK_EQ(other.regs[EAX], 0x600d);
	CHECK_EQ(other.segs[DS], 0xc);
}

static void sixteen_bit(void)
{
	start(0);
	memcpy((void *)LOW_CODE, (const void *)LABEL(t_jump), LABEL(t_jump_end) - LABEL(t_jump));
	memset(&other16, 0, sizeof(other16));
	other16.ip = LOW_CODE;
	other16.flags = FL_FIXED | FL_OF;
	other16.regs[EAX] = 0x1111;
	other16.regs[ESP] = 0x6ff0;
	for (unsigned i = 0; i < 4; i++)
		other16.segs[i] = SEL32_KDATA;
	other16.segs[CS] = SEL32_KCODE;
	gdt_set(SEL_TASK, tss_desc(&other16, sizeof(other16) - 1, 0x81));
	run(CODE(k_jump));
	CHECK_EQ(other16.regs[EAX], 0x2222);
	CHECK_EQ(other16.ip, LOW_CODE + (LABEL(t_jump_next) - LABEL(t_jump)));
	CHECK_EQ(other16.regs[ESP], 0x6ff0);
	CHECK_EQ(other16.segs[SS], SEL32_KDATA);
	CHECK(!busy(SEL_TASK));
}

static uint32_t dirs[2][1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

static void address_spaces(void)
{
	static uint32_t value[1024] __attribute__((aligned(4096)));

	for (unsigned n = 0; n < 2; n++)
		for (unsigned i = 0; i < 64; i++)
			dirs[n][i] = i << 22 | 0x83;
	dirs[1][256] = (uint32_t)table | 3;
	table[0] = (uint32_t)value | 3;
	value[3] = 0x3333;
	start(LABEL(t_load));
	other.regs[EDX] = (256u << 22) + 12;
	other.cr3 = (uint32_t)dirs[1];
	tss.cr3 = (uint32_t)dirs[0];
	write_cr4(read_cr4() | CR4_PSE);
	write_cr3((uint32_t)dirs[0]);
	write_cr0(read_cr0() | CR0_PG);
	run(CODE(k_jump));
	CHECK_EQ(other.regs[EAX], 0x3333);
	CHECK_EQ(read_cr3(), (uint32_t)dirs[0]);
	/* The new state segment is not mapped: the page fault is the old task's. */
	start(LABEL(t_load));
	gdt_set(SEL_TASK, gdt_segment(0x40000000, sizeof(other) - 1, 0x89, 0));
	CHECK_EQ(trap_of(CODE(k_jump), &t), VEC_PF);
	CHECK_EQ(t.r.eip, LABEL(k_jump));
	CHECK_EQ(t.r.error, 0);
	CHECK(busy(SEL32_TSS));
	CHECK(!busy(SEL_TASK));
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(read_cr4() & ~CR4_PSE);
	tss.cr3 = 0;
}

/* Page-directory pointers with reserved bits in the new task's CR3: a bad TSS, in the new task. */
static void bad_pointers(void)
{
	static uint64_t pointers[2][4] __attribute__((aligned(32))), dir64[512] __attribute__((aligned(4096)));

	for (unsigned i = 0; i < 512; i++)
		dir64[i] = (uint64_t)i << 21 | 0x87;
	pointers[0][0] = pointers[1][0] = (uint32_t)dir64 | 1;
	pointers[1][3] = (uint32_t)dir64 | 1 | 0x100; /* reserved */
	start(0x1111);
	for (unsigned i = 0; i < 6; i++)
		other.segs[i] = SEL32_UDATA;
	other.segs[CS] = SEL32_UCODE;
	other.regs[EBX] = 0x4444;
	other.cr3 = (uint32_t)pointers[1];
	tss.cr3 = (uint32_t)pointers[0];
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3((uint32_t)pointers[0]);
	write_cr0(read_cr0() | CR0_PG);
	CHECK_EQ(trap_of(CODE(k_call), &t), VEC_TS);
	CHECK_EQ(t.r.error, SEL_TASK);
	CHECK_EQ(t.r.eip, 0x1111);
	CHECK_EQ(t.r.ebx, 0x4444);
	CHECK_EQ(read_cr3(), (uint32_t)pointers[0]);
	CHECK(busy(SEL_TASK));
	CHECK_EQ(other.link, SEL32_TSS);
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(read_cr4() & ~CR4_PAE);
	tss.cr3 = 0;
}

static void trap_bit(void)
{
	uint32_t dr6;

	start(LABEL(t_int80));
	other.trap = 1;
	asm volatile("mov %0, %%dr7" : : "r"(0x555)); /* the local enables go */
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(0x10));
	CHECK_EQ(trap_of(CODE(k_jump), &t), VEC_DB);
	CHECK_EQ(t.r.eip, LABEL(t_int80));
	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	CHECK_EQ(dr6, 0xffff8ff0);
	asm volatile("mov %%dr7, %0" : "=r"(dr6));
	CHECK_EQ(dr6, 0x400);
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
}

static void virtual_8086(void)
{
	start(0x10);
	memcpy((void *)(LOW_CODE + 0x10), (const void *)LABEL(t_v86), LABEL(t_v86_end) - LABEL(t_v86));
	other.eflags = FL_FIXED | FL_VM | FL_IOPL3;
	other.segs[CS] = LOW_CODE >> 4;
	other.segs[DS] = 0x1234;
	other.segs[SS] = 0x600;
	other.regs[ESP] = 0x100;
	CHECK_EQ(trap_of(CODE(k_jump), &t), VEC_BP);
	CHECK(t.r.eflags & FL_VM);
	CHECK_EQ(t.r.cs, LOW_CODE >> 4);
	CHECK_EQ(t.r.eax & 0xffff, LOW_CODE >> 4);
	CHECK_EQ(t.r.ebx & 0xffff, 0x1234);
	CHECK_EQ(t.r.ss, 0x600);
	start(0);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(jump),
	RT_TEST(call_and_return),
	RT_TEST(nested_is_busy),
	RT_TEST(from_ring3),
	RT_TEST(interrupts),
	RT_TEST(double_fault),
	RT_TEST(refusals),
	RT_TEST(return_refusals),
	RT_TEST(faults_of_the_new_task),
	RT_TEST(local_table),
	RT_TEST(sixteen_bit),
	RT_TEST(address_spaces),
	RT_TEST(bad_pointers),
	RT_TEST(trap_bit),
	RT_TEST(virtual_8086),
	{0},
};
