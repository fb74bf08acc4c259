/* SPDX-License-Identifier: MIT */
/*
 * REP MOVS and STOS, and CMPXCHG16B: what kernels do most with many bytes at once, on pages of all kinds (Intel SDM vol. 2; vol. 3, 4.7).
 */
#include "access64.h"

/* ---- Pages side by side whose frames are none, the same once more under other addresses, and a model of what they hold */

enum { ARENA_PAGES = 6, ARENA = ARENA_PAGES * 4096, CASES = 4000 };

static uint8_t *arena, *alias;
static uint8_t model[ARENA];

static void arena_prepare(void)
{
	uint32_t seed = 12345;

	arena = free_area(ARENA);
	alias = free_area(ARENA);
	for (unsigned i = ARENA_PAGES; i-- > 0;) {
		uint64_t frame = page_alloc();

		map_page(arena + i * PAGE, frame, PTE_P | PTE_W);
		map_page(alias + i * PAGE, frame, PTE_P | PTE_W);
	}
	for (unsigned i = 0; i < ARENA; i++)
		arena[i] = model[i] = (uint8_t)random_next(&seed);
}

struct string_case {
	bool copy, down;
	unsigned log2, count, dst, src; /* offsets in the arena of the first element */
	uint64_t value;
};

static void model_run(const struct string_case *k)
{
	int step = k->down ? -(1 << k->log2) : 1 << k->log2;
	int d = (int)k->dst, s = (int)k->src;

	for (unsigned n = 0; n < k->count; n++, d += step, s += step) {
		uint64_t v = k->value;

		if (k->copy)
			memcpy(&v, model + s, 1u << k->log2);
		memcpy(model + d, &v, 1u << k->log2);
	}
}

struct string_regs {
	uint64_t rdi, rsi, rcx, rax, flags;
};

#define STRING(insn)                                                                                                        \
	static void do_##insn(struct string_regs *r)                                                                        \
	{                                                                                                                   \
		asm volatile("pushq %4; popfq; rep " #insn "; pushfq; popq %4; cld"                                         \
			     : "+D"(r->rdi), "+S"(r->rsi), "+c"(r->rcx), "+a"(r->rax), "+r"(r->flags)                       \
			     :                                                                                              \
			     : "memory", "cc");                                                                             \
	}
STRING(stosb) STRING(stosw) STRING(stosl) STRING(stosq) STRING(movsb) STRING(movsw) STRING(movsl) STRING(movsq)

static void (*const do_string[2][4])(struct string_regs *) = {
	{ do_stosb, do_stosw, do_stosl, do_stosq },
	{ do_movsb, do_movsw, do_movsl, do_movsq },
};

/* Offset of a run's first element, often at a page's start or end, such that the run stays inside of the arena's middle. */
static unsigned some_offset(uint32_t *seed)
{
	unsigned page = 1 + random_next(seed) % (ARENA_PAGES - 2), r = random_next(seed);

	switch (r % 4) {
	case 0:
		return page * 4096 + r / 4 % 64;
	case 1:
		return page * 4096 + 4096 - 8 - r / 4 % 300;
	case 2:
		return page * 4096 + (r / 4 % 512) * 8;
	default:
		return page * 4096 + r / 4 % 4096;
	}
}

static void some_case(struct string_case *k, uint32_t *seed)
{
	static const uint16_t counts[] = { 0, 1, 2, 3, 7, 8, 9, 16, 25, 31, 32, 64, 65, 128, 200, 256, 257, 511, 512, 513, 1024, 2048, 4095, 4096 };

	k->copy = random_next(seed) & 1;
	k->down = random_next(seed) % 8 == 0;
	k->log2 = random_next(seed) % 4;
	k->count = counts[random_next(seed) % ARRAY_LEN(counts)];
	if (k->count > 4096u >> k->log2)
		k->count = 4096u >> k->log2;
	k->dst = some_offset(seed);
	k->src = random_next(seed) % 3 ? some_offset(seed) : k->dst + random_next(seed) % 41 - 20;
	k->value = random_next(seed) % 2 ? 0 : random_next(seed) * 0x100000001ull;
}

static void check_case(const struct string_case *k, bool by_alias, unsigned number)
{
	const uint64_t up = k->down ? -1ull : 1, bytes = (uint64_t)k->count << k->log2;
	uint8_t *from = by_alias ? alias : arena;
	struct string_regs r = {
		.rdi = (uint64_t)arena + k->dst, .rsi = (uint64_t)from + k->src, .rcx = k->count, .rax = k->value,
		.flags = FL_FIXED | (number & 0xd5) | (k->down ? 0x400 : 0),
	};
	uint64_t flags = r.flags;

	model_run(k);
	do_string[k->copy][k->log2](&r);
	CHECK_EQ(r.rcx, 0);
	CHECK_EQ(r.rdi, (uint64_t)arena + k->dst + up * bytes);
	CHECK_EQ(r.rsi, (uint64_t)from + k->src + (k->copy ? up * bytes : 0));
	CHECK_EQ(r.rax, k->value);
	CHECK_EQ(r.flags, flags);
	if (memcmp(arena, model, ARENA))
		test_fail("case %u: %s of %u elements of %u bytes %s to %x from %x left wrong bytes", number, k->copy ? "copy" : "fill", k->count,
			  1u << k->log2, k->down ? "down" : "up", k->dst, k->src);
}

static void runs(void)
{
	uint32_t seed = 1;
	struct string_case k;

	arena_prepare();
	for (unsigned n = 0; n < CASES && !test_failed(); n++) {
		some_case(&k, &seed);
		check_case(&k, random_next(&seed) & 1, n);
	}
}

/* ---- Runs that fault, or may not be made */

asm(".text; .balign 16\n"
    "do_fill: rep stosb; int $0x80\n"
    "do_fill_ac: stac; rep stosb; clac; int $0x80\n"
    "do_copy: rep movsq; int $0x80\n"
    "do_cas16: cmpxchg16b (%rdi); int $0x80\n"
    "do_cas16_lock: lock cmpxchg16b (%rdi); int $0x80\n");
extern const uint8_t do_fill[], do_fill_ac[], do_copy[], do_cas16[], do_cas16_lock[];

/* Fills in rip and mode as access_at() does; the other registers are the caller's. */
static void run_code(const uint8_t *code, struct regs *r, struct trap *t)
{
	struct regs at;

	user_regs(&at, code, false);
	r->rip = at.rip - (kernel_mode ? USER_BASE : 0);
	r->cs = kernel_mode ? SEL_KCODE : at.cs;
	r->ss = kernel_mode ? SEL_KDATA : at.ss;
	r->rsp = at.rsp - (kernel_mode ? USER_BASE : 0);
	r->rflags = at.rflags;
	run_regs(r, t);
}

/* 100 bytes of `value` to `to`. Returns the vector. */
static uint64_t fill(const uint8_t *code, uint8_t *to, uint8_t value, struct trap *t)
{
	struct regs r = { .rdi = (uint64_t)to, .rcx = 100, .rax = value };

	run_code(code, &r, t);
	return t->r.vector;
}

#define FILL_FAULTS(code, to, error_code)                  \
	do {                                               \
		CHECK_EQ(fill(code, to, 77, &t), VEC_PF);  \
		CHECK_EQ(t.r.error, error_code);           \
		CHECK_EQ(t.cr2, (uint64_t)(to));           \
		CHECK_EQ(t.r.rdi, (uint64_t)(to));         \
		CHECK_EQ(t.r.rcx, 100);                    \
	} while (0)

#define FILL_WORKS(code, to, value, at)                                \
	do {                                                           \
		CHECK_EQ(fill(code, to, value, &t), 0x80);             \
		CHECK_EQ(t.r.rdi, (uint64_t)(to) + 100);               \
		CHECK_EQ(t.r.rcx, 0);                                  \
		CHECK_EQ(*(volatile uint8_t *)(at), value);            \
		CHECK_EQ(*((volatile uint8_t *)(at) + 99), value);     \
	} while (0)

static void faults_midway(void)
{
	struct regs r;
	struct trap t;

	arena_prepare();
	kernel_mode = true;
	for (unsigned round = 0; round < 4; round++) {
		unmap_page(arena + 2 * PAGE);
		invlpg(arena + 2 * PAGE);
		CHECK_EQ(fill(do_fill, arena + 2 * PAGE - 30, (uint8_t)round, &t), VEC_PF);
		CHECK_EQ(t.cr2, (uint64_t)arena + 2 * PAGE);
		CHECK_EQ(t.r.rdi, (uint64_t)arena + 2 * PAGE);
		CHECK_EQ(t.r.rcx, 70);
		CHECK_EQ(arena[2 * PAGE - 1], round);
		r = (struct regs){ .rsi = (uint64_t)arena + 2 * PAGE - 24, .rdi = (uint64_t)arena + 4 * PAGE, .rcx = 9 };
		run_code(do_copy, &r, &t);
		CHECK_EQ(t.r.vector, VEC_PF);
		CHECK_EQ(t.r.error, 0);
		CHECK_EQ(t.r.rcx, 6);
		CHECK_EQ(t.r.rsi, (uint64_t)arena + 2 * PAGE);
		CHECK_EQ(t.r.rdi, (uint64_t)arena + 4 * PAGE + 24);
		CHECK_EQ(arena[4 * PAGE + 23], round);
		map_page(arena + 2 * PAGE, *pte_of(alias + 2 * PAGE) & PTE_ADDR, PTE_P | PTE_W);
		FILL_WORKS(do_fill, arena + 2 * PAGE - 30, 0x55, arena + 2 * PAGE - 30);
	}
}

/* Counts that come round to the same page in 64 bits. */
static void counts_without_end(void)
{
	struct regs r;
	struct trap t;

	arena_prepare();
	kernel_mode = true;
	unmap_page(arena + 3 * PAGE);
	invlpg(arena + 3 * PAGE);
	for (unsigned round = 0; round < 4; round++) {
		FILL_WORKS(do_fill, arena + 3 * PAGE - 128, (uint8_t)round, alias + 3 * PAGE - 128);
		r = (struct regs){ .rdi = (uint64_t)arena + 3 * PAGE - 8, .rcx = ~0ul, .rax = 17 };
		run_code(do_fill, &r, &t);
		CHECK_EQ(t.r.vector, VEC_PF);
		CHECK_EQ(t.r.rcx, ~0ul - 8);
		CHECK_EQ(t.cr2, (uint64_t)arena + 3 * PAGE);
		CHECK_EQ(alias[3 * PAGE - 8], 17);
		r = (struct regs){ .rsi = (uint64_t)arena, .rdi = (uint64_t)arena + 3 * PAGE - 16, .rcx = 1ul << 61 };
		run_code(do_copy, &r, &t);
		CHECK_EQ(t.r.vector, VEC_PF);
		CHECK_EQ(t.r.rcx, (1ul << 61) - 2);
		CHECK_EQ(t.r.rsi, (uint64_t)arena + 16);
		CHECK_EQ(t.cr2, (uint64_t)arena + 3 * PAGE);
	}
}

/* What was known of a page is not true any more. */
static void changed_pages(void)
{
	const uint64_t flags = PTE_P | PTE_W | PTE_U;
	uint8_t *va = new_page(flags), *frame = (uint8_t *)(*pte_of(va) & PTE_ADDR), *other = (uint8_t *)page_alloc();
	struct trap t;

	for (unsigned round = 0; round < 6; round++) {
		kernel_mode = round & 1;
		FILL_WORKS(do_fill, va + 8, 1, frame + 8);
		FILL_WORKS(do_fill, va + 8, 2, frame + 8);
		set_flags(va, flags & ~PTE_W);
		if (kernel_mode) {
			write_cr0(read_cr0() | 0x10000);
			FILL_FAULTS(do_fill, va + 8, PF_P | PF_W);
			write_cr0(read_cr0() & ~0x10000ul);
		} else {
			FILL_FAULTS(do_fill, va + 8, PF_P | PF_W | PF_U);
		}
		CHECK_EQ(frame[8], 2);
		map_page(va, (uint64_t)other, flags);
		invlpg(va);
		FILL_WORKS(do_fill, va + 8, 3, other + 8);
		CHECK_EQ(frame[8], 2);
		map_page(va, (uint64_t)frame, flags & ~PTE_U); /* the kernel's alone */
		invlpg(va);
		kernel_mode = true;
		FILL_WORKS(do_fill, va + 8, 4, frame + 8);
		kernel_mode = false;
		FILL_FAULTS(do_fill, va + 8, PF_P | PF_W | PF_U);
		map_page(va, (uint64_t)frame, flags);
		invlpg(va);
	}
}

static void users_pages(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U);
	struct trap t;

	if (!(cpuid(7, 0).ebx & 1u << 20))
		return test_skip("no SMAP");
	kernel_mode = true;
	FILL_WORKS(do_fill, va, 1, *pte_of(va) & PTE_ADDR);
	write_cr4(read_cr4() | CR4_SMAP);
	for (unsigned round = 0; round < 4; round++) {
		FILL_FAULTS(do_fill, va, PF_P | PF_W);
		FILL_WORKS(do_fill_ac, va, (uint8_t)(round + 2), *pte_of(va) & PTE_ADDR);
	}
	write_cr4(read_cr4() & ~CR4_SMAP);
	FILL_WORKS(do_fill, va, 9, *pte_of(va) & PTE_ADDR);
}

/* One address, two address spaces. */
static void spaces(void)
{
	uint64_t *second = address_space_new(), frame[2] = { page_alloc(), page_alloc() };
	uint8_t *va = free_area(PAGE);

	*page_entry(second, (uint64_t)va, 4, false) = 0;
	map_page(va, frame[0], PTE_P | PTE_W);
	*page_entry(second, (uint64_t)va, 1, true) = frame[1] | PTE_P | PTE_W;
	for (unsigned n = 0; n < 20; n++) {
		struct string_regs r = { .rdi = (uint64_t)va, .rcx = 8, .rax = n, .flags = FL_FIXED };

		write_cr3(n & 1 ? (uint64_t)second : (uint64_t)kernel_root);
		do_stosq(&r);
		write_cr3((uint64_t)kernel_root);
		CHECK_EQ(*(volatile uint64_t *)(frame[n & 1] + 56), n);
		CHECK_EQ(*(volatile uint64_t *)(frame[!(n & 1)] + 56), n ? n - 1 : 0);
	}
}

/* Functions that return what they were written with, copied and filled over each other: alone in a page, and beside data. */
static void over_code(void)
{
	uint8_t *page = (uint8_t *)pages_alloc(1, PAGE), text[16] = { 0xb8 /* mov eax, imm32 */, 0, 0, 0, 0, 0xc3 };
	unsigned (*fn)(void) = (unsigned (*)(void))(page + 256);

	for (unsigned n = 0; n < 300; n++) {
		struct string_regs r = { .rdi = (uint64_t)page + 256, .rsi = (uint64_t)text, .rcx = n & 1 ? 16 : 2, .flags = FL_FIXED };
		struct string_regs data = { .rdi = (uint64_t)page + 1024, .rcx = 64, .rax = n, .flags = FL_FIXED };

		memcpy(text + 1, &n, 4);
		(n & 1 ? do_movsb : do_movsq)(&r);
		CHECK_EQ(fn(), n);
		do_stosb(&data);
		CHECK_EQ(fn(), n);
		CHECK_EQ(page[1024 + 63], (uint8_t)n);
	}
}

/* ---- CMPXCHG16B */

struct u128 {
	uint64_t lo, hi;
} __attribute__((aligned(16)));

static bool cas16(struct u128 *p, struct u128 *expected, struct u128 value, bool lock, uint64_t *flags)
{
	if (lock)
		asm volatile("pushq %2; popfq; lock cmpxchg16b %3; pushfq; popq %2"
			     : "+a"(expected->lo), "+d"(expected->hi), "+r"(*flags), "+m"(*p)
			     : "b"(value.lo), "c"(value.hi)
			     : "memory", "cc");
	else
		asm volatile("pushq %2; popfq; cmpxchg16b %3; pushfq; popq %2"
			     : "+a"(expected->lo), "+d"(expected->hi), "+r"(*flags), "+m"(*p)
			     : "b"(value.lo), "c"(value.hi)
			     : "memory", "cc");
	return *flags & 0x40;
}

static void cas16_results(void)
{
	struct u128 *at = (struct u128 *)pages_alloc(1, PAGE), now = { 0, 0 };
	uint32_t seed = 3;

	for (unsigned n = 0; n < 2000; n++) {
		const struct u128 value = { random_next(&seed) * 0x123456789ull, random_next(&seed) * 0x987654321ull };
		uint64_t before = FL_FIXED | (random_next(&seed) & 0x8d5), flags = before;
		struct u128 expected = now, *p = at + n % 256;
		bool equal = n % 3 != 0;

		*p = now;
		if (!equal)
			*(n % 2 ? &expected.lo : &expected.hi) ^= 1ul << n % 64;
		CHECK_EQ(cas16(p, &expected, value, n & 4, &flags), equal);
		CHECK_EQ(flags, (before & ~0x40ul) | (equal ? 0x40 : 0));
		CHECK_EQ(expected.lo, now.lo);
		CHECK_EQ(expected.hi, now.hi);
		if (equal)
			now = value;
		CHECK_EQ(p->lo, now.lo);
		CHECK_EQ(p->hi, now.hi);
	}
}

static void cas16_faults(void)
{
	uint8_t *va = new_page(PTE_P | PTE_W | PTE_U), *frame = (uint8_t *)(*pte_of(va) & PTE_ADDR);

	for (unsigned round = 0; round < 4; round++) {
		const uint8_t *code = round & 2 ? do_cas16_lock : do_cas16;
		struct regs r = { .rdi = (uint64_t)va + 32, .rbx = 5 + round, .rcx = 6 };
		struct trap t;

		kernel_mode = round & 1;
		memset(frame, 0, 64);
		run_code(code, &r, &t);
		CHECK_EQ(t.r.vector, 0x80);
		CHECK_EQ(frame[32], 5 + round);
		r.rdi++;
		run_code(code, &r, &t);
		CHECK_EQ(t.r.vector, VEC_GP);
		r.rdi--;
		set_flags(va, PTE_P | PTE_U);
		write_cr0(read_cr0() | 0x10000);
		r.rbx = 99;
		run_code(code, &r, &t); /* even if it would not change anything */
		write_cr0(read_cr0() & ~0x10000ul);
		CHECK_EQ(t.r.vector, VEC_PF);
		CHECK_EQ(t.r.error, PF_P | PF_W | (kernel_mode ? 0 : PF_U));
		CHECK_EQ(frame[32], 5 + round);
		set_flags(va, PTE_P | PTE_W | PTE_U);
	}
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(runs),
	RT_TEST(faults_midway),
	RT_TEST(counts_without_end),
	RT_TEST(changed_pages),
	RT_TEST(users_pages),
	RT_TEST(spaces),
	RT_TEST(over_code),
	RT_TEST(cas16_results),
	RT_TEST(cas16_faults),
	{0},
};
