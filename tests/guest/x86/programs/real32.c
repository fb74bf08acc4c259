/* SPDX-License-Identifier: MIT */
/*
 * Random 16-bit instructions do the same in real mode, in V86 mode and in 16-bit protected mode with the same segments, and
 * in big real mode the same as in protected mode with 4 GiB segments: registers, flags, memory and the fault. (What
 * protected mode itself does is compared with the host's by the differential tests.)
 *
 * Command line: rounds=N, seed=N.
 */
#include "real32.h"

#include "rt32.h"

#define CHANGED_FLAGS 0xcd5u
#define BIG_BASE      0x1000000u /* of the segments of big real mode */
#define BIG_BELOW     0x20000u   /* reached by negative displacements */
#define BIG_SIZE      0xb0000u 
#define PRISTINE      0x2000000u /* what memory holds before each run */
#define RESULT	      0x2400000u /* what the first mode left there */
#define NO_FAULT      0xff

#define UNDEF_AF   0x10u
#define UNDEF_MUL  0xd4u
#define UNDEF_BIT  0x894u
#define UNDEF_ALL  0x8d5u

#define LABEL(name)                      \
	({                               \
		extern uint8_t name[];   \
		(uint32_t)(name);        \
	})

enum mode { REAL, V86, PROTECTED, NR_MODES };
static const char *const mode_names[] = {"real mode", "V86 mode", "protected mode"};

struct state {
	uint32_t reg[8], flags, fault;
};

void real_run(void);

static uint32_t seed;
static uint8_t code[64];
static unsigned len;
static uint32_t undefined; /* flags that the snippet's last instruction leaves undefined */

static void *low(uint32_t address)
{
	asm("" : "+r"(address)); /* the compiler believes in no low addresses */
	return (void *)address;
}

static uint32_t low_offset(uint32_t label)
{
	return label - LABEL(low_start);
}

/* ---- Running */

static void set_up(bool big)
{
	static const uint32_t bases[] = {LOW_DS, LOW_ES, LOW_SS, LOW_FS};
	static const uint32_t ivt[][2] = {{0, 0}, {6, 1}, {12, 2}, {13, 3}};
	const uint32_t handlers[] = {LABEL(low_de), LABEL(low_ud), LABEL(low_ss), LABEL(low_gp)};

	memcpy(low(LOW_CODE), low(LABEL(low_start)), LABEL(low_end) - LABEL(low_start));
	for (unsigned i = 0; i < ARRAY_LEN(ivt); i++)
		*(uint32_t *)low(ivt[i][0] * 4) = (LOW_CODE >> 4) << 16 | low_offset(handlers[ivt[i][1]]);
	gdt_set(SEL_LOW, gdt_segment(LOW_CODE, 0xffff, 0x9a, 0));
	gdt_set(SEL_BIG, big ? gdt_segment(BIG_BASE, 0xfffff, 0x92, 8) : gdt_segment(0, 0xffff, 0x92, 0));
	gdt_set(SEL_USER, gdt_segment(LOW_CODE, 0xffff, 0xfa, 0));
	for (unsigned i = 0; i < 4; i++)
		gdt_set((uint16_t)(SEL_USER + 8 + 8 * i),
			big ? gdt_segment(BIG_BASE, 0xfffff, 0xf2, 8) : gdt_segment(bases[i], 0xffff, 0xf2, 0));
	gdt_set(SEL_USER + 40, gdt_segment(LOW_CODE, 0xffff, 0xf2, 0));
	*(uint8_t *)low(LOW_CODE + VAR_BIG) = big;
}

static void run_by_trap(enum mode mode)
{
	struct trap t;
	struct regs r;

	memset(&r, 0, sizeof(r));
	r.eip = low_offset(LABEL(low_enter));
	r.esp = SCRATCH_SP;
	if (mode == V86) {
		r.ds = r.es = r.fs = r.gs = SEL32_KDATA;
		r.eflags = FL_FIXED | FL_VM | FL_IOPL3;
		r.cs = r.v86_gs = LOW_CODE >> 4;
		r.v86_ds = LOW_DS >> 4;
		r.v86_es = LOW_ES >> 4;
		r.ss = LOW_SS >> 4;
		r.v86_fs = LOW_FS >> 4;
	} else {
		r.eflags = FL_FIXED | FL_IOPL3;
		r.cs = SEL_USER | 3;
		r.ds = (SEL_USER + 8) | 3;
		r.es = (SEL_USER + 16) | 3;
		r.ss = (SEL_USER + 24) | 3;
		r.fs = (SEL_USER + 32) | 3;
		r.gs = (SEL_USER + 40) | 3;
	}
	run_regs(&r, &t);
	if (t.r.vector != VEC_BP)
		*(uint8_t *)low(LOW_CODE + VAR_FAULT) = (uint8_t)t.r.vector;
}

static void run(enum mode mode, const struct state *in, struct state *out)
{
	memcpy(low(LOW_CODE + VAR_IN), in, 36);
	memset(low(LOW_CODE + VAR_OUT), 0, 36);
	*(uint8_t *)low(LOW_CODE + VAR_FAULT) = NO_FAULT;
	*(uint16_t *)low(LOW_CODE + VAR_LEAVE) =
		(uint16_t)low_offset(mode == REAL ? LABEL(low_leave_real) : LABEL(low_leave_trap));
	memcpy(low(LOW_CODE + LOW_SNIPPET), code, len);
	if (mode == REAL)
		real_run();
	else
		run_by_trap(mode);
	memcpy(out, low(LOW_CODE + VAR_OUT), 36);
	out->fault = *(uint8_t *)low(LOW_CODE + VAR_FAULT);
	out->flags &= CHANGED_FLAGS & ~undefined;
}

/* ---- Instructions */

static uint32_t below(uint32_t n)
{
	return (random_next(&seed) >> 8) % n;
}

static void byte(uint32_t v)
{
	code[len++] = (uint8_t)v;
}

static void bytes(uint32_t v, unsigned n)
{
	while (n--) {
		byte(v);
		v >>= 8;
	}
}

struct prefixes {
	bool op32, addr32;
};

static struct prefixes prefixes(bool big)
{
	static const uint8_t overrides[] = {0x26, 0x36, 0x3e, 0x64};
	struct prefixes p = {below(3) == 0, below(big ? 2 : 6) == 0};

	if (below(5) == 0)
		byte(overrides[below(4)]);
	if (p.op32)
		byte(0x66);
	if (p.addr32)
		byte(0x67);
	return p;
}

/* Not ESP: its value is for the stack. */
static uint32_t a_register(void)
{
	uint32_t r = below(7);

	return r >= 4 ? r + 1 : r;
}

/* ModRM and what follows; reg is the register or the opcode's extension. */
static void modrm(struct prefixes p, uint32_t reg, bool memory_only)
{
	uint32_t mod = below(memory_only ? 3 : 4), rm = mod == 3 ? a_register() : below(8), base;

	byte(mod << 6 | reg << 3 | rm);
	if (mod == 3)
		return;
	if (!p.addr32) {
		bytes(random_next(&seed), mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
		return;
	}
	base = rm;
	if (rm == 4) {
		base = below(8);
		byte(below(4) << 6 | below(8) << 3 | base);
	}
	if (mod == 1)
		byte(below(256));
	else if (mod == 2 || base == 5)
		bytes(below(0x10000), 4);
}

static void imm(struct prefixes p, bool wide)
{
	bytes(random_next(&seed), !wide ? 1 : p.op32 ? 4 : 2);
}

static void alu(struct prefixes p)
{
	uint32_t op = below(8) << 3, kind = below(8);

	undefined = op == 0x08 || op == 0x20 || op == 0x30 ? UNDEF_AF : 0;
	if (kind < 4) {
		byte(op | kind);
		modrm(p, a_register(), false);
	} else if (kind < 6) {
		byte(op | kind);
		imm(p, kind & 1);
	} else {
		byte(kind == 6 ? 0x81 : 0x83);
		modrm(p, op >> 3, false);
		imm(p, kind == 6);
	}
}

static void shift(struct prefixes p)
{
	static const uint8_t ops[] = {0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3};
	uint32_t op = ops[below(6)];

	byte(op);
	modrm(p, below(8), false);
	if (op < 0xd0)
		byte(below(40));
	undefined = UNDEF_AF | 0x801; /* OF for counts above 1, CF for those above the width */
}

static void group3(struct prefixes p)
{
	uint32_t op = 0xf6 + below(2), reg = below(8);

	byte(op);
	modrm(p, reg, false);
	if (reg < 2)
		imm(p, op & 1);
	undefined = reg < 2 ? UNDEF_AF : reg < 4 ? 0 : reg < 6 ? UNDEF_MUL : UNDEF_ALL;
}

static void moves(struct prefixes p)
{
	uint32_t op = 0x84 + below(8);

	undefined = op < 0x86 ? UNDEF_AF : 0;
	byte(op);
	modrm(p, op < 0x86 || op >= 0x88 ? a_register() : below(4), false);
}

static void one_byte(struct prefixes p)
{
	static const uint8_t ops[] = {0x98, 0x99, 0x9e, 0x9f, 0xd7, 0x27, 0x2f, 0x37, 0x3f, 0xf5, 0xf8, 0xf9, 0xfc, 0xfd,
				      0x60, 0x61, 0xc9, 0x90};

	uint32_t op = ops[below(sizeof(ops))];

	(void)p;
	byte(op);
	if (op == 0x27 || op == 0x2f)
		undefined = 0x800;
	if (op == 0x37 || op == 0x3f)
		undefined = 0x8c4;
}

static void registers(struct prefixes p)
{
	static const uint8_t ops[] = {0x40, 0x48, 0x50, 0x58, 0x90};

	(void)p;
	byte(ops[below(5)] | a_register());
}

static void immediates(struct prefixes p)
{
	switch (below(6)) {
	case 0: byte(0xb0 | below(8)); imm(p, false); break;
	case 1: byte(0xb8 | a_register()); imm(p, true); break;
	case 2: byte(0x68); imm(p, true); break;
	case 3: byte(0x6a); imm(p, false); break;
	case 4: byte(0xd4 + below(2)); byte(below(20)); undefined = 0x811; break; /* AAM, AAD */
	default: byte(0xa0 + below(4)); bytes(below(0x10000), p.addr32 ? 4 : 2); break;
	}
}

static void strings(struct prefixes p)
{
	static const uint8_t ops[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

	(void)p;
	if (below(2))
		byte(0xf2 + below(2));
	byte(ops[below(sizeof(ops))]);
}

/* Whatever came before, counts stay small: AND $31, %ECX in front of a snippet's string instruction. */
static void small_count(void)
{
	byte(0x66);
	byte(0x83);
	byte(0xe1);
	byte(31);
}

/* Jumps over a byte or to what follows, a call whose return address stays on the stack, loops of no turn. */
static void branches(struct prefixes p)
{
	switch (below(5)) {
	case 0: byte(0x70 | below(16)); byte(1); byte(0x98); break;
	case 1: byte(0xe0 + below(4)); byte(1); byte(0x98); break;
	case 2: byte(0xe8); bytes(0, p.op32 ? 4 : 2); break;
	case 3: byte(0xeb); byte(1); byte(0xf4); break;
	default: byte(0x0f); byte(0x80 | below(16)); bytes(1, p.op32 ? 4 : 2); byte(0x98); break;
	}
}

static void two_byte(struct prefixes p)
{
	static const uint8_t ops[] = {0xb6, 0xb7, 0xbe, 0xbf, 0xa3, 0xab, 0xb3, 0xbb, 0xaf, 0xbc, 0xbd,
				      0xc0, 0xc1, 0xb0, 0xb1, 0xba, 0xa4, 0xac, 0xc7};
	uint32_t op = below(3) ? ops[below(sizeof(ops))] : 0x40 + below(2) * 0x50 + below(16);

	if (op == 0xaf)
		undefined = UNDEF_MUL;
	else if (op == 0xbc || op == 0xbd)
		undefined = UNDEF_ALL;
	else if ((op & 0xe7) == 0xa3 || op == 0xba)
		undefined = UNDEF_BIT;
	else if (op == 0xa4 || op == 0xac || op == 0xa5 || op == 0xad)
		undefined = UNDEF_ALL;
	byte(0x0f);
	byte(op);
	modrm(p, op == 0xba ? 4 + below(4) : op == 0xc7 ? 1 : a_register(), op == 0xc7);
	if (op == 0xba || op == 0xa4 || op == 0xac)
		byte(below(16)); /* above the width everything is undefined */
}

static void others(struct prefixes p)
{
	switch (below(6)) {
	case 0: byte(0x69); modrm(p, a_register(), false); imm(p, true); undefined = UNDEF_MUL; break;
	case 1: byte(0x6b); modrm(p, a_register(), false); imm(p, false); undefined = UNDEF_MUL; break;
	case 2: byte(0x8d); modrm(p, a_register(), true); break;
	case 3: byte(0x8f); modrm(p, 0, false); break;
	case 4: byte(0xfe + below(2)); modrm(p, below(2), false); break;
	default: byte(0xff); modrm(p, 6, false); break;
	}
}

static void mov_imm_to_rm(struct prefixes p)
{
	bool wide = below(2);

	byte(0xc6 + wide);
	modrm(p, 0, false);
	imm(p, wide);
}

static void enter(struct prefixes p)
{
	(void)p;
	byte(0xc8);
	bytes(below(64), 2);
	byte(below(4));
}

static void instruction(bool big)
{
	static void (*const families[])(struct prefixes) = {
		alu, alu, shift, group3, moves, moves, one_byte, registers, immediates, strings, branches, two_byte,
		two_byte, others, mov_imm_to_rm, enter,
	};

	unsigned n = below(ARRAY_LEN(families));

	if (families[n] == strings)
		small_count();
	families[n](prefixes(big));
}

static void make_snippet(bool big)
{
	uint32_t target = low_offset(LABEL(low_exit));

	len = 0;
	undefined = 0;
	for (unsigned n = 1 + below(3); n-- && !undefined;)
		instruction(big);
	byte(0xe9);
	bytes(target - (LOW_SNIPPET + len + 2), 2);
}

/* REP counts stay small, addresses often within 64 KiB, the stack in the middle. */
static void make_state(struct state *s, bool big)
{
	for (unsigned i = 0; i < 8; i++) {
		s->reg[i] = random_next(&seed);
		if (big || below(2))
			s->reg[i] &= 0xffff;
	}
	s->reg[1] &= big ? 0x1f : 0xffff001f;
	s->reg[4] = (s->reg[4] & 0xffff0000) | (0x4000 + below(0x4000)) | below(2) * 0x4000;
	if (big)
		s->reg[4] &= 0xffff;
	s->flags = (random_next(&seed) & CHANGED_FLAGS) | FL_FIXED;
}

/* ---- Comparison */

struct area {
	uint32_t start, size;
};

static const struct area low_area = {LOW_DS, LOW_END - LOW_DS}, big_area = {BIG_BASE - BIG_BELOW, BIG_BELOW + BIG_SIZE};

static bool same_bytes(uint32_t a, uint32_t b, uint32_t size)
{
	const uint32_t *x = low(a), *y = low(b);
	uint32_t differs = 0;

	for (uint32_t i = 0; i < size / 4; i++)
		differs |= x[i] ^ y[i];
	return !differs;
}

static void complain(unsigned round, enum mode mode, const struct state *in, const struct state *a, const struct state *b)
{
	static const char names[8][4] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};

	if (!test_failed()) {
		print("# round %u, code", round);
		for (unsigned i = 0; i < len; i++)
			print(" %02x", code[i]);
		print("\n# fault %u and %u, flags %x and %x (before: %x)\n", a->fault, b->fault, a->flags, b->flags, in->flags);
		for (unsigned i = 0; i < 8; i++)
			print("# %s %x and %x (before: %x)\n", names[i], a->reg[i], b->reg[i], in->reg[i]);
	}
	test_fail("round %u: %s differs", round, mode_names[mode]);
}

/* After a fault only its number is compared: real mode has its frame on the same stack. */
static bool same_state(const struct state *a, const struct state *b)
{
	return a->fault == b->fault && (a->fault != NO_FAULT || !memcmp(a, b, sizeof(*a)));
}

static void compare_modes(bool big, const struct area *area)
{
	uint32_t rounds = (uint32_t)opt_number("rounds", 2000), faults = 0;

	seed = (uint32_t)opt_number("seed", 12345) + big;
	for (uint32_t i = 0; i < area->size; i += 4)
		*(uint32_t *)low(PRISTINE + i) = random_next(&seed);
	set_up(big);
	for (uint32_t round = 0; round < rounds && !test_failed(); round++) {
		struct state in, first, out;

		make_snippet(big);
		make_state(&in, big);
		for (enum mode mode = REAL; mode < NR_MODES; mode++) {
			if (big && mode == V86)
				continue;
			memcpy(low(area->start), low(PRISTINE), area->size);
			run(mode, &in, mode == REAL ? &first : &out);
			/* The flags that the exit pushed are not all of the snippet's. */
			memset(low((big ? BIG_BASE : LOW_SS) + SCRATCH_SP - 4), 0, 4);
			if (mode == REAL)
				memcpy(low(RESULT), low(area->start), area->size);
			else if (!same_state(&first, &out) ||
				 (out.fault == NO_FAULT && !same_bytes(area->start, RESULT, area->size)))
				complain(round, mode, &in, &first, &out);
		}
		faults += first.fault != NO_FAULT;
	}
	print("# %u of %u snippets fault\n", faults, rounds);
	CHECK(faults < rounds / 2);
}

static void modes_agree(void)
{
	compare_modes(false, &low_area);
}

static void big_real_mode(void)
{
	compare_modes(true, &big_area);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(modes_agree),
	RT_TEST(big_real_mode),
	{0},
};
