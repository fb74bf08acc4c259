/* SPDX-License-Identifier: MIT */
/*
 * Guest memory operands: the inline level-0 check, and the host operand of the access behind it.
 *
 *     lea  r13, [ea]           form A: one register              mov/lea r13, ea          form B: anything else
 *     sub  r13, slot.lo                                          mov  r14, r13
 *     cmp  r13, slot.lim[n]                                      sub  r14, slot.lo
 *     jae  cold                                                  cmp  r14, slot.lim[n]
 *     mov  r14, slot.disp                                        jae  cold
 *  a: op   [base + r14 + d]                                      add  r13, slot.disp
 *                                                             a: op   [r13]
 *
 * Accesses that wander use other tables instead, see wanders(). The cold path (cold.c) comes back to `a` with r13 = host address and
 * r14 = host address - linear address, which serve both forms.
 * Form A keeps the check off the address's critical path.
 */
#include "tcg/backend/x86_64/gen.h"
#include "tcg/ir/evex.h"

unsigned mem_bytes(const struct ir_insn *i)
{
	switch (i->op) {
	case IR_ZX8:
	case IR_SX8:
	case IR_SETCC:
		return 1;
	case IR_ZX16:
	case IR_SX16:
		return 2;
	case IR_SX32:
		return 4;
	case IR_EVEX:
		return ir_evex_bytes(i->imm2);
	default:
		return ir_type_bytes(i->type);
	}
}

/* Operations on whole vectors check their alignment themselves: the host's fault becomes the guest's. */
static bool checks_itself(const struct ir_insn *i, unsigned bytes)
{
	return bytes >= 16 && ((ir_op_info[i->op].attr & IR_AT_V) || i->op == IR_EVEX);
}

unsigned access_bytes(const struct ir_insn *i)
{
	return (ir_op_info[i->op].attr & IR_AT_V) && i->op != IR_VMOV ? vop_bytes(i) : mem_bytes(i);
}

size_t mem_lim_offset(unsigned bytes)
{
	unsigned n = 0;

	while (n < TLB_L0_SIZES - 1 && (1u << n) < bytes)
		n++;
	return offsetof(struct tlb_slot, lim) + n * 8;
}

static unsigned log2_scale(unsigned scale)
{
	return scale == 8 ? 3 : scale >> 1;
}

/* A base or index as a register: itself, or loaded into `scratch`. */
static unsigned addr_reg(struct gen *g, ir_ref r, unsigned scratch)
{
	return r == IR_NONE ? R_NONE : to_reg(g, r, IR_I64, scratch);
}

bool mem_effective_needs_r14(const struct ir_block *b, const struct ir_mem *m)
{
	(void)b;
	return !fits32(m->disp) || (m->base != IR_NONE && m->index != IR_NONE);
}

/* Effective address -> d, without segment base. May use r13 and r14; flags stay. */
void mem_effective(struct gen *g, const struct ir_mem *m, unsigned d)
{
	struct as *s = &g->s;
	unsigned base, index;
	uint32_t w = m->addr_bits == 64 ? OP_W : 0;

	if (m->base == IR_NONE && m->index == IR_NONE) {
		as_mov_imm(s, d, m->addr_bits == 64 ? m->disp : m->addr_bits == 32 ? (int64_t)(uint32_t)m->disp :
									       (int64_t)(uint16_t)m->disp);
		return;
	}
	base = addr_reg(g, m->base, R_13);
	index = addr_reg(g, m->index, m->base == IR_NONE ? R_13 : R_14);
	if (base == R_NONE && m->scale == 1) {
		base = index;
		index = R_NONE;
	}
	if (!fits32(m->disp)) {
		as_op(s, OP_W | OP_LEA, R_13, rm_mem(base, index, log2_scale(m->scale), 0));
		as_mov_imm(s, R_14, m->disp);
		as_op(s, w | OP_LEA, d, rm_mem(R_13, R_14, 0, 0));
	} else if (index == R_NONE && m->disp == 0) {
		if (base != d || !w)
			as_op(s, w | OP_MOV_MR, base, rm_reg(d));
	} else {
		as_op(s, w | OP_LEA, d, rm_mem(base, index, log2_scale(m->scale), (int32_t)m->disp));
	}
	if (m->addr_bits == 16)
		as_op(s, OP_MOVZX16, d, rm_reg(d));
}

/* Linear address -> r13; may use r14. */
static void linear(struct gen *g, const struct ir_mem *m)
{
	struct as *s = &g->s;

	mem_effective(g, m, R_13);
	if (m->seg_base)
		as_alu(s, ALU_ADD, R_13, rm_gs(m->seg_base));
	if (m->lin32 && (m->seg_base || m->addr_bits == 64))
		as_op(s, OP_MOV_MR, R_13, rm_reg(R_13));
}

static bool is_form_a(const struct gen *g, const struct ir_mem *m, unsigned how)
{
	if ((how & MEM_SIMPLE) || m->seg_base || m->addr_bits != 64 || m->lin32 || !fits32(m->disp))
		return false;
	if (m->base != IR_NONE)
		return m->index == IR_NONE && in_reg(g, m->base);
	return m->index == IR_NONE || in_reg(g, m->index);
}

/*
 * Accesses that wander: the level-0 slot, one range, misses too often. They look into level 1 at once, or, if they read, into the wide table; in
 * user mode, whose pages are never global: their tag is page | context. The page is that of the last byte, the index that of the first: crossing
 * fails by itself.
 *
 *     lea r14, [ea] / shr r14, 6 or 8 / and r14, index mask / add r14, wide table /
 *     lea r13, [ea + size - 1] / and r13, -4096 / or r13, ctx / cmp r13, tag[r14] / jne cold
 *     mov r14, disp[r14]                            form A           lea r13, [ea] / add r13, disp[r14]         form B
 *  a: op  [base + r14 + d]                                        a: op  [r13]
 */
static bool wanders(const struct gen *g, const struct ir_mem *m)
{
	if (!m->wander || g->ir->mmu_mode || m->seg_base || m->addr_bits != 64 || m->lin32 || m->align || !fits32(m->disp + 64))
		return false;
	return m->slot != GREG_SP && (m->base != IR_NONE || m->index != IR_NONE) && (m->index == IR_NONE || in_reg(g, m->index));
}

bool mem_can_share(const struct gen *g, const struct ir_mem *m)
{
	if (m->seg_base || m->addr_bits != 64 || m->lin32 || !fits32(m->disp) || wanders(g, m))
		return false;
	if ((m->base != IR_NONE && !in_reg(g, m->base)) || (m->index != IR_NONE && !in_reg(g, m->index)))
		return false;
	return !m->align || checks_itself(g->i, access_bytes(g->i));
}

struct rm mem_slot_field(const struct gen *g, unsigned slot, unsigned kind, size_t field)
{
	return rm_gs(offsetof(struct tcg_env, l0[g->ir->mmu_mode][kind][slot]) + field);
}

void mem_address_plus(struct gen *g, const struct ir_mem *m, int64_t more)
{
	struct ir_mem moved = *m;

	moved.disp += more;
	mem_effective(g, &moved, R_13);
}

static struct rm form_a_operand(const struct gen *g, const struct ir_mem *m)
{
	if (m->base == IR_NONE)
		return rm_mem(R_14, m->index == IR_NONE ? R_NONE : loc(g, m->index).base, log2_scale(m->scale), (int32_t)m->disp);
	return rm_mem(loc(g, m->base).base, R_14, 0, (int32_t)m->disp);
}

/* An access whose group has been checked. */
static struct rm checked_access(struct gen *g, const struct ir_mem *m, const struct group *gr, unsigned how)
{
	struct rm op;

	as_load(&g->s, R_14, mem_slot_field(g, gr->slot, gr->kind, offsetof(struct tlb_slot, disp)));
	if (m->base != IR_NONE && m->index != IR_NONE) {
		as_op(&g->s, OP_W | OP_LEA, R_14, rm_mem(R_14, loc(g, m->base).base, 0, 0));
		op = rm_mem(R_14, loc(g, m->index).base, log2_scale(m->scale), (int32_t)m->disp);
	} else {
		op = form_a_operand(g, m);
	}
	g->access = NULL;
	g->scratch = R_13;
	if (how & MEM_SIMPLE) {
		as_op(&g->s, OP_W | OP_LEA, R_13, op);
		g->scratch = R_14;
		op = rm_mem(R_13, R_NONE, 0, 0);
	}
	return op;
}

static void effective_plus(struct gen *g, const struct ir_mem *m, unsigned more, unsigned d)
{
	unsigned base = addr_reg(g, m->base, d), index = m->index == IR_NONE ? R_NONE : loc(g, m->index).base;
	int32_t disp = (int32_t)(m->disp + more);

	if (base == R_NONE && m->scale == 1) {
		base = index;
		index = R_NONE;
	}
	if (disp || index != R_NONE)
		as_op(&g->s, OP_W | OP_LEA, d, rm_mem(base, index, log2_scale(m->scale), disp));
	else if (base != d)
		as_mov(&g->s, d, base);
}

/* Of the wide table for reads, whose entries have no place of their own in env; of level 1 for others. */
static void probe_page(struct gen *g, const struct ir_mem *m, unsigned bytes, unsigned kind, bool a, struct cold *c)
{
	const size_t tlb = offsetof(struct tcg_env, tlb), l1 = tlb + offsetof(struct tlb, l1[0][TLB_L1_LARGE]);
	struct rm tag = rm_gs_base(R_14, l1 + offsetof(struct tlb_entry, tag) + kind * 8);
	struct rm disp = rm_gs_base(R_14, l1 + offsetof(struct tlb_entry, disp));
	struct as *s = &g->s;

	effective_plus(g, m, 0, R_14);
	if (bytes == 1)
		as_mov(s, R_13, R_14);
	else
		effective_plus(g, m, bytes - 1, R_13);
	if (kind) {
		as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_14), GUEST_PAGE_BITS - 6);
		as_alu_imm(s, ALU_AND, 0, rm_reg(R_14), (int32_t)((TLB_L1_SIZE - 1) << 6));
	} else {
		as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_14), GUEST_PAGE_BITS - 4);
		as_alu(s, ALU_AND, R_14, rm_gs(tlb + offsetof(struct tlb, wide_mask)));
		as_alu(s, ALU_ADD, R_14, rm_gs(tlb + offsetof(struct tlb, wide)));
		tag = rm_mem(R_14, R_NONE, 0, offsetof(struct tlb_wide_entry, tag));
		disp = rm_mem(R_14, R_NONE, 0, offsetof(struct tlb_wide_entry, disp));
	}
	as_alu_imm(s, ALU_AND, OP_W, rm_reg(R_13), -(int32_t)GUEST_PAGE_SIZE);
	as_alu(s, ALU_OR, R_13, rm_gs(tlb + offsetof(struct tlb, ctx)));
	as_alu(s, ALU_CMP, R_13, tag);
	c->from = as_jcc(s, IR_CC_NZ);
	if (a) {
		as_load(s, R_14, disp);
		return;
	}
	effective_plus(g, m, 0, R_13);
	as_alu(s, ALU_ADD, R_13, disp);
}

/* What the cold path has to know. */
static void describe(struct gen *g, struct cold *c, ir_ref ref, unsigned bytes, unsigned access)
{
	c->access = (uint8_t)access;
	c->size = (uint8_t)bytes;
	c->align = g->ir->mem[IR_REF_NUM(ref)].align;
	c->mem = (uint16_t)IR_REF_NUM(ref);
	if (g->i->op == IR_EVEX && ir_evex_unpack(g->i->imm2).partial)
		c->partial = ir_evex_access(g->i->imm2, c->align);
	c->vec_out = g->v_out;
	c->back = as_off(&g->s);
	g->fl_host = 0;
	g->access = c;
}

struct rm mem_begin(struct gen *g, ir_ref ref, unsigned bytes, unsigned access, unsigned how)
{
	const struct ir_mem *m = &g->ir->mem[IR_REF_NUM(ref)];
	struct as *s = &g->s;
	unsigned kind = access != TLB_READ || m->slot == GREG_SP;
	size_t slot = offsetof(struct tcg_env, l0[g->ir->mmu_mode][kind][m->slot]);
	bool a = is_form_a(g, m, how), check_align;
	const struct group *gr = share_checked(g);
	unsigned probe = a ? R_13 : R_14;
	struct cold *c;

	if (gr)
		return checked_access(g, m, gr, how);
	c = cold_new(g, COLD_MEM);
	if (wanders(g, m)) {
		probe_page(g, m, bytes, access != TLB_READ, a, c);
		c->wide = access == TLB_READ;
		g->scratch = a ? R_13 : R_14;
		c->addr_in_r13 = false;
		describe(g, c, ref, bytes, access);
		return a ? form_a_operand(g, m) : rm_mem(R_13, R_NONE, 0, 0);
	}

	check_align = m->align && bytes > 1 && !checks_itself(g->i, bytes);
	linear(g, m);
	if (check_align) {
		as_op(s, 0xf6 | OP_M8, 0, rm_reg(R_13)); /* test r13b, bytes - 1 */
		as_u8(s, bytes - 1);
		c->from2 = as_jcc(s, IR_CC_NZ);
	}
	if (!a)
		as_mov(s, R_14, R_13);
	as_alu(s, ALU_SUB, probe, rm_gs(slot + offsetof(struct tlb_slot, lo)));
	as_alu(s, ALU_CMP, probe, rm_gs(slot + mem_lim_offset(bytes)));
	c->from = as_jcc(s, IR_CC_NC);
	if (bytes > 32) { /* the limit is that of 32 bytes; the lowest byte is in the range, so this does not wrap */
		as_alu_imm(s, ALU_ADD, OP_W, rm_reg(probe), (int32_t)(bytes - 32));
		as_alu(s, ALU_CMP, probe, rm_gs(slot + mem_lim_offset(bytes)));
		c->from3 = as_jcc(s, IR_CC_NC);
	}
	if (a)
		as_load(s, R_14, rm_gs(slot + offsetof(struct tlb_slot, disp)));
	else
		as_alu(s, ALU_ADD, R_13, rm_gs(slot + offsetof(struct tlb_slot, disp)));
	g->scratch = a ? R_13 : R_14;
	c->addr_in_r13 = !a;
	describe(g, c, ref, bytes, access);
	return a ? form_a_operand(g, m) : rm_mem(R_13, R_NONE, 0, 0);
}

void mem_end(struct gen *g)
{
	if (g->access)
		g->access->end = as_off(&g->s);
	g->access = NULL;
	g->scratch = R_13;
}
