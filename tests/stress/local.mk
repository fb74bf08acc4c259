# SPDX-License-Identifier: MIT
EXTRA_DIST += tests/stress/guest tests/stress/leak.c tests/stress/memory.awk tests/stress/run
check_scripts += tests/stress/test-memory

# Part of "make stress"; STRESS_SECONDS, STRESS_CPUS and STRESS_SEED reach it too.
.PHONY: stress-guest
stress: stress-guest
stress-guest: cohort
	COHORT_BUILD='$(abs_top_builddir)' $(top_srcdir)/tests/stress/run
