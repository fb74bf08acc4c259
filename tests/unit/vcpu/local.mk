# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/vcpu/test_cpuid \
	tests/unit/vcpu/test_decode \
	tests/unit/vcpu/test_decode_oracle \
	tests/unit/vcpu/test_kvm \
	tests/unit/vcpu/test_misc \
	tests/unit/vcpu/test_msr \
	tests/unit/vcpu/test_spin_wait \
	tests/unit/vcpu/test_steal \
	tests/unit/vcpu/test_tr \
	tests/unit/vcpu/test_tr_random \
	tests/unit/vcpu/test_x87 \
	tests/unit/vcpu/test_xstate

EXTRA_DIST += \
	tests/unit/vcpu/cpuid_proof.def \
	tests/unit/vcpu/decode_cases.def \
	tests/unit/vcpu/rt_fixture.h \
	tests/unit/vcpu/tr_fixture.h

tests_unit_vcpu_test_cpuid_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_decode_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_decode_oracle_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_kvm_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_misc_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_msr_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_spin_wait_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_steal_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_tr_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_tr_random_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_x87_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
tests_unit_vcpu_test_xstate_LDADD = $(LIBS_VCPU) $(CMOCKA_LIBS)
