/* SPDX-License-Identifier: MIT */
/*
 * String instructions. SDM volume 2: MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS, REP.
 *
 * REP MOVS, STOS, CMPS and SCAS run in chunks that end at page ends, by loops on host pointers; everything else, and what touches
 * device memory or a segment's limit, goes element by element. Registers are written back after each chunk or element, so that a fault or an
 * interrupt finds the architectural state; between chunks a pending request ends the instruction, which then starts again where it was.
 */
#include <stdatomic.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "mem/word.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_segment.h"

struct string_op {
	struct x86_cpu *c;
	enum x86_str_op op;
	unsigned size;      /* of an element */
	uint64_t addr_mask;
	unsigned mode;
	int64_t step;       /* +size or -size */
	uint64_t src_base, dst_base;
	unsigned src_seg;
	bool rep, repne, check; /* check: segment limits apply */
};

static uint64_t reg_get(const struct string_op *s, unsigned r)
{
	return s->c->vcpu.env.greg[r] & s->addr_mask;
}

static void reg_set(const struct string_op *s, unsigned r, uint64_t v)
{
	uint64_t *g = &s->c->vcpu.env.greg[r];

	if (s->addr_mask == 0xffff)
		*g = (*g & ~0xffffull) | (v & 0xffff);
	else
		*g = v & s->addr_mask;
}

static bool uses_src(const struct string_op *s)
{
	return s->op == X86_STR_MOVS || s->op == X86_STR_LODS || s->op == X86_STR_CMPS || s->op == X86_STR_OUTS;
}

static bool uses_dst(const struct string_op *s)
{
	return s->op != X86_STR_LODS && s->op != X86_STR_OUTS;
}

static bool writes_dst(const struct string_op *s)
{
	return s->op == X86_STR_MOVS || s->op == X86_STR_STOS || s->op == X86_STR_INS;
}

static uint64_t linear(const struct string_op *s, uint64_t base, uint64_t off)
{
	uint64_t va = base + off;

	if (!x86_code64(s->c))
		va = (uint32_t)va;
	x86_data_fault_check_alignment(s->c, va, s->size);
	return va;
}

static uint64_t src_va(const struct string_op *s)
{
	uint64_t off = reg_get(s, X86_RSI);

	if (s->check)
		x86_rt_seg_check(&s->c->vcpu.env, s->src_seg | (uint64_t)s->size << X86_SEG_CHECK_SIZE, off, 0);
	return linear(s, s->src_base, off);
}

static uint64_t dst_va(const struct string_op *s)
{
	uint64_t off = reg_get(s, X86_RDI);

	if (s->check)
		x86_rt_seg_check(&s->c->vcpu.env, X86_ES | (uint64_t)s->size << X86_SEG_CHECK_SIZE | (writes_dst(s) ? X86_SEG_CHECK_WRITE : 0), off, 0);
	return linear(s, s->dst_base, off);
}

static void set_flags_sub(struct tcg_env *env, uint64_t a, uint64_t b, unsigned size)
{
	unsigned bits = size * 8;
	uint64_t mask = size == 8 ? ~0ull : (1ull << bits) - 1, r;
	uint32_t fl = 0;

	a &= mask;
	b &= mask;
	r = (a - b) & mask;
	fl |= a < b ? X86_FL_CF : 0;
	fl |= __builtin_parity((unsigned)(r & 0xff)) ? 0 : X86_FL_PF;
	fl |= (a ^ b ^ r) & 0x10 ? X86_FL_AF : 0;
	fl |= r == 0 ? X86_FL_ZF : 0;
	fl |= r >> (bits - 1) ? X86_FL_SF : 0;
	fl |= ((a ^ b) & (a ^ r)) >> (bits - 1) & 1 ? X86_FL_OF : 0;
	env->flags = fl;
}

static void set_accumulator(struct tcg_env *env, uint64_t v, unsigned size)
{
	uint64_t *rax = &env->greg[X86_RAX];

	if (size == 4)
		*rax = (uint32_t)v;
	else if (size == 8)
		*rax = v;
	else
		memcpy(rax, &v, size);
}

/* One element: memory, flags and accumulator; index registers are the caller's. */
static void element(const struct string_op *s)
{
	struct tcg_env *env = &s->c->vcpu.env;
	uint64_t v;

	switch (s->op) {
	case X86_STR_MOVS:
		v = tlb_load(env, src_va(s), s->size, s->mode);
		tlb_store(env, dst_va(s), v, s->size, s->mode);
		break;
	case X86_STR_STOS:
		tlb_store(env, dst_va(s), env->greg[X86_RAX], s->size, s->mode);
		break;
	case X86_STR_LODS:
		set_accumulator(env, tlb_load(env, src_va(s), s->size, s->mode), s->size);
		break;
	case X86_STR_CMPS:
		v = tlb_load(env, src_va(s), s->size, s->mode);
		set_flags_sub(env, v, tlb_load(env, dst_va(s), s->size, s->mode), s->size);
		break;
	case X86_STR_SCAS:
		set_flags_sub(env, env->greg[X86_RAX], tlb_load(env, dst_va(s), s->size, s->mode), s->size);
		break;
	case X86_STR_INS: {
		/* The destination must be writable before the port is read: a fault must not lose the datum. */
		uint64_t va = dst_va(s);

		tlb_page_ptr(env, va, TLB_WRITE, s->mode);
		v = pio_read((uint16_t)env->greg[X86_RDX], s->size);
		tlb_store(env, va, v, s->size, s->mode);
		break;
	}
	case X86_STR_OUTS:
		v = tlb_load(env, src_va(s), s->size, s->mode);
		pio_write((uint16_t)env->greg[X86_RDX], (uint32_t)v, s->size);
		break;
	}
}

static void advance(const struct string_op *s, uint64_t elements)
{
	uint64_t by = (uint64_t)s->step * elements;

	if (uses_src(s))
		reg_set(s, X86_RSI, reg_get(s, X86_RSI) + by);
	if (uses_dst(s))
		reg_set(s, X86_RDI, reg_get(s, X86_RDI) + by);
}

/* Elements from offset `off` up to the end of its page and of the address range; 0 if the next one crosses. */
static uint64_t run_length(const struct string_op *s, uint64_t va, uint64_t off)
{
	uint64_t room = GUEST_PAGE_SIZE - (va & ~GUEST_PAGE_MASK);

	if (s->addr_mask != ~0ull && s->addr_mask - off < room - 1)
		room = s->addr_mask - off + 1;
	return room / s->size;
}

static void copy_forward(uint8_t *d, const uint8_t *p, uint64_t bytes, unsigned size)
{
	/* Overlap with the destination ahead repeats a pattern, as the element-wise copy does. */
	if (d > p && d < p + bytes) {
		for (uint64_t i = 0; i < bytes; i += size)
			word_store(d + i, word_load(p + i, size), size);
	} else {
		word_write_bytes(d, p, bytes);
	}
}

/* The low bytes of value are all alike, as they are in what clears memory. */
static bool one_byte(uint64_t value, unsigned size)
{
	return !((value ^ (uint8_t)value * 0x0101010101010101ull) << (64 - 8 * size));
}

static void fill(uint8_t *d, uint64_t value, uint64_t elements, unsigned size)
{
	if (one_byte(value, size)) {
		word_fill_bytes(d, (uint8_t)value, elements * size);
		return;
	}
	switch (size) {
	case 2:
		for (uint64_t i = 0; i < elements; i++)
			word_write_bytes(d + i * 2, &value, 2);
		break;
	case 4:
		for (uint64_t i = 0; i < elements; i++)
			word_write_bytes(d + i * 4, &value, 4);
		break;
	default:
		for (uint64_t i = 0; i < elements; i++)
			word_write_bytes(d + i * 8, &value, 8);
	}
}

/*
 * n elements against those at `p`, or against the accumulator where there is no p; returns how many were looked at, the last
 * two in *a and *b. Inline, so that each size has a loop of its own.
 */
static inline __attribute__((always_inline)) uint64_t compare_run(const uint8_t *p, const uint8_t *d, uint64_t n, bool repne,
								  uint64_t *a, uint64_t *b, const unsigned size)
{
	uint64_t i = 0;

	while (i < n) {
		if (p)
			word_read_bytes(a, p + i * size, size);
		word_read_bytes(b, d + i * size, size);
		i++;
		if ((*a == *b) == repne)
			break;
	}
	return i;
}

static uint64_t compare(const struct string_op *s, const uint8_t *p, const uint8_t *d, uint64_t n)
{
	struct tcg_env *env = &s->c->vcpu.env;
	uint64_t a = 0, b = 0;

	memcpy(&a, &env->greg[X86_RAX], s->size);
	switch (s->size) {
	case 1:
		n = compare_run(p, d, n, s->repne, &a, &b, 1);
		break;
	case 2:
		n = compare_run(p, d, n, s->repne, &a, &b, 2);
		break;
	case 4:
		n = compare_run(p, d, n, s->repne, &a, &b, 4);
		break;
	default:
		n = compare_run(p, d, n, s->repne, &a, &b, 8);
	}
	set_flags_sub(env, a, b, s->size);
	return n;
}

/* CMPS, SCAS: both operands are only read, so neither page goes away before the other is used. */
static uint64_t compare_chunk(const struct string_op *s, uint64_t sva, uint64_t dva, uint64_t n)
{
	struct tcg_env *env = &s->c->vcpu.env;
	const uint8_t *p = NULL, *d;

	if (s->op == X86_STR_CMPS) {
		p = tlb_page_ptr(env, sva, TLB_READ, s->mode);
		if (!p)
			return 0;
	}
	d = tlb_page_ptr(env, dva, TLB_READ, s->mode);
	return d ? compare(s, p, d, n) : 0;
}

static bool run_in_limit(const struct string_op *s, enum x86_sreg seg, uint64_t off, uint64_t elements, bool write)
{
	return !s->check || x86_seg_access_ok(s->c, seg, (uint32_t)off, (unsigned)(elements * s->size), write);
}

/* As much of a forward REP MOVS/STOS/CMPS/SCAS as lies in one page each; 0: go by the element. */
static uint64_t chunk(const struct string_op *s, uint64_t count)
{
	struct tcg_env *env = &s->c->vcpu.env;
	uint64_t si = reg_get(s, X86_RSI), di = reg_get(s, X86_RDI), dva, sva, n, m;
	const uint8_t *p;
	uint8_t *d;

	if (s->step < 0 || count < 2 || !uses_dst(s) || s->op == X86_STR_INS)
		return 0;
	dva = s->dst_base + di;
	sva = s->src_base + si;
	n = run_length(s, dva, di);
	m = uses_src(s) ? run_length(s, sva, si) : n;
	n = n < m ? n : m;
	n = n < count ? n : count;
	if (!n || !run_in_limit(s, X86_ES, di, n, writes_dst(s)) || (uses_src(s) && !run_in_limit(s, s->src_seg, si, n, false)))
		return 0;
	dva = linear(s, s->dst_base, di);
	sva = uses_src(s) ? linear(s, s->src_base, si) : 0;
	if (!writes_dst(s))
		return compare_chunk(s, sva, dva, n);
	if (s->op == X86_STR_STOS) {
		d = tlb_store_run(env, dva, n * s->size, s->mode);
		if (!d)
			return 0;
		fill(d, env->greg[X86_RAX], n, s->size);
		tlb_commit(env);
		return n;
	}
	p = tlb_page_ptr(env, sva, TLB_READ, s->mode);
	d = p ? tlb_store_run(env, dva, n * s->size, s->mode) : NULL;
	if (!d)
		return 0;
	copy_forward(d, p, n * s->size, s->size);
	tlb_commit(env);
	return n;
}

static bool compare_ends(const struct string_op *s)
{
	bool zf = s->c->vcpu.env.flags & X86_FL_ZF;

	if (s->op != X86_STR_CMPS && s->op != X86_STR_SCAS)
		return false;
	return s->repne ? zf : !zf;
}

/* The interrupt's or trap's image gets RF: the instruction does not meet its breakpoint again when it goes on. */
static uint64_t stop_between(struct x86_cpu *c)
{
	if (c->bp_fetch) {
		c->eflags |= X86_FL_RF;
		x86_mode_update(c);
	}
	return 1;
}

/* Returns 1 if it stopped for a request, or a single step, before the count ran out. */
static uint64_t repeat(const struct string_op *s)
{
	struct tcg_env *env = &s->c->vcpu.env;
	uint64_t count = reg_get(s, X86_RCX);
	bool steps = s->c->eflags & X86_FL_TF;

	while (count) {
		uint64_t n = steps ? 0 : chunk(s, count);

		if (!n) {
			element(s);
			n = 1;
		}
		advance(s, n);
		count -= n;
		reg_set(s, X86_RCX, count);
		if (compare_ends(s))
			return 0;
		if (count && (steps || atomic_load_explicit(&env->request, memory_order_relaxed)))
			return stop_between(s->c);
	}
	return 0;
}

static void check_ports(const struct string_op *s)
{
	uint16_t port = (uint16_t)s->c->vcpu.env.greg[X86_RDX];

	if (s->op != X86_STR_INS && s->op != X86_STR_OUTS)
		return;
	if (!x86_io_allowed(s->c, port, s->size))
		x86_fault_raise_err(s->c, X86_GP, 0);
	if (!s->rep || reg_get(s, X86_RCX))
		x86_debug_port(s->c, port, s->size);
}

static __attribute__((noinline)) uint64_t any_string(struct x86_cpu *c, uint64_t desc)
{
	unsigned addr = desc >> X86_STR_ADDR_SHIFT & 15, seg = desc >> X86_STR_SEG_SHIFT & 15;
	bool code64 = x86_code64(c);
	struct string_op s = {
		.c = c,
		.op = X86_STR_OP(desc),
		.size = desc >> X86_STR_SIZE_SHIFT & 15,
		.addr_mask = addr == 8 ? ~0ull : addr == 4 ? 0xffffffffull : 0xffffull,
		.mode = x86_mmu_mode(c),
		.src_seg = seg,
		.src_base = code64 && seg < X86_FS ? 0 : c->seg[seg].base,
		.dst_base = code64 ? 0 : c->seg[X86_ES].base,
		.rep = desc & (X86_STR_REP | X86_STR_REPNE),
		.repne = desc & X86_STR_REPNE,
		.check = !code64 && (c->tb_flags & (seg >= X86_FS ? X86_TB_SEGLIM | X86_TB_FGLIM : X86_TB_SEGLIM)),
	};

	s.step = c->eflags & X86_FL_DF ? -(int64_t)s.size : (int64_t)s.size;
	check_ports(&s);
	if (s.rep)
		return repeat(&s);
	element(&s);
	advance(&s, 1);
	return 0;
}

/*
 * What kernels and C libraries do most, as a straight path of few cache lines of code: forward REP MOVS and STOS of 64-bit code that lie in one page
 * each. False: by the general way; nothing has been done.
 */
static bool within_pages(struct x86_cpu *c, uint64_t desc)
{
	struct tcg_env *env = &c->vcpu.env;
	enum x86_str_op op = X86_STR_OP(desc);
	uint64_t size = desc >> X86_STR_SIZE_SHIFT & 15, count = env->greg[X86_RCX], bytes = count * size;
	uint64_t si = env->greg[X86_RSI], di = env->greg[X86_RDI];
	const uint8_t *p = NULL;
	uint8_t *d;

	if ((op != X86_STR_MOVS && op != X86_STR_STOS) || !(desc & X86_STR_REP) || (desc >> X86_STR_ADDR_SHIFT & 15) != 8 ||
	    (desc >> X86_STR_SEG_SHIFT & 15) >= X86_FS)
		return false;
	if (!x86_code64(c) || (c->eflags & (X86_FL_DF | X86_FL_TF)) || (c->cpl == 3 && (c->tb_flags & X86_TB_AC)))
		return false;
	if (!count || count > GUEST_PAGE_SIZE || (di & ~GUEST_PAGE_MASK) + bytes > GUEST_PAGE_SIZE)
		return false;
	if (op == X86_STR_MOVS) {
		if ((si & ~GUEST_PAGE_MASK) + bytes > GUEST_PAGE_SIZE)
			return false;
		p = tlb_page_ptr(env, si, TLB_READ, x86_mmu_mode(c));
		if (!p)
			return false;
	}
	d = tlb_store_run(env, di, bytes, x86_mmu_mode(c));
	if (!d)
		return false;
	if (p) {
		copy_forward(d, p, bytes, (unsigned)size);
		env->greg[X86_RSI] = si + bytes;
	} else {
		fill(d, env->greg[X86_RAX], count, (unsigned)size);
	}
	tlb_commit(env);
	env->greg[X86_RDI] = di + bytes;
	env->greg[X86_RCX] = 0;
	return true;
}

uint64_t x86_rt_string(struct tcg_env *env, uint64_t desc, uint64_t b, uint64_t unused)
{
	(void)b;
	(void)unused;
	return within_pages(x86_cpu(env), desc) ? 0 : any_string(x86_cpu(env), desc);
}
