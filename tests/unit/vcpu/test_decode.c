/* SPDX-License-Identifier: MIT */
/*
 * The decoder, case by case: bytes to a text made of our own fields (decode_cases.def), and the rules for code that
 * ends too early or runs too long. test_decode_oracle.c has the breadth; here stands what a reader can check by eye.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vcpu/x86/decode/decode.h"

struct decode_case {
	enum x86_mode mode;
	const char *hex;
	const char *text;
};

static const struct decode_case cases[] = {
#define DECODE_CASE(mode, hex, text) { X86_MODE_##mode, hex, text },
#include "unit/vcpu/decode_cases.def"
#undef DECODE_CASE
};

static size_t parse_hex(const char *hex, uint8_t *bytes, size_t max)
{
	size_t n = 0;
	unsigned int b;

	for (; n < max && sscanf(hex, "%2x", &b) == 1; hex += 2 + (hex[2] == ' '))
		bytes[n++] = b;
	return n;
}

static int print_signed(char *out, size_t size, int64_t v)
{
	return snprintf(out, size, "%c0x%llx", v < 0 ? '-' : '+', (unsigned long long)(v < 0 ? -(uint64_t)v : (uint64_t)v));
}

/* m<size>[seg:base+index*scale+disp]a<address size> */
static int print_mem(char *out, size_t size, const struct x86_insn *in, unsigned int bytes)
{
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	const struct x86_memref *m = &in->mem;
	int n = snprintf(out, size, "m%u[%s:", bytes, seg[m->seg]);

	if (m->base == X86_REG_RIP)
		n += snprintf(out + n, size - n, "rip");
	else if (m->base != X86_REG_NONE)
		n += snprintf(out + n, size - n, "r%d", m->base);
	if (m->index != X86_REG_NONE)
		n += snprintf(out + n, size - n, "+r%d*%d", m->index, m->scale);
	if (m->disp || m->base == X86_REG_NONE)
		n += print_signed(out + n, size - n, m->disp);
	return n + snprintf(out + n, size - n, "]a%d", in->addrsize);
}

static int print_operand(char *out, size_t size, const struct x86_insn *in, const struct x86_operand *op)
{
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs" };

	switch (op->kind) {
	case X86_OPK_GPR:
		return snprintf(out, size, "r%d.%d", op->reg, op->size);
	case X86_OPK_GPR8H:
		return snprintf(out, size, "r%dh", op->reg);
	case X86_OPK_SEG:
		return snprintf(out, size, "%s", seg[op->reg]);
	case X86_OPK_CR:
		return snprintf(out, size, "cr%d", op->reg);
	case X86_OPK_DR:
		return snprintf(out, size, "dr%d", op->reg);
	case X86_OPK_ST:
		return snprintf(out, size, "st%d", op->reg);
	case X86_OPK_MMX:
		return snprintf(out, size, "mm%d", op->reg);
	case X86_OPK_XMM:
		return snprintf(out, size, "%cmm%d", op->size == 64 ? 'z' : op->size == 32 ? 'y' : 'x', op->reg);
	case X86_OPK_K:
		return snprintf(out, size, "k%d.%d", op->reg, op->size);
	case X86_OPK_MEM:
		return print_mem(out, size, in, op->size);
	case X86_OPK_IMM:
		return print_signed(out, size, in->imm);
	case X86_OPK_IMM2:
		return print_signed(out, size, in->imm2);
	case X86_OPK_REL:
		return snprintf(out, size, "rel") + print_signed(out + 3, size - 3, in->imm);
	default:
		return snprintf(out, size, "?");
	}
}

/* <prefixes> MNEMONIC[.condition]/<opsize> operands, what EVEX adds; strings show the memory they describe in braces */
static void print_insn(char *out, size_t size, const struct x86_insn *in)
{
	int n = 0;

	if (in->pfx & X86_PFX_LOCK)
		n += snprintf(out + n, size - n, "lock ");
	if (in->pfx & X86_PFX_REP)
		n += snprintf(out + n, size - n, "rep ");
	if (in->pfx & X86_PFX_REPNE)
		n += snprintf(out + n, size - n, "repne ");
	n += snprintf(out + n, size - n, "%s", x86_iid_name(in->id));
	if (in->id == X86_I_JCC || in->id == X86_I_SETCC || in->id == X86_I_CMOVCC)
		n += snprintf(out + n, size - n, ".%d", in->cond);
	n += snprintf(out + n, size - n, "/%d", in->opsize);
	for (int i = 0; i < in->nr_ops; i++) {
		n += snprintf(out + n, size - n, i ? ", " : " ");
		n += print_operand(out + n, size - n, in, &in->op[i]);
	}
	if (in->evex_aaa)
		n += snprintf(out + n, size - n, " k%d%s", in->evex_aaa, in->evex_z ? "z" : "");
	if (in->evex_b)
		n += snprintf(out + n, size - n, in->modrm < 0xc0 ? " broadcast" : " b%d", in->evex_ll);
	if (in->evex_elem)
		n += snprintf(out + n, size - n, " %d*%d", in->evex_lanes, in->evex_elem);
	if (in->attr & X86_A_STRING) {
		n += snprintf(out + n, size - n, " {");
		n += print_mem(out + n, size - n, in, in->opsize);
		snprintf(out + n, size - n, "}");
	}
}

static void decode_text(char *out, size_t size, enum x86_mode mode, const uint8_t *bytes, size_t avail)
{
	struct x86_insn in;

	switch (x86_decode(&in, mode, bytes, avail)) {
	case X86_DECODE_OK:
		print_insn(out, size, &in);
		break;
	case X86_DECODE_SHORT:
		snprintf(out, size, "short");
		break;
	case X86_DECODE_UD:
		snprintf(out, size, "ud");
		break;
	case X86_DECODE_LONG:
		snprintf(out, size, "long");
		break;
	}
}

static void bytes_become_the_expected_text(void **state)
{
	unsigned int failures = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[16];
		char text[128];

		decode_text(text, sizeof(text), cases[i].mode, bytes, parse_hex(cases[i].hex, bytes, sizeof(bytes)));
		if (strcmp(text, cases[i].text)) {
			print_error("%s (%d bit): %s, expected %s\n", cases[i].hex, 16 << cases[i].mode, text,
				    cases[i].text);
			failures++;
		}
	}
	assert_true(ARRAY_LEN(cases) >= 200);
	assert_int_equal(failures, 0);
}

/* Any valid instruction, cut anywhere, asks for more; with more behind it, nothing changes. */
static void cut_code_asks_for_more_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[15];
		struct x86_insn whole, in;
		size_t n = parse_hex(cases[i].hex, bytes, sizeof(bytes));

		if (x86_decode(&whole, cases[i].mode, bytes, n) != X86_DECODE_OK)
			continue;
		assert_int_equal(whole.len, n);
		for (size_t avail = 1; avail < n; avail++)
			assert_int_equal(x86_decode(&in, cases[i].mode, bytes, avail), X86_DECODE_SHORT);
		memset(bytes + n, 0xff, sizeof(bytes) - n);
		assert_int_equal(x86_decode(&in, cases[i].mode, bytes, sizeof(bytes)), X86_DECODE_OK);
		assert_memory_equal(&in, &whole, sizeof(in));
	}
}

static void sixteen_bytes_are_too_long(void **state)
{
	uint8_t bytes[32];
	struct x86_insn in;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = 0x90; /* 14 prefixes and NOP: 15 */
	assert_int_equal(x86_decode(&in, X86_MODE_32, bytes, 15), X86_DECODE_OK);
	assert_int_equal(in.len, 15);
	bytes[14] = 0x0f; /* the second opcode byte would be the sixteenth */
	assert_int_equal(x86_decode(&in, X86_MODE_32, bytes, 15), X86_DECODE_LONG);
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(x86_decode(&in, X86_MODE_32, bytes, 15), X86_DECODE_LONG);
	assert_int_equal(x86_decode(&in, X86_MODE_32, bytes, sizeof(bytes)), X86_DECODE_LONG);
	assert_int_equal(x86_decode(&in, X86_MODE_32, bytes, 14), X86_DECODE_SHORT);
}

static void undefined_needs_only_the_bytes_that_decide(void **state)
{
	static const uint8_t lock_nop[] = { 0xf0, 0x90 };
	static const uint8_t lock_add_reg[] = { 0xf0, 0x01, 0xc0 };
	struct x86_insn in;

	(void)state;
	assert_int_equal(x86_decode(&in, X86_MODE_64, lock_nop, 1), X86_DECODE_SHORT);
	assert_int_equal(x86_decode(&in, X86_MODE_64, lock_nop, 2), X86_DECODE_UD);
	assert_int_equal(x86_decode(&in, X86_MODE_64, lock_add_reg, 2), X86_DECODE_SHORT);
	assert_int_equal(x86_decode(&in, X86_MODE_64, lock_add_reg, 3), X86_DECODE_UD);
}

static void attributes_and_features_come_from_the_row(void **state)
{
	static const struct {
		const char *hex;
		uint16_t attr;
		enum x86_feature feature;
	} rows[] = {
		{ "f4", X86_A_PRIV | X86_A_END, X86_F_BASE },
		{ "fa", X86_A_IOPL, X86_F_BASE },
		{ "0100", X86_A_LOCK, X86_F_BASE },
		{ "a4", X86_A_STRING, X86_F_BASE },
		{ "d8c1", X86_A_FPU, X86_F_FPU },
		{ "dbe9", X86_A_FPU, X86_F_CMOV },
		{ "0f6fc1", X86_A_MMX, X86_F_MMX },
		{ "0f2800", X86_A_SSE | X86_A_ALIGN, X86_F_SSE },
		{ "0f1000", X86_A_SSE, X86_F_SSE },
		{ "f30f1000", X86_A_SSE, X86_F_SSE },
		{ "660f6f00", X86_A_SSE | X86_A_ALIGN, X86_F_SSE2 },
		{ "0f2a00", X86_A_SSE | X86_A_MMX, X86_F_SSE },
		{ "660f3a63c100", X86_A_SSE, X86_F_SSE42 },
		{ "f30fb8c1", 0, X86_F_POPCNT },
		{ "f30fbcc1", 0, X86_F_BMI1 },
		{ "f30fbdc1", 0, X86_F_LZCNT },
		{ "0f00d0", X86_A_PRIV | X86_A_NOREAL, X86_F_BASE },
		{ "480fc708", X86_A_LOCK | X86_A_ALIGN, X86_F_CX16 },
		{ "0f01c1", X86_A_END, X86_F_HYPERCALL },
		{ "9f", 0, X86_F_LAHF_LM },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t bytes[15];
		struct x86_insn in;

		assert_int_equal(x86_decode(&in, X86_MODE_64, bytes, parse_hex(rows[i].hex, bytes, 15)), X86_DECODE_OK);
		assert_int_equal(in.attr, rows[i].attr);
		assert_int_equal(in.feature, rows[i].feature);
	}
}

static void disassembly_names_the_instruction(void **state)
{
	static const uint8_t add[] = { 0x48, 0x01, 0xd8 };
	static const uint8_t bad[] = { 0x06 };
	char text[64];

	(void)state;
	assert_int_equal(x86_disasm(X86_MODE_64, 0x1000, add, sizeof(add), text, sizeof(text)), 3);
	assert_string_equal(text, "add rax, rbx");
	assert_int_equal(x86_disasm(X86_MODE_64, 0x1000, bad, sizeof(bad), text, sizeof(text)), 1);
	assert_string_equal(text, "(bad) 06");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_become_the_expected_text),
		cmocka_unit_test(cut_code_asks_for_more_bytes),
		cmocka_unit_test(sixteen_bytes_are_too_long),
		cmocka_unit_test(undefined_needs_only_the_bytes_that_decide),
		cmocka_unit_test(attributes_and_features_come_from_the_row),
		cmocka_unit_test(disassembly_names_the_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
