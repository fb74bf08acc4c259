/* SPDX-License-Identifier: MIT */
/* Disassembly of generated code, for the logs. Any thread; rw and rx are the two mappings of the same code. */
#ifndef COHORT_TCG_X86_64_DISASM_H
#define COHORT_TCG_X86_64_DISASM_H

#include <stddef.h>
#include <stdint.h>

void x86_64_disasm(const uint8_t *rw, const uint8_t *rx, size_t size, void (*line)(void *opaque, const char *text), void *opaque);

#endif
