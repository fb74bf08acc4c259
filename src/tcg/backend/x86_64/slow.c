/* SPDX-License-Identifier: MIT */
/*
 * Slow paths of memory accesses, shared by all blocks. Two steps, both with r13 = linear address, r14d = size | slot << 8 | SLOW_*:
 *
 * 1. The probe of level 1 (tag = page | context, tlb_layout.h), one stub per MMU mode and kind of access: under the page's number, then among the large
 *    pages. Nothing needs to be saved for it.
 *    A hit in the page of the slot's last miss fills the level-0 slot: then a slot that two pages fight for costs little.
 *    A miss returns 5 bytes further: behind the jump back to the hot access.
 * 2. tlb_access_slow(): stubs by whether the block relies on live vectors (vec.c). env.pc is stored.
 *    If the access must be committed (env.bounce_kind), returns 5 bytes further.
 *
 * Out: r13 = host address, r14 = host address - linear address; everything else as before, EFLAGS lost.
 */
#include "mem/code_watch.h"
#include "mem/tlb.h"
#include "tcg/backend/x86_64/slow.h"
#include "tcg/evex_access.h"

#define OFF_TLB(field) (offsetof(struct tcg_env, tlb) + offsetof(struct tlb, field))
#define OFF_L1(mode, field) (OFF_TLB(l1[0][TLB_L1_LARGE]) + (mode) * TLB_L1_ENTRIES * sizeof(struct tlb_entry) + offsetof(struct tlb_entry, field))
#define LARGE_BYTES ((int32_t)(TLB_L1_LARGE * sizeof(struct tlb_entry)))

struct slow {
	struct as *s;
	unsigned mode;
	enum slow_kind kind;
	enum vec_level vec;
	uint32_t to_c[4]; /* jumps to the C part */
	unsigned nr_to_c;
};

static void to_c_if(struct slow *w, unsigned cc)
{
	w->to_c[w->nr_to_c++] = as_jcc(w->s, cc);
}

/* The level-0 table an access of this kind fills: the write table, but for plain reads. */
static unsigned l0_kind(const struct slow *w)
{
	return w->kind != SLOW_READ;
}

static void op32(struct slow *w, uint32_t op, unsigned reg, struct rm m)
{
	as_op(w->s, op, reg, m);
}

/*
 * rax = offset of the entry from the first of its kind; that one's from the first of a page is `first`. Returns the jump for a miss. User mode has no
 * global pages to speak of.
 */
static uint32_t emit_tag_test(struct slow *w, unsigned bits, unsigned entries, int32_t first)
{
	struct as *s = w->s;
	struct rm tag = rm_gs_base(R_AX, OFF_L1(w->mode, tag) + (w->kind == SLOW_WRITE) * 8);
	uint32_t global, miss;

	tag.disp += first;

	op32(w, OP_MOVZX8 | OP_M8, R_CX, rm_reg(R_14));
	as_mov(s, R_AX, R_13);
	as_op(s, OP_LEA | OP_W, R_CX, rm_mem(R_13, R_CX, 0, -1));
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_AX), bits - 6); /* shr: page number * 64 */
	as_alu_imm(s, ALU_AND, OP_W, rm_reg(R_CX), -(int32_t)(1u << bits)); /* of the last byte: page crossing fails by itself */
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_AX), (int32_t)((entries - 1) << 6));
	if (w->mode == 0) {
		as_alu(s, ALU_OR, R_CX, rm_gs(OFF_TLB(ctx)));
		as_alu(s, ALU_CMP, R_CX, tag);
		return as_jcc(s, 5);
	}
	as_alu(s, ALU_XOR, R_CX, tag);
	global = as_jcc(s, 4);
	as_alu(s, ALU_CMP, R_CX, rm_gs(OFF_TLB(ctx)));
	miss = as_jcc(s, 5);
	as_patch(s, global, as_off(s));
	return miss;
}

/*
 * rax: the entry of a large page, from the first entry of its kind -> an entry that says the same of the page of r13, from the first of a page: most
 * times still that of the large page; once in a while one of the page's own, for those who look there only.
 */
static void emit_large_hit(struct slow *w)
{
	static const size_t same[] = { offsetof(struct tlb_entry, disp), offsetof(struct tlb_entry, lo), offsetof(struct tlb_entry, span),
				       offsetof(struct tlb_entry, wlo), offsetof(struct tlb_entry, wspan) };
	const size_t tag = OFF_L1(w->mode, tag), bits = w->mode * sizeof(((struct tlb *)0)->l1_any[0]) + TLB_L1_LARGE / 8;
	struct as *s = w->s;
	uint32_t not_now, not_written;

	as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_AX), LARGE_BYTES);
	as_alu_imm(s, ALU_SUB, 0, rm_gs(OFF_TLB(l1_turn)), 1);
	not_now = as_jcc(s, 5);
	as_alu_imm(s, ALU_ADD, 0, rm_gs(OFF_TLB(l1_turn)), TLB_L1_TURN);
	as_store(s, RM_ENV(be_save[4]), R_14);
	as_mov(s, R_14, R_13);
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_14), GUEST_PAGE_BITS - 6);
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_14), (int32_t)((TLB_L1_SIZE - 1) << 6));
	for (unsigned n = 0; n < ARRAY_LEN(same); n++) {
		as_load(s, R_CX, rm_gs_base(R_AX, tag + same[n]));
		as_store(s, rm_gs_base(R_14, tag + same[n]), R_CX);
	}
	as_mov(s, R_CX, R_13);
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_CX), (1 << REGION_BITS) - (int32_t)GUEST_PAGE_SIZE);
	as_alu(s, ALU_OR, R_CX, rm_gs_base(R_AX, tag)); /* valid: what may be written may be read */
	as_store(s, rm_gs_base(R_14, tag), R_CX);
	as_alu(s, ALU_OR, R_CX, rm_gs_base(R_AX, tag + 8)); /* the same, or TLB_TAG_INVALID, all ones */
	as_store(s, rm_gs_base(R_14, tag + 8), R_CX);
	as_mov(s, R_AX, R_14);
	as_op_imm8(s, 0xc1, 5, rm_reg(R_14), 6);
	as_op(s, OP_W | OP_0F | 0xab, R_14, rm_gs(OFF_TLB(l1_any) + bits)); /* bts */
	as_alu_imm(s, ALU_CMP, OP_W, rm_reg(R_CX), -1);
	not_written = as_jcc(s, 4);
	as_op(s, OP_W | OP_0F | 0xab, R_14, rm_gs(OFF_TLB(l1_write) + bits));
	as_patch(s, not_written, as_off(s));
	as_load(s, R_14, RM_ENV(be_save[4]));
	as_patch(s, not_now, as_off(s));
}

/* Slot number -> r14. Returns the jump for a second miss in one page. In user mode misses are counted; with the last of the slot's budget on to C. */
static uint32_t emit_second_miss(struct slow *w)
{
	struct as *s = w->s;
	struct rm last = { .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_14, .scale = 2,
			   .disp = (int32_t)offsetof(struct tcg_env, l0_last[w->mode][l0_kind(w)]) };
	struct rm budget = last;

	budget.disp = (int32_t)offsetof(struct tcg_env, l0_budget);
	op32(w, OP_MOV_MR, R_14, rm_reg(R_CX));
	as_op_imm8(s, 0xc1, 5, rm_reg(R_CX), SLOW_SLOT_SHIFT);
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_CX), TLB_L0_SLOTS - 1);
	op32(w, OP_MOV_MR, R_CX, rm_reg(R_14));
	if (w->mode == 0) {
		as_alu_imm(s, ALU_SUB, 0, budget, 1);
		to_c_if(w, 4);
	}
	as_mov(s, R_CX, R_13);
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_CX), GUEST_PAGE_BITS);
	op32(w, OP_CMP_RM, R_CX, last);
	op32(w, OP_MOV_MR, R_CX, last);
	return as_jcc(s, 4);
}

/* l0_live and l0_global bits of slot number rcx, for the entry at rax; r14 is free. */
static void emit_marks(struct slow *w)
{
	struct as *s = w->s;
	size_t at = (w->mode * 2 + l0_kind(w)) * 8;
	struct rm live = rm_gs(OFF_TLB(l0_live) + at), glob = rm_gs(OFF_TLB(l0_global) + at);
	uint32_t local;

	as_load(s, R_14, live);
	as_op(s, OP_W | OP_0F | 0xab, R_CX, rm_reg(R_14)); /* bts */
	as_store(s, live, R_14);
	as_load(s, R_14, glob);
	as_op(s, OP_W | OP_0F | 0xb3, R_CX, rm_reg(R_14)); /* btr */
	as_op(s, 0xf7, 0, rm_gs_base(R_AX, OFF_L1(w->mode, tag) + l0_kind(w) * 8)); /* test tag, 0xfff */
	as_u32(s, GUEST_PAGE_SIZE - 1);
	local = as_jcc(s, 5);
	as_op(s, OP_W | OP_0F | 0xab, R_CX, rm_reg(R_14));
	as_patch(s, local, as_off(s));
	as_store(s, glob, R_14);
}

/* Level-0 slot (slot number in rcx) from the entry at rax; r14 and rcx are free. */
static void emit_fill(struct slow *w)
{
	struct as *s = w->s;
	size_t l0 = offsetof(struct tcg_env, l0) + (w->mode * 2 + l0_kind(w)) * TLB_L0_SLOTS * sizeof(struct tlb_slot);
	bool write = l0_kind(w);

	as_op_imm8(s, 0xc1, 4, rm_reg(R_CX), 6);
	as_load(s, R_14, rm_gs_base(R_AX, write ? OFF_L1(w->mode, wlo) : OFF_L1(w->mode, lo)));
	as_store(s, rm_gs_base(R_CX, l0 + offsetof(struct tlb_slot, lo)), R_14);
	as_load(s, R_14, rm_gs_base(R_AX, write ? OFF_L1(w->mode, wspan) : OFF_L1(w->mode, span)));
	for (unsigned n = 0; n < TLB_L0_SIZES; n++) { /* span, span - 1, - 3, - 7, ... */
		if (n)
			as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_14), 1 << (n - 1));
		as_store(s, rm_gs_base(R_CX, l0 + offsetof(struct tlb_slot, lim) + n * 8), R_14);
	}
	as_load(s, R_14, rm_gs_base(R_AX, OFF_L1(w->mode, disp)));
	as_store(s, rm_gs_base(R_CX, l0 + offsetof(struct tlb_slot, disp)), R_14);
}

static void restore_scratch(struct slow *w)
{
	as_load(w->s, R_AX, rm_gs(offsetof(struct tcg_env, be_save[0])));
	as_load(w->s, R_CX, rm_gs(offsetof(struct tcg_env, be_save[1])));
}

/* The answer for the entry at rax. */
static void emit_result(struct slow *w)
{
	struct as *s = w->s;

	as_load(s, R_14, rm_gs_base(R_AX, OFF_L1(w->mode, disp)));
	restore_scratch(w);
	as_alu(s, ALU_ADD, R_13, rm_reg(R_14));
	as_u8(s, 0xc3);
}

static void emit_second_hit(struct slow *w)
{
	struct as *s = w->s;
	uint32_t no_fill = 0;

	if (w->kind == SLOW_STACK_READ) { /* readable; the slot wants a page that is writable too */
		as_load(s, R_CX, rm_gs_base(R_AX, OFF_L1(w->mode, tag)));
		as_alu(s, ALU_CMP, R_CX, rm_gs_base(R_AX, OFF_L1(w->mode, tag) + 8));
		no_fill = as_jcc(s, 5);
	}
	op32(w, OP_MOV_MR, R_14, rm_reg(R_CX));
	emit_marks(w);
	emit_fill(w);
	if (no_fill)
		as_patch(s, no_fill, as_off(s));
	emit_result(w);
}

static void emit_probe_stub(struct as *s, unsigned mode, enum slow_kind kind)
{
	struct slow w = { .s = s, .mode = mode, .kind = kind };
	uint32_t second, large, entry;

	as_nops(s, (unsigned)-as_off(s) & 15);
	stubs.probe[mode][kind] = s->rx + as_off(s);
	as_store(s, rm_gs(offsetof(struct tcg_env, be_save[0])), R_AX);
	as_store(s, rm_gs(offsetof(struct tcg_env, be_save[1])), R_CX);
	large = emit_tag_test(&w, GUEST_PAGE_BITS, TLB_L1_SIZE, 0);
	entry = as_off(s);
	second = emit_second_miss(&w);
	emit_result(&w);
	as_patch(s, second, as_off(s));
	emit_second_hit(&w);
	as_patch(s, large, as_off(s));
	w.to_c[w.nr_to_c++] = emit_tag_test(&w, REGION_BITS, TLB_L1_LARGE, -LARGE_BYTES);
	emit_large_hit(&w);
	as_patch(s, as_jmp(s), entry);
	for (unsigned n = 0; n < w.nr_to_c; n++)
		as_patch(s, w.to_c[n], as_off(s));
	restore_scratch(&w);
	as_alu_imm(s, ALU_ADD, OP_W, rm_mem(R_SP, R_NONE, 0, 0), 5);
	as_u8(s, 0xc3);
}

/*
 * For who looked into the wide table in place of level 0: what level 1 says of the page enters it, and no slot. Once in wide_turn misses its length is
 * to be thought over, in C.
 */
static void emit_wide_stub(struct as *s)
{
	struct slow w = { .s = s, .mode = 0, .kind = SLOW_READ };
	uint32_t large, entry;

	as_nops(s, (unsigned)-as_off(s) & 15);
	stubs.wide = s->rx + as_off(s);
	as_store(s, rm_gs(offsetof(struct tcg_env, be_save[0])), R_AX);
	as_store(s, rm_gs(offsetof(struct tcg_env, be_save[1])), R_CX);
	as_alu_imm(s, ALU_SUB, 0, rm_gs(OFF_TLB(wide_turn)), 1);
	to_c_if(&w, 14); /* not above 0 */
	large = emit_tag_test(&w, GUEST_PAGE_BITS, TLB_L1_SIZE, 0);
	entry = as_off(s);
	as_mov(s, R_14, R_13);
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_14), GUEST_PAGE_BITS - 4);
	as_alu(s, ALU_AND, R_14, rm_gs(OFF_TLB(wide_mask)));
	as_alu(s, ALU_ADD, R_14, rm_gs(OFF_TLB(wide)));
	as_mov(s, R_CX, R_13);
	as_alu_imm(s, ALU_AND, OP_W, rm_reg(R_CX), -(int32_t)GUEST_PAGE_SIZE);
	as_alu(s, ALU_OR, R_CX, rm_gs(OFF_TLB(ctx)));
	as_store(s, rm_mem(R_14, R_NONE, 0, offsetof(struct tlb_wide_entry, tag)), R_CX);
	as_load(s, R_CX, rm_gs_base(R_AX, OFF_L1(0, disp)));
	as_store(s, rm_mem(R_14, R_NONE, 0, offsetof(struct tlb_wide_entry, disp)), R_CX);
	emit_result(&w);
	as_patch(s, large, as_off(s));
	w.to_c[w.nr_to_c++] = emit_tag_test(&w, REGION_BITS, TLB_L1_LARGE, -LARGE_BYTES);
	as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_AX), LARGE_BYTES);
	as_patch(s, as_jmp(s), entry);
	for (unsigned n = 0; n < w.nr_to_c; n++)
		as_patch(s, w.to_c[n], as_off(s));
	restore_scratch(&w);
	as_alu_imm(s, ALU_ADD, OP_W, rm_mem(R_SP, R_NONE, 0, 0), 5);
	as_u8(s, 0xc3);
}

/* tlb_access_slow(env, va, size, access, mode, slot, align). */
static void emit_c_call(struct slow *w)
{
	struct as *s = w->s;

	as_load(s, R_DI, RM_ENV(self));
	as_mov(s, R_SI, R_13);
	op32(w, OP_MOVZX8 | OP_M8, R_DX, rm_reg(R_14));
	op32(w, OP_MOV_MR, R_14, rm_reg(R_CX));
	if (w->kind == SLOW_WRITE) { /* TLB_WRITE or TLB_RMW */
		as_op_imm8(s, 0xc1, 5, rm_reg(R_CX), 17);
		as_alu_imm(s, ALU_AND, 0, rm_reg(R_CX), 1);
		as_op(s, OP_LEA, R_CX, rm_mem(R_CX, R_CX, 0, TLB_WRITE)); /* 1 + 2 * rmw */
	} else {
		as_mov_imm(s, R_CX, TLB_READ);
	}
	as_mov_imm(s, R_8, w->mode);
	op32(w, OP_MOV_MR, R_14, rm_reg(R_9));
	as_op_imm8(s, 0xc1, 5, rm_reg(R_9), SLOW_SLOT_SHIFT);
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_9), TLB_L0_SLOTS - 1);
	op32(w, OP_MOV_MR, R_14, rm_reg(R_AX));
	as_op_imm8(s, 0xc1, 5, rm_reg(R_AX), 16);
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_AX), 1);
	as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_SP), 16);
	as_store(s, rm_mem(R_SP, R_NONE, 0, 0), R_AX);
	as_mov_imm(s, R_AX, (int64_t)(uintptr_t)tlb_access_slow);
	stub_call_reg(s, R_AX);
}

_Static_assert(TLB_RMW == TLB_WRITE + 2, "computed from SLOW_RMW");
_Static_assert(SLOW_ALIGN == 1u << 16 && SLOW_RMW == 1u << 17, "shifted out");

/* evex_access(env, va, access, kind, mode). */
static void emit_partial_call(struct slow *w)
{
	struct as *s = w->s;

	as_load(s, R_DI, RM_ENV(self));
	as_mov(s, R_SI, R_13);
	as_mov(s, R_DX, R_14);
	as_mov_imm(s, R_CX, w->kind == SLOW_WRITE ? TLB_WRITE : TLB_READ);
	as_mov_imm(s, R_8, w->mode);
	as_mov_imm(s, R_AX, (int64_t)(uintptr_t)evex_access);
	stub_call_reg(s, R_AX);
}

static void emit_c(struct slow *w, void (*call)(struct slow *w))
{
	struct as *s = w->s;
	uint32_t plain;

	stub_save_pins(s, PIN_MASK);
	stub_flags_to_c(s); /* it may fault */
	stub_to_c_stack(s);
	stub_vec_spill(s);
	call(w);
	stub_vec_fill(s, w->vec);
	stub_from_c_stack(s);
	as_mov(s, R_14, R_AX);
	as_alu(s, ALU_SUB, R_14, rm_reg(R_13));
	as_mov(s, R_13, R_AX);
	stub_load_pins(s, PIN_CALLER_SAVED);
	if (w->kind == SLOW_WRITE) {
		as_alu_imm(s, ALU_CMP, 0, RM_ENV(bounce_kind), TLB_BOUNCE_NONE);
		plain = as_jcc(s, 4);
		as_alu_imm(s, ALU_ADD, OP_W, rm_mem(R_SP, R_NONE, 0, 0), 5);
		as_patch(s, plain, as_off(s));
	}
	as_u8(s, 0xc3);
}

static void emit_slow(struct as *s, unsigned mode, enum slow_kind kind, enum vec_level vec)
{
	struct slow w = { .s = s, .mode = mode, .kind = kind, .vec = vec };

	as_nops(s, (unsigned)-as_off(s) & 15);
	stubs.slow[mode][kind][vec] = s->rx + as_off(s);
	emit_c(&w, emit_c_call);
}

static void emit_partial(struct as *s, unsigned mode, enum slow_kind kind, enum vec_level vec)
{
	struct slow w = { .s = s, .mode = mode, .kind = kind, .vec = vec };

	as_nops(s, (unsigned)-as_off(s) & 15);
	stubs.partial[mode][kind == SLOW_WRITE][vec] = s->rx + as_off(s);
	emit_c(&w, emit_partial_call);
}

/* tlb_commit(env) behind an access: registers, vectors and EFLAGS are what the access left. */
static void emit_commit(struct as *s, enum vec_level vec)
{
	as_nops(s, (unsigned)-as_off(s) & 15);
	stubs.commit[vec] = s->rx + as_off(s);
	stub_to_c_stack(s);
	as_u8(s, 0x9c); /* pushfq: on the C stack, whose alignment is restored below */
	as_op(s, OP_LEA | OP_W, R_SP, rm_mem(R_SP, R_NONE, 0, -8));
	stub_save_pins(s, PIN_CALLER_SAVED);
	stub_vec_spill(s);
	as_load(s, R_DI, RM_ENV(self));
	as_mov_imm(s, R_AX, (int64_t)(uintptr_t)tlb_commit);
	stub_call_reg(s, R_AX);
	stub_vec_fill(s, vec);
	stub_load_pins(s, PIN_CALLER_SAVED);
	as_op(s, OP_LEA | OP_W, R_SP, rm_mem(R_SP, R_NONE, 0, 8));
	as_u8(s, 0x9d);
	stub_from_c_stack(s);
	as_u8(s, 0xc3);
}

void slow_emit(struct as *s)
{
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned kind = 0; kind < SLOW_KINDS; kind++) {
			emit_probe_stub(s, mode, (enum slow_kind)kind);
			for (unsigned vec = 0; vec < VEC_LEVELS; vec++)
				emit_slow(s, mode, (enum slow_kind)kind, (enum vec_level)vec);
		}
	emit_wide_stub(s);
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned vec = VEC_EVEX; vec < VEC_LEVELS; vec++) {
			emit_partial(s, mode, SLOW_READ, (enum vec_level)vec);
			emit_partial(s, mode, SLOW_WRITE, (enum vec_level)vec);
		}
	for (unsigned vec = 0; vec < VEC_LEVELS; vec++)
		emit_commit(s, (enum vec_level)vec);
}
