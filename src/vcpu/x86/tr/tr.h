/* SPDX-License-Identifier: MIT */
/*
 * Translation of x86 instructions to IR: what the family files (arith.c, move.c, ...) share.
 *
 * Owner:   the vCPU thread that translates; a struct x86_tr lives on its stack for one block.
 * Rules:   * An instruction's architectural state changes only after its last memory access that may fault; results
 * wait in temporaries until then. Read-modify-write of memory is one IR op.
 *          * The guest's PC is a linear address everywhere (env.pc, IR_JMP, ...). Where instruction pointers become
 * visible (pushed, popped, wrapped at 16 bits) branch.c converts, with the CS base if there may be one.
 *          * All address arithmetic is free of IR_SETF.
 */
#ifndef COHORT_VCPU_X86_TR_TR_H
#define COHORT_VCPU_X86_TR_TR_H

#include "tcg/guest.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"

#define X86_TR_AHEAD_MEMO 16

/* A result of the flags look-ahead: flag bits live at pc. */
struct x86_tr_memo {
	gva_t pc;
	uint16_t live;
	bool valid;
};

struct x86_tr {
	struct ir_block *ir;
	struct x86_cpu *cpu;
	const struct guest_code *code;
	struct x86_insn in; /* the current instruction */
	enum x86_mode mode;
	uint32_t flags; /* X86_TB_* */
	uint16_t arg; /* of the current instruction's row in families.def */
	bool single; /* one instruction, then the run loop looks at events (TF, interrupt shadow) */
	bool alone;  /* the block is of one instruction, as when it was to run alone (vcpu_run_alone(), TCG_EXIT_ALONE) */
	bool done; /* the block has ended */
	bool check_behind_next; /* an interrupt may wait: look behind the next instruction (STI) */
	gva_t pc, next; /* of the current instruction and of the one behind it */
	unsigned limit_insn; /* index of the constant that limit_end() fills in; 0: none */
	int64_t k; /* value of IR_KONST for x86_tr_emit() */
	struct x86_tr_memo memo[X86_TR_AHEAD_MEMO];
	bool late; /* immediates should be read when the block runs (late.c) */
	uint64_t looked_at[16]; /* if so: bytes of the block that the flags look-ahead depends on, a bit each */
};

void x86_translate(struct tcg_env *env, struct ir_block *ir, const struct guest_code *code, unsigned max_insns);

/* ---- Operands (operand.c) */

static inline bool x86_tr_is_mem(const struct x86_tr *c, unsigned n)
{
	return c->in.op[n].kind == X86_OPK_MEM;
}

enum ir_type x86_tr_type(unsigned bytes); /* I8..I64 by size in bytes */

/* One instruction; a constant operand (IR_KONST) takes its value from c->k. */
struct ir_insn *x86_tr_emit(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, ir_ref b);
/* The same with constant b, or a if the op has no b. */
struct ir_insn *x86_tr_emit_k(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, int64_t k);
ir_ref x86_tr_const(struct x86_tr *c, int64_t k); /* a temporary that holds k */
/* ADD of a constant without flags. */
void x86_tr_add_k(struct x86_tr *c, enum ir_type type, ir_ref r, int64_t k);

/* The instruction's memory operand for an access of `size` bytes; outside flat segments emits the segment check first.
 */
ir_ref x86_tr_mem(struct x86_tr *c, unsigned size, bool write);
/*
 * The same of a vector instruction that accesses all of it. Of 16 bytes and more: aligned to its size where the row of the opcode map says so (#GP),
 * else to 16 bytes where alignment is checked (#AC), as AMD's CPUs have it; SDM volume 3A, 6.15, leaves open what is checked beyond 8 bytes.
 */
ir_ref x86_tr_vec_mem(struct x86_tr *c, unsigned size, bool write);
/* Only the check for #AC; mask and lanes: not if these bits of that mask register are all 0. mask 0: none. */
void x86_tr_vec_alignment(struct x86_tr *c, ir_ref mem, unsigned size, unsigned mask, unsigned lanes);
/* The same, `off` bytes further. */
ir_ref x86_tr_mem_off(struct x86_tr *c, int64_t off, unsigned size, bool write);
/* One byte of the instruction's memory operand for CLFLUSH and its kin, which may be in an execute-only segment. */
ir_ref x86_tr_mem_flush(struct x86_tr *c);
/* Memory at base register ref + disp in segment seg. */
ir_ref x86_tr_mem_at(struct x86_tr *c, ir_ref base, int64_t disp, unsigned addr_bytes, unsigned seg, unsigned size,
		     bool write);
ir_ref x86_tr_linear(struct x86_tr *c, unsigned size, bool write); /* temporary: linear address of the memory operand */
ir_ref x86_tr_seg_linear(struct x86_tr *c, ir_ref offset,
			 unsigned seg); /* adds the segment's base, if it may have one */
struct ir_mem *x86_tr_mem_desc(struct x86_tr *c, ir_ref mem); /* description of a memory operand, to adjust */

/*
 * Operand n as a source of an op of its own width: a global, constant, memory operand or (AH..BH) a fresh temporary.
 * With x86_tr_reg_src() memory is loaded into a temporary, zero-extended; constants too.
 */
ir_ref x86_tr_src(struct x86_tr *c, unsigned n);
ir_ref x86_tr_reg_src(struct x86_tr *c, unsigned n);
ir_ref x86_tr_load(struct x86_tr *c, ir_ref mem, unsigned size); /* temporary = zero-extended memory of 1..8 bytes */
/* A temporary with operand n zero-extended from its own width. */
ir_ref x86_tr_zx(struct x86_tr *c, unsigned n);
ir_ref x86_tr_sx(struct x86_tr *c, unsigned n);
ir_ref x86_tr_zx_ref(struct x86_tr *c, ir_ref r, unsigned size); /* of a register */
ir_ref x86_tr_sx_ref(struct x86_tr *c, ir_ref r, unsigned size);
/*
 * Destination of an op that computes a register or temporary: begin() says where to compute (the global, or a temporary
 * that holds AH..BH; `reads` if its old value counts), end() puts a temporary back. Not for memory.
 */
ir_ref x86_tr_dest_begin(struct x86_tr *c, unsigned n, bool reads);
void x86_tr_dest_end(struct x86_tr *c, unsigned n, ir_ref r);
/* Writes v (register or constant c->k) to operand n, memory included; `size` bytes (0: the operand's). */
void x86_tr_write(struct x86_tr *c, unsigned n, ir_ref v, unsigned size);

uint8_t x86_tr_lock(const struct x86_tr *c); /* IR_LOCK or 0 */

/* CPU state by offset. */
#define X86_TR_OFF(field) ((int64_t)offsetof(struct x86_cpu, field))
ir_ref x86_tr_ldenv(struct x86_tr *c, enum ir_type type, int64_t off);
void x86_tr_stenv(struct x86_tr *c, enum ir_type type, ir_ref a, int64_t off);

/* ---- Runtime calls and leaving (block.c) */

#define X86_TR_NO_RESULT IR_NONE
struct ir_insn *x86_tr_rt(struct x86_tr *c, enum x86_rt rt, ir_ref d, ir_ref a, ir_ref b, ir_ref cc);
void x86_tr_raise(struct x86_tr *c, enum x86_vector vec, int64_t error); /* error -1: none. Ends the block. */
void x86_tr_raise_inline(struct x86_tr *c, enum x86_vector vec, int64_t error); /* the block goes on behind a label */
void x86_tr_ud(struct x86_tr *c);
void x86_tr_exit_event(struct x86_tr *c); /* env.pc is set: to the run loop; ends the block */
void x86_tr_next_event(struct x86_tr *c); /* env.pc = next instruction, then the same */
void x86_tr_leave_env_or_event(struct x86_tr *c); /* env.pc is set: on in a changed mode, or to the run loop if something waits there */
void x86_tr_next_env_or_event(struct x86_tr *c); /* env.pc = next instruction, then the same */
void x86_tr_check_events(struct x86_tr *c); /* behind an instruction: to the run loop if something waits there, else the block goes on */
/* The next instruction is on this page, and certainly neither ends the block nor transfers control. */
bool x86_tr_next_is_plain(struct x86_tr *c);
void x86_tr_next_env(struct x86_tr *c); /* env.pc = next instruction, then on in a changed mode */
void x86_tr_leave_env(struct x86_tr *c); /* env.pc is set by a runtime call: on in a changed mode */

/* ---- Branches (branch.c) */

void x86_tr_goto(struct x86_tr *c,
		 gva_t target); /* to a linear address, polling if it is behind us; more IR may follow */
void x86_tr_jump_mode(struct x86_tr *c, uint32_t bits); /* on behind the instruction in the mode that differs in these bits; ends the block */
void x86_tr_split(struct x86_tr *c, gva_t target); /* the block is full: on in the next one, no poll */
ir_ref x86_tr_far_ptr(struct x86_tr *c, unsigned off_bytes, ir_ref *sel); /* loads m16:off; returns the offset */

/* ---- The code segment's limit (limit.c) */

void x86_tr_limit_begin(struct x86_tr *c); /* behind the block's first IR_INSN; end: when its length is known */
void x86_tr_limit_end(struct x86_tr *c);
bool x86_tr_target_is_limited(const struct x86_tr *c); /* the current branch must look at its target */
bool x86_tr_relative_is_limited(const struct x86_tr *c); /* the same of a relative one */
void x86_tr_check_ip(struct x86_tr *c, ir_ref ip);     /* #GP(0) if the offset is above the limit; a zero-extended register */
void x86_tr_check_relative(struct x86_tr *c);          /* the same for a relative branch's target */
void x86_tr_check_call(struct x86_tr *c, ir_ref target); /* the same for a call that has not pushed yet, in 64-bit mode */

/* ---- Stack (stack.c) */

unsigned x86_tr_stack_bytes(const struct x86_tr *c); /* 2, 4, 8: width of stack addresses */
/* Memory operand of the top of the stack + disp, for `size` bytes. */
ir_ref x86_tr_stack_mem(struct x86_tr *c, int64_t disp, unsigned size, bool write);
void x86_tr_sp_add(struct x86_tr *c, int64_t n);
void x86_tr_push(struct x86_tr *c, ir_ref v, unsigned size); /* v: register, or constant c->k */
ir_ref x86_tr_pop_peek(struct x86_tr *c, unsigned size); /* temporary = top of the stack; RSP stays */

/* ---- Segment registers (move.c): PUSH and POP of one */

void x86_tr_push_seg(struct x86_tr *c);
void x86_tr_pop_seg(struct x86_tr *c);

/* ---- The stack FPU (x87.c, mmx.c) */

/* The current instruction as IR_FPU; d and a are its operands outside the unit. */
struct ir_insn *x86_tr_fpu_op(struct x86_tr *c, enum ir_type type, ir_ref d, ir_ref a);
enum ir_type x86_tr_fpu_type(unsigned bytes);
bool x86_tr_mmx_form(const struct x86_tr *c); /* one of the first two operands is an MMX register */

/* ---- Flags look-ahead (lookahead.c) */

uint32_t x86_tr_live_at(struct x86_tr *c, gva_t target); /* flag bits that code at target may read; F_ALL if unknown */

/* ---- AVX-512, all of it (evex.c) */

void x86_tr_evex(struct x86_tr *c);
void x86_tr_evex_gather(struct x86_tr *c);

/* ---- Late immediates (late.c) */

void x86_tr_late_begin(struct x86_tr *c);
void x86_tr_late_end(struct x86_tr *c);
void x86_tr_late_look(struct x86_tr *c, gva_t pc, const struct x86_insn *in); /* the look-ahead depends on this instruction */
/* x86_tr_src() for families whose op takes any source as operand b: an immediate may be late, in a temporary. */
ir_ref x86_tr_late_src(struct x86_tr *c, unsigned n);

/* ---- The families */
#define X86_TR(iid, fn, arg) void x86_tr_##fn(struct x86_tr *c);
#include "vcpu/x86/tr/families.def"
#undef X86_TR

#endif
