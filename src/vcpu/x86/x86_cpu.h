/* SPDX-License-Identifier: MIT */
/*
 * Architectural state of an x86 CPU.
 *
 * Owner:   the vCPU's thread, for every field; other threads read or write it only while the vCPU is paused.
 * Layout:  struct vcpu (and so struct tcg_env) comes first: a tcg_env pointer, a vcpu pointer and an x86_cpu pointer are the same address,
 *          and generated code reaches any field by its offset.
 */
#ifndef COHORT_VCPU_X86_CPU_H
#define COHORT_VCPU_X86_CPU_H

#include "vcpu/vcpu.h"

enum x86_greg { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
		X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15 };
enum x86_sreg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_NR_SEGS };

/* Segment attributes: bits 8..15 and 20..23 of a descriptor's second doubleword, at those positions. */
#define X86_SA_TYPE 0x00000f00u
#define X86_SA_CODE 0x00000800u
#define X86_SA_CONFORMING 0x00000400u /* code */
#define X86_SA_EXPAND_DOWN 0x00000400u /* data */
#define X86_SA_RW 0x00000200u /* readable code, writable data */
#define X86_SA_ACCESSED 0x00000100u
#define X86_SA_S 0x00001000u
#define X86_SA_DPL_SHIFT 13
#define X86_SA_P 0x00008000u
#define X86_SA_L 0x00200000u
#define X86_SA_DB 0x00400000u
#define X86_SA_G 0x00800000u

struct x86_seg {
	uint64_t base;
	uint32_t limit; /* in bytes, G applied */
	uint32_t attr;  /* X86_SA_*; 0 = unusable (null selector) */
	uint16_t sel;
};

struct x86_table {
	uint64_t base;
	uint16_t limit;
};

#define X86_FL_CF 0x00000001u
#define X86_FL_FIXED1 0x00000002u
#define X86_FL_PF 0x00000004u
#define X86_FL_AF 0x00000010u
#define X86_FL_ZF 0x00000040u
#define X86_FL_SF 0x00000080u
#define X86_FL_TF 0x00000100u
#define X86_FL_IF 0x00000200u
#define X86_FL_DF 0x00000400u
#define X86_FL_OF 0x00000800u
#define X86_FL_IOPL 0x00003000u
#define X86_FL_NT 0x00004000u
#define X86_FL_RF 0x00010000u
#define X86_FL_VM 0x00020000u
#define X86_FL_AC 0x00040000u
#define X86_FL_VIF 0x00080000u
#define X86_FL_VIP 0x00100000u
#define X86_FL_ID 0x00200000u
#define X86_FL_ARITH 0x000008d5u

#define X86_CR0_PE (1u << 0)
#define X86_CR0_MP (1u << 1)
#define X86_CR0_EM (1u << 2)
#define X86_CR0_TS (1u << 3)
#define X86_CR0_ET (1u << 4)
#define X86_CR0_NE (1u << 5)
#define X86_CR0_WP (1u << 16)
#define X86_CR0_AM (1u << 18)
#define X86_CR0_NW (1u << 29)
#define X86_CR0_CD (1u << 30)
#define X86_CR0_PG (1u << 31)

#define X86_CR4_VME (1u << 0)
#define X86_CR4_PVI (1u << 1)
#define X86_CR4_TSD (1u << 2)
#define X86_CR4_DE (1u << 3)
#define X86_CR4_PSE (1u << 4)
#define X86_CR4_PAE (1u << 5)
#define X86_CR4_MCE (1u << 6)
#define X86_CR4_PGE (1u << 7)
#define X86_CR4_PCE (1u << 8)
#define X86_CR4_OSFXSR (1u << 9)
#define X86_CR4_OSXMMEXCPT (1u << 10)
#define X86_CR4_UMIP (1u << 11)
#define X86_CR4_LA57 (1u << 12)
#define X86_CR4_FSGSBASE (1u << 16)
#define X86_CR4_PCIDE (1u << 17)
#define X86_CR4_OSXSAVE (1u << 18)
#define X86_CR4_SMEP (1u << 20)
#define X86_CR4_SMAP (1u << 21)
#define X86_CR4_PKE (1u << 22)
#define X86_CR4_PKS (1u << 24)

#define X86_EFER_SCE (1u << 0)
#define X86_EFER_LME (1u << 8)
#define X86_EFER_LMA (1u << 10)
#define X86_EFER_NXE (1u << 11)

enum x86_vector { X86_DE, X86_DB, X86_NMI, X86_BP, X86_OF, X86_BR, X86_UD, X86_NM, X86_DF, X86_TS = 10, X86_NP, X86_SSF, X86_GP, X86_PF,
		  X86_MF = 16, X86_AC, X86_MC, X86_XM };

/*
 * Mode bits of a translation block (its key besides the PC). x86_mode_update() of x86_isa.c computes them after every change of what
 * they stand for; cpu->tb_flags is the current value.
 */
#define X86_TB_MODE 0x00000003u    /* enum x86_mode of CS */
#define X86_TB_CPL 0x0000000cu
#define X86_TB_CPL_SHIFT 2
#define X86_TB_SS32 0x00000010u    /* stack addresses: 32 bits (else 16; 64-bit mode: 64) */
#define X86_TB_PE 0x00000020u
#define X86_TB_VM 0x00000040u
#define X86_TB_SEGBASE 0x00000080u /* some of ES CS SS DS has a non-zero base (outside 64-bit mode): add bases */
#define X86_TB_SEGLIM 0x00000100u  /* some of ES CS SS DS is not a flat, present, writable data segment (CS: readable): check accesses */
#define X86_TB_FGLIM 0x00400000u   /* the same of FS and GS, which are null most of the time in 32-bit code */
#define X86_TB_TF 0x00000200u      /* single step: one instruction per block */
#define X86_TB_AC 0x00000400u      /* EFLAGS.AC, where it has an effect: lifts SMAP (CPL < 3), or checks alignment (CPL 3, CR0.AM) */
#define X86_TB_TS 0x00000800u
#define X86_TB_EM 0x00001000u
#define X86_TB_MP 0x00002000u
#define X86_TB_OSFXSR 0x00004000u
#define X86_TB_OSXSAVE 0x00008000u
#define X86_TB_LMA 0x00010000u     /* long mode active (64-bit or compatibility) */
#define X86_TB_TSD 0x00020000u     /* CR4.TSD and CPL > 0: RDTSC faults */
#define X86_TB_UMIP 0x00040000u    /* CR4.UMIP and CPL > 0 */
#define X86_TB_FSGSBASE 0x00080000u
#define X86_TB_IOPL 0x00100000u    /* CPL <= IOPL: CLI, STI, IN, OUT allowed without a look at the TSS (VM: IOPL == 3) */
#define X86_TB_AVX 0x08000000u     /* XCR0 has AVX, and so SSE */
#define X86_TB_AVX512 0x10000000u  /* XCR0 has AVX-512's components, and so AVX */
#define X86_TB_SHADOW 0x00200000u  /* first instruction after STI / MOV SS: one instruction, then look at events */

#define X86_TB_BP 0x00800000u      /* an instruction breakpoint is enabled: each instruction looks for it */
#define X86_TB_RF 0x01000000u      /* the same, and EFLAGS.RF holds it off for one instruction */
#define X86_TB_STEP 0x02000000u    /* a debugger outside of the guest steps */
#define X86_TB_SINGLE (X86_TB_TF | X86_TB_SHADOW | X86_TB_RF | X86_TB_STEP) /* blocks of one instruction, then the run loop looks at events */

#define X86_INT1_VECTOR 0x101u /* for the int_soft routine: INT1 */

/* What is held back until the next instruction has run. MOV SS and POP SS hold debug exceptions, too. */
enum x86_shadow { X86_SHADOW_NONE, X86_SHADOW_STI, X86_SHADOW_SS };

enum x86_mmu_mode { X86_MMU_USER, X86_MMU_KERNEL, X86_MMU_KERNEL_AC };

struct x86_event {
	uint8_t vector;
	bool has_error;
	bool soft;       /* INT n, INT3, INTO: returns to next_pc, and the gate's DPL is checked */
	bool external;
	bool restarts;   /* fault class: RF is set in the image that is pushed */
	uint32_t error;
	gva_t next_pc;
};

struct x86_fault {
	bool pending;             /* `raised` waits for delivery */
	bool delivering;          /* `current` is being delivered: a fault now may make a double fault */
	bool undo;                /* undo_ss is to be put back if delivery faults */
	struct x86_event raised, current;
	struct x86_seg undo_ss;
};

#define X86_NR_MTRR_VAR 8
#define X86_NR_MC_BANKS 10
#define X86_MISC_MONITOR (1u << 18) /* IA32_MISC_ENABLE */

/* What kind of instruction has run with TF set: DEBUGCTL.BTF makes only branches count. */
enum x86_step { X86_STEP_NONE, X86_STEP_PLAIN, X86_STEP_BRANCH, X86_STEP_MAYBE };

/*
 * Page walks begin here if they can: where the page tables of 2 MiB regions are, and the page directories of 1 GiB regions, with the rights that
 * the levels above leave; x86_mmu.c. [owner]
 */
enum { X86_WALK_TABLES = 64, X86_WALK_DIRS = 16 };
struct x86_walk_cache {
	struct x86_walk_entry {
		uint64_t tag; /* linear address of the region | TLB context; 0: none */
		uint64_t age; /* void if not that of the cache */
		gpa_t table;
		bool user, write, nx;
	} table[X86_WALK_TABLES], dir[X86_WALK_DIRS];
	uint64_t age;      /* moving it drops all */
	uint64_t restarts; /* env.tlb.restarts of the contexts in it */
};

/* Control registers and the X86_TB_* bits that they alone decide; x86_isa.c. All zero is right, too. [owner] */
struct x86_control {
	uint64_t cr0, cr4, efer, xcr0;
	uint32_t flags;
};

/* Steal time; x86_steal.c. [owner] */
struct x86_steal {
	uint64_t msr;             /* bit 0: on; the guest-physical address of the area */
	vclock_ns_t since;        /* when the guest was told last, the thread's time then, ... */
	int64_t ran;
	int64_t stood;            /* ...and how long it stood still since */
	vclock_ns_t stands_since; /* 0: it does not */
};

/* KVM's clock; x86_kvmclock.c. [owner] */
struct x86_kvmclock {
	uint64_t wall, system; /* the MSRs: where the guest wants each; bit 0 of the latter: on */
	bool shown_stable;     /* what the guest was told */
	bool moved;            /* this CPU's TSC is not the host's; counted */
};

struct x86_cpu {
	struct vcpu vcpu; /* first */

	struct x86_seg seg[X86_NR_SEGS];
	struct x86_seg ldt, tr;
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t pdpte[4];    /* PAE paging: loaded with CR3 */
	uint64_t dr[8];
	uint32_t eflags;      /* all but the six arithmetic flags (those are env.flags or in generated code); bit 1 set */
	uint32_t tb_flags;    /* X86_TB_* now */
	struct x86_control control;
	uint8_t cpl;
	uint8_t shadow;       /* enum x86_shadow: of the next instruction; generated code clears it, and sets that of STI */
	uint8_t block_shadow; /* which it was when tb_flags last got X86_TB_SHADOW */
	bool nmi_blocked, nmi_pending;
	uint8_t x87_ignored;  /* FPU exception flags that are out of FSW while the next instruction runs: x86_x87.c */
	uint64_t loop_count;   /* RCX before a LOOP that looks whether it can go where it leads */
	bool smm, smi_pending; /* in system-management mode; an SMI waits */
	bool init_pending;     /* an INIT came in system-management mode: it waits for RSM */
	uint8_t single_step_due; /* enum x86_step: an instruction has run with TF set */
	uint64_t step_next;   /* X86_STEP_MAYBE: where the instruction goes that branches nowhere */
	uint32_t debug_due;   /* DR6 bits of traps to be taken behind the instruction */
	bool bp_fetch, bp_port; /* DR7 enables a breakpoint on instructions, on ports */
	uint8_t bp_filter[64];  /* 1: an instruction breakpoint's address has these low bits; generated code reads it */
	gva_t fpu_cs_base;      /* of the code segment, 0 in 64-bit mode: env.fpu_pc counts from it; x86_xstate.h */
	struct x86_fault fault;

	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, misc_enable, tsc_adjust, tsc_offset, spec_ctrl, debugctl, mcg_status, xss, smbase;
	uint32_t tsc_aux;
	uint64_t monitor_va;      /* MONITOR's line, and what was in it */
	uint8_t monitor_line[64];
	bool monitor_on;
	struct x86_steal steal;
	struct x86_kvmclock kvmclock;
	struct x86_walk_cache walk_cache;
	uint32_t pkru, pkrs; /* protection keys: two bits each, access disable and write disable, of user and supervisor pages */
	uint64_t mc_bank[4 * X86_NR_MC_BANKS]; /* CTL, STATUS, ADDR, MISC of each */
	uint64_t mtrr_def, mtrr_fixed[11], mtrr_var[2 * X86_NR_MTRR_VAR];

	const struct x86_cpuid_model *cpuid; /* [const] what CPUID answers; x86_cpuid.h */
	uint64_t features[2];                /* [const] bit per enum x86_feature: implemented and offered */
	void *mapping;                       /* [const] of host memory that holds this struct; x86_isa.c */
};

static inline struct x86_cpu *x86_cpu(struct tcg_env *env)
{
	return (struct x86_cpu *)env;
}

static inline bool x86_has(const struct x86_cpu *c, unsigned feature)
{
	return c->features[feature / 64] >> (feature % 64) & 1;
}

static inline unsigned x86_mmu_mode(const struct x86_cpu *c)
{
	return c->cpl == 3 ? X86_MMU_USER : (c->tb_flags & X86_TB_AC) ? X86_MMU_KERNEL_AC : X86_MMU_KERNEL;
}

/*
 * Raises a fault from a runtime routine, a page walk or any C below generated code: env.pc must be the instruction's PC. Records it and
 * unwinds to the run loop, which delivers it. Does not return; no lock may be held.
 */
void x86_fault_raise(struct x86_cpu *c, enum x86_vector vec) __attribute__((noreturn));
void x86_fault_raise_err(struct x86_cpu *c, enum x86_vector vec, uint32_t error) __attribute__((noreturn));

/* Recomputes tb_flags and tells the TLB and jump cache (x86_isa.c). After any change of CS, SS, segments, CPL, CR0, CR4, EFER, EFLAGS.TF/AC/IOPL/VM, shadow. */
void x86_mode_update(struct x86_cpu *c);

/* Whole EFLAGS; set splits into env.flags and eflags (caller does the privilege masking and x86_mode_update()). */
static inline uint32_t x86_eflags_get(const struct x86_cpu *c)
{
	return c->eflags | ((uint32_t)c->vcpu.env.flags & X86_FL_ARITH) | X86_FL_FIXED1;
}

static inline void x86_eflags_set(struct x86_cpu *c, uint32_t v)
{
	if (!c->bp_fetch)
		v &= ~X86_FL_RF; /* without effect, and gone behind the next instruction anyway */
	c->vcpu.env.flags = v & X86_FL_ARITH;
	c->eflags = (v & ~X86_FL_ARITH) | X86_FL_FIXED1;
}

#endif
