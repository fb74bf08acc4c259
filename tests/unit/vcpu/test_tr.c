/* SPDX-License-Identifier: MIT */
/*
 * Translation of single instructions and small blocks: the IR's shape. A case gives mode, bytes, and lines of the listing
 * that must appear in that order; every block must pass the verifier.
 */

#include "unit/vcpu/tr_fixture.h"

static struct tr_fixture f;

static int set_up(void **state)
{
	(void)state;
	return tr_fixture_init(&f);
}

static int tear_down(void **state)
{
	(void)state;
	tr_fixture_fini(&f);
	return 0;
}

#define M64 (X86_MODE_64 | X86_TB_PE | X86_TB_LMA | X86_TB_OSFXSR | X86_TB_IOPL)
#define M64U (M64 | 3 << X86_TB_CPL_SHIFT)
#define M32 (X86_MODE_32 | X86_TB_PE | X86_TB_SS32 | X86_TB_OSFXSR | X86_TB_IOPL)
#define REAL (X86_MODE_16 | X86_TB_SEGBASE | X86_TB_IOPL)
#define BYTES(s) (s), sizeof(s) - 1

/*
 * Patterns separated by |: each is words that a line must hold in that order. Slots of the pool (indexed and static
 * accesses) have no number here.
 */
static void expect(uint32_t flags, const char *bytes, size_t len, unsigned max_insns, const char *lines)
{
	const char *bad;

	tr_fixture_translate(&f, flags, 0x401000, bytes, len, max_insns);
	bad = tr_fixture_match(&f, lines);
	if (bad) {
		print_message("missing: %s\nin:\n%s", bad, f.text);
		fail();
	}
}

static void expect_not(const char *word)
{
	if (strstr(f.text, word)) {
		print_message("unexpected: %s\nin:\n%s", word, f.text);
		fail();
	}
}

static void arithmetic_is_one_op_in_every_operand_form(void **state)
{
	(void)state;
	expect(M64, BYTES("\x01\xd8"), 1, "add.i32/f g0, g0, g3|jmp");
	expect(M64, BYTES("\x48\x01\x18"), 1, "add.i64/f [g0 @0], [g0 @0], g3");
	expect(M64, BYTES("\xf0\x48\x01\x18"), 1, "add.i64/f/lock [g0 @0], [g0 @0], g3");
	expect(M64, BYTES("\x48\x03\x5c\x24\x08"), 1, "add.i64/f g3, g3, [g4 + 0x8 @4]");
	expect(M64, BYTES("\x80\xc4\x7f"), 1, "gethi8 t0, g0|add.i8/f t0, t0,|puthi8 g0, t0");
	expect(M64, BYTES("\x48\x83\xec\x10"), 1, "sub.i64/f g4, g4,");
	expect(M64, BYTES("\x66\xff\x00"), 1, "inc.i16/f [g0");
	expect(M64, BYTES("\xf6\xd1"), 1, "not.i8 g1, g1");
	expect(M64, BYTES("\x3b\x05\x10\x00\x00\x00"), 1, "cmp.i32/f g0, [0x401016 @");
}

static void addresses_use_slots_and_segments(void **state)
{
	(void)state;
	expect(M64, BYTES("\x65\x48\x8b\x04\x25\x28\x00\x00\x00"), 1, "mov.i64 g0, [seg + 0x28 @17]");
	expect(M64, BYTES("\x64\x8b\x03"), 1, "mov.i32 g0, [seg g3 @16]");
	expect(M64, BYTES("\x67\x8b\x44\x8b\x04"), 1, "mov.i32 g0, [g3 + g1*4 + 0x4 @ a32]");
	expect(M64, BYTES("\x64\x48\x8d\x43\x01"), 1, "lea.i64 g0, [g3 + 0x1");
	expect_not("seg");
	expect(M32, BYTES("\x8b\x03"), 1, "mov.i32 g0, [g3 @3 a32 lin32]");
	expect(M32 | X86_TB_SEGBASE, BYTES("\x8b\x03"), 1, "mov.i32 g0, [seg g3 @3 a32 lin32]");
	expect(M32 | X86_TB_SEGLIM, BYTES("\x89\x03"), 1, "code_limit|lea.i64 t3|seg_check|mov.i32 [g3");
}

static void stack_access_comes_before_rsp_changes(void **state)
{
	(void)state;
	expect(M64, BYTES("\x50"), 1, "mov.i64 [g4 + -0x8 @4], g0|add.i64 g4, g4, -0x8");
	expect(M64, BYTES("\x54"), 1, "mov.i64 [g4 + -0x8 @4], g4|add.i64 g4, g4, -0x8");
	expect(M64, BYTES("\x5b"), 1, "mov.i64 g3, [g4 @4]|add.i64 g4, g4, 0x8");
	expect(M64, BYTES("\x5c"), 1, "mov.i64 t0, [g4 @4]|add.i64 g4|mov.i64 g4, t0");
	expect(M64, BYTES("\x8f\x44\x24\x08"), 1, "mov.i64 t0, [g4 @4]|mov.i64 [g4 + 0x10 @4], t0|add.i64 g4, g4, 0x8");
	expect(M32, BYTES("\x50"), 1, "mov.i32 [g4 + -0x4 @4 a32 lin32], g0|add.i32 g4");
	expect(REAL, BYTES("\x50"), 1, "mov.i16 [seg g4 + -0x2 @4 a16 lin32], g0|add.i16 g4, g4, -0x2");
	expect(M64, BYTES("\xc9"), 1, "mov.i64 t0, [g5 @5]|add.i64 g4, g5, 0x8|mov.i64 g5, t0");
	expect(M32, BYTES("\x60"), 1, "mov.i32 [g4 + -0x4|mov.i32 [g4 + -0x20|add.i32 g4, g4, -0x20");
	expect(M64, BYTES("\x9c"), 1, "getfl|or.i32|mov.i64 [g4 + -0x8|add.i64 g4");
}

static void forward_branches_are_side_exits_and_backward_ones_poll(void **state)
{
	(void)state;
	expect(M64, BYTES("\x74\x10\x90"), 2, "jcc.z 0x401012|insn 0x401002|jmp 0x401003");
	expect(M64, BYTES("\x90\x74\xfd\x90"), 3, "brcc.nz|poll 0x401000|jmp 0x401000|label|insn 0x401003|jmp 0x401004");
	expect(M64, BYTES("\xeb\xfe"), 9, "poll 0x401000|jmp 0x401000");
	expect(M64, BYTES("\xeb\x10"), 9, "jmp 0x401012");
	expect_not("poll");
	expect(M64, BYTES("\xe8\x10\x00\x00\x00"), 9, "mov.i64 [g4 + -0x8 @4], 0x401005|add.i64 g4|call 0x401015, 0x401005");
	expect(M64, BYTES("\xff\xd0"), 9, "mov.i64 [g4|add.i64 g4|callind.i64 g0, 0x401002");
	expect(M64, BYTES("\xff\x24\xc5\x00\x00\x00\x00"), 9, "mov.i64 t0, [g0*8|jmpind.i64 t0");
	expect(M64, BYTES("\xc2\x10\x00"), 9, "mov.i64 t0, [g4|add.i64 g4, g4, 0x18|ret.i64 t0");
	expect(M64, BYTES("\xe2\x10"), 1, "add.i64 g1, g1, -0x1|brz.i64 g1|jmp|label");
	expect(REAL, BYTES("\xeb\x10"), 1, "ldenv|sub.i32|zx16|add.i32|jmpind");
	expect(REAL, BYTES("\xe8\x10\x00"), 1, "sub.i32|mov.i16 [seg g4 + -0x2|callind");
}

static void single_step_ends_after_one_instruction(void **state)
{
	(void)state;
	expect(M64 | X86_TB_TF, BYTES("\x90\x90"), 9, "insn 0x401000|setpc.i64 0x401001|exit 0x2");
	assert_int_equal(f.ir->guest_insns, 1);
	expect(M64 | X86_TB_SHADOW, BYTES("\x74\x10"), 9,
	       "brcc|setpc.i64 0x401012|exit 0x2|label|setpc.i64 0x401002|exit 0x2");
	expect(M64 | X86_TB_TF, BYTES("\xc3"), 9, "mov.i64 t1, [g4 @4]|add.i64 g4, g4, 0x8|setpc.i64 t1|exit 0x2");
}

static void privileged_and_undefined_instructions_raise(void **state)
{
	(void)state;
	expect(M64U, BYTES("\xf4"), 9, "mov.i64 t0, 0xd|mov.i64 t1, 0x0|raise|exit 0x2");
	expect(M64U, BYTES("\x0f\x0b"), 9, "mov.i64 t0, 0x6|mov.i64 t1, -0x1|raise");
	expect(M64 & ~X86_TB_IOPL, BYTES("\xfa"), 9, "cli"); /* which looks for virtual interrupts */
	expect(M64 | X86_TB_TS, BYTES("\xd9\xe8"), 9, "mov.i64 t0, 0x7|raise");
	expect(M64 | X86_TB_EM, BYTES("\x0f\x58\xc1"), 9, "mov.i64 t0, 0x6|raise");
	expect(M64, BYTES("\x0f\xff\xc0"), 9, "raise");
	expect(M64 & ~X86_TB_OSFXSR, BYTES("\xc2\x08\x00"), 9, "ret.i64");
	expect_not("raise");
	expect(M64, BYTES("\xf4"), 9, "hlt|setpc.i64 0x401001|exit 0x2");
}

static void features_that_are_off_fall_back_or_are_undefined(void **state)
{
	(void)state;
	expect(M64, BYTES("\xf3\x0f\xbc\xc3"), 1, "tzcnt.i32/f g0, g3");
	f.cpu->features[X86_F_BMI1 / 64] &= ~(1ull << X86_F_BMI1 % 64);
	f.cpu->features[X86_F_POPCNT / 64] &= ~(1ull << X86_F_POPCNT % 64);
	expect(M64, BYTES("\xf3\x0f\xbc\xc3"), 1, "bsf.i32/f g0, g3");
	expect(M64, BYTES("\xf3\x0f\xb8\xc3"), 1, "raise");
	memset(f.cpu->features, 0xff, sizeof(f.cpu->features));
}

static uint32_t live_of_last(void)
{
	return f.ir->insn[f.ir->nr_insns - 1].fl_live & F_ALL;
}

static void flags_overwritten_behind_an_exit_are_dead(void **state)
{
	(void)state;
	/* jmp +1; nop; test eax, eax */
	expect(M64, BYTES("\xeb\x01\x90\x85\xc0"), 9, "jmp");
	assert_int_equal(live_of_last(), 0);
	assert_int_equal(f.ir->watch_len, 5);
	assert_int_equal(f.ir->guest_len, 2);
	/* jmp +0; inc eax; jc -> C is read */
	expect(M64, BYTES("\xeb\x00\xff\xc0\x72\x00\x85\xc0"), 9, "jmp");
	assert_int_equal(live_of_last(), F_C);
	/* jmp +0; setz al; cmp */
	expect(M64, BYTES("\xeb\x00\x0f\x94\xc0\x39\xc0"), 9, "jmp");
	assert_int_equal(live_of_last(), F_Z);
	/* ret: unknown */
	expect(M64, BYTES("\xeb\x00\xc3"), 9, "jmp");
	assert_int_equal(live_of_last(), F_ALL);
	/* a target before the block */
	expect(M64, BYTES("\xeb\x80"), 9, "jmp");
	assert_int_equal(live_of_last(), F_ALL);
	/* shl by cl may leave flags alone, shl by 3 not */
	expect(M64, BYTES("\xeb\x00\xd3\xe0\xc3"), 9, "jmp");
	assert_int_equal(live_of_last(), F_ALL);
	expect(M64, BYTES("\xeb\x00\xc1\xe0\x03"), 9, "jmp");
	assert_int_equal(live_of_last(), 0);
}

static void a_block_stays_on_its_page(void **state)
{
	(void)state;
	tr_fixture_translate(&f, M64, 0x401ffe, "\x90\x90\x90", 3, 9);
	assert_int_equal(f.ir->guest_len, 2);
	tr_fixture_translate(&f, M64, 0x401ffe, "\x90\x48\x89\xd8", 4, 9);
	assert_int_equal(f.ir->guest_len, 1);
	tr_fixture_translate(&f, M64, 0x401fff, "\x48\x89\xd8\x90", 4, 9);
	assert_int_equal(f.ir->guest_len, 3);
	assert_int_equal(f.ir->guest_insns, 1);
	assert_null(tr_fixture_match(&f, "mov.i64 g0, g3|jmp 0x402002"));
}

static void exchanges_are_single_ops(void **state)
{
	(void)state;
	expect(M64, BYTES("\x87\x03"), 1, "xchg.i32/lock [g3 @3], g0");
	expect(M64, BYTES("\xf0\x0f\xc1\x03"), 1, "xadd.i32/f/lock [g3 @3], g0");
	expect(M64, BYTES("\xf0\x48\x0f\xb1\x0b"), 1, "cas.i64/f/lock g0, [g3 @3], g1");
	expect(M64, BYTES("\xf0\x0f\xba\x2b\x25"), 1, "bts.i32/f/lock [g3 @3], [g3 @3], 0x5");
	expect(M64, BYTES("\x48\x0f\xab\x03"), 1, "sar.i64|and.i64|lea.i64|add.i64|bts.i64/f [t0 @18], [t0 @18], g0");
	expect(M64, BYTES("\x87\xc0"), 1, "mov.i32 g0, g0");
}

static void multiplication_and_division(void **state)
{
	(void)state;
	expect(M64, BYTES("\xf7\xe3"), 1, "mulu.i32/f g0, g2, g0, g3");
	expect(M64, BYTES("\x48\xf7\x3b"), 1, "divs.i64/f g0, g2, [g3 @3]");
	expect(M64, BYTES("\xf6\xe3"), 1, "imul.i32 t|imul.i32/f t|mov.i16 g0");
	expect(M64, BYTES("\x6b\xc3\x07"), 1, "imul.i32/f g0, g3, 0x7");
	expect(M64, BYTES("\xc1\xe0\x20"), 1, "shl.i32 g0, g0");
}

static void strings(void **state)
{
	(void)state;
	expect(M64, BYTES("\xf3\xa4"), 1, "string|brz|setpc.i64 0x401000|exit 0x2|label");
	expect(M64, BYTES("\xaa"), 1, "mov.i8 [g7 @7], g0|ldenv|sub.i64|add.i64 g7");
	expect(M64, BYTES("\xa6"), 1, "zx8.i32 t0, [g6 @6]|cmp.i8/f t0, [g7 @7]|add.i64 g6|add.i64 g7");
}

static void vectors(void **state)
{
	(void)state;
	expect(M64, BYTES("\x0f\x58\x03"), 1, "vop.v128 v0, v0, [g3 @3 align], 0x0, addps");
	expect(M64, BYTES("\xf2\x0f\x58\x03"), 1, "vop.i64 v0, v0, [g3 @3], 0x0, addsd");
	expect(M64, BYTES("\x0f\x10\x03"), 1, "vmov.v128 v0, [g3 @3]");
	expect(M64, BYTES("\x0f\x29\x03"), 1, "vmov.v128 [g3 @3 align], v0");
	expect(M64, BYTES("\xf3\x0f\x10\x03"), 1, "vmov.i32 v0, [g3 @3]");
	expect(M64, BYTES("\xf3\x0f\x10\xc1"), 1, "vop.i32 v0, v0, v1, 0x0, movss");
	expect(M64, BYTES("\x66\x0f\x72\xf1\x07"), 1, "vop.v128 v1, v1, -, 0x7, pslldi");
	expect(M64, BYTES("\x66\x0f\x70\xc1\x1b"), 1, "vop.v128 v0, -, v1, 0x1b, pshufd");
	expect(M64, BYTES("\x66\x48\x0f\x6e\xc3"), 1, "gtov.i64 v0, -, g3, 0x0, movd");
	expect(M64, BYTES("\x66\x0f\x7e\xc3"), 1, "vtog.i32 g3, v0, 0x0, movd");
	expect(M64, BYTES("\x66\x0f\xd7\xc1"), 1, "vtog.i32 g0, v1, 0x0, pmovmskb");
	expect(M64, BYTES("\xf2\x48\x0f\x2c\x03"), 1, "vmov.i64 vt0, [g3|vtog.i64 g0, vt0, 0x0, cvttsd2si");
	expect(M64, BYTES("\x66\x0f\x2e\xc1"), 1, "vfl.i64/f v0, v1, 0x0, ucomisd");
	expect(M64, BYTES("\x66\x0f\x3a\x63\xc1\x0c"), 1, "vfl.i32/f v0, v1, 0xc, pcmpistri");
	expect(M64, BYTES("\x66\x0f\x17\x03"), 1, "vop.v128 vt0, -, v0, 0xee, pshufd|vmov.i64 [g3 @3], vt0");
	expect(M64, BYTES("\x66\x0f\x3a\x14\x03\x05"), 1, "vtog.i32 t0, v0, 0x5, pextrb|mov.i8 [g3 @3], t0");
}

static void stack_fpu_words_carry_the_encoding(void **state)
{
	(void)state;
	expect(M64, BYTES("\xdd\x03"), 1, "fpu.i64 -, [g3 @3]");
	assert_int_equal(f.ir->insn[1].imm2, 0x03dd0000 | IR_FPU_NOTES);
	expect(M64, BYTES("\xdb\xe3"), 1, "fpu.i64"); /* FNINIT */
	assert_int_equal(f.ir->insn[1].imm2, 0x200e3db0000 | IR_FPU_FORGETS);
	expect(M64, BYTES("\xd9\x2b"), 1, "fpu.i16 -, [g3 @3]"); /* FLDCW */
	assert_int_equal(f.ir->insn[1].imm2, 0x2bd90000);
	expect(M64, BYTES("\xdb\x3b"), 1, "fpu.f80 [g3 @3]");
	expect(M64, BYTES("\xdf\xe0"), 1, "fpu.i16 g0");
	expect(M64, BYTES("\xdb\xf1"), 1, "fpu.i64/f");
	expect(M64, BYTES("\x0f\xfc\xc1"), 1, "fpu.i64");
	assert_int_equal(f.ir->insn[1].imm2, 0x200c1fc0100);
	expect(M64, BYTES("\x0f\x70\xc1\x1b"), 1, "fpu");
	assert_int_equal(f.ir->insn[1].imm2, 0x31bc1700100);
	expect(M64, BYTES("\x0f\x6e\xc3"), 1, "fpu.i32 -, g3");
	expect(M64, BYTES("\x0f\xd7\xc1"), 1, "fpu.i32 g0");
	expect(M64, BYTES("\xf3\x0f\xd6\xc1"), 1, "fpu.v128 v0");
	expect(M64, BYTES("\xd9\x33"), 1, "lea.i64|fnstenv");
}

/* The late immediates as "offset:length ...". */
static void expect_late(uint32_t flags, const char *bytes, size_t len, unsigned max_insns, const char *late)
{
	char got[256] = "";
	size_t n = 0;

	f.late = true;
	tr_fixture_translate(&f, flags, 0x401000, bytes, len, max_insns);
	f.late = false;
	for (unsigned i = 0; i < f.ir->nr_late; i++)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%u:%u", i ? " " : "", f.ir->late[i].off, f.ir->late[i].len);
	assert_string_equal(got, late);
}

static void immediates_of_rewritten_code_are_read_when_it_runs(void **state)
{
	(void)state;
	expect_late(M64, BYTES("\x05\x78\x56\x34\x12"), 1, "1:4"); /* add */
	assert_null(tr_fixture_match(&f, "ldcode.i32 t0, 0x1|add.i32/f g0, g0, t0"));
	expect_late(M64, BYTES("\x48\x81\x3b\x78\x56\x34\x12"), 1, "3:4"); /* cmp with memory */
	assert_null(tr_fixture_match(&f, "ldcode.i32 t0, 0x3|cmp.i64/f [g3 @3], t0"));
	expect_late(M64, BYTES("\x83\xe3\x7f"), 1, "2:1"); /* and, sign-extended byte */
	assert_null(tr_fixture_match(&f, "ldcode.i8 t0, 0x2|and.i32/f g3, g3, t0"));
	expect_late(M64, BYTES("\x66\xa9\x34\x12"), 1, "2:2"); /* test */
	expect_late(M64, BYTES("\x48\xb8\1\2\3\4\5\6\7\x88"), 1, "2:8"); /* mov */
	expect_late(M64, BYTES("\xc6\x00\x12"), 1, "2:1");
	expect_late(M32, BYTES("\xb4\x12\xb9\1\2\3\4"), 2, "1:1 3:4");
	expect_late(M64, BYTES("\x89\xc8\x48\x05\1\2\3\4\x48\xc1\xc0\x05\x05\1\2\3\4\xc3"), 9, "4:4 13:4");
}

static void other_immediates_of_rewritten_code_are_constants(void **state)
{
	(void)state;
	expect_late(M64, BYTES("\xc1\xe0\x05"), 1, "");         /* a count tells which flags a shift writes */
	expect_late(M64, BYTES("\xd1\xe0"), 1, "");
	expect_late(M64, BYTES("\xeb\x10"), 1, "");             /* a distance */
	expect_late(M64, BYTES("\x8b\x80\1\2\3\4"), 1, "");    /* a displacement */
	expect_late(M64, BYTES("\x01\xd8"), 1, "");
	expect_late(M64, BYTES("\xc8\x10\x00\x00"), 1, "");
	expect_late(M64 | X86_TB_TF, BYTES("\x05\1\2\3\4"), 1, "");
	expect(M64, BYTES("\x05\x78\x56\x34\x12"), 1, "add.i32/f g0, g0, 0x12345678"); /* of other code all are */
	assert_int_equal(f.ir->nr_late, 0);
}

/* jz to add $imm32, %eax, or into the middle of it, where the look-ahead for flags decodes other instructions; forward and backward. */
static void immediates_that_are_opcodes_too_are_constants(void **state)
{
	(void)state;
	expect_late(M64, BYTES("\x74\x00\x05\x90\x90\x39\xc8\x05\1\2\3\4"), 3, "3:4 8:4");
	expect_late(M64, BYTES("\x74\x01\x05\x90\x90\x39\xc8\x05\1\2\3\4"), 3, "8:4");
	assert_null(tr_fixture_match(&f, "ldcode.i32 t0, 0x3|add.i32/f g0, g0, t0"));
	expect_late(M64, BYTES("\x05\x90\x90\x39\xc8\x05\1\2\3\4\x74\xf4"), 3, "1:4 6:4");
	expect_late(M64, BYTES("\x05\x90\x90\x39\xc8\x05\1\2\3\4\x74\xf5"), 3, "6:4");
}

/* Of the instruction that crosses the page's end no part is late: its immediate is in two pieces. */
static void immediates_across_a_page_end_are_constants(void **state)
{
	(void)state;
	f.late = true;
	memset(f.page, 0xcc, sizeof(f.page));
	memcpy(f.page + GUEST_PAGE_SIZE - 3, "\x05\1\2\3\4", 5);
	tr_fixture_run(&f, M64, 0x401ffd, 9);
	tr_fixture_check(&f);
	f.late = false;
	assert_int_equal(f.ir->nr_late, 0);
	assert_int_equal(f.ir->guest_len, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arithmetic_is_one_op_in_every_operand_form),
		cmocka_unit_test(addresses_use_slots_and_segments),
		cmocka_unit_test(stack_access_comes_before_rsp_changes),
		cmocka_unit_test(forward_branches_are_side_exits_and_backward_ones_poll),
		cmocka_unit_test(single_step_ends_after_one_instruction),
		cmocka_unit_test(privileged_and_undefined_instructions_raise),
		cmocka_unit_test(features_that_are_off_fall_back_or_are_undefined),
		cmocka_unit_test(flags_overwritten_behind_an_exit_are_dead),
		cmocka_unit_test(a_block_stays_on_its_page),
		cmocka_unit_test(exchanges_are_single_ops),
		cmocka_unit_test(multiplication_and_division),
		cmocka_unit_test(strings),
		cmocka_unit_test(vectors),
		cmocka_unit_test(stack_fpu_words_carry_the_encoding),
		cmocka_unit_test(immediates_of_rewritten_code_are_read_when_it_runs),
		cmocka_unit_test(other_immediates_of_rewritten_code_are_constants),
		cmocka_unit_test(immediates_that_are_opcodes_too_are_constants),
		cmocka_unit_test(immediates_across_a_page_end_are_constants),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
