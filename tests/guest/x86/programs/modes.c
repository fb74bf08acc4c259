/* SPDX-License-Identifier: MIT */
/*
 * Between modes and privilege levels, in long mode: SYSCALL, SYSENTER, far transfers, call gates, IRET, compatibility
 * and 16-bit segments, FS and GS bases, I/O permission (Intel SDM vol. 3, chapter 5; vol. 2 for each instruction).
 */
#include "rt64.h"

#define ADDR(label)                           \
	({                                    \
		extern const uint8_t label[]; \
		(uint64_t)(label);            \
	})

static struct regs r;
static struct trap t;

static void start(uint64_t code, bool user, bool compat)
{
	user_regs(&r, (const void *)code, compat);
	if (!user) {
		r.rip -= USER_BASE;
		r.rsp -= USER_BASE;
		r.cs = compat ? SEL_KCODE32 : SEL_KCODE;
		r.ss = SEL_KDATA;
	}
}

#define RUN_TO(vec)                        \
	do {                               \
		run_regs(&r, &t);          \
		CHECK_EQ(t.r.vector, vec); \
	} while (0)
#define RUN() RUN_TO(0x80)

static void syscall_setup(uint64_t entry)
{
	wrmsr(MSR_STAR, (uint64_t)0x23 << 48 | (uint64_t)SEL_KCODE << 32);
	wrmsr(MSR_LSTAR, entry);
	wrmsr(MSR_CSTAR, entry);
	wrmsr(MSR_SFMASK, FL_IF | FL_DF | FL_TF);
}

static void syscall_sysret(void)
{
	syscall_setup(ADDR(k_syscall_sysretq));
	for (unsigned i = 0; i < 100; i++) {
		start(ADDR(u_syscall), true, false);
		r.rflags = FL_FIXED | FL_DF | FL_CF | FL_AC;
		r.rax = 39;
		RUN();
		CHECK_EQ(t.r.rcx, USER_ADDR(ADDR(u_syscall_next)));
		CHECK_EQ(t.r.rbx, USER_ADDR(ADDR(u_syscall_next)));
		CHECK_EQ(t.r.rbp, FL_FIXED | FL_DF | FL_CF | FL_AC);
		CHECK_EQ(t.r.r11, t.r.rbp);
		CHECK_EQ(t.r.r12, SEL_KCODE);
		CHECK_EQ(t.r.r13, SEL_KDATA);
		CHECK_EQ(t.r.r14, FL_FIXED | FL_CF | FL_AC);
		CHECK_EQ(t.r.rflags, FL_FIXED | FL_DF | FL_CF | FL_AC);
		CHECK_EQ(t.r.cs, SEL_UCODE);
		CHECK_EQ(t.r.ss, SEL_UDATA);
		CHECK_EQ(t.r.rsp, r.rsp);
		CHECK_EQ(t.r.rax, 39);
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	start(ADDR(u_syscall), true, false);
	RUN_TO(VEC_UD);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

/* What the second and later turns through the same code do, while registers that it depends on change in between. */
static void syscall_again(void)
{
	const uint64_t masks[] = { FL_IF | FL_DF | FL_TF, FL_IF | FL_DF | FL_TF | FL_AC | FL_CF | FL_ZF, 0 };

	for (unsigned i = 0; i < 60; i++) {
		uint64_t mask = masks[i / 4 % 3], flags = FL_FIXED | FL_DF | FL_CF | FL_ZF | (i % 8 == 7 ? FL_AC : 0);
		bool tsd = i / 10 % 2;

		syscall_setup(ADDR(k_syscall_sysretq));
		wrmsr(MSR_SFMASK, mask);
		if (i % 16 == 5)
			wrmsr(MSR_STAR, (uint64_t)0x20 << 48 | (uint64_t)SEL_KCODE << 32);
		write_cr4(tsd ? read_cr4() | CR4_TSD : read_cr4() & ~CR4_TSD);
		start(ADDR(u_syscall_rdtsc), true, false);
		r.rflags = flags;
		RUN_TO(tsd ? VEC_GP : 0x80);
		CHECK_EQ(t.r.rcx, USER_ADDR(ADDR(u_syscall_rdtsc_next)));
		CHECK_EQ(t.r.r11, flags);
		CHECK_EQ(t.r.r12, SEL_KCODE);
		CHECK_EQ(t.r.r13, SEL_KDATA);
		CHECK_EQ(t.r.r14, flags & ~mask);
		CHECK_EQ(t.r.rflags & ~0x10000ul, flags);
		CHECK_EQ(t.r.cs, SEL_UCODE);
		CHECK_EQ(t.r.ss, SEL_UDATA);
	}
	write_cr4(read_cr4() & ~CR4_TSD);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	start(ADDR(u_syscall_rdtsc), true, false);
	RUN_TO(VEC_UD);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

/* An interrupt that came while they were off is taken where SYSRET switches them on. */
static void sysret_lets_interrupts_in(void)
{
	for (unsigned i = 0; i < 20; i++) {
		syscall_setup(ADDR(k_sysretq_interrupts));
		start(ADDR(u_syscall), true, false);
		apic_send(0, ICR_SELF | 0x72);
		RUN_TO(0x72);
		apic_eoi();
		CHECK_EQ(t.r.rip, USER_ADDR(ADDR(u_syscall_next)));
		CHECK_EQ(t.r.cs, SEL_UCODE);
		CHECK_EQ(t.r.rflags, FL_FIXED | FL_IF);
	}
}

static void sysret_to_compat(void)
{
	syscall_setup(ADDR(k_syscall_sysretl));
	start(ADDR(u_syscall), true, false);
	r.rdi = USER_ADDR(ADDR(c_where));
	RUN();
	CHECK_EQ(t.r.cs, SEL_UCODE32);
	CHECK_EQ(t.r.rax, SEL_UCODE32 + 1);
	CHECK_EQ(t.r.rcx, SEL_UDATA);
	CHECK_EQ((uint32_t)t.r.rdx, (uint32_t)r.rsp);
}

static bool is_intel(void)
{
	return cpuid(0, 0).ebx == 0x756e6547;
}

static void syscall_from_compat(void)
{
	syscall_setup(ADDR(k_trap));
	start(ADDR(c_syscall), true, true);
	run_regs(&r, &t);
	if (is_intel())
		CHECK_EQ(t.r.vector, VEC_UD);
	else
		CHECK_EQ(t.r.vector, 0x81);
}

static void sysenter_case(uint64_t from, bool compat, uint64_t kernel, uint64_t back, uint64_t cs)
{
	wrmsr(MSR_SYSENTER_CS, SEL_KCODE);
	wrmsr(MSR_SYSENTER_EIP, kernel);
	wrmsr(MSR_SYSENTER_ESP, (uint64_t)(this_cpu()->ist[2] + 4096));
	start(from, true, compat);
	r.rdi = USER_ADDR(back);
	r.rsi = r.rsp - 128;
	r.rflags |= FL_IF;
	RUN();
	CHECK_EQ(t.r.r12, SEL_KCODE);
	CHECK_EQ(t.r.r13, SEL_KDATA);
	CHECK_EQ(t.r.r14, (uint64_t)(this_cpu()->ist[2] + 4096));
	CHECK_EQ(t.r.cs, cs);
	CHECK_EQ(t.r.ss, cs == SEL_UCODE ? cs + 8 : SEL_UDATA);
	CHECK_EQ((uint32_t)t.r.rdx, (uint32_t)r.rsi);
	CHECK(!(t.r.rflags & FL_IF));
}

static void sysenter_sysexit(void)
{
	if (!is_intel())
		return test_skip("not in long mode of this vendor");
	sysenter_case(ADDR(u_sysenter), false, ADDR(k_sysenter_sysexitq), ADDR(u_where), SEL_UCODE);
	sysenter_case(ADDR(c_sysenter), true, ADDR(k_sysenter_sysexitl), ADDR(c_where), SEL_UCODE32);
	sysenter_case(ADDR(c_sysenter), true, ADDR(k_sysenter_sysexitq), ADDR(u_where), SEL_UCODE);
	sysenter_case(ADDR(u_sysenter), false, ADDR(k_sysenter_sysexitl), ADDR(c_where), SEL_UCODE32);
	wrmsr(MSR_SYSENTER_CS, 0);
	start(ADDR(u_sysenter), true, false);
	RUN_TO(VEC_GP);
}

static void far_jumps(void)
{
	static const struct {
		bool user, to_compat;
		uint16_t sel;
	} cases[] = {
		{true, false, SEL_UCODE},
		{true, true, SEL_UCODE32},
		{false, false, SEL_KCODE},
		{false, true, SEL_KCODE32},
	};
	uint64_t hops[] = {ADDR(x_ljmpq), ADDR(x_ljmpl), ADDR(x_lretq), ADDR(x_lretq_imm)};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		for (unsigned h = 0; h < ARRAY_LEN(hops); h++) {
			uint64_t base = cases[i].user ? USER_BASE : 0;

			start(hops[h], cases[i].user, false);
			r.rdi = (cases[i].to_compat ? ADDR(c_where) : ADDR(u_where)) + base;
			r.rsi = cases[i].sel;
			RUN();
			CHECK_EQ(t.r.cs, cases[i].sel);
			CHECK_EQ(t.r.rax, cases[i].sel + (cases[i].to_compat ? 1 : 0));
			CHECK_EQ(t.r.rsp, r.rsp);
		}
	}
	start(ADDR(c_far_jump), true, true);
	RUN();
	CHECK_EQ(t.r.rax, SEL_UCODE);
	/* Wrong targets. */
	start(ADDR(x_ljmpq), true, false);
	r.rdi = ADDR(u_where);
	r.rsi = SEL_KCODE;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_KCODE);
	r.rsi = SEL_UDATA;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_UDATA & ~3);
	r.rsi = 0;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	start(ADDR(x_ljmpq), true, false);
	r.rdi = 0x800000000000;
	r.rsi = SEL_UCODE;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
}

static void far_calls(void)
{
	start(ADDR(x_lcallq), false, false);
	r.rdi = ADDR(k_gate_target);
	r.rsi = SEL_KCODE;
	RUN();
	CHECK_EQ(t.r.r8, ADDR(x_lcallq_next));
	CHECK_EQ(t.r.r9, SEL_KCODE);
	CHECK_EQ(t.r.r12, r.rsp - 16);
	CHECK_EQ(t.r.rsp, r.rsp);
	/* A 32-bit frame, to compatibility code and back. */
	start(ADDR(x_lcalll), false, false);
	r.rdi = ADDR(c_far_target);
	r.rsi = SEL_KCODE32;
	RUN();
	CHECK_EQ(t.r.rbx, SEL_KCODE32);
	CHECK_EQ(t.r.rax, ADDR(x_lcalll_next));
	CHECK_EQ(t.r.rcx, SEL_KCODE);
	CHECK_EQ(t.r.cs, SEL_KCODE);
	CHECK_EQ(t.r.rsp, r.rsp);
}

#define SEL_GATE 0x50

static void set_call_gate(uint64_t target, uint16_t sel, unsigned access)
{
	gdt_set(SEL_GATE,
		(target & 0xffff) | (uint64_t)sel << 16 | (uint64_t)access << 40 | (target >> 16 & 0xffff) << 48,
		target >> 32);
	if (!(target >> 32))
		gdt_set(SEL_GATE + 8, 0, 0);
}

static void call_gates(void)
{
	/* From user to kernel: the stack is that of the TSS. */
	set_call_gate(ADDR(k_gate_target), SEL_KCODE, 0xec);
	start(ADDR(x_lcallq), true, false);
	r.rdi = 0x123456789abc; /* ignored */
	r.rsi = SEL_GATE | 3;
	RUN();
	CHECK_EQ(t.r.rbx, SEL_KCODE);
	CHECK_EQ(t.r.rbp, 0);
	CHECK_EQ(t.r.r12, this_cpu()->tss.rsp[0] - 32);
	CHECK_EQ(t.r.r8, USER_ADDR(ADDR(x_lcallq_next)));
	CHECK_EQ(t.r.r9, SEL_UCODE);
	CHECK_EQ(t.r.r10, r.rsp);
	CHECK_EQ(t.r.r11, SEL_UDATA);
	CHECK_EQ(t.r.cs, SEL_UCODE);
	CHECK_EQ(t.r.ss, SEL_UDATA);
	CHECK_EQ(t.r.rsp, r.rsp);
	CHECK_EQ(t.r.r15, SEL_UCODE);
	start(ADDR(c_lcall_gate), true, true);
	RUN();
	CHECK_EQ(t.r.r9, SEL_UCODE32);
	CHECK_EQ(t.r.rax, SEL_UCODE32);
	/* From kernel to kernel: no switch. */
	start(ADDR(x_lcallq), false, false);
	r.rsi = SEL_GATE;
	RUN();
	CHECK_EQ(t.r.r12, r.rsp - 16);
	CHECK_EQ(t.r.r9, SEL_KCODE);
	/* Refusals. */
	start(ADDR(x_lcallq), true, false);
	r.rsi = SEL_GATE | 3;
	set_call_gate(ADDR(k_gate_target), SEL_KCODE, 0x8c);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_GATE);
	set_call_gate(ADDR(k_gate_target), SEL_KCODE, 0x6c);
	RUN_TO(VEC_NP);
	CHECK_EQ(t.r.error, SEL_GATE);
	set_call_gate(ADDR(k_gate_target), SEL_KDATA, 0xec);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_KDATA);
	set_call_gate(ADDR(k_gate_target), SEL_KCODE32, 0xec);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_KCODE32);
	set_call_gate(0x900000000000, SEL_KCODE, 0xec);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
}

static void iret_case(uint64_t code, uint64_t to, uint64_t cs, uint64_t ss, uint64_t flags, bool to_user)
{
	start(code, false, false);
	r.r8 = to + (to_user ? USER_BASE : 0);
	r.r9 = cs;
	r.r10 = flags;
	r.r11 = r.rsp - 256 + (to_user ? USER_BASE : 0);
	r.r12 = ss;
	RUN();
	CHECK_EQ(t.r.cs, cs);
	CHECK_EQ(t.r.ss, ss);
	CHECK_EQ((uint32_t)t.r.rsp, (uint32_t)r.r11);
	if (to == ADDR(x_flags))
		CHECK_EQ(t.r.rflags & ~FL_RF, flags);
}

static void iret(void)
{
	uint64_t irets[] = {ADDR(x_iretq), ADDR(x_iretl)};

	for (unsigned i = 0; i < ARRAY_LEN(irets); i++) {
		iret_case(irets[i], ADDR(x_flags), SEL_KCODE, SEL_KDATA, FL_FIXED | FL_CF | FL_DF, false);
		iret_case(irets[i], ADDR(x_flags), SEL_KCODE, 0, FL_FIXED, false);
		iret_case(irets[i], ADDR(x_flags), SEL_UCODE, SEL_UDATA, FL_FIXED | FL_OF | FL_AC | FL_IOPL3, true);
		iret_case(irets[i], ADDR(c_where), SEL_UCODE32, SEL_UDATA, FL_FIXED, true);
		iret_case(irets[i], ADDR(c_where), SEL_KCODE32, SEL_KDATA, FL_FIXED, false);
	}
	/* Faults belong to the IRET. */
	start(ADDR(x_iretq), false, false);
	r.r8 = ADDR(x_flags);
	r.r9 = SEL_KDATA;
	r.r12 = SEL_KDATA;
	r.r11 = r.rsp;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_KDATA);
	CHECK_EQ(t.r.cs, SEL_KCODE);
	r.r9 = SEL_UCODE;
	r.r12 = SEL_KDATA; /* not of the new privilege level */
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_KDATA);
	r.r8 = 0x800000000000;
	r.r12 = SEL_UDATA;
	r.r10 = FL_FIXED;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
}

/* ---- FS and GS */

static void gs_and_fs(void)
{
	static uint64_t area[2][8] = {{0, 11, 12}, {0, 21, 22}};
	uint64_t a = USER_ADDR(area[0]), b = USER_ADDR(area[1]);

	wrmsr(MSR_GS_BASE, a);
	wrmsr(MSR_KERNEL_GS_BASE, b);
	wrmsr(MSR_FS_BASE, b);
	start(ADDR(u_gs_load), true, false);
	RUN();
	CHECK_EQ(t.r.rax, 11);
	CHECK_EQ(t.r.rbx, 22);
	asm volatile("swapgs");
	CHECK_EQ(rdmsr(MSR_GS_BASE), b);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), a);
	RUN();
	CHECK_EQ(t.r.rax, 21);
	asm volatile("swapgs");
	CHECK_EQ(rdmsr(MSR_GS_BASE), a);
	RUN();
	CHECK_EQ(t.r.rax, 11);
	/* A selector loads the descriptor's base; null clears nothing that a test may rely on. */
	gdt_set(0x58, gdt_segment(0x80000000u | (uint32_t)(uint64_t)area[1], 0xfffff, 0xf2, 0xc), 0);
	start(ADDR(x_load_fs), false, false);
	r.rdi = r.rsi = 0x5b;
	r.rdx = 8 - 0x80000000ul;
	RUN();
	CHECK_EQ(t.r.rax, 21);
	CHECK_EQ(rdmsr(MSR_FS_BASE), 0x80000000u | (uint32_t)(uint64_t)area[1]);
	asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
}

static void fsgsbase(void)
{
	if (!(cpuid(7, 0).ebx & 1))
		return test_skip("no FSGSBASE");
	start(ADDR(x_rdwr_bases), true, false);
	RUN_TO(VEC_UD);
	write_cr4(read_cr4() | CR4_FSGSBASE);
	for (unsigned user = 0; user < 2; user++) {
		wrmsr(MSR_FS_BASE, 0xffff812345678000);
		wrmsr(MSR_GS_BASE, 0x123456789000);
		start(ADDR(x_rdwr_bases), user, false);
		r.rdi = 0x7ffffffff123;
		r.rsi = 0xffffffff80000000;
		RUN();
		CHECK_EQ(t.r.rax, 0xffff812345678000);
		CHECK_EQ(t.r.rbx, 0x123456789000);
		CHECK_EQ(t.r.rcx, 0x7ffffffff123);
		CHECK_EQ(t.r.rdx, 0xffffffff80000000);
		CHECK_EQ(t.r.rbp, 0xfffff123);
		CHECK_EQ(rdmsr(MSR_FS_BASE), 0x7ffffffff123);
		CHECK_EQ(rdmsr(MSR_GS_BASE), 0xffffffff80000000);
	}
	start(ADDR(x_wrfsbase_bad), true, false);
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	start(ADDR(x_rdwr_bases), false, false);
	RUN_TO(VEC_UD);
}

/* ---- Segments in compatibility mode: bases and limits count */

#define SEL_SEG 0x60

static uint32_t seg_data[1024] __attribute__((aligned(4096)));

static void es_case(uint64_t code, uint64_t descriptor, uint32_t offset, unsigned vector, uint32_t value)
{
	gdt_set(SEL_SEG, descriptor, 0);
	start(code, true, true);
	r.rax = SEL_SEG | 3;
	r.rbx = offset;
	r.rdx = value;
	run_regs(&r, &t);
	if (t.r.vector != vector || (vector != 0x80 && t.r.error != 0))
		test_fail("descriptor %lx offset %x: vector %lu error %lx, should be %u", descriptor, offset,
			  t.r.vector, t.r.error, vector);
	else if (vector == 0x80 && code == ADDR(c_es_load) && (uint32_t)t.r.rcx != value)
		test_fail("descriptor %lx offset %x: %x, should be %x", descriptor, offset, (uint32_t)t.r.rcx, value);
}

static void segment_limits(void)
{
	uint32_t base = (uint32_t)USER_ADDR(seg_data);
	uint64_t data = gdt_segment(base, 0x7f, 0xf2, 4), read_only = gdt_segment(base, 0x7f, 0xf0, 4);
	uint64_t down = gdt_segment(base, 0x7f, 0xf6, 4), code = gdt_segment(base, 0x7f, 0xf8, 4);
	uint64_t readable = gdt_segment(base, 0x7f, 0xfa, 4), pages = gdt_segment(base, 0, 0xf2, 0xc);

	for (unsigned i = 0; i < ARRAY_LEN(seg_data); i++)
		seg_data[i] = 0x100 + i;
	es_case(ADDR(c_es_load), data, 0, 0x80, 0x100);
	es_case(ADDR(c_es_load), data, 0x7c, 0x80, 0x11f);
	es_case(ADDR(c_es_load), data, 0x7d, VEC_GP, 0);
	es_case(ADDR(c_es_load), data, 0x80, VEC_GP, 0);
	es_case(ADDR(c_es_load), data, 0xfffffffe, VEC_GP, 0);
	es_case(ADDR(c_es_store), data, 0x7c, 0x80, 77);
	CHECK_EQ(seg_data[31], 77);
	es_case(ADDR(c_es_store), data, 0x7d, VEC_GP, 0);
	es_case(ADDR(c_es_store), read_only, 0, VEC_GP, 0);
	es_case(ADDR(c_es_load), read_only, 4, 0x80, 0x101);
	es_case(ADDR(c_es_load), down, 0x7c, VEC_GP, 0);
	es_case(ADDR(c_es_load), down, 0x7f, VEC_GP, 0);
	es_case(ADDR(c_es_load), down, 0x80, 0x80, 0x120);
	es_case(ADDR(c_es_load), readable, 8, 0x80, 0x102);
	es_case(ADDR(c_es_store), readable, 8, VEC_GP, 0);
	es_case(ADDR(c_es_load), pages, 0xffc, 0x80, 0x100 + 1023);
	es_case(ADDR(c_es_load), pages, 0xffd, VEC_GP, 0);
	gdt_set(SEL_SEG, code, 0);
	start(ADDR(c_es_load), true, true);
	r.rax = SEL_SEG | 3;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, SEL_SEG);
	/* The stack segment's limit gives #SS. */
	gdt_set(SEL_SEG, data, 0);
	start(ADDR(c_ss_load), true, true);
	r.rax = SEL_SEG | 3;
	r.rbx = 0x7d;
	RUN_TO(VEC_SS);
	CHECK_EQ(t.r.error, 0);
	r.rbx = 0x7c;
	RUN();
	CHECK_EQ(t.r.rcx, 77);
	CHECK_EQ(gdt_get(SEL_SEG) >> 40 & 1, 1); /* accessed */
}

static void code_segment_limit(void)
{
	uint32_t base = (uint32_t)USER_ADDR(ADDR(c_where));

	/* Ends within C_WHERE: MOV, MOV fit, the third instruction is cut off. */
	gdt_set(SEL_SEG, gdt_segment(base, 4, 0xfa, 4), 0);
	start(0, true, true);
	r.rip = 0;
	r.cs = SEL_SEG | 3;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.rip, 4);
	CHECK_EQ(t.r.error, 0);
	gdt_set(SEL_SEG, gdt_segment(base, 0xff, 0xfa, 4), 0);
	RUN();
	CHECK_EQ(t.r.rax, (SEL_SEG | 3) + 1);
	CHECK(t.r.rip < 16);
}

static void sixteen_bit(void)
{
	uint32_t code = (uint32_t)USER_ADDR(ADDR(s_16bit));

	gdt_set(SEL_SEG, gdt_segment(code, 0xffff, 0xfa, 0), 0);
	gdt_set(SEL_SEG + 8, gdt_segment((uint32_t)USER_ADDR(seg_data), 0xffff, 0xf2, 0), 0);
	seg_data[0] = 0xaaaabbbb;
	seg_data[1024 - 1] = 5;
	start(0, true, true);
	asm volatile("mov %0, %%ds" : : "r"(SEL_SEG + 8 + 3));
	r.cs = SEL_SEG | 3;
	r.ss = SEL_SEG + 8 + 3;
	r.rip = 0;
	r.rsp = 0x0800;
	run_regs(&r, &t);
	asm volatile("mov %0, %%ds" : : "r"(SEL_KDATA));
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.rcx & 0xffff, 0x800);
	CHECK_EQ(t.r.rax & 0xffff, 0x1234);
	CHECK_EQ((uint32_t)t.r.rbx, 0x12345677);
	CHECK_EQ(t.r.rsi & 0xffff, 0);
	CHECK_EQ(t.r.rdx & 0xffff, 0xaaaa);
	CHECK_EQ(t.r.rsp & 0xffff, 0x800);
}

static void compat_instructions(void)
{
	start(ADDR(c_bcd), true, true);
	RUN();
	CHECK_EQ(t.r.rbx, 0x0f17);
	CHECK_EQ(t.r.rcx, 0x0203);
	CHECK_EQ(t.r.rax & 0xffff, 0x0302);
	start(ADDR(c_pusha), true, true);
	RUN();
	CHECK_EQ(t.r.rax & 0xff, 1);
	start(ADDR(c_arpl), true, true);
	r.rax = 0x28;
	r.rbx = 3;
	RUN();
	CHECK_EQ(t.r.rax, 0x2b);
	CHECK(t.r.rflags & FL_ZF);
	start(ADDR(c_lds), true, true);
	RUN();
	CHECK_EQ(t.r.rbx, 0x1234);
	CHECK_EQ(t.r.rcx, SEL_UDATA);
}

static void local_table(void)
{
	static uint64_t ldt[4];
	uint64_t base = (uint64_t)ldt;

	ldt[1] = gdt_segment((uint32_t)USER_ADDR(seg_data), 0x7f, 0xf2, 4);
	seg_data[2] = 0x4444;
	gdt_set(SEL_SEG, gdt_segment((uint32_t)base, 31, 0x82, 0), 0);
	gdt_set(SEL_SEG + 8, base >> 32, 0);
	asm volatile("lldt %0" : : "r"((uint16_t)SEL_SEG));
	start(ADDR(c_es_load), true, true);
	r.rax = 0xf;
	r.rbx = 8;
	RUN();
	CHECK_EQ(t.r.rcx, 0x4444);
	r.rax = 0x17; /* not present */
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0x14);
	r.rax = 0x27; /* beyond the limit */
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0x24);
	asm volatile("lldt %0" : : "r"((uint16_t)0));
}

static void query_case(uint16_t sel, bool user, unsigned ok, uint32_t rights, uint32_t limit)
{
	start(ADDR(x_query), user, false);
	r.rdi = sel;
	RUN();
	if ((t.r.rbx & 1) != (ok & 1) || (t.r.rbx >> 8 & 1) != (ok >> 1 & 1) || (t.r.rdx & 1) != (ok >> 2 & 1) ||
	    (t.r.rdx >> 8 & 1) != (ok >> 3 & 1))
		test_fail("selector %x: LAR %lu LSL %lu VERR %lu VERW %lu, should be %x", sel, t.r.rbx & 1,
			  t.r.rbx >> 8 & 1, t.r.rdx & 1, t.r.rdx >> 8 & 1, ok);
	/* Not the accessed bit, which may come, nor the undefined ones. */
	if ((ok & 1) && ((uint32_t)t.r.rax & ~0xf0100u) != (rights & ~0xf0100u))
		test_fail("selector %x: rights %x, should be %x", sel, (uint32_t)t.r.rax, rights);
	if ((ok & 2) && (uint32_t)t.r.rcx != limit)
		test_fail("selector %x: limit %x, should be %x", sel, (uint32_t)t.r.rcx, limit);
}

static void descriptor_queries(void)
{
	query_case(SEL_UDATA, true, 15, 0xcff300, 0xffffffff);
	query_case(SEL_UCODE, true, 7, 0xaffb00, 0xffffffff);
	query_case(SEL_KDATA, true, 0, 0, 0);
	query_case(SEL_KDATA, false, 15, 0xcf9300, 0xffffffff);
	query_case(SEL_TSS, false, 3, 0x8b00, sizeof(struct tss) - 1);
	query_case(0, false, 0, 0, 0);
	query_case(0xfff8, false, 0, 0, 0);
	gdt_set(SEL_SEG, gdt_segment(0, 0x1234, 0x92, 0), 0);
	query_case(SEL_SEG, false, 15, 0x9200, 0x1234);
	set_call_gate(0x1000, SEL_KCODE, 0xec);
	query_case(SEL_GATE, false, 1, 0xec00, 0); /* LAR knows call gates */
}

static void address_size(void)
{
	seg_data[0] = 0x5151;
	start(ADDR(x_addr32), false, false);
	r.rdi = (uint64_t)seg_data | 0xdead00000000;
	RUN();
	CHECK_EQ(t.r.rax, 0x5151);
	CHECK_EQ(t.r.rcx, (uint32_t)((uint64_t)seg_data * 2));
	CHECK_EQ(t.r.rdx, (uint32_t)((uint64_t)seg_data * 2));
}

/* The TSS with an I/O bitmap behind it. */
static void io_permission(void)
{
	static struct {
		struct tss tss;
		uint8_t bitmap[64];
	} __attribute__((packed)) big;
	uint16_t sel = SEL_TSS + 16 * MAX_CPUS - 16; /* the last CPU's, which nobody uses here */

	big.tss = this_cpu()->tss;
	big.tss.iomap = sizeof(struct tss);
	memset(big.bitmap, 0xff, sizeof(big.bitmap));
	big.bitmap[0x80 / 8] &= ~1; /* port 0x80 */
	gdt_set(sel, gdt_segment((uint32_t)(uint64_t)&big, sizeof(big) - 1, 0x89, 0), 0);
	gdt_set(sel + 8, 0, 0);
	cpus[MAX_CPUS - 1] = cpus[0];
	asm volatile("ltr %0" : : "r"(sel));
	start(ADDR(u_in8), true, false);
	r.rdx = 0x80;
	RUN();
	r.rdx = 0x81;
	RUN_TO(VEC_GP);
	CHECK_EQ(t.r.error, 0);
	start(ADDR(u_in16), true, false);
	r.rdx = 0x80;
	RUN_TO(VEC_GP);
	big.bitmap[0x80 / 8] &= ~2;
	RUN();
	r.rdx = 0x3f0; /* beyond the bitmap */
	RUN_TO(VEC_GP);
	r.rflags |= FL_IOPL3;
	r.rdx = 0x71;
	RUN();
	gdt_set(SEL_TSS, (gdt_get(SEL_TSS) & ~(2ull << 40)), 0); /* not busy */
	asm volatile("ltr %0" : : "r"((uint16_t)SEL_TSS));
}

static void flags_by_privilege(void)
{
	start(ADDR(u_cli_sti), true, false);
	RUN_TO(VEC_GP);
	r.rflags |= FL_IOPL3;
	RUN();
	CHECK(t.r.rax & FL_IF);
	CHECK(!(t.r.rflags & FL_IF));
	/* POPF: IF needs IOPL, IOPL needs CPL 0; reserved bits stay as they are; VM and RF are never set. */
	start(ADDR(x_popf), true, false);
	r.rdi = ~0ul & ~FL_TF & ~FL_AC;
	RUN();
	CHECK_EQ(t.r.rax, 0x204cd7 & ~FL_IF);
	r.rflags |= FL_IOPL3;
	r.rdi = FL_IF;
	RUN();
	CHECK_EQ(t.r.rax, FL_FIXED | FL_IF | FL_IOPL3);
	start(ADDR(x_popf), false, false);
	r.rdi = ~0ul & ~FL_TF & ~FL_IF & ~FL_AC;
	RUN();
	CHECK_EQ(t.r.rax, 0x207cd7);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(syscall_sysret),
	RT_TEST(syscall_again),
	RT_TEST(sysret_lets_interrupts_in),
	RT_TEST(sysret_to_compat),
	RT_TEST(syscall_from_compat),
	RT_TEST(sysenter_sysexit),
	RT_TEST(far_jumps),
	RT_TEST(far_calls),
	RT_TEST(call_gates),
	RT_TEST(iret),
	RT_TEST(gs_and_fs),
	RT_TEST(fsgsbase),
	RT_TEST(segment_limits),
	RT_TEST(code_segment_limit),
	RT_TEST(sixteen_bit),
	RT_TEST(compat_instructions),
	RT_TEST(local_table),
	RT_TEST(descriptor_queries),
	RT_TEST(address_size),
	RT_TEST(io_permission),
	RT_TEST(flags_by_privilege),
	{0},
};
