/* SPDX-License-Identifier: MIT */
/*
 * IR_EVEX on the native back end: random blocks of AVX-512, VEX and legacy operations agree with the interpreter, which runs the same instructions
 * one by one on a copy of the registers. What is tested is what lies between: residency at all levels, memory operands, masks, faults.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tcg/ir/evex.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

#define LOAD 1u   /* the rm operand is a source, and may be memory */
#define STORE 2u  /* it is the destination, and may be memory */
#define KDEST 4u  /* ModRM.reg is a mask register */
#define PACKED 8u
#define BCAST 16u /* memory may be one element */
#define IMM 32u
#define TWO 64u   /* has no vvvv operand */
#define ALIGNED 128u

struct row {
	uint8_t map, pp, w, opcode;
	uint8_t lane;   /* bytes of a vector for one mask bit */
	uint8_t shrink; /* memory is 1 / 2^shrink of the vector */
	uint8_t how;
};

static const struct row rows[] = {
	{ 1, 1, 0, 0xfe, 4, 0, LOAD | BCAST },           /* vpaddd */
	{ 1, 1, 1, 0xd4, 8, 0, LOAD | BCAST },           /* vpaddq */
	{ 1, 0, 0, 0x58, 4, 0, LOAD | BCAST },           /* vaddps */
	{ 1, 1, 1, 0x59, 8, 0, LOAD | BCAST },           /* vmulpd */
	{ 1, 1, 0, 0x74, 1, 0, LOAD | KDEST },           /* vpcmpeqb */
	{ 3, 1, 0, 0x1f, 4, 0, LOAD | KDEST | BCAST | IMM }, /* vpcmpd */
	{ 3, 1, 1, 0x25, 8, 0, LOAD | BCAST | IMM },     /* vpternlogq */
	{ 1, 3, 0, 0x6f, 1, 0, LOAD | TWO },             /* vmovdqu8 */
	{ 1, 2, 1, 0x6f, 8, 0, LOAD | TWO },             /* vmovdqu64 */
	{ 1, 3, 1, 0x7f, 2, 0, STORE | TWO },            /* vmovdqu16 */
	{ 1, 2, 0, 0x7f, 4, 0, STORE | TWO },            /* vmovdqu32 */
	{ 1, 1, 0, 0x6f, 4, 0, LOAD | TWO | ALIGNED },   /* vmovdqa32 */
	{ 1, 1, 1, 0x7f, 8, 0, STORE | TWO | ALIGNED },  /* vmovdqa64 */
	{ 2, 2, 0, 0x31, 4, 2, STORE | TWO },            /* vpmovdb */
	{ 2, 1, 0, 0x8b, 4, 0, STORE | TWO | PACKED },   /* vpcompressd */
	{ 2, 1, 1, 0x89, 8, 0, LOAD | TWO | PACKED },    /* vpexpandq */
	{ 2, 1, 0, 0x31, 4, 2, LOAD | TWO },             /* vpmovzxbd */
};

static uint64_t seed;
static struct ir_block block;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static bool host_can(void)
{
	return !(backend_native.lacks() & BACKEND_EVEX);
}

/* Mostly inside pages, now and then across, beside the page that faults, or at once where the last access was. */
static ir_ref memory(struct ir_block *b, unsigned bytes, bool align)
{
	static const uint32_t places[] = { 0, 64, 128, 4096 - 16, 4096, 4096 - 61, FX_PAGE_MMIO << 12, FX_PAGE_CODE << 12, (FX_PAGE_FAULT << 12) - 32,
					   (FX_PAGE_FAULT << 12) - 64, (FX_PAGE_FAULT << 12) + 4090, FX_PAGE_GLOBAL << 12 };
	uint32_t at = places[pick(ARRAY_LEN(places))] + (pick(3) ? 0 : pick(8) * 8);
	unsigned base = 1 + pick(7);
	struct ir_mem m = { .base = IR_G(base == 4 ? 3 : base), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = (uint8_t)pick(4), .align = align };

	if (align && pick(8))
		at &= ~(bytes - 1);
	m.disp = pick(4) ? 0 : 64;
	m.slot += 16 + 3;
	ir_emit(b, IR_MOV, IR_I64, m.base, IR_KONST, IR_NONE)->imm = (int64_t)(FX_BASE + at) - m.disp;
	return ir_mem(b, &m);
}

static unsigned log2_of(unsigned n)
{
	return (unsigned)__builtin_ctz(n);
}

static void describe_memory(struct ir_evex *e, const struct row *r, unsigned vector)
{
	unsigned bytes = e->b ? r->lane : vector >> r->shrink;

	e->log_bytes = (uint8_t)log2_of(bytes);
	e->partial = e->mask != 0;
	e->packed = r->how & PACKED;
	e->log_lanes = (uint8_t)log2_of(vector / r->lane);
	e->log_elements = e->b ? 0 : e->log_lanes;
}

static void gen_vector(struct ir_block *b)
{
	const struct row *r = &rows[pick(ARRAY_LEN(rows))];
	struct ir_evex e = { .opcode = r->opcode, .map = r->map, .pp = r->pp, .w = r->w, .reg = (uint8_t)pick(32), .vvvv = (uint8_t)pick(32),
			     .rm = (uint8_t)pick(32), .length = (uint8_t)(pick(3) ? pick(2) : 2), .mask = (uint8_t)pick(4), .has_imm = r->how & IMM };
	bool mem = pick(2);
	unsigned vector = 16u << e.length;
	struct ir_insn *i;
	ir_ref m = IR_NONE;

	if (r->how & TWO)
		e.vvvv = 0;
	if (r->how & KDEST)
		e.reg &= 7;
	if (mem && (r->how & BCAST))
		e.b = pick(2);
	e.z = e.mask && !(r->how & KDEST) && !(mem && (r->how & STORE)) && pick(2);
	if (mem) {
		describe_memory(&e, r, vector);
		m = memory(b, 1u << e.log_bytes, r->how & ALIGNED);
	}
	i = ir_emit(b, IR_EVEX, IR_I64, mem && (r->how & STORE) ? m : IR_NONE, mem && (r->how & LOAD) ? m : IR_NONE, IR_NONE);
	i->imm2 = ir_evex_pack(&e);
	i->imm = pick(256);
}

/* KMOVQ both ways and with memory, KORTESTQ, VMOVQ, VPBROADCASTD from an integer, VCVTSD2SI. */
static void gen_integer(struct ir_block *b)
{
	struct ir_evex e = { .map = 1, .vex = true, .w = true, .reg = (uint8_t)pick(8), .rm = (uint8_t)pick(8) };
	ir_ref d = IR_NONE, a = IR_NONE, g = IR_G(pick(16));
	bool setf = false;

	switch (pick(8)) {
	case 0:
		e.opcode = 0x92;
		e.pp = 3;
		e.rm_int = true;
		a = g;
		break;
	case 1:
		e.opcode = 0x93;
		e.pp = 3;
		e.reg_int = true;
		e.reg = 0;
		d = g;
		break;
	case 2:
		e.opcode = 0x90;
		e.log_bytes = 3;
		a = memory(b, 8, false);
		break;
	case 3:
		e.opcode = 0x91;
		e.log_bytes = 3;
		d = memory(b, 8, false);
		break;
	case 4:
		e.opcode = 0x98;
		e.sets_flags = true;
		setf = pick(2);
		break;
	case 5:
		e = (struct ir_evex){ .map = 1, .pp = 1, .w = true, .opcode = 0x7e, .reg = (uint8_t)pick(32), .rm_int = true };
		d = g;
		break;
	case 6:
		e = (struct ir_evex){ .map = 2, .pp = 1, .opcode = 0x7c, .reg = (uint8_t)pick(32), .rm_int = true, .length = (uint8_t)pick(3),
				      .mask = (uint8_t)pick(3) };
		a = g;
		break;
	default:
		e = (struct ir_evex){ .map = 1, .pp = 3, .w = true, .opcode = 0x2d, .reg_int = true, .rm = (uint8_t)pick(32) };
		d = g;
		if (pick(2)) {
			e.log_bytes = 3;
			a = memory(b, 8, false);
		}
	}
	ir_emit(b, IR_EVEX, IR_I64, d, a, IR_NONE)->imm2 = ir_evex_pack(&e);
	if (setf)
		b->insn[b->nr_insns - 1].attr |= IR_SETF;
}

/* What is not AVX-512: it must leave upper parts alone, or clear them. */
static void gen_narrow(struct ir_block *b)
{
	ir_ref v = IR_V(pick(16)), u = IR_V(pick(16));
	struct ir_insn *i;

	switch (pick(6)) {
	case 0:
		ir_emit(b, IR_VOP, IR_V128, v, v, u)->imm2 = IR_VOP_PADDD;
		break;
	case 1:
		ir_emit(b, IR_VEX, pick(2) ? IR_V256 : IR_V128, v, u, IR_V(pick(16)))->imm2 = IR_VOP_PADDQ;
		break;
	case 2:
		ir_emit(b, IR_VMOV, IR_V128, memory(b, 16, false), v, IR_NONE);
		break;
	case 3: /* a temporary displaces a vector */
		ir_emit(b, IR_VEX, IR_V256, IR_VT(0), u, v)->imm2 = IR_VOP_PADDQ;
		if (pick(2))
			ir_emit(b, IR_RT, IR_I64, IR_G(pick(16)), IR_NONE, IR_NONE)->imm = FX_RT_VECTORS;
		ir_emit(b, IR_VMOV, IR_V256, memory(b, 32, false), IR_VT(0), IR_NONE);
		break;
	case 4:
		i = ir_emit(b, IR_VZERO, IR_I64, IR_NONE, IR_NONE, IR_NONE);
		i->imm = pick(2);
		i->imm2 = pick(2) ? 16 : 8;
		break;
	default:
		ir_emit(b, IR_RT, IR_I64, IR_G(pick(16)), IR_NONE, IR_NONE)->imm = FX_RT_VECTORS;
	}
}

struct result {
	uint64_t greg[TCG_NR_GREG], kreg[TCG_NR_KREG], flags;
	union tcg_vreg vreg[TCG_NR_ZREG];
	uint32_t mxcsr, exit;
	uint8_t mem[FX_SIZE];
};
static struct result interp, native;

/* Some states have nothing in the upper parts, so that the lower levels are to be had. */
static void run(const struct backend *be, uint64_t s, struct result *out)
{
	uint64_t r = s | 1;

	fx_reset_state(s);
	fx.env->mxcsr = s >> 8 & 3 ? 0x1f80 : 0x1f80 ^ (s >> 10 & 0xffc0); /* some exceptions unmasked, other rounding, flushing */
	for (unsigned n = 0; (s & 3) && n < TCG_NR_ZREG; n++)
		for (unsigned k = n < 16 ? 4 : 0; k < ((s & 4) ? 8 : n < 16 ? 4 : 4); k++)
			fx.env->vreg[n].q[k] = r *= 0x9e3779b97f4a7c15ull;
	for (unsigned n = 0; (s & 3) && n < TCG_NR_KREG; n++)
		fx.env->kreg[n] = (r *= 0x9e3779b97f4a7c15ull) >> (n * 8);
	if (s & 3)
		fx.env->vec_used = s & 4 ? TCG_VEC_ALL : TCG_VEC_MASKS | TCG_VEC_MORE;
	fx_run(be, &block);
	memcpy(out->greg, fx.env->greg, sizeof(out->greg));
	memcpy(out->kreg, fx.env->kreg, sizeof(out->kreg));
	memcpy(out->vreg, fx.env->vreg, sizeof(out->vreg));
	memcpy(out->mem, fx.mem, FX_SIZE);
	out->flags = fx.env->exit_code == TCG_EXIT_LOOKUP ? fx.env->flags & F_ALL : 0; /* at a fault those that nobody would have read are stale */
	out->mxcsr = fx.env->mxcsr;
	out->exit = fx.env->exit_code + (fx.trap == 1 + GUEST_TRAP_VECTOR_FP ? 16 : 0); /* misaligned: by a trap, or the slow path */
}

static void print_line(void *opaque, const char *text)
{
	(void)opaque;
	fprintf(stderr, "    %s\n", text);
}

static void compare(uint64_t s)
{
	if (!memcmp(&interp, &native, sizeof(interp)))
		return;
	for (unsigned n = 0; n < TCG_NR_ZREG; n++)
		for (unsigned k = 0; k < 8; k++)
			if (interp.vreg[n].q[k] != native.vreg[n].q[k])
				fprintf(stderr, "  v%u quadword %u: interp %016llx native %016llx\n", n, k, (unsigned long long)interp.vreg[n].q[k],
					(unsigned long long)native.vreg[n].q[k]);
	for (unsigned n = 0; n < TCG_NR_KREG; n++)
		if (interp.kreg[n] != native.kreg[n])
			fprintf(stderr, "  k%u: interp %llx native %llx\n", n, (unsigned long long)interp.kreg[n], (unsigned long long)native.kreg[n]);
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (interp.greg[n] != native.greg[n])
			fprintf(stderr, "  g%u: interp %llx native %llx\n", n, (unsigned long long)interp.greg[n], (unsigned long long)native.greg[n]);
	fprintf(stderr, "  flags %llx %llx mxcsr %x %x exit %u %u memory %s\n", (unsigned long long)interp.flags, (unsigned long long)native.flags,
		interp.mxcsr, native.mxcsr, interp.exit, native.exit, memcmp(interp.mem, native.mem, FX_SIZE) ? "differs" : "agrees");
	ir_print(&block, print_line, NULL);
	fail_msg("seed %llu", (unsigned long long)s);
}

static void block_of(uint64_t s)
{
	const char *bad;
	unsigned where;

	seed = s;
	fx_begin(&block);
	for (unsigned n = 1 + pick(6); n-- > 0;) {
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + n;
		if (pick(4) == 0)
			ir_emit(&block, IR_ADD, IR_I64, IR_G(0), IR_G(0), IR_G(9))->attr |= IR_SETF;
		switch (pick(8)) {
		case 0:
			gen_integer(&block);
			break;
		case 1:
		case 2:
			gen_narrow(&block);
			break;
		default:
			gen_vector(&block);
		}
	}
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	bad = ir_verify(&block, &where);
	if (bad)
		fail_msg("bad IR at %u: %s", where, bad);
	opt_liveness(&block);
	run(&backend_interp, s, &interp);
	run(&backend_native, s, &native);
	compare(s);
}

static void random_blocks_agree_with_the_interpreter(void **state)
{
	const char *e = getenv("X86_64_SEED"), *c = getenv("X86_64_BLOCKS");
	uint64_t s = e ? strtoull(e, NULL, 0) : 1, n = c ? strtoull(c, NULL, 0) : 4000;

	(void)state;
	if (!host_can())
		skip();
	fx_catch_signals();
	while (n--)
		block_of(s++ * 0x9e3779b97f4a7c15ull);
}

/* ---- Faults */

/* A misaligned store of a vector that stands in for another, after it has hit once: the vectors come out of the signal's frame. */
static void fault_beside_a_temporary_leaves_all_vectors(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3, .align = true };
	struct ir_evex op = { .map = 1, .pp = 1, .opcode = 0xfe, .reg = 20, .vvvv = 20, .rm = 20 };
	union tcg_vreg want[TCG_NR_ZREG];

	(void)state;
	if (!host_can())
		skip();
	fx_catch_signals();
	for (unsigned length = 1; length <= 2; length++) {
		op.length = (uint8_t)length;
		fx_begin(&block);
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
		ir_emit(&block, IR_MOV, IR_I64, IR_G(3), IR_KONST, IR_NONE)->imm = FX_BASE + 32;
		ir_emit(&block, IR_VMOV, IR_V256, IR_V(1), ir_mem(&block, &m), IR_NONE); /* fills the slot */
		ir_emit(&block, IR_EVEX, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm2 = ir_evex_pack(&op);
		ir_emit(&block, IR_VMOV, IR_V256, IR_VT(0), IR_V(1), IR_NONE);
		ir_emit(&block, IR_ADD, IR_I64, IR_G(3), IR_G(3), IR_KONST)->imm = 4;
		ir_emit(&block, IR_VMOV, IR_V256, ir_mem(&block, &m), IR_VT(0), IR_NONE);
		ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
		opt_liveness(&block);
		fx_reset_state(11);
		fx.env->mxcsr = 0x1f80;
		for (unsigned run = 0; run < 3; run++) { /* by the third run the TLB hits */
			for (unsigned n = 0; n < TCG_NR_ZREG; n++)
				for (unsigned k = 0; k < 8; k++)
					fx.env->vreg[n].q[k] = length == 1 && k >= 4 ? 0 : n + 100 * k;
			for (unsigned n = 0; n < TCG_NR_KREG; n++)
				fx.env->kreg[n] = ~(uint64_t)n;
			fx.env->vec_used = length == 1 ? TCG_VEC_MASKS | TCG_VEC_MORE : TCG_VEC_ALL;
			memcpy(want, fx.env->vreg, sizeof(want));
			for (unsigned k = 0; k < 16; k++)
				want[20].l[k] = k >= 8 * length ? 0 : 2 * want[20].l[k];
			memset(&want[1], 0, sizeof(want[1]));
			memcpy(&want[1], fx.mem + 32, 32);
			fx.trap = 0;
			fx_run(&backend_native, &block);
			assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
			assert_memory_equal(fx.env->vreg, want, sizeof(want));
			for (unsigned n = 0; n < TCG_NR_KREG; n++)
				assert_true(fx.env->kreg[n] == ~(uint64_t)n);
		}
		assert_int_equal(fx.trap, 1 + GUEST_TRAP_ALIGN);
	}
}

/* Should the decoder let something pass that the host does not know, it is the guest's fault, not ours. */
static void undefined_instruction_is_the_guests_fault(void **state)
{
	struct ir_evex op = { .map = 3, .pp = 2, .opcode = 0xfd, .reg = 20, .vvvv = 20, .rm = 20 };

	(void)state;
	if (!host_can())
		skip();
	fx_catch_signals();
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + 5;
	ir_emit(&block, IR_EVEX, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm2 = ir_evex_pack(&op);
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_reset_state(3);
	fx_run(&backend_native, &block);
	assert_int_equal(fx.trap, 1 + GUEST_TRAP_UNDEFINED);
	assert_int_equal(fx.env->pc, FX_PC + 5);
}

/* ---- Levels */

/* Nothing above bit 255: a block of 256 bits does not make wide vectors live, and what it clears stays clear. */
static void narrow_blocks_stay_narrow(void **state)
{
	struct ir_evex op = { .map = 1, .pp = 1, .opcode = 0xfe, .reg = 17, .vvvv = 18, .rm = 19, .length = 1 };

	(void)state;
	if (!host_can())
		skip();
	for (unsigned wide = 0; wide < 2; wide++) {
		op.length = wide ? 2 : 1;
		fx_begin(&block);
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
		ir_emit(&block, IR_EVEX, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm2 = ir_evex_pack(&op);
		ir_emit(&block, IR_VEX, IR_V256, IR_V(1), IR_V(2), IR_V(3))->imm2 = IR_VOP_PADDQ;
		ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
		opt_liveness(&block);
		fx_reset_state(3);
		fx_run(&backend_native, &block);
		assert_int_equal(fx.env->vec_live, 0);
		assert_int_equal(fx.env->vec_used, wide ? TCG_VEC_ALL : TCG_VEC_MASKS | TCG_VEC_MORE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_blocks_agree_with_the_interpreter),
		cmocka_unit_test(fault_beside_a_temporary_leaves_all_vectors),
		cmocka_unit_test(undefined_instruction_is_the_guests_fault),
		cmocka_unit_test(narrow_blocks_stay_narrow),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
