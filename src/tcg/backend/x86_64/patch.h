/* SPDX-License-Identifier: MIT */
/*
 * What of a block's code changes after it was made: its entry slot and its chained exits. One aligned atomic store each, through the
 * writable mapping, while other threads execute the code (Intel SDM volume 3, 8.1.1 and 8.1.3; measured: aligned stores never tear).
 * And what changes in a copy, before anybody executes it.
 */
#ifndef COHORT_TCG_X86_64_PATCH_H
#define COHORT_TCG_X86_64_PATCH_H

#include "tcg/backend.h"
#include "tcg/backend/x86_64/asm.h"

#define ENTRY_SLOT_SIZE 8
#define ENTRY_CHECK_MAX 31

uint32_t entry_slot_emit(struct as *s); /* returns where dead_stub_emit() writes the stub's distance */
/* The check of vectors behind the slot, at `entry`: so long, for that level. */
void entry_slot_check(struct as *s, uint32_t entry, uint32_t len, unsigned level);
void dead_stub_emit(struct as *s, uint32_t entry, gva_t pc);

void x86_64_patch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit, const void *target_rx);
void x86_64_unpatch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit);
void x86_64_kill_entry(uint8_t *rw_code, const uint8_t *rx_code);
enum backend_status x86_64_compile(const struct ir_block *ir, struct tb *tb, uint8_t *rw, const uint8_t *rx, size_t room,
				   struct backend_code *out);
void x86_64_move(uint8_t *rw, const uint8_t *rx, const uint8_t *was_rx, const struct tb *tb, const struct backend_moves *m);
void x86_64_compile_thread_fini(void); /* frees what the thread compiled with */

#endif
