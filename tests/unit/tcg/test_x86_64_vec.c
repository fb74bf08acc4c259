/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64/lower_vec.c, vec.c: every vector operation, register and memory forms, in blocks with others around it,
 * against the interpreter. Seeds as in test_x86_64_random.c.
 */
#include "support/test.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

#include "mem/tlb.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

/* Which operands a signature has, and the bytes of a memory operand. */
enum {
	V1_16 = 16, V1_8 = 8, V1_4 = 4, V1_2 = 2, V1I_16 = 0x80 | 16, VV_16 = 0x40 | 16, VV_8 = 0x40 | 8, VV_4 = 0x40 | 4,
	VVI_16 = 0x80 | VV_16, VVI_8 = 0x80 | VV_8, VVI_4 = 0x80 | VV_4, VVX_16 = VV_16, VI = 0xc0 | 0x20, VG = 0x100, VGI = 0x180,
	GV = 0x200, GVV = 0x240, GVVI = 0x2c0, FL_16 = 0x440 | 16, FL_8 = 0x440 | 8, FL_4 = 0x440 | 4, FLI_16 = 0xcc0 | 16,
};

static const struct {
	const char *name;
	unsigned sig;
} vops[IR_VOP_COUNT] = {
#define IR_VOP(NAME, name, sig, meaning) [IR_VOP_##NAME] = { name, sig },
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
};

static uint64_t seed;
static bool wide; /* 256 bits and VEX forms too: the host has AVX2, FMA and F16C */

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static enum ir_type type_of_bytes(unsigned bytes)
{
	return bytes == 16 ? IR_V128 : bytes == 8 ? IR_I64 : bytes == 4 ? IR_I32 : IR_I16;
}

static ir_ref memory(struct ir_block *b, unsigned bytes, bool align)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3, .align = align };
	unsigned at = pick(FX_PAGE_FAULT * 4096 - 64);

	if (align)
		at &= ~31u;
	ir_emit(b, IR_MOV, IR_I64, IR_G(3), IR_KONST, IR_NONE)->imm = (int64_t)(FX_BASE + at);
	(void)bytes;
	return ir_mem(b, &m);
}

/* Moves whose encoding means something else with memory: translators use IR_VMOV there. */
static bool only_registers(unsigned vop)
{
	return vop == IR_VOP_MOVHLPS || vop == IR_VOP_MOVLHPS || vop == IR_VOP_MOVSS || vop == IR_VOP_MOVSD;
}

static void gen_op(struct ir_block *b, unsigned vop)
{
	unsigned sig = vops[vop].sig, bytes = sig & 0x1f;
	ir_ref d = IR_V(pick(16)), s = IR_V(pick(16));
	bool string = sig == (unsigned)FLI_16;
	struct ir_insn *i;

	if (bytes && !only_registers(vop) && (pick(2) || vop == IR_VOP_MOVLPS || vop == IR_VOP_MOVHPS))
		s = memory(b, bytes, bytes == 16 && !string);
	if (sig & 0x100) {
		i = ir_emit(b, IR_VTOG, pick(2) ? IR_I32 : IR_I64, IR_G(pick(16)), IR_NONE, s);
	} else if (sig & 0x200) {
		i = ir_emit(b, IR_GTOV, pick(2) ? IR_I32 : IR_I64, d, (sig & 0x40) ? d : IR_NONE, IR_G(pick(16)));
	} else if (sig & 0x400) {
		i = ir_emit(b, IR_VFL, string ? (pick(2) ? IR_I32 : IR_I64) : type_of_bytes(bytes), IR_NONE, d, s);
	} else {
		i = ir_emit(b, IR_VOP, type_of_bytes(bytes ? bytes : 16), d, (sig & 0x40) ? d : IR_NONE, (sig & 0x20) ? IR_NONE : s);
	}
	i->imm = (sig & 0x80) ? (int64_t)pick(256) : 0;
	if (vop == IR_VOP_ROUNDPS || vop == IR_VOP_ROUNDPD || vop == IR_VOP_ROUNDSS || vop == IR_VOP_ROUNDSD)
		i->imm &= 15;
	if (vop >= IR_VOP_CMPPS && vop <= IR_VOP_CMPSD)
		i->imm &= 7;
	i->imm2 = vop;
}

/* VEX forms: three registers, 256 bits, memory of any alignment. */
static void gen_vex(struct ir_block *b)
{
	unsigned vop = 1 + pick(IR_VOP_COUNT - 1), sig = vop < IR_VOP_FIRST_VEX ? vops[vop].sig : 0;
	struct ir_vex_info info = ir_vex_info((enum ir_vop)vop);
	bool half = info.bytes[0] == info.bytes[1] && info.bytes[0] < 32;
	enum ir_type t = !half && (pick(2) || info.bytes[0] == 32) ? IR_V256 : IR_V128;
	ir_ref d = IR_V(pick(16)), s = IR_V(pick(16));
	struct ir_insn *i;

	if ((sig & 0x700) || sig == (unsigned)VVX_16 || only_registers(vop) || (vop >= IR_VOP_VPTEST && vop <= IR_VOP_VPMOVMSKB) ||
	    (vop >= IR_VOP_GF2P8MULB && vop <= IR_VOP_SHA256RNDS2))
		return; /* not in this form, or (VVX) like others */
	if (info.bytes[0] && (pick(2) || vop == IR_VOP_VMOV4 || vop == IR_VOP_VMOV8 || vop == IR_VOP_VBROADCASTF128 ||
			      vop == IR_VOP_MOVLPS || vop == IR_VOP_MOVHPS) && vop != IR_VOP_VEXTRACTF128 && vop != IR_VOP_VCVTPS2PH &&
	    vop != IR_VOP_MOVQ)
		s = memory(b, info.bytes[t == IR_V256], false);
	if (vop == IR_VOP_VBROADCASTF128 || vop == IR_VOP_VBROADCASTSD || vop == IR_VOP_VINSERTF128)
		t = IR_V256;
	if (vop >= IR_VOP_AESENC && vop <= IR_VOP_PCLMULQDQ && t == IR_V256)
		return;
	if (vop == IR_VOP_AESIMC || vop == IR_VOP_AESKEYGENASSIST || vop == IR_VOP_PHMINPOSUW || vop == IR_VOP_DPPD || vop == IR_VOP_MOVQ)
		t = IR_V128;
	if (t == IR_V128 && IR_REF_KIND(s) == IR_KIND_M && info.bytes[0] == 32)
		return;
	i = ir_emit(b, IR_VEX, t, d, (info.src & IR_VEX_A) ? IR_V(pick(16)) : IR_NONE, (info.src & IR_VEX_B) ? s : IR_NONE);
	i->imm = (info.src & IR_VEX_IMM) ? (int64_t)pick(256) : 0;
	if (info.src & IR_VEX_C)
		i->c = vop >= IR_VOP_VFMADD132PS ? d : IR_V(pick(16));
	if (vop >= IR_VOP_ROUNDPS && vop <= IR_VOP_ROUNDSD)
		i->imm &= 15;
	if (vop >= IR_VOP_CMPPS && vop <= IR_VOP_CMPSD)
		i->imm &= 7;
	i->imm2 = vop;
}

static void gen_vex_others(struct ir_block *b)
{
	static const uint16_t from_int[] = { IR_VOP_MOVD_V, IR_VOP_CVTSI2SS, IR_VOP_CVTSI2SD, IR_VOP_PINSRB, IR_VOP_PINSRD, IR_VOP_PINSRQ };
	struct ir_insn *i;
	unsigned vop;

	switch (pick(4)) {
	case 0:
		vop = from_int[pick(ARRAY_LEN(from_int))];
		i = ir_emit(b, IR_VEXG, pick(2) ? IR_I32 : IR_I64, IR_V(pick(16)), vop == IR_VOP_MOVD_V ? IR_NONE : IR_V(pick(16)), IR_G(pick(16)));
		i->imm = pick(256);
		i->imm2 = vop;
		break;
	case 1:
		i = ir_emit(b, IR_VZERO, IR_I64, IR_NONE, IR_NONE, IR_NONE);
		i->imm = pick(2);
		i->imm2 = pick(2) ? 16 : 8;
		break;
	case 2:
		i = ir_emit(b, IR_VTOG, IR_I32, IR_G(pick(16)), IR_NONE, IR_V(pick(16)));
		i->imm2 = IR_VOP_VMOVMSKPS + pick(3);
		break;
	default:
		i = ir_emit(b, IR_VFL, pick(2) ? IR_V128 : IR_V256, IR_NONE, IR_V(pick(16)), pick(2) ? memory(b, 32, false) : IR_V(pick(16)));
		i->imm2 = IR_VOP_VPTEST + pick(3);
		i->attr |= pick(2) ? IR_SETF : 0;
	}
}

static void gen_move(struct ir_block *b)
{
	static const enum ir_type types[] = { IR_V128, IR_I64, IR_I32, IR_V256 };
	enum ir_type t = types[pick(wide ? 4 : 3)];
	bool align = (t == IR_V128 || t == IR_V256) && pick(2);
	ir_ref v = IR_V(pick(16));

	switch (pick(8)) {
	case 0:
		ir_emit(b, IR_VMOV, t, v, memory(b, 16, align), IR_NONE);
		break;
	case 1:
		ir_emit(b, IR_VMOV, t, memory(b, 16, align), v, IR_NONE);
		break;
	case 2:
		ir_emit(b, IR_VMOV, t, v, IR_V(pick(16)), IR_NONE);
		break;
	case 3: /* temporaries across accesses that reach C */
		ir_emit(b, IR_VMOV, IR_I64, IR_VT(0), memory(b, 16, false), IR_NONE);
		ir_emit(b, IR_VOP, IR_V128, IR_VT(0), IR_VT(0), memory(b, 16, true))->imm2 = IR_VOP_PADDW;
		ir_emit(b, IR_VMOV, t == IR_V256 ? IR_V128 : t, memory(b, 16, align), IR_VT(0), IR_NONE);
		break;
	case 4:
		ir_emit(b, IR_VOP, IR_V128, IR_VT(0), IR_NONE, v)->imm2 = IR_VOP_MOVDDUP;
		ir_emit(b, IR_VOP, IR_V128, v, IR_NONE, IR_VT(0))->imm2 = IR_VOP_MOVSHDUP;
		ir_emit(b, IR_VMOV, wide ? IR_V256 : IR_V128, IR_VT(2), memory(b, 16, false), IR_NONE);
		ir_emit(b, IR_VMOV, t, memory(b, 16, false), IR_VT(2), IR_NONE);
		break;
	case 5: /* rounding, FTZ, DAZ; all exceptions masked */
		ir_emit(b, IR_GETVC, IR_I32, IR_G(pick(16)), IR_NONE, IR_NONE);
		ir_emit(b, IR_MOV, IR_I64, IR_G(7), IR_KONST, IR_NONE)->imm = 0x1f80 | (int64_t)pick(8) << 13 | (int64_t)pick(2) << 6;
		ir_emit(b, IR_PUTVC, IR_I32, IR_NONE, IR_G(7), IR_NONE);
		break;
	case 6:
		ir_emit(b, IR_VMOV, wide ? IR_V256 : IR_V128, IR_VT(3), v, IR_NONE);
		ir_emit(b, IR_RT, IR_I64, IR_G(pick(16)), IR_NONE, IR_NONE)->imm = FX_RT_VECTORS;
		ir_emit(b, IR_VMOV, t, memory(b, 16, align), IR_VT(3), IR_NONE);
		break;
	default:
		ir_emit(b, IR_VMOV, IR_V128, IR_VT(1), v, IR_NONE);
		ir_emit(b, IR_VOP, IR_V128, IR_VT(1), IR_VT(1), IR_V(pick(16)))->imm2 = IR_VOP_PADDW;
		ir_emit(b, IR_VMOV, t == IR_V256 ? IR_V128 : t, v, IR_VT(1), IR_NONE);
	}
}

struct result {
	uint64_t greg[TCG_NR_GREG], flags;
	uint64_t vreg[TCG_NR_VREG][4];
	uint32_t mxcsr;
	uint8_t mem[FX_SIZE];
};
static struct result interp, native;
static struct ir_block block;

static void run(const struct backend *be, uint64_t s, struct result *out)
{
	fx_reset_state(s);
	fx.env->mxcsr = 0x1f80;
	for (unsigned n = 0; n < TCG_NR_VREG; n++) /* numbers of moderate size among the random bits */
		for (unsigned k = 0; k < 2; k++)
			if ((s >> (n + k) & 3) == 0)
				fx.env->vreg[n].q[k] = 0x4000000040000000ull + (fx.env->vreg[n].q[k] & 0x80ff00008007ff00ull);
	fx_run(be, &block);
	memcpy(out->greg, fx.env->greg, sizeof(out->greg));
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		memcpy(out->vreg[n], &fx.env->vreg[n], 32);
	memcpy(out->mem, fx.mem, FX_SIZE);
	out->flags = fx.env->flags & F_ALL;
	out->mxcsr = fx.env->mxcsr;
}

static void print_line(void *opaque, const char *text)
{
	(void)opaque;
	fprintf(stderr, "    %s\n", text);
}

static void compare(uint64_t s)
{
	bool bad = memcmp(&interp, &native, sizeof(interp)) != 0;

	if (!bad)
		return;
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		for (unsigned k = 0; k < 4; k++)
			if (interp.vreg[n][k] != native.vreg[n][k])
				fprintf(stderr, "  v%u quadword %u: interp %016llx native %016llx\n", n, k,
					(unsigned long long)interp.vreg[n][k], (unsigned long long)native.vreg[n][k]);
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		if (interp.greg[n] != native.greg[n])
			fprintf(stderr, "  g%u: interp %llx native %llx\n", n, (unsigned long long)interp.greg[n],
				(unsigned long long)native.greg[n]);
	fprintf(stderr, "  flags %llx %llx mxcsr %x %x memory %s\n", (unsigned long long)interp.flags, (unsigned long long)native.flags,
		interp.mxcsr, native.mxcsr, memcmp(interp.mem, native.mem, FX_SIZE) ? "differs" : "agrees");
	ir_print(&block, print_line, NULL);
	fail_msg("seed %llu", (unsigned long long)s);
}

static void block_around(unsigned vop, uint64_t s)
{
	const char *bad;
	unsigned where;

	seed = s;
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	if (pick(2))
		gen_move(&block);
	if (pick(4) == 0)
		ir_emit(&block, IR_ADD, IR_I64, IR_G(0), IR_G(0), IR_G(9))->attr |= IR_SETF;
	gen_op(&block, vop);
	if (pick(3) == 0)
		gen_op(&block, 1 + pick(IR_VOP_FIRST_VEX - 1));
	if (pick(2))
		gen_move(&block);
	if (wide && pick(2))
		gen_vex(&block);
	if (wide && pick(4) == 0)
		gen_vex_others(&block);
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	bad = ir_verify(&block, &where);
	if (bad)
		fail_msg("bad IR at %u: %s", where, bad);
	opt_liveness(&block);
	run(&backend_interp, s, &interp);
	run(&backend_native, s, &native);
	compare(s);
}

/* Clang 14's __builtin_cpu_supports() does not know the name. */
static bool host_has_f16c(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static void every_operation_agrees_with_the_interpreter(void **state)
{
	const char *e = getenv("X86_64_SEED"), *c = getenv("X86_64_BLOCKS");
	uint64_t s = e ? strtoull(e, NULL, 0) : 1, n = c ? strtoull(c, NULL, 0) : 20;

	(void)state;
	wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && host_has_f16c();
	while (n--)
		for (unsigned vop = 1; vop < IR_VOP_FIRST_VEX; vop++)
			block_around(vop, s++ * 0x9e3779b97f4a7c15ull | vop);
}

/* ---- Faults */

static void misaligned_operand_is_the_guests_fault(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3, .align = true };

	(void)state;
	fx_catch_signals();
	for (unsigned store = 0; store < 2; store++) {
		fx_begin(&block);
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
		ir_emit(&block, IR_VOP, IR_V128, IR_V(2), IR_V(2), IR_V(3))->imm2 = IR_VOP_PADDD;
		ir_emit(&block, IR_MOV, IR_I64, IR_G(5), IR_KONST, IR_NONE)->imm = 77;
		ir_emit(&block, IR_MOV, IR_I64, IR_G(3), IR_KONST, IR_NONE)->imm = FX_BASE + 16;
		ir_emit(&block, IR_VMOV, IR_V128, IR_V(1), ir_mem(&block, &m), IR_NONE); /* fills the slot */
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + 7;
		ir_emit(&block, IR_ADD, IR_I64, IR_G(3), IR_G(3), IR_KONST)->imm = 4;
		if (store)
			ir_emit(&block, IR_VMOV, IR_V128, ir_mem(&block, &m), IR_V(9), IR_NONE);
		else
			ir_emit(&block, IR_VMOV, IR_V128, IR_V(2), ir_mem(&block, &m), IR_NONE);
		ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
		opt_liveness(&block);
		fx_reset_state(5);
		for (unsigned n = 0; n < 3; n++) { /* by the third run the TLB hits */
			uint32_t want = fx.env->vreg[2].l[0] + fx.env->vreg[3].l[0];

			fx.trap = 0;
			fx_run(&backend_native, &block);
			assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
			assert_int_equal(fx.env->pc, FX_PC + 7);
			assert_int_equal(fx.env->greg[5], 77);
			assert_int_equal(fx.env->vreg[2].l[0], want);
		}
		assert_int_equal(fx.trap, 1 + GUEST_TRAP_ALIGN);
	}
}

/* A fault while a temporary stands in for a vector, in blocks of both widths. */
static void fault_beside_a_temporary_leaves_all_vectors(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3, .align = true };

	(void)state;
	fx_catch_signals();
	for (unsigned high = 0; high < 2; high++) {
		enum ir_type t = high ? IR_V256 : IR_V128;

		if (high && !__builtin_cpu_supports("avx"))
			break;
		fx_begin(&block);
		ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
		ir_emit(&block, IR_MOV, IR_I64, IR_G(3), IR_KONST, IR_NONE)->imm = FX_BASE + 32;
		ir_emit(&block, IR_VMOV, t, IR_V(1), ir_mem(&block, &m), IR_NONE); /* fills the slot */
		ir_emit(&block, IR_VMOV, t, IR_VT(0), IR_V(1), IR_NONE);
		ir_emit(&block, IR_ADD, IR_I64, IR_G(3), IR_G(3), IR_KONST)->imm = 4;
		ir_emit(&block, IR_VMOV, t, ir_mem(&block, &m), IR_VT(0), IR_NONE);
		ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
		opt_liveness(&block);
		fx_reset_state(11);
		for (unsigned n = 0; n < TCG_NR_VREG; n++)
			for (unsigned k = 0; k < 4; k++)
				fx.env->vreg[n].q[k] = n + 100 * k;
		for (unsigned run = 0; run < 3; run++) {
			fx.trap = 0;
			fx_run(&backend_native, &block);
			assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
			for (unsigned n = 0; n < TCG_NR_VREG; n++)
				for (unsigned k = 0; k < 4; k++)
					if (n != 1)
						assert_int_equal(fx.env->vreg[n].q[k], n + 100 * k);
			assert_memory_equal(&fx.env->vreg[1], fx.mem + 32, high ? 32 : 16);
		}
		assert_int_equal(fx.trap, 1 + GUEST_TRAP_ALIGN);
	}
}

static void unmasked_exception_is_the_guests_fault(void **state)
{
	(void)state;
	fx_catch_signals();
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + 3;
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_G(0));
	ir_emit(&block, IR_VOP, IR_V128, IR_V(1), IR_V(1), IR_V(2))->imm2 = IR_VOP_DIVPD;
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_reset_state(6);
	fx.env->mxcsr = 0x1f80 & ~0x200u;
	memset(&fx.env->vreg[2], 0, 16);
	fx.env->vreg[1].d[0] = fx.env->vreg[1].d[1] = 1.0;
	fx_run(&backend_native, &block);
	assert_int_equal(fx.trap, 1 + GUEST_TRAP_VECTOR_FP);
	assert_int_equal(fx.env->pc, FX_PC + 3);
	assert_int_equal(fx.env->mxcsr, (0x1f80 & ~0x200u) | 4);
	assert_int_equal(fx.c_mxcsr & ~0x3fu, 0x1f80);
	assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	assert_true(fx.env->vreg[1].d[0] == 1.0);
	fx.env->mxcsr = 0x1f80;
}

static void divide_error_is_the_guests_fault(void **state)
{
	struct ir_insn *i;

	(void)state;
	fx_catch_signals();
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + 9;
	ir_emit(&block, IR_MOV, IR_I64, IR_G(9), IR_KONST, IR_NONE)->imm = 0;
	i = ir_emit(&block, IR_DIVU, IR_I64, IR_G(0), IR_NONE, IR_G(9));
	i->c = IR_G(2);
	i->attr |= IR_SETF;
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_reset_state(7);
	fx.env->greg[0] = 1234;
	fx.env->greg[4] = 99;
	fx_run(&backend_native, &block);
	assert_int_equal(fx.trap, 1 + GUEST_TRAP_DIVIDE);
	assert_int_equal(fx.env->pc, FX_PC + 9);
	assert_int_equal(fx.env->greg[0], 1234);
	assert_int_equal(fx.env->greg[4], 99);
}

/* ---- Stack FPU */

static void fpu_op(struct ir_block *b, unsigned opcode, unsigned modrm, ir_ref d, ir_ref a, enum ir_type t)
{
	ir_emit(b, IR_FPU, t, d, a, IR_NONE)->imm2 = (int64_t)(opcode << 16 | (uint64_t)modrm << 24 | (modrm >= 0xc0 ? 1ull << 41 : 0));
}

static void stack_fpu_runs_on_the_host(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3 };
	double r, x = 1.5;

	(void)state;
	fx_catch_signals();
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	ir_emit(&block, IR_MOV, IR_I64, IR_G(3), IR_KONST, IR_NONE)->imm = FX_BASE + 64;
	fpu_op(&block, 0xdd, 0x03, IR_NONE, ir_mem(&block, &m), IR_I64); /* fld qword */
	fpu_op(&block, 0xd9, 0xe8, IR_NONE, IR_NONE, IR_I64);            /* fld1 */
	fpu_op(&block, 0xde, 0xc1, IR_NONE, IR_NONE, IR_I64);            /* faddp */
	m.disp = 8;
	fpu_op(&block, 0xdd, 0x5b, ir_mem(&block, &m), IR_NONE, IR_I64); /* fstp qword */
	fpu_op(&block, 0xdf, 0xe0, IR_G(0), IR_NONE, IR_I16);            /* fnstsw ax */
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_reset_state(8);
	memcpy(fx.mem + 64, &x, 8);
	fx_run(&backend_native, &block);
	memcpy(&r, fx.mem + 72, 8);
	assert_true(r == 2.5);
	assert_int_equal(fx.env->greg[0] & 0xffff, 0);
	backend_native.fpu_save(fx.env);
	assert_int_equal(fx.env->fpu_image[0], 0x7f);
	assert_int_equal(fx.env->fpu_image[4], 0); /* abridged tag word: empty */
}

static void unmasked_stack_fpu_exception_is_the_guests_fault(void **state)
{
	(void)state;
	fx_catch_signals();
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	fpu_op(&block, 0xd9, 0xe8, IR_NONE, IR_NONE, IR_I64); /* fld1 */
	fpu_op(&block, 0xd9, 0xee, IR_NONE, IR_NONE, IR_I64); /* fldz */
	fpu_op(&block, 0xde, 0xf9, IR_NONE, IR_NONE, IR_I64); /* fdivp: pending */
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC + 6;
	fpu_op(&block, 0xd9, 0xe8, IR_NONE, IR_NONE, IR_I64); /* fld1 reports it */
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_reset_state(9);
	memset(fx.env->fpu_image, 0, sizeof(fx.env->fpu_image));
	fx.env->fpu_image[0] = 0x7b; /* divide by zero unmasked */
	fx.env->fpu_image[1] = 0x03;
	backend_native.fpu_load(fx.env);
	fx_run(&backend_native, &block);
	assert_int_equal(fx.trap, 1 + GUEST_TRAP_STACK_FP);
	assert_int_equal(fx.env->pc, FX_PC + 6);
	backend_native.fpu_save(fx.env);
	assert_int_equal(fx.env->fpu_image[2] & 0x84, 0x84); /* exception summary, divide by zero */
	memset(fx.env->fpu_image, 0, sizeof(fx.env->fpu_image));
	fx.env->fpu_image[0] = 0x7f;
	fx.env->fpu_image[1] = 0x03;
	backend_native.fpu_load(fx.env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_agrees_with_the_interpreter),
		cmocka_unit_test(misaligned_operand_is_the_guests_fault),
		cmocka_unit_test(fault_beside_a_temporary_leaves_all_vectors),
		cmocka_unit_test(unmasked_exception_is_the_guests_fault),
		cmocka_unit_test(divide_error_is_the_guests_fault),
		cmocka_unit_test(stack_fpu_runs_on_the_host),
		cmocka_unit_test(unmasked_stack_fpu_exception_is_the_guests_fault),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
