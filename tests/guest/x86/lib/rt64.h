/* SPDX-License-Identifier: MIT */
/*
 * Runtime of 64-bit programs: descriptor tables, traps, page tables, CPUs, local APIC.
 *
 * Address space: 0 to 3 GiB identity, supervisor only; at USER_BASE the first 256 MiB again, accessible to user code;
 * the last 256 MiB below 4 GiB identity for devices. Everything above is free for tests.
 *
 * The current CPU is known from its task register, so GS and FS belong to the tests.
 */
#ifndef GUEST_RT64_H
#define GUEST_RT64_H

#include "rt.h"
#include "selectors.h"

#define PAGE	     4096ul
#define USER_BASE    0xc0000000ul
#define USER_ADDR(p) ((unsigned long)(p) + USER_BASE)
#define FREE_BASE    0x10000000000ul /* 1 TiB: nothing is mapped from here on */

/* What a trap saved, in the order it lies on the stack (trap64.S). */
struct regs {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct trap {
	struct regs r;
	uint64_t cr2;
};

struct catch_frame {
	uint64_t rsp; /* first: trap64.S */
	uint64_t rflags;
	struct trap *trap;
	struct catch_frame *prev;
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, iomap;
} __attribute__((packed));

struct cpu {
	unsigned index;
	uint32_t apic_id;
	struct catch_frame *catch;
	void (*volatile work)(void *);
	void *volatile work_arg;
	volatile uint32_t work_given, work_called, work_done; /* numbers of pieces; called: its interrupt has come */
	volatile bool gives_up; /* its work, when it starts anew */
	struct tss tss;
	uint8_t ist[3][8192] __attribute__((aligned(16)));
	uint8_t trap_stack[8192] __attribute__((aligned(16))); /* traps from user mode */
};

extern struct cpu cpus[MAX_CPUS];
extern uint8_t cpu_stacks[MAX_CPUS][STACK_SIZE];
extern unsigned nr_cpus; /* running; 1 until smp_start() */

static inline struct cpu *this_cpu(void)
{
	uint64_t tr;

	asm volatile("str %0" : "=r"(tr));
	return &cpus[(tr - SEL_TSS) / 16];
}

/* Traps. */

/* The trap's handler; returns false when it is not its business. For interrupts the result does not matter. */
typedef bool (*trap_handler)(struct regs *r);
void trap_set_handler(unsigned vector, trap_handler fn); /* NULL: none */

/*
 * Calls fn(arg). If it ends in a trap that no handler takes, fills in *t and returns true; else false. Flags come back
 * as they were. Nests.
 */
bool trap_catch(struct trap *t, void (*fn)(void *), void *arg);

/* Loads all registers from *r and goes there by IRET; comes back by a trap. False: it faulted in IRET itself. */
bool run_regs(struct regs *r, struct trap *t);

/* Registers for code at a user-mode address (64-bit or 32-bit), with a stack, interrupts off. */
void user_regs(struct regs *r, const void *code, bool compat);

/* trap_catch() of code that takes nothing, for traps at a known place. Returns the vector, or -1. */
int trap_of(void (*fn)(void), struct trap *t);

void idt_set_gate(unsigned vector, const void *entry, uint16_t sel, unsigned type_dpl, unsigned ist);
void idt_reset_gate(unsigned vector);		      /* back to the runtime's own */
void gdt_set(uint16_t sel, uint64_t lo, uint64_t hi); /* hi is stored only for 16-byte system descriptors (non-zero) */
uint64_t gdt_segment(uint32_t base, uint32_t limit_pages_or_bytes, unsigned access, unsigned flags);
uint64_t gdt_get(uint16_t sel);

/* Page tables. */

#define PTE_P	 0x1ul
#define PTE_W	 0x2ul
#define PTE_U	 0x4ul
#define PTE_PCD	 0x10ul
#define PTE_A	 0x20ul
#define PTE_D	 0x40ul
#define PTE_PS	 0x80ul
#define PTE_G	 0x100ul
#define PTE_NX	 0x8000000000000000ul
#define PTE_ADDR 0x000ffffffffff000ul

uint64_t *page_entry(uint64_t *root, uint64_t va, unsigned level,
		     bool make);		      /* level 1: 4K, 2: 2M, 3: 1G; NULL: none */
uint64_t *pte_of(const volatile void *va);	      /* present 4K entry in the current tables */
void map_page(void *va, uint64_t pa, uint64_t flags); /* 4K in the kernel's tables; no flush */
void unmap_page(void *va);			      /* no flush */
uint64_t page_alloc(void);			      /* physical = virtual; zeroed */
uint64_t pages_alloc(unsigned count, uint64_t align);
void *free_area(unsigned long bytes); /* unused addresses, aligned to 2 MiB, page tables present down to level 1 */
extern uint64_t kernel_root[512];
uint64_t *address_space_new(void); /* a root that shares all of the kernel's present entries */
void tlb_flush_all(void);	   /* globals too */

/* CPUs. */

unsigned smp_start(void); /* starts "cpus=N" - 1 others (default 1 CPU in all); returns how many run; repeatable */
void smp_run(unsigned count, void (*fn)(void *), void *arg); /* on the first `count` CPUs, this one included; waits */
void cpu_reset_to_idle(struct cpu *c);			     /* INIT-SIPI-SIPI to one that runs */

struct spin_barrier {
	volatile uint32_t count, phase;
};
void spin_barrier_wait(struct spin_barrier *b, unsigned count);

/* Local APIC, in xAPIC mode. */

#define APIC_ID		  0x20
#define APIC_TPR	  0x80
#define APIC_EOI	  0xb0
#define APIC_SVR	  0xf0
#define APIC_ISR	  0x100
#define APIC_IRR	  0x200
#define APIC_ICR_LOW	  0x300
#define APIC_ICR_HIGH	  0x310
#define APIC_LVT_TIMER	  0x320
#define APIC_LVT_LINT0	  0x350
#define APIC_LVT_LINT1	  0x360
#define APIC_TIMER_COUNT  0x380
#define APIC_TIMER_NOW	  0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define ICR_NMI	     0x400u
#define ICR_INIT     0x500u
#define ICR_SIPI     0x600u
#define ICR_ASSERT   0x4000u
#define ICR_SELF     0x40000u
#define ICR_ALL	     0x80000u
#define ICR_OTHERS   0xc0000u
#define LVT_MASKED   0x10000u
#define LVT_PERIODIC 0x20000u
#define LVT_DEADLINE 0x40000u

#define VEC_WAKE     0xf0 /* the runtime's own */
#define VEC_SPURIOUS 0xff

static inline uint32_t apic_read(unsigned reg)
{
	return *(volatile uint32_t *)(0xfee00000ul + reg);
}

static inline void apic_write(unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(0xfee00000ul + reg) = v;
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_enable(void);
void apic_send(uint32_t apic_id, uint32_t icr_low);

#endif
