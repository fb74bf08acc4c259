/* SPDX-License-Identifier: MIT */
/*
 * The interpreter back end: private structures.
 *
 * A block becomes a program: a header, an array of operations, an array of memory operands. It is position-independent
 * (distances in bytes) because it is written through one mapping and read through another; operands are byte offsets
 * into tcg_env, where temporaries have their place too (spill, vsave). Each operation names the C function that
 * executes it; that returns the next operation, or NULL when the block is left for the run loop.
 *
 * Invariant: between operations all guest state is in env (greg, vreg, flags), so any of them may fault or leave.
 * Threads:   programs are read by any vCPU. Written after publication are only single words: the header's `entry` and
 * the `link` of an exit (atomic; the pointer it holds was published by the block cache).
 */
#ifndef COHORT_TCG_INTERP_H
#define COHORT_TCG_INTERP_H

#include <stdatomic.h>

#include "mem/tlb.h"
#include "tcg/backend.h"
#include "tcg/guest.h"
#include "tcg/ir/ir_eval.h"

struct iop;
typedef const struct iop *(*iop_fn)(struct tcg_env *env, const struct iop *op);

struct iop {
	iop_fn fn;
	int32_t d, a, b, c; /* containers, as offsets into env */
	int64_t imm;
	union {
		int64_t imm2;
		uint64_t link; /* [atomic] exits: program to go on with, 0: not chained */
		ir_rt_fn rt;
	};
	int32_t mem; /* distance to the struct imem, 0: none */
	int32_t to;  /* branches: distance to the operation; INSN and exits: back to the header */
	uint8_t op, type, cc, attr;
	uint8_t kd, ka, kb, kc; /* operand kinds */
	uint16_t exit;		/* exits: number of the chainable exit */
};

/* `size` bytes are accessed; the alignment check is (va & align). */
struct imem {
	int32_t base, index;  /* containers, -1: none */
	uint32_t seg_base;    /* 0: none */
	uint32_t slot_off[2]; /* level-0 slots to look at, as offsets into env: the second for a read that may miss the
				 first */
	uint8_t shift, addr_bits, lim;
	bool lin32;
	int64_t disp;
	uint8_t size, mode, slot, access; /* enum tlb_access */
	uint8_t align;
	uint8_t beyond; /* bytes of the access beyond those that the limit is for */
};

/* Block entry. `entry` is the word that kill_entry() overwrites. */
#define IPROG_LIVE 0u
#define IPROG_DEAD 1u
struct iprog {
	uint64_t entry; /* [atomic] */
	struct tb *tb;
	gva_t pc;
	struct iop op[];
};

extern const struct guest_isa *interp_isa; /* [const] after init */

/* interp_select.c: the function for an operation, by op, type and operand kinds. */
iop_fn interp_select(const struct iop *op);
/* interp_compile.c */
enum backend_status interp_compile(const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx,
				   size_t room, struct backend_code *out);

/* ---- Operands */
static inline void *interp_at(struct tcg_env *env, int32_t off)
{
	return (char *)env + off;
}

static inline uint64_t *interp_g(struct tcg_env *env, int32_t off)
{
	return interp_at(env, off);
}

static inline void interp_set(struct tcg_env *env, int32_t off, enum ir_type type, uint64_t v)
{
	uint64_t *p = interp_g(env, off);

	*p = ir_merge(type, *p, v);
}

static inline const struct imem *interp_imem(const struct iop *op)
{
	return (const struct imem *)((const char *)op + op->mem);
}

static inline const struct iop *interp_target(const struct iop *op)
{
	return (const struct iop *)((const char *)op + op->to);
}

static inline const struct iprog *interp_prog(const struct iop *op)
{
	return (const struct iprog *)((const char *)op + op->to);
}

/* ---- interp_flow.c: enters a program. */
const struct iop *interp_enter(struct tcg_env *env, const void *code);

/* ---- Handlers, by file */
#define INTERP_OP(name) const struct iop *interp_##name(struct tcg_env *env, const struct iop *op)
INTERP_OP(generic); /* interp_int.c: any integer op, through ir_eval() */
INTERP_OP(generic_rmw);
INTERP_OP(generic_locked);
INTERP_OP(exchange);
INTERP_OP(lea);
INTERP_OP(ldenv);
INTERP_OP(ldcode);
INTERP_OP(stenv);
INTERP_OP(getvc);
INTERP_OP(putvc);
INTERP_OP(fence);
INTERP_OP(clock);
INTERP_OP(insn); /* interp_flow.c */
INTERP_OP(label);
INTERP_OP(br);
INTERP_OP(brcc);
INTERP_OP(brz);
INTERP_OP(brnz);
INTERP_OP(poll);
INTERP_OP(fits);
INTERP_OP(jcc);
INTERP_OP(jmp);
INTERP_OP(jmpind);
INTERP_OP(jmpenv);
INTERP_OP(exit);
INTERP_OP(setpc);
INTERP_OP(rt);
INTERP_OP(vmov); /* interp_vec.c */
INTERP_OP(vop);
INTERP_OP(vtog);
INTERP_OP(gtov);
INTERP_OP(vfl);
INTERP_OP(vex);
INTERP_OP(vexg);
INTERP_OP(vzero);
INTERP_OP(fpu);
INTERP_OP(evex); /* interp_evex.c */
uint32_t interp_lacks(void);

iop_fn interp_hot(const struct iop *op); /* interp_hot.c: a specialised handler, or NULL */

#endif
