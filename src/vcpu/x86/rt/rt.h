/* SPDX-License-Identifier: MIT */
/*
 * Runtime routines of x86 translations: prototypes and numbers, from rt_calls.def.
 * Threads: the vCPU's own, called from generated code or the IR interpreter.
 */
#ifndef COHORT_VCPU_X86_RT_H
#define COHORT_VCPU_X86_RT_H

#include "vcpu/x86/x86_cpu.h"

enum x86_rt {
#define X86_RT(name, effects) X86_RT_##name,
#include "vcpu/x86/rt/rt_calls.def"
#undef X86_RT
	X86_RT_COUNT
};

#define X86_RT(name, effects) uint64_t x86_rt_##name(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c);
#include "vcpu/x86/rt/rt_calls.def"
#undef X86_RT

/* A task switch loads CR3 (rt_cr.c). False, and no change: PAE's pointers are not valid. */
bool must_check x86_cr3_load(struct x86_cpu *c, uint64_t value);

/* Descriptor of x86_rt_string(): what the instruction is. */
#define X86_STR_OP(d) ((d) & 7) /* enum x86_str_op */
enum x86_str_op { X86_STR_MOVS, X86_STR_STOS, X86_STR_LODS, X86_STR_CMPS, X86_STR_SCAS, X86_STR_INS, X86_STR_OUTS };
#define X86_STR_SIZE_SHIFT 4    /* element bytes: 1 2 4 8 */
#define X86_STR_ADDR_SHIFT 8    /* address bytes: 2 4 8 */
#define X86_STR_SEG_SHIFT 12    /* source segment */
#define X86_STR_REP 0x10000     /* REP / REPE */
#define X86_STR_REPNE 0x20000

/* Descriptor of x86_rt_evex_gather(): registers, logarithms of the sizes of elements, indices and vector. */
struct x86_rt_evex_gather {
	uint64_t data : 5, index : 5, mask : 3, log_data : 2, log_index : 2, log_vector : 3, log_scale : 2, seg : 3, addr32 : 1, scatter : 1, : 37;
};

/* Limit and type of the segment, where it is not flat, for an element of a vector at linear address va. */
void x86_rt_check_element(struct tcg_env *env, gva_t va, unsigned seg, unsigned bytes, bool write);

/* Argument of x86_rt_seg_check(): the segment register, these, and bytes << SIZE. */
#define X86_SEG_CHECK_WRITE 0x10u
#define X86_SEG_CHECK_FLUSH 0x20u /* a read that code segments allow which cannot be read */
#define X86_SEG_CHECK_SIZE 8

#endif
