/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/ir/ir_eval.c against the host CPU, where that is an x86-64: each operation, each width, random operands; and
 * a few known answers on any host.
 */
#include "support/test.h"

#include "tcg/ir/ir_eval.h"

/* xorshift64*: the same sequence on every run */
static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dull;
}

/* Values with edges more often than chance has them. */
static uint64_t rnd_value(void)
{
	static const uint64_t edges[] = {0,
					 1,
					 2,
					 0x7f,
					 0x80,
					 0xff,
					 0x7fff,
					 0x8000,
					 0xffff,
					 0x7fffffff,
					 0x80000000,
					 0xffffffff,
					 0x7fffffffffffffff,
					 0x8000000000000000,
					 0xffffffffffffffff};

	switch (rnd() % 4) {
	case 0:
		return edges[rnd() % ARRAY_LEN(edges)];
	case 1:
		return rnd() >> (rnd() % 64);
	case 2:
		return 1ull << (rnd() % 64);
	default:
		return rnd();
	}
}

#ifdef __x86_64__

typedef void (*host_fn)(struct ir_values *v);

/* The instruction between popf and pushf, on registers. */
#define HOST(name, text)                                                                                          \
	static void host_##name(struct ir_values *v)                                                              \
	{                                                                                                         \
		uint64_t fl = v->flags;                                                                           \
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %[fl]\n\tpopf\n\t" text                          \
				 "\n\tpushf\n\tpop %[fl]\n\tlea 128(%%rsp), %%rsp"                                \
				 : [fl] "+r"(fl), [d] "+a"(v->d), [x] "+d"(v->x), [a] "+S"(v->a), [b] "+b"(v->b), \
				   [c] "+c"(v->c)                                                                 \
				 :                                                                                \
				 : "cc", "memory");                                                               \
		v->flags = (uint32_t)fl & F_ALL;                                                                  \
	}

#define W8(r)  "%b[" r "]"
#define W16(r) "%w[" r "]"
#define W32(r) "%k[" r "]"
#define W64(r) "%q[" r "]"
/* Two operands, result in a (moved to d), one operand, count in cl. */
#define H_AB(name, insn, W) HOST(name, insn " " W("b") ", " W("a") "\n\tmov %q[a], %q[d]")
#define H_A(name, insn, W)  HOST(name, insn " " W("a") "\n\tmov %q[a], %q[d]")
#define H_CL(name, insn, W) \
	HOST(name, "xchg %q[b], %q[c]\n\t" insn " %%cl, " W("a") "\n\txchg %q[b], %q[c]\n\tmov %q[a], %q[d]")
#define H_DBL(name, insn, W) HOST(name, insn " %%cl, " W("b") ", " W("a") "\n\tmov %q[a], %q[d]")
#define H_MUL(name, insn, W) HOST(name, "mov %q[a], %q[d]\n\t" insn " " W("b"))
#define H_DA(name, insn, W)  HOST(name, insn " " W("a") ", " W("d"))
#define H_XCH(name, insn, W) HOST(name, insn " " W("b") ", " W("a"))

#define ALL(H, op, insn) \
	H(op##_I8, insn "b", W8) H(op##_I16, insn "w", W16) H(op##_I32, insn "l", W32) H(op##_I64, insn "q", W64)
#define WIDE(H, op, insn) H(op##_I16, insn "w", W16) H(op##_I32, insn "l", W32) H(op##_I64, insn "q", W64)
#define LONG(H, op, insn) H(op##_I32, insn "l", W32) H(op##_I64, insn "q", W64)

#define OPS(ALL, WIDE, LONG)                                                                                        \
	ALL(H_AB, ADD, "add")                                                                                       \
	ALL(H_AB, ADC, "adc") ALL(H_AB, SUB, "sub") ALL(H_AB, SBB, "sbb") ALL(H_AB, AND, "and") ALL(H_AB, OR, "or") \
		ALL(H_AB, XOR, "xor") ALL(H_XCH, CMP, "cmp") ALL(H_XCH, TEST, "test") ALL(H_A, INC, "inc")          \
			ALL(H_A, DEC, "dec") ALL(H_A, NEG, "neg") ALL(H_A, NOT, "not") ALL(H_CL, SHL, "shl") ALL(   \
				H_CL, SHR, "shr") ALL(H_CL, SAR, "sar") ALL(H_CL, ROL, "rol") ALL(H_CL, ROR, "ror") \
				ALL(H_CL, RCL, "rcl") ALL(H_CL, RCR, "rcr") WIDE(H_DBL, SHLD, "shld") WIDE(         \
					H_DBL, SHRD, "shrd") WIDE(H_AB, IMUL, "imul") WIDE(H_MUL, MULU, "mul")      \
					WIDE(H_MUL, MULS, "imul") WIDE(H_DA, BSF, "bsf") WIDE(H_DA, BSR, "bsr")     \
						WIDE(H_XCH, BT, "bt") WIDE(H_AB, BTS, "bts") WIDE(H_AB, BTR, "btr") \
							WIDE(H_AB, BTC, "btc") ALL(H_XCH, XCHG, "xchg")             \
								ALL(H_XCH, XADD, "xadd") ALL(H_XCH, CAS, "cmpxchg")

OPS(ALL, WIDE, LONG)

struct host_case {
	const char *name;
	enum ir_op op;
	enum ir_type type;
	host_fn fn;
};

#define CASE(op, T)	    {#op "." #T, IR_##op, IR_##T, host_##op##_##T},
#define C_ALL(H, op, insn)  CASE(op, I8) CASE(op, I16) CASE(op, I32) CASE(op, I64)
#define C_WIDE(H, op, insn) CASE(op, I16) CASE(op, I32) CASE(op, I64)
static const struct host_case cases[] = {OPS(C_ALL, C_WIDE, )};

#define CC(n, cond) HOST(CC##n, "set" cond " %b[d]")
CC(0, "o")
CC(1, "no") CC(2, "c") CC(3, "nc") CC(4, "z") CC(5, "nz") CC(6, "be") CC(7, "a") CC(8, "s") CC(9, "ns") CC(10, "p")
	CC(11, "np") CC(12, "l") CC(13, "ge") CC(14, "le") CC(15, "g") static const host_fn conditions[16] = {
		host_CC0, host_CC1, host_CC2,  host_CC3,  host_CC4,  host_CC5,	host_CC6,  host_CC7,
		host_CC8, host_CC9, host_CC10, host_CC11, host_CC12, host_CC13, host_CC14, host_CC15};

static void fail_at(const struct host_case *c, const struct ir_values *in, const struct ir_values *host,
		    const struct ir_values *our)
{
	print_error("%s d %#lx x %#lx a %#lx b %#lx c %#lx flags %#x:\n", c->name, in->d, in->x, in->a, in->b, in->c,
		    in->flags);
	print_error(" host d %#lx x %#lx a %#lx b %#lx flags %#x\n", host->d, host->x, host->a, host->b, host->flags);
	print_error(" ours d %#lx x %#lx a %#lx b %#lx flags %#x\n", our->d, our->x, our->a, our->b, our->flags);
}

static uint64_t cut(uint64_t v, enum ir_type t)
{
	return t == IR_I64 ? v : v & ((1ull << (8 * ir_type_bytes(t))) - 1);
}

/* Results in the form registers have them: merged. */
static void merge_results(const struct host_case *c, const struct ir_values *in, struct ir_values *our)
{
	unsigned shape = ir_op_info[c->op].shape;
	bool exchange = c->op == IR_XCHG || c->op == IR_XADD || c->op == IR_CAS;

	our->d = (shape & IR_SH_D) && our->wrote_d
			 ? ir_merge(c->type, c->op == IR_CAS || c->op == IR_BSF || c->op == IR_BSR ? in->d : in->a,
				    our->d)
			 : in->d;
	our->x = (shape & IR_SH_X) ? ir_merge(c->type, in->x, our->x) : in->x;
	our->a = exchange && !(c->op == IR_CAS && our->wrote_d) ? ir_merge(c->type, in->a, our->a) : in->a;
	our->b = c->op == IR_XCHG || c->op == IR_XADD ? ir_merge(c->type, in->b, our->b) : in->b;
}

static bool agree(const struct host_case *c, const struct ir_values *in)
{
	struct ir_values host = *in, our = *in;
	uint32_t undefined = ir_flags_undefined(c->op, c->type,
						&(struct ir_values){.a = cut(in->a, c->type), .b = in->b, .c = in->c});
	unsigned shape = ir_op_info[c->op].shape;
	bool exchange = c->op == IR_XCHG || c->op == IR_XADD || c->op == IR_CAS, same;

	c->fn(&host);
	ir_eval(c->op, c->type, 0, &our);
	merge_results(c, in, &our);
	if ((c->op == IR_SHLD || c->op == IR_SHRD) && undefined == F_ALL)
		return true; /* the result is undefined as well */
	if ((c->op == IR_BSF || c->op == IR_BSR) &&
	    !our.wrote_d) /* the upper half of an untouched register: either way */
		our.d = host.d = cut(host.d ^ our.d, c->type);
	same = !((host.flags ^ our.flags) & ~undefined);
	if (shape & IR_SH_D)
		same = same && host.d == our.d;
	if (shape & IR_SH_X)
		same = same && host.x == our.x;
	if (exchange)
		same = same && host.a == our.a && host.b == our.b;
	if (!same)
		fail_at(c, in, &host, &our);
	return same;
}

static void ir_eval_computes_what_the_host_computes(void **state)
{
	(void)state;
	seed = 0x1234567;
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++)
		for (unsigned k = 0; k < 20000; k++) {
			struct ir_values in = {.d = rnd_value(),
					       .x = rnd_value(),
					       .a = rnd_value(),
					       .b = rnd_value(),
					       .c = rnd_value()};

			in.flags = (uint32_t)rnd() & F_ALL;
			if (k % 3 == 0)
				in.b = in.a;
			if (k % 5 == 0)
				in.d = in.a;
			assert_true(agree(&cases[n], &in));
		}
}

static void ir_cc_true_agrees_with_the_host(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 64; n++) {
		uint32_t fl = (n & 1 ? F_C : 0) | (n & 2 ? F_P : 0) | (n & 4 ? F_A : 0) | (n & 8 ? F_Z : 0) |
			      (n & 16 ? F_S : 0) | (n & 32 ? F_O : 0);

		for (unsigned cc = 0; cc < 16; cc++) {
			struct ir_values v = {.flags = fl};

			conditions[cc](&v);
			assert_int_equal((v.d & 1) != 0, ir_cc_true((enum ir_cc)cc, fl));
			/* The condition depends on nothing but the flags it says. */
			assert_int_equal(ir_cc_true((enum ir_cc)cc, fl),
					 ir_cc_true((enum ir_cc)cc, fl & ir_cc_uses((enum ir_cc)cc)));
		}
	}
}
#endif

static uint64_t eval(enum ir_op op, enum ir_type t, uint64_t a, uint64_t b)
{
	struct ir_values v = {.a = a, .b = b};

	assert_true(ir_eval(op, t, 0, &v));
	return v.d;
}

static void known_answers(void **state)
{
	(void)state;
	assert_int_equal(eval(IR_CRC32, IR_I8, 0, 0x61), 0x93ad1061);
	assert_int_equal(eval(IR_PDEP, IR_I32, 0x5, 0x00f0), 0x50);
	assert_int_equal(eval(IR_PEXT, IR_I32, 0x50, 0x00f0), 0x5);
	assert_int_equal(eval(IR_BSWAP, IR_I32, 0x11223344, 0), 0x44332211);
	assert_int_equal(eval(IR_TZCNT, IR_I16, 0, 0), 16);
	assert_int_equal(eval(IR_LZCNT, IR_I64, 1, 0), 63);
	assert_int_equal(eval(IR_POPCNT, IR_I8, 0x1ff, 0), 8);
	assert_int_equal(eval(IR_SX8, IR_I32, 0x80, 0), 0xffffff80);
	assert_int_equal(eval(IR_SX32, IR_I64, 0x80000000, 0), 0xffffffff80000000);
	assert_int_equal(eval(IR_GETHI8, IR_I64, 0x1234, 0), 0x12);
	assert_int_equal(eval(IR_ANDN, IR_I32, 0xf0, 0xff), 0x0f);
}

static bool divide(enum ir_op op, enum ir_type t, uint64_t hi, uint64_t lo, uint64_t by, uint64_t *q, uint64_t *r)
{
	struct ir_values v = {.d = lo, .x = hi, .b = by};
	bool ok = ir_eval(op, t, 0, &v);

	*q = v.d;
	*r = v.x;
	return ok;
}

static void division_faults_where_the_quotient_does_not_fit(void **state)
{
	uint64_t q, r;

	(void)state;
	assert_true(divide(IR_DIVU, IR_I64, 1, 0, 2, &q, &r));
	assert_int_equal(q, 1ull << 63);
	assert_false(divide(IR_DIVU, IR_I64, 2, 0, 2, &q, &r));
	assert_false(divide(IR_DIVU, IR_I32, 0, 1, 0, &q, &r));
	assert_true(divide(IR_DIVS, IR_I32, 0xffffffff, (uint32_t)-7, 2, &q, &r));
	assert_int_equal(q, (uint32_t)-3);
	assert_int_equal(r, (uint32_t)-1);
	assert_false(divide(IR_DIVS, IR_I32, 0xffffffff, 0x80000000, 0xffffffff, &q, &r));
	assert_true(divide(IR_DIVS, IR_I16, 0xffff, 0x8000, 1, &q, &r));
	assert_int_equal(q, 0x8000);
	assert_false(divide(IR_DIVS, IR_I64, 1ull << 63, 0, ~0ull, &q, &r));
}

static void merging_keeps_or_clears_the_upper_bits(void **state)
{
	(void)state;
	assert_int_equal(ir_merge(IR_I8, 0x1122334455667788, 0xff), 0x11223344556677ff);
	assert_int_equal(ir_merge(IR_I16, 0x1122334455667788, 0xffff), 0x112233445566ffff);
	assert_int_equal(ir_merge(IR_I32, 0x1122334455667788, 0xffffffff), 0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef __x86_64__
		cmocka_unit_test(ir_eval_computes_what_the_host_computes),
		cmocka_unit_test(ir_cc_true_agrees_with_the_host),
#endif
		cmocka_unit_test(known_answers),
		cmocka_unit_test(division_faults_where_the_quotient_does_not_fit),
		cmocka_unit_test(merging_keeps_or_clears_the_upper_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
