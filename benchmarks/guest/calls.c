/* SPDX-License-Identifier: MIT */
/* Calls and branches that are not direct jumps: recursion, function pointers, a switch-driven interpreter. */
#include "bench.h"

static __attribute__((noinline)) uint64_t fib(unsigned n)
{
	uint64_t a;

	if (n < 2)
		return n;
	a = fib(n - 1);
	__asm__ volatile("" : "+r"(a)); /* keeps both calls calls */
	return a + fib(n - 2);
}

static void recursion(uint64_t n)
{
	while (n--)
		bench_sink = fib(20);
}

#define OPERATION(i, expr) \
	static __attribute__((noinline)) uint64_t op##i(uint64_t x) { return expr; }
OPERATION(0, x + 1)
OPERATION(1, x * 3)
OPERATION(2, x ^ 0x55)
OPERATION(3, x >> 1)
OPERATION(4, x - 7)
OPERATION(5, x << 3 | 1)
OPERATION(6, ~x)
OPERATION(7, x + (x >> 9))
static uint64_t (*volatile ops[8])(uint64_t) = { op0, op1, op2, op3, op4, op5, op6, op7 };

/* One call site, always the same target. */
static void pointer_same(uint64_t n)
{
	uint64_t x = 1;

	for (uint64_t i = 0; i < n * 1000; i++)
		x = ops[5](x);
	bench_sink = x;
}

/* One call site, targets in no order. */
static void pointer_mixed(uint64_t n)
{
	uint64_t x = 1, rng = 5;

	for (uint64_t i = 0; i < n * 1000; i++)
		x = ops[bench_random(&rng) & 7](x);
	bench_sink = x;
}

/* A small bytecode machine: one indirect jump per instruction. */
static void interpreter(uint64_t n)
{
	enum { PUSH, ADD, MUL, DUP, SWAP, XOR, LOOP, END };
	static const unsigned char program[] = { PUSH, 3, DUP, MUL, PUSH, 7, ADD, SWAP, XOR, DUP, PUSH, 1, ADD, MUL, LOOP, END };
	uint64_t stack[64] = { 1, 2, 3, 4 }, *sp;

	while (n--) {
		const unsigned char *volatile start = program;
		const unsigned char *pc = start;
		unsigned left = 100;

		sp = stack + 8;
		for (;;) {
			switch (*pc++) {
			case PUSH: *++sp = *pc++; continue;
			case ADD: sp[-1] += *sp; sp--; continue;
			case MUL: sp[-1] *= *sp; sp--; continue;
			case DUP: sp[1] = *sp; sp++; continue;
			case SWAP: { uint64_t t = *sp; *sp = sp[-1]; sp[-1] = t; continue; }
			case XOR: sp[-1] ^= *sp; sp--; continue;
			case LOOP: if (--left) pc = start; sp = stack + 8; continue;
			case END: break;
			}
			break;
		}
		bench_sink = *sp;
	}
}

static __attribute__((noinline)) void leaf(uint64_t *p)
{
	*p += 1;
	__asm__ volatile("" ::: "memory");
}

static void direct(uint64_t n)
{
	uint64_t x = 0;

	for (uint64_t i = 0; i < n * 1000; i++)
		leaf(&x);
	bench_sink = x;
}

int main(void)
{
	bench_pin(0);
	bench_run("call-direct", direct);
	bench_run("call-recursion", recursion);
	bench_run("call-pointer-same", pointer_same);
	bench_run("call-pointer-mixed", pointer_mixed);
	bench_run("call-interpreter", interpreter);
	return 0;
}
