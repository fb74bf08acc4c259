/* SPDX-License-Identifier: MIT */
/*
 * All vCPUs together: creation, start, pause, reset, end; and requests to one of them.
 */
#include <stdlib.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/code_watch.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "sched/clock.h"
#include "sched/cpu_thread.h"
#include "sched/placement.h"
#include "tcg/cache/tb.h"
#include "util/cost.h"
#include "util/err.h"
#include "util/futex.h"
#include "util/rcu.h"
#include "util/stats.h"
#include "vcpu/arch.h"
#include "vcpu/exec.h"
#include "vcpu/mailbox.h"

struct vcpu **vcpus;
unsigned nr_vcpus;

#define DEFAULT_CODE_BYTES (256ull << 20)

static const struct machine_power_ops *power_ops; /* [const] */

/* ---- Requests */

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	uint32_t old = atomic_fetch_or(&v->env.request, bits);

	cost_lines(1);
	if ((old & bits) != bits && v->thread)
		cpu_thread_wake(v->thread);
}

/* Running vCPUs pass a safepoint soon. Parked ones are RCU-offline and purge when they wake: they need not be disturbed. */
static void quiesce_kick(void)
{
	cost_looks(nr_vcpus);
	for (unsigned i = 0; i < nr_vcpus; i++) {
		if (!atomic_load(&vcpus[i]->inside))
			continue;
		atomic_fetch_or(&vcpus[i]->env.request, VCPU_REQ_QUIESCE);
		cost_lines(1);
	}
}

void machine_set_power_ops(const struct machine_power_ops *ops)
{
	power_ops = ops;
}

void machine_request_reset(const char *why)
{
	power_ops->reset(why);
}

void machine_request_poweroff(int exit_status)
{
	power_ops->poweroff(exit_status);
}

void vcpu_timer_changed(struct vcpu *v)
{
	if (v->thread && v->intc && vcpu_self() == v)
		cpu_thread_timer_set(v->thread, v->intc->timer_deadline(v));
}

static struct {
	void (*ferr)(void *opaque); /* [const] */
	void *opaque;               /* [const] */
	_Atomic bool ignne;
} fpu_error;

void vcpu_connect_ferr(void (*ferr)(void *opaque), void *opaque)
{
	fpu_error.ferr = ferr;
	fpu_error.opaque = opaque;
}

void vcpu_ferr(void)
{
	if (fpu_error.ferr)
		fpu_error.ferr(fpu_error.opaque);
}

void vcpu_ignne(bool on)
{
	atomic_store(&fpu_error.ignne, on);
}

bool vcpu_ignne_is_on(void)
{
	return atomic_load_explicit(&fpu_error.ignne, memory_order_relaxed);
}

void vcpu_set_boot_state(struct vcpu *v, const struct vcpu_boot_state *s)
{
	if (s)
		v->boot = *s;
	else
		memset(&v->boot, 0, sizeof(v->boot));
}

/* ---- Threads */

static void thread_run(void *cpu)
{
	vcpu_exec_thread(cpu);
}

static void thread_timer(void *cpu)
{
	vcpu_request(cpu, VCPU_REQ_TIMER);
}

static const struct cpu_thread_ops thread_ops = { .run = thread_run, .timer_signal = thread_timer };

static const struct code_watch_ops watch_ops = {
	.kill_locked = tb_kill_locked,
	.gap_locked = tb_gap_locked,
	.unwatched = tb_unwatched,
	.revoke = mailbox_revoke,
	.close_own = mailbox_close_own,
	.wait_state = mailbox_wait_state,
};

/*
 * The physical map changed: what TLBs hold may lead elsewhere now. Entries go at each vCPU's next safepoint; one that sleeps has it before it
 * executes anything, and is not woken for it.
 */
static void map_changed(void)
{
	enum cost_op was = cost_begin(COST_remap);

	cost_looks(nr_vcpus);
	for (unsigned i = 0; i < nr_vcpus; i++) {
		atomic_fetch_or(&vcpus[i]->env.request, VCPU_REQ_MAP);
		cost_lines(1);
	}
	cost_end(was);
}

static int create_one(unsigned i, const struct vcpu_config *config, struct err *err)
{
	struct vcpu *v = vcpu_arch.create(i, config, err);

	if (!v)
		return -1;
	vcpus[i] = v;
	v->index = i;
	v->stats = stats_of(i);
	v->exec = aligned_alloc(64, (sizeof(*v->exec) + 63) & ~(size_t)63);
	v->thread = cpu_thread_new(i, &thread_ops, v);
	if (!v->exec || !v->thread || tlb_new(&v->env, i) < 0)
		return err_set(err, "out of memory for vCPU %u", i);
	memset(v->exec, 0, sizeof(*v->exec));
	return 0;
}

int vcpus_create(const struct vcpu_config *config, struct err *err)
{
	struct tcg_config tcg = {
		.interp = config->interp,
		.code_bytes = config->tb_size ? config->tb_size : DEFAULT_CODE_BYTES,
		.nr_vcpus = config->nr,
		.perfmap = config->perfmap ? "" : NULL,
		.jitter = config->jitter,
		.exact_flags = config->exact_flags,
	};

	if (config->nr > VCPU_SET_MAX)
		return err_set(err, "there may be %u vCPUs, not %u", VCPU_SET_MAX, config->nr);
	tlb_ops = vcpu_arch.tlb;
	code_watch_ops = &watch_ops;
	tb_reclaim_kick = quiesce_kick;
	if (code_watch_init(ram_size) < 0)
		return err_set(err, "out of memory for page descriptors");
	if (tcg_init(vcpu_arch.guest, &tcg, err) < 0)
		return -1;
	vcpus = calloc(config->nr, sizeof(vcpus[0]));
	if (!vcpus)
		return err_set(err, "out of memory");
	for (unsigned i = 0; i < config->nr; i++) {
		nr_vcpus = i + 1;
		placement_apply(i); /* what it is made of is first touched where it will run */
		if (create_one(i, config, err) < 0)
			return -1;
	}
	placement_apply_others();
	aspace_set_listener(map_changed);
	rcu_set_nudge(quiesce_kick); /* from here on vcpus[] is as it stays */
	return 0;
}

/* ---- Pause: `paused` is 0 running, 1 asked to stand still, 2 stands still, 3 running to its end: whoever stands or waits goes on. */

enum { RUNS, ASKED, STANDS, ENDS };

static void pause_ask_all(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++) {
		atomic_store(&vcpus[i]->paused, ASKED);
		vcpu_request(vcpus[i], VCPU_REQ_PAUSE);
		futex_wake((uint32_t *)&vcpus[i]->paused, 1); /* one that stopped by itself waits for this */
	}
}

static void pause_await_all(void)
{
	bool online = rcu_is_online();

	if (online)
		rcu_offline();
	for (unsigned i = 0; i < nr_vcpus; i++)
		while (atomic_load(&vcpus[i]->paused) == ASKED)
			futex_wait((uint32_t *)&vcpus[i]->paused, ASKED, NULL);
	if (online)
		rcu_online();
}

void vcpu_pause_wait(struct vcpu *v)
{
	uint32_t *word = (uint32_t *)&v->paused;

	for (;;) {
		uint32_t asked = ASKED;

		if (atomic_compare_exchange_strong(&v->paused, &asked, STANDS)) {
			futex_wake(word, 1);
			asked = STANDS;
		}
		if (asked == RUNS || asked == ENDS)
			return;
		futex_wait(word, STANDS, NULL);
	}
}

void vcpu_wait_for_pause(struct vcpu *v)
{
	while (atomic_load(&v->paused) == RUNS)
		futex_wait((uint32_t *)&v->paused, RUNS, NULL);
	vcpu_pause_wait(v);
}

void vcpus_pause_all(void)
{
	pause_ask_all();
	pause_await_all();
}

static void let_go(struct vcpu *v, uint32_t how)
{
	atomic_store(&v->paused, how);
	futex_wake((uint32_t *)&v->paused, 1);
}

void vcpu_resume(struct vcpu *v)
{
	let_go(v, RUNS);
}

int vcpus_start(bool paused, struct err *err)
{
	if (paused)
		pause_ask_all();
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (cpu_thread_start(vcpus[i]->thread, err) < 0)
			return -1;
	if (paused)
		pause_await_all();
	return 0;
}

void vcpus_reset_all(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpu_arch.reset(vcpus[i]);
}

void vcpus_stop(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++) {
		vcpu_request(vcpus[i], VCPU_REQ_EXIT);
		let_go(vcpus[i], ENDS);
	}
	for (unsigned i = 0; i < nr_vcpus; i++)
		cpu_thread_join(vcpus[i]->thread);
}

void vcpus_free(void)
{
	rcu_set_nudge(NULL);
	for (unsigned i = 0; i < nr_vcpus; i++) {
		cpu_thread_free(vcpus[i]->thread);
		tlb_free(&vcpus[i]->env);
		free(vcpus[i]->exec);
		vcpu_arch.free(vcpus[i]);
	}
	free(vcpus);
	vcpus = NULL;
	nr_vcpus = 0;
	tcg_fini();
	code_watch_fini();
}

void vcpu_dump(const struct vcpu *v, FILE *out)
{
	vcpu_arch.dump(v, out);
	fprintf(out, "requests=%04x irq_waiting=%u\n", atomic_load_explicit(&v->env.request, memory_order_relaxed), v->env.irq_waiting);
	if (v->intc && v->intc->dump)
		v->intc->dump(v, out);
}
