/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64: the image of the stack FPU in env is what is in the unit whenever C has asked for it, however little was done to get it.
 */
#include "support/test.h"

#include <string.h>

#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

static struct ir_block block;

/* Registers in use, by the image. */
static unsigned depth(void)
{
	backend_native.fpu_save(fx.env);
	return (unsigned)__builtin_popcount(fx.env->fpu_image[4]);
}

static void begin(void)
{
	fx_reset_state(5);
	memset(fx.env->fpu_image, 0, sizeof(fx.env->fpu_image));
	fx.env->fpu_image[0] = 0x7f;
	fx.env->fpu_image[1] = 0x03;
	backend_native.fpu_load(fx.env);
	assert_int_equal(depth(), 0);
	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
}

static void fld1(void)
{
	ir_emit(&block, IR_FPU, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm2 = (int64_t)(0xd9ull << 16 | 0xe8ull << 24 | 1ull << 41);
}

static void run(void)
{
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx_run(&backend_native, &block);
}

/* A runtime routine that asks for the image: how many registers are in use goes to register d. */
static void ask(unsigned d)
{
	ir_emit(&block, IR_RT, IR_I64, IR_G(d), IR_NONE, IR_NONE)->imm = FX_RT_FPU;
}

static void each_block_makes_the_image_old(void **state)
{
	(void)state;
	begin();
	fld1();
	run();
	assert_int_equal(depth(), 1);
	fx_run(&backend_native, &block);
	assert_int_equal(depth(), 2);
}

static void so_does_what_follows_a_runtime_routine(void **state)
{
	(void)state;
	begin();
	fld1();
	ask(0);
	fld1();
	ask(1);
	fld1();
	run();
	assert_int_equal(fx.env->greg[0], 1);
	assert_int_equal(fx.env->greg[1], 2);
	assert_int_equal(depth(), 3);
}

static void so_does_what_follows_a_label(void **state)
{
	(void)state;
	for (unsigned taken = 0; taken < 2; taken++) {
		unsigned label;

		begin();
		label = ir_label(&block);
		ir_emit(&block, IR_BRZ, IR_I64, IR_NONE, IR_G(1), IR_NONE)->imm = label;
		fld1();
		ir_emit(&block, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = label;
		fld1();
		fx.env->greg[1] = !taken;
		run();
		assert_int_equal(depth(), 2 - taken);
	}
}

/* Two accesses share a check; the copy of all in between is what runs if it fails. */
static void so_does_the_copy_behind_a_shared_check(void **state)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 3 };

	(void)state;
	for (unsigned hit = 0; hit < 2; hit++) {
		fx.keep_tlb = hit;
		begin();
		ir_emit(&block, IR_MOV, IR_I64, IR_G(5), ir_mem(&block, &m), IR_NONE);
		fld1();
		m.disp = 8;
		ir_emit(&block, IR_MOV, IR_I64, IR_G(6), ir_mem(&block, &m), IR_NONE);
		m.disp = 0;
		fx.env->greg[3] = FX_BASE + 64;
		run();
		assert_memory_equal(&fx.env->greg[6], fx.mem + 72, 8);
		assert_int_equal(depth(), 1);
	}
	fx.keep_tlb = false;
}

static void loading_and_the_environments_instructions_make_it_old(void **state)
{
	uint8_t area[108];

	(void)state;
	begin();
	fld1();
	run();
	assert_int_equal(depth(), 1);
	backend_native.fpu_store(fx.env, area, true); /* FNSAVE: and nothing is in use */
	assert_int_equal(depth(), 0);
	backend_native.fpu_fetch(fx.env, area, true);
	assert_int_equal(depth(), 1);
	fx.env->fpu_image[4] = 0;
	fx.env->fpu_image[0] = 0x3f; /* bit 6 of the control word is 1 always */
	backend_native.fpu_load(fx.env);
	assert_int_equal(depth(), 0);
	assert_int_equal(fx.env->fpu_image[0], 0x7f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_block_makes_the_image_old),
		cmocka_unit_test(so_does_what_follows_a_runtime_routine),
		cmocka_unit_test(so_does_what_follows_a_label),
		cmocka_unit_test(so_does_the_copy_behind_a_shared_check),
		cmocka_unit_test(loading_and_the_environments_instructions_make_it_old),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
