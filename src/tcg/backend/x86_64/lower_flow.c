/* SPDX-License-Identifier: MIT */
/*
 * Control flow: labels inside the block, exits, guest calls and returns, runtime calls.
 *
 * At every exit the live flags are in env.flags; pinned registers and vectors (vec.c) stay where they are. Direct exits
 * into the block's own page are chained: an aligned rel32 that the cache patches. Into other pages, whose mapping may change without
 * this block's knowledge, they look into the jump cache with constant PC.
 *
 * A guest call is a host call: the return site compares the guest PC that the return brought along in r15 with the one it expects. In r13 is the
 * return's own PC, for a target that proves not to be one: with it there, the target needs no move from where temporaries live.
 */
#include <string.h>

#include "tcg/backend/x86_64/flags.h"
#include "tcg/backend/x86_64/gen.h"
#include "tcg/backend/x86_64/vec.h"
#include "tcg/opt/opt.h"

static uint32_t exit_flags(const struct gen *g)
{
	const struct ir_insn *i = g->i;

	return ((i->exit_live & IR_EXIT_LIVE_SET) ? i->exit_live : i->fl_live) & F_ALL;
}

static void exit_prepare(struct gen *g)
{
	fl_to_mem(g, exit_flags(g));
}

/* ---- The plan */

static bool branches(const struct ir_insn *i)
{
	return i->op == IR_BR || i->op == IR_BRCC || i->op == IR_BRZ || i->op == IR_BRNZ;
}

/* "Branch over an exit", which is what a backward conditional jump is: the branch at n goes to a label behind an exit at once. */
static bool skips_exit(const struct ir_block *b, unsigned n)
{
	unsigned k = n + 1;

	while (k < b->nr_insns && (b->insn[k].op == IR_POLL || b->insn[k].op == IR_SETPC))
		k++;
	return k + 1 < b->nr_insns && (b->insn[k].op == IR_JMP || b->insn[k].op == IR_EXIT) && b->insn[k + 1].op == IR_LABEL &&
	       b->insn[k + 1].imm == b->insn[n].imm;
}

/* An instruction that crosses the page's end. Its block is never chained to, but the jump cache may know it. */
static bool may_cross(gva_t pc)
{
	return (pc & ~GUEST_PAGE_MASK) > GUEST_PAGE_SIZE - 15;
}

static bool is_near(const struct gen *g, gva_t pc)
{
	return ((pc ^ g->ir->pc) & GUEST_PAGE_MASK) == 0 && !may_cross(pc);
}

static bool is_loop(const struct gen *g, const struct ir_insn *i)
{
	return i->op == IR_JMP && (gva_t)i->imm == g->ir->pc && is_near(g, g->ir->pc);
}

/* Which labels are sole, and whether the block jumps to its own start. */
bool flow_plan(struct gen *g)
{
	const struct ir_block *b = g->ir;
	bool loop = false;

	memset(g->label_use, 0, b->nr_labels * sizeof(g->label_use[0]));
	for (unsigned n = 0; n < b->nr_insns; n++) {
		const struct ir_insn *i = &b->insn[n];

		if (branches(i)) {
			struct label_use *u = &g->label_use[i->imm];

			u->sole = u->refs++ == 0 && i->op != IR_BR && skips_exit(b, n);
		}
		loop |= is_loop(g, i);
	}
	return loop;
}

/* ---- Labels */

/* At a branch to a label: live flags go where the label expects them. */
static void branch_prepare(struct gen *g)
{
	if (!g->label_use[g->i->imm].sole)
		fl_to_mem(g, g->i->fl_live);
}

static void branch_done(struct gen *g)
{
	g->label_use[g->i->imm].state = (struct share_state){ .fl_host = g->fl_host, .fl_mem = g->fl_mem };
}

static void to_label(struct gen *g, uint32_t rel)
{
	unsigned n = (unsigned)g->i->imm;

	if (g->label[n] >= 0) {
		as_patch(&g->s, rel, (uint32_t)g->label[n]);
	} else if (g->nr_fixups < GEN_MAX_FIXUPS) {
		g->fixup[g->nr_fixups].rel = rel;
		g->fixup[g->nr_fixups++].label = (uint16_t)n;
	} else {
		g->failed = true;
	}
}

void lower_label(struct gen *g)
{
	const struct label_use *u = &g->label_use[g->i->imm];

	if (u->sole) {
		g->fl_host = u->state.fl_host;
		g->fl_mem = u->state.fl_mem;
	} else {
		fl_to_mem(g, g->i->fl_live);
		g->fl_host = 0;
		g->fl_mem = F_ALL; /* whoever comes here has stored what lives */
	}
	g->label[g->i->imm] = (int32_t)as_off(&g->s);
}

void lower_br(struct gen *g)
{
	fl_to_mem(g, g->i->fl_live);
	to_label(g, as_jmp(&g->s));
}

void lower_brcc(struct gen *g)
{
	fl_to_host(g, ir_cc_uses(g->i->cc));
	branch_prepare(g);
	branch_done(g);
	to_label(g, as_jcc(&g->s, g->i->cc));
}

/* BRZ BRNZ. */
void lower_brz(struct gen *g)
{
	const struct ir_insn *i = g->i;
	struct rm a = loc(g, i->a);

	branch_prepare(g);
	fl_clobber(g, i->fl_live);
	branch_done(g);
	if (a.is_mem)
		as_alu_imm(&g->s, ALU_CMP, int_op(i->type, 1) & ~0xffu, a, 0);
	else
		as_op(&g->s, int_op(i->type, 0x85), a.base, a);
	to_label(g, as_jcc(&g->s, i->op == IR_BRZ ? IR_CC_Z : IR_CC_NZ));
}

/* ---- Exits */

void lower_insn(struct gen *g)
{
	g->pc = (gva_t)g->i->imm;
}

/* A patchable branch: opcode bytes, then an aligned rel32, registered as an exit. Prefixes without effect (CS) align it: they cost no slot. */
static void chained(struct gen *g, gva_t pc, enum backend_exit_kind kind, const char *opcode, unsigned len)
{
	struct backend_code *out = g->out;
	struct as *s = &g->s;

	if (out->nr_exits == g->max_exits) {
		g->failed = true;
		return;
	}
	as_bytes(s, "\x2e\x2e\x2e", (unsigned)-(as_off(s) + len) & 3);
	as_bytes(s, opcode, len);
	out->exit[out->nr_exits++] = (struct backend_exit){
		.patch_off = as_off(s), .pc = pc, .kind = (uint8_t)kind, .vec = kind == BACKEND_EXIT_RETURN ? VEC_NONE : g->v_level
	};
	as_u32(s, 0);
}

/* A jump back into this page, right behind its poll. */
static bool jumps_at_once(const struct gen *g)
{
	const struct ir_insn *next = g->i + 1;

	return g->n + 1 < g->ir->nr_insns && next->op == IR_JMP && next->imm == g->i->imm && is_near(g, (gva_t)next->imm);
}

/* One branch does both: taken, it is the jump; else there is a request. */
static void poll_and_jump(struct gen *g)
{
	gva_t pc = (gva_t)g->i->imm;

	as_alu_imm(&g->s, ALU_CMP, 0, RM_ENV(request), 0);
	chained(g, pc, BACKEND_EXIT_JUMP, "\x0f\x84", 2);
	as_mov_imm(&g->s, R_13, (int64_t)pc);
	as_jmp_abs(&g->s, stubs.exit_lookup);
	g->jumped = true;
}

void lower_poll(struct gen *g)
{
	struct cold *c;

	fl_clobber(g, g->i->fl_live | exit_flags(g));
	if (jumps_at_once(g)) {
		poll_and_jump(g);
		return;
	}
	as_alu_imm(&g->s, ALU_CMP, 0, RM_ENV(request), 0);
	c = cold_new(g, COLD_POLL);
	c->from = as_jcc(&g->s, IR_CC_NZ);
	c->pc = (gva_t)g->i->imm;
}

/* (a + 2^(n-1)) >> n is 0 for what n bits hold. */
void lower_fits(struct gen *g)
{
	unsigned bits = (unsigned)g->i->imm;
	struct as *s = &g->s;

	fl_clobber(g, g->i->fl_live | exit_flags(g));
	as_mov_imm(s, R_13, (int64_t)(1ull << (bits - 1)));
	as_alu(s, ALU_ADD, R_13, loc(g, g->i->a));
	as_op_imm8(s, OP_W | 0xc1, 5, rm_reg(R_13), (int8_t)bits); /* shr */
	cold_new(g, COLD_FITS)->from = as_jcc(s, IR_CC_NZ);
}

static struct rm jx_const(size_t field, gva_t pc)
{
	return rm_gs(offsetof(struct tcg_env, jx) + tcg_jx_index(pc) * sizeof(struct tcg_jx_entry) + field);
}

static struct rm jc_const(size_t table, gva_t pc)
{
	return rm_gs(table + (pc & (TCG_JC_SIZE - 1)) * 8);
}

/* To another page: r14 = the tag of pc; the second jump cache is asked here, the first one in cold_far(). `how`: 4 jmp, 2 call. */
static struct cold *far(struct gen *g, gva_t pc, unsigned how)
{
	struct cold *c = cold_new(g, COLD_FAR);
	struct as *s = &g->s;

	c->pc = pc;
	as_mov_imm(s, R_14, (int64_t)pc);
	as_alu(s, ALU_ADD, R_14, RM_ENV(jc_salt));
	as_alu(s, ALU_CMP, R_14, jx_const(offsetof(struct tcg_jx_entry, tag), pc));
	c->from = as_jcc(s, IR_CC_NZ);
	as_op(s, 0xff, how, jx_const(offsetof(struct tcg_jx_entry, code), pc));
	return c;
}

/*
 * PCs that meet in one table seldom meet in the other. A miss is a call if the hit is one: without its return address here, this return and
 * those of all callers would be taken for ones that nobody predicted. And it has an indirect jump of its own, for the host to predict.
 */
void cold_far(struct gen *g, const struct cold *c)
{
	struct as *s = &g->s;

	as_patch(s, c->from, as_off(s));
	as_alu(s, ALU_CMP, R_14, jc_const(offsetof(struct tcg_env, jc_tag), c->pc));
	as_jcc_abs(s, IR_CC_NZ, stubs.far_miss);
	as_op(s, 0xff, c->back ? 2 : 4, jc_const(offsetof(struct tcg_env, jc_code), c->pc));
	if (c->back)
		as_patch(s, as_jmp(s), c->back);
}

void exit_to(struct gen *g, gva_t pc, enum backend_exit_kind kind)
{
	if (is_near(g, pc))
		chained(g, pc, kind, "\xe9", 1);
	else
		far(g, pc, 4);
}

/* The branch on a condition whose flag is in env.flags only and not wanted behind it. */
static bool test_flag_in_mem(struct gen *g, unsigned *cc)
{
	uint32_t uses = ir_cc_uses(*cc);
	bool high = uses == F_O;

	if (!(uses & ~g->fl_host) || (uses & ~g->fl_mem) || *cc >= IR_CC_LT)
		return false;
	if (g->i->fl_live & g->fl_host & ~g->fl_mem)
		return false;
	as_op(&g->s, 0xf6, 0, rm_gs(high ? BE_FLAGS_O : BE_FLAGS_LOW));
	as_u8(&g->s, high ? 1 : uses);
	g->fl_host = 0;
	*cc = (*cc & 1) ? IR_CC_Z : IR_CC_NZ;
	return true;
}

void lower_jcc(struct gen *g)
{
	const struct ir_insn *i = g->i;
	gva_t pc = (gva_t)i->imm;
	unsigned cc = i->cc;
	struct cold *c;
	char opcode[2] = { 0x0f };

	fl_to_mem(g, exit_flags(g));
	if (!test_flag_in_mem(g, &cc)) {
		fl_to_host(g, ir_cc_uses(i->cc));
		fl_to_mem(g, exit_flags(g));
	}
	if (is_near(g, pc)) {
		opcode[1] = (char)(0x80 | cc);
		chained(g, pc, BACKEND_EXIT_JUMP, opcode, 2);
	} else {
		c = cold_new(g, COLD_EXIT);
		c->pc = pc;
		c->from = as_jcc(&g->s, cc);
	}
}

void lower_jmp(struct gen *g)
{
	if (g->jumped) { /* by its poll */
		g->jumped = false;
		return;
	}
	exit_prepare(g);
	exit_to(g, (gva_t)g->i->imm, BACKEND_EXIT_JUMP);
}

void lower_jmpmode(struct gen *g)
{
	unsigned n = g->out->nr_exits;

	exit_prepare(g);
	exit_to(g, (gva_t)g->i->imm, BACKEND_EXIT_JUMP);
	if (g->out->nr_exits > n)
		g->out->exit[n].mode = (uint32_t)g->i->imm2;
}

/* The jump-cache probe for the PC in r13; r14 then indexes jc_code by 8. */
static struct rm probe_r13(struct gen *g, struct cold *c)
{
	struct as *s = &g->s;
	struct rm m = { .is_mem = 1, .gs = 1, .base = R_NONE, .index = R_14, .scale = 3, .disp = offsetof(struct tcg_env, jc_tag) };

	as_alu_imm(s, ALU_CMP, 0, RM_ENV(request), 0);
	c->from = as_jcc(s, IR_CC_NZ);
	as_op(s, OP_MOVZX16, R_14, rm_reg(R_13));
	as_load(s, R_15, RM_ENV(jc_salt));
	as_alu(s, ALU_ADD, R_15, rm_reg(R_13));
	as_alu(s, ALU_CMP, R_15, m);
	c->from2 = as_jcc(s, IR_CC_NZ);
	m.disp = offsetof(struct tcg_env, jc_code);
	return m;
}

static void target_to(struct gen *g, unsigned reg)
{
	exit_prepare(g);
	to_this_reg(g, g->i->a, IR_I64, reg);
}

void lower_jmpind(struct gen *g)
{
	if (is_k(g->i->a)) {
		exit_prepare(g);
		exit_to(g, (gva_t)g->i->imm, BACKEND_EXIT_JUMP);
		return;
	}
	target_to(g, R_13);
	as_op(&g->s, 0xff, 4, probe_r13(g, cold_new(g, COLD_BRANCH)));
}

static void return_site(struct gen *g, gva_t pc)
{
	struct as *s = &g->s;

	if (!is_near(g, pc)) {
		as_jmp_abs(s, stubs.returned);
		return;
	}
	if (fits32((int64_t)pc)) {
		as_alu_imm(s, ALU_CMP, OP_W, rm_reg(R_15), (int32_t)pc);
	} else {
		as_mov_imm(s, R_14, (int64_t)pc);
		as_alu(s, ALU_CMP, R_15, rm_reg(R_14));
	}
	as_jcc_abs(s, IR_CC_NZ, stubs.returned);
	chained(g, pc, BACKEND_EXIT_RETURN, "\xe9", 1);
}

void lower_call(struct gen *g)
{
	gva_t pc = (gva_t)g->i->imm;

	exit_prepare(g);
	if (is_near(g, pc)) {
		chained(g, pc, BACKEND_EXIT_CALL, "\xe8", 1);
	} else {
		struct cold *c = far(g, pc, 2);

		c->back = as_off(&g->s);
	}
	return_site(g, (gva_t)g->i->imm2);
}

void lower_callind(struct gen *g)
{
	struct cold *c = cold_new(g, COLD_BRANCH);

	target_to(g, R_13);
	as_op(&g->s, 0xff, 2, probe_r13(g, c));
	c->back = as_off(&g->s);
	return_site(g, (gva_t)g->i->imm2);
}

void lower_ret(struct gen *g)
{
	target_to(g, R_15);
	as_mov_imm(&g->s, R_13, (int64_t)g->pc);
	as_u8(&g->s, 0xc3);
}

void lower_jmpenv(struct gen *g)
{
	exit_prepare(g);
	as_jmp_abs(&g->s, stubs.jump_env);
}

void lower_exit(struct gen *g)
{
	exit_prepare(g);
	as_op(&g->s, 0xc7, 0, RM_ENV(exit_code));
	as_u32(&g->s, (uint32_t)g->i->imm);
	as_jmp_abs(&g->s, stubs.leave);
}

void lower_setpc(struct gen *g)
{
	const struct ir_insn *i = g->i;

	if (is_k(i->a))
		put_pc(g, (gva_t)i->imm, R_13);
	else
		as_store(&g->s, RM_ENV(pc), to_reg(g, i->a, IR_I64, R_13));
}

/* ---- Runtime calls */

static void rt_arg(struct gen *g, ir_ref r, unsigned n)
{
	struct rm slot = rm_gs(offsetof(struct tcg_env, be_arg) + n * 8);

	if (r == IR_NONE)
		return;
	as_store(&g->s, slot, to_reg(g, r, IR_I64, R_13));
}

/* Returns the jump over the call, or 0 where there is no shortcut. The result is in r13 either way. */
static uint32_t try_shortcut(struct gen *g)
{
	const struct ir_insn *i = g->i;
	const uint8_t *stub = stubs.shortcut[g->ir->mmu_mode][i->imm2];

	if (!stub)
		return 0;
	if (i->imm2 >= IR_SHORTCUT_CAS16)
		to_this_reg(g, i->a, IR_I64, R_13);
	as_call_abs(&g->s, stub);
	return as_jcc(&g->s, IR_CC_Z);
}

void lower_rt(struct gen *g)
{
	const struct ir_insn *i = g->i;
	unsigned effects = ir_rt_effects(g->ir, i);
	uint32_t behind = (effects & RT_WRITES_FLAGS) ? 0 : i->fl_live, seen = opt_exact_flags && (effects & RT_FAULTS) ? F_ALL : 0, done;

	if ((uint64_t)i->imm >= STUB_MAX_RT) {
		g->failed = true;
		return;
	}
	fl_clobber(g, ir_flags_use(g->ir, i) | behind | seen);
	done = try_shortcut(g);
	rt_arg(g, i->a, 0);
	rt_arg(g, i->b, 1);
	rt_arg(g, i->c, 2);
	if (effects & RT_FAULTS)
		put_pc(g, g->pc, R_13);
	as_call_abs(&g->s, stubs.rt[g->v_level][i->imm]);
	if (done)
		as_patch(&g->s, done, as_off(&g->s));
	if (effects & RT_WRITES_FLAGS)
		g->fl_mem = F_ALL;
	if (i->d != IR_NONE)
		put_result(g, i->d, IR_I64, R_13);
}
