/* SPDX-License-Identifier: MIT */
/*
 * Code that writes itself, a few times round a loop, so that what is changed has run before: immediates, opcodes, conditions of branches;
 * by stores of all widths, read-modify-write, exchanges, vectors, strings; through the address it runs at, or through another one with a
 * serializing instruction behind (SDM volume 3A, 8.1.3). The code is compared afterwards, too.
 *
 * Registers: RAX, RCX, RDX, RBX hold data, RBP counts, RDI points. In 16-bit code FS and ES are a data segment over the code.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

#define MAX_PIECES 13u /* of up to 8 instructions: DIFF_MAX_INSNS */
#define ALIAS_DISTANCE (DIFF_ALIAS - DIFF_CODE)

/* What a piece of code is; the first ones can be changed while they run. */
enum piece_kind { V_MOV, V_ALU, V_INC, V_JCC, NR_VICTIMS, M_BYTE = NR_VICTIMS, M_WORD, M_REG, M_XOR, M_XCHG, M_VECTOR, M_STOS, M_ALIAS, NR_PIECES };

struct piece {
	uint8_t kind, reg, victim; /* victim: number of the piece that is changed */
	uint8_t off;               /* byte of it */
	uint8_t value;
	uint32_t at;
};

struct smc {
	struct program *p;
	struct rng *r;
	unsigned mode, nr, len;
	struct piece piece[MAX_PIECES];
};

static void put(struct smc *s, uint8_t b)
{
	s->p->c.code[s->len++] = b;
}

static void put_word(struct smc *s, uint32_t v)
{
	memcpy(s->p->c.code + s->len, &v, 4);
	s->len += s->mode == DIFF_16 ? 2 : 4;
}

/* Opcode bytes, then ModRM and an absolute address. */
static void put_op_at(struct smc *s, const uint8_t *op, unsigned n, uint8_t reg, uint32_t at)
{
	if (s->mode == DIFF_16)
		put(s, 0x64);
	while (n--)
		put(s, *op++);
	if (s->mode == DIFF_16) {
		put(s, (uint8_t)(reg << 3 | 6));
		put_word(s, at - DIFF_CODE);
		return;
	}
	put(s, (uint8_t)(reg << 3 | (s->mode == DIFF_64 ? 4 : 5)));
	if (s->mode == DIFF_64)
		put(s, 0x25);
	put_word(s, at);
}

#define PUT_AT(s, reg, at, ...) put_op_at(s, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), reg, at)

static void put_mov(struct smc *s, uint8_t reg, uint32_t v)
{
	put(s, 0xb8 | reg);
	put_word(s, v);
}

/* The byte of a victim that changes, and what it may become: flags stay defined as they were. */
static uint8_t changed_byte(struct smc *s, const struct piece *v, uint8_t *off)
{
	static const uint8_t alu[] = { 0xc0, 0xe8, 0xf8 };
	unsigned word = s->mode == DIFF_16 ? 2 : 4;

	switch (v->kind) {
	case V_MOV:
		*off = (uint8_t)(1 + rng_below(s->r, word));
		return (uint8_t)rng_u64(s->r);
	case V_ALU:
		*off = (uint8_t)(1 + rng_below(s->r, word + 1));
		return *off == 1 ? alu[rng_below(s->r, 3)] | v->reg : (uint8_t)rng_u64(s->r);
	case V_INC:
		*off = 1;
		return (rng_percent(s->r, 50) ? 0xc0 : 0xc8) | v->reg;
	default:
		*off = 0;
		return 0x74 + (uint8_t)rng_below(s->r, 2);
	}
}

/* MOV [victim], imm32 and vectors change only immediates. */
static void modify(struct smc *s, const struct piece *m, uint32_t at)
{
	switch (m->kind) {
	case M_BYTE:
		PUT_AT(s, 0, at, 0xc6);
		put(s, m->value);
		break;
	case M_WORD:
		PUT_AT(s, 0, at, 0xc7);
		put_word(s, (uint32_t)rng_u64(s->r));
		break;
	case M_REG:
		put_mov(s, X86_RAX, m->value);
		PUT_AT(s, X86_RAX, at, 0x88);
		break;
	case M_XOR: /* immediates again */
		PUT_AT(s, 6, at, 0x80);
		put(s, m->value);
		break;
	case M_XCHG:
		put_mov(s, X86_RAX, m->value);
		PUT_AT(s, X86_RAX, at, 0x86);
		break;
	case M_VECTOR: /* 4 bytes of XMM0 */
		PUT_AT(s, 0, at, 0x66, 0x0f, 0x7e);
		break;
	case M_STOS:
		put_mov(s, X86_RAX, m->value);
		put_mov(s, X86_RDI, s->mode == DIFF_16 ? at - DIFF_CODE : at);
		put_mov(s, X86_RCX, 1);
		if (m->reg & 1)
			put(s, 0xf3);
		put(s, 0xaa);
		break;
	default:
		PUT_AT(s, 0, at + ALIAS_DISTANCE, 0xc6);
		put(s, m->value);
		put_mov(s, X86_RAX, 0);
		put(s, 0x0f); /* CPUID */
		put(s, 0xa2);
		for (uint8_t reg = X86_RAX; reg <= X86_RBX; reg++)
			put_mov(s, reg, reg * 0x1111u);
	}
}

static void emit(struct smc *s, struct piece *v)
{
	v->at = DIFF_CODE + s->p->c.code_off + s->len;
	switch (v->kind) {
	case V_MOV:
		put_mov(s, v->reg, v->value * 0x01010101u);
		break;
	case V_ALU:
		put(s, 0x81);
		put(s, 0xc0 | v->reg);
		put_word(s, v->value * 0x01010101u);
		break;
	case V_INC:
		put(s, 0xff);
		put(s, 0xc0 | v->reg);
		break;
	case V_JCC: /* over an INC */
		put(s, 0x74 + (v->value & 1));
		put(s, 2);
		put(s, 0xff);
		put(s, 0xc0 | v->reg);
		break;
	default:
		modify(s, v, s->piece[v->victim].at + v->off);
	}
}

/* All pieces, then "sub counter, 1; jnz start". Twice: addresses of victims further on are known the second time only. */
static void layout(struct smc *s)
{
	uint64_t seed = s->r->s;
	int32_t back;

	for (unsigned pass = 0; pass < 2; pass++) {
		s->len = 0;
		s->r->s = seed;
		for (unsigned i = 0; i < s->nr; i++)
			emit(s, &s->piece[i]);
	}
	put(s, 0x83);
	put(s, 0xe8 | X86_RBP);
	put(s, 1);
	put(s, 0x0f);
	put(s, 0x85);
	back = -(int32_t)s->len - (s->mode == DIFF_16 ? 2 : 4);
	put_word(s, (uint32_t)back);
	s->p->c.code_len = s->len;
}

static bool is_wide(const struct piece *m)
{
	return m->kind == M_WORD || m->kind == M_XOR || m->kind == M_VECTOR;
}

/* Which victim, and how. Wide stores and XOR take the immediate of a MOV. */
static void choose_victim(struct smc *s, struct piece *m)
{
	unsigned i = rng_below(s->r, s->nr);

	for (unsigned tries = 0; tries < s->nr; tries++, i = (i + 1) % s->nr)
		if (s->piece[i].kind < NR_VICTIMS && (!is_wide(m) || s->piece[i].kind == V_MOV))
			break;
	if (s->piece[i].kind >= NR_VICTIMS || (is_wide(m) && s->piece[i].kind != V_MOV)) {
		m->kind = V_MOV; /* there is none */
		return;
	}
	m->victim = (uint8_t)i;
	m->value = changed_byte(s, &s->piece[i], &m->off);
	if (m->kind == M_WORD || m->kind == M_VECTOR)
		m->off = 1;
	if (m->kind == M_VECTOR && s->mode == DIFF_16)
		m->kind = M_BYTE; /* its immediates are shorter */
	if (m->kind == M_ALIAS && s->mode == DIFF_16)
		m->kind = M_STOS; /* no segment reaches both */
}

static void start_state(struct smc *s)
{
	struct diff_state *in = &s->p->c.in;

	state_random(in, s->mode, s->r);
	in->flags &= ~(uint64_t)(X86_FL_DF | X86_FL_AC);
	in->gpr[X86_RBP] = 2 + rng_below(s->r, 4);
	if (s->mode == DIFF_64)
		return;
	in->sel[X86_DS] = in->sel[X86_ES] = in->sel[X86_FS] = s->mode == DIFF_16 ? DIFF_SEL(OVERCODE) : DIFF_SEL_USER_DS;
	if (s->mode == DIFF_32)
		in->sel[X86_CS] = DIFF_SEL_USER32;
}

void smc_generate(struct program *p, uint64_t seed)
{
	struct rng r = { seed };
	struct smc s = { .p = p, .r = &r };

	memset(&p->c, 0, offsetof(struct diff_case, in));
	p->poke_used = 0;
	p->seed = seed;
	s.mode = rng_below(&r, 10) < 6 ? DIFF_64 : rng_below(&r, 2) ? DIFF_32 : DIFF_16;
	p->c.mode = (uint8_t)s.mode;
	p->c.smc = 1;
	p->c.twice = rng_percent(&r, 30);
	p->c.how = how_random(&r);
	p->c.code_off = rng_percent(&r, 30) ? DIFF_PAGE - rng_below(&r, 100) : 16 + rng_below(&r, DIFF_PAGE - 1024);
	start_state(&s);
	s.nr = 4 + rng_below(&r, MAX_PIECES - 3);
	for (unsigned i = 0; i < s.nr; i++)
		s.piece[i] = (struct piece){ .kind = (uint8_t)(rng_percent(&r, 50) ? rng_below(&r, NR_VICTIMS) : rng_below(&r, NR_PIECES)),
					     .reg = (uint8_t)rng_below(&r, 4), .value = (uint8_t)rng_u64(&r) };
	for (unsigned i = 0; i < s.nr; i++)
		if (s.piece[i].kind >= NR_VICTIMS)
			choose_victim(&s, &s.piece[i]);
	layout(&s);
	program_from_bytes(p);
	p->raw = p->text = false;
}
