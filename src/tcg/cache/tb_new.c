/* SPDX-License-Identifier: MIT */
/*
 * Allocating blocks. Exits, traps and late bytes follow the structure in one piece of memory, which is the code segment's.
 */
#include <stdlib.h>
#include <string.h>

#include "tcg/cache/code_region.h"
#include "tcg/cache/tb.h"

static size_t size_with(unsigned exits, unsigned traps, unsigned late)
{
	return sizeof(struct tb) + exits * sizeof(struct tb_exit) + traps * sizeof(struct backend_trap) + late * sizeof(struct ir_late);
}

/* Pointers into itself. */
static void point(struct tb *tb)
{
	list_init(&tb->incoming);
	for (unsigned n = 0; n < tb->nr_exits; n++) {
		tb->exit[n].from = tb;
		list_init(&tb->exit[n].link);
	}
	tb->trap = (struct backend_trap *)&tb->exit[tb->nr_exits];
	tb->late = (struct ir_late *)&tb->trap[tb->nr_traps];
}

struct tb *tb_new(struct code_segment *seg, unsigned exits, unsigned traps, unsigned late)
{
	struct tb *tb = code_block_memory(seg, size_with(exits, traps, late));

	if (tb)
		memset(tb, 0, sizeof(*tb));
	return tb;
}

void tb_fill(struct tb *tb, const struct backend_code *c, const struct ir_block *ir)
{
	tb->pc = ir->pc;
	tb->guest_len = (uint16_t)ir->guest_len;
	tb->watch_len = (uint16_t)ir->watch_len;
	tb->watch_before = (uint16_t)ir->watch_before;
	tb->guest_insns = (uint16_t)ir->guest_insns;
	tb->code_size = c->size;
	tb->nr_exits = (uint16_t)c->nr_exits;
	tb->nr_traps = (uint16_t)c->nr_traps;
	tb->nr_late = (uint16_t)ir->nr_late;
	for (unsigned n = 0; n < c->nr_exits; n++)
		tb->exit[n] = (struct tb_exit){ .x = c->exit[n] };
	point(tb);
	memcpy(tb->trap, c->trap, c->nr_traps * sizeof(c->trap[0]));
	memcpy(tb->late, ir->late, ir->nr_late * sizeof(ir->late[0]));
}

size_t tb_bytes(const struct tb *tb)
{
	return size_with(tb->nr_exits, tb->nr_traps, tb->nr_late);
}

struct tb *tb_clone(struct code_segment *seg, const struct tb *tb)
{
	size_t size = tb_bytes(tb);
	struct tb *c = seg ? code_block_memory(seg, size) : aligned_alloc(CODE_BLOCK_ALIGN, CODE_BLOCK_ROUND(size));

	if (c) {
		memcpy(c, tb, size);
		point(c);
	}
	return c;
}
