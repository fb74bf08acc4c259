/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/backend/interp and src/tcg/opt: random blocks, optimized and interpreted, against the plain evaluator of
 * ir_fuzz.c; then the engine's protocol: chaining, killing, the jump cache, polls, unwinding.
 */
#include "support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "mem/tlb.h"
#include "tcg/backend.h"
#include "tcg/guest.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/ir_fuzz.h"

/* ---- A guest memory of one buffer, through the same calls as the real one */

static uint8_t *memory;
static bool use_bounce; /* the slow path hands out the bounce buffer, as for MMIO */
static unsigned slow_calls;
static bool fault_next;

void *tlb_access_slow(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode,
		      unsigned slot, bool align)
{
	unsigned kind = slot == TLB_SLOT_STACK || access != TLB_READ;
	struct tlb_slot *s = &env->l0[mode][kind][slot];
	uint64_t off = (va - FUZZ_BASE) % (FUZZ_SIZE - 16);

	(void)align;
	slow_calls++;
	if (fault_next) {
		fault_next = false;
		backend_interp.unwind(env);
	}
	env->bounce_kind = TLB_BOUNCE_NONE;
	if (use_bounce) {
		memcpy(env->bounce, memory + off, size);
		env->bounce_kind = access == TLB_READ ? TLB_BOUNCE_NONE : TLB_BOUNCE_MMIO;
		env->bounce_addr = off;
		env->bounce_size = size;
		return env->bounce;
	}
	if (va >= FUZZ_BASE && va < FUZZ_BASE + FUZZ_SIZE - 16) {
		s->lo = FUZZ_BASE;
		s->disp = (uint64_t)(uintptr_t)memory - FUZZ_BASE;
		for (unsigned n = 0; n < TLB_L0_SIZES; n++)
			s->lim[n] = FUZZ_SIZE - 16 - (1u << n) + 1;
	}
	return memory + off;
}

/* No operation here has a partial operand. */
void *tlb_access_partial(struct tcg_env *env, gva_t va, unsigned size, uint64_t which, enum tlb_access access, unsigned mode,
			 bool align)
{
	(void)which;
	return tlb_access_slow(env, va, size, access, mode, 0, align);
}

void tlb_commit(struct tcg_env *env)
{
	memcpy(memory + env->bounce_addr, env->bounce, env->bounce_size);
	env->bounce_kind = TLB_BOUNCE_NONE;
}

/* ---- Fixture */

static struct tcg_env *env;
static struct ir_block *block;
static uint8_t *code;
static struct backend_code *out;
static unsigned traps;

#define CODE_SIZE (1u << 20)

static void trap(struct tcg_env *e, enum guest_trap what)
{
	assert_int_equal(what, GUEST_TRAP_DIVIDE);
	traps++;
	backend_interp.unwind(e);
}

static void run_trap(struct tcg_env *e, enum guest_trap what) __attribute__((noreturn));
static void run_trap(struct tcg_env *e, enum guest_trap what)
{
	trap(e, what);
	abort();
}

static const struct guest_isa isa = {.name = "test", .trap = run_trap};

static void slots_clear(void)
{
	for (unsigned m = 0; m < TLB_NR_MODES; m++)
		for (unsigned k = 0; k < 2; k++)
			for (unsigned n = 0; n < TLB_L0_SLOTS; n++)
				env->l0[m][k][n] = (struct tlb_slot){.lo = TLB_SLOT_INVALID_LO};
}

static int setup(void **state)
{
	(void)state;
	env = aligned_alloc(64, (sizeof(*env) + 63) & ~(size_t)63);
	block = calloc(1, sizeof(*block));
	code = aligned_alloc(64, CODE_SIZE);
	out = calloc(1, sizeof(*out));
	if (!env || !block || !code || !out)
		return -1;
	memset(env, 0, sizeof(*env));
	memset(env->jc_tag, 0xff, sizeof(env->jc_tag));
	memset(env->jx, 0xff, sizeof(env->jx));
	env->mxcsr = 0x1f80;
	slots_clear();
	use_bounce = fault_next = false;
	traps = 0;
	return backend_interp.init(&isa, NULL, NULL, 0, NULL) < 0;
}

static int teardown(void **state)
{
	(void)state;
	free(env);
	free(block);
	free(code);
	free(out);
	return 0;
}

static void print_line(void *opaque, const char *text)
{
	(void)opaque;
	print_error("  %s\n", text);
}

static void run_state(struct fuzz_state *s)
{
	memcpy(env->greg, s->greg, sizeof(s->greg));
	memcpy(env->vreg, s->vreg, sizeof(s->vreg));
	env->flags = s->flags;
	memory = s->mem;
	slots_clear();
	backend_interp.run(env, code);
	memcpy(s->greg, env->greg, sizeof(s->greg));
	memcpy(s->vreg, env->vreg, sizeof(s->vreg));
	s->flags = (uint32_t)env->flags;
	s->pc = env->pc;
}

static void fuzz(uint64_t first, unsigned count, unsigned length)
{
	static struct fuzz_state want, got;

	for (uint64_t n = first; n < first + count; n++) {
		const char *bad;
		unsigned where;

		ir_fuzz_block(block, n, length);
		bad = ir_verify(block, &where);
		if (bad) {
			print_error("seed %llu: insn %u: %s\n", (unsigned long long)n, where, bad);
			ir_print(block, print_line, NULL);
			fail();
		}
		ir_fuzz_state(&want, n);
		got = want;
		ir_fuzz_reference(block, &want, env);
		opt_run(block);
		bad = ir_verify(block, &where);
		assert_null(bad);
		assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
		run_state(&got);
		bad = ir_fuzz_compare(&want, &got);
		if (bad) {
			print_error("seed %llu: %s\n", (unsigned long long)n, bad);
			ir_print(block, print_line, NULL);
			fail();
		}
	}
}

static void random_blocks_compute_what_the_reference_computes(void **state)
{
	(void)state;
	fuzz(1, 20000, 12);
	fuzz(1000000, 3000, 100);
}

static void random_blocks_work_through_bounce_buffers(void **state)
{
	(void)state;
	use_bounce = true;
	fuzz(2000000, 3000, 20);
}

/* ---- Protocol */

static struct ir_insn *emit_insn(gva_t pc)
{
	struct ir_insn *i = ir_emit(block, IR_INSN, IR_I64, IR_NONE, IR_NONE, IR_NONE);

	i->imm = (int64_t)pc;
	return i;
}

/* g0 += add; jmp to. */
static void simple_block(uint8_t *at, gva_t pc, int64_t add, gva_t to)
{
	ir_reset(block);
	block->pc = pc;
	emit_insn(pc);
	ir_emit_k(block, IR_ADD, IR_I64, IR_G(0), IR_G(0), add);
	ir_emit(block, IR_JMP, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = (int64_t)to;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, (struct tb *)at, at, at, CODE_SIZE / 4, out), BACKEND_OK);
}

static void exits_chain_unchain_and_die(void **state)
{
	uint8_t *one = code, *two = code + CODE_SIZE / 4;
	struct backend_exit exit1;

	(void)state;
	simple_block(two, 0x2000, 10, 0x3000);
	simple_block(one, 0x1000, 1, 0x2000);
	assert_int_equal(out->nr_exits, 1);
	exit1 = out->exit[0];
	assert_int_equal(exit1.pc, 0x2000);

	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_CHAIN);
	assert_ptr_equal(env->exit_tb, one);
	assert_int_equal(env->exit_index, 0);
	assert_int_equal(env->pc, 0x2000);
	assert_int_equal(env->greg[0], 1);

	backend_interp.patch_exit(one, one, &exit1, two);
	backend_interp.run(env, one);
	assert_ptr_equal(env->exit_tb, two);
	assert_int_equal(env->pc, 0x3000);
	assert_int_equal(env->greg[0], 12);

	backend_interp.kill_entry(two, two);
	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(env->pc, 0x2000);
	assert_int_equal(env->greg[0], 13);

	backend_interp.unpatch_exit(one, one, &exit1);
	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_CHAIN);
}

static void indirect_jumps_use_the_jump_cache_and_poll(void **state)
{
	uint8_t *one = code, *two = code + CODE_SIZE / 4;

	(void)state;
	simple_block(two, 0x2000, 10, 0x3000);
	ir_reset(block);
	block->pc = 0x1000;
	emit_insn(0x1000);
	ir_emit(block, IR_JMPIND, IR_I64, IR_NONE, IR_G(3), IR_NONE);
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, one, one, CODE_SIZE / 4, out), BACKEND_OK);
	env->greg[3] = 0x2000;
	env->jc_salt = 5ull << 48;
	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(env->pc, 0x2000);
	env->jc_tag[0x2000] = 0x2000 + env->jc_salt;
	env->jc_code[0x2000] = two;
	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_CHAIN);
	assert_int_equal(env->greg[0], 10);
	env->request = 1;
	backend_interp.run(env, one);
	assert_int_equal(env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(env->greg[0], 10);
}

/* A loop on itself ends when somebody asks. */
static void a_poll_leaves_at_its_pc(void **state)
{
	(void)state;
	ir_reset(block);
	block->pc = 0x1000;
	emit_insn(0x1000);
	ir_emit(block, IR_POLL, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = 0x1234;
	ir_emit(block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_EVENT;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
	backend_interp.run(env, code);
	assert_int_equal(env->exit_code, TCG_EXIT_EVENT);
	env->request = 1;
	backend_interp.run(env, code);
	assert_int_equal(env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(env->pc, 0x1234);
}

static void a_value_that_does_not_fit_leaves_at_its_instruction(void **state)
{
	static const struct {
		uint64_t value;
		bool fits;
	} rows[] = { { 0x7fffffffffff, true }, { 0xffff800000000000, true }, { 0, true }, { ~0ull, true }, { 0x800000000000, false },
		     { 0xffff7fffffffffff, false }, { 1ull << 63, false } };

	(void)state;
	ir_reset(block);
	block->pc = 0x1000;
	emit_insn(0x1007);
	ir_emit(block, IR_FITS, IR_I64, IR_NONE, IR_G(3), IR_NONE)->imm = 48;
	ir_emit(block, IR_EXIT, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = TCG_EXIT_EVENT;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
	for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
		env->greg[3] = rows[n].value;
		env->pc = 0;
		backend_interp.run(env, code);
		assert_int_equal(env->exit_code, rows[n].fits ? TCG_EXIT_EVENT : TCG_EXIT_ALONE);
		assert_int_equal(env->pc, 0x1007);
	}
}

static void faults_unwind_with_the_state_in_front_of_the_instruction(void **state)
{
	static struct fuzz_state s;
	struct ir_mem m = {.base = IR_G(6), .index = IR_NONE, .scale = 1, .addr_bits = 64, .slot = 6};
	struct ir_insn *i;

	(void)state;
	ir_reset(block);
	block->pc = 0x1000;
	emit_insn(0x1000);
	ir_emit_k(block, IR_MOV, IR_I64, IR_G(0), IR_NONE, 77);
	emit_insn(0x1007);
	i = ir_emit(block, IR_ADD, IR_I32, IR_G(0), IR_G(0), ir_mem(block, &m));
	i->attr |= IR_SETF;
	ir_emit(block, IR_JMP, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = 0x2000;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
	ir_fuzz_state(&s, 1);
	fault_next = true;
	run_state(&s);
	assert_int_equal(env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(env->pc, 0x1007);
	assert_int_equal(env->greg[0], 77);
}

static void division_by_zero_traps(void **state)
{
	struct ir_insn *i;

	(void)state;
	ir_reset(block);
	block->pc = 0x1000;
	emit_insn(0x1000);
	i = ir_emit(block, IR_DIVU, IR_I32, IR_G(0), IR_NONE, IR_G(1));
	i->c = IR_G(2);
	ir_emit(block, IR_JMP, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = 0x2000;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
	env->greg[0] = 100;
	env->greg[1] = 7;
	backend_interp.run(env, code);
	assert_int_equal(env->greg[0], 14);
	assert_int_equal(env->greg[2], 2);
	assert_int_equal(traps, 0);
	env->greg[1] = 0;
	backend_interp.run(env, code);
	assert_int_equal(traps, 1);
	assert_int_equal(env->exit_code, TCG_EXIT_EVENT);
	assert_int_equal(env->greg[0], 14);
}

/* The second instruction of a block is not executed when a store of the first has killed it. */
static uint64_t kill_self(struct tcg_env *e, uint64_t a, uint64_t b, uint64_t c)
{
	(void)e;
	(void)a;
	(void)b;
	(void)c;
	backend_interp.kill_entry(code, code);
	return 0;
}

static void a_block_that_kills_itself_stops_at_the_next_instruction(void **state)
{
	static const struct ir_rt rt[] = {{"kill", kill_self, RT_FAULTS}};

	(void)state;
	ir_reset(block);
	block->rt = rt;
	block->nr_rt = 1;
	block->pc = 0x1000;
	emit_insn(0x1000);
	ir_emit(block, IR_RT, IR_I64, IR_NONE, IR_NONE, IR_NONE);
	emit_insn(0x1003);
	ir_emit_k(block, IR_MOV, IR_I64, IR_G(0), IR_NONE, 1);
	ir_emit(block, IR_JMP, IR_I64, IR_NONE, IR_NONE, IR_NONE)->imm = 0x2000;
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, CODE_SIZE, out), BACKEND_OK);
	backend_interp.run(env, code);
	assert_int_equal(env->exit_code, TCG_EXIT_LOOKUP);
	assert_int_equal(env->pc, 0x1003);
	assert_int_equal(env->greg[0], 0);
}

static void small_buffers_are_refused(void **state)
{
	(void)state;
	ir_fuzz_block(block, 5, 40);
	opt_run(block);
	assert_int_equal(backend_interp.compile(block, NULL, code, code, 64, out), BACKEND_NO_ROOM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_blocks_compute_what_the_reference_computes, setup, teardown),
		cmocka_unit_test_setup_teardown(random_blocks_work_through_bounce_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(exits_chain_unchain_and_die, setup, teardown),
		cmocka_unit_test_setup_teardown(indirect_jumps_use_the_jump_cache_and_poll, setup, teardown),
		cmocka_unit_test_setup_teardown(a_poll_leaves_at_its_pc, setup, teardown),
		cmocka_unit_test_setup_teardown(a_value_that_does_not_fit_leaves_at_its_instruction, setup, teardown),
		cmocka_unit_test_setup_teardown(faults_unwind_with_the_state_in_front_of_the_instruction, setup,
						teardown),
		cmocka_unit_test_setup_teardown(division_by_zero_traps, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_that_kills_itself_stops_at_the_next_instruction, setup,
						teardown),
		cmocka_unit_test_setup_teardown(small_buffers_are_refused, setup, teardown),
	};

	return RUN_TESTS(tests);
}
