/* SPDX-License-Identifier: MIT */
/*
 * Segments that a case may load: those that Linux gives to every process, and a local descriptor table of our own (segs.def).
 * Constant after forms_init()'s time; any thread.
 */
#ifndef COHORT_TESTS_DIFF_SEGMENTS_H
#define COHORT_TESTS_DIFF_SEGMENTS_H

#include "diff/diff.h"
#include "diff/rng.h"

/* Linux, arch/x86/include/asm/segment.h: part of its user ABI. */
#define DIFF_SEL_USER32 0x23
#define DIFF_SEL_USER_DS 0x2b
#define DIFF_SEL_USER64 0x33

enum diff_seg_index {
#define SEG(name, base, limit, big, kind, readonly, absent) DIFF_SEG_##name,
#include "diff/segs.def"
#undef SEG
	DIFF_NR_SEGS
};
#define DIFF_SEL(name) (uint16_t)(DIFF_SEG_##name << 3 | 7)

struct diff_seg {
	uint32_t base, limit;
	bool big;
	uint8_t kind;
	bool readonly, absent, local, null, wide; /* wide: 64-bit code */
};

/* By index in the local descriptor table. */
extern const struct diff_seg diff_ldt[DIFF_NR_SEGS];
/* False: a selector of which nothing is known. RPL does not matter. */
bool diff_seg(uint16_t sel, struct diff_seg *s);
/* 0 for what is unknown or null. */
uint32_t diff_seg_base(uint16_t sel);
/* Its eight bytes. */
uint64_t diff_seg_descriptor(const struct diff_seg *s);
/* A selector for a data segment register: mostly good, some null, absent, of code or beyond the tables. */
uint16_t diff_seg_pick(struct rng *r);
/* Base of segment register `reg` in the state a case starts with. */
uint64_t diff_case_base(const struct diff_case *c, unsigned reg);
/* Bytes of the stack pointer that count. */
unsigned diff_stack_width(const struct diff_case *c);

#endif
