/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers in 32-bit protected mode: lib/msrs.h.
 */
#include "msrs.h"

/* clang-format off */
const struct rt_test rt_tests[] = {
	MSR_TESTS,
	{0},
};
