/* SPDX-License-Identifier: MIT */
/*
 * Modes below long mode: 32-bit protected mode with and without paging (32-bit and PAE tables), ring 3, call gates,
 * 16-bit gates, V86 mode, and real mode (Intel SDM vol. 3, chapters 4 to 6 and 20).
 */
#include "rt32.h"

#define LOW_CODE 0x7000u
#define LOW_DATA 0x6000u
#define LABEL(name)                          \
	({                                   \
		extern const uint8_t name[]; \
		(const void *)(name);        \
	})

static struct regs r;
static struct trap t;

#define RUN_TO(vec)                        \
	do {                               \
		run_regs(&r, &t);          \
		CHECK_EQ(t.r.vector, vec); \
	} while (0)

/* ---- Traps */

asm(".text; .code32\n"
    "k_div: xorl %edx, %edx; xorl %ecx, %ecx; divl %ecx; ret\n"
    "k_ud: ud2; ret\n"
    "k_bad_ds: movl $0xfff8, %eax; movl %eax, %ds; ret\n"
    "k_into: movb $0x7f, %al; addb $1, %al; into; ret\n"
    "k_int20: int $0x20; ret\n"
    "k_null_load: pushl %ds; xorl %eax, %eax; movl %eax, %ds; movl (%eax), %eax; popl %ds; ret\n"
    "k_code_store: movl %eax, %cs:(%esp); ret\n"
    "k_rex: .byte 0x48; decl %eax; ret\n");
void k_div(void), k_ud(void), k_bad_ds(void), k_into(void), k_int20(void), k_null_load(void), k_code_store(void),
	k_rex(void);

static void exceptions(void)
{
	CHECK_EQ(trap_of(k_div, &t), VEC_DE);
	CHECK_EQ(t.r.eip, (uint32_t)k_div + 4);
	CHECK_EQ(trap_of(k_ud, &t), VEC_UD);
	CHECK_EQ(trap_of(k_bad_ds, &t), VEC_GP);
	CHECK_EQ(t.r.error, 0xfff8);
	CHECK_EQ(trap_of(k_into, &t), VEC_OF);
	CHECK_EQ(trap_of(k_int20, &t), 0x20);
	CHECK_EQ(t.r.eip, (uint32_t)k_int20 + 2);
	CHECK_EQ(trap_of(k_null_load, &t), VEC_GP);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(trap_of(k_code_store, &t), VEC_GP);
	CHECK_EQ(trap_of(k_rex, &t), -1);
}

static void ring3(void)
{
	user_regs(&r, LABEL(u_int80));
	r.eax = 0x1234;
	RUN_TO(0x80);
	CHECK_EQ(t.r.cs, SEL32_UCODE);
	CHECK_EQ(t.r.ss, SEL32_UDATA);
	CHECK_EQ(t.r.esp, r.esp);
	CHECK_EQ(t.r.eax, 0x1234);
	user_regs(&r, LABEL(u_cli));
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	user_regs(&r, LABEL(u_pusha));
	r.edi = 77;
	RUN_TO(0x80);
	CHECK_EQ(t.r.eax, 77);
	CHECK_EQ(t.r.ecx & 0xffff, SEL32_UDATA);
	CHECK_EQ(t.r.edx & 0xffff, 0x1234);
	CHECK_EQ(t.r.esp, r.esp);
}

static uint32_t words[1024] __attribute__((aligned(4096)));

static void load_case(uint64_t descriptor, uint32_t offset, unsigned vector, uint32_t error)
{
	gdt_set(SEL32_TEST, descriptor);
	user_regs(&r, LABEL(u_es_load));
	r.eax = SEL32_TEST | 3;
	r.ebx = offset;
	run_regs(&r, &t);
	if (t.r.vector != vector || (vector != 0x80 && t.r.error != error))
		test_fail("offset %x: vector %u error %x, should be %u, %x", offset, t.r.vector, t.r.error, vector,
			  error);
	if (vector == 0x80 && t.r.ecx != 0x100 + offset / 4)
		test_fail("offset %x: %x", offset, t.r.ecx);
}

static void segment_limits(void)
{
	uint32_t base = (uint32_t)words;

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		words[i] = 0x100 + i;
	load_case(gdt_segment(base, 0x7f, 0xf2, 4), 0x7c, 0x80, 0);
	load_case(gdt_segment(base, 0x7f, 0xf2, 4), 0x7d, VEC_GP, 0);
	load_case(gdt_segment(base, 0x7f, 0xf6, 4), 0x7c, VEC_GP, 0);
	load_case(gdt_segment(base, 0x7f, 0xf6, 4), 0x80, 0x80, 0);
	load_case(gdt_segment(base, 0x7f, 0xf6, 0), 0xfffd, VEC_GP, 0); /* expands down from 64 KiB */
	load_case(gdt_segment(base, 0, 0xf2, 0xc), 0xffc, 0x80, 0);
	load_case(gdt_segment(base, 0, 0xf2, 0xc), 0x1000, VEC_GP, 0);
	load_case(gdt_segment(base, 0x7f, 0x72, 4), 0, VEC_NP, SEL32_TEST);
	load_case(gdt_segment(base, 0x7f, 0x92, 4), 0, VEC_GP, SEL32_TEST);
	load_case(gdt_segment(base, 0x7f, 0xf8, 4), 0, VEC_GP, SEL32_TEST);
	/* A push beyond the stack's limit: #SS, and ESP stays. */
	gdt_set(SEL32_TEST, gdt_segment(base, 0x7f, 0xf2, 4));
	user_regs(&r, LABEL(u_push_ss));
	r.eax = SEL32_TEST | 3;
	r.ebx = 0x90;
	RUN_TO(VEC_SS);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(t.r.esp, 0x90);
	CHECK_EQ(t.r.eip, (uint32_t)LABEL(u_push_ss_at));
	r.ebx = 0x80;
	r.ecx = 0xabcd;
	RUN_TO(0x80);
	CHECK_EQ(words[31], 0xabcd);
	CHECK_EQ(t.r.esp, 0x7c);
}

/* LAR, LSL, VERR, VERW on descriptors of every type, DPL and presence, from ring 0 and ring 3. */
static bool query_visible(unsigned access, unsigned cpl, unsigned rpl)
{
	unsigned dpl = access >> 5 & 3;

	return (access & 0x1c) == 0x1c || (dpl >= cpl && dpl >= rpl);
}

static void query(unsigned access, unsigned cpl, unsigned rpl)
{
	const uint32_t lar_system = 0x1a3e, lsl_system = 0x0a0e; /* types that count; bit = type */
	bool data = access & 0x10, code = (access & 0x18) == 0x18, visible = query_visible(access, cpl, rpl);
	bool lar = visible && (data || (lar_system >> (access & 15) & 1));
	bool lsl = visible && (data || (lsl_system >> (access & 15) & 1));
	bool verr = visible && data && (!code || (access & 2)), verw = visible && data && !code && (access & 2);
	uint32_t flags;

	gdt_set(SEL32_TEST, gdt_segment(0x123456, 0x12345, access, 0xd));
	user_regs(&r, LABEL(u_query));
	if (!cpl) {
		r.cs = SEL32_KCODE;
		r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
	}
	r.ecx = SEL32_TEST | rpl;
	r.esi = r.edi = 0x5a5a5a5a;
	run_regs(&r, &t);
	flags = t.r.ebx;
	if ((flags & 1) != lar || (flags >> 8 & 1) != lsl || (t.r.edx & 1) != verr || (t.r.edx >> 8 & 1) != verw)
		test_fail("access %x, CPL %u, RPL %u: LAR %u LSL %u VERR %u VERW %u", access, cpl, rpl, flags & 1,
			  flags >> 8 & 1, t.r.edx & 1, t.r.edx >> 8 & 1);
	else if ((lar ? (t.r.esi & 0xf0ff00) != (0xd00000 | access << 8) : t.r.esi != 0x5a5a5a5a) ||
		 (lsl ? t.r.edi != 0x12345fff : t.r.edi != 0x5a5a5a5a))
		test_fail("access %x, CPL %u, RPL %u: rights %x, limit %x", access, cpl, rpl, t.r.esi, t.r.edi);
	else if (gdt_get(SEL32_TEST) != gdt_segment(0x123456, 0x12345, access, 0xd))
		test_fail("access %x: the descriptor has changed", access);
}

static void descriptor_queries(void)
{
	for (unsigned access = 0; access < 256; access++)
		for (unsigned rpl = 0; rpl <= 3; rpl++) {
			query(access, 3, rpl);
			query(access, 0, rpl);
		}
}

/* Branches out of a code segment of 128 bytes fault where they are, and have done nothing. */
static void branch_limits(void)
{
	static const uint8_t at[] = { 0, 5, 10, 18, 24, 28, 30 };

	gdt_set(SEL32_TEST, gdt_segment((uint32_t)LABEL(u_limits), 127, 0xfa, 4));
	for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
		user_regs(&r, LABEL(u_limits));
		r.cs = SEL32_TEST | 3;
		r.eip = at[i];
		r.eax = 0x80;
		r.ecx = 7;
		r.eflags |= FL_ZF;
		RUN_TO(VEC_GP);
		CHECK_EQ(t.r.error, 0);
		CHECK_EQ(t.r.eip, at[i] + (at[i] == 10));
		CHECK_EQ(t.r.esp, r.esp - (at[i] == 10 ? 4 : 0));
		CHECK_EQ(t.r.ecx, 7);
		CHECK_EQ(t.r.cs, SEL32_TEST | 3);
	}
	r.eip = 33; /* not taken; then off the end */
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.eip, 126);
	CHECK_EQ(t.r.ebx, 1);
	r.eip = 33;
	r.eax = 0x7f; /* the limit itself: it is the instruction there that does not fit */
	r.ebx = 2;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.eip, 0x7f);
}

static void call_gate(void)
{
	gdt_set(0x40, gdt_gate((uint32_t)LABEL(k_gate_target), SEL32_KCODE, 0xec, 2));
	user_regs(&r, LABEL(u_call_gate));
	RUN_TO(0x80);
	CHECK_EQ(t.r.eax, SEL32_KCODE);
	CHECK_EQ(t.r.ebx, SEL32_KDATA);
	CHECK_EQ(t.r.ecx, (uint32_t)LABEL(u_call_gate_next));
	CHECK_EQ(t.r.edx, SEL32_UCODE);
	CHECK_EQ(t.r.esi, 0x1111);
	CHECK_EQ(t.r.edi, 0x2222);
	CHECK_EQ(t.r.ebp, r.esp - 8);
	CHECK_EQ(t.r.esp, r.esp);
	CHECK_EQ(t.r.cs, SEL32_UCODE);
	gdt_set(0x40, gdt_gate((uint32_t)LABEL(k_gate_target), SEL32_KCODE, 0x8c, 2));
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0x40);
	gdt_set(0x40, gdt_gate((uint32_t)LABEL(k_gate_target), SEL32_KCODE, 0x6c, 2));
	RUN_TO(VEC_NP);
	CHECK_EQ(t.r.error, 0x40);
}

static void conforming(void)
{
	gdt_set(0x48, gdt_segment(0, 0xfffff, 0x9e, 0xc));
	user_regs(&r, LABEL(u_conforming));
	RUN_TO(0x80);
	CHECK_EQ(t.r.eax, 0x4b);
	CHECK_EQ(t.r.cs, SEL32_UCODE);
}

static void sysenter(void)
{
	static uint8_t stack[256];

	if (!(cpuid(1, 0).edx & 1u << 11))
		return test_skip("no SYSENTER");
	wrmsr(MSR_SYSENTER_CS, SEL32_KCODE);
	wrmsr(MSR_SYSENTER_ESP, (uint32_t)(stack + sizeof(stack)));
	wrmsr(MSR_SYSENTER_EIP, (uint32_t)LABEL(k_sysenter));
	user_regs(&r, LABEL(u_sysenter));
	RUN_TO(0x80);
	CHECK_EQ(t.r.esi, SEL32_KCODE);
	CHECK_EQ(t.r.edi, SEL32_KDATA);
	CHECK_EQ(t.r.eax, SEL32_UCODE);
	CHECK_EQ(t.r.ebx, SEL32_UDATA);
	CHECK_EQ(t.r.esp, r.esp);
}

/* ---- Paging */

static uint32_t *table(void)
{
	static uint8_t pool[16][4096] __attribute__((aligned(4096)));
	static unsigned used;
	uint32_t *p = (uint32_t *)pool[used++ % 16];

	memset(p, 0, 4096);
	return p;
}

static uint32_t cr3_for_access, access_from, access_to;

static void paged_access(void)
{
	uint32_t eax, edi = cr3_for_access, esi = access_from, edx = access_to, ecx = 0x77;

	asm volatile("call k_paged_access"
		     : "=a"(eax), "+D"(edi), "+S"(esi), "+d"(edx), "+c"(ecx)
		     :
		     : "ebx", "memory", "cc");
	words[1023] = eax;
}

static int paged(uint32_t from, uint32_t to)
{
	int vector;

	access_from = from;
	access_to = to;
	words[1023] = 0;
	vector = trap_of(paged_access, &t);
	write_cr0(read_cr0() & ~CR0_PG);
	return vector;
}

#define HIGH 0x40000000u

static void paging_32bit(void)
{
	uint32_t *dir = table(), *low = table(), *high = table();

	for (unsigned i = 0; i < 1024; i++)
		low[i] = i << 12 | 3;
	dir[0] = (uint32_t)low | 3;
	dir[HIGH >> 22] = (uint32_t)high | 3;
	high[0] = (uint32_t)words | 1;
	high[1] = (uint32_t)words | 3;
	cr3_for_access = (uint32_t)dir;
	words[5] = 0x5555;
	CHECK_EQ(paged(HIGH + 20, HIGH + 0x1000 + 24), -1);
	CHECK_EQ(words[1023], 0x5555);
	CHECK_EQ(words[6], 0x77);
	CHECK_EQ(high[0] & 0x60, 0x20);
	CHECK_EQ(high[1] & 0x60, 0x60);
	CHECK_EQ(dir[HIGH >> 22] & 0x20, 0x20);
	CHECK_EQ(paged(HIGH, HIGH + 8), VEC_PF);
	CHECK_EQ(t.r.error, 3);
	CHECK_EQ(t.cr2, HIGH + 8);
	CHECK_EQ(paged(HIGH + 0x2000, 0), VEC_PF);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(paged(HIGH + 0x400000, 0), VEC_PF);
	/* 4 MiB pages. */
	write_cr4(read_cr4() | CR4_PSE);
	dir[(HIGH >> 22) + 1] = 0x83;
	CHECK_EQ(paged(HIGH + 0x400000 + (uint32_t)&words[5], HIGH + 0x400000 + (uint32_t)&words[7]), -1);
	CHECK_EQ(words[1023], 0x5555);
	CHECK_EQ(words[7], 0x77);
	CHECK_EQ(dir[(HIGH >> 22) + 1] & 0xff, 0xe3);
	write_cr4(read_cr4() & ~CR4_PSE);
}

static void load_cr3(void)
{
	write_cr3(cr3_for_access);
	write_cr0(read_cr0() | CR0_PG);
	write_cr0(read_cr0() & ~CR0_PG);
}

static void paging_pae(void)
{
	static uint64_t pointers[4] __attribute__((aligned(32)));
	uint64_t *low = (uint64_t *)table(), *dir = (uint64_t *)table(), *high = (uint64_t *)table();

	for (unsigned i = 0; i < 512; i++)
		low[i] = (uint64_t)i << 21 | 0x83;
	memset(pointers, 0, sizeof(pointers));
	pointers[0] = (uint32_t)low | 1;
	pointers[1] = (uint32_t)dir | 1;
	dir[0] = (uint32_t)high | 3;
	dir[1] = 0x83;
	high[0] = (uint32_t)words | 1;
	high[1] = (uint32_t)words | 3;
	high[3] = (uint32_t)words | 3 | 1ull << 63;
	cr3_for_access = (uint32_t)pointers;
	write_cr4(read_cr4() | CR4_PAE);
	words[5] = 0x5656;
	words[6] = 0;
	CHECK_EQ(paged(HIGH + 20, HIGH + 0x1000 + 24), -1);
	CHECK_EQ(words[1023], 0x5656);
	CHECK_EQ(words[6], 0x77);
	CHECK_EQ((uint32_t)high[1] & 0x60, 0x60);
	CHECK_EQ(paged(HIGH, HIGH), VEC_PF);
	CHECK_EQ(t.r.error, 3);
	CHECK_EQ(paged(HIGH + 0x200000 + (uint32_t)&words[5], 0), -1);
	CHECK_EQ(words[1023], 0x5656);
	CHECK_EQ(paged(HIGH + 0x3000, 0), VEC_PF); /* NX is reserved */
	CHECK_EQ(t.r.error, 9);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	CHECK_EQ(paged(HIGH + 0x3000 + 20, 0), -1);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	CHECK_EQ(paged(0x80000000, 0), VEC_PF); /* third pointer absent */
	CHECK_EQ(t.r.error, 0);
	write_cr4(read_cr4() & ~CR4_PAE);
}

/* Reserved bits of a page-directory pointer are refused when it is loaded. */
static void pae_pointer_check(void)
{
	static uint64_t pointers[4] __attribute__((aligned(32)));
	uint64_t *low = (uint64_t *)table();

	low[0] = 0x83;
	pointers[0] = (uint32_t)low | 1;
	pointers[2] = (uint32_t)low | 1 | 2;
	cr3_for_access = (uint32_t)pointers;
	write_cr4(read_cr4() | CR4_PAE);
	CHECK_EQ(trap_of(load_cr3, &t), VEC_GP);
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(read_cr4() & ~CR4_PAE);
}

/* ---- Real mode and V86 mode */

extern const uint8_t low_start[], low_end[];

static uint32_t low_offset(const void *label)
{
	return (uint32_t)((const uint8_t *)label - low_start);
}

static void low_prepare(void)
{
	uint16_t *ivt = NULL;

	asm volatile("" : "+r"(ivt)); /* so that the compiler does not know that it is address 0 */
	memcpy((void *)LOW_CODE, low_start, (size_t)(low_end - low_start));
	memset((void *)LOW_DATA, 0, 256);
	ivt[0] = (uint16_t)low_offset(LABEL(rm_de_handler));
	ivt[1] = LOW_CODE >> 4;
	ivt[0x40 * 2] = (uint16_t)low_offset(LABEL(rm_int_handler));
	ivt[0x40 * 2 + 1] = LOW_CODE >> 4;
}

static void real_call(const void *label)
{
	uint32_t eax = low_offset(label);

	asm volatile("call real_call" : "+a"(eax) : : "memory", "cc");
}

static void real_mode(void)
{
	const volatile uint16_t *out = (const volatile uint16_t *)LOW_DATA;

	low_prepare();
	real_call(LABEL(rm_basics));
	CHECK_EQ(out[0], LOW_CODE >> 4);
	CHECK_EQ(out[1], 0x6fee);
	CHECK_EQ(out[2] | out[3] << 16, 0x12345678);
	CHECK_EQ(out[4] & 0x0202, 0x0002);
	CHECK_EQ(out[5], 0x1112);
	CHECK_EQ(out[6], 0x1212);
	CHECK_EQ(out[7] & 1, 0);
	CHECK_EQ(out[8], 0xdede);
	real_call(LABEL(rm_segments));
	CHECK_EQ(*(const volatile uint32_t *)LOW_DATA, 0xcafebabe);
	CHECK_EQ(out[2], 0xa55a);
	CHECK_EQ(out[3], 1);
	CHECK_EQ(*(const volatile uint32_t *)(LOW_DATA + 8), *(const volatile uint32_t *)0x100000);
	real_call(LABEL(rm_unreal));
	CHECK_EQ(*(const volatile uint32_t *)LOW_DATA, *(const volatile uint32_t *)0x100200);
}

static void v86_regs(const void *label)
{
	memset(&r, 0, sizeof(r));
	r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
	r.cs = LOW_CODE >> 4;
	r.eip = low_offset(label);
	r.eflags = FL_FIXED | FL_VM | FL_IOPL3;
	r.ss = 0;
	r.esp = 0x6ff0;
	r.v86_ds = LOW_DATA >> 4;
	r.v86_es = 0x123;
	r.v86_fs = 0x456;
	r.v86_gs = 0x789;
}

static void v86_mode(void)
{
	low_prepare();
	*(volatile uint16_t *)LOW_DATA = 0xbeef;
	idt_set(0x40, gdt_gate((uint32_t)LABEL(trap_entries) + 16 * 0x40, SEL32_KCODE, 0xee, 0));
	v86_regs(LABEL(vm_plain));
	RUN_TO(VEC_BP);
	CHECK(t.r.eflags & FL_VM);
	CHECK_EQ(t.r.cs, LOW_CODE >> 4);
	CHECK_EQ(t.r.eax & 0xffff, LOW_CODE >> 4);
	CHECK_EQ(t.r.ebx & 0xffff, 0xbeef);
	CHECK_EQ(t.r.ecx & 0xffff, 0x4321);
	CHECK_EQ(t.r.esp, 0x6ff0);
	CHECK_EQ(t.r.v86_ds, LOW_DATA >> 4);
	CHECK_EQ(t.r.v86_es, 0x123);
	CHECK_EQ(t.r.v86_fs, 0x456);
	CHECK_EQ(t.r.v86_gs, 0x789);
	CHECK_EQ(t.r.ds & 0xffff, 0); /* as the handler found it */
	v86_regs(LABEL(vm_segments));
	RUN_TO(VEC_BP);
	CHECK_EQ(t.r.v86_ds, 0x1111);
	CHECK_EQ(t.r.v86_gs, 0x2222);
	v86_regs(LABEL(vm_int));
	RUN_TO(0x40);
	CHECK_EQ(t.r.eip, low_offset(LABEL(vm_int)) + 2);
	/* Without IOPL 3: INT n, CLI, PUSHF are the monitor's. */
	v86_regs(LABEL(vm_int));
	r.eflags &= ~FL_IOPL3;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	v86_regs(LABEL(vm_stack));
	r.eflags &= ~FL_IOPL3;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.eip, r.eip);
	v86_regs(LABEL(vm_stack));
	RUN_TO(VEC_BP);
	CHECK_EQ(t.r.ebx & 0xffff, 0x5678);
	CHECK_EQ(t.r.ecx & 0xffff, 0x1234);
	CHECK_EQ(t.r.eip, low_offset(LABEL(vm_stack_next)) + 1);
	v86_regs(LABEL(vm_hlt));
	RUN_TO(VEC_GP);
	v86_regs(LABEL(vm_out)); /* the bitmap decides, whatever IOPL is */
	RUN_TO(VEC_GP);
	v86_regs(LABEL(vm_wrap));
	RUN_TO(VEC_GP);
	/* What needs protected mode does not exist. */
	for (const uint8_t *p = LABEL(vm_undefined); p < (const uint8_t *)LABEL(vm_undefined_end); p += 3) {
		v86_regs(p);
		RUN_TO(VEC_UD);
		CHECK_EQ(t.r.eip, r.eip);
	}
	idt_reset(0x40);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(exceptions),
	RT_TEST(ring3),
	RT_TEST(segment_limits),
	RT_TEST(descriptor_queries),
	RT_TEST(branch_limits),
	RT_TEST(call_gate),
	RT_TEST(conforming),
	RT_TEST(sysenter),
	RT_TEST(paging_32bit),
	RT_TEST(paging_pae),
	RT_TEST(pae_pointer_check),
	RT_TEST(real_mode),
	RT_TEST(v86_mode),
	{0},
};
