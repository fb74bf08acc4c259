/* SPDX-License-Identifier: MIT */
/*
 * What a back end provides: host code (or a private program) from IR, and entering it.
 *
 * Threads: compile() and run() on vCPU threads, any number at once, no lock held. Code memory is written through its writable
 *          mapping only (cache/code_region.h).
 */
#ifndef COHORT_TCG_BACKEND_H
#define COHORT_TCG_BACKEND_H

#include "tcg/ir/ir.h"

struct guest_isa;
struct err;
struct tb;

#define BACKEND_MAX_EXITS 64

/*
 * A chainable exit: host code offset of an aligned rel32 (or what the back end patches), and the guest PC it goes to.
 * Until chained it leads to the block's own exit stub for that index (TCG_EXIT_CHAIN with exit_tb, exit_index).
 */
struct backend_exit {
	uint32_t patch_off; /* offset of the patchable displacement from the block's code start */
	uint32_t stub_off;  /* where it points while unchained */
	gva_t pc;
	uint32_t mode;      /* bits in which the mode there differs from the block's */
	uint8_t kind;       /* enum backend_exit_kind */
	uint8_t vec;        /* back end: the vectors that surely are in host registers there, as env.vec_live */
};
enum backend_exit_kind { BACKEND_EXIT_JUMP, BACKEND_EXIT_CALL, BACKEND_EXIT_RETURN };

/* Native instruction that may trap (division, aligned vector access, FP exception): host offset -> guest state. */
struct backend_trap {
	uint32_t host_off;
	uint32_t pc_off;     /* guest PC - block PC */
	uint16_t vec_out, vec_out_high; /* bit n: bits 127:0, 255:128 of vector n are in env whatever env.vec_live says */
	uint8_t flags_in_host; /* guest flags are in host EFLAGS at this point, else env.flags (or dead) */
	uint32_t fpu_note;     /* back end: the stack FPU's last operation, if env does not know it yet */
};

/* What in a block's code depends on where the code is, and where its struct tb. */
struct backend_moves {
	uint32_t block_at;   /* offset of 64 bits with the address of the struct tb; 0: there are none */
	unsigned nr_outward; /* more than BACKEND_MAX_OUTWARD: they are not all known, and the code cannot be copied */
	uint32_t *outward;   /* offsets of rel32 that lead out of the block */
};
#define BACKEND_MAX_OUTWARD 256

struct backend_code {
	uint32_t size;                 /* bytes used, entry slot included */
	unsigned nr_exits, nr_traps;
	struct backend_moves moves;
	uint32_t outward[BACKEND_MAX_OUTWARD];
	struct backend_exit exit[BACKEND_MAX_EXITS];
	struct backend_trap trap[IR_MAX_MEMS];
};

enum backend_status { BACKEND_OK, BACKEND_NO_ROOM /* code buffer too small */, BACKEND_TOO_LONG /* too many exits, ...: fewer insns please */ };

/* Groups of operations that code for some hosts cannot do. The guest offers nothing that needs one of them there. */
#define BACKEND_AES 0x001u
#define BACKEND_CLMUL 0x002u
#define BACKEND_SHA 0x004u
#define BACKEND_BITS 0x008u     /* blsr, blsmsk, blsi, bextr */
#define BACKEND_DEPOSIT 0x010u  /* bzhi, pdep, pext */
#define BACKEND_ADX 0x020u
#define BACKEND_COUNT 0x040u    /* lzcnt */
#define BACKEND_AVX 0x080u      /* vex and its kin, floating point */
#define BACKEND_AVX2 0x100u     /* integers of 256 bits */
#define BACKEND_FMA 0x200u
#define BACKEND_F16C 0x400u
#define BACKEND_GFNI 0x800u
#define BACKEND_VAES 0x1000u
#define BACKEND_VCLMUL 0x2000u
#define BACKEND_EVEX 0x4000u    /* evex: AVX-512 F, BW, DQ, VL, CD */
#define BACKEND_IFMA 0x8000u    /* and these of its extensions */
#define BACKEND_VBMI 0x10000u
#define BACKEND_VBMI2 0x20000u
#define BACKEND_VNNI 0x40000u
#define BACKEND_BITALG 0x80000u
#define BACKEND_VPOPCNT 0x100000u
#define BACKEND_EVEX_ALL 0x1fc000u

struct backend {
	const char *name;
	bool native;      /* makes host code in code memory; keeps stack-FPU state in the host while running */
	size_t entry_align;
	uint32_t (*lacks)(void); /* BACKEND_* that this host cannot do; NULL: none. Any thread. */
	/* One-time set-up; emits shared stubs into code memory at (rx, rw) of `size` bytes; returns bytes used or -1 with err. */
	long (*init)(const struct guest_isa *isa, uint8_t *rw, const uint8_t *rx, size_t size, struct err *err);
	/* Per vCPU thread, on that thread: GS base, return stack, signal alternate stack. */
	int (*thread_init)(struct tcg_env *env, struct err *err);
	void (*thread_fini)(struct tcg_env *env);
	/* IR -> code at rw (executed at rx). tb is what exit_tb will be set to. */
	enum backend_status (*compile)(const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx, size_t room,
				       struct backend_code *out);
	/* Puts a copy of a block's code right, which was made for was_rx, as compile() left it; NULL: this back end's code is not copied. */
	void (*move)(uint8_t *rw, const uint8_t *rx, const uint8_t *was_rx, const struct tb *tb, const struct backend_moves *m);
	/* Runs from code (a block's entry) until an exit. Returns through env.exit_code. env.flags, greg, vregs are current then. */
	void (*run)(struct tcg_env *env, const void *code);
	/*
	 * Leaves generated code from inside a runtime routine or slow path (a guest fault was recorded): discards host frames and
	 * returns from run() with env.exit_code = TCG_EXIT_EVENT. Guest state in env is current as the RT_* effects promise; pc is
	 * that of the faulting instruction.
	 */
	void (*unwind)(struct tcg_env *env) __attribute__((noreturn));
	/* One atomic store each; any thread holding the block's lock. rw addresses; target_rx is the entry of a live block. */
	void (*patch_exit)(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit, const void *target_rx);
	void (*unpatch_exit)(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit);
	void (*kill_entry)(uint8_t *rw_code, const uint8_t *rx_code); /* entry slot becomes a jump to the dead-block exit */
	/* Stack-FPU and vector-control state between host registers and env (fpu_image, mxcsr); owner thread. */
	void (*fpu_save)(struct tcg_env *env); /* env image becomes current; the host copy stays */
	void (*fpu_load)(struct tcg_env *env); /* env image -> host */
	/*
	 * The same in the format of FSAVE, 32-bit protected mode (28 bytes of environment, 80 of registers), by the host's own instruction; the
	 * pointers in it are nobody's. Only while env.fpu_in_host; fetch: with no exception pending.
	 */
	void (*fpu_store)(struct tcg_env *env, uint8_t *area, bool registers); /* then all exceptions are masked; registers: and the unit is initialised */
	void (*fpu_fetch)(struct tcg_env *env, const uint8_t *area, bool registers);
	bool (*fpu_pending)(void); /* an unmasked exception is */
	/* Lists generated code for -d out_asm; NULL if there is nothing to list. */
	void (*disasm)(const uint8_t *rw, const uint8_t *rx, size_t size, void (*line)(void *opaque, const char *text), void *opaque);
};

extern const struct backend backend_interp;
#ifdef COHORT_HAVE_BACKEND_NATIVE
extern const struct backend backend_native;
#endif
extern const struct backend *tcg_backend; /* [const] after tcg_init() */

#endif
