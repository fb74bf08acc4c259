/* SPDX-License-Identifier: MIT */
/*
 * Virtual-8086 mode extensions and protected-mode virtual interrupts (Intel SDM vol. 3, 22.2 and 22.3): the interrupt redirection bitmap, VIF
 * and VIP in CLI, STI, PUSHF, POPF, INT n and IRET, at IOPL 3 and below.
 */
#include "rt32.h"

#define LOW_CODE 0x7000u

#define LABEL(name)                     \
	({                              \
		extern void name(void); \
		(uint32_t)(name);       \
	})
#define LOW(name) (LABEL(name) - LABEL(low_start))

static struct regs r;
static struct trap t;

/* Address 0, which the compiler must not know to be that. */
static volatile uint16_t *vectors(void)
{
	volatile uint16_t *ivt = NULL;

	asm volatile("" : "+r"(ivt));
	return ivt;
}

/* A state segment with redirection and I/O bitmaps. */
static struct {
	struct tss32 tss;
	uint8_t redirection[32], io[4];
} __attribute__((packed)) big;

static bool prepare(void)
{
	volatile uint16_t *ivt = vectors();

	if (!(cpuid(1, 0).edx & 2))
		return false;
	memcpy((void *)LOW_CODE, (const void *)LABEL(low_start), LABEL(low_end) - LABEL(low_start));
	ivt[0x40 * 2] = (uint16_t)LOW(vm_handler);
	ivt[0x40 * 2 + 1] = LOW_CODE >> 4;
	big.tss = tss;
	big.tss.iomap = sizeof(big.tss) + sizeof(big.redirection);
	memset(big.redirection, 0, sizeof(big.redirection));
	memset(big.io, 0xff, sizeof(big.io));
	gdt_set(SEL32_TSS, gdt_segment((uint32_t)&big, sizeof(big) - 1, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(SEL32_TSS));
	write_cr4(read_cr4() | CR4_VME);
	return true;
}

static void finish(void)
{
	write_cr4(read_cr4() & ~(CR4_VME | CR4_PVI));
	gdt_set(SEL32_TSS, gdt_segment((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(SEL32_TSS));
	idt_reset(0x40);
}

static void run_low(uint32_t offset, uint32_t eflags)
{
	memset(&r, 0, sizeof(r));
	r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
	r.cs = LOW_CODE >> 4;
	r.eip = offset;
	r.eflags = FL_FIXED | FL_VM | eflags;
	r.esp = 0x6ff0;
	r.eax = t.r.eax; /* for those that take EAX: see with_eax() */
	run_regs(&r, &t);
}

static void with_eax(uint32_t offset, uint32_t eflags, uint32_t eax)
{
	t.r.eax = eax;
	run_low(offset, eflags);
}

#define CHECK_TRAP(vec, at)                  \
	do {                                 \
		CHECK_EQ(t.r.vector, vec);   \
		CHECK_EQ(t.r.eip, at);       \
	} while (0)

/* Bit clear: to the program's own handler, with VIF in place of IF below IOPL 3. */
static void redirected_interrupts(void)
{
	if (!prepare())
		return test_skip("no VME");
	run_low(LOW(vm_int), FL_IOPL3 | FL_IF);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.ecx & 0xffff, 0x7777);
	CHECK_EQ(t.r.eax & 0xffff, LOW(vm_int_next));
	CHECK_EQ(t.r.ebx & 0xffff, LOW_CODE >> 4);
	CHECK_EQ(t.r.edx & 0xffff, FL_FIXED | FL_IOPL3 | FL_IF);
	CHECK_EQ(t.r.esp, r.esp);
	CHECK(t.r.eflags & FL_IF);
	run_low(LOW(vm_int), FL_VIF | FL_CF);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.ecx & 0xffff, 0x7777);
	CHECK_EQ(t.r.edx & 0xffff, FL_FIXED | FL_IOPL3 | FL_IF | FL_CF);
	CHECK(t.r.eflags & FL_VIF); /* IRET put it back */
	run_low(LOW(vm_int), 0);
	CHECK_EQ(t.r.edx & 0xffff, FL_FIXED | FL_IOPL3);
	CHECK(!(t.r.eflags & FL_VIF));
	/* What the handler finds. */
	vectors()[0x80] = (uint16_t)LOW(vm_handler_stops);
	run_low(LOW(vm_int), FL_VIF | FL_IF);
	CHECK_TRAP(VEC_BP, LOW(vm_handler_stops) + 1);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_IF);
	CHECK_EQ(t.r.esp, r.esp - 6);
	run_low(LOW(vm_int), FL_VIF | FL_IF | FL_IOPL3);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_VIF | FL_IOPL3);
	finish();
}

static void monitored_interrupts(void)
{
	if (!prepare())
		return test_skip("no VME");
	big.redirection[8] = 1;
	idt_set(0x40, gdt_gate(LABEL(trap_entries) + 16 * 0x40, SEL32_KCODE, 0xee, 0));
	run_low(LOW(vm_int), FL_IOPL3);
	CHECK_TRAP(0x40, LOW(vm_int) + 2);
	run_low(LOW(vm_int), 0);
	CHECK_TRAP(VEC_GP, LOW(vm_int));
	CHECK_EQ(t.r.error, 0);
	big.redirection[8] = 0;
	write_cr4(read_cr4() & ~CR4_VME); /* the bitmap means nothing then */
	run_low(LOW(vm_int), FL_IOPL3);
	CHECK_TRAP(0x40, LOW(vm_int) + 2);
	run_low(LOW(vm_int), 0);
	CHECK_TRAP(VEC_GP, LOW(vm_int));
	finish();
}

static void virtual_flag(void)
{
	if (!prepare())
		return test_skip("no VME");
	run_low(LOW(vm_cli), FL_VIF | FL_IF);
	CHECK_TRAP(VEC_BP, LOW(vm_cli) + 2);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_IF);
	run_low(LOW(vm_sti), 0);
	CHECK_TRAP(VEC_BP, LOW(vm_sti) + 2);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_VIF);
	run_low(LOW(vm_sti), FL_VIP);
	CHECK_TRAP(VEC_GP, LOW(vm_sti));
	CHECK_EQ(t.r.eflags & ~FL_RF, FL_FIXED | FL_VM | FL_VIP);
	run_low(LOW(vm_sti), FL_IOPL3 | FL_VIP); /* the real one */
	CHECK_TRAP(VEC_BP, LOW(vm_sti) + 2);
	CHECK(t.r.eflags & FL_IF);
	run_low(LOW(vm_pushf), FL_VIF);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.eax & 0xffff, FL_FIXED | FL_IOPL3 | FL_IF);
	run_low(LOW(vm_pushf), FL_IF);
	CHECK_EQ(t.r.eax & 0xffff, FL_FIXED | FL_IOPL3);
	run_low(LOW(vm_pushfl), 0);
	CHECK_TRAP(VEC_GP, LOW(vm_pushfl));
	write_cr4(read_cr4() & ~CR4_VME);
	run_low(LOW(vm_cli), FL_VIF);
	CHECK_TRAP(VEC_GP, LOW(vm_cli));
	run_low(LOW(vm_sti), 0);
	CHECK_TRAP(VEC_GP, LOW(vm_sti));
	run_low(LOW(vm_pushf), 0);
	CHECK_TRAP(VEC_GP, LOW(vm_pushf));
	finish();
}

static void popf_and_iret(void)
{
	if (!prepare())
		return test_skip("no VME");
	with_eax(LOW(vm_popf), FL_IF, FL_CF | FL_IF | FL_IOPL3);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_IF | FL_VIF | FL_CF);
	with_eax(LOW(vm_popf), FL_IF | FL_VIF, 0);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_IF);
	with_eax(LOW(vm_popf), FL_VIP, FL_IF);
	CHECK_TRAP(VEC_GP, LOW(vm_popf_at));
	CHECK_EQ(t.r.esp, r.esp - 2);
	with_eax(LOW(vm_popf), FL_VIP, 0);
	CHECK_EQ(t.r.vector, VEC_BP);
	with_eax(LOW(vm_popf), 0, FL_TF);
	CHECK_TRAP(VEC_GP, LOW(vm_popf_at));
	with_eax(LOW(vm_popfl), 0, 0);
	CHECK_EQ(t.r.vector, VEC_GP);
	with_eax(LOW(vm_iret), 0, FL_IF | FL_CF);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_VIF | FL_CF);
	CHECK_EQ(t.r.esp, r.esp);
	with_eax(LOW(vm_iret), FL_VIP, FL_IF);
	CHECK_TRAP(VEC_GP, LOW(vm_iret_at));
	CHECK_EQ(t.r.esp, r.esp - 6);
	with_eax(LOW(vm_iret), 0, FL_TF);
	CHECK_TRAP(VEC_GP, LOW(vm_iret_at));
	with_eax(LOW(vm_iretl), 0, FL_IF);
	CHECK_TRAP(VEC_GP, LOW(vm_iretl_at));
	with_eax(LOW(vm_iretl), FL_IOPL3, FL_IF | FL_CF | FL_VIF);
	CHECK_EQ(t.r.vector, VEC_BP);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VM | FL_IF | FL_IOPL3 | FL_CF); /* VIF is not for it to change */
	finish();
}

static void user(uint32_t code, uint32_t eflags, uint32_t eax)
{
	user_regs(&r, (const void *)code);
	r.eflags |= eflags;
	r.eax = eax;
	run_regs(&r, &t);
}

static void protected_mode(void)
{
	if (!prepare())
		return test_skip("no VME");
	user(LABEL(u_cli), FL_VIF, 0);
	CHECK_TRAP(VEC_GP, LABEL(u_cli));
	write_cr4(read_cr4() | CR4_PVI);
	user(LABEL(u_cli), FL_VIF | FL_IF, 0);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_IF);
	user(LABEL(u_sti), 0, 0);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VIF);
	user(LABEL(u_sti), FL_VIP, 0);
	CHECK_TRAP(VEC_GP, LABEL(u_sti));
	user(LABEL(u_sti), FL_VIP | FL_IOPL3, 0);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.eflags, FL_FIXED | FL_VIP | FL_IOPL3 | FL_IF);
	/* PUSHF and POPF know nothing of VIF, but that POPF clears it. */
	user(LABEL(u_flags), FL_VIF | FL_IF, FL_CF);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.eax, FL_FIXED | FL_CF | FL_IF);
	finish();
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(redirected_interrupts),
	RT_TEST(monitored_interrupts),
	RT_TEST(virtual_flag),
	RT_TEST(popf_and_iret),
	RT_TEST(protected_mode),
	{0},
};
