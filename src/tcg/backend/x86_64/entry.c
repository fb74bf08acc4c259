/* SPDX-License-Identifier: MIT */
/*
 * Shared stubs: entering and leaving generated code, indirect jumps, runtime calls, native traps.
 *
 * While generated code runs, rsp is the return-prediction stack and env.host_sp the C stack. Stubs never push: the prediction stack's
 * overflow drops all of it (signals.c), so nothing on it may be needed but return addresses of blocks, whose loss only costs a
 * jump-cache lookup, and the one of the stub itself, which a call instruction that faulted pushes again when it is resumed.
 * Whenever C runs, the guest's vectors and their control word are in env (vec.c).
 */
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/slow.h"
#include "tcg/guest.h"
#include "util/err.h"

struct stubs stubs;
const struct guest_isa *stubs_isa;

void stub_save_pins(struct as *s, uint32_t mask)
{
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (greg_pin[n] != R_NONE && (mask >> greg_pin[n] & 1))
			as_store(s, rm_gs(offsetof(struct tcg_env, greg) + n * 8), greg_pin[n]);
}

void stub_load_pins(struct as *s, uint32_t mask)
{
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (greg_pin[n] != R_NONE && (mask >> greg_pin[n] & 1))
			as_load(s, greg_pin[n], rm_gs(offsetof(struct tcg_env, greg) + n * 8));
}

/* Pinned registers have been saved. */
void stub_flags_to_c(struct as *s)
{
	as_op(s, OP_MOVZX8, R_AX, rm_gs(BE_FLAGS_O));
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_AX), 1);
	as_op_imm8(s, 0xc1, 4, rm_reg(R_AX), BE_FLAGS_O_SHIFT); /* shl */
	as_op(s, 0x0a, R_AX, rm_gs(BE_FLAGS_LOW));              /* or al */
	as_store(s, RM_ENV(flags), R_AX);
}

/* They have not been loaded yet; rax stays. */
static void flags_from_c(struct as *s)
{
	as_load(s, R_CX, RM_ENV(flags));
	as_op(s, 0x88, R_CX, rm_gs(BE_FLAGS_LOW));
	as_op_imm8(s, 0xc1, 5, rm_reg(R_CX), BE_FLAGS_O_SHIFT); /* shr */
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_CX), 1);
	as_op(s, 0x88, R_CX, rm_gs(BE_FLAGS_O));
}

void stub_to_c_stack(struct as *s)
{
	as_store(s, RM_ENV(be_sp), R_SP);
	as_load(s, R_SP, RM_ENV(host_sp));
}

void stub_from_c_stack(struct as *s)
{
	as_load(s, R_SP, RM_ENV(be_sp));
}

void stub_call_reg(struct as *s, unsigned reg)
{
	as_op(s, 0xff, 2, rm_reg(reg));
}

static const uint8_t *here(const struct as *s)
{
	return s->rx + as_off(s);
}

static const uint8_t *begin(struct as *s)
{
	as_nops(s, (unsigned)-as_off(s) & 15);
	return here(s);
}

/* ---- Entering and leaving */

static const uint8_t callee_saved[] = { R_BX, R_BP, R_12, R_13, R_14, R_15 };

static void push_pop(struct as *s, unsigned op, unsigned reg)
{
	if (reg >= 8)
		as_u8(s, 0x41);
	as_u8(s, op | (reg & 7));
}

/* void enter(env in rdi, code in rsi) */
static void emit_enter(struct as *s)
{
	stubs.enter = (void (*)(struct tcg_env *, const void *))(uintptr_t)begin(s);
	for (unsigned n = 0; n < ARRAY_LEN(callee_saved); n++)
		push_pop(s, 0x50, callee_saved[n]);
	as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_SP), 8); /* the C stack is 16-aligned at calls */
	as_store(s, RM_ENV(host_sp), R_SP);
	as_load(s, R_SP, RM_ENV(ret_stack_top));
	as_mov(s, R_13, R_SI);
	stub_load_pins(s, PIN_MASK);
	as_op(s, 0xff, 4, rm_reg(R_13));
}

static void emit_leave(struct as *s)
{
	uint32_t tail;

	stubs.leave = begin(s);
	stub_save_pins(s, PIN_MASK);
	tail = as_off(s);
	as_load(s, R_SP, RM_ENV(host_sp));
	stub_vec_spill(s);
	as_alu_imm(s, ALU_ADD, OP_W, rm_reg(R_SP), 8);
	for (unsigned n = ARRAY_LEN(callee_saved); n-- > 0;)
		push_pop(s, 0x58, callee_saved[n]);
	as_u8(s, 0xc3);

	/* From C, with everything the guest owns in env: only the frames go. */
	stubs.unwind = begin(s);
	as_op(s, 0xc7, 0, RM_ENV(exit_code));
	as_u32(s, TCG_EXIT_EVENT);
	as_patch(s, as_jmp(s), tail);
}

static void exit_with(struct as *s, enum tcg_exit code)
{
	as_op(s, 0xc7, 0, RM_ENV(exit_code));
	as_u32(s, code);
	as_jmp_abs(s, stubs.leave);
}

static void emit_exits(struct as *s)
{
	stubs.exit_lookup = begin(s);
	as_store(s, RM_ENV(pc), R_13);
	stubs.exit_lookup_pc_set = here(s);
	exit_with(s, TCG_EXIT_LOOKUP);

	stubs.exit_alone = begin(s);
	as_store(s, RM_ENV(pc), R_13);
	exit_with(s, TCG_EXIT_ALONE);

	stubs.exit_chain = begin(s);
	as_store(s, RM_ENV(pc), R_13);
	as_store(s, RM_ENV(exit_index), R_14);
	as_store(s, RM_ENV(exit_tb), R_15);
	exit_with(s, TCG_EXIT_CHAIN);
}

/* ---- Indirect jumps: the PC is in r13. */

/* The second jump cache; r15 is the tag. An index of it times 16 is 8 times (x ^ x >> 4) without bit 0. */
static void emit_jump_miss(struct as *s)
{
	struct rm m = { .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_14, .scale = 3 };

	stubs.jump_miss = begin(s);
	as_mov(s, R_14, R_13);
	as_op_imm8(s, 0xc1, 5, rm_reg(R_14), 4); /* shr, of the low half */
	as_alu(s, ALU_XOR, R_14, rm_reg(R_13));
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_14), 2 * TCG_JX_SIZE - 2);
	m.disp = offsetof(struct tcg_env, jx) + offsetof(struct tcg_jx_entry, tag);
	as_alu(s, ALU_CMP, R_15, m);
	as_jcc_abs(s, 5, stubs.exit_lookup);
	m.disp = offsetof(struct tcg_env, jx) + offsetof(struct tcg_jx_entry, code);
	as_op(s, 0xff, 4, m);

	stubs.branch_miss = begin(s);
	as_store(s, RM_ENV(branch_pc), R_14);
	as_store(s, RM_ENV(branch_to), R_13);
	as_alu_imm(s, ALU_CMP, 0, RM_ENV(request), 0);
	as_jcc_abs(s, 5, stubs.exit_lookup); /* r15 may not be the tag yet */
	as_jmp_abs(s, stubs.jump_miss);
}

/* A direct jump that both do not know; r14 is the tag. */
static void emit_far_miss(struct as *s)
{
	stubs.far_miss = begin(s);
	as_mov(s, R_13, R_14);
	as_alu(s, ALU_SUB, R_13, RM_ENV(jc_salt));
	as_jmp_abs(s, stubs.exit_lookup);
}

/* Returns that were not predicted: the target is in r15, who returns in r13. */
static void emit_returned(struct as *s)
{
	struct rm m = { .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_14, .scale = 3, .disp = offsetof(struct tcg_env, jc_tag) };
	uint32_t asked, miss;

	/* The prediction stack is empty: its bottom stays where it is. */
	stubs.ret_miss = begin(s);
	as_load(s, R_SP, RM_ENV(ret_stack_top));
	stubs.returned = here(s);
	as_alu_imm(s, ALU_CMP, 0, RM_ENV(request), 0);
	asked = as_jcc(s, 5);
	as_op(s, OP_MOVZX16, R_14, rm_reg(R_15));
	as_alu(s, ALU_ADD, R_15, RM_ENV(jc_salt));
	as_alu(s, ALU_CMP, R_15, m);
	miss = as_jcc(s, 5);
	m.disp = offsetof(struct tcg_env, jc_code);
	as_op(s, 0xff, 4, m);

	as_patch(s, miss, as_off(s));
	as_store(s, RM_ENV(branch_pc), R_13);
	as_mov(s, R_13, R_15);
	as_alu(s, ALU_SUB, R_13, RM_ENV(jc_salt));
	as_store(s, RM_ENV(branch_to), R_13);
	as_jmp_abs(s, stubs.jump_miss);

	as_patch(s, asked, as_off(s));
	as_store(s, RM_ENV(branch_pc), R_13);
	as_mov(s, R_13, R_15);
	as_store(s, RM_ENV(branch_to), R_13);
	as_jmp_abs(s, stubs.exit_lookup);
}

static void emit_jump_env(struct as *s)
{
	struct rm m = { .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_14, .scale = 3, .disp = offsetof(struct tcg_env, jc_tag) };

	stubs.jump_env = begin(s);
	as_load(s, R_SP, RM_ENV(ret_stack_top));
	as_load(s, R_13, RM_ENV(pc));
	as_alu_imm(s, ALU_CMP, 0, RM_ENV(request), 0);
	as_jcc_abs(s, 5, stubs.exit_lookup);
	as_op(s, OP_MOVZX16, R_14, rm_reg(R_13));
	as_load(s, R_15, RM_ENV(jc_salt));
	as_alu(s, ALU_ADD, R_15, rm_reg(R_13));
	as_alu(s, ALU_CMP, R_15, m);
	as_jcc_abs(s, 5, stubs.jump_miss);
	m.disp = offsetof(struct tcg_env, jc_code);
	as_op(s, 0xff, 4, m);
}

/* ---- Runtime calls: arguments in env.be_arg, function in r13, result to r13. */

struct rt_variant_of {
	uint32_t save, load; /* pinned registers */
	bool flags_in, flags_out;
};

static void emit_rt_variant(struct as *s, const struct rt_variant_of *v, enum vec_level vec)
{
	stub_save_pins(s, v->save);
	if (v->flags_in)
		stub_flags_to_c(s);
	stub_to_c_stack(s);
	stub_vec_spill(s);
	as_load(s, R_DI, RM_ENV(self));
	as_load(s, R_SI, rm_gs(offsetof(struct tcg_env, be_arg[0])));
	as_load(s, R_DX, rm_gs(offsetof(struct tcg_env, be_arg[1])));
	as_load(s, R_CX, rm_gs(offsetof(struct tcg_env, be_arg[2])));
	stub_call_reg(s, R_13);
	stub_vec_fill(s, vec);
	stub_from_c_stack(s);
	as_mov(s, R_13, R_AX);
	if (v->flags_out)
		flags_from_c(s);
	stub_load_pins(s, v->load);
	as_u8(s, 0xc3);
}

enum rt_variant { RT_VARIANT_PURE, RT_VARIANT_READS, RT_VARIANT_WRITES, RT_VARIANTS };

static enum rt_variant variant_of(unsigned effects)
{
	if (effects & (RT_WRITES_GREG | RT_WRITES_FLAGS))
		return RT_VARIANT_WRITES;
	return (effects & (RT_READS_GREG | RT_READS_FLAGS | RT_FAULTS)) ? RT_VARIANT_READS : RT_VARIANT_PURE;
}

static void emit_rt(struct as *s, const struct guest_isa *isa, enum vec_level vec)
{
	static const struct rt_variant_of of[RT_VARIANTS] = {
		[RT_VARIANT_PURE] = { PIN_CALLER_SAVED, PIN_CALLER_SAVED, false, false },
		[RT_VARIANT_READS] = { PIN_MASK, PIN_CALLER_SAVED, true, false },
		[RT_VARIANT_WRITES] = { PIN_MASK, PIN_MASK, true, true },
	};
	const uint8_t *variant[RT_VARIANTS];

	for (unsigned v = 0; v < RT_VARIANTS; v++) {
		variant[v] = begin(s);
		emit_rt_variant(s, &of[v], vec);
	}
	for (unsigned n = 0; n < isa->nr_rt && n < STUB_MAX_RT; n++) {
		stubs.rt[vec][n] = here(s);
		as_mov_imm(s, R_13, (int64_t)(uintptr_t)isa->rt[n].fn);
		as_jmp_abs(s, variant[variant_of(isa->rt[n].effects)]);
	}
}

/* ---- Native traps: guest state is in env, rsp is the C stack, rsi = enum guest_trap. */
static void emit_trap(struct as *s, const struct guest_isa *isa)
{
	stubs.trap = begin(s);
	as_op(s, OP_0F | 0xae, 2, RM_ENV(host_mxcsr)); /* vectors and the guest's word have been taken from the signal's frame */
	as_load(s, R_DI, RM_ENV(self));
	as_mov_imm(s, R_13, (int64_t)(uintptr_t)isa->trap);
	stub_call_reg(s, R_13);
	as_bytes(s, "\x0f\x0b", 2); /* does not return */
}

long stubs_init(const struct guest_isa *isa, bool evex, uint8_t *rw, const uint8_t *rx, size_t size, struct err *err)
{
	struct as s = { .base = rw, .p = rw, .end = rw + size, .rx = rx };

	stubs_isa = isa;
	vec_emit(&s, evex);
	emit_enter(&s);
	emit_leave(&s);
	emit_exits(&s);
	emit_jump_miss(&s);
	emit_far_miss(&s);
	emit_returned(&s);
	emit_jump_env(&s);
	for (unsigned level = 0; level < VEC_LEVELS; level++)
		emit_rt(&s, isa, (enum vec_level)level);
	emit_trap(&s, isa);
	slow_emit(&s);
	shortcut_emit(&s, &isa->shortcut);
	if (s.overflow)
		return err_set(err, "code memory is too small for the shared stubs");
	return (long)as_off(&s);
}
