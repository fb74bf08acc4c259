/* SPDX-License-Identifier: MIT */
/*
 * The system side of 32-bit protected mode that legacy32.c and task32.c leave: segment registers with descriptors of every kind, gates of 16 and 32
 * bits with parameters, conforming code, double faults, debug exceptions, NMIs, SMIs, UMIP, MONITOR, and paging with PSE-36, reserved bits, CR0.WP,
 * SMEP and SMAP (Intel SDM vol. 3, chapters 4 to 7, 18 and 19). Run with memory above 4 GiB.
 */
#include "rt32.h"
#include "segments.h"

#define LOW_CODE 0x7000u
#define APIC	 0xfee00000u
#define LABEL(name)                     \
	({                              \
		extern void name(void); \
		(uint32_t)(name);       \
	})

static struct regs r;
static struct trap t;

static int code_of(const char *at)
{
	return trap_of((void (*)(void))at, &t);
}

#define TRAP_OF(name) code_of((const char *)LABEL(name))
#define RUN_TO(vec)                        \
	do {                               \
		run_regs(&r, &t);          \
		CHECK_EQ(t.r.vector, vec); \
	} while (0)

static void kernel_regs(uint32_t code)
{
	user_regs(&r, (const void *)code);
	r.cs = SEL32_KCODE;
	r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
}

/* ---- Segment registers */

asm(".text; .code32\n"
    "p_ds: movl %eax, %ds; int $0x80\n"
    "p_ss: movl %eax, %ss; int $0x80\n"
    "p_jump: ljmp *(%ebx)\n"
    "p_target: int $0x80\n");

static struct {
	uint32_t offset;
	uint16_t sel;
} __attribute__((packed)) far_pointer;

static struct seg_outcome run(enum seg_what what, unsigned access, unsigned sel, unsigned cpl)
{
	const uint32_t code[] = {LABEL(p_ds), LABEL(p_ss), LABEL(p_jump)};

	/* Stacks that expand down have nothing beyond their limit. */
	gdt_set((uint16_t)(sel & ~7u), gdt_segment(0, (access & 0xc) == 4 ? 0 : 0xfffff, access, 0xc));
	user_regs(&r, (const void *)code[what]);
	if (!cpl)
		kernel_regs(code[what]);
	far_pointer.offset = LABEL(p_target);
	far_pointer.sel = (uint16_t)sel;
	r.eax = sel;
	r.ebx = (uint32_t)&far_pointer;
	run_regs(&r, &t);
	return (struct seg_outcome){t.r.vector, t.r.error};
}

static void segment_rules(void)
{
	seg_all_cases(run, SEL32_TEST, false);
}

static void null_selectors(void)
{
	for (unsigned rpl = 0; rpl < 4; rpl++) {
		for (unsigned cpl = 0; cpl < 4; cpl += 3) {
			CHECK_EQ(run(SEG_DS, 0, rpl, cpl).vector, SEG_NONE);
			CHECK_EQ(run(SEG_SS, 0, rpl, cpl).vector, VEC_GP);
			CHECK_EQ(t.r.error, 0);
			CHECK_EQ(run(SEG_JUMP, 0, rpl, cpl).vector, VEC_GP);
			CHECK_EQ(t.r.error, 0);
		}
	}
}

/* ---- Gates. The target leaves what it found in registers, and comes back by a far return that drops the parameters. */

asm("p_gate32: movl %cs, %eax; movl %ss, %ebx; movl %esp, %ecx; leal 8(%esp), %esi; movl (%esp), %edx; movl 4(%esp), %edi\n"
    "int $0x81\n"
    "p_lcall: ljmp *(%ebx)\n"
    "p_lcall_far: lcall *(%ebx)\n"
    "p_lcall_next: int $0x80\n");

#define SEL_GATE (SEL32_TEST + 8)
#define SEL_CODE (SEL32_TEST + 16)
#define SEL_STACK (SEL32_TEST + 24)

static uint32_t user_stack[64];

static void call_gate(uint64_t gate)
{
	gdt_set(SEL_GATE, gate);
	user_regs(&r, (const void *)LABEL(p_lcall_far));
	far_pointer.offset = 0xdeadbeef;
	far_pointer.sel = SEL_GATE | 3;
	r.ebx = (uint32_t)&far_pointer;
	r.esp = (uint32_t)&user_stack[8];
	for (unsigned i = 0; i < ARRAY_LEN(user_stack); i++)
		user_stack[i] = 0x1000 + i;
	idt_set(0x81, gdt_gate(LABEL(trap_entries) + 16 * 0x81, SEL32_KCODE, 0x8e, 0));
	run_regs(&r, &t);
}

static void parameters32(void)
{
	for (unsigned n = 0; n < 32; n++) {
		const uint32_t *frame;

		call_gate(gdt_gate(LABEL(p_gate32), SEL32_KCODE, 0xec, n));
		CHECK_EQ(t.r.vector, 0x81);
		CHECK_EQ(t.r.eax, SEL32_KCODE);
		CHECK_EQ(t.r.ebx, SEL32_KDATA);
		CHECK_EQ(t.r.ecx, tss.esp0 - 16 - 4 * n);
		frame = (const uint32_t *)t.r.ecx;
		CHECK_EQ(frame[0], LABEL(p_lcall_next));
		CHECK_EQ(frame[1], SEL32_UCODE);
		for (unsigned i = 0; i < n; i++)
			CHECK_EQ(frame[2 + i], 0x1008 + i);
		CHECK_EQ(frame[2 + n], (uint32_t)&user_stack[8]);
		CHECK_EQ(frame[3 + n], SEL32_UDATA);
	}
}

/* A 16-bit gate: words, on both sides; to code below 64 KiB. */
static void parameters16(void)
{
	memcpy((void *)LOW_CODE, (const void *)LABEL(p_gate32), LABEL(p_lcall) - LABEL(p_gate32));
	for (unsigned n = 0; n < 32; n++) {
		const uint16_t *frame, *given = (const uint16_t *)&user_stack[8];

		call_gate(gdt_gate(LOW_CODE, SEL32_KCODE, 0xe4, n));
		CHECK_EQ(t.r.vector, 0x81);
		CHECK_EQ(t.r.ecx, tss.esp0 - 8 - 2 * n);
		frame = (const uint16_t *)t.r.ecx;
		CHECK_EQ(frame[0], LABEL(p_lcall_next) & 0xffff);
		CHECK_EQ(frame[1], SEL32_UCODE);
		for (unsigned i = 0; i < n; i++)
			CHECK_EQ(frame[2 + i], given[i]);
		CHECK_EQ(frame[2 + n], (uint32_t)&user_stack[8] & 0xffff);
		CHECK_EQ(frame[3 + n], SEL32_UDATA);
	}
}

static void gate_rules(void)
{
	/* To conforming code nothing changes but CS. */
	gdt_set(SEL_CODE, gdt_segment(0, 0xfffff, 0x9e, 0xc));
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 3));
	CHECK_EQ(t.r.vector, VEC_GP); /* INT 81h is not for CPL 3 */
	CHECK_EQ(t.r.error, 0x81 << 3 | 2);
	CHECK_EQ(t.r.eax, SEL_CODE | 3);
	CHECK_EQ(t.r.ebx, SEL32_UDATA);
	CHECK_EQ(t.r.ecx, (uint32_t)&user_stack[6]);
	/* The new stack, here of CPL 1: refused by #TS with its selector, too small by #SS. */
	gdt_set(SEL_CODE, gdt_segment(0, 0xfffff, 0xba, 0xc));
	tss.ss1 = SEL32_UDATA;
	tss.esp1 = (uint32_t)user_stack;
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_TS);
	CHECK_EQ(t.r.error, SEL32_UDATA & ~3u);
	CHECK_EQ(t.r.esp, (uint32_t)&user_stack[8]);
	CHECK_EQ(t.r.eip, LABEL(p_lcall_far));
	tss.ss1 = 0;
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_TS);
	CHECK_EQ(t.r.error, 0);
	gdt_set(SEL_STACK, gdt_segment((uint32_t)user_stack, 63, 0xb2, 4));
	tss.ss1 = SEL_STACK | 1;
	tss.esp1 = 20;
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 2));
	CHECK_EQ(t.r.vector, VEC_SS);
	CHECK_EQ(t.r.error, SEL_STACK);
	tss.esp1 = 24;
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 2));
	CHECK_EQ(t.r.vector, VEC_GP); /* arrived: INT 81h is not for CPL 1 */
	CHECK_EQ(t.r.eax, SEL_CODE | 1);
	CHECK_EQ(t.r.ebx, SEL_STACK | 1);
	CHECK_EQ(t.r.ecx, 0);
	gdt_set(SEL_STACK, gdt_segment((uint32_t)user_stack, 63, 0x32, 4));
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_SS); /* not present */
	CHECK_EQ(t.r.error, SEL_STACK);
	/* The target: execute-only, not present, too short, none, data. */
	gdt_set(SEL_CODE, gdt_segment(0, 0xfffff, 0x98, 0xc));
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, 0x81);
	gdt_set(SEL_CODE, gdt_segment(0, 0xfffff, 0x1a, 0xc));
	call_gate(gdt_gate(LABEL(p_gate32), SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_NP);
	CHECK_EQ(t.r.error, SEL_CODE);
	gdt_set(SEL_CODE, gdt_segment(0, 0xff, 0x9a, 4));
	call_gate(gdt_gate(0x100, SEL_CODE, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_GP); /* beyond the limit */
	CHECK_EQ(t.r.error, 0);
	call_gate(gdt_gate(LABEL(p_gate32), 0, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_GP);
	CHECK_EQ(t.r.error, 0);
	call_gate(gdt_gate(LABEL(p_gate32), SEL32_KDATA, 0xec, 0));
	CHECK_EQ(t.r.vector, VEC_GP);
	CHECK_EQ(t.r.error, SEL32_KDATA);
	/* JMP through it does not reach inner code. */
	gdt_set(SEL_GATE, gdt_gate(LABEL(p_gate32), SEL32_KCODE, 0xec, 0));
	user_regs(&r, (const void *)LABEL(p_lcall));
	r.ebx = (uint32_t)&far_pointer;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL32_KCODE);
}

/* Interrupt and trap gates of 16 and 32 bits: what is pushed, and whether IF falls. */
asm("p_low: nop; int $0x90\n"
    "p_low_next: int $0x80\n"
    "p_handler: movl %esp, %ecx; pushfl; popl %edx; int $0x81\n"
    "p_low_end:\n");

static void interrupt_gates(void)
{
	static const struct {
		unsigned access, word;
		bool keeps_if;
	} gates[] = {{0xee, 4, false}, {0xef, 4, true}, {0xe6, 2, false}, {0xe7, 2, true}};
	uint32_t handler = LOW_CODE + (LABEL(p_handler) - LABEL(p_low)), next = LOW_CODE + (LABEL(p_low_next) - LABEL(p_low));

	memcpy((void *)LOW_CODE, (const void *)LABEL(p_low), LABEL(p_low_end) - LABEL(p_low));
	idt_set(0x81, gdt_gate(LABEL(trap_entries) + 16 * 0x81, SEL32_KCODE, 0x8e, 0));
	for (unsigned i = 0; i < ARRAY_LEN(gates); i++) {
		for (unsigned user = 0; user < 2; user++) {
			uint32_t mask = gates[i].word == 4 ? ~0u : 0xffff, value[5] = {0};

			idt_set(0x90, gdt_gate(handler, SEL32_KCODE, gates[i].access, 0));
			if (user)
				user_regs(&r, (const void *)LOW_CODE);
			else
				kernel_regs(LOW_CODE);
			outb(0x21, 0xff);
			outb(0xa1, 0xff);
			r.eflags |= FL_IF | FL_CF;
			RUN_TO(0x81);
			for (unsigned n = 0; n < 5; n++)
				memcpy(&value[n], (const void *)(t.r.ecx + n * gates[i].word), gates[i].word);
			CHECK_EQ(value[0], next);
			CHECK_EQ(value[1] & 0xffff, user ? SEL32_UCODE : SEL32_KCODE);
			CHECK_EQ(value[2] & 0xffff, FL_FIXED | FL_IF | FL_CF);
			CHECK_EQ(t.r.edx & FL_IF, gates[i].keeps_if ? FL_IF : 0);
			if (!user)
				continue;
			CHECK_EQ(value[3], r.esp & mask);
			CHECK_EQ(value[4] & 0xffff, SEL32_UDATA);
			CHECK_EQ(t.r.ecx, tss.esp0 - 5 * gates[i].word);
		}
	}
	/* DPL counts for INT n; what is no gate does not. */
	idt_set(0x90, gdt_gate(handler, SEL32_KCODE, 0x8e, 0));
	user_regs(&r, (const void *)LOW_CODE);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0x90 << 3 | 2);
	CHECK_EQ(t.r.eip, LOW_CODE + 1);
	idt_set(0x90, gdt_gate(handler, SEL32_KCODE, 0x6e, 0));
	RUN_TO(VEC_NP);
	CHECK_EQ(t.r.error, 0x90 << 3 | 2);
	idt_set(0x90, gdt_gate(handler, SEL32_KCODE, 0xec, 0));
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0x90 << 3 | 2);
	idt_set(0x90, gdt_gate(handler, 0, 0xee, 0));
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	idt_set(0x90, gdt_gate(handler, SEL32_UCODE, 0xee, 0)); /* not to outer code */
	kernel_regs(LOW_CODE);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL32_UCODE & ~3u);
	idt_reset(0x90);
	idt_reset(0x81);
}

asm("p_ud: ud2; ret\n"
    "p_gp: movl $0xfff8, %eax\n"
    "p_gp_at: movl %eax, %ds; ret\n");

/* A fault while one is delivered: of two contributory ones comes #DF, of a benign one and another the other. */
static void double_fault(void)
{
	idt_set(VEC_GP, 0);
	CHECK_EQ(TRAP_OF(p_gp), VEC_DF);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(t.r.eip, LABEL(p_gp_at));
	idt_reset(VEC_GP);
	idt_set(VEC_UD, gdt_gate(LABEL(trap_entries), SEL32_KCODE, 0x0e, 0));
	CHECK_EQ(TRAP_OF(p_ud), VEC_NP);
	CHECK_EQ(t.r.error, VEC_UD << 3 | 2 | 1);
	CHECK_EQ(t.r.eip, LABEL(p_ud));
	idt_reset(VEC_UD);
}

/* ---- Debugging: each ends with the first trap. */

#define DR6_CLEAR 0xffff0ff0u

asm("p_step: pushfl; orl $0x100, (%esp); popfl\n"
    "nop\n"
    "p_step_1: ret\n"
    "p_step_ss: movl %ss, %eax; pushfl; orl $0x100, (%esp); popfl; movl %eax, %ss; nop\n"
    "p_step_ss_1: ret\n"
    "p_step_pop: pushl %ss; pushfl; orl $0x100, (%esp); popfl; popl %ss; nop\n"
    "p_step_pop_1: ret\n"
    "p_step_branch: xorl %eax, %eax; pushfl; orl $0x100, (%esp); popfl; nop; jnz 1f; incl %eax; jnz 1f; nop\n"
    "1: p_step_branch_1: ret\n"
    "p_int1: .byte 0xf1\n"
    "p_int1_1: ret\n"
    "p_data: movb $5, p_watched + 1\n"
    "p_data_1: ret\n"
    "p_code: nop\n"
    "p_code_1: nop; ret\n"
    "p_gd: movl $0x2000, %eax; movl %eax, %dr7\n"
    "p_gd_1: movl %dr0, %eax; ret\n"
    ".data; p_watched: .long 0; .text\n");

static void debug_case(int line, uint32_t code, uint32_t at, uint32_t bits, bool fault)
{
	uint32_t dr6;
	int vector;

	asm volatile("mov %0, %%dr6" : : "r"(DR6_CLEAR));
	vector = code_of((const char *)code);
	asm volatile("mov %0, %%dr7" : : "r"(0x400));
	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	if (vector != VEC_DB || t.r.eip != at || dr6 != (DR6_CLEAR | bits) || !(t.r.eflags & FL_RF) == fault)
		test_fail("line %d: vector %d at %x, DR6 %x, flags %x; should be at %x, %x", line, vector, t.r.eip, dr6, t.r.eflags, at,
			  DR6_CLEAR | bits);
}

#define DEBUG(name, at, bits, fault) debug_case(__LINE__, LABEL(name), LABEL(at), bits, fault)

static void debug_exceptions(void)
{
	DEBUG(p_step, p_step_1, 0x4000, false);
	DEBUG(p_step_ss, p_step_ss_1, 0x4000, false);
	DEBUG(p_step_pop, p_step_pop_1, 0x4000, false);
	DEBUG(p_int1, p_int1_1, 0, false);
	wrmsr(0x1d9, 2); /* DEBUGCTL.BTF */
	DEBUG(p_step_branch, p_step_branch_1, 0x4000, false);
	CHECK_EQ(rdmsr(0x1d9), 0);
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(LABEL(p_watched)), "r"(0xd0001));
	DEBUG(p_data, p_data_1, 1, false);
	asm volatile("mov %0, %%dr1; mov %1, %%dr7" : : "r"(LABEL(p_code_1)), "r"(4));
	DEBUG(p_code, p_code_1, 2, false); /* a fault, but RF is left to the handler */
	DEBUG(p_gd, p_gd_1, 0x2000, true);
}

/* ---- NMI, SMI */

static void send(uint32_t icr)
{
	*(volatile uint32_t *)(APIC + 0xf0) = 0x1ff;
	*(volatile uint32_t *)(APIC + 0x310) = *(volatile uint32_t *)(APIC + 0x20);
	*(volatile uint32_t *)(APIC + 0x300) = 0x4000 | icr;
	for (volatile unsigned i = 0; i < 5000; i++)
		;
}

static void send_nmi(void)
{
	send(0x400);
}

asm("p_nop: nop; int $0x80\n");

/* From the handler on until IRET there is no other. */
static void nmi_blocking(void)
{
	CHECK_EQ(trap_of(send_nmi, &t), VEC_NMI);
	CHECK_EQ(trap_of(send_nmi, &t), -1);
	CHECK_EQ(trap_of(send_nmi, &t), -1); /* one waits, no more */
	kernel_regs(LABEL(p_nop));
	RUN_TO(VEC_NMI);
	kernel_regs(LABEL(p_nop));
	RUN_TO(0x80);
	CHECK_EQ(trap_of(send_nmi, &t), VEC_NMI);
	kernel_regs(LABEL(p_nop));
	RUN_TO(0x80);
}

asm(".code16\n"
    "p_smi: addr32 incl 0x60000; movl %cr0, %eax; addr32 movl %eax, 0x60004; addr32 movw %cs, %ax; addr32 movw %ax, 0x60008\n"
    "rsm\n"
    "p_smi_end: .code32\n");

static void management_interrupt(void)
{
	volatile uint32_t *out = (volatile uint32_t *)0x60000;
	const volatile uint8_t *area = (const volatile uint8_t *)0x3fe00;
	uint32_t cr0 = read_cr0();

	memcpy((void *)0x38000, (const void *)LABEL(p_smi), LABEL(p_smi_end) - LABEL(p_smi));
	memset((void *)area, 0, 0x200);
	out[0] = 0;
	send(0x200);
	CHECK_EQ(out[0], 1);
	CHECK_EQ(out[1], cr0 & ~(CR0_PE | CR0_PG | CR0_EM | CR0_TS));
	CHECK_EQ(out[2] & 0xffff, 0x3000);
	CHECK_EQ(read_cr0(), cr0);
	CHECK_EQ(*(const volatile uint16_t *)(area + 0x10), SEL32_KCODE);
	CHECK_EQ(*(const volatile uint16_t *)(area + 0x20), SEL32_KDATA);
	CHECK_EQ(*(const volatile uint32_t *)(area + 0x158), cr0);
	CHECK_EQ(*(const volatile uint32_t *)(area + 0xfc), 0x20064);
}

/* ---- Newer instructions */

asm("p_sgdt: sgdt p_table; int $0x80\n"
    "p_sidt: sidt p_table; int $0x80\n"
    "p_sldt: sldt %ax; int $0x80\n"
    "p_str: str %ax; int $0x80\n"
    "p_smsw: smsw %ax; int $0x80\n"
    "p_monitor: movl $p_table, %eax; xorl %ecx, %ecx; xorl %edx, %edx; monitor; xorl %eax, %eax; incl p_table; mwait; int $0x80\n"
    "p_mwait_bad: movl $2, %ecx; xorl %eax, %eax; mwait; int $0x80\n"
    ".bss; .balign 64; p_table: .skip 64; .text\n");

static void user_mode_prevention(void)
{
	uint32_t code[] = {LABEL(p_sgdt), LABEL(p_sidt), LABEL(p_sldt), LABEL(p_str), LABEL(p_smsw)};

	if (!(cpuid(7, 0).ecx & 4))
		return test_skip("no UMIP");
	for (unsigned i = 0; i < 2 * ARRAY_LEN(code); i++) {
		bool on = i & 1;

		write_cr4((read_cr4() & ~CR4_UMIP) | (on ? CR4_UMIP : 0));
		user_regs(&r, (const void *)code[i / 2]);
		RUN_TO(on ? VEC_GP : 0x80);
		CHECK_EQ(t.r.error, 0);
		kernel_regs(code[i / 2]);
		RUN_TO(0x80);
	}
	write_cr4(read_cr4() & ~CR4_UMIP);
}

static void monitor(void)
{
	if (!(cpuid(1, 0).ecx & 8))
		return test_skip("no MONITOR");
	kernel_regs(LABEL(p_monitor));
	RUN_TO(0x80);
	kernel_regs(LABEL(p_mwait_bad));
	RUN_TO(VEC_GP);
	user_regs(&r, (const void *)LABEL(p_monitor));
	RUN_TO(VEC_UD);
}

/* ---- Paging */

#define PTE_P	  1u
#define PTE_W	  2u
#define PTE_U	  4u
#define PTE_PS	  0x80u
#define HIGH	  0x40000000u
#define RESERVED  9u /* error code: present, reserved bit */

asm("p_load: movl (%ebx), %eax; int $0x80\n"
    "p_store: movl $0x77, (%ebx); int $0x80\n"
    "p_fetch: jmp *%ebx\n");

static uint32_t dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32))), dirs[2][512] __attribute__((aligned(4096))), table64[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

/* One access at HIGH, from CPL 0 or 3. */
static unsigned at_high(uint32_t code, uint32_t offset, bool user)
{
	write_cr0(read_cr0() | CR0_PG);
	if (user)
		user_regs(&r, (const void *)code);
	else
		kernel_regs(code);
	r.ebx = HIGH + offset;
	run_regs(&r, &t);
	write_cr0(read_cr0() & ~CR0_PG);
	return t.r.vector;
}

static unsigned load(uint32_t offset)
{
	return at_high(LABEL(p_load), offset, false);
}

static void paging32_begin(void)
{
	write_cr4(read_cr4() | CR4_PSE);
	for (unsigned i = 0; i < 1024; i++)
		dir[i] = i << 22 | PTE_PS | PTE_P | PTE_W | PTE_U;
	write_cr3((uint32_t)dir);
}

static void pae_begin(void)
{
	memset(pointers, 0, sizeof(pointers));
	pointers[0] = (uint32_t)dirs[0] | 1;
	pointers[1] = (uint32_t)dirs[1] | 1;
	for (unsigned i = 0; i < 512; i++)
		dirs[0][i] = (uint64_t)i << 21 | PTE_PS | PTE_P | PTE_W | PTE_U;
	memset(dirs[1], 0, sizeof(dirs[1]));
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3((uint32_t)pointers);
}

static void paging_end(void)
{
	write_cr4(read_cr4() & ~(CR4_PAE | CR4_PSE));
}

/* Bits 13 to 20 of a large page's entry are bits 32 to 39 of its address; seen through PAE paging, too. */
static void pse_36(void)
{
	const uint64_t far = 0x100400000ull; /* 4 GiB + 4 MiB */

	if (!(cpuid(1, 0).edx & 1u << 17))
		return test_skip("no PSE-36");
	pae_begin();
	dirs[1][0] = far | PTE_PS | PTE_P | PTE_W;
	CHECK_EQ(at_high(LABEL(p_store), 0x123 * 4, false), 0x80);
	paging_end();
	paging32_begin();
	dir[HIGH >> 22] = 0x00400000 | 1 << 13 | PTE_PS | PTE_P | PTE_W;
	CHECK_EQ(load(0x123 * 4), 0x80);
	CHECK_EQ(t.r.eax, 0x77);
	*(volatile uint32_t *)(0x400000 + 0x124 * 4) = 0x88; /* not this one */
	CHECK_EQ(load(0x124 * 4), 0x80);
	CHECK(t.r.eax != 0x88);
	CHECK_EQ(dir[HIGH >> 22] & 0x60, 0x20);
	dir[HIGH >> 22] |= 1 << 21;
	CHECK_EQ(load(0), VEC_PF);
	CHECK_EQ(t.r.error, RESERVED);
	CHECK_EQ(t.cr2, HIGH);
	paging_end();
	/* Without CR4.PSE the bit means nothing: the entry names a table. */
	dir[0] = (uint32_t)table | PTE_P | PTE_W | PTE_U | PTE_PS;
	for (unsigned i = 0; i < 1024; i++)
		table[i] = i << 12 | PTE_P | PTE_W | PTE_U;
	dir[HIGH >> 22] = dir[0];
	CHECK_EQ(load((uint32_t)&table[5]), 0x80);
	CHECK_EQ(t.r.eax & ~0x60u, table[5] & ~0x60u);
}

static void pae_reserved(void)
{
	static const uint64_t large[] = {1ull << 13, 1ull << 20, 1ull << 40, 1ull << 62, 1ull << 63};
	static const uint64_t small[] = {1ull << 40, 1ull << 51, 1ull << 62, 1ull << 63};

	pae_begin();
	for (unsigned i = 0; i < ARRAY_LEN(large); i++) {
		dirs[1][0] = PTE_PS | PTE_P | PTE_W | large[i];
		CHECK_EQ(load(0), VEC_PF);
		CHECK_EQ(t.r.error, RESERVED);
	}
	for (unsigned i = 0; i < ARRAY_LEN(small); i++) {
		dirs[1][0] = (uint32_t)table64 | PTE_P | PTE_W;
		table64[0] = (uint32_t)page | PTE_P | PTE_W | small[i];
		CHECK_EQ(load(0), VEC_PF);
		CHECK_EQ(t.r.error, RESERVED);
		CHECK_EQ(at_high(LABEL(p_store), 8, true), VEC_PF);
		CHECK_EQ(t.r.error, RESERVED | 6);
		table64[0] = (uint32_t)page | PTE_P;
		dirs[1][0] |= small[i];
		CHECK_EQ(load(0), VEC_PF);
		CHECK_EQ(t.r.error, RESERVED);
	}
	paging_end();
}

static void protection(void)
{
	pae_begin();
	dirs[1][0] = (uint32_t)table64 | PTE_P | PTE_W | PTE_U;
	table64[0] = (uint32_t)page | PTE_P | PTE_U;
	*(volatile uint16_t *)page = 0x80cd; /* INT 80h */
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK_EQ(at_high(LABEL(p_store), 8, false), 0x80);
	CHECK_EQ(at_high(LABEL(p_store), 8, true), VEC_PF);
	CHECK_EQ(t.r.error, 7);
	write_cr0(read_cr0() | CR0_WP);
	CHECK_EQ(at_high(LABEL(p_store), 8, false), VEC_PF);
	CHECK_EQ(t.r.error, 3);
	table64[0] = (uint32_t)page | PTE_P | PTE_W;
	CHECK_EQ(at_high(LABEL(p_load), 8, true), VEC_PF);
	CHECK_EQ(t.r.error, 5);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	table64[0] = (uint32_t)page | PTE_P | PTE_W | PTE_U | 1ull << 63;
	CHECK_EQ(load(0), 0x80);
	CHECK_EQ(at_high(LABEL(p_fetch), 0, true), VEC_PF);
	CHECK_EQ(t.r.error, 0x15);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	table64[0] = (uint32_t)page | PTE_P | PTE_W | PTE_U;
	CHECK_EQ(at_high(LABEL(p_fetch), 0, false), 0x80);
	for (unsigned i = 0; i < 512; i++) /* the program itself is not the user's */
		dirs[0][i] &= ~(uint64_t)PTE_U;
	if (cpuid(7, 0).ebx & 1u << 7) {
		write_cr4(read_cr4() | CR4_SMEP);
		CHECK_EQ(at_high(LABEL(p_fetch), 0, false), VEC_PF);
		CHECK_EQ(t.r.error, 0x11);
		write_cr4(read_cr4() & ~CR4_SMEP);
	}
	if (cpuid(7, 0).ebx & 1u << 20) {
		write_cr4(read_cr4() | CR4_SMAP);
		CHECK_EQ(load(8), VEC_PF);
		CHECK_EQ(t.r.error, 1);
		write_cr4(read_cr4() & ~CR4_SMAP);
		CHECK_EQ(load(8), 0x80);
	}
	paging_end();
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(segment_rules),
	RT_TEST(null_selectors),
	RT_TEST(parameters32),
	RT_TEST(parameters16),
	RT_TEST(gate_rules),
	RT_TEST(interrupt_gates),
	RT_TEST(double_fault),
	RT_TEST(debug_exceptions),
	RT_TEST(nmi_blocking),
	RT_TEST(management_interrupt),
	RT_TEST(user_mode_prevention),
	RT_TEST(monitor),
	RT_TEST(pse_36),
	RT_TEST(pae_reserved),
	RT_TEST(protection),
	{0},
};
