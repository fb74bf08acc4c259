/* SPDX-License-Identifier: MIT */
#include "unit/vcpu/rt_fixture.h"

#include "tcg/backend.h"

static bool offers(enum x86_cpuid_bit bit)
{
	return x86_offers(cpu, bit);
}

static void test_default_is_max(void **state)
{
	struct x86_cpuid_regs r;

	(void)state;
	assert_int_equal(cpu_model(NULL), 0);
	r = x86_cpuid(cpu, 0, 0);
	assert_int_equal(r.eax, 0x1f);
	assert_memory_equal(&r.ebx, "Genu", 4);
	assert_memory_equal(&r.edx, "ineI", 4);
	assert_memory_equal(&r.ecx, "ntel", 4);
	r = x86_cpuid(cpu, 1, 0);
	assert_int_equal(r.eax >> 8 & 15, 6);
	assert_int_equal(r.eax, x86_cpuid_signature(cpu));
	assert_true(r.ecx >> 31); /* hypervisor */
	assert_true(r.edx >> 9 & 1);
	assert_false(r.ecx >> 27 & 1); /* OSXSAVE follows CR4 */
	cpu->cr4 |= X86_CR4_OSXSAVE;
	assert_true(x86_cpuid(cpu, 1, 0).ecx >> 27 & 1);
	assert_true(offers(X86_CPUID_AVX) && offers(X86_CPUID_AVX2) && offers(X86_CPUID_FMA) && offers(X86_CPUID_BMI2));
	assert_true(offers(X86_CPUID_AVX512F) && offers(X86_CPUID_AVX512BITALG) && !offers(X86_CPUID_MONITOR));
	assert_true(offers(X86_CPUID_XSAVES));
}

static void test_features_reach_the_decoder(void **state)
{
	(void)state;
	assert_true(x86_has(cpu, X86_F_SSE42));
	assert_true(x86_has(cpu, X86_F_BASE));
	assert_true(x86_has(cpu, X86_F_AVX));
	assert_int_equal(cpu_model("max,-aes,sse4_2=off"), 0);
	assert_false(x86_has(cpu, X86_F_AES));
	assert_false(x86_has(cpu, X86_F_SSE42));
	assert_true(x86_has(cpu, X86_F_SSE41));
}

static void test_models(void **state)
{
	struct x86_cpuid_regs r;

	(void)state;
	assert_int_equal(cpu_model("qemu64"), 0);
	r = x86_cpuid(cpu, 0, 0);
	assert_memory_equal(&r.ebx, "Auth", 4);
	assert_int_equal(x86_cpuid(cpu, 1, 0).eax, 0x60fb1);
	assert_false(offers(X86_CPUID_SSSE3));
	assert_int_equal(x86_cpuid(cpu, 0x80000001, 0).edx >> 23 & 1, 1); /* AMD's copy of MMX */
	assert_int_equal(cpu_model("qemu64,+ssse3,popcnt"), 0);
	assert_true(offers(X86_CPUID_SSSE3) && offers(X86_CPUID_POPCNT));
	assert_int_equal(cpu_model("Nehalem"), 0);
	assert_int_equal(x86_cpuid(cpu, 1, 0).eax, 0x106a3);
	assert_true(offers(X86_CPUID_SSE42) && !offers(X86_CPUID_AES) && !offers(X86_CPUID_ARCH_CAPS));
	assert_int_equal(cpu_model("Haswell,check=off"), 0);
	assert_int_equal(x86_cpuid(cpu, 1, 0).eax, 0x306c4);
	assert_true(offers(X86_CPUID_AVX2) && offers(X86_CPUID_FMA) && offers(X86_CPUID_BMI2) && offers(X86_CPUID_ABM));
	assert_false(offers(X86_CPUID_ADX) || offers(X86_CPUID_RTM) || offers(X86_CPUID_SHA));
	assert_int_equal(cpu_model("SandyBridge"), 0);
	assert_true(offers(X86_CPUID_AVX) && !offers(X86_CPUID_AVX2) && !offers(X86_CPUID_F16C));
	assert_int_equal(cpu_model("Skylake-Server,check=off"), 0);
	assert_true(offers(X86_CPUID_AVX512F) && offers(X86_CPUID_AVX512CD) && offers(X86_CPUID_AVX512VL) && !offers(X86_CPUID_AVX512IFMA));
	assert_int_equal(cpu_model("EPYC-Rome,check=off"), 0);
	assert_false(offers(X86_CPUID_AVX512F));
	assert_int_equal(x86_cpuid(cpu, 1, 0).eax, 0x830f10);
	assert_true(offers(X86_CPUID_SHA) && offers(X86_CPUID_RDPID) && !offers(X86_CPUID_SVM));
	assert_int_equal(cpu_model("host"), 0);
}

static void test_errors(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(x86_cpuid_check("max", &err), 0);
	assert_int_equal(x86_cpuid_check("max,check,enforce,migratable=off", &err), 0);
	assert_int_equal(x86_cpuid_check("Pentium9", &err), -1);
	assert_non_null(strstr(err.text, "unknown CPU model 'Pentium9'"));
	assert_int_equal(x86_cpuid_check("max,+waitpkg", &err), 0); /* a warning */
	assert_int_equal(x86_cpuid_check("max,+waitpkg,+avx2,enforce", &err), -1);
	assert_non_null(strstr(err.text, "not by this host: waitpkg"));
	assert_string_equal(strrchr(err.text, ' '), " waitpkg");
	assert_int_equal(x86_cpuid_check("Haswell,-hle,-rtm,enforce", &err), 0);
	assert_int_equal(x86_cpuid_check("max,-avx512f", &err), 0);
	assert_int_equal(x86_cpuid_check("max,+warp", &err), -1);
	assert_non_null(strstr(err.text, "unknown CPU feature 'warp'"));
	assert_int_equal(x86_cpuid_check("max,aes=maybe", &err), -1);
	assert_int_equal(x86_cpuid_check("max,vendor=x", &err), -1);
	assert_int_equal(x86_cpuid_check("max,stepping=16", &err), -1);
	assert_int_equal(x86_cpuid_check("max,vendor=AuthenticAMD,family=15,model=0x6b,stepping=1", &err), 0);
}

static void test_dependents_go_too(void **state)
{
	(void)state;
	assert_int_equal(cpu_model("max,-xsave,-sse3,-arch-capabilities,-apic"), 0);
	assert_false(offers(X86_CPUID_AVX) || offers(X86_CPUID_AVX2) || offers(X86_CPUID_FMA) || offers(X86_CPUID_VAES));
	assert_false(offers(X86_CPUID_XSAVEOPT) || offers(X86_CPUID_XSAVEC) || offers(X86_CPUID_SSE42) || offers(X86_CPUID_X2APIC));
	assert_false(offers(X86_CPUID_RDCL_NO) || offers(X86_CPUID_ITS_NO));
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax, 0);
}

static uint32_t no_evex(void)
{
	return BACKEND_EVEX_ALL;
}

static void test_avx512(void **state)
{
	(void)state;
	assert_int_equal(cpu_model("max,+avx512f,+avx512vl,-pku"), 0);
	assert_true(offers(X86_CPUID_AVX512F) && offers(X86_CPUID_AVX512VL));
	assert_true(x86_has(cpu, X86_F_AVX512F) && x86_has(cpu, X86_F_AVX512VL));
	assert_int_equal(x86_cpuid(cpu, 7, 0).ebx >> 16 & 1, 1);
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax, 0xe7);
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).ecx, 2688);
	assert_int_equal(x86_cpuid(cpu, 0xd, 5).eax, 64);
	assert_int_equal(x86_cpuid(cpu, 0xd, 6).eax, 512);
	assert_int_equal(x86_cpuid(cpu, 0xd, 7).eax, 1024);
	assert_int_equal(cpu_model("max,+avx512f,+avx512bw,+avx512vbmi,-avx512bw"), 0);
	assert_true(offers(X86_CPUID_AVX512F) && !offers(X86_CPUID_AVX512VBMI));
	assert_int_equal(cpu_model("max,-avx2,+avx512f,+avx512vl,+avx512bw,+avx512vbmi"), 0);
	assert_false(offers(X86_CPUID_AVX512F) || offers(X86_CPUID_AVX512VL) || offers(X86_CPUID_AVX512VBMI));
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax & 0xe0, 0);
}

static void test_avx512_is_off_where_the_host_has_none(void **state)
{
	const struct backend *usual = tcg_backend;
	struct backend lacking = *usual;
	struct err err;

	(void)state;
	lacking.lacks = no_evex;
	tcg_backend = &lacking;
	assert_int_equal(cpu_model("max,check=off,+avx512f,+avx512vl"), 0);
	assert_false(offers(X86_CPUID_AVX512F) || offers(X86_CPUID_AVX512VL) || x86_has(cpu, X86_F_AVX512F));
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax & 0xe0, 0);
	assert_int_equal(x86_cpuid_check("max,+avx512f,enforce", &err), -1);
	assert_non_null(strstr(err.text, "not by this host: avx512f"));
	tcg_backend = usual;
}

static void test_topology(void **state)
{
	struct vcpu_config config = { .nr = 12, .sockets = 2, .cores = 3, .threads = 2 };
	static const uint32_t ids[12] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };
	struct x86_cpuid_regs r;
	struct err err;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(x86_cpuid_init(cpu, i, &config, &err), 0);
		assert_int_equal(cpu->vcpu.apic_id, ids[i]);
		assert_int_equal(x86_cpuid(cpu, 0xb, 0).edx, ids[i]);
	}
	r = x86_cpuid(cpu, 0xb, 0);
	assert_int_equal(r.eax, 1);
	assert_int_equal(r.ebx, 2);
	assert_int_equal(r.ecx, 0x100);
	r = x86_cpuid(cpu, 0x1f, 1);
	assert_int_equal(r.eax, 3);
	assert_int_equal(r.ebx, 6);
	assert_int_equal(r.ecx, 0x201);
	assert_int_equal(x86_cpuid(cpu, 0xb, 2).ecx, 2);
	r = x86_cpuid(cpu, 4, 3);
	assert_int_equal(r.eax >> 26, 3);
	assert_int_equal(r.eax >> 14 & 0xfff, 7);
	assert_int_equal(x86_cpuid(cpu, 4, 4).eax, 0);
	assert_int_equal(x86_cpuid(cpu, 1, 0).ebx >> 16 & 0xff, 8);
	config.nr = 13;
	assert_int_equal(x86_cpuid_init(cpu, 0, &config, &err), -1);
}

static void test_xsave_leaf(void **state)
{
	struct x86_cpuid_regs r;

	(void)state;
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax, 0x2e7);
	assert_int_equal(cpu_model("max,-avx512f"), 0);
	r = x86_cpuid(cpu, 0xd, 0);
	assert_int_equal(r.eax, 0x207);
	assert_int_equal(r.ebx, 576);
	assert_int_equal(r.ecx, 2696);
	assert_int_equal(x86_cpuid(cpu, 0xd, 9).eax, 8);
	assert_int_equal(x86_cpuid(cpu, 0xd, 9).ebx, 2688);
	assert_int_equal(x86_cpuid(cpu, 0xd, 1).eax, 15);
	assert_int_equal(x86_cpuid(cpu, 0xd, 2).eax, 256);
	assert_int_equal(x86_cpuid(cpu, 0xd, 2).ebx, 576);
	assert_int_equal(x86_cpuid(cpu, 0xd, 3).eax, 0);
	assert_int_equal(cpu_model("max,-avx,-pku"), 0);
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).eax, 3);
	assert_int_equal(x86_cpuid(cpu, 0xd, 0).ecx, 576);
	assert_int_equal(x86_cpuid(cpu, 0xd, 2).eax, 0);
	assert_int_equal(x86_xsave_size(7, false), 832);
	assert_int_equal(x86_xsave_size(3, true), 576);
	assert_int_equal(x86_xsave_size(0x207, true), 840);
}

static void test_tsc_frequency(void **state)
{
	struct x86_cpuid_regs r = x86_cpuid(cpu, 0x15, 0);

	(void)state;
	assert_int_not_equal(r.eax, 0);
	assert_true((uint64_t)r.ecx * r.ebx / r.eax == clock_tsc_hz());
	assert_int_equal(x86_cpuid(cpu, 0x16, 0).eax, clock_tsc_hz() / 1000000);
	assert_int_equal(cpu_model("max,-tsc-deadline"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x15, 0).ebx, 0);
}

static void test_extended(void **state)
{
	struct x86_cpuid_regs r;
	char brand[49] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		r = x86_cpuid(cpu, 0x80000002 + i, 0);
		memcpy(brand + 16 * i, &r, 16);
	}
	assert_string_equal(brand, "Cohort virtual CPU");
	assert_int_equal(x86_cpuid(cpu, 0x80000008, 0).eax, 40 | 48 << 8);
	assert_int_equal(x86_cpuid(cpu, 0x80000007, 0).edx, 0x100);
	assert_int_equal(x86_cpuid(cpu, 0x80000000, 0).eax, 0x80000008);
	assert_int_equal(x86_cpuid(cpu, 0x80000009, 0).eax, 0);
	/* KVM's name, and none of its features. */
	assert_int_equal(x86_cpuid(cpu, 0x40000000, 0).eax, 0x40000001);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(x86_cpuid(cpu, 7, 0).eax, 2);
	assert_int_equal(x86_cpuid(cpu, 7, 1).ebx, 0);
	assert_int_equal(x86_cpuid(cpu, 7, 2).edx, 0x30);
	assert_false(x86_has(cpu, X86_F_HYPERCALL));
	assert_int_equal(cpu_model("max,-kvm"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000000, 0).eax, 0x40000000);
	assert_int_equal(cpu_model("max,-hypervisor,model-id=Mine"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000000, 0).eax, 0);
	r = x86_cpuid(cpu, 0x80000002, 0);
	assert_string_equal((char *)&r, "Mine");
}

/* Features of KVM's, and with any of them hypercalls; none without KVM's name. */
static void test_paravirtual(void **state)
{
	(void)state;
	assert_int_equal(cpu_model("max,+kvmclock"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 1 | 1 << 3 | 1 << 24);
	assert_true(x86_has(cpu, X86_F_HYPERCALL));
	assert_int_equal(cpu_model("max,kvmclock=on,-kvmclock-stable-bit"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 1 | 1 << 3);
	assert_int_equal(cpu_model("max,+kvmclock-stable-bit"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(cpu_model("max,+kvm-pv-ipi,+kvmclock,-kvmclock"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 1 << 11);
	assert_true(x86_has(cpu, X86_F_HYPERCALL));
	assert_int_equal(cpu_model("max,+kvm-pv-ipi,-apic"), 0);
	assert_int_equal(x86_cpuid(cpu, 0x40000001, 0).eax, 0);
	assert_int_equal(cpu_model("max,+kvmclock,+kvm-pv-ipi,-kvm"), 0);
	assert_false(x86_has(cpu, X86_F_HYPERCALL));
	assert_int_equal(cpu_model("max,+kvmclock,+kvm-pv-ipi,-hypervisor"), 0);
	assert_false(x86_has(cpu, X86_F_HYPERCALL));
}

/* A bit that is announced is implemented: its instructions are under test on the host, or it is on the list, which has no others. */
static void test_announced_bits_are_proven(void **state)
{
	static const struct {
		unsigned bit;
		const char *name;
		bool has_instructions;
	} bits[] = {
#define X86_CPUID_BIT(id, word, at, names, feature, models) { X86_CPUID_##id, #id, X86_F_##feature != X86_F_BASE },
#include "vcpu/x86/cpuid_bits.def"
#undef X86_CPUID_BIT
	};
	enum { TESTED, STORED, STATED };
	static const struct {
		unsigned bit;
		int how;
		const char *where;
	} proofs[] = {
#define PROOF(id, how, where) { X86_CPUID_##id, how, where },
#include "unit/vcpu/cpuid_proof.def"
#undef PROOF
	};

	(void)state;
	assert_int_equal(cpu_model("max,+la57,+pks,+monitor,+mmxext,+wbnoinvd,+kvmclock,+kvm-pv-ipi,enforce"), 0);
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		unsigned found = 0;

		for (size_t k = 0; k < sizeof(proofs) / sizeof(proofs[0]); k++) {
			found += proofs[k].bit == bits[i].bit;
			assert_true(*proofs[k].where);
		}
		if (offers((enum x86_cpuid_bit)bits[i].bit) && !bits[i].has_instructions && found != 1)
			fail_msg("%s is announced and stands %u times in cpuid_proof.def", bits[i].name, found);
		if (found && !offers((enum x86_cpuid_bit)bits[i].bit))
			fail_msg("%s stands in cpuid_proof.def and is not announced", bits[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_default_is_max, rt_setup),
		cmocka_unit_test_setup(test_features_reach_the_decoder, rt_setup),
		cmocka_unit_test_setup(test_models, rt_setup),
		cmocka_unit_test_setup(test_errors, rt_setup),
		cmocka_unit_test_setup(test_dependents_go_too, rt_setup),
		cmocka_unit_test_setup(test_avx512, rt_setup),
		cmocka_unit_test_setup(test_avx512_is_off_where_the_host_has_none, rt_setup),
		cmocka_unit_test_setup(test_topology, rt_setup),
		cmocka_unit_test_setup(test_xsave_leaf, rt_setup),
		cmocka_unit_test_setup(test_tsc_frequency, rt_setup),
		cmocka_unit_test_setup(test_extended, rt_setup),
		cmocka_unit_test_setup(test_paravirtual, rt_setup),
		cmocka_unit_test_setup(test_announced_bits_are_proven, rt_setup),
	};

	return cmocka_run_group_tests(tests, NULL, rt_end);
}
