/* SPDX-License-Identifier: MIT */
/*
 * A small writer of AML, the byte code of ACPI tables (ACPI 6.4, chapter 20), and of resource descriptors (6.4).
 * Owner: the caller; single thread. Running out of space or nesting too deep sets `failed` and writes nothing further.
 */
#ifndef COHORT_HW_FW_AML_H
#define COHORT_HW_FW_AML_H

#include "util/types.h"

#define AML_MAX_DEPTH 12

struct aml {
	uint8_t *buf;
	size_t len, max;
	bool failed;
	unsigned depth;
	struct {
		size_t at;      /* of the package length to fill in */
		bool resources; /* a buffer: its size follows the package length */
	} open[AML_MAX_DEPTH];
};

void aml_init(struct aml *a, void *buf, size_t max);

/* Paths are like "\\_SB_", "PCI0", "\\_SB_.PCI0": segments of four characters. */
void aml_scope(struct aml *a, const char *path);
void aml_device(struct aml *a, const char *name);
void aml_package(struct aml *a, uint8_t elements);
void aml_resources(struct aml *a); /* a buffer with a resource template; aml_end() adds the end tag */
void aml_end(struct aml *a);       /* closes the innermost of the above */

void aml_name(struct aml *a, const char *name); /* Name(name, <what is written next>) */
void aml_int(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0303" */

void aml_name_int(struct aml *a, const char *name, uint64_t v);
void aml_name_eisa_id(struct aml *a, const char *name, const char *id);
void aml_name_string(struct aml *a, const char *name, const char *s);

/* Resource descriptors, inside aml_resources(). */
void aml_res_io(struct aml *a, uint16_t base, uint8_t len);
void aml_res_irq(struct aml *a, unsigned irq);
void aml_res_mem32(struct aml *a, uint32_t base, uint32_t len);
enum aml_space { AML_MEMORY = 0, AML_IO = 1, AML_BUS = 2 };
/* A range the device passes on to its children. */
void aml_res_window16(struct aml *a, enum aml_space space, uint16_t min, uint16_t max);
void aml_res_window32(struct aml *a, enum aml_space space, uint32_t min, uint32_t max);
void aml_res_window64(struct aml *a, enum aml_space space, uint64_t min, uint64_t max);

#endif
