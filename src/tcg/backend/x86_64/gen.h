/* SPDX-License-Identifier: MIT */
/*
 * One compilation: state shared by the lowerings, and the services they use.
 *
 * Owner:   the compiling thread; one struct gen per thread, reused from block to block.
 * Layout:  entry slot, hot code, cold code. Cold fragments are queued while hot code is made and emitted behind it.
 */
#ifndef COHORT_TCG_X86_64_GEN_H
#define COHORT_TCG_X86_64_GEN_H

#include "mem/tlb.h"
#include "tcg/backend.h"
#include "tcg/backend/x86_64/asm.h"
#include "tcg/backend/x86_64/stubs.h"
#include "tcg/backend/x86_64/vec.h"

#define GEN_MAX_COLD (4 * IR_MAX_MEMS)
#define GEN_MAX_GROUPS 256
#define NO_GROUP 0xffff
#define GEN_MAX_FIXUPS 512
#define GEN_INSN_ROOM 512 /* more than any one IR instruction makes */

enum cold_kind { COLD_MEM, COLD_POLL, COLD_FITS, COLD_EXIT, COLD_SHARE, COLD_VEC, COLD_FAR, COLD_BRANCH };

struct cold {
	uint8_t kind;
	uint8_t access;     /* enum tlb_access */
	uint8_t size;
	bool addr_in_r13;   /* the linear address still is in r13 */
	bool align;
	bool wide;          /* it looked into the wide table */
	uint32_t partial;   /* ir_evex_access() of an access by a mask; 0: a plain one */
	uint16_t mem;       /* number of the memory operand; COLD_SHARE: of the group */
	uint16_t vec_out;   /* as gen.v_out, at the access */
	uint32_t from, from2, from3; /* rel32 that lead here; 0: none */
	uint32_t back, end; /* the access: start and end of the hot sequence; COLD_FAR, COLD_BRANCH: where the call returns, or 0 */
	uint32_t fpu_note;  /* as gen.fpu_note */
	gva_t pc;
};

struct tloc {
	uint16_t first, last; /* instructions */
	uint8_t reg;          /* R_NONE: spilled */
	uint8_t spill;
	bool seen;
};

/* What the lowerings know at a point of the code. */
struct share_state {
	uint32_t fl_host, fl_mem;
	uint16_t v_out;
	uint32_t fpu_note;
	gva_t pc;
};

/* Accesses that share a check, see share.c. */
struct group {
	uint16_t first, last; /* members: instructions */
	uint16_t stretch;     /* last instruction of the copy */
	uint16_t members;
	uint8_t slot, kind;   /* of the first member, or the first that stores */
	bool used;
	int64_t min, end, at; /* bytes from the base value: the range, and where the first member is */
	uint32_t back;        /* hot code behind the stretch */
	struct share_state enter, leave;
};

struct gen {
	struct as s;
	const struct ir_block *ir;
	const struct ir_insn *i;  /* being lowered */
	unsigned n;               /* its index */
	struct tb *tb;
	struct backend_code *out;
	gva_t pc;                 /* current guest instruction */
	bool failed;              /* more exits, traps, ... than there is room for */
	unsigned max_exits, max_traps; /* what the cache provides for: two for each instruction that can have one */

	/* flags.c: bits valid in host EFLAGS and in env.flags. Those live are all in one of the two. */
	uint32_t fl_host, fl_mem;
	bool setf;                /* the current instruction's flags are wanted */

	/* mem.c: the access being emitted */
	uint8_t scratch;          /* r13, or r14 while r13 holds an address */
	struct cold *access;

	/* vec.c */
	uint8_t v_level;  /* enum vec_level that the block needs, and has from its start to its exits */
	uint8_t vt_reg[4]; /* host registers of temporaries, R_NONE: does not occur */
	uint16_t v_out;   /* host registers that hold a temporary: their vectors are in env.vreg */

	uint32_t fpu_note; /* lower_fpu.c: FPU_NOTE() of an operation that env does not know of yet, or 0 */
	bool fpu_touched;  /* lower_fpu.c: env knows that its image of the unit is an old one */

	int32_t label[IR_MAX_LABELS];
	struct label_use {
		bool sole;                 /* one branch leads here, and nothing falls through: the state is that of the branch */
		uint16_t refs;
		struct share_state state;
	} label_use[IR_MAX_LABELS];

	bool jumped; /* the jump that comes next is done: its poll was one with it */
	unsigned nr_fixups, nr_cold;
	struct { uint32_t rel; uint16_t label; } fixup[GEN_MAX_FIXUPS];
	struct cold cold[GEN_MAX_COLD];
	struct tloc temp[IR_MAX_TEMPS];
	/* share.c */
	const struct group *in_copy_of;
	unsigned nr_groups;
	struct group group[GEN_MAX_GROUPS];
	uint16_t group_of[IR_MAX_INSNS]; /* only if there are groups */
};

typedef void (*lower_fn)(struct gen *g);

/* ---- Operands (operand.c) */
static inline bool is_k(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_K;
}
static inline bool is_m(ir_ref r)
{
	return IR_REF_KIND(r) == IR_KIND_M;
}
/* Lives in a host register. */
static inline bool in_reg(const struct gen *g, ir_ref r)
{
	if (IR_REF_KIND(r) == IR_KIND_G)
		return greg_pin[IR_REF_NUM(r)] != R_NONE;
	return IR_REF_KIND(r) == IR_KIND_T && g->temp[IR_REF_NUM(r)].reg != R_NONE;
}
/* Of a G or T. */
static inline struct rm loc(const struct gen *g, ir_ref r)
{
	unsigned n = IR_REF_NUM(r);

	if (IR_REF_KIND(r) == IR_KIND_G)
		return greg_pin[n] != R_NONE ? rm_reg(greg_pin[n]) : rm_gs(offsetof(struct tcg_env, greg) + n * 8);
	if (g->temp[n].reg != R_NONE)
		return rm_reg(g->temp[n].reg);
	return rm_gs(offsetof(struct tcg_env, be_spill) + g->temp[n].spill * 8u);
}
bool same_loc(const struct gen *g, ir_ref x, ir_ref y);
uint32_t int_op(enum ir_type t, uint32_t op);               /* the op in its width: op is the 32-bit form with bit 0 = not byte */
int64_t konst(enum ir_type t, int64_t imm);                 /* sign-extended from the type's width */
/* The operand's value of that type in a register: its own, or loaded into `scratch`. Above the type's width: anything. */
unsigned to_reg(struct gen *g, ir_ref r, enum ir_type t, unsigned scratch);
void to_this_reg(struct gen *g, ir_ref r, enum ir_type t, unsigned reg);
/* Result: merges narrow types; an i32 value is zero-extended in reg. */
void from_reg(struct gen *g, ir_ref d, enum ir_type t, unsigned reg);
/* The host register of d, or `scratch` if it has none; put_result() then brings it home. */
unsigned result_reg(struct gen *g, ir_ref d, unsigned scratch);
void put_result(struct gen *g, ir_ref d, enum ir_type t, unsigned reg);
bool is_temp_def(const struct gen *g, ir_ref r); /* a temporary that nobody has written before: no need to merge */

/* ---- Registers of temporaries (regalloc.c) */
bool ra_run(struct gen *g);

/* ---- Flags (flags.c) */
void fl_begin(struct gen *g, bool mem); /* first thing for an op that clobbers or reads host flags; mem: a check comes first */
void fl_check(struct gen *g);           /* the same for an op with a memory operand that leaves flags alone itself */
void fl_spill(struct gen *g);           /* between fl_begin and fl_ready: host flags are about to be lost */
void fl_ready(struct gen *g);           /* right before its native instruction */
/* No flags that live in the host's register are wanted later. */
static inline bool flags_are_free(const struct gen *g)
{
	return !(g->i->fl_live & g->fl_host & ~g->fl_mem);
}
void fl_done(struct gen *g);            /* behind it */
void fl_to_mem(struct gen *g, uint32_t mask);
void fl_to_host(struct gen *g, uint32_t mask);
void fl_clobber(struct gen *g, uint32_t live); /* host flags are about to be lost; live ones are kept in env.flags */

/* ---- Memory accesses (mem.c) */
#define MEM_SIMPLE 1u /* the address must not depend on pinned registers (the access sequence moves them) */
struct rm mem_begin(struct gen *g, ir_ref m, unsigned bytes, unsigned access, unsigned how);
void mem_end(struct gen *g);
void mem_effective(struct gen *g, const struct ir_mem *m, unsigned d); /* without segment base, flags untouched; may use r14 */
bool mem_effective_needs_r14(const struct ir_block *b, const struct ir_mem *m);
unsigned mem_bytes(const struct ir_insn *i);
/* mem_begin() for the instruction's own size, then fl_ready(). */
struct rm access_begin(struct gen *g, ir_ref m, unsigned access, unsigned how);
/* A source as an rm operand, constants through env; the second one also takes memory, as access_begin() for a read. */
struct rm source_rm(struct gen *g, ir_ref a);
struct rm source_begin(struct gen *g, ir_ref a);
static inline uint32_t lock_bit(const struct gen *g)
{
	return (g->i->attr & IR_LOCK) ? OP_LOCK : 0;
}
unsigned access_bytes(const struct ir_insn *i);                             /* of the instruction's access */
bool mem_can_share(const struct gen *g, const struct ir_mem *m);
size_t mem_lim_offset(unsigned bytes);                                      /* in a slot: the limit for so many bytes */
struct rm mem_slot_field(const struct gen *g, unsigned slot, unsigned kind, size_t field);
void mem_address_plus(struct gen *g, const struct ir_mem *m, int64_t more); /* r13 = address + more; flags untouched */

/* ---- Shared checks (share.c) */
void share_plan(struct gen *g, bool wanted);
const struct group *share_checked(struct gen *g);
void share_before(struct gen *g);
void share_behind(struct gen *g);
void share_copy(struct gen *g, const struct cold *c);
void lower_insn_at(struct gen *g); /* lower.c: the current instruction */

/* ---- Cold code (cold.c) */
struct cold *cold_new(struct gen *g, enum cold_kind kind);
void cold_emit(struct gen *g);
void put_pc(struct gen *g, gva_t pc, unsigned scratch); /* env.pc = pc; scratch R_NONE if there is none */
void trap_here(struct gen *g);                          /* the next instruction emitted may trap */

/* ---- Exits (lower_flow.c) */
void cold_far(struct gen *g, const struct cold *c);
void exit_to(struct gen *g, gva_t pc, enum backend_exit_kind kind); /* chained, or through the jump cache */
bool flow_plan(struct gen *g);          /* before the first instruction; the block jumps to its own start */

/* ---- Vector registers (vec.c) */
unsigned v_src(struct gen *g, ir_ref r);   /* host register with its value */
unsigned v_dst(struct gen *g, ir_ref r);   /* host register to be overwritten in full */
void v_setup(struct gen *g);
void v_begin(struct gen *g, bool loops);   /* at the start of the code: they are live */
void v_fill_cold(struct gen *g, const struct cold *c);
void v_temps_end(struct gen *g);           /* behind each instruction: those that died give their registers back */
uint32_t v_temps_hide(struct gen *g);      /* around an instruction that may leave the block: all do; returns what v_temps_show() takes */
void v_temps_show(struct gen *g, uint32_t out);
void v_temps_store(struct gen *g, uint32_t out); /* before C is called while `out` is out; flags untouched */
void v_temps_load(struct gen *g, uint32_t out);  /* and behind it */
/* A vector operation's opcode and how its operands stand in it; prefixes and map as OP_*. */
struct vop_enc {
	uint32_t op;
	uint8_t how, digit; /* ENC_* */
};
#define ENC_TRAPS 0x01u
#define ENC_REV 0x02u   /* the destination (of PEXTRx: the integer) is ModRM.rm */
#define ENC_SHIFT 0x04u /* opcode group: digit in ModRM.reg */
struct vop_enc vop_encoding(unsigned vop); /* legacy form of an operation of vec_ops.def */
enum vec_level evex_level(const struct ir_insn *i);   /* lower_evex.c */
uint32_t evex_globals(const struct ir_insn *i);       /* vectors below 16 that it may name */
void vex_to_g(struct gen *g, unsigned r, unsigned b); /* lower_vex.c: VTOG and VFL with operations of vex_ops.def */
void vex_flags(struct gen *g, unsigned a, struct rm b);
bool vop_reads_v0(unsigned vop);
enum vec_level vec_level_of(const struct ir_insn *i); /* from VEC_256 on: writes all above its width */
unsigned vop_bytes(const struct ir_insn *i); /* bytes of a vector operation's memory operand */

/* ---- The stack FPU's last operation (lower_fpu.c) */
#define FPU_NOTE(pc_off, op) (0x80000000u | (pc_off) << 11 | (op))
#define FPU_NOTE_PC(note) ((note) >> 11 & 0xfffff) /* from the block's start */
#define FPU_NOTE_OP(note) ((note) & 0x7ff)
void fpu_note_store(struct gen *g, uint32_t note); /* brings env up to date; touches no register and no flags */

/* ---- Lowerings by family */
#define LOWER(NAME) void lower_##NAME(struct gen *g);
#include "tcg/backend/x86_64/lower.def"
#undef LOWER

#endif
