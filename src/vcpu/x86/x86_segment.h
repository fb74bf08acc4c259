/* SPDX-License-Identifier: MIT */
/*
 * Segment descriptors: reading, checking, loading. SDM volume 3A, chapters 3.4, 3.5 and 5.
 * Threads: the vCPU's own. All checks raise the architectural fault (do not return) with env.pc at the instruction.
 */
#ifndef COHORT_VCPU_X86_SEGMENT_H
#define COHORT_VCPU_X86_SEGMENT_H

#include "vcpu/x86/x86_cpu.h"

struct x86_desc {
	uint64_t low, high; /* high: second half of a 16-byte system descriptor in long mode */
	gva_t where;
};

static inline uint32_t x86_desc_attr(uint64_t d)
{
	return (uint32_t)(d >> 32) & 0x00f0ff00u;
}

static inline uint32_t x86_desc_base(uint64_t d)
{
	return (uint32_t)(d >> 16 & 0xffffff) | (uint32_t)(d >> 56) << 24;
}

static inline uint32_t x86_desc_limit(uint64_t d)
{
	uint32_t limit = (uint32_t)(d & 0xffff) | (uint32_t)(d >> 32 & 0xf0000);

	return (d >> 32) & X86_SA_G ? limit << 12 | 0xfff : limit;
}

static inline unsigned x86_attr_dpl(uint32_t attr)
{
	return attr >> X86_SA_DPL_SHIFT & 3;
}

static inline bool x86_attr_is_code(uint32_t attr)
{
	return (attr & (X86_SA_S | X86_SA_CODE)) == (X86_SA_S | X86_SA_CODE);
}

/* System descriptor types */
enum x86_sys_type { X86_TSS16 = 1, X86_LDT = 2, X86_TSS16_BUSY = 3, X86_CALL_GATE16 = 4, X86_TASK_GATE = 5, X86_INT_GATE16 = 6, X86_TRAP_GATE16 = 7,
		    X86_TSS32 = 9, X86_TSS32_BUSY = 11, X86_CALL_GATE32 = 12, X86_INT_GATE32 = 14, X86_TRAP_GATE32 = 15 };

static inline bool x86_long_mode(const struct x86_cpu *c)
{
	return c->efer & X86_EFER_LMA;
}

static inline bool x86_code64(const struct x86_cpu *c)
{
	return x86_long_mode(c) && (c->seg[X86_CS].attr & X86_SA_L);
}

static inline bool x86_protected(const struct x86_cpu *c)
{
	return (c->cr0 & X86_CR0_PE) && !(c->eflags & X86_FL_VM);
}

/*
 * env.pc is a linear address everywhere. The instruction pointer that the guest sees (pushed, popped, in gates) is relative to CS.
 */
static inline uint64_t x86_ip_of(const struct x86_cpu *c, gva_t pc)
{
	return x86_code64(c) ? pc : (uint32_t)(pc - c->seg[X86_CS].base);
}

/* Continues at instruction pointer ip of the (new) CS. */
static inline void x86_set_ip(struct x86_cpu *c, uint64_t ip)
{
	c->vcpu.env.pc = x86_code64(c) ? ip : (uint32_t)(ip + c->seg[X86_CS].base);
}

/* In the current paging mode: 48 bits, or 57. */
static inline bool x86_canonical(const struct x86_cpu *c, uint64_t a)
{
	unsigned unused_bits = c->cr4 & X86_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(a << unused_bits) >> unused_bits) == a;
}

/*
 * Reads the descriptor of a selector (not null); outside its table: raises vec(sel). wide: also the second half (long mode system
 * descriptors).
 */
void x86_desc_read(struct x86_cpu *c, uint16_t sel, bool wide, enum x86_vector vec, struct x86_desc *d);
/* The same, false instead of a fault. */
bool x86_desc_probe(struct x86_cpu *c, uint16_t sel, bool wide, struct x86_desc *d);
/* Sets the accessed bit in memory, atomically. */
void x86_desc_set_accessed(struct x86_cpu *c, struct x86_desc *d);
/* Marks a TSS descriptor busy or available. */
void x86_desc_set_busy(struct x86_cpu *c, struct x86_desc *d, bool busy);

/* Register caches from a descriptor, without checks. */
void x86_seg_set(struct x86_seg *s, uint16_t sel, uint64_t desc);
/* Real and virtual-8086 mode: base = sel * 16; real mode keeps limit and attributes. */
void x86_seg_set_real(struct x86_cpu *c, enum x86_sreg r, uint16_t sel);
void x86_seg_set_v86(struct x86_cpu *c, enum x86_sreg r, uint16_t sel);

/* MOV/POP to a data segment register with all checks; does not call x86_mode_update(). */
void x86_seg_load_data(struct x86_cpu *c, enum x86_sreg r, uint16_t sel);
/* SS for a new stack of privilege `cpl`; faults as vec. Null is allowed in 64-bit mode below CPL 3 by the callers themselves. */
void x86_seg_load_ss(struct x86_cpu *c, uint16_t sel, unsigned cpl, enum x86_vector vec);
void x86_seg_set_null_ss(struct x86_cpu *c, uint16_t sel, unsigned dpl);

/* Does an access of `size` bytes at `off` lie within the segment's limit? */
bool x86_seg_offset_ok(const struct x86_seg *s, uint32_t off, unsigned size);
/* The same, and is it an access that the segment's type allows? */
bool x86_seg_access_ok(const struct x86_cpu *c, enum x86_sreg r, uint32_t off, unsigned size, bool write);

/* The inner stack of a privilege level from the TSS: SS:(E)SP, or RSP in long mode. */
void x86_tss_stack(struct x86_cpu *c, unsigned dpl, uint16_t *ss, uint64_t *sp);
uint64_t x86_tss_ist(struct x86_cpu *c, unsigned n);
/* I/O permission bitmap: may `size` ports from `port` be used? */
bool x86_io_allowed(struct x86_cpu *c, uint16_t port, unsigned size);

#endif
