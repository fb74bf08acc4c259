/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables and traps of 64-bit programs (Intel SDM vol. 3, chapters 3, 6 and 7). One GDT and one IDT for all
 * CPUs; double faults, NMIs and whatever a test wants have stacks of their own.
 */
#include "rt64.h"

#define NR_GDT	(SEL_TSS / 8 + 2 * MAX_CPUS)
#define IST_DF	1
#define IST_NMI 2

extern const uint8_t trap_entries[], catch_resume[];
int catch_enter(struct catch_frame *c, void (*fn)(void *), void *arg);
void enter_regs(const struct regs *r);
void load_segments(void);

struct gate {
	uint16_t offset0, sel;
	uint8_t ist, type;
	uint16_t offset1;
	uint32_t offset2, reserved;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static uint64_t gdt[NR_GDT] __attribute__((aligned(16))) = {
	[SEL_KCODE32 / 8] = 0x00cf9a000000ffff, [SEL_KCODE / 8] = 0x00af9a000000ffff,
	[SEL_KDATA / 8] = 0x00cf92000000ffff,	[SEL_UCODE32 / 8] = 0x00cffa000000ffff,
	[SEL_UDATA / 8] = 0x00cff2000000ffff,	[SEL_UCODE / 8] = 0x00affa000000ffff,
};
static struct gate idt[256] __attribute__((aligned(16)));
static trap_handler handlers[256];

void gdt_set(uint16_t sel, uint64_t lo, uint64_t hi)
{
	gdt[sel / 8] = lo;
	if (hi)
		gdt[sel / 8 + 1] = hi;
}

uint64_t gdt_get(uint16_t sel)
{
	return gdt[sel / 8];
}

/* access: bits 8-15 of the upper half (P, DPL, S, type); flags: G, D/B, L, AVL in bits 3 to 0. */
uint64_t gdt_segment(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

void idt_set_gate(unsigned vector, const void *entry, uint16_t sel, unsigned type_dpl, unsigned ist)
{
	uint64_t p = (uint64_t)entry;

	idt[vector] = (struct gate){
		.offset0 = (uint16_t)p,
		.sel = sel,
		.ist = (uint8_t)ist,
		.type = (uint8_t)type_dpl,
		.offset1 = (uint16_t)(p >> 16),
		.offset2 = (uint32_t)(p >> 32),
	};
}

void idt_reset_gate(unsigned vector)
{
	bool user = vector == VEC_BP || vector == VEC_OF || vector == 0x80;

	idt_set_gate(vector, trap_entries + 16 * vector, SEL_KCODE, user ? 0xee : 0x8e,
		     vector == VEC_DF	 ? IST_DF
		     : vector == VEC_NMI ? IST_NMI
					 : 0);
}

/* Per CPU, on its own stack. */
void cpu_init(struct cpu *c)
{
	struct table_pointer gdt_ptr = {sizeof(gdt) - 1, (uint64_t)gdt};
	struct table_pointer idt_ptr = {sizeof(idt) - 1, (uint64_t)idt};
	uint16_t tr = (uint16_t)(SEL_TSS + 16 * c->index);
	uint64_t base = (uint64_t)&c->tss;

	memset(&c->tss, 0, sizeof(c->tss));
	c->tss.rsp[0] = (uint64_t)(c->trap_stack + sizeof(c->trap_stack));
	for (unsigned i = 0; i < ARRAY_LEN(c->ist); i++)
		c->tss.ist[i] = (uint64_t)(c->ist[i] + sizeof(c->ist[i]));
	c->tss.iomap = sizeof(c->tss);
	c->catch = NULL;
	gdt_set(tr, gdt_segment((uint32_t)base, sizeof(c->tss) - 1, 0x89, 0), 0);
	gdt[tr / 8 + 1] = base >> 32;
	asm volatile("lgdt %0" : : "m"(gdt_ptr));
	load_segments();
	asm volatile("ltr %0" : : "r"(tr));
	asm volatile("lldt %0" : : "r"((uint16_t)0));
	asm volatile("lidt %0" : : "m"(idt_ptr));
	write_cr0((read_cr0() | CR0_MP | CR0_NE | CR0_WP | CR0_AM) & ~(CR0_TS | CR0_EM | 0x60000000ul));
	write_cr4(CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
	asm volatile("fninit");
}

void idt_init(void)
{
	for (unsigned v = 0; v < 256; v++)
		idt_reset_gate(v);
}

void trap_set_handler(unsigned vector, trap_handler fn)
{
	handlers[vector] = fn;
}

static void panic(const struct regs *r)
{
	test_fail("CPU %u: unexpected trap %lu, error %lx, at %lx:%lx, flags %lx, stack %lx:%lx, CR2 %lx",
		  this_cpu()->index, r->vector, r->error, r->cs, r->rip, r->rflags, r->ss, r->rsp, read_cr2());
	print("trap %lu, error %lx, at %lx:%lx, CR2 %lx\n", r->vector, r->error, r->cs, r->rip, read_cr2());
	print("rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx r8 %lx\n", r->rax, r->rbx, r->rcx, r->rdx,
	      r->rsi, r->rdi, r->rbp, r->r8);
	print("r9 %lx r10 %lx r11 %lx r12 %lx r13 %lx r14 %lx r15 %lx\n", r->r9, r->r10, r->r11, r->r12, r->r13, r->r14,
	      r->r15);
	rt_exit(1);
}

void trap_dispatch(struct regs *r)
{
	struct cpu *c = this_cpu();
	struct catch_frame *f;

	if (handlers[r->vector] && handlers[r->vector](r))
		return;
	f = c->catch;
	if (!f)
		panic(r);
	c->catch = f->prev;
	f->trap->r = *r;
	f->trap->cr2 = read_cr2();
	r->rip = (uint64_t)catch_resume;
	r->cs = SEL_KCODE;
	r->rsp = f->rsp;
	r->ss = SEL_KDATA;
	r->rflags = f->rflags;
}

bool trap_catch(struct trap *t, void (*fn)(void *), void *arg)
{
	struct cpu *c = this_cpu();
	struct catch_frame f = {.rflags = read_flags(), .trap = t, .prev = c->catch};
	bool trapped;

	c->catch = &f;
	barrier();
	trapped = catch_enter(&f, fn, arg);
	c->catch = f.prev;
	return trapped;
}

static void call_plain(void *fn)
{
	((void (*)(void))fn)();
}

int trap_of(void (*fn)(void), struct trap *t)
{
	return trap_catch(t, call_plain, (void *)fn) ? (int)t->r.vector : -1;
}

static void enter(void *r)
{
	enter_regs(r);
}

bool run_regs(struct regs *r, struct trap *t)
{
	extern const uint8_t load_regs_iret[];

	trap_catch(t, enter, r);
	return t->r.rip != (uint64_t)load_regs_iret;
}

void user_regs(struct regs *r, const void *code, bool compat)
{
	static uint8_t stack[8192] __attribute__((aligned(4096)));

	memset(r, 0, sizeof(*r));
	r->rip = USER_ADDR(code);
	r->cs = compat ? SEL_UCODE32 : SEL_UCODE;
	r->ss = SEL_UDATA;
	r->rsp = USER_ADDR(stack + sizeof(stack) - 64);
	r->rflags = FL_FIXED;
}

/* First C code of the boot CPU. */
void rt64_start(const void *boot_params)
{
	extern void page_init(void);
	uint8_t params[4096];

	memcpy(params, boot_params, sizeof(params));
	page_init();
	idt_init();
	cpu_init(&cpus[0]);
	apic_enable();
	rt_run_tests(params);
}
