/* SPDX-License-Identifier: MIT */
/*
 * Encoder of x86-64 instructions. Prefix order, REX, ModRM and SIB as in the Intel SDM volume 2, sections 2.1 and 2.2; the shortest
 * displacement and immediate forms are chosen here.
 */
#include "tcg/backend/x86_64/asm.h"

const uint8_t greg_pin[TCG_NR_GREG] = {
#define PIN(global, host) [global] = host,
#include "tcg/backend/x86_64/regs.def"
#undef PIN
};

/*
 * An instruction but for its immediate is written behind one look for room: to a pointer that the functions below return moved on. NULL: there is no
 * room.
 */
#define MAX_BYTES 16

static inline uint8_t *begin(struct as *s)
{
	if (unlikely((size_t)(s->end - s->p) < MAX_BYTES)) {
		s->overflow = true;
		return NULL;
	}
	return s->p;
}

static inline uint8_t *put(uint8_t *p, unsigned v)
{
	*p = (uint8_t)v;
	return p + 1;
}

static inline uint8_t *put32(uint8_t *p, int32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

/* disp8: a displacement of one byte means what it says. */
static inline uint8_t *modrm_mem(uint8_t *p, unsigned reg, struct rm m, bool disp8)
{
	unsigned r = (reg & 7) << 3, mod;

	if (m.base == R_NONE) { /* absolute or index only: SIB without base, disp32 */
		p = put(p, r | 4);
		p = put(p, (unsigned)m.scale << 6 | (m.index == R_NONE ? 4u : m.index & 7u) << 3 | 5);
		return put32(p, m.disp);
	}
	if (m.disp == 0 && (m.base & 7) != R_BP)
		mod = 0x00;
	else
		mod = disp8 && fits8(m.disp) ? 0x40 : 0x80;
	if (m.index != R_NONE || (m.base & 7) == R_SP) {
		p = put(p, mod | r | 4);
		p = put(p, (unsigned)m.scale << 6 | (m.index == R_NONE ? 4u : m.index & 7u) << 3 | (m.base & 7));
	} else {
		p = put(p, mod | r | (m.base & 7));
	}
	if (mod == 0x40)
		p = put(p, (unsigned)m.disp);
	else if (mod == 0x80)
		p = put32(p, m.disp);
	return p;
}

static inline uint8_t *modrm(uint8_t *p, unsigned reg, struct rm m, bool disp8)
{
	return m.is_mem ? modrm_mem(p, reg, m, disp8) : put(p, 0xc0 | (reg & 7) << 3 | (m.base & 7));
}

static unsigned rex_bits(unsigned reg, struct rm m)
{
	unsigned rex = (reg >> 3 & 1) << 2;

	if (m.base != R_NONE)
		rex |= m.base >> 3 & 1;
	if (m.index != R_NONE)
		rex |= (unsigned)(m.index >> 3 & 1) << 1;
	return rex;
}

void as_op(struct as *s, uint32_t op, unsigned reg, struct rm m)
{
	unsigned rex = rex_bits(reg, m) | ((op & OP_W) ? 8 : 0);
	uint8_t *p = begin(s);

	if (!p)
		return;
	if ((op & OP_R8) && reg >= 4)
		rex |= 0x40;
	if ((op & OP_M8) && !m.is_mem && m.base >= 4)
		rex |= 0x40;
	if (op & OP_LOCK)
		p = put(p, 0xf0);
	if (m.gs)
		p = put(p, 0x65);
	if (op & OP_66)
		p = put(p, 0x66);
	if (op & OP_F2)
		p = put(p, 0xf2);
	if (op & OP_F3)
		p = put(p, 0xf3);
	if (rex)
		p = put(p, 0x40 | rex);
	if (op & OP_MAP)
		p = put(p, 0x0f);
	if ((op & OP_MAP) == OP_0F38)
		p = put(p, 0x38);
	if ((op & OP_MAP) == OP_0F3A)
		p = put(p, 0x3a);
	p = put(p, op & 0xff);
	s->p = modrm(p, reg, m, true);
}

void as_op_imm8(struct as *s, uint32_t op, unsigned reg, struct rm m, unsigned imm)
{
	as_op(s, op, reg, m);
	as_u8(s, imm);
}

void as_vex(struct as *s, uint32_t op, unsigned reg, unsigned vvvv, struct rm m)
{
	unsigned rex = rex_bits(reg, m), map = (op & OP_MAP) >> 8;
	unsigned pp = (op & OP_66) ? 1 : (op & OP_F3) ? 2 : (op & OP_F2) ? 3 : 0;
	uint8_t *p = begin(s);

	if (!p)
		return;
	if (m.gs)
		p = put(p, 0x65);
	p = put(p, 0xc4);
	p = put(p, (~rex & 7) << 5 | map);
	p = put(p, ((op & OP_W) ? 0x80u : 0) | (~vvvv & 15) << 3 | ((op & OP_L) ? 4u : 0) | pp);
	p = put(p, op & 0xff);
	s->p = modrm(p, reg, m, true);
}

void as_evex(struct as *s, uint32_t op, unsigned more, unsigned reg, unsigned vvvv, struct rm m)
{
	unsigned rex = rex_bits(reg, m), map = (op & OP_MAP) >> 8;
	unsigned pp = (op & OP_66) ? 1 : (op & OP_F3) ? 2 : (op & OP_F2) ? 3 : 0;
	uint8_t *p = begin(s);

	if (!p)
		return;
	if (!m.is_mem)
		rex |= (m.base >> 4 & 1u) << 1;
	if (m.gs)
		p = put(p, 0x65);
	p = put(p, 0x62);
	p = put(p, (~rex & 7) << 5 | (~reg >> 4 & 1) << 4 | map);
	p = put(p, ((op & OP_W) ? 0x80u : 0) | (~vvvv & 15) << 3 | 4 | pp);
	p = put(p, more | ((op & OP_L2) ? 0x40u : 0) | ((op & OP_L) ? 0x20u : 0) | (~vvvv >> 4 & 1) << 3);
	p = put(p, op & 0xff);
	s->p = modrm(p, reg, m, false);
}

/* Intel's recommended long NOPs (SDM volume 2, NOP). */
void as_nops(struct as *s, unsigned n)
{
	static const uint8_t nops[8][8] = {
		{ 0x90 },
		{ 0x66, 0x90 },
		{ 0x0f, 0x1f, 0x00 },
		{ 0x0f, 0x1f, 0x40, 0x00 },
		{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	};

	for (; n > 8; n -= 8)
		as_bytes(s, nops[7], 8);
	if (n)
		as_bytes(s, nops[n - 1], n);
}

void as_mov(struct as *s, unsigned d, unsigned src)
{
	if (d != src)
		as_op(s, OP_W | OP_MOV_MR, src, rm_reg(d));
}

uint32_t as_mov_imm64(struct as *s, unsigned d, uint64_t imm)
{
	as_u8(s, 0x48 | (d >> 3 & 1));
	as_u8(s, 0xb8 | (d & 7));
	as_u64(s, imm);
	return as_off(s) - 8;
}

void as_mov_imm(struct as *s, unsigned d, int64_t imm)
{
	if (imm == (int64_t)(uint32_t)imm) {
		if (d >= 8)
			as_u8(s, 0x41);
		as_u8(s, 0xb8 | (d & 7));
		as_u32(s, (uint32_t)imm);
	} else if (fits32(imm)) {
		as_op(s, OP_W | 0xc7, 0, rm_reg(d));
		as_u32(s, (uint32_t)imm);
	} else {
		as_mov_imm64(s, d, (uint64_t)imm);
	}
}

void as_load(struct as *s, unsigned d, struct rm m)
{
	as_op(s, OP_W | OP_MOV_RM, d, m);
}

void as_store(struct as *s, struct rm m, unsigned src)
{
	as_op(s, OP_W | OP_MOV_MR, src, m);
}

void as_store_imm(struct as *s, struct rm m, int32_t imm)
{
	as_op(s, OP_W | 0xc7, 0, m);
	as_u32(s, (uint32_t)imm);
}

void as_alu(struct as *s, enum alu alu, unsigned d, struct rm m)
{
	as_op(s, OP_W | (unsigned)alu << 3 | 3, d, m);
}

void as_alu_imm(struct as *s, enum alu alu, uint32_t opflags, struct rm m, int32_t imm)
{
	if (opflags & OP_M8) {
		as_op(s, opflags | 0x80, alu, m);
		as_u8(s, (unsigned)imm);
	} else if (fits8(imm)) {
		as_op(s, opflags | 0x83, alu, m);
		as_u8(s, (unsigned)imm);
	} else {
		as_op(s, opflags | 0x81, alu, m);
		as_bytes(s, &imm, (opflags & OP_66) ? 2 : 4);
	}
}

uint32_t as_jcc(struct as *s, unsigned cc)
{
	as_u8(s, 0x0f);
	as_u8(s, 0x80 | cc);
	as_u32(s, 0);
	return as_off(s) - 4;
}

uint32_t as_jmp(struct as *s)
{
	as_u8(s, 0xe9);
	as_u32(s, 0);
	return as_off(s) - 4;
}

uint32_t as_call(struct as *s)
{
	as_u8(s, 0xe8);
	as_u32(s, 0);
	return as_off(s) - 4;
}

void as_patch(struct as *s, uint32_t rel_off, uint32_t target_off)
{
	uint32_t rel = target_off - (rel_off + 4);

	if (!s->overflow)
		memcpy(s->base + rel_off, &rel, 4);
}

void as_patch_abs(struct as *s, uint32_t rel_off, const uint8_t *target_rx)
{
	if (s->nr_outward < s->max_outward)
		s->outward[s->nr_outward] = rel_off;
	s->nr_outward++;
	as_patch(s, rel_off, (uint32_t)(target_rx - s->rx));
}

void as_jmp_abs(struct as *s, const uint8_t *target_rx)
{
	as_patch_abs(s, as_jmp(s), target_rx);
}

void as_call_abs(struct as *s, const uint8_t *target_rx)
{
	as_patch_abs(s, as_call(s), target_rx);
}

void as_jcc_abs(struct as *s, unsigned cc, const uint8_t *target_rx)
{
	as_patch_abs(s, as_jcc(s, cc), target_rx);
}
