/* SPDX-License-Identifier: MIT */
/*
 * src/tcg/ir/vec_*.c against the host's vector unit, on x86-64: each operation of vec_ops.def from random and awkward
 * operands, in all rounding modes, with DAZ and FTZ; results and MXCSR flags must agree bit for bit.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "tcg/ir/vec_eval.h"
#include "unit/tcg/vec_cases.def"

#ifdef __x86_64__
#include <immintrin.h>

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dull;
}

struct host_io {
	__m128i a, b, x;
	uint64_t g;	 /* integer in and out */
	uint64_t len[2]; /* string lengths */
	uint64_t flags;
	uint32_t mxcsr;
	unsigned imm;
};

typedef void (*host_fn)(struct host_io *io);

/* A host function around one instruction, under the guest's MXCSR. */
#define HOST(NAME, body)                                    \
	static void host_##NAME(struct host_io *io)         \
	{                                                   \
		register __m128i x __asm__("xmm0") = io->x; \
		__m128i a = io->a, b = io->b;               \
		unsigned saved = _mm_getcsr();              \
		_mm_setcsr(io->mxcsr);                      \
		body;                                       \
		io->mxcsr = _mm_getcsr();                   \
		_mm_setcsr(saved);                          \
		io->a = a;                                  \
		(void)b;                                    \
		(void)x;                                    \
	}

#define VV(name) __asm__ volatile(name " %[b], %[a]" : [a] "+x"(a), "+x"(x) : [b] "x"(b))
#define VM(name) __asm__ volatile(name " %[b], %[a]" : [a] "+x"(a) : [b] "m"(b))
#define IMM(n, text)                                                                                         \
	case n:                                                                                              \
		__asm__ volatile(text : [a] "+x"(a), [x] "+x"(x), [g] "+r"(io->g) : [b] "x"(b), [i] "i"(n)); \
		break;
/* clang-format off */
#define IMMS(text) switch (io->imm) { IMM(0x00, text) IMM(0x01, text) IMM(0x02, text) IMM(0x03, text) IMM(0x04, text) IMM(0x05, text) \
	IMM(0x08, text) IMM(0x09, text) IMM(0x0c, text) IMM(0x10, text) IMM(0x11, text) IMM(0x1b, text) IMM(0x31, text) IMM(0x44, text) \
	IMM(0x5a, text) IMM(0x71, text) IMM(0x93, text) IMM(0xe4, text) IMM(0xf3, text) IMM(0xff, text) default: break; }
/* clang-format on */
static const uint8_t imms[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x10,
			       0x11, 0x1b, 0x31, 0x44, 0x5a, 0x71, 0x93, 0xe4, 0xf3, 0xff};

#define VVI(name)   IMMS(name " %[i], %[b], %[a]")
#define VI(name)    IMMS(name " %[i], %[a]")
#define VG(name, r) __asm__ volatile(name " %[b], %" r "[g]" : [g] "+r"(io->g) : [b] "x"(b))
#define VGI(name)   IMMS(name " %[i], %[b], %k[g]")
#define VGIQ(name)  IMMS(name " %[i], %[b], %q[g]")
#define GV(name, r) __asm__ volatile(name " %" r "[g], %[a]" : [a] "+x"(a) : [g] "r"(io->g))
#define GVI(name)   IMMS(name " %[i], %k[g], %[a]")
#define GVIQ(name)  IMMS(name " %[i], %q[g], %[a]")
#define FL(name)                                                                                                    \
	__asm__ volatile(name " %[b], %[a]\n\tlea -128(%%rsp), %%rsp\n\tpushf\n\tpop %[f]\n\tlea 128(%%rsp), %%rsp" \
			 : [f] "=r"(io->flags)                                                                      \
			 : [a] "x"(a), [b] "x"(b)                                                                   \
			 : "cc")
/* The string comparisons: lengths in eax, edx; index in ecx, mask in xmm0. */
#define STR1(n, name)                                                                                               \
	case n:                                                                                                     \
		__asm__ volatile(                                                                                   \
			name                                                                                        \
			" %[i], %[b], %[a]\n\tlea -128(%%rsp), %%rsp\n\tpushf\n\tpop %[f]\n\tlea 128(%%rsp), %%rsp" \
			: [f] "=r"(io->flags), "+c"(io->g), [x] "+x"(x)                                             \
			: [a] "x"(a), [b] "x"(b), "a"(io->len[0]), "d"(io->len[1]), [i] "i"(n)                      \
			: "cc");                                                                                    \
		break;
#define STR(name)                                                                                                     \
	switch (io->imm) {                                                                                            \
		STR1(0x00, name)                                                                                      \
		STR1(0x01, name) STR1(0x02, name) STR1(0x04, name) STR1(0x05, name) STR1(0x08, name) STR1(0x0c, name) \
			STR1(0x0d, name) STR1(0x1a, name) STR1(0x34, name) STR1(0x38, name) STR1(0x3b, name)          \
				STR1(0x40, name) STR1(0x44, name) STR1(0x47, name) STR1(0x4c, name) STR1(0x58, name)  \
					STR1(0x72, name) STR1(0x7d, name) default : break;                            \
	}                                                                                                             \
	io->x = x
static const uint8_t str_imms[] = {0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x0c, 0x0d, 0x1a, 0x34,
				   0x38, 0x3b, 0x40, 0x44, 0x47, 0x4c, 0x58, 0x72, 0x7d};

#define CASE(NAME, sig, body) HOST(NAME, body)
VEC_CASES(CASE)
#undef CASE

struct vec_case {
	const char *name;
	enum ir_vop op;
	char sig; /* v vector result, g VTOG, i GTOV, f VFL, s string */
	enum ir_type type;
	host_fn fn;
};
#define CASE(NAME, sig, body) {#NAME, OP_##NAME, sig_of(sig), sig_type(sig), host_##NAME},
#define sig_of(s)	      ((s)[0])
#define sig_type(s)	      ((s)[1] == 'q' ? IR_I64 : IR_I32)
static const struct vec_case *case_table(unsigned *n);

/* ---- Operands */

static uint64_t awkward_double(void)
{
	static const uint64_t v[] = {0,
				     1ull << 63,
				     0x3ff0000000000000,
				     0xbff0000000000000,
				     0x7ff0000000000000,
				     0xfff0000000000000,
				     0x7ff8000000000001,
				     0xfff8000000000002,
				     0x7ff0000000000003,
				     0xfff0000000000004,
				     1,
				     0x000fffffffffffff,
				     0x0010000000000000,
				     0x8010000000000001,
				     0x7fefffffffffffff,
				     0x41dfffffffc00000,
				     0x41e0000000000000,
				     0xc1e0000000000000,
				     0xc3e0000000000000,
				     0x3fe0000000000000,
				     0xbff8000000000000,
				     0x4004000000000000,
				     0x369fffffffffffff,
				     0x380fffffffffffff,
				     0x36a0000000000000,
				     0x47efffffe0000000,
				     0x47efffffffffffff};

	if (rnd() % 3)
		return v[rnd() % ARRAY_LEN(v)];
	/* exponents near each other, so that sums and products are not all trivial */
	return (rnd() & 0x800fffffffffffff) | (0x3f0 + rnd() % 0x40) << 52;
}

static uint32_t awkward_single(void)
{
	static const uint32_t v[] = {0,		 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
				     0x7fc00001, 0xffc00002, 0x7f800003, 0xff800004, 1,		 0x007fffff,
				     0x00800000, 0x80800001, 0x7f7fffff, 0x4effffff, 0x4f000000, 0xcf000000,
				     0xdf000000, 0x3f000000, 0xbfc00000, 0x40200000, 0x1fffffff, 0x00400000};

	if (rnd() % 3)
		return v[rnd() % ARRAY_LEN(v)];
	return (rnd() & 0x807fffff) | (uint32_t)(0x70 + rnd() % 0x20) << 23;
}

static __m128i operand(void)
{
	union {
		__m128i v;
		uint64_t q[2];
		uint32_t l[4];
		uint8_t b[16];
	} u;

	u.q[0] = rnd();
	u.q[1] = rnd();
	switch (rnd() % 4) {
	case 0:
		u.q[0] = awkward_double();
		u.q[1] = awkward_double();
		break;
	case 1:
		for (unsigned k = 0; k < 4; k++)
			u.l[k] = awkward_single();
		break;
	case 2: /* few different bytes, zeros among them */
		for (unsigned k = 0; k < 16; k++)
			u.b[k] = (uint8_t)(rnd() % 8 ? 'a' + rnd() % 3 : 0);
		break;
	default:
		if (rnd() % 4 == 0)
			u.q[0] = rnd() % 70; /* shift counts */
		break;
	}
	return u.v;
}

static struct tcg_env *env;

static union tcg_vreg vreg_of(__m128i v)
{
	union tcg_vreg r = {.q = {0, 0, 0x5555, 0x6666}};

	memcpy(&r, &v, 16);
	return r;
}

static bool same16(const void *a, const void *b)
{
	return !memcmp(a, b, 16);
}

static void show(const char *what, const void *p)
{
	uint64_t q[2];

	memcpy(q, p, 16);
	print_error(" %s %016lx:%016lx\n", what, q[1], q[0]);
}

/* Runs our side of a case on the same operands; true if it agrees with the host's. */
static bool agree(const struct vec_case *c, const struct host_io *in, const struct host_io *host)
{
	union tcg_vreg a = vreg_of(in->a), b = vreg_of(in->b), d = a, want = vreg_of(host->a), x = vreg_of(host->x);
	uint64_t g = in->g;
	uint32_t flags = 0;
	bool ok = true;

	env->mxcsr = in->mxcsr;
	env->vreg[0] = vreg_of(in->x);
	env->greg[0] = in->len[0];
	env->greg[1] = in->g;
	env->greg[2] = in->len[1];
	switch (c->sig) {
	case 'v':
		ok = ir_vec_eval(env, c->op, &d, &a, &b, in->imm) && same16(&d, &want) && d.q[2] == 0x5555 &&
		     d.q[3] == 0x6666;
		break;
	case 'g':
		ok = ir_vec_to_g(env, c->op, c->type, &g, &b, in->imm) && g == host->g;
		break;
	case 'i':
		ok = ir_g_to_vec(env, c->op, c->type, &d, &a, in->g, in->imm) && same16(&d, &want);
		break;
	default:
		ok = ir_vec_flags(env, c->op, c->type, &flags, &a, &b, in->imm) && flags == (host->flags & F_ALL);
		if (c->sig == 's')
			ok = ok && same16(&env->vreg[0], &x) && env->greg[1] == host->g;
		break;
	}
	ok = ok && env->mxcsr == host->mxcsr;
	if (!ok) {
		print_error(
			"%s imm %#x mxcsr %#x -> host %#x ours %#x g %#lx host %#lx ours %#lx flags host %#lx ours %#x\n",
			c->name, in->imm, in->mxcsr, host->mxcsr, env->mxcsr, in->g, host->g,
			c->sig == 's' ? env->greg[1] : g, host->flags & F_ALL, flags);
		show("a", &in->a);
		show("b", &in->b);
		show("host", &host->a);
		show("ours", &d);
	}
	return ok;
}

static void vector_operations_agree_with_the_host(void **state)
{
	unsigned nr, bad = 0;
	const struct vec_case *cases = case_table(&nr);

	(void)state;
	env = calloc(1, sizeof(*env));
	assert_non_null(env);
	seed = 0x777;
	for (unsigned n = 0; n < nr; n++)
		for (unsigned k = 0; k < 20000; k++) {
			struct host_io in = {.a = operand(),
					     .b = rnd() % 4 ? operand() : in.a,
					     .x = operand(),
					     .g = rnd() >> (rnd() % 64)},
				       host;

			in.mxcsr = 0x1f80 | (uint32_t)(rnd() & 3) << 13 | (rnd() % 4 ? 0 : 0x40) |
				   (rnd() % 4 ? 0 : 0x8000);
			in.imm = cases[n].sig == 's' ? str_imms[rnd() % ARRAY_LEN(str_imms)]
						     : imms[rnd() % ARRAY_LEN(imms)];
			in.len[0] = rnd() % 40 - 20;
			in.len[1] = rnd() % 40 - 20;
			host = in;
			cases[n].fn(&host);
			if (!agree(&cases[n], &in, &host)) {
				bad++;
				break;
			}
		}
	free(env);
	assert_int_equal(bad, 0);
}

static const struct vec_case *case_table(unsigned *n)
{
	static const struct vec_case cases[] = {VEC_CASES(CASE)};

	*n = ARRAY_LEN(cases);
	return cases;
}
#endif

static void an_unmasked_exception_leaves_the_destination(void **state)
{
	struct tcg_env *e = calloc(1, sizeof(*e));
	union tcg_vreg d = {.d = {1.0, 2.0}}, zero = {.q = {0}};

	(void)state;
	assert_non_null(e);
	e->mxcsr = 0x1f80 & ~0x200u; /* ZE unmasked */
	assert_false(ir_vec_eval(e, IR_VOP_DIVSD, &d, &d, &zero, 0));
	assert_true(d.d[0] == 1.0);
	assert_int_equal(e->mxcsr & 0x3f, 0x04);
	e->mxcsr = 0x1f80;
	assert_true(ir_vec_eval(e, IR_VOP_DIVSD, &d, &d, &zero, 0));
	assert_int_equal(d.q[0], 0x7ff0000000000000);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef __x86_64__
		cmocka_unit_test(vector_operations_agree_with_the_host),
#endif
		cmocka_unit_test(an_unmasked_exception_leaves_the_destination),
	};

	return RUN_TESTS(tests);
}
