/* SPDX-License-Identifier: MIT */
/*
 * Debug registers and single step in 64-bit mode (Intel SDM vol. 3, chapter 19): breakpoints on instructions, data and ports, what DR6 says of
 * them, where the trap is taken, RF, general detection, and what MOV SS holds back.
 */
#include "rt64.h"

#define DR6_CLEAR 0xffff0ff0ul
#define MSR_DEBUGCTL 0x1d9u
#define DEBUGCTL_LBR 1ul
#define DEBUGCTL_BTF 2ul
#define BD	  0x2000ul
#define BS	  0x4000ul

#define G(n)	    (2ul << 2 * (n)) /* enable */
#define EXEC(n)	    G(n)
#define WRITE(n, l) (G(n) | 1ul << (16 + 4 * (n)) | (l) << (18 + 4 * (n)))
#define PORT(n, l)  (G(n) | 2ul << (16 + 4 * (n)) | (l) << (18 + 4 * (n)))
#define RDWR(n, l)  (G(n) | 3ul << (16 + 4 * (n)) | (l) << (18 + 4 * (n)))
#define LEN1	    0ul
#define LEN2	    1ul
#define LEN8	    2ul
#define LEN4	    3ul

#define DR_ACCESSORS(n)                                                       \
	static inline uint64_t read_dr##n(void)                               \
	{                                                                     \
		uint64_t v;                                                   \
                                                                              \
		asm volatile("mov %%dr" #n ", %0" : "=r"(v));                 \
		return v;                                                     \
	}                                                                     \
	static inline void write_dr##n(uint64_t v)                            \
	{                                                                     \
		asm volatile("mov %0, %%dr" #n : : "r"(v) : "memory");        \
	}
DR_ACCESSORS(0)
DR_ACCESSORS(1)
DR_ACCESSORS(2)
DR_ACCESSORS(3)
DR_ACCESSORS(6)
DR_ACCESSORS(7)

#define ADDR(name)                       \
	({                               \
		extern void name(void);  \
		(uint64_t)(name);        \
	})

static struct {
	uint64_t rip, dr6, flags, rcx;
} hits[64];
static unsigned nr_hits, ignore_rf;
static bool branches;            /* the handler sets DEBUGCTL.BTF again */
static uint64_t debugctl_found; /* by it */
static struct trap t;
static uint8_t data[3 * 4096] __attribute__((aligned(4096)));

/* Every #DB is noted, and the program goes on; behind an instruction breakpoint with RF set, unless told not to. */
static bool on_debug(struct regs *r)
{
	uint64_t dr6 = read_dr6();

	if (nr_hits < ARRAY_LEN(hits)) {
		hits[nr_hits].rip = r->rip;
		hits[nr_hits].dr6 = dr6;
		hits[nr_hits].flags = r->rflags;
		hits[nr_hits++].rcx = r->rcx;
	}
	write_dr6(DR6_CLEAR);
	if (branches) {
		debugctl_found |= rdmsr(MSR_DEBUGCTL);
		wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF);
	}
	if (ignore_rf)
		ignore_rf--;
	else
		r->rflags |= FL_RF;
	if (nr_hits == ARRAY_LEN(hits)) {
		write_dr7(0);
		r->rflags &= ~FL_TF;
	}
	return true;
}

static void arm(uint64_t a0, uint64_t a1, uint64_t dr7)
{
	nr_hits = ignore_rf = 0;
	trap_set_handler(VEC_DB, on_debug);
	write_dr0(a0);
	write_dr1(a1);
	write_dr6(DR6_CLEAR);
	write_dr7(dr7);
}

static void disarm(void)
{
	write_dr7(0);
	trap_set_handler(VEC_DB, NULL);
}

#define CHECK_HIT(n, at, bits)                            \
	do {                                              \
		CHECK_EQ(hits[n].rip, at);                \
		CHECK_EQ(hits[n].dr6, DR6_CLEAR | (bits)); \
	} while (0)

/* ---- Instructions */

asm(".text\n"
    "b_loop: movl $5, %ecx\n"
    "1: incl %eax\n"
    "b_loop_at: addl $2, %eax\n"
    "b_loop_next: decl %ecx; jnz 1b; ret\n"
    "b_rep: cld; movl $40, %ecx\n"
    "b_rep_at: rep stosb\n"
    "b_rep_next: ret\n");

static uint64_t call_with(uint64_t fn, uint64_t rdi, uint64_t rsi)
{
	uint64_t rax = 0;

	asm volatile("call *%1" : "+a"(rax), "+b"(fn), "+D"(rdi), "+S"(rsi) : : "rcx", "rdx", "memory", "cc");
	return rax;
}

static void instructions(void)
{
	CHECK_EQ(call_with(ADDR(b_loop), 0, 0), 15); /* as it runs without breakpoints */
	arm(ADDR(b_loop_at), 0, EXEC(0));
	CHECK_EQ(call_with(ADDR(b_loop), 0, 0), 15);
	CHECK_EQ(nr_hits, 5);
	CHECK_HIT(4, ADDR(b_loop_at), 1);
	CHECK(!(hits[0].flags & FL_RF));
	/* Without RF the same one comes again. */
	arm(ADDR(b_loop_at), 0, EXEC(0));
	ignore_rf = 3;
	CHECK_EQ(call_with(ADDR(b_loop), 0, 0), 15);
	CHECK_EQ(nr_hits, 8);
	/* Two at one address; an address inside an instruction does not count; local enables do. */
	arm(ADDR(b_loop_at), ADDR(b_loop_at), EXEC(0) | EXEC(1));
	call_with(ADDR(b_loop), 0, 0);
	CHECK_EQ(nr_hits, 5);
	CHECK_HIT(0, ADDR(b_loop_at), 3);
	arm(ADDR(b_loop_at) + 1, 0, EXEC(0));
	call_with(ADDR(b_loop), 0, 0);
	CHECK_EQ(nr_hits, 0);
	arm(ADDR(b_loop_next), 0, 1);
	call_with(ADDR(b_loop), 0, 0);
	CHECK_EQ(nr_hits, 5);
	arm(ADDR(b_rep_at), 0, EXEC(0));
	call_with(ADDR(b_rep), (uint64_t)data, 0);
	CHECK_EQ(nr_hits, 1);
	disarm();
	call_with(ADDR(b_loop), 0, 0);
	CHECK_EQ(nr_hits, 1);
}

/* A fault's image has RF set: the breakpoint at the instruction was taken already. */
asm("b_ud: nop\n"
    "b_ud_at: ud2\n"
    "b_int: int $0x20\n"
    "b_int_next: ret\n");

static void resume_flag(void)
{
	arm(ADDR(b_ud_at), 0, EXEC(0));
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_ud), &t), VEC_UD);
	CHECK_EQ(nr_hits, 1);
	CHECK_EQ(t.r.rip, ADDR(b_ud_at));
	CHECK(t.r.rflags & FL_RF);
	disarm();
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_ud), &t), VEC_UD);
	CHECK(t.r.rflags & FL_RF);
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_int), &t), 0x20);
	CHECK(!(t.r.rflags & FL_RF));
}

asm("b_user: nop\n"
    "b_user_at: movl $7, %eax\n"
    "int $0x80\n");

static void user_code(void)
{
	struct regs r;

	arm(USER_ADDR(ADDR(b_user_at)), 0, EXEC(0));
	user_regs(&r, (const void *)ADDR(b_user), false);
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(t.r.rax, 7);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, USER_ADDR(ADDR(b_user_at)), 1);
	disarm();
}

/* ---- Data */

asm("b_store1: movb $1, (%rdi)\n"
    "b_store1_next: ret\n"
    "b_store8: movq %rsi, (%rdi)\n"
    "b_store8_next: addq %rsi, %rax; ret\n"
    "b_load4: movl (%rdi), %eax\n"
    "b_load4_next: addl $1, %eax; ret\n"
    "b_add: addl $1, (%rdi)\n"
    "b_add_next: ret\n"
    "b_xadd: movl $3, %eax; lock xaddl %eax, (%rdi)\n"
    "b_xadd_next: ret\n"
    "b_push: movq %rsp, %rdx; movq %rdi, %rsp; pushq $9\n"
    "b_push_next: movq %rdx, %rsp; ret\n"
    "b_sse: movups (%rsi), %xmm0; movups %xmm0, (%rdi)\n"
    "b_sse_next: ret\n"
    "b_fxsave: fxsave64 (%rdi)\n"
    "b_fxsave_next: ret\n"
    "b_movs: cld; movl $8, %ecx\n"
    "b_movs_at: rep movsb\n"
    "b_movs_next: ret\n"
    "b_movs1: cld; movsl\n"
    "b_movs1_next: ret\n"
    "b_cmpxchg8: cmpxchg8b (%rdi)\n"
    "b_cmpxchg8_next: ret\n");

/* One run of `name` with RDI = at, RSI = from: hits or not. */
#define ONCE(name, at, from, expected)                                                                    \
	do {                                                                                              \
		nr_hits = 0;                                                                              \
		call_with(ADDR(name), (uint64_t)(at), (uint64_t)(from));                                  \
		CHECK_EQ(nr_hits, expected);                                                              \
		if (expected)                                                                             \
			CHECK_EQ(hits[0].rip, ADDR(name##_next));                                         \
	} while (0)

static void writes(void)
{
	uint8_t *p = data + 64;

	memset(data, 0, sizeof(data));
	ONCE(b_store1, p, 0, 0);
	arm((uint64_t)p, 0, WRITE(0, LEN4));
	ONCE(b_store1, p, 0, 1);
	CHECK_HIT(0, ADDR(b_store1_next), 1);
	CHECK_EQ(*p, 1); /* done already */
	CHECK(!(hits[0].flags & FL_RF));
	ONCE(b_store1, p + 3, 0, 1);
	ONCE(b_store1, p + 4, 0, 0);
	ONCE(b_store1, p - 1, 0, 0);
	ONCE(b_store8, p - 7, 0x1122, 1);
	ONCE(b_store8, p - 8, 0x1122, 0);
	ONCE(b_store8, p + 3, 0, 1);
	ONCE(b_load4, p, 0, 0);
	ONCE(b_add, p, 0, 1);
	ONCE(b_xadd, p, 0, 1);
	ONCE(b_push, p + 8, 0, 1);
	ONCE(b_push, p + 16, 0, 0);
	ONCE(b_sse, p - 12, data, 1);
	ONCE(b_sse, p - 16, data, 0);
	ONCE(b_fxsave, data, 0, 1);
	ONCE(b_movs1, p, data, 1);
	ONCE(b_movs1, data, p, 0);
	ONCE(b_cmpxchg8, p, 0, 1);
	/* Elsewhere on the page, and on others, nothing. */
	for (unsigned i = 128; i < sizeof(data); i += 64)
		ONCE(b_store8, data + i, i, 0);
	disarm();
	ONCE(b_store1, p, 0, 0);
}

static void reads_and_writes(void)
{
	uint8_t *p = data + 4096;

	arm((uint64_t)p + 5, (uint64_t)p, RDWR(0, LEN1) | WRITE(1, LEN8));
	ONCE(b_load4, p, 0, 0);
	ONCE(b_load4, p + 4, 0, 1);
	CHECK_HIT(0, ADDR(b_load4_next), 1);
	ONCE(b_store8, p, 77, 1);
	CHECK_HIT(0, ADDR(b_store8_next), 3);
	ONCE(b_movs1, data, p + 2, 1);
	/* Across the page's end. */
	ONCE(b_store8, p - 4, 1, 1);
	CHECK_HIT(0, ADDR(b_store8_next), 2);
	ONCE(b_load4, p - 2, 1, 0);
	disarm();
	/* The low bits that the length covers do not count. */
	arm((uint64_t)p + 3, 0, RDWR(0, LEN2));
	ONCE(b_load4, p - 1, 0, 1);
	ONCE(b_load4, p - 2, 0, 0);
	disarm();
}

/* REP stops behind the iteration that hit; RF keeps its own breakpoint from hitting when it goes on. */
static void string_instructions(void)
{
	uint8_t *p = data + 256;

	for (unsigned i = 0; i < 8; i++)
		data[i] = (uint8_t)(i + 1);
	arm((uint64_t)p + 4, ADDR(b_movs_at), WRITE(0, LEN2) | EXEC(1));
	call_with(ADDR(b_movs), (uint64_t)p, (uint64_t)data);
	CHECK_EQ(nr_hits, 3);
	CHECK_HIT(0, ADDR(b_movs_at), 2);
	CHECK_HIT(1, ADDR(b_movs_at), 1);
	CHECK_EQ(hits[1].rcx, 3);
	CHECK(hits[1].flags & FL_RF);
	CHECK_HIT(2, ADDR(b_movs_at), 1);
	CHECK_EQ(hits[2].rcx, 2);
	CHECK_EQ(memcmp(p, data, 8), 0);
	arm((uint64_t)p + 7, 0, WRITE(0, LEN1));
	call_with(ADDR(b_movs), (uint64_t)p, (uint64_t)data);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_movs_next), 1);
	disarm();
}

/* An access that faults does not hit. */
static void faulting_access(void)
{
	uint8_t *area = free_area(4096);

	arm((uint64_t)area, 0, RDWR(0, LEN4));
	nr_hits = 0;
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_load4), &t), -1); /* RDI is whatever it is: mapped */
	nr_hits = 0;
	map_page(area, page_alloc(), PTE_P);
	tlb_flush_all();
	ONCE(b_load4, area, 0, 1);
	disarm();
}

/* ---- Ports */

asm("b_out: movb $1, %al; outb %al, $0x80\n"
    "b_out_next: ret\n"
    "b_in: inb $0x80, %al\n"
    "b_in_next: nop; nop; ret\n"
    "b_outs: cld; movl $0x80, %edx; movl $3, %ecx\n"
    "b_outs_at: rep outsb\n"
    "b_outs_next: ret\n");

static void ports(void)
{
	write_cr4(read_cr4() | CR4_DE);
	arm(0x80, 0, PORT(0, LEN1));
	ONCE(b_out, 0, 0, 1);
	CHECK_HIT(0, ADDR(b_out_next), 1);
	ONCE(b_in, 0, 0, 1);
	nr_hits = 0;
	call_with(ADDR(b_outs), 0, (uint64_t)data);
	CHECK_EQ(nr_hits, 3);
	CHECK_HIT(0, ADDR(b_outs_at), 1);
	CHECK_HIT(2, ADDR(b_outs_next), 1);
	arm(0x82, 0, PORT(0, LEN2));
	ONCE(b_out, 0, 0, 0);
	disarm();
	write_cr4(read_cr4() & ~CR4_DE);
}

/* ---- The registers themselves */

static void bad_dr7(void)
{
	write_dr7(1ul << 32);
}

static void bad_dr6(void)
{
	write_dr6(1ul << 63);
}

asm("b_gd_write: xorl %eax, %eax\n"
    "b_gd_write_at: movq %rax, %dr0; ret\n"
    "b_dr4: movq %dr4, %rax; ret\n");

static void registers(void)
{
	write_dr6(0);
	CHECK_EQ(read_dr6(), DR6_CLEAR);
	write_dr6(0xffffffff);
	CHECK_EQ(read_dr6(), 0xffffefff);
	write_dr6(DR6_CLEAR);
	write_dr7(0);
	CHECK_EQ(read_dr7(), 0x400);
	write_dr3(0x8123456789abcdef);
	CHECK_EQ(read_dr3(), 0x8123456789abcdef);
	CHECK_EQ(trap_of(bad_dr6, &t), VEC_GP);
	CHECK_EQ(trap_of(bad_dr7, &t), VEC_GP);
	CHECK_EQ(call_with(ADDR(b_dr4), 0, 0), DR6_CLEAR);
	write_cr4(read_cr4() | CR4_DE);
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_dr4), &t), VEC_UD);
	write_cr4(read_cr4() & ~CR4_DE);
}

static void general_detect(void)
{
	arm(0x1234, 0, 0x2000);
	trap_set_handler(VEC_DB, NULL);
	CHECK_EQ(trap_of((void (*)(void))ADDR(b_gd_write), &t), VEC_DB);
	CHECK_EQ(t.r.rip, ADDR(b_gd_write_at));
	CHECK(t.r.rflags & FL_RF); /* a fault */
	CHECK_EQ(read_dr7(), 0x400); /* cleared on the way in, or this would not do */
	CHECK_EQ(read_dr6(), DR6_CLEAR | BD);
	CHECK_EQ(read_dr0(), 0x1234);
	disarm();
}

/* ---- Single step, MOV SS */

static uint16_t stack_selector;

asm("b_step: pushfq; orl $0x100, (%rsp); popfq\n"
    "b_step_0: nop\n"
    "b_step_1: movw (%rdi), %ss\n"
    "b_step_2: nop\n"
    "b_step_3: pushfq; andl $~0x100, (%rsp)\n"
    "b_step_5: popfq\n"
    "b_step_6: ret\n"
    "b_ss: nop; movw (%rdi), %ss\n"
    "b_ss_next: nop\n"
    "b_ss_after: nop; ret\n"
    "b_ss_int: movw (%rdi), %ss\n"
    "int $0x20\n"
    "ret\n");

static void single_step(void)
{
	stack_selector = SEL_KDATA;
	arm(0, 0, 0);
	call_with(ADDR(b_step), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 5);
	CHECK_HIT(0, ADDR(b_step_1), BS);
	CHECK_HIT(1, ADDR(b_step_3), BS); /* none behind MOV SS */
	CHECK_HIT(3, ADDR(b_step_5), BS);
	CHECK_HIT(4, ADDR(b_step_6), BS); /* it was set when POPF began */
	/* Both reasons at once. */
	arm((uint64_t)data, 0, WRITE(0, LEN4));
	write_flags(read_flags() | FL_TF);
	asm volatile("movl $1, %0" : "=m"(data[0]));
	write_flags(read_flags() & ~FL_TF);
	disarm();
	for (unsigned i = 0; i < nr_hits; i++)
		if (hits[i].dr6 == (DR6_CLEAR | BS | 1))
			return;
	test_fail("no trap with BS and B0");
}

/* DEBUGCTL.BTF: branches that are taken, nothing else; #DB clears it. */
asm("b_branch: movl $40, %ecx; cld; pushfq; orl $0x100, (%rsp); popfq\n"
    "nop; rep stosb; jmp 1f; nop\n"
    "1: b_branch_1: incl %eax; jz 2f; jnz 2f; nop\n"
    "2: b_branch_2: xorl %ecx, %ecx; jrcxz 3f; nop\n"
    "3: b_branch_3: movl $2, %ecx\n"
    "4: b_branch_4: nop; loop 4b\n"
    "call b_branch_5\n"
    "b_branch_6: pushfq; andl $~0x100, (%rsp); popfq; ret\n"
    "b_branch_5: nop; ret\n");

static void branch_steps(void)
{
	uint64_t at[] = {ADDR(b_branch_1), ADDR(b_branch_2), ADDR(b_branch_3), ADDR(b_branch_4), ADDR(b_branch_5), ADDR(b_branch_6)};

	arm(0, 0, 0);
	branches = true;
	debugctl_found = 0;
	wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF | DEBUGCTL_LBR);
	CHECK_EQ(rdmsr(MSR_DEBUGCTL), DEBUGCTL_BTF | DEBUGCTL_LBR);
	call_with(ADDR(b_branch), (uint64_t)data, 0);
	branches = false;
	wrmsr(MSR_DEBUGCTL, 0);
	CHECK_EQ(debugctl_found, 0);
	CHECK_EQ(nr_hits, ARRAY_LEN(at));
	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		CHECK_HIT(i, at[i], BS);
	/* Without it every instruction counts again. */
	arm(0, 0, 0);
	call_with(ADDR(b_branch), (uint64_t)data, 0);
	CHECK(nr_hits > 20);
	disarm();
}

/* INT1: a trap at any privilege, whatever the gate's; no bit of DR6 tells of it. */
asm("b_int1: nop; .byte 0xf1\n"
    "b_int1_next: nop; int $0x80\n");

static void hits_are_replaced(void)
{
	arm(ADDR(b_loop_at), 0, EXEC(0));
	write_dr6(DR6_CLEAR | BS | 8);
	call_with(ADDR(b_loop), 0, 0);
	CHECK_EQ(nr_hits, 5);
	CHECK_HIT(0, ADDR(b_loop_at), BS | 1);
	CHECK_HIT(1, ADDR(b_loop_at), 1);
	arm((uint64_t)data, 0, WRITE(0, LEN1));
	write_dr6(DR6_CLEAR | BS | 6);
	ONCE(b_store1, data, 0, 1);
	CHECK_HIT(0, ADDR(b_store1_next), BS | 1);
	disarm();
}

/* A data breakpoint that MOV SS holds back: INT1 behind it is the exception that tells of it; INT n behind it is one of its own. */
asm("b_ss_int1: movw (%rdi), %ss; .byte 0xf1\n"
    "b_ss_int1_next: ret\n"
    "b_ss_int_1: movw (%rdi), %ss; .byte 0xcd, 1\n"
    "b_ss_int_1_next: ret\n");

static void mov_ss_int1(void)
{
	stack_selector = SEL_KDATA;
	arm((uint64_t)&stack_selector, 0, RDWR(0, LEN2));
	call_with(ADDR(b_ss_int1), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_ss_int1_next), 1);
	arm((uint64_t)&stack_selector, 0, RDWR(0, LEN2));
	call_with(ADDR(b_ss_int_1), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 2);
	CHECK_EQ(hits[1].rip == ADDR(b_ss_int_1_next), true);
	disarm();
}

static void int1(void)
{
	struct regs r;

	arm(0, 0, 0);
	user_regs(&r, (const void *)ADDR(b_int1), false);
	run_regs(&r, &t);
	CHECK_EQ(t.r.vector, 0x80);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, USER_ADDR(ADDR(b_int1_next)), 0);
	CHECK(!(hits[0].flags & FL_RF));
	disarm();
}

static void mov_ss(void)
{
	stack_selector = SEL_KDATA;
	/* A data breakpoint on the selector waits for the next instruction to complete. */
	arm((uint64_t)&stack_selector, 0, RDWR(0, LEN2));
	call_with(ADDR(b_ss), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_ss_after), 1);
	/* An instruction breakpoint right behind is not seen; one further on is. */
	arm(ADDR(b_ss_next), ADDR(b_ss_after), EXEC(0) | EXEC(1));
	call_with(ADDR(b_ss), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_ss_after), 2);
	disarm();
}

/* A software interrupt behind MOV SS: the trap comes at the first instruction of the handler. */
static void mov_ss_interrupt(void)
{
	extern const uint8_t trap_entries[];

	stack_selector = SEL_KDATA;
	arm((uint64_t)&stack_selector, 0, RDWR(0, LEN2));
	CHECK_EQ(trap_catch(&t, (void (*)(void *))ADDR(b_ss_int), &stack_selector), true);
	CHECK_EQ(t.r.vector, 0x20);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, (uint64_t)trap_entries + 16 * 0x20, 1);
	disarm();
}

/*
 * The instruction behind STI or MOV SS hits a data breakpoint, or stores into its own code, which an emulator may start again: the shadow holds all the
 * same.
 */
asm(".balign 64\n"
    "b_sti: sti; movb $1, (%rdi)\n"
    "b_sti_next: nop; cli; ret\n"
    "b_sti_code: sti; movb $0x90, b_sti_code_next(%rip)\n"
    "b_sti_code_next: nop; cli; ret\n"
    "b_sti_fault: sti; movb $1, (%rdi)\n"
    "b_sti_fault_next: nop; cli; ret\n"
    ".balign 64\n"
    "b_ss_code: movw (%rdi), %ss\n"
    "b_ss_code_at: movb $0x90, b_ss_code_next(%rip)\n"
    "b_ss_code_next: nop; ret\n");

#define VEC_SELF 0x51

static uint64_t interrupted[4];
static unsigned nr_interrupts;

static bool on_interrupt(struct regs *r)
{
	if (nr_interrupts < ARRAY_LEN(interrupted))
		interrupted[nr_interrupts] = r->rip;
	nr_interrupts++;
	apic_eoi();
	return true;
}

static void with_interrupt(uint64_t fn, void *to)
{
	nr_interrupts = nr_hits = 0;
	apic_write(APIC_ICR_LOW, ICR_SELF | VEC_SELF);
	call_with(fn, (uint64_t)to, 0);
	CHECK_EQ(nr_interrupts, 1);
}

static bool on_absent(struct regs *r)
{
	(void)r;
	map_page((void *)read_cr2(), page_alloc(), PTE_P | PTE_W);
	return true;
}

static void shadows(void)
{
	trap_set_handler(VEC_SELF, on_interrupt);
	arm((uint64_t)data, 0, 0);
	with_interrupt(ADDR(b_sti), data);
	CHECK_EQ(interrupted[0], ADDR(b_sti_next));
	arm((uint64_t)data, 0, WRITE(0, LEN1));
	with_interrupt(ADDR(b_sti), data);
	CHECK_EQ(interrupted[0], ADDR(b_sti_next));
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_sti_next), 1);
	with_interrupt(ADDR(b_sti_code), NULL);
	CHECK_EQ(interrupted[0], ADDR(b_sti_code_next));
	/* A fault ends it: the interrupt comes when the handler returns, before the instruction runs again. */
	trap_set_handler(VEC_PF, on_absent);
	with_interrupt(ADDR(b_sti_fault), free_area(PAGE));
	trap_set_handler(VEC_PF, NULL);
	CHECK_EQ(interrupted[0], ADDR(b_sti_fault) + 1);
	/* The breakpoint that MOV SS has met waits for what is behind it. */
	stack_selector = SEL_KDATA;
	arm((uint64_t)&stack_selector, 0, RDWR(0, LEN2));
	call_with(ADDR(b_ss_code), (uint64_t)&stack_selector, 0);
	CHECK_EQ(nr_hits, 1);
	CHECK_HIT(0, ADDR(b_ss_code_next), 1);
	disarm();
	trap_set_handler(VEC_SELF, NULL);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(instructions),
	RT_TEST(resume_flag),
	RT_TEST(user_code),
	RT_TEST(writes),
	RT_TEST(reads_and_writes),
	RT_TEST(string_instructions),
	RT_TEST(faulting_access),
	RT_TEST(ports),
	RT_TEST(registers),
	RT_TEST(general_detect),
	RT_TEST(single_step),
	RT_TEST(branch_steps),
	RT_TEST(hits_are_replaced),
	RT_TEST(int1),
	RT_TEST(mov_ss_int1),
	RT_TEST(mov_ss),
	RT_TEST(mov_ss_interrupt),
	RT_TEST(shadows),
	{0},
};
