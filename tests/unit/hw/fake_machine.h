/* SPDX-License-Identifier: MIT */
/*
 * Test doubles for what devices stand on: a clock turned by hand with its timers, the loop's deferred calls, guest CPUs
 * that only remember requests, RAM as an array, and an interrupt line that counts edges. Single thread.
 */
#ifndef COHORT_TESTS_UNIT_HW_FAKE_MACHINE_H
#define COHORT_TESTS_UNIT_HW_FAKE_MACHINE_H

#include <stdatomic.h>

#include "hw/core/irq.h"
#include "mem/aspace.h"
#include "util/types.h"
#include "vcpu/vcpu.h"

#define FAKE_TSC_HZ 2000000000u
#define FAKE_RAM_SIZE (64u << 20)
#define MS 1000000ll
#define US 1000ll

void fake_reset(void);                 /* clock to 1 s, no timers, no calls, no vCPUs */
extern vclock_ns_t fake_now;
void fake_advance(vclock_ns_t ns);     /* runs the timers that come due, each at its time, and deferred calls */
void fake_run_calls(void);

struct fake_line {
	bool level;
	unsigned rises, falls;
};
struct irq_line fake_line(struct fake_line *l);

void fake_vcpus(unsigned n);           /* vcpus[0..n-1], apic_id = index */
uint32_t fake_take_requests(struct vcpu *v);
extern struct vcpu *fake_self;
extern unsigned fake_timer_changes;

extern unsigned fake_resets;
extern int fake_poweroff;              /* -1: not asked for */

extern uint8_t fake_ram[FAKE_RAM_SIZE];

/* Registers of a device. */
static inline uint64_t dev_read(const struct mmio_ops *ops, void *dev, uint64_t off, unsigned size)
{
	return ops->read(dev, off, size);
}

static inline void dev_write(const struct mmio_ops *ops, void *dev, uint64_t off, uint64_t value, unsigned size)
{
	ops->write(dev, off, value, size);
}

#endif
