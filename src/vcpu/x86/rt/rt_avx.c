/* SPDX-License-Identifier: MIT */
/*
 * AVX instructions whose elements access memory one by one: masked moves and gathers. SDM volume 2, VMASKMOV, VPMASKMOV, VGATHERxxx.
 *
 * Descriptors: data register 3:0, mask register 7:4, bytes of an element 11:8, 256 bits 12.
 */
#include <string.h>

#include "mem/tlb.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"

struct elements {
	union tcg_vreg *data, *mask;
	unsigned bytes, n;
	bool wide;
};

static struct elements elements_of(struct tcg_env *env, uint64_t desc)
{
	struct elements e = { .data = &env->vreg[desc & 15], .mask = &env->vreg[desc >> 4 & 15], .bytes = desc >> 8 & 15, .wide = desc >> 12 & 1 };

	e.n = (e.wide ? 32 : 16) / e.bytes;
	return e;
}

static bool is_chosen(const struct elements *e, unsigned k)
{
	return e->mask->b[(k + 1) * e->bytes - 1] & 0x80;
}

/* `at` is linear; sizes are small, so that base and wrap do not matter to the check. */
void x86_rt_check_element(struct tcg_env *env, gva_t at, unsigned seg, unsigned bytes, bool write)
{
	struct x86_cpu *c = x86_cpu(env);

	if ((c->tb_flags & X86_TB_MODE) == X86_MODE_64 || !(c->tb_flags & (seg >= X86_FS ? X86_TB_FGLIM : X86_TB_SEGLIM)))
		return;
	(void)x86_rt_seg_check(env, seg | (uint64_t)bytes << X86_SEG_CHECK_SIZE | (write ? X86_SEG_CHECK_WRITE : 0), (uint32_t)(at - c->seg[seg].base), 0);
}

static gva_t element_address(const struct x86_cpu *c, gva_t at, unsigned offset)
{
	return (c->tb_flags & X86_TB_MODE) == X86_MODE_64 ? at + offset : (uint32_t)(at + offset);
}

/* May all of it be written? Faults as the store would. */
static void probe_store(struct tcg_env *env, gva_t va, unsigned bytes)
{
	unsigned mode = x86_mmu_mode(x86_cpu(env));
	gva_t last_page = (va + bytes - 1) & GUEST_PAGE_MASK;

	(void)tlb_page_ptr(env, va, TLB_WRITE, mode);
	if (last_page > va)
		(void)tlb_page_ptr(env, last_page, TLB_WRITE, mode);
}

/* Before an instruction computes what it stores: its memory faults come before its floating-point exceptions. */
uint64_t x86_rt_probe_store(struct tcg_env *env, uint64_t va, uint64_t bytes, uint64_t unused)
{
	(void)unused;
	probe_store(env, va, (unsigned)bytes);
	return 0;
}

/* All elements can be stored before the first one is. */
static void masked_store(struct tcg_env *env, const struct elements *e, gva_t at, unsigned seg)
{
	struct x86_cpu *c = x86_cpu(env);
	unsigned mode = x86_mmu_mode(c);

	for (unsigned k = 0; k < e->n; k++) {
		gva_t va = element_address(c, at, k * e->bytes);

		if (!is_chosen(e, k))
			continue;
		x86_rt_check_element(env, va, seg, e->bytes, true);
		probe_store(env, va, e->bytes);
	}
	for (unsigned k = 0; k < e->n; k++)
		if (is_chosen(e, k))
			tlb_store_bytes(env, element_address(c, at, k * e->bytes), &e->data->b[k * e->bytes], e->bytes, mode);
}

static void masked_load(struct tcg_env *env, const struct elements *e, gva_t at, unsigned seg)
{
	struct x86_cpu *c = x86_cpu(env);
	union tcg_vreg r = { .q = { 0 } };

	for (unsigned k = 0; k < e->n; k++) {
		gva_t va = element_address(c, at, k * e->bytes);

		if (!is_chosen(e, k))
			continue;
		x86_rt_check_element(env, va, seg, e->bytes, false);
		tlb_load_bytes(env, va, &r.b[k * e->bytes], e->bytes, x86_mmu_mode(c));
	}
	*e->data = r;
}

uint64_t x86_rt_vmaskmov(struct tcg_env *env, uint64_t va, uint64_t desc, uint64_t unused)
{
	struct elements e = elements_of(env, desc);
	unsigned seg = desc >> 16 & 7;

	(void)unused;
	if (desc >> 13 & 1)
		masked_store(env, &e, va, seg);
	else
		masked_load(env, &e, va, seg);
	return 0;
}

/* Index register 19:16, log2 of the scale 21:20, indices of 64 bits 22, bytes of an address 27:24, segment 30:28. */
static gva_t gather_address(struct tcg_env *env, uint64_t base, uint64_t desc, unsigned k)
{
	const struct x86_cpu *c = x86_cpu(env);
	const union tcg_vreg *index = &env->vreg[desc >> 16 & 15];
	unsigned seg = desc >> 28 & 7;
	uint64_t i = desc >> 22 & 1 ? index->q[k] : (uint64_t)(int32_t)index->l[k];
	gva_t ea = base + (i << (desc >> 20 & 3));
	bool mode64 = (c->tb_flags & X86_TB_MODE) == X86_MODE_64;

	if ((desc >> 24 & 15) == 4)
		ea = (uint32_t)ea;
	if (!mode64 || seg >= X86_FS)
		ea += c->seg[seg].base;
	return mode64 ? ea : (uint32_t)ea;
}

/*
 * Elements from the lowest on; what has been loaded when one faults stays, its mask element clear, so that the instruction goes on where it
 * stopped.
 */
uint64_t x86_rt_gather(struct tcg_env *env, uint64_t base, uint64_t desc, uint64_t unused)
{
	struct elements e = elements_of(env, desc);
	bool index64 = desc >> 22 & 1;
	unsigned mode = x86_mmu_mode(x86_cpu(env)), bytes;

	(void)unused;
	if (index64 && e.bytes == 4)
		e.n /= 2;
	else if (!index64 && e.bytes == 8)
		e.n = e.wide ? 4 : 2;
	bytes = e.n * e.bytes;
	for (unsigned k = 0; k < e.n; k++) {
		uint64_t v;

		if (is_chosen(&e, k)) {
			gva_t va = gather_address(env, base, desc, k);

			x86_rt_check_element(env, va, desc >> 28 & 7, e.bytes, false);
			tlb_load_bytes(env, va, &v, e.bytes, mode);
			memcpy(&e.data->b[k * e.bytes], &v, e.bytes);
		}
		memset(&e.mask->b[k * e.bytes], 0, e.bytes);
	}
	memset(&e.data->b[bytes], 0, sizeof(*e.data) - bytes);
	memset(e.mask, 0, sizeof(*e.mask));
	return 0;
}
