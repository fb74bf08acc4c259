/* SPDX-License-Identifier: MIT */
/*
 * Runtime of 32-bit programs: flat segments, no paging, traps that can be caught. One CPU.
 */
#ifndef GUEST_RT32_H
#define GUEST_RT32_H

#include "rt.h"

#define SEL32_KCODE  0x10
#define SEL32_KDATA  0x18
#define SEL32_UCODE  0x23
#define SEL32_UDATA  0x2b
#define SEL32_TSS    0x30
#define SEL32_TEST   0x40 /* to 0x78: free for tests */
#define SEL32_CODE16 0x80
#define SEL32_DATA16 0x88

#define FL_VM 0x20000ul

/* As a trap leaves it on the stack (trap32.S). What comes after eflags is there only when the trap left ring 3 or V86
 * mode. */
struct regs {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t eip, cs, eflags;
	uint32_t esp, ss;
	uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

struct trap {
	struct regs r;
	uint32_t cr2;
};

struct tss32 {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, regs[8], segs[6], ldt;
	uint16_t trap, iomap;
};

extern struct tss32 tss;
extern uint8_t trap_stack[8192];

bool trap_catch(struct trap *t, void (*fn)(void *), void *arg);
int trap_of(void (*fn)(void), struct trap *t); /* the vector, or -1 */

/* By IRET to ring 3 or V86 mode; comes back by a trap. */
void run_regs(struct regs *r, struct trap *t);
void user_regs(struct regs *r, const void *code);

void gdt_set(uint16_t sel, uint64_t descriptor);
uint64_t gdt_get(uint16_t sel);
uint64_t gdt_segment(uint32_t base, uint32_t limit, unsigned access, unsigned flags);
uint64_t gdt_gate(uint32_t offset, uint16_t sel, unsigned access, unsigned params);
void idt_set(unsigned vector, uint64_t gate);
void idt_reset(unsigned vector);

#endif
