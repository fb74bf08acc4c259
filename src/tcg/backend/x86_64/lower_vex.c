/* SPDX-License-Identifier: MIT */
/*
 * IR_VEX and its kin: each is the host instruction of the same name in VEX encoding, which clears what is above its vector length as the
 * guest's does. Memory need not be aligned but where the operand says so; then the access traps on the host.
 */
#include "tcg/backend/x86_64/gen.h"

#define ENC_W1 0x10u
#define W0 0
#define W1 ENC_W1

/* Operations of vex_ops.def; those of vec_ops.def have the opcodes of their legacy forms. */
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
#define REV ENC_REV
#define VXENC(NAME, prefix, map, opcode, w, how) [IR_VOP_##NAME] = { prefix | map | opcode, (w) | (how), 0 },
#include "tcg/backend/x86_64/vex_enc.def"
#undef VXENC
};

static struct vop_enc enc_of(unsigned vop)
{
	struct vop_enc e = vop >= IR_VOP_FIRST_VEX ? enc[vop] : vop_encoding(vop);

	if (vop == IR_VOP_GF2P8AFFINEQB || vop == IR_VOP_GF2P8AFFINEINVQB)
		e.how |= ENC_W1;
	if (e.how & ENC_W1)
		e.op |= OP_W;
	return e;
}

static void note_trap(struct gen *g, const struct vop_enc *e)
{
	if ((e->how & ENC_TRAPS) || is_m(g->i->b))
		trap_here(g);
}

static bool is_fma(unsigned vop)
{
	return vop >= IR_VOP_VFMADD132PS && vop <= IR_VOP_VFMSUBADD231PD;
}

static struct rm source_b(struct gen *g)
{
	const struct ir_insn *i = g->i;

	if (is_m(i->b))
		return mem_begin(g, i->b, ir_vex_bytes(i), TLB_READ, 0);
	return rm_reg(i->b == IR_NONE ? 0 : v_src(g, i->b));
}

static void immediate(struct gen *g, unsigned vop)
{
	unsigned src = ir_vex_info((enum ir_vop)vop).src;

	if (src & IR_VEX_IMM)
		as_u8(&g->s, (unsigned)g->i->imm);
	else if ((src & IR_VEX_C) && !is_fma(vop))
		as_u8(&g->s, v_src(g, g->i->c) << 4);
}

static uint32_t length(const struct ir_insn *i)
{
	return i->type == IR_V256 ? OP_L : 0;
}

/* A load that may have to be aligned. */
static void aligned(struct gen *g, struct vop_enc *e)
{
	const struct ir_insn *i = g->i;

	if (i->imm2 == IR_VOP_VMOVU && (!is_m(i->b) || g->ir->mem[IR_REF_NUM(i->b)].align))
		e->op = OP_MOVAPS_RM;
}

void lower_vex(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct vop_enc e = enc_of((unsigned)i->imm2);
	bool mem = is_m(i->b);
	unsigned a, d;
	struct rm b;

	if (is_fma((unsigned)i->imm2) && i->c != i->d) {
		g->failed = true;
		return;
	}
	if (mem)
		fl_check(g);
	b = source_b(g);
	a = i->a == IR_NONE ? 0 : v_src(g, i->a);
	d = v_dst(g, i->d);
	aligned(g, &e);
	note_trap(g, &e);
	if (e.how & ENC_SHIFT)
		as_vex(&g->s, e.op | length(i), e.digit, d, rm_reg(a));
	else if (e.how & ENC_REV)
		as_vex(&g->s, e.op | length(i), b.base, 0, rm_reg(d));
	else
		as_vex(&g->s, e.op | length(i), d, a, b);
	immediate(g, (unsigned)i->imm2);
	if (mem)
		mem_end(g);
}

void lower_vexg(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned vop = (unsigned)i->imm2, a, d;
	struct vop_enc e = enc_of(vop);
	bool mem = is_m(i->b);
	struct rm b;

	if (vop == IR_VOP_PINSRQ || (i->type == IR_I64 && vop != IR_VOP_PINSRD && vop != IR_VOP_PINSRB && vop != IR_VOP_PINSRW))
		e.op |= OP_W;
	if (mem) {
		fl_check(g);
		b = mem_begin(g, i->b, ir_vex_bytes(i), TLB_READ, 0);
	} else if ((vop == IR_VOP_PINSRB || vop == IR_VOP_PINSRW) && !in_reg(g, i->b)) {
		b = rm_reg(to_reg(g, i->b, IR_I32, R_13));
	} else {
		b = loc(g, i->b);
	}
	a = i->a == IR_NONE ? 0 : v_src(g, i->a);
	d = v_dst(g, i->d);
	note_trap(g, &e);
	as_vex(&g->s, e.op, d, a, b);
	immediate(g, vop);
	if (mem)
		mem_end(g);
}

/* With all registers one instruction; of fewer each is moved to itself, or cleared. */
void lower_vzero(struct gen *g)
{
	const struct ir_insn *i = g->i;

	if (i->imm2 == TCG_NR_VREG) {
		as_bytes(&g->s, i->imm ? "\xc5\xfc\x77" : "\xc5\xf8\x77", 3);
		return;
	}
	for (unsigned n = 0; n < (unsigned)i->imm2; n++) {
		if (i->imm)
			as_vex(&g->s, OP_0F | 0x57, n, n, rm_reg(n)); /* xorps */
		else
			as_vex(&g->s, OP_MOVAPS_RM, n, 0, rm_reg(n));
	}
}

/* VTOG and VFL with operations of their own. */
void vex_to_g(struct gen *g, unsigned r, unsigned b)
{
	as_vex(&g->s, enc_of((unsigned)g->i->imm2).op | OP_L, r, 0, rm_reg(b));
}

void vex_flags(struct gen *g, unsigned a, struct rm b)
{
	as_vex(&g->s, enc_of((unsigned)g->i->imm2).op | length(g->i), a, 0, b);
}
