/* SPDX-License-Identifier: MIT */
/*
 * Live patching, see patch.h.
 *
 * The entry slot is one 8-byte NOP, 0f 1f 84 00 disp32, whose unused displacement is the distance from slot + 5 to the block's dead
 * stub: killing the block turns the slot into a jump there without looking anything up. Its SIB byte, unused too, tells who chains to
 * the block how long the check of vectors behind the slot is (bits 4:0) and for what level (7:5), see vec.c.
 */
#include <stdatomic.h>
#include <string.h>

#include "tcg/backend/x86_64/patch.h"
#include "tcg/backend/x86_64/stubs.h"

#define SLOT_SIB 3

uint32_t entry_slot_emit(struct as *s)
{
	as_bytes(s, "\x0f\x1f\x84\x00\x00\x00\x00\x00", ENTRY_SLOT_SIZE);
	return as_off(s) - 4;
}

void entry_slot_check(struct as *s, uint32_t entry, uint32_t len, unsigned level)
{
	if (!s->overflow && len <= ENTRY_CHECK_MAX)
		s->base[entry - ENTRY_SLOT_SIZE + SLOT_SIB] = (uint8_t)(level << 5 | len);
}

void dead_stub_emit(struct as *s, uint32_t entry, gva_t pc)
{
	uint32_t distance = as_off(s) - 5;

	if (!s->overflow)
		memcpy(s->base + entry, &distance, 4);
	as_mov_imm(s, R_13, (int64_t)pc);
	as_jmp_abs(s, stubs.exit_lookup);
}

static void store_rel(uint8_t *rw_code, const struct backend_exit *exit, uint32_t rel)
{
	atomic_store_explicit((_Atomic uint32_t *)(void *)(rw_code + exit->patch_off), rel, memory_order_release);
}

/*
 * Behind the slot, since a block that dies loses its incoming chains; and behind the check, if the exit knows the answer. The target is
 * live and cannot die meanwhile: its lock is held.
 */
static const uint8_t *behind_check(const uint8_t *target, unsigned vec)
{
	unsigned sib = target[SLOT_SIB], level = sib >> 5;

	return target + ENTRY_SLOT_SIZE + (level <= vec ? sib & ENTRY_CHECK_MAX : 0);
}

void x86_64_patch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit, const void *target_rx)
{
	store_rel(rw_code, exit, (uint32_t)(behind_check(target_rx, exit->vec) - (rx_code + exit->patch_off + 4)));
}

void x86_64_unpatch_exit(uint8_t *rw_code, const uint8_t *rx_code, const struct backend_exit *exit)
{
	(void)rx_code;
	store_rel(rw_code, exit, exit->stub_off - (exit->patch_off + 4));
}

void x86_64_kill_entry(uint8_t *rw_code, const uint8_t *rx_code)
{
	uint64_t slot = 0xe9;
	uint32_t distance;

	(void)rx_code;
	if (rw_code[0] == 0xe9)
		return;
	memcpy(&distance, rw_code + 4, 4);
	slot |= (uint64_t)distance << 8;
	atomic_store_explicit((_Atomic uint64_t *)(void *)rw_code, slot, memory_order_release);
}

/* Within the block everything is relative. */
void x86_64_move(uint8_t *rw, const uint8_t *rx, const uint8_t *was_rx, const struct tb *tb, const struct backend_moves *m)
{
	uint32_t by = (uint32_t)(rx - was_rx), rel;
	uint64_t block = (uintptr_t)tb;

	for (unsigned n = 0; n < m->nr_outward; n++) {
		memcpy(&rel, rw + m->outward[n], 4);
		rel -= by;
		memcpy(rw + m->outward[n], &rel, 4);
	}
	if (m->block_at)
		memcpy(rw + m->block_at, &block, 8);
}
