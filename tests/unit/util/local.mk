# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/util/test_bitops \
	tests/unit/util/test_list \
	tests/unit/util/test_lock \
	tests/unit/util/test_log \
	tests/unit/util/test_rcu \
	tests/unit/util/test_stats \
	tests/unit/util/test_vcpu_set

# The rule checks of locks are under test, so this one is always compiled as in debug builds.
tests_unit_util_test_lock_CPPFLAGS = $(AM_CPPFLAGS) -DCOHORT_DEBUG=1

LDADD_UTIL_TEST = $(LIBS_UTIL) $(CMOCKA_LIBS)
tests_unit_util_test_bitops_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_list_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_lock_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_log_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_rcu_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_stats_LDADD = $(LDADD_UTIL_TEST)
tests_unit_util_test_vcpu_set_LDADD = $(LDADD_UTIL_TEST)
