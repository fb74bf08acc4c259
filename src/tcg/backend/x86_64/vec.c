/* SPDX-License-Identifier: MIT */
/*
 * Vector registers: vector n of the guest is host xmm, ymm or zmm n, across blocks. env.vec_live says whether the registers hold the guest's
 * values or env.vreg does:
 *
 *  - A block that uses vectors looks first, at its very start, where no flags live in the host's; the cold path fills all registers
 *    (stubs.vec_fill). Blocks that use none do nothing, so a kernel pays nothing. Exits do nothing; a chained jump from where the
 *    registers surely are live skips the check of the block it leads to (patch.c).
 *  - They are live at one of several levels (vec.h). Blocks of legacy SSE operations leave upper parts alone, as the guest's would, and so
 *    run at any. VEX operations write all above their width, if only with zeros: their blocks want all 256 bits. EVEX operations of up to 256
 *    bits want vectors 31:16 and mask registers besides, those of 512 bits everything.
 *  - Below VEC_512 all bits 511:256 are zero, in env and in host registers that are live: so what clears them need not have them. While the
 *    guest has something there (TCG_VEC_WIDE), VEC_256 and VEC_EVEX are not to be had: who wants them gets VEC_512.
 *  - The control word goes with them: the host's MXCSR is the guest's exactly while vectors are live, C's otherwise.
 *  - Whatever goes to C stores them first if they are live (stub_vec_spill), and they are not any more. Behind a call in a block that
 *    relies on them they are filled again; otherwise the next block that wants them does it.
 *  - A native trap takes them from the signal's frame.
 *
 * Temporaries borrow host registers of vectors that the block does not mention. While a temporary lives, the vector it has displaced
 * stands in env.vreg (v_out); around calls to C it is brought back.
 */
#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/patch.h"
#include "tcg/backend/x86_64/slow.h"
#include "tcg/backend/x86_64/vec.h"

static struct rm vreg(unsigned n)
{
	return rm_gs(offsetof(struct tcg_env, vreg) + n * sizeof(union tcg_vreg));
}

static struct rm temp_slot(unsigned k)
{
	return rm_gs(offsetof(struct tcg_env, vsave) + k * TCG_VREG_BYTES);
}

static bool is_vt(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_VT;
}

/* ---- Stubs */

static void move_one(struct as *s, uint32_t op, enum vec_level level, unsigned n, struct rm m)
{
	if (level == VEC_512)
		as_evex(s, op | OP_L2, 0, n, 0, m);
	else if (n >= 16)
		as_evex(s, op | OP_L, 0, n, 0, m);
	else if (level >= VEC_256)
		as_vex(s, op | OP_L, n, 0, m);
	else
		as_op(s, op, n, m);
}

static void move_all(struct as *s, uint32_t op, enum vec_level level)
{
	for (unsigned n = 0; n < 16; n++)
		move_one(s, op, level, n, vreg(n));
}

/* Vectors 31:16 and masks. */
static void move_more(struct as *s, uint32_t op, enum vec_level level)
{
	const uint32_t kmov = OP_0F | OP_W | (op == OP_MOVAPS_RM ? 0x90u : 0x91u);

	if (level < VEC_EVEX)
		return;
	for (unsigned n = 16; n < TCG_NR_ZREG; n++)
		move_one(s, op, level, n, vreg(n));
	for (unsigned k = 0; k < TCG_NR_KREG; k++)
		as_vex(s, kmov, k, 0, rm_gs(offsetof(struct tcg_env, kreg) + k * 8));
}

static void live_ret(struct as *s, enum vec_level level)
{
	as_op(s, 0xc7, 0, RM_ENV(vec_live));
	as_u32(s, level);
	as_u8(s, 0xc3);
}

static const uint8_t *begin(struct as *s)
{
	as_nops(s, (unsigned)-as_off(s) & 15);
	return s->rx + as_off(s);
}

static void stmxcsr(struct as *s, struct rm m)
{
	as_op(s, OP_0F | 0xae, 3, m);
}

static void ldmxcsr(struct as *s, struct rm m)
{
	as_op(s, OP_0F | 0xae, 2, m);
}

/* A jump if they are live at that level. */
static uint32_t if_level(struct as *s, enum vec_level level)
{
	as_alu_imm(s, ALU_CMP, 0, RM_ENV(vec_live), (int)level);
	return as_jcc(s, IR_CC_Z);
}

static enum vec_level top_level; /* [const] after vec_emit(): the highest that the host has */

/* Upper halves are cleared behind it: C's legacy SSE code would wait for them. */
static void emit_spill(struct as *s)
{
	uint32_t to[VEC_LEVELS];

	stubs.vec_spill = begin(s);
	stmxcsr(s, RM_ENV(mxcsr));
	ldmxcsr(s, RM_ENV(host_mxcsr));
	for (unsigned level = VEC_256; level <= top_level; level++)
		to[level] = if_level(s, (enum vec_level)level);
	move_all(s, OP_MOVAPS_MR, VEC_128);
	live_ret(s, VEC_NONE);
	for (unsigned level = VEC_256; level <= top_level; level++) {
		as_patch(s, to[level], as_off(s));
		move_all(s, OP_MOVAPS_MR, (enum vec_level)level);
		move_more(s, OP_MOVAPS_MR, (enum vec_level)level);
		as_bytes(s, "\xc5\xf8\x77", 3); /* vzeroupper */
		live_ret(s, VEC_NONE);
	}
}

static void emit_fill_128(struct as *s)
{
	stubs.vec_fill[VEC_128] = begin(s);
	ldmxcsr(s, RM_ENV(mxcsr));
	move_all(s, OP_MOVAPS_RM, VEC_128);
	live_ret(s, VEC_128);
}

/* What this level makes live, or another one instead. The guest may have something in all of it from now on. */
static void note_used(struct as *s, enum vec_level level)
{
	const int32_t used = level == VEC_512 ? TCG_VEC_ALL : level == VEC_EVEX ? TCG_VEC_MASKS | TCG_VEC_MORE : 0;

	if (top_level == VEC_512 && level < VEC_512) {
		as_op(s, 0xf6 | OP_M8, 0, RM_ENV(vec_used)); /* test */
		as_u8(s, TCG_VEC_WIDE);
		as_jcc_abs(s, IR_CC_NZ, stubs.vec_fill[VEC_512]);
	}
	if (used)
		as_alu_imm(s, ALU_OR, 0, RM_ENV(vec_used), used);
}

/*
 * To VEC_256 or above, from any lower level. Lower halves that are live join the upper ones in env first; from VEC_256 on what is live is
 * complete, and only what it lacks is loaded.
 */
static void emit_fill(struct as *s, enum vec_level level)
{
	uint32_t all = 0, more = 0, none, load;

	stubs.vec_fill[level] = begin(s);
	note_used(s, level);
	if (level == VEC_512)
		all = if_level(s, VEC_EVEX);
	if (level > VEC_256)
		more = if_level(s, VEC_256);
	none = if_level(s, VEC_NONE);
	move_all(s, OP_MOVAPS_MR, VEC_128);
	load = as_jmp(s);
	as_patch(s, none, as_off(s));
	ldmxcsr(s, RM_ENV(mxcsr));
	as_patch(s, load, as_off(s));
	move_all(s, OP_MOVAPS_RM, level);
	if (more)
		as_patch(s, more, as_off(s));
	move_more(s, OP_MOVAPS_RM, level);
	if (all)
		as_patch(s, all, as_off(s));
	live_ret(s, level);
}

void vec_emit(struct as *s, bool evex)
{
	top_level = evex ? VEC_512 : VEC_256;
	emit_spill(s);
	for (unsigned level = top_level; level >= VEC_256; level--) /* lower ones jump to the highest */
		emit_fill(s, (enum vec_level)level);
	emit_fill_128(s);
}

void stub_vec_spill(struct as *s)
{
	uint32_t none;

	as_alu_imm(s, ALU_CMP, 0, RM_ENV(vec_live), VEC_NONE);
	none = as_jcc(s, IR_CC_Z);
	as_call_abs(s, stubs.vec_spill);
	as_patch(s, none, as_off(s));
}

void stub_vec_fill(struct as *s, enum vec_level level)
{
	if (level != VEC_NONE && level <= top_level)
		as_call_abs(s, stubs.vec_fill[level]);
}

/* ---- The check at a block's start */

void v_begin(struct gen *g, bool loops)
{
	struct as *s = &g->s;
	uint32_t entry = as_off(s);
	struct cold *c;

	if (!g->v_level)
		return;
	as_alu_imm(s, ALU_CMP, 0, RM_ENV(vec_live), g->v_level);
	c = cold_new(g, COLD_VEC);
	c->from = as_jcc(s, IR_CC_C);
	if (loops) /* which skip the check */
		as_nops(s, (unsigned)-as_off(s) & 15);
	c->back = as_off(s);
	entry_slot_check(s, entry, as_off(s) - entry, g->v_level);
}

void v_fill_cold(struct gen *g, const struct cold *c)
{
	struct as *s = &g->s;

	as_patch(s, c->from, as_off(s));
	as_call_abs(s, stubs.vec_fill[g->v_level]);
	as_patch(s, as_jmp(s), c->back);
}

/* ---- Operands */

/*
 * How much of a displaced vector is kept: all that is live, which may be more than the block asked for. Legacy operations leave what is above
 * bit 127 alone, the others clear it.
 */
static enum vec_level temp_level(const struct gen *g)
{
	return g->v_level == VEC_128 ? VEC_128 : top_level;
}

unsigned v_src(struct gen *g, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	return is_vt(r) ? g->vt_reg[n & 3] : n;
}

unsigned v_dst(struct gen *g, ir_ref r)
{
	unsigned n = v_src(g, r);

	if (is_vt(r) && !(g->v_out >> n & 1)) {
		move_one(&g->s, OP_MOVAPS_MR, temp_level(g), n, vreg(n));
		g->v_out |= (uint16_t)(1u << n);
	}
	return n;
}

/* ---- Temporaries */

static bool mentions(const struct ir_insn *i, ir_ref r)
{
	return i->d == r || i->a == r || i->b == r || i->c == r;
}

/* The value of r behind instruction n is never read. Temporaries do not live across labels. */
static bool dies(const struct gen *g, ir_ref r, unsigned n)
{
	while (++n < g->ir->nr_insns) {
		const struct ir_insn *i = &g->ir->insn[n];

		if (i->op == IR_LABEL)
			return true;
		if (mentions(i, r))
			return i->a != r && i->b != r && i->c != r;
	}
	return true;
}

void v_temps_end(struct gen *g)
{
	for (unsigned k = 0; k < 4 && g->v_out; k++) {
		unsigned n = g->vt_reg[k];

		if (n == R_NONE || !(g->v_out >> n & 1) || !dies(g, IR_VT(k), g->n))
			continue;
		move_one(&g->s, OP_MOVAPS_RM, temp_level(g), n, vreg(n));
		g->v_out &= (uint16_t)~(1u << n);
	}
}

void v_temps_store(struct gen *g, uint32_t out)
{
	for (unsigned k = 0; k < 4; k++) {
		unsigned n = g->vt_reg[k];

		if (n == R_NONE || !(out >> n & 1))
			continue;
		move_one(&g->s, OP_MOVAPS_MR, temp_level(g), n, temp_slot(k));
		move_one(&g->s, OP_MOVAPS_RM, temp_level(g), n, vreg(n));
	}
}

/* env.vreg has the displaced vectors: it still does, or who went to C has spilled them. */
void v_temps_load(struct gen *g, uint32_t out)
{
	for (unsigned k = 0; k < 4; k++) {
		unsigned n = g->vt_reg[k];

		if (n != R_NONE && (out >> n & 1))
			move_one(&g->s, OP_MOVAPS_RM, temp_level(g), n, temp_slot(k));
	}
}

uint32_t v_temps_hide(struct gen *g)
{
	uint32_t out = g->v_out;

	v_temps_store(g, out);
	g->v_out = 0;
	return out;
}

void v_temps_show(struct gen *g, uint32_t out)
{
	v_temps_load(g, out);
	g->v_out = (uint16_t)out;
}

/* ---- The plan */

static void note(ir_ref r, uint32_t *globals, uint32_t *temps)
{
	if (IR_REF_KIND(r) == IR_KIND_V)
		*globals |= 1u << IR_REF_NUM(r);
	else if (is_vt(r))
		*temps |= 1u << IR_REF_NUM(r);
}

/* What needs the control word without naming a vector: it itself, and conversions between the stack FPU's MMX registers and memory. */
static bool uses_control(const struct ir_insn *i)
{
	unsigned opcode = (uint64_t)i->imm2 >> 16 & 0xff;

	if (i->op == IR_FPU)
		return ((uint64_t)i->imm2 >> 8 & 0xff) == 1 && (opcode == 0x2a || opcode == 0x2c || opcode == 0x2d);
	return i->op == IR_GETVC || i->op == IR_PUTVC;
}

/* The four operand references at once: is one a vector (V, VT)? */
static bool names_vectors(const struct ir_insn *i)
{
	uint64_t r;

	_Static_assert(IR_KIND_V == 5 && IR_KIND_VT == 6 && IR_KIND_M == 4, "V and VT: bit 2 and one of the others");
	memcpy(&r, &i->d, sizeof(r));
	return (r >> 14) & (r >> 13 | r >> 12) & 0x0001000100010001ull;
}

/* The integer unit's operations, which most are. */
static bool is_integer(const struct ir_insn *i)
{
	return i->op < IR_VMOV && i->type < IR_V128;
}

static void note_insn(const struct ir_insn *i, uint32_t *globals, uint32_t *temps)
{
	note(i->d, globals, temps);
	note(i->a, globals, temps);
	note(i->b, globals, temps);
	note(i->c, globals, temps);
	if (i->op == IR_EVEX)
		*globals |= evex_globals(i);
	if (i->op == IR_VFL || (i->op == IR_VOP && vop_reads_v0((unsigned)i->imm2))) /* string compares write it */
		*globals |= 1;
}

void v_setup(struct gen *g)
{
	const struct ir_block *b = g->ir;
	uint32_t globals = 0, temps = 0, taken;
	enum vec_level level = VEC_128;
	bool control = false;

	for (unsigned n = 0; n < b->nr_insns; n++) {
		if (is_integer(&b->insn[n]) && !names_vectors(&b->insn[n]))
			continue;
		note_insn(&b->insn[n], &globals, &temps);
		if (vec_level_of(&b->insn[n]) > level)
			level = vec_level_of(&b->insn[n]);
		control |= uses_control(&b->insn[n]);
	}
	g->v_level = level > VEC_128 || globals || temps || control ? level : VEC_NONE;
	g->v_out = 0;
	taken = globals;
	for (unsigned k = 0; k < 4; k++) {
		g->vt_reg[k] = R_NONE;
		if (!(temps >> k & 1))
			continue;
		if (taken == 0xffff) {
			g->failed = true;
			return;
		}
		g->vt_reg[k] = (uint8_t)(31 - __builtin_clz(~taken & 0xffff));
		taken |= 1u << g->vt_reg[k];
	}
}
