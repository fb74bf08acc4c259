/* SPDX-License-Identifier: MIT */
/*
 * The rules of well-formed IR, as docs/IR.md states them. Used by tests, and after each pass in debug builds.
 */
#include <string.h>

#include "tcg/ir/ir.h"

/* Sets of operand kinds and types. */
#define KB(kind) (1u << IR_KIND_##kind)
#define NONE	 KB(NONE)
#define REG	 (KB(G) | KB(T))
#define VREG	 (KB(V) | KB(VT))
#define TB(type) (1u << IR_##type)
#define T_INT	 (TB(I8) | TB(I16) | TB(I32) | TB(I64))
#define T_ANY	 ((1u << IR_TYPE_COUNT) - 1)

struct check {
	const struct ir_block *b;
	const struct ir_insn *i;
	const struct ir_op_info *info;
	uint32_t stretch;		/* number of the label-free stretch we are in, from 1 */
	uint32_t defined[IR_MAX_TEMPS]; /* the stretch that defined the temporary */
	uint8_t vdefined;		/* vector temporaries, bit each */
	uint8_t label[IR_MAX_LABELS];	/* 1 used, 2 placed */
};

static bool kind_in(ir_ref r, uint32_t kinds)
{
	return kinds >> IR_REF_KIND(r) & 1;
}

/* ---- Types */

static uint32_t types_of(enum ir_op op)
{
	switch (op) {
	case IR_ZX8:
	case IR_SX8:
		return T_INT & ~TB(I8);
	case IR_ZX16:
	case IR_SX16:
		return TB(I32) | TB(I64);
	case IR_SX32:
	case IR_CLOCK:
		return TB(I64);
	case IR_MULU:
	case IR_MULS:
	case IR_DIVU:
	case IR_DIVS:
		return TB(I16) | TB(I32) | TB(I64);
	case IR_BSWAP:
	case IR_ADCX:
	case IR_ADOX:
	case IR_PDEP:
	case IR_PEXT:
	case IR_BLSR:
	case IR_BLSMSK:
	case IR_BLSI:
	case IR_BZHI:
	case IR_BEXTR:
		return TB(I32) | TB(I64);
	case IR_VEX:
		return TB(V128) | TB(V256);
	case IR_VMOV:
		return TB(V128) | TB(V256) | TB(I64) | TB(I32) | TB(F64) | TB(F32);
	default:
		break;
	}
	if ((ir_op_info[op].attr & IR_AT_V) || op == IR_FPU || op == IR_EVEX)
		return T_ANY;
	/* Ops without integer data ignore the type. */
	return (ir_op_info[op].shape & (IR_SH_D | IR_SH_A | IR_SH_B)) ? T_INT : T_ANY;
}

/* ---- Operand kinds */

/* Ops that may read and write the same memory operand d == a. */
static bool may_rmw(enum ir_op op)
{
	switch (op) {
	case IR_ADD:
	case IR_ADC:
	case IR_SUB:
	case IR_SBB:
	case IR_AND:
	case IR_OR:
	case IR_XOR:
	case IR_INC:
	case IR_DEC:
	case IR_NEG:
	case IR_NOT:
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROL:
	case IR_ROR:
	case IR_RCL:
	case IR_RCR:
	case IR_SHLD:
	case IR_SHRD:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC:
		return true;
	default:
		return false;
	}
}

static uint32_t kinds_d(const struct check *c)
{
	switch (c->i->op) {
	case IR_VMOV:
		return VREG | KB(M);
	case IR_VOP:
	case IR_GTOV:
	case IR_VEX:
	case IR_VEXG:
		return VREG;
	case IR_MOV:
	case IR_SETCC:
		return REG | KB(M);
	case IR_RT:
	case IR_MULU: /* only the high half is wanted */
	case IR_MULS:
		return REG | NONE;
	case IR_EVEX:
		return REG | NONE | KB(M);
	case IR_FPU: /* moves and conversions between the two units */
		return REG | VREG | NONE | KB(M);
	default:
		return may_rmw(c->i->op) ? REG | KB(M) : REG;
	}
}

static uint32_t kinds_a(const struct check *c)
{
	uint32_t mem = (c->info->attr & IR_AT_M) ? KB(M) : 0;

	switch (c->i->op) {
	case IR_LEA:
		return KB(M);
	case IR_VMOV:
		return VREG | KB(M);
	case IR_VOP:
	case IR_GTOV:
	case IR_VEX:
	case IR_VEXG:
		return VREG | NONE;
	case IR_VFL:
		return VREG;
	case IR_XCHG:
	case IR_XADD:
	case IR_CAS:
		return REG | KB(M);
	case IR_RT:
		return REG | NONE | mem;
	case IR_EVEX:
		return REG | NONE | mem;
	case IR_FPU:
		return REG | VREG | NONE | mem;
	case IR_STENV:
	case IR_PUTFL:
	case IR_PUTVC:
	case IR_BRZ:
	case IR_BRNZ:
	case IR_FITS:
		return REG; /* imm is taken */
	default:
		return REG | KB(K) | mem;
	}
}

static uint32_t kinds_b(const struct check *c)
{
	uint32_t mem = (c->info->attr & IR_AT_M) ? KB(M) : 0;

	switch (c->i->op) {
	case IR_VOP:
	case IR_VEX:
		return VREG | KB(M) | NONE;
	case IR_VFL:
		return VREG | KB(M);
	case IR_VTOG:
		return VREG;
	case IR_GTOV:
	case IR_VEXG:
		return REG | KB(M);
	case IR_XCHG:
	case IR_XADD:
	case IR_BZHI:
	case IR_BEXTR:
		return REG;
	case IR_BTS:
	case IR_BTR:
	case IR_BTC:
	case IR_BT:
	case IR_SHLD:
	case IR_SHRD:
	case IR_CAS:
		return REG | KB(K);
	case IR_RT:
		return REG | NONE;
	case IR_EVEX:
		return NONE;
	case IR_FPU:
		return REG | VREG | NONE | KB(M);
	default:
		return REG | KB(K) | mem;
	}
}

static uint32_t kinds_c(const struct check *c)
{
	switch (c->i->op) {
	case IR_VEX:
		return VREG | NONE;
	case IR_RT:
		return REG | NONE;
	case IR_MULU:
	case IR_MULS:
		return REG | NONE;
	case IR_DIVU:
	case IR_DIVS:
		return REG;
	default:
		return REG | KB(K); /* shift counts */
	}
}

static const char *check_kinds(const struct check *c)
{
	const struct ir_insn *i = c->i;
	unsigned shape = c->info->shape;

	if (!kind_in(i->d, (shape & IR_SH_D) ? kinds_d(c) : NONE))
		return "destination of a wrong kind";
	if (!kind_in(i->a, (shape & IR_SH_A) ? kinds_a(c) : NONE))
		return "operand a of a wrong kind";
	if (!kind_in(i->b, (shape & IR_SH_B) ? kinds_b(c) : NONE))
		return "operand b of a wrong kind";
	if (!kind_in(i->c, (shape & (IR_SH_C | IR_SH_X)) ? kinds_c(c) : NONE))
		return "operand c of a wrong kind";
	return NULL;
}

static const char *check_ref(const struct check *c, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	switch (IR_REF_KIND(r)) {
	case IR_KIND_G:
		return n < TCG_NR_GREG ? NULL : "no such integer global";
	case IR_KIND_V:
		return n < TCG_NR_VREG ? NULL : "no such vector global";
	case IR_KIND_T:
		return n < c->b->nr_temps ? NULL : "no such temporary";
	case IR_KIND_VT:
		return n < 4 ? NULL : "no such vector temporary";
	case IR_KIND_M:
		return n < c->b->nr_mems ? NULL : "no such memory operand";
	case IR_KIND_NONE:
	case IR_KIND_K:
		return n == 0 ? NULL : "operand without number has one";
	}
	return "unknown kind of operand";
}

/* One distinct memory operand, one constant; d is memory only for stores and read-modify-write. */
static const char *check_mem(const struct check *c)
{
	const struct ir_insn *i = c->i;
	bool md = kind_in(i->d, KB(M)), ma = kind_in(i->a, KB(M)), mb = kind_in(i->b, KB(M));
	bool is_rmw = (md && ma) || (ma && (i->op == IR_XCHG || i->op == IR_XADD || i->op == IR_CAS));
	unsigned konst = kind_in(i->a, KB(K)) + kind_in(i->b, KB(K)) + kind_in(i->c, KB(K));

	if ((md && ma && i->d != i->a) || (mb && (md || ma)))
		return "more than one memory operand";
	if (md && ma && !may_rmw(i->op))
		return "the op cannot read and write memory";
	if (md && !ma && i->op != IR_MOV && i->op != IR_VMOV && i->op != IR_SETCC && i->op != IR_FPU && i->op != IR_EVEX)
		return "memory destination without the same source";
	if ((i->attr & IR_LOCK) && !is_rmw)
		return "LOCK without read-modify-write of memory";
	if (konst > 1)
		return "more than one constant";
	return NULL;
}

static const char *check_shape_rules(const struct check *c)
{
	const struct ir_insn *i = c->i;

	if ((i->op == IR_SHLD || i->op == IR_SHRD) && i->d != i->a)
		return "double shift with d != a";
	if (i->op == IR_VOP && i->a != IR_NONE && i->a != i->d)
		return "two-source vector operation with d != a";
	if ((c->info->shape & IR_SH_X) && i->d == i->c)
		return "the two destinations are the same";
	if ((i->attr & IR_SETF) && !c->info->fl_def)
		return "the op has no flags to set";
	if (c->info->fl_use == IR_USES_CC && i->cc > IR_CC_GT)
		return "no such condition";
	if ((c->info->attr & IR_AT_V) && i->op != IR_VMOV && (i->imm2 <= IR_VOP_NONE || i->imm2 >= IR_VOP_COUNT))
		return "no such vector operation";
	if (i->op == IR_RT && (uint64_t)i->imm >= c->b->nr_rt)
		return "no such runtime routine";
	if (i->op == IR_RT && (i->imm2 < 0 || i->imm2 >= IR_SHORTCUTS))
		return "no such shortcut";
	if (i->op == IR_LDCODE && !c->b->code)
		return "the block's code is nowhere";
	return NULL;
}

/* ---- Temporaries */

static const char *use_ref(const struct check *c, ir_ref r)
{
	const struct ir_mem *m;

	switch (IR_REF_KIND(r)) {
	case IR_KIND_T:
		return c->defined[IR_REF_NUM(r)] == c->stretch ? NULL : "temporary used before it is defined";
	case IR_KIND_VT:
		return c->vdefined >> IR_REF_NUM(r) & 1 ? NULL : "vector temporary used before it is defined";
	case IR_KIND_M:
		m = &c->b->mem[IR_REF_NUM(r)];
		if ((IR_REF_KIND(m->base) == IR_KIND_T && use_ref(c, m->base)) ||
		    (IR_REF_KIND(m->index) == IR_KIND_T && use_ref(c, m->index)))
			return "address temporary used before it is defined";
		return NULL;
	default:
		return NULL;
	}
}

static void def_ref(struct check *c, ir_ref r)
{
	if (IR_REF_KIND(r) == IR_KIND_T)
		c->defined[IR_REF_NUM(r)] = c->stretch;
	else if (IR_REF_KIND(r) == IR_KIND_VT)
		c->vdefined |= (uint8_t)(1u << IR_REF_NUM(r));
}

static const char *check_temps(struct check *c)
{
	const struct ir_insn *i = c->i;
	unsigned reads = ir_reads(i), writes = ir_writes(i);
	const char *bad = NULL;

	if (i->op == IR_FPU)
		reads &= ~IR_RW_D;
	/* xor t, t is a definition. */
	if ((i->op == IR_XOR || i->op == IR_SUB || i->op == IR_VOP) && i->a == i->b)
		reads = 0;
	if ((reads & IR_RW_A) || kind_in(i->a, KB(M)))
		bad = use_ref(c, i->a);
	if (!bad && ((reads & IR_RW_B) || kind_in(i->b, KB(M))))
		bad = use_ref(c, i->b);
	if (!bad && (reads & IR_RW_C))
		bad = use_ref(c, i->c);
	if (!bad && ((reads & IR_RW_D) || kind_in(i->d, KB(M))))
		bad = use_ref(c, i->d);
	if (writes & IR_RW_D)
		def_ref(c, i->d);
	if (writes & IR_RW_A)
		def_ref(c, i->a);
	if (writes & IR_RW_B)
		def_ref(c, i->b);
	if (writes & IR_RW_C)
		def_ref(c, i->c);
	return bad;
}

/* ---- Control flow */

static const char *check_flow(struct check *c)
{
	const struct ir_insn *i = c->i;

	switch (i->op) {
	case IR_LABEL:
	case IR_BR:
	case IR_BRCC:
	case IR_BRZ:
	case IR_BRNZ:
		break;
	default:
		return NULL;
	}
	c->stretch++;
	c->vdefined = 0;
	if (i->imm < 0 || i->imm >= c->b->nr_labels)
		return "no such label";
	if (i->op != IR_LABEL) {
		c->label[i->imm] |= 1;
		return NULL;
	}
	if (c->label[i->imm] & 2)
		return "label placed twice";
	c->label[i->imm] |= 2;
	return NULL;
}

static const char *check_insn(struct check *c)
{
	const char *bad;
	ir_ref refs[4] = {c->i->d, c->i->a, c->i->b, c->i->c};

	for (unsigned n = 0; n < 4; n++)
		if ((bad = check_ref(c, refs[n])))
			return bad;
	if ((bad = check_kinds(c)) || (bad = check_mem(c)) || (bad = check_shape_rules(c)) || (bad = check_temps(c)))
		return bad;
	if (!(types_of(c->i->op) >> c->i->type & 1))
		return "type not legal for the op";
	return check_flow(c);
}

static const char *check_mem_operand(const struct ir_block *b, const struct ir_mem *m)
{
	ir_ref refs[2] = {m->base, m->index};

	for (unsigned n = 0; n < 2; n++) {
		if (!kind_in(refs[n], REG | NONE))
			return "address register of a wrong kind";
		if (IR_REF_NUM(refs[n]) >= (kind_in(refs[n], KB(T)) ? b->nr_temps : TCG_NR_GREG))
			return "no such address register";
	}
	if (m->addr_bits != 16 && m->addr_bits != 32 && m->addr_bits != 64)
		return "address width is not 16, 32 or 64";
	if (m->scale != 1 && m->scale != 2 && m->scale != 4 && m->scale != 8)
		return "scale is not 1, 2, 4 or 8";
	if (m->slot >= TLB_L0_SLOTS)
		return "no such TLB slot";
	return NULL;
}

const char *ir_verify(const struct ir_block *b, unsigned *where)
{
	struct check c = {.b = b, .stretch = 1};
	const char *bad;
	bool ended = false;

	*where = 0;
	if (b->nr_insns > IR_MAX_INSNS || b->nr_mems > IR_MAX_MEMS || b->nr_temps > IR_MAX_TEMPS ||
	    b->nr_labels > IR_MAX_LABELS)
		return "block overflow";
	for (unsigned n = 0; n < b->nr_mems; n++)
		if ((bad = check_mem_operand(b, &b->mem[n])))
			return bad;
	for (unsigned n = 0; n < b->nr_insns; n++) {
		*where = n;
		c.i = &b->insn[n];
		if (c.i->op >= IR_OP_COUNT || c.i->type >= IR_TYPE_COUNT)
			return "unknown op or type";
		c.info = &ir_op_info[c.i->op];
		if (ended && c.i->op != IR_LABEL)
			return "unreachable";
		if ((bad = check_insn(&c)))
			return bad;
		ended = (c.info->attr & IR_AT_T) || c.i->op == IR_BR;
	}
	if (!ended)
		return "the block does not end in an exit";
	for (unsigned n = 0; n < b->nr_labels; n++)
		if (c.label[n] == 1)
			return "label used but not placed";
	return NULL;
}
