/* SPDX-License-Identifier: MIT */
/*
 * The decoder: prefixes, opcode to row, ModRM, operands. Source: Intel SDM volume 2, chapter 2.
 *
 * The bytes are copied into a buffer padded with zeros, so that no read needs a bounds check: a decoder that has
 * walked past `avail` learns it at the end, where its answer becomes SHORT (or LONG) whatever it was. Zero is neither a
 * prefix nor an escape, so the walk always ends inside the padding.
 */
#include "vcpu/x86/decode/decode.h"

#include <string.h>

#include "mem/word.h"
#include "vcpu/x86/decode/dec.h"

#define MAX_LEN 15
/* 15 prefixes, VEX, opcode, ModRM, SIB, disp32, and the longest immediate, rounded up */
#define BUF_LEN 48

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_NONE = 0xff };

enum prefix_class { PC_NONE, PC_SEG, PC_OPSIZE, PC_ADDRSIZE, PC_LOCK, PC_REP, PC_REX };

static const uint8_t prefix_class[256] = {
	[0x26] = PC_SEG, [0x2e] = PC_SEG, [0x36] = PC_SEG, [0x3e] = PC_SEG, [0x64] = PC_SEG, [0x65] = PC_SEG,
	[0x66] = PC_OPSIZE, [0x67] = PC_ADDRSIZE, [0xf0] = PC_LOCK, [0xf2] = PC_REP, [0xf3] = PC_REP,
	[0x40 ... 0x4f] = PC_REX,
};

/* 26 2E 36 3E do nothing in 64-bit mode: not even undo an FS or GS override */
static void segment_prefix(struct x86_dec *d, uint8_t byte)
{
	if (byte >= 0x64)
		d->seg = byte - 0x64 + SEG_FS;
	else if (d->mode != X86_MODE_64)
		d->seg = (byte - 0x26) >> 3;
}

/* A REX that another prefix follows is ignored. Leaves d->p at the first byte that is no prefix. */
static void prefixes(struct x86_dec *d)
{
	struct x86_insn *in = d->in;

	for (;; d->p++) {
		uint8_t b = *d->p;

		switch (prefix_class[b]) {
		case PC_NONE:
			return;
		case PC_REX:
			if (d->mode != X86_MODE_64)
				return;
			in->rex = b & 0x0f;
			in->pfx |= X86_PFX_REX;
			continue;
		case PC_SEG:
			segment_prefix(d, b);
			break;
		case PC_OPSIZE:
			in->pfx |= X86_PFX_66;
			break;
		case PC_ADDRSIZE:
			in->pfx |= X86_PFX_67;
			break;
		case PC_LOCK:
			in->pfx |= X86_PFX_LOCK;
			break;
		case PC_REP:
			d->rep = b;
			break;
		}
		in->rex = 0;
		in->pfx &= ~X86_PFX_REX;
	}
}

/* C5 and C4 in 64-bit mode; elsewhere they are LDS and LES unless the next byte would be a register ModRM. */
static bool is_vex(const struct x86_dec *d)
{
	return (d->p[0] & 0xfe) == 0xc4 && (d->mode == X86_MODE_64 || d->p[1] >= 0xc0);
}

/* 62 likewise, which elsewhere is BOUND. */
static bool is_evex(const struct x86_dec *d)
{
	return d->p[0] == 0x62 && (d->mode == X86_MODE_64 || d->p[1] >= 0xc0);
}

static const struct x86_row *vex_row(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	uint8_t last;

	if (in->pfx & (X86_PFX_66 | X86_PFX_LOCK | X86_PFX_REX) || d->rep)
		d->ud = true;
	in->pfx |= X86_PFX_VEX;
	if (*d->p++ == 0xc5) {
		last = *d->p++;
		in->map = 1;
		in->rex = last & 0x80 ? 0 : X86_REX_R;
	} else {
		in->map = d->p[0] & 0x1f;
		in->rex = (uint8_t)~d->p[0] >> 5; /* R X B from the top, inverted */
		last = d->p[1];
		in->rex |= last & 0x80 ? X86_REX_W : 0;
		d->p += 2;
	}
	in->vex_l = last >> 2 & 1;
	in->vex_v = ~(last >> 3) & 0x0f;
	d->vvvv = in->vex_v;
	if (d->mode != X86_MODE_64) { /* only eight registers to name */
		in->rex &= X86_REX_W;
		in->vex_v &= 7;
	}
	if (in->map < 1 || in->map > 3) {
		d->ud = true;
		in->map = 0;
	}
	in->opcode = *d->p++;
	return &x86_vex_rows[in->map][(in->opcode * 4 + (last & 3)) * 2 + (in->rex & X86_REX_W ? 1 : 0)];
}

/* index of the mandatory prefix among the four rows of an opcode: F2 and F3 go before 66 */
static unsigned int prefix_index(const struct x86_dec *d)
{
	if (d->rep)
		return d->rep == 0xf3 ? 2 : 3;
	return d->in->pfx & X86_PFX_66 ? 1 : 0;
}

static const struct x86_row *legacy_row(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	uint8_t b = *d->p++;

	if (b == 0x0f) {
		b = *d->p++;
		in->map = 1;
		if (b == 0x38 || b == 0x3a) {
			in->map = b == 0x38 ? 2 : 3;
			b = *d->p++;
		}
	}
	in->opcode = b;
	return &x86_map_rows[in->map][b * 4 + prefix_index(d)];
}

static const struct x86_row *group_row(const struct x86_dec *d, const struct x86_row *row)
{
	const struct x86_row *first = &x86_group_rows[row->group];
	uint8_t modrm = *d->p;

	switch (row->kind) {
	case X86_K_REG:
		return first + (modrm >> 3 & 7) * 2 + (modrm >= 0xc0);
	case X86_K_RM:
		return first + (modrm & 7);
	case X86_K_MOD:
		return first + (modrm >= 0xc0);
	case X86_K_X87:
		return first + (modrm >= 0xc0 ? modrm - 0xc0 + 8 : modrm >> 3 & 7);
	case X86_K_MODE:
		return first + (d->mode == X86_MODE_64);
	case X86_K_REXB:
		return first + (d->in->rex & X86_REX_B ? 1 : 0);
	case X86_K_REXW:
		return first + (d->mode == X86_MODE_64 && d->in->rex & X86_REX_W ? 1 : 0);
	default: /* X86_K_VEXL */
		return first + d->in->vex_l;
	}
}

/* Resolves opcode and groups into d->row and leaves d->p behind the opcode; says whether a ModRM byte comes next. */
static bool find_row(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	const struct x86_row *row = is_vex(d) ? vex_row(d) : is_evex(d) ? x86_dec_evex_row(d) : legacy_row(d);
	uint8_t flags = row->flags;
	uint8_t modrm = row->modrm;

	while (row->kind != X86_K_ROW) {
		row = group_row(d, row);
		flags |= row->flags;
		modrm |= row->modrm;
	}
	d->row = row;
	d->flags = flags;
	in->mandatory = (const uint8_t[]){ 0, 0x66, 0xf3, 0xf2 }[flags & X86_R_MANDATORY];
	if (d->rep && !in->mandatory)
		in->pfx |= d->rep == 0xf3 ? X86_PFX_REP : X86_PFX_REPNE;
	return modrm;
}

static void check_vex(struct x86_dec *d)
{
	const struct x86_insn *in = d->in;

	if ((d->flags & X86_R_L0 && in->vex_l) || (d->flags & X86_R_L1 && !in->vex_l) ||
	    (!(d->flags & X86_R_VVVV) && d->vvvv))
		d->ud = true;
	/* gathers: destination, index and mask must be three registers */
	if (d->flags & X86_R_VSIB &&
	    (in->op[0].reg == in->op[2].reg || in->op[0].reg == in->mem.index || in->op[2].reg == in->mem.index))
		d->ud = true;
}

/* log2 of the operand size by rule, mode, and REX.W * 2 + 66 */
static const uint8_t size_log2[X86_S_COUNT][3][4] = {
	[X86_S_V] = { { 1, 2, 1, 2 }, { 2, 1, 2, 1 }, { 2, 1, 3, 3 } },
	[X86_S_B] = { { 0 } },
	[X86_S_Z] = { { 1, 2, 1, 2 }, { 2, 1, 2, 1 }, { 2, 1, 2, 2 } },
	[X86_S_Y] = { { 2, 2, 2, 2 }, { 2, 2, 2, 2 }, { 2, 2, 3, 3 } },
	[X86_S_C] = { { 2, 2, 2, 2 }, { 2, 2, 2, 2 }, { 3, 3, 3, 3 } },
	[X86_S_D64] = { { 1, 2, 1, 2 }, { 2, 1, 2, 1 }, { 3, 1, 3, 3 } },
	[X86_S_F64] = { { 1, 2, 1, 2 }, { 2, 1, 2, 1 }, { 3, 3, 3, 3 } },
};

static void sizes(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	unsigned int w66 = (in->rex & X86_REX_W ? 2 : 0) | (in->pfx & X86_PFX_66 ? 1 : 0);
	uint8_t lg = size_log2[d->row->size][d->mode][w66];
	bool p67 = in->pfx & X86_PFX_67;

	in->opsize = 1 << lg;
	d->width = x86_width_bytes[in->vex_l * 4 + lg];
	if (d->mode == X86_MODE_64)
		in->addrsize = p67 ? 4 : 8;
	else
		in->addrsize = (d->mode == X86_MODE_16) == p67 ? 4 : 2;
}

static uint64_t fetch_unsigned(struct x86_dec *d, uint8_t bytes)
{
	uint64_t v = 0;

	switch (bytes) {
	case 1:
		v = *d->p;
		break;
	case 2:
		v = d->p[0] | (uint64_t)d->p[1] << 8;
		break;
	case 4: {
		uint32_t v32;

		memcpy(&v32, d->p, 4);
		v = v32;
		break;
	}
	case 8:
		memcpy(&v, d->p, 8);
		break;
	}
	d->p += bytes;
	return v;
}

static int64_t fetch_signed(struct x86_dec *d, uint8_t bytes)
{
	uint64_t v = fetch_unsigned(d, bytes);

	switch (bytes) {
	case 1:
		return (int8_t)v;
	case 2:
		return (int16_t)v;
	case 4:
		return (int32_t)v;
	default:
		return (int64_t)v;
	}
}

enum { BX = 3, SP = 4, BP = 5, SI = 6, DI = 7 };

static void modrm_mem16(struct x86_dec *d, uint8_t mod, uint8_t rm)
{
	static const uint8_t base[8] = { BX, BX, BP, BP, SI, DI, BP, BX };
	static const uint8_t index[8] = { SI, DI, SI, DI, X86_REG_NONE, X86_REG_NONE, X86_REG_NONE, X86_REG_NONE };
	struct x86_memref *m = &d->in->mem;

	if (mod == 0 && rm == 6) {
		m->disp = fetch_signed(d, 2);
		return;
	}
	m->base = base[rm];
	m->index = index[rm];
	if (m->base == BP)
		m->seg = SEG_SS;
	d->disp8 = mod == 1;
	if (mod)
		m->disp = fetch_signed(d, mod);
}

/* SIB byte; returns whether a disp32 follows in place of the base */
static bool sib(struct x86_dec *d, uint8_t mod)
{
	struct x86_insn *in = d->in;
	struct x86_memref *m = &in->mem;
	uint8_t b = *d->p++;
	uint8_t index = (b >> 3 & 7) | (in->rex & X86_REX_X ? 8 : 0);

	if (index != SP || d->flags & X86_R_VSIB) {
		m->index = d->flags & X86_R_VSIB ? index | d->high_vvvv : index;
		m->scale = 1 << (b >> 6);
	}
	if (mod == 0 && (b & 7) == BP)
		return true;
	m->base = (b & 7) | (in->rex & X86_REX_B ? 8 : 0);
	return false;
}

static void modrm_mem32(struct x86_dec *d, uint8_t mod, uint8_t rm)
{
	struct x86_insn *in = d->in;
	struct x86_memref *m = &in->mem;
	bool disp32 = mod == 2;

	if (rm == 4) {
		disp32 |= sib(d, mod);
	} else if (mod == 0 && rm == 5) {
		disp32 = true;
		if (d->mode == X86_MODE_64)
			m->base = X86_REG_RIP;
	} else {
		m->base = rm | (in->rex & X86_REX_B ? 8 : 0);
	}
	if (m->base == SP || m->base == BP)
		m->seg = SEG_SS;
	d->disp8 = mod == 1;
	if (mod == 1)
		m->disp = fetch_signed(d, 1);
	else if (disp32)
		m->disp = fetch_signed(d, 4);
}

static void modrm(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	uint8_t mod, rm;

	in->has_modrm = 1;
	in->modrm = *d->p++;
	mod = in->modrm >> 6;
	rm = in->modrm & 7;
	if (mod == 3 || d->row->modrm & X86_R_MODRM_REG)
		return;
	if (in->addrsize == 2)
		modrm_mem16(d, mod, rm);
	else
		modrm_mem32(d, mod, rm);
	if (d->flags & X86_R_VSIB && (rm != 4 || in->addrsize == 2))
		d->ud = true; /* only a SIB byte can name the vector index */
}

static struct x86_operand *add(struct x86_dec *d, enum x86_opk kind, uint8_t reg, uint8_t size)
{
	struct x86_operand *op = &d->in->op[d->in->nr_ops++];

	op->kind = kind;
	op->reg = reg;
	op->size = size;
	return op;
}

/* byte registers 4..7 are AH..BH unless a REX or VEX prefix is there */
static void add_gpr(struct x86_dec *d, uint8_t reg, uint8_t size)
{
	if (size == 1 && reg >= 4 && !(d->in->pfx & (X86_PFX_REX | X86_PFX_VEX | X86_PFX_EVEX)))
		add(d, X86_OPK_GPR8H, reg & 3, 1);
	else
		add(d, X86_OPK_GPR, reg, size);
}

static void add_vec(struct x86_dec *d, uint8_t reg, uint8_t size)
{
	add(d, X86_OPK_XMM, reg, size < 16 ? 16 : size);
}

static void add_mem(struct x86_dec *d, uint8_t size)
{
	add(d, X86_OPK_MEM, 0, d->in->pfx & X86_PFX_EVEX ? x86_dec_evex_mem(d, size) : size);
}

static uint8_t reg_field(const struct x86_dec *d)
{
	return (d->in->modrm >> 3 & 7) | (d->in->rex & X86_REX_R ? 8 : 0);
}

static uint8_t rm_field(const struct x86_dec *d)
{
	return (d->in->modrm & 7) | (d->in->rex & X86_REX_B ? 8 : 0);
}

static bool is_reg(const struct x86_dec *d)
{
	return d->in->modrm >= 0xc0;
}

/* a memory operand that ModRM does not describe: strings, XLAT, MASKMOVQ, MONITOR */
static void implied_mem(struct x86_dec *d, uint8_t base, uint8_t seg)
{
	d->in->mem.base = base;
	d->in->mem.seg = seg;
}

static void operand_sreg(struct x86_dec *d, bool dest)
{
	uint8_t reg = d->in->modrm >> 3 & 7;

	if (reg > SEG_GS || (dest && reg == SEG_CS))
		d->ud = true;
	add(d, X86_OPK_SEG, reg, 2);
}

static void operand_creg(struct x86_dec *d, uint8_t size)
{
	uint8_t reg = reg_field(d);

	if (!(0x11d & 1 << reg)) /* CR0 CR2 CR3 CR4 CR8 */
		d->ud = true;
	add(d, X86_OPK_CR, reg, size);
}

static void operand_dreg(struct x86_dec *d, uint8_t size)
{
	uint8_t reg = reg_field(d);

	if (reg > 7)
		d->ud = true;
	add(d, X86_OPK_DR, reg, size);
}

static void operand_far(struct x86_dec *d, uint8_t size)
{
	d->in->imm = (int64_t)fetch_unsigned(d, size);
	d->in->imm2 = (int64_t)fetch_unsigned(d, 2);
	add(d, X86_OPK_IMM, 0, size);
	add(d, X86_OPK_IMM2, 0, 2);
}

static void operand_is4(struct x86_dec *d, uint8_t size)
{
	uint8_t b = *d->p++;

	d->in->imm = b & 0x0f;
	add_vec(d, d->mode == X86_MODE_64 ? b >> 4 : b >> 4 & 7, size);
}

/* Operands that read nothing from ModRM. */
static void operand_other(struct x86_dec *d, const struct x86_oc_info *oc)
{
	struct x86_insn *in = d->in;
	uint8_t size = d->width[oc->reg_width];

	switch (oc->method) {
	case X86_M_B:
		add(d, X86_OPK_GPR, in->vex_v, size);
		break;
	case X86_M_H:
		add_vec(d, in->vex_v, size);
		break;
	case X86_M_KH:
		d->ud |= in->vex_v > 7;
		add(d, X86_OPK_K, in->vex_v & 7, size);
		break;
	case X86_M_L:
		operand_is4(d, size);
		break;
	case X86_M_Z:
		add_gpr(d, (in->opcode & 7) | (in->rex & X86_REX_B ? 8 : 0), size);
		break;
	case X86_M_I:
		in->imm = fetch_signed(d, d->width[oc->mem_width]);
		in->imm_len = d->width[oc->mem_width];
		add(d, X86_OPK_IMM, 0, size);
		break;
	case X86_M_IU:
		in->imm = (int64_t)fetch_unsigned(d, d->width[oc->mem_width]);
		add(d, X86_OPK_IMM, 0, size);
		break;
	case X86_M_I2:
		in->imm2 = (int64_t)fetch_unsigned(d, d->width[oc->mem_width]);
		add(d, X86_OPK_IMM2, 0, size);
		break;
	case X86_M_J:
		in->imm = fetch_signed(d, d->width[oc->mem_width]);
		add(d, X86_OPK_REL, 0, size);
		break;
	case X86_M_A:
		operand_far(d, d->width[oc->mem_width]);
		break;
	case X86_M_O:
		in->mem.disp = (int64_t)fetch_unsigned(d, in->addrsize);
		add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_X:
		implied_mem(d, SI, SEG_DS);
		break;
	case X86_M_Y:
		implied_mem(d, DI, SEG_ES);
		break;
	case X86_M_GPRF:
		add(d, X86_OPK_GPR, oc->mem_width, size);
		break;
	case X86_M_SEGF:
		add(d, X86_OPK_SEG, oc->mem_width, size);
		break;
	case X86_M_STF:
		add(d, X86_OPK_ST, oc->mem_width, size);
		break;
	case X86_M_XMMF:
		add_vec(d, oc->mem_width, size);
		break;
	case X86_M_ONE:
		in->imm = 1;
		add(d, X86_OPK_IMM, 0, size);
		break;
	case X86_M_MF:
		implied_mem(d, oc->mem_width, SEG_DS);
		add_mem(d, size);
		break;
	}
}

static void operand(struct x86_dec *d, const struct x86_oc_info *oc)
{
	uint8_t size = d->width[oc->reg_width];

	switch (oc->method) {
	case X86_M_E:
		if (is_reg(d))
			add_gpr(d, rm_field(d), size);
		else
			add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_G:
		d->ud |= d->high_reg;
		add_gpr(d, reg_field(d), size);
		break;
	case X86_M_M:
	case X86_M_VM:
		d->ud |= is_reg(d);
		add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_R:
		d->ud |= !is_reg(d);
		/* fallthrough */
	case X86_M_RC:
		add(d, X86_OPK_GPR, rm_field(d), size);
		break;
	case X86_M_V:
		add_vec(d, reg_field(d) | d->high_reg, size);
		break;
	case X86_M_U:
		d->ud |= !is_reg(d);
		/* fallthrough */
	case X86_M_W:
		if (is_reg(d))
			add_vec(d, rm_field(d) | d->high_rm, size);
		else
			add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_P:
		add(d, X86_OPK_MMX, d->in->modrm >> 3 & 7, size);
		break;
	case X86_M_N:
		d->ud |= !is_reg(d);
		/* fallthrough */
	case X86_M_Q:
		if (is_reg(d))
			add(d, X86_OPK_MMX, d->in->modrm & 7, size);
		else
			add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_KG:
		d->ud |= reg_field(d) > 7 || d->high_reg;
		add(d, X86_OPK_K, reg_field(d) & 7, size);
		break;
	case X86_M_KR:
		d->ud |= !is_reg(d);
		/* fallthrough */
	case X86_M_KE:
		if (is_reg(d))
			add(d, X86_OPK_K, d->in->modrm & 7, size);
		else
			add_mem(d, d->width[oc->mem_width]);
		break;
	case X86_M_STI:
		add(d, X86_OPK_ST, d->in->modrm & 7, size);
		break;
	case X86_M_S:
		operand_sreg(d, false);
		break;
	case X86_M_SD:
		operand_sreg(d, true);
		break;
	case X86_M_C:
		operand_creg(d, size);
		break;
	case X86_M_D:
		operand_dreg(d, size);
		break;
	default:
		operand_other(d, oc);
	}
}

static void override_segment(struct x86_dec *d)
{
	struct x86_insn *in = d->in;

	if (d->seg == SEG_NONE)
		return;
	in->pfx |= X86_PFX_SEG;
	/* the destination of a string instruction is always in ES */
	if (in->attr & X86_A_STRING && in->mem.base == DI)
		return;
	in->mem.seg = d->seg;
}

/* there is such a row, and it is legal in this mode */
static bool is_defined(const struct x86_dec *d)
{
	const struct x86_row *row = d->row;

	return row->id != X86_I_INVALID &&
	       (row->legal == X86_L_ALL || (row->legal == X86_L_O64) == (d->mode == X86_MODE_64));
}

static void check_legal(struct x86_dec *d)
{
	struct x86_insn *in = d->in;

	if (in->pfx & X86_PFX_LOCK && !(in->attr & X86_A_LOCK && in->op[0].kind == X86_OPK_MEM))
		d->ud = true;
	if (in->pfx & X86_PFX_VEX) {
		in->attr |= X86_A_NOREAL;
		if (d->flags & X86_R_L_AVX2 && in->vex_l)
			in->feature = X86_F_AVX2;
		check_vex(d);
	} else if (in->pfx & X86_PFX_EVEX) {
		in->attr |= X86_A_NOREAL;
		x86_dec_evex_end(d);
	}
}

static bool has_modrm_at(const struct x86_row *row)
{
	return row->modrm || (row->kind != X86_K_ROW && row->kind < X86_K_FIRST_WITHOUT_MODRM);
}

/* An opcode whose other prefixes or lengths are defined has what they have. */
static bool undefined_has_modrm(const struct x86_dec *d)
{
	const struct x86_insn *in = d->in;

	if (in->pfx & (X86_PFX_VEX | X86_PFX_EVEX) || in->map > 1)
		return true;
	for (unsigned int i = 0; i < 4 && in->map == 1; i++)
		if (has_modrm_at(&x86_map_rows[1][in->opcode * 4 + i]))
			return true;
	return false;
}

/* SDM volume 2, tables */
static bool undefined_has_imm8(const struct x86_insn *in)
{
	static const uint8_t opcodes[] = { 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6 };

	for (size_t i = 0; i < sizeof(opcodes) && in->map == 1; i++)
		if (in->opcode == opcodes[i])
			return true;
	return in->map == 3;
}

/*
 * CPUs find the end of an instruction before they find out that it is undefined: over 15 bytes it is #GP, and bytes of it that cannot be read
 * are #PF.
 */
static void skip_undefined(struct x86_dec *d, bool has_modrm)
{
	if (!has_modrm && !undefined_has_modrm(d))
		return;
	sizes(d);
	d->flags &= (uint8_t)~X86_R_VSIB;
	modrm(d);
	d->p += undefined_has_imm8(d->in);
}

static void decode(struct x86_dec *d)
{
	struct x86_insn *in = d->in;
	const struct x86_row *row;
	bool has_modrm;

	prefixes(d);
	has_modrm = find_row(d);
	row = d->row;
	if (!is_defined(d)) {
		d->ud = true;
		skip_undefined(d, has_modrm);
		return;
	}
	in->id = row->id;
	in->attr = row->attr;
	in->feature = row->feature;
	in->cond = in->opcode & 0x0f;
	sizes(d);
	if (has_modrm)
		modrm(d);
	if (in->pfx & X86_PFX_EVEX)
		x86_dec_evex_length(d, (unsigned int)__builtin_ctz(in->opsize));
	for (int i = 0; i < 4 && row->oc[i]; i++)
		operand(d, &x86_oc_info[row->oc[i]]);
	override_segment(d);
	check_legal(d);
}

enum x86_decode_status x86_decode(struct x86_insn *insn, enum x86_mode mode, const uint8_t *bytes, size_t avail)
{
	uint8_t buf[BUF_LEN] = { 0 };
	struct x86_dec d = { .in = insn, .p = buf, .mode = mode, .seg = SEG_NONE };
	size_t len;

	if (avail >= MAX_LEN) {
		avail = MAX_LEN;
		word_read_bytes(buf, bytes, MAX_LEN);
	} else {
		word_read_bytes(buf, bytes, avail);
	}
	memset(insn, 0, sizeof(*insn));
	insn->mem = (struct x86_memref){ X86_REG_NONE, X86_REG_NONE, 1, SEG_DS, 0 };
	decode(&d);
	len = d.p - buf;
	if (len > avail)
		return avail < MAX_LEN ? X86_DECODE_SHORT : X86_DECODE_LONG;
	insn->len = len;
	return d.ud ? X86_DECODE_UD : X86_DECODE_OK;
}

const char *x86_iid_name(enum x86_iid id)
{
	static const char *const names[X86_I_COUNT] = {
		[X86_I_INVALID] = "invalid",
#define X86_IID(name) [X86_I_##name] = #name,
#include "vcpu/x86/decode/insn_ids.def"
#undef X86_IID
	};

	return (unsigned int)id < X86_I_COUNT ? names[id] : "invalid";
}
