/* SPDX-License-Identifier: MIT */
/*
 * AVX-512: whatever is EVEX-encoded, and the VEX-encoded instructions of mask registers. Each is one IR_EVEX, which is the instruction itself
 * (tcg/ir/evex.h); memory and integer registers become its operands here. Gathers and scatters, whose elements fault one by one, are runtime
 * routines.
 */
#include <string.h>

#include "tcg/ir/evex.h"
#include "vcpu/x86/tr/tr.h"

static unsigned log2_of(unsigned n)
{
	return n ? (unsigned)__builtin_ctz(n) : 0;
}

static bool is_evex(const struct x86_tr *c)
{
	return c->in.pfx & X86_PFX_EVEX;
}

/* Operand of that kind; nr_ops if there is none. */
static unsigned find(const struct x86_tr *c, enum x86_opk kind)
{
	unsigned n = 0;

	while (n < c->in.nr_ops && c->in.op[n].kind != kind)
		n++;
	return n;
}

/* From floating point to an integer, VPEXTRW's first form, KMOV to an integer: it is ModRM.reg that names it. */
static bool integer_is_reg(const struct x86_tr *c)
{
	static const uint8_t opcodes[] = { 0x2c, 0x2d, 0x78, 0x79, 0xc5, 0x93 };

	if (c->in.map != 1 || c->in.op[0].kind != X86_OPK_GPR)
		return false;
	for (unsigned n = 0; n < ARRAY_LEN(opcodes); n++)
		if (c->in.opcode == opcodes[n])
			return true;
	return false;
}

/*
 * Instructions with an operand of 32 or 64 bits that is or could be a general register: W is its width, and without effect outside 64-bit mode.
 */
static bool is_w_a_width(const struct x86_tr *c)
{
	unsigned opcode = c->in.opcode;

	if (c->in.map == 3)
		return opcode == 0x16 || opcode == 0x22;
	if (c->in.map != 1 || !is_evex(c))
		return false;
	if (opcode == 0x6e || opcode == 0x7e)
		return c->in.mandatory == 0x66;
	return (opcode == 0x2a || opcode == 0x7b) && c->in.mandatory != 0x66;
}

static bool width_is_64(const struct x86_tr *c)
{
	unsigned n = find(c, X86_OPK_GPR);

	if (n == c->in.nr_ops)
		n = find(c, X86_OPK_MEM);
	return n < c->in.nr_ops && c->in.op[n].size == 8;
}

static bool is_packed(const struct x86_tr *c)
{
	switch (c->in.id) {
	case X86_I_VCOMPRESSPD:
	case X86_I_VCOMPRESSPS:
	case X86_I_VEXPANDPD:
	case X86_I_VEXPANDPS:
	case X86_I_VPCOMPRESSB:
	case X86_I_VPCOMPRESSD:
	case X86_I_VPCOMPRESSQ:
	case X86_I_VPCOMPRESSW:
	case X86_I_VPEXPANDB:
	case X86_I_VPEXPANDD:
	case X86_I_VPEXPANDQ:
	case X86_I_VPEXPANDW:
		return true;
	default:
		return false;
	}
}

/* VCOMISx, VUCOMISx, KORTESTx, KTESTx */
static bool sets_flags(const struct x86_tr *c)
{
	unsigned opcode = c->in.opcode;

	if (c->in.map != 1)
		return false;
	return is_evex(c) ? opcode == 0x2e || opcode == 0x2f : opcode == 0x98 || opcode == 0x99;
}

static unsigned prefix_number(unsigned mandatory)
{
	return mandatory == 0x66 ? 1 : mandatory == 0xf3 ? 2 : mandatory == 0xf2 ? 3 : 0;
}

static struct ir_evex encoding(const struct x86_tr *c)
{
	const struct x86_insn *in = &c->in;
	struct ir_evex e = { .opcode = in->opcode, .map = in->map, .pp = (uint8_t)prefix_number(in->mandatory), .vvvv = in->vex_v,
			     .vex = !is_evex(c), .w = in->rex & 8, .sets_flags = sets_flags(c) };

	e.has_imm = find(c, X86_OPK_IMM) < in->nr_ops;
	if (is_w_a_width(c) || (integer_is_reg(c) && in->opcode != 0xc5))
		e.w = e.vex ? in->rex & 8 : width_is_64(c);
	if (e.vex) {
		e.reg = in->modrm >> 3 & 7;
		e.rm = in->modrm & 7;
		e.length = in->vex_l;
		return e;
	}
	e.reg = in->evex_reg;
	e.rm = in->evex_rm;
	e.length = in->evex_ll;
	e.b = in->evex_b;
	e.z = in->evex_z;
	e.mask = in->evex_aaa;
	return e;
}

static void describe_memory(const struct x86_tr *c, struct ir_evex *e, unsigned bytes)
{
	const struct x86_insn *in = &c->in;

	e->log_bytes = (uint8_t)log2_of(bytes);
	if (!e->mask || !in->evex_elem || (in->attr & X86_A_NF))
		return;
	e->partial = true;
	e->packed = is_packed(c);
	e->log_elements = (uint8_t)log2_of(bytes / in->evex_elem);
	e->log_lanes = (uint8_t)log2_of(in->evex_lanes);
}

static void integer_operand(const struct x86_tr *c, struct ir_evex *e, ir_ref *d, ir_ref *a)
{
	unsigned n = find(c, X86_OPK_GPR);

	if (n == c->in.nr_ops)
		return;
	if (n == 0)
		*d = IR_G(c->in.op[n].reg);
	else
		*a = IR_G(c->in.op[n].reg);
	if (integer_is_reg(c)) {
		e->reg_int = true;
		e->reg = 0;
	} else {
		e->rm_int = true;
		e->rm = 0;
	}
}

/* #GP or #AC. Of elements that a mask chooses, those are looked at; compressed ones are stored one by one, with or without a mask. */
static void align_memory(struct x86_tr *c, ir_ref m, const struct ir_evex *e, unsigned bytes, bool store)
{
	bool single = e->partial || (is_packed(c) && store);

	x86_tr_mem_desc(c, m)->align = bytes >= 16 && (c->in.attr & X86_A_ALIGN);
	if (!(c->in.attr & X86_A_ALIGN))
		x86_tr_vec_alignment(c, m, single ? c->in.evex_elem : bytes, e->partial ? e->mask : 0, 1u << e->log_lanes);
}

void x86_tr_evex(struct x86_tr *c)
{
	struct ir_evex e = encoding(c);
	ir_ref d = IR_NONE, a = IR_NONE;
	unsigned n = find(c, X86_OPK_MEM);
	struct ir_insn *i;

	integer_operand(c, &e, &d, &a);
	if (n < c->in.nr_ops) {
		unsigned bytes = c->in.op[n].size;
		ir_ref m = x86_tr_mem(c, bytes, n == 0);

		describe_memory(c, &e, bytes);
		align_memory(c, m, &e, bytes, n == 0);
		e.rm = 0;
		if (n == 0)
			d = m;
		else
			a = m;
	}
	i = ir_emit(c->ir, IR_EVEX, IR_I64, d, a, IR_NONE);
	i->imm = e.has_imm ? c->in.imm & 0xff : 0;
	i->imm2 = ir_evex_pack(&e);
	if (e.sets_flags)
		i->attr |= IR_SETF;
}

/* The address of an element is base and displacement, not cut, plus index and segment: see rt/rt_evex.c for the descriptor. */
void x86_tr_evex_gather(struct x86_tr *c)
{
	const struct x86_memref *r = &c->in.mem;
	struct ir_mem m = { .base = r->base == X86_REG_NONE ? IR_NONE : IR_G(r->base), .index = IR_NONE, .scale = 1, .addr_bits = 64,
			    .slot = TLB_SLOT_MISC, .disp = r->disp };
	bool scatter = x86_tr_is_mem(c, 0), wide = c->in.rex & 8;
	struct x86_rt_evex_gather g = {
		.data = c->in.op[scatter ? 1 : 0].reg, .index = r->index, .mask = c->in.evex_aaa, .log_scale = log2_of(r->scale),
		.log_data = wide ? 3 : 2, .log_index = c->in.opcode & 1 ? 3 : 2, .log_vector = 4u + c->in.vex_l, .addr32 = c->in.addrsize == 4,
		.seg = r->seg, .scatter = scatter,
	};
	ir_ref base = ir_temp(c->ir);
	uint64_t desc;

	_Static_assert(sizeof(g) == sizeof(desc), "goes as a constant");
	memcpy(&desc, &g, sizeof(desc));
	ir_emit(c->ir, IR_LEA, IR_I64, base, ir_mem(c->ir, &m), IR_NONE);
	x86_tr_rt(c, X86_RT_evex_gather, X86_TR_NO_RESULT, base, x86_tr_const(c, (int64_t)desc), IR_NONE);
}
