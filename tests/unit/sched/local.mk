# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/sched/test_clock \
	tests/unit/sched/test_cpu_thread \
	tests/unit/sched/test_evloop \
	tests/unit/sched/test_numa \
	tests/unit/sched/test_placement \
	tests/unit/sched/test_timer

LDADD_SCHED_TEST = $(LIBS_SCHED) $(CMOCKA_LIBS)
tests_unit_sched_test_clock_LDADD = $(LDADD_SCHED_TEST)
tests_unit_sched_test_cpu_thread_LDADD = $(LDADD_SCHED_TEST)
tests_unit_sched_test_evloop_LDADD = $(LDADD_SCHED_TEST)
tests_unit_sched_test_numa_LDADD = $(LDADD_SCHED_TEST)
tests_unit_sched_test_placement_LDADD = $(LDADD_SCHED_TEST)
tests_unit_sched_test_timer_LDADD = $(LDADD_SCHED_TEST)
