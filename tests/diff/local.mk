# SPDX-License-Identifier: MIT
if HOST_X86_64
check_programs += tests/diff/difftest
check_scripts += tests/diff/run-exact-flags
tests_diff_difftest_SOURCES = \
	tests/diff/aim.c \
	tests/diff/arena.c \
	tests/diff/compare.c \
	tests/diff/compare.h \
	tests/diff/contents.c \
	tests/diff/corpus.def \
	tests/diff/diff.h \
	tests/diff/difftest.c \
	tests/diff/encode.c \
	tests/diff/engine.c \
	tests/diff/engine.h \
	tests/diff/facts.c \
	tests/diff/flags.def \
	tests/diff/forms.c \
	tests/diff/forms.h \
	tests/diff/jobs.c \
	tests/diff/jobs.h \
	tests/diff/native.c \
	tests/diff/native.h \
	tests/diff/native_entry.S \
	tests/diff/program.c \
	tests/diff/program.h \
	tests/diff/raw.c \
	tests/diff/rng.h \
	tests/diff/runner.c \
	tests/diff/runner.h \
	tests/diff/segments.c \
	tests/diff/segments.h \
	tests/diff/segs.def \
	tests/diff/sequence.c \
	tests/diff/shrink.c \
	tests/diff/single.c \
	tests/diff/skip.def \
	tests/diff/smc.c \
	tests/diff/state.c \
	tests/diff/text.c \
	tests/diff/undef.c \
	tests/diff/values.c \
	tests/diff/values.h \
	tests/diff/worker.c \
	tests/diff/worker.h
tests_diff_difftest_LDADD = $(LIBS_VCPU)
endif
