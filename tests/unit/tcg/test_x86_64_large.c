/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/x86_64/slow.c: accesses that find nothing under their page's number, but a large page around it.
 */
#include "support/test.h"

#include <string.h>

#include "mem/tlb.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/x86_64_fixture.h"

static struct ir_block block;

#define SLOT 7

/* r0 <- [r3], or [r3] <- r0; level 0 is empty. Returns how often C was asked. */
static unsigned access_at(gva_t va, bool write, unsigned mode)
{
	struct ir_mem m = { .base = IR_G(3), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = SLOT };
	unsigned before = fx.slow;

	fx_begin(&block);
	block.mmu_mode = mode;
	ir_emit(&block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = FX_PC;
	if (write)
		ir_emit(&block, IR_MOV, IR_I64, ir_mem(&block, &m), IR_G(0), IR_NONE);
	else
		ir_emit(&block, IR_MOV, IR_I64, IR_G(0), ir_mem(&block, &m), IR_NONE);
	ir_emit(&block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_LOOKUP;
	opt_liveness(&block);
	fx.env->greg[3] = va;
	fx.env->l0_budget[SLOT] = 100;
	fx_run(&backend_native, &block);
	memset(fx.env->l0[mode], 0, sizeof(fx.env->l0[mode]));
	return fx.slow - before;
}

static struct tlb_entry *page_entry(gva_t va, unsigned mode)
{
	return &fx.env->tlb.l1[mode][TLB_L1_LARGE + (va >> GUEST_PAGE_BITS & (TLB_L1_SIZE - 1))];
}

/* The region of the fixture's memory, in one piece. */
static struct tlb_entry *large(unsigned mode, unsigned ctx, bool writable)
{
	struct tlb_entry *e = &fx.env->tlb.l1[mode][FX_BASE >> 21 & (TLB_L1_LARGE - 1)];

	memset(fx.env->tlb.l1_any, 0, sizeof(fx.env->tlb.l1_any));
	memset(fx.env->tlb.l1_write, 0, sizeof(fx.env->tlb.l1_write));
	e->tag[0] = FX_BASE | ctx;
	e->tag[1] = writable ? e->tag[0] : TLB_TAG_INVALID;
	e->disp = (uint64_t)(uintptr_t)fx.mem - FX_BASE;
	e->lo = FX_BASE;
	e->span = 2u << 20;
	e->wlo = writable ? FX_BASE : TLB_TAG_INVALID;
	e->wspan = writable ? 2u << 20 : 0;
	fx.env->tlb.l1_turn = TLB_L1_TURN;
	return e;
}

static uint64_t *word(gva_t va)
{
	return (uint64_t *)(void *)(fx.mem + (va - FX_BASE));
}

static void check_accesses(unsigned mode)
{
	for (unsigned n = 0; n < 40; n++) {
		gva_t va = FX_BASE + n % FX_PAGES * GUEST_PAGE_SIZE + 8 * n;

		*word(va) = n + 1000;
		assert_int_equal(access_at(va, false, mode), 0);
		assert_int_equal(fx.env->greg[0], n + 1000);
		fx.env->greg[0] = n + 2000;
		assert_int_equal(access_at(va + 8, true, mode), 0);
		assert_int_equal(*word(va + 8), n + 2000);
	}
	/* From page to page within it, too. */
	assert_int_equal(access_at(FX_BASE + 2 * GUEST_PAGE_SIZE - 3, false, mode), 0);
}

static void large_page_serves_its_pages(void **state)
{
	(void)state;
	large(0, FX_CTX, true);
	check_accesses(0);
}

static void global_and_other_spaces(void **state)
{
	(void)state;
	large(1, 0, true);
	check_accesses(1);
	large(1, FX_CTX, true);
	check_accesses(1);
	large(1, FX_CTX + 1, true);
	memset(page_entry(FX_BASE + GUEST_PAGE_SIZE, 1), 0xff, sizeof(struct tlb_entry));
	assert_int_equal(access_at(FX_BASE + GUEST_PAGE_SIZE, false, 1), 1);
}

static void once_in_a_while_a_page_gets_its_entry(void **state)
{
	const gva_t va = FX_BASE + 4 * GUEST_PAGE_SIZE;
	const unsigned index = TLB_L1_LARGE + (va >> GUEST_PAGE_BITS & (TLB_L1_SIZE - 1));
	struct tlb_entry *l = large(2, FX_CTX, true), *e = page_entry(va, 2);

	(void)state;
	for (unsigned n = 0; n < TLB_L1_TURN; n++) {
		assert_int_equal(e->tag[0], TLB_TAG_INVALID);
		assert_int_equal(access_at(va + 16, n & 1, 2), 0);
	}
	assert_int_equal(e->tag[0], va | FX_CTX);
	assert_int_equal(e->tag[1], va | FX_CTX);
	assert_true(e->disp == l->disp && e->lo == l->lo && e->span == l->span && e->wlo == l->wlo && e->wspan == l->wspan);
	for (unsigned w = 0; w < TLB_L1_WORDS; w++) { /* where a flush and a revocation find it */
		assert_int_equal(fx.env->tlb.l1_any[2][w], w == index / 64 ? 1ull << index % 64 : 0);
		assert_int_equal(fx.env->tlb.l1_write[2][w], w == index / 64 ? 1ull << index % 64 : 0);
	}
	l->tag[0] = l->tag[1] = TLB_TAG_INVALID;
	assert_int_equal(access_at(va, false, 2), 0);
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE, false, 2), 1);
}

/* A page of it is code, or it is not dirty: every store is C's. */
static void what_may_only_be_read_is_not_written(void **state)
{
	const gva_t va = FX_BASE + 7 * GUEST_PAGE_SIZE;

	(void)state;
	large(0, FX_CTX, false);
	fx.env->tlb.l1_turn = 1;
	assert_int_equal(access_at(va, false, 0), 0);
	assert_int_equal(page_entry(va, 0)->tag[0], va | FX_CTX);
	assert_int_equal(page_entry(va, 0)->tag[1], TLB_TAG_INVALID);
	for (unsigned w = 0; w < TLB_L1_WORDS; w++)
		assert_int_equal(fx.env->tlb.l1_write[0][w], 0);
	assert_int_equal(access_at(va, true, 0), 1);
	assert_int_equal(access_at(va + GUEST_PAGE_SIZE, true, 0), 1);
}

static int reset(void **state)
{
	(void)state;
	fx_reset_state(1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(large_page_serves_its_pages, reset),
		cmocka_unit_test_setup(global_and_other_spaces, reset),
		cmocka_unit_test_setup(once_in_a_while_a_page_gets_its_entry, reset),
		cmocka_unit_test_setup(what_may_only_be_read_is_not_written, reset),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
