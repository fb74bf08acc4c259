/* SPDX-License-Identifier: MIT */
/*
 * What tcg needs to know of a guest ISA. Filled in by vcpu/<isa>.
 */
#ifndef COHORT_TCG_GUEST_H
#define COHORT_TCG_GUEST_H

#include "tcg/ir/ir.h"

/*
 * Guest code as the translator sees it: bytes at the block's PC up to the end of its page, and the following page if the first
 * instruction crosses into it. fetch_next() maps that page; it may raise a guest fault (and then does not return).
 */
struct guest_code {
	gva_t pc;
	const uint8_t *bytes;
	size_t avail;       /* to the end of the first page */
	size_t before;      /* bytes of the page in front of `bytes` that may be looked at too */
	bool late;          /* `bytes` are the memory itself, and immediates should be read when the block runs, see rewritten.h */
	const uint8_t *(*fetch_next)(struct tcg_env *env, gva_t page); /* bytes of the page at linear address `page` */
};

/* Native traps and slow paths report guest faults through these. None returns: they end in backend->unwind(). */
enum guest_trap { GUEST_TRAP_DIVIDE, GUEST_TRAP_ALIGN, GUEST_TRAP_VECTOR_FP, GUEST_TRAP_STACK_FP,
		  GUEST_TRAP_UNDEFINED /* IR_EVEX: an instruction that the host does not take */ };

struct guest_isa {
	const char *name;
	const struct ir_rt *rt;
	unsigned nr_rt;
	const char *const *greg_names; /* TCG_NR_GREG names for listings */
	/* Guest code -> IR: at most max_insns guest instructions, at least one. Sets pc, flags, guest_len, watch_len, ... */
	void (*translate)(struct tcg_env *env, struct ir_block *ir, const struct guest_code *code, unsigned max_insns);
	/* The mode bits of the block to run at env.pc now (the tb key's flags). */
	uint32_t (*tb_flags)(struct tcg_env *env);
	/* Raises the guest's fault for a native trap at env.pc. Does not return. */
	void (*trap)(struct tcg_env *env, enum guest_trap what) __attribute__((noreturn));
	/*
	 * Stack-FPU operations: `word` is the guest encoding (IR_FPU's imm2). fpu_host_encoding: the native back end may emit the
	 * word itself, because host and guest share the encoding. fpu_exec interprets: mem is the host pointer of the memory
	 * operand or NULL.
	 */
	bool fpu_host_encoding;
	void (*fpu_exec)(struct tcg_env *env, uint64_t word, void *mem, uint64_t *greg);
	/* For enum ir_shortcut: numbers of integer globals. The direction is down if the 32-bit field at offset `down` of env has `down_bits`. */
	struct guest_shortcut {
		uint8_t dst, src, count, value;
		uint8_t lo, hi, new_lo, new_hi;
		uint32_t down, down_bits; /* 0: there are no shortcuts */
	} shortcut;
	size_t (*disasm)(uint32_t tb_flags, gva_t pc, const uint8_t *bytes, size_t avail, char *out, size_t out_size);
};

#endif
