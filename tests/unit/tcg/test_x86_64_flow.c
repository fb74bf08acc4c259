/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64: exits, chaining, killing, jump cache, calls and returns between blocks.
 */
#include "support/test.h"

#include <string.h>

#include "mem/tlb.h"
#include "sched/clock.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

static struct ir_block block;

/* A compiled block with what the cache keeps of it. */
struct made {
	const uint8_t *rx;
	uint8_t *rw;
	struct backend_exit exit[BACKEND_MAX_EXITS];
	unsigned nr_exits;
};

static struct made made[8];
static size_t next_at;

static void begin(gva_t pc)
{
	fx_begin(&block);
	block.pc = pc;
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = (int64_t)pc;
}

static struct ir_insn *op(enum ir_op o, int64_t imm)
{
	struct ir_insn *i = ir_emit(&block, o, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	i->imm = imm;
	return i;
}

static void add(unsigned reg, int64_t k)
{
	ir_emit(&block, IR_ADD, IR_I64, IR_G(reg), IR_G(reg), IR_KONST)->imm = k;
}

static struct made *finish(unsigned n)
{
	struct made *m = &made[n];
	unsigned where;

	assert_null(ir_verify(&block, &where));
	opt_liveness(&block);
	m->rx = fx_compile(&block, next_at, (struct tb *)m);
	assert_non_null(m->rx);
	m->rw = fx.code_rw + (m->rx - fx.code_rx);
	m->nr_exits = fx.out->nr_exits;
	memcpy(m->exit, fx.out->exit, sizeof(m->exit));
	next_at += fx.out->size + 128;
	return m;
}

static void chain(struct made *from, unsigned index, struct made *to)
{
	backend_native.patch_exit(from->rw, from->rx, &from->exit[index], to->rx);
}

static void to_jump_cache(gva_t pc, const struct made *m)
{
	fx.env->jc_tag[pc & (TCG_JC_SIZE - 1)] = pc + fx.env->jc_salt;
	fx.env->jc_code[pc & (TCG_JC_SIZE - 1)] = (void *)(uintptr_t)m->rx;
	fx.env->jx[tcg_jx_index(pc)] = (struct tcg_jx_entry){ pc + fx.env->jc_salt, (void *)(uintptr_t)m->rx };
}

static void go(const struct made *m)
{
	fx.backend = &backend_native;
	backend_native.run(fx.env, m->rx);
}

static int reset(void **state)
{
	(void)state;
	fx_reset_state(3);
	next_at = 0;
	return 0;
}

static void unchained_exit_names_itself(void **state)
{
	struct made *m;

	(void)state;
	begin(FX_PC);
	op(IR_JCC, FX_PC + 100)->cc = IR_CC_Z;
	add(0, 1);
	op(IR_JMP, FX_PC + 50);
	m = finish(0);
	fx.env->flags = 0;
	fx.env->greg[0] = 5;
	go(m);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
	assert_int_equal(fx.env->exit_index, 1);
	assert_ptr_equal(fx.env->exit_tb, m);
	assert_int_equal(fx.env->pc, FX_PC + 50);
	assert_int_equal(fx.env->greg[0], 6);
	fx.env->flags = F_Z;
	go(m);
	assert_int_equal(fx.env->exit_index, 0);
	assert_int_equal(fx.env->pc, FX_PC + 100);
}

static void chained_exit_goes_straight_and_back_when_unpatched(void **state)
{
	struct made *a, *b;

	(void)state;
	begin(FX_PC + 50);
	add(1, 10);
	op(IR_EXIT, TCG_EXIT_EVENT);
	b = finish(1);
	begin(FX_PC);
	add(0, 1);
	op(IR_JMP, FX_PC + 50);
	a = finish(0);
	assert_int_equal(a->exit[0].patch_off % 4, 0);
	chain(a, 0, b);
	fx.env->greg[1] = 0;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[1], 10);
	backend_native.unpatch_exit(a->rw, a->rx, &a->exit[0]);
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
	assert_int_equal(fx.env->greg[1], 10);
}

static void killed_block_leaves_with_its_pc(void **state)
{
	struct made *a;

	(void)state;
	begin(0xffffffff81000010ull);
	add(0, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	a = finish(0);
	fx.env->greg[0] = 1;
	backend_native.kill_entry(a->rw, a->rx);
	backend_native.kill_entry(a->rw, a->rx);
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, 0xffffffff81000010ull);
	assert_int_equal(fx.env->greg[0], 1);
}

static void other_pages_are_reached_through_the_jump_cache(void **state)
{
	gva_t far = 0x7fff12345678ull;
	struct made *a, *b;

	(void)state;
	begin(far);
	add(1, 10);
	op(IR_EXIT, TCG_EXIT_EVENT);
	b = finish(1);
	begin(FX_PC);
	op(IR_JCC, (int64_t)far)->cc = IR_CC_C;
	op(IR_JMP, (int64_t)far);
	a = finish(0);
	assert_int_equal(a->nr_exits, 0);
	for (unsigned taken = 0; taken < 2; taken++) {
		fx.env->flags = taken ? F_C : 0;
		memset(fx.env->jc_tag, 0xff, sizeof(fx.env->jc_tag));
		memset(fx.env->jx, 0xff, sizeof(fx.env->jx));
		go(a);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
		assert_int_equal(fx.env->pc, far);
		assert_int_equal(fx.env->flags & F_C, taken);
		to_jump_cache(far, b);
		fx.env->greg[1] = 0;
		go(a);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
		assert_int_equal(fx.env->greg[1], 10);
		fx.env->jx[tcg_jx_index(far)].tag = ~0ull; /* the other one still knows it */
		go(a);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
		assert_int_equal(fx.env->greg[1], 20);
	}
}

/* What flushing a page relies on, and what the hash is for. */
static void second_jump_cache_keeps_pages_together(void **state)
{
	static bool seen[TCG_JX_PAGE];
	gva_t page = 0xffffffff812c9000ull;
	unsigned first = tcg_jx_index(page) & ~(TCG_JX_PAGE - 1);

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < GUEST_PAGE_SIZE; i++) {
		unsigned at = tcg_jx_index(page + i);

		assert_int_equal(at & ~(TCG_JX_PAGE - 1), first);
		seen[at - first] = true;
	}
	for (unsigned i = 0; i < TCG_JX_PAGE; i++)
		assert_true(seen[i]);
	assert_int_not_equal(tcg_jx_index(0x812c9fa0), tcg_jx_index(0x81319fa0));
}

static void indirect_jump_asks_the_jump_cache_and_polls(void **state)
{
	struct made *a, *b;

	(void)state;
	begin(FX_PC + 0x5000);
	add(1, 10);
	op(IR_EXIT, TCG_EXIT_EVENT);
	b = finish(1);
	begin(FX_PC);
	op(IR_JMPIND, 0)->a = IR_G(9);
	a = finish(0);
	fx.env->greg[9] = FX_PC + 0x5000;
	fx.env->greg[1] = 0;
	fx.env->jc_salt = 3ull << 48;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, FX_PC + 0x5000);
	to_jump_cache(FX_PC + 0x5000, b);
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[1], 10);
	fx.env->request = 1;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->greg[1], 10);
	fx.env->request = 0;
	fx.env->jc_tag[(FX_PC + 0x5000) & (TCG_JC_SIZE - 1)] = ~0ull; /* the second one still knows it */
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[1], 20);
	fx.env->jc_salt = 4ull << 48;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
}

static void poll_leaves_on_request(void **state)
{
	struct made *a;

	(void)state;
	begin(FX_PC);
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_G(0));
	op(IR_POLL, FX_PC + 4);
	add(0, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	a = finish(0);
	fx.env->greg[0] = 1;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[0], 2);
	assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	fx.env->request = 4;
	fx.env->flags = 0;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, FX_PC + 4);
	assert_int_equal(fx.env->greg[0], 2);
	assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
}

/* As poll: flags that live come along, and what follows has not happened. */
static void what_does_not_fit_leaves_to_run_alone(void **state)
{
	static const uint64_t fit[] = { 0x7fffffffffff, 0xffff800000000000, 0, ~0ull };
	static const uint64_t beyond[] = { 0x800000000000, 0xffff7fffffffffff, 1ull << 63 };
	struct made *a;

	(void)state;
	begin(FX_PC);
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_G(0));
	op(IR_FITS, 48)->a = IR_G(9);
	add(0, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	a = finish(0);
	for (unsigned n = 0; n < ARRAY_LEN(fit); n++) {
		fx.env->greg[0] = 1;
		fx.env->greg[9] = fit[n];
		go(a);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
		assert_int_equal(fx.env->greg[0], 2);
		assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	}
	for (unsigned n = 0; n < ARRAY_LEN(beyond); n++) {
		fx.env->greg[0] = 1;
		fx.env->greg[9] = beyond[n];
		fx.env->flags = fx.env->pc = 0;
		go(a);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_ALONE);
		assert_int_equal(fx.env->pc, FX_PC);
		assert_int_equal(fx.env->greg[0], 1);
		assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	}
}

/*
 * 0: caller at FX_PC: call function; 1: function: counts, returns to the PC in g10; 2: block behind the call; 3: elsewhere.
 */
static void make_call(bool indirect)
{
	struct ir_insn *i;

	begin(FX_PC + 0x100);
	add(1, 1);
	op(IR_RET, 0)->a = IR_G(10);
	finish(1);
	begin(FX_PC + 8);
	add(2, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	finish(2);
	begin(FX_PC + 0x300);
	add(3, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	finish(3);
	begin(FX_PC);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(10), IR_KONST, IR_NONE)->imm = FX_PC + 8;
	i = op(indirect ? IR_CALLIND : IR_CALL, FX_PC + 0x100);
	i->imm2 = FX_PC + 8;
	if (indirect) {
		i->imm = 0;
		i->a = IR_G(11);
	}
	finish(0);
	for (unsigned n = 1; n < 4; n++)
		fx.env->greg[n] = 0;
	fx.env->greg[11] = FX_PC + 0x100;
	to_jump_cache(FX_PC + 0x100, &made[1]);
}

/* Behind the hit in one of the jump caches, whichever it is: the call's return site takes the return, and leaves by its exit. */
static void far_calls_that_miss_one_jump_cache_have_their_returns_predicted(void **state)
{
	gva_t far = FX_PC + 0x5100;
	struct made *a;

	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		struct ir_insn *i;

		next_at = 0;
		begin(far);
		add(1, 1);
		op(IR_RET, 0)->a = IR_G(10);
		to_jump_cache(far, finish(1));
		begin(FX_PC);
		ir_emit(&block, IR_MOV, IR_I64, IR_G(10), IR_KONST, IR_NONE)->imm = FX_PC + 8;
		i = op(how & 1 ? IR_CALLIND : IR_CALL, how & 1 ? 0 : (int64_t)far);
		i->imm2 = FX_PC + 8;
		if (how & 1)
			i->a = IR_G(11);
		a = finish(0);
		if (how & 2)
			fx.env->jx[tcg_jx_index(far)].tag = ~0ull;
		else
			fx.env->jc_tag[far & (TCG_JC_SIZE - 1)] = ~0ull;
		fx.env->greg[11] = far;
		fx.env->greg[1] = 0;
		go(a);
		assert_int_equal(fx.env->greg[1], 1);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
		assert_ptr_equal(fx.env->exit_tb, a);
		assert_int_equal(fx.env->pc, FX_PC + 8);
	}
}

/* Two temporaries, one of them where memory accesses have their second scratch. */
static void address_with_an_index_from_env_leaves_temporaries_alone(void **state)
{
	ir_ref t0, t1, m;

	(void)state;
	begin(FX_PC);
	t0 = ir_temp(&block);
	t1 = ir_temp(&block);
	ir_emit(&block, IR_MOV, IR_I64, t0, IR_KONST, IR_NONE)->imm = 0x1111;
	ir_emit(&block, IR_MOV, IR_I64, t1, IR_KONST, IR_NONE)->imm = 0x2222;
	m = ir_mem(&block, &(struct ir_mem){ .base = IR_NONE, .index = IR_G(9), .scale = 8, .disp = 4, .addr_bits = 64 });
	ir_emit(&block, IR_LEA, IR_I64, IR_G(0), m, IR_NONE);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(1), t0, IR_NONE);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(2), t1, IR_NONE);
	op(IR_EXIT, TCG_EXIT_EVENT);
	finish(0);
	fx.env->greg[9] = 5;
	go(&made[0]);
	assert_int_equal(fx.env->greg[0], 44);
	assert_int_equal(fx.env->greg[1], 0x1111);
	assert_int_equal(fx.env->greg[2], 0x2222);
}

/* v2 += v3, v4 = v2 each time round; a side exit to PC + 0x40 when g0 reaches `side`; out when it is 0. */
static struct made *make_vector_loop(int64_t side)
{
	unsigned label;

	begin(FX_PC);
	ir_emit(&block, IR_VOP, IR_V128, IR_V(2), IR_V(2), IR_V(3))->imm2 = IR_VOP_PADDQ;
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_KONST)->imm = side;
	op(IR_JCC, FX_PC + 0x40)->cc = IR_CC_Z;
	ir_emit(&block, IR_VMOV, IR_V128, IR_V(4), IR_V(2), IR_NONE);
	ir_emit(&block, IR_SUB, IR_I64, IR_G(0), IR_G(0), IR_KONST)->imm = 1;
	block.insn[block.nr_insns - 1].attr |= IR_SETF;
	label = ir_label(&block);
	op(IR_BRCC, label)->cc = IR_CC_Z;
	op(IR_POLL, FX_PC);
	op(IR_JMP, FX_PC);
	op(IR_LABEL, label);
	op(IR_EXIT, TCG_EXIT_EVENT);
	return finish(0);
}

static void loop_vectors(uint64_t v2, uint64_t v4)
{
	assert_int_equal(fx.env->vreg[2].q[0], v2);
	assert_int_equal(fx.env->vreg[4].q[0], v4);
	assert_int_equal(fx.env->vreg[3].q[0], 5);
}

static void loop_start(int64_t count)
{
	fx.env->greg[0] = (uint64_t)count;
	fx.env->vreg[2].q[0] = 100;
	fx.env->vreg[3].q[0] = 5;
	fx.env->vreg[4].q[0] = 7;
}

static unsigned exit_to_pc(const struct made *m, gva_t pc)
{
	unsigned n = 0;

	while (n < m->nr_exits && m->exit[n].pc != pc)
		n++;
	assert_true(n < m->nr_exits);
	return n;
}

static void loop_to_itself_keeps_vectors_in_registers(void **state)
{
	struct made *m = make_vector_loop(1000);
	unsigned back = exit_to_pc(m, FX_PC);

	(void)state;
	loop_start(3);
	go(m);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
	assert_int_equal(fx.env->exit_index, back);
	assert_int_equal(fx.env->pc, FX_PC);
	loop_vectors(105, 105);
	chain(m, back, m);
	loop_start(3);
	go(m);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[0], 0);
	loop_vectors(115, 115);
	backend_native.unpatch_exit(m->rw, m->rx, &m->exit[back]);
	loop_start(3);
	go(m);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
	loop_vectors(105, 105);
}

static void vectors_are_in_env_behind_side_exits_and_polls(void **state)
{
	struct made *m = make_vector_loop(2);
	unsigned back = exit_to_pc(m, FX_PC);

	(void)state;
	chain(m, back, m);
	loop_start(3);
	go(m);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
	assert_int_equal(fx.env->pc, FX_PC + 0x40);
	loop_vectors(110, 105);
	loop_start(2);
	go(m);
	assert_int_equal(fx.env->pc, FX_PC + 0x40);
	loop_vectors(105, 7);
	fx.env->request = 1;
	loop_start(100);
	go(m);
	fx.env->request = 0;
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, FX_PC);
	loop_vectors(105, 105);
}

/* v5 += v6, then on to `next` or out. */
static struct made *make_adder(unsigned n, gva_t pc, gva_t next)
{
	begin(pc);
	ir_emit(&block, IR_VOP, IR_V128, IR_V(5), IR_V(5), IR_V(6))->imm2 = IR_VOP_PADDQ;
	if (next)
		op(IR_JMP, (int64_t)next);
	else
		op(IR_EXIT, TCG_EXIT_EVENT);
	return finish(n);
}

static const uint8_t *chained_to(const struct made *m, unsigned index)
{
	int32_t rel;

	memcpy(&rel, m->rx + m->exit[index].patch_off, 4);
	return m->rx + m->exit[index].patch_off + 4 + rel;
}

static void chains_between_vector_blocks_skip_the_check(void **state)
{
	struct made *a = make_adder(0, FX_PC, FX_PC + 0x40), *b = make_adder(1, FX_PC + 0x40, 0), *c;

	(void)state;
	begin(FX_PC + 0x80);
	op(IR_JMP, FX_PC + 0x40);
	c = finish(2); /* without vectors */
	chain(a, 0, b);
	chain(c, 0, b);
	assert_true(chained_to(a, 0) > chained_to(c, 0));
	fx.env->vreg[5].q[0] = 1;
	fx.env->vreg[6].q[0] = 10;
	go(a);
	assert_int_equal(fx.env->vreg[5].q[0], 21);
	go(c);
	assert_int_equal(fx.env->vreg[5].q[0], 31);
	assert_int_equal(fx.env->vec_live, 0);
}

/* Vectors live; a block without them calls a routine that wants them in env and changes them; a block that uses what it left. */
static void vectors_pass_blocks_and_calls_to_c(void **state)
{
	struct made *a = make_adder(0, FX_PC, FX_PC + 0x40), *b, *c = make_adder(2, FX_PC + 0x80, FX_PC + 0xc0), *d;

	(void)state;
	begin(FX_PC + 0x40);
	ir_emit(&block, IR_RT, IR_I64, IR_G(0), IR_NONE, IR_NONE)->imm = FX_RT_VECTORS;
	op(IR_JMP, FX_PC + 0x80);
	b = finish(1);
	begin(FX_PC + 0xc0);
	ir_emit(&block, IR_VOP, IR_V128, IR_V(5), IR_V(5), IR_V(6))->imm2 = IR_VOP_PADDQ;
	ir_emit(&block, IR_VMOV, IR_V128, IR_VT(0), IR_V(5), IR_NONE);
	ir_emit(&block, IR_VOP, IR_V128, IR_VT(0), IR_VT(0), IR_V(6))->imm2 = IR_VOP_PADDQ;
	ir_emit(&block, IR_RT, IR_I64, IR_G(0), IR_NONE, IR_NONE)->imm = FX_RT_VECTORS;
	ir_emit(&block, IR_VOP, IR_V128, IR_V(7), IR_NONE, IR_VT(0))->imm2 = IR_VOP_MOVQ;
	ir_emit(&block, IR_VOP, IR_V128, IR_V(5), IR_V(5), IR_V(6))->imm2 = IR_VOP_PADDQ;
	op(IR_EXIT, TCG_EXIT_EVENT);
	d = finish(3);
	chain(a, 0, b);
	chain(b, 0, c);
	chain(c, 0, d);
	for (unsigned n = 0; n < TCG_NR_VREG; n++)
		fx.env->vreg[n].q[0] = n;
	fx.env->vreg[5].q[0] = 1;
	fx.env->vreg[6].q[0] = 10;
	fx.env->mxcsr = 0x5f80;
	go(a); /* 11; the routine: 12 and 11; 23; 34; temporary 45; the routine: 35 and 12; 47 */
	assert_int_equal(fx.env->vreg[5].q[0], 47);
	assert_int_equal(fx.env->vreg[6].q[0], 12);
	assert_int_equal(fx.env->vreg[7].q[0], 45);
	assert_int_equal(fx.env->mxcsr, 0x5f80); /* and its control word, which C has not seen */
	fx.env->mxcsr = 0x1f80;
	assert_int_equal(fx.c_mxcsr & ~0x3fu, 0x1f80);
	for (unsigned n = 8; n < TCG_NR_VREG; n++) /* all, also the one the temporary displaced */
		assert_int_equal(fx.env->vreg[n].q[0], n + 2);
}

/* 256 bits written; a block that knows 128; one that was not entered with 256 and wants them. */
static void both_widths_of_vectors_meet(void **state)
{
	struct made *a, *b = make_adder(1, FX_PC + 0x40, FX_PC + 0x80), *c;

	(void)state;
	if (!__builtin_cpu_supports("avx"))
		skip();
	begin(FX_PC);
	ir_emit(&block, IR_VMOV, IR_V256, IR_V(5), IR_V(9), IR_NONE);
	op(IR_JMP, FX_PC + 0x40);
	a = finish(0);
	begin(FX_PC + 0x80);
	ir_emit(&block, IR_VMOV, IR_V256, IR_V(8), IR_V(5), IR_NONE);
	op(IR_EXIT, TCG_EXIT_EVENT);
	c = finish(2);
	chain(b, 0, c);
	for (unsigned linked = 0; linked < 2; linked++) {
		if (linked)
			chain(a, 0, b);
		for (unsigned n = 0; n < TCG_NR_VREG; n++)
			for (unsigned k = 0; k < 4; k++)
				fx.env->vreg[n].q[k] = n + 100 * k;
		go(linked ? a : b);
		assert_int_equal(fx.env->vec_live, 0);
		assert_int_equal(fx.env->vreg[8].q[0], linked ? 9 + 6 : 5 + 6);
		for (unsigned k = 1; k < 4; k++)
			assert_int_equal(fx.env->vreg[8].q[k], k == 1 ? (linked ? 109 : 105) + 106 : (linked ? 9 : 5) + 100 * k);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(fx.env->vreg[15].q[k], 15 + 100 * k);
	}
}

static void call_returns_to_its_return_site(void **state)
{
	(void)state;
	for (unsigned indirect = 0; indirect < 2; indirect++) {
		reset(state);
		make_call(indirect);
		if (!indirect) {
			go(&made[0]);
			assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
			assert_int_equal(fx.env->pc, FX_PC + 0x100);
			assert_int_equal(made[0].exit[0].kind, BACKEND_EXIT_CALL);
			chain(&made[0], 0, &made[1]);
		}
		go(&made[0]);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_CHAIN);
		assert_int_equal(fx.env->exit_index, !indirect);
		assert_int_equal(fx.env->pc, FX_PC + 8);
		chain(&made[0], !indirect, &made[2]);
		go(&made[0]);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
		assert_int_equal(fx.env->greg[1], 1 + !!1);
		assert_int_equal(fx.env->greg[2], 1);
	}
}

static void return_elsewhere_goes_through_the_jump_cache(void **state)
{
	(void)state;
	make_call(false);
	chain(&made[0], 0, &made[1]);
	chain(&made[0], 1, &made[2]);
	/* The function returns to another place than it was called from. */
	begin(FX_PC + 0x100);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(10), IR_KONST, IR_NONE)->imm = FX_PC + 0x300;
	op(IR_RET, 0)->a = IR_G(10);
	finish(4);
	chain(&made[0], 0, &made[4]);
	go(&made[0]);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, FX_PC + 0x300);
	to_jump_cache(FX_PC + 0x300, &made[3]);
	go(&made[0]);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[3], 1);
	assert_int_equal(fx.env->greg[2], 0);
}

static void return_without_call_goes_through_the_jump_cache(void **state)
{
	(void)state;
	make_call(false);
	fx.env->greg[10] = FX_PC + 8;
	for (unsigned n = 0; n < 100; n++) {
		go(&made[1]);
		assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
		assert_int_equal(fx.env->pc, FX_PC + 8);
	}
	to_jump_cache(FX_PC + 8, &made[2]);
	go(&made[1]);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[2], 1);
}

/* Recursion deeper than the prediction stack: g0 counts down by calls to itself, then returns happen as often. */
static void deep_recursion_survives_overflow_of_the_return_stack(void **state)
{
	const uint64_t depth = 20000;

	(void)state;
	fx_catch_signals();
	/* 0: if g0 == 0 return, else g0--, call self; behind: g1++, return. All returns go to "behind" until the counts agree. */
	begin(FX_PC + 0x40);
	add(1, 1);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(10), IR_KONST, IR_NONE)->imm = FX_PC + 0x40;
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(1), IR_G(2));
	op(IR_JCC, FX_PC + 0x80)->cc = IR_CC_Z;
	op(IR_RET, 0)->a = IR_G(10);
	finish(1);
	begin(FX_PC);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(10), IR_KONST, IR_NONE)->imm = FX_PC + 0x40;
	ir_emit(&block, IR_SUB, IR_I64, IR_G(0), IR_G(0), IR_KONST)->imm = 1;
	block.insn[block.nr_insns - 1].attr |= IR_SETF;
	op(IR_JCC, FX_PC + 0x20)->cc = IR_CC_Z;
	op(IR_CALL, FX_PC)->imm2 = FX_PC + 0x40;
	finish(0);
	begin(FX_PC + 0x20);
	op(IR_RET, 0)->a = IR_G(10);
	finish(2);
	begin(FX_PC + 0x80);
	op(IR_EXIT, TCG_EXIT_EVENT);
	finish(3);
	chain(&made[0], 0, &made[2]);
	chain(&made[0], 1, &made[0]);
	chain(&made[0], 2, &made[1]);
	chain(&made[1], 0, &made[3]);
	to_jump_cache(FX_PC + 0x40, &made[1]);
	fx.env->greg[0] = depth;
	fx.env->greg[1] = 0;
	fx.env->greg[2] = depth;
	go(&made[0]);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[1], depth);
}

static void jmpenv_follows_env_pc(void **state)
{
	struct made *a, *b;

	(void)state;
	begin(FX_PC + 0x40);
	add(1, 1);
	op(IR_EXIT, TCG_EXIT_EVENT);
	b = finish(1);
	begin(FX_PC);
	op(IR_SETPC, 0)->a = IR_G(8);
	op(IR_JMPENV, 0);
	a = finish(0);
	fx.env->greg[8] = FX_PC + 0x40;
	fx.env->greg[1] = 0;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(fx.env->pc, FX_PC + 0x40);
	to_jump_cache(FX_PC + 0x40, b);
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->greg[1], 1);
}

static void fault_in_a_runtime_call_unwinds(void **state)
{
	struct made *a;

	(void)state;
	begin(FX_PC);
	add(4, 8);
	op(IR_INSN, FX_PC + 3);
	ir_emit(&block, IR_VOP, IR_V128, IR_V(5), IR_V(5), IR_V(5))->imm2 = IR_VOP_PXOR;
	op(IR_RT, FX_RT_FAULT);
	add(4, 8);
	op(IR_EXIT, TCG_EXIT_LOOKUP);
	a = finish(0);
	fx.env->greg[4] = 0;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->pc, FX_PC + 3);
	assert_int_equal(fx.env->greg[4], 8);
	assert_int_equal(fx.env->vreg[5].q[0], 0);
}

static void page_fault_keeps_the_state_before_the_instruction(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3, .disp = 8 };
	struct made *a;

	(void)state;
	begin(FX_PC);
	ir_emit(&block, IR_VOP, IR_V128, IR_V(5), IR_V(5), IR_V(5))->imm2 = IR_VOP_PXOR;
	ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_G(0));
	op(IR_INSN, FX_PC + 3);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(0), ir_mem(&block, &m), IR_NONE);
	op(IR_EXIT, TCG_EXIT_LOOKUP);
	a = finish(0);
	fx.env->greg[0] = 11;
	fx.env->greg[3] = FX_BASE + FX_PAGE_FAULT * 4096;
	go(a);
	assert_int_equal(fx.env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(fx.env->pc, FX_PC + 3);
	assert_int_equal(fx.env->greg[0], 11);
	assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	assert_int_equal(fx.env->vreg[5].q[1], 0);
}

/* Load off r3, store off r5, store off r3, both stores through slot 7: the second may not rely on a check made before the first. */
static void a_store_between_ends_sharing(void **state)
{
	struct ir_mem load = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3 };
	struct ir_mem between = { .base = IR_G(5), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 7 };
	struct ir_mem last = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 7, .disp = 8 };
	const gva_t one = FX_BASE + 4096, two = FX_BASE + 2 * 4096, other[] = { two, one, one, two };
	struct made *a;

	(void)state;
	begin(FX_PC);
	op(IR_INSN, FX_PC);
	ir_emit(&block, IR_MOV, IR_I64, IR_G(0), ir_mem(&block, &load), IR_NONE);
	ir_emit(&block, IR_MOV, IR_I64, ir_mem(&block, &between), IR_G(1), IR_NONE);
	ir_emit(&block, IR_MOV, IR_I64, ir_mem(&block, &last), IR_G(2), IR_NONE);
	op(IR_EXIT, TCG_EXIT_LOOKUP);
	a = finish(0);
	for (unsigned n = 0; n < ARRAY_LEN(other); n++) {
		fx.env->greg[1] = 100 + n;
		fx.env->greg[2] = 200 + n;
		fx.env->greg[3] = one;
		fx.env->greg[5] = other[n];
		if (n == 3) /* let the slot be filled at once */
			fx.env->l0_last[0][1][7] = (uint32_t)(two >> GUEST_PAGE_BITS);
		fx.env->l0_budget[7] = 100;
		go(a);
		assert_int_equal(*(uint64_t *)(void *)(fx.mem + (other[n] - FX_BASE)), 100 + n);
		assert_int_equal(*(uint64_t *)(void *)(fx.mem + 4096 + 8), 200 + n);
	}
}

static void code_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	begin(FX_PC);
	for (unsigned n = 0; n < 40; n++)
		add(n % 16, 0x12345);
	op(IR_JMP, FX_PC + 0x40);
	opt_liveness(&block);
	for (size_t room = 0; room < 300; room++) {
		memset(fx.code_rw + fx.stub_bytes + 8192, 0xcd, 512);
		assert_int_equal(backend_native.compile(&block, NULL, fx.code_rw + fx.stub_bytes + 8192, fx.code_rx + fx.stub_bytes + 8192,
							room, fx.out), BACKEND_NO_ROOM);
		for (size_t n = room; n < 512; n++)
			assert_int_equal(fx.code_rw[fx.stub_bytes + 8192 + n], 0xcd);
	}
}

/* In whichever register it ends, the others stay, and flags do. */
static void the_clock_is_the_hosts(void **state)
{
	(void)state;
	for (unsigned r = 0; r < TCG_NR_GREG; r++) {
		uint64_t before, t;

		fx_reset_state(r);
		begin(FX_PC);
		ir_emit(&block, IR_CMP, IR_I64, IR_NONE, IR_G(0), IR_G(0))->attr |= IR_SETF;
		ir_emit(&block, IR_CLOCK, IR_I64, IR_G(r), IR_NONE, IR_NONE);
		op(IR_EXIT, TCG_EXIT_EVENT);
		finish(0);
		for (unsigned n = 0; n < TCG_NR_GREG; n++)
			fx.env->greg[n] = n + 1000;
		before = clock_tsc();
		go(&made[0]);
		t = fx.env->greg[r];
		assert_true(before <= t && t <= clock_tsc());
		for (unsigned n = 0; n < TCG_NR_GREG; n++)
			if (n != r)
				assert_int_equal(fx.env->greg[n], n + 1000);
		assert_int_equal(fx.env->flags & F_ALL, F_Z | F_P);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unchained_exit_names_itself, reset),
		cmocka_unit_test_setup(chained_exit_goes_straight_and_back_when_unpatched, reset),
		cmocka_unit_test_setup(killed_block_leaves_with_its_pc, reset),
		cmocka_unit_test_setup(other_pages_are_reached_through_the_jump_cache, reset),
		cmocka_unit_test_setup(address_with_an_index_from_env_leaves_temporaries_alone, reset),
		cmocka_unit_test_setup(far_calls_that_miss_one_jump_cache_have_their_returns_predicted, reset),
		cmocka_unit_test(second_jump_cache_keeps_pages_together),
		cmocka_unit_test_setup(indirect_jump_asks_the_jump_cache_and_polls, reset),
		cmocka_unit_test_setup(poll_leaves_on_request, reset),
		cmocka_unit_test_setup(what_does_not_fit_leaves_to_run_alone, reset),
		cmocka_unit_test_setup(loop_to_itself_keeps_vectors_in_registers, reset),
		cmocka_unit_test_setup(vectors_are_in_env_behind_side_exits_and_polls, reset),
		cmocka_unit_test_setup(chains_between_vector_blocks_skip_the_check, reset),
		cmocka_unit_test_setup(vectors_pass_blocks_and_calls_to_c, reset),
		cmocka_unit_test_setup(both_widths_of_vectors_meet, reset),
		cmocka_unit_test_setup(call_returns_to_its_return_site, reset),
		cmocka_unit_test_setup(return_elsewhere_goes_through_the_jump_cache, reset),
		cmocka_unit_test_setup(return_without_call_goes_through_the_jump_cache, reset),
		cmocka_unit_test_setup(deep_recursion_survives_overflow_of_the_return_stack, reset),
		cmocka_unit_test_setup(jmpenv_follows_env_pc, reset),
		cmocka_unit_test_setup(fault_in_a_runtime_call_unwinds, reset),
		cmocka_unit_test_setup(page_fault_keeps_the_state_before_the_instruction, reset),
		cmocka_unit_test_setup(a_store_between_ends_sharing, reset),
		cmocka_unit_test_setup(code_that_does_not_fit_is_refused, reset),
		cmocka_unit_test_setup(the_clock_is_the_hosts, reset),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
