/* SPDX-License-Identifier: MIT */
/*
 * Operands: decoded operands become IR references. Source of the address rules: Intel SDM volume 1, chapter 3.7, and
 * volume 3, chapter 3.4 (segments in 64-bit mode).
 */
#include "tcg/wander.h"
#include "vcpu/x86/tr/tr.h"

enum ir_type x86_tr_type(unsigned bytes)
{
	switch (bytes) {
	case 1:
		return IR_I8;
	case 2:
		return IR_I16;
	case 4:
		return IR_I32;
	default:
		return IR_I64;
	}
}

static bool is_const(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_K;
}

/* A constant in the form all passes expect: sign-extended from its type. */
static int64_t narrow(enum ir_type type, int64_t k)
{
	switch (type) {
	case IR_I8:
		return (int8_t)k;
	case IR_I16:
		return (int16_t)k;
	case IR_I32:
		return (int32_t)k;
	default:
		return k;
	}
}

struct ir_insn *x86_tr_emit(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, ir_ref b)
{
	struct ir_insn *i = ir_emit(c->ir, op, type, d, a, b);

	if (is_const(a) || is_const(b))
		i->imm = narrow(type, c->k);
	return i;
}

struct ir_insn *x86_tr_emit_k(struct x86_tr *c, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, int64_t k)
{
	return ir_emit_k(c->ir, op, type, d, a, k);
}

ir_ref x86_tr_const(struct x86_tr *c, int64_t k)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit_k(c->ir, IR_MOV, IR_I64, t, IR_NONE, k);
	return t;
}

void x86_tr_add_k(struct x86_tr *c, enum ir_type type, ir_ref r, int64_t k)
{
	ir_emit_k(c->ir, IR_ADD, type, r, r, k);
}

ir_ref x86_tr_ldenv(struct x86_tr *c, enum ir_type type, int64_t off)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, IR_LDENV, type, t, IR_NONE, IR_NONE)->imm = off;
	return t;
}

void x86_tr_stenv(struct x86_tr *c, enum ir_type type, ir_ref a, int64_t off)
{
	ir_emit(c->ir, IR_STENV, type, IR_NONE, a, IR_NONE)->imm = off;
}

uint8_t x86_tr_lock(const struct x86_tr *c)
{
	return (c->in.pfx & X86_PFX_LOCK) ? IR_LOCK : 0;
}

/* ---- Memory */

static int64_t seg_base_off(unsigned seg)
{
	return (int64_t)(offsetof(struct x86_cpu, seg) + seg * sizeof(struct x86_seg) + offsetof(struct x86_seg, base));
}

/* Whether the segment's base must be added: FS and GS always; the others are flat in 64-bit mode and where the block's
 * mode says so. */
static bool has_base(const struct x86_tr *c, unsigned seg)
{
	if (seg == X86_FS || seg == X86_GS)
		return true;
	return c->mode != X86_MODE_64 && (c->flags & X86_TB_SEGBASE);
}

static uint8_t pool_slot(uint64_t key)
{
	return (uint8_t)(TLB_SLOT_POOL + key % TLB_SLOT_POOL_SIZE);
}

/*
 * Accesses off a plain base register share that register's slot: they tend to stay near each other. With an index, or a displacement that is
 * itself the address of something (static arrays), the register says little: such an access gets a slot by its own PC, a constant address one
 * by its page. An access that missed too much with the first choice (wander.h) gets a slot by its PC in another way.
 */
static uint8_t slot_of(const struct x86_tr *c, const struct ir_mem *m, unsigned seg, enum wander wander)
{
	const int64_t far = 1 << 16;

	if (seg == X86_FS)
		return TLB_SLOT_SEG0;
	if (seg == X86_GS)
		return TLB_SLOT_SEG1;
	if (m->base == IR_NONE && m->index == IR_NONE)
		return pool_slot((uint64_t)m->disp >> GUEST_PAGE_BITS);
	if (IR_REF_KIND(m->base) == IR_KIND_G && IR_REF_NUM(m->base) == X86_RSP)
		return TLB_SLOT_STACK;
	if (wander != WANDER_NOT)
		return pool_slot(c->pc * 0x9e3779b97f4a7c15ull >> 32);
	if (m->base == IR_NONE || m->index != IR_NONE || m->disp > far || m->disp < -far)
		return pool_slot(c->pc >> 2); /* accesses of one loop are near, and get different ones */
	return IR_REF_KIND(m->base) == IR_KIND_G ? (uint8_t)IR_REF_NUM(m->base) : TLB_SLOT_MISC;
}

static void set_segment(struct x86_tr *c, struct ir_mem *m, unsigned seg)
{
	enum wander wander = (c->flags & X86_TB_CPL) ? wander_test(c->pc) : WANDER_NOT;

	m->slot = slot_of(c, m, seg, wander);
	m->wander = wander == WANDER_FAR;
	m->lin32 = c->mode != X86_MODE_64;
	if (has_base(c, seg))
		m->seg_base = (uint32_t)seg_base_off(seg);
}

/* Code segments of protected mode are never writable, flat or not. */
static bool writes_code_segment(const struct x86_tr *c, unsigned seg, bool write)
{
	return write && seg == X86_CS && (c->flags & X86_TB_PE) && !(c->flags & X86_TB_VM);
}

/* Outside 64-bit mode, where some segment is not flat: limit and type check of this access. */
static void check_segment(struct x86_tr *c, ir_ref mem, unsigned seg, unsigned size, bool write)
{
	unsigned flag = seg >= X86_FS ? X86_TB_FGLIM : X86_TB_SEGLIM;
	ir_ref off;

	if (c->mode == X86_MODE_64 || !size || (!(c->flags & flag) && !writes_code_segment(c, seg, write)))
		return;
	off = ir_temp(c->ir);
	ir_emit(c->ir, IR_LEA, IR_I64, off, mem, IR_NONE);
	x86_tr_rt(c, X86_RT_seg_check, X86_TR_NO_RESULT, x86_tr_const(c, seg | size << X86_SEG_CHECK_SIZE | (write ? X86_SEG_CHECK_WRITE : 0)), off,
		  IR_NONE);
}

/* CR0.AM and EFLAGS.AC at CPL 3: every access of 2, 4 or 8 bytes (SDM volume 3A, 6.15, #AC). */
static bool checks_alignment(const struct x86_tr *c)
{
	return (c->flags & X86_TB_AC) && (c->flags & X86_TB_CPL) == X86_TB_CPL;
}

static bool alignment_is_checked(const struct x86_tr *c, unsigned size)
{
	return checks_alignment(c) && (size == 2 || size == 4 || size == 8);
}

/* The address of the instruction's memory operand + off, without segment. */
static struct ir_mem address(const struct x86_tr *c, int64_t off)
{
	const struct x86_memref *r = &c->in.mem;
	struct ir_mem m = { .base = IR_NONE, .index = IR_NONE, .scale = 1, .addr_bits = (uint8_t)(c->in.addrsize * 8) };

	m.disp = (int64_t)((uint64_t)r->disp + (uint64_t)off);
	if (r->base == X86_REG_RIP)
		m.disp = (int64_t)((uint64_t)m.disp + c->next);
	else if (r->base != X86_REG_NONE)
		m.base = IR_G(r->base);
	if (r->index != X86_REG_NONE) {
		m.index = IR_G(r->index);
		m.scale = r->scale;
	}
	return m;
}

ir_ref x86_tr_mem_off(struct x86_tr *c, int64_t off, unsigned size, bool write)
{
	struct ir_mem m = address(c, off);
	ir_ref ref;

	set_segment(c, &m, c->in.mem.seg);
	m.align = alignment_is_checked(c, size);
	ref = ir_mem(c->ir, &m);
	check_segment(c, ref, c->in.mem.seg, size, write);
	return ref;
}

ir_ref x86_tr_mem_flush(struct x86_tr *c)
{
	ir_ref ref = x86_tr_mem_off(c, 0, 0, false), off;

	if (c->mode == X86_MODE_64 || !(c->flags & (X86_TB_SEGLIM | X86_TB_FGLIM)))
		return ref;
	off = ir_temp(c->ir);
	ir_emit(c->ir, IR_LEA, IR_I64, off, ref, IR_NONE);
	x86_tr_rt(c, X86_RT_seg_check, X86_TR_NO_RESULT,
		  x86_tr_const(c, c->in.mem.seg | 1u << X86_SEG_CHECK_SIZE | X86_SEG_CHECK_FLUSH), off, IR_NONE);
	return ref;
}

ir_ref x86_tr_mem(struct x86_tr *c, unsigned size, bool write)
{
	return x86_tr_mem_off(c, 0, size, write);
}

#define VECTOR_ALIGN 16

void x86_tr_vec_alignment(struct x86_tr *c, ir_ref mem, unsigned size, unsigned mask, unsigned lanes)
{
	unsigned to = size < VECTOR_ALIGN ? size : VECTOR_ALIGN;
	ir_ref va;

	if (!checks_alignment(c) || to < 2)
		return;
	va = ir_temp(c->ir);
	ir_emit(c->ir, IR_LEA, IR_I64, va, mem, IR_NONE);
	x86_tr_seg_linear(c, va, c->in.mem.seg);
	x86_tr_rt(c, X86_RT_vec_alignment, X86_TR_NO_RESULT, va, x86_tr_const(c, to), x86_tr_const(c, mask | lanes << 8));
}

ir_ref x86_tr_vec_mem(struct x86_tr *c, unsigned size, bool write)
{
	ir_ref m = x86_tr_mem(c, size, write);

	if (size < VECTOR_ALIGN)
		return m;
	if (c->in.attr & X86_A_ALIGN)
		x86_tr_mem_desc(c, m)->align = true;
	else
		x86_tr_vec_alignment(c, m, size, 0, 0);
	return m;
}

ir_ref x86_tr_mem_at(struct x86_tr *c, ir_ref base, int64_t disp, unsigned addr_bytes, unsigned seg, unsigned size,
		     bool write)
{
	struct ir_mem m = {
		.base = base, .index = IR_NONE, .scale = 1, .addr_bits = (uint8_t)(addr_bytes * 8), .disp = disp
	};
	ir_ref ref;

	set_segment(c, &m, seg);
	m.align = alignment_is_checked(c, size);
	ref = ir_mem(c->ir, &m);
	check_segment(c, ref, seg, size, write);
	return ref;
}

struct ir_mem *x86_tr_mem_desc(struct x86_tr *c, ir_ref mem)
{
	return &c->ir->mem[IR_REF_NUM(mem)];
}

ir_ref x86_tr_seg_linear(struct x86_tr *c, ir_ref offset, unsigned seg)
{
	enum ir_type type = c->mode == X86_MODE_64 ? IR_I64 : IR_I32;

	if (has_base(c, seg))
		ir_emit(c->ir, IR_ADD, type, offset, offset, x86_tr_ldenv(c, IR_I64, seg_base_off(seg)));
	return offset;
}

ir_ref x86_tr_linear(struct x86_tr *c, unsigned size, bool write)
{
	ir_ref m = x86_tr_mem(c, size, write), t = ir_temp(c->ir);

	ir_emit(c->ir, IR_LEA, IR_I64, t, m, IR_NONE);
	return x86_tr_seg_linear(c, t, c->in.mem.seg);
}

/* ---- Sources */

ir_ref x86_tr_load(struct x86_tr *c, ir_ref mem, unsigned size)
{
	ir_ref t = ir_temp(c->ir);

	switch (size) {
	case 1:
		ir_emit(c->ir, IR_ZX8, IR_I32, t, mem, IR_NONE);
		break;
	case 2:
		ir_emit(c->ir, IR_ZX16, IR_I32, t, mem, IR_NONE);
		break;
	default:
		ir_emit(c->ir, IR_MOV, x86_tr_type(size), t, mem, IR_NONE);
	}
	return t;
}

static ir_ref high_byte(struct x86_tr *c, unsigned reg)
{
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, IR_GETHI8, IR_I64, t, IR_G(reg), IR_NONE);
	return t;
}

ir_ref x86_tr_src(struct x86_tr *c, unsigned n)
{
	const struct x86_operand *o = &c->in.op[n];

	switch (o->kind) {
	case X86_OPK_GPR:
		return IR_G(o->reg);
	case X86_OPK_GPR8H:
		return high_byte(c, o->reg);
	case X86_OPK_MEM:
		return x86_tr_mem(c, o->size, false);
	case X86_OPK_XMM:
		return IR_V(o->reg);
	case X86_OPK_IMM2:
		c->k = c->in.imm2;
		return IR_KONST;
	default:
		c->k = c->in.imm;
		return IR_KONST;
	}
}

ir_ref x86_tr_reg_src(struct x86_tr *c, unsigned n)
{
	ir_ref r = x86_tr_src(c, n);

	if (IR_REF_KIND(r) == IR_KIND_M)
		return x86_tr_load(c, r, c->in.op[n].size);
	if (IR_REF_KIND(r) == IR_KIND_K)
		return x86_tr_const(c, c->k);
	return r;
}

ir_ref x86_tr_zx_ref(struct x86_tr *c, ir_ref r, unsigned size)
{
	return x86_tr_load(c, r, size);
}

ir_ref x86_tr_sx_ref(struct x86_tr *c, ir_ref r, unsigned size)
{
	static const uint8_t op[] = { [1] = IR_SX8, [2] = IR_SX16, [4] = IR_SX32, [8] = IR_MOV };
	ir_ref t = ir_temp(c->ir);

	ir_emit(c->ir, op[size], IR_I64, t, r, IR_NONE);
	return t;
}

ir_ref x86_tr_zx(struct x86_tr *c, unsigned n)
{
	ir_ref r = x86_tr_src(c, n);

	if (IR_REF_KIND(r) == IR_KIND_K)
		return x86_tr_const(c, c->k);
	if (IR_REF_KIND(r) == IR_KIND_T)
		return r; /* AH..BH, already extended */
	return x86_tr_load(c, r, c->in.op[n].size);
}

ir_ref x86_tr_sx(struct x86_tr *c, unsigned n)
{
	return x86_tr_sx_ref(c, x86_tr_src(c, n), c->in.op[n].size);
}

/* ---- Destinations */

ir_ref x86_tr_dest_begin(struct x86_tr *c, unsigned n, bool reads)
{
	const struct x86_operand *o = &c->in.op[n];

	if (o->kind == X86_OPK_GPR)
		return IR_G(o->reg);
	return reads ? high_byte(c, o->reg) : x86_tr_const(c, 0);
}

void x86_tr_dest_end(struct x86_tr *c, unsigned n, ir_ref r)
{
	if (c->in.op[n].kind == X86_OPK_GPR8H)
		ir_emit(c->ir, IR_PUTHI8, IR_I64, IR_G(c->in.op[n].reg), r, IR_NONE);
}

void x86_tr_write(struct x86_tr *c, unsigned n, ir_ref v, unsigned size)
{
	const struct x86_operand *o = &c->in.op[n];

	if (!size)
		size = o->size;
	switch (o->kind) {
	case X86_OPK_GPR:
		x86_tr_emit(c, IR_MOV, x86_tr_type(size), IR_G(o->reg), v, IR_NONE);
		break;
	case X86_OPK_GPR8H:
		if (is_const(v))
			v = x86_tr_const(c, c->k);
		ir_emit(c->ir, IR_PUTHI8, IR_I64, IR_G(o->reg), v, IR_NONE);
		break;
	default:
		x86_tr_emit(c, IR_MOV, x86_tr_type(size), x86_tr_mem(c, size, true), v, IR_NONE);
	}
}
