/* SPDX-License-Identifier: MIT */
/*
 * The memory map as PC firmware tells it (ACPI 6.4, 15.1). Plain values.
 */
#ifndef COHORT_HW_FW_E820_H
#define COHORT_HW_FW_E820_H

#include "util/types.h"

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
	gpa_t start;
	uint64_t size;
	enum e820_type type;
};

#define E820_MAX 32

#endif
