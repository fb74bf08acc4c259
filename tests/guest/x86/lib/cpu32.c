/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables and traps of 32-bit programs (Intel SDM vol. 3, chapters 3, 5 and 6).
 */
#include "rt32.h"

#define NR_GDT 32

extern const uint8_t trap_entries[];
int catch_enter(uint32_t *esp, void (*fn)(void *), void *arg);
void catch_leave(uint32_t esp) __attribute__((noreturn));
void enter_regs(const struct regs *r);
void load_segments(void);

struct table_pointer {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));

static uint64_t gdt[NR_GDT] __attribute__((aligned(8)));
static uint64_t idt[256] __attribute__((aligned(8)));
struct tss32 tss;
uint8_t trap_stack[8192] __attribute__((aligned(16)));

static struct catch_frame {
	uint32_t esp;
	struct trap *trap;
	struct catch_frame *prev;
} * catch;

void gdt_set(uint16_t sel, uint64_t descriptor)
{
	gdt[sel / 8] = descriptor;
}

uint64_t gdt_get(uint16_t sel)
{
	return gdt[sel / 8];
}

/* access: P, DPL, S, type; flags: G, D/B, L, AVL in bits 3 to 0. */
uint64_t gdt_segment(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

uint64_t gdt_gate(uint32_t offset, uint16_t sel, unsigned access, unsigned params)
{
	return (offset & 0xffff) | (uint64_t)sel << 16 | (uint64_t)params << 32 | (uint64_t)access << 40 |
	       (uint64_t)(offset >> 16) << 48;
}

void idt_set(unsigned vector, uint64_t gate)
{
	idt[vector] = gate;
}

void idt_reset(unsigned vector)
{
	bool user = vector == VEC_BP || vector == VEC_OF || vector == 0x80;

	idt[vector] = gdt_gate((uint32_t)(trap_entries + 16 * vector), SEL32_KCODE, user ? 0xee : 0x8e, 0);
}

static void cpu_init(void)
{
	struct table_pointer gdt_ptr = {sizeof(gdt) - 1, (uint32_t)gdt}, idt_ptr = {sizeof(idt) - 1, (uint32_t)idt};

	gdt_set(SEL32_KCODE, gdt_segment(0, 0xfffff, 0x9a, 0xc));
	gdt_set(SEL32_KDATA, gdt_segment(0, 0xfffff, 0x92, 0xc));
	gdt_set(SEL32_UCODE, gdt_segment(0, 0xfffff, 0xfa, 0xc));
	gdt_set(SEL32_UDATA, gdt_segment(0, 0xfffff, 0xf2, 0xc));
	gdt_set(SEL32_TSS, gdt_segment((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0));
	gdt_set(SEL32_CODE16, gdt_segment(0, 0xffff, 0x9a, 0));
	gdt_set(SEL32_DATA16, gdt_segment(0, 0xffff, 0x92, 0));
	for (unsigned v = 0; v < 256; v++)
		idt_reset(v);
	tss.ss0 = SEL32_KDATA;
	tss.esp0 = (uint32_t)(trap_stack + sizeof(trap_stack));
	tss.iomap = sizeof(tss);
	asm volatile("lgdt %0" : : "m"(gdt_ptr));
	load_segments();
	asm volatile("lidt %0" : : "m"(idt_ptr));
	asm volatile("ltr %w0; lldt %w1" : : "r"(SEL32_TSS), "r"(0));
}

static bool has_stack(const struct regs *r)
{
	return (r->eflags & FL_VM) || (r->cs & 3);
}

void trap_dispatch(struct regs *r)
{
	struct catch_frame *f = catch;

	if (!f) {
		test_fail("unexpected trap %u, error %x, at %x:%x", r->vector, r->error, r->cs, r->eip);
		rt_exit(1);
	}
	catch = f->prev;
	memcpy(&f->trap->r, r, has_stack(r) ? sizeof(*r) : offsetof(struct regs, esp));
	if (!has_stack(r))
		f->trap->r.esp = (uint32_t)&r->esp;
	f->trap->cr2 = read_cr2();
	catch_leave(f->esp);
}

bool trap_catch(struct trap *t, void (*fn)(void *), void *arg)
{
	struct catch_frame f = {.trap = t, .prev = catch};
	bool trapped;

	catch = &f;
	barrier();
	trapped = catch_enter(&f.esp, fn, arg);
	catch = f.prev;
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

void run_regs(struct regs *r, struct trap *t)
{
	trap_catch(t, enter, r);
}

void user_regs(struct regs *r, const void *code)
{
	static uint8_t stack[8192] __attribute__((aligned(4096)));

	memset(r, 0, sizeof(*r));
	r->ds = r->es = r->fs = r->gs = r->ss = SEL32_UDATA;
	r->cs = SEL32_UCODE;
	r->eip = (uint32_t)code;
	r->esp = (uint32_t)(stack + sizeof(stack) - 64);
	r->eflags = FL_FIXED;
}

/* First C code. */
void rt32_start(const void *boot_params)
{
	static uint8_t params[4096];

	memcpy(params, boot_params, sizeof(params));
	cpu_init();
	rt_run_tests(params);
}
