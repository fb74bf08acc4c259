/* SPDX-License-Identifier: MIT */
/*
 * Sequences of 2 to 40 instructions: flag producers and consumers, forward branches, calls and returns, a bounded loop, loads and
 * stores off shared base registers that nothing in the sequence changes, so that accesses share checks and mostly hit the arena.
 * Whatever faults on the way ends the sequence, here as there; so does a single-step trap, in some that begin with POPF.
 */
#include <string.h>

#include "diff/program.h"
#include "diff/segments.h"
#include "diff/values.h"
#include "vcpu/x86/x86_cpu.h"

#define MAX_TRIES 200

/* What the sequence is made of, and which registers have a duty. */
struct plan {
	struct program *p;
	struct rng *r;
	const uint16_t *pool;
	unsigned nr_pool;
	uint8_t base[2], index, counter;
	uint32_t reserved; /* mask of registers that nothing may write */
	bool edge;         /* bases near page ends */
	bool trap;         /* the first instruction is POPF, and sets TF */
	bool strings;      /* the bases are RSI and RDI, and string instructions move them */
	unsigned profile;  /* PROFILE_* */
};

enum { PROFILE_INT, PROFILE_SSE, PROFILE_X87, PROFILE_MIXED, PROFILES };

static bool profile_allows(unsigned profile, const struct form *f)
{
	bool fp = f->row->attr & (X86_A_FPU | X86_A_MMX), sse = (f->row->attr & (X86_A_SSE | X86_A_AVX512)) && !fp;

	switch (profile) {
	case PROFILE_INT:
		return !fp && !sse;
	case PROFILE_SSE:
		return !fp;
	case PROFILE_X87:
		return !sse;
	default:
		return true;
	}
}

/* Instructions that need a state made for them, or end a sequence nearly always. */
static bool unsuitable(const struct form *f)
{
	switch (f->id) {
	case X86_I_POPF: case X86_I_ENTER: case X86_I_LEAVE: case X86_I_XLAT: case X86_I_FXRSTOR: case X86_I_FLDENV: case X86_I_FRSTOR:
	case X86_I_FXSAVE: case X86_I_FNSAVE: case X86_I_FNSTENV: case X86_I_FLDCW: case X86_I_LDMXCSR: case X86_I_VLDMXCSR: case X86_I_WRFSBASE:
	case X86_I_WRGSBASE: case X86_I_UD0: case X86_I_UD1: case X86_I_UD2: case X86_I_CMPXCHG16B: case X86_I_MASKMOVQ:
	case X86_I_MASKMOVDQU: case X86_I_VMASKMOVDQU:
		return true;
	case X86_I_INT: case X86_I_INT3: case X86_I_RSM: case X86_I_IN: case X86_I_OUT: case X86_I_INS: case X86_I_OUTS: case X86_I_IRET:
	case X86_I_RETF: case X86_I_JMPF: case X86_I_CALLF: case X86_I_LES: case X86_I_LDS: case X86_I_LSS: case X86_I_LFS: case X86_I_LGS:
	case X86_I_LAR: case X86_I_LSL: case X86_I_VERR: case X86_I_VERW: case X86_I_MONITOR: case X86_I_MWAIT: case X86_I_XSETBV:
	case X86_I_CLAC: case X86_I_STAC: case X86_I_BOUND: case X86_I_POPA: case X86_I_INTO:
		return true;
	case X86_I_MOV_SEG: case X86_I_POP:
		return x86_oc_info[f->row->oc[0]].method == X86_M_SD || x86_oc_info[f->row->oc[0]].method == X86_M_SEGF;
	case X86_I_PUSH: /* see contents.c */
		return f->opsize > 2 && x86_oc_info[f->row->oc[0]].method == X86_M_SEGF;
	case X86_I_JMP: case X86_I_CALL: /* direct ones only */
		return f->modrm;
	case X86_I_SHLD: case X86_I_SHRD:
		return f->opsize == 2;
	case X86_I_BSF: case X86_I_BSR: /* of 0, see compare.c */
		return f->opsize == 4;
	default:
		return f->row->attr & (X86_A_PRIV | X86_A_IOPL);
	}
}

/* 16-bit addresses: SI and DI are the bases, BX the index (assign_registers()). */
static void choose_memory16(const struct plan *s, struct mem_choice *m)
{
	m->addr = 2;
	m->rm16 = (uint8_t)((m->index == 4 ? 4 : 0) + (m->base == s->base[0] ? 0 : 1));
}

static void choose_memory(const struct plan *s, struct mem_choice *m)
{
	struct rng *r = s->r;
	unsigned what = rng_below(r, 100), mode = s->p->c.mode;

	memset(m, 0, sizeof(*m));
	m->addr = mode == DIFF_64 ? 8 : 4;
	m->kind = MEM_BASE;
	m->base = what < 80 ? s->base[what & 1] : X86_RSP;
	m->index = rng_percent(r, 20) ? s->index : 4;
	m->scale_log2 = (uint8_t)rng_below(r, 4);
	m->disp = (int32_t)rng_below(r, 256) - 128;
	if (rng_percent(r, 70))
		m->disp &= ~15;
	if (rng_percent(r, 10))
		m->disp = (int32_t)rng_below(r, 0x600) - 0x300;
	if (what >= 95 && mode == DIFF_64) {
		m->kind = MEM_RIP;
		m->index = 4;
	}
	if (mode == DIFF_16 && what < 80 && rng_percent(r, 70))
		choose_memory16(s, m);
	if (m->kind != MEM_RIP && rng_percent(r, 1))
		m->seg = (const uint8_t[]){ 0x64, 0x65, 0x26 }[rng_below(r, mode == DIFF_64 ? 2 : 3)];
}

/* Linear address of the memory operand as it will be, or 0 if only the run can tell (RSP moves). */
static uint64_t known_address(const struct plan *s, const struct insn *i)
{
	const struct x86_memref *m = &i->in.mem;
	uint64_t at;

	if (m->base == X86_RSP || m->base == X86_REG_NONE || insn_is_gather(&i->in))
		return 0;
	if (m->base == X86_REG_RIP)
		return i->rip_target;
	at = s->p->c.in.gpr[m->base] + (uint64_t)m->disp;
	if (m->index != X86_REG_NONE)
		at += s->p->c.in.gpr[m->index] * m->scale;
	if (s->p->c.mode == DIFF_64)
		return at;
	return (uint32_t)((i->in.addrsize == 2 ? (uint16_t)at : at) + diff_case_base(&s->p->c, m->seg));
}

/* No locked access over the end of a cache line, ever; misaligned vectors only now and then, because they end the run. */
static bool is_aligned_enough(const struct plan *s, const struct insn *i)
{
	int n = insn_mem_operand(&i->in);
	uint64_t at = known_address(s, i);

	if (n < 0)
		return true;
	if (insn_is_locked(&i->in))
		return at && !(i->in.pfx & X86_PFX_SEG) && at % 64 + i->in.op[n].size <= 64;
	return !(i->in.attr & X86_A_ALIGN) || (at && at % (i->in.op[n].size > 16 ? i->in.op[n].size : 16u) == 0) || rng_percent(s->r, 2);
}

static bool keeps_reserved(const struct plan *s, const struct x86_insn *in)
{
	uint32_t writes = insn_writes_gpr(in);

	if (in->attr & X86_A_STRING)
		return s->strings && !(in->pfx & X86_PFX_67);
	switch (in->id) {
	case X86_I_POP: /* into a register: fine, but for those with a duty */
		if (in->op[0].kind == X86_OPK_GPR && in->op[0].reg == X86_RSP)
			return false;
		/* fall through */
	case X86_I_PUSH: case X86_I_PUSHF: case X86_I_CALL: case X86_I_RET:
		writes &= ~(1u << X86_RSP);
		break;
	case X86_I_CMP: case X86_I_TEST: case X86_I_BT:
		return true;
	default:
		break;
	}
	return !(writes & s->reserved);
}

static bool reads_undefined(const struct x86_insn *in, uint16_t undefined)
{
	return insn_flags(in, insn_count(in)).reads & undefined;
}

static uint8_t branch_target(const struct plan *s, const struct insn *i, unsigned at, unsigned nr)
{
	unsigned reach = i->rel_size == 1 ? 6 : nr - at;

	reach = reach > nr - at ? nr - at : reach;
	return (uint8_t)(at + 1 + rng_below(s->r, reach));
}

/* One instruction for place `at` of nr. */
static bool choose_insn(struct plan *s, unsigned at, unsigned nr, uint16_t undefined)
{
	struct insn *i = &s->p->insn[at];

	for (unsigned tries = 0; tries < MAX_TRIES; tries++) {
		unsigned n = s->pool[rng_below(s->r, s->nr_pool)];
		struct mem_choice m;

		if (forms[n].mode != s->p->c.mode || unsuitable(&forms[n]) || !profile_allows(s->profile, &forms[n]))
			continue;
		if ((forms[n].id == X86_I_DIV || forms[n].id == X86_I_IDIV || forms[n].id == X86_I_RET) && !rng_percent(s->r, 15))
			continue;
		choose_memory(s, &m);
		if (!insn_encode(i, n, &m, s->r))
			continue;
		i->rip_target = DIFF_DATA + rng_below(s->r, DIFF_DATA_SIZE - 64);
		if (!keeps_reserved(s, &i->in) || reads_undefined(&i->in, undefined) || !is_aligned_enough(s, i))
			continue;
		if (s->trap && insn_is_gather(&i->in)) /* the trap may come between two elements */
			continue;
		if (i->rel_size && i->in.opsize == 2 && i->mode == DIFF_32) /* cuts the instruction pointer to 16 bits */
			continue;
		if (i->rel_size)
			i->branch = branch_target(s, i, at, nr);
		return true;
	}
	return false;
}

/* ---- Registers with a duty */

static uint8_t take_register(struct plan *s)
{
	for (;;) {
		unsigned n = rng_below(s->r, s->p->c.mode == DIFF_64 ? 16 : 8);

		/* RAX, RCX, RDX have too many implied uses; 4 cannot be an index */
		if (n <= X86_RDX || (s->reserved >> n & 1))
			continue;
		s->reserved |= 1u << n;
		return (uint8_t)n;
	}
}

static uint64_t base_value(const struct plan *s)
{
	uint64_t at = DIFF_DATA + 0x400 + (rng_below(s->r, 0x1c00) & ~15u);

	if (!s->edge)
		return at;
	return DIFF_DATA + rng_below(s->r, 5) * DIFF_PAGE + rng_below(s->r, 64) - 32;
}

/* One family of segments for all data, so that any register may be a base. */
static void assign_segments(struct plan *s)
{
	unsigned what = rng_below(s->r, 100);
	uint16_t sel = what < 80 ? DIFF_SEL_USER_DS : what < 95 ? DIFF_SEL(DATA32) : DIFF_SEL(WRAP), *to = s->p->c.in.sel;

	if (s->p->c.mode == DIFF_64)
		return;
	if (s->p->c.mode == DIFF_16)
		sel = DIFF_SEL(DATA16);
	to[X86_DS] = to[X86_ES] = to[X86_SS] = sel;
}

static void choose_bases(struct plan *s)
{
	bool fixed = s->strings || s->p->c.mode == DIFF_16;

	s->reserved = 1u << X86_RSP;
	s->base[0] = fixed ? X86_RSI : take_register(s);
	s->base[1] = fixed ? X86_RDI : take_register(s);
	s->reserved |= 1u << s->base[0] | 1u << s->base[1] | (s->p->c.mode == DIFF_16 ? 1u << X86_RBX : 0);
	s->index = s->p->c.mode == DIFF_16 ? X86_RBX : take_register(s);
	s->counter = take_register(s);
}

/* Return addresses, and for POPF flags before them. */
static void fill_stack(struct plan *s)
{
	struct program *p = s->p;
	unsigned word = p->c.mode == DIFF_64 ? 8 : p->c.mode == DIFF_32 ? 4 : 2;
	uint64_t at = DIFF_DATA + 0x800 + rng_below(s->r, 0x100) * 8, base = diff_case_base(&p->c, X86_SS);
	uint64_t to = DIFF_TERM1 - (p->c.mode == DIFF_64 ? 0 : diff_case_base(&p->c, X86_CS));
	uint64_t flags = (rng_u64(s->r) & X86_FL_ARITH) | X86_FL_FIXED1 | X86_FL_TF;
	uint8_t stack[9 * 8];

	for (unsigned i = 0; i < 9; i++)
		memcpy(stack + i * word, &to, word);
	if (s->trap)
		memcpy(stack, &flags, word);
	p->c.in.gpr[X86_RSP] = at - base;
	program_poke(p, at, stack, 9 * word);
}

static void assign_registers(struct plan *s)
{
	uint64_t *gpr = s->p->c.in.gpr, base;

	assign_segments(s);
	s->strings = rng_percent(s->r, 20);
	s->trap = rng_percent(s->r, 5);
	choose_bases(s);
	base = diff_case_base(&s->p->c, X86_DS);
	s->edge = rng_percent(s->r, 25);
	gpr[s->base[0]] = base_value(s) - base;
	gpr[s->base[1]] = rng_percent(s->r, 30) ? gpr[s->base[0]] + rng_below(s->r, 64) : base_value(s) - base;
	gpr[s->index] = rng_percent(s->r, 50) ? rng_below(s->r, 32) : rng_below(s->r, 4) * 16;
	if (s->strings)
		gpr[X86_RCX] = rng_below(s->r, 64);
	gpr[s->counter] = 2 + rng_below(s->r, 4);
	fill_stack(s);
	if (s->p->c.mode != DIFF_64)
		for (unsigned i = 0; i < 8; i++)
			gpr[i] = (uint32_t)gpr[i];
}

/* ---- The loop: "dec counter; jnz back" as the last two instructions */

static void fixed(struct insn *i, unsigned mode, const uint8_t *bytes, unsigned len)
{
	memset(i, 0, sizeof(*i));
	memcpy(i->bytes, bytes, len);
	i->len = (uint8_t)len;
	i->branch = NO_BRANCH;
	i->form = 0xffff;
	i->mode = (uint8_t)mode;
	insn_redecode(i);
}

/* TEST defines all flags but AF, SUB all: nothing undefined goes round. Returns the number of instructions. */
static unsigned add_loop(struct plan *s, unsigned at)
{
	struct program *p = s->p;
	unsigned mode = p->c.mode, rex = mode == DIFF_64, r = s->counter & 7;
	uint8_t sub[4] = { (uint8_t)(0x48 | s->counter >> 3), 0x83, (uint8_t)(0xe8 | r), 1 };
	uint8_t dec[3] = { (uint8_t)(0x48 | s->counter >> 3), 0xff, (uint8_t)(0xc8 | r) };
	uint8_t jnz[6] = { 0x0f, 0x85 };
	bool by_dec = rng_percent(s->r, 50) && !(p->undef_in[at] & DIFF_FL_ARITH);

	if (by_dec)
		fixed(&p->insn[at], mode, dec + 1 - rex, 2 + rex);
	else
		fixed(&p->insn[at], mode, sub + 1 - rex, 3 + rex);
	fixed(&p->insn[at + 1], mode, jnz, mode == DIFF_16 ? 4 : 6);
	p->insn[at + 1].rel_size = mode == DIFF_16 ? 2 : 4;
	p->insn[at + 1].branch = (uint8_t)rng_below(s->r, at + 1);
	return 2;
}

/* PUSH imm8; POP ES, FS or GS, outside 64-bit mode: the segment that prefixes and strings mean changes on the way. */
static void load_segment(struct plan *s, unsigned at)
{
	static const uint8_t pop[3][2] = { { 0x07 }, { 0x0f, 0xa1 }, { 0x0f, 0xa9 } };
	static const uint16_t sel[] = { DIFF_SEL_USER_DS, DIFF_SEL(DATA16), DIFF_SEL(DATA32), DIFF_SEL(SHORT), DIFF_SEL(DOWN32), DIFF_SEL(WRAP),
					DIFF_SEL(FLAT), DIFF_SEL(READONLY), 0 };
	uint8_t push[2] = { 0x6a, (uint8_t)sel[rng_below(s->r, sizeof(sel) / sizeof(sel[0]))] };
	unsigned which = rng_below(s->r, 3);

	fixed(&s->p->insn[at], s->p->c.mode, push, 2);
	fixed(&s->p->insn[at + 1], s->p->c.mode, pop[which], which ? 2 : 1);
}

static bool build(struct plan *s, unsigned nr)
{
	struct program *p = s->p;

	if (s->trap)
		fixed(&p->insn[0], p->c.mode, (const uint8_t[]){ 0x9d }, 1);
	for (unsigned at = s->trap; at < nr; at++) {
		p->nr = at;
		if (p->c.mode != DIFF_64 && at + 1 < nr && rng_percent(s->r, 3)) {
			load_segment(s, at++);
			continue;
		}
		program_flags(p, KEEP_ALL); /* what is undefined at `at`; branches beyond it are not there yet */
		if (!choose_insn(s, at, nr, p->undef_in[at]))
			return false;
		/* A branch over what comes: only with nothing undefined, because it cannot be followed yet. */
		if (p->insn[at].branch != NO_BRANCH && p->insn[at].branch > at + 1 && (p->undef_in[at] & DIFF_FL_ARITH))
			p->insn[at].branch = (uint8_t)(at + 1);
	}
	p->nr = nr;
	for (unsigned at = 0; at < nr; at++)
		if (!insn_checks_alignment(&p->insn[at].in))
			p->c.in.flags &= ~(uint64_t)X86_FL_AC;
	if (rng_percent(s->r, 20))
		p->nr += add_loop(s, nr);
	return program_layout(p, KEEP_ALL);
}

void sequence_generate(struct program *p, uint64_t seed, const uint16_t *pool, unsigned nr_pool)
{
	struct rng r = { seed };
	struct plan s = { .p = p, .r = &r, .pool = pool, .nr_pool = nr_pool };

	p->seed = seed;
	p->sequence = true;
	p->raw = p->text = false;
	do {
		unsigned what = rng_below(&r, 100), mode = rng_below(&r, 100);

		memset(&p->c, 0, offsetof(struct diff_case, in));
		p->poke_used = 0;
		s.profile = what < 55 ? PROFILE_INT : what < 80 ? PROFILE_SSE : what < 90 ? PROFILE_X87 : PROFILE_MIXED;
		p->c.mode = mode < 60 ? DIFF_64 : mode < 85 ? DIFF_32 : DIFF_16;
		state_random(&p->c.in, p->c.mode, &r);
		p->c.in.flags &= ~(uint64_t)X86_FL_DF;
		assign_registers(&s);
		p->c.image = rng_below(&r, DIFF_NR_IMAGES);
		p->c.twice = rng_percent(&r, 30);
		p->c.how = how_random(&r);
		p->c.code_off = rng_percent(&r, 15) ? DIFF_PAGE - rng_below(&r, 300) : 16 + rng_below(&r, DIFF_PAGE - 1024);
		p->c.in.rip = DIFF_CODE + p->c.code_off;
	} while (!build(&s, 2 + rng_below(&r, 39)));
}
