/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/opt: liveness, dead code, folding, on blocks written by hand; and the passes' speed.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tcg/opt/liveness.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/ir_fuzz.h"

static struct ir_block *b;

static int setup(void **state)
{
	(void)state;
	b = calloc(1, sizeof(*b));
	return b ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(b);
	return 0;
}

static struct ir_insn *op(enum ir_op o, ir_ref d, ir_ref a, ir_ref bb)
{
	return ir_emit(b, o, IR_I64, d, a, bb);
}

static struct ir_insn *flags(struct ir_insn *i)
{
	i->attr |= IR_SETF;
	return i;
}

static struct ir_insn *jump(uint32_t live)
{
	struct ir_insn *i = op(IR_JMP, IR_NONE, IR_NONE, IR_NONE);

	i->fl_live = (uint16_t)live;
	return i;
}

static struct ir_insn *jcc(enum ir_cc cc, uint32_t live)
{
	struct ir_insn *i = op(IR_JCC, IR_NONE, IR_NONE, IR_NONE);

	i->cc = cc;
	i->fl_live = (uint16_t)live;
	return i;
}

static void flags_are_live_from_their_use_back_to_their_definition(void **state)
{
	(void)state;
	ir_reset(b);
	flags(op(IR_ADD, IR_G(0), IR_G(0), IR_G(1)));
	flags(op(IR_SUB, IR_G(2), IR_G(2), IR_G(3)));
	op(IR_MOV, IR_G(5), IR_G(1), IR_NONE);
	jcc(IR_CC_Z, F_C);
	jump(0);
	opt_liveness(b);
	assert_int_equal(b->insn[0].fl_live, 0);
	assert_int_equal(b->insn[1].fl_live, F_Z | F_C);
	assert_int_equal(b->insn[2].fl_live, F_Z | F_C);
	assert_int_equal(b->insn[3].fl_live, F_C); /* the side exit's; nothing on the way on */
	assert_int_equal(b->insn[3].exit_live, F_C | IR_EXIT_LIVE_SET);
	assert_int_equal(b->insn[4].fl_live, 0);
}

static void liveness_twice_is_liveness_once(void **state)
{
	static struct ir_insn first[IR_MAX_INSNS];

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		ir_fuzz_block(b, seed, 60);
		opt_liveness(b);
		memcpy(first, b->insn, b->nr_insns * sizeof(first[0]));
		opt_liveness(b);
		assert_memory_equal(first, b->insn, b->nr_insns * sizeof(first[0]));
	}
}

static void a_variable_shift_kills_no_flags(void **state)
{
	(void)state;
	ir_reset(b);
	flags(op(IR_ADD, IR_G(0), IR_G(0), IR_G(1)));
	flags(op(IR_SHL, IR_G(2), IR_G(2), IR_G(1)));
	jump(F_C);
	opt_liveness(b);
	assert_int_equal(b->insn[0].fl_live, F_C);
	ir_reset(b);
	flags(op(IR_ADD, IR_G(0), IR_G(0), IR_G(1)));
	flags(ir_emit_k(b, IR_SHL, IR_I64, IR_G(2), IR_G(2), 3));
	flags(ir_emit_k(b, IR_SHL, IR_I64, IR_G(3), IR_G(3), 64)); /* masked to 0 */
	jump(F_C);
	opt_liveness(b);
	assert_int_equal(b->insn[0].fl_live, 0);
	assert_int_equal(b->insn[1].fl_live, F_C);
}

static void branches_join_what_is_live_at_their_ends(void **state)
{
	unsigned l;

	(void)state;
	ir_reset(b);
	l = ir_label(b);
	flags(op(IR_CMP, IR_NONE, IR_G(0), IR_G(1)));
	op(IR_BRZ, IR_NONE, IR_G(3), IR_NONE)->imm = l;
	flags(op(IR_ADD, IR_G(0), IR_G(0), IR_G(1)));
	op(IR_LABEL, IR_NONE, IR_NONE, IR_NONE)->imm = l;
	jump(F_S);
	opt_liveness(b);
	assert_int_equal(b->insn[0].fl_live, F_S);
	assert_int_equal(b->insn[1].fl_live, F_S); /* at the label; the add kills all on the other way */
	/* back: everything counts */
	ir_reset(b);
	l = ir_label(b);
	op(IR_LABEL, IR_NONE, IR_NONE, IR_NONE)->imm = l;
	flags(op(IR_CMP, IR_NONE, IR_G(0), IR_G(1)));
	op(IR_BRNZ, IR_NONE, IR_G(3), IR_NONE)->imm = l;
	jump(0);
	opt_liveness(b);
	assert_int_equal(b->insn[1].fl_live, F_ALL);
}

static void runtime_effects_count(void **state)
{
	(void)state;
	ir_reset(b);
	b->rt = ir_fuzz_rt;
	b->nr_rt = ir_fuzz_nr_rt;
	op(IR_RT, IR_NONE, IR_NONE, IR_NONE)->imm = 1; /* reads and writes flags */
	op(IR_RT, IR_NONE, IR_NONE, IR_NONE)->imm = 2; /* writes */
	op(IR_RT, IR_NONE, IR_NONE, IR_NONE)->imm = 3; /* faults, but does not look */
	jump(F_Z);
	opt_liveness(b);
	assert_int_equal(b->insn[2].fl_live, F_Z);
	assert_int_equal(b->insn[1].fl_live, F_Z);
	assert_int_equal(b->insn[0].fl_live, 0);
	ir_reset(b);
	b->rt = ir_fuzz_rt;
	b->nr_rt = ir_fuzz_nr_rt;
	flags(op(IR_CMP, IR_NONE, IR_G(0), IR_G(1)));
	op(IR_RT, IR_NONE, IR_NONE, IR_NONE)->imm = 1;
	jump(0);
	opt_liveness(b);
	assert_int_equal(b->insn[0].fl_live, F_ALL);
}

static void kills_mark_last_uses_also_in_addresses(void **state)
{
	ir_ref t0, t1;

	(void)state;
	ir_reset(b);
	t0 = ir_temp(b);
	t1 = ir_temp(b);
	op(IR_MOV, t0, IR_G(1), IR_NONE);
	op(IR_NOT, t1, t0, IR_NONE);
	op(IR_MOV, IR_G(2), ir_mem(b, &(struct ir_mem){.base = t0, .index = t1, .scale = 1, .addr_bits = 64}), IR_NONE);
	op(IR_ADD, IR_G(3), t1, t1);
	jump(0);
	opt_liveness(b);
	assert_int_equal(b->insn[0].kills, 0);
	assert_int_equal(b->insn[1].kills, 0);
	assert_int_equal(b->insn[2].kills, IR_KILL_BASE);
	assert_int_equal(b->insn[3].kills, IR_KILL_A | IR_KILL_B);
}

static void dead_temporaries_and_flags_go_and_accesses_stay(void **state)
{
	ir_ref t0, t1, m;

	(void)state;
	ir_reset(b);
	t0 = ir_temp(b);
	t1 = ir_temp(b);
	m = ir_mem(b, &(struct ir_mem){.base = IR_G(1), .index = IR_NONE, .scale = 1, .addr_bits = 64});
	op(IR_MOV, t0, IR_G(1), IR_NONE);
	flags(op(IR_ADD, t1, t0, IR_G(2)));	/* neither value nor flags are read */
	flags(op(IR_CMP, IR_NONE, IR_G(2), m)); /* may fault */
	flags(op(IR_CMP, IR_NONE, IR_G(2), IR_G(3)));
	flags(op(IR_XOR, IR_G(2), IR_G(2), IR_G(3)));
	jump(0);
	opt_dce(b);
	assert_int_equal(b->nr_insns, 3);
	assert_int_equal(b->insn[0].op, IR_CMP);
	assert_int_equal(b->insn[0].attr & IR_SETF, 0);
	assert_int_equal(b->insn[1].op, IR_XOR);
	assert_int_equal(b->insn[1].attr & IR_SETF, 0);
}

static void constants_and_addresses_are_folded(void **state)
{
	ir_ref t0, t1, t2;
	const struct ir_mem *m;

	(void)state;
	ir_reset(b);
	t0 = ir_temp(b);
	t1 = ir_temp(b);
	t2 = ir_temp(b);
	ir_emit_k(b, IR_MOV, IR_I64, t0, IR_NONE, 0x80);
	op(IR_SX8, t1, t0, IR_NONE);
	op(IR_AND, IR_G(2), IR_G(2), t1);
	ir_emit_k(b, IR_ADD, IR_I64, t2, IR_G(5), 16);
	op(IR_MOV, IR_G(3),
	   ir_mem(b, &(struct ir_mem){.base = t2, .index = IR_NONE, .scale = 1, .addr_bits = 64, .disp = 4}), IR_NONE);
	jump(0);
	opt_run(b);
	assert_int_equal(b->nr_insns, 3);
	assert_int_equal(b->insn[0].op, IR_AND);
	assert_int_equal(b->insn[0].b, IR_KONST);
	assert_int_equal(b->insn[0].imm, -0x80);
	m = &b->mem[IR_REF_NUM(b->insn[1].a)];
	assert_int_equal(m->base, IR_G(5));
	assert_int_equal(m->disp, 20);
}

static void a_base_that_changes_is_not_folded(void **state)
{
	ir_ref t;

	(void)state;
	ir_reset(b);
	t = ir_temp(b);
	ir_emit_k(b, IR_ADD, IR_I64, t, IR_G(5), 16);
	ir_emit_k(b, IR_ADD, IR_I64, IR_G(5), IR_G(5), 1);
	op(IR_MOV, IR_G(3), ir_mem(b, &(struct ir_mem){.base = t, .index = IR_NONE, .scale = 1, .addr_bits = 64}),
	   IR_NONE);
	jump(0);
	opt_run(b);
	assert_int_equal(b->nr_insns, 4);
	assert_int_equal(b->mem[IR_REF_NUM(b->insn[2].a)].base, t);
}

/* No bound is asserted: a shared machine may be slow. `make check` shows the figure with -v. */
static void speed(void **state)
{
	static struct ir_block master;
	struct timespec t0, t1;
	unsigned long insns = 0;
	double ns;

	(void)state;
	ir_fuzz_block(&master, 7, 200);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned n = 0; n < 2000; n++) {
		memcpy(b->insn, master.insn, master.nr_insns * sizeof(b->insn[0]));
		memcpy(b->mem, master.mem, master.nr_mems * sizeof(b->mem[0]));
		b->nr_insns = master.nr_insns;
		b->nr_mems = master.nr_mems;
		b->nr_temps = master.nr_temps;
		b->nr_labels = master.nr_labels;
		b->rt = master.rt;
		b->nr_rt = master.nr_rt;
		opt_run(b);
		insns += master.nr_insns;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	ns = (double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec);
	print_message("opt_run: %.1f ns per IR instruction\n", ns / (double)insns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(flags_are_live_from_their_use_back_to_their_definition, setup,
						teardown),
		cmocka_unit_test_setup_teardown(liveness_twice_is_liveness_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_variable_shift_kills_no_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(branches_join_what_is_live_at_their_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(runtime_effects_count, setup, teardown),
		cmocka_unit_test_setup_teardown(kills_mark_last_uses_also_in_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(dead_temporaries_and_flags_go_and_accesses_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(constants_and_addresses_are_folded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_base_that_changes_is_not_folded, setup, teardown),
		cmocka_unit_test_setup_teardown(speed, setup, teardown),
	};

	return RUN_TESTS(tests);
}
