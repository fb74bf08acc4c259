/* SPDX-License-Identifier: MIT */
/*
 * Code at one place that is now this and now that, again and again: an emulator that keeps what it made of it must see what is there now, whatever
 * that depends on: instructions, code behind and in front whose use of flags was looked at, the address it runs at, the CPU.
 */
#include "rt64.h"

#define ROUNDS 1500
#define VALUE(i) ((i) * 2654435761u >> 4) /* 28 bits */

/* Called with RDI = a word in memory, RSI = an address that is not mapped; returns value + more, or ends in a trap. */
struct form {
	const char *code;
	uint8_t len, imm; /* where the value is */
	uint8_t more;
	int8_t trap_at; /* offset; -1: none */
	uint8_t trap;
};

#define FORM(code, imm, more) { code, sizeof(code) - 1, imm, more, -1, 0 }
#define TRAP(code, imm, at, vector) { code, sizeof(code) - 1, imm, 0, at, vector }

static const struct form forms[] = {
	FORM("\xb8vvvv\xc3", 1, 0),
	FORM("\xb8vvvv\xff\xc0\xc3", 1, 1),
	FORM("\xc7\x07vvvv\x8b\x07\xc3", 2, 0),                           /* through memory */
	FORM("\xc7\x07vvvv\xff\x07\x8b\x07\xc3", 2, 1),
	FORM("\xb8vvvv\x31\xc9\x39\xc9\x75\x02\xff\xc0\xc3", 1, 1),       /* a branch not taken */
	FORM("\xb8vvvv\x31\xc9\x39\xc9\x74\x02\xff\xc0\xc3", 1, 0),       /* a branch taken */
	FORM("\xb8vvvv\xb9\x05\0\0\0\xff\xc0\xff\xc9\x75\xfa\xc3", 1, 5), /* a loop */
	FORM("\xb8vvvv\xb9\x05\0\0\0\xff\xc8\xff\xc9\x75\xfa\x83\xc0\x08\xc3", 1, 3),
	FORM("\xe8\x01\0\0\0\xc3\xb8vvvv\xc3", 7, 0),                     /* a call */
	FORM("\x68vvvv\x58\xc3", 1, 0),
	FORM("\xb8vvvv\x31\xd2\xb9\1\0\0\0\xf7\xf1\xc3", 1, 0),
	TRAP("\xb8vvvv\x31\xd2\x31\xc9\xf7\xf1\xc3", 1, 9, VEC_DE),
	TRAP("\xb8vvvv\x90\x31\xd2\x31\xc9\xf7\xf1\xc3", 1, 10, VEC_DE),
	TRAP("\xb8vvvv\x89\x07\x89\x06\xc3", 1, 7, VEC_PF),
	FORM("\xc7\x07vvvv\x66\x0f\x6e\x07\x66\x0f\xfe\xc0\x66\x0f\x72\xd0\x01\x66\x0f\x7e\xc0\xc3", 2, 0), /* vectors: 2 * value / 2 */
};

static uint32_t word;

struct call {
	const uint8_t *code;
	uint32_t result;
};

static void call(void *arg)
{
	struct call *c = arg;
	uint64_t nowhere = FREE_BASE << 1;

	/* With ZF clear. */
	asm volatile("orl $1, %%ecx\n\tcall *%2" : "=a"(c->result), "+S"(nowhere) : "r"(c->code), "D"(&word) : "rcx", "rdx", "memory", "cc");
}

static uint32_t run(const uint8_t *code)
{
	struct call c = { code, 0 };

	call(&c);
	return c.result;
}

static void put(volatile uint8_t *p, const struct form *f, uint32_t value)
{
	for (unsigned n = 0; n < f->len; n++)
		p[n] = (uint8_t)f->code[n];
	*(volatile uint32_t *)(p + f->imm) = value;
}

static bool does_as_it_should(const uint8_t *code, const struct form *f, uint32_t value)
{
	struct call c = { code, 0 };
	struct trap t;

	if (f->trap_at < 0)
		return run(code) == value + f->more;
	return trap_catch(&t, call, &c) && t.r.vector == f->trap && t.r.rip == (uint64_t)code + (uint8_t)f->trap_at && (uint32_t)t.r.rax == value;
}

static uint8_t *code_area(void)
{
	uint8_t *va = free_area(PAGE);

	map_page(va, page_alloc(), PTE_P | PTE_W);
	return va;
}

static void forms_in_turns(void)
{
	uint8_t *p = code_area() + 0x120;

	write_cr4(read_cr4() | CR4_OSFXSR);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		const struct form *f = &forms[i % ARRAY_LEN(forms)];

		put(p, f, VALUE(i));
		CHECK(does_as_it_should(p, f, VALUE(i)));
		CHECK(does_as_it_should(p, f, VALUE(i)));
	}
}

/* More forms than anybody keeps, and in any order. */
static void forms_at_random(void)
{
	uint8_t *p = code_area() + 0x7f9;
	uint32_t seed = 1;

	for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
		const struct form *f = &forms[random_next(&seed) % ARRAY_LEN(forms)];
		unsigned nops = random_next(&seed) % 6;

		memset(p, 0x90, nops);
		put(p + nops, f, VALUE(i));
		if (f->trap_at < 0)
			CHECK_EQ(run(p), VALUE(i) + f->more);
	}
}

/* The block stays what it is; whether its flags are wanted is told by the code it jumps to, behind it or in front of it: SETE, XOR, SETNE of AL. */
static void flags_of_the_target(void)
{
	static const char *const codes[] = { "\x0f\x94\xc0\xc3", "\x30\xc0\xc3\xc3", "\x0f\x95\xc0\xc3" };
	uint8_t *area = code_area();

	/* Any of them may be the first that is kept. */
	for (uint32_t i = 0; i < 3 * ROUNDS; i++) {
		uint8_t *p = area + 0x200 + i / ROUNDS * 0x100, *target = i & 8 ? p - 0x20 : p + 0x20;
		unsigned which = (i + i / ROUNDS) % 3;

		memcpy(p, "\xb8\0\0\0\0\x39\xc0\xeb", 8); /* mov $0, %eax; cmp %eax, %eax; jmp */
		p[8] = (uint8_t)(target - (p + 9));
		memcpy(target, codes[which], 4);
		CHECK_EQ(run(p), which == 0);
	}
}

/* One page at two addresses: LEA tells where it runs. */
static void at_two_addresses(void)
{
	uint8_t *a = code_area(), *b = free_area(PAGE);

	map_page(b, *pte_of(a) & PTE_ADDR, PTE_P | PTE_W);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		memcpy(a + 64, i & 1 ? "\x8d\x05\0\0\0\0\xc3" : "\x8d\x05\1\0\0\0\xc3", 7);
		CHECK_EQ(run(a + 64), (uint32_t)(uint64_t)(a + 64 + 6 + !(i & 1)));
		CHECK_EQ(run(b + 64), (uint32_t)(uint64_t)(b + 64 + 6 + !(i & 1)));
	}
}

/* Written by one CPU after another, run by all. */
static struct {
	uint8_t *code;
	unsigned cpus;
	struct spin_barrier written, done;
} all;

static void each_in_turn(void *arg)
{
	uint32_t got;
	unsigned me = this_cpu()->index;

	(void)arg;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		const struct form *f = &forms[i * 5 % 2]; /* of no memory, which all would share */

		if (i % 7 == 3)
			f = &forms[6];
		if (i % all.cpus == me)
			put(all.code, f, VALUE(i));
		spin_barrier_wait(&all.written, all.cpus);
		serialize();
		got = run(all.code);
		spin_barrier_wait(&all.done, all.cpus);
		if (got != VALUE(i) + f->more)
			test_fail("CPU %u, round %u: %x, not %x", me, i, got, VALUE(i) + f->more);
	}
}

static void by_all_cpus(void)
{
	all.cpus = smp_start();
	all.code = code_area() + 0x33;
	smp_run(all.cpus, each_in_turn, NULL);
}

const struct rt_test rt_tests[] = {
	RT_TEST(forms_in_turns), RT_TEST(forms_at_random), RT_TEST(flags_of_the_target), RT_TEST(at_two_addresses), RT_TEST(by_all_cpus),
	{0},
};
