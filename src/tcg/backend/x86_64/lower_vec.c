/* SPDX-License-Identifier: MIT */
/*
 * Vector operations: each is the host instruction of the same name, on the registers vec.c provides. Misaligned operands and unmasked
 * floating-point exceptions fault on the host, and signals.c turns that into the guest's fault.
 */
#include "tcg/backend/x86_64/gen.h"

/* What a signature of vec_ops.def says. */
#define SIG_BYTES 0x1fu
#define SIG_A 0x20u
#define SIG_B 0x40u
#define SIG_IMM 0x80u
#define SIG_X0 0x100u /* reads vector global 0 besides */

enum {
	V1_16 = SIG_B | 16, V1_8 = SIG_B | 8, V1_4 = SIG_B | 4, V1_2 = SIG_B | 2, V1I_16 = SIG_B | SIG_IMM | 16,
	VV_16 = SIG_A | SIG_B | 16, VV_8 = SIG_A | SIG_B | 8, VV_4 = SIG_A | SIG_B | 4,
	VVI_16 = VV_16 | SIG_IMM, VVI_8 = VV_8 | SIG_IMM, VVI_4 = VV_4 | SIG_IMM,
	VVX_16 = VV_16 | SIG_X0, VI = SIG_A | SIG_IMM | 16,
	VG = SIG_B, VGI = SIG_B | SIG_IMM, GV = SIG_B, GVV = SIG_A | SIG_B, GVVI = GVV | SIG_IMM,
	FL_16 = VV_16, FL_8 = VV_8, FL_4 = VV_4, FLI_16 = VVI_16,
};

static const struct vop_enc enc[IR_VOP_COUNT] = {
#define NP 0
#define P66 OP_66
#define PF2 OP_F2
#define PF3 OP_F3
#define M0F OP_0F
#define M38 OP_0F38
#define M3A OP_0F3A
#define QUIET 0
#define TRAPS ENC_TRAPS
#define VENC(NAME, prefix, map, opcode, traps) [IR_VOP_##NAME] = { prefix | map | opcode, traps, 0 },
#define VENC_REV(NAME, prefix, map, opcode) [IR_VOP_##NAME] = { prefix | map | opcode, ENC_REV, 0 },
#define VENC_SHIFT(NAME, opcode, dig) [IR_VOP_##NAME] = { OP_66 | OP_0F | opcode, ENC_SHIFT, dig },
#include "tcg/backend/x86_64/vec_enc.def"
#undef VENC
#undef VENC_REV
#undef VENC_SHIFT
};

static const uint16_t signature[IR_VOP_COUNT] = {
#define IR_VOP(NAME, name, sig, meaning) [IR_VOP_##NAME] = sig,
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
};

struct vop_enc vop_encoding(unsigned vop)
{
	return enc[vop];
}

bool vop_reads_v0(unsigned vop)
{
	return signature[vop] & SIG_X0;
}

enum vec_level vec_level_of(const struct ir_insn *i)
{
	if (i->op == IR_EVEX)
		return evex_level(i);
	return i->op == IR_VEX || i->op == IR_VEXG || i->op == IR_VZERO || i->type == IR_V256 ||
			       (i->op == IR_VTOG && i->imm2 >= IR_VOP_FIRST_VEX) ?
		       VEC_256 :
		       VEC_128;
}

static bool is_string_compare(unsigned vop)
{
	return vop >= IR_VOP_PCMPESTRI && vop <= IR_VOP_PCMPISTRM;
}

/* PINSRB and PINSRW take less than a register. */
unsigned vop_bytes(const struct ir_insn *i)
{
	if (i->op == IR_VEX || i->op == IR_VEXG || i->imm2 >= IR_VOP_FIRST_VEX)
		return ir_vex_bytes(i);
	switch (i->imm2) {
	case IR_VOP_PINSRB:
		return 1;
	case IR_VOP_PINSRW:
		return 2;
	default:
		return i->op == IR_GTOV ? mem_bytes(i) : signature[i->imm2] & SIG_BYTES;
	}
}

/* ---- Moves */

/* The low bits: legacy encodings leave upper halves alone. */
static void move(struct gen *g, const struct ir_insn *i, uint32_t op, unsigned r, struct rm m)
{
	if (i->type == IR_V256)
		as_vex(&g->s, op | OP_L, r, 0, m);
	else
		as_op(&g->s, op, r, m);
}

static void vmov_load(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool align = g->ir->mem[IR_REF_NUM(i->a)].align;
	unsigned bytes = mem_bytes(i);
	struct rm m = mem_begin(g, i->a, bytes, TLB_READ, 0);
	uint32_t op = bytes >= 16 ? (align ? OP_MOVAPS_RM : OP_MOVUPS_RM) : bytes == 8 ? OP_F3 | OP_0F | 0x7e : OP_66 | OP_0F | 0x6e;
	unsigned d = v_dst(g, i->d);

	if (align)
		trap_here(g);
	move(g, i, op, d, m);
	mem_end(g);
}

static void vmov_store(struct gen *g)
{
	const struct ir_insn *i = g->i;
	bool align = g->ir->mem[IR_REF_NUM(i->d)].align;
	unsigned bytes = mem_bytes(i), r = v_src(g, i->a);
	struct rm m = mem_begin(g, i->d, bytes, TLB_WRITE, 0);
	uint32_t op = bytes >= 16 ? (align ? OP_MOVAPS_MR : OP_MOVUPS_MR) : bytes == 8 ? OP_66 | OP_0F | 0xd6 : OP_66 | OP_0F | 0x7e;

	if (align)
		trap_here(g);
	move(g, i, op, r, m);
	mem_end(g);
}

void lower_vmov(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned r, d;

	if (is_m(i->d) || is_m(i->a)) {
		fl_check(g);
		if (is_m(i->d))
			vmov_store(g);
		else
			vmov_load(g);
		return;
	}
	r = v_src(g, i->a);
	d = v_dst(g, i->d);
	move(g, i, OP_MOVAPS_RM, d, rm_reg(r));
}

/* ---- Operations */

static void vec_imm(struct gen *g, unsigned vop)
{
	if (signature[vop] & SIG_IMM)
		as_u8(&g->s, (unsigned)g->i->imm);
}

/* The source b of a vector operation; ends with mem_end() if it is memory. */
static struct rm source_b(struct gen *g)
{
	const struct ir_insn *i = g->i;

	if (!is_m(i->b))
		return rm_reg(v_src(g, i->b));
	return mem_begin(g, i->b, vop_bytes(i), TLB_READ, 0);
}

static bool clears(const struct ir_insn *i)
{
	return i->a == i->b && (i->imm2 == IR_VOP_PXOR || i->imm2 == IR_VOP_XORPS || i->imm2 == IR_VOP_XORPD);
}

static void note_trap(struct gen *g, unsigned vop)
{
	if ((enc[vop].how & ENC_TRAPS) || is_m(g->i->b))
		trap_here(g);
}

void lower_vop(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned vop = (unsigned)i->imm2, sig = signature[vop], d;
	bool mem = is_m(i->b);
	struct rm b = rm_reg(0);

	if (clears(i)) { /* whatever the register holds */
		d = v_dst(g, i->d);
		as_op(&g->s, enc[vop].op, d, rm_reg(d));
		return;
	}
	if (mem)
		fl_check(g);
	if (sig & SIG_B)
		b = source_b(g);
	d = v_dst(g, i->d);
	note_trap(g, vop);
	if (enc[vop].how & ENC_SHIFT)
		as_op(&g->s, enc[vop].op, enc[vop].digit, rm_reg(d));
	else
		as_op(&g->s, enc[vop].op, d, b);
	vec_imm(g, vop);
	if (mem)
		mem_end(g);
}

static uint32_t int_width(const struct gen *g)
{
	return g->i->type == IR_I64 ? OP_W : 0;
}

/* An integer from a vector; all write at least 32 bits of the register, zero-extended. */
void lower_vtog(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned vop = (unsigned)i->imm2, b = v_src(g, i->b), r = result_reg(g, i->d, R_13);
	uint32_t w = int_width(g);

	if (vop == IR_VOP_PEXTRQ)
		w = OP_W;
	else if (vop == IR_VOP_PEXTRD)
		w = 0;
	note_trap(g, vop);
	if (vop >= IR_VOP_FIRST_VEX)
		vex_to_g(g, r, b);
	else if (enc[vop].how & ENC_REV)
		as_op(&g->s, enc[vop].op | w, b, rm_reg(r));
	else
		as_op(&g->s, enc[vop].op | w, r, rm_reg(b));
	vec_imm(g, vop);
	put_result(g, i->d, IR_I64, r);
}

void lower_gtov(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned vop = (unsigned)i->imm2;
	uint32_t w = vop == IR_VOP_PINSRQ ? OP_W : vop == IR_VOP_PINSRD ? 0 : int_width(g);
	bool mem = is_m(i->b);
	unsigned d;
	struct rm b;

	if (mem) {
		fl_check(g);
		b = mem_begin(g, i->b, vop_bytes(i), TLB_READ, 0);
	} else if ((vop == IR_VOP_PINSRB || vop == IR_VOP_PINSRW) && !in_reg(g, i->b)) {
		b = rm_reg(to_reg(g, i->b, IR_I32, R_13));
	} else {
		b = loc(g, i->b);
	}
	d = v_dst(g, i->d);
	note_trap(g, vop);
	as_op(&g->s, enc[vop].op | w, d, b);
	vec_imm(g, vop);
	if (mem)
		mem_end(g);
}

/* String compares leave their result where the guest expects it: integer 1 is rcx, and vector 0 is xmm0. */
void lower_vfl(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned vop = (unsigned)i->imm2;
	bool mem = is_m(i->b), string = is_string_compare(vop);
	struct rm b;
	unsigned a;

	fl_begin(g, mem);
	if (!g->setf && !string && !mem && !(enc[vop].how & ENC_TRAPS))
		return;
	a = v_src(g, i->a);
	b = source_b(g);
	fl_ready(g);
	note_trap(g, vop);
	if (vop >= IR_VOP_FIRST_VEX)
		vex_flags(g, a, b);
	else
		as_op(&g->s, enc[vop].op | (string && i->type == IR_I64 ? OP_W : 0), a, b);
	vec_imm(g, vop);
	if (mem)
		mem_end(g);
	fl_done(g);
}

/* ---- The control word: vectors are live, so the host's register holds it, and env.mxcsr is free. */

void lower_getvc(struct gen *g)
{
	unsigned r = result_reg(g, g->i->d, R_13);

	as_op(&g->s, OP_0F | 0xae, 3, RM_ENV(mxcsr)); /* stmxcsr */
	as_op(&g->s, OP_MOV_RM, r, RM_ENV(mxcsr));
	put_result(g, g->i->d, IR_I64, r);
}

void lower_putvc(struct gen *g)
{
	as_op(&g->s, OP_MOV_MR, to_reg(g, g->i->a, IR_I32, R_13), RM_ENV(mxcsr));
	as_op(&g->s, OP_0F | 0xae, 2, RM_ENV(mxcsr)); /* ldmxcsr */
}
