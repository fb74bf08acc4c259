/* SPDX-License-Identifier: MIT */
/*
 * The local APIC of one vCPU, in xAPIC and x2APIC mode (Intel SDM vol. 3, chapter 11; version 0x14, six LVT entries).
 *
 * Owner:   its vCPU thread, which alone reads and writes registers, accepts interrupts and runs the timer.
 * Threads: lapic_deliver() and lapic_lint() from any thread with any locks held.
 * Rule:    sending takes no lock. A sender sets the IRR bit, then `outstanding`; who turned `outstanding` from 0 to 1
 *          kicks the vCPU. The owner clears `outstanding` first and looks at IRR afterwards (all sequentially
 *          consistent), so a bit set after its look finds `outstanding` clear and brings a new kick:
 *              sender: IRR |= bit; if (!outstanding) kick      owner: outstanding = 0; read IRR
 *          Everything else that happens to an APIC from outside (LINT edges, receive errors) is a bit in `events`,
 *          handled by the owner the same way.
 */
#ifndef COHORT_HW_INTC_LAPIC_H
#define COHORT_HW_INTC_LAPIC_H

#include <stdatomic.h>
#include <stdio.h>

#include "hw/intc/apic_bus.h"
#include "mem/aspace.h"
#include "util/types.h"
#include "vcpu/intc.h"

#define LAPIC_VERSION 0x50014u
#define LAPIC_DEFAULT_BASE 0xfee00000u
#define LAPIC_BASE_BSP 0x100u
#define LAPIC_BASE_EXTD 0x400u
#define LAPIC_BASE_EN 0x800u

#define LAPIC_SVR_ENABLE 0x100u
#define LAPIC_LVT_MASKED 0x10000u
#define LAPIC_BUS_HZ 1000000000u /* the timer's input clock, before the divider */

enum lapic_mode { LAPIC_DISABLED, LAPIC_XAPIC, LAPIC_X2APIC };
enum lapic_lvt { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERF, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR,
		 LAPIC_NR_LVT };

/* What intc_ops.pending() answers when only the 8259 pair has an interrupt: its vector is known at accept() only. */
#define LAPIC_VECTOR_EXTINT 256

/* [atomic] bits of lapic.in->events */
#define LAPIC_EV_LINT0 0x01u  /* rising edge of LINT0 */
#define LAPIC_EV_LINT1 0x02u
#define LAPIC_EV_ERROR 0x04u  /* an error was added to `errors` */
#define LAPIC_EV_EXTINT 0x08u /* an ExtINT message arrived (not cleared until accepted) */

struct irq_inbox;

struct lapic {
	struct vcpu *vcpu;    /* [const] */
	struct apic_bus *bus; /* [const] */
	uint32_t id;          /* [const] */
	bool bsp;             /* [const] */
	bool virtual_wire;    /* [const] power-on leaves LINT0 as ExtINT and LINT1 as NMI, as firmware would */

	/*
	 * Written by senders for each interrupt, on the line of the vCPU's request word: IRR (`vectors`), `outstanding`: the vCPU owes a
	 * look, and `events`: LAPIC_EV_*.
	 */
	struct irq_inbox *in;        /* [const] */

	/* Written by senders now and then. */
	_Alignas(64) _Atomic uint64_t tmr[4]; /* [atomic] set before the IRR bit: trigger mode of the vector, 1 = level */
	_Atomic uint32_t lint_level; /* [atomic] bit n: level of pin LINTn */
	_Atomic uint32_t errors;     /* [atomic] errors not yet latched into ESR */

	/* Written by the owner, read by senders for routing; relaxed. */
	_Alignas(64) _Atomic uint64_t base; /* [atomic] the APIC_BASE MSR: address, enable bits */
	_Atomic uint32_t ldr;        /* [atomic] */
	_Atomic uint32_t dfr;        /* [atomic] */
	_Atomic uint32_t svr;        /* [atomic] */
	_Atomic uint32_t tpr;        /* [atomic] */

	/* The owner's alone, apart from what senders read for each interrupt. */
	_Alignas(64) uint64_t isr[4]; /* [owner] */
	uint32_t lvt[LAPIC_NR_LVT];  /* [owner] */
	uint32_t icr_lo, icr_hi;     /* [owner] */
	uint32_t esr;                /* [owner] */
	uint32_t rotor;              /* [owner] tie breaker of lowest-priority IPIs */
	bool lint_remote_irr[2];     /* [owner] level-triggered LINT interrupt not yet ended */

	uint32_t timer_divide;       /* [owner] the divide configuration register */
	uint32_t timer_initial;      /* [owner] */
	vclock_ns_t timer_due;       /* [owner] when the count gets to 0; VCLOCK_NEVER: stopped */
	uint64_t tsc_deadline;       /* [owner] 0: not armed */

	/* When the vector was sent. Senders write, before the IRR bit, and the owner takes; only if stats_timed. */
	_Alignas(64) _Atomic uint64_t ipi_sent[256]; /* [atomic] relaxed */
};

/* Set-up, before any thread runs. */
void lapic_init(struct lapic *l, struct apic_bus *bus, struct vcpu *v, uint32_t id, bool bsp);
void lapic_reset(struct lapic *l, bool power_on);
extern const struct intc_ops lapic_intc_ops; /* vcpu->intc; vcpu->intc_opaque is the struct lapic */
extern const struct mmio_ops lapic_mmio_ops; /* one page, opaque unused: the window of the calling vCPU's APIC */

/* Any thread. False if this APIC does not accept the message. */
bool lapic_deliver(struct lapic *l, const struct apic_msg *msg);
void lapic_lint(struct lapic *l, unsigned pin, bool level);
/* An irq_line receiver for LINT0 (the 8259 pair's output); opaque is the APIC, n the pin. */
void lapic_lint_set(void *opaque, unsigned n, bool level);

static inline enum lapic_mode lapic_mode(const struct lapic *l)
{
	uint64_t base = atomic_load_explicit(&l->base, memory_order_relaxed);

	return !(base & LAPIC_BASE_EN) ? LAPIC_DISABLED : base & LAPIC_BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

static inline bool lapic_accepts_fixed(const struct lapic *l)
{
	return lapic_mode(l) != LAPIC_DISABLED &&
	       (atomic_load_explicit(&l->svr, memory_order_relaxed) & LAPIC_SVR_ENABLE);
}

/*
 * Between the files of the local APIC (all [owner]):
 * lapic.c priorities and delivery, lapic_reg.c registers, lapic_lvt.c local interrupts and errors, lapic_timer.c, lapic_dump.c.
 */
int lapic_pending(struct lapic *l);
uint8_t lapic_ppr(const struct lapic *l);
void lapic_eoi(struct lapic *l);
void lapic_recheck(struct lapic *l); /* after a register change that may let an interrupt through */
bool lapic_set_irr(struct lapic *l, uint8_t vector, bool level);
void lapic_error(struct lapic *l, uint32_t esr_bit); /* any thread */

uint64_t lapic_reg_read(struct lapic *l, unsigned reg);
void lapic_reg_write(struct lapic *l, unsigned reg, uint32_t value);
int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value);
int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value);
bool lapic_ipi(struct lapic *l, uint32_t dest, uint32_t icr); /* to the one APIC of that ID; false: not accepted */

void lapic_lvt_reset(struct lapic *l);
void lapic_lvt_write(struct lapic *l, enum lapic_lvt n, uint32_t value);
uint32_t lapic_lvt_read(const struct lapic *l, enum lapic_lvt n);
void lapic_lvt_fire(struct lapic *l, enum lapic_lvt n);
void lapic_lvt_mask_all(struct lapic *l);
void lapic_lvt_eoi(struct lapic *l, uint8_t vector);
void lapic_handle_events(struct lapic *l);
bool lapic_extint_pending(const struct lapic *l);
uint32_t lapic_lvt_valid_bits(enum lapic_lvt n);

void lapic_dump(const struct lapic *l, FILE *out); /* by the owner, or it is paused */

void lapic_timer_reset(struct lapic *l);
void lapic_timer_lvt_changed(struct lapic *l, uint32_t old);
void lapic_timer_set_initial(struct lapic *l, uint32_t value);
void lapic_timer_set_divide(struct lapic *l, uint32_t value);
uint32_t lapic_timer_current(const struct lapic *l);
uint64_t lapic_timer_tsc_deadline(const struct lapic *l);
void lapic_timer_set_tsc_deadline(struct lapic *l, uint64_t value);
vclock_ns_t lapic_timer_due(const struct lapic *l);
void lapic_timer_expire(struct lapic *l);

#endif
