/* SPDX-License-Identifier: MIT */
/*
 * One block, start to end: find, and if it is not there fetch, translate, optimize, compile, publish.
 */
#include "tcg/tcg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "tcg/cache/code_region.h"
#include "tcg/cache/tb.h"
#include "tcg/opt/opt.h"
#include "tcg/perfmap.h"
#include "tcg/rewritten.h"
#include "tcg/tcg_log.h"
#include "tcg/versions.h"
#include "util/err.h"
#include "util/jitter.h"
#include "util/log.h"
#include "util/stats.h"

#define MAX_INSNS 64

const struct guest_isa *tcg_guest;
const struct backend *tcg_backend;

/* Room that a block of n guest instructions is given at first; the back end says when it needs more. */
static size_t room_for(unsigned insns)
{
	return 512 + insns * 96;
}

int tcg_init(const struct guest_isa *isa, const struct tcg_config *config, struct err *err)
{
	long used;

	tcg_guest = isa;
	jitter_seed = config->jitter;
	opt_exact_flags = config->exact_flags;
	tcg_backend = &backend_interp;
#ifdef COHORT_HAVE_BACKEND_NATIVE
	if (!config->interp)
		tcg_backend = &backend_native;
#endif
	tb_reclaim_init(config->nr_vcpus);
	if (code_region_init(config->code_bytes, config->nr_vcpus, err) < 0)
		return -1;
	if (tb_cache_init() < 0)
		return err_set(err, "out of memory for the block table");
	tb_cold_init();
	used = tcg_backend->init(isa, code_rw(code_stub_rx()), code_stub_rx(), CODE_STUB_SIZE, err);
	if (used < 0)
		return -1;
	return config->perfmap ? perfmap_open(config->perfmap, code_stub_rx(), (size_t)used, err) : 0;
}

void tcg_fini(void)
{
	perfmap_close();
	tb_cold_fini();
	tb_reclaim_fini();
	tb_cache_fini();
	code_region_fini();
}

size_t tcg_settle(void)
{
	tb_reclaim_poll(true);
	rcu_drain(); /* batches */
	rcu_drain(); /* and what they gave to RCU */
	return code_blocks_heap();
}

static struct tb **recent_slot(struct tcg_thread *t, gva_t pc)
{
	return &t->recent[pc * 0x9e3779b97f4a7c15ull >> (64 - TCG_RECENT_BITS)];
}

struct purge {
	struct tcg_thread *t;
	struct tcg_env *env;
};

/* The block itself may be gone already: its recent slot goes whatever is in it. */
static void drop(void *opaque, gva_t pc, const void *code)
{
	struct purge *p = opaque;

	tlb_jc_purge(p->env, pc, code);
	if (code)
		*recent_slot(p->t, pc) = NULL;
	else
		memset(p->t->recent, 0, sizeof(p->t->recent));
}

static _Thread_local struct purge caches; /* this vCPU's */

int tcg_thread_init(struct tcg_thread *t, struct tcg_env *env, struct err *err)
{
	memset(t, 0, sizeof(*t));
	t->ir = malloc(sizeof(*t->ir));
	t->code = malloc(sizeof(*t->code));
	t->versions = versions_new();
	if (!t->ir || !t->code || !t->versions)
		return err_set(err, "out of memory for a vCPU's translator");
	caches = (struct purge){ t, env };
	tb_holder_init(drop, &caches);
	tb_reclaim_thread_init();
	return tcg_backend->thread_init(env, err);
}

void tcg_thread_fini(struct tcg_thread *t, struct tcg_env *env)
{
	tcg_backend->thread_fini(env);
	tb_holder_fini();
	tb_reclaim_thread_fini();
	code_segment_put(t->segment);
	t->segment = NULL;
	versions_free(t->versions);
	free(t->ir);
	free(t->code);
}

/* What is being translated: pages made code, with the generations they had then. */
struct source {
	struct guest_code code;
	uint32_t flags;
	ram_off_t phys, page2;
	uint64_t gen, gen2;
	uint8_t mmio[16];  /* copy of code outside RAM */
	uint8_t mmio2[16]; /* of the second page's start */
	bool unkept;       /* the second page is no RAM: the block runs once */
};

static _Thread_local struct source *current_source;

/* The translator asks for the page behind: arm it before its bytes are read. */
static const uint8_t *fetch_next(struct tcg_env *env, gva_t page)
{
	struct source *s = current_source;
	bool global;
	ram_off_t off = tlb_fetch(env, page, &global);

	if (off == ASPACE_NOT_RAM) {
		for (unsigned i = 0; i < 15; i++)
			s->mmio2[i] = tlb_fetch_byte(env, page + i);
		s->unkept = true;
		return s->mmio2;
	}
	if (s->phys != ASPACE_NOT_RAM) {
		s->page2 = off;
		s->gen2 = code_watch_arm(off);
	}
	return ram_ptr(off);
}

static void source_init(struct source *s, struct tcg_env *env, ram_off_t phys)
{
	memset(s, 0, sizeof(*s));
	s->phys = phys;
	s->page2 = TB_NO_PAGE;
	s->flags = tcg_guest->tb_flags(env);
	s->code.pc = env->pc;
	s->code.avail = GUEST_PAGE_SIZE - (env->pc & ~GUEST_PAGE_MASK);
	s->code.fetch_next = fetch_next;
}

#ifdef COHORT_DEBUG
/* Of what the guest runs, tests see little: debug builds look at each block, as it was made and as the passes left it. */
static void verify(const struct ir_block *ir, const char *when)
{
	unsigned where;
	const char *bad = ir_verify(ir, &where);

	if (!bad)
		return;
	fprintf(stderr, "cohort: block at %#llx, %s: %s at %u\n", (unsigned long long)ir->pc, when, bad, where);
	abort();
}
#else
#define verify(ir, when) ((void)0)
#endif

static void translate(struct tcg_env *env, struct tcg_thread *t, struct source *s, unsigned max_insns)
{
	struct ir_block *ir = t->ir;

	ir_reset(ir);
	ir->rt = tcg_guest->rt;
	ir->nr_rt = tcg_guest->nr_rt;
	current_source = s;
	tcg_guest->translate(env, ir, &s->code, max_insns);
	verify(ir, "translated");
	ir->small = code_is_pressed();
	tcg_log_ir(ir, &s->code, LOG_IN_ASM | LOG_OP);
	opt_run(ir);
	verify(ir, "optimized");
	if (ir->mmu_mode)
		opt_places(ir, env->greg);
	tcg_log_ir(ir, &s->code, LOG_OP_OPT);
	stat_add(STAT_insns_translated, ir->guest_insns);
}

/* For code that does not exist yet: every exit op may give two exits, every memory operand and division a trap. */
static struct tb *new_tb(struct code_segment *seg, const struct source *s, const struct ir_block *ir)
{
	unsigned exits = 0, traps = 0;
	struct tb *tb;

	for (unsigned i = 0; i < ir->nr_insns; i++) {
		const struct ir_op_info *info = &ir_op_info[ir->insn[i].op];

		exits += (info->attr & IR_AT_E) ? 2 : 0;
		traps += (info->attr & (IR_AT_M | IR_AT_V)) || ir->insn[i].op == IR_FPU ? 2 : 0; /* hot, and in the cold copy of a store */
	}
	tb = tb_new(seg, exits, traps, ir->nr_late);
	if (!tb)
		return NULL;
	tb->phys = s->phys;
	tb->page2 = s->page2;
	tb->flags = s->flags;
	return tb;
}

/* The block's code is complete at rx in the thread's segment. */
static void commit(struct tcg_thread *t, struct tb *tb, uint8_t *rx)
{
	tb->code = rx;
	tb->segment = t->segment;
	code_commit(t->segment, tb, tb->code_size);
	stat_add(STAT_code_bytes, tb->code_size);
	tcg_log_code(tb);
	perfmap_add(tb);
}

/* Compiles; on success the block's code is committed to the thread's segment. NULL with *full: no code memory. */
static struct tb *compile(struct tcg_env *env, struct tcg_thread *t, struct source *s, unsigned max_insns, bool *full)
{
	size_t need, room;

	*full = false;
	translate(env, t, s, max_insns);
	need = room_for(t->ir->guest_insns);
	for (;;) {
		uint8_t *rx = jitter_fails() ? NULL : code_reserve(&t->segment, need, &room);
		enum backend_status status;
		struct tb *tb;

		if (!rx) {
			*full = true;
			return NULL;
		}
		tb = new_tb(t->segment, s, t->ir);
		if (!tb) {
			*full = true;
			return NULL;
		}
		status = tcg_backend->compile(t->ir, tb, code_rw(rx), rx, room, t->code);
		if (status == BACKEND_OK) {
			tb_fill(tb, t->code, t->ir);
			commit(t, tb, rx);
			return tb;
		}
		if (status == BACKEND_NO_ROOM && room < CODE_SEGMENT_MIN) {
			need = CODE_SEGMENT_MIN; /* a fresh segment */
			continue;
		}
		if (max_insns == 1 || t->ir->guest_insns == 1)
			emu_bug("one instruction at %#llx does not fit a code segment", (unsigned long long)env->pc);
		max_insns = t->ir->guest_insns / 2;
		s->page2 = TB_NO_PAGE;
		translate(env, t, s, max_insns);
	}
}

/* Never published: nobody else can find it. Its exits cannot be chained because it is not LIVE. */
static void retire_unpublished(struct tb *tb)
{
	atomic_store_explicit(&tb->state, TB_DEAD, memory_order_relaxed);
	tb_retire(tb);
	tb_reclaim_poll(false);
}

/* In place of compile(). NULL: no code memory. */
static struct tb *copy_version(struct tcg_thread *t, const struct version *v)
{
	size_t room;
	uint8_t *rx = code_reserve(&t->segment, version_code_size(v), &room);
	struct tb *tb = rx ? version_copy(v, t->segment, rx) : NULL;

	if (!tb)
		return NULL;
	commit(t, tb, rx);
	stat_inc(STAT_blocks_copied);
	return tb;
}

static struct tb *build(struct tcg_env *env, struct tcg_thread *t, ram_off_t phys)
{
	for (;;) {
		struct version_place *place;
		const struct version *found = NULL;
		struct version *made = NULL;
		struct source s;
		struct tb *tb;
		bool full;

		source_init(&s, env, phys);
		place = rewritten_anew(phys) ? versions_place(t->versions, phys, env->pc, s.flags) : NULL;
		s.gen = code_watch_arm(phys & GUEST_PAGE_MASK);
		jitter();
		if (place)
			found = versions_find(place);
		if (found) {
			tb = copy_version(t, found);
			full = !tb;
		} else {
			s.code.bytes = ram_ptr(phys);
			s.code.before = phys & ~GUEST_PAGE_MASK;
			s.code.late = place || rewritten_often(phys);
			tb = compile(env, t, &s, MAX_INSNS, &full);
		}
		if (full)
			return NULL;
		if (unlikely(s.unkept)) {
			retire_unpublished(tb);
			return tb;
		}
		if (place && !found)
			made = version_make(tb, t->code);
		jitter();
		tb = tb_publish(tb, s.gen, s.gen2);
		if (made && tb)
			versions_keep(t->versions, place, made);
		else
			version_free(made);
		if (tb)
			return tb;
	}
}

/* A block that reaches into a second page is right only while that page is mapped where it was. */
static bool second_page_matches(struct tcg_env *env, const struct tb *tb)
{
	bool global;

	return tb->page2 == TB_NO_PAGE || tlb_fetch(env, (tb->pc & GUEST_PAGE_MASK) + GUEST_PAGE_SIZE, &global) == tb->page2;
}

/*
 * A block with a second page may be in the jump cache if both pages leave it together: a flush of the second page drops what starts right in
 * front of it (tlb_flush.c), and flushes of address spaces treat both alike.
 */
static bool jump_cache_may_hold(struct tcg_env *env, const struct tb *tb, bool global)
{
	bool global2 = global;

	if (tb->page2 != TB_NO_PAGE)
		tlb_fetch(env, (tb->pc & GUEST_PAGE_MASK) + GUEST_PAGE_SIZE, &global2);
	return !global || global2;
}

/*
 * A jump cache whose tags went with a TLB flush still knows many blocks that are right; finding them again here is cheaper than in the shared
 * table. A dead one may be met until the next purge; it must not be returned, for its entry leads straight back here.
 */
static struct tb *find_recent(struct tcg_thread *t, ram_off_t phys, gva_t pc, uint32_t flags)
{
	struct tb *tb = *recent_slot(t, pc);

	if (!tb || tb->phys != phys || tb->pc != pc || tb->flags != flags)
		return NULL;
	return atomic_load_explicit(&tb->state, memory_order_acquire) == TB_LIVE ? tb : NULL;
}

static struct tb *find_known(struct tcg_thread *t, ram_off_t phys, gva_t pc, uint32_t flags)
{
	struct tb *tb = find_recent(t, phys, pc, flags);

	if (tb) {
		stat_inc(STAT_recent_hits);
		return tb;
	}
	tb = tb_lookup(phys, pc, flags);
	if (tb)
		stat_inc(STAT_table_hits);
	return tb;
}

struct tb *tcg_find_block(struct tcg_thread *t, struct tcg_env *env)
{
	bool global;
	ram_off_t phys = tlb_fetch(env, env->pc, &global);
	struct tb *tb;

	stat_inc(STAT_lookups);
	if (phys == ASPACE_NOT_RAM)
		return tcg_one_shot_block(t, env);
	tb = find_known(t, phys, env->pc, tcg_guest->tb_flags(env));
	if (tb && !second_page_matches(env, tb)) {
		tb_kill(tb);
		tb = NULL;
	}
	if (!tb) {
		tb = build(env, t, phys);
		tb_reclaim_poll(false); /* a guest that rewrites code with interrupts off need not come to a safepoint */
	}
	if (!tb || unlikely(atomic_load_explicit(&tb->state, memory_order_relaxed) == TB_DEAD))
		return tb; /* none, or one that runs once */
	if (tb_hold(tb)) {
		*recent_slot(t, tb->pc) = tb;
		if (jump_cache_may_hold(env, tb, global))
			tlb_jc_insert(env, tb->pc, tb->code, global);
	}
	return tb;
}

/* Code in device memory: fetched by the byte, as a CPU without a cache would. */
static void fetch_mmio(struct tcg_env *env, struct source *s)
{
	for (unsigned i = 0; i < 15 && i < s->code.avail; i++)
		s->mmio[i] = tlb_fetch_byte(env, env->pc + i);
	s->code.bytes = s->mmio;
}

struct tb *tcg_one_shot_block(struct tcg_thread *t, struct tcg_env *env)
{
	bool global, full;
	ram_off_t phys = tlb_fetch(env, env->pc, &global);
	struct source s;
	struct tb *tb;

	source_init(&s, env, phys);
	if (phys == ASPACE_NOT_RAM)
		fetch_mmio(env, &s);
	else
		s.code.bytes = ram_ptr(phys);
	tb = compile(env, t, &s, 1, &full);
	if (tb)
		retire_unpublished(tb);
	return tb;
}

void tcg_safepoint(struct tcg_thread *t)
{
	stat_inc(STAT_safepoints);
	rcu_quiescent();
	tb_retire_flush();
	if (unlikely(tb_purge_due(t->purged)))
		tb_purge(&t->purged, drop, &caches);
	tb_reclaim_poll(false);
	if (unlikely(code_is_short()) && tb_evict())
		tb_reclaim_poll(true);
}

void tcg_make_room(struct tcg_thread *t)
{
	(void)t;
	if (code_is_short())
		tb_evict();
	tb_reclaim_poll(true);
	rcu_drain();
}
