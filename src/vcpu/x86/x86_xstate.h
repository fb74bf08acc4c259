/* SPDX-License-Identifier: MIT */
/*
 * Layout of FXSAVE and XSAVE areas (SDM volume 1, 10.5.1 and 13.4), and the FPU image that env keeps.
 * Threads: the vCPU's own.
 */
#ifndef COHORT_VCPU_X86_XSTATE_H
#define COHORT_VCPU_X86_XSTATE_H

#include <string.h>

#include "vcpu/x86/x86_cpu.h"

/* Offsets in the area, and in env.fpu_image. */
#define X86_FX_FCW 0
#define X86_FX_FSW 2
#define X86_FX_FTW 4 /* abridged: bit n set: physical register n is not empty */
#define X86_FX_FOP 6
#define X86_FX_FIP 8
#define X86_FX_FDP 16
#define X86_FX_MXCSR 24
#define X86_FX_MXCSR_MASK 28
#define X86_FX_ST 32   /* 8 x 16 bytes, ST(0) first */
#define X86_FX_XMM 160 /* 16 x 16 bytes */
#define X86_FX_USED 416
#define X86_XS_HEADER 512
#define X86_XS_XCOMP_BV 520
#define X86_XS_EXTENDED 576

/* State components: bits of XCR0 and of an area's header; the numbers of those outside the FXSAVE area. */
#define X86_XS_X87 1u
#define X86_XS_SSE 2u
#define X86_XS_AVX 4u
#define X86_XS_AVX512 0xe0u
#define X86_XS_PKRU 0x200u
enum x86_xs_component { X86_XSC_AVX = 2, X86_XSC_OPMASK = 5, X86_XSC_ZMM, X86_XSC_ZMM_MORE, X86_XSC_PKRU = 9, X86_XSC_COUNT };
#define X86_XCOMP_COMPACT (1ull << 63)

#define X86_MXCSR_INIT 0x1f80u
#define X86_MXCSR_VALID 0xffffu

#define X86_FSW_EXCEPTIONS 0x3fu
#define X86_FSW_ES 0x80u
#define X86_FSW_TOP_SHIFT 11
#define X86_FSW_B 0x8000u
#define X86_FOP_MASK 0x7ffu

static inline uint16_t x86_fx_get(const uint8_t *image, unsigned offset)
{
	uint16_t v;

	memcpy(&v, image + offset, 2);
	return v;
}

static inline void x86_fx_set(uint8_t *image, unsigned offset, uint16_t v)
{
	memcpy(image + offset, &v, 2);
}

/* Control word as the register holds it: bit 6 reads as one, the other reserved bits as zero. */
static inline uint16_t x86_fcw_of(uint16_t v)
{
	return (v & 0x1f7f) | 0x40;
}

/* Status word with its summary bits (ES, B) as the exception bits and the masks make them. */
static inline uint16_t x86_fsw_of(uint16_t fsw, uint16_t fcw)
{
	fsw &= (uint16_t)~(X86_FSW_ES | X86_FSW_B);
	return fsw & ~fcw & X86_FSW_EXCEPTIONS ? fsw | X86_FSW_ES | X86_FSW_B : fsw;
}

/* An unmasked exception waits: the next waiting instruction raises #MF. */
static inline bool x86_fx_pending(const uint8_t *image)
{
	return x86_fx_get(image, X86_FX_FSW) & ~x86_fx_get(image, X86_FX_FCW) & X86_FSW_EXCEPTIONS;
}

/* New top of stack with the physical registers where they are: the image has them in stack order. */
void x86_fx_set_top(uint8_t *image, unsigned top);

/* FNINIT on an image: data registers keep their contents. */
void x86_fx_init(uint8_t *image);

/* Whether an unmasked exception is pending, wherever the state is now. */
bool x86_fpu_pending(const struct tcg_env *env);

/* Makes env.fpu_image and env.mxcsr current, before a runtime routine looks at them; x86_fpu_written() after it changed them. */
void x86_fpu_read(struct tcg_env *env);
void x86_fpu_written(struct tcg_env *env);
/* The same for the last instruction's and operand's pointers and the opcode alone. */
void x86_fpu_read_pointers(struct tcg_env *env);
void x86_fpu_write_pointers(struct tcg_env *env);
/* The code segment's base is another: x86_mode_update() tells. */
void x86_fpu_cs_moved(struct x86_cpu *c, gva_t base);

/* Bytes of an XSAVE area (standard or compacted form) for these components. */
uint32_t x86_xsave_size(uint64_t components, bool compact);
/* Size of state component i >= 2 and its offset in the standard form. */
uint32_t x86_xsave_component(unsigned i, uint32_t *offset);
/* Offset of component i in an area, the compacted form of which holds these components. */
uint32_t x86_xsave_offset(unsigned i, bool compact, uint64_t components);

#endif
