/* SPDX-License-Identifier: MIT */
/*
 * The system side of real-address mode: exceptions and where they point, what does not exist here, control and model-specific registers, far
 * transfers, single step and breakpoints, MOV SS, INT1, interrupts, HLT, NMIs, SMIs (Intel SDM vol. 3, 6.8, 19 and 21.1; vol. 2).
 */
#include "realsys32.h"

#include "rt32.h"

#define DR6_CLEAR 0x0ff0u
#define APIC_BASE 0xfee00000u

#define LABEL(name)                     \
	({                              \
		extern uint8_t name[];  \
		(uint32_t)(name);       \
	})
#define O(name) ((uint16_t)(LABEL(name) - LABEL(rm_start)))

struct entry {
	uint16_t vector, ip, flags, sp, dr6, cs, unused[2];
};

void rm_run(uint32_t offset);

static void *low(uint32_t address)
{
	asm("" : "+r"(address)); /* the compiler believes in no low addresses */
	return (void *)address;
}

static volatile struct entry *hit(unsigned n)
{
	return (volatile struct entry *)low(RM_CODE + VAR_LOG) + n;
}

static unsigned nr_hits(void)
{
	return *(volatile uint16_t *)low(RM_CODE + VAR_NR);
}

static uint32_t result(unsigned n)
{
	return ((volatile uint32_t *)low(RM_CODE + VAR_AX))[n];
}

static volatile uint32_t *data32(unsigned offset)
{
	return low(RM_DATA + offset);
}

static volatile uint16_t *data16(unsigned offset)
{
	return low(RM_DATA + offset);
}

static void set_up(void)
{
	memcpy(low(RM_CODE), low(LABEL(rm_start)), LABEL(rm_end) - LABEL(rm_start));
	for (unsigned v = 0; v < 256; v++)
		*(volatile uint32_t *)low(4 * v) = (RM_CODE >> 4) << 16 | (uint16_t)(O(rm_entries) + 8 * v);
	gdt_set(SEL_RM, gdt_segment(RM_CODE, 0xffff, 0x9a, 0));
	gdt_set(SEL_RMDATA, gdt_segment(0, 0xffff, 0x92, 0));
	memset(low(RM_CODE + RM_VARS), 0, 32 + LOG_MAX * LOG_ENTRY);
	memset(low(RM_DATA), 0, 0x400);
	asm volatile("mov %0, %%dr7" : : "r"(0x400));
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
}

static void run(uint16_t offset, uint32_t flags)
{
	set_up();
	*(volatile uint32_t *)low(RM_CODE + VAR_FLAGS) = FL_FIXED | flags;
	rm_run(offset);
}

/* One entry in the log: this vector, at this place, with an unharmed stack. */
static void expect(const char *name, uint16_t code, unsigned vector, uint16_t ip)
{
	volatile struct entry *e = hit(0);

	run(code, 0);
	if (nr_hits() != 1 || e->vector != vector || e->ip != ip || e->cs != RM_CODE >> 4 || e->sp != RM_SP - 2)
		test_fail("%s: %u events, vector %u at %x:%x, SP %x; should be %u at %x", name, nr_hits(), e->vector, e->cs, e->ip, e->sp, vector, ip);
}

#define FAULT(name, vector) expect(#name, O(name), vector, O(name##_at))
#define TRAP(name, vector)  expect(#name, O(name), vector, O(name##_next))
#define NOTHING(name)                      \
	do {                               \
		run(O(name), 0);           \
		CHECK_EQ(nr_hits(), 0);    \
	} while (0)

static void exceptions(void)
{
	FAULT(r_div, VEC_DE);
	FAULT(r_bound, VEC_BR);
	FAULT(r_ud, VEC_UD);
	FAULT(r_lock, VEC_UD);
	FAULT(r_long, VEC_GP);
	TRAP(r_into, VEC_OF);
	TRAP(r_int3, VEC_BP);
	TRAP(r_int21, 0x21);
}

/* Offsets beyond FFFF; at a fault registers are as they were. */
static void limits(void)
{
	FAULT(r_gp_word, VEC_GP);
	CHECK_EQ(result(0), 0x11110000);
	FAULT(r_ss_word, VEC_SS);
	FAULT(r_gp_wide, VEC_GP);
	FAULT(r_gp_cs, VEC_GP);
	FAULT(r_jmp_wide, VEC_GP);
	/* An instruction that the segment cuts off, and running off its end. */
	run(O(r_off_end), 0); /* to set up */
	*(volatile uint8_t *)low(RM_CODE + 0xffff) = 0xb8;
	memset(low(RM_CODE + VAR_NR), 0, 2);
	rm_run(O(r_off_end));
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->vector, VEC_GP);
	CHECK_EQ(hit(0)->ip, 0xffff);
	*(volatile uint8_t *)low(RM_CODE + 0xffff) = 0x90;
	memset(low(RM_CODE + VAR_NR), 0, 2);
	rm_run(O(r_off_end));
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->vector, VEC_GP);
	CHECK_EQ(hit(0)->ip, 0); /* 10000 */
}

/* Vectors beyond the table's limit are #GP, at the instruction. */
static void table_limit(void)
{
	uint16_t *limit = (uint16_t *)LABEL(rm_idt), old = *limit;

	*limit = 4 * 0x20 - 1;
	FAULT(r_int21, VEC_GP);
	*limit = 4 * 0x22 - 1;
	TRAP(r_int21, 0x21);
	*limit = 4 * 0x22 - 2;
	FAULT(r_int21, VEC_GP);
	*limit = old;
}

static void not_here(void)
{
	FAULT(r_lldt, VEC_UD);
	FAULT(r_ltr, VEC_UD);
	FAULT(r_sldt, VEC_UD);
	FAULT(r_str, VEC_UD);
	FAULT(r_lar, VEC_UD);
	FAULT(r_lsl, VEC_UD);
	FAULT(r_verr, VEC_UD);
	FAULT(r_verw, VEC_UD);
	FAULT(r_arpl, VEC_UD);
	FAULT(r_rsm, VEC_UD);
	FAULT(r_cr1, VEC_UD);
	FAULT(r_sysenter, VEC_GP);
	FAULT(r_sysexit, VEC_GP);
	if (!(cpuid(1, 0).ecx & 8))
		FAULT(r_monitor_bad, VEC_UD);
}

static void system_registers(void)
{
	uint32_t cr0 = read_cr0();
	uint64_t pat = rdmsr(0x277);

	FAULT(r_msr_bad, VEC_GP); /* ECX: 33330000 */
	FAULT(r_cr0_bad, VEC_GP);
	FAULT(r_cr4_bad, VEC_GP);
	FAULT(r_pmc_bad, VEC_GP);
	NOTHING(r_system);
	CHECK_EQ(*data32(0), cr0 & ~CR0_PE);
	CHECK_EQ(*data16(4), cr0 & ~CR0_PE & 0xffff);
	CHECK_EQ(*data32(8) & 0x200, 0x200);
	CHECK_EQ(*data32(12), (uint32_t)pat);
	CHECK_EQ(*data32(16), (uint32_t)(pat >> 32));
	CHECK_EQ(*data32(20), 0x5678);
	CHECK_EQ(*data16(32), *(uint16_t *)LABEL(rm_idt));
	wrmsr(MSR_SYSENTER_CS, 0);
	write_cr0(cr0 | CR0_TS);
	FAULT(r_fpu, VEC_NM);
	write_cr0(cr0 | CR0_EM);
	FAULT(r_fpu, VEC_NM);
	write_cr0(cr0);
	NOTHING(r_fpu);
}

/* Offset, opcode and the pointers' upper bits in the formats of 16 and 32 bits (SDM volume 1, figures 8-10 and 8-12); of selectors CPUs keep 0. */
static void fpu_environment(void)
{
	const uint16_t ip = O(r_fpu_env_at);

	NOTHING(r_fpu_env);
	CHECK_EQ(*data16(0), 0x37f);
	CHECK_EQ(*data16(2), 0x3000);
	CHECK_EQ(*data16(4), 0x0fff);
	CHECK_EQ(*data16(6), ip);
	CHECK_EQ(*data16(8), 0x106);
	CHECK_EQ(*data16(10), 0x100);
	CHECK_EQ(*data16(12), 0);
	CHECK_EQ(*data16(0x20), 0x37f);
	CHECK_EQ(*data16(0x24), 0x3000);
	CHECK_EQ(*data16(0x28), 0x0fff);
	CHECK_EQ(*data16(0x2c), ip);
	CHECK_EQ(*data32(0x30), 0x106);
	CHECK_EQ(*data16(0x34), 0x100);
	CHECK_EQ(*data32(0x38), 0);
	/* Loaded in the wide format. */
	CHECK_EQ(*data16(0x44), 0xffff);
	CHECK_EQ(*data16(0x46), 0x4567);
	CHECK_EQ(*data16(0x48), 0x3345);
	CHECK_EQ(*data16(0x4a), 0x89ab);
	CHECK_EQ(*data16(0x4c), 0xd000);
	CHECK_EQ(*data16(0x6c), 0x4567);
	CHECK_EQ(*data32(0x70), 0x00123345);
	CHECK_EQ(*data16(0x74), 0x89ab);
	CHECK_EQ(*data32(0x78), 0x000cd000);
	/* And in the narrow one. */
	CHECK_EQ(*data16(0x8c), 0x4567);
	CHECK_EQ(*data32(0x90), 0x3345);
	CHECK_EQ(*data16(0x94), 0x89ab);
	CHECK_EQ(*data32(0x98), 0xd000);
	/* With registers, behind 14 and 28 bytes. */
	CHECK_EQ(*data16(0x110 + 6), ip);
	CHECK_EQ(*data16(0x110 + 8), 0x106);
	CHECK_EQ(*data32(0x110 + 14 + 4), 0xa0000000);
	CHECK_EQ(*data16(0x110 + 14 + 8), 0x4000);
	CHECK_EQ(*data16(0x110 + 24 + 8), 0x3fff);
	CHECK_EQ(*data16(0x180 + 12), ip);
	CHECK_EQ(*data32(0x180 + 16), 0x106);
	CHECK_EQ(*data32(0x180 + 28 + 4), 0xa0000000);
	CHECK_EQ(*data16(0x180 + 28 + 8), 0x4000);
	CHECK_EQ(*data16(0x180 + 38 + 8), 0x3fff);
	CHECK_EQ(*data32(0x104), 0x40200000);
}

static void far_transfers(void)
{
	NOTHING(r_far);
	CHECK_EQ(*data16(0), 0x1234);
	CHECK_EQ(*data16(2), 0x2345);
	CHECK_EQ(*data16(4), RM_SP - 2);
	CHECK_EQ(*data16(6), RM_SP - 2);
}

/* ---- Debugging */

#define CHECK_HIT(n, v, at, bits)                  \
	do {                                       \
		CHECK_EQ(hit(n)->vector, v);       \
		CHECK_EQ(hit(n)->ip, at);          \
		CHECK_EQ(hit(n)->dr6, DR6_CLEAR | (bits)); \
	} while (0)

static void single_step(void)
{
	run(O(r_step), 0);
	CHECK_EQ(nr_hits(), 6);
	CHECK_HIT(0, VEC_DB, O(r_step_1), 0x4000);
	CHECK_HIT(1, VEC_DB, O(r_step_2), 0x4000); /* none behind MOV SS */
	CHECK_HIT(2, VEC_DB, O(r_step_3), 0x4000);
	CHECK_HIT(3, 0x22, O(r_step_4), 0);
	CHECK(hit(3)->flags & FL_TF);
	CHECK_HIT(4, VEC_DB, O(r_step_5), 0x4000);
	CHECK_HIT(5, VEC_DB, O(r_step_at), 0x4000); /* TF was set when POPF began */
}

static void breakpoints(void)
{
	TRAP(r_int1, VEC_DB);
	CHECK_EQ(hit(0)->dr6, DR6_CLEAR);
	TRAP(r_data_bp, VEC_DB);
	CHECK_EQ(hit(0)->dr6, DR6_CLEAR | 1);
	CHECK_EQ(*data16(0x102), 7);
	FAULT(r_code_bp, VEC_DB);
	CHECK_EQ(hit(0)->dr6, DR6_CLEAR | 1);
	CHECK_EQ(result(3), 0x44440001); /* went on */
	TRAP(r_port_bp, VEC_DB);
	CHECK_EQ(hit(0)->dr6, DR6_CLEAR | 1);
	write_cr4(read_cr4() & ~CR4_DE);
	FAULT(r_gd, VEC_DB);
	CHECK_EQ(hit(0)->dr6, DR6_CLEAR | 0x2000);
	asm volatile("mov %0, %%dr7" : : "r"(0x400));
}

/* ---- Interrupts */

static void apic_on(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	*(volatile uint32_t *)(APIC_BASE + 0xf0) = 0x1ff;
	*(volatile uint32_t *)(APIC_BASE + 0x80) = 0;
}

static void interrupts(void)
{
	apic_on();
	run(O(r_sti), 0);
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->vector, 0x40);
	CHECK_EQ(hit(0)->ip, O(r_sti_next)); /* not in front of the NOP */
	run(O(r_halt), 0);
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->vector, 0x40);
	CHECK_EQ(hit(0)->ip, O(r_halt_next));
	/* The task priority holds it back, POPF lets it in at once. */
	run(O(r_ss_shadow), 0);
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->ip, O(r_ss_shadow_next));
}

static void nmis(void)
{
	apic_on();
	run(O(r_send_nmi), 0); /* with IF clear */
	CHECK_EQ(nr_hits(), 1);
	CHECK_EQ(hit(0)->vector, VEC_NMI);
	set_up();
	*(volatile uint16_t *)low(RM_CODE + VAR_NMI) = 3;
	*(volatile uint32_t *)low(RM_CODE + VAR_FLAGS) = FL_FIXED;
	rm_run(O(r_send_nmi));
	CHECK_EQ(nr_hits(), 4);
	CHECK_EQ(*(volatile uint16_t *)low(RM_CODE + VAR_DEPTH), 0x100); /* one at a time */
}

static void management_interrupt(void)
{
	uint32_t size = LABEL(rm_smi_handler_end) - LABEL(rm_smi_handler);

	apic_on();
	set_up();
	memcpy(low(0x38000), low(LABEL(rm_smi_handler)), size);
	run(O(r_smi), 0);
	CHECK_EQ(*data32(0x200), 1);
	CHECK_EQ(nr_hits(), 0);
	CHECK_EQ(result(0), 0x11110000 | RM_CODE >> 4);
	CHECK_EQ(result(1), 0x22220000);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(exceptions),
	RT_TEST(limits),
	RT_TEST(table_limit),
	RT_TEST(not_here),
	RT_TEST(system_registers),
	RT_TEST(fpu_environment),
	RT_TEST(far_transfers),
	RT_TEST(single_step),
	RT_TEST(breakpoints),
	RT_TEST(interrupts),
	RT_TEST(nmis),
	RT_TEST(management_interrupt),
	{0},
};
