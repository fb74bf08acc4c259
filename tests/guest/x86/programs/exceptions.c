/* SPDX-License-Identifier: MIT */
/*
 * Exceptions: vector, error code, saved instruction pointer and flags of each, in kernel, user and compatibility mode;
 * double faults, stack switches, single steps (Intel SDM vol. 3, chapter 6).
 */
#include "rt64.h"

enum mode { KERNEL, USER, COMPAT };
enum where { AT, NEXT };

struct case_row {
	const char *name;
	const uint8_t *code, *at, *next;
	enum mode mode;
	int vector;
	enum where where;
	unsigned error;
};

#define ROW(name, mode, vector, where, error)                                                             \
	do {                                                                                              \
		extern const uint8_t name[], name##_at[], name##_next[];                                  \
		struct case_row row_ = {#name, name, name##_at, name##_next, mode, vector, where, error}; \
		check_row(&row_);                                                                         \
	} while (0)

static void run_code(const uint8_t *code, enum mode mode, struct trap *t)
{
	static uint8_t stack[8192] __attribute__((aligned(16)));
	struct regs r;

	user_regs(&r, code, mode == COMPAT);
	if (mode == KERNEL) {
		r.rip = (uint64_t)code;
		r.cs = SEL_KCODE;
		r.ss = SEL_KDATA;
		r.rsp = (uint64_t)(stack + sizeof(stack) - 64);
	}
	run_regs(&r, t);
}

static void check_row(const struct case_row *c)
{
	uint64_t offset = c->mode == KERNEL ? 0 : USER_BASE;
	uint64_t expected = (uint64_t)(c->where == AT ? c->at : c->next) + offset;
	uint64_t cs = c->mode == KERNEL ? SEL_KCODE : c->mode == USER ? SEL_UCODE : SEL_UCODE32;
	struct trap t;

	if (c->vector == 0x80) /* nothing happened: the INT behind it */
		expected += 2;
	run_code(c->code, c->mode, &t);
	asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(SEL_KDATA));
	if (t.r.vector != (unsigned)c->vector || t.r.error != c->error || t.r.rip != expected || t.r.cs != cs)
		test_fail("%s: vector %lu error %lx at %lx:%lx, should be %d, %x, %lx:%lx", c->name, t.r.vector,
			  t.r.error, t.r.cs, t.r.rip, c->vector, c->error, cs, expected);
}

static void divide_error(void)
{
	ROW(x_div0, KERNEL, VEC_DE, AT, 0);
	ROW(x_div0, USER, VEC_DE, AT, 0);
	ROW(x_div_overflow, USER, VEC_DE, AT, 0);
	ROW(x_idiv_overflow, KERNEL, VEC_DE, AT, 0);
	ROW(x_div8_overflow, USER, VEC_DE, AT, 0);
	ROW(x_idiv64_overflow, USER, VEC_DE, AT, 0);
	ROW(x_aam0, COMPAT, VEC_DE, AT, 0);
}

static void software_interrupts(void)
{
	ROW(x_icebp, KERNEL, VEC_DB, NEXT, 0);
	ROW(x_icebp, USER, VEC_DB, NEXT, 0);
	ROW(x_int3, KERNEL, VEC_BP, NEXT, 0);
	ROW(x_int3, USER, VEC_BP, NEXT, 0);
	ROW(x_int_3, USER, VEC_BP, NEXT, 0);
	ROW(x_int3_32, COMPAT, VEC_BP, NEXT, 0);
	ROW(x_int_20, KERNEL, 0x20, NEXT, 0);
	ROW(x_int_20, USER, VEC_GP, AT, 0x20 << 3 | 2);
	ROW(x_into, COMPAT, VEC_OF, NEXT, 0);
	ROW(x_into_no, COMPAT, VEC_UD, AT, 0);
	ROW(x_bound, COMPAT, VEC_BR, AT, 0);
	ROW(x_bound_low, COMPAT, VEC_BR, AT, 0);
}

static void invalid_opcode(void)
{
	ROW(x_ud2, KERNEL, VEC_UD, AT, 0);
	ROW(x_ud2, USER, VEC_UD, AT, 0);
	ROW(x_ud1, USER, VEC_UD, AT, 0);
	ROW(x_into64, USER, VEC_UD, AT, 0);
	ROW(x_lock_nop, USER, VEC_UD, AT, 0);
	ROW(x_lock_mov, USER, VEC_UD, AT, 0);
	ROW(x_lock_cmp, USER, VEC_UD, AT, 0);
	ROW(x_lea_reg, USER, VEC_UD, AT, 0);
	ROW(x_push_es64, USER, VEC_UD, AT, 0);
	ROW(x_bad_0f, USER, VEC_UD, AT, 0);
	ROW(x_mov_cs, USER, VEC_UD, AT, 0);
	ROW(x_cr1, KERNEL, VEC_UD, AT, 0);
	ROW(x_swapgs32, COMPAT, VEC_UD, AT, 0);
}

static void non_canonical(void)
{
	map_page((void *)0x7ffffffff000ul, page_alloc(), PTE_P | PTE_W | PTE_U);
	ROW(x_load_noncanonical, KERNEL, VEC_GP, AT, 0);
	ROW(x_load_noncanonical, USER, VEC_GP, AT, 0);
	ROW(x_store_noncanonical, USER, VEC_GP, AT, 0);
	ROW(x_load_crosses_canonical, KERNEL, VEC_GP, AT, 0);
	ROW(x_stack_noncanonical, USER, VEC_SS, AT, 0);
	ROW(x_push_noncanonical, USER, VEC_SS, AT, 0);
}

/* Hardware refuses the branch itself, and has not pushed. */
static void branch_to_non_canonical(void)
{
	extern const uint8_t x_call_noncanonical[];
	struct regs before;
	uint64_t *below;
	struct trap t;

	ROW(x_jmp_noncanonical, USER, VEC_GP, AT, 0);
	ROW(x_jmp_noncanonical, KERNEL, VEC_GP, AT, 0);
	ROW(x_call_noncanonical, USER, VEC_GP, AT, 0);
	ROW(x_call_noncanonical, KERNEL, VEC_GP, AT, 0);
	user_regs(&before, x_call_noncanonical, false);
	run_code(x_call_noncanonical, USER, &t);
	CHECK_EQ(t.r.rsp, before.rsp);
	below = (uint64_t *)(before.rsp - USER_BASE) - 1;
	*below = 0x1234;
	run_code(x_call_noncanonical, USER, &t);
	CHECK_EQ(*below, 0x1234);
}

/* RSP is as before the return, whether or not the call was of this program. */
static void return_to_non_canonical(void)
{
	extern const uint8_t x_ret_noncanonical[], x_ret_imm_noncanonical[], x_ret_from_call[];
	const uint8_t *const code[] = { x_ret_noncanonical, x_ret_imm_noncanonical, x_ret_from_call };
	struct regs before;
	struct trap t;

	for (unsigned n = 0; n < 2; n++) { /* the second time the code is known */
		ROW(x_ret_noncanonical, USER, VEC_GP, AT, 0);
		ROW(x_ret_noncanonical, KERNEL, VEC_GP, AT, 0);
		ROW(x_ret_imm_noncanonical, USER, VEC_GP, AT, 0);
		ROW(x_ret_from_call, USER, VEC_GP, AT, 0);
		ROW(x_ret_from_call, KERNEL, VEC_GP, AT, 0);
	}
	for (unsigned n = 0; n < ARRAY_LEN(code); n++) {
		user_regs(&before, code[n], false);
		run_code(code[n], USER, &t);
		CHECK_EQ(t.r.rsp, before.rsp - 8);
	}
}

#define LOW_END	  0x800000000000ul
#define HIGH_FROM 0xffff800000000000ul

/* In front of the end of the lower half, or behind the start of the upper one: these lead over it. CF is set, ZF not. */
static const struct edge_row {
	uint64_t at;
	uint8_t code[8];
	unsigned bytes;
	bool taken;
} edges[] = {
	{ LOW_END - 16, { 0xeb, 0x20 }, 2, true },                           /* jmp */
	{ LOW_END - 16, { 0xe9, 0x20, 0, 0, 0 }, 5, true },                  /* jmp */
	{ LOW_END - 16, { 0xe8, 0x20, 0, 0, 0 }, 5, true },                  /* call */
	{ LOW_END - 16, { 0x72, 0x20 }, 2, true },                           /* jc */
	{ LOW_END - 16, { 0x0f, 0x82, 0x20, 0, 0, 0 }, 6, true },            /* jc */
	{ LOW_END - 16, { 0xe2, 0x20 }, 2, true },                           /* loop */
	{ LOW_END - 16, { 0x67, 0xe2, 0x20 }, 3, true },                     /* loop, by ECX */
	{ LOW_END - 16, { 0xe1, 0x20 }, 2, false },                          /* loope */
	{ LOW_END - 16, { 0xe0, 0x20 }, 2, true },                           /* loopne */
	{ LOW_END - 16, { 0xe3, 0x20 }, 2, false },                          /* jrcxz */
	{ LOW_END - 16, { 0x73, 0x20 }, 2, false },                          /* jnc */
	{ LOW_END - 2, { 0xeb, 0x00 }, 2, true },                            /* jmp to the one behind it */
	{ HIGH_FROM + 16, { 0xeb, 0xd0 }, 2, true },                         /* jmp */
	{ HIGH_FROM + 16, { 0xe9, 0xd0, 0xff, 0xff, 0xff }, 5, true },       /* jmp */
	{ HIGH_FROM + 16, { 0xe8, 0xd0, 0xff, 0xff, 0xff }, 5, true },       /* call */
	{ HIGH_FROM + 16, { 0x72, 0xd0 }, 2, true },                         /* jc */
	{ HIGH_FROM + 16, { 0x0f, 0x82, 0xd0, 0xff, 0xff, 0xff }, 6, true }, /* jc */
	{ HIGH_FROM + 16, { 0xe2, 0xd0 }, 2, true },                         /* loop */
	{ HIGH_FROM + 16, { 0x73, 0xd0 }, 2, false },                        /* jnc */
};

static void check_edge(const struct edge_row *e)
{
	const uint64_t count = 0x500000003ul;
	static uint8_t stack[1024] __attribute__((aligned(16)));
	uint64_t *const top = (uint64_t *)(stack + sizeof(stack) - 64);
	struct regs r;
	struct trap t;

	memcpy((void *)e->at, e->code, e->bytes);
	if (e->at + e->bytes < LOW_END || e->at >= HIGH_FROM)
		memcpy((void *)(e->at + e->bytes), "\xcd\x80", 2); /* int 0x80 */
	memset(&r, 0, sizeof(r));
	r.rip = e->at;
	r.cs = SEL_KCODE;
	r.ss = SEL_KDATA;
	r.rsp = (uint64_t)top;
	r.rcx = count;
	r.rflags = FL_FIXED | FL_CF;
	run_regs(&r, &t);
	if (!e->taken) {
		CHECK_EQ(t.r.rip, e->at + e->bytes + 2);
		return;
	}
	CHECK_EQ(t.r.vector, VEC_GP);
	CHECK_EQ(t.r.error, 0);
	CHECK_EQ(t.r.rip, e->at);
	CHECK_EQ(t.r.rsp, (uint64_t)top);
	CHECK_EQ(t.r.rcx, count);
}

static void branches_over_the_edge(void)
{
	map_page((void *)(LOW_END - 4096), page_alloc(), PTE_P | PTE_W);
	map_page((void *)HIGH_FROM, page_alloc(), PTE_P | PTE_W);
	for (unsigned n = 0; n < ARRAY_LEN(edges); n++) {
		check_edge(&edges[n]);
		if (test_failed()) {
			print("edge %u\n", n);
			return;
		}
	}
}

static void misaligned(void)
{
	ROW(x_movaps_misaligned, KERNEL, VEC_GP, AT, 0);
	ROW(x_movaps_misaligned, USER, VEC_GP, AT, 0);
	ROW(x_movntdq_misaligned, USER, VEC_GP, AT, 0);
	ROW(x_paddd_misaligned, USER, VEC_GP, AT, 0);
	ROW(x_fxsave_misaligned, USER, VEC_GP, AT, 0);
	ROW(x_cmpxchg16b_misaligned, USER, VEC_GP, AT, 0);
}

static void alignment_check(void)
{
	ROW(x_misaligned_ac, USER, VEC_AC, AT, 0);
	ROW(x_movups_ac, USER, VEC_AC, AT, 0); /* AMD's CPUs; others may let it pass */
	ROW(x_movups_ac, KERNEL, 0x80, NEXT, 0);
	ROW(x_movups_no_ac, USER, 0x80, NEXT, 0);
	ROW(x_movaps_ac, USER, VEC_GP, AT, 0);
	ROW(x_misaligned_ac, KERNEL, 0x80, NEXT, 0);
}

static void segments(void)
{
	gdt_set(0x40, gdt_segment(0, 0xfffff, 0x72, 0xc), 0); /* data, not present, DPL 3 */
	gdt_set(0x48, gdt_segment(0, 0xfffff, 0x7a, 0xa), 0); /* code, not present, DPL 3 */
	ROW(x_null_ss, USER, VEC_GP, AT, 0);
	ROW(x_bad_ds, USER, VEC_GP, AT, 0xfff8);
	ROW(x_ldt_ds, KERNEL, VEC_GP, AT, 0x14);
	ROW(x_kdata_ds, USER, VEC_GP, AT, 0x18);
	ROW(x_ss_rpl, USER, VEC_GP, AT, 0x18);
	ROW(x_absent_ds, USER, VEC_NP, AT, 0x40);
	ROW(x_absent_ss, USER, VEC_SS, AT, 0x40);
	ROW(x_absent_cs, USER, VEC_NP, AT, 0x48);
	ROW(x_far_to_data, USER, VEC_GP, AT, 0x28);
	ROW(x_iret_null_cs, USER, VEC_GP, AT, 0);
	ROW(x_iret_nt, USER, VEC_GP, AT, 0);
	ROW(x_null_ds_load, COMPAT, VEC_GP, AT, 0);
	ROW(x_cs_write, COMPAT, VEC_GP, AT, 0);
	ROW(x_lldt_bad, KERNEL, VEC_GP, AT, 0x18);
	ROW(x_ltr_busy, KERNEL, VEC_GP, AT, 0x100);
	ROW(x_ltr_null, KERNEL, VEC_GP, AT, 0);
}

#define PRIVILEGED(name) ROW(name, USER, VEC_GP, AT, 0)

static void privileged(void)
{
	struct trap t;
	extern const uint8_t x_popf_keeps_iopl[];

	PRIVILEGED(x_hlt);
	PRIVILEGED(x_cli);
	PRIVILEGED(x_sti);
	PRIVILEGED(x_in);
	PRIVILEGED(x_out);
	PRIVILEGED(x_ins);
	PRIVILEGED(x_read_cr0);
	PRIVILEGED(x_write_cr3);
	PRIVILEGED(x_read_dr7);
	PRIVILEGED(x_lgdt);
	PRIVILEGED(x_lidt);
	PRIVILEGED(x_lldt);
	PRIVILEGED(x_ltr);
	PRIVILEGED(x_lmsw);
	PRIVILEGED(x_clts);
	PRIVILEGED(x_invlpg);
	PRIVILEGED(x_wbinvd);
	PRIVILEGED(x_invd);
	PRIVILEGED(x_rdmsr);
	PRIVILEGED(x_wrmsr);
	PRIVILEGED(x_swapgs);
	PRIVILEGED(x_sysret);
	PRIVILEGED(x_sysexit);
	PRIVILEGED(x_rdpmc);
	run_code(x_popf_keeps_iopl, USER, &t);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.rax & (FL_IOPL3 | FL_IF), 0);
}

static void user_restrictions(void)
{
	write_cr4(read_cr4() | CR4_TSD);
	ROW(x_rdtsc, USER, VEC_GP, AT, 0);
	ROW(x_rdtsc, KERNEL, 0x80, NEXT, 0);
	write_cr4(read_cr4() & ~CR4_TSD);
	ROW(x_rdtsc, USER, 0x80, NEXT, 0);
	ROW(x_sgdt, USER, 0x80, NEXT, 0);
	if (!(cpuid(7, 0).ecx & 4))
		return;
	write_cr4(read_cr4() | CR4_UMIP);
	ROW(x_sgdt, USER, VEC_GP, AT, 0);
	ROW(x_str, USER, VEC_GP, AT, 0);
	ROW(x_smsw, USER, VEC_GP, AT, 0);
	ROW(x_sgdt, KERNEL, 0x80, NEXT, 0);
	write_cr4(read_cr4() & ~CR4_UMIP);
	ROW(x_str, USER, 0x80, NEXT, 0);
}

static void bad_control_values(void)
{
	ROW(x_wrmsr_bad, KERNEL, VEC_GP, AT, 0);
	ROW(x_rdmsr_bad, KERNEL, VEC_GP, AT, 0);
	ROW(x_lstar_noncanonical, KERNEL, VEC_GP, AT, 0);
	ROW(x_efer_reserved, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr0_pg_without_pe, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr0_high, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr0_pg_off_in_long_mode, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr4_reserved, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr4_pae_off, KERNEL, VEC_GP, AT, 0);
	ROW(x_cr8_reserved, KERNEL, VEC_GP, AT, 0);
}

/* Gates: absent (#NP), of a wrong type (#GP), beyond the limit; and the double faults they lead to. */
static void gates_and_double_fault(void)
{
	extern const uint8_t x_ud2[];

	idt_set_gate(0x20, x_ud2, SEL_KCODE, 0x0e, 0);
	ROW(x_int_20, KERNEL, VEC_NP, AT, 0x20 << 3 | 2);
	idt_set_gate(0x20, x_ud2, SEL_KCODE, 0x8c, 0);
	ROW(x_int_20, KERNEL, VEC_GP, AT, 0x20 << 3 | 2);
	idt_set_gate(0x20, x_ud2, SEL_KDATA, 0x8e, 0);
	ROW(x_int_20, KERNEL, VEC_GP, AT, SEL_KDATA);
	idt_set_gate(0x20, x_ud2, 0, 0x8e, 0);
	ROW(x_int_20, KERNEL, VEC_GP, AT, 0);
	idt_reset_gate(0x20);

	/* #UD is benign: its absent gate gives #NP. #GP and #NP are contributory: together a double fault. */
	idt_set_gate(VEC_UD, x_ud2, SEL_KCODE, 0x0e, 0);
	ROW(x_ud2, USER, VEC_NP, AT, VEC_UD << 3 | 2 | 1);
	idt_reset_gate(VEC_UD);
	idt_set_gate(VEC_GP, x_ud2, SEL_KCODE, 0x0e, 0);
	ROW(x_hlt, USER, VEC_DF, AT, 0);
	ROW(x_load_noncanonical, KERNEL, VEC_DF, AT, 0);
	idt_reset_gate(VEC_GP);

	/* No room for the trap frame: #PF while delivering #UD is delivered as #PF, and that as a double fault. */
	idt_set_gate(VEC_DE, x_ud2, SEL_KCODE, 0x8e, 7);
	this_cpu()->tss.ist[6] = FREE_BASE + 0x10000000;
	ROW(x_div0, USER, VEC_PF, AT, 2);
	idt_reset_gate(VEC_DE);
}

static bool pf_on_ist_stack;

static bool check_df_stack(struct regs *r)
{
	uint64_t top = this_cpu()->tss.ist[0];

	pf_on_ist_stack = (uint64_t)r < top && (uint64_t)r >= top - sizeof(*r) - 16;
	return false;
}

static void double_fault_stack(void)
{
	extern const uint8_t x_ud2[];

	trap_set_handler(VEC_DF, check_df_stack);
	idt_set_gate(VEC_PF, x_ud2, SEL_KCODE, 0x0e, 0);
	this_cpu()->tss.rsp[0] = FREE_BASE + 0x10000000;
	ROW(x_ud2, USER, VEC_DF, AT, 0);
	this_cpu()->tss.rsp[0] = (uint64_t)(this_cpu()->trap_stack + sizeof(this_cpu()->trap_stack));
	idt_reset_gate(VEC_PF);
	trap_set_handler(VEC_DF, NULL);
	CHECK(pf_on_ist_stack);
}

static void ist_stack(void)
{
	extern const uint8_t ist_entry[], x_int_20[], x_int_20_next[];
	extern uint64_t ist_seen_rsp, ist_seen_frame[5];
	struct trap t;
	struct regs r;

	idt_set_gate(0x20, ist_entry, SEL_KCODE, 0xee, 3);
	user_regs(&r, x_int_20, false);
	r.rsp -= 3; /* a stack that is not aligned */
	run_regs(&r, &t);
	idt_reset_gate(0x20);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(ist_seen_rsp, this_cpu()->tss.ist[2] - 40);
	CHECK_EQ(ist_seen_frame[0], USER_ADDR(x_int_20_next));
	CHECK_EQ(ist_seen_frame[1], SEL_UCODE);
	CHECK_EQ(ist_seen_frame[2], FL_FIXED);
	CHECK_EQ(ist_seen_frame[3], r.rsp);
	CHECK_EQ(ist_seen_frame[4], SEL_UDATA);

	/* From the kernel: RSP is aligned to 16 before the push, and put back by IRET. */
	idt_set_gate(0x20, ist_entry, SEL_KCODE, 0xee, 0);
	r.cs = SEL_KCODE;
	r.ss = SEL_KDATA;
	r.rip -= USER_BASE;
	r.rsp = r.rsp - USER_BASE;
	run_regs(&r, &t);
	idt_reset_gate(0x20);
	CHECK_EQ(ist_seen_rsp, (r.rsp & -16ul) - 40);
	CHECK_EQ(ist_seen_frame[3], r.rsp);
	CHECK_EQ(t.r.rsp, r.rsp);
}

static volatile unsigned steps;
static volatile bool bad_dr6;

static bool count_step(struct regs *r)
{
	uint64_t dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	if (!(dr6 & 0x4000))
		bad_dr6 = true;
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	steps++;
	(void)r;
	return true;
}

static void single_step(void)
{
	extern const uint8_t step_start[], step_end[];
	struct trap t;
	struct regs r;

	steps = 0;
	bad_dr6 = false;
	trap_set_handler(VEC_DB, count_step);
	user_regs(&r, step_start, false);
	r.rflags |= FL_TF;
	run_regs(&r, &t);
	trap_set_handler(VEC_DB, NULL);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.rip, USER_ADDR(step_end) + 2);
	/* 2 + 3 * 3 + 2 + 3, one per iteration of the string instruction, call, cpuid, ret; INT clears TF before the
	 * trap. */
	CHECK_EQ(steps, 2 + 9 + 2 + 3 + 5 + 3);
	CHECK(!bad_dr6);
	CHECK(t.r.rflags & FL_TF);
}

/* #NM: x87 and SSE with CR0.TS; FWAIT needs MP as well. */
asm(".text; code_x87: fld1; fstp %st(0); ret\n"
    "code_sse: movaps %xmm0, %xmm1; ret\n"
    "code_wait: fwait; ret\n"
    "code_mmx: movq %mm0, %mm1; ret\n");
void code_x87(void), code_sse(void), code_wait(void), code_mmx(void);

static void device_not_available(void)
{
	struct trap t;

	write_cr0(read_cr0() | CR0_TS);
	CHECK_EQ(trap_of(code_x87, &t), VEC_NM);
	CHECK_EQ(t.r.rip, (uint64_t)code_x87);
	CHECK_EQ(trap_of(code_sse, &t), VEC_NM);
	CHECK_EQ(trap_of(code_mmx, &t), VEC_NM);
	CHECK_EQ(trap_of(code_wait, &t), VEC_NM);
	write_cr0(read_cr0() & ~CR0_MP);
	CHECK_EQ(trap_of(code_wait, &t), -1);
	asm volatile("clts");
	CHECK_EQ(trap_of(code_x87, &t), -1);
	CHECK_EQ(trap_of(code_sse, &t), -1);
	write_cr0((read_cr0() | CR0_EM));
	CHECK_EQ(trap_of(code_x87, &t), VEC_NM);
	CHECK_EQ(trap_of(code_sse, &t), VEC_UD);
	CHECK_EQ(trap_of(code_mmx, &t), VEC_UD);
	write_cr0((read_cr0() & ~CR0_EM) | CR0_MP);
	write_cr4(read_cr4() & ~CR4_OSFXSR);
	CHECK_EQ(trap_of(code_sse, &t), VEC_UD);
	write_cr4(read_cr4() | CR4_OSFXSR);
	CHECK_EQ(trap_of(code_sse, &t), -1);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(divide_error),
	RT_TEST(software_interrupts),
	RT_TEST(invalid_opcode),
	RT_TEST(non_canonical),
	RT_TEST(branch_to_non_canonical),
	RT_TEST(return_to_non_canonical),
	RT_TEST(branches_over_the_edge),
	RT_TEST(misaligned),
	RT_TEST(alignment_check),
	RT_TEST(segments),
	RT_TEST(privileged),
	RT_TEST(user_restrictions),
	RT_TEST(bad_control_values),
	RT_TEST(gates_and_double_fault),
	RT_TEST(double_fault_stack),
	RT_TEST(ist_stack),
	RT_TEST(single_step),
	RT_TEST(device_not_available),
	{0},
};
