/* SPDX-License-Identifier: MIT */
/*
 * Integer work as compilers and C libraries write it, and the instructions they seldom use: wide multiply and divide,
 * shifts and rotates through carry, bit tests with far indices, string instructions in both directions, flags saved
 * and restored, sorting, hashing, and the library's string functions over every alignment.
 *
 *   intmix [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <sys/mman.h>

static const char *const me = "intmix";
static long rounds;

/* What the arithmetic flags were after an instruction; undefined ones are left out by the caller's mask. */
#define ARITH_FLAGS 0x8d5u
#define WITH_FLAGS(insn, flags, ...) \
	__asm__ volatile(insn "\n\tpushfq\n\tpopq %0" : "=&r"(flags), __VA_ARGS__)

static uint64_t alu(uint64_t h, uint64_t a, uint64_t b)
{
	uint64_t f, r;

#define CASE(insn, mask) do { \
	r = a; \
	WITH_FLAGS(insn, f, "+r"(r) : "r"(b) : "cc"); \
	h = hash_u64(hash_u64(h, r), f & (mask)); \
} while (0)
	CASE("addq %2, %1", ARITH_FLAGS);
	CASE("addl %k2, %k1", ARITH_FLAGS);
	CASE("addw %w2, %w1", ARITH_FLAGS);
	CASE("addb %b2, %b1", ARITH_FLAGS);
	CASE("subq %2, %1", ARITH_FLAGS);
	CASE("cmpw %w2, %w1", ARITH_FLAGS);
	CASE("stc\n\tadcq %2, %1", ARITH_FLAGS);
	CASE("clc\n\tsbbl %k2, %k1", ARITH_FLAGS);
	CASE("xorq %2, %1", ARITH_FLAGS & ~0x10u);
	CASE("testb %b2, %b1", ARITH_FLAGS & ~0x10u);
	CASE("negq %1", ARITH_FLAGS);
	CASE("stc\n\tincq %1", ARITH_FLAGS);
	CASE("clc\n\tdecw %w1", ARITH_FLAGS);
	CASE("xaddq %1, %1", ARITH_FLAGS);
	CASE("bsfq %2, %1", 0x40);
	CASE("bsrl %k2, %k1", 0x40);
	CASE("btq %2, %1", 1);
	CASE("btsw %w2, %w1", 1);
	CASE("btcl %k2, %k1", 1);
	CASE("imulq %2, %1", 0x801);
	CASE("imulw $-77, %w2, %w1", 0x801);
	CASE("bswapq %1", 0);
	CASE("bswapl %k1", 0);
	CASE("movsbq %b2, %1\n\tcwtl", 0);
	CASE("cmpq %2, %1\n\tcmovgq %2, %1", ARITH_FLAGS);
	CASE("cmpl %k2, %k1\n\tsetle %b1", ARITH_FLAGS);
	CASE("cmpb %b2, %b1\n\tsbbq %1, %1", 1);
#undef CASE
	return h;
}

static uint64_t shifts(uint64_t h, uint64_t a, uint64_t b, uint8_t n)
{
	uint64_t f, r;

#define CASE(insn, mask) do { \
	r = a; \
	WITH_FLAGS(insn, f, "+r"(r) : "r"(b), "c"(n) : "cc"); \
	h = hash_u64(hash_u64(h, r), f & (mask)); \
} while (0)
	/* A count of zero leaves all flags alone; OF is defined for a count of one only, AF never. */
	CASE("cmpq %2, %1\n\tshlq %%cl, %1", 0xc5);
	CASE("cmpq %2, %1\n\tsarl %%cl, %k1", 0xc5);
	CASE("cmpq %2, %1\n\trolq %%cl, %1", 0xc5);
	CASE("cmpq %2, %1\n\trorb %%cl, %b1", 0xc5);
	CASE("cmpq %2, %1\n\trclq %%cl, %1", 0xc5);
	CASE("cmpq %2, %1\n\trcrw %%cl, %w1", 0xc5);
	CASE("cmpq %2, %1\n\tshldq %%cl, %2, %1", 0xc5);
	CASE("cmpq %2, %1\n\tshrdl %%cl, %k2, %k1", 0xc5);
	CASE("shrq $1, %1", 0x8c5);
	CASE("shll $7, %k1", 0xc5);
	CASE("rorq $13, %1", 0x1);
#undef CASE
	return h;
}

static uint64_t wide(uint64_t h, uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;
	__int128 s = (__int128)(int64_t)a * (int64_t)b;
	uint16_t quot, rem;

	h = hash_bytes(h, &p, 16);
	h = hash_bytes(h, &s, 16);
	p += ((unsigned __int128)b << 64) | a;
	h = hash_u64(h, (uint64_t)(p / (a | 1)));
	h = hash_u64(h, (uint64_t)(p % (b | 1)));
	h = hash_u64(h, (uint64_t)((int64_t)a / (int64_t)(b >> 40 | 1)));
	h = hash_u64(h, (uint32_t)((int32_t)a / (int32_t)(b >> 48 | 3)));
	__asm__ volatile("divb %4" : "=a"(quot) : "0"((uint16_t)(a & 0xfff)), "d"(0), "c"(0), "q"((uint8_t)(b | 0x80))
			 : "cc");
	h = hash_u64(h, quot);
	__asm__ volatile("divw %4" : "=a"(quot), "=d"(rem) : "0"((uint16_t)a), "1"((uint16_t)(b & 0x7fff)),
			 "r"((uint16_t)(b | 0x8000)) : "cc");
	return hash_u64(h, quot + ((uint64_t)rem << 16));
}

static void test_alu(void)
{
	uint64_t rng = 11, h = FNV_BASIS, hs = FNV_BASIS, hw = FNV_BASIS;

	for (long i = 0; i < rounds; i++) {
		uint64_t a = rng_next(&rng), b = rng_next(&rng);

		if (i % 5 == 0)
			a = (uint64_t)(int64_t)(int8_t)a;
		if (i % 7 == 0)
			b = a;
		h = alu(h, a, b | 1);
		hs = shifts(hs, a, b, (uint8_t)(rng >> 20));
		hw = wide(hw, a, b);
	}
	report(me, "alu", h);
	report(me, "shift", hs);
	report(me, "wide", hw);
}

/* Bit instructions with a memory operand reach beyond the addressed word. */
static void test_bits(void)
{
	static uint64_t field[512];
	uint64_t rng = 12, h = FNV_BASIS;

	for (long i = 0; i < rounds * 4; i++) {
		long bit = (long)(rng_next(&rng) % 16384) - 8192;
		unsigned char c;

		__asm__ volatile("btsq %2, %1\n\tsetc %0" : "=q"(c), "+m"(field[256]) : "r"(bit) : "cc", "memory");
		h = hash_u64(h, c);
		bit = (long)(rng_next(&rng) % 16384) - 8192;
		__asm__ volatile("lock btcl %k2, %1\n\tsetc %0" : "=q"(c), "+m"(field[256]) : "r"(bit)
				 : "cc", "memory");
		h = hash_u64(h, c);
	}
	report(me, "bits", hash_bytes(h, field, sizeof(field)));
}

static unsigned char *area;
enum { AREA = 3 * 4096 };

static void refill(uint64_t seed)
{
	for (int i = 0; i < AREA; i++)
		area[i] = (unsigned char)(rng_next(&seed) >> 33);
}

/* One string instruction at random places, in either direction, overlapping as it may. */
static uint64_t string_op(uint64_t h, uint64_t *rng)
{
	uint64_t pick = rng_next(rng), n = rng_next(rng) % 700, ax = rng_next(rng);
	unsigned char *di = area + 4096 + rng_next(rng) % 4096, *si = area + 4096 + rng_next(rng) % 4096;

#define REP(insn) \
	do { \
		if (pick & 0x100) \
			__asm__ volatile("std\n\t" insn "\n\tcld" : "+D"(di), "+S"(si), "+c"(n), "+a"(ax) : \
					 : "memory", "cc"); \
		else \
			__asm__ volatile(insn : "+D"(di), "+S"(si), "+c"(n), "+a"(ax) : : "memory", "cc"); \
	} while (0)
	switch (pick % 8) {
	case 0: REP("rep movsb"); break;
	case 1: n /= 8; REP("rep movsq"); break;
	case 2: REP("rep stosb"); break;
	case 3: n /= 4; REP("rep stosl"); break;
	case 4: REP("repne scasb"); break;
	case 5: REP("repe cmpsb"); break;
	case 6: n /= 2; REP("rep lodsw"); break;
	case 7: REP("movsw\n\tmovsb\n\tstosq\n\tlodsb"); break;
	}
#undef REP
	h = hash_u64(hash_u64(h, (uint64_t)(di - area)), (uint64_t)(si - area));
	return hash_u64(hash_u64(h, n), ax);
}

static void test_strings(void)
{
	uint64_t rng = 13, h = FNV_BASIS;

	refill(1);
	for (long i = 0; i < rounds; i++) {
		h = string_op(h, &rng);
		if (i % 256 == 0)
			h = hash_bytes(h, area, AREA);
	}
	report(me, "strings", hash_bytes(h, area, AREA));
}

static void test_library(void)
{
	uint64_t rng = 14, h = FNV_BASIS;
	char text[512], number[64];

	refill(2);
	for (long i = 0; i < rounds; i++) {
		size_t from = rng_next(&rng) % 4096, to = rng_next(&rng) % 4096, n = rng_next(&rng) % 300;
		char *s = text + rng % 100;

		memmove(area + to, area + from, n);
		memset(area + from, (int)n, n / 4);
		h = hash_u64(h, (uint64_t)(memcmp(area + from, area + to, n) > 0));
		for (size_t k = 0; k < n; k++)
			s[k] = (char)('a' + area[to + k] % 26);
		s[n] = 0;
		h = hash_u64(h, strlen(s));
		h = hash_u64(h, strchr(s, 'q') ? (uint64_t)(strchr(s, 'q') - s) : 999);
		h = hash_u64(h, strrchr(s, 'z') ? (uint64_t)(strrchr(s, 'z') - s) : 999);
		h = hash_u64(h, strspn(s, "abcdefghijklmnopqrst") + strcspn(s, "xyz"));
		h = hash_u64(h, strstr(s, "ab") ? (uint64_t)(strstr(s, "ab") - s) : 999);
		snprintf(number, sizeof(number), "%lu %lx %.9g", rng, rng, (double)rng);
		h = hash_bytes(h, number, strlen(number));
		h = hash_u64(h, strtoull(number, NULL, 10));
	}
	report(me, "library", hash_bytes(h, area, AREA));
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_sort(void)
{
	static uint64_t v[4096];
	uint64_t rng = 15, h = FNV_BASIS;

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < 4096; i++)
			v[i] = rng_next(&rng) >> (round * 14);
		qsort(v, 4096, sizeof(v[0]), by_value);
		h = hash_bytes(h, v, sizeof(v));
	}
	report(me, "sort", h);
}

/* Flags and the stack: PUSHF/POPF, LAHF/SAHF, ENTER/LEAVE, XLAT, far stack offsets, XCHG, CMPXCHG. */
static void test_odd(void)
{
	uint64_t rng = 16, h = FNV_BASIS, f;

	for (long i = 0; i < rounds; i++) {
		uint64_t a = rng_next(&rng), r = a, s = a >> 7;
		unsigned char ah;

		__asm__ volatile("pushq %1\n\tandq $0xcd5, (%%rsp)\n\tpopfq\n\tpushfq\n\tcld\n\tpopq %0"
				 : "=r"(f) : "r"(a) : "cc");
		h = hash_u64(h, f & 0xcd5);
		__asm__ volatile("movb %b1, %%ah\n\tsahf\n\tlahf\n\tmovb %%ah, %0" : "=Q"(ah) : "Q"(a) : "rax", "cc");
		h = hash_u64(h, ah & 0xd7);
		__asm__ volatile("movq %%rsp, %%r12\n\tsubq $256, %%rsp\n\tmovq %%rbp, %%r13\n\tenter $64, $0\n\t"
				 "movq %0, -8(%%rbp)\n\tpushq %0\n\tpopq (%%rsp)\n\tmovq -8(%%rbp), %0\n\tleave\n\t"
				 "subq %%r13, %%rbp\n\tsetz %b1\n\tmovq %%r13, %%rbp\n\tmovq %%r12, %%rsp"
				 : "+a"(r), "+d"(s) : : "r12", "r13", "memory", "cc");
		h = hash_u64(h, r ^ s);
		__asm__ volatile("xlatb" : "+a"(r) : "b"(area) : "memory");
		__asm__ volatile("cmpxchgq %2, %1\n\tsetz %%cl" : "+a"(r), "+m"(*(uint64_t *)(area + 33)) : "r"(s)
				 : "cc", "rcx", "memory");
		__asm__ volatile("xchgw %w0, %1" : "+r"(s), "+m"(*(uint16_t *)(area + 4095)));
		h = hash_u64(hash_u64(h, r), s);
	}
	report(me, "odd", hash_bytes(h, area, AREA));
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 4000);
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		fail(me, "mmap");
	test_alu();
	test_bits();
	test_strings();
	test_library();
	test_sort();
	test_odd();
	return 0;
}
