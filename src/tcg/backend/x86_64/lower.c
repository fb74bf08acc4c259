/* SPDX-License-Identifier: MIT */
/*
 * From a block of IR to host code: which lowering each op has, and the walk over the block.
 */
#include <stdlib.h>

#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/patch.h"

static const lower_fn lower[IR_OP_COUNT] = {
	[IR_MOV] = lower_mov,
	[IR_ZX8] = lower_extend,
	[IR_ZX16] = lower_extend,
	[IR_SX8] = lower_extend,
	[IR_SX16] = lower_extend,
	[IR_SX32] = lower_extend,
	[IR_GETHI8] = lower_gethi8,
	[IR_PUTHI8] = lower_puthi8,
	[IR_LEA] = lower_lea,
	[IR_LDENV] = lower_ldenv,
	[IR_LDCODE] = lower_ldcode,
	[IR_STENV] = lower_stenv,
	[IR_ADD] = lower_alu,
	[IR_ADC] = lower_alu,
	[IR_SUB] = lower_alu,
	[IR_SBB] = lower_alu,
	[IR_AND] = lower_alu,
	[IR_OR] = lower_alu,
	[IR_XOR] = lower_alu,
	[IR_CMP] = lower_compare,
	[IR_TEST] = lower_compare,
	[IR_INC] = lower_unary,
	[IR_DEC] = lower_unary,
	[IR_NEG] = lower_unary,
	[IR_NOT] = lower_unary,
	[IR_SHL] = lower_shift,
	[IR_SHR] = lower_shift,
	[IR_SAR] = lower_shift,
	[IR_ROL] = lower_shift,
	[IR_ROR] = lower_shift,
	[IR_RCL] = lower_shift,
	[IR_RCR] = lower_shift,
	[IR_SHLD] = lower_shift_double,
	[IR_SHRD] = lower_shift_double,
	[IR_IMUL] = lower_imul,
	[IR_MULU] = lower_mul_wide,
	[IR_MULS] = lower_mul_wide,
	[IR_DIVU] = lower_div,
	[IR_DIVS] = lower_div,
	[IR_BSF] = lower_bit_scan,
	[IR_BSR] = lower_bit_scan,
	[IR_TZCNT] = lower_bit_scan,
	[IR_LZCNT] = lower_bit_scan,
	[IR_POPCNT] = lower_bit_scan,
	[IR_BSWAP] = lower_bswap,
	[IR_BT] = lower_bit_test,
	[IR_BTS] = lower_bit_test,
	[IR_BTR] = lower_bit_test,
	[IR_BTC] = lower_bit_test,
	[IR_CRC32] = lower_crc32,
	[IR_ADCX] = lower_adx,
	[IR_ADOX] = lower_adx,
	[IR_ANDN] = lower_andn,
	[IR_BLSR] = lower_lowest_bit,
	[IR_BLSMSK] = lower_lowest_bit,
	[IR_BLSI] = lower_lowest_bit,
	[IR_BZHI] = lower_bit_field,
	[IR_BEXTR] = lower_bit_field,
	[IR_PDEP] = lower_pdep,
	[IR_PEXT] = lower_pdep,
	[IR_XCHG] = lower_xchg,
	[IR_XADD] = lower_xadd,
	[IR_CAS] = lower_cas,
	[IR_SETCC] = lower_setcc,
	[IR_CMOV] = lower_cmov,
	[IR_GETFL] = lower_getfl,
	[IR_PUTFL] = lower_putfl,
	[IR_CMC] = lower_cmc,
	[IR_FENCE] = lower_fence,
	[IR_CLOCK] = lower_clock,
	[IR_LABEL] = lower_label,
	[IR_BR] = lower_br,
	[IR_BRCC] = lower_brcc,
	[IR_BRZ] = lower_brz,
	[IR_BRNZ] = lower_brz,
	[IR_INSN] = lower_insn,
	[IR_POLL] = lower_poll,
	[IR_FITS] = lower_fits,
	[IR_JCC] = lower_jcc,
	[IR_JMP] = lower_jmp,
	[IR_JMPMODE] = lower_jmpmode,
	[IR_JMPIND] = lower_jmpind,
	[IR_CALL] = lower_call,
	[IR_CALLIND] = lower_callind,
	[IR_RET] = lower_ret,
	[IR_JMPENV] = lower_jmpenv,
	[IR_EXIT] = lower_exit,
	[IR_SETPC] = lower_setpc,
	[IR_RT] = lower_rt,
	[IR_VMOV] = lower_vmov,
	[IR_VOP] = lower_vop,
	[IR_VTOG] = lower_vtog,
	[IR_GTOV] = lower_gtov,
	[IR_VFL] = lower_vfl,
	[IR_VEX] = lower_vex,
	[IR_VEXG] = lower_vexg,
	[IR_VZERO] = lower_vzero,
	[IR_EVEX] = lower_evex,
	[IR_FPU] = lower_fpu,
	[IR_GETVC] = lower_getvc,
	[IR_PUTVC] = lower_putvc,
};

static unsigned at_most(unsigned n, unsigned limit)
{
	return n < limit ? n : limit;
}

/* Exits and traps a block may have. tcg.c makes room for as many. */
static void set_limits(struct gen *g)
{
	unsigned exits = 0, traps = 0;

	for (unsigned n = 0; n < g->ir->nr_insns; n++) {
		const struct ir_insn *i = &g->ir->insn[n];
		unsigned attr = ir_op_info[i->op].attr;

		exits += (attr & IR_AT_E) ? 2 : 0;
		traps += (attr & (IR_AT_M | IR_AT_V)) || i->op == IR_FPU ? 2 : 0;
	}
	g->max_exits = at_most(exits, ARRAY_LEN(g->out->exit));
	g->max_traps = at_most(traps, ARRAY_LEN(g->out->trap));
}

static void reset(struct gen *g, const struct ir_block *ir, struct tb *tb, struct backend_code *out)
{
	g->ir = ir;
	g->tb = tb;
	g->out = out;
	g->pc = ir->pc;
	g->failed = false;
	g->fl_host = 0;
	g->fl_mem = F_ALL; /* blocks are entered with what lives in env.flags */
	g->scratch = R_13;
	g->fpu_note = 0;
	g->fpu_touched = false;
	g->access = NULL;
	g->jumped = false;
	g->nr_fixups = g->nr_cold = 0;
	for (unsigned n = 0; n < ir->nr_labels; n++)
		g->label[n] = -1;
	out->size = out->nr_exits = out->nr_traps = 0;
	out->moves = (struct backend_moves){ .outward = out->outward };
	set_limits(g);
}

/* To other code, whose vectors are the guest's. */
static bool may_leave(const struct ir_insn *i)
{
	return (ir_op_info[i->op].attr & IR_AT_E) || i->op == IR_RT || i->op == IR_POLL || i->op == IR_BR || i->op == IR_BRCC ||
	       i->op == IR_BRZ || i->op == IR_BRNZ;
}

void lower_insn_at(struct gen *g)
{
	bool leaves = may_leave(g->i), hide = g->v_out && leaves;
	uint32_t out = hide ? v_temps_hide(g) : 0;

	if (g->fpu_note && (leaves || g->i->op == IR_LABEL)) {
		fpu_note_store(g, g->fpu_note);
		g->fpu_note = 0;
	}
	if (g->i->op == IR_LABEL || g->i->op == IR_RT)
		g->fpu_touched = false;
	lower[g->i->op](g);
	if (hide)
		v_temps_show(g, out);
	if (g->v_out)
		v_temps_end(g);
}

static void lower_block(struct gen *g)
{
	for (g->n = 0; g->n < g->ir->nr_insns; g->n++) {
		g->i = &g->ir->insn[g->n];
		if (g->nr_groups)
			share_before(g);
		lower_insn_at(g);
		if (g->nr_groups)
			share_behind(g);
		if (g->failed || g->s.overflow)
			return;
	}
	for (unsigned n = 0; n < g->nr_fixups; n++)
		as_patch(&g->s, g->fixup[n].rel, (uint32_t)g->label[g->fixup[n].label]);
	cold_emit(g);
}

static _Thread_local struct gen *gen; /* [owner] */

static struct gen *thread_gen(void)
{
	if (!gen)
		gen = malloc(sizeof(*gen));
	return gen;
}

void x86_64_compile_thread_fini(void)
{
	free(gen);
	gen = NULL;
}

static enum backend_status compile(struct gen *g, const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx,
				   size_t room, struct backend_code *out, bool share)
{
	uint32_t entry;

	g->s = (struct as){ .base = rw, .p = rw, .end = rw + room, .rx = rx, .outward = out->outward, .max_outward = BACKEND_MAX_OUTWARD };
	reset(g, ir, tb, out);
	v_setup(g);
	if (g->failed || !ra_run(g))
		return BACKEND_TOO_LONG;
	share_plan(g, share);
	entry = entry_slot_emit(&g->s);
	v_begin(g, flow_plan(g));
	lower_block(g);
	dead_stub_emit(&g->s, entry, ir->pc);
	if (g->s.overflow)
		return BACKEND_NO_ROOM;
	if (g->failed)
		return BACKEND_TOO_LONG;
	out->size = as_off(&g->s);
	out->moves.nr_outward = g->s.nr_outward;
	return BACKEND_OK;
}

enum backend_status x86_64_compile(const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx, size_t room,
				   struct backend_code *out)
{
	struct gen *g = thread_gen();
	enum backend_status status;

	if (!g)
		return BACKEND_NO_ROOM;
	status = compile(g, ir, tb, rw, rx, room, out, !ir->small);
	/* The copies of shared checks cost room, exits and traps: without them the block may do. */
	return status == BACKEND_OK || ir->small ? status : compile(g, ir, tb, rw, rx, room, out, false);
}
