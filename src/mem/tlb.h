/* SPDX-License-Identifier: MIT */
/*
 * The software TLB and the slow path of guest memory accesses.
 *
 * Owner:   each vCPU its own, embedded in tcg_env; only its thread reads or writes it. Other threads queue flushes in the
 *          vCPU's mailbox and raise a request.
 * Rule:    between two safepoints of a vCPU an entry that generated code has checked stays valid: flushes are carried out at
 *          safepoints, and by the vCPU's own runtime calls that end a block.
 */
#ifndef COHORT_MEM_TLB_H
#define COHORT_MEM_TLB_H

#include "mem/tlb_layout.h"

struct tcg_env;

enum tlb_access { TLB_READ, TLB_WRITE, TLB_FETCH, TLB_RMW /* read and write: checked as a write */ };

/* A translation from the guest's page walker. */
struct tlb_walk {
	gpa_t pa;          /* of the page of `size` bytes that holds the address */
	gva_t va;          /* its linear start */
	uint64_t size;     /* 4K, 2M, 1G: contiguous linear -> physical */
	bool writable, executable, readable; /* in this MMU mode; writable only once the dirty bit is set, and only what is readable */
	bool global;
};

/* Provided by the guest ISA. */
struct tlb_ops {
	/* Walks for an access of `size` bytes in MMU mode `mode`; raises the guest's page fault itself (noreturn) if it is not allowed. */
	void (*walk)(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out);
	/* As walk, but answers 0 or -1 without raising anything or setting bits (debugger, look-ahead). */
	int (*probe)(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode, struct tlb_walk *out);
	/*
	 * Widens a global translation that walk() found for va: the pages on both sides may be read in the same way, to the same distance. What comes
	 * back may be read, in this mode, until a flush of any address in it. May be NULL.
	 */
	void (*reach)(struct tcg_env *env, gva_t va, unsigned mode, struct tlb_walk *w);
	/* Misaligned access where alignment is required. Does not return. */
	void (*alignment_fault)(struct tcg_env *env, gva_t va) __attribute__((noreturn));
	/*
	 * An instruction is about to store to a code page. If it may hit the block it belongs to, this unwinds so that the instruction
	 * runs again in a block of its own (and does nothing then). True: it is certain that the instruction's block lies on another page.
	 */
	bool (*before_code_store)(struct tcg_env *env, ram_off_t off, unsigned size);
	/*
	 * While watching is on (tlb_set_watch()): is there anything to watch in the page at linear address `page`? And: memory of such a page may be
	 * about to be accessed. It may unwind, and is called again then.
	 */
	bool (*watches)(struct tcg_env *env, gva_t page);
	void (*accessed)(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access);
	/* This vCPU has used its TLB much: it may be given better memory. */
	void (*busy)(struct tcg_env *env);
	/*
	 * A user-mode access of the instruction at env.pc wanders: its level-0 slot misses so often that new code for it should look into
	 * level 1 at once.
	 */
	void (*access_wanders)(struct tcg_env *env);
};
extern const struct tlb_ops *tlb_ops; /* [const] */

enum tlb_bounce {
	TLB_BOUNCE_NONE,
	TLB_BOUNCE_SPLIT,
	TLB_BOUNCE_MMIO,
	TLB_BOUNCE_PARTIAL,
	TLB_BOUNCE_CODE,     /* the value goes to a code page */
	TLB_BOUNCE_CODE_RMW, /* direct pointer; the code page is locked */
};

/* In bounce_ram: a guest-physical address instead of a RAM offset. */
#define TLB_BOUNCE_IS_GPA (1ull << 63)

/*
 * Slow path of one access of `size` bytes (1..64) at linear address va. Returns a host pointer to use; if env.bounce_kind is
 * not NONE afterwards, tlb_commit() must follow a write or RMW. Fills level 1 and level-0 slot `slot` when it may.
 * May raise a guest fault (does not return).
 */
void *tlb_access_slow(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode, unsigned slot, bool align);
void tlb_commit(struct tcg_env *env);
/* The same for an access of which only some bytes are wanted, bit n of `which` for byte n: no fault comes from the others (tlb_partial.c). */
void *tlb_access_partial(struct tcg_env *env, gva_t va, unsigned size, uint64_t which, enum tlb_access access, unsigned mode,
			 bool align);
/* The access that tlb_access_slow() prepared will not happen: it faulted on the host (x87, alignment). */
void tlb_abandon(struct tcg_env *env);

/*
 * For runtime routines: guest memory in the given MMU mode. Fault like an instruction's own access. A value or a block of memory.
 */
uint64_t tlb_load(struct tcg_env *env, gva_t va, unsigned size, unsigned mode);
void tlb_store(struct tcg_env *env, gva_t va, uint64_t value, unsigned size, unsigned mode);
void tlb_load_bytes(struct tcg_env *env, gva_t va, void *buf, size_t len, unsigned mode);
void tlb_store_bytes(struct tcg_env *env, gva_t va, const void *buf, size_t len, unsigned mode); /* all pages are checked before the first store */
/* Host pointer for `size` bytes (no more than a page) if one entry of the TLB covers them; NULL says nothing. No faults. */
void *tlb_known(struct tcg_env *env, gva_t va, unsigned size, enum tlb_access access, unsigned mode);
/*
 * Host pointer for [va, end of its page) for string chunks, or NULL if the page is MMIO or (for writes) code: then go element by
 * element through tlb_load/tlb_store. May raise a fault.
 */
void *tlb_page_ptr(struct tcg_env *env, gva_t va, enum tlb_access access, unsigned mode);

/*
 * Host pointer for storing `bytes` bytes from va on, which lie in one page: also if it is a code page; tlb_commit() must follow. NULL: device
 * memory. May raise a fault.
 */
void *tlb_store_run(struct tcg_env *env, gva_t va, size_t bytes, unsigned mode);

/* Code fetch: RAM offset of the byte at va, or ASPACE_NOT_RAM for code outside RAM. May raise a fault. */
ram_off_t tlb_fetch(struct tcg_env *env, gva_t va, bool *global);

/* One byte of code outside RAM. May raise a fault. */
uint8_t tlb_fetch_byte(struct tcg_env *env, gva_t va);

/* Owner-thread flushes; they also retire jump-cache tags as needed and must be followed by leaving the block (IR_EXIT/JMPENV). */
void tlb_flush_all(struct tcg_env *env);             /* global entries too */
void tlb_flush_nonglobal(struct tcg_env *env);       /* of the current context */
void tlb_flush_page(struct tcg_env *env, gva_t va);  /* INVLPG: one page in the current context, and global */
void tlb_flush_ctx_key(struct tcg_env *env, uint32_t key); /* drops what is kept for address-space key (PCID) */
/* New address space: `key` names it for later return (PCID), keep = entries kept from an earlier visit may be used. */
void tlb_switch(struct tcg_env *env, uint32_t key, bool keep);
/* A permission that all entries of a mode depend on changed (SMAP, WP, ...): drop that mode's entries. */
void tlb_flush_mode(struct tcg_env *env, unsigned mode);

/*
 * CPU mode changed: `flags` are the new tb flags, without what `other` says; recomputes env.jc_salt. A mode has two variants, between which
 * generated code may go by itself: adding env.jc_other to env.jc_salt leads into the other one, subtracting it back.
 */
void tlb_mode_changed(struct tcg_env *env, uint32_t tb_flags, bool user, bool other);
/*
 * Modes that were left may have other flags when they are next entered: env.tlb.cpu_mode is void until tlb_mode_changed(), which has to follow before
 * anything else.
 */
void tlb_modes_forget(struct tcg_env *env);
/* Watched pages are not entered into the TLB; what is watched has changed if it is or was on. Flushes then, as tlb_flush_all(). */
void tlb_set_watch(struct tcg_env *env, bool on);
/* Global pages were switched on or off; to be followed by tlb_flush_all(). */
void tlb_set_globals(struct tcg_env *env, bool on);

/*
 * The jump cache is tagged by the TLB's contexts. tlb_jc_find() probes it as generated code does; tlb_jc_insert() adds a block at pc (linear) whose code page is `global` or not;
 * tlb_jc_purge() drops the entry of a dead block.
 */
void tlb_jc_insert(struct tcg_env *env, gva_t pc, void *code, bool global);
const void *tlb_jc_find(const struct tcg_env *env, gva_t pc); /* in the current mode; NULL: unknown */
void tlb_jc_purge(struct tcg_env *env, gva_t pc, const void *code);

/* Gives up writable entries covering the RAM page (for code_watch's revoke). Owner thread, at a safepoint. */
void tlb_revoke_write(struct tcg_env *env, ram_off_t page_off);
/* The same, of a page that was code all the time: level-0 slots that code_watch_replace_and_open() allowed. */
void tlb_revoke_gaps(struct tcg_env *env, ram_off_t page_off);

int must_check tlb_new(struct tcg_env *env, unsigned vcpu);
void tlb_free(struct tcg_env *env);

#endif
