/* SPDX-License-Identifier: MIT */
/*
 * The x87's environment and whole state in the formats of the 8087 to 387, and MASKMOVQ, MASKMOVDQU. SDM volume 1, 8.1.10.
 */
#include "mem/tlb.h"
#include "tcg/backend.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_x87.h"
#include "vcpu/x86/x86_xstate.h"

#define ENV_MAX 28
#define AREA_BYTES (ENV_MAX + 80)

struct fpu_env {
	uint16_t fcw, fsw, ftw, fop;
	uint32_t fip, fdp;
};

/* ---- Tags: two bits per physical register in these formats, one (not empty) in the image */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const uint8_t *st)
{
	uint64_t mantissa;
	uint16_t exponent;

	memcpy(&mantissa, st, 8);
	memcpy(&exponent, st + 8, 2);
	exponent &= 0x7fff;
	if (!exponent && !mantissa)
		return TAG_ZERO;
	return !exponent || exponent == 0x7fff || !(mantissa >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static unsigned top_of(const uint8_t *image)
{
	return x86_fx_get(image, X86_FX_FSW) >> X86_FSW_TOP_SHIFT & 7;
}

static uint16_t tags_full(const uint8_t *image)
{
	unsigned tags = 0;

	for (unsigned phys = 0; phys < 8; phys++) {
		const uint8_t *st = image + X86_FX_ST + 16 * ((phys - top_of(image)) & 7);

		tags |= (image[X86_FX_FTW] >> phys & 1 ? tag_of(st) : TAG_EMPTY) << 2 * phys;
	}
	return (uint16_t)tags;
}

static uint8_t tags_abridged(uint16_t tags)
{
	uint8_t out = 0;

	for (unsigned phys = 0; phys < 8; phys++)
		if ((tags >> 2 * phys & 3) != TAG_EMPTY)
			out |= (uint8_t)(1u << phys);
	return out;
}

/* ---- Formats: operand size 2 or 4, protected or real mode. Selectors read as zero. */

static unsigned env_size(bool wide)
{
	return wide ? 28 : 14;
}

/*
 * Each field is one access. The unit, or the guest, has stored it a moment ago: a load that spans several stores waits until they have left the
 * host's store buffer.
 */
static inline void put(uint8_t *buf, unsigned word, bool wide, uint32_t v)
{
	uint16_t low = (uint16_t)v;

	if (wide)
		memcpy(buf + word * 4, &v, 4);
	else
		memcpy(buf + word * 2, &low, 2);
}

static inline uint16_t get16(const uint8_t *buf, unsigned word, bool wide)
{
	uint16_t v;

	memcpy(&v, buf + word * (wide ? 4 : 2), 2);
	return v;
}

static inline uint32_t get(const uint8_t *buf, unsigned word, bool wide)
{
	uint32_t v;

	if (!wide)
		return get16(buf, word, false);
	memcpy(&v, buf + word * 4, 4);
	return v;
}

static void env_pack(const struct fpu_env *e, uint8_t *buf, bool wide, bool real)
{
	const uint32_t ones = wide ? 0xffff0000u : 0;

	put(buf, 0, wide, e->fcw | ones);
	put(buf, 1, wide, e->fsw | ones);
	put(buf, 2, wide, e->ftw | ones);
	if (real) {
		put(buf, 3, wide, (e->fip & 0xffff) | ones);
		put(buf, 4, wide, (wide ? e->fip >> 16 << 12 : (e->fip >> 4 & 0xf000)) | (e->fop & 0x7ff));
		put(buf, 5, wide, (e->fdp & 0xffff) | ones);
		put(buf, 6, wide, wide ? e->fdp >> 16 << 12 : (e->fdp >> 4 & 0xf000));
		return;
	}
	put(buf, 3, wide, e->fip);
	put(buf, 4, wide, wide ? (uint32_t)(e->fop & 0x7ff) << 16 : 0);
	put(buf, 5, wide, e->fdp);
	put(buf, 6, wide, wide ? ones : 0);
}

static struct fpu_env env_unpack(const uint8_t *buf, bool wide, bool real)
{
	struct fpu_env e = { .fcw = get16(buf, 0, wide), .fsw = get16(buf, 1, wide), .ftw = get16(buf, 2, wide) };

	e.fip = get(buf, 3, wide);
	e.fdp = get(buf, 5, wide);
	e.fop = wide && !real ? get(buf, 4, wide) >> 16 & 0x7ff : 0;
	if (real) {
		e.fip = (e.fip & 0xffff) | (wide ? get(buf, 4, wide) >> 12 << 16 : (get(buf, 4, wide) & 0xf000) << 4);
		e.fdp = (e.fdp & 0xffff) | (wide ? get(buf, 6, wide) >> 12 << 16 : (get(buf, 6, wide) & 0xf000) << 4);
		e.fop = get(buf, 4, wide) & 0x7ff;
	}
	return e;
}

static void env_pointers_of_image(struct fpu_env *e, const uint8_t *image)
{
	e->fop = x86_fx_get(image, X86_FX_FOP);
	memcpy(&e->fip, image + X86_FX_FIP, 4);
	memcpy(&e->fdp, image + X86_FX_FDP, 4);
}

static struct fpu_env env_of_image(const uint8_t *image)
{
	struct fpu_env e = { .fcw = x86_fx_get(image, X86_FX_FCW), .fsw = x86_fx_get(image, X86_FX_FSW), .ftw = tags_full(image) };

	env_pointers_of_image(&e, image);
	return e;
}

/* Registers are numbered from the new top of stack: the physical ones stay where they are. */
static void env_to_image(const struct fpu_env *e, uint8_t *image)
{
	uint16_t fcw = x86_fcw_of(e->fcw);

	x86_fx_set_top(image, e->fsw >> X86_FSW_TOP_SHIFT & 7);
	x86_fx_set(image, X86_FX_FCW, fcw);
	x86_fx_set(image, X86_FX_FSW, x86_fsw_of(e->fsw, fcw));
	image[X86_FX_FTW] = tags_abridged(e->ftw);
	x86_fx_set(image, X86_FX_FOP, e->fop);
	memset(image + X86_FX_FIP, 0, 16);
	memcpy(image + X86_FX_FIP, &e->fip, 4);
	memcpy(image + X86_FX_FDP, &e->fdp, 4);
}

/* ---- Instructions */

static bool real_format(const struct x86_cpu *c)
{
	return !x86_protected(c);
}

/* FLDENV and FRSTOR wait. */
static void wait_pending(struct tcg_env *env)
{
	if (x86_fpu_pending(env))
		x86_x87_error(x86_cpu(env));
}

/*
 * The format that the host's own instructions know, 32-bit protected mode, in one page: the unit stays where it is, only the pointers change. Other
 * formats and operands take the way over the image.
 */
static void *host_area(struct tcg_env *env, gva_t va, uint64_t opsize, enum tlb_access access, bool registers)
{
	struct x86_cpu *c = x86_cpu(env);
	size_t len = registers ? AREA_BYTES : ENV_MAX;

	if (!env->fpu_in_host || opsize == 2 || real_format(c) || (va & ~GUEST_PAGE_MASK) + len > GUEST_PAGE_SIZE)
		return NULL;
	return tlb_page_ptr(env, va, access, x86_mmu_mode(c));
}

/* By way of a copy: other processors see the guest's memory, and the unit's pointers are the host's. */
static void host_store(struct tcg_env *env, uint8_t *to, bool registers)
{
	uint8_t area[AREA_BYTES];
	struct fpu_env e;

	tcg_backend->fpu_store(env, area, registers);
	x86_fpu_read_pointers(env);
	e = env_unpack(area, true, false);
	env_pointers_of_image(&e, env->fpu_image);
	env_pack(&e, to, true, false);
	if (registers) {
		memcpy(to + ENV_MAX, area + ENV_MAX, AREA_BYTES - ENV_MAX);
		memset(env->fpu_image + X86_FX_FOP, 0, X86_FX_MXCSR - X86_FX_FOP);
		x86_fpu_write_pointers(env);
	}
}

/* Straight from the guest's memory: the pointers that come with the rest are nobody's in the unit. */
static void host_fetch(struct tcg_env *env, const uint8_t *from, bool registers)
{
	struct fpu_env e = env_unpack(from, true, false);

	tcg_backend->fpu_fetch(env, from, registers);
	env->fpu_pc = e.fip;
	env->fpu_data = e.fdp;
	env->fpu_op = e.fop;
}

uint64_t x86_rt_fnstenv(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	struct fpu_env e;
	uint8_t buf[ENV_MAX];
	void *to = host_area(env, va, opsize, TLB_WRITE, false);

	(void)unused;
	if (to) {
		host_store(env, to, false);
		return 0;
	}
	x86_fpu_read(env);
	e = env_of_image(env->fpu_image);
	env_pack(&e, buf, opsize != 2, real_format(c));
	tlb_store_bytes(env, va, buf, env_size(opsize != 2), x86_mmu_mode(c));
	e.fcw |= X86_FSW_EXCEPTIONS;
	x86_fx_set(env->fpu_image, X86_FX_FCW, e.fcw);
	x86_fx_set(env->fpu_image, X86_FX_FSW, x86_fsw_of(e.fsw, e.fcw));
	x86_fpu_written(env);
	return 0;
}

uint64_t x86_rt_fldenv(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	struct fpu_env e;
	uint8_t buf[ENV_MAX];
	const void *from;

	(void)unused;
	wait_pending(env);
	from = host_area(env, va, opsize, TLB_READ, false);
	if (from) {
		host_fetch(env, from, false);
		return 0;
	}
	x86_fpu_read(env);
	tlb_load_bytes(env, va, buf, env_size(opsize != 2), x86_mmu_mode(c));
	e = env_unpack(buf, opsize != 2, real_format(c));
	env_to_image(&e, env->fpu_image);
	c->x87_ignored = 0;
	x86_fpu_written(env);
	return 0;
}

uint64_t x86_rt_fnsave(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned size = env_size(opsize != 2);
	uint8_t buf[AREA_BYTES];
	struct fpu_env e;
	void *to = host_area(env, va, opsize, TLB_WRITE, true);

	(void)unused;
	if (to) {
		host_store(env, to, true);
		return 0;
	}
	x86_fpu_read(env);
	e = env_of_image(env->fpu_image);
	env_pack(&e, buf, opsize != 2, real_format(c));
	for (unsigned i = 0; i < 8; i++)
		memcpy(buf + size + 10 * i, env->fpu_image + X86_FX_ST + 16 * i, 10);
	tlb_store_bytes(env, va, buf, size + 80, x86_mmu_mode(c));
	x86_fx_init(env->fpu_image);
	x86_fpu_written(env);
	return 0;
}

uint64_t x86_rt_frstor(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned size = env_size(opsize != 2);
	uint8_t buf[AREA_BYTES];
	struct fpu_env e;
	const void *from;

	(void)unused;
	wait_pending(env);
	from = host_area(env, va, opsize, TLB_READ, true);
	if (from) {
		host_fetch(env, from, true);
		return 0;
	}
	x86_fpu_read(env);
	tlb_load_bytes(env, va, buf, size + 80, x86_mmu_mode(c));
	e = env_unpack(buf, opsize != 2, real_format(c));
	env_to_image(&e, env->fpu_image);
	for (unsigned i = 0; i < 8; i++)
		memcpy(env->fpu_image + X86_FX_ST + 16 * i, buf + size + 10 * i, 10);
	c->x87_ignored = 0;
	x86_fpu_written(env);
	return 0;
}

/* ---- MASKMOVQ, MASKMOVDQU */

/* An MMX instruction has run: the stack begins at register 0 and all registers are in use. */
static void enter_mmx(struct tcg_env *env)
{
	x86_fx_set_top(env->fpu_image, 0);
	env->fpu_image[X86_FX_FTW] = 0xff;
	x86_fpu_written(env);
}

/* MMX registers are the physical ones, whatever the top of stack is. */
static const uint8_t *register_of(const struct tcg_env *env, unsigned n, bool mmx)
{
	return mmx ? env->fpu_image + X86_FX_ST + 16 * ((n - top_of(env->fpu_image)) & 7) : env->vreg[n & 15].b;
}

/* Bytes whose mask has its top bit set are stored, no other is touched. Faults come before the first store. */
uint64_t x86_rt_maskmov(struct tcg_env *env, uint64_t va, uint64_t regs, uint64_t unused)
{
	unsigned mode = x86_mmu_mode(x86_cpu(env)), size;
	const uint8_t *data, *mask;
	bool mmx = regs >> 16 & 1;

	(void)unused;
	if (mmx) {
		wait_pending(env);
		x86_fpu_read(env);
	}
	data = register_of(env, regs & 0xff, mmx);
	mask = register_of(env, regs >> 8 & 0xff, mmx);
	size = mmx ? 8 : 16;
	for (unsigned i = 0; i < size; i++)
		if (mask[i] & 0x80)
			tlb_page_ptr(env, va + i, TLB_WRITE, mode);
	for (unsigned i = 0; i < size; i++)
		if (mask[i] & 0x80)
			tlb_store(env, va + i, data[i], 1, mode);
	if (mmx)
		enter_mmx(env);
	return 0;
}
