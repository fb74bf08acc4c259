/* SPDX-License-Identifier: MIT */
/*
 * What needs no runtime call in the common case (enum ir_shortcut): runs of elements by the host's own string instructions, as kernels clear and copy
 * a few dozen bytes at a time, and compare-exchange of 16 bytes, which their allocators live on; the call costs several times the work. One stub
 * per MMU mode and shortcut.
 *
 * In: the guest's registers; r13 = argument a of CAS16. Out: Z set and r13 = 0 if it is done, registers and env.be_flags as the guest's
 * instruction leaves them; else Z clear, and nothing has happened. r13 and EFLAGS are lost.
 *
 * An operand is looked up in level 1 (tlb_layout.h), first under its page's number, then among the large pages: who fills, copies and allocates is
 * called from everywhere, so that a level-0 slot would seldom know. What level 1 does not let through (code, devices, watched pages) is the
 * runtime's, and so are runs that cross a page or go down.
 *
 * While the host's string instruction runs, rdi and rsi are host addresses. It cannot fault, an interrupted one goes on where it was, and nobody
 * looks at the guest's registers inside of a stub.
 */
#include "mem/code_watch.h"
#include "mem/tlb.h"
#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/regs.h"
#include "tcg/backend/x86_64/slow.h"

#define OFF_TLB(field) (offsetof(struct tcg_env, tlb) + offsetof(struct tlb, field))
#define OFF_L1(mode, field) (OFF_TLB(l1[0][TLB_L1_LARGE]) + (mode) * TLB_L1_ENTRIES * sizeof(struct tlb_entry) + offsetof(struct tlb_entry, field))
#define LARGE_BYTES ((int32_t)(TLB_L1_LARGE * sizeof(struct tlb_entry)))

struct side {
	unsigned reg;        /* its linear address */
	bool write;
	unsigned disp;       /* host register for host address - linear address */
	uint32_t miss, back; /* the jump for a page that is not there, and where to go on behind the large pages */
};

struct shortcut {
	struct as *s;
	const struct guest_shortcut *guest;
	unsigned mode;
	uint32_t to_no[6]; /* jumps to where nothing is done */
	unsigned nr_to_no;
};

static void no_if(struct shortcut *w, unsigned cc)
{
	w->to_no[w->nr_to_no++] = as_jcc(w->s, cc);
}

/*
 * r13 = offset of the entry for `reg` among `entries`, which name 2^bits bytes each, from the first of them; that one's from the first of a page is
 * `first`. Returns the jump for a miss. r14 is lost.
 */
static uint32_t emit_look(struct shortcut *w, const struct side *side, unsigned bits, unsigned entries, int32_t first)
{
	struct as *s = w->s;
	struct rm tag = rm_gs_base(R_13, OFF_L1(w->mode, tag) + side->write * 8);
	uint32_t global, miss;

	tag.disp += first;
	as_mov(s, R_13, side->reg);
	as_mov(s, R_14, side->reg);
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_13), bits - 6); /* shr: number * 64 */
	as_alu_imm(s, ALU_AND, OP_W, rm_reg(R_14), -(int32_t)(1u << bits));
	as_alu_imm(s, ALU_AND, 0, rm_reg(R_13), (int32_t)((entries - 1) << 6));
	if (w->mode == 0) { /* no global pages to speak of */
		as_alu(s, ALU_OR, R_14, rm_gs(OFF_TLB(ctx)));
		as_alu(s, ALU_CMP, R_14, tag);
		return as_jcc(s, IR_CC_NZ);
	}
	as_alu(s, ALU_XOR, R_14, tag);
	global = as_jcc(s, IR_CC_Z);
	as_alu(s, ALU_CMP, R_14, rm_gs(OFF_TLB(ctx)));
	miss = as_jcc(s, IR_CC_NZ);
	as_patch(s, global, as_off(s));
	return miss;
}

/* side->disp for a page that holds all of it. r13 and r14 are lost, but for side->disp. */
static void emit_side(struct shortcut *w, struct side *side)
{
	struct as *s = w->s;

	side->miss = emit_look(w, side, GUEST_PAGE_BITS, TLB_L1_SIZE, 0);
	side->back = as_off(s);
	as_load(s, side->disp, rm_gs_base(R_13, OFF_L1(w->mode, disp)));
}

/* Behind the end: the large pages. */
static void emit_large(struct shortcut *w, const struct side *side)
{
	struct as *s = w->s;

	as_patch(s, side->miss, as_off(s));
	w->to_no[w->nr_to_no++] = emit_look(w, side, REGION_BITS, TLB_L1_LARGE, -LARGE_BYTES);
	as_alu_imm(s, ALU_SUB, OP_W, rm_reg(R_13), LARGE_BYTES);
	as_patch(s, as_jmp(s), side->back);
}

/* Temporaries may live in r14 and r15. */
static void save(struct shortcut *w)
{
	as_store(w->s, RM_ENV(be_save[0]), R_14);
	as_store(w->s, RM_ENV(be_save[1]), R_15);
}

static void restore(struct shortcut *w)
{
	as_load(w->s, R_14, RM_ENV(be_save[0]));
	as_load(w->s, R_15, RM_ENV(be_save[1]));
}

static void emit_done(struct shortcut *w)
{
	restore(w);
	as_alu(w->s, ALU_XOR, R_13, rm_reg(R_13));
	as_u8(w->s, 0xc3);
}

static void emit_not_done(struct shortcut *w)
{
	for (unsigned n = 0; n < w->nr_to_no; n++)
		as_patch(w->s, w->to_no[n], as_off(w->s));
	restore(w);
	as_op(w->s, OP_W | 0x85, R_SP, rm_reg(R_SP)); /* test: not zero */
	as_u8(w->s, 0xc3);
}

/* ---- Runs */

/* All of rcx elements in one page; none may be in front of one, and is the runtime's then. */
static void emit_run_side(struct shortcut *w, struct side *side, unsigned log2)
{
	struct as *s = w->s;

	as_op(s, OP_LEA | OP_W, R_13, rm_mem(side->reg, R_CX, log2, -1));
	as_alu(s, ALU_XOR, R_13, rm_reg(side->reg));
	as_alu_imm(s, ALU_CMP, OP_W, rm_reg(R_13), (int32_t)GUEST_PAGE_SIZE);
	no_if(w, IR_CC_NC);
	emit_side(w, side);
}

/* rep stos or rep movs. */
static void emit_rep(struct as *s, bool copy, unsigned log2)
{
	if (log2 == 1)
		as_u8(s, 0x66);
	as_u8(s, 0xf3);
	if (log2 == 3)
		as_u8(s, 0x48);
	as_u8(s, (copy ? 0xa4 : 0xaa) | (log2 != 0));
}

/* The source is looked up first, as r14 is lost in a look. */
static void emit_run(struct shortcut *w, bool copy, unsigned log2)
{
	struct side src = { .reg = R_SI, .disp = R_15 }, dst = { .reg = R_DI, .write = true, .disp = R_14 };
	struct as *s = w->s;

	save(w);
	as_op(s, 0xf7, 0, rm_gs(w->guest->down)); /* test */
	as_u32(s, w->guest->down_bits);
	no_if(w, IR_CC_NZ);
	as_alu_imm(s, ALU_CMP, OP_W, rm_reg(R_CX), (int32_t)(GUEST_PAGE_SIZE >> log2));
	no_if(w, IR_CC_A);
	if (copy)
		emit_run_side(w, &src, log2);
	emit_run_side(w, &dst, log2);
	if (copy)
		as_alu(s, ALU_ADD, R_SI, rm_reg(R_15));
	as_alu(s, ALU_ADD, R_DI, rm_reg(R_14));
	emit_rep(s, copy, log2);
	if (copy)
		as_alu(s, ALU_SUB, R_SI, rm_reg(R_15));
	as_alu(s, ALU_SUB, R_DI, rm_reg(R_14));
	emit_done(w);
	if (copy)
		emit_large(w, &src);
	emit_large(w, &dst);
	emit_not_done(w);
}

/* ---- Compare-exchange of 16 bytes */

static void emit_cas16(struct shortcut *w, bool lock)
{
	struct side side = { .reg = R_15, .write = true, .disp = R_14 };
	struct as *s = w->s;

	save(w);
	as_op(s, 0xf6 | OP_M8, 0, rm_reg(R_13)); /* test r13b, 15 */
	as_u8(s, 15);
	no_if(w, IR_CC_NZ);
	as_mov(s, R_15, R_13);
	emit_side(w, &side);
	as_op(s, OP_W | OP_0F | 0xc7 | (lock ? OP_LOCK : 0), 1, rm_mem(R_15, R_14, 0, 0));
	as_op(s, OP_0F | 0x94 | OP_M8, 0, rm_reg(R_13)); /* setz */
	as_op_imm8(s, 0xc0 | OP_M8, 4, rm_reg(R_13), 6); /* shl: to the place of F_Z */
	as_op(s, 0x80, 4, rm_gs(BE_FLAGS_LOW));          /* and */
	as_u8(s, (uint8_t)~F_Z);
	as_op(s, 0x08 | OP_R8, R_13, rm_gs(BE_FLAGS_LOW)); /* or */
	emit_done(w);
	emit_large(w, &side);
	emit_not_done(w);
}

_Static_assert(F_Z == 1 << 6, "shifted there");

/* ---- The stubs */

/* The host's instructions name their registers: no shortcuts where the guest's are not in those. */
static bool pins_suit(const struct guest_shortcut *g)
{
	return g->down_bits && greg_pin[g->dst] == R_DI && greg_pin[g->src] == R_SI && greg_pin[g->count] == R_CX && greg_pin[g->value] == R_AX &&
	       greg_pin[g->lo] == R_AX && greg_pin[g->hi] == R_DX && greg_pin[g->new_lo] == R_BX && greg_pin[g->new_hi] == R_CX;
}

static void emit_shortcut(struct shortcut *w, unsigned n)
{
	if (n >= IR_SHORTCUT_CAS16)
		emit_cas16(w, n == IR_SHORTCUT_CAS16_LOCK);
	else
		emit_run(w, n >= IR_SHORTCUT_COPY, (n - IR_SHORTCUT_FILL) % 4);
}

void shortcut_emit(struct as *s, const struct guest_shortcut *guest)
{
	if (!pins_suit(guest))
		return;
	for (unsigned mode = 0; mode < TLB_NR_MODES; mode++)
		for (unsigned n = IR_SHORTCUT_NONE + 1; n < IR_SHORTCUTS; n++) {
			struct shortcut w = { .s = s, .guest = guest, .mode = mode };

			as_nops(s, (unsigned)-as_off(s) & 15);
			stubs.shortcut[mode][n] = s->rx + as_off(s);
			emit_shortcut(&w, n);
		}
}
