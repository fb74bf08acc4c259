/* SPDX-License-Identifier: MIT */
/*
 * The stack FPU (x87, MMX): guest and host share encodings and the host's unit holds the guest's state, so an operation is emitted as
 * it came, with its operands outside that unit put where host code has them. Its faults are the guest's (signals.c).
 *
 * imm2, as the guest's translator packs it: bits 7:0 mandatory prefix, 15:8 opcode map (0: one byte), 23:16 opcode, 31:24 ModRM,
 * 39:32 immediate, 40 has one, 41 register form; IR_FPU_* of ir.h.
 *
 * Which operation was the last is asked for by FNSTENV and its kin only. It is known while compiling: so it is stored where the block is left
 * (lower.c), in the cold code of accesses that come behind it, and by a trap's handler; where the operand was, behind each operand. The host's
 * own pointers would be free, but are addresses of generated code, and AMD's CPUs forget them when the host switches threads.
 */
#include "tcg/backend/x86_64/gen.h"
#include "tcg/guest.h"

#define FPU_HAS_IMM (1ull << 40)
#define FPU_REG_FORM (1ull << 41)

static void store_imm32(struct as *s, size_t off, uint32_t v)
{
	as_op(s, 0xc7, 0, rm_gs(off));
	as_u32(s, v);
}

void fpu_note_store(struct gen *g, uint32_t note)
{
	gva_t pc = g->ir->pc + FPU_NOTE_PC(note);

	if (fits32((int64_t)pc)) {
		as_store_imm(&g->s, RM_ENV(fpu_pc), (int32_t)pc);
	} else {
		store_imm32(&g->s, offsetof(struct tcg_env, fpu_pc), (uint32_t)pc);
		store_imm32(&g->s, offsetof(struct tcg_env, fpu_pc) + 4, (uint32_t)(pc >> 32));
	}
	store_imm32(&g->s, offsetof(struct tcg_env, fpu_op), FPU_NOTE_OP(note) | TCG_FPU_LINEAR);
}

static void forget(struct gen *g)
{
	as_store_imm(&g->s, RM_ENV(fpu_pc), 0);
	as_store_imm(&g->s, RM_ENV(fpu_data), 0);
	store_imm32(&g->s, offsetof(struct tcg_env, fpu_op), 0);
	g->fpu_note = 0;
}

/* Behind the operation. The registers of the address still hold what they did: it writes none of them. */
static void note(struct gen *g, uint64_t w)
{
	const struct ir_insn *i = g->i;
	ir_ref ref = is_m(i->d) ? i->d : i->a;
	const struct ir_mem *m = &g->ir->mem[IR_REF_NUM(ref)];

	if (w & IR_FPU_FORGETS)
		forget(g);
	if (!(w & IR_FPU_NOTES))
		return;
	g->fpu_note = FPU_NOTE((uint32_t)(g->pc - g->ir->pc), ir_fpu_opcode(w));
	if (!is_m(ref))
		return;
	if (m->index == IR_NONE && !m->disp && m->addr_bits == 64 && m->base != IR_NONE && in_reg(g, m->base)) {
		as_store(&g->s, RM_ENV(fpu_data), loc(g, m->base).base);
	} else {
		mem_effective(g, m, R_13);
		as_store(&g->s, RM_ENV(fpu_data), R_13);
	}
}

static unsigned opcode(uint64_t w)
{
	return w >> 16 & 0xff;
}

static unsigned modrm_byte(uint64_t w)
{
	return w >> 24 & 0xff;
}

static unsigned map_of(uint64_t w)
{
	return w >> 8 & 0xff;
}

/* MOVD, MOVQ between MMX and general registers or memory: 64 bits by REX.W; the store form names its destination in ModRM.rm. */
static bool is_movd(uint64_t w)
{
	return map_of(w) == 1 && (opcode(w) == 0x6e || opcode(w) == 0x7e) && (w & 0xff) == 0;
}

static uint32_t as_opcode(const struct gen *g, uint64_t w)
{
	static const uint32_t maps[4] = { 0, OP_0F, OP_0F38, OP_0F3A };
	uint32_t op = opcode(w) | maps[map_of(w) & 3];

	switch (w & 0xff) {
	case 0x66:
		op |= OP_66;
		break;
	case 0xf2:
		op |= OP_F2;
		break;
	case 0xf3:
		op |= OP_F3;
		break;
	}
	if (is_movd(w) && g->i->type == IR_I64)
		op |= OP_W;
	return op;
}

static bool is_fcmov(uint64_t w)
{
	return map_of(w) == 0 && (opcode(w) == 0xda || opcode(w) == 0xdb) && modrm_byte(w) >= 0xc0 && modrm_byte(w) < 0xe0;
}

static void immediate(struct gen *g, uint64_t w)
{
	if (w & FPU_HAS_IMM)
		as_u8(&g->s, (unsigned)(w >> 32));
}

/*
 * env.fpu_image is no longer what is in the unit. Said once for all operations up to the next label or runtime routine: nothing else that comes back
 * into a block takes the image.
 */
static void touch(struct gen *g)
{
	if (!g->fpu_touched)
		store_imm32(&g->s, offsetof(struct tcg_env, fpu_is_saved), 0);
	g->fpu_touched = true;
}

/* No operands outside the unit, or ax of FNSTSW: the bytes as they are. */
static void plain(struct gen *g, uint64_t w)
{
	const struct ir_insn *i = g->i;
	bool sets = (i->attr & IR_SETF) != 0;

	if (sets) {
		fl_begin(g, false);
		fl_ready(g);
	} else if (is_fcmov(w)) {
		fl_to_host(g, ir_cc_uses(i->cc) & (F_C | F_Z | F_P));
	}
	trap_here(g);
	if (map_of(w) == 0 && opcode(w) == 0x9b) { /* FWAIT and EMMS have no ModRM */
		as_u8(&g->s, 0x9b);
	} else if (map_of(w) == 1 && opcode(w) == 0x77) {
		as_u8(&g->s, 0x0f);
		as_u8(&g->s, 0x77);
	} else {
		as_op(&g->s, as_opcode(g, w), modrm_byte(w) >> 3 & 7, rm_reg(modrm_byte(w) & 7));
		immediate(g, w);
	}
	if (sets)
		fl_done(g);
}

static void with_memory(struct gen *g, uint64_t w)
{
	const struct ir_insn *i = g->i;
	bool store = is_m(i->d);
	unsigned reg = modrm_byte(w) >> 3 & 7;
	struct rm m;

	fl_check(g);
	/* A store that ends in an unmasked exception writes nothing: a bounce buffer must hold the old bytes. */
	m = mem_begin(g, store ? i->d : i->a, mem_bytes(i), store ? TLB_RMW : TLB_READ, 0);
	if (!store && IR_REF_KIND(i->d) == IR_KIND_V)
		reg = v_dst(g, i->d);
	trap_here(g);
	as_op(&g->s, as_opcode(g, w), reg, m);
	immediate(g, w);
	mem_end(g);
}

static unsigned source_reg(struct gen *g, ir_ref a)
{
	if (IR_REF_KIND(a) == IR_KIND_V || IR_REF_KIND(a) == IR_KIND_VT)
		return v_src(g, a);
	return to_reg(g, a, IR_I64, R_13);
}

/* General or vector registers outside the unit: a is ModRM.rm; d is ModRM.reg, or rm for the store form of MOVD. */
static void with_registers(struct gen *g, uint64_t w)
{
	const struct ir_insn *i = g->i;
	unsigned reg = modrm_byte(w) >> 3 & 7, rm = modrm_byte(w) & 7, d = R_NONE;
	bool vector = IR_REF_KIND(i->d) == IR_KIND_V || IR_REF_KIND(i->d) == IR_KIND_VT;

	if (i->a != IR_NONE)
		rm = source_reg(g, i->a);
	if (vector)
		d = v_dst(g, i->d);
	trap_here(g);
	if (i->d != IR_NONE && !vector)
		d = result_reg(g, i->d, R_13);
	if (d != R_NONE && is_movd(w))
		rm = d;
	else if (d != R_NONE)
		reg = d;
	as_op(&g->s, as_opcode(g, w), reg, rm_reg(rm));
	immediate(g, w);
	if (i->d != IR_NONE && !vector)
		put_result(g, i->d, IR_I64, d);
}

/* FNSTSW AX writes host ax. */
static void status_to_ax(struct gen *g, uint64_t w)
{
	const struct ir_insn *i = g->i;
	bool home = in_reg(g, i->d) && loc(g, i->d).base == R_AX;

	if (!home)
		as_mov(&g->s, R_13, R_AX);
	as_op(&g->s, as_opcode(g, w), modrm_byte(w) >> 3 & 7, rm_reg(modrm_byte(w) & 7));
	if (!home) {
		as_store(&g->s, RM_ENV(be_save[3]), R_AX);
		as_mov(&g->s, R_AX, R_13);
		as_load(&g->s, R_13, RM_ENV(be_save[3]));
		put_result(g, i->d, IR_I16, R_13);
	}
}

void lower_fpu(struct gen *g)
{
	const struct ir_insn *i = g->i;
	uint64_t w = (uint64_t)i->imm2;

	touch(g);
	if (!stubs_isa->fpu_host_encoding)
		g->failed = true;
	else if (is_m(i->d) || is_m(i->a))
		with_memory(g, w);
	else if (i->d == IR_NONE && i->a == IR_NONE)
		plain(g, w);
	else if (map_of(w) == 0)
		status_to_ax(g, w);
	else
		with_registers(g, w);
	note(g, w);
}
