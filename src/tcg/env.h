/* SPDX-License-Identifier: MIT */
/*
 * The prefix of a vCPU's state that generated code addresses, through the thread's GS base on x86-64 hosts.
 *
 * Owner:   the vCPU thread. Other threads write `request` (atomic OR) and `inbox` only.
 * Rule:    the layout is read by back ends with offsetof(); guests put their own state behind it. No pointer chasing on hot paths:
 *          level-0 TLB slots and the jump cache are part of the structure.
 */
#ifndef COHORT_TCG_ENV_H
#define COHORT_TCG_ENV_H

#include <stdatomic.h>

#include "mem/tlb_layout.h"
#include "util/types.h"

#define TCG_NR_GREG 16 /* integer globals */
#define TCG_NR_VREG 16  /* vector globals: what most operations can name */
#define TCG_NR_ZREG 32  /* vector registers: the others belong to IR_EVEX alone */
#define TCG_NR_KREG 8   /* mask registers, likewise */
#define TCG_VREG_BYTES 64
#define TCG_NR_VSAVE 10

/* Parts of the vector state that may be something else than 0, env.vec_used; bits as in a component bitmap of XSAVE. */
#define TCG_VEC_MASKS 0x20u /* kreg */
#define TCG_VEC_WIDE 0x40u  /* bits 511:256 of any vector register */
#define TCG_VEC_MORE 0x80u  /* vector registers 31:16 */
#define TCG_VEC_ALL (TCG_VEC_MASKS | TCG_VEC_WIDE | TCG_VEC_MORE)

#define TCG_JC_BITS 16
#define TCG_JC_SIZE (1u << TCG_JC_BITS)

/*
 * The second jump cache: a hash that is too dear for the inline probe of an indirect jump, but costs nothing where the PC is a constant. Functions
 * start at multiples of 16, in kernels of many times 64 KiB: the bits above are folded in. Within a page that is a permutation, so a page's entries are
 * TCG_JX_PAGE ones in a row.
 */
#define TCG_JX_BITS 15
#define TCG_JX_SIZE (1u << TCG_JX_BITS)
#define TCG_JX_PAGE (GUEST_PAGE_SIZE / 2)

struct tcg_jx_entry {
	uint64_t tag;
	void *code;
};
_Static_assert(sizeof(struct tcg_jx_entry) == 16, "generated code scales the index");

static inline unsigned tcg_jx_index(gva_t pc)
{
	return ((pc ^ pc >> 4) >> 1) & (TCG_JX_SIZE - 1);
}

/* What generated code returns to the run loop, env.exit_code. */
enum tcg_exit {
	TCG_EXIT_LOOKUP,  /* find the block at env.pc and go on (jump-cache miss, dead block, poll) */
	TCG_EXIT_CHAIN,   /* as LOOKUP, and chain exit_index of exit_tb to what is found if that is allowed */
	TCG_EXIT_EVENT,   /* env.pc is set; look at requests (HLT, STI, mode changes...) before going on */
	TCG_EXIT_ALONE,   /* as EVENT, and run the instruction at env.pc in a block of its own */
};

struct tb;

union tcg_vreg {
	uint8_t b[TCG_VREG_BYTES];
	uint16_t w[TCG_VREG_BYTES / 2];
	uint32_t l[TCG_VREG_BYTES / 4];
	uint64_t q[TCG_VREG_BYTES / 8];
	float f[TCG_VREG_BYTES / 4];
	double d[TCG_VREG_BYTES / 8];
} __attribute__((aligned(64)));

#define TCG_FPU_LINEAR 0x80000000u

/* What senders of interrupts write for the CPU's interrupt controller, whose rules it obeys (hw/intc). */
struct irq_inbox {
	_Atomic uint64_t vectors[4];
	_Atomic uint32_t events;
	_Atomic bool outstanding;
};

struct tcg_env {
	/* First line: all that a send of an interrupt writes, and little else. */
	_Atomic uint32_t request; /* [atomic] non-zero: leave generated code at the next poll */
	uint32_t irq_waiting;     /* [owner] an interrupt waits until the guest enables it; behind `request`, so that one load reads both */
	struct irq_inbox inbox;   /* [atomic] seq_cst */

	/* Second line: what blocks touch most. */
	uint32_t exit_code __attribute__((aligned(64)));       /* enum tcg_exit */
	uint32_t vec_live;        /* [owner] back end: which part of vreg lives in host registers instead, mxcsr too; 0 outside generated code */
	uint64_t pc;              /* guest PC: valid outside generated code, and where generated code stored it before a call */
	uint64_t flags;           /* guest arithmetic flags as an EFLAGS image (bits 0 2 4 6 7 11 only, others 0) when not in host flags */
	uint32_t be_flags;        /* native back ends' own: the same while generated code runs; x86_64: flags.h */
	uint64_t jc_salt;         /* added to a PC to make its jump-cache tag: names address space and CPU mode, in bits 63:48 */
	uint64_t jc_other;        /* [const] added to jc_salt in the other variant of a CPU mode: generated code goes back and forth, see tlb_flush.c */
	uint64_t host_sp;         /* back end: C stack pointer while generated code runs */
	uint64_t ret_stack_top;   /* back end: empty return-prediction stack */
	struct tb *exit_tb;
	uint64_t exit_index;
	uint64_t branch_pc;       /* [owner] the indirect branch or return that led to the run loop last: */
	uint64_t branch_to;       /* its target, which is where env.pc is then */

	uint64_t greg[TCG_NR_GREG];   /* integer globals while not in host registers */
	uint64_t spill[16];           /* back end: spilled temporaries */

	/* Native back ends' own. */
	struct tcg_env *self;         /* [const] */
	uint64_t be_sp;               /* return-prediction stack pointer while C runs */
	uint64_t be_arg[3];           /* arguments of a runtime call under way */
	uint64_t be_save[5];          /* scratch of shared stubs */
	uint64_t be_spill[64];        /* spilled temporaries of a block */
	void *ret_stack;              /* [const] mapping of the return-prediction stack, guard page first */
	uint32_t host_mxcsr;          /* [const] C's vector control word */
	uint32_t be_running;          /* generated code is being run */

	/* Slow-path memory access in flight, see mem/tlb.h. */
	uint64_t bounce_addr;         /* linear address of the access */
	uint32_t bounce_size;
	uint32_t bounce_kind;         /* enum tlb_bounce: what the commit step must do */
	uint64_t bounce_ram[2];       /* RAM offsets (or gpa) of the one or two pieces */
	uint64_t bounce_which;        /* TLB_BOUNCE_PARTIAL: the bytes to be written */
	uint32_t bounce_mode;         /* and, also of TLB_BOUNCE_CODE, the MMU mode */
	uint32_t bounce_slot;         /* TLB_BOUNCE_CODE: the level-0 slot that the store may fill; TLB_L0_SLOTS: none */
	uint8_t bounce[64] __attribute__((aligned(64)));

	union tcg_vreg vreg[TCG_NR_ZREG];
	uint64_t kreg[TCG_NR_KREG];
	uint32_t mxcsr;               /* guest vector control/status while not in the host's register */
	uint32_t vec_used;            /* TCG_VEC_*: whoever may put something there sets the bits; XSAVE looks what really is there, and clears them */
	uint32_t fpu_in_host;         /* the host FPU holds the guest's stack-FPU state (this thread runs a native engine) */
	uint32_t fpu_is_saved;        /* [owner] native back ends: and nothing has run on it since fpu_image was taken from it */
	/*
	 * [owner] The last operation of the stack FPU that leaves a trace, see ir.h: IR_FPU_NOTES. Generated code brings them up to date at its
	 * exits and before calls, fpu_data after each operand. No engine keeps the pointers in the host's unit.
	 */
	uint64_t fpu_pc;              /* its address, linear if fpu_op says so, or what software has loaded */
	uint64_t fpu_data;            /* offset of its, or an earlier one's, memory operand */
	uint32_t fpu_op;              /* opcode as the unit keeps it, 11 bits; TCG_FPU_LINEAR */
	uint8_t fpu_image[512] __attribute__((aligned(64))); /* FXSAVE-format image of the stack FPU otherwise (x87 part only) */
	uint8_t vsave[TCG_NR_VSAVE][TCG_VREG_BYTES] __attribute__((aligned(64))); /* back end: vector temporaries */

	/* [owner] level-0 TLB slots, by MMU mode, access kind (0 read, 1 write) and slot number */
	struct tlb_slot l0[TLB_NR_MODES][2][TLB_L0_SLOTS] __attribute__((aligned(64)));
	uint32_t l0_last[TLB_NR_MODES][2][TLB_L0_SLOTS]; /* [owner] back end: page number of each slot's last miss, see slow.c */
	uint32_t l0_budget[TLB_L0_SLOTS]; /* [owner] user mode: misses left until tlb_access_slow() is to judge the slot */
	struct tlb tlb; /* level 1 and bookkeeping */

	/* [owner] jump cache: tag = PC + jc_salt of the block's mode; indexed by the PC's low 16 bits */
	uint64_t jc_tag[TCG_JC_SIZE] __attribute__((aligned(64)));
	void *jc_code[TCG_JC_SIZE];
	/* [owner] the second one, by tcg_jx_index(): direct jumps to other pages look here first, indirect ones second */
	struct tcg_jx_entry jx[TCG_JX_SIZE];
};

#endif
