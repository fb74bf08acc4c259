/* SPDX-License-Identifier: MIT */
/*
 * KVM's hypercalls (Linux, Documentation/virt/kvm/x86/hypercalls.rst): VMCALL and VMMCALL with the number in RAX, arguments in RBX, RCX, RDX, RSI,
 * and the result in RAX. Outside of 64-bit code all of them have 32 bits.
 */
#include "util/bitops.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_segment.h"

#define HC_SEND_IPI 10u

/* Results, of which the guest gets the negative. */
#define KVM_EPERM 1
#define KVM_EINVAL 22
#define KVM_ENOSYS 1000

#define ICR_LOGICAL 0x800u
#define ICR_SHORTHAND 0xc0000u

struct hypercall {
	uint64_t nr, arg[4];
	unsigned bits; /* of a word */
};

/* To those of `bitmap` that are there: bit 0 is the APIC ID `first`. Returns how many accepted. */
static int64_t send_to(struct vcpu *v, uint64_t bitmap, uint64_t first, uint32_t icr)
{
	int64_t accepted = 0;

	for (; bitmap && first <= UINT32_MAX; bitmap &= bitmap - 1) {
		uint64_t id = first + (unsigned)__builtin_ctzll(bitmap);

		if (id <= UINT32_MAX)
			accepted += v->intc->ipi(v, (uint32_t)id, icr);
	}
	return accepted;
}

static int64_t send_ipi(struct x86_cpu *c, const struct hypercall *h)
{
	uint64_t low = h->arg[0], high = h->arg[1], first = h->arg[2];
	uint32_t icr = (uint32_t)h->arg[3];

	if (icr & (ICR_LOGICAL | ICR_SHORTHAND))
		return -KVM_EINVAL;
	if (first > UINT32_MAX)
		return 0;
	return send_to(&c->vcpu, low, first, icr) + send_to(&c->vcpu, high, first + h->bits, icr);
}

static int64_t run(struct x86_cpu *c, const struct hypercall *h)
{
	if (c->cpl)
		return -KVM_EPERM;
	if (h->nr == HC_SEND_IPI && x86_offers(c, X86_CPUID_KVM_PV_IPI))
		return send_ipi(c, h);
	return -KVM_ENOSYS;
}

uint64_t x86_rt_hypercall(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t unused)
{
	static const uint8_t args[] = { X86_RBX, X86_RCX, X86_RDX, X86_RSI };
	struct x86_cpu *c = x86_cpu(env);
	struct hypercall h = { .bits = x86_code64(c) ? 64 : 32 };

	(void)a;
	(void)b;
	(void)unused;
	h.nr = env->greg[X86_RAX] & mask_low(h.bits);
	for (unsigned i = 0; i < ARRAY_LEN(args); i++)
		h.arg[i] = env->greg[args[i]] & mask_low(h.bits);
	env->greg[X86_RAX] = (uint64_t)run(c, &h) & mask_low(h.bits);
	return 0;
}
