/* SPDX-License-Identifier: MIT */
/*
 * Who may have a block in private caches (jump cache, recent blocks): nobody yet, one vCPU, or many.
 *
 * A block that dies by the hand of its only holder, as code does that a CPU rewrites for itself, is dropped from that vCPU's caches at
 * once, and no other vCPU has to look for it in its own (tb_reclaim.c). The one who may not be missed is a vCPU that has just found the
 * block and is about to keep it:
 *
 *   keeping it (tb_hold)                    killing it (tb_let_go)
 *   1 holder = me, or many   (seq_cst)      1 state = DEAD        (seq_cst, kill_one())
 *   2 look at state          (seq_cst)      2 look at holder      (seq_cst)
 *     LIVE? only then keep it                 only me? drop it here; holder = nobody
 *
 * One side sees the other. Modelled in tests/models/tb_hold.pml.
 */
#include "tcg/cache/tb.h"
#include "util/jitter.h"

static _Thread_local struct {
	uint32_t id; /* 0: the thread is no vCPU and has no caches */
	tb_forget_fn forget;
	void *opaque;
} self;

static _Atomic uint32_t last_id;

void tb_holder_init(tb_forget_fn forget, void *opaque)
{
	self.id = atomic_fetch_add(&last_id, 1) + 1;
	self.forget = forget;
	self.opaque = opaque;
}

void tb_holder_fini(void)
{
	self.id = TB_HELD_BY_NOBODY;
}

bool tb_hold(struct tb *tb)
{
	uint32_t holder = atomic_load(&tb->holder);

	if (holder == TB_HELD_BY_NOBODY && atomic_compare_exchange_strong(&tb->holder, &holder, self.id))
		holder = self.id;
	if (holder != self.id && holder != TB_HELD_BY_MANY) {
		atomic_store(&tb->holder, TB_HELD_BY_MANY);
		jitter();
	}
	return atomic_load(&tb->state) == TB_LIVE;
}

void tb_let_go(struct tb *tb)
{
	if (!self.id || atomic_load(&tb->holder) != self.id)
		return;
	self.forget(self.opaque, tb->pc, tb->code);
	atomic_store_explicit(&tb->holder, TB_HELD_BY_NOBODY, memory_order_relaxed);
}
