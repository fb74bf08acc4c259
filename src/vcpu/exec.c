/* SPDX-License-Identifier: MIT */
/*
 * The run loop of one vCPU.
 *
 * Each turn is: events if there may be any, then a block, then how it was left. A block pointer is used only up to the next safepoint;
 * the chain from the block just left to the one just found is made before that.
 */
#include "vcpu/exec.h"

#include <stdlib.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/tlb.h"
#include "sched/clock.h"
#include "sched/cpu_thread.h"
#include "sched/host_cpu.h"
#include "tcg/cache/tb.h"
#include "tcg/wander.h"
#include "util/err.h"
#include "util/jitter.h"
#include "util/log.h"
#include "util/stats.h"
#include "vcpu/arch.h"
#include "vcpu/debugger.h"
#include "vcpu/mailbox.h"

#define ARCH_REQS (VCPU_REQ_NMI | VCPU_REQ_SMI | VCPU_REQ_INIT | VCPU_REQ_SIPI | VCPU_REQ_INTR)

static _Thread_local struct vcpu *self;

struct vcpu *vcpu_self(void)
{
	return self;
}

void vcpu_unwind(struct tcg_env *env)
{
	struct vcpu *v = (struct vcpu *)env;

	tlb_abandon(env);
	if (v->exec->in_run)
		tcg_backend->unwind(env);
	siglongjmp(v->exec->unwind, 1);
}

void vcpu_run_alone(struct tcg_env *env)
{
	struct vcpu_exec *x = ((struct vcpu *)env)->exec;

	if (!x->in_run || x->in_one_shot)
		return;
	x->one_shot = true;
	vcpu_unwind(env);
}

bool vcpu_before_code_store(struct tcg_env *env, ram_off_t off, unsigned size)
{
	struct vcpu_exec *x = ((struct vcpu *)env)->exec;
	const struct page_desc *pd = code_watch_page(off);
	unsigned first = (off & ~GUEST_PAGE_MASK) >> PAGE_GRANULE_BITS, last = ((off + size - 1) & ~GUEST_PAGE_MASK) >> PAGE_GRANULE_BITS;
	uint64_t hit = (~0ull << first) & (~0ull >> (63 - last));
	bool global;

	if (!x->in_run || x->in_one_shot)
		return false;
	if ((tlb_fetch(env, env->pc, &global) & GUEST_PAGE_MASK) != (off & GUEST_PAGE_MASK))
		return true; /* a block that starts on another page and reaches into this one is one instruction */
	/* The lock is not needed: granules of the block that is running were set before it ran. */
	if (!(__atomic_load_n(&pd->granules, __ATOMIC_RELAXED) & hit))
		return false;
	x->one_shot = true;
	vcpu_unwind(env);
}

/* The blocks with the instruction die, and their successors know better. The running block goes on to its end: nothing is wrong with it. */
void vcpu_access_wanders(struct tcg_env *env)
{
	struct tlb_walk w;
	gpa_t start;
	ram_off_t off;
	uint64_t avail;
	bool rom;

	if (!wander_mark(env->pc) || tlb_ops->probe(env, env->pc, TLB_FETCH, 0, &w))
		return;
	off = aspace_find_ram_rcu((w.pa + (env->pc - w.va)) & GUEST_PAGE_MASK, &start, &avail, &rom);
	if (off != ASPACE_NOT_RAM)
		code_watch_store(off | (env->pc & ~GUEST_PAGE_MASK), 1);
}

static void wait_while_paused(struct vcpu *v)
{
	tcg_backend->fpu_save(&v->env); /* who looks at the paused CPU, or resets it, finds all state in env */
	vcpu_arch.stand(v);
	mailbox_leave(v);
	rcu_offline();
	vcpu_pause_wait(v);
	rcu_online();
	tcg_backend->fpu_load(&v->env);
	mailbox_enter(v);
	vcpu_arch.go_on(v);
}

/*
 * A debugger's point was met, or its step is done: stands still, with the requests that were taken back where a reset finds them. True: look at
 * everything anew.
 */
static bool stop_for_debugger(struct vcpu *v, uint32_t req)
{
	if (v->debug.stop == DEBUG_STOP_NONE)
		return false;
	atomic_fetch_or(&v->env.request, req);
	tcg_backend->fpu_save(&v->env);
	mailbox_leave(v);
	rcu_offline();
	debug_stand_still(v);
	rcu_online();
	tcg_backend->fpu_load(&v->env);
	mailbox_enter(v);
	return true;
}

/* Before events: has the step's instruction been executed? One that faulted has when the fault is delivered. */
static void step_ended(struct vcpu *v)
{
	struct vcpu_debug *d = &v->debug;

	if (d->step != DEBUG_STEP_RUNS || d->stop != DEBUG_STOP_NONE)
		return;
	if (v->env.exit_code != TCG_EXIT_EVENT || v->exec->one_shot)
		d->step = DEBUG_STEP_ARMED; /* it left for a request, or starts again */
	else if (vcpu_arch.faulted(v))
		d->step = DEBUG_STEP_FAULT;
	else
		d->stop = DEBUG_STOP_STEP;
}

/* After events. */
static void step_begins(struct vcpu *v, bool runs)
{
	struct vcpu_debug *d = &v->debug;

	if (d->step == DEBUG_STEP_FAULT)
		d->stop = DEBUG_STOP_STEP;
	else if (runs)
		d->step = DEBUG_STEP_RUNS;
}

static void timer_check(struct vcpu *v)
{
	if (v->intc)
		v->intc->timer_expire(v);
	vcpu_timer_changed(v);
}

/* Sleeps until a request, the local timer, or `limit`. */
static void park(struct vcpu *v, vclock_ns_t limit, bool (*how)(struct cpu_thread *t, vclock_ns_t deadline))
{
	vclock_ns_t deadline = v->intc ? v->intc->timer_deadline(v) : INT64_MAX;

	vcpu_arch.stand(v);
	mailbox_leave(v);
	if (!atomic_load(&v->env.request) && !how(v->thread, deadline < limit ? deadline : limit) && deadline <= limit)
		atomic_fetch_or(&v->env.request, VCPU_REQ_TIMER);
	mailbox_enter(v);
	vcpu_arch.go_on(v);
}

#define REST_NS 50000

/* See vcpu/spin_wait.c. */
static void rest(struct vcpu *v)
{
	stat_inc(STAT_rests);
	park(v, clock_now() + REST_NS, cpu_thread_nap);
	v->exec->last_spin = clock_tsc(); /* still the same wait */
}

/* For others that spin. Written only when it changes. */
static void note_host_cpu(struct vcpu *v)
{
	uint32_t cpu = host_cpu_now();

	if (atomic_load_explicit(&v->host_cpu, memory_order_relaxed) != cpu)
		atomic_store_explicit(&v->host_cpu, cpu, memory_order_relaxed);
}

/*
 * VCPU_REQ_LOAN. Who has a handler to run rests when it returns, vcpu_handler_returns(). Nothing is owed by who runs on another host CPU than
 * the one given away: a rest would only make it late for the next request.
 */
static void give_back(struct vcpu *v, uint32_t req)
{
	uint32_t lent = atomic_load_explicit(&v->lender_cpu, memory_order_relaxed);

	if (lent != ANY_HOST_CPU && lent != host_cpu_now())
		return;
	if (req & (ARCH_REQS | VCPU_REQ_TIMER))
		v->owes_rest = true;
	else if (!(req & (VCPU_REQ_EXIT | VCPU_REQ_PAUSE)))
		rest(v);
}

/* Takes the request word; returns the bits the guest ISA handles. */
static uint32_t take_requests(struct vcpu *v)
{
	uint32_t req = atomic_load_explicit(&v->env.request, memory_order_relaxed);

	if (!req)
		return 0;
	req = atomic_exchange(&v->env.request, 0);
	note_host_cpu(v);
	if (req & VCPU_REQ_WORK)
		mailbox_run(v);
	if (req & VCPU_REQ_MAP)
		tlb_flush_all(&v->env);
	if (req & VCPU_REQ_TIMER)
		timer_check(v);
	if (req & VCPU_REQ_EXIT)
		v->exec->stop = true;
	if (req == VCPU_REQ_REST)
		rest(v);
	if (unlikely(req & VCPU_REQ_LOAN))
		give_back(v, req);
	if (req & VCPU_REQ_PAUSE) {
		/* Back to where a reset during the pause finds and drops them: an old SIPI must not start a CPU that was reset. */
		atomic_fetch_or(&v->env.request, req & ARCH_REQS);
		wait_while_paused(v);
		return 0;
	}
	return req & ARCH_REQS;
}

/* Requests and events until the CPU can execute, or is to stop. No block pointer survives. */
static void safepoint(struct vcpu *v)
{
	for (;;) {
		uint32_t req = take_requests(v);
		bool runs;

		tcg_safepoint(&v->exec->tcg);
		if (v->exec->stop)
			return;
		if (unlikely(v->debug.stop != DEBUG_STOP_NONE || v->debug.step != DEBUG_STEP_NONE)) {
			step_ended(v);
			if (stop_for_debugger(v, req))
				continue;
		}
		runs = vcpu_arch.events(v, req);
		if (unlikely(v->debug.step != DEBUG_STEP_NONE)) {
			step_begins(v, runs);
			if (stop_for_debugger(v, 0))
				continue;
		}
		if (runs)
			return;
		if (!vcpu_arch.wakeable(v))
			park(v, VCLOCK_NEVER, cpu_thread_park);
	}
}

static void log_entry(struct vcpu *v)
{
	if (log_on(LOG_EXEC))
		log_write("EXEC cpu %u: %#llx flags %#x\n", v->index, (unsigned long long)v->env.pc, tcg_guest->tb_flags(&v->env));
	if (log_on(LOG_CPU)) {
		char *text = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&text, &size);

		if (!f)
			return;
		vcpu_arch.dump(v, f);
		fclose(f);
		log_write("%s", text);
		free(text);
	}
}

static void run(struct vcpu *v, const void *code)
{
	if (log_on(LOG_EXEC | LOG_CPU))
		log_entry(v);
	v->exec->in_run = true;
	tcg_backend->run(&v->env, code);
	v->exec->in_run = false;
}

/*
 * Behind a safepoint: an interrupt's handler, or what was interrupted, is often in the jump cache, which the safepoint has purged as generated
 * code wants it. NULL: unknown.
 */
static const void *find_jump(struct vcpu *v)
{
	return unlikely(v->exec->one_shot) ? NULL : tlb_jc_find(&v->env, v->env.pc);
}

static struct tb *find(struct vcpu *v)
{
	struct vcpu_exec *x = v->exec;
	struct tb *tb;

	if (unlikely(x->one_shot)) {
		x->one_shot = false;
		tb = tcg_one_shot_block(&x->tcg, &v->env);
		x->in_one_shot = true;
	} else {
		tb = tcg_find_block(&x->tcg, &v->env);
	}
	return tb;
}

/* What was to be executed has not been: it begins anew, alone if it was to be. */
static void cache_full(struct vcpu *v)
{
	v->exec->one_shot = v->exec->in_one_shot;
	v->exec->in_one_shot = false;
	if (v->debug.step == DEBUG_STEP_RUNS)
		v->debug.step = DEBUG_STEP_ARMED;
	mailbox_leave(v);
	tcg_make_room(&v->exec->tcg);
	mailbox_enter(v);
}

static void loop(struct vcpu *v)
{
	struct vcpu_exec *x = v->exec;
	struct tb *tb, *last;
	const void *code;

	sigsetjmp(x->unwind, 0);
	/* A fault leaves with everything below undone. */
	x->in_run = false;
	x->in_one_shot = false;
	last = NULL;
	v->env.exit_code = TCG_EXIT_EVENT;
	while (!x->stop) {
		code = NULL;
		if (v->env.exit_code == TCG_EXIT_EVENT || atomic_load_explicit(&v->env.request, memory_order_relaxed)) {
			last = NULL;
			safepoint(v);
			if (x->stop)
				break;
			code = find_jump(v);
		}
		if (!code) {
			tb = find(v);
			if (unlikely(!tb)) {
				cache_full(v);
				v->env.exit_code = TCG_EXIT_EVENT;
				continue;
			}
			if (last)
				tb_chain(last, (unsigned)v->env.exit_index, tb);
			code = tb->code;
		}
		jitter();
		run(v, code);
		last = v->env.exit_code == TCG_EXIT_CHAIN && !x->in_one_shot ? v->env.exit_tb : NULL;
		if (unlikely(v->env.exit_code == TCG_EXIT_ALONE)) {
			x->one_shot = true;
			v->env.exit_code = TCG_EXIT_EVENT;
		}
		x->in_one_shot = false;
	}
}

void vcpu_exec_thread(struct vcpu *v)
{
	struct err err;

	self = v;
	if (tcg_thread_init(&v->exec->tcg, &v->env, &err) < 0) {
		warn("vCPU %u: %s", v->index, err.text);
		machine_request_poweroff(1);
		return;
	}
	mailbox_enter(v);
	vcpu_timer_changed(v);
	loop(v);
	mailbox_leave(v);
	tcg_thread_fini(&v->exec->tcg, &v->env);
}
