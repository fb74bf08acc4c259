/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/opt/places.c: which level-0 slot a memory operand gets, by what its base register holds when the block is translated.
 */
#include "support/test.h"

#include "mem/tlb_layout.h"
#include "tcg/env.h"
#include "tcg/opt/opt.h"

#define SP 0xffffc900003efe00ull
#define ON_STACK (SP + 0x38)
#define HEAP 0xffff888004f2d000ull
#define PC 0xffffffff81319b70ull
#define STATIC 0xffffffff82b32000ull

static struct ir_block *b;
static uint64_t greg[TCG_NR_GREG];

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

static void begin(void)
{
	ir_reset(b);
	b->pc = PC;
	for (unsigned n = 0; n < TCG_NR_GREG; n++)
		greg[n] = HEAP + n * 256;
	greg[TLB_SLOT_STACK] = SP;
}

/* A load off a register, into the last one; the number of its operand. */
static unsigned load(unsigned base)
{
	struct ir_mem m = { .base = IR_G(base), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = (uint8_t)base, .disp = 8 };

	ir_emit(b, IR_MOV, IR_I64, IR_G(15), ir_mem(b, &m), IR_NONE);
	return b->nr_mems - 1;
}

static unsigned slot(unsigned mem)
{
	return b->mem[mem].slot;
}

static void each_place_has_its_slots(void **state)
{
	unsigned stack, image, heap, sp;

	(void)state;
	begin();
	greg[7] = ON_STACK;
	greg[6] = STATIC;
	stack = load(7);
	image = load(6);
	heap = load(5);
	sp = load(TLB_SLOT_STACK);
	opt_places(b, greg);
	assert_int_equal(slot(heap), 5);
	assert_int_equal(slot(sp), TLB_SLOT_STACK);
	assert_in_range(slot(stack), TLB_SLOT_POOL, TLB_L0_SLOTS - 1);
	assert_in_range(slot(image), TLB_SLOT_POOL, TLB_L0_SLOTS - 1);
	assert_int_not_equal(slot(stack), slot(image));
}

/* The same place off the same register: one slot. Off another register: another. */
static void registers_stay_apart(void **state)
{
	unsigned one, again, other;

	(void)state;
	begin();
	greg[7] = ON_STACK;
	greg[3] = ON_STACK + 64;
	one = load(7);
	again = load(7);
	other = load(3);
	opt_places(b, greg);
	assert_int_equal(slot(one), slot(again));
	assert_int_not_equal(slot(one), slot(other));
}

static void what_a_block_computes_is_followed(void **state)
{
	struct ir_mem lea = { .base = IR_G(TLB_SLOT_STACK), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = TLB_SLOT_STACK, .disp = 0x20 };
	unsigned copy, address, sum, constant, gone;

	(void)state;
	begin();
	ir_emit(b, IR_LEA, IR_I64, IR_G(1), ir_mem(b, &lea), IR_NONE);
	address = load(1);
	ir_emit(b, IR_MOV, IR_I64, IR_G(2), IR_G(1), IR_NONE);
	copy = load(2);
	ir_emit_k(b, IR_ADD, IR_I64, IR_G(2), IR_G(2), 16);
	sum = load(2);
	ir_emit_k(b, IR_MOV, IR_I64, IR_G(3), IR_NONE, (int64_t)STATIC);
	constant = load(3);
	ir_emit_k(b, IR_SUB, IR_I64, IR_G(2), IR_G(2), (int64_t)(SP - HEAP));
	gone = load(2);
	opt_places(b, greg);
	assert_int_equal(slot(address), TLB_SLOT_POOL + 1);
	assert_int_equal(slot(copy), TLB_SLOT_POOL + 2);
	assert_int_equal(slot(sum), TLB_SLOT_POOL + 2);
	assert_int_equal(slot(constant), TLB_SLOT_POOL + TCG_NR_GREG + 3);
	assert_int_equal(slot(gone), 2);
}

static void what_is_loaded_or_narrow_is_not_known(void **state)
{
	unsigned loaded, narrow, behind;

	(void)state;
	begin();
	greg[15] = greg[1] = greg[3] = ON_STACK;
	load(5); /* into 15 */
	loaded = load(15);
	ir_emit(b, IR_MOV, IR_I32, IR_G(1), IR_G(3), IR_NONE);
	narrow = load(1);
	ir_emit(b, IR_LABEL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = ir_label(b);
	behind = load(3); /* who jumps here may hold anything */
	opt_places(b, greg);
	assert_int_equal(slot(loaded), 15);
	assert_int_equal(slot(narrow), 1);
	assert_int_equal(slot(behind), 3);
}

static void other_slots_stay(void **state)
{
	struct ir_mem m = { .base = IR_G(7), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = TLB_SLOT_SEG1 };

	(void)state;
	begin();
	greg[7] = ON_STACK;
	ir_emit(b, IR_MOV, IR_I64, ir_mem(b, &m), IR_G(0), IR_NONE);
	opt_places(b, greg);
	assert_int_equal(slot(0), TLB_SLOT_SEG1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_place_has_its_slots),
		cmocka_unit_test(registers_stay_apart),
		cmocka_unit_test(what_a_block_computes_is_followed),
		cmocka_unit_test(what_is_loaded_or_narrow_is_not_known),
		cmocka_unit_test(other_slots_stay),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
