/* SPDX-License-Identifier: MIT */
/*
 * Instructions that C has no word for, and the constants that go with them (Intel SDM volumes 2 to 4).
 */
#ifndef GUEST_X86_H
#define GUEST_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VEC_DE,
	VEC_DB,
	VEC_NMI,
	VEC_BP,
	VEC_OF,
	VEC_BR,
	VEC_UD,
	VEC_NM,
	VEC_DF,
	VEC_TS = 10,
	VEC_NP,
	VEC_SS,
	VEC_GP,
	VEC_PF,
	VEC_MF = 16,
	VEC_AC,
	VEC_MC,
	VEC_XM
};

#define FL_CF	 0x1ul
#define FL_FIXED 0x2ul
#define FL_ZF	 0x40ul
#define FL_TF	 0x100ul
#define FL_IF	 0x200ul
#define FL_DF	 0x400ul
#define FL_OF	 0x800ul
#define FL_IOPL3 0x3000ul
#define FL_NT	 0x4000ul
#define FL_RF	 0x10000ul
#define FL_AC	 0x40000ul
#define FL_VIF	 0x80000ul
#define FL_VIP	 0x100000ul

#define CR0_PE	       0x1ul
#define CR0_MP	       0x2ul
#define CR0_EM	       0x4ul
#define CR0_TS	       0x8ul
#define CR0_NE	       0x20ul
#define CR0_WP	       0x10000ul
#define CR0_AM	       0x40000ul
#define CR0_PG	       0x80000000ul
#define CR4_VME	       0x1ul
#define CR4_PVI	       0x2ul
#define CR4_TSD	       0x4ul
#define CR4_DE	       0x8ul
#define CR4_PSE	       0x10ul
#define CR4_PAE	       0x20ul
#define CR4_PGE	       0x80ul
#define CR4_OSFXSR     0x200ul
#define CR4_OSXMMEXCPT 0x400ul
#define CR4_UMIP       0x800ul
#define CR4_FSGSBASE   0x10000ul
#define CR4_PCIDE      0x20000ul
#define CR4_OSXSAVE    0x40000ul
#define CR4_SMEP       0x100000ul
#define CR4_SMAP       0x200000ul

#define MSR_TSC		   0x10u
#define MSR_APIC_BASE	   0x1bu
#define MSR_SYSENTER_CS	   0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_TSC_DEADLINE   0x6e0u
#define MSR_EFER	   0xc0000080u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define EFER_SCE	   0x1ul
#define EFER_LME	   0x100ul
#define EFER_LMA	   0x400ul
#define EFER_NXE	   0x800ul

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(sub) : "memory");
	return r;
}

/* A serializing instruction: what was stored before is what is executed after. */
static inline void serialize(void)
{
	cpuid(0, 0);
}

#define CR_ACCESSORS(n)                                                    \
	static inline unsigned long read_cr##n(void)                       \
	{                                                                  \
		unsigned long v;                                           \
                                                                           \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory"); \
		return v;                                                  \
	}                                                                  \
	static inline void write_cr##n(unsigned long v)                    \
	{                                                                  \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");     \
	}
CR_ACCESSORS(0)
CR_ACCESSORS(2)
CR_ACCESSORS(3)
CR_ACCESSORS(4)

static inline void invlpg(volatile void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline void irq_on(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void irq_off(void)
{
	asm volatile("cli" : : : "memory");
}

/* Waits for an interrupt; none is lost between the test that led here (with interrupts off) and the halt. */
static inline void irq_on_halt(void)
{
	asm volatile("sti\n\thlt" : : : "memory");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
}

static inline void barrier(void)
{
	asm volatile("" : : : "memory");
}

static inline void mfence(void)
{
	asm volatile("mfence" : : : "memory");
}

static inline unsigned long read_flags(void)
{
	unsigned long v;

	asm volatile("pushf\n\tpop %0" : "=r"(v) : : "memory");
	return v;
}

static inline void write_flags(unsigned long v)
{
	asm volatile("push %0\n\tpopf" : : "r"(v) : "memory", "cc");
}

#endif
