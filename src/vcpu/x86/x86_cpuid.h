/* SPDX-License-Identifier: MIT */
/*
 * CPU models and CPUID. "CPUID advertises exactly what is implemented": a model's feature list is cut down to what translator and runtime do.
 * Threads: init and check on the main thread; leaf reads on the vCPU's own.
 */
#ifndef COHORT_VCPU_X86_CPUID_H
#define COHORT_VCPU_X86_CPUID_H

#include <string.h>

#include <stdio.h>

#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/x86_cpu.h"

struct err;

/* Words of feature bits, by leaf and register; CAPS and CAPSH are IA32_ARCH_CAPABILITIES; HV our own. */
enum x86_cpuid_word { X86_CW_1D, X86_CW_1C, X86_CW_7B, X86_CW_7C, X86_CW_7D, X86_CW_72D, X86_CW_D1A, X86_CW_81D, X86_CW_81C, X86_CW_87D,
		      X86_CW_88B, X86_CW_6A, X86_CW_CAPS, X86_CW_CAPSH, X86_CW_HV, X86_CW_KVM, X86_CW_COUNT };

/* X86_CPUID_<ID of cpuid_bits.def>: word * 32 + bit. */
enum x86_cpuid_bit {
#define X86_CPUID_BIT(id, word, bit, names, feature, models) X86_CPUID_##id = X86_CW_##word * 32 + (bit),
#include "vcpu/x86/cpuid_bits.def"
#undef X86_CPUID_BIT
};

/* [const] after x86_cpuid_init(); one for all vCPUs. */
struct x86_cpuid_model {
	uint32_t word[X86_CW_COUNT];
	char vendor[13], brand[49];
	unsigned family, model, stepping;
	uint32_t level, xlevel;
	unsigned cores, threads;          /* per socket, per core */
	unsigned core_bits, thread_bits;  /* of an APIC id */
};

/* Fills c->features and what else identifies the CPU (topology, APIC id in c->vcpu.apic_id) from the configuration. */
int must_check x86_cpuid_init(struct x86_cpu *c, unsigned index, const struct vcpu_config *config, struct err *err);
int must_check x86_cpuid_check(const char *model, struct err *err); /* "max,+avx": known model, known and possible features? */
void x86_cpuid_print_models(FILE *out);
uint32_t x86_cpuid_signature(const struct x86_cpu *c); /* family/model/stepping, EDX after reset */

static inline bool x86_offers(const struct x86_cpu *c, enum x86_cpuid_bit bit)
{
	return c->cpuid->word[bit / 32] >> (bit % 32) & 1;
}

/* Where the vendors' instructions differ, the CPU does what its name says. */
static inline bool x86_is_amd(const struct x86_cpu *c)
{
	return !strcmp(c->cpuid->vendor, "AuthenticAMD");
}

/* State components that XSETBV accepts. */
static inline uint64_t x86_xcr0_supported(const struct x86_cpu *c)
{
	return 3 | (x86_offers(c, X86_CPUID_AVX) ? 4 : 0) | (x86_has(c, X86_F_AVX512F) ? 0xe0 : 0) | (x86_offers(c, X86_CPUID_PKU) ? 0x200 : 0);
}

struct x86_cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};
struct x86_cpuid_regs x86_cpuid(struct x86_cpu *c, uint32_t leaf, uint32_t subleaf);

#endif
