/* SPDX-License-Identifier: MIT */
/*
 * What CPUID answers, leaf by leaf. SDM volume 2, CPUID; AMD64 manual volume 3, appendix E for the extended leaves.
 */
#include "vcpu/x86/x86_cpuid.h"

#include <string.h>

#include "sched/clock.h"
#include "util/bitops.h"
#include "vcpu/x86/x86_mmu.h"
#include "vcpu/x86/x86_xstate.h"

#define CLFLUSH_UNITS 8u /* of 8 bytes */
#define HV_LEAF 0x40000000u
#define HV_SIGNATURE "CohortCohort"
#define KVM_SIGNATURE "KVMKVMKVM\0\0"
#define KVM_FEATURES_LEAF 0x40000001u

#define APIC_BASE_MSR 0x1bu
#define APIC_BASE_ENABLE 0x800u

static uint32_t text(const char *s, unsigned i)
{
	uint32_t v;

	memcpy(&v, s + 4 * i, 4);
	return v;
}

uint32_t x86_cpuid_signature(const struct x86_cpu *c)
{
	const struct x86_cpuid_model *m = c->cpuid;
	unsigned family = m->family > 15 ? 15 : m->family;

	return m->stepping | (m->model & 15) << 4 | family << 8 | (m->model >> 4) << 16 | (m->family - family) << 20;
}

static unsigned threads_per_socket(const struct x86_cpuid_model *m)
{
	return m->cores * m->threads;
}

/* APIC ids that one socket spans. */
static unsigned socket_ids(const struct x86_cpuid_model *m)
{
	return 1u << (m->core_bits + m->thread_bits);
}

/* The APIC can be switched off for good; CPUID shows it. */
static bool apic_is_off(struct x86_cpu *c)
{
	uint64_t base;

	return c->vcpu.intc && c->vcpu.intc->msr_read(&c->vcpu, APIC_BASE_MSR, &base) == 0 && !(base & APIC_BASE_ENABLE);
}

static void leaf_1(struct x86_cpu *c, struct x86_cpuid_regs *r)
{
	const struct x86_cpuid_model *m = c->cpuid;
	unsigned ids = socket_ids(m) > 255 ? 255 : socket_ids(m);

	r->eax = x86_cpuid_signature(c);
	r->ebx = CLFLUSH_UNITS << 8 | (threads_per_socket(m) > 1 ? ids << 16 : 0) | (c->vcpu.apic_id & 0xff) << 24;
	r->ecx = m->word[X86_CW_1C];
	if (!(c->misc_enable & X86_MISC_MONITOR))
		r->ecx &= ~(1u << 3);
	if (c->cr4 & X86_CR4_OSXSAVE)
		r->ecx |= 1u << 27;
	r->edx = m->word[X86_CW_1D];
	if (threads_per_socket(m) > 1)
		r->edx |= 1u << 28;
	if (apic_is_off(c))
		r->edx &= ~(1u << 9);
}

/* Deterministic cache parameters: L1D, L1I, L2 by core, L3 by socket. */
static void leaf_4(struct x86_cpu *c, uint32_t sub, struct x86_cpuid_regs *r)
{
	static const struct cache {
		uint8_t type, level, ways;
		uint16_t sets;
		bool by_socket;
		uint32_t edx;
	} caches[] = { { 1, 1, 8, 64, false, 1 }, { 2, 1, 8, 64, false, 1 }, { 3, 2, 16, 4096, false, 1 }, { 3, 3, 16, 16384, true, 6 } };
	const struct x86_cpuid_model *m = c->cpuid;
	unsigned ids = sub < ARRAY_LEN(caches) && caches[sub].by_socket ? socket_ids(m) : 1u << m->thread_bits;

	if (sub >= ARRAY_LEN(caches))
		return;
	r->eax = caches[sub].type | (uint32_t)caches[sub].level << 5 | 1u << 8 | (ids - 1) << 14 | ((1u << m->core_bits) - 1) << 26;
	r->ebx = 63 | (caches[sub].ways - 1u) << 22;
	r->ecx = caches[sub].sets - 1u;
	r->edx = caches[sub].edx;
}

static void leaf_7(struct x86_cpu *c, uint32_t sub, struct x86_cpuid_regs *r)
{
	r->edx = sub == 2 ? c->cpuid->word[X86_CW_72D] : 0;
	if (sub)
		return;
	r->eax = c->cpuid->word[X86_CW_72D] ? 2 : 0; /* last subleaf */
	r->ebx = c->cpuid->word[X86_CW_7B];
	r->ecx = c->cpuid->word[X86_CW_7C];
	r->edx = c->cpuid->word[X86_CW_7D];
	if (c->cr4 & X86_CR4_PKE)
		r->ecx |= 1u << 4; /* OSPKE */
}

/* Extended topology: threads of a core, then threads of a socket. */
static void leaf_topology(struct x86_cpu *c, uint32_t sub, struct x86_cpuid_regs *r)
{
	const struct x86_cpuid_model *m = c->cpuid;

	r->ecx = sub & 0xff;
	r->edx = c->vcpu.apic_id;
	if (sub == 0) {
		r->eax = m->thread_bits;
		r->ebx = m->threads;
		r->ecx |= 1u << 8;
	} else if (sub == 1) {
		r->eax = m->thread_bits + m->core_bits;
		r->ebx = threads_per_socket(m);
		r->ecx |= 2u << 8;
	}
}

static void leaf_d(struct x86_cpu *c, uint32_t sub, struct x86_cpuid_regs *r)
{
	uint64_t all = x86_xcr0_supported(c);

	if (!x86_offers(c, X86_CPUID_XSAVE))
		return;
	if (sub == 0) {
		r->eax = (uint32_t)all;
		r->ebx = x86_xsave_size(c->xcr0, false);
		r->ecx = x86_xsave_size(all, false);
	} else if (sub == 1) {
		r->eax = c->cpuid->word[X86_CW_D1A];
		if (x86_offers(c, X86_CPUID_XSAVEC) || x86_offers(c, X86_CPUID_XSAVES))
			r->ebx = x86_xsave_size(c->xcr0 | c->xss, true);
	} else if (sub < 32 && all >> sub & 1) {
		r->eax = x86_xsave_component(sub, &r->ebx);
	}
}

/*
 * TSC frequency as crystal * EBX / EAX with the ratio 1 (or 2, if it needs more than 32 bits). Guests also take the crystal for the APIC
 * timer's clock, which it is not: the leaf is there only if the timer counts the TSC.
 */
static void leaf_15(struct x86_cpu *c, struct x86_cpuid_regs *r)
{
	uint64_t hz = clock_tsc_hz();
	unsigned ratio = 1;

	if (!x86_offers(c, X86_CPUID_TSC_DEADLINE))
		return;
	while (hz / ratio > UINT32_MAX)
		ratio++;
	r->eax = 1;
	r->ebx = ratio;
	r->ecx = (uint32_t)(hz / ratio);
}

static void leaf_16(struct x86_cpuid_regs *r)
{
	uint32_t mhz = (uint32_t)(clock_tsc_hz() / 1000000) & 0xffff;

	r->eax = mhz;
	r->ebx = mhz;
	r->ecx = 100;
}

static void leaf_basic(struct x86_cpu *c, uint32_t leaf, uint32_t sub, struct x86_cpuid_regs *r)
{
	const struct x86_cpuid_model *m = c->cpuid;

	switch (leaf) {
	case 0:
		*r = (struct x86_cpuid_regs){ m->level, text(m->vendor, 0), text(m->vendor, 2), text(m->vendor, 1) };
		break;
	case 1:
		leaf_1(c, r);
		break;
	case 2:
		r->eax = 0xff01; /* descriptor FF: see leaf 4 */
		break;
	case 4:
		leaf_4(c, sub, r);
		break;
	case 5:
		if (x86_offers(c, X86_CPUID_MONITOR))
			*r = (struct x86_cpuid_regs){ sizeof(c->monitor_line), sizeof(c->monitor_line), 3, 0 };
		break;
	case 6:
		r->eax = m->word[X86_CW_6A];
		break;
	case 7:
		leaf_7(c, sub, r);
		break;
	case 0xb:
	case 0x1f:
		leaf_topology(c, sub, r);
		break;
	case 0xd:
		leaf_d(c, sub, r);
		break;
	case 0x15:
		leaf_15(c, r);
		break;
	case 0x16:
		leaf_16(r);
		break;
	}
}

static bool is_amd(const struct x86_cpuid_model *m)
{
	return !strcmp(m->vendor, "AuthenticAMD");
}

/* Bits of 1:EDX that AMD repeats in 80000001:EDX. */
#define AMD_ALIASES 0x0183f3ffu

static void leaf_extended(struct x86_cpu *c, uint32_t leaf, struct x86_cpuid_regs *r)
{
	const struct x86_cpuid_model *m = c->cpuid;
	unsigned n = threads_per_socket(m);

	switch (leaf & 0xffff) {
	case 0:
		*r = (struct x86_cpuid_regs){ m->xlevel, 0, 0, 0 };
		if (is_amd(m))
			*r = (struct x86_cpuid_regs){ m->xlevel, text(m->vendor, 0), text(m->vendor, 2), text(m->vendor, 1) };
		break;
	case 1:
		r->eax = is_amd(m) ? x86_cpuid_signature(c) : 0;
		r->ecx = m->word[X86_CW_81C] | (is_amd(m) && n > 1 ? 2 : 0); /* CMP_LEGACY */
		r->edx = m->word[X86_CW_81D] | (is_amd(m) ? m->word[X86_CW_1D] & AMD_ALIASES : 0);
		break;
	case 2:
	case 3:
	case 4: {
		const char *s = m->brand + 16 * ((leaf & 0xffff) - 2);

		*r = (struct x86_cpuid_regs){ text(s, 0), text(s, 1), text(s, 2), text(s, 3) };
		break;
	}
	case 6:
		r->ecx = 4096u << 16 | 8u << 12 | 1u << 8 | 64; /* L2: 4 MiB, 16 ways */
		break;
	case 7:
		r->edx = m->word[X86_CW_87D];
		break;
	case 8:
		r->eax = X86_PHYS_BITS | (x86_offers(c, X86_CPUID_LA57) ? X86_LINEAR_BITS_LA57 : X86_LINEAR_BITS) << 8;
		r->ebx = m->word[X86_CW_88B];
		if (is_amd(m))
			r->ecx = (n - 1) | (m->core_bits + m->thread_bits) << 12;
		break;
	}
}

static struct x86_cpuid_regs hypervisor_leaf(const struct x86_cpu *c)
{
	const char *sig = x86_offers(c, X86_CPUID_KVM) ? KVM_SIGNATURE : HV_SIGNATURE;

	return (struct x86_cpuid_regs){ x86_offers(c, X86_CPUID_KVM) ? KVM_FEATURES_LEAF : HV_LEAF, text(sig, 0), text(sig, 1), text(sig, 2) };
}

struct x86_cpuid_regs x86_cpuid(struct x86_cpu *c, uint32_t leaf, uint32_t subleaf)
{
	struct x86_cpuid_regs r = { 0 };

	if (leaf <= c->cpuid->level)
		leaf_basic(c, leaf, subleaf, &r);
	else if (leaf >= 0x80000000u && leaf <= c->cpuid->xlevel)
		leaf_extended(c, leaf, &r);
	else if (leaf == HV_LEAF && x86_offers(c, X86_CPUID_HYPERVISOR))
		r = hypervisor_leaf(c);
	else if (leaf == KVM_FEATURES_LEAF && x86_offers(c, X86_CPUID_HYPERVISOR) && x86_offers(c, X86_CPUID_KVM))
		r.eax = c->cpuid->word[X86_CW_KVM];
	return r;
}
