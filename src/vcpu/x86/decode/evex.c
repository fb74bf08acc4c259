/* SPDX-License-Identifier: MIT */
/*
 * The EVEX prefix: Intel SDM volume 2, 2.7.
 *
 * 62 P0 P1 P2: P0 = R X B R' 0 mmm, P1 = W vvvv 1 pp, P2 = z L'L b V' aaa; R X B R' vvvv V' are inverted. What a row allows of b, z, aaa
 * and L'L is in its evex word (row.h).
 */
#include "vcpu/x86/decode/dec.h"

static bool is_reg(const struct x86_dec *d)
{
	return d->in->modrm >= 0xc0;
}

const struct x86_row *x86_dec_evex_row(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	uint8_t p0 = d->p[1], p1 = d->p[2], p2 = d->p[3];

	if (in->pfx & (X86_PFX_66 | X86_PFX_LOCK | X86_PFX_REX) || d->rep || p0 & 8 || !(p1 & 4))
		d->ud = true;
	in->pfx |= X86_PFX_EVEX;
	in->map = p0 & 7;
	in->rex = (uint8_t)~p0 >> 5; /* R X B from the top */
	in->rex |= p1 & 0x80 ? X86_REX_W : 0;
	in->vex_v = ~(p1 >> 3) & 0x0f;
	in->evex_z = p2 >> 7;
	in->evex_ll = p2 >> 5 & 3;
	in->evex_b = p2 >> 4 & 1;
	in->evex_aaa = p2 & 7;
	in->vex_l = in->evex_ll == 3 ? 2 : in->evex_ll;
	d->high_reg = p0 & 0x10 ? 0 : 16;
	d->high_vvvv = p2 & 8 ? 0 : 16;
	d->high_rm = in->rex & X86_REX_X ? 16 : 0;
	d->vvvv = in->vex_v;
	if (d->mode != X86_MODE_64) { /* only eight registers to name */
		d->high_reg = d->high_vvvv = 0;
		in->rex &= X86_REX_W;
		in->vex_v &= 7;
	}
	in->vex_v |= d->high_vvvv;
	if (in->map < 1 || in->map > 3) {
		d->ud = true;
		in->map = 0;
	}
	in->opcode = d->p[4];
	d->p += 5;
	return &x86_evex_rows[in->map][(in->opcode * 4 + (p1 & 3)) * 2 + (in->rex & X86_REX_W ? 1 : 0)];
}

/* What EVEX.b means: a broadcast of memory, or rounding and exceptions; 2.7.5 to 2.7.7. */
static bool allows_b(const struct x86_dec *d)
{
	uint16_t e = d->row->evex;

	return is_reg(d) ? X86_E_ROUND(e) != X86_ROUND__ : X86_E_TUPLE(e) == X86_T_BC;
}

void x86_dec_evex_length(struct x86_dec *d, unsigned int size_log2)
{
	struct x86_insn *in = d->in;
	uint16_t e = d->row->evex;

	if (in->evex_b && !allows_b(d))
		d->ud = true;
	if (in->evex_b && is_reg(d))
		in->vex_l = 2;
	else if (in->evex_ll == 3)
		d->ud = true;
	if (!(X86_E_LENGTHS(e) >> in->vex_l & 1))
		d->ud = true;
	if (e & X86_E_LIG)
		in->vex_l = 0;
	in->evex_vl = e & X86_E_VL && in->vex_l < 2;
	d->width = x86_width_bytes[in->vex_l * 4 + size_log2];
}

uint8_t x86_dec_evex_mem(struct x86_dec *d, uint8_t size)
{
	struct x86_insn *in = d->in;
	uint16_t e = d->row->evex;
	uint8_t element = 1 << X86_E_ELEMENT(e);

	if (e & X86_E_MASKED) {
		in->evex_elem = element;
		if (!(d->flags & X86_R_VSIB))
			in->evex_lanes = (X86_E_TUPLE(e) == X86_T_RP ? 16 << in->vex_l : size) / element;
	}
	return in->evex_b && X86_E_TUPLE(e) == X86_T_BC ? element : size;
}

static bool mask_is_ud(const struct x86_dec *d)
{
	const struct x86_insn *in = d->in;

	if (in->evex_z && (!in->evex_aaa || in->op[0].kind == X86_OPK_MEM))
		return true;
	switch (X86_E_MASK(d->row->evex)) {
	case X86_MASK_N:
		return in->evex_aaa || in->evex_z;
	case X86_MASK_M:
		return in->evex_z;
	case X86_MASK_R:
		return !in->evex_aaa || in->evex_z;
	default:
		return false;
	}
}

/* vvvv must be 1111 where it names nothing, V' where neither vvvv nor a vector index does. */
static bool vvvv_is_ud(const struct x86_dec *d)
{
	if (d->flags & X86_R_VVVV)
		return false;
	return d->vvvv || (d->high_vvvv && !(d->flags & X86_R_VSIB));
}

/* The memory operand of the row, or its element: what a displacement of 8 bits counts in. */
static int64_t disp8_unit(const struct x86_dec *d)
{
	const struct x86_insn *in = d->in;

	if (X86_E_TUPLE(d->row->evex) == X86_T_EL)
		return in->evex_elem;
	for (unsigned int n = 0; n < in->nr_ops; n++)
		if (in->op[n].kind == X86_OPK_MEM)
			return in->op[n].size;
	return 1;
}

void x86_dec_evex_end(struct x86_dec *d)
{
	struct x86_insn *in = d->in;

	in->evex_reg = (uint8_t)((in->modrm >> 3 & 7) | (in->rex & X86_REX_R ? 8 : 0) | d->high_reg);
	in->evex_rm = (uint8_t)((in->modrm & 7) | (in->rex & X86_REX_B ? 8 : 0) | d->high_rm);
	if (mask_is_ud(d) || vvvv_is_ud(d))
		d->ud = true;
	/* a gather's destination must not be its index */
	if (d->flags & X86_R_VSIB && in->op[0].kind == X86_OPK_XMM && in->op[0].reg == in->mem.index)
		d->ud = true;
	if (d->disp8)
		in->mem.disp *= disp8_unit(d);
}
