/* SPDX-License-Identifier: MIT */
/*
 * A guest CPU as the rest of the machine sees it.
 *
 * Owner:   the machine; created before start, freed after all vCPU threads have ended.
 * Threads: each field says who writes it. A vCPU's architectural state belongs to its own thread; other threads only set
 *          request bits and kick.
 */
#ifndef COHORT_VCPU_VCPU_H
#define COHORT_VCPU_VCPU_H

#include <stdio.h>

#include <stdatomic.h>

#include "tcg/env.h"
#include "util/types.h"
#include "vcpu/intc.h"

/*
 * Request bits, env.request: set by anyone with vcpu_request(), taken by the vCPU at its next safepoint. Any non-zero value
 * makes generated code leave at the next poll. The hints QUIESCE, REST and LOAN are set without a wake-up.
 */
#define VCPU_REQ_INTR 0x0001u  /* look at the interrupt controller */
#define VCPU_REQ_NMI 0x0002u
#define VCPU_REQ_SMI 0x0004u
#define VCPU_REQ_INIT 0x0008u
#define VCPU_REQ_SIPI 0x0010u  /* vector in vcpu->sipi_vector */
#define VCPU_REQ_TIMER 0x0020u /* the local timer's signal arrived */
#define VCPU_REQ_WORK 0x0040u  /* TLB mailbox or other queued work */
#define VCPU_REQ_PAUSE 0x0080u /* stop (monitor, reset, debugger) */
#define VCPU_REQ_QUIESCE 0x0100u /* garbage waits: pass a safepoint */
#define VCPU_REQ_EXIT 0x0200u  /* end the thread */
#define VCPU_REQ_MAP 0x0400u   /* the physical memory map changed: flush the TLB */
#define VCPU_REQ_REST 0x0800u  /* the guest only waits: let others have the host CPU for a moment */
#define VCPU_REQ_LOAN 0x1000u  /* another gave its host CPU away so that the other bits are taken: rest when that is done, if it is the one */

#define ANY_HOST_CPU UINT32_MAX

enum vcpu_run_state { VCPU_WAIT_SIPI, VCPU_RUNNING, VCPU_HALTED }; /* architectural; owned by the vCPU thread */

/*
 * How a boot loader wants the first vCPU to start instead of at the reset vector: flat segments, interrupts off. Taken over
 * at the next power-on reset of the vCPU; NULL goes back to the reset vector. The struct is copied.
 */
enum vcpu_boot_arg { BOOT_ARG_A, BOOT_ARG_B, BOOT_ARG_SI, NR_BOOT_ARGS }; /* by the register that takes it */
struct vcpu_boot_state {
	unsigned word_bits;     /* 32: protected, unpaged; 64: long mode with root_table */
	gva_t entry;            /* program counter */
	uint64_t arg[NR_BOOT_ARGS]; /* what the boot protocol hands over: magic numbers, addresses of tables */
	gpa_t root_table;       /* page tables, identity map of at least 4 GiB; word_bits 64 only */
	gpa_t desc_table;       /* segment descriptors */
	uint16_t desc_limit;    /* last byte of them */
	uint16_t code_sel, data_sel;
};
struct cpu_thread;
struct err;

/* Of a debugger outside of the guest, vcpu/debugger.h. The owner's; another's while the vCPU is paused. */
enum debug_stop { DEBUG_STOP_NONE, DEBUG_STOP_STEP, DEBUG_STOP_CODE, DEBUG_STOP_WRITE, DEBUG_STOP_READ, DEBUG_STOP_ACCESS };
enum debug_step {
	DEBUG_STEP_NONE,
	DEBUG_STEP_ARMED, /* one instruction is to be executed */
	DEBUG_STEP_RUNS,  /* it is on its way */
	DEBUG_STEP_FAULT, /* it faulted: the step ends at the handler */
};
struct vcpu_debug {
	enum debug_stop stop; /* why it stopped, or is about to */
	enum debug_step step;
	gva_t addr;           /* of the data that stopped it */
};

struct vcpu {
	struct tcg_env env;            /* [owner], except env.request [atomic]; first, GS points here */
	unsigned index;                /* [const] 0..nr_vcpus-1 */
	uint32_t apic_id;              /* [const] */
	struct cpu_thread *thread;     /* [const] host thread: kick, park (sched/cpu_thread.h) */
	const struct intc_ops *intc;   /* [const] */
	void *intc_opaque;             /* [const] the local APIC */
	uint8_t sipi_vector;           /* [atomic] written by the sender before VCPU_REQ_SIPI */
	struct vcpu_stats *stats;      /* [const] the counters, which the owner writes */
	struct vcpu_exec *exec;        /* [const] run-loop state, the owner's; vcpu/exec.h */

	/* Apart from the above, which senders of interrupts read. */
	_Alignas(64) _Atomic int run_state; /* enum vcpu_run_state; [owner] writes, others may read for statistics; relaxed */
	uint64_t intr_sent;            /* [owner] clock_tsc() when the IPI just accepted was sent; 0: none, or no matter (stats_timed) */
	_Atomic uint32_t inside;       /* [atomic] 1: may touch guest memory through its TLB; see vcpu/mailbox.h */
	_Atomic uint32_t paused;       /* [atomic] futex word: stands still for vcpus_pause_all() */
	_Atomic uint32_t host_cpu;     /* [atomic] relaxed: where it ran when it last took requests; the owner's; a hint */
	_Atomic uint32_t lender_cpu;   /* [atomic] relaxed: the host CPU that VCPU_REQ_LOAN is about, or ANY_HOST_CPU; a hint */
	bool owes_rest;                /* [owner] VCPU_REQ_LOAN came with an interrupt: rests when the handler returns */
	struct vcpu_debug debug;       /* [owner], or who has paused it */
	struct mail *_Atomic mailbox;  /* [atomic] stack of revocations from other vCPUs */
	struct vcpu_boot_state boot;   /* [const] while running; word_bits 0: none */
};

static inline enum vcpu_run_state vcpu_run_state(const struct vcpu *v)
{
	return (enum vcpu_run_state)atomic_load_explicit(&v->run_state, memory_order_relaxed);
}

static inline void vcpu_set_run_state(struct vcpu *v, enum vcpu_run_state s) /* owner, or v does not run */
{
	atomic_store_explicit(&v->run_state, s, memory_order_relaxed);
}

extern struct vcpu **vcpus; /* [const] after machine construction */
extern unsigned nr_vcpus;

/* Sets request bits with release order and kicks or wakes the vCPU if it must notice. Any thread, any lock, signal-safe. */
void vcpu_request(struct vcpu *v, uint32_t bits);

/*
 * Machine-wide power requests (any thread, any lock; acted on by the I/O loop): reset all, power off with exit status. `why`,
 * a string constant, is for the user when it is nothing a sane guest does (triple fault), else NULL.
 */
void machine_request_reset(const char *why);
void machine_request_poweroff(int exit_status);

/* Provided by main; called on the requesting thread, so they only queue the work for the I/O loop. */
struct machine_power_ops {
	void (*reset)(const char *why);
	void (*poweroff)(int exit_status);
};
void machine_set_power_ops(const struct machine_power_ops *power_ops);

/*
 * FPU errors the old way: a CPU with an error to report pulls FERR, which the board turns into an interrupt; the board answers with IGNNE, and the
 * pending error is let pass. Connected before the start; ferr() is called on vCPU threads with no lock held, vcpu_ignne() on any.
 */
void vcpu_connect_ferr(void (*ferr)(void *opaque), void *opaque);
void vcpu_ferr(void);
void vcpu_ignne(bool on);
bool vcpu_ignne_is_on(void);

/* Guest TSC in ticks of clock_tsc_hz(), including IA32_TSC_ADJUST; owner thread or stopped. */
uint64_t vcpu_tsc_read(const struct vcpu *v);

/* The vCPU whose thread this is; NULL on other threads. Per-CPU register windows (the local APIC's) need it. */
struct vcpu *vcpu_self(void);

/* The guest hints that it spins for another vCPU (PAUSE on x86); see vcpu/spin_wait.c. Owner thread, inside a block. */
void vcpu_spin_wait(struct vcpu *v);

/* The guest returns from an interrupt or a fault. Owner thread. */
static inline void vcpu_handler_returns(struct vcpu *v)
{
	if (v->owes_rest) {
		v->owes_rest = false;
		atomic_fetch_or(&v->env.request, VCPU_REQ_REST);
	}
}

/* The deadline of v's local timer changed: arm the host timer anew from intc->timer_deadline(). Owner thread. */
void vcpu_timer_changed(struct vcpu *v);

/* Takes effect at the next reset; the struct is copied, NULL: the reset vector. */
void vcpu_set_boot_state(struct vcpu *v, const struct vcpu_boot_state *s);

/*
 * Life cycle, as the machine drives it; main thread, no lock held, RCU-registered. stats_init(), ram_init() and
 * placement_init() have been called. From vcpus_pause_all() to its vcpu_resume() a vCPU is at a safepoint and stays there; pauses
 * do not nest.
 */
struct vcpu_config {
	unsigned nr, sockets, cores, threads; /* sockets * cores * threads >= nr */
	const char *cpu_model;                /* "max", "qemu64,+avx,-x2apic,feature=on"; "host" is "max" */
	bool interp;                          /* IR interpreter instead of the native back end */
	uint64_t tb_size;                     /* bytes of code memory; 0: default */
	uint64_t jitter;                      /* seed of schedule jitter; 0: none */
	bool exact_flags;                     /* tcg/opt/opt.h */
	bool perfmap;
};

int must_check vcpus_create(const struct vcpu_config *config, struct err *err);
int must_check vcpus_start(bool paused, struct err *err); /* starts the threads; the first CPU runs, the others wait for SIPI */
void vcpus_pause_all(void);
void vcpu_resume(struct vcpu *v);            /* one, while the others stay paused; a debugger's step */
void vcpus_reset_all(void);                  /* while paused: power-on state */
void vcpus_stop(void);                       /* ends and joins the threads, also when paused or never started */
void vcpus_free(void);

int must_check vcpu_check_model(const char *cpu_model, struct err *err);
void vcpu_print_models(FILE *out);                /* -cpu help */
void vcpu_dump(const struct vcpu *v, FILE *out);  /* registers as text; v paused, or the caller is v */

#endif
