# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/mem/test_aspace \
	tests/unit/mem/test_code_watch \
	tests/unit/mem/test_dispatch \
	tests/unit/mem/test_ram \
	tests/unit/mem/test_tlb \
	tests/unit/mem/test_tlb_partial \
	tests/unit/mem/test_tlb_wide

LDADD_MEM_TEST = $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_mem_test_aspace_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_code_watch_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_dispatch_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_ram_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_tlb_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_tlb_partial_LDADD = $(LDADD_MEM_TEST)
tests_unit_mem_test_tlb_wide_LDADD = $(LDADD_MEM_TEST)
