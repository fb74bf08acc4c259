/* SPDX-License-Identifier: MIT */
/*
 * FXSAVE, XSAVE and their kin, LDMXCSR, XSETBV. SDM volume 1, chapter 13; volume 2 for each instruction.
 *
 * The caller has looked at CR0.TS, CR0.EM and CR4.OSXSAVE. An area is read as a whole and checked before any register changes. XSAVEOPT has
 * the init optimization, not the modified optimization. There are no supervisor components: XSAVES is XSAVEC, XRSTORS takes compacted areas
 * only; that they are privileged is the opcode map's business.
 */
#include "mem/tlb.h"
#include "mem/word.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_xstate.h"
#include "vcpu/x86/x86_zmm.h"

enum xsave_variant { XSAVE, XSAVEOPT, XSAVEC, XSAVES };

/* An area, as its instruction sees it. */
struct area {
	struct tcg_env *env;
	gva_t va;
	unsigned mode;     /* of the MMU */
	unsigned vectors;  /* registers the CPU mode has: 8 or 16 */
	bool wide;         /* 64-bit instruction and data pointers */
};

static struct area area_at(struct tcg_env *env, gva_t va, uint64_t opsize, unsigned align)
{
	struct x86_cpu *c = x86_cpu(env);

	if (va & (align - 1))
		x86_fault_raise_err(c, X86_GP, 0);
	return (struct area){ env, va, x86_mmu_mode(c), (c->tb_flags & X86_TB_MODE) == X86_MODE_64 ? 16 : 8, opsize == 8 };
}

static bool in_one_page(gva_t va, size_t len)
{
	return (va & ~GUEST_PAGE_MASK) + len <= GUEST_PAGE_SIZE;
}

/* Plain memory that may be written; NULL: there is none, or by area_store(). */
static void *area_room(const struct area *a, unsigned offset, size_t len)
{
	gva_t va = a->va + offset;

	return in_one_page(va, len) ? tlb_page_ptr(a->env, va, TLB_WRITE, a->mode) : NULL;
}

static void area_store(const struct area *a, unsigned offset, const void *buf, size_t len)
{
	void *p = area_room(a, offset, len);

	if (p)
		word_write_bytes(p, buf, len);
	else
		tlb_store_bytes(a->env, a->va + offset, buf, len, a->mode);
}

static void area_load(const struct area *a, unsigned offset, void *buf, size_t len)
{
	gva_t va = a->va + offset;
	const void *p = in_one_page(va, len) ? tlb_page_ptr(a->env, va, TLB_READ, a->mode) : NULL;

	if (p)
		word_read_bytes(buf, p, len);
	else
		tlb_load_bytes(a->env, va, buf, len, a->mode);
}

static void gp_unless(struct tcg_env *env, bool ok)
{
	if (!ok)
		x86_fault_raise_err(x86_cpu(env), X86_GP, 0);
}

/* ---- x87: between env.fpu_image and the first 160 bytes of an area */

/*
 * Intel's CPUs always save the pointers; AMD's only while an exception is pending, and zeros else (AMD64 manual volume 2, 11.4.4, and volume 5,
 * FXSAVE, for those whose CPUID says XSaveErPtr). Loaded they always are.
 */
static bool pointers_count(const struct area *a)
{
	return !x86_is_amd(x86_cpu(a->env)) || x86_fx_pending(a->env->fpu_image);
}

static void x87_pack(const struct area *a, uint8_t *to)
{
	const uint8_t *image = a->env->fpu_image;

	memcpy(to, image, X86_FX_MXCSR);
	to[5] = 0;
	if (!pointers_count(a))
		memset(to + X86_FX_FOP, 0, X86_FX_MXCSR - X86_FX_FOP);
	if (!a->wide) { /* offset and selector; selectors are gone (CPUID.7:EBX.13) */
		memset(to + X86_FX_FIP + 4, 0, 4);
		memset(to + X86_FX_FDP + 4, 0, 4);
	}
	for (unsigned i = 0; i < 8; i++) {
		memcpy(to + X86_FX_ST + 16 * i, image + X86_FX_ST + 16 * i, 10);
		memset(to + X86_FX_ST + 16 * i + 10, 0, 6);
	}
}

static void x87_unpack(const struct area *a, const uint8_t *from)
{
	uint8_t *image = a->env->fpu_image;
	uint16_t fcw = x86_fcw_of(x86_fx_get(from, X86_FX_FCW));

	memcpy(image, from, X86_FX_MXCSR);
	x86_fx_set(image, X86_FX_FCW, fcw);
	x86_fx_set(image, X86_FX_FSW, x86_fsw_of(x86_fx_get(from, X86_FX_FSW), fcw));
	image[5] = 0;
	if (!a->wide) {
		memset(image + X86_FX_FIP + 4, 0, 4);
		memset(image + X86_FX_FDP + 4, 0, 4);
	}
	memcpy(image + X86_FX_ST, from + X86_FX_ST, 128);
}

static void x87_clear(const struct area *a)
{
	memset(a->env->fpu_image, 0, X86_FX_XMM);
	x86_fx_init(a->env->fpu_image);
}

static bool x87_in_use(const struct area *a)
{
	const uint8_t *image = a->env->fpu_image;

	if (x86_fx_get(image, X86_FX_FCW) != 0x37f || !x86_all_zero(image + X86_FX_FSW, X86_FX_MXCSR - X86_FX_FSW))
		return true;
	for (unsigned i = 0; i < 8; i++)
		if (!x86_all_zero(image + X86_FX_ST + 16 * i, 10))
			return true;
	return false;
}

/* ---- Vectors: `half` 0 is XMM, 1 is what AVX adds. The rest: x86_zmm.c */

static void vec_pack(const struct area *a, unsigned half, uint8_t *to)
{
	for (unsigned i = 0; i < a->vectors; i++)
		memcpy(to + 16 * i, a->env->vreg[i].b + 16 * half, 16);
}

static void vec_unpack(const struct area *a, unsigned half, const uint8_t *from)
{
	for (unsigned i = 0; i < a->vectors; i++)
		memcpy(a->env->vreg[i].b + 16 * half, from + 16 * i, 16);
}

static void vec_clear(const struct area *a, unsigned half)
{
	for (unsigned i = 0; i < a->vectors; i++)
		memset(a->env->vreg[i].b + 16 * half, 0, 16);
}

static bool vec_in_use(const struct area *a, unsigned half)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < a->vectors; i++)
		any |= a->env->vreg[i].q[2 * half] | a->env->vreg[i].q[2 * half + 1];
	return any;
}

/* ---- FXSAVE, FXRSTOR */

uint64_t x86_rt_fxsave(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct area a = area_at(env, va, opsize, 16);
	const uint32_t mask = X86_MXCSR_VALID;
	uint8_t buf[X86_FX_USED];

	(void)unused;
	x86_fpu_read(env);
	x87_pack(&a, buf);
	memcpy(buf + X86_FX_MXCSR, &env->mxcsr, 4);
	memcpy(buf + X86_FX_MXCSR_MASK, &mask, 4);
	vec_pack(&a, 0, buf + X86_FX_XMM);
	area_store(&a, 0, buf, X86_FX_XMM + 16 * a.vectors);
	return 0;
}

uint64_t x86_rt_fxrstor(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t unused)
{
	struct area a = area_at(env, va, opsize, 16);
	uint8_t buf[X86_FX_USED];
	uint32_t mxcsr;

	(void)unused;
	area_load(&a, 0, buf, X86_FX_XMM + 16 * a.vectors);
	memcpy(&mxcsr, buf + X86_FX_MXCSR, 4);
	gp_unless(env, !(mxcsr & ~X86_MXCSR_VALID));
	x86_fpu_read(env);
	x87_unpack(&a, buf);
	env->mxcsr = mxcsr;
	vec_unpack(&a, 0, buf + X86_FX_XMM);
	x86_fpu_written(env);
	return 0;
}

/* ---- XSAVE */

/* Components the instruction is asked for: EDX:EAX and XCR0. */
static uint64_t requested(struct tcg_env *env)
{
	uint64_t mask = (uint32_t)env->greg[X86_RAX] | (uint64_t)(uint32_t)env->greg[X86_RDX] << 32;

	return mask & x86_cpu(env)->xcr0;
}

static uint64_t in_use(const struct area *a)
{
	return (x87_in_use(a) ? X86_XS_X87 : 0) | (vec_in_use(a, 0) ? X86_XS_SSE : 0) | (vec_in_use(a, 1) ? X86_XS_AVX : 0) |
	       x86_zmm_in_use(a->env) | (x86_cpu(a->env)->pkru ? X86_XS_PKRU : 0);
}

/* The form of an area, and what one of the compacted form holds. */
struct form {
	bool compact;
	uint64_t holds;
};

/* A component behind the header: its bytes, 0 if the CPU mode does not have it. */
static size_t extended_pack(const struct area *a, unsigned i, uint8_t *to)
{
	switch (i) {
	case X86_XSC_AVX:
		vec_pack(a, 1, to);
		return 16 * a->vectors;
	case X86_XSC_PKRU:
		memset(to, 0, 8);
		memcpy(to, &x86_cpu(a->env)->pkru, 4);
		return 8;
	default:
		return x86_zmm_pack(a->env, i, a->vectors, to);
	}
}

static void store_components(const struct area *a, uint64_t which, const struct form *f)
{
	uint8_t buf[X86_ZMM_MAX];

	if (which & X86_XS_X87) {
		x87_pack(a, buf);
		area_store(a, 0, buf, X86_FX_MXCSR);
		area_store(a, X86_FX_ST, buf + X86_FX_ST, 128);
	}
	if (which & X86_XS_SSE) {
		vec_pack(a, 0, buf);
		area_store(a, X86_FX_XMM, buf, 16 * a->vectors);
	}
	for (unsigned i = 2; i < X86_XSC_COUNT; i++)
		if (which >> i & 1) {
			uint32_t offset = x86_xsave_offset(i, f->compact, f->holds), unused;
			uint8_t *p = area_room(a, offset, x86_xsave_component(i, &unused));
			size_t len = extended_pack(a, i, p ? p : buf);

			if (!p)
				area_store(a, offset, buf, len);
		}
}

static void store_mxcsr(const struct area *a)
{
	uint32_t v[2] = { a->env->mxcsr, X86_MXCSR_VALID };

	area_store(a, X86_FX_MXCSR, v, sizeof(v));
}

static void xsave_standard(const struct area *a, uint64_t rfbm, bool optimized)
{
	uint64_t used = in_use(a), bv;

	area_load(a, X86_XS_HEADER, &bv, 8);
	bv = (bv & ~rfbm) | (rfbm & used);
	store_components(a, optimized ? rfbm & used : rfbm, &(struct form){ .compact = false });
	if (rfbm & (X86_XS_SSE | X86_XS_AVX))
		store_mxcsr(a);
	area_store(a, X86_XS_HEADER, &bv, 8);
}

static void xsave_compact(const struct area *a, uint64_t rfbm)
{
	uint64_t header[2];
	uint64_t used = in_use(a);

	if (a->env->mxcsr != X86_MXCSR_INIT)
		used |= X86_XS_SSE;
	header[0] = rfbm & used;
	header[1] = rfbm | X86_XCOMP_COMPACT;
	store_components(a, header[0], &(struct form){ .compact = true, .holds = rfbm });
	if (header[0] & X86_XS_SSE)
		store_mxcsr(a);
	area_store(a, X86_XS_HEADER, header, sizeof(header));
}

uint64_t x86_rt_xsave(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t variant)
{
	struct area a;

	a = area_at(env, va, opsize, 64);
	x86_fpu_read(env);
	if (variant == XSAVEC || variant == XSAVES)
		xsave_compact(&a, requested(env));
	else
		xsave_standard(&a, requested(env), variant == XSAVEOPT);
	return 0;
}

/* ---- XRSTOR */

/* SDM volume 1, 13.8.1 and 13.8.2: what a header may say. Returns whether the area is compacted. */
static bool check_header(struct tcg_env *env, const uint64_t *header)
{
	struct x86_cpu *c = x86_cpu(env);
	bool compact = header[1] & X86_XCOMP_COMPACT && (x86_offers(c, X86_CPUID_XSAVEC) || x86_offers(c, X86_CPUID_XSAVES));

	gp_unless(env, !(header[0] & ~c->xcr0));
	if (compact)
		gp_unless(env, !(header[1] & ~X86_XCOMP_COMPACT & ~c->xcr0) && !(header[0] & ~header[1]) && x86_all_zero(header + 2, 48));
	else
		gp_unless(env, x86_all_zero(header + 1, 16));
	return compact;
}

/* All that is to be loaded, in memory order, has been found, and what may be refused been looked at, before any register changes. */
struct image {
	uint8_t legacy[X86_FX_USED];
	const uint8_t *extended[X86_XSC_COUNT]; /* in the guest's memory, or in what follows where it crosses pages */
	uint8_t copy[X86_XSC_COUNT][X86_ZMM_MAX];
};

static const uint8_t *area_find(const struct area *a, unsigned offset, size_t len, uint8_t *copy)
{
	gva_t va = a->va + offset;
	const uint8_t *p = in_one_page(va, len) ? tlb_page_ptr(a->env, va, TLB_READ, a->mode) : NULL;

	if (p)
		return p;
	tlb_load_bytes(a->env, va, copy, len, a->mode);
	return copy;
}

static void load_image(const struct area *a, uint64_t load, const struct form *f, struct image *m)
{
	area_load(a, 0, m->legacy, sizeof(m->legacy));
	for (unsigned i = 2; i < X86_XSC_COUNT; i++) {
		uint32_t offset;

		if (load >> i & 1)
			m->extended[i] = area_find(a, x86_xsave_offset(i, f->compact, f->holds),
						   i == X86_XSC_AVX ? 16 * a->vectors : x86_xsave_component(i, &offset), m->copy[i]);
	}
}

static void restore_extended(const struct area *a, unsigned i, const uint8_t *from)
{
	uint32_t pkru = 0;

	switch (i) {
	case X86_XSC_AVX:
		if (from)
			vec_unpack(a, 1, from);
		else
			vec_clear(a, 1);
		break;
	case X86_XSC_PKRU:
		if (from)
			memcpy(&pkru, from, 4);
		x86_pkru_set(x86_cpu(a->env), pkru);
		break;
	default:
		x86_zmm_unpack(a->env, i, a->vectors, from);
	}
}

/* What is asked for and not there gets its initial state. */
static void restore_components(const struct area *a, uint64_t rfbm, uint64_t load, const struct image *m)
{
	if (load & X86_XS_X87)
		x87_unpack(a, m->legacy);
	else if (rfbm & X86_XS_X87)
		x87_clear(a);
	if (load & X86_XS_SSE)
		vec_unpack(a, 0, m->legacy + X86_FX_XMM);
	else if (rfbm & X86_XS_SSE)
		vec_clear(a, 0);
	for (unsigned i = 2; i < X86_XSC_COUNT; i++)
		if (rfbm >> i & 1)
			restore_extended(a, i, load >> i & 1 ? m->extended[i] : NULL);
}

/* The control word that an area leads to: it belongs to SSE, in the standard form to AVX as well. #GP if it is not valid. */
static uint32_t new_mxcsr(const struct area *a, uint64_t rfbm, uint64_t load, bool compact, const struct image *m)
{
	uint32_t mxcsr;

	if (!(rfbm & (compact ? X86_XS_SSE : X86_XS_SSE | X86_XS_AVX)))
		return a->env->mxcsr;
	if (compact && !(load & X86_XS_SSE))
		return X86_MXCSR_INIT;
	memcpy(&mxcsr, m->legacy + X86_FX_MXCSR, 4);
	gp_unless(a->env, !(mxcsr & ~X86_MXCSR_VALID));
	return mxcsr;
}

uint64_t x86_rt_xrstor(struct tcg_env *env, uint64_t va, uint64_t opsize, uint64_t variant)
{
	uint64_t rfbm = requested(env), load, header[8];
	uint8_t old_x87[X86_FX_XMM];
	struct area a;
	struct image m;
	struct form f;
	uint32_t mxcsr;

	a = area_at(env, va, opsize, 64);
	area_load(&a, X86_XS_HEADER, header, sizeof(header));
	gp_unless(env, !variant || (header[1] & X86_XCOMP_COMPACT));
	f = (struct form){ .compact = check_header(env, header), .holds = header[1] };
	load = rfbm & header[0];
	load_image(&a, load, &f, &m);
	x86_fpu_read(env);
	memcpy(old_x87, env->fpu_image, sizeof(old_x87));
	mxcsr = new_mxcsr(&a, rfbm, load, f.compact, &m);
	restore_components(&a, rfbm, load, &m);
	env->mxcsr = mxcsr;
	if (memcmp(old_x87, env->fpu_image, sizeof(old_x87))) /* mostly the initial state again */
		x86_fpu_written(env);
	return 0;
}

/* ---- XCR0 */

/* ECX = 1: the components in use; all that are on may be. */
uint64_t x86_rt_xgetbv(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint32_t n = (uint32_t)env->greg[X86_RCX];

	(void)a;
	(void)b;
	(void)unused;
	gp_unless(env, n == 0 || (n == 1 && x86_offers(c, X86_CPUID_XGETBV1)));
	env->greg[X86_RAX] = (uint32_t)c->xcr0;
	env->greg[X86_RDX] = c->xcr0 >> 32;
	return 0;
}

uint64_t x86_rt_xsetbv(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	struct x86_cpu *c = x86_cpu(env);
	uint64_t v = (uint32_t)env->greg[X86_RAX] | (uint64_t)(uint32_t)env->greg[X86_RDX] << 32;

	(void)a;
	(void)b;
	(void)unused;
	gp_unless(env, c->cpl == 0 && (uint32_t)env->greg[X86_RCX] == 0);
	gp_unless(env, (v & X86_XS_X87) && !(v & ~x86_xcr0_supported(c)) && (!(v & X86_XS_AVX) || v & X86_XS_SSE));
	gp_unless(env, !(v & X86_XS_AVX512) || ((v & X86_XS_AVX512) == X86_XS_AVX512 && (v & X86_XS_AVX)));
	c->xcr0 = v;
	x86_mode_update(c);
	return 0;
}
