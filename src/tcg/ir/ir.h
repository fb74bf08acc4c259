/* SPDX-License-Identifier: MIT */
/*
 * The intermediate representation of one translation block. docs/IR.md is the reference.
 *
 * Owner:   the translating thread; a block of IR lives in a per-thread arena until code has been made of it (the interpreter
 *          back end keeps its own copy).
 * Threads: one.
 */
#ifndef COHORT_TCG_IR_H
#define COHORT_TCG_IR_H

#include "tcg/env.h"
#include "util/types.h"

enum ir_op {
#define IR_OP(NAME, ...) IR_##NAME,
#include "tcg/ir/ir_ops.def"
#undef IR_OP
	IR_OP_COUNT
};

enum ir_type { IR_I8, IR_I16, IR_I32, IR_I64, IR_F32, IR_F64, IR_F80, IR_V128, IR_V256, IR_TYPE_COUNT };

static inline unsigned ir_type_bytes(enum ir_type t)
{
	static const uint8_t bytes[IR_TYPE_COUNT] = { 1, 2, 4, 8, 4, 8, 10, 16, 32 };
	return bytes[t];
}

/* Operand references: kind in bits 15:12, number below. */
typedef uint16_t ir_ref;
enum ir_kind { IR_KIND_NONE, IR_KIND_G, IR_KIND_T, IR_KIND_K, IR_KIND_M, IR_KIND_V, IR_KIND_VT };
#define IR_REF(kind, n) ((ir_ref)((kind) << 12 | (n)))
#define IR_NONE IR_REF(IR_KIND_NONE, 0)
#define IR_G(n) IR_REF(IR_KIND_G, n)   /* integer global: guest register n */
#define IR_T(n) IR_REF(IR_KIND_T, n)   /* integer temporary, 64-bit container */
#define IR_KONST IR_REF(IR_KIND_K, 0)  /* the constant insn->imm (sign-extended to 64 bits); at most one per insn, sources only */
#define IR_M(n) IR_REF(IR_KIND_M, n)   /* memory operand n of the block */
#define IR_V(n) IR_REF(IR_KIND_V, n)   /* vector global */
#define IR_VT(n) IR_REF(IR_KIND_VT, n) /* vector temporary (0..3) */
#define IR_REF_KIND(r) ((enum ir_kind)((r) >> 12))
#define IR_REF_NUM(r) ((unsigned)((r) & 0xfff))

/* Flag bits, at their EFLAGS-image positions. */
#define F_C 0x001u
#define F_P 0x004u
#define F_A 0x010u
#define F_Z 0x040u
#define F_S 0x080u
#define F_O 0x800u
#define F_ALL (F_C | F_P | F_A | F_Z | F_S | F_O)

/* Conditions; bit 0 inverts. */
enum ir_cc {
	IR_CC_O, IR_CC_NO, IR_CC_C, IR_CC_NC, IR_CC_Z, IR_CC_NZ, IR_CC_BE, IR_CC_A,
	IR_CC_S, IR_CC_NS, IR_CC_P, IR_CC_NP, IR_CC_LT, IR_CC_GE, IR_CC_LE, IR_CC_GT,
};
uint32_t ir_cc_uses(enum ir_cc cc); /* flag bits it reads */

/* insn->attr */
#define IR_SETF 0x01 /* the op defines guest flags; without it the guest's flags must survive the op */
#define IR_LOCK 0x02 /* memory read-modify-write is atomic */
#define IR_NOFAULT 0x04

#define IR_EXIT_LIVE_SET 0x8000u

#define IR_KILL_A 0x01u
#define IR_KILL_B 0x02u
#define IR_KILL_C 0x04u
#define IR_KILL_D 0x08u
#define IR_KILL_BASE 0x10u
#define IR_KILL_INDEX 0x20u

struct ir_insn {
	uint8_t op;       /* enum ir_op */
	uint8_t type;     /* enum ir_type */
	uint8_t cc;       /* enum ir_cc */
	uint8_t attr;
	ir_ref d, a, b, c;
	uint16_t fl_live; /* filled by opt/liveness.c: flag bits live behind this insn */
	/*
	 * Filled by opt/liveness.c: bit 0/1/2/3: a/b/c/d holds a temporary that is not live behind the insn; bit 4/5: the same for the
	 * base/index of its memory operand.
	 */
	uint16_t kills;
	/*
	 * Filled by opt/liveness.c, exits only: the translator's preset of fl_live, flags live at the exit's target (fl_live itself becomes
	 * the union with what is live on the way that stays in the block). IR_EXIT_LIVE_SET marks it as filled.
	 */
	uint16_t exit_live;
	uint16_t pad;
	int64_t imm, imm2;
};

/* A memory operand: linear address = segment base + ((base + index * scale + disp) truncated to addr_bits), see `lin32`. */
struct ir_mem {
	ir_ref base, index;  /* G, T or NONE */
	uint8_t scale;       /* 1 2 4 8 */
	uint8_t addr_bits;   /* 16, 32, 64 */
	uint8_t slot;        /* TLB_SLOT_*: level-0 slot to use */
	bool lin32;          /* linear address wraps at 4 GiB (outside 64-bit mode) */
	bool align;          /* must be aligned to its size: else the guest's alignment fault */
	bool wander;         /* hint: goes from page to page, the slot would mostly miss */
	uint32_t seg_base;   /* byte offset in env of a 64-bit segment base to add, 0: none */
	int64_t disp;
};

/* Runtime routines: C called from blocks. */
typedef uint64_t (*ir_rt_fn)(struct tcg_env *env, uint64_t a, uint64_t b, uint64_t c);
/*
 * Bits of IR_FPU's imm2, which else is the guest's encoding (tr/x87.c). NOTES: the operation is kept as env.fpu_pc, fpu_op and, if it has a memory
 * operand, fpu_data; engines may be late with them, but not where somebody looks. FORGETS: it clears them.
 */
#define IR_FPU_NOTES (1ull << 45)
#define IR_FPU_FORGETS (1ull << 46)

/* The opcode as the unit keeps it: the last three bits of the escape byte, and ModRM. */
static inline uint32_t ir_fpu_opcode(uint64_t w)
{
	return (uint32_t)(w >> 16 & 7) << 8 | (uint32_t)(w >> 24 & 0xff);
}

struct ir_rt {
	const char *name;
	ir_rt_fn fn;
	uint16_t effects; /* RT_* */
};
#define RT_PURE 0x00         /* touches only its arguments */
#define RT_READS_GREG 0x01   /* reads guest integer registers (env.greg) */
#define RT_WRITES_GREG 0x02
#define RT_READS_FLAGS 0x04  /* env.flags must be current */
#define RT_WRITES_FLAGS 0x08 /* leaves flags in env.flags */
#define RT_READS_VEC 0x10
#define RT_WRITES_VEC 0x20
#define RT_FPU 0x40          /* touches the stack FPU (through the back end's fpu_save/fpu_load) */
#define RT_FAULTS 0x80       /* may raise a guest fault or touch guest memory: env.pc is stored and all of greg, flags current before the call */

/*
 * IR_RT's imm2: what the call comes to in the common case. A back end may do that itself and leave out the call, where it needs no more than one page
 * of RAM for each operand in memory; guest_isa.shortcut names the integer globals. The call's result is 0 then. 0: a call like any other.
 *
 *   FILL, COPY + log2   if the guest's direction is up: count elements of 2^log2 bytes to dst, of value or from src; both ascend, count is 0
 *   CAS16               if the 16 bytes at a, a multiple of 16, are hi:lo, they become new_hi:new_lo and Z = 1; else hi:lo = they and
 *                       Z = 0; other flags stay
 *   CAS16_LOCK          the same, atomic
 */
enum ir_shortcut {
	IR_SHORTCUT_NONE,
	IR_SHORTCUT_FILL,
	IR_SHORTCUT_COPY = IR_SHORTCUT_FILL + 4,
	IR_SHORTCUT_CAS16 = IR_SHORTCUT_COPY + 4,
	IR_SHORTCUT_CAS16_LOCK,
	IR_SHORTCUTS
};

enum ir_vop {
	IR_VOP_NONE,
#define IR_VOP(NAME, ...) IR_VOP_##NAME,
#include "tcg/ir/vec_ops.def"
#undef IR_VOP
#define IR_VEXOP(NAME, ...) IR_VOP_##NAME,
#include "tcg/ir/vex_ops.def"
#undef IR_VEXOP
	IR_VOP_COUNT
};

#define IR_VOP_FIRST_VEX IR_VOP_VMOVU

/* Operands of an operation in IR_VEX, IR_VEXG: which there are, and the bytes of b if it is memory, with v128 and v256. */
#define IR_VEX_A 1u
#define IR_VEX_B 2u
#define IR_VEX_C 4u
#define IR_VEX_IMM 8u
struct ir_vex_info {
	uint8_t src, bytes[2];
};
struct ir_vex_info ir_vex_info(enum ir_vop op);

#define IR_MAX_INSNS 3072
#define IR_MAX_MEMS 512
#define IR_MAX_TEMPS 1024
#define IR_MAX_LABELS 128
#define IR_MAX_LATE 32

struct ir_block {
	struct ir_insn insn[IR_MAX_INSNS];
	struct ir_mem mem[IR_MAX_MEMS];
	unsigned nr_insns, nr_mems, nr_temps, nr_labels;
	gva_t pc;            /* of the first guest instruction */
	uint32_t flags;      /* the guest's mode bits this block is compiled for (tb key) */
	uint8_t mmu_mode;    /* TLB mode of its data accesses */
	unsigned guest_len;  /* bytes of guest code covered, contiguous from pc */
	unsigned watch_len;  /* bytes from pc whose change must kill the block: guest_len plus look-ahead */
	unsigned watch_before; /* bytes in front of pc, on the same page, likewise */
	unsigned guest_insns;
	bool small;          /* there is little room for code: what makes it faster but longer is left out */
	const struct ir_rt *rt; /* the guest's runtime table */
	unsigned nr_rt;
	const uint8_t *code; /* host address of the guest code at pc, for IR_LDCODE; NULL: there is none */
	unsigned nr_late;
	struct ir_late {
		uint16_t off, len;
	} late[IR_MAX_LATE]; /* bytes within watch_len whose change need not kill the block: it reads them when it runs; ascending */
};

/* ---- Building (ir_build.c). All append to the block; overflow sets nr_insns to the maximum and the translator stops earlier by checking ir_room(). */
void ir_reset(struct ir_block *b);
bool ir_room(const struct ir_block *b); /* room for one more guest instruction (64 insns, 16 mems, 32 temps, 8 labels) */
ir_ref ir_temp(struct ir_block *b);
unsigned ir_label(struct ir_block *b); /* a new label number */
ir_ref ir_mem(struct ir_block *b, const struct ir_mem *m);
struct ir_insn *ir_emit(struct ir_block *b, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, ir_ref bb);
/* The same with constant b (or constant a when the shape has no b). */
struct ir_insn *ir_emit_k(struct ir_block *b, enum ir_op op, enum ir_type type, ir_ref d, ir_ref a, int64_t imm);

/* ---- Checking and printing */
struct ir_op_info {
	const char *name;
	uint8_t shape; /* IR_SH_* bits */
	uint16_t fl_def, fl_use;
	uint8_t attr;  /* IR_AT_* bits */
	uint8_t reads, writes; /* IR_RW_* bits: see ir_reads(), ir_writes() */
	uint16_t full;         /* bit per type: see ir_writes_all() */
};
#define IR_SH_D 0x01
#define IR_SH_A 0x02
#define IR_SH_B 0x04
#define IR_SH_C 0x08
#define IR_SH_I 0x10
#define IR_SH_J 0x20
#define IR_SH_X 0x40
#define IR_AT_M 0x01
#define IR_AT_K 0x02
#define IR_AT_S 0x04
#define IR_AT_E 0x08
#define IR_AT_T 0x10
#define IR_AT_C 0x20
#define IR_AT_V 0x40
extern const struct ir_op_info ir_op_info[IR_OP_COUNT];
#define IR_USES_CC 0xffff /* fl_use of "cc" rows */

/* Bits it certainly writes (0 without IR_SETF), those it may write, and those it reads: by rows, cc and RT effects. */
static inline uint32_t ir_flags_def(const struct ir_insn *i);
static inline uint32_t ir_flags_clob(const struct ir_insn *i);
static inline uint32_t ir_flags_use(const struct ir_block *b, const struct ir_insn *i);
uint16_t ir_rt_effects(const struct ir_block *b, const struct ir_insn *i); /* RT_* of an IR_RT; 0 for other ops */

unsigned ir_vex_bytes(const struct ir_insn *i); /* of an IR_VEX or IR_VEXG */
unsigned ir_access_size(const struct ir_insn *i); /* bytes of its memory operand that are accessed */

/* Which operand fields are read and written as values; bits in the order of insn->kills. */
#define IR_RW_A 1u
#define IR_RW_B 2u
#define IR_RW_C 4u
#define IR_RW_D 8u
/* d only where its old value matters beyond merging a narrow result. */
static inline unsigned ir_reads(const struct ir_insn *i)
{
	return ir_op_info[i->op].reads;
}
static inline unsigned ir_writes(const struct ir_insn *i)
{
	return ir_op_info[i->op].writes;
}
/* d is written in its whole 64-bit container (and so the old value is dead). */
static inline bool ir_writes_all(const struct ir_insn *i)
{
	return ir_op_info[i->op].full >> i->type & 1;
}

uint32_t ir_flags_def_by_count(const struct ir_insn *i); /* a shift with IR_SETF */
uint32_t ir_flags_use_by_insn(const struct ir_block *b, const struct ir_insn *i);

static inline uint32_t ir_flags_clob(const struct ir_insn *i)
{
	if (!(i->attr & IR_SETF))
		return 0;
	return i->op == IR_PUTFL ? (uint32_t)i->imm & F_ALL : ir_op_info[i->op].fl_def;
}

static inline uint32_t ir_flags_def(const struct ir_insn *i)
{
	if ((i->attr & IR_SETF) && (ir_op_info[i->op].attr & IR_AT_K))
		return ir_flags_def_by_count(i);
	return ir_flags_clob(i);
}

static inline uint32_t ir_flags_use(const struct ir_block *b, const struct ir_insn *i)
{
	if (likely(!ir_op_info[i->op].fl_use && i->op != IR_RT && i->op != IR_FPU))
		return 0;
	return ir_flags_use_by_insn(b, i);
}

/* Returns NULL if well-formed, else what is wrong (static text) with the index in *where. */
const char *ir_verify(const struct ir_block *b, unsigned *where);
void ir_print(const struct ir_block *b, void (*line)(void *opaque, const char *text), void *opaque);
void ir_print_insn(const struct ir_block *b, const struct ir_insn *i, char *out, size_t size);
extern const char *const ir_type_names[IR_TYPE_COUNT];
extern const char *const ir_cc_names[16];
extern const char *const ir_vop_names[IR_VOP_COUNT];

#endif
