/* SPDX-License-Identifier: MIT */
/*
 * What this host has, by CPUID (Intel SDM volume 2, CPUID); what needs wide registers, by the operating system as well. CPUID takes a while in a
 * virtual machine, so it is asked once.
 */
#include "tcg/host_lacks.h"

#include <cpuid.h>
#include <stdatomic.h>

#include "tcg/backend.h"

static const struct host_feature {
	uint32_t what, leaf;
	uint8_t reg, bit; /* eax ebx ecx edx */
} host_features[] = {
	{ BACKEND_AES, 1, 2, 25 }, { BACKEND_CLMUL, 1, 2, 1 }, { BACKEND_SHA, 7, 1, 29 }, { BACKEND_BITS, 7, 1, 3 },
	{ BACKEND_DEPOSIT, 7, 1, 8 }, { BACKEND_ADX, 7, 1, 19 }, { BACKEND_COUNT, 0x80000001, 2, 5 }, { BACKEND_AVX, 1, 2, 28 },
	{ BACKEND_AVX2, 7, 1, 5 }, { BACKEND_FMA, 1, 2, 12 }, { BACKEND_F16C, 1, 2, 29 }, { BACKEND_GFNI, 7, 2, 8 },
	{ BACKEND_VAES, 7, 2, 9 }, { BACKEND_VCLMUL, 7, 2, 10 }, { BACKEND_IFMA, 7, 1, 21 }, { BACKEND_VBMI, 7, 2, 1 }, { BACKEND_VBMI2, 7, 2, 6 },
	{ BACKEND_VNNI, 7, 2, 11 }, { BACKEND_BITALG, 7, 2, 12 }, { BACKEND_VPOPCNT, 7, 2, 14 },
};

/* F, DQ, CD, BW, VL; and the operating system keeps their state. */
static bool has_evex(void)
{
	const uint32_t ebx = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
	uint32_t r[4];

	return __builtin_cpu_supports("avx512f") && __get_cpuid_count(7, 0, &r[0], &r[1], &r[2], &r[3]) && (r[1] & ebx) == ebx;
}

static uint32_t find_out(void)
{
	const uint32_t wide = BACKEND_AVX | BACKEND_AVX2 | BACKEND_FMA | BACKEND_F16C | BACKEND_VAES | BACKEND_VCLMUL;
	uint32_t lacks = __builtin_cpu_supports("avx") ? 0 : wide | BACKEND_BITS | BACKEND_DEPOSIT;

	for (size_t i = 0; i < ARRAY_LEN(host_features); i++) {
		const struct host_feature *f = &host_features[i];
		uint32_t r[4];

		if (!__get_cpuid_count(f->leaf, 0, &r[0], &r[1], &r[2], &r[3]) || !(r[f->reg] >> f->bit & 1))
			lacks |= f->what;
	}
	if (!has_evex())
		lacks |= BACKEND_EVEX_ALL;
	return lacks;
}

#define KNOWN 0x80000000u

uint32_t host_lacks(void)
{
	static _Atomic uint32_t answer; /* [atomic] with KNOWN once it is; all who find out find the same */
	uint32_t v = atomic_load_explicit(&answer, memory_order_relaxed);

	if (!v) {
		v = find_out() | KNOWN;
		atomic_store_explicit(&answer, v, memory_order_relaxed);
	}
	return v & ~KNOWN;
}
