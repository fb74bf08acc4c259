# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/tcg/test_code_region \
	tests/unit/tcg/test_interp \
	tests/unit/tcg/test_ir \
	tests/unit/tcg/test_ir_eval \
	tests/unit/tcg/test_liveness \
	tests/unit/tcg/test_places \
	tests/unit/tcg/test_rewritten \
	tests/unit/tcg/test_tb_gap \
	tests/unit/tcg/test_vec_eval \
	tests/unit/tcg/test_wander

EXTRA_DIST += \
	tests/ir/opt.ir \
	tests/ir/verify.ir \
	tests/unit/tcg/vec_cases.def

IR_FUZZ = tests/unit/tcg/ir_fuzz.c tests/unit/tcg/ir_fuzz.h
tests_unit_tcg_test_code_region_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_interp_SOURCES = tests/unit/tcg/test_interp.c $(IR_FUZZ)
tests_unit_tcg_test_interp_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_ir_SOURCES = tests/unit/tcg/test_ir.c $(IR_FUZZ)
tests_unit_tcg_test_ir_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_ir_eval_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_liveness_SOURCES = tests/unit/tcg/test_liveness.c $(IR_FUZZ)
tests_unit_tcg_test_liveness_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_places_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_rewritten_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_tb_gap_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_vec_eval_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_wander_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)

# The back end of this host.
if HOST_X86_64
unit_tests += \
	tests/unit/tcg/test_x86_64_evex \
	tests/unit/tcg/test_x86_64_flow \
	tests/unit/tcg/test_x86_64_fpu \
	tests/unit/tcg/test_x86_64_large \
	tests/unit/tcg/test_x86_64_random \
	tests/unit/tcg/test_x86_64_vec \
	tests/unit/tcg/test_x86_64_wide

X86_64_FIXTURE = tests/unit/tcg/x86_64_fixture.c tests/unit/tcg/x86_64_fixture.h
tests_unit_tcg_test_x86_64_evex_SOURCES = tests/unit/tcg/test_x86_64_evex.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_evex_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_flow_SOURCES = tests/unit/tcg/test_x86_64_flow.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_flow_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_fpu_SOURCES = tests/unit/tcg/test_x86_64_fpu.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_fpu_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_large_SOURCES = tests/unit/tcg/test_x86_64_large.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_large_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_random_SOURCES = tests/unit/tcg/test_x86_64_random.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_random_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_vec_SOURCES = tests/unit/tcg/test_x86_64_vec.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_vec_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
tests_unit_tcg_test_x86_64_wide_SOURCES = tests/unit/tcg/test_x86_64_wide.c $(X86_64_FIXTURE)
tests_unit_tcg_test_x86_64_wide_LDADD = $(LIBS_TCG) $(CMOCKA_LIBS)
endif
