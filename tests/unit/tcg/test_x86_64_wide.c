/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64/mem.c and slow.c: loads that wander, which look into the wide table.
 */
#include "support/test.h"

#include <string.h>

#include "mem/tlb.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

static struct ir_block block;

#define SLOT 7

/* r0 <- [r3 + r5], or back; wandering, in user mode. Returns how often C was asked. */
static unsigned access_at(gva_t va, bool write)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_G(5), .scale = 1, .addr_bits = 64, .slot = SLOT, .wander = true };
	unsigned before = fx.slow;

	fx_begin(&block);
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	if (write)
		ir_emit(&block, IR_MOV, IR_I64, ir_mem(&block, &m), IR_G(0), IR_NONE);
	else
		ir_emit(&block, IR_MOV, IR_I64, IR_G(0), ir_mem(&block, &m), IR_NONE);
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx.env->greg[3] = va;
	fx.env->greg[5] = 0;
	fx.env->l0_budget[SLOT] = 100;
	fx_run(&backend_native, &block);
	return fx.slow - before;
}

static void drop_level1(void)
{
	memset(fx.env->tlb.l1, 0xff, sizeof(fx.env->tlb.l1));
}

static struct tlb_wide_entry *wide_entry(gva_t va)
{
	return &fx.env->tlb.wide[va / GUEST_PAGE_SIZE % TLB_WIDE_FIRST];
}

static struct tlb_entry *large(void)
{
	struct tlb_entry *e = &fx.env->tlb.l1[0][FX_BASE >> 21 & (TLB_L1_LARGE - 1)];

	e->tag[0] = e->tag[1] = FX_BASE | FX_CTX;
	e->disp = (uint64_t)(uintptr_t)fx.mem - FX_BASE;
	return e;
}

static void set_word(gva_t va, uint64_t value)
{
	memcpy(fx.mem + (va - FX_BASE), &value, sizeof(value));
}

static void what_level1_knows_enters(void **state)
{
	const gva_t va = FX_BASE + 3 * GUEST_PAGE_SIZE, other = va + TLB_WIDE_FIRST * GUEST_PAGE_SIZE;

	(void)state;
	set_word(va + 16, 1234);
	large();
	for (unsigned n = 0; n < 3; n++) {
		fx.env->greg[0] = 0;
		assert_int_equal(access_at(va + 16, false), 0);
		assert_int_equal(fx.env->greg[0], 1234);
		assert_int_equal(wide_entry(va)->tag, va | FX_CTX);
		assert_int_equal(wide_entry(va)->disp, (uintptr_t)fx.mem - FX_BASE);
		assert_int_equal(fx.env->tlb.wide_turn, FX_WIDE_TURN - 1); /* one miss, then hits */
		drop_level1();
	}
	assert_int_equal(fx.env->tlb.l0_live[0][0], 0); /* the slot is nobody's */
	assert_int_equal(access_at(va + 16, true), 1); /* stores look into level 1 */
	drop_level1();
	wide_entry(va)->tag = other | FX_CTX;
	assert_int_equal(access_at(va + 16, false), 1);
	drop_level1();
	wide_entry(va)->tag = va | (FX_CTX + 1);
	assert_int_equal(access_at(va + 16, false), 1);
}

/* The last byte in the next page: a miss, whatever is known of both. */
static void page_crossing_misses(void **state)
{
	const gva_t va = FX_BASE + 3 * GUEST_PAGE_SIZE;

	(void)state;
	large();
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE - 8, false), 0);
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE, false), 0);
	drop_level1();
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE - 8, false), 0);
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE, false), 0);
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE - 7, false), 1);
}

static void what_level1_does_not_know_is_for_c(void **state)
{
	const gva_t va = FX_BASE + FX_PAGE_GLOBAL * GUEST_PAGE_SIZE;

	(void)state;
	assert_int_equal(access_at(va, false), 1);
	assert_int_equal(access_at(va, false), 1); /* user mode has no global pages */
	assert_int_equal(wide_entry(va)->tag, 0);
}

/* The count of misses runs out: C is asked, though level 1 knows, until it begins again. */
static void misses_are_counted(void **state)
{
	(void)state;
	large();
	for (unsigned n = 1; n <= 2 * FX_WIDE_TURN; n++) {
		gva_t va = FX_BASE + n % 2 * GUEST_PAGE_SIZE;

		wide_entry(va)->tag = 0;
		assert_int_equal(access_at(va, false), n % FX_WIDE_TURN == 0);
		large();
	}
	fx.env->tlb.wide_turn = 0; /* C was asked, but had a fault to raise */
	wide_entry(FX_BASE)->tag = 0;
	assert_int_equal(access_at(FX_BASE, false), 1);
}

static void longer_tables(void **state)
{
	static struct tlb_wide_entry table[4 * TLB_WIDE_FIRST];
	const gva_t va = FX_BASE + 5 * GUEST_PAGE_SIZE;

	(void)state;
	fx.env->tlb.wide = table;
	fx.env->tlb.wide_mask = sizeof(table) - sizeof(table[0]);
	set_word(va, 77);
	large();
	assert_int_equal(access_at(va, false), 0);
	drop_level1();
	assert_int_equal(access_at(va, false), 0);
	assert_int_equal(fx.env->greg[0], 77);
	assert_int_equal(table[va / GUEST_PAGE_SIZE % (4 * TLB_WIDE_FIRST)].tag, va | FX_CTX);
}

static int reset(void **state)
{
	(void)state;
	fx_reset_state(1);
	memset(fx.env->tlb.wide_first, 0, sizeof(fx.env->tlb.wide_first));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_level1_knows_enters, reset),
		cmocka_unit_test_setup(page_crossing_misses, reset),
		cmocka_unit_test_setup(what_level1_does_not_know_is_for_c, reset),
		cmocka_unit_test_setup(misses_are_counted, reset),
		cmocka_unit_test_setup(longer_tables, reset),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
